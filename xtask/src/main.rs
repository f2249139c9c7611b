//! Checks and long runs that need no shell: `cargo xtask`.
//!
//! A subcommand is one file with a `run` function and one line in [`SUBCOMMANDS`]. Nothing of
//! Strait is imported here, so that a broken product cannot break the tool that finds out.
#![forbid(unsafe_code)]

mod ci;
mod fuzz;
mod models;
mod peers;
mod soak;
mod storm;
mod strace;
mod tidy;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// One line of the table: what is typed, what it does, and the function that does it.
struct Subcommand {
    name: &'static str,
    about: &'static str,
    /// Gets the workspace root and the arguments after the name; an error is printed as it is.
    run: fn(&Path, &[String]) -> Result<(), String>,
}

const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand::new("ci", "every check, up to the first failure", ci::run),
    Subcommand::new(
        "fuzz",
        "bytes that break a reader, led by coverage",
        fuzz::run,
    ),
    Subcommand::new(
        "models",
        "the models of the protocols, in long form",
        models::run,
    ),
    Subcommand::new(
        "peers",
        "foreign programs that tests talk to, installed",
        peers::run,
    ),
    Subcommand::new("soak", "tests that move very much", soak::run),
    Subcommand::new(
        "storm",
        "kills at random and at every step, at length",
        storm::run,
    ),
    Subcommand::new(
        "strace",
        "paths without a system call make none",
        strace::run,
    ),
    Subcommand::new("tidy", "floors, sizes, docs and habits", tidy::run),
];

impl Subcommand {
    const fn new(
        name: &'static str,
        about: &'static str,
        run: fn(&Path, &[String]) -> Result<(), String>,
    ) -> Self {
        Self { name, about, run }
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let Some((name, rest)) = args.split_first() else {
        eprint!("{}", usage());
        return ExitCode::from(2);
    };
    if matches!(name.as_str(), "help" | "-h" | "--help") {
        print!("{}", usage());
        return ExitCode::SUCCESS;
    }
    let Some(subcommand) = SUBCOMMANDS.iter().find(|known| known.name == name) else {
        eprint!("xtask: no subcommand {name:?}\n{}", usage());
        return ExitCode::from(2);
    };
    match workspace_root().and_then(|root| (subcommand.run)(&root, rest)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {name}: {message}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> String {
    let mut text = String::from("usage: cargo xtask SUBCOMMAND\n");
    for subcommand in SUBCOMMANDS {
        text += &format!("  {:<8}{}\n", subcommand.name, subcommand.about);
    }
    text
}

/// The folder above this package. Cargo names the package when it runs us, which still holds when
/// one target folder serves several checkouts; a path fixed at compile time would not.
fn workspace_root() -> Result<PathBuf, String> {
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .ok_or("run it as `cargo xtask`: CARGO_MANIFEST_DIR is not set")?;
    let root = package
        .parent()
        .ok_or("the package has no folder above it")?;
    Ok(root.to_path_buf())
}
