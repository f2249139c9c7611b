//! `strait msg`: System V message queues.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use strait::unix::ipc::{Key, Kind, Permissions};
use strait::unix::msg::{self, Buffer, Message, Queue, Receiving, Select, Stat};
use strait::wait;

use super::key::{self, Written};
use super::system_v::{self, Facts, Keys, List, Look, Object, Owned, Which, find};
use super::text::{Form, Text, escaped, in_json};
use crate::context::Context;
use crate::failure::{Failure, TIMED_OUT};
use crate::objects::Limit;
use crate::value;

/// The verbs of queues.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Create(Create),
    Send(Send),
    Recv(Recv),
    Peek(Peek),
    Wait(Wait),
    /// Show what is in it, who may use it, and who did
    Stat(Look),
    Set(Set),
    /// Remove queues with what is in them; whoever waits on one is told
    Rm(Keys),
    /// List all queues, others' as well
    List(List),
}

/// Which of its messages; the oldest if nothing is said
#[derive(Args, Copy, Clone, Debug)]
#[group(multiple = false)]
pub(crate) struct Wanted {
    /// The oldest of this type
    #[arg(long = "type", value_name = "TYPE", value_parser = kind())]
    kind: Option<i64>,
    /// The oldest of the lowest type, up to this one
    #[arg(long, value_name = "TYPE", value_parser = kind())]
    lowest: Option<i64>,
    /// The oldest of any other type
    #[arg(long, value_name = "TYPE", value_parser = kind())]
    except: Option<i64>,
}

/// Make a queue, which stays until it is removed
///
/// Prints its id in a form that the other verbs take. `private` as the key makes a queue that only
/// its id leads to.
#[derive(Args, Debug)]
#[command(after_help = "Example: strait msg create 0x5100 --mode 0622")]
pub(crate) struct Create {
    /// The new queue: a key such as 0x5100, PATH:PROJECT (ftok) or name:NAME, or private
    #[arg(value_parser = key::read, allow_negative_numbers = true)]
    key: Written,
    /// Who may receive (read) and send (write), in octal; the umask does not matter
    #[arg(long, value_name = "OCTAL", value_parser = value::mode, default_value = "0600")]
    mode: u32,
    /// The most bytes of text, and the most messages, that it takes
    #[arg(long, value_name = "SIZE", value_parser = value::size)]
    bytes: Option<u64>,
    /// An existing one will do, as it is
    #[arg(long)]
    or_open: bool,
}

/// Send a message, and wait for room if there is none
#[derive(Args, Debug)]
#[command(
    after_help = "Exit status: 0 when it is sent, 124 when time ran out, 125 on an error.\n\
                  Example: strait msg send 0x5100 'two coffees' --type 3"
)]
pub(crate) struct Send {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    text: Text,
    /// Its type
    #[arg(long = "type", value_name = "TYPE", value_parser = kind(), default_value_t = 1)]
    kind: i64,
    #[command(flatten)]
    limit: Limit,
}

/// Receive a message, and write its text and a newline
#[derive(Args, Debug)]
#[command(
    after_help = "Exit status: 0 when a message was received, 124 when time ran out, 125 on an \
                  error.\n\
                  Example: strait msg recv 0x5100 --lowest 8 --timeout 5s"
)]
pub(crate) struct Recv {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    limit: Limit,
    /// Cut the text off after so many bytes, and lose the rest
    #[arg(long, value_name = "SIZE", value_parser = value::size)]
    cut: Option<u64>,
    #[command(flatten)]
    form: Form,
}

/// Show its messages, and take none
#[derive(Args, Debug)]
#[command(after_help = "Needs read permission, and a kernel with CONFIG_CHECKPOINT_RESTORE.")]
pub(crate) struct Peek {
    #[command(flatten)]
    which: Which,
    /// Whole texts
    #[arg(long)]
    full: bool,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

/// Wait until there is a message, and leave it there
///
/// A message without text goes behind the others by that: the kernel cannot look for one without
/// taking it.
#[derive(Args, Debug)]
#[command(after_help = "Exit status: 0 when there is one, 124 when time ran out, 125 on an error.")]
pub(crate) struct Wait {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    limit: Limit,
}

/// Change its owner, group, mode or size
#[derive(Args, Debug)]
pub(crate) struct Set {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    owned: Owned,
    /// The most bytes of text, and the most messages, that it takes
    #[arg(long, value_name = "SIZE", value_parser = value::size)]
    bytes: Option<u64>,
}

fn kind() -> clap::builder::RangedI64ValueParser {
    clap::value_parser!(i64).range(1..)
}

impl Verb {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        match self {
            Self::Create(create) => create.run(context),
            Self::Send(send) => send.run().map_err(Failure::into_error),
            Self::Recv(recv) => recv.run(context).map_err(Failure::into_error),
            Self::Peek(peek) => peek.run(context),
            Self::Wait(wait) => wait.run().map_err(Failure::into_error),
            Self::Stat(look) => look.run::<Queue>(context),
            Self::Set(set) => set.run(),
            Self::Rm(queues) => Ok(queues.remove::<Queue>(context)),
            Self::List(list) => list.run::<Queue>(context),
        }
    }
}

/// The queue as a member of a wait that takes nothing.
pub(crate) fn to_wait(written: &Written, msgtyp: i64) -> Result<Receiving, Failure> {
    let select = Select::from_msgtyp(msgtyp);
    let queue: Queue = find(written)?;
    queue.looking(select).map_err(Failure::of)
}

impl Wanted {
    fn select(self) -> Select {
        let typed = self.kind.map(Select::Type);
        let lowest = self.lowest.map(Select::Lowest);
        let except = self.except.map(Select::Except);
        typed.or(lowest).or(except).unwrap_or(Select::Any)
    }
}

impl Create {
    fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        let key = self.key.key()?;
        let queue = if self.or_open {
            Queue::create_or_open(key, self.mode).map(|(queue, _)| queue)
        } else {
            Queue::create(key, self.mode)
        };
        let queue = system_v::made(&self.key, queue)?;
        if let Some(bytes) = self.bytes {
            let set = queue.set_bytes_max(bytes);
            set.map_err(|error| {
                if !self.or_open {
                    // Nobody knows it yet.
                    let _ = queue.remove();
                }
                Failure::of(error)
            })?;
        }
        context.out.line(&format!("id:{}", queue.id()))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Send {
    fn run(self) -> Result<ExitCode, Failure> {
        let queue = find::<Queue>(&self.which.key)?;
        let limits = msg::limits().map_err(Failure::of)?;
        let bytes = self.text.bytes(limits.message_bytes, msg::MESSAGE_LIMIT)?;
        let sent = match self.limit.timeout {
            Some(timeout) => queue.send_for(self.kind, &bytes, timeout),
            None => queue.send(self.kind, &bytes).map(|()| true),
        };
        match sent.map_err(Failure::of)? {
            true => Ok(ExitCode::SUCCESS),
            false => Ok(TIMED_OUT.into()),
        }
    }
}

impl Recv {
    fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        let queue = find::<Queue>(&self.which.key)?;
        let Some((kind, bytes)) = self.take(&queue).map_err(Failure::of)? else {
            return Ok(TIMED_OUT.into());
        };
        self.form.write(context, ("type", kind), &bytes)?;
        Ok(ExitCode::SUCCESS)
    }

    fn take(&self, queue: &Queue) -> strait::Result<Option<(i64, Vec<u8>)>> {
        let select = self.wanted.select();
        let Some(cut) = self.cut else {
            let message = match self.limit.timeout {
                Some(timeout) => queue.recv_for(select, timeout)?,
                None => Some(queue.recv(select)?),
            };
            return Ok(message.map(|Message { kind, bytes, .. }| (kind, bytes)));
        };
        // No message is longer: neither one to come nor, where the limit was lowered, one there.
        let longest = msg::limits()?.message_bytes.max(queue.stat()?.bytes);
        let most = longest.min(cut);
        let mut buffer = Buffer::new(usize::try_from(most).unwrap_or(0)).cutting();
        let came = match self.limit.timeout {
            Some(timeout) => queue.recv_into_for(select, &mut buffer, timeout)?,
            None => {
                queue.recv_into(select, &mut buffer)?;
                true
            }
        };
        Ok(came.then(|| (buffer.kind(), buffer.bytes().to_vec())))
    }
}

impl Peek {
    fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        let queue = find::<Queue>(&self.which.key)?;
        let messages: Result<Vec<Message>, _> = queue.peek().collect();
        let messages = messages.map_err(Failure::of)?;
        let numbered = messages.iter().enumerate();
        if self.json {
            let values = numbered.map(|(index, message)| {
                let mut value = in_json(&message.bytes);
                value["index"] = json!(index);
                value["type"] = json!(message.kind);
                value
            });
            context.out.json(&Value::Array(values.collect()))?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut rows = vec![
            ["index", "type", "bytes", "text"]
                .map(str::to_owned)
                .to_vec(),
        ];
        rows.extend(numbered.map(|(index, message)| {
            vec![
                index.to_string(),
                message.kind.to_string(),
                message.bytes.len().to_string(),
                escaped(&message.bytes, self.full),
            ]
        }));
        context.out.table(&rows)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Wait {
    fn run(self) -> Result<ExitCode, Failure> {
        let queue = find::<Queue>(&self.which.key)?;
        let looking = queue.looking(self.wanted.select()).map_err(Failure::of)?;
        let won = match self.limit.timeout {
            Some(timeout) => wait::any_for(&[&looking], timeout),
            None => wait::any(&[&looking]).map(Some),
        };
        match won.map_err(Failure::of)? {
            Some(_) => Ok(ExitCode::SUCCESS),
            None => Ok(TIMED_OUT.into()),
        }
    }
}

impl Set {
    fn run(self) -> Result<ExitCode, Failure> {
        if self.bytes.is_none() && self.owned.change().is_none() {
            return Err(system_v::nothing("--owner, --group, --mode or --bytes"));
        }
        let queue = find::<Queue>(&self.which.key)?;
        // First, as it may be another's queue afterwards.
        if let Some(bytes) = self.bytes {
            queue.set_bytes_max(bytes).map_err(Failure::of)?;
        }
        if let Some(change) = self.owned.change() {
            queue.set(change).map_err(Failure::of)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Object for Queue {
    const KIND: Kind = Kind::Queue;
    const WORD: &'static str = "msg";
    const NEEDS: &'static str = "";
    system_v::object!(Queue, Stat, msg::list);
}

impl Facts for Stat {
    const HEADS: &'static [&'static str] = &["MESSAGES", "BYTES", "ROOM", "SENDER", "RECEIVER"];

    fn common(&self) -> (Key, i32, &Permissions) {
        (self.key, self.id, &self.permissions)
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.messages.to_string(),
            self.bytes.to_string(),
            bytes_max(self),
            system_v::process(self.last_sender),
            system_v::process(self.last_receiver),
        ]
    }

    fn state(&self) -> String {
        let count = usize::try_from(self.messages).unwrap_or(usize::MAX);
        let messages = value::counted(count, "message");
        format!("{messages}, {} of {} bytes", self.bytes, bytes_max(self))
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let last = |pid: Option<u32>, at| match pid {
            Some(pid) => format!("pid {pid}, {}", system_v::when(at)),
            None => "never".into(),
        };
        vec![
            ("messages", self.messages.to_string()),
            ("bytes", format!("{} of {}", self.bytes, bytes_max(self))),
            ("sent", last(self.last_sender, self.sent)),
            ("received", last(self.last_receiver, self.received)),
            ("changed", system_v::when(self.changed)),
        ]
    }

    fn values(&self) -> Value {
        json!({
            "messages": self.messages,
            "bytes": self.bytes,
            "bytes_max": self.bytes_max,
            "last_sender": self.last_sender,
            "last_receiver": self.last_receiver,
            "sent": system_v::seconds(self.sent),
            "received": system_v::seconds(self.received),
            "changed": system_v::seconds(self.changed),
        })
    }
}

fn bytes_max(stat: &Stat) -> String {
    stat.bytes_max.map_or("?".into(), |bytes| bytes.to_string())
}
