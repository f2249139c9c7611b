//! `strait port`: LPC ports, questions and answers between processes.

use std::ffi::OsString;
use std::io::Read as _;
use std::process::{ExitCode, Stdio};
use std::thread;

use clap::{Args, Subcommand};
use strait::nt::lpc;
use strait::unix::process;
use strait::{ErrorKind, Security};

use crate::child;
use crate::context::Context;
use crate::failure::{Failure, TIMED_OUT};
use crate::objects::Limit;
use crate::value;

/// Longest reply of a command, in bytes: more is cut off, and said.
const REPLY_MAX: usize = 16 << 20;

/// The verbs of ports.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Serve(Serve),
    Call(Call),
    Ls(List),
}

/// Answer each request with what a command makes of it: the request is its standard input, its
/// standard output the reply
#[derive(Args, Debug)]
#[command(
    after_help = "Without a command the reply is the request. The command finds the caller's \
                  ids in STRAIT_CLIENT_PID, STRAIT_CLIENT_UID and STRAIT_CLIENT_GID. Where it \
                  fails, the caller gets an error instead of a reply.\n\
                  Exit status: 0 at the end, 125 on an error.\n\
                  Example: strait port serve calc -- bc -q"
)]
pub(crate) struct Serve {
    /// Its name
    name: String,
    /// Who may connect, in octal: by the bits for writing
    #[arg(long, value_name = "OCTAL", value_parser = value::mode, default_value = "0600")]
    mode: u32,
    /// How many requests are worked on at a time
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4,
        value_parser = clap::value_parser!(u16).range(1..=256)
    )]
    jobs: u16,
    /// Longest request and reply
    #[arg(long, value_name = "SIZE", value_parser = value::size, default_value = "1M")]
    message_max: u64,
    /// Print a line once clients can connect
    #[arg(long)]
    ready: bool,
    /// What answers
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Send a request, the text and a newline or standard input, and print the reply
#[derive(Args, Debug)]
#[command(
    after_help = "Exit status: 0 with a reply, 124 when none came in time, 125 on an error.\n\
                  Example: strait port call calc '2+2' --timeout 5s"
)]
pub(crate) struct Call {
    /// Its name
    name: String,
    /// What to ask; standard input, as it is, if not given
    text: Option<String>,
    #[command(flatten)]
    limit: Limit,
}

/// List the ports that somebody serves
#[derive(Args, Debug)]
#[command(after_help = "Example: strait port ls --json")]
pub(crate) struct List {
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Verb {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        match self {
            Self::Serve(serve) => serve.run(context).map_err(Failure::into_error),
            Self::Call(call) => call.run(context).map_err(Failure::into_error),
            Self::Ls(list) => context.list(list.json, lpc::names),
        }
    }
}

impl Serve {
    fn run(&self, context: &mut Context) -> Result<ExitCode, Failure> {
        let most = usize::try_from(self.message_max).unwrap_or(usize::MAX);
        let port = lpc::Port::options()
            .namespace(&context.space()?)
            .security(Security::private().mode(self.mode))
            .message_max(most)
            // It looks at messages only.
            .view_max(0)
            .create(&self.name)
            .map_err(|error| match error.kind() {
                ErrorKind::Exists => Failure::new(format!(
                    "{}: another process serves this port (`strait port ls` lists them)",
                    error.subject()
                )),
                _ => Failure::of(error),
            })?;
        if self.ready {
            context.out.line(port.name())?;
            context.out.finish()?;
        }
        let context = &*context;
        let served = thread::scope(|scope| {
            let serve = || {
                let served = port.serve(|call| self.answer(context, call));
                // The others end with the first that cannot go on.
                port.close();
                served
            };
            let workers: Vec<_> = (0..self.jobs).map(|_| scope.spawn(serve)).collect();
            workers
                .into_iter()
                .try_for_each(|worker| match worker.join() {
                    Ok(served) => served.map_err(Failure::of),
                    Err(panic) => std::panic::resume_unwind(panic),
                })
        });
        served.map(|()| ExitCode::SUCCESS)
    }

    fn answer(&self, context: &Context, call: &mut lpc::Call<'_>) -> strait::Result<()> {
        if self.command.is_empty() {
            let request = call.request().to_vec();
            return if call.wants_reply() {
                call.reply(&request)
            } else {
                Ok(())
            };
        }
        match self.ask(call) {
            Ok(reply) if call.wants_reply() => call.reply(&reply),
            Ok(_) => Ok(()),
            Err(failure) => {
                // Its caller is told by the lost reply; the next one may fare better.
                context.note(&failure.message);
                Ok(())
            }
        }
    }

    /// What the command says to the request.
    fn ask(&self, call: &lpc::Call<'_>) -> Result<Vec<u8>, Failure> {
        let mut command = child::command(&self.command)?;
        let client = call.client();
        command
            .env("STRAIT_CLIENT_PID", client.pid.to_string())
            .env("STRAIT_CLIENT_UID", client.uid.to_string())
            .env("STRAIT_CLIENT_GID", client.gid.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let shown = self.command[0].to_string_lossy().into_owned();
        let mut child = process::start(&mut command).map_err(Failure::of)?;
        let output = child
            .communicate(call.request(), REPLY_MAX)
            .map_err(Failure::of)?;
        if output.stdout.truncated {
            return Err(Failure::new(format!(
                "{shown} said more than {REPLY_MAX} bytes"
            )));
        }
        if !output.status.success() {
            return Err(Failure::new(format!("{shown}: {}", output.status)));
        }
        Ok(output.stdout.bytes)
    }
}

impl Call {
    fn run(&self, context: &mut Context) -> Result<ExitCode, Failure> {
        let left = self.limit.begin();
        let request = match &self.text {
            Some(text) => format!("{text}\n").into_bytes(),
            None => {
                let mut bytes = Vec::new();
                let read = std::io::stdin().read_to_end(&mut bytes);
                read.map_err(|error| Failure::io("standard input", &error))?;
                bytes
            }
        };
        let space = context.space()?;
        let options = lpc::Client::options().namespace(&space);
        let connected = match left() {
            Some(left) => options.connect_for(&self.name, left),
            None => options.connect(&self.name),
        };
        let mut client = match connected {
            Ok(client) => client,
            Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(TIMED_OUT.into()),
            Err(error) => return Err(self.not_connected(error)),
        };
        let reply = match left() {
            Some(left) => client.call_for(&request, left).map_err(Failure::of)?,
            None => Some(client.call(&request).map_err(Failure::of)?),
        };
        let Some(reply) = reply else {
            return Ok(TIMED_OUT.into());
        };
        context.out.bytes(reply)?;
        context.out.finish()?;
        Ok(ExitCode::SUCCESS)
    }

    fn not_connected(&self, error: strait::Error) -> Failure {
        match error.kind() {
            ErrorKind::NotFound => Failure::new(format!(
                "{}: nobody serves this port (`strait port serve {} -- CMD` does, \
                 `strait port ls` lists them)",
                error.subject(),
                value::quoted(&self.name)
            )),
            _ => Failure::of(error),
        }
    }
}
