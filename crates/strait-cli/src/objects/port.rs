//! `strait port`: LPC ports, questions and answers between processes.

mod jobs;

use std::ffi::OsString;
use std::io::Read as _;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::{Args, Subcommand};
use strait::nt::lpc::{self, Inbox, Message};
use strait::wait;
use strait::{ErrorKind, Namespace, Security};
use strait_sys::signal::Signal;

use self::jobs::{Job, Jobs};
use crate::child::{self, Ends};
use crate::context::Context;
use crate::failure::{Failure, TIMED_OUT};
use crate::objects::Limit;
use crate::value;

/// How often it is looked whether those whose requests are worked on wait still.
const LOOK: Duration = Duration::from_millis(50);

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
                  fails, the caller gets an error that says how instead of a reply. It runs in a \
                  process group of its own, which is ended (SIGTERM, a second later SIGKILL) once \
                  its caller waits no longer, its time is over, or the server is ended by SIGINT, \
                  SIGQUIT, SIGTERM or SIGHUP. What leaves that group is not ended.\n\
                  Exit status: 125 on an error, 126 or 127 for a command that cannot be run or \
                  is not there; else it serves until a signal ends it.\n\
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
    /// How long a command may take, such as 250ms or 5s; for ever if not given
    #[arg(long, value_name = "TIME", value_parser = value::duration)]
    time_max: Option<Duration>,
    /// Longest request and reply, 1G at most
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
    after_help = "Exit status: 0 with a reply, 124 when none came in time, 125 on an error, \
                  which says whether it is the server's.\n\
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
        if !self.command.is_empty() {
            child::check(&self.command)?;
        }
        // Before there are threads, and a name to leave behind.
        let ends = Ends::begin()?;
        let port = self.create(context)?;
        let mut jobs = Jobs::new(
            &self.command,
            usize::try_from(self.message_max).unwrap_or(0),
        );
        jobs.time_max = self.time_max;
        let (jobs, context) = (&jobs, &*context);
        let ended = thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(|| jobs.work(|failure| context.note(failure)));
            }
            let ended = self.serve(&mut port.inbox(), jobs, &ends);
            // Their callers hear of it first, and then the commands.
            port.close();
            jobs.close();
            ended
        })?;
        drop(port);
        Err(ends.die_of(ended))
    }

    fn create(&self, context: &mut Context) -> Result<lpc::Port, Failure> {
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
        Ok(port)
    }

    /// Hands the requests on until a signal comes; which.
    fn serve(&self, inbox: &mut Inbox, jobs: &Jobs<'_>, ends: &Ends) -> Result<Signal, Failure> {
        loop {
            if jobs.is_busy() {
                wait::any_for(&[&ends.readable(), &*inbox], LOOK).map_err(Failure::of)?;
            } else {
                wait::any(&[&ends.readable(), &*inbox]).map_err(Failure::of)?;
            }
            if let Some(signal) = ends.take() {
                return Ok(signal);
            }
            // No answer of a client's fails for another reason than that client.
            match inbox.receive_for(Duration::ZERO).map_err(Failure::of)? {
                Some(Message::Connect(request)) if request.wants_quick() => {
                    let _ = request.refuse(b"it has no Quick form");
                }
                Some(Message::Connect(request)) => drop(request.accept(&[])),
                Some(Message::Request(mut call) | Message::Datagram(mut call)) => {
                    if !self.command.is_empty() {
                        let _ = Job::of(&mut call).map(|job| jobs.push(job));
                    } else if call.wants_reply() {
                        let request = call.request().to_vec();
                        let _ = call.reply(&request);
                    }
                }
                _ => {}
            }
            jobs.look();
        }
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
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                context.note(&format!("{}: the server let nobody in in time", self.name));
                return Ok(TIMED_OUT.into());
            }
            Err(error) => return Err(self.not_connected(error)),
        };
        let reply = match left() {
            Some(left) => client.call_for(&request, left).map_err(Failure::of)?,
            None => Some(client.call(&request).map_err(Failure::of)?),
        };
        let Some(reply) = reply else {
            context.note(&format!("{}: no reply came in time", self.name));
            return Ok(TIMED_OUT.into());
        };
        context.out.bytes(reply)?;
        context.out.finish()?;
        Ok(ExitCode::SUCCESS)
    }

    fn not_connected(&self, error: strait::Error) -> Failure {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::Denied
                if self.name.starts_with(r"Global\") && Namespace::global().is_err() =>
            {
                Failure::no_global(&self.name)
            }
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
