//! What any process blocks, ignores, handles and has pending, and how full its user's queue is.

use std::io::ErrorKind as IoKind;
use std::path::Path;

use strait_sys::signal::Set as Bits;

use super::Set;
use crate::error::{Error, ErrorKind, Result};

/// The signals of a process as `/proc` tells them.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Look {
    /// Pending for the process or its main thread.
    pub pending: Set,
    /// Blocked by its main thread. While that sleeps in sigtimedwait(2) for a signal, as
    /// [`Receiver::recv`](super::Receiver::recv) does, the kernel does not count it as blocked.
    pub blocked: Set,
    /// Ignored.
    pub ignored: Set,
    /// Handled.
    pub handled: Set,
    /// The queue of its user.
    pub queue: Queue,
}

/// How many signals are queued for a user, over all processes.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Queue {
    /// So many.
    pub queued: u64,
    /// RLIMIT_SIGPENDING of the process that was looked at; `None` if it has no limit.
    pub limit: Option<u64>,
}

/// Looks at a process; anybody may, unless /proc is mounted with hidepid: then other users'
/// processes look like none.
///
/// # Errors
/// [`ErrorKind::PeerGone`] if there is no such process; [`ErrorKind::Unsupported`] without /proc.
pub fn look(pid: u32) -> Result<Look> {
    read(&pid.to_string())
}

/// How many signals are queued for the user of this process, and how many may be.
///
/// # Errors
/// [`ErrorKind::Unsupported`] without /proc.
pub fn queue() -> Result<Queue> {
    read("self").map(|look| look.queue)
}

fn read(pid: &str) -> Result<Look> {
    let fail = |kind, why: &str| {
        Error::new(kind, "look at signals", format!("process {pid}")).because(why)
    };
    let status = status(format!("/proc/{pid}/status").as_ref()).map_err(|error| {
        let proc = Path::new("/proc/self").exists();
        match error.kind() {
            IoKind::NotFound if proc => fail(ErrorKind::PeerGone, "no process has that number"),
            IoKind::NotFound => fail(ErrorKind::Unsupported, "there is no /proc here"),
            _ => fail(ErrorKind::PeerGone, &error.to_string()),
        }
    })?;
    parse(&status).ok_or_else(|| fail(ErrorKind::Unsupported, "its status lacks the signals"))
}

pub(crate) fn parse(status: &str) -> Option<Look> {
    let set = |name| mask(status, name).map(|mask| Set(Bits::from_bits(mask)));
    let (queued, limit) = field(status, "SigQ:")?.split_once('/')?;
    let limit: u64 = limit.parse().ok()?;
    let all = set("SigPnd:")?.iter().chain(set("ShdPnd:")?.iter());
    Some(Look {
        pending: all.collect(),
        blocked: set("SigBlk:")?,
        ignored: set("SigIgn:")?,
        handled: set("SigCgt:")?,
        queue: Queue {
            queued: queued.parse().ok()?,
            limit: (limit != u64::MAX).then_some(limit),
        },
    })
}

/// What `/proc/PID/status` says. The name of a thread is any bytes, and one that is cut at 15 of
/// them is often no UTF-8; the kernel writes a newline in it as `\n`, so that it forges no line.
pub(super) fn status(path: &Path) -> std::io::Result<String> {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// What stands behind a name in `/proc/PID/status`.
pub(super) fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = status.lines();
    lines
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

/// A mask in hexadecimal.
pub(super) fn mask(status: &str, name: &str) -> Option<u64> {
    u64::from_str_radix(field(status, name)?, 16).ok()
}

pub(crate) fn is_zombie(status: &str) -> bool {
    field(status, "State:").is_some_and(|state| state.starts_with(['Z', 'X']))
}

#[cfg(test)]
mod tests {
    //! A status as the kernel writes it, and what is none.

    use super::super::Signal;
    use super::*;

    #[test]
    fn a_status_is_read() {
        // The C library's own are left out: 32 is blocked too.
        let status = "Name:\tsleep\nState:\tS (sleeping)\nSigQ:\t3/1234\n\
                      SigPnd:\t0000000000000000\nShdPnd:\t0000000000004000\n\
                      SigBlk:\t0000000480000000\nSigIgn:\t0000000000001000\n\
                      SigCgt:\t0000000000000002\n";
        let look = parse(status).unwrap();
        assert_eq!(look.pending, Set::new([Signal::TERM]));
        assert_eq!(look.blocked, Set::new([Signal::new(35).unwrap()]));
        assert_eq!(look.ignored, Set::new([Signal::PIPE]));
        assert_eq!(look.handled, Set::new([Signal::INT]));
        let (queued, limit) = (3, Some(1234));
        assert_eq!(look.queue, Queue { queued, limit });
        assert!(!is_zombie(status));
        for cut in ["", "SigQ:\t3\n", "Name:\tx\nSigQ:\t1/2\nSigPnd:\tzz\n"] {
            assert_eq!(parse(cut), None);
        }
    }
}
