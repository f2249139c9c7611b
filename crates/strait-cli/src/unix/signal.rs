//! `strait signal`: sending, waiting, and what a process does about signals.

use std::num::NonZeroU32;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;
use strait::unix::signal::{self, Code, DefaultAction, Received, Set, Signal, Value};

use crate::context::Context;
use crate::failure::{Failure, TIMED_OUT};
use crate::objects::Limit;

/// The verbs of signals.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Send(Send),
    Wait(Wait),
    List(List),
    Show(Show),
}

/// Send a signal, with a value if one is given
#[derive(Args, Debug)]
#[command(
    after_help = "SIGNAL is a name or a number: TERM, SIGTERM, 15, RTMIN+3. Real-time signals \
                  queue, in order and with their values; of another one, only the first is kept \
                  until it is taken.\n\
                  Example: strait signal send RTMIN+3 4711 --value 42"
)]
pub(crate) struct Send {
    /// Its name or number, such as TERM, 15 or RTMIN+3
    #[arg(value_parser = named)]
    signal: Signal,
    /// Processes, by their numbers
    #[arg(required = true, value_name = "PID")]
    pids: Vec<u32>,
    /// A number that goes with it: sigqueue(3)
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = value)]
    value: Option<Value>,
    /// Only to this thread of the one process
    #[arg(long, value_name = "TID")]
    thread: Option<u32>,
    /// To every process of the groups that these processes lead
    #[arg(long, conflicts_with_all = ["value", "thread"])]
    group: bool,
}

/// Wait for a signal, take it, and print what came with it
///
/// A line has the name, the number, who sent it, its value and how it was sent. Without --ready
/// nobody knows when it may be sent: before this program waits, most signals end it.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit status: 0 when one came, 124 when time ran out, 125 on an error.\n\
                  Example: strait signal wait USR1 --ready | { read pid; ./worker $pid; cat; }"
)]
pub(crate) struct Wait {
    /// Their names or numbers, such as TERM, 15 or RTMIN+3
    #[arg(required = true, value_name = "SIGNAL", value_parser = named)]
    signals: Vec<Signal>,
    #[command(flatten)]
    limit: Limit,
    /// Once it may be sent, first print this program's number on a line; with --json as
    /// {"ready":true,"pid":4711}
    #[arg(long)]
    ready: bool,
    /// Take so many, not one; the time is for all of them
    #[arg(long, value_name = "N", default_value = "1")]
    count: NonZeroU32,
    /// JSON instead of text: all that came in one object, at the end
    #[arg(long)]
    json: bool,
}

/// List all signals: number, name, and what it does by default
#[derive(Args, Debug)]
pub(crate) struct List {
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

/// Show what a process has pending, blocks, ignores and handles
#[derive(Args, Debug)]
pub(crate) struct Show {
    /// Its number
    pid: u32,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

/// A signal by its name or number.
pub(crate) fn named(text: &str) -> Result<Signal, String> {
    text.parse()
        .map_err(|wrong: signal::NotASignal| wrong.to_string())
}

fn value(text: &str) -> Result<Value, String> {
    let int = text.parse::<i32>().map(Value::from);
    int.or_else(|_| text.parse::<usize>().map(Value::from))
        .map_err(|_| "write a number of 32 bits, or a larger one without a sign".to_owned())
}

impl Verb {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        match self {
            Self::Send(send) => send.run(context),
            Self::Wait(wait) => wait.run(context).map_err(Failure::into_error),
            Self::List(list) => list.run(context),
            Self::Show(show) => show.run(context),
        }
    }
}

impl Send {
    fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        if self.thread.is_some() && self.pids.len() != 1 {
            return Err(Failure::new("--thread is of one process: give one PID"));
        }
        let mut status = ExitCode::SUCCESS;
        for pid in &self.pids {
            if let Err(error) = self.send(*pid) {
                // The others are still to hear of it.
                context.note(&Failure::of(error).message);
                status = ExitCode::FAILURE;
            }
        }
        Ok(status)
    }

    fn send(&self, pid: u32) -> strait::Result<()> {
        match (self.thread, self.value) {
            _ if self.group => signal::send_group(pid, self.signal),
            (None, None) => signal::send(pid, self.signal),
            (None, Some(value)) => signal::send_value(pid, self.signal, value),
            (Some(thread), None) => signal::send_thread(pid, thread, self.signal),
            (Some(thread), Some(value)) => {
                signal::send_thread_value(pid, thread, self.signal, value)
            }
        }
    }
}

impl Wait {
    fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        let set = Set::new(self.signals.iter().copied());
        let signals = set.block().map_err(Failure::of)?;
        if self.ready {
            let pid = std::process::id();
            match self.json {
                true => context
                    .out
                    .json_line(&json!({ "ready": true, "pid": pid }))?,
                false => context.out.line(&pid.to_string())?,
            }
            context.out.finish()?;
        }
        let time_left = self.limit.begin();
        let mut left = self.count.get();
        let mut told = Vec::new();
        while left > 0 {
            let received = match time_left() {
                Some(time) => signals.recv_for(time),
                None => signals.recv().map(Some),
            };
            let Some(received) = received.map_err(Failure::of)? else {
                break;
            };
            if self.json {
                told.push(as_json(&received));
            } else {
                context.out.line(&as_line(&received))?;
                context.out.finish()?;
            }
            left -= 1;
        }
        // What comes from now on is nobody's: unblocked, it would end this program.
        std::mem::forget(signals);
        let timed_out = left > 0;
        if self.json {
            let told = json!({ "timed_out": timed_out, "received": told });
            context.out.json(&told)?;
        }
        match timed_out {
            true => Ok(TIMED_OUT.into()),
            false => Ok(ExitCode::SUCCESS),
        }
    }
}

/// `SIGRTMIN+3 37 pid=4711 uid=1000 value=42 code=queue`
fn as_line(received: &Received) -> String {
    let mut line = format!("{} {}", received.signal, received.signal.number());
    if let Some(sender) = received.sender {
        line += &format!(" pid={} uid={}", sender.pid, sender.uid);
    }
    if let Some(value) = received.value {
        line += &format!(" value={}", shown(value));
    }
    line + " code=" + &code(received.code)
}

/// The same for machines.
pub(crate) fn as_json(received: &Received) -> serde_json::Value {
    let sender = received
        .sender
        .map(|sender| json!({ "pid": sender.pid, "uid": sender.uid, "claimed": sender.claimed }));
    json!({
        "signal": received.signal.to_string(),
        "number": received.signal.number(),
        "code": code(received.code),
        "sender": sender,
        "value": received.value.map(shown),
    })
}

/// What does not fit an int was no int.
fn shown(value: Value) -> i128 {
    match u32::try_from(value.word()) {
        Ok(_) => value.int().into(),
        Err(_) => value.word() as i128,
    }
}

fn code(code: Code) -> String {
    match code {
        Code::Kill => "kill".into(),
        Code::Thread => "thread".into(),
        Code::Queue => "queue".into(),
        Code::Timer { .. } => "timer".into(),
        Code::MessageQueue => "message-queue".into(),
        Code::AsyncIo => "async-io".into(),
        Code::Child(change) => format!("child:{change:?}").to_lowercase(),
        Code::Poll { .. } => "poll".into(),
        Code::Kernel => "kernel".into(),
        Code::Other(number) => number.to_string(),
        _ => "unknown".into(),
    }
}

impl List {
    fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        let rows: Vec<_> = Signal::all()
            .map(|one| (one.number(), one.to_string(), action(one)))
            .collect();
        if self.json {
            let entries = rows.iter().map(
                |(number, name, does)| json!({ "number": number, "name": name, "default": does }),
            );
            context.out.json(&entries.collect::<Vec<_>>())?;
        } else {
            let rows = rows.into_iter();
            let rows: Vec<_> = rows
                .map(|(number, name, action)| vec![number.to_string(), name, action.into()])
                .collect();
            context.out.table(&rows)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn action(signal: Signal) -> &'static str {
    match signal.default_action() {
        DefaultAction::Terminate => "terminate",
        DefaultAction::Core => "core",
        DefaultAction::Ignore => "ignore",
        DefaultAction::Stop => "stop",
        DefaultAction::Continue => "continue",
    }
}

impl Show {
    fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        let look = signal::look(self.pid).map_err(Failure::of)?;
        let sets = [
            ("pending", look.pending),
            ("blocked", look.blocked),
            ("ignored", look.ignored),
            ("handled", look.handled),
        ];
        if self.json {
            let names = |set: Set| set.iter().map(|one| one.to_string()).collect::<Vec<_>>();
            let mut told = json!({
                "pid": self.pid,
                "queued": look.queue.queued,
                "queue_limit": look.queue.limit,
            });
            for (name, set) in sets {
                told[name] = json!(names(set));
            }
            context.out.json(&told)?;
            return Ok(ExitCode::SUCCESS);
        }
        let limit = look.queue.limit;
        let limit = limit.map_or("any number".into(), |limit| limit.to_string());
        let mut rows: Vec<_> = sets
            .into_iter()
            .map(|(name, set)| {
                vec![
                    name.to_owned(),
                    if set.is_empty() {
                        "-".into()
                    } else {
                        set.to_string()
                    },
                ]
            })
            .collect();
        let queue = format!(
            "{} of {limit}, of all processes of its user",
            look.queue.queued
        );
        rows.push(vec!["queued".into(), queue]);
        context.out.table(&rows)?;
        Ok(ExitCode::SUCCESS)
    }
}
