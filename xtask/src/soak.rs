//! `cargo xtask soak [NAME...]`: the tests that move a little of something, moving very much.
//!
//! A soak is one test of `strait`, run in release with a count in its environment; it prints what
//! it moved and in what time. Without a name all are run.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// One soak.
struct Soak {
    name: &'static str,
    about: &'static str,
    test: &'static str,
    /// What the test finds in `STRAIT_SOAK_COUNT`.
    count: u64,
}

const SOAKS: &[Soak] = &[Soak {
    name: "signals",
    about: "a million real-time signals with values, in order through a queue that is often full",
    test: "unix::signal::a_flood_of_values_passes_in_order_through_a_full_queue",
    count: 1_000_000,
}];

/// The soaks of these names; all without a name.
fn chosen(names: &[String]) -> Result<Vec<&'static Soak>, String> {
    let known = |name: &String| {
        let found = SOAKS.iter().find(|soak| soak.name == name);
        found.ok_or_else(|| {
            let all: Vec<_> = SOAKS.iter().map(|soak| soak.name).collect();
            format!("no soak {name:?}; there are: {}", all.join(", "))
        })
    };
    match names {
        [] => Ok(SOAKS.iter().collect()),
        names => names.iter().map(known).collect(),
    }
}

/// Runs every one, also after one that failed.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), String> {
    let mut failed = Vec::new();
    for soak in chosen(args)? {
        println!("soak: {}: {}", soak.name, soak.about);
        let begin = Instant::now();
        let status = Command::new("cargo")
            .args(["test", "--quiet", "--release", "--package", "strait"])
            .args(["--test", "it", "--", "--exact", soak.test, "--nocapture"])
            .env("STRAIT_SOAK_COUNT", soak.count.to_string())
            .current_dir(root)
            .status()
            .map_err(|error| format!("cargo: {error}"))?;
        let took = begin.elapsed().as_secs_f64();
        let how = if status.success() { "passed" } else { "FAILED" };
        println!("soak: {}: {how} in {took:.1} s", soak.name);
        if !status.success() {
            failed.push(soak.name);
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("failed: {}", failed.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::{SOAKS, chosen};

    #[test]
    fn soaks_are_chosen_by_name() {
        assert_eq!(chosen(&[]).unwrap().len(), SOAKS.len());
        assert_eq!(chosen(&["signals".into()]).unwrap()[0].name, "signals");
        assert!(chosen(&["nosuch".into()]).is_err());
    }
}
