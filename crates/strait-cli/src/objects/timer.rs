//! `strait timer`: ready at a time, once or again and again.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use strait::Kind;
use strait::nt::Timer;

use super::{Born, Named, Names, Query, Resets, Waited};
use crate::context::Context;
use crate::failure::Failure;
use crate::value;

/// The verbs of timers.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Create(Create),
    /// Show when it is due and which processes have it open
    Query(Query),
    Set(Set),
    /// Stop it; if it has expired it stays so
    Cancel(Named),
    /// Wait until it expires
    #[command(
        after_help = "Exit status: 0 when it expired, 124 when time ran out, 125 on an error."
    )]
    Wait(Waited),
    /// Remove it; the name goes when no process has it open
    Rm(Names),
}

/// Make a timer, which stays until it is removed; it does not run until it is set
#[derive(Args, Debug)]
#[command(
    mut_arg("manual", |it| it.help("Once expired it stays so for everybody, until set again")),
    mut_arg("auto", |it| it.help("Each expiry lets one waiter go on (the default)")),
    after_help = "Example: strait timer create tick"
)]
pub(crate) struct Create {
    /// Its name; `Global\` for the whole machine
    name: String,
    #[command(flatten)]
    resets: Resets,
    #[command(flatten)]
    born: Born,
}

/// Set it to expire after a time; no process needs to wait for that
#[derive(Args, Debug)]
#[command(after_help = "Example: strait timer set tick 5s --period 1s")]
pub(crate) struct Set {
    /// Its name
    name: String,
    /// How long from now, such as 250ms, 5s or 1m30s
    #[arg(value_name = "TIME", value_parser = value::duration, allow_hyphen_values = true)]
    delay: Duration,
    /// Then again each time this has passed: a microsecond or longer
    #[arg(long, value_name = "TIME", value_parser = value::duration, allow_hyphen_values = true)]
    period: Option<Duration>,
}

impl Verb {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        match self {
            Self::Create(create) => {
                let options = Timer::options().reset(create.resets.reset());
                super::create(context, options, &create.name, &create.born)
            }
            Self::Query(query) => super::query(context, Kind::Timer, &query),
            Self::Set(set) => on(context, &set.name, |timer| match set.period {
                Some(period) => timer.set_periodic(set.delay, period),
                None => timer.set(set.delay),
            }),
            Self::Cancel(named) => on(context, &named.name, Timer::cancel),
            Self::Wait(waited) => {
                let name = &waited.name;
                let timer =
                    super::open(context, Timer::options(), name).map_err(Failure::into_error)?;
                let taken = super::take(context, Kind::Timer, name, (&timer, waited.limit))?;
                Ok(super::status(taken))
            }
            Self::Rm(names) => super::rm(context, Timer::options, &names),
        }
    }
}

fn on(
    context: &Context,
    name: &str,
    act: impl FnOnce(&Timer) -> strait::Result<()>,
) -> Result<ExitCode, Failure> {
    let timer = super::open(context, Timer::options(), name)?;
    act(&timer).map_err(|error| context.explain(Kind::Timer, name, error))?;
    Ok(ExitCode::SUCCESS)
}
