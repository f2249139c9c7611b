//! Sending: whom a signal reaches stands in the name of the function.

use std::os::fd::AsFd;

use rustix::process::Pid;
use strait_sys::Errno;
use strait_sys::sigsend::{self, Target};

pub use strait_sys::sigsend::Scope;

use super::{Signal, Value};
use crate::error::{Error, ErrorKind, Result};

const VERB: &str = "send signal";

/// Sends a signal to a process.
///
/// A process id is reused once its parent has waited for it: prefer [`send_to`] with a pidfd.
///
/// # Errors
/// [`ErrorKind::PeerGone`] if there is no such process (a zombie is one, and takes signals without
/// effect); [`ErrorKind::Denied`] if it may not be signalled: that takes the same user, or
/// CAP_KILL, or for CONT the same session; [`ErrorKind::InvalidInput`] if `pid` is 0 or too large.
#[inline]
#[doc(alias = "kill")]
pub fn send(pid: u32, signal: Signal) -> Result<()> {
    let target = Target::Process(id(pid)?);
    sigsend::kill(target, Some(signal)).map_err(|errno| failed(errno, process(pid)))
}

/// Sends a signal with a value to a process. Real-time signals queue; a standard one that is
/// pending already stays as it is, with the first value.
///
/// # Errors
/// [`ErrorKind::Exhausted`] if the receiver's user has as many signals queued as RLIMIT_SIGPENDING
/// of the receiver allows: nothing was sent, try again when some were taken. Otherwise as [`send`].
#[inline]
#[doc(alias = "sigqueue")]
pub fn send_value(pid: u32, signal: Signal, value: impl Into<Value>) -> Result<()> {
    let value = value.into().0;
    sigsend::queue(id(pid)?, signal, value).map_err(|errno| failed(errno, process(pid)))
}

/// Sends a signal to one thread of a process, by its number (gettid(2)).
///
/// # Errors
/// As [`send`], and [`ErrorKind::Exhausted`] as [`send_value`].
#[doc(alias = "tgkill")]
pub fn send_thread(pid: u32, thread: u32, signal: Signal) -> Result<()> {
    sigsend::tgkill(id(pid)?, id(thread)?, signal)
        .map_err(|errno| failed(errno, format!("thread {thread} of process {pid}")))
}

/// Sends a signal with a value to one thread of a process.
///
/// # Errors
/// As [`send_value`].
#[doc(alias = "rt_tgsigqueueinfo")]
pub fn send_thread_value(
    pid: u32,
    thread: u32,
    signal: Signal,
    value: impl Into<Value>,
) -> Result<()> {
    sigsend::queue_thread(id(pid)?, id(thread)?, signal, value.into().0)
        .map_err(|errno| failed(errno, format!("thread {thread} of process {pid}")))
}

/// Sends a signal to every process of a group that may be signalled.
///
/// # Errors
/// As [`send`], for the group as a whole. Group 1 is refused: to the kernel it is everybody.
#[doc(alias = "killpg")]
pub fn send_group(group: u32, signal: Signal) -> Result<()> {
    let subject = || format!("process group {group}");
    sigsend::kill(Target::Group(id(group)?), Some(signal)).map_err(|errno| failed(errno, subject()))
}

/// Sends a signal to every process of the caller's group, the caller too.
///
/// # Errors
/// As [`send`].
pub fn send_own_group(signal: Signal) -> Result<()> {
    sigsend::kill(Target::OwnGroup, Some(signal))
        .map_err(|errno| failed(errno, "the caller's process group".into()))
}

/// Sends a signal to every process that the caller may signal, but itself and process 1.
///
/// # Errors
/// As [`send`].
pub fn send_everybody(signal: Signal) -> Result<()> {
    sigsend::kill(Target::Everybody, Some(signal))
        .map_err(|errno| failed(errno, "every process".into()))
}

/// Sends a signal to what a pidfd names, which is the same process for ever.
///
/// Before Linux 6.9 there are no scopes: then [`Scope::Process`] is what every pidfd means, and the
/// others are refused.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for a scope that this kernel does not have. Otherwise as [`send`].
#[doc(alias = "pidfd_send_signal")]
pub fn send_to<Fd: AsFd>(pidfd: &Fd, signal: Signal, scope: Scope) -> Result<()> {
    let pidfd = pidfd.as_fd();
    let sent = match sigsend::pidfd(pidfd, Some(signal), None, scope) {
        Err(Errno::INVAL) if scope == Scope::Process => {
            sigsend::pidfd(pidfd, Some(signal), None, Scope::Descriptor)
        }
        other => other,
    };
    sent.map_err(|errno| {
        let error = failed(errno, "the process of a pidfd".into());
        if errno == Errno::INVAL && scope != Scope::Descriptor {
            let why = "signals to a pidfd have a scope since Linux 6.9";
            return error.classed(ErrorKind::Unsupported).because(why);
        }
        error
    })
}

/// Sends a signal with a value to what a pidfd names.
///
/// # Errors
/// As [`send_value`].
pub fn send_value_to<Fd: AsFd>(pidfd: &Fd, signal: Signal, value: impl Into<Value>) -> Result<()> {
    let value = Some(value.into().0);
    sigsend::pidfd(pidfd.as_fd(), Some(signal), value, Scope::Descriptor)
        .map_err(|errno| failed(errno, "the process of a pidfd".into()))
}

/// Asks whether a process could be signalled, and sends nothing (signal 0).
///
/// # Errors
/// As [`send`]: [`ErrorKind::PeerGone`], [`ErrorKind::Denied`].
pub fn probe(pid: u32) -> Result<()> {
    sigsend::kill(Target::Process(id(pid)?), None).map_err(|errno| failed(errno, process(pid)))
}

/// The number as the kernel takes it. 0 and negative ones mean groups there.
#[inline]
fn id(number: u32) -> Result<Pid> {
    let raw = i32::try_from(number).ok();
    raw.and_then(Pid::from_raw).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, VERB, process(number))
            .because("process ids are 1 to 4194304")
    })
}

#[cold]
fn process(pid: u32) -> String {
    format!("process {pid}")
}

#[cold]
fn failed(errno: Errno, subject: String) -> Error {
    let error = Error::kernel(errno, VERB, subject);
    match errno {
        Errno::AGAIN => error.classed(ErrorKind::Exhausted).because(
            "as many signals are queued for the receiver's user as its RLIMIT_SIGPENDING allows: \
             it must take some first",
        ),
        Errno::PERM => {
            error.because("it takes the same user, or CAP_KILL; for SIGCONT, the same session")
        }
        Errno::SRCH => error.because("it has ended, or never was"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    //! The kinds of the kernel's answers.

    use super::*;

    #[test]
    fn answers_have_kinds() {
        let kind = |errno| failed(errno, process(7)).kind();
        assert_eq!(kind(Errno::AGAIN), ErrorKind::Exhausted);
        assert_eq!(kind(Errno::PERM), ErrorKind::Denied);
        assert_eq!(kind(Errno::SRCH), ErrorKind::PeerGone);
        assert_eq!(kind(Errno::INVAL), ErrorKind::InvalidInput);
        let text = failed(Errno::AGAIN, process(7)).to_string();
        assert!(
            text.starts_with("send signal process 7: out of resources (as many"),
            "{text}"
        );
    }

    #[test]
    fn no_number_means_a_group() {
        for pid in [0, u32::MAX, 1 << 31] {
            assert_eq!(
                send(pid, Signal::TERM).unwrap_err().kind(),
                ErrorKind::InvalidInput
            );
            assert_eq!(probe(pid).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        let refused = send_group(1, Signal::TERM).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    }
}
