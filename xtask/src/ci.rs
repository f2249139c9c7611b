//! `cargo xtask ci`: every check in order, the same at home and on the build machines.
//!
//! The two last steps are the commands of the README, read out of it: what a newcomer types first
//! is what is checked, and the two cannot drift apart.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::tidy;

/// No step takes so long on two cores: one that does hangs, and what hangs is then told.
const STEP_MAX: Duration = Duration::from_secs(40 * 60);
/// Between two looks whether a step has ended.
const LOOK: Duration = Duration::from_millis(100);

/// What a step runs.
enum Work {
    /// A program with its arguments, and variables added to its environment.
    Command {
        words: Vec<String>,
        environment: &'static [(&'static str, &'static str)],
    },
    Tidy,
    /// Nothing, and why.
    Skip(&'static str),
}

struct Step {
    name: &'static str,
    work: Work,
}

/// Runs every step up to the first failure, and prints what each one took.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), String> {
    if !args.is_empty() {
        return Err("takes no arguments".into());
    }
    let readme = fs::read_to_string(root.join("README.md"))
        .map_err(|error| format!("cannot read README.md: {error}"))?;
    let steps = steps(&readme, has_cargo_deny())?;
    let begin = Instant::now();
    let mut skipped = 0;
    for (i, step) in steps.iter().enumerate() {
        println!(
            "ci: {}/{} {}: {}",
            i + 1,
            steps.len(),
            step.name,
            step.work.describe()
        );
        if matches!(step.work, Work::Skip(_)) {
            skipped += 1;
            continue;
        }
        let begin = Instant::now();
        let result = step.work.run(root, STEP_MAX);
        let took = seconds(begin.elapsed());
        match result {
            Ok(()) => println!(
                "ci: {}/{} {}: done in {took}",
                i + 1,
                steps.len(),
                step.name
            ),
            Err(why) => return Err(format!("{} failed after {took}: {why}", step.name)),
        }
    }
    let (done, took) = (steps.len() - skipped, seconds(begin.elapsed()));
    println!("ci: {done} steps done and {skipped} skipped in {took}");
    Ok(())
}

fn steps(readme: &str, has_deny: bool) -> Result<Vec<Step>, String> {
    let cargo = |line: &str| command(line, &[]);
    let deny = if has_deny {
        cargo("cargo deny check")
    } else {
        Work::Skip("skipped, as cargo-deny is not installed: `cargo deny --version` fails")
    };
    // By name: `rivals` of strait-bench, other libraries to compare with, would take a minute.
    let features = "--features strait/net,strait/tls,strait-sys/test-kit";
    let test = readme_command(readme, "cargo test")?;
    let main = readme_command(readme, "cargo run")?;
    Ok(vec![
        Step {
            name: "fmt",
            work: cargo("cargo fmt --all --check"),
        },
        Step {
            name: "clippy",
            work: cargo(&format!(
                "cargo clippy --workspace --all-targets {features} -- -D warnings"
            )),
        },
        Step {
            name: "tidy",
            work: Work::Tidy,
        },
        Step {
            name: "deny",
            work: deny,
        },
        Step {
            name: "doc",
            work: command(
                &format!("cargo doc --workspace --no-deps {features}"),
                &[("RUSTDOCFLAGS", "-D warnings")],
            ),
        },
        Step {
            name: "test",
            work: cargo(test),
        },
        Step {
            name: "main",
            work: cargo(&format!("{main} --quick")),
        },
    ])
}

fn command(line: &str, environment: &'static [(&'static str, &'static str)]) -> Work {
    Work::Command {
        words: line.split_whitespace().map(str::to_owned).collect(),
        environment,
    }
}

/// The one command in the README's fenced blocks that begins with `start`, without its comment.
fn readme_command<'a>(readme: &'a str, start: &str) -> Result<&'a str, String> {
    let mut in_fence = false;
    let mut found: Vec<&str> = Vec::new();
    for line in readme.lines().map(str::trim) {
        if line.starts_with("```") {
            in_fence = !in_fence;
        } else if in_fence {
            let line = line.strip_prefix("$ ").unwrap_or(line);
            let line = line.split(" #").next().unwrap_or(line).trim();
            if line.starts_with(start) && !found.contains(&line) {
                found.push(line);
            }
        }
    }
    match found[..] {
        [only] => Ok(only),
        [] => Err(format!(
            "README.md names no `{start}` command in a fenced block"
        )),
        _ => Err(format!(
            "README.md names more than one `{start}` command: {}",
            found.join(", ")
        )),
    }
}

fn has_cargo_deny() -> bool {
    let mut probe = Command::new("cargo");
    probe.args(["deny", "--version"]).stdin(Stdio::null());
    probe.stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

impl Work {
    fn describe(&self) -> String {
        match self {
            Self::Command { words, environment } => {
                let variables = environment
                    .iter()
                    .map(|(name, value)| format!("{name}={value:?} "));
                variables.collect::<String>() + &words.join(" ")
            }
            Self::Tidy => "cargo xtask tidy".into(),
            Self::Skip(why) => (*why).into(),
        }
    }

    fn run(&self, root: &Path, max: Duration) -> Result<(), String> {
        match self {
            Self::Command { words, environment } => {
                let (program, args) = words.split_first().ok_or("an empty command")?;
                let mut command = Command::new(program);
                command
                    .args(args)
                    .envs(environment.iter().copied())
                    // What went well takes no lines: those about a failure are to be found.
                    .env("CARGO_TERM_QUIET", "true")
                    .current_dir(root);
                let child = command
                    .spawn()
                    .map_err(|error| format!("{program}: {error}"))?;
                let status = end_of(child, max).map_err(|why| format!("{program}: {why}"))?;
                if status.success() {
                    Ok(())
                } else {
                    Err(status.to_string())
                }
            }
            Self::Tidy => tidy::run(root, &[]),
            Self::Skip(_) => Ok(()),
        }
    }
}

/// Waits for a step's program; after `max` tells what it runs, and kills all of it.
fn end_of(mut child: Child, max: Duration) -> Result<ExitStatus, String> {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Ok(status);
        }
        if begin.elapsed() >= max {
            break;
        }
        // sleep: between two looks at a program whose end nothing else tells with a limit.
        thread::sleep(LOOK);
    }
    let (ids, told) = tree_of(child.id());
    // Of the shell's own: there may be no such program.
    let ids: Vec<_> = ids.iter().map(u32::to_string).collect();
    let kill = format!("kill -KILL {}", ids.join(" "));
    let _ = Command::new("sh").args(["-c", &kill]).status();
    let _ = child.wait();
    let after = seconds(begin.elapsed());
    Err(format!("killed after {after}; still running were:{told}"))
}

/// A process and those that descend from it, and a line about each.
fn tree_of(root: u32) -> (Vec<u32>, String) {
    let of_proc = |id: u32, what| fs::read_to_string(format!("/proc/{id}/{what}"));
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // "ID (NAME) STATE PARENT …": NAME may have anything in it.
    let parents: Vec<(u32, String, u32)> = ids
        .filter_map(|id| {
            let stat = of_proc(id, "stat").ok()?;
            let mut words = stat.rsplit_once(") ")?.1.split(' ');
            Some((id, words.next()?.into(), words.next()?.parse().ok()?))
        })
        .collect();
    let (mut tree, mut told) = (vec![root], String::new());
    let mut at = 0;
    while let Some(parent) = tree.get(at).copied() {
        for (id, state, _) in parents.iter().filter(|process| process.2 == parent) {
            let what = of_proc(*id, "cmdline").unwrap_or_default();
            let sleeps = of_proc(*id, "wchan").unwrap_or_default();
            told += &format!("\n  {id} {state} {sleeps} {}", what.replace('\0', " "));
            tree.push(*id);
        }
        at += 1;
    }
    (tree, told)
}

#[cfg(test)]
mod tests {
    use super::{STEP_MAX, Work, readme_command, steps};

    const README: &str = "Try `cargo run -- other`.\n\n\
        ```sh\n$ cargo run --release -- survey  # 3 min\ncargo test --workspace\n```\n\n\
        ```sh\ncargo test --workspace\n```\n";

    fn words(work: &Work) -> String {
        match work {
            Work::Command { words, .. } => words.join(" "),
            Work::Tidy | Work::Skip(_) => String::new(),
        }
    }

    #[test]
    fn commands_come_from_fenced_blocks() {
        assert_eq!(
            readme_command(README, "cargo test"),
            Ok("cargo test --workspace")
        );
        assert_eq!(
            readme_command(README, "cargo run"),
            Ok("cargo run --release -- survey")
        );
    }

    #[test]
    fn a_missing_or_ambiguous_command_is_an_error() {
        assert!(readme_command("cargo test", "cargo test").is_err());
        let two = "```sh\ncargo test\ncargo test --workspace\n```\n";
        assert!(readme_command(two, "cargo test").is_err());
    }

    #[test]
    fn steps_end_with_the_commands_of_the_readme() {
        let steps = steps(README, false).unwrap();
        let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
        assert_eq!(
            names,
            ["fmt", "clippy", "tidy", "deny", "doc", "test", "main"]
        );
        assert!(matches!(steps[3].work, Work::Skip(_)));
        assert_eq!(words(&steps[5].work), "cargo test --workspace");
        assert_eq!(
            words(&steps[6].work),
            "cargo run --release -- survey --quick"
        );
    }

    #[test]
    fn deny_runs_where_it_is_installed() {
        let steps = steps(README, true).unwrap();
        assert_eq!(words(&steps[3].work), "cargo deny check");
    }

    #[test]
    fn our_own_readme_names_the_two_commands() {
        let package = std::path::PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
        let readme = std::fs::read_to_string(package.join("../README.md")).unwrap();
        assert_eq!(
            readme_command(&readme, "cargo test"),
            Ok("cargo test --workspace")
        );
        assert_eq!(
            readme_command(&readme, "cargo run"),
            Ok("cargo run --release -- survey")
        );
    }

    #[test]
    fn a_failing_command_says_its_status() {
        let work = super::command("false", &[]);
        let why = work.run(std::path::Path::new("/"), STEP_MAX).unwrap_err();
        assert!(why.contains('1'), "{why}");
    }

    #[test]
    fn a_command_that_hangs_is_killed_and_tells_what_ran() {
        let max = std::time::Duration::from_millis(300);
        let words = ["sh", "-c", "sleep 8888; true"].map(str::to_owned);
        let environment = &[];
        let work = Work::Command {
            words: words.into(),
            environment,
        };
        let why = work.run(std::path::Path::new("/"), max).unwrap_err();
        assert!(why.contains("sleep 8888"), "{why}");
        let is_left = || {
            std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
                let line = std::fs::read(entry.path().join("cmdline"));
                line.is_ok_and(|line| line == b"sleep\08888\0")
            })
        };
        let begin = std::time::Instant::now();
        while is_left() {
            assert!(begin.elapsed().as_secs() < 30, "it was not killed");
        }
    }
}
