//! One wait over everything: any of several, or all of them at once.
//!
//! A wait looks first and takes by one exchange where it can: no system call when something is
//! ready. Otherwise it registers on all its members, blocks once, and withdraws from all on every
//! path. [`any`] takes the lowest ready index and only that; [`all`] takes nothing until everything
//! is ready, and then everything in one step, also across processes.
//!
//! | member | ready when | taking it |
//! | --- | --- | --- |
//! | [`Event`](crate::nt::Event) | set, or pulsed while the wait was registered | resets an auto-reset one |
//! | [`Semaphore`](crate::nt::Semaphore) | its count is not zero | one unit |
//! | [`Mutant`](crate::nt::Mutant) | free, the caller's, or its owner is dead | ownership |
//! | [`Timer`](crate::nt::Timer) | expired | resets an auto-reset one |
//! | [`Readable`], [`Writable`], [`Process`], [`Delay`] | as they say | nothing: they are looked at |
//! | [`Receiving`](crate::unix::msg::Receiving) | there is such a message | the message; for all: looked at |
//! | [`Acquiring`](crate::unix::sem::Acquiring) | the operations can be done | does them; for all: looked at |
//! | [`pipe::Readable`](crate::nt::pipe::Readable), [`Channel`](crate::channel::Channel) and its [`Receiver`](crate::channel::Receiver) | there is something to read or receive, or nothing more will come | nothing |
//! | [`Sender`](crate::channel::Sender) | there is room for a message, or nobody receives any more | nothing |
//! | [`pipe::Operation`](crate::nt::pipe::Operation) | the overlapped operation is done | nothing |
//! | [`pipe::Completions`](crate::nt::pipe::Completions) | the queue has a completion | nothing |
//! | [`lpc::Inbox`](crate::nt::lpc::Inbox), [`lpc::Client`](crate::nt::lpc::Client) | a receive would not block | nothing |
//! | what else is a descriptor: pipes, FIFOs, sockets, signals, POSIX queues, children | as it says | nothing |
//!
//! How it blocks depends on the kernel: see [`tiers`]. Limits: [`MEMBERS_MAX`] members in one call;
//! a [`Set`] holds thousands.

mod all;
mod any;
mod block;
#[cfg(feature = "tokio")]
mod future;
mod member;
pub(crate) mod ring;
mod set;
pub(crate) mod signal;
pub(crate) mod source;
pub(crate) mod timer;
pub(crate) mod watcher;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::PollFlags;
use strait_sys::time::Deadline;
use strait_sys::{Errno, pidfd};

use crate::error::{Error, ErrorKind, Result};
use crate::object::spot::{Object, Quick};

pub use self::all::{AllWon, all, all_for, all_unless};
pub use self::any::{any, any_for};
pub use self::block::{Tiers, tiers};
#[cfg(feature = "tokio")]
pub use self::future::any_async;
pub use self::set::{Key, Set, SetWon};

pub(crate) use self::any::{any_until, signal_then_any};

/// Most members in one [`any`] or [`all`] (NT's MAXIMUM_WAIT_OBJECTS).
pub const MEMBERS_MAX: usize = 64;

/// What a wait for any took.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Won {
    /// The index of the member, the lowest that was ready.
    pub index: usize,
    /// It is a mutant whose last owner died owning it: what it guards may be half changed.
    pub abandoned: bool,
}

/// Something that can be waited for. Implemented here only.
pub trait Waitable {
    /// How waits see it.
    #[doc(hidden)]
    fn member(&self) -> Member<'_>;
}

/// How waits see a waitable.
#[doc(hidden)]
#[derive(Debug)]
pub struct Member<'a>(pub(crate) Inner<'a>);

#[derive(Debug)]
pub(crate) enum Inner<'a> {
    Object(&'a Arc<Object>, usize),
    Descriptor(BorrowedFd<'a>, PollFlags),
    Until(Deadline),
    Source(&'a Arc<dyn source::Source>),
    /// A process without a pidfd: looked at now and then.
    Process(rustix::process::Pid),
}

impl<'a> Member<'a> {
    pub(crate) fn object(object: &'a Arc<Object>, core: usize) -> Self {
        Self(Inner::Object(object, core))
    }

    /// A descriptor that is looked at.
    pub(crate) fn descriptor(fd: BorrowedFd<'a>, interest: PollFlags) -> Self {
        Self(Inner::Descriptor(fd, interest))
    }

    /// What has no descriptor.
    pub(crate) fn source(source: &'a Arc<dyn source::Source>) -> Self {
        Self(Inner::Source(source))
    }
}

impl<T: Waitable + ?Sized> Waitable for &T {
    fn member(&self) -> Member<'_> {
        (**self).member()
    }
}

/// A descriptor that is ready when a read would not block (POLLIN, or the other end is gone).
#[derive(Copy, Clone, Debug)]
pub struct Readable<'a>(BorrowedFd<'a>);

/// A descriptor that is ready when a write would not block (POLLOUT, or the other end is gone).
#[derive(Copy, Clone, Debug)]
pub struct Writable<'a>(BorrowedFd<'a>);

/// Waits for `fd` to be readable. Nothing is read.
pub fn readable<Fd: AsFd>(fd: &Fd) -> Readable<'_> {
    Readable(fd.as_fd())
}

/// Waits for `fd` to be writable. Nothing is written.
pub fn writable<Fd: AsFd>(fd: &Fd) -> Writable<'_> {
    Writable(fd.as_fd())
}

impl Waitable for Readable<'_> {
    fn member(&self) -> Member<'_> {
        Member(Inner::Descriptor(self.0, PollFlags::IN))
    }
}

impl Waitable for Writable<'_> {
    fn member(&self) -> Member<'_> {
        Member(Inner::Descriptor(self.0, PollFlags::OUT))
    }
}

/// A moment: ready from then on.
#[derive(Copy, Clone, Debug)]
pub struct Delay(Deadline);

/// Ready once `delay` has passed.
#[must_use]
pub fn after(delay: Duration) -> Delay {
    Delay(Deadline::after(delay))
}

impl Waitable for Delay {
    fn member(&self) -> Member<'_> {
        Member(Inner::Until(self.0))
    }
}

/// A process, ready when it has exited. Its status is not collected: that is its parent's.
#[derive(Debug)]
pub struct Process {
    pid: rustix::process::Pid,
    pidfd: Option<OwnedFd>,
}

impl Process {
    /// The process of that id. Where the kernel refuses pidfd_open(2) (seccomp) the id is watched
    /// every 10 ms instead; then a reused id is taken for the same process.
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`](crate::ErrorKind::PeerGone) if there is no such process;
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the id is no process id.
    pub fn open(pid: u32) -> Result<Self> {
        let fail = |errno| Error::kernel(errno, "open process", pid.to_string());
        let raw = i32::try_from(pid).map_err(|_| fail(Errno::INVAL))?;
        let pid = rustix::process::Pid::from_raw(raw).ok_or_else(|| fail(Errno::INVAL))?;
        match pidfd::open(pid) {
            Ok(fd) => Ok(Self {
                pid,
                pidfd: Some(fd),
            }),
            Err(Errno::NOSYS | Errno::PERM) if member::process_runs(pid) => {
                Ok(Self { pid, pidfd: None })
            }
            Err(Errno::NOSYS | Errno::PERM) => Err(fail(Errno::SRCH)),
            Err(errno) => Err(fail(errno)),
        }
    }

    /// The process that `child` is.
    ///
    /// # Errors
    /// As [`Process::open`].
    pub fn of(child: &std::process::Child) -> Result<Self> {
        Self::open(child.id())
    }

    /// A process whose pidfd is at hand, or that cannot have one here.
    pub(crate) fn known(pid: rustix::process::Pid, pidfd: Option<OwnedFd>) -> Self {
        Self { pid, pidfd }
    }

    /// Its pidfd, to signal it for one; `None` where the kernel refused one.
    #[must_use]
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }
}

impl Waitable for Process {
    fn member(&self) -> Member<'_> {
        match &self.pidfd {
            Some(fd) => Member(Inner::Descriptor(fd.as_fd(), PollFlags::IN)),
            None => Member(Inner::Process(self.pid)),
        }
    }
}

/// Waits for one object, taken at once where that is a single exchange.
#[inline]
pub(crate) fn one(
    object: &Arc<Object>,
    core: usize,
    deadline: impl FnOnce() -> Option<Deadline>,
) -> Result<Option<Won>> {
    if object.quick_take(core) == Quick::Taken {
        return Ok(Some(Won {
            index: 0,
            abandoned: false,
        }));
    }
    any_until(&[&Whole(object, core)], deadline())
}

/// [`one`] without a deadline.
#[inline]
pub(crate) fn one_forever(object: &Arc<Object>, core: usize) -> Result<Won> {
    loop {
        if let Some(won) = one(object, core, || None)? {
            return Ok(won);
        }
    }
}

/// The error of a hidden thread that does not start.
#[cold]
fn no_thread(errno: Errno, name: &str) -> Error {
    Error::kernel(errno, "start thread", name)
        .with_kind(ErrorKind::Exhausted)
        .because(
            "no more threads for this user or container (RLIMIT_NPROC, pids.max), or no memory",
        )
}

struct Whole<'a>(&'a Arc<Object>, usize);

impl Waitable for Whole<'_> {
    fn member(&self) -> Member<'_> {
        Member::object(self.0, self.1)
    }
}

// ---- for the kinds -------------------------------------------------------------------------

pub(crate) use self::member::{token as member_token, unsettled};

/// The pace of a call without a deadline.
pub(crate) fn steps() -> member::Steps {
    member::Steps::until(None)
}
