//! Signals taken by asking for them, never by handlers: `sigtimedwait(2)`, `signalfd(2)`,
//! `pthread_sigmask(3)`, `sigaction(2)`.
//!
//! A signal to be waited for must be blocked in every thread: block it before starting any. What
//! is sent twice before it is taken comes once (realtime signals excepted).

use core::ffi::{c_int, c_long};
use core::mem::MaybeUninit;
use core::ptr::{null, null_mut};
use std::os::fd::{FromRawFd, OwnedFd};
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
    /// Who sent it: 0 if the kernel did, or a process outside this PID namespace.
    pub sender: i32,
    /// The kernel sent it, as it does for the keys of a terminal.
    pub from_kernel: bool,
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

    /// Blocks them, too, in the calling thread and those it starts later. What was blocked before.
    ///
    /// # Errors
    ///
    /// None that Linux documents for a valid set.
    pub fn block(&self) -> Result<Self> {
        self.mask(libc::SIG_BLOCK)
    }

    /// Blocks them and no others in the calling thread and those it starts later. What was blocked
    /// before.
    ///
    /// # Errors
    ///
    /// None that Linux documents for a valid set.
    pub fn block_only(&self) -> Result<Self> {
        self.mask(libc::SIG_SETMASK)
    }

    /// Async-signal-safe.
    fn mask(&self, how: c_int) -> Result<Self> {
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the set is valid, and `before` may be written.
        let error = unsafe { libc::pthread_sigmask(how, &raw const self.0, before.as_mut_ptr()) };
        if error != 0 {
            return Err(Errno::from_raw_os_error(error));
        }
        // SAFETY: the call succeeded, so it stored the previous mask.
        Ok(Self(unsafe { before.assume_init() }))
    }

    /// Whether the signal is one of them.
    #[must_use]
    pub fn has(&self, signal: Signal) -> bool {
        // SAFETY: the set is valid.
        unsafe { libc::sigismember(&raw const self.0, signal.as_raw()) == 1 }
    }

    /// A descriptor that is readable while a signal of the set is pending. Close-on-exec.
    ///
    /// # Errors
    ///
    /// `EMFILE`, `ENFILE`, `ENOMEM`: there are no descriptors left, or no memory.
    pub fn descriptor(&self) -> Result<OwnedFd> {
        // SAFETY: the set is valid, and read during the call only.
        let fd = unsafe { libc::signalfd(-1, &raw const self.0, libc::SFD_CLOEXEC) };
        checked(c_long::from(fd))?;
        // SAFETY: the call succeeded: the descriptor is new, and nobody else's.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
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
        Ok(Taken {
            number,
            sender,
            from_kernel: info.si_code == libc::SI_KERNEL,
        })
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

/// Whether this process ignores the signal. Those of a shell's background commands ignore
/// interrupts, and `nohup` has its command ignore hang-ups: what was ignored at birth stays so.
///
/// # Errors
///
/// None that the kernel documents for a signal that has a name.
pub fn is_ignored(signal: Signal) -> Result<bool> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: nothing is changed, and `action` may be written.
    let result = unsafe { libc::sigaction(signal.as_raw(), null(), action.as_mut_ptr()) };
    checked(result.into())?;
    // SAFETY: the call succeeded, so it stored the present action.
    Ok(unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN)
}

/// Gives the signal its default action in this process.
///
/// # Errors
///
/// `EINVAL`: the action of KILL and STOP cannot be changed.
pub fn reset(signal: Signal) -> Result<()> {
    // SAFETY: all zeroes is a valid sigaction: default action, no flags, empty mask.
    let action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: the default action runs no code of this process.
    checked(unsafe { libc::sigaction(signal.as_raw(), &raw const action, null_mut()) }.into())
        .map(drop)
}

#[cfg(test)]
mod tests {
    //! A signal from this thread to its own process.

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    #[test]
    fn a_blocked_signal_waits_to_be_taken() {
        let set = Set::new(&[Signal::URG]).unwrap();
        set.block().unwrap();
        assert_eq!(set.wait(Some(Duration::ZERO)), Err(Errno::AGAIN));
        let descriptor = set.descriptor().unwrap();
        let pending = || {
            let mut fds = [PollFd::new(&descriptor, PollFlags::IN)];
            poll(&mut fds, Some(&Timespec::default())).unwrap()
        };
        assert_eq!(pending(), 0);
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
        assert_eq!(pending(), 1);
        let taken = set.wait(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(taken.number, libc::SIGURG);
        assert_eq!(taken.sender, std::process::id().cast_signed());
        assert!(!taken.from_kernel);
    }

    #[test]
    fn what_is_blocked_is_told_and_put_back() {
        let (one, two) = (Set::new(&[Signal::IO]), Set::new(&[Signal::POWER]));
        let first = one.unwrap().block().unwrap();
        let both = two.unwrap().block_only().unwrap();
        assert!(both.has(Signal::IO) && !both.has(Signal::POWER));
        let after = first.block_only().unwrap();
        assert!(!after.has(Signal::IO) && after.has(Signal::POWER));
    }

    #[test]
    fn an_ignored_signal_is_known_until_it_is_reset() {
        // What the runtime of Rust ignores in every program.
        assert_eq!(is_ignored(Signal::PIPE), Ok(true));
        assert_eq!(is_ignored(Signal::WINCH), Ok(false));
        reset(Signal::WINCH).unwrap();
        assert_eq!(is_ignored(Signal::WINCH), Ok(false));
        assert!(reset(Signal::KILL).is_err());
    }
}
