//! `strait msg`: System V message queues.

use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use strait::ErrorKind;
use strait::unix::ipc::Change;
use strait::unix::msg::{self, Buffer, Message, Queue, Receiving, Select};
use strait::wait;

use super::key::{self, Written};
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
    Stat(Stat),
    Set(Set),
    Rm(Rm),
    List(List),
}

/// Which queue.
#[derive(Args, Debug)]
pub(crate) struct Which {
    /// The queue: a key such as 0x5100, PATH:PROJECT (ftok) or name:NAME, or id:N
    #[arg(value_name = "KEY", value_parser = key::read, allow_negative_numbers = true)]
    queue: Written,
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
    #[command(flatten)]
    which: Which,
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

/// Show what is in it, who may use it, and who did
#[derive(Args, Debug)]
pub(crate) struct Stat {
    #[command(flatten)]
    which: Which,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

/// Change its owner, group, mode or size
#[derive(Args, Debug)]
#[command(arg_required_else_help = true)]
pub(crate) struct Set {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    changes: Changes,
}

/// What to change.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub(crate) struct Changes {
    /// Another owner, by number
    #[arg(long, value_name = "UID")]
    owner: Option<u32>,
    /// Another group, by name or number
    #[arg(long, value_parser = value::group)]
    group: Option<u32>,
    /// Who may receive (read) and send (write), in octal
    #[arg(long, value_name = "OCTAL", value_parser = value::mode)]
    mode: Option<u32>,
    /// The most bytes of text, and the most messages, that it takes
    #[arg(long, value_name = "SIZE", value_parser = value::size)]
    bytes: Option<u64>,
}

/// Remove queues with what is in them; whoever waits on one is told
#[derive(Args, Debug)]
pub(crate) struct Rm {
    /// The queues
    #[arg(
        required = true,
        value_name = "KEY",
        value_parser = key::read,
        allow_negative_numbers = true
    )]
    queues: Vec<Written>,
}

/// List all queues, others' as well
#[derive(Args, Debug)]
pub(crate) struct List {
    /// JSON instead of text
    #[arg(long)]
    json: bool,
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
            Self::Stat(stat) => stat.run(context),
            Self::Set(set) => set.run(),
            Self::Rm(rm) => rm.run(context),
            Self::List(list) => list.run(context),
        }
    }
}

/// Opens the queue that was written.
fn open(written: &Written) -> Result<Queue, Failure> {
    written.find("msg", Queue::open, Queue::from_id)
}

/// The queue as a member of a wait that takes nothing.
pub(crate) fn to_wait(written: &Written, msgtyp: i64) -> Result<Receiving, Failure> {
    let select = Select::from_msgtyp(msgtyp);
    open(written)?.looking(select).map_err(Failure::of)
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
        let key = self.which.queue.key()?;
        let queue = if self.or_open {
            Queue::create_or_open(key, self.mode).map(|(queue, _)| queue)
        } else {
            Queue::create(key, self.mode)
        };
        let queue = queue.map_err(|error| match error.kind() {
            ErrorKind::Exists => Failure::new(format!(
                "queue {key} exists already (`strait msg stat {key}` shows it, `--or-open` takes \
                 it as it is)"
            )),
            _ => Failure::of(error),
        })?;
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
        let queue = open(&self.which.queue)?;
        let limits = msg::limits().map_err(Failure::of)?;
        let bytes = self.text.bytes(limits.message_bytes)?;
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
        let queue = open(&self.which.queue)?;
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
        // No message is longer than the queue.
        let most = queue.stat()?.bytes_max.unwrap_or(u64::MAX).min(cut);
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
        let queue = open(&self.which.queue)?;
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
        let queue = open(&self.which.queue)?;
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
        let queue = open(&self.which.queue)?;
        // First, as it may be another's queue afterwards.
        if let Some(bytes) = self.changes.bytes {
            queue.set_bytes_max(bytes).map_err(Failure::of)?;
        }
        let mut change = Change::new();
        if let Some(uid) = self.changes.owner {
            change = change.owner(uid);
        }
        if let Some(gid) = self.changes.group {
            change = change.group(gid);
        }
        if let Some(mode) = self.changes.mode {
            change = change.mode(mode);
        }
        queue.set(change).map_err(Failure::of)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Rm {
    fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let mut status = ExitCode::SUCCESS;
        for written in &self.queues {
            let removed = open(written).and_then(|queue| queue.remove().map_err(Failure::of));
            if let Err(failure) = removed {
                context.note(&failure.message);
                status = ExitCode::FAILURE;
            }
        }
        Ok(status)
    }
}

// ---- looking -------------------------------------------------------------------------------

impl Stat {
    fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        let stat = open(&self.which.queue)?.stat().map_err(Failure::of)?;
        if self.json {
            context.out.json(&stat_json(&stat))?;
            return Ok(ExitCode::SUCCESS);
        }
        let row = |key: &str, value: String| vec![key.to_owned(), value];
        let last = |pid: Option<u32>, at| match pid {
            Some(pid) => format!("pid {pid}, {}", ago(at)),
            None => "never".into(),
        };
        let may = &stat.permissions;
        context.out.table(&[
            row("key", stat.key.to_string()),
            row("id", stat.id.to_string()),
            row("messages", stat.messages.to_string()),
            row("bytes", format!("{} of {}", stat.bytes, bytes_max(&stat))),
            row("owner", format!("uid {}, gid {}", may.uid, may.gid)),
            row(
                "creator",
                format!("uid {}, gid {}", may.creator_uid, may.creator_gid),
            ),
            row("mode", format!("{:04o}", may.mode)),
            row("sent", last(stat.last_sender, stat.sent)),
            row("received", last(stat.last_receiver, stat.received)),
            row("changed", ago(stat.changed)),
        ])?;
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        let queues = msg::list().map_err(Failure::of)?;
        if self.json {
            let values = queues.iter().map(stat_json).collect();
            context.out.json(&Value::Array(values))?;
            return Ok(ExitCode::SUCCESS);
        }
        let head = [
            "KEY", "ID", "OWNER", "MODE", "MESSAGES", "BYTES", "ROOM", "SENDER", "RECEIVER",
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        let pid = |pid: Option<u32>| pid.map_or("-".into(), |pid| pid.to_string());
        rows.extend(queues.iter().map(|stat| {
            vec![
                stat.key.to_string(),
                stat.id.to_string(),
                stat.permissions.uid.to_string(),
                format!("{:04o}", stat.permissions.mode),
                stat.messages.to_string(),
                stat.bytes.to_string(),
                bytes_max(stat),
                pid(stat.last_sender),
                pid(stat.last_receiver),
            ]
        }));
        context.out.table(&rows)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn bytes_max(stat: &msg::Stat) -> String {
    stat.bytes_max.map_or("?".into(), |bytes| bytes.to_string())
}

fn ago(at: Option<SystemTime>) -> String {
    let Some(at) = at else { return "never".into() };
    match at.elapsed() {
        Ok(since) => format!("{} s ago", since.as_secs()),
        Err(_) => "in the future, by this clock".into(),
    }
}

fn stat_json(stat: &msg::Stat) -> Value {
    let seconds = |at: Option<SystemTime>| {
        let since = at.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        since.map(|since| since.as_secs())
    };
    json!({
        "key": stat.key.number(),
        "id": stat.id,
        "uid": stat.permissions.uid,
        "gid": stat.permissions.gid,
        "creator_uid": stat.permissions.creator_uid,
        "creator_gid": stat.permissions.creator_gid,
        "mode": format!("{:04o}", stat.permissions.mode),
        "messages": stat.messages,
        "bytes": stat.bytes,
        "bytes_max": stat.bytes_max,
        "last_sender": stat.last_sender,
        "last_receiver": stat.last_receiver,
        "sent": seconds(stat.sent),
        "received": seconds(stat.received),
        "changed": seconds(stat.changed),
    })
}
