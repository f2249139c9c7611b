//! `strait mqueue`: POSIX message queues.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use strait::ErrorKind;
use strait::unix::mqueue::{self, Access, PRIORITY_MAX, Queue};

use super::text::{Form, Text, escaped};
use crate::context::Context;
use crate::failure::{Failure, TIMED_OUT};
use crate::objects::Limit;
use crate::value;

/// The verbs of POSIX queues.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Create(Create),
    Send(Send),
    Recv(Recv),
    Stat(Stat),
    Set(Set),
    /// Remove queues: their names, for who has one open keeps it
    Rm(Names),
    List(List),
}

/// Make a queue, which stays until it is removed
#[derive(Args, Debug)]
#[command(after_help = "Example: strait mqueue create /jobs --messages 10 --bytes 4K")]
pub(crate) struct Create {
    /// Its name, with or without the slash in front
    name: String,
    /// The most messages; with --bytes
    #[arg(long, requires = "bytes", value_parser = clap::value_parser!(u32).range(1..))]
    messages: Option<u32>,
    /// The most bytes in a message; with --messages
    #[arg(long, requires = "messages", value_name = "SIZE", value_parser = value::size)]
    bytes: Option<u64>,
    /// Who may receive (read) and send (write), in octal; the umask does not matter
    #[arg(long, value_name = "OCTAL", value_parser = value::mode, default_value = "0600")]
    mode: u32,
    /// An existing one will do, as it is
    #[arg(long)]
    or_open: bool,
}

/// Send a message, and wait for room if there is none
#[derive(Args, Debug)]
#[command(after_help = "Exit status: 0 when it is sent, 124 when time ran out, 125 on an error.")]
pub(crate) struct Send {
    /// The queue
    name: String,
    #[command(flatten)]
    text: Text,
    /// Higher ones are received first
    #[arg(long, default_value_t = 0, value_parser = priority())]
    priority: u32,
    #[command(flatten)]
    limit: Limit,
}

/// Receive a message, and write its text and a newline
#[derive(Args, Debug)]
#[command(
    after_help = "Exit status: 0 when a message was received, 124 when time ran out, 125 on an \
                  error."
)]
pub(crate) struct Recv {
    /// The queue
    name: String,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    form: Form,
}

/// Show what is in it, and who may use it
#[derive(Args, Debug)]
pub(crate) struct Stat {
    /// The queue
    name: String,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

/// Change its mode; its room is for ever
#[derive(Args, Debug)]
pub(crate) struct Set {
    /// The queue
    name: String,
    /// Who may receive (read) and send (write), in octal
    #[arg(long, value_name = "OCTAL", value_parser = value::mode)]
    mode: u32,
}

/// Names of queues.
#[derive(Args, Debug)]
pub(crate) struct Names {
    /// The queues
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// List all queues, from /dev/mqueue
#[derive(Args, Debug)]
pub(crate) struct List {
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

fn priority() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(..=i64::from(PRIORITY_MAX))
}

impl Verb {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        match self {
            Self::Create(create) => create.run(),
            Self::Send(send) => send.run().map_err(Failure::into_error),
            Self::Recv(recv) => recv.run(context).map_err(Failure::into_error),
            Self::Stat(stat) => stat.run(context),
            Self::Set(set) => set.run(),
            Self::Rm(names) => Ok(names.run(context)),
            Self::List(list) => list.run(context),
        }
    }
}

/// Opens the queue of that name for this use.
pub(crate) fn open(name: &str, access: Access) -> Result<Queue, Failure> {
    let opened = Queue::options().access(access).open(name);
    opened.map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::new(format!(
            "there is no {}: create it with `strait mqueue create {}`",
            error.subject(),
            value::quoted(name)
        )),
        _ => Failure::of(error),
    })
}

/// The queue as a member of a wait, which takes nothing.
pub(crate) fn to_wait(name: &str) -> Result<Queue, Failure> {
    open(name, Access::Recv)
}

impl Create {
    fn run(self) -> Result<ExitCode, Failure> {
        let mut options = Queue::options().mode(self.mode);
        if let (Some(messages), Some(bytes)) = (self.messages, self.bytes) {
            let bytes =
                u32::try_from(bytes).map_err(|_| Failure::new("a message has at most 16 MiB"))?;
            options = options.room(messages, bytes);
        }
        let made = if self.or_open {
            options.create_or_open(&self.name).map(drop)
        } else {
            options.create(&self.name).map(drop)
        };
        made.map_err(|error| match error.kind() {
            ErrorKind::Exists => Failure::new(format!(
                "{} exists already (`strait mqueue stat {}` shows it, `--or-open` takes it as it \
                 is)",
                error.subject(),
                value::quoted(&self.name)
            )),
            _ => Failure::of(error),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Send {
    fn run(self) -> Result<ExitCode, Failure> {
        let queue = open(&self.name, Access::Send)?;
        let most = u64::try_from(queue.bytes_max()).unwrap_or(u64::MAX);
        let bytes = self.text.bytes(most, mqueue::MESSAGE_LIMIT)?;
        let sent = match self.limit.timeout {
            Some(timeout) => queue.send_for(self.priority, &bytes, timeout),
            None => queue.send(self.priority, &bytes).map(|()| true),
        };
        match sent.map_err(Failure::of)? {
            true => Ok(ExitCode::SUCCESS),
            false => Ok(TIMED_OUT.into()),
        }
    }
}

impl Recv {
    fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        let queue = open(&self.name, Access::Recv)?;
        let message = match self.limit.timeout {
            Some(timeout) => queue.recv_for(timeout),
            None => queue.recv().map(Some),
        };
        let Some(message) = message.map_err(Failure::of)? else {
            return Ok(TIMED_OUT.into());
        };
        let number = ("priority", message.priority.into());
        self.form.write(context, number, &message.bytes)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Opens it to look at it, which takes one of the two permissions.
pub(crate) fn look(name: &str) -> Result<Queue, Failure> {
    open(name, Access::Recv).or_else(|denied| open(name, Access::Send).map_err(|_| denied))
}

pub(crate) fn json_of(stat: &mqueue::Stat) -> Value {
    json!({
        "messages": stat.messages,
        "messages_max": stat.messages_max,
        "bytes_max": stat.bytes_max,
        "uid": stat.uid,
        "gid": stat.gid,
        "mode": format!("{:04o}", stat.mode),
    })
}

impl Stat {
    fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        let stat = look(&self.name)?.stat().map_err(Failure::of)?;
        if self.json {
            context.out.json(&json_of(&stat))?;
            return Ok(ExitCode::SUCCESS);
        }
        let row = |key: &str, value: String| vec![key.to_owned(), value];
        context.out.table(&[
            row(
                "messages",
                format!("{} of {}", stat.messages, stat.messages_max),
            ),
            row("bytes", format!("up to {} in a message", stat.bytes_max)),
            row("owner", format!("uid {}, gid {}", stat.uid, stat.gid)),
            row("mode", format!("{:04o}", stat.mode)),
        ])?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Set {
    fn run(self) -> Result<ExitCode, Failure> {
        let changed = look(&self.name)?.set_mode(self.mode);
        changed.map_err(Failure::of)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Names {
    fn run(self, context: &Context) -> ExitCode {
        let mut status = ExitCode::SUCCESS;
        for name in &self.names {
            if let Err(error) = mqueue::unlink(name) {
                context.note(&match error.kind() {
                    ErrorKind::NotFound => format!("there is no {}", error.subject()),
                    _ => Failure::of(error).message,
                });
                status = ExitCode::FAILURE;
            }
        }
        status
    }
}

impl List {
    fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        let names = mqueue::list().map_err(Failure::of)?;
        if self.json {
            context.out.json(&Value::from(names))?;
            return Ok(ExitCode::SUCCESS);
        }
        for name in names {
            // Anybody chose it, and it may speak the terminal's language.
            context.out.line(&escaped(name.as_bytes(), true))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
