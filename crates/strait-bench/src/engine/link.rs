//! The socket between the two sides, and what a mechanism sees of its surroundings.
//!
//! One `SOCK_SEQPACKET` pair carries both: while mechanisms are opened, the bytes and descriptors
//! that they hand over; afterwards the order and the receipt of each chunk. It closes with either
//! side, so neither waits on it for a side that is gone.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use strait_sys::map::{Access, Map};
use strait_sys::memfd::{self, Mode};
use strait_sys::pass;

use crate::{Failure, Job, Outcome, Side};

/// The longest message that [`Site::tell`] takes.
const TELL_MAX: usize = 4096;

/// This side's end of the socket between the two.
#[derive(Debug)]
pub(crate) struct Link {
    socket: OwnedFd,
    /// How long to look for an order before sleeping: on separate CPUs a sleep would let the
    /// hypervisor move them between chunks.
    patience: Duration,
}

/// What to run next: sent by near, obeyed by far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// Which of the opened mechanisms.
    pub(crate) slot: u32,
    /// How many messages (round trips, operations).
    pub(crate) count: u32,
}

/// What came of an order, on one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// When the first counted step began, on the monotonic clock.
    pub(crate) begin_ns: u64,
    /// When the last one ended.
    pub(crate) end_ns: u64,
    /// Messages verified.
    pub(crate) verified: u64,
    /// Involuntary context switches meanwhile.
    pub(crate) switches: u64,
}

impl Link {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            patience: Duration::ZERO,
        }
    }

    /// Looks for orders and receipts this long before sleeping.
    pub(crate) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    pub(crate) fn order(&self, order: Order) -> Outcome<()> {
        self.put(&[order.slot.to_le_bytes(), order.count.to_le_bytes()].concat())
    }

    /// The next order; `None` when near has closed the link.
    pub(crate) fn next_order(&self) -> Outcome<Option<Order>> {
        let mut bytes = [0; 16];
        match self.poll(&mut bytes)? {
            0 => Ok(None),
            8 => {
                let (halves, _) = bytes.as_chunks::<4>();
                let [slot, count] = [halves[0], halves[1]].map(u32::from_le_bytes);
                Ok(Some(Order { slot, count }))
            }
            other => Err(Failure::check(format!(
                "an order of {other} bytes on the link"
            ))),
        }
    }

    pub(crate) fn receipt(&self, receipt: Receipt) -> Outcome<()> {
        let Receipt {
            begin_ns,
            end_ns,
            verified,
            switches,
        } = receipt;
        self.put(
            &[begin_ns, end_ns, verified, switches]
                .map(u64::to_le_bytes)
                .concat(),
        )
    }

    pub(crate) fn next_receipt(&self) -> Outcome<Receipt> {
        let mut bytes = [0; 40];
        match self.poll(&mut bytes)? {
            0 => Err(Failure::gone("the far side closed the link")),
            32 => {
                let (words, _) = bytes.as_chunks::<8>();
                let word = |index: usize| u64::from_le_bytes(words[index]);
                Ok(Receipt {
                    begin_ns: word(0),
                    end_ns: word(1),
                    verified: word(2),
                    switches: word(3),
                })
            }
            other => Err(Failure::check(format!(
                "a receipt of {other} bytes on the link"
            ))),
        }
    }

    fn put(&self, bytes: &[u8]) -> Outcome<()> {
        match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
            Ok(_) => Ok(()),
            Err(Errno::PIPE | Errno::CONNRESET) => {
                Err(Failure::gone("the other side closed the link"))
            }
            Err(errno) => Err(errno.into()),
        }
    }

    fn poll(&self, bytes: &mut [u8]) -> Outcome<usize> {
        let start = Instant::now();
        while start.elapsed() < self.patience {
            match recv(&self.socket, &mut *bytes, RecvFlags::DONTWAIT) {
                Ok((len, _)) => return Ok(len),
                Err(Errno::AGAIN) => std::hint::spin_loop(),
                Err(errno) => return closed(errno),
            }
        }
        loop {
            match recv(&self.socket, &mut *bytes, RecvFlags::empty()) {
                Ok((len, _)) => return Ok(len),
                Err(Errno::INTR) => {}
                Err(errno) => return closed(errno),
            }
        }
    }
}

/// A reset is an end like any other here.
fn closed(errno: Errno) -> Outcome<usize> {
    if errno == Errno::CONNRESET {
        Ok(0)
    } else {
        Err(errno.into())
    }
}

/// Where a mechanism is being opened: which side, for which figure, and how to reach the other.
#[derive(Debug)]
pub struct Site<'a> {
    pub(crate) side: Side,
    pub(crate) job: Job,
    pub(crate) key: i32,
    pub(crate) place: PathBuf,
    pub(crate) peer: u32,
    pub(crate) link: &'a Link,
}

impl Site<'_> {
    /// Which of the two processes this is.
    #[must_use]
    pub fn side(&self) -> Side {
        self.side
    }

    /// The figure to be taken.
    #[must_use]
    pub fn job(&self) -> Job {
        self.job
    }

    /// Process id of the other side.
    #[must_use]
    pub fn peer(&self) -> u32 {
        self.peer
    }

    /// A System V key for this mechanism alone, the same on both sides. Whatever has this key is
    /// removed when the row is over, however it ends.
    #[must_use]
    pub fn key(&self) -> i32 {
        self.key
    }

    /// A directory for this mechanism alone, the same on both sides, made at the first call and
    /// removed with all it holds when the row is over, however it ends. Its name is unique on
    /// this machine.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn place(&self) -> Outcome<&Path> {
        std::fs::create_dir_all(&self.place)?;
        Ok(&self.place)
    }

    /// Hands descriptors (at most 8) to the other side, which [`take`](Self::take)s them.
    ///
    /// # Errors
    /// Whatever the kernel says; the other side may be gone.
    pub fn give(&self, descriptors: &[BorrowedFd<'_>]) -> Outcome<()> {
        pass::send(self.socket(), &[0], descriptors)?;
        Ok(())
    }

    /// Takes the `N` descriptors that the other side gave.
    ///
    /// # Errors
    /// Whatever the kernel says; another number came; the other side is gone.
    pub fn take<const N: usize>(&self) -> Outcome<[OwnedFd; N]> {
        let (len, came) = pass::recv(self.socket(), &mut [0; 1], N)?;
        if len == 0 {
            return Err(Failure::gone(
                "the other side closed the link while opening",
            ));
        }
        let count = came.len();
        came.try_into()
            .map_err(|_| Failure::new(format!("{count} descriptors came where {N} were due")))
    }

    /// Sends up to 4,096 bytes to the other side, which [`hear`](Self::hear)s them.
    ///
    /// # Errors
    /// Whatever the kernel says; the other side may be gone.
    pub fn tell(&self, bytes: &[u8]) -> Outcome<()> {
        if bytes.len() > TELL_MAX {
            return Err(Failure::new(format!(
                "{} bytes are more than {TELL_MAX}",
                bytes.len()
            )));
        }
        self.link.put(bytes)
    }

    /// Receives what the other side told: at least one byte.
    ///
    /// # Errors
    /// Whatever the kernel says; the other side is gone.
    pub fn hear(&self) -> Outcome<Vec<u8>> {
        let mut bytes = vec![0; TELL_MAX];
        let len = self.link.poll(&mut bytes)?;
        if len == 0 {
            return Err(Failure::gone(
                "the other side closed the link while opening",
            ));
        }
        bytes.truncate(len);
        Ok(bytes)
    }

    /// Memory of `len` bytes, zeroed, that both sides may write.
    ///
    /// # Errors
    /// Whatever the kernel says; the other side is gone.
    pub fn memory(&self, len: usize) -> Outcome<Map> {
        let file = match self.side {
            Side::Near => {
                let file = memfd::create(c"strait-bench", len as u64, Mode::RUSR | Mode::WUSR)?;
                self.give(&[file.as_fd()])?;
                file
            }
            Side::Far => {
                let [file] = self.take()?;
                file
            }
        };
        Ok(Map::shared(file.as_fd(), 0, len, Access::Write)?)
    }

    fn socket(&self) -> BorrowedFd<'_> {
        self.link.socket.as_fd()
    }
}
