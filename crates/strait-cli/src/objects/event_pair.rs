//! `strait eventpair`: two processes that take turns.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use strait::Kind;
use strait::nt::EventPair;

use super::{Born, Limit, Names, Query, Side};
use crate::context::Context;
use crate::failure::{Failure, TIMED_OUT};

/// The verbs of event pairs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Create(Create),
    /// Show its state and which processes have it open
    Query(Query),
    /// Set one of its two events
    Set(Half),
    /// Wait until one of its two events is set, and reset it
    #[command(
        after_help = "Exit status: 0 when it is set, 124 when time ran out, 125 on an error."
    )]
    Wait(WaitedHalf),
    /// Set one of its two events, then wait for the other and reset that
    #[command(
        after_help = "Exit status: 0 when it is set, 124 when time ran out, 125 on an error.\n\
                      Example: strait eventpair set-wait turns low --timeout 5s"
    )]
    SetWait(WaitedHalf),
    /// Remove it; the name goes when no process has it open
    Rm(Names),
}

/// Make an event pair, which stays until it is removed
#[derive(Args, Debug)]
#[command(after_help = "Example: strait eventpair create turns")]
pub(crate) struct Create {
    /// Its name; `Global\` for the whole machine
    name: String,
    #[command(flatten)]
    born: Born,
}

/// A half.
#[derive(Args, Debug)]
pub(crate) struct Half {
    /// Its name
    name: String,
    /// Which of its events; of set-wait, the one to set
    side: Side,
}

/// A half, and how long to wait.
#[derive(Args, Debug)]
pub(crate) struct WaitedHalf {
    #[command(flatten)]
    half: Half,
    #[command(flatten)]
    limit: Limit,
}

impl Verb {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        match self {
            Self::Create(create) => {
                super::create(context, EventPair::options(), &create.name, &create.born)
            }
            Self::Query(query) => super::query(context, Kind::EventPair, &query),
            Self::Set(half) => {
                let pair = super::open(context, EventPair::options(), &half.name)?;
                let done = match half.side {
                    Side::Low => pair.set_low(),
                    Side::High => pair.set_high(),
                };
                done.map_err(|error| context.explain(Kind::EventPair, &half.name, error))?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Wait(waited) => wait_half(context, &waited).map_err(Failure::into_error),
            Self::SetWait(waited) => set_wait(context, &waited).map_err(Failure::into_error),
            Self::Rm(names) => super::rm(context, EventPair::options, &names),
        }
    }
}

fn wait_half(context: &Context, waited: &WaitedHalf) -> Result<ExitCode, Failure> {
    let name = &waited.half.name;
    let pair = super::open(context, EventPair::options(), name)?;
    let half = match waited.half.side {
        Side::Low => pair.low(),
        Side::High => pair.high(),
    };
    let taken = super::take(context, Kind::EventPair, name, (&half, waited.limit))?;
    Ok(super::status(taken))
}

fn set_wait(context: &Context, waited: &WaitedHalf) -> Result<ExitCode, Failure> {
    let name = &waited.half.name;
    let pair = super::open(context, EventPair::options(), name)?;
    let done = match (waited.half.side, waited.limit.timeout) {
        (Side::Low, None) => pair.set_low_wait_high().map(|()| true),
        (Side::High, None) => pair.set_high_wait_low().map(|()| true),
        (Side::Low, Some(timeout)) => pair.set_low_wait_high_for(timeout),
        (Side::High, Some(timeout)) => pair.set_high_wait_low_for(timeout),
    };
    match done.map_err(|error| context.explain(Kind::EventPair, name, error))? {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(TIMED_OUT.into()),
    }
}
