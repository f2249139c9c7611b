//! Signals taken by asking for them, never by handlers: `sigtimedwait(2)`, `pthread_sigmask(3)`.
//!
//! A signal to be waited for must be blocked in every thread: block it before starting any. What
//! is sent twice before it is taken comes once (realtime signals excepted).

use core::ffi::{c_int, c_long};
use core::mem::MaybeUninit;
use core::ptr::{null, null_mut};
use std::time::Duration;

use rustix::process::{Pid, kill_process};

pub use rustix::process::Signal;

use crate::time::timespec;
use crate::{Errno, Result, checked};

/// A set of signals.
#[derive(Copy, Clone)]
pub struct Set(libc::sigset_t);

/// A signal that was taken.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Taken {
    /// Its number.
    pub number: i32,
    /// Who sent it: 0 if the kernel did.
    pub sender: i32,
}

impl Set {
    /// The set of these signals.
    ///
    /// # Errors
    ///
    /// `EINVAL`: libc keeps one of them for itself.
    pub fn new(signals: &[Signal]) -> Result<Self> {
        // SAFETY: a set is a mask of integers, for which zero is valid.
        let mut set: libc::sigset_t = unsafe { MaybeUninit::zeroed().assume_init() };
        // SAFETY: `set` may be written.
        let result = unsafe { libc::sigemptyset(&raw mut set) };
        checked(c_long::from(result))?;
        for signal in signals {
            // SAFETY: `set` is a set, and may be written.
            let result = unsafe { libc::sigaddset(&raw mut set, signal.as_raw()) };
            checked(c_long::from(result))?;
        }
        Ok(Self(set))
    }

    /// Blocks them in the calling thread and those it starts later.
    ///
    /// # Errors
    ///
    /// None that Linux documents for a valid set.
    pub fn block(&self) -> Result<()> {
        // SAFETY: the set is valid; the old one is not asked for.
        let error =
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const self.0, null_mut()) };
        match error {
            0 => Ok(()),
            error => Err(Errno::from_raw_os_error(error)),
        }
    }

    /// Takes a pending signal of the set; waits for one, at most `wait` if that is given.
    ///
    /// # Errors
    ///
    /// `EAGAIN`: none came in time. `EINTR`: another signal came, and was handled.
    pub fn wait(&self, wait: Option<Duration>) -> Result<Taken> {
        let ns = |wait: Duration| u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        let until = wait.map(|wait| timespec(ns(wait)));
        let until = until.as_ref().map_or(null(), |until| &raw const *until);
        // SAFETY: the structure is integers, for which zero is valid.
        let mut info: libc::siginfo_t = unsafe { MaybeUninit::zeroed().assume_init() };
        // SAFETY: `info` may be written; the set and the time live until the call returns. The
        // timespec is the kernel's on 64-bit Linux, as libc's is.
        let number: c_int =
            unsafe { libc::sigtimedwait(&raw const self.0, &raw mut info, until.cast()) };
        checked(c_long::from(number))?;
        // SAFETY: every code with which a signal can come from kill(2), tgkill(2) or sigqueue(3)
        // fills in the sender; for others the field is zero or an integer of another meaning.
        let sender = unsafe { info.si_pid() };
        Ok(Taken { number, sender })
    }
}

impl core::fmt::Debug for Set {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("signal::Set")
    }
}

/// Sends a signal to a process.
///
/// # Errors
///
/// `ESRCH`: there is no such process. `EPERM`: not for this user.
pub fn send(pid: Pid, signal: Signal) -> Result<()> {
    kill_process(pid, signal)
}

#[cfg(test)]
mod tests {
    //! A signal from this thread to its own process.

    use super::*;

    #[test]
    fn a_blocked_signal_waits_to_be_taken() {
        let set = Set::new(&[Signal::URG]).unwrap();
        set.block().unwrap();
        assert_eq!(set.wait(Some(Duration::ZERO)), Err(Errno::AGAIN));
        // To this thread alone: those of other tests do not block it (and ignore it).
        let me = rustix::thread::gettid();
        // SAFETY: the call takes three integers.
        let result = unsafe {
            libc::syscall(
                libc::SYS_tgkill,
                std::process::id(),
                me.as_raw_nonzero().get(),
                libc::SIGURG,
            )
        };
        assert_eq!(result, 0);
        let taken = set.wait(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(taken.number, libc::SIGURG);
        assert_eq!(taken.sender, std::process::id().cast_signed());
    }
}
