//! `strait wait`: any of several objects, or all of them at once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use strait::unix::signal::Received;
use strait::wait::{self, Waitable};

use crate::child::{self, Hold};
use crate::context::Context;
use crate::failure::{Failure, TIMED_OUT};
use crate::member::{self, Member, Written};
use crate::objects::{self, Limit};
use crate::unix::signal;

/// What is added to an index where what was won was abandoned.
const ABANDONED: usize = 64;

/// Wait for any of several objects, or for all of them at once
///
/// OBJECT is event:NAME, semaphore:NAME, mutant:NAME (with -- CMD), eventpair:NAME:low or :high,
/// timer:5s (a delay), timer:@NAME (a timer object), pid:N (the end of a process), signal:TERM
/// (sent to this program), fd:N (readable, opened by the shell as in `3<file`), fifo:PATH
/// (something to read), msg:KEY or msg:KEY:TYPE (a message in a System V queue), mqueue:NAME (in a
/// POSIX queue), sem:KEY:N (a unit of semaphore N of a System V set) or socket:PATH (a socket is
/// there; nothing is connected).
///
/// What was won is printed, one object in a line. It is taken: an auto-reset event is reset, a
/// semaphore has a unit less; what is in a queue stays there. Of a signal --json tells the sender
/// and the value too. While this waits for a FIFO it is a reader of it and reads nothing: hold it
/// open yourself, or read it with -- CMD, for what is in a FIFO that nobody has open is lost. With
/// a command it is held while that runs, and then given back: mutants, and units of semaphores. The
/// command finds it in STRAIT_WON, and STRAIT_ABANDONED=1 if a mutant's last owner died. Signals
/// sent to this program are then passed on to the command. The unit of sem:KEY:N the kernel gives
/// back, also if this program is killed; --all only looks at it, and takes nothing of it.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit status: 0 when satisfied, or the command's (128 and the number if a signal \
                  killed it); 124 when time ran out; 125 on an error, wrong arguments included; \
                  126 if the command cannot be run, 127 if it does not exist. With --index it is \
                  the index of what was won: 0 to 63, and 64 more if it was abandoned.\n\
                  Example: strait wait --any event:build-done timer:10m"
)]
pub(crate) struct Arguments {
    /// One of them: the first, in this order, that is ready
    #[arg(long, conflicts_with = "all")]
    any: bool,
    /// All of them in one step, when all are ready; none before
    #[arg(long)]
    all: bool,
    /// Exit with the index of what was won, counted from 0
    #[arg(long, conflicts_with = "all")]
    index: bool,
    #[command(flatten)]
    limit: Limit,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
    /// What to wait for; at most 64, or 63 of which one is won for a command
    #[arg(required = true, value_name = "OBJECT")]
    objects: Vec<String>,
    /// What to run while holding what was won
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// What was won: indices, those of abandoned mutants, and what came where it was a signal.
struct Won {
    indices: Vec<usize>,
    abandoned: Vec<usize>,
    signals: BTreeMap<usize, Received>,
}

impl Arguments {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        if self.objects.len() > 1 && !self.any && !self.all {
            return Err(Failure::new("say --any or --all of these"));
        }
        let before = child::mask();
        let mut members = Vec::new();
        for text in &self.objects {
            let of_it = |why: String| Failure::new(format!("{text}: {why}"));
            let written = member::read(text).map_err(of_it)?;
            if matches!(written, Written::Object(strait::Kind::Mutant, _))
                && self.command.is_empty()
            {
                return Err(of_it("say what to run while it is held: -- CMD".into()));
            }
            let written = match self.command.is_empty() {
                true => written,
                false => written.held(),
            };
            members.push(context.waited_for(&written)?);
        }
        let waitables: Vec<Box<dyn Waitable + '_>> = members
            .iter()
            .zip(&self.objects)
            .map(|(member, text)| {
                member
                    .waitable()
                    .map_err(|why| Failure::new(format!("{text}: {why}")))
            })
            .collect::<Result<_, _>>()?;
        let hold = (!self.command.is_empty()).then(Hold::begin);
        let won = self.wait(&waitables, hold.as_ref())?;
        let Some(mut won) = won else {
            if self.json {
                context.out.json(&json!({ "timed_out": true, "won": [] }))?;
            }
            return Ok(TIMED_OUT.into());
        };
        for index in &won.indices {
            if let Some(received) = members[*index].take()? {
                won.signals.insert(*index, received);
            }
        }
        let Some(hold) = hold else {
            self.report(context, &won)?;
            return Ok(self.status(&won, ExitCode::SUCCESS));
        };
        // Not what the members block: the command is another program.
        let mut hold = hold.with_mask(before);
        let reported = self.report(context, &won);
        let status = reported.and_then(|()| self.run_command(context, &won, &mut hold));
        give_back(&members, &won);
        status.map(|status| self.status(&won, status))
    }

    fn wait(
        &self,
        waitables: &[Box<dyn Waitable + '_>],
        hold: Option<&Hold>,
    ) -> Result<Option<Won>, Failure> {
        let members: Vec<&dyn Waitable> = waitables.iter().map(|boxed| &**boxed).collect();
        if self.all {
            let won = match (hold, self.limit.timeout) {
                (Some(hold), timeout) => hold.win_all(&members, timeout, Failure::of)?,
                (None, Some(timeout)) => wait::all_for(&members, timeout).map_err(Failure::of)?,
                (None, None) => Some(wait::all(&members).map_err(Failure::of)?),
            };
            return Ok(won.map(|won| Won {
                indices: (0..members.len()).collect(),
                abandoned: won.abandoned,
                signals: BTreeMap::new(),
            }));
        }
        let won = match (hold, self.limit.timeout) {
            // The last place is the signals'.
            (Some(_), _) if members.len() == wait::MEMBERS_MAX => {
                let most = wait::MEMBERS_MAX - 1;
                let why = format!("at most {most} objects with a command");
                return Err(Failure::new(why));
            }
            (Some(hold), timeout) => hold.win_any(&members, timeout, Failure::of)?,
            (None, Some(timeout)) => wait::any_for(&members, timeout).map_err(Failure::of)?,
            (None, None) => Some(wait::any(&members).map_err(Failure::of)?),
        };
        Ok(won.map(|won| Won {
            indices: vec![won.index],
            abandoned: if won.abandoned {
                vec![won.index]
            } else {
                vec![]
            },
            signals: BTreeMap::new(),
        }))
    }

    fn report(&self, context: &mut Context, won: &Won) -> Result<(), Failure> {
        for index in &won.abandoned {
            context.note(&objects::abandoned(&self.objects[*index]));
        }
        if self.json {
            let entries = won.indices.iter().map(|index| {
                let mut entry = json!({
                    "index": index,
                    "object": self.objects[*index],
                    "abandoned": won.abandoned.contains(index),
                });
                if let Some(received) = won.signals.get(index) {
                    entry["received"] = signal::as_json(received);
                }
                entry
            });
            let entries: Vec<_> = entries.collect();
            context
                .out
                .json(&json!({ "timed_out": false, "won": entries }))?;
        } else {
            for index in &won.indices {
                context.out.line(&self.objects[*index])?;
            }
        }
        context.out.finish()
    }

    fn run_command(
        &self,
        context: &Context,
        won: &Won,
        hold: &mut Hold,
    ) -> Result<ExitCode, Failure> {
        let mut command = child::command(&self.command)?;
        let names: Vec<&str> = won
            .indices
            .iter()
            .map(|index| self.objects[*index].as_str())
            .collect();
        command.env("STRAIT_WON", names.join("\n"));
        if !won.abandoned.is_empty() {
            command.env("STRAIT_ABANDONED", "1");
        }
        hold.run(&mut command)
            .inspect_err(|_| context.note("the command was not run"))
    }

    fn status(&self, won: &Won, otherwise: ExitCode) -> ExitCode {
        match won.indices.first() {
            Some(index) if self.index => {
                let more = if won.abandoned.is_empty() {
                    0
                } else {
                    ABANDONED
                };
                u8::try_from(index + more).unwrap_or(u8::MAX).into()
            }
            _ => otherwise,
        }
    }
}

/// Mutants and units go back; an event that was taken stays taken.
fn give_back(members: &[Member], won: &Won) {
    for index in &won.indices {
        // A failure means that somebody else gave it back already, or broke it.
        let _ = match &members[*index] {
            Member::Mutant(mutant) => mutant.release().map(drop),
            Member::Semaphore(semaphore) => semaphore.release(1).map(drop),
            _ => Ok(()),
        };
    }
}
