//! Names of the file as names of Rust.

use std::collections::HashMap;

use super::super::tree::{Body, Position, Specification, TypeId};

/// Words that cannot be names as they are, in any edition up to 2024.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let",
    "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return",
    "static", "struct", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use",
    "virtual", "where", "while", "yield",
];

/// Words that cannot be names even behind `r#`.
const PATH_KEYWORDS: &[&str] = &["crate", "self", "super", "Self", "_"];

/// The words of a name: between underscores, before a capital behind a small letter, and before
/// the last of several capitals if a small letter follows.
fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    for part in name.split('_') {
        let letters: Vec<char> = part.chars().collect();
        let mut word = String::new();
        for (i, letter) in letters.iter().enumerate() {
            let before = i.checked_sub(1).map(|before| letters[before]);
            let small_next = letters.get(i + 1).is_some_and(char::is_ascii_lowercase);
            let begins = letter.is_ascii_uppercase()
                && before.is_some_and(|before| {
                    before.is_ascii_lowercase() || (before.is_ascii_uppercase() && small_next)
                });
            if begins {
                words.push(std::mem::take(&mut word));
            }
            word.push(letter.to_ascii_lowercase());
        }
        if !word.is_empty() {
            words.push(word);
        }
    }
    words
}

/// `NFS_OK` and `nfs_ok` as `NfsOk`.
pub(super) fn camel(name: &str) -> String {
    let mut all = String::new();
    for word in words(name) {
        // `v2_3` and `v23` are to stay apart.
        let digits = all.ends_with(|last: char| last.is_ascii_digit())
            && word.starts_with(|first: char| first.is_ascii_digit());
        if digits {
            all.push('_');
        }
        let mut letters = word.chars();
        all.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        all.push_str(letters.as_str());
    }
    match all.chars().next() {
        None => "X".into(),
        Some(first) if first.is_ascii_digit() => format!("X{all}"),
        Some(_) => escape(all),
    }
}

/// `NfsOk` and `NFS_OK` as `nfs_ok`; `type` as `r#type`.
pub(super) fn snake(name: &str) -> String {
    escape(bare_snake(name))
}

/// The same within a longer name, where nothing need be escaped.
pub(super) fn bare_snake(name: &str) -> String {
    let all = words(name).join("_");
    match all.chars().next() {
        None => "x".into(),
        Some(first) if first.is_ascii_digit() => format!("x{all}"),
        Some(_) => all,
    }
}

/// `MaxLen` and `max_len` as `MAX_LEN`.
pub(super) fn screaming(name: &str) -> String {
    bare_snake(name).to_ascii_uppercase()
}

fn escape(name: String) -> String {
    if PATH_KEYWORDS.contains(&name.as_str()) {
        format!("{name}_")
    } else if KEYWORDS.contains(&name.as_str()) {
        format!("r#{name}")
    } else {
        name
    }
}

/// Names of Rust that the generated code uses, and where they live.
const PRELUDE: &[(&str, &str)] = &[
    ("Box", "::std::boxed::Box"),
    ("From", "::core::convert::From"),
    ("Option", "::core::option::Option"),
    ("Result", "::core::result::Result"),
    ("String", "::std::string::String"),
    ("TryFrom", "::core::convert::TryFrom"),
    ("Vec", "::std::vec::Vec"),
];

/// Two names of the file that are one in Rust.
#[derive(Debug)]
pub(super) struct Collision {
    pub(super) at: Position,
    pub(super) message: String,
    pub(super) help: String,
}

/// The Rust names of all definitions.
#[derive(Debug)]
pub(super) struct Names {
    types: Vec<String>,
    /// Names of the prelude that a type of the file takes.
    taken: Vec<&'static str>,
}

impl Names {
    /// Names everything, or tells what would be one.
    pub(super) fn new(of: &Specification) -> Result<Self, Vec<Collision>> {
        let mut seen = Seen::default();
        let types: Vec<String> = of.types.iter().map(|each| camel(&each.name)).collect();
        for (each, name) in of.types.iter().zip(&types) {
            seen.add("type", &each.name, name.clone(), &each.at);
            if let Body::Alias(_) = each.body {
                let codec = format!("encode_{}", bare_snake(&each.name));
                seen.add("function", &each.name, codec, &each.at);
            }
        }
        for each in &of.constants {
            seen.add("constant", &each.name, screaming(&each.name), &each.at);
        }
        for each in &of.programs {
            seen.add("module", &each.name, module(&each.name), &each.at);
        }
        for each in &of.types {
            seen.members(&each.body);
        }
        for version in of.programs.iter().flat_map(|program| &program.versions) {
            let mut inner = Seen::default();
            for each in &version.procedures {
                inner.add("method", &each.name, method(&each.name), &each.at);
                if each.result == super::super::tree::Type::Void {
                    let oneway = format!("{}_oneway", bare_snake(&each.name));
                    inner.add("method", &each.name, oneway, &each.at);
                }
            }
            seen.collisions.append(&mut inner.collisions);
        }
        if !seen.collisions.is_empty() {
            return Err(seen.collisions);
        }
        let taken = PRELUDE.iter().map(|(name, _)| *name);
        let taken = taken.filter(|name| types.iter().any(|each| each == name));
        Ok(Self {
            taken: taken.collect(),
            types,
        })
    }

    pub(super) fn of(&self, id: TypeId) -> &str {
        &self.types[id.0]
    }

    /// A name of the prelude, with its path if the file takes the name.
    pub(super) fn std(&self, name: &'static str) -> &'static str {
        let path = PRELUDE.iter().find(|(known, _)| *known == name);
        match path {
            Some((_, path)) if self.taken.contains(&name) => path,
            _ => name,
        }
    }
}

/// The module of a program; `onc` is what the generated code calls.
pub(super) fn module(name: &str) -> String {
    match snake(name) {
        taken if taken == "onc" => "onc_".into(),
        free => free,
    }
}

/// The method of a procedure; the clients have some of their own.
pub(super) fn method(name: &str) -> String {
    match snake(name) {
        taken if matches!(taken.as_str(), "over" | "within" | "connection") => format!("{taken}_"),
        free => free,
    }
}

#[derive(Debug, Default)]
struct Seen {
    names: HashMap<(&'static str, String), String>,
    collisions: Vec<Collision>,
}

impl Seen {
    fn add(&mut self, kind: &'static str, name: &str, rust: String, at: &Position) {
        let message = format!("in Rust `{name}` is the {kind} `{rust}`");
        if let Some(first) = self.names.insert((kind, rust), name.to_owned()) {
            self.collisions.push(Collision {
                at: at.clone(),
                message,
                help: format!("`{first}` has that name already; change one of the two"),
            });
        }
    }

    fn members(&mut self, body: &Body) {
        let mut inner = Self::default();
        match body {
            Body::Alias(_) => {}
            Body::Enum(all) => {
                let mut values: HashMap<i32, ()> = HashMap::new();
                for each in all {
                    let (kind, name) = match values.insert(each.value, ()) {
                        None => ("variant", camel(&each.name)),
                        Some(()) => ("constant", screaming(&each.name)),
                    };
                    inner.add(kind, &each.name, name, &each.at);
                }
            }
            Body::Struct(members) => {
                for each in members {
                    inner.add("field", &each.name, snake(&each.name), &each.at);
                }
            }
            Body::Union(union) => {
                for arm in &union.arms {
                    let name = arm.label.clone().unwrap_or_else(|| arm.value.to_string());
                    inner.add(
                        "variant",
                        &name,
                        variant(arm.label.as_deref(), arm.value),
                        &arm.at,
                    );
                }
                if union.default.is_some() {
                    inner.add(
                        "variant",
                        "default",
                        "Default".into(),
                        &union.discriminant.at,
                    );
                }
            }
        }
        self.collisions.append(&mut inner.collisions);
    }
}

/// The variant of an arm of a union.
pub(super) fn variant(label: Option<&str>, value: i64) -> String {
    match label {
        Some(label) => camel(label),
        None if value < 0 => format!("CaseMinus{}", value.unsigned_abs()),
        None => format!("Case{value}"),
    }
}
