//! A deadline as a descriptor, for those who wait in `poll`.
//!
//! Where the wait itself takes a [`Deadline`], pass that. `timerfd_create(2)`, on the monotonic
//! clock, absolute. None of the calls blocks.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};

use crate::Result;
use crate::eventfd::read_count;
use crate::time::{Deadline, timespec};

/// A timer that is not armed.
///
/// # Errors
///
/// `EMFILE`, `ENFILE`, `ENOMEM`: the usual ones.
pub fn create() -> Result<OwnedFd> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)
}

/// Has the timer become readable at the deadline, in the place of the one before; at once if that
/// has passed. It stops being readable until then.
///
/// # Errors
///
/// `EINVAL`, `EBADF`: not a timerfd.
pub fn arm(timer: BorrowedFd<'_>, deadline: Deadline) -> Result<()> {
    // Zero would disarm it.
    set(timer, deadline.ns().max(1))
}

/// Has the timer never become readable, until armed again.
///
/// # Errors
///
/// `EINVAL`, `EBADF`: not a timerfd.
pub fn disarm(timer: BorrowedFd<'_>) -> Result<()> {
    set(timer, 0)
}

/// Whether the deadline has passed since the timer was armed or last asked.
///
/// # Errors
///
/// `EINVAL`, `EBADF`: not a timerfd.
pub fn take(timer: BorrowedFd<'_>) -> Result<bool> {
    Ok(read_count(timer)?.is_some())
}

fn set(timer: BorrowedFd<'_>, ns: u64) -> Result<()> {
    let new = Itimerspec {
        it_interval: timespec(0),
        it_value: timespec(ns),
    };
    rustix::time::timerfd_settime(timer, TimerfdTimerFlags::ABSTIME, &new).map(drop)
}
