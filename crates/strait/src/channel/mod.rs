//! Channels: two processes, shared memory, and the least work that the machine allows.
//!
//! A channel carries messages both ways between exactly two processes. Sending is a copy into
//! memory that the other side reads, and one store; no system call as long as the other side is
//! awake. NT pipes and LPC ports stand on it; use it directly where both programs are yours and
//! neither their names nor their semantics are needed.
//!
//! ```
//! use strait::channel::{Channel, Options};
//!
//! let (mut near, mut far) = Channel::pair(&Options::new())?;
//! let answering = std::thread::spawn(move || -> strait::Result<()> {
//!     let mut request = [0; 64];
//!     while let Some(len) = far.recv(&mut request)? {
//!         request[..len].reverse();
//!         far.send(&request[..len])?;
//!     }
//!     Ok(())
//! });
//! near.send(b"strait")?;
//! let mut reply = [0; 64];
//! assert_eq!(near.recv(&mut reply)?, Some(6));
//! assert_eq!(&reply[..6], b"tiarts");
//! drop(near);
//! answering.join().unwrap()?;
//! # Ok::<(), strait::Error>(())
//! ```
//!
//! # Trust
//!
//! Each side writes its own memory only, which the other maps for reading; the kernel refuses
//! another user every way to a writable map. One page of bells is written by both: a peer that
//! scribbles there wakes us for nothing or not at all. Everything read from the peer is copied
//! once, checked, and then used: a peer that lies loses its own session, with
//! [`ErrorKind::Broken`].
//!
//! # Death
//!
//! A socket joins the two sides; the kernel hangs it up when one dies, and a thread of the other
//! (`strait-peers`, one per process) hears it at once. What was sent whole before is received; then
//! comes [`ErrorKind::PeerGone`], or the orderly end if the sender was
//! dropped.
//!
//! # In several processes
//!
//! A [`Sender`], a [`Receiver`] or both can be given to a child ([`Pass`](crate::Pass)) or sent
//! ([`HandleSocket`](crate::HandleSocket), [`Sender::attach`]). The holders then work in turn, each
//! message goes to one of them, and once all but one are gone that one works as if it had always
//! been alone. A `Command` keeps what was passed to it: drop it once the child runs. An heir waits
//! as by default, whatever [`Options::spin`] said. What a killed holder had begun is torn and
//! dropped; a block that it had been lent is not given back. A message longer than a quarter of the
//! ring is one holder's from its first byte to its last, and the others wait for it. A child of a
//! plain fork must not use its parent's ends: every call says
//! [`ErrorKind::Unsupported`].
//!
//! # Limits
//!
//! A ring has 4 KiB to 1 GiB ([`Options::capacity`], 32 KiB unless said otherwise); messages have
//! any length, those beyond a quarter of the ring go in pieces. A session costs both sides together
//! two rings and three pages. A peer may bring 1 GiB of ring and blocks
//! ([`Options::peer_memory_max`]).

#![expect(
    clippy::cast_possible_truncation,
    reason = "lengths are checked against rings of at most 1 GiB, and a usize has 64 bits"
)]

mod door;
mod ends;
pub(crate) mod flow;
pub(crate) mod hub;
mod park;
pub(crate) mod ring;
mod session;

#[cfg(test)]
mod tests;

/// Between two steps of this thread: a test has others go on there.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn meanwhile(_step: &str) {}

#[cfg(test)]
pub(crate) use self::tests::step::meanwhile;

pub(crate) use self::ends::{attach, loan, mailbox, receiver, sender, wait};
pub(crate) use self::session::{connect, hello, identity, layout, link, memory, share, watch};

use self::connect::{establish_accepting, establish_connecting};
pub use self::identity::{Identity, Impersonation};
pub use self::link::Peer;
pub use self::loan::{Lent, Loan, Message};
pub use self::park::Spin;
pub use self::receiver::{Part, Receiver, Taken};
pub use self::sender::Sender;
pub use self::session::listener::Listener;

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::channel::hello::{BLOCK_MAX, CAPACITY_MAX, CAPACITY_MIN, Shape};
use crate::channel::layout::{BLOCKS_MAX, PAGE};
use crate::error::{Error, ErrorKind, Result};

/// What a side brings to a session, and how it waits.
#[derive(Clone, Debug)]
pub struct Options {
    capacity: u64,
    blocks: u32,
    block_len: u64,
    message_max: usize,
    peer_memory_max: u64,
    spin: Spin,
    shareable: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// A ring of 32 KiB, no blocks to lend, messages of at most 16 MiB, at most 1 GiB of a peer's
    /// memory, adaptive spinning.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            capacity: 32 << 10,
            blocks: 0,
            block_len: 0,
            message_max: 16 << 20,
            peer_memory_max: 1 << 30,
            spin: Spin::Adaptive,
            shareable: true,
        }
    }

    /// Bytes of the ring that this side sends through, rounded up to a power of two. Large ones are
    /// for bulk: 4 MiB reach the full speed of the memory.
    #[must_use]
    pub const fn capacity(mut self, bytes: usize) -> Self {
        self.capacity = match (bytes as u64).checked_next_power_of_two() {
            Some(capacity) => capacity,
            None => u64::MAX,
        };
        self
    }

    /// Blocks that this side can lend: how many at a time, and the bytes of each, rounded up to
    /// pages.
    #[must_use]
    pub const fn blocks(mut self, count: u32, bytes: usize) -> Self {
        self.blocks = count;
        self.block_len = match (bytes as u64).checked_next_multiple_of(PAGE as u64) {
            Some(len) => len,
            None => u64::MAX,
        };
        self
    }

    /// Longest message, in bytes, that is received into a vector.
    #[must_use]
    pub const fn message_max(mut self, bytes: usize) -> Self {
        self.message_max = bytes;
        self
    }

    /// Most bytes of ring and blocks that the peer may bring: all of them are mapped here, and
    /// those that are read may be charged to this process. The session of a peer that brings more
    /// does not begin: [`ErrorKind::Broken`] here and [`ErrorKind::Refused`] there.
    ///
    /// It does not limit [`Channel::pair`], whose memory is the caller's own, nor an end that was
    /// passed on, whose first holder has agreed to the peer's memory.
    #[must_use]
    pub const fn peer_memory_max(mut self, bytes: usize) -> Self {
        self.peer_memory_max = bytes as u64;
        self
    }

    /// How this side waits before it sleeps.
    #[must_use]
    pub const fn spin(mut self, spin: Spin) -> Self {
        self.spin = spin;
        self
    }

    /// Whether this end may be passed to other processes: it costs three descriptors. One of the
    /// many of a server, which is told of its clients by a doorbell, never may, at either side: to
    /// pass it is [`ErrorKind::Unsupported`].
    #[must_use]
    pub const fn shareable(mut self, shareable: bool) -> Self {
        self.shareable = shareable;
        self
    }

    /// Whether they are within their limits.
    pub(crate) fn check(&self) -> Result<()> {
        self.shape().map(drop)
    }

    pub(crate) const fn spin_policy(&self) -> Spin {
        self.spin
    }

    /// Whether a peer may bring memory of that shape, or why not.
    fn allows(&self, shape: Shape) -> std::result::Result<(), String> {
        if shape.claim() <= self.peer_memory_max {
            return Ok(());
        }
        Err(format!(
            "it brings {} bytes of memory, and a peer may bring {} (peer_memory_max)",
            shape.claim(),
            self.peer_memory_max
        ))
    }

    fn shape(&self) -> Result<Shape> {
        let invalid =
            |why: String| Err(Error::new(ErrorKind::InvalidInput, "make channel", "").because(why));
        if !(CAPACITY_MIN..=CAPACITY_MAX).contains(&self.capacity) {
            return invalid(format!(
                "a ring has {CAPACITY_MIN} to {CAPACITY_MAX} bytes, not {}",
                self.capacity
            ));
        }
        if self.blocks > BLOCKS_MAX || self.block_len > BLOCK_MAX {
            return invalid(format!(
                "a side lends at most {BLOCKS_MAX} blocks of at most {BLOCK_MAX} bytes"
            ));
        }
        let lends = self.blocks != 0 && self.block_len != 0;
        Ok(Shape {
            capacity: self.capacity,
            blocks: if lends { self.blocks } else { 0 },
            block_len: if lends { self.block_len } else { 0 },
        })
    }
}

/// Both ends of one side: what it sends and what it receives.
#[derive(Debug)]
pub struct Channel {
    sender: Sender,
    receiver: Receiver,
}

/// The role of a channel that nobody else uses.
const PLAIN: u32 = 0;

impl Channel {
    /// A channel within this process, or to be inherited: both of its sides.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for options out of range; [`ErrorKind::Exhausted`] without
    /// descriptors or memory.
    pub fn pair(options: &Options) -> Result<(Self, Self)> {
        Self::pair_of(options, options, PLAIN)
    }

    /// [`pair`](Self::pair), with options for each side.
    pub(crate) fn pair_of(near: &Options, far: &Options, role: u32) -> Result<(Self, Self)> {
        let (near_socket, far_socket) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )
        .map_err(|errno| Error::kernel(errno, "make channel", ""))?;
        // The other side's memory is the caller's own too.
        let near = &near.clone().peer_memory_max(usize::MAX);
        let far = &far.clone().peer_memory_max(usize::MAX);
        let greeting = connect::greet(&near_socket, near, role, &[])?;
        let (far, _) = establish_accepting(far_socket, far, role, |_| Ok(Vec::new()))?;
        let (near, _) = establish_connecting(near_socket, near, greeting, None)?;
        Ok((near, far))
    }

    /// A channel over a connected Unix socket of packets (`SOCK_SEQPACKET`), from the side that
    /// asks; the other [accepts](Self::accept). Waits for the answer until the socket is closed.
    ///
    /// # Errors
    /// As for [`pair`](Self::pair); [`ErrorKind::Refused`]; [`ErrorKind::PeerGone`];
    /// [`ErrorKind::Broken`] if what answers does not speak this protocol.
    pub fn connect(socket: OwnedFd, options: &Options) -> Result<Self> {
        let greeting = connect::greet(&socket, options, PLAIN, &[])?;
        Ok(establish_connecting(socket, options, greeting, None)?.0)
    }

    /// A channel over a connected Unix socket, from the side that answers. Waits at most 5 s for
    /// the other side to ask.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect); [`ErrorKind::TimedOut`].
    pub fn accept(socket: OwnedFd, options: &Options) -> Result<Self> {
        Ok(establish_accepting(socket, options, PLAIN, |_| Ok(Vec::new()))?.0)
    }

    /// The two ends, for two threads.
    #[must_use]
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }

    /// The sending end.
    pub fn sender(&mut self) -> &mut Sender {
        &mut self.sender
    }

    /// The receiving end.
    pub fn receiver(&mut self) -> &mut Receiver {
        &mut self.receiver
    }

    pub(crate) fn receiver_ref(&self) -> &Receiver {
        &self.receiver
    }

    /// See [`Sender::send`].
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        self.sender.send(message)
    }

    /// See [`Receiver::recv`].
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn recv(&mut self, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.receiver.recv(buffer)
    }

    /// See [`Receiver::recv_for`].
    ///
    /// # Errors
    /// As there.
    pub fn recv_for(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<Taken> {
        self.receiver.recv_for(buffer, timeout)
    }

    /// Who is at the other end, as the kernel said when the session began.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        self.sender.peer()
    }
}
