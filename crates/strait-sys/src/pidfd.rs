//! A process as a descriptor: it names one process for ever, unlike its number.
//!
//! Use it to watch a peer's death (it polls readable when the process has exited) and to signal a
//! process ([`sigsend::pidfd`](crate::sigsend::pidfd)) without the danger that its number is
//! another's by now. A peer's own number is only
//! trustworthy while it lives: prefer a pidfd that came with the socket where the kernel has that.
//!
//! `pidfd_open(2)` (Linux 5.3), `pidfd_getfd(2)` (5.6).

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use rustix::time::Timespec;

pub use rustix::process::Pid;

use crate::futex::Probe;
use crate::{Errno, Result};

/// A descriptor for the process that has this number now.
///
/// # Errors
///
/// `ESRCH`: no such process. `EINVAL`: the number is a thread's. `ENOSYS`, `EPERM`: see [`works`].
pub fn open(pid: Pid) -> Result<OwnedFd> {
    pidfd_open(pid, PidfdFlags::empty())
}

/// Whether the process has exited (its parent may not have waited for it yet).
///
/// False too for a descriptor that is no pidfd and has nothing to read.
#[must_use]
pub fn exited(process: BorrowedFd<'_>) -> bool {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut fds = [PollFd::from_borrowed_fd(process, PollFlags::IN)];
    loop {
        match poll(&mut fds, Some(&now)) {
            Err(Errno::INTR) => {}
            Ok(count) => return count > 0,
            Err(_) => return false,
        }
    }
}

/// Our own descriptor for what has the number `fd` in that process. Takes the right to trace it.
///
/// # Errors
///
/// `EBADF`: it has no such descriptor. `EPERM`: we may not trace it. `ESRCH`: it has exited.
pub fn getfd(process: BorrowedFd<'_>, fd: RawFd) -> Result<OwnedFd> {
    pidfd_getfd(process, fd, PidfdGetfdFlags::empty())
}

/// Whether this kernel and its filters let us [`open`] one. Asked once; later calls are a load.
#[must_use]
pub fn works() -> bool {
    static WORKS: Probe = Probe::new();
    WORKS.get(|| !matches!(open(getpid()), Err(Errno::NOSYS | Errno::PERM)))
}
