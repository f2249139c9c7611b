//! `strait pipe`: NT named pipes, joined to standard input and output.

use std::io::{BufRead as _, Read as _, Write as _};
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use clap::{Args, Subcommand};
use strait::nt::pipe::{self, Client, Part, ReadMode, Server, Session, Timeout};
use strait::{Error, ErrorKind, Security};

use crate::context::Context;
use crate::failure::{Failure, TIMED_OUT};
use crate::objects::Limit;
use crate::value;

/// What the names of pipes begin with.
const PREFIX: &str = r"\\.\pipe\";
/// What is copied at a time, and the longest line that is sent as a message.
const CHUNK: usize = 64 << 10;
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
    after_help = "Ends when the client does. To a pipe of messages each line of standard \
                  input is sent as one, and each that comes is a line of standard output.\n\
                  Exit status: 0 at the end, 124 when no client came in time, 125 on an error.\n\
                  Example: strait pipe listen log --message | jq ."
)]
pub(crate) struct Listen {
    /// Its name, with or without \\.\pipe\
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
    /// Bytes that may lie unread each way until writes wait
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
    after_help = "Ends when the server closes, or at the end of standard input, once the \
                  server has read everything; the time is how long to wait for an instance.\n\
                  Exit status: 0 at the end, 124 when all instances were busy for that time, 125 \
                  on an error.\n\
                  Example: make 2>&1 | strait pipe connect log"
)]
pub(crate) struct Connect {
    /// Its name, with or without \\.\pipe\
    name: String,
    /// Stay after the end of standard input, until the server closes
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    limit: Limit,
}

/// Open a pipe of messages, send one, print the reply, and close
#[derive(Args, Debug)]
#[command(
    after_help = "Exit status: 0 with a reply, 124 when there was none in that time, 125 on an \
                  error.\n\
                  Example: strait pipe call calc '2+2'"
)]
pub(crate) struct Call {
    /// Its name, with or without \\.\pipe\
    name: String,
    /// What to send; standard input, as it is, if not given
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
    after_help = "Without a time the server's own is taken, 50 ms unless it says otherwise.\n\
                  Exit status: 0 when one listens, 124 when time ran out, 125 on an error.\n\
                  Example: strait pipe wait log --timeout 5s && strait pipe connect log"
)]
pub(crate) struct Wait {
    /// Its name, with or without \\.\pipe\
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
            Self::Ls(list) => context.list(list.json, pipe::names),
        }
    }
}

fn full(name: &str) -> String {
    if name.starts_with(r"\\") {
        name.to_owned()
    } else {
        format!("{PREFIX}{name}")
    }
}

/// What the library says of a pipe, with the cure where it has one.
fn explain(name: &str, error: Error) -> Failure {
    let shown = full(name);
    let word = value::quoted(name);
    match error.kind() {
        ErrorKind::NotFound => Failure::new(format!(
            "nobody serves {shown} (`strait pipe listen {word}` does, `strait pipe ls` lists them)"
        )),
        ErrorKind::Busy => Failure::new(format!(
            "all instances of {shown} are in use (`strait pipe wait {word}` waits for one)"
        )),
        _ => Failure::of(error),
    }
}

/// A handle of a named pipe, of either side.
trait Handle: Send + Sync + 'static {
    fn read(&self, buffer: &mut [u8]) -> strait::Result<Part>;
    fn write(&self, data: &[u8]) -> strait::Result<usize>;
}

impl Handle for Session {
    fn read(&self, buffer: &mut [u8]) -> strait::Result<Part> {
        self.read(buffer)
    }

    fn write(&self, data: &[u8]) -> strait::Result<usize> {
        self.write(data)
    }
}

impl Handle for Client {
    fn read(&self, buffer: &mut [u8]) -> strait::Result<Part> {
        self.read(buffer)
    }

    fn write(&self, data: &[u8]) -> strait::Result<usize> {
        self.write(data)
    }
}

/// Everything that comes, to standard output, until the other end closes.
fn copy_in(handle: &impl Handle, by_messages: bool) -> Result<(), Failure> {
    copy_all(handle, by_messages)?.map_err(Failure::of)
}

/// The same; what the other end did wrong apart from what failed here.
fn copy_all(handle: &impl Handle, by_messages: bool) -> Result<strait::Result<()>, Failure> {
    // Locked for each write alone: this program ends while a read waits.
    let mut out = std::io::stdout();
    let mut buffer = vec![0; CHUNK];
    loop {
        let part = match handle.read(&mut buffer) {
            Ok(part) => part,
            Err(error) if error.kind() == ErrorKind::PeerGone => return Ok(Ok(())),
            Err(error) => return Ok(Err(error)),
        };
        let written = out.write_all(&buffer[..part.len]).and_then(|()| {
            if by_messages && !part.more {
                out.write_all(b"\n")?;
            }
            out.flush()
        });
        match written {
            Ok(()) => {}
            // Nobody reads any more: nothing more is wanted.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(Ok(())),
            Err(error) => return Err(Failure::io("write standard output", &error)),
        }
    }
}

/// Standard input to its end: as it comes, or a message for each line.
fn copy_out(handle: &impl Handle, by_messages: bool) -> Result<(), Failure> {
    let mut input = std::io::stdin().lock();
    let fail = |error: Error| {
        let mut failure = Failure::of(error);
        failure
            .message
            .push_str("; not all of standard input was sent");
        failure
    };
    if by_messages {
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = input.read_until(b'\n', &mut line);
            if read.map_err(|error| Failure::io("read standard input", &error))? == 0 {
                return Ok(());
            }
            let message = line.strip_suffix(b"\n").unwrap_or(&line);
            handle.write(message).map_err(fail)?;
        }
    }
    let mut buffer = vec![0; CHUNK];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(len) => drop(handle.write(&buffer[..len]).map_err(fail)?),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::io("read standard input", &error)),
        }
    }
}

/// Which way has ended.
enum Ended {
    In(Result<(), Failure>),
    Out(Result<(), Failure>),
}

/// Both ways at once, until what comes has ended; or what goes, unless it is to stay then.
fn relay(handle: &Arc<impl Handle>, by_messages: bool, stays: bool) -> Result<(), Failure> {
    let (tell, ended) = mpsc::channel();
    let start = |run: Box<dyn FnOnce() -> Ended + Send>| {
        let tell = tell.clone();
        let started = thread::Builder::new().spawn(move || tell.send(run()));
        started.map_err(|error| Failure::io("start a thread", &error))
    };
    let (input, output) = (handle.clone(), handle.clone());
    start(Box::new(move || Ended::In(copy_in(&*input, by_messages))))?;
    start(Box::new(move || {
        Ended::Out(copy_out(&*output, by_messages))
    }))?;
    loop {
        match ended.recv() {
            Ok(Ended::In(done)) => return done,
            Ok(Ended::Out(Err(failure))) => return Err(failure),
            Ok(Ended::Out(Ok(()))) if stays => {}
            Ok(Ended::Out(Ok(()))) | Err(_) => return Ok(()),
        }
    }
}

impl Listen {
    fn run(&self, context: &mut Context) -> Result<ExitCode, Failure> {
        let quota = usize::try_from(self.quota).unwrap_or(usize::MAX);
        let mut options = Server::options(full(&self.name))
            .namespace(&context.space()?)
            .security(Security::private().mode(self.mode))
            .quotas(quota, quota);
        if self.message {
            options = options.message();
        }
        let server = options.create().map_err(|error| match error.kind() {
            ErrorKind::Unsupported => Failure::new(format!(
                "{}: another process serves it (`strait pipe ls` lists them)",
                full(&self.name)
            )),
            _ => Failure::of(error),
        })?;
        if self.ready {
            context.out.line(server.name())?;
            context.out.finish()?;
        }
        if self.keep {
            loop {
                let session = server.connect().map_err(Failure::of)?;
                match copy_all(&session, self.message)? {
                    // Others keep to the protocol.
                    Err(error) if error.kind() == ErrorKind::Broken => {
                        context.note(&Failure::of(error).message);
                    }
                    copied => copied.map_err(Failure::of)?,
                }
            }
        }
        let session = match self.limit.timeout {
            None => server.connect().map_err(Failure::of)?,
            Some(timeout) => match connect_for(&server, timeout)? {
                Some(session) => session,
                None => return Ok(TIMED_OUT.into()),
            },
        };
        relay(&Arc::new(session), self.message, true)?;
        Ok(ExitCode::SUCCESS)
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

/// Opens the pipe; waits for an instance if a time is given. `None`: it ran out.
fn open(
    context: &Context,
    name: &str,
    left: &impl Fn() -> Option<Duration>,
) -> Result<Option<Client>, Failure> {
    let space = context.space()?;
    loop {
        match Client::options(full(name)).namespace(&space).open() {
            Ok(client) => return Ok(Some(client)),
            Err(error) if error.kind() == ErrorKind::Busy && left().is_some() => {}
            Err(error) => return Err(explain(name, error)),
        }
        let timeout = left().unwrap_or_default();
        match pipe::wait_for_in(&space, &full(name), timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(None),
            Err(error) => return Err(explain(name, error)),
        }
    }
}

impl Connect {
    fn run(&self, context: &mut Context) -> Result<ExitCode, Failure> {
        let Some(client) = open(context, &self.name, &self.limit.begin())? else {
            return Ok(TIMED_OUT.into());
        };
        let by_messages = client.is_message();
        if by_messages {
            client
                .set_read_mode(ReadMode::Message)
                .map_err(Failure::of)?;
        }
        let client = Arc::new(client);
        relay(&client, by_messages, self.keep)?;
        // What was written is read, or the server is gone.
        match client.flush() {
            Err(error) if error.kind() != ErrorKind::PeerGone => Err(Failure::of(error)),
            _ => Ok(ExitCode::SUCCESS),
        }
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
        let Some(client) = open(context, &self.name, &left)? else {
            return Ok(TIMED_OUT.into());
        };
        if !client.is_message() {
            let shown = full(&self.name);
            return Err(Failure::new(format!(
                "{shown} is a pipe of bytes: `strait pipe connect` speaks with it"
            )));
        }
        client
            .set_read_mode(ReadMode::Message)
            .map_err(Failure::of)?;
        let Some((part, reply)) = transact(client, request, left())? else {
            return Ok(TIMED_OUT.into());
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
        match pipe::wait_for_in(&context.space()?, &full(&self.name), timeout) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) if error.kind() == ErrorKind::TimedOut => Ok(TIMED_OUT.into()),
            Err(error) => Err(explain(&self.name, error)),
        }
    }
}
