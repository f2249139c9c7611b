//! `cargo xtask strace`: the paths that make no system call make none, as strace(1) sees it.
//!
//! The role `waits.quiet` of the tests of `strait` goes each path a hundred times between two
//! marks; here the calls between the marks are counted.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// What the tests look at to mark: `/strait-mark/begin/PATH` and `/strait-mark/end/PATH`.
const MARK: &str = "\"/strait-mark/";
/// The path that makes one call each time, which shows that calls are counted.
const CONTROL: &str = "control";
/// Paths that the role goes, at least.
const PATHS_MIN: usize = 10;

/// Calls on one path.
#[derive(Debug, Eq, PartialEq)]
struct Count {
    path: String,
    calls: Vec<String>,
}

/// Runs the role under strace and prints how many calls each path made.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), String> {
    if !args.is_empty() {
        return Err("takes no arguments".into());
    }
    let mut probe = Command::new("strace");
    probe.arg("-V").stdin(Stdio::null()).stdout(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        println!("strace: skipped, as strace is not installed: `strace -V` fails");
        return Ok(());
    }
    let output = std::env::temp_dir().join(format!("strait-strace-{}", std::process::id()));
    let traced = trace(root, &output);
    let text = fs::read_to_string(&output);
    // It is only this run's.
    let _ = fs::remove_file(&output);
    traced?;
    let text = text.map_err(|error| format!("cannot read what strace wrote: {error}"))?;
    judge(&count(&text))
}

fn trace(root: &Path, output: &Path) -> Result<(), String> {
    let output = output
        .to_str()
        .ok_or("the temporary folder has a strange name")?;
    let runner = format!("target.'cfg(unix)'.runner = [\"strace\", \"-f\", \"-o\", \"{output}\"]");
    let mut cargo = Command::new("cargo");
    cargo
        .args([
            "test",
            "--quiet",
            "--release",
            "--package",
            "strait",
            "--test",
            "it",
        ])
        .args(["--config", &runner])
        .args(["--", "--exact", "role", "--nocapture", "--test-threads=1"])
        .env("STRAIT_TEST_ROLE", "waits.quiet")
        .current_dir(root)
        .stdin(Stdio::null());
    match cargo.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the role failed: {status}")),
        Err(error) => Err(format!("cargo: {error}")),
    }
}

/// The calls of the marking thread between the marks of each path.
fn count(text: &str) -> Vec<Count> {
    let mut counts: Vec<Count> = Vec::new();
    let mut open: Option<&str> = None;
    for line in text.lines() {
        let Some((thread, call)) = line.split_once(' ') else {
            continue;
        };
        let call = call.trim_start();
        let mark = call
            .split_once(MARK)
            .and_then(|(_, mark)| mark.split_once('"'));
        match mark.and_then(|(mark, _)| mark.split_once('/')) {
            Some(("begin", path)) => {
                counts.push(Count {
                    path: path.to_owned(),
                    calls: Vec::new(),
                });
                open = Some(thread);
            }
            Some(_) => open = None,
            None if open == Some(thread) => {
                if let Some(count) = counts.last_mut() {
                    count.calls.push(call.to_owned());
                }
            }
            None => {}
        }
    }
    counts
}

fn judge(counts: &[Count]) -> Result<(), String> {
    let mut loud = Vec::new();
    for Count { path, calls } in counts {
        println!("strace: {:>4} calls: {path}", calls.len());
        for call in calls.iter().take(3).filter(|_| !path.starts_with(CONTROL)) {
            println!("strace:       {call}");
        }
        if path.starts_with(CONTROL) == calls.is_empty() {
            loud.push(path.as_str());
        }
    }
    if counts.len() < PATHS_MIN {
        return Err(format!("{} paths, of at least {PATHS_MIN}", counts.len()));
    }
    if loud.is_empty() {
        Ok(())
    } else {
        Err(format!("not as they should be: {}", loud.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::{Count, count, judge};

    const TRACE: &str = "\
7  statx(AT_FDCWD, \"/strait-mark/begin/quiet\", 0) = -1 ENOENT\n\
8  futex(0x1, FUTEX_WAIT) = 0\n\
7  statx(AT_FDCWD, \"/strait-mark/end/quiet\", 0) = -1 ENOENT\n\
7  getppid() = 1\n\
7  statx(AT_FDCWD, \"/strait-mark/begin/loud\", 0) = -1 ENOENT\n\
7  futex(0x1, FUTEX_WAKE) = 0\n\
7  statx(AT_FDCWD, \"/strait-mark/end/loud\", 0) = -1 ENOENT\n";

    #[test]
    fn calls_between_marks_are_counted() {
        let counts = count(TRACE);
        let lens = counts.iter().map(|count| (&*count.path, count.calls.len()));
        assert_eq!(lens.collect::<Vec<_>>(), [("quiet", 0), ("loud", 1)]);
        assert_eq!(counts[1].calls, ["futex(0x1, FUTEX_WAKE) = 0"]);
    }

    fn path(name: &str, calls: usize) -> Count {
        Count {
            path: name.into(),
            calls: vec!["read(0)".into(); calls],
        }
    }

    #[test]
    fn a_loud_path_a_silent_control_and_missing_paths_are_errors() {
        let with = |control, calls| {
            let mut counts: Vec<Count> = (0..10).map(|_| path("quiet", 0)).collect();
            counts.push(path("control", control));
            counts.push(path("last", calls));
            judge(&counts)
        };
        assert_eq!(with(100, 0), Ok(()));
        assert!(with(100, 1).unwrap_err().contains("last"));
        assert!(with(0, 0).unwrap_err().contains("control"));
        assert!(judge(&[path("control", 100)]).is_err());
    }
}
