//! `strait sem`: System V semaphores, sets of counters that change together.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use strait::unix::ipc::{Key, Kind, Permissions};
use strait::unix::sem::{self, Op, Semaphore, Set, Stat, VALUE_MAX, down, up, zero};

use super::key::{self, Written};
use super::system_v::{self, Facts, Keys, List, Look, Object, Owned, Which, find};
use crate::child::{self, Hold};
use crate::context::Context;
use crate::failure::{Failure, TIMED_OUT};
use crate::objects::Limit;
use crate::value;

/// The verbs of System V semaphores.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Create(Create),
    Op(Operate),
    Acquire(Acquire),
    Release(Release),
    /// Show a set: whose it is, and each semaphore's value, last process and waiters
    Stat(Look),
    Set(Change),
    /// Remove sets, at once; who waits on one is told
    Rm(Keys),
    /// Show all sets of this IPC namespace
    List(List),
}

/// Make a set of semaphores, and print its id as the other verbs take it
///
/// The values are published in one step: `strait sem create --or-open`, and programs that use
/// Strait, wait for that. A set stays until it is removed.
#[derive(Args, Debug)]
#[command(
    after_help = "KEY is 0x5100, 20736, PATH:PROJECT (ftok), name:NAME, or private.\n\
                        Example: strait sem create name:slots 3"
)]
pub(crate) struct Create {
    /// The key of the new set
    #[arg(value_parser = key::read, allow_negative_numbers = true)]
    key: Written,
    /// A value for each semaphore: 0 to 32767
    #[arg(value_name = "VALUE", default_value = "0", value_parser = units)]
    values: Vec<u16>,
    /// Permission bits in octal: read to look, write to change
    #[arg(long, value_name = "OCTAL", value_parser = value::mode, default_value = "0600")]
    mode: u32,
    /// An existing set of this key and size will do, with the values it has
    #[arg(long)]
    or_open: bool,
}

/// Do operations on a set: all of them in one step, or none
///
/// OP is N:+K to add K units to semaphore N (the first is 0), N:-K to take them, and N:0 to wait
/// until it is 0. With a command they are undone when it has ended, also if this program is killed.
#[derive(Args, Debug)]
#[command(
    after_help = "KEY is 0x5100, 20736, PATH:PROJECT (ftok), name:NAME, or id:N.\n\
                  Exit status: 0 when they are done, or the command's; 124 when time ran out; 125 \
                  on an error, 126 or 127 if the command cannot be run.\n\
                  Example: strait sem op 0x5100 0:-1 1:+1 2:0 --timeout 5s"
)]
pub(crate) struct Operate {
    #[command(flatten)]
    which: Which,
    /// What to do, in this order
    #[arg(required = true, value_name = "OP", value_parser = operation)]
    ops: Vec<Op>,
    #[command(flatten)]
    limit: Limit,
    /// What to run before they are undone
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Take units of a semaphore
///
/// With a command they are held while it runs, and given back then. Signals sent to this program
/// are passed on to the command. If this program is killed by SIGKILL the kernel gives them back,
/// though the command may run on.
#[derive(Args, Debug)]
#[command(
    after_help = "KEY is 0x5100, 20736, PATH:PROJECT (ftok), name:NAME, or id:N.\n\
                  Exit status: 0 when they were taken, or the command's; 124 when time ran out; \
                  125 on an error, 126 or 127 if the command cannot be run.\n\
                  Example: strait sem acquire name:slots -- make test"
)]
pub(crate) struct Acquire {
    #[command(flatten)]
    units: Units,
    #[command(flatten)]
    limit: Limit,
    /// What to run while they are held
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Give units of a semaphore back
#[derive(Args, Debug)]
pub(crate) struct Release {
    #[command(flatten)]
    units: Units,
}

/// Some units of one semaphore.
#[derive(Args, Debug)]
struct Units {
    #[command(flatten)]
    which: Which,
    /// Which semaphore of the set; the first is 0
    #[arg(long, short, default_value_t = 0)]
    number: u16,
    /// How many units
    #[arg(long, short, default_value = "1", value_parser = some_units)]
    units: u16,
}

/// Change whose a set is, and values
///
/// N=V gives semaphore N the value V, whatever it was, and makes the kernel forget what any process
/// would undo of it.
#[derive(Args, Debug)]
pub(crate) struct Change {
    #[command(flatten)]
    which: Which,
    /// Values of semaphores, one after the other
    #[arg(value_name = "N=V", value_parser = assignment)]
    values: Vec<(u16, u16)>,
    #[command(flatten)]
    owned: Owned,
}

fn units(text: &str) -> Result<u16, String> {
    let units = text.parse().ok().filter(|units| *units <= VALUE_MAX);
    units.ok_or_else(|| "a semaphore holds 0 to 32767 units".into())
}

fn some_units(text: &str) -> Result<u16, String> {
    let some = units(text).ok().filter(|units| *units > 0);
    some.ok_or_else(|| "write a number of units: 1 to 32767".into())
}

/// `0:-1`, `1:+2`, `2:0`.
fn operation(text: &str) -> Result<Op, String> {
    let wrong = || "write N:+K, N:-K or N:0, such as 0:-1".to_owned();
    let (number, change) = text.split_once(':').ok_or_else(wrong)?;
    let number: u16 = number.parse().map_err(|_| wrong())?;
    match (change, change.split_at_checked(1)) {
        ("0", _) => Ok(zero(number)),
        (_, Some(("+", units))) => some_units(units).map(|units| up(number).by(units)),
        (_, Some(("-", units))) => some_units(units).map(|units| down(number).by(units)),
        _ => Err(wrong()),
    }
}

/// `0=5`.
fn assignment(text: &str) -> Result<(u16, u16), String> {
    let pair = text.split_once('=');
    let pair = pair.and_then(|(number, value)| number.parse().ok().zip(units(value).ok()));
    pair.ok_or_else(|| "write N=V with the number of a semaphore and 0 to 32767".into())
}

impl Verb {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        match self {
            Self::Create(create) => create.run(context),
            Self::Op(operate) => operate.run().map_err(Failure::into_error),
            Self::Acquire(acquire) => acquire.run().map_err(Failure::into_error),
            Self::Release(Release { units }) => {
                let op = up(units.number).by(units.units);
                find::<Set>(&units.which.key)?
                    .op(&[op])
                    .map_err(Failure::of)?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Stat(look) => show(&look, context),
            Self::Set(change) => change.run(),
            Self::Rm(sets) => Ok(sets.remove::<Set>(context)),
            Self::List(list) => list.run::<Set>(context),
        }
    }
}

impl Create {
    fn run(&self, context: &mut Context) -> Result<ExitCode, Failure> {
        let key = self.key.key()?;
        let set = match self.or_open {
            true => Set::create_or_open(key, &self.values, self.mode).map(|(set, _)| set),
            false => Set::create_with(key, &self.values, self.mode),
        };
        let set = system_v::made(&self.key, set)?;
        context.out.line(&format!("id:{}", set.id()))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Operate {
    fn run(&self) -> Result<ExitCode, Failure> {
        held(
            &find(&self.which.key)?,
            &self.ops,
            self.limit,
            &self.command,
        )
    }
}

impl Acquire {
    fn run(&self) -> Result<ExitCode, Failure> {
        let op = down(self.units.number).by(self.units.units);
        held(
            &find(&self.units.which.key)?,
            &[op],
            self.limit,
            &self.command,
        )
    }
}

/// Does the operations; with a command, until it has ended.
fn held(set: &Set, ops: &[Op], limit: Limit, command: &[OsString]) -> Result<ExitCode, Failure> {
    let undone: Vec<Op> = ops.iter().map(|op| op.undo()).collect();
    let wanted = if command.is_empty() { ops } else { &undone };
    let done = match limit.timeout {
        Some(timeout) => set.op_for(wanted, timeout),
        None => set.op(wanted).map(|()| true),
    };
    if !done.map_err(Failure::of)? {
        return Ok(TIMED_OUT.into());
    }
    if command.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    // What was done is undone by the kernel when this program ends, which is after the command.
    Hold::begin().run(&mut child::command(command)?)
}

/// Shows the set and its semaphores.
fn show(look: &Look, context: &mut Context) -> Result<ExitCode, Failure> {
    let set: Set = find(&look.which.key)?;
    let stat = set.stat().map_err(Failure::of)?;
    let count = u16::try_from(stat.count).unwrap_or(u16::MAX);
    let seen = (0..count).map(|number| set.semaphore(number));
    let semaphores: Vec<Semaphore> = seen.collect::<Result<_, _>>().map_err(Failure::of)?;
    if look.json {
        let mut value = system_v::json_of(&stat);
        value["semaphores"] = semaphores.iter().map(json_of_one).collect();
        context.out.json(&value)?;
        return Ok(ExitCode::SUCCESS);
    }
    context.out.table(&system_v::rows(&stat))?;
    let heads = ["semaphore", "value", "last", "takers", "for zero"];
    let mut rows = vec![system_v::heads(&heads)];
    rows.extend(semaphores.iter().zip(0..).map(|(one, number)| {
        let number: u16 = number;
        vec![
            number.to_string(),
            one.value.to_string(),
            system_v::process(one.last),
            one.takers.to_string(),
            one.zero_waiters.to_string(),
        ]
    }));
    context.out.table(&rows)?;
    Ok(ExitCode::SUCCESS)
}

impl Object for Set {
    const KIND: Kind = Kind::Set;
    const WORD: &'static str = "sem";
    const NEEDS: &'static str = "";
    system_v::object!(Set, Stat, sem::list);
}

impl Facts for Stat {
    const HEADS: &'static [&'static str] = &["SEMAPHORES", "OPERATED"];

    fn common(&self) -> (Key, i32, &Permissions) {
        (self.key, self.id, &self.permissions)
    }

    fn cells(&self) -> Vec<String> {
        vec![self.count.to_string(), system_v::when(self.operated)]
    }

    fn state(&self) -> String {
        value::counted(self.count, "semaphore")
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        vec![
            ("operated", system_v::when(self.operated)),
            ("changed", system_v::when(self.changed)),
        ]
    }

    fn values(&self) -> Value {
        json!({
            "count": self.count,
            "operated": system_v::seconds(self.operated),
            "changed": system_v::seconds(self.changed),
        })
    }
}

fn json_of_one(one: &Semaphore) -> Value {
    json!({
        "value": one.value,
        "last": one.last,
        "takers": one.takers,
        "zero_waiters": one.zero_waiters,
    })
}

impl Change {
    fn run(&self) -> Result<ExitCode, Failure> {
        let change = self.owned.change();
        if change.is_none() && self.values.is_empty() {
            return Err(system_v::nothing("N=V, --owner, --group or --mode"));
        }
        let set: Set = find(&self.which.key)?;
        for (number, value) in &self.values {
            set.set_value(*number, *value).map_err(Failure::of)?;
        }
        // Last: it may take away the permission for the others.
        if let Some(change) = change {
            set.set(change).map_err(Failure::of)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_read() {
        let shown = |text: &str| operation(text).map(|op| format!("{op:?}"));
        assert_eq!(shown("0:-1"), Ok(format!("{:?}", down(0))));
        assert_eq!(shown("7:+300"), Ok(format!("{:?}", up(7).by(300))));
        assert_eq!(shown("2:0"), Ok(format!("{:?}", zero(2))));
        for wrong in [
            "", "0", "0:", ":1", "0:1", "0:+0", "0:-", "0:+32768", "x:-1", "-1:+1",
        ] {
            assert!(operation(wrong).is_err(), "{wrong}");
        }
        assert_eq!(assignment("3=32767"), Ok((3, 32_767)));
        for wrong in ["", "3", "3=", "=3", "3=-1", "3=32768"] {
            assert!(assignment(wrong).is_err(), "{wrong}");
        }
    }
}
