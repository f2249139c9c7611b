//! `strait shm`: System V shared memory.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use strait::unix::ipc::{Key, Kind, Permissions};
use strait::unix::shm::{self, Read, Segment, Stat, Write};

use super::key::{self, Written};
use super::system_v::{self, Facts, Keys, List, Look, Object, Owned, Which, find};
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
    /// Show a segment: whose it is, its size, and how often it is attached
    Stat(Look),
    Set(Change),
    Lock(Lock),
    /// Remove segments: their keys at once, their memory when nobody has it attached
    Rm(Keys),
    /// Show all segments of this IPC namespace
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
    #[command(flatten)]
    which: Which,
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
    #[command(flatten)]
    which: Which,
    /// Where to begin
    #[arg(long, value_parser = value::size, allow_negative_numbers = true, default_value = "0")]
    offset: u64,
}

/// Change whose a segment is
#[derive(Args, Debug)]
pub(crate) struct Change {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    owned: Owned,
}

/// Keep a segment's pages in memory once they are touched
#[derive(Args, Debug)]
pub(crate) struct Lock {
    #[command(flatten)]
    which: Which,
    /// Let them be swapped out again
    #[arg(long)]
    unlock: bool,
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

impl Verb {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        match self {
            Self::Create(create) => create.run(context),
            Self::ReadOut(read) => {
                let key = read.which.key;
                let view = find::<Segment>(&key)?.attach::<Read>();
                let view = view.map_err(Failure::of)?;
                let part = Part {
                    offset: read.offset,
                    len: read.len,
                    hex: read.hex,
                };
                bytes::copy_out(&view, &key.to_string(), &part, &mut context.out)
            }
            Self::WriteIn(write) => {
                let key = write.which.key;
                let view = find::<Segment>(&key)?.attach::<Write>();
                bytes::copy_in(&view.map_err(Failure::of)?, &key.to_string(), write.offset)
            }
            Self::Stat(look) => look.run::<Segment>(context),
            Self::Set(Change { which, owned }) => {
                let change = owned
                    .change()
                    .ok_or_else(|| system_v::nothing("--owner, --group or --mode"))?;
                let segment: Segment = find(&which.key)?;
                segment.set(change).map_err(Failure::of)?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Lock(Lock { which, unlock }) => {
                let segment: Segment = find(&which.key)?;
                let result = if unlock {
                    segment.unlock()
                } else {
                    segment.lock()
                };
                result.map_err(Failure::of)?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Rm(segments) => Ok(segments.remove::<Segment>(context)),
            Self::List(list) => list.run::<Segment>(context),
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
        let segment = system_v::made(&self.key, segment)?;
        context.out.line(&format!("id:{}", segment.id()))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Object for Segment {
    const KIND: Kind = Kind::Segment;
    const WORD: &'static str = "shm";
    const NEEDS: &'static str = " --size SIZE";
    system_v::object!(Segment, Stat, shm::list);
}

impl Facts for Stat {
    const HEADS: &'static [&'static str] = &["BYTES", "CREATOR", "STATE"];

    fn common(&self) -> (Key, i32, &Permissions) {
        (self.key, self.id, &self.permissions)
    }

    fn cells(&self) -> Vec<String> {
        let creator = system_v::process(self.creator);
        vec![self.size.to_string(), creator, state(self)]
    }

    fn state(&self) -> String {
        format!("{} bytes, {}", self.size, state(self))
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        vec![
            ("size", format!("{} bytes", self.size)),
            ("state", state(self)),
            ("made by", system_v::process(self.creator)),
            ("last", system_v::process(self.last)),
            ("attached", system_v::when(self.attached_at)),
            ("detached", system_v::when(self.detached_at)),
            ("changed", system_v::when(self.changed)),
        ]
    }

    fn values(&self) -> Value {
        json!({
            "size": self.size,
            "attached": self.attached,
            "locked": self.locked,
            "removed": self.removed,
            "creator": self.creator,
            "last": self.last,
            "attached_at": system_v::seconds(self.attached_at),
            "detached_at": system_v::seconds(self.detached_at),
            "changed": system_v::seconds(self.changed),
        })
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
