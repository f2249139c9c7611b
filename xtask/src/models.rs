//! `cargo xtask models`: the long forms of the models of the atomic protocols.
//!
//! The short forms are part of `cargo test --workspace`. The long ones follow more participants for
//! longer, and take about ten minutes and up to 6 GiB on two cores. What follows `models` selects
//! tests by parts of their names: `cargo xtask models commit::tests::sleep`.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Where the models are, and the properties that are tried longer too.
const TESTS: &[&str] = &[
    "commit::tests",
    "life::tests",
    "word::tests",
    "channel::tests",
];

/// Runs the models in their long form, and prints what each explored.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), String> {
    let chosen: Vec<&str> = match args {
        [] => TESTS.to_vec(),
        args => args.iter().map(String::as_str).collect(),
    };
    let begin = Instant::now();
    let mut command = Command::new("cargo");
    command
        .args(["test", "--release", "--package", "strait", "--lib", "--"])
        .args(chosen)
        // Two at a time: each may hold some GiB of states.
        .args(["--nocapture", "--test-threads=2"])
        .env("STRAIT_MODELS", "long")
        .current_dir(root);
    let status = command
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if !status.success() {
        return Err(status.to_string());
    }
    println!("models: done in {:.0} s", begin.elapsed().as_secs_f64());
    Ok(())
}
