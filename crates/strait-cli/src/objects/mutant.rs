//! `strait mutant`: what one process at a time may hold.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use strait::Kind;
use strait::nt::Mutant;

use super::{Born, Limit, Names, Options, Query};
use crate::child::{self, Hold};
use crate::context::Context;
use crate::failure::{Failure, TIMED_OUT};

/// The verbs of mutants.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Create(Create),
    /// Show its owner and which processes have it open
    Query(Query),
    Acquire(Acquire),
    /// Remove it; the name goes when no process has it open
    Rm(Names),
}

/// Make a mutant, which stays until it is removed
#[derive(Args, Debug)]
pub(crate) struct Create {
    /// Its name; `Global\` for the whole machine
    name: String,
    /// Own it from the beginning, until the command of `--while` ends
    #[arg(long, visible_alias = "initial", requires = "command")]
    owned: bool,
    #[command(flatten)]
    born: Born,
}

/// Own it while a command runs
///
/// The command waits its turn, and finds STRAIT_ABANDONED=1 in its environment if the last owner
/// died owning the mutant. A mutant that does not exist is made, and goes with its last user.
/// Signals sent to this program are passed on to the command, and the mutant is released when that
/// ends. Only SIGKILL ends this program first: then the mutant counts as abandoned, though the
/// command may run on.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit status: the command's (128 and the number if a signal killed it), 124 when \
                  time ran out, 125 on an error, 126 if the command cannot be run, 127 if it does \
                  not exist.\nExample: strait mutant acquire deploy -- ./deploy.sh"
)]
pub(crate) struct Acquire {
    /// Its name
    name: String,
    #[command(flatten)]
    limit: Limit,
    /// The command, with its arguments
    #[arg(required = true, last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

impl Verb {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        match self {
            Self::Create(create) => {
                let mut options = Mutant::options();
                if create.owned {
                    options = options.owned();
                }
                super::create(context, options, &create.name, &create.born)
            }
            Self::Query(query) => super::query(context, Kind::Mutant, &query),
            Self::Acquire(acquire) => acquire.run(context).map_err(Failure::into_error),
            Self::Rm(names) => super::rm(context, Mutant::options, &names),
        }
    }
}

impl Acquire {
    fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let explain = |error| context.explain(Kind::Mutant, &self.name, error);
        let options = Mutant::options().place(&context.space()?, &self.name);
        let (mutant, _) = options.create_or_open().map_err(explain)?;
        let mut command = child::command(&self.command)?;
        let mut hold = Hold::begin();
        let Some(won) = hold.win_any(&[&mutant], self.limit.timeout, explain)? else {
            return Ok(TIMED_OUT.into());
        };
        if won.abandoned {
            context.note(&super::abandoned(&self.name));
            command.env("STRAIT_ABANDONED", "1");
        }
        let status = hold.run(&mut command);
        mutant.release().map_err(explain)?;
        status
    }
}
