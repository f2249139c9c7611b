//! `strait run`: a command that is given handles at its creation.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;
use strait::Pass;

use crate::child;
use crate::context::Context;
use crate::failure::Failure;
use crate::member::{self, Member, Written};

/// Run a command that is given handles of objects
///
/// The command takes them with `strait::inherited("NAME")`, and needs neither the object's name nor
/// permission to open it. This program becomes the command.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit status: the command's; 125 on an error, 126 if the command cannot be run, \
                  127 if it does not exist.\n\
                  Example: strait run --pass stop=event:build-done -- ./worker"
)]
pub(crate) struct Arguments {
    /// What to pass, once for each: the name under which the command finds it, and event:NAME,
    /// eventpair:NAME, mutant:NAME, semaphore:NAME, section:NAME or timer:@NAME
    #[arg(long, value_name = "NAME=OBJECT")]
    pass: Vec<String>,
    /// What to run
    #[arg(required = true, last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

impl Arguments {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        let mut command = child::command(&self.command)?;
        for pass in &self.pass {
            let of_it = |why: &str| Failure::new(format!("{pass}: {why}"));
            let (name, object) = pass
                .split_once('=')
                .ok_or_else(|| of_it("write NAME=OBJECT, such as stop=event:build-done"))?;
            let written = member::read(object).map_err(|why| of_it(&why))?;
            if !matches!(written, Written::Object(..)) {
                return Err(of_it("only whole objects with names can be passed"));
            }
            let passed = match context.member(&written)? {
                Member::Event(event) => command.pass(name, &event),
                Member::EventPair(pair) => command.pass(name, &pair),
                Member::Mutant(mutant) => command.pass(name, &mutant),
                Member::Semaphore(semaphore) => command.pass(name, &semaphore),
                Member::Section(section) => command.pass(name, &section),
                Member::Timer(timer) => command.pass(name, &timer),
                _ => return Err(of_it("only whole objects with names can be passed")),
            };
            passed.map_err(|error| of_it(&Failure::reason(&error)))?;
        }
        Err(child::become_it(&mut command))
    }
}
