//! A server of ONC RPC: over TCP, UDP, local sockets, channels, and any connected stream or two
//! pipes that are handed to it.
//!
//! Use it with the dispatcher that was made from a `.x` file; anything that is a
//! [`Program`] will do. It runs on tokio, and needs its I/O and time drivers.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::sync::Arc;
//! use std::time::Duration;
//! use strait::rpc::onc::xdr::{Reader, Writer};
//! use strait::rpc::onc::{Answer, Context, Program, Refusal, Server};
//!
//! /// Doubles numbers. What a dispatcher made from a `.x` file looks like.
//! struct Double;
//!
//! impl Program for Double {
//!     fn program(&self) -> u32 {
//!         0x2000_0001
//!     }
//!
//!     fn version(&self) -> u32 {
//!         1
//!     }
//!
//!     fn dispatch(
//!         self: Arc<Self>,
//!         _: Context,
//!         procedure: u32,
//!         args: &[u8],
//!         mut reply: Vec<u8>,
//!     ) -> Result<Answer, Refusal> {
//!         if procedure != 1 {
//!             return Err(Refusal::ProcedureUnavailable);
//!         }
//!         let number = Reader::new(args).int().map_err(|_| Refusal::GarbageArguments)?;
//!         Ok(Box::pin(async move {
//!             // Whatever has to be waited for is awaited here; other calls go on.
//!             Writer::new(&mut reply).int(2 * number);
//!             Ok(reply)
//!         }))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut server = Server::new();
//! server.add(Double);
//! let address = server.tcp("127.0.0.1:0".parse()?).await?;
//! let running = server.start();
//!
//! // A call by hand: mark, XID 7, program, version and procedure, no credentials, the number 21.
//! let reply = tokio::task::spawn_blocking(move || {
//!     let words = [0x8000_002c, 7, 0, 2, 0x2000_0001, 1, 1, 0, 0, 0, 0, 21_u32];
//!     let mut client = std::net::TcpStream::connect(address)?;
//!     client.write_all(&words.map(u32::to_be_bytes).concat())?;
//!     let mut reply = [0; 32];
//!     client.read_exact(&mut reply).map(|()| reply)
//! });
//! assert_eq!(reply.await??[28..], 42_u32.to_be_bytes());
//!
//! assert_eq!(running.stop(Duration::from_secs(1)).await, 0, "no call was cut");
//! # Ok(())
//! # }
//! ```
//!
//! # How it is built
//!
//! A connection is one task: it reads into the buffer that the call is decoded from, begins the
//! call, and if that ends without waiting, writes the reply. A call that waits becomes a task of
//! its own, so that calls of one connection run beside each other and their replies go in the order
//! in which they are ready. What is ready goes in one write. One more task looks after all
//! connections; an idle one holds neither a buffer nor a timer.
//!
//! Everything that a client can make grow has a bound in [`Limits`]. What happens to those who
//! reach one is told by [`ServerOptions::on_event`].
//!
//! | What is wrong | The caller is told |
//! | --- | --- |
//! | another version of RPC | RPC_MISMATCH 2..2 |
//! | credential, verifier: too long or not well formed | AUTH_BADCRED; AUTH_BADVERF |
//! | credential of a kind that is not taken, or forgotten; too weak | AUTH_REJECTEDCRED; AUTH_TOOWEAK |
//! | program; its version | PROG_UNAVAIL; PROG_MISMATCH, lowest to highest |
//! | procedure; arguments | PROC_UNAVAIL; GARBAGE_ARGS |
//! | the handler fails or panics; the reply is too long for a datagram | SYSTEM_ERR |
//! | no call at all | nothing; a connection is closed |
//!
//! Procedure 0 is answered by the server itself, without a look at arguments.
//!
//! # Traps
//!
//! - A handler that computes without awaiting, or blocks, holds up its connection, and one of the
//!   runtime's threads: see `tokio::task::spawn_blocking`. Where that connection is to make way,
//!   the newcomer waits for it too.
//! - A client that goes away does not cancel its calls.
//! - A call over UDP is done once however often it comes, for as long as [`Limits::duplicates`]
//!   remembers it. Over streams it is not repeated by those who keep to the protocol, and done
//!   each time: see [`ServerOptions::duplicates_on_streams`].
//! - Whoever can connect can hold a place: where all are taken, the idlest is dropped of the
//!   address, or user of this machine, that has most. From many addresses one may displace others.
//!
//! Source: RFC 5531.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strait_sys::{Errno, pktinfo};
use strait_wire::onc::server::Programs;
use tokio::net::UdpSocket;

use self::channel::Entrance;
use self::shared::Shared;
use self::socket::{Listener, Socket};
use super::rpcbind::{Netid, Uaddr};
use super::{Caller, Program, rpcbind};
use crate::error::{Error, ErrorKind, Result};
use crate::unix::socket::{Address, Bytes, Datagrams, Options};

mod accept;
mod call;
mod channel;
mod datagram;
pub(super) mod event;
mod gate;
mod options;
mod peer;
pub(super) mod shared;
pub(super) mod socket;
mod stream;

pub use self::event::{Dropped, Event};
pub use self::options::{Limits, ServerOptions, Whom};
pub use strait_wire::onc::server::ShortLimits;

/// Connections that wait to be accepted; the kernel may allow fewer.
const BACKLOG: u32 = 1024;

/// A server that does not serve yet.
#[derive(Default)]
pub struct Server {
    options: ServerOptions,
    programs: Programs<Arc<dyn Program>>,
    listeners: Vec<Listener>,
    posts: Vec<(UdpSocket, u16)>,
    streams: Vec<(Socket, Caller)>,
    entrances: Vec<Entrance>,
}

impl Server {
    /// A server with the usual limits, of no program yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What a server may be told before it is made by [`with`](Self::with).
    pub fn options() -> ServerOptions {
        ServerOptions::default()
    }

    /// A server of no program yet.
    #[must_use]
    pub fn with(options: ServerOptions) -> Self {
        Self {
            options,
            ..Self::default()
        }
    }

    /// Serves a version of a program, in place of whatever has served it until now.
    pub fn add(&mut self, program: impl Program) -> &mut Self {
        let (number, version) = (program.program(), program.version());
        self.programs.insert(number, version, Arc::new(program));
        self
    }

    /// Listens there, and says where: port 0 is one of the kernel's choice.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`]: somebody else listens there; [`ErrorKind::Denied`]: a port below 1024
    /// takes a privilege; as the kernel says.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O.
    #[expect(
        clippy::unused_async,
        reason = "it needs a runtime, and resolving may come to it"
    )]
    pub async fn tcp(&mut self, address: SocketAddr) -> Result<SocketAddr> {
        let operation = "listen for calls at";
        let at = Address::Inet(address);
        let listener = Options::<Bytes>::default().backlog(BACKLOG).listen(&at);
        let listener = listener.map_err(|error| error.during(operation, at.to_string()))?;
        let bound = inet(&listener.local_address()?);
        let listener = Listener::tcp(&listener);
        self.listeners
            .push(listener.map_err(|error| failed(&error, operation, at.to_string()))?);
        Ok(bound.unwrap_or(address))
    }

    /// Receives calls as datagrams there, and says where. Replies come from the address that was
    /// asked, of however many this machine has.
    ///
    /// # Errors
    /// As for [`tcp`](Self::tcp).
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O.
    #[expect(
        clippy::unused_async,
        reason = "it needs a runtime, and resolving may come to it"
    )]
    pub async fn udp(&mut self, address: SocketAddr) -> Result<SocketAddr> {
        let operation = "receive calls at";
        let at = Address::Inet(address);
        let socket = Options::<Datagrams>::default().bind(&at);
        let socket = socket.map_err(|error| error.during(operation, at.to_string()))?;
        let bound = inet(&socket.local_address()?).unwrap_or(address);
        let kernel = |errno: Errno| Error::kernel(errno, operation, at.to_string());
        pktinfo::ask(socket.as_fd(), &bound).map_err(kernel)?;
        rustix::io::ioctl_fionbio(&socket, true).map_err(kernel)?;
        let socket = UdpSocket::from_std(OwnedFd::from(socket).into());
        let socket = socket.map_err(|error| failed(&error, operation, at.to_string()))?;
        self.posts.push((socket, bound.port()));
        Ok(bound)
    }

    /// Listens at a path, whose file has these permission bits whatever the umask is (to call
    /// takes the write bit). A file whose server is gone is reclaimed, and the file goes with this
    /// one: see [`unix::socket`](crate::unix::socket). Callers are known by what the kernel says
    /// of them.
    ///
    /// # Errors
    /// As for [`listen`](Options::listen).
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O.
    pub async fn local(&mut self, path: impl Into<PathBuf>, mode: u32) -> Result<()> {
        let operation = "listen for calls at";
        let at = Address::Path(path.into());
        let shown = at.to_string();
        // Where a stale file is in the way, another process may hold the lock for a moment.
        let listening = tokio::task::spawn_blocking(move || {
            let options = Options::<Bytes>::default().backlog(BACKLOG).mode(mode);
            options.listen(&at)
        });
        let listener = match listening.await {
            Ok(listener) => listener.map_err(|error| error.during(operation, shown.clone()))?,
            Err(_) => return Err(Error::new(ErrorKind::Cancelled, operation, shown)),
        };
        let listener = Listener::local(listener);
        self.listeners
            .push(listener.map_err(|error| failed(&error, operation, shown))?);
        Ok(())
    }

    /// Serves channels of that name, among those of LPC ports, in the
    /// [namespace](ServerOptions::namespace): shared memory, with one call and one reply to a
    /// message. Callers are known by what the kernel says of them.
    ///
    /// A thread of its own, `strait-onc`, receives calls and answers those that end at once; what
    /// waits goes on in the runtime. Each side has a ring of 256 KiB, of which a client costs what
    /// it has used. Of a client that reads no replies nothing is received, and
    /// [`Limits::write_time`] ends it. More than [`Limits::replies_memory`] of replies to one
    /// client, ready while it does not read, end it at once; they count among those of all
    /// connections. What has come of a call that is not whole is bounded by [`Limits::record_max`]
    /// for each client, and not by [`Limits::records_memory`]; [`Limits::record_time`] is not
    /// looked at.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] while somebody listens under the name; [`ErrorKind::InvalidName`],
    /// [`ErrorKind::PathNotFound`] for a name that is none; as the kernel says.
    pub fn channel(&mut self, name: &str) -> Result<()> {
        self.entrances.push(Entrance::open(&self.options, name)?);
        Ok(())
    }

    /// Serves whoever is at the other end of a connected stream: of TCP, or of this machine, as an
    /// end of a pair.
    ///
    /// # Errors
    /// [`ErrorKind::WrongKind`]: it is no such thing; it is closed then.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O.
    pub fn serve_stream(&mut self, stream: impl Into<OwnedFd>) -> Result<()> {
        self.streams.push(Socket::from_descriptor(stream.into())?);
        Ok(())
    }

    /// Serves whoever has the other ends of two pipes, named or not: calls come from the first, and
    /// replies go to the second. Both become non-blocking, for all who share them. Nobody knows who
    /// it is ([`Caller::Pipe`]); a reply without a reader raises SIGPIPE, which Rust's programs
    /// ignore.
    ///
    /// # Errors
    /// [`ErrorKind::WrongKind`]: they are no such ends; both are closed then.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O.
    pub fn serve_pipes(
        &mut self,
        calls: impl Into<OwnedFd>,
        replies: impl Into<OwnedFd>,
    ) -> Result<()> {
        let pipes = Socket::from_pipes(calls.into(), replies.into())?;
        self.streams.push(pipes);
        Ok(())
    }

    /// Where it listens, as a registry is told it: at any address of IPv6 it takes IPv4 too.
    #[must_use]
    pub fn places(&self) -> Vec<(Netid, Uaddr)> {
        let posts = self
            .posts
            .iter()
            .filter_map(|(socket, _)| socket.local_addr().ok());
        let posts = posts.map(|address| (Netid::Udp, Netid::Udp6, Uaddr::Inet(address)));
        let listeners = self.listeners.iter().filter_map(Listener::place);
        let listeners = listeners.map(|at| (Netid::Tcp, Netid::Tcp6, at));
        let mut places = Vec::new();
        for (four, six, at) in listeners.chain(posts) {
            match at {
                Uaddr::Local(_) => places.push((Netid::Local, at)),
                Uaddr::Inet(SocketAddr::V4(_)) => places.push((four, at)),
                Uaddr::Inet(SocketAddr::V6(address)) => {
                    if address.ip().is_unspecified() {
                        let any = (Ipv4Addr::UNSPECIFIED, address.port()).into();
                        places.push((four, Uaddr::Inet(any)));
                    }
                    places.push((six, at));
                }
            }
        }
        places
    }

    /// Registers all its programs at all its [`places`](Self::places), for as long as what is
    /// returned lives. Blocks until the registry has answered.
    ///
    /// # Errors
    /// Those of [`rpcbind::Client::register`]; what was registered until then is taken back.
    pub fn register(&self, registry: &rpcbind::Client) -> Result<Vec<rpcbind::Registered>> {
        let places = self.places();
        let mut registered = Vec::new();
        for (program, version, _) in self.programs.iter() {
            for (netid, address) in &places {
                registered.push(registry.register((program, version), *netid, address)?);
            }
        }
        Ok(registered)
    }

    /// Serves until the future is dropped, which cuts calls in progress.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time.
    pub async fn run(self) {
        let _running = self.start();
        std::future::pending().await
    }

    /// Begins to serve.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time.
    #[must_use = "it serves as long as this is there"]
    pub fn start(self) -> Running {
        let shared = Arc::new(Shared::new(self.options, self.programs));
        let mut services = lock(&shared.services);
        services.spawn(peer::care::look_after(Arc::clone(&shared)));
        for listener in self.listeners {
            services.spawn(accept::accept(listener, Arc::clone(&shared)));
        }
        for (socket, port) in self.posts {
            services.spawn(datagram::serve(socket, port, Arc::clone(&shared)));
        }
        for entrance in self.entrances {
            services.spawn(entrance.serve(&shared));
        }
        drop(services);
        for (socket, caller) in self.streams {
            accept::serve(&shared, socket, caller);
        }
        Running { shared }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let programs = self
            .programs
            .iter()
            .map(|(program, version, _)| (program, version));
        f.debug_struct("Server")
            .field("options", &self.options)
            .field("programs", &programs.collect::<Vec<_>>())
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

/// A server that serves. Dropped, it stops at once: see [`stop`](Self::stop).
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
}

/// What a server has done, and has to do at the moment.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that there are.
    pub connections: usize,
    /// Calls that are being done.
    pub calls_in_flight: usize,
    /// Memory of what has come of calls, in bytes.
    pub records_memory: usize,
    /// Replies that are not taken yet, in bytes.
    pub replies_memory: usize,
    /// Connections that there have been, these included.
    pub accepted: u64,
    /// Connections that were closed by this side, or cut by the other.
    pub dropped: u64,
    /// Calls that have come, those to procedure 0 included.
    pub calls: u64,
    /// Calls that were answered without results.
    pub refused: u64,
    /// Calls whose handler panicked, or the mechanism that proves them.
    pub panicked: u64,
    /// Calls that had come before, and were answered from memory or dropped.
    pub repeated: u64,
    /// Messages that were no call, and datagrams that came while too much was being done.
    pub ignored: u64,
    /// Calls with a credential that was handed out: [`ServerOptions::short_credentials`].
    pub short: u64,
}

impl Running {
    /// What has been done.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let shared = &self.shared;
        let counts = &shared.counts;
        Stats {
            connections: shared.connections(),
            calls_in_flight: shared.calls.used(),
            records_memory: shared.memory.used(),
            replies_memory: shared.queued.load(SeqCst),
            accepted: counts.accepted.load(Relaxed),
            dropped: counts.dropped.load(Relaxed),
            calls: counts.calls.load(Relaxed),
            refused: counts.refused.load(Relaxed),
            panicked: counts.panicked.load(Relaxed),
            repeated: counts.repeated.load(Relaxed),
            ignored: counts.ignored.load(Relaxed),
            short: counts.short.load(Relaxed),
        }
    }

    /// Serves a further connected stream: see [`Server::serve_stream`].
    ///
    /// # Errors
    /// As for [`Server::serve_stream`].
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O.
    pub async fn serve_stream(&self, stream: impl Into<OwnedFd>) -> Result<()> {
        let (socket, caller) = Socket::from_descriptor(stream.into())?;
        accept::make_room(&self.shared).await;
        accept::serve(&self.shared, socket, caller);
        Ok(())
    }

    /// Serves two pipes further: see [`Server::serve_pipes`].
    ///
    /// # Errors
    /// As for [`Server::serve_pipes`].
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O.
    pub async fn serve_pipes(
        &self,
        calls: impl Into<OwnedFd>,
        replies: impl Into<OwnedFd>,
    ) -> Result<()> {
        let (socket, caller) = Socket::from_pipes(calls.into(), replies.into())?;
        accept::make_room(&self.shared).await;
        accept::serve(&self.shared, socket, caller);
        Ok(())
    }

    /// Stops: no connection is accepted and no call begun any more, calls in progress are answered
    /// and their connections closed. What is not done after `grace` is cut: the number of such
    /// calls is returned.
    pub async fn stop(self, grace: Duration) -> usize {
        let shared = &self.shared;
        shared.is_stopping.store(true, SeqCst);
        let mut services = std::mem::take(&mut *lock(&shared.services));
        // Addresses are free again, and paths removed, when this has returned.
        services.shutdown().await;
        for peer in shared.peers() {
            peer.wake();
        }
        let rest = async {
            while shared.connections() > 0 || shared.calls.used() > 0 {
                shared.end.notified().await;
            }
        };
        if tokio::time::timeout(grace, rest).await.is_ok() {
            return 0;
        }
        shared.calls.used()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.abort();
    }
}

fn inet(address: &Address) -> Option<SocketAddr> {
    match address {
        Address::Inet(address) => Some(*address),
        _ => None,
    }
}

#[cold]
fn failed(error: &io::Error, operation: &'static str, subject: impl Into<String>) -> Error {
    let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
    Error::kernel(errno, operation, subject)
}

/// `None`: what others have written has panicked, and that ends nothing else.
fn contained<T>(work: impl FnOnce() -> T) -> Option<T> {
    let thrown = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => return Some(done),
        Err(thrown) => thrown,
    };
    // What was thrown may be anything, and panic when it is dropped. What it throws then is left.
    if let Err(thrown) = catch_unwind(AssertUnwindSafe(|| drop(thrown))) {
        std::mem::forget(thrown);
    }
    None
}

/// What these locks guard is whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
