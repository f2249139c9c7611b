//! Which crate of the workspace may import which, in manifests and in paths.

use super::Finding;
use super::paths;
use super::tree::{Package, Source, Tree};

/// Every crate, with the crates of the workspace it may import.
const ALLOWED: &[(&str, &[&str])] = &[
    ("strait-sys", &[]),
    ("strait-wire", &[]),
    // Its tests compile what it makes against strait-wire.
    ("strait-idl", &["strait-wire"]),
    ("strait", &["strait-sys", "strait-wire"]),
    ("strait-bench", &["strait", "strait-sys"]),
    ("strait-c", &["strait", "strait-sys"]),
    (
        "strait-cli",
        &["strait", "strait-bench", "strait-idl", "strait-sys"],
    ),
    (
        "strait-fuzz",
        &[
            "strait",
            "strait-cli",
            "strait-idl",
            "strait-sys",
            "strait-wire",
        ],
    ),
    ("fuzz", &["strait-fuzz"]),
    ("xtask", &[]),
];

const RULE: &str = "crates";

/// Reports imports of a crate that stand in no row of the table, and crates without a row.
pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for package in &tree.packages {
        check_manifest(package, findings);
    }
    for source in &tree.sources {
        check_source(source, findings);
    }
}

fn check_manifest(package: &Package, findings: &mut Vec<Finding>) {
    let mut report = |line, what| {
        findings.push(Finding {
            path: package.manifest.clone(),
            line,
            what,
            rule: RULE,
        });
    };
    let own = package.name.as_str();
    if allowed(own).is_none() {
        report(1, format!("`{own}` has no row in xtask's table of crates"));
    }
    let mut in_dependencies = false;
    for (i, line) in package.manifest_text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("").trim();
        let named = if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            in_dependencies = section.ends_with("dependencies");
            // `[dependencies.strait-sys]`
            section.split_once("dependencies.").map(|(_, name)| name)
        } else if in_dependencies {
            line.split(['=', '.', ' ']).next()
        } else {
            None
        };
        // `sys = { package = "strait-sys" }`
        let renamed = line
            .split_once("package")
            .and_then(|(_, value)| value.split('"').nth(1));
        for name in [named, renamed].into_iter().flatten() {
            if forbidden(own, name.trim_matches('"')) {
                report(i + 1, format!("`{own}` must not import `{name}`"));
            }
        }
    }
}

fn check_source(source: &Source, findings: &mut Vec<Finding>) {
    for path in paths::paths(&source.tokens()) {
        let name = path.segments[0].replace('_', "-");
        if forbidden(&source.package, &name) {
            let what = format!("`{}` must not import `{name}`", source.package);
            let line = source.line_at(path.at);
            findings.push(Finding {
                path: source.path.clone(),
                line,
                what,
                rule: RULE,
            });
        }
    }
}

/// Whether `name` is a crate of the workspace that `package` must not import.
fn forbidden(package: &str, name: &str) -> bool {
    let of_workspace = name == "xtask" || name == "strait" || name.starts_with("strait-");
    let own = package == name;
    of_workspace && !own && !allowed(package).unwrap_or_default().contains(&name)
}

fn allowed(package: &str) -> Option<&'static [&'static str]> {
    ALLOWED
        .iter()
        .find(|(name, _)| *name == package)
        .map(|(_, allowed)| *allowed)
}
