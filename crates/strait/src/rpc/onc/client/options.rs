//! How a client calls, and where to.

use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use rustix::net::sockopt::{set_tcp_nodelay, socket_type};
use rustix::net::{SocketType, getpeername};
use strait_sys::Errno;
use strait_sys::time::Deadline;
use strait_wire::onc::auth::{AuthSys, Gids, OpaqueAuth};
use strait_wire::onc::client::Retry;
use strait_wire::onc::client::{self as machine, Form, IN_FLIGHT_MAX, RETRY_FIRST, RETRY_MAX};
use strait_wire::onc::message::Xid;
use strait_wire::onc::record::RECORD_MAX;
use strait_wire::xdr;

use super::Client;
use super::calls::Calls;
use super::channel;
use super::connection::Connection;
use super::failure::End;
use super::gss::Terms;
use super::transport::{Halves, Socket, Transport};
use crate::error::{Error, ErrorKind, Result};
use crate::object::space::Namespace;
use crate::rpc::onc::{random, tls};
use crate::unix::socket::{Address, Datagram, Stream};

/// How long a call may take unless [`ClientOptions::timeout`] says otherwise: as long as with
/// libtirpc.
pub const TIMEOUT: Duration = Duration::from_secs(25);
/// Bytes of replies that are kept for calls nobody waits for yet, unless
/// [`ClientOptions::uncollected_max`] says otherwise.
pub const UNCOLLECTED_MAX: usize = 64 << 20;

/// How a client calls. The last step says where to: [`tcp`](Self::tcp), [`udp`](Self::udp),
/// [`local`](Self::local), [`channel`](Self::channel), [`stream`](Self::stream),
/// [`halves`](Self::halves).
#[derive(Clone, Debug)]
#[must_use = "it is no client yet"]
pub struct ClientOptions {
    pub(super) timeout: Duration,
    pub(super) credential: OpaqueAuth<'static>,
    pub(super) record_max: usize,
    in_flight_max: usize,
    uncollected_max: usize,
    retry: Retry,
    pub(super) xdr: xdr::Limits,
    pub(super) space: Option<Namespace>,
    pub(super) tls: Option<tls::Wanted>,
    pub(super) gss: Option<Terms>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            timeout: TIMEOUT,
            credential: OpaqueAuth::NONE,
            record_max: RECORD_MAX,
            in_flight_max: IN_FLIGHT_MAX,
            uncollected_max: UNCOLLECTED_MAX,
            retry: Retry {
                first: RETRY_FIRST,
                max: RETRY_MAX,
            },
            xdr: xdr::Limits::default(),
            space: None,
            tls: None,
            gss: None,
        }
    }
}

impl ClientOptions {
    /// How long a call may take, in place of [`TIMEOUT`], and how long it may take to connect.
    /// [`Duration::MAX`]: as long as it takes.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Who calls, in place of AUTH_NONE.
    pub fn credential(self, credential: OpaqueAuth<'static>) -> Self {
        Self { credential, ..self }
    }

    /// Calls as this process: AUTH_SYS with its effective user and group, the first 16 of its other
    /// groups, and the name of the machine, as they are now.
    pub fn sys(self) -> Self {
        let groups = rustix::process::getgroups().unwrap_or_default();
        let groups: Vec<u32> = groups
            .into_iter()
            .map(rustix::process::Gid::as_raw)
            .collect();
        let machine = rustix::system::uname();
        let sys = AuthSys {
            stamp: random_word(),
            machine_name: machine.nodename().to_bytes().into(),
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            gids: Gids::first_of(&groups),
        };
        let credential = OpaqueAuth::sys(&sys);
        // A machine's name has at most 64 bytes: it fits.
        self.credential(credential.unwrap_or_default())
    }

    /// Calls in flight at once, together with replies that were not collected, in place of 4096.
    pub fn in_flight_max(self, max: usize) -> Self {
        let in_flight_max = max;
        Self {
            in_flight_max,
            ..self
        }
    }

    /// Bytes of replies to calls that were [begun](Client::begin) and that nobody waits for yet, in
    /// place of 64 MiB ([`UNCOLLECTED_MAX`]). One that comes when there is no room for it is
    /// dropped, and its call ends with
    /// [`LimitExceeded`](crate::error::ErrorKind::LimitExceeded): it has been carried out. Replies
    /// are read while somebody waits for one, so that calls begun in great number with long replies
    /// are to be waited for in between. An [`AsyncClient`](super::AsyncClient) has no such calls.
    pub fn uncollected_max(self, bytes: usize) -> Self {
        let uncollected_max = bytes;
        Self {
            uncollected_max,
            ..self
        }
    }

    /// The longest reply that is received from a stream, in bytes, in place of 4 MiB. A longer one
    /// ends the connection.
    pub fn record_max(self, max: usize) -> Self {
        let record_max = max;
        Self { record_max, ..self }
    }

    /// How deep results may be nested, in place of 200 levels, and what their padding may hold, in
    /// place of zero alone.
    pub fn xdr(self, xdr: xdr::Limits) -> Self {
        Self { xdr, ..self }
    }

    /// When a datagram without a reply is sent again: after `first`, in place of 0.5 s; the time
    /// doubles with each sending up to `max`, in place of 8 s.
    pub fn retry(self, first: Duration, max: Duration) -> Self {
        let retry = Retry { first, max };
        Self { retry, ..self }
    }

    /// The namespace of the name of a [`channel`](Self::channel); the user's own unless said.
    pub fn namespace(self, space: &Namespace) -> Self {
        let space = Some(space.clone());
        Self { space, ..self }
    }

    /// Calls within TLS, over TCP and other stream sockets, and over nothing else: see
    /// [`tls`](crate::rpc::onc::tls). `of` is the number and version of a program that is served
    /// there, whose procedure 0 is asked.
    #[cfg(feature = "tls")]
    pub fn tls(self, tls: tls::Tls, of: (u32, u32)) -> Self {
        let tls = Some(tls::Wanted::new(tls, of));
        Self { tls, ..self }
    }

    /// The same socket within TLS, if that is asked for; `limit` is when, and after what time, it
    /// is given up.
    pub(super) fn secure(
        &self,
        socket: Socket,
        peer: &str,
        limit: (Deadline, Duration),
    ) -> Result<Socket> {
        match &self.tls {
            Some(tls) => tls.start(socket, peer, limit),
            None => Ok(socket),
        }
    }

    /// Refuses what cannot carry TLS, if that is asked for.
    pub(super) fn check_clear(&self, what: &str) -> Result<()> {
        match &self.tls {
            Some(_) => Err(tls::Wanted::nowhere(what)),
            None => Ok(()),
        }
    }

    /// Calls over TCP. Of several addresses the first that answers is taken.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`]: nobody listens there; [`ErrorKind::TimedOut`];
    /// [`ErrorKind::NotFound`]: the name has no address; [`ErrorKind::InvalidInput`]: no port.
    pub fn tcp(self, to: impl ToSocketAddrs) -> Result<Client> {
        let to = resolve(to)?;
        Client::connect(self, Target::Tcp(to))
    }

    /// Calls over UDP: each call and each reply is one datagram, of at most 65,507 bytes. Only what
    /// comes from that address is received.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]: the name has no address; [`ErrorKind::InvalidInput`]: no port.
    pub fn udp(self, to: impl ToSocketAddrs) -> Result<Client> {
        let to = resolve(to)?;
        Client::connect(self, Target::Udp(to))
    }

    /// Calls over a local stream socket.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Denied`]; [`ErrorKind::Refused`]: nobody listens there
    /// any more; [`ErrorKind::TimedOut`].
    pub fn local(self, path: impl AsRef<Path>) -> Result<Client> {
        Client::connect(self, Target::Local(path.as_ref().to_owned()))
    }

    /// Calls over a channel to the server of that name in the [namespace](Self::namespace): the
    /// fastest way within a machine. Each call and each reply is one message.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Denied`]; [`ErrorKind::Refused`]: it has no room, or
    /// what listens there is no server of ONC RPC; [`ErrorKind::TimedOut`].
    pub fn channel(self, name: &str) -> Result<Client> {
        Client::connect(self, Target::Channel(name.to_owned()))
    }

    /// Calls over a connected stream socket that exists: inherited, passed, one end of a pair. Its
    /// receive timeout is this client's from now on.
    ///
    /// # Errors
    /// [`ErrorKind::WrongKind`] if it is no stream socket.
    pub fn stream(self, socket: impl Into<OwnedFd>) -> Result<Client> {
        let (peer, socket) = given(socket.into())?;
        let limit = (Deadline::after(self.timeout), self.timeout);
        let transport = self.secure(socket, &peer, limit)?;
        Ok(Client::over(self, Target::Given(peer), Box::new(transport)))
    }

    /// Calls over anything that can be read and written: two pipes, TLS, a serial line. Both must
    /// block, as they alone can end a wait: a call that reads for all is not ended by its time
    /// while `read` sleeps, and none while `write` does. With a read timeout of its own, `read` is
    /// asked again until the time has run out. With `tls` each call fails: these are
    /// not asked for it.
    pub fn halves(
        self,
        read: impl Read + Send + 'static,
        write: impl Write + Send + 'static,
    ) -> Client {
        let transport = Halves {
            read: Mutex::new(read),
            write: Mutex::new(write),
        };
        let target = Target::Given("a stream".to_owned());
        let closed = self.check_clear("two halves").err();
        let client = Client::over(self, target, Box::new(transport));
        if let Some(error) = closed {
            let end = End::new(error.kind(), error.why());
            client.link().connection.calls(|calls| calls.end(&end));
        }
        client
    }

    /// The book of calls of a new connection.
    pub(super) fn calls(&self, form: Form) -> Calls {
        // Random, so that nobody can guess the next number, and a server that remembers does not
        // take this client for the last one with its address.
        let first = Xid(random_word());
        let machine = match form {
            Form::DATAGRAM => machine::Client::datagrams(first, self.retry),
            Form::RECORD => machine::Client::stream(first),
            _ => machine::Client::messages(first),
        };
        Calls::new(machine, self.in_flight_max, self.uncollected_max)
    }

    pub(super) fn connection(&self, transport: Box<dyn Transport>) -> Connection {
        let calls = self.calls(transport.form());
        Connection::new(transport, calls, self.record_max)
    }
}

/// Where calls go.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Tcp(Vec<SocketAddr>),
    Udp(Vec<SocketAddr>),
    Local(PathBuf),
    Channel(String),
    /// A stream that existed, and what it is called.
    Given(String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(to) | Self::Udp(to) => {
                for (at, address) in to.iter().enumerate() {
                    let comma = if at == 0 { "" } else { ", " };
                    write!(f, "{comma}{address}")?;
                }
                Ok(())
            }
            Self::Local(path) => path.display().fmt(f),
            Self::Channel(what) | Self::Given(what) => f.write_str(what),
        }
    }
}

impl Target {
    /// Connects within that time, and says to what.
    pub(super) fn open(
        &self,
        options: &ClientOptions,
        timeout: Duration,
    ) -> Result<(String, Box<dyn Transport>)> {
        if let Self::Channel(name) = self {
            options.check_clear("a channel")?;
            let name = (options.space.as_ref(), &**name);
            let (peer, ends) = channel::connect(name, options.record_max, timeout)?;
            return Ok((peer, Box::new(ends)));
        }
        if let Self::Udp(_) = self {
            options.check_clear("UDP")?;
        }
        let until = Deadline::after(timeout);
        let (peer, socket) = self.connect(timeout)?;
        let socket = options.secure(socket, &peer, (until, timeout))?;
        Ok((peer, Box::new(socket)))
    }

    /// Connects a socket within that time, and says to what.
    pub(super) fn connect(&self, timeout: Duration) -> Result<(String, Socket)> {
        match self {
            Self::Tcp(to) => first(to, |address| {
                let fd = stream(&Address::Inet(address), timeout)?;
                eager(&fd);
                Ok((address.to_string(), Socket::new(fd, Form::RECORD)))
            }),
            Self::Udp(to) => first(to, |address| {
                let socket = Datagram::connect(&Address::Inet(address));
                let fd = OwnedFd::from(socket.map_err(|error| refused(error, address))?);
                Ok((address.to_string(), Socket::new(fd, Form::DATAGRAM)))
            }),
            Self::Local(path) => {
                let fd = stream(&Address::Path(path.clone()), timeout)?;
                Ok((path.display().to_string(), Socket::new(fd, Form::RECORD)))
            }
            Self::Channel(what) | Self::Given(what) => {
                Err(
                    Error::new(ErrorKind::Unsupported, "reconnect", what.clone())
                        .because("a stream that was given cannot be opened anew from here"),
                )
            }
        }
    }
}

/// A socket that was given, and what it leads to.
pub(super) fn given(fd: OwnedFd) -> Result<(String, Socket)> {
    if socket_type(&fd) != Ok(SocketType::STREAM) {
        return Err(
            Error::new(ErrorKind::WrongKind, "call over", "a descriptor")
                .because("it is no stream socket; `halves` takes anything"),
        );
    }
    eager(&fd);
    let address = getpeername(&fd).ok().flatten();
    let address = address.and_then(|any| SocketAddr::try_from(any).ok());
    let peer = address.map_or_else(
        || "a local socket".to_owned(),
        |address| address.to_string(),
    );
    Ok((peer, Socket::new(fd, Form::RECORD)))
}

/// No call waits until the one before is acknowledged; not every stream has that question.
pub(super) fn eager(fd: &OwnedFd) {
    let _ = set_tcp_nodelay(fd, true);
}

fn stream(to: &Address, timeout: Duration) -> Result<OwnedFd> {
    match Stream::connect_for(to, timeout) {
        Ok(Some(socket)) => Ok(socket.into()),
        Ok(None) => Err(late(to, timeout)),
        Err(error) => Err(refused(error, to)),
    }
}

pub(super) fn late(to: impl fmt::Display, timeout: Duration) -> Error {
    Error::new(ErrorKind::TimedOut, "connect to", to.to_string())
        .because(format!("nobody has answered within {timeout:?}"))
}

/// Nobody listens there: that is said, and not that somebody has gone.
fn refused(error: Error, to: impl fmt::Display) -> Error {
    let is_refused = error.errno() == Some(Errno::CONNREFUSED.raw_os_error());
    let error = error.during("connect to", to.to_string());
    if is_refused {
        return error.with_kind(ErrorKind::Refused);
    }
    error
}

/// What tokio says of a connection.
pub(super) fn connected(error: &std::io::Error, to: impl fmt::Display) -> Error {
    let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
    let error = Error::kernel(errno, "connect to", to.to_string());
    refused(error.because("nobody answers there"), to)
}

/// The first address that works, or the last error.
fn first<T>(to: &[SocketAddr], attempt: impl Fn(SocketAddr) -> Result<T>) -> Result<T> {
    let nowhere = Error::new(ErrorKind::NotFound, "connect to", "no address");
    let mut outcome = Err(nowhere);
    for address in to {
        outcome = attempt(*address);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

pub(super) fn resolve(to: impl ToSocketAddrs) -> Result<Vec<SocketAddr>> {
    let found = to.to_socket_addrs();
    let addresses: Vec<_> = found.map_err(|error| unresolved(&error))?.collect();
    if addresses.is_empty() {
        return Err(nowhere().because("the name has no address"));
    }
    Ok(addresses)
}

/// Why there is no address.
#[cold]
pub(super) fn unresolved(error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::InvalidInput => nowhere()
            .with_kind(ErrorKind::InvalidInput)
            .because("an address is HOST:PORT"),
        _ => nowhere().because(error.to_string()),
    }
}

pub(super) fn nowhere() -> Error {
    Error::new(ErrorKind::NotFound, "look up", "address")
}

fn random_word() -> u32 {
    (random() >> 32) as u32
}
