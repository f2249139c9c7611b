//! `strait semaphore`: a count of units to take and give back.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use strait::nt::Semaphore;
use strait::{ErrorKind, Kind};

use super::{Born, Limit, Names, Query};
use crate::child::{self, Hold};
use crate::context::Context;
use crate::failure::{Failure, TIMED_OUT};
use crate::value;

/// The verbs of semaphores.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Create(Create),
    /// Show its count and which processes have it open
    Query(Query),
    #[command(visible_alias = "wait")]
    Acquire(Acquire),
    Release(Release),
    /// Remove it; the name goes when no process has it open
    Rm(Names),
}

/// Make a semaphore, which stays until it is removed
#[derive(Args, Debug)]
#[command(after_help = "Example: strait semaphore create slots --initial 3 --limit 8")]
pub(crate) struct Create {
    /// Its name; `Global\` for the whole machine
    name: String,
    /// Units at the beginning
    #[arg(long, value_name = "UNITS", default_value = "0")]
    #[arg(value_parser = value::units, allow_negative_numbers = true)]
    initial: u32,
    /// The most units there can be: 1 to 2147483647
    #[arg(long, value_name = "UNITS", value_parser = value::units, allow_negative_numbers = true)]
    limit: u32,
    #[command(flatten)]
    born: Born,
}

/// Take a unit
///
/// With a command the unit is held while that runs, and then given back. Signals sent to this
/// program are passed on to the command. If this program is killed by SIGKILL the unit is lost, as
/// on NT: give it back with `release`, or use a mutant.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit status: 0 when a unit was taken, or the command's; 124 when time ran out, \
                  125 on an error, 126 if the command cannot be run, 127 if it does not exist.\n\
                  Example: strait semaphore acquire slots -- make test"
)]
pub(crate) struct Acquire {
    /// Its name
    name: String,
    #[command(flatten)]
    limit: Limit,
    /// What to run while the unit is held
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Give units back, or add them, up to the limit
#[derive(Args, Debug)]
pub(crate) struct Release {
    /// Its name
    name: String,
    /// How many
    #[arg(default_value = "1", value_parser = value::units, allow_negative_numbers = true)]
    units: u32,
}

impl Verb {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        match self {
            Self::Create(create) => {
                let options = Semaphore::options(create.initial, create.limit);
                super::create(context, options, &create.name, &create.born)
            }
            Self::Query(query) => super::query(context, Kind::Semaphore, &query),
            Self::Acquire(acquire) => acquire.run(context).map_err(Failure::into_error),
            Self::Release(release) => {
                let semaphore = open(context, &release.name)?;
                give(context, &semaphore, &release.name, release.units)?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Rm(names) => super::rm(context, || Semaphore::options(0, 1), &names),
        }
    }
}

impl Acquire {
    fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let semaphore = open(context, &self.name)?;
        if self.command.is_empty() {
            let what = (&semaphore as &dyn strait::wait::Waitable, self.limit);
            let taken = super::take(context, Kind::Semaphore, &self.name, what)?;
            return Ok(super::status(taken));
        }
        let mut command = child::command(&self.command)?;
        let mut hold = Hold::begin();
        let explain = |error| {
            context
                .explain(Kind::Semaphore, &self.name, error)
                .into_error()
        };
        let won = hold.win_any(&[&semaphore], self.limit.timeout, explain)?;
        if won.is_none() {
            return Ok(TIMED_OUT.into());
        }
        let status = hold.run(&mut command);
        give(context, &semaphore, &self.name, 1)?;
        status
    }
}

fn open(context: &Context, name: &str) -> Result<Semaphore, Failure> {
    super::open(context, Semaphore::options(0, 1), name)
}

fn give(context: &Context, semaphore: &Semaphore, name: &str, units: u32) -> Result<(), Failure> {
    let Err(error) = semaphore.release(units) else {
        return Ok(());
    };
    match semaphore.query() {
        Ok(now) if error.kind() == ErrorKind::LimitExceeded => Err(Failure::new(format!(
            "{units} more would pass the limit of {}: it is {} of {}, and was not changed",
            error.subject(),
            now.count,
            now.limit
        ))),
        _ => Err(context.explain(Kind::Semaphore, name, error)),
    }
}
