//! Berkeley sockets: streams, datagrams and packets, in this machine and beyond it.
//!
//! Use them for what must cross a machine's border, for other programs that speak sockets, to hand
//! descriptors to another process, and where the kernel is to vouch for who speaks. Between two
//! processes of one machine that exchange many small messages, shared memory costs less.
//!
//! [`Stream`] carries bytes, [`Seqpacket`] messages over a connection, [`Datagram`] messages
//! without one. An [`Address`] is a path, an abstract name, an internet address or a vsock port,
//! and the same calls serve them all; TCP is a stream, UDP datagrams at an internet address.
//! `read`, `write`, `send`, `recv` and `accept` wait; `try_x` never does, and `x_for` for a limited
//! time.
//! [`send_message`](Socket::send_message) and [`recv_message`](Socket::recv_message) carry
//! descriptors, credentials and pidfds beside the bytes.
//!
//! ```
//! use std::io::Read;
//! use std::os::fd::{AsFd, OwnedFd};
//! use std::process::Command;
//! use strait::unix::socket::{Ancillary, Half, Received, Stream};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//!
//! // Two processes, one connection: it is the other's standard input and output.
//! let (ours, theirs) = Stream::pair()?;
//! let mut child = Command::new("cat")
//!     .stdin(OwnedFd::from(theirs.duplicate()?))
//!     .stdout(OwnedFd::from(theirs))
//!     .spawn()?;
//! ours.write_all(b"there and back")?;
//! ours.shutdown(Half::Sending)?; // the end of its input
//! let mut back = String::new();
//! (&ours).read_to_string(&mut back)?;
//! assert_eq!(back, "there and back");
//! child.wait()?;
//!
//! // A descriptor travels with a byte.
//! let (sender, receiver) = Stream::pair()?;
//! sender.send_message(b"!", &Ancillary::descriptors(&[std::io::stderr().as_fd()]))?;
//! let mut came = Received::new(1);
//! assert_eq!(receiver.recv_message(&mut [0; 1], &mut came)?.len, 1);
//! assert_eq!(came.descriptors()?.len(), 1);
//! assert_eq!(receiver.peer()?.pid, std::process::id());
//! # Ok(())
//! # }
//! ```
//!
//! # On Linux
//!
//! A thin layer over the system calls: one for each call here, unless it waits with a limit (then
//! poll(2), or for connecting to a Unix socket a timeout of the socket itself). What is sent never
//! raises SIGPIPE; every descriptor is close-on-exec from birth.
//!
//! A listener at a path makes its file with its mode (0600 unless said; neither more at first nor
//! less because of the umask), binds, and listens. A file whose socket is gone is reclaimed: see
//! [`Options::listen`]. A datagram socket asks, whom no stream listener hears, and what is stale is
//! removed under a lock (flock) of `.strait.lock` beside it, a file that is there for that moment
//! and that those may open who may write the directory. So of any number of processes one has the
//! path, and none that lives is displaced. The file is removed with the listener, if it is its own
//! still; after kill -9 it stays until the next one reclaims it.
//!
//! | Faithful | Differs |
//! | --- | --- |
//! | order, boundaries, backpressure and limits are the kernel's | a time-out is `None`, not an error; a signal ends no call |
//! | descriptors: at most 253 in a message, all or none of them sent, close-on-exec | what is missing at the receiver is an error of [`Received::descriptors`], not a flag to forget |
//! | credentials and pidfds are vouched for by the kernel | EPIPE without SIGPIPE |
//! | options keep their meanings | their values are typed and have units |
//! | bind to a path fails if it exists | a stale socket is reclaimed; the mode is not left to the umask |
//! | paths in addresses have at most 107 bytes | longer ones are reached through `/proc/self/fd`; their last part may have 80 bytes when listened at |
//! | an empty packet and the end look the same | they differ, with the exception that [`Socket::recv`] names |
//! | SO_REUSEADDR is off | on for TCP listeners |
//!
//! # Traps
//!
//! - Abstract names have no permissions: who takes the name first has it. Ask for the
//!   [`peer`](Socket::peer).
//! - [`Socket::peer`] is who connected or listened, not who writes now: a socket can be inherited.
//!   [`PassCredentials`] says it message by message.
//! - A receiver without free descriptors loses what was sent: [`Socket::peek_message`] first.
//! - A queue of datagrams holds 11 messages by default; then senders wait.
//! - Whoever may write a directory can hold the lock of stale files in it, and so keep others from
//!   reclaiming theirs ([`Busy`](ErrorKind::Busy) after 5 s), as it can take their paths. Others
//!   cannot. A program that knows nothing of the lock and takes a stale path for itself in the
//!   instant between our last look and the removal loses its file.
//! - [`recv`](Socket::recv), `read` and batches close descriptors that come, in silence.
//! - Who receives datagrams never hears that the senders are gone: wait for their processes too.
//! - Two processes that only write, and never read, wait for each other for ever once the buffers
//!   are full (212,992 bytes by default).
//! - Descriptors of Unix sockets that were sent in a circle are found by the kernel's collector
//!   only once none of them can be reached.
//! - A port of a listener that was closed with connections open is taken at once by the next
//!   listener, as by every server that sets SO_REUSEADDR.
//!
//! # Not offered
//!
//! - MSG_OOB: one byte that overtakes others, with different meanings for TCP and Unix sockets, and
//!   on Unix only as the kernel is built; a second connection is what is meant.
//! - MSG_ZEROCOPY: the kernel copies on loopback and for Unix sockets, and elsewhere reads the
//!   memory after the call returned, which safe code cannot promise to leave alone. For memory
//!   without copies there are sections.
//! - Timestamps (SO_TIMESTAMPING): those of the hardware take an interface's cooperation, and
//!   nothing here needs them.
//! - vsock datagrams: no common transport has them; the kernel says so.
//!
//! Source: `unix(7)`, `socket(7)`, `ip(7)`, `ipv6(7)`, `tcp(7)`, `udp(7)`, `vsock(7)`, `cmsg(3)`,
//! `connect(2)`, `accept(2)`, `send(2)`, `recv(2)`.

use std::fmt;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::net::sockopt::socket_type;
use rustix::net::{
    AddressFamily, Shutdown, SocketAddrAny, SocketFlags, SocketType, getpeername, getsockname,
    shutdown, socketpair,
};
use strait_sys::Errno;

use self::failure::fail;
use crate::error::{Error, ErrorKind, Result};
use crate::object::space::claim::Claim;
use crate::object::transfer::HandleSocket;
use crate::object::wait::{Member, Waitable};

mod address;
mod batch;
mod create;
mod data;
mod failure;
mod message;
mod multicast;
mod option;
mod peer;

pub use self::address::Address;
pub use self::batch::BATCH_MAX;
pub use self::create::{Listener, Options, Reuse};
pub use self::data::Arrival;
pub use self::message::{Ancillary, RIGHTS_MAX, Received};
pub use self::multicast::Interface;
pub use self::option::{
    Broadcast, Coalesce, Cork, KeepAlive, KeepCount, KeepIdle, KeepInterval, Linger, MulticastLoop,
    MulticastTtl, NoDelay, PassCredentials, PassProcess, PassRights, PeekOffset, ReceiveBuffer,
    Segment, SendBuffer, SocketOption, UserTimeout, V6Only,
};
pub use self::peer::{Credentials, PeerProcess};

/// A connection that carries bytes: Unix, TCP or vsock.
pub type Stream = Socket<Bytes>;
/// A connection that carries messages, in order and whole: Unix or vsock.
pub type Seqpacket = Socket<Packets>;
/// A socket that sends and receives messages without connections: Unix or UDP.
pub type Datagram = Socket<Datagrams>;

/// A kind of socket. Implemented here only.
pub trait Kind: fmt::Debug + Send + Sync + 'static {
    #[doc(hidden)]
    const TYPE: SocketType;
    #[doc(hidden)]
    const WORD: &'static str;
}

/// A kind that listens and is connected.
pub trait Connected: Kind {}

/// A kind that carries messages.
pub trait Messages: Kind {}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident, $type:ident, $word:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl Kind for $name {
            const TYPE: SocketType = SocketType::$type;
            const WORD: &'static str = $word;
        }
    )*};
}

kinds! {
    /// The kind of [`Stream`].
    Bytes, STREAM, "stream socket";
    /// The kind of [`Seqpacket`].
    Packets, SEQPACKET, "seqpacket socket";
    /// The kind of [`Datagram`].
    Datagrams, DGRAM, "datagram socket";
}

impl Connected for Bytes {}
impl Connected for Packets {}
impl Messages for Packets {}
impl Messages for Datagrams {}

/// A socket. In a wait it is ready when there is something to read, or the peer has closed; for
/// room to write it is [`wait::writable`](crate::wait::writable).
#[derive(Debug)]
pub struct Socket<K> {
    /// Goes first: the file is removed while the socket is alive.
    claim: Option<Claim>,
    fd: OwnedFd,
    kind: PhantomData<K>,
}

/// A half of a connection.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Half {
    /// Nothing is received any more; a Unix peer's writes then fail.
    Receiving,
    /// Nothing is sent any more: the peer reads the end after what is on its way.
    Sending,
    /// Both.
    Both,
}

impl<K: Kind> Socket<K> {
    fn of(fd: OwnedFd, claim: Option<Claim>) -> Self {
        Self {
            claim,
            fd,
            kind: PhantomData,
        }
    }

    /// What must be said before the socket has its address.
    pub fn options() -> Options<K> {
        Options::default()
    }

    /// Connects, with the usual options.
    ///
    /// # Errors
    /// As for [`Options::connect`].
    pub fn connect(to: &Address) -> Result<Self> {
        Self::options().connect(to)
    }

    /// Connects within that time; `None` if that was not to be.
    ///
    /// # Errors
    /// As for [`Options::connect`].
    pub fn connect_for(to: &Address, timeout: std::time::Duration) -> Result<Option<Self>> {
        Self::options().connect_for(to, timeout)
    }

    /// Two Unix sockets without names, connected to each other.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`] without free descriptors.
    pub fn pair() -> Result<(Self, Self)> {
        let pair = socketpair(AddressFamily::UNIX, K::TYPE, SocketFlags::CLOEXEC, None);
        let (a, b) = pair.map_err(|errno| fail(errno, "make pair of", K::WORD))?;
        Ok((Self::of(a, None), Self::of(b, None)))
    }

    /// A descriptor that came from elsewhere, if it is a socket of this kind.
    ///
    /// # Errors
    /// [`ErrorKind::WrongKind`] if it is not; it is closed then.
    pub fn from_descriptor(fd: OwnedFd) -> Result<Self> {
        match socket_type(&fd) {
            Ok(found) if found == K::TYPE => Ok(Self::of(fd, None)),
            _ => Err(Error::new(
                ErrorKind::WrongKind,
                "take descriptor as",
                K::WORD,
            )),
        }
    }

    /// The same socket under another descriptor. The file of its path stays the first one's.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`] without a free descriptor.
    pub fn duplicate(&self) -> Result<Self> {
        let fd = rustix::io::fcntl_dupfd_cloexec(&self.fd, 0)
            .map_err(|errno| fail(errno, "duplicate", self.shown()))?;
        Ok(Self::of(fd, None))
    }

    /// Its own address.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for an address of a family that is not known here.
    pub fn local_address(&self) -> Result<Address> {
        local_address(self.fd.as_fd(), self.claim.as_ref())
    }

    /// The address of the peer; [`Address::Unnamed`] if that is a Unix socket without a name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is not connected.
    pub fn peer_address(&self) -> Result<Address> {
        let address = getpeername(&self.fd)
            .map_err(|errno| fail(errno, "ask for the peer of", self.shown()))?;
        Ok(address
            .as_ref()
            .and_then(Address::of)
            .unwrap_or(Address::Unnamed))
    }

    /// Closes a half of the connection, for every process that has it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is not connected.
    pub fn shutdown(&self, half: Half) -> Result<()> {
        let how = match half {
            Half::Receiving => Shutdown::Read,
            Half::Sending => Shutdown::Write,
            Half::Both => Shutdown::Both,
        };
        shutdown(&self.fd, how).map_err(|errno| fail(errno, "shut down", self.shown()))
    }

    /// For messages: what it is, and whom it speaks to, or where it is.
    #[cold]
    fn shown(&self) -> String {
        let peer = getpeername(&self.fd).ok().flatten();
        shown(K::WORD, peer.or_else(|| getsockname(&self.fd).ok()))
    }
}

fn shown(word: &str, address: Option<SocketAddrAny>) -> String {
    match address.as_ref().and_then(Address::of) {
        None | Some(Address::Unnamed) => word.to_owned(),
        Some(address) => format!("{word} {address}"),
    }
}

fn local_address(fd: BorrowedFd<'_>, claim: Option<&Claim>) -> Result<Address> {
    if let Some(claim) = claim {
        // The kernel may have been told a way around a long path.
        return Ok(Address::Path(claim.path().to_owned()));
    }
    let verb = "ask for the address of";
    let address = getsockname(fd).map_err(|errno| fail(errno, verb, "socket"))?;
    Address::of(&address).ok_or_else(|| fail(Errno::AFNOSUPPORT, verb, "socket"))
}

impl<K> AsFd for Socket<K> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The descriptor; the file of a path that it was bound to is removed.
impl<K> From<Socket<K>> for OwnedFd {
    fn from(socket: Socket<K>) -> Self {
        socket.fd
    }
}

impl<K> Waitable for Socket<K> {
    fn member(&self) -> Member<'_> {
        Member::descriptor(self.fd.as_fd(), PollFlags::IN)
    }
}

impl<K: Kind> HandleSocket for Socket<K> {}
