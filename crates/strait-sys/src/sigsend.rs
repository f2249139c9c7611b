//! Sending signals: to a process, a thread, a group, everybody, or what a pidfd names.
//!
//! `kill(2)`, `tgkill(2)`, `rt_sigqueueinfo(2)`, `pidfd_send_signal(2)`.

use core::ffi::{c_int, c_long, c_uint};
use core::ptr::null;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::process::{Pid, getpid, getuid};

use crate::siginfo::Info;
use crate::signal::Signal;
use crate::{Errno, Result, checked};

/// Whom kill(2) reaches.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// One process.
    Process(Pid),
    /// Every process of a group.
    Group(Pid),
    /// Every process of the caller's group, the caller too.
    OwnGroup,
    /// Every process that the caller may signal, but itself and process 1.
    Everybody,
}

impl Target {
    #[inline]
    fn raw(self) -> c_int {
        match self {
            Self::Process(pid) => raw(pid),
            Self::Group(group) => -raw(group),
            Self::OwnGroup => 0,
            Self::Everybody => -1,
        }
    }
}

#[inline]
fn raw(pid: Pid) -> c_int {
    pid.as_raw_nonzero().get()
}

/// Sends a signal; `None` only asks whether one could be sent.
///
/// # Errors
///
/// `ESRCH`: nobody there; a zombie is somebody. `EPERM`: none of them may be signalled. `EINVAL`:
/// the group 1, which the kernel would take for everybody.
#[inline]
pub fn kill(target: Target, signal: Option<Signal>) -> Result<()> {
    if target == Target::Group(Pid::INIT) {
        return Err(Errno::INVAL);
    }
    // SAFETY: takes two integers.
    let result = unsafe { libc::kill(target.raw(), number(signal)) };
    checked(c_long::from(result)).map(drop)
}

/// Sends a signal to one thread of a process.
///
/// # Errors
///
/// `ESRCH`: the process has no such thread. `EPERM`: it may not be signalled. `EAGAIN`: a real-time
/// signal, and the queue is full.
pub fn tgkill(pid: Pid, thread: Pid, signal: Signal) -> Result<()> {
    // SAFETY: takes three integers.
    let result = unsafe { libc::syscall(libc::SYS_tgkill, raw(pid), raw(thread), signal.number()) };
    checked(result).map(drop)
}

/// Sends a signal with a value.
///
/// # Errors
///
/// `EAGAIN`: the queue of the receiver's user is full (RLIMIT_SIGPENDING). `ESRCH`, `EPERM`: as
/// [`kill`].
#[inline]
pub fn queue(pid: Pid, signal: Signal, value: u64) -> Result<()> {
    let info = own(signal, value);
    // SAFETY: `info` may be read, and is a siginfo_t.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigqueueinfo,
            raw(pid),
            signal.number(),
            &raw const info,
        )
    };
    checked(result).map(drop)
}

/// Sends a signal with a value to one thread of a process.
///
/// # Errors
///
/// As [`queue`].
pub fn queue_thread(pid: Pid, thread: Pid, signal: Signal, value: u64) -> Result<()> {
    let info = own(signal, value);
    // SAFETY: `info` may be read, and is a siginfo_t.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_tgsigqueueinfo,
            raw(pid),
            raw(thread),
            signal.number(),
            &raw const info,
        )
    };
    checked(result).map(drop)
}

/// Whom a signal to a pidfd reaches, as `linux/pidfd.h` numbers it (Linux 6.9).
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Scope {
    /// What the descriptor was opened for: a process, or one thread (PIDFD_THREAD).
    Descriptor = 0,
    /// PIDFD_SIGNAL_THREAD: the one thread.
    Thread = 1,
    /// PIDFD_SIGNAL_THREAD_GROUP: its process.
    Process = 2,
    /// PIDFD_SIGNAL_PROCESS_GROUP: its process group, of which it must be the leader.
    ProcessGroup = 4,
}

/// Sends a signal to what a pidfd names, with a value if one is given; no signal only asks.
///
/// # Errors
///
/// `ESRCH`: it has ended and was waited for. `EPERM`: it may not be signalled. `EINVAL`: the kernel
/// is older than the scope. `EBADF`: no pidfd. `EAGAIN`: as [`queue`].
pub fn pidfd(
    process: BorrowedFd<'_>,
    signal: Option<Signal>,
    value: Option<u64>,
    scope: Scope,
) -> Result<()> {
    let info = signal.zip(value).map(|(signal, value)| own(signal, value));
    let info = info.as_ref().map_or(null(), |info| &raw const *info);
    // SAFETY: `info` is null, or a siginfo_t that may be read.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            number(signal),
            info,
            scope as c_uint,
        )
    };
    checked(result).map(drop)
}

#[inline]
fn number(signal: Option<Signal>) -> c_int {
    signal.map_or(0, Signal::number)
}

/// As sigqueue(3) fills it in.
fn own(signal: Signal, value: u64) -> Info {
    Info::queued(signal, raw(getpid()), getuid().as_raw(), value)
}
