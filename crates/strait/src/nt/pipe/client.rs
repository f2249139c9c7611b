//! The client of a named pipe.

use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use strait_sys::Errno;
use strait_sys::time::Deadline;

use crate::channel::connect::{Answer, SHORT, answered, greet, insist, is_unheard};
use crate::channel::{Channel, Identity, Options, Part};
use crate::error::{Error, ErrorKind, Result};
use crate::nt::pipe::end::{End, Facts, Mode, ReadMode};
use crate::nt::pipe::fault::fault;
use crate::nt::pipe::greeting::{
    Access, Asked, Heard, Nature, PipeName, ROLE, WAIT, WAIT_DEFAULT, asked_to_grow, capacity,
};
use crate::nt::status::NtStatus;
use crate::object::Namespace;

const OPEN: &str = "open pipe";
const WAITING: &str = "wait for pipe";
/// How long a server may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How long it may take where the caller has less time: one that runs answers at once, but who asks
/// without waiting is to hear it.
const ANSWER_MIN: Duration = Duration::from_secs(1);

/// How a client opens a pipe.
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientOptions {
    name: String,
    space: Option<Namespace>,
    access: Access,
    impersonation: bool,
}

impl ClientOptions {
    /// What the client does, in the server's terms: [`Access::Inbound`] to write only,
    /// [`Access::Outbound`] to read only; both unless said otherwise.
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// The server may know who the client is, but not act as the client (SECURITY_IDENTIFICATION).
    pub fn identification(mut self) -> Self {
        self.impersonation = false;
        self
    }

    /// The namespace of the name; the user's own by default.
    pub fn namespace(mut self, namespace: &Namespace) -> Self {
        self.space = Some(namespace.clone());
        self
    }

    /// Opens the pipe. It is read as bytes until
    /// [`set_read_mode`](Client::set_read_mode) says otherwise, also if it carries messages.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] (2) if there is no pipe of that name; [`ErrorKind::Busy`] (231) if
    /// no instance listens: [`wait_for`] one, and if so many connect that the server does not hear
    /// this client for 10 s; [`ErrorKind::Exhausted`] (1450) if the server is out of descriptors or
    /// memory; [`ErrorKind::Denied`] (5) if it does not go that way, or is another user's;
    /// [`ErrorKind::InvalidName`] (123).
    pub fn open(self) -> Result<Client> {
        self.open_within(ANSWER)
    }

    /// Opens the pipe; waits for an instance for at most `timeout`.
    ///
    /// # Errors
    /// As for [`open`](Self::open) and [`wait_for`].
    pub fn open_for(self, timeout: impl Into<Timeout>) -> Result<Client> {
        let (timeout, began) = (timeout.into(), Instant::now());
        let left = || match timeout {
            Timeout::For(time) => Timeout::For(time.saturating_sub(began.elapsed())),
            timeout => timeout,
        };
        let mut waited = false;
        loop {
            let timeout = left();
            match self.clone().open_within(timeout.answer()) {
                Err(error) if error.kind() == ErrorKind::Busy => {
                    // Others were faster, for all of the time.
                    if waited && timeout == Timeout::For(Duration::ZERO) {
                        return Err(fault(NtStatus::IO_TIMEOUT, WAITING, &self.name));
                    }
                    wait_in(&self.name, self.space.as_ref(), timeout)?;
                    waited = true;
                }
                opened => return opened,
            }
        }
    }

    fn open_within(self, answer: Duration) -> Result<Client> {
        let name = PipeName::parse(&self.name, self.space.as_ref(), OPEN)?;
        // Nothing is sent by who only reads.
        let mut bytes = if self.access.server_reads() {
            capacity(0)
        } else {
            4096
        };
        let until = Deadline::after(answer);
        // The server says once how large a ring its quota needs.
        for _ in 0..2 {
            let asked = insist(Some(until), || self.ask(&name, bytes, until));
            match asked
                .map_err(|error| unheard(error, NtStatus::PIPE_NOT_AVAILABLE, OPEN, &name))?
            {
                Asking::Open(client) => return Ok(client),
                Asking::Grow(wanted) => bytes = wanted,
            }
        }
        Err(Error::new(ErrorKind::Broken, OPEN, &*name.shown)
            .because("the server does not know what it wants"))
    }

    fn ask(&self, name: &PipeName, bytes: usize, until: Deadline) -> Result<Asking> {
        let socket = connect(name, OPEN)?;
        let options = Options::new().capacity(bytes);
        let asked = Asked {
            access: self.access,
            impersonation: self.impersonation,
            capacity: bytes as u64,
        };
        let gone = |error: Error| match error.kind() {
            ErrorKind::PeerGone if !is_unheard(&error) => no_pipe(name, OPEN),
            _ => error.during(OPEN, &*name.shown),
        };
        let greeting = greet(&socket, &options, ROLE, &asked.encode()).map_err(gone)?;
        match answered(socket, &options, greeting, Some(until)).map_err(gone)? {
            Answer::Welcome(channel, payload, _) => {
                let nature = Nature::decode(&payload).ok_or_else(|| {
                    Error::new(ErrorKind::Broken, OPEN, &*name.shown)
                        .because("the server does not say what the pipe is")
                })?;
                let client = Client::over(channel, nature, self.access, name)?;
                Ok(Asking::Open(client))
            }
            Answer::Refusal(SHORT, why) => {
                Err(
                    fault(NtStatus::INSUFFICIENT_RESOURCES, OPEN, &name.shown).because(format!(
                        "the server says: {}",
                        String::from_utf8_lossy(&why)
                    )),
                )
            }
            Answer::Refusal(code, _) => match asked_to_grow(code) {
                Some(wanted) => Ok(Asking::Grow(wanted)),
                None => Err(fault(NtStatus(code), OPEN, &name.shown)),
            },
        }
    }
}

enum Asking {
    Open(Client),
    Grow(usize),
}

fn no_pipe(name: &PipeName, verb: &'static str) -> Error {
    fault(NtStatus::OBJECT_NAME_NOT_FOUND, verb, &name.shown)
}

/// The error of a client that the server has not listened to, for all of the time.
fn unheard(error: Error, status: NtStatus, verb: &'static str, name: &PipeName) -> Error {
    // Who could not even connect has been told so.
    if !is_unheard(&error) || error.kind() == ErrorKind::Busy {
        return error;
    }
    fault(status, verb, &name.shown)
        .because("the server hangs up before it hears this client: too many connect")
}

fn connect(name: &PipeName, verb: &'static str) -> Result<OwnedFd> {
    name.place().connect().map_err(|error| match error.kind() {
        ErrorKind::NotFound => no_pipe(name, verb),
        _ => error.during(verb, &*name.shown),
    })
}

/// An open named pipe.
#[derive(Debug)]
pub struct Client {
    pub(super) end: Arc<End>,
    /// Instances that the pipe may have.
    pub(super) max: u8,
}

impl Client {
    /// Options to open the pipe of that name with.
    pub fn options(name: impl Into<String>) -> ClientOptions {
        ClientOptions {
            name: name.into(),
            space: None,
            access: Access::Duplex,
            impersonation: true,
        }
    }

    /// Opens the pipe of that name to read and write.
    ///
    /// # Errors
    /// As for [`ClientOptions::open`].
    pub fn open(name: impl Into<String>) -> Result<Self> {
        Self::options(name).open()
    }

    fn over(channel: Channel, nature: Nature, access: Access, name: &PipeName) -> Result<Self> {
        let facts = Facts {
            message: nature.message,
            reads: access.server_writes(),
            writes: access.server_reads(),
            quota: nature.quota_in,
            server: false,
        };
        let end = End::new(
            channel,
            facts,
            Arc::new(Mode::default()),
            name.shown.clone(),
        )?;
        Ok(Self {
            end,
            max: nature.max,
        })
    }

    #[expect(clippy::unnecessary_wraps, reason = "a session may have none")]
    #[inline]
    fn end(&self, _verb: &'static str) -> Result<impl Deref<Target = Arc<End>>> {
        Ok(&self.end)
    }

    #[expect(clippy::unnecessary_wraps, reason = "a session may have none")]
    fn end_to_peek(&self) -> Result<impl Deref<Target = Arc<End>>> {
        Ok(&self.end)
    }

    fn mode(&self) -> &Mode {
        &self.end.mode
    }

    /// Who the server is, as the kernel said when it made the pipe.
    #[doc(alias = "GetNamedPipeServerProcessId")]
    #[must_use]
    pub fn server(&self) -> Identity {
        Identity::of(&self.end.link)
    }

    /// Whether each write is a message.
    #[must_use]
    pub fn is_message(&self) -> bool {
        self.end.facts.message
    }

    /// Instances that the pipe may have.
    #[must_use]
    pub fn instances_max(&self) -> u32 {
        self.max.into()
    }

    /// The name of the pipe, as it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.end.name
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.end.close();
    }
}

end_methods!(Client);

/// How long to wait for an instance.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Timeout {
    /// As long as the server thinks right: [`ServerOptions::timeout`].
    ///
    /// [`ServerOptions::timeout`]: crate::nt::pipe::ServerOptions::timeout
    Default,
    /// At most so long.
    For(Duration),
    /// For good.
    Forever,
}

impl Timeout {
    /// How long the server may take to answer.
    fn answer(self) -> Duration {
        match self {
            Self::For(time) => time.clamp(ANSWER_MIN, ANSWER),
            Self::Default => ANSWER_MIN,
            Self::Forever => ANSWER,
        }
    }
}

impl From<Duration> for Timeout {
    fn from(timeout: Duration) -> Self {
        Self::For(timeout)
    }
}

/// Waits until an instance of the pipe listens. None is reserved: another client may be faster.
///
/// A server that does not answer at all, as one that is stopped, is given a second where the time
/// is shorter or is left to it, and at most ten.
///
/// # Errors
/// [`ErrorKind::NotFound`] (2) if there is no such pipe, or no more; [`ErrorKind::TimedOut`] (121);
/// [`ErrorKind::Busy`] (231) if so many connect that the server does not hear who waits.
#[doc(alias = "WaitNamedPipe")]
pub fn wait_for(name: &str, timeout: impl Into<Timeout>) -> Result<()> {
    wait_in(name, None, timeout.into())
}

/// [`wait_for`] in a namespace.
///
/// # Errors
/// As for [`wait_for`].
pub fn wait_for_in(space: &Namespace, name: &str, timeout: impl Into<Timeout>) -> Result<()> {
    wait_in(name, Some(space), timeout.into())
}

fn wait_in(name: &str, space: Option<&Namespace>, timeout: Timeout) -> Result<()> {
    let name = PipeName::parse(name, space, WAITING)?;
    let began = Instant::now();
    let answered = ask_wait(&name, WAIT_DEFAULT, Some(Deadline::after(timeout.answer())));
    let answered = answered.map_err(|error| match error.kind() {
        ErrorKind::TimedOut => error.because("its server did not answer in time"),
        _ => error,
    })?;
    let until = match answered {
        Heard::Listens => return Ok(()),
        Heard::WaitFor(default) => match timeout {
            Timeout::Forever => None,
            Timeout::For(time) => Some(time.saturating_sub(began.elapsed())),
            Timeout::Default => Some(default),
        },
    };
    let until = until.map(Deadline::after);
    match ask_wait(&name, WAIT, until)? {
        Heard::Listens => Ok(()),
        Heard::WaitFor(_) => Err(Error::new(ErrorKind::Broken, WAITING, &*name.shown)
            .because("the server answers what was not asked")),
    }
}

fn ask_wait(name: &PipeName, question: &[u8; 8], until: Option<Deadline>) -> Result<Heard> {
    let asked = insist(until, || ask_wait_once(name, question, until));
    let status = match until {
        Some(_) => NtStatus::IO_TIMEOUT,
        None => NtStatus::PIPE_NOT_AVAILABLE,
    };
    asked.map_err(|error| unheard(error, status, WAITING, name))
}

fn ask_wait_once(name: &PipeName, question: &[u8; 8], until: Option<Deadline>) -> Result<Heard> {
    let fail = |errno| Error::kernel(errno, WAITING, &*name.shown);
    let socket = connect(name, WAITING)?;
    send(&socket, question, SendFlags::NOSIGNAL).map_err(fail)?;
    let mut answer = [0; 8];
    loop {
        match recv(&socket, &mut answer, RecvFlags::DONTWAIT) {
            Ok((8, 8)) => return Ok(Heard::decode(answer)),
            Ok(_) => return Err(no_pipe(name, WAITING)),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let left = until.map(|until| {
                    let left = until.left();
                    Timespec {
                        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                        tv_nsec: i64::from(left.subsec_nanos()),
                    }
                });
                let mut fds = [rustix::event::PollFd::new(&socket, PollFlags::IN)];
                match poll(&mut fds, left.as_ref()) {
                    Ok(0) => return Err(fault(NtStatus::IO_TIMEOUT, WAITING, &name.shown)),
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(errno) => return Err(fail(errno)),
                }
            }
            Err(errno) => return Err(fail(errno)),
        }
    }
}

/// Opens the message pipe of that name, sends a request, reads the reply, and closes. Waits for an
/// instance for at most `timeout`.
///
/// # Errors
/// As for [`wait_for`], [`Client::open`] and [`Client::transact`].
#[doc(alias = "CallNamedPipe")]
pub fn call(
    name: &str,
    request: &[u8],
    reply: &mut [u8],
    timeout: impl Into<Timeout>,
) -> Result<Part> {
    Client::options(name).call(request, reply, timeout.into())
}

impl ClientOptions {
    /// [`call`] with these options.
    ///
    /// # Errors
    /// As for [`call`].
    pub fn call(self, request: &[u8], reply: &mut [u8], timeout: Timeout) -> Result<Part> {
        let client = self.open_for(timeout)?;
        client.set_read_mode(ReadMode::Message)?;
        client.transact(request, reply)
    }
}
