//! The floors of the crate `strait`: imports go down, never up and never sideways.

use std::collections::HashMap;
use std::path::Path;

use super::Finding;
use super::paths::{self, Path as Import};
use super::tree::{Source, Tree};

/// The crate that has floors.
const CRATE: &str = "strait";

/// Every room under its `src/`, with its floor.
const FLOORS: &[(&str, u8)] = &[
    ("error", 0),
    ("object", 1),
    ("channel", 2),
    ("nt", 3),
    ("streams", 3),
    ("unix", 3),
    ("smb", 4),
    ("rpc", 5),
    ("inspect", 6),
    ("kit", 7),
];

/// Rooms of many mechanisms, whose files do not see each other: what two share moves down.
const BLIND: &[&str] = &["nt", "unix"];

/// Files of a blind room that its other files may see.
const SHARED: &[(&str, &str)] = &[("nt", "status"), ("unix", "ipc")];

const RULE: &str = "floors";

/// Reports upward and sideways imports, and files that stand on no floor.
pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    let in_crate = |source: &&Source| source.package == CRATE && source.inside.starts_with("src");
    let sources: Vec<&Source> = tree.sources.iter().filter(in_crate).collect();
    let root = sources
        .iter()
        .find(|source| source.inside == Path::new("src/lib.rs"));
    let reexports = root.map(|root| reexports(root)).unwrap_or_default();
    for source in sources {
        check_source(source, &reexports, findings);
    }
}

/// What the names that `lib.rs` imports stand for: name to path from the crate's root.
type Reexports = HashMap<String, Vec<String>>;

fn reexports(root: &Source) -> Reexports {
    let tokens = root.tokens();
    let uses = paths::paths(&tokens).into_iter().filter(|path| path.is_use);
    uses.map(|path| {
        let below_root = path
            .segments
            .iter()
            .skip_while(|part| matches!(**part, "crate" | "self"));
        (
            path.name.to_owned(),
            below_root.map(|part| (*part).to_owned()).collect(),
        )
    })
    .collect()
}

fn check_source(source: &Source, reexports: &Reexports, findings: &mut Vec<Finding>) {
    let module = module_of(&source.inside);
    let Some(room) = module.first() else {
        // lib.rs stands above every floor.
        return;
    };
    let mut report = |line, what| {
        findings.push(Finding {
            path: source.path.clone(),
            line,
            what,
            rule: RULE,
        });
    };
    if floor(room).is_none() {
        if !source.is_test_file() {
            report(
                1,
                format!("`{room}` has no floor: give it a row in xtask's table"),
            );
        }
        return;
    }
    for import in paths::paths(&source.tokens()) {
        let mut here = module.clone();
        let around = source
            .modules
            .iter()
            .filter(|outer| outer.span.contains(&import.at));
        here.extend(around.map(|outer| outer.name.clone()));
        let Some(target) = resolve(&here, &import) else {
            continue;
        };
        if let Some(why) = judge(&module, &target, reexports) {
            report(
                source.line_at(import.at),
                format!("`{}` {why}", import.segments.join("::")),
            );
        }
    }
}

/// The path of the module in a file, from the crate's root: `src/nt/event.rs` is `nt`, `event`.
fn module_of(inside: &Path) -> Vec<String> {
    let below_src = inside
        .strip_prefix("src")
        .unwrap_or(inside)
        .with_extension("");
    let mut module: Vec<String> = below_src
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if module
        .last()
        .is_some_and(|last| last == "mod" || last == "lib")
    {
        module.pop();
    }
    module
}

/// An import as a path from the crate's root; `None` if it does not begin with `crate`, `self` or
/// `super`, and so stays in the file's own module or leaves the crate.
fn resolve(here: &[String], import: &Import<'_>) -> Option<Vec<String>> {
    let (first, rest) = import.segments.split_first()?;
    let mut target = match *first {
        "crate" => Vec::new(),
        "self" => here.to_vec(),
        "super" => here[..here.len().saturating_sub(1)].to_vec(),
        _ => return None,
    };
    for part in rest {
        match *part {
            "super" => drop(target.pop()),
            part => target.push(part.to_owned()),
        }
    }
    Some(target)
}

/// Says what is wrong with an import of `target` in the file `module`, if anything is.
fn judge(module: &[String], target: &[String], reexports: &Reexports) -> Option<String> {
    let from = module[0].as_str();
    let mut target = target.to_vec();
    if let Some(first) = target.first()
        && floor(first).is_none()
    {
        let Some(meant) = reexports.get(first) else {
            return Some("reaches into lib.rs, which stands above every floor".into());
        };
        target.splice(..1, meant.iter().cloned());
    }
    let Some(to) = target.first().map(String::as_str) else {
        return Some("names the whole crate: name a module, which has a floor".into());
    };
    let (here, there) = (floor(from)?, floor(to)?);
    if there > here {
        return Some(format!(
            "is an upward import: {from} is floor {here}, {to} is floor {there}"
        ));
    }
    if there == here && from != to {
        return Some(format!(
            "is a sideways import: {from} and {to} are both floor {here}"
        ));
    }
    if from == to && BLIND.contains(&from) {
        // mod.rs has no second part: it may name its own children.
        return judge_blind(from, module.get(1)?, target.get(1).map(String::as_str));
    }
    None
}

/// The same inside a blind room, from one of its files or folders to another.
fn judge_blind(room: &str, from: &str, to: Option<&str>) -> Option<String> {
    match to {
        // nt/tests.rs tests what nt/mod.rs holds.
        _ if from == "tests" => None,
        Some(to) if to == from || SHARED.contains(&(room, to)) => None,
        _ => Some(format!(
            "is a sideways import: the files of {room} do not see each other"
        )),
    }
}

fn floor(room: &str) -> Option<u8> {
    FLOORS
        .iter()
        .find(|(name, _)| *name == room)
        .map(|(_, floor)| *floor)
}
