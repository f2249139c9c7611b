//! `cargo xtask fuzz [--seconds N] [--target NAME] [--keep yes]`: bytes that break a reader, led by
//! coverage.
//!
//! Every target of `crates/strait-fuzz`, or one, runs in libFuzzer for a while, from its checked-in
//! corpus and from what earlier runs have added to `target/fuzz/corpus`. The coverage comes from
//! LLVM passes that stable Rust offers too, so neither cargo-fuzz nor a nightly toolchain is
//! needed; libFuzzer itself is C++. What breaks a target is left in `fuzz/artifacts/NAME`. With
//! `--keep yes` the inputs that reach something new are copied to the checked-in corpus.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Of each target.
const SECONDS: u64 = 60;
/// A run of a target that takes longer hangs, in seconds.
const HANG_S: u64 = 20;
/// A target that takes more memory leaks, in MiB.
const MEMORY_MIB: u64 = 1024;
/// The longest input, in bytes; `strait-fuzz` refuses longer ones in the corpus.
const LEN_MAX: u64 = 4096;

/// As cargo-fuzz has it, without a sanitizer: counters, their places, and what is compared.
const FLAGS: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    --cfg fuzzing";

/// What the command line asks for.
#[derive(Debug, Eq, PartialEq)]
struct Order {
    seconds: u64,
    target: Option<String>,
    keep: bool,
}

impl Order {
    fn of(args: &[String]) -> Result<Self, String> {
        let mut order = Self {
            seconds: SECONDS,
            target: None,
            keep: false,
        };
        for pair in args.chunks(2) {
            let [name, value] = pair else {
                return Err(format!("{} needs a value", pair[0]));
            };
            match (name.as_str(), value.as_str()) {
                ("--seconds", seconds) => {
                    let seconds = seconds.parse().ok().filter(|seconds| *seconds > 0);
                    // To libFuzzer 0 is for ever.
                    order.seconds = seconds.ok_or("--seconds takes a whole number from 1")?;
                }
                ("--target", target) => order.target = Some(target.to_owned()),
                ("--keep", "yes") => order.keep = true,
                _ => {
                    return Err(format!(
                        "{name} {value}: only --seconds N, --target NAME and --keep yes are known"
                    ));
                }
            }
        }
        Ok(order)
    }

    /// Those of the targets that are meant.
    fn targets(&self, all: Vec<String>) -> Result<Vec<String>, String> {
        match &self.target {
            None => Ok(all),
            Some(name) if all.contains(name) => Ok(vec![name.clone()]),
            Some(name) => Err(format!("no target `{name}`: {}", all.join(", "))),
        }
    }
}

/// Runs each target, also after one that broke.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), String> {
    let order = Order::of(args)?;
    let targets = order.targets(targets(root)?)?;
    let program = build(root)?;
    let mut broken = Vec::new();
    for name in &targets {
        println!("fuzz: {name}: {} s", order.seconds);
        let corpus = Corpus::of(root, name)?;
        if !corpus.fuzz(&program, &order)? {
            broken.push(name.as_str());
        } else if order.keep {
            corpus.keep(&program)?;
        }
    }
    match broken[..] {
        [] => Ok(()),
        _ => Err(format!(
            "broken: {} (the inputs are in fuzz/artifacts; one is run again by \
             STRAIT_FUZZ_TARGET=NAME {} INPUT)",
            broken.join(", "),
            program.display()
        )),
    }
}

/// A target has a folder in the corpus; a test holds `strait-fuzz` to that.
fn targets(root: &Path) -> Result<Vec<String>, String> {
    let corpus = root.join("fuzz/corpus");
    let fail = |error| format!("{}: {error}", corpus.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&corpus).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name();
        names.extend(name.into_string());
    }
    names.sort();
    Ok(names)
}

/// Builds the engine with the targets in it; its path.
fn build(root: &Path) -> Result<PathBuf, String> {
    if !answers("c++", "--version") {
        return Err("libFuzzer is built by a C++ compiler, and there is no `c++` (g++)".into());
    }
    let host = host()?;
    let target_dir = root.join("target/fuzz");
    // The host is named so that the flags are for the targets alone, not for build scripts.
    let status = Command::new("cargo")
        .args(["build", "--release", "--manifest-path", "fuzz/Cargo.toml"])
        .args(["--target", &host, "--target-dir"])
        .arg(&target_dir)
        .env("RUSTFLAGS", FLAGS)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .current_dir(root)
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if !status.success() {
        return Err(format!("the build failed: {status}"));
    }
    Ok(target_dir.join(host).join("release/fuzz"))
}

fn answers(program: &str, argument: &str) -> bool {
    let mut probe = Command::new(program);
    probe.arg(argument).stdin(Stdio::null());
    probe.stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

/// The triple that rustc builds for by itself.
fn host() -> Result<String, String> {
    let said = Command::new("rustc").arg("-vV").output();
    let said = said.map_err(|error| format!("rustc: {error}"))?.stdout;
    let said = String::from_utf8_lossy(&said);
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| "rustc -vV names no host".into())
}

/// The inputs of one target.
struct Corpus<'a> {
    name: &'a str,
    /// Checked in.
    kept: PathBuf,
    /// Added to by each run.
    grown: PathBuf,
    /// Where inputs are left that break it.
    artifacts: PathBuf,
}

impl<'a> Corpus<'a> {
    fn of(root: &Path, name: &'a str) -> Result<Self, String> {
        let corpus = Self {
            name,
            kept: root.join("fuzz/corpus").join(name),
            grown: root.join("target/fuzz/corpus").join(name),
            artifacts: root.join("fuzz/artifacts").join(name),
        };
        for folder in [&corpus.grown, &corpus.artifacts] {
            fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        Ok(corpus)
    }

    /// False: an input broke it.
    fn fuzz(&self, program: &Path, order: &Order) -> Result<bool, String> {
        let mut engine = self.engine(program);
        engine
            .arg(format!("-max_total_time={}", order.seconds))
            .arg("-print_final_stats=1")
            .args([&self.grown, &self.kept]);
        let status = engine.status().map_err(|error| format!("fuzz: {error}"))?;
        Ok(status.success())
    }

    /// Copies what reaches something that the checked-in corpus does not.
    fn keep(&self, program: &Path) -> Result<(), String> {
        let mut engine = self.engine(program);
        // How often something is reached does not count: the corpus is to stay small.
        engine.args(["-set_cover_merge=1", "-use_counters=0"]);
        engine.args([&self.kept, &self.grown]);
        let status = engine.status().map_err(|error| format!("fuzz: {error}"))?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("{}: keeping failed: {status}", self.name)),
        }
    }

    fn engine(&self, program: &Path) -> Command {
        let mut engine = Command::new(program);
        engine
            .env("STRAIT_FUZZ_TARGET", self.name)
            .arg(format!("-timeout={HANG_S}"))
            .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
            .arg(format!("-max_len={LEN_MAX}"))
            .arg(format!("-artifact_prefix={}/", self.artifacts.display()));
        engine
    }
}

#[cfg(test)]
mod tests {
    use super::Order;

    fn order(words: &[&str]) -> Result<Order, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Order::of(&words)
    }

    #[test]
    fn time_and_target_are_taken_and_nothing_else() {
        let given = order(&["--target", "b", "--seconds", "5"]).unwrap();
        assert_eq!(given.seconds, 5);
        let all = || vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(given.targets(all()).unwrap(), ["b"]);
        assert_eq!(order(&[]).unwrap().targets(all()).unwrap(), all());
        let why = order(&["--target", "c"]).unwrap().targets(all());
        assert!(why.unwrap_err().contains("a, b"));
        for wrong in [
            &["--seconds"][..],
            &["--seconds", "0"],
            &["--seconds", "x"],
            &["--keep", "no"],
            &["--what", "1"],
        ] {
            assert!(order(wrong).is_err(), "{wrong:?}");
        }
    }
}
