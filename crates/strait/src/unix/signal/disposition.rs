//! What signals do to this process, guards that change it for a while, and the bell.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::PollFlags;
use strait_sys::sigaction::{self, Action};
use strait_sys::{Errno, fork};

pub use strait_sys::sigaction::Action as Disposition;

use super::{Signal, check};
use crate::error::{Error, ErrorKind, Result};
use crate::object::wait::{Member, Waitable};

const VERB: &str = "change disposition";

/// What the signal does to this process, where it is not blocked.
///
/// # Errors
/// None that the kernel documents.
pub fn disposition(signal: Signal) -> Result<Disposition> {
    let now = sigaction::get(signal).map_err(|errno| fail(errno, signal))?;
    Ok(now.action())
}

/// A disposition that is in force until this is dropped; then the one before it is again, a
/// handler too. Drop guards of one signal in the reverse order of their making.
#[derive(Debug)]
#[must_use = "dropped, it puts back what was in force before"]
pub struct Override {
    signal: Signal,
    before: sigaction::Disposition,
}

/// Ignores the signal. What is pending of it is discarded, and children inherit it across exec.
///
/// Ignoring CHLD has the kernel reap children itself: waiting for one then fails.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for KILL, STOP and faults.
pub fn ignore(signal: Signal) -> Result<Override> {
    put(signal, Action::Ignore)
}

/// Has the signal do what it does by default.
///
/// # Errors
/// As [`ignore`].
pub fn default(signal: Signal) -> Result<Override> {
    put(signal, Action::Default)
}

fn put(signal: Signal, action: Action) -> Result<Override> {
    check(signal, VERB)?;
    let before = sigaction::set(signal, action).map_err(|errno| fail(errno, signal))?;
    Ok(Override { signal, before })
}

impl Drop for Override {
    fn drop(&mut self) {
        // It was in force before: it can be again.
        let _ = sigaction::restore(self.signal, &self.before);
    }
}

/// A handler that counts its signal in an eventfd, which can be waited for.
///
/// For a process that must not block the signal: one whose threads are not its own to order, or
/// whose system calls shall be interrupted. It tells how often, not who sent it, and a standard
/// signal sent in quick succession rings fewer times. Interrupted system calls go on by themselves
/// where the kernel can do that (SA_RESTART); waits, sleeps and System V calls never do, and those
/// of this crate are taken up again by themselves. Nothing rings while the signal is blocked.
#[derive(Debug)]
#[must_use = "dropped, it puts back what was in force before"]
pub struct Bell {
    bell: sigaction::Bell,
    generation: u32,
}

impl Bell {
    /// Has the signal ring, until this is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if there is a bell for it in this process; [`ErrorKind::InvalidInput`]
    /// for KILL, STOP and faults; [`ErrorKind::Exhausted`] without a free descriptor.
    pub fn new(signal: Signal) -> Result<Self> {
        check(signal, VERB)?;
        let bell = sigaction::Bell::new(signal).map_err(|errno| match errno {
            Errno::BUSY => fail(errno, signal)
                .classed(ErrorKind::Busy)
                .because("this process has a bell for it"),
            errno => fail(errno, signal),
        })?;
        let generation = fork::generation();
        Ok(Self { bell, generation })
    }

    /// How often it rang since this was last asked; `None` if it did not.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] in a forked child, where it does not ring.
    pub fn take(&self) -> Result<Option<u64>> {
        let signal = self.bell.signal();
        if self.generation != fork::generation() {
            return Err(
                Error::new(ErrorKind::Unsupported, "ask bell", signal.to_string())
                    .because("it belongs to the process that this one was forked from"),
            );
        }
        self.bell.take().map_err(|errno| fail(errno, signal))
    }
}

impl AsFd for Bell {
    /// An eventfd, to wait for.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// Ready when it has rung. A wait takes nothing: [`Bell::take`] does.
impl Waitable for Bell {
    fn member(&self) -> Member<'_> {
        Member::descriptor(self.bell.as_fd(), PollFlags::IN)
    }
}

fn fail(errno: Errno, signal: Signal) -> Error {
    Error::kernel(errno, VERB, signal.to_string())
}
