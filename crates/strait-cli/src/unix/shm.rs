//! `strait shm`: System V shared memory.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use strait::unix::shm::{self, Read, Segment, Stat, Write};

use super::key::{self, Written};
use super::owned::{self, Owned};
use crate::context::Context;
use crate::failure::Failure;
use crate::objects::bytes::{self, Part};
use crate::value;

/// The verbs of System V shared memory.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Create(Create),
    #[command(name = "read")]
    ReadOut(ReadOut),
    #[command(name = "write")]
    WriteIn(WriteIn),
    Stat(Look),
    Set(Change),
    Lock(Lock),
    Rm(Rm),
    List(List),
}

/// Make a segment, and print its id as the other verbs take it; it stays until it is removed
#[derive(Args, Debug)]
#[command(
    after_help = "KEY is 0x5100, 20736, PATH:PROJECT (ftok), name:NAME, or private.\n\
                        Example: strait shm create name:prices --size 1M"
)]
pub(crate) struct Create {
    /// The key of the new segment
    #[arg(value_parser = key::read, allow_negative_numbers = true)]
    key: Written,
    /// Its length, such as 4096, 64K or 1M
    #[arg(long, value_parser = value::size, allow_negative_numbers = true)]
    size: u64,
    /// Permission bits in octal: read to look, write for everything
    #[arg(long, value_name = "OCTAL", value_parser = value::mode, default_value = "0600")]
    mode: u32,
    /// An existing segment of this key that is large enough will do, as it is
    #[arg(long)]
    or_open: bool,
    /// Of huge pages, of the usual size or of this one
    #[arg(long, value_name = "SIZE", value_parser = huge, num_args = 0..=1)]
    #[arg(require_equals = true, default_missing_value = "0")]
    huge: Option<u8>,
    /// Without memory set aside for it
    #[arg(long)]
    unreserved: bool,
}

/// Copy its bytes to standard output
#[derive(Args, Debug)]
pub(crate) struct ReadOut {
    /// The segment
    #[arg(value_parser = key::read, allow_negative_numbers = true)]
    key: Written,
    /// Where to begin
    #[arg(long, value_parser = value::size, allow_negative_numbers = true, default_value = "0")]
    offset: u64,
    /// How many bytes; all to the end if not given
    #[arg(long, value_parser = value::size, allow_negative_numbers = true)]
    len: Option<u64>,
    /// As hexadecimal and text; lines that repeat are left out
    #[arg(long)]
    hex: bool,
}

/// Copy standard input into it
#[derive(Args, Debug)]
pub(crate) struct WriteIn {
    /// The segment
    #[arg(value_parser = key::read, allow_negative_numbers = true)]
    key: Written,
    /// Where to begin
    #[arg(long, value_parser = value::size, allow_negative_numbers = true, default_value = "0")]
    offset: u64,
}

/// Show a segment: whose it is, its size, and how often it is attached
#[derive(Args, Debug)]
pub(crate) struct Look {
    /// The segment
    #[arg(value_parser = key::read, allow_negative_numbers = true)]
    key: Written,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

/// Change whose a segment is
#[derive(Args, Debug)]
pub(crate) struct Change {
    /// The segment
    #[arg(value_parser = key::read, allow_negative_numbers = true)]
    key: Written,
    #[command(flatten)]
    owned: Owned,
}

/// Keep a segment's pages in memory once they are touched
#[derive(Args, Debug)]
pub(crate) struct Lock {
    /// The segment
    #[arg(value_parser = key::read, allow_negative_numbers = true)]
    key: Written,
    /// Let them be swapped out again
    #[arg(long)]
    unlock: bool,
}

/// Remove segments: their keys at once, their memory when nobody has it attached
#[derive(Args, Debug)]
pub(crate) struct Rm {
    /// The segments
    #[arg(required = true, value_name = "KEY", value_parser = key::read)]
    #[arg(allow_negative_numbers = true)]
    keys: Vec<Written>,
}

/// Show all segments of this IPC namespace
#[derive(Args, Debug)]
pub(crate) struct List {
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

/// The power of two that a size of pages is; 0 for the usual size.
fn huge(text: &str) -> Result<u8, String> {
    let size = value::size(text)?;
    match u8::try_from(size.trailing_zeros()) {
        _ if size == 0 => Ok(0),
        Ok(power) if size.is_power_of_two() => Ok(power),
        _ => Err("huge pages have sizes such as 2M or 1G".into()),
    }
}

fn find(key: &Written) -> Result<Segment, Failure> {
    key.find("shm", Segment::open, Segment::from_id)
}

impl Verb {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        match self {
            Self::Create(create) => create.run(context),
            Self::ReadOut(read) => {
                let view = find(&read.key)?.attach::<Read>().map_err(Failure::of)?;
                let part = Part {
                    offset: read.offset,
                    len: read.len,
                    hex: read.hex,
                };
                bytes::copy_out(&view, &read.key.to_string(), &part, &mut context.out)
            }
            Self::WriteIn(write) => {
                let view = find(&write.key)?.attach::<Write>().map_err(Failure::of)?;
                bytes::copy_in(&view, &write.key.to_string(), write.offset)
            }
            Self::Stat(look) => look.run(context),
            Self::Set(Change { key, owned }) => {
                let change = owned
                    .change()
                    .ok_or_else(|| Failure::new("say what: --owner, --group or --mode"))?;
                find(&key)?.set(change).map_err(Failure::of)?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Lock(Lock { key, unlock }) => {
                let segment = find(&key)?;
                let result = if unlock {
                    segment.unlock()
                } else {
                    segment.lock()
                };
                result.map_err(Failure::of)?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Rm(rm) => rm.run(context),
            Self::List(list) => list.run(context),
        }
    }
}

impl Create {
    fn run(&self, context: &mut Context) -> Result<ExitCode, Failure> {
        let key = self.key.key()?;
        let mut options = Segment::options(usize::try_from(self.size).unwrap_or(usize::MAX));
        options = options.mode(self.mode);
        options = match self.huge {
            None => options,
            Some(0) => options.huge(),
            Some(power) => options.huge_of(power),
        };
        if self.unreserved {
            options = options.unreserved();
        }
        let segment = match self.or_open {
            true => options.create_or_open(key).map(|(segment, _)| segment),
            false => options.create(key),
        };
        let segment = segment.map_err(Failure::of)?;
        context.out.line(&format!("id:{}", segment.id()))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Look {
    fn run(&self, context: &mut Context) -> Result<ExitCode, Failure> {
        let stat = find(&self.key)?.stat().map_err(Failure::of)?;
        if self.json {
            context.out.json(&json_of(&stat))?;
            return Ok(ExitCode::SUCCESS);
        }
        let row = |key: &str, value: String| vec![key.to_owned(), value];
        let made = owned::creator(&stat.permissions);
        let made = format!("{made}, process {}", owned::process(stat.creator));
        context.out.table(&[
            row("id", stat.id.to_string()),
            row("key", stat.key.to_string()),
            row("size", format!("{} bytes", stat.size)),
            row("state", state(&stat)),
            row("access", owned::access(&stat.permissions)),
            row("creator", made),
            row("last", owned::process(stat.last)),
            row("attached", owned::when(stat.attached_at)),
            row("detached", owned::when(stat.detached_at)),
            row("changed", owned::when(stat.changed)),
        ])?;
        Ok(ExitCode::SUCCESS)
    }
}

/// How often it is attached, and what else is to be known.
fn state(stat: &Stat) -> String {
    let mut words = match stat.attached {
        1 => "attached once".to_owned(),
        times => format!("attached {times} times"),
    };
    if stat.locked {
        words.push_str(", locked");
    }
    if stat.removed {
        words.push_str(", removed");
    }
    words
}

fn json_of(stat: &Stat) -> Value {
    json!({
        "id": stat.id,
        "key": stat.key.number(),
        "size": stat.size,
        "attached": stat.attached,
        "locked": stat.locked,
        "removed": stat.removed,
        "access": owned::json(&stat.permissions),
        "creator": stat.creator,
        "last": stat.last,
        "attached_at": owned::seconds(stat.attached_at),
        "detached_at": owned::seconds(stat.detached_at),
        "changed": owned::seconds(stat.changed),
    })
}

impl Rm {
    fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let mut status = ExitCode::SUCCESS;
        for key in &self.keys {
            let removed = find(key).and_then(|segment| segment.remove().map_err(Failure::of));
            if let Err(failure) = removed {
                context.note(&failure.message);
                status = ExitCode::FAILURE;
            }
        }
        Ok(status)
    }
}

impl List {
    fn run(&self, context: &mut Context) -> Result<ExitCode, Failure> {
        let segments = shm::list().map_err(Failure::of)?;
        if self.json {
            let values: Vec<Value> = segments.iter().map(json_of).collect();
            context.out.json(&values)?;
            return Ok(ExitCode::SUCCESS);
        }
        let heads = ["KEY", "ID", "BYTES", "STATE", "ACCESS", "CREATOR"];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        rows.extend(segments.iter().map(|stat| {
            vec![
                stat.key.to_string(),
                stat.id.to_string(),
                stat.size.to_string(),
                state(stat),
                owned::access(&stat.permissions),
                owned::process(stat.creator),
            ]
        }));
        context.out.table(&rows)?;
        Ok(ExitCode::SUCCESS)
    }
}
