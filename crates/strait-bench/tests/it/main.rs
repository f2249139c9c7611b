//! Surveys by real processes, of mechanisms that work and of some that do not.
//!
//! This binary has its own harness, as it plays three parts: the tests, the program that they run
//! (`as-command` first among its arguments), and both sides of the pairs which that starts.

#![expect(
    clippy::unwrap_used,
    reason = "all of it is a test, which clippy sees by `#[test]` only"
)]

mod failing;
mod saboteur;
mod surveys;

use std::panic::catch_unwind;
use std::process::{Command, ExitCode, Output};

use strait_bench::{Entry, command, peer_main, raw};

/// Every mechanism known here.
const TABLE: &[&[Entry]] = &[raw::TABLE, saboteur::TABLE];

const AS_COMMAND: &str = "as-command";

type Test = (&'static str, fn());

fn main() -> ExitCode {
    if let Some(end) = peer_main(TABLE) {
        return end;
    }
    if std::env::args().nth(1).as_deref() == Some(AS_COMMAND) {
        return command::run(TABLE, std::env::args_os().skip(2));
    }
    let all = [surveys::TESTS, failing::TESTS].concat();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        all.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = arguments
        .iter()
        .filter(|one| !one.starts_with('-'))
        .collect();
    let picked = |(name, _): &&Test| {
        filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()))
    };
    let mut failed = 0;
    for (name, test) in all.iter().filter(picked) {
        let ended = catch_unwind(test);
        println!(
            "test {name} ... {}",
            if ended.is_ok() { "ok" } else { "FAILED" }
        );
        failed += u32::from(ended.is_err());
    }
    println!("\ntest result: {failed} failed");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// `strait-bench` with these arguments and the mechanisms of this binary.
fn strait_bench(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(AS_COMMAND).args(arguments);
    command
}

/// Runs it, and returns its status, what it said and what it complained of.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = strait_bench(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}
