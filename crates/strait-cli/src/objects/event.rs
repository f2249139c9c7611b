//! `strait event`: a flag that processes wait for.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use strait::nt::Event;
use strait::{ErrorKind, Kind};

use super::{Born, Named, Names, Options, Query, Resets, Waited};
use crate::context::Context;
use crate::failure::Failure;

/// The verbs of events.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Create(Create),
    /// Show its state and which processes have it open
    Query(Query),
    /// Set it: one waiter of an auto-reset event goes on, all of a manual-reset one
    Set(Named),
    /// Reset it
    Reset(Named),
    /// Let those go on who wait at this moment, and leave it reset
    Pulse(Named),
    /// Wait until it is set; an auto-reset one is then reset
    #[command(
        after_help = "Exit status: 0 when it is set, 124 when time ran out, 125 on an error."
    )]
    Wait(Waited),
    /// Remove it; the name goes when no process has it open
    Rm(Names),
}

/// Make an event, which stays until it is removed
#[derive(Args, Debug)]
#[command(after_help = "Example: strait event create build-done --manual")]
pub(crate) struct Create {
    /// Its name; `Global\` for the whole machine
    name: String,
    #[command(flatten)]
    resets: Resets,
    /// Set from the beginning
    #[arg(long, visible_alias = "initial")]
    set: bool,
    /// Let those wait for it, too, who may only read it; setting it then always costs a system call
    #[arg(long, requires = "manual")]
    look_waits: bool,
    #[command(flatten)]
    born: Born,
}

impl Verb {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        match self {
            Self::Create(create) => {
                let mut options = Event::options().reset(create.resets.reset());
                if create.set {
                    options = options.set();
                }
                if create.look_waits {
                    options = options.look_waits();
                }
                super::create(context, options, &create.name, &create.born)
            }
            Self::Query(query) => super::query(context, Kind::Event, &query),
            Self::Set(named) => on(context, &named.name, Event::set),
            Self::Reset(named) => on(context, &named.name, Event::reset),
            Self::Pulse(named) => on(context, &named.name, Event::pulse),
            Self::Wait(waited) => {
                let name = &waited.name;
                let event = to_wait(context, name).map_err(Failure::into_error)?;
                let taken = super::take(context, Kind::Event, name, (&event, waited.limit))?;
                Ok(super::status(taken))
            }
            Self::Rm(names) => super::rm(context, Event::options, &names),
        }
    }
}

/// Opens an event to wait for it: by all rights, or where those are denied to look at it.
pub(crate) fn to_wait(context: &Context, name: &str) -> Result<Event, Failure> {
    let space = context.space()?;
    let options = || Event::options().place(&space, name);
    let found = match options().open() {
        Err(error) if error.kind() == ErrorKind::Denied => options().look().open(),
        other => other,
    };
    found.map_err(|error| context.explain(Kind::Event, name, error))
}

fn on(
    context: &Context,
    name: &str,
    act: impl FnOnce(&Event) -> strait::Result<bool>,
) -> Result<ExitCode, Failure> {
    let event = super::open(context, Event::options(), name)?;
    act(&event).map_err(|error| context.explain(Kind::Event, name, error))?;
    Ok(ExitCode::SUCCESS)
}
