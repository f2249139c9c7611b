//! `strait doctor`: what this machine offers, what is wrong with it, and how to mend it.

mod limits;
mod names;

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use serde_json::json;
use strait::{ErrorKind, Namespace, wait};

use crate::context::Context;
use crate::failure::Failure;

/// Show what Strait found on this machine, and what is wrong with it
///
/// How waits block, where names live and who owns those directories, seats of the commit tables,
/// leftovers, and the limits that matter. Without --fix it changes nothing.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit status: 0 if there is no problem, 1 if there is one. Notes and warnings are \
                  no problems."
)]
pub(crate) struct Arguments {
    /// As root: make or mend the machine's namespace, `Global\`
    #[arg(long)]
    fix: bool,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

/// How bad it is.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// As it should be.
    Fine,
    /// Nothing wrong, and good to know.
    Note,
    /// It works, and may surprise.
    Warning,
    /// Something does not work.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    topic: &'static str,
    level: Level,
    text: String,
    cure: Option<String>,
}

impl Finding {
    fn new(topic: &'static str, level: Level, text: impl Into<String>) -> Self {
        Self {
            topic,
            level,
            text: text.into(),
            cure: None,
        }
    }

    fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }
}

impl Arguments {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        let mut findings = Vec::new();
        if self.fix {
            findings.push(fix());
        }
        findings.push(waits());
        match &context.ns {
            Some(path) => names::directory(path, &mut findings),
            None => names::all(&mut findings),
        }
        limits::all(&mut findings);
        let count = |level| findings.iter().filter(|found| found.level == level).count();
        let (problems, warnings) = (count(Level::Problem), count(Level::Warning));
        if self.json {
            context.out.json(&json!({
                "problems": problems,
                "warnings": warnings,
                "findings": findings,
            }))?;
        } else {
            print(context, &findings)?;
        }
        match problems {
            0 => Ok(ExitCode::SUCCESS),
            _ => Ok(ExitCode::FAILURE),
        }
    }
}

fn print(context: &mut Context, findings: &[Finding]) -> Result<(), Failure> {
    for found in findings {
        let mark = match found.level {
            Level::Fine | Level::Note => "",
            Level::Warning => "warning: ",
            Level::Problem => "WRONG: ",
        };
        context
            .out
            .line(&format!("{:<10} {mark}{}", found.topic, found.text))?;
        if let Some(cure) = &found.cure {
            context.out.line(&format!("{:<10}   -> {cure}", ""))?;
        }
    }
    Ok(())
}

/// Makes or mends the machine's namespace.
fn fix() -> Finding {
    let topic = "fix";
    match Namespace::global() {
        Ok(space) => {
            return Finding::new(topic, Level::Fine, format!("{space} is as it should be"));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(_) => return names::mend_global(),
    }
    match Namespace::make_global() {
        Ok(space) => Finding::new(topic, Level::Fine, format!("made {space}")),
        Err(error) => Finding::new(topic, Level::Problem, Failure::of(error).message)
            .cure("run it as root: `sudo strait doctor --fix`"),
    }
}

fn waits() -> Finding {
    let tiers = wait::tiers();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = match kernel.trim() {
        "" => "kernel unknown: no /proc".to_owned(),
        release => format!("kernel {release}"),
    };
    let best = tiers.objects == "futex_waitv" && tiers.mixed == "io_uring";
    let text = format!(
        "objects by {}, with descriptors by {} ({kernel}; {})",
        tiers.objects, tiers.mixed, tiers.why
    );
    let level = if best { Level::Fine } else { Level::Note };
    Finding::new("waits", level, text)
}
