//! Each rule fires on a small tree that breaks it, and a clean tree passes.

mod crates;
mod floors;
mod habits;
mod lex;
mod sizes;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

use super::check;
use super::tree::Tree;

/// A workspace in a folder of its own, removed when dropped.
struct Fake {
    root: PathBuf,
}

impl Fake {
    /// The crates of the workspace as they should be: nothing to find.
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = env::temp_dir().join(format!("strait-tidy-{}-{number}", process::id()));
        let fake = Self { root };
        for (home, dependencies) in [
            ("crates/strait-sys", ""),
            ("crates/strait-wire", ""),
            (
                "crates/strait",
                "strait-sys.workspace = true\nstrait-wire = \"1\"\n",
            ),
            (
                "crates/strait-bench",
                "strait = { path = \"../strait\" }\nstrait-sys = \"1\"\n",
            ),
            (
                "crates/strait-cli",
                "strait.workspace = true\nstrait-bench.workspace = true\n",
            ),
            ("xtask", ""),
        ] {
            let name = home.rsplit('/').next().unwrap();
            let manifest =
                format!("[package]\nname = \"{name}\"\n\n[dependencies]\n{dependencies}");
            fake.write(&format!("{home}/Cargo.toml"), &manifest);
            fake.write(&format!("{home}/src/lib.rs"), "//! Docs.\n");
        }
        fake
    }

    /// A clean workspace with one file added or replaced.
    fn with(path: &str, text: &str) -> Self {
        Self::new().and(path, text)
    }

    fn and(self, path: &str, text: &str) -> Self {
        self.write(path, text);
        self
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn findings(&self) -> Vec<String> {
        let tree = Tree::read(&self.root).unwrap();
        check(&tree).iter().map(ToString::to_string).collect()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// Asserts that a clean tree with `text` at `path` has exactly one finding at `path:line` under
/// `rule`, and returns it.
#[track_caller]
fn one(path: &str, text: &str, line: usize, rule: &str) -> String {
    let findings = Fake::with(path, text).findings();
    assert_eq!(findings.len(), 1, "{findings:#?}");
    let finding = findings.into_iter().next().unwrap();
    assert!(
        finding.starts_with(&format!("{path}:{line}: ")),
        "{finding}"
    );
    assert!(finding.ends_with(&format!(" ({rule})")), "{finding}");
    finding
}

/// Asserts that a clean tree with `text` at `path` stays clean.
#[track_caller]
fn none(path: &str, text: &str) {
    assert_eq!(Fake::with(path, text).findings(), Vec::<String>::new());
}

#[test]
fn a_clean_tree_passes() {
    let fake = Fake::new()
        .and(
            "crates/strait/src/lib.rs",
            "//! Docs.\npub mod nt;\npub use error::Error;\n",
        )
        .and(
            "crates/strait/src/error.rs",
            "//! Docs.\npub struct Error;\n",
        )
        .and(
            "crates/strait/src/object/mod.rs",
            "//! Docs.\nuse crate::error::Error;\n",
        )
        .and(
            "crates/strait/src/nt/mod.rs",
            "//! Docs.\npub use self::event::Event;\n",
        )
        .and(
            "crates/strait/src/nt/event.rs",
            "//! Docs.\nuse crate::{Error, nt::status::{self, Code}, object::{self as o,},};\n",
        )
        .and(
            "crates/strait/src/nt/status.rs",
            "//! Docs.\nuse crate::error::Error;\n",
        )
        .and(
            "crates/strait/tests/it/main.rs",
            "//! Docs.\nuse strait::nt::Event;\n",
        );
    assert_eq!(fake.findings(), Vec::<String>::new());
}

#[test]
fn findings_come_in_order_of_place() {
    let text = "fn f() { unsafe {} }\nfn g() { todo!() }\n";
    let findings = Fake::with("crates/strait-cli/src/main.rs", text).findings();
    assert_eq!(
        findings,
        [
            "crates/strait-cli/src/main.rs:1: does not begin with `//!` docs (module docs)",
            "crates/strait-cli/src/main.rs:1: unsafe in `strait-cli` (unsafe)",
            "crates/strait-cli/src/main.rs:2: `todo!` (unfinished)",
        ]
    );
}

#[test]
fn a_folder_without_packages_is_an_error() {
    let fake = Fake::new();
    assert!(Tree::read(&fake.root.join("xtask")).is_err());
}
