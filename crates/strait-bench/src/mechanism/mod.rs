//! The trait that one file implements to bring one mechanism into the survey.

pub(crate) mod failure;
pub(crate) mod figure;
pub(crate) mod message;

use std::fmt;

use crate::engine::drive::{Driver, drive};
use crate::{Carries, Failure, Goal, Job, Outcome, Site, Waits};

/// One way for two processes to talk: the end of it that one side holds.
///
/// The engine opens the mechanism on both sides and then calls the steps below, in lockstep or
/// streaming as the measure has it. It makes the messages, numbers them, times them and verifies
/// them; an implementation only moves them.
///
/// ```
/// use std::os::fd::{AsFd, OwnedFd};
/// use strait_bench::{Carries, Job, Mechanism, Outcome, Side, Site};
///
/// /// Two pipes, one each way.
/// struct Pipes { from: OwnedFd, to: OwnedFd }
///
/// impl Mechanism for Pipes {
///     const ID: &'static str = "raw.pipe";
///     const ABOUT: &'static str = "pipe(2), write and read";
///     const CARRIES: Carries = Carries::Bytes;
///     const MEASURES: &'static [Job] = &[Job::RTT, Job::ONEWAY, Job::BANDWIDTH];
///
///     fn open(site: &mut Site<'_>) -> Outcome<Self> {
///         if site.side() == Side::Far {
///             let [from, to] = site.take()?;
///             return Ok(Self { from, to });
///         }
///         let (there, to) = rustix::pipe::pipe()?;
///         let (from, back) = rustix::pipe::pipe()?;
///         site.give(&[there.as_fd(), back.as_fd()])?;
///         Ok(Self { from, to })
///     }
///
///     fn send(&mut self, message: &[u8]) -> Outcome<()> {
///         rustix::io::write(&self.to, message)?;
///         Ok(())
///     }
///
///     fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
///         Ok(rustix::io::read(&self.from, buffer)?)
///     }
/// }
/// ```
pub trait Mechanism: Sized + 'static {
    /// The stable name, as in `raw.pipe`: family, then mechanism. Scripts read it.
    const ID: &'static str;
    /// What it is, in a few words for the table.
    const ABOUT: &'static str;
    /// What a message is here, and so what is verified.
    const CARRIES: Carries;
    /// The figures that make sense for it.
    const MEASURES: &'static [Job];
    /// How a side waits: decides what it is compared with, and where.
    const WAITS: Waits = Waits::Blocks;
    /// One process does it all; there is no other side (a memory copy, a system call).
    const ALONE: bool = false;
    /// Opening it takes seconds: left out of surveys that did not ask for it by name, or for goals.
    const HEAVY: bool = false;
    /// The far side is a server of its own, which sends each message back as it came: it is asked
    /// for so many echoes at once, and near verifies them.
    const ECHOES: bool = false;
    /// Near's round trips are made, timed and verified by a program of its own, many at a time:
    /// see [`run_apart`](Self::run_apart).
    const APART: bool = false;
    /// A measuring rod, never recommended for use.
    const YARDSTICK: bool = false;
    /// What a round trip is compared with if no goal says otherwise; `None`: a futex, or what its
    /// place demands.
    const BESIDE: Option<&'static str> = None;
    /// What this project promises about it.
    const GOALS: &'static [Goal] = &[];

    /// Why it cannot be measured on this machine, if it cannot: it is then left out, and goals
    /// against it are not judged.
    fn missing() -> Option<&'static str> {
        None
    }

    /// Sets up this side's end. Both sides run it at the same time; what they share goes from
    /// one to the other through `site`.
    ///
    /// # Errors
    /// Whatever failed; the row is then reported as failed with it.
    fn open(site: &mut Site<'_>) -> Outcome<Self>;

    /// Sends one message. May leave it unpublished until [`flush`](Self::flush).
    ///
    /// # Errors
    /// Whatever failed.
    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        let _ = message;
        Err(unsupported::<Self>("send"))
    }

    /// Receives one message into `buffer`, which is as long as the messages of this row, and
    /// returns how long it was.
    ///
    /// # Errors
    /// Whatever failed.
    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        let _ = buffer;
        Err(unsupported::<Self>("recv"))
    }

    /// Publishes everything sent; the engine calls it after the last message of a stream.
    ///
    /// # Errors
    /// Whatever failed.
    fn flush(&mut self) -> Outcome<()> {
        Ok(())
    }

    /// A round trip, near side: sends `request`, waits for the answer.
    ///
    /// # Errors
    /// Whatever failed.
    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<usize> {
        self.send(request)?;
        self.recv(reply)
    }

    /// A round trip, far side: waits for a request, copies it to the buffer, and sends the reply.
    /// The length of the request.
    ///
    /// # Errors
    /// Whatever failed.
    fn serve(&mut self, buffer: &mut [u8], reply: &[u8]) -> Outcome<usize> {
        let len = self.recv(buffer)?;
        self.send(reply)?;
        Ok(len)
    }

    /// After the round trips of a chunk, near side: outside of what is timed.
    ///
    /// # Errors
    /// Whatever failed.
    fn settle(&mut self) -> Outcome<()> {
        Ok(())
    }

    /// Answers `count` round trips, far side of what [echoes](Self::ECHOES).
    ///
    /// # Errors
    /// Whatever failed.
    fn echo(&mut self, count: u32) -> Outcome<()> {
        let _ = count;
        Err(unsupported::<Self>("echo"))
    }

    /// Makes `count` round trips, near side of what runs [apart](Self::APART): the messages from
    /// number `first` on. When the first of them began and the last ended, on the monotonic clock.
    ///
    /// # Errors
    /// Whatever failed.
    fn run_apart(&mut self, first: u64, count: u32) -> Outcome<[u64; 2]> {
        let _ = (first, count);
        Err(unsupported::<Self>("run_apart"))
    }

    /// One uncontended operation and its undoing, near side only (set and take, write and read).
    /// Returns the number that came back, which must be `sequence`; an operation that carries no
    /// number returns `sequence` once it has seen that it worked.
    ///
    /// # Errors
    /// Whatever failed.
    fn op(&mut self, sequence: u64) -> Outcome<u64> {
        let _ = sequence;
        Err(unsupported::<Self>("op"))
    }

    /// Opens a session with the far side and closes it, near side.
    ///
    /// # Errors
    /// Whatever failed.
    fn connect(&mut self) -> Outcome<()> {
        Err(unsupported::<Self>("connect"))
    }

    /// Accepts one such session, far side.
    ///
    /// # Errors
    /// Whatever failed.
    fn accept(&mut self) -> Outcome<()> {
        Err(unsupported::<Self>("accept"))
    }
}

#[cold]
fn unsupported<M: Mechanism>(step: &str) -> Failure {
    Failure::new(format!(
        "{} lists a measure that needs `{step}` and has none",
        M::ID
    ))
}

/// A line of the table: everything the engine knows of a mechanism.
#[derive(Clone, Copy)]
pub struct Entry {
    pub(crate) id: &'static str,
    pub(crate) about: &'static str,
    pub(crate) carries: Carries,
    pub(crate) measures: &'static [Job],
    pub(crate) waits: Waits,
    pub(crate) alone: bool,
    pub(crate) heavy: bool,
    pub(crate) yardstick: bool,
    pub(crate) beside: Option<&'static str>,
    pub(crate) missing: fn() -> Option<&'static str>,
    pub(crate) goals: &'static [Goal],
    pub(crate) open: fn(&mut Site<'_>) -> Outcome<Box<dyn Driver>>,
}

/// The line of the table for `M`.
#[must_use]
pub const fn entry<M: Mechanism>() -> Entry {
    Entry {
        id: M::ID,
        about: M::ABOUT,
        carries: M::CARRIES,
        measures: M::MEASURES,
        waits: M::WAITS,
        alone: M::ALONE,
        heavy: M::HEAVY,
        yardstick: M::YARDSTICK,
        beside: M::BESIDE,
        missing: M::missing,
        goals: M::GOALS,
        open: drive::<M>,
    }
}

impl Entry {
    /// The stable name.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        self.id
    }

    /// The family: what stands before the first dot.
    #[must_use]
    pub fn family(&self) -> &'static str {
        self.id
            .split_once('.')
            .map_or(self.id, |(family, _)| family)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entry").field(&self.id).finish()
    }
}
