//! `strait pipe`: NT named pipes, joined to standard input and output.

mod relay;

use std::io::Read as _;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use clap::{Args, Subcommand};
use strait::nt::lpc;
use strait::nt::pipe::{self, Client, Part, ReadMode, Server, Session, Timeout};
use strait::{Error, ErrorKind, Namespace, Security};

use self::relay::{Came, copy_in, is_one_clients, relay};
use crate::child::Ends;
use crate::context::Context;
use crate::failure::{Failure, TIMED_OUT};
use crate::objects::Limit;
use crate::value;

/// What the names of pipes begin with.
const PREFIX: &str = r"\\.\pipe\";
/// Names in the machine's namespace, and in the user's own.
const GLOBAL: &str = r"Global\";
const LOCAL: &str = r"Local\";
/// Longest reply to a call, in bytes.
const REPLY_MAX: usize = 1 << 20;

/// The verbs of named pipes.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Listen(Listen),
    Connect(Connect),
    Call(Call),
    Wait(Wait),
    Ls(List),
}

/// Serve a pipe, and join a client to standard input and output
#[derive(Args, Debug)]
#[command(
    after_help = "Serves one client, and ends when both ways have ended: the client's at the \
                  end of what it sends, this one's at the end of standard input (`< \
                  /dev/null` sends nothing; from a terminal it is not waited for). Others \
                  hear meanwhile that the pipe is busy. To a pipe of messages each line of \
                  standard input is sent as one, and each that comes is a line of standard \
                  output.\n\
                  Exit status: 0 at the end, 124 when no client came in time, 125 on an error, \
                  such as a client that died, or did not read all of standard input.\n\
                  Example: strait pipe listen log --message < /dev/null | jq ."
)]
pub(crate) struct Listen {
    /// Its name, with or without \\.\pipe\; case does not count. Global\NAME is the machine's
    name: String,
    /// Each write is a message
    #[arg(long)]
    message: bool,
    /// Serve one client after the other until this is ended; standard input is not sent
    #[arg(long, conflicts_with = "timeout")]
    keep: bool,
    /// Permission bits in octal: who may write may connect
    #[arg(long, value_name = "OCTAL", value_parser = value::mode, default_value = "0600")]
    mode: u32,
    /// Bytes that may lie unread each way until writes wait, 1 to 16M
    #[arg(long, value_name = "SIZE", value_parser = value::size, default_value = "64K")]
    quota: u64,
    /// Print the name once clients can connect
    #[arg(long)]
    ready: bool,
    #[command(flatten)]
    limit: Limit,
}

/// Open a pipe, and join it to standard input and output
#[derive(Args, Debug)]
#[command(
    after_help = "Sends standard input to its end and tells the server so, then goes on until the \
                  server has sent all of its own. The time is how long to wait for an instance; a \
                  server that does not answer is given one second at least.\n\
                  Exit status: 0 once both ways have ended and the server has read everything, \
                  124 when all instances were busy for that time, 125 on an error, such as a \
                  server that died, or did not read all of standard input.\n\
                  Example: make 2>&1 | strait pipe connect log"
)]
pub(crate) struct Connect {
    /// Its name, with or without \\.\pipe\; case does not count. Global\NAME is the machine's
    name: String,
    /// Do not tell the server of the end of standard input, but stay until it closes: for servers
    /// that drop who has ended
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    limit: Limit,
}

/// Open a pipe of messages, send one, print the reply and a newline, and close
#[derive(Args, Debug)]
#[command(
    after_help = "Exit status: 0 with a reply, 124 when there was none in that time, 125 on an \
                  error.\n\
                  Example: strait pipe call calc '2+2'"
)]
pub(crate) struct Call {
    /// Its name, with or without \\.\pipe\; case does not count. Global\NAME is the machine's
    name: String,
    /// What to send, without a newline after it (`strait port call` adds one); standard input, as
    /// it is, if not given
    text: Option<String>,
    /// Exactly the bytes of the reply, without a newline after them
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    limit: Limit,
}

/// Wait until an instance of a pipe listens
#[derive(Args, Debug)]
#[command(
    after_help = "Without a time the server's own is taken, 50 ms unless it says otherwise. A \
                  server that does not answer is given one second at least.\n\
                  Exit status: 0 when one listens, 124 when time ran out, 125 on an error.\n\
                  Example: strait pipe wait log --timeout 5s && strait pipe connect log"
)]
pub(crate) struct Wait {
    /// Its name, with or without \\.\pipe\; case does not count. Global\NAME is the machine's
    name: String,
    #[command(flatten)]
    limit: Limit,
}

/// List the pipes that somebody serves
#[derive(Args, Debug)]
#[command(after_help = "Example: strait pipe ls --json")]
pub(crate) struct List {
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Verb {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        match self {
            Self::Listen(listen) => listen.run(context).map_err(Failure::into_error),
            Self::Connect(connect) => connect.run(context).map_err(Failure::into_error),
            Self::Call(call) => call.run(context).map_err(Failure::into_error),
            Self::Wait(wait) => wait.run(context).map_err(Failure::into_error),
            Self::Ls(list) => context.list(list.json, names),
        }
    }
}

/// A name, and where it leads.
struct Named {
    space: Namespace,
    /// In full.
    full: String,
    /// As a person knows it.
    shown: String,
}

impl Named {
    fn find(context: &Context, name: &str) -> Result<Self, Failure> {
        if let Some(rest) = name.strip_prefix(GLOBAL) {
            let space = Namespace::global().map_err(|error| match error.kind() {
                ErrorKind::NotFound => Failure::new(format!(
                    "{name}: this machine has no Global namespace (`sudo strait doctor --fix` \
                     makes it)"
                )),
                _ => Failure::of(error),
            })?;
            return Ok(Self {
                space,
                full: format!("{PREFIX}{rest}"),
                shown: name.to_owned(),
            });
        }
        let rest = name.strip_prefix(LOCAL).unwrap_or(name);
        let full = if rest.starts_with(r"\\") {
            rest.to_owned()
        } else {
            format!("{PREFIX}{rest}")
        };
        Ok(Self {
            space: context.space()?,
            shown: full.clone(),
            full,
        })
    }

    /// What the library says of the pipe, with the cure where it has one.
    fn explain(&self, name: &str, error: Error) -> Failure {
        let (shown, word) = (&self.shown, value::quoted(name));
        match error.kind() {
            ErrorKind::NotFound if self.is_port() => Failure::new(format!(
                "{name} is a port, not a pipe: `strait port call {word}` speaks with it"
            )),
            ErrorKind::NotFound => Failure::new(format!(
                "nobody serves {shown} (`strait pipe listen {word}` does, `strait pipe ls` lists \
                 them)"
            )),
            ErrorKind::Busy => Failure::new(format!(
                "all instances of {shown} are in use (`strait pipe wait {word}` waits for one)"
            )),
            _ => Failure::of(error),
        }
    }

    fn is_port(&self) -> bool {
        let name = self.full.strip_prefix(PREFIX).unwrap_or_default();
        lpc::names(&self.space).is_ok_and(|ports| ports.iter().any(|port| port == name))
    }
}

/// The names of the pipes of a namespace, as the verbs take them.
fn names(space: &Namespace) -> strait::Result<Vec<String>> {
    let names = pipe::names(space)?;
    if Namespace::global().is_ok_and(|global| global.path() == space.path()) {
        let bare = names.iter().filter_map(|name| name.strip_prefix(PREFIX));
        return Ok(bare.map(|name| format!("{GLOBAL}{name}")).collect());
    }
    Ok(names)
}

/// Says that the time is up, for what.
fn timed_out(context: &Context, shown: &str, why: &str) -> ExitCode {
    context.note(&format!("{shown}: {why}"));
    TIMED_OUT.into()
}

impl Listen {
    fn run(&self, context: &mut Context) -> Result<ExitCode, Failure> {
        let named = Named::find(context, &self.name)?;
        // Before there are threads that a signal could end the program by.
        let ends = Ends::begin()?;
        let server = Arc::new(self.serve(&named)?);
        let closing = server.clone();
        let ended = ends.first(move || closing.close())?;
        if self.ready {
            context.out.line(server.name())?;
            context.out.finish()?;
        }
        if self.keep {
            return self
                .keep(context, &server)
                .map_err(|failure| ended.or(failure));
        }
        let session = match self.limit.timeout {
            None => Some(server.connect().map_err(Failure::of)),
            Some(timeout) => connect_for(&server, timeout).transpose(),
        };
        let session = session.transpose().map_err(|failure| ended.or(failure))?;
        let Some(session) = session else {
            server.close();
            return Ok(timed_out(context, &named.shown, "no client came in time"));
        };
        let relayed = relay(session, self.message, false);
        // Also where the session stays open, since it failed.
        server.close();
        relayed.map(|()| ExitCode::SUCCESS)
    }

    fn serve(&self, named: &Named) -> Result<Server, Failure> {
        let quota = match usize::try_from(self.quota).unwrap_or(usize::MAX) {
            0 => return Err(Failure::new("a quota has 1 byte at least")),
            quota => quota,
        };
        let mut options = Server::options(&named.full)
            .namespace(&named.space)
            .security(Security::private().mode(self.mode))
            .quotas(quota, quota);
        if self.message {
            options = options.message();
        }
        if !self.keep {
            // Who comes beside the one client hears that it is served, and loses nothing.
            options = options.instances(1);
        }
        options.create().map_err(|error| match error.kind() {
            ErrorKind::Unsupported => Failure::new(format!(
                "{}: another process serves it (`strait pipe ls` lists them)",
                named.shown
            )),
            _ => Failure::of(error),
        })
    }

    /// One client after the other.
    fn keep(&self, context: &Context, server: &Server) -> Result<ExitCode, Failure> {
        loop {
            let session = server.connect().map_err(Failure::of)?;
            match copy_in(&session, self.message)? {
                Ok(Came::All) => {}
                Ok(Came::Unwanted) => {
                    server.close();
                    return Ok(ExitCode::SUCCESS);
                }
                Err(error) if is_one_clients(&error) => context.note(&Failure::of(error).message),
                Err(error) => return Err(Failure::of(error)),
            }
        }
    }
}

fn connect_for(server: &Server, timeout: Duration) -> Result<Option<Session>, Failure> {
    let session = server.instance().map_err(Failure::of)?;
    let mut connecting = loop {
        match session.connect_overlapped() {
            Ok(connecting) => break connecting,
            // It was faster.
            Err(error) if error.win32() == CONNECTED => return Ok(Some(session)),
            // It has come and gone.
            Err(error) if error.win32() == CLOSING => session.disconnect().map_err(Failure::of)?,
            Err(error) => return Err(Failure::of(error)),
        }
    };
    let done = connecting.wait_for(timeout).map_err(Failure::of)?;
    Ok(done.map(|_| session))
}

/// ERROR_PIPE_CONNECTED.
const CONNECTED: u32 = 535;
/// ERROR_NO_DATA.
const CLOSING: u32 = 232;

/// Opens the pipe; waits for an instance if a time is given. `Err`: what to end with.
fn open(
    context: &Context,
    name: &str,
    named: &Named,
    timeout: Option<Duration>,
) -> Result<Result<Client, ExitCode>, Failure> {
    let options = Client::options(&named.full).namespace(&named.space);
    let opened = match timeout {
        Some(timeout) => options.open_for(timeout),
        None => options.open(),
    };
    match opened {
        Ok(client) => Ok(Ok(client)),
        Err(error) if error.kind() == ErrorKind::TimedOut && timeout.is_some() => {
            let why = Failure::reason(&error);
            Ok(Err(timed_out(context, &named.shown, &why)))
        }
        Err(error) => Err(named.explain(name, error)),
    }
}

impl Connect {
    fn run(&self, context: &mut Context) -> Result<ExitCode, Failure> {
        let named = Named::find(context, &self.name)?;
        let client = match open(context, &self.name, &named, self.limit.timeout)? {
            Ok(client) => client,
            Err(status) => return Ok(status),
        };
        let by_messages = client.is_message();
        if by_messages {
            client
                .set_read_mode(ReadMode::Message)
                .map_err(Failure::of)?;
        }
        relay(client, by_messages, self.keep)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Call {
    fn run(&self, context: &mut Context) -> Result<ExitCode, Failure> {
        let request = match &self.text {
            Some(text) => text.clone().into_bytes(),
            None => {
                let mut bytes = Vec::new();
                let read = std::io::stdin().read_to_end(&mut bytes);
                read.map_err(|error| Failure::io("read standard input", &error))?;
                bytes
            }
        };
        let left = self.limit.begin();
        let named = Named::find(context, &self.name)?;
        let client = match open(context, &self.name, &named, left())? {
            Ok(client) => client,
            Err(status) => return Ok(status),
        };
        if !client.is_message() {
            return Err(Failure::new(format!(
                "{} is a pipe of bytes: `strait pipe connect` speaks with it",
                named.shown
            )));
        }
        client
            .set_read_mode(ReadMode::Message)
            .map_err(Failure::of)?;
        let Some((part, reply)) = transact(client, request, left())? else {
            return Ok(timed_out(context, &named.shown, "no reply came in time"));
        };
        if part.more {
            return Err(Failure::new(format!(
                "the reply has more than {REPLY_MAX} bytes"
            )));
        }
        context.out.bytes(&reply[..part.len])?;
        if !self.raw {
            context.out.bytes(b"\n")?;
        }
        context.out.finish()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A request and its reply. `None`: the time ran out.
fn transact(
    client: Client,
    request: Vec<u8>,
    timeout: Option<Duration>,
) -> Result<Option<(Part, Vec<u8>)>, Failure> {
    let transact = move || {
        let mut reply = vec![0; REPLY_MAX];
        let part = client.transact(&request, &mut reply)?;
        Ok((part, reply))
    };
    let Some(timeout) = timeout else {
        return transact().map(Some).map_err(Failure::of);
    };
    // This program ends while it waits.
    let (tell, told) = mpsc::channel();
    let started = thread::Builder::new().spawn(move || tell.send(transact()));
    started.map_err(|error| Failure::io("start a thread", &error))?;
    let done = told.recv_timeout(timeout).ok();
    done.transpose().map_err(Failure::of)
}

impl Wait {
    fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let timeout = self.limit.timeout.map_or(Timeout::Default, Timeout::For);
        let named = Named::find(context, &self.name)?;
        match pipe::wait_for_in(&named.space, &named.full, timeout) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                let why = Failure::reason(&error);
                Ok(timed_out(context, &named.shown, &why))
            }
            Err(error) => Err(named.explain(&self.name, error)),
        }
    }
}
