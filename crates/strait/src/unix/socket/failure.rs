//! What the kernel's answers mean here, and how long a call goes on trying.

use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use strait_sys::Errno;
use strait_sys::time::Deadline;

use crate::error::{Error, ErrorKind};

/// An error of this mechanism.
#[cold]
pub(super) fn fail(errno: Errno, operation: &'static str, subject: impl Into<String>) -> Error {
    let error = Error::kernel(errno, operation, subject);
    let error = match kind(errno) {
        Some(kind) => error.classed(kind),
        None => error,
    };
    error.because(why(errno))
}

/// Where these errors differ from what the same numbers mean elsewhere.
fn kind(errno: Errno) -> Option<ErrorKind> {
    Some(match errno {
        Errno::ADDRINUSE => ErrorKind::Exists,
        Errno::CONNREFUSED | Errno::CONNABORTED | Errno::NETRESET => ErrorKind::PeerGone,
        Errno::PROTOTYPE => ErrorKind::WrongKind,
        Errno::TOOMANYREFS | Errno::NOBUFS | Errno::AGAIN => ErrorKind::Exhausted,
        Errno::AFNOSUPPORT
        | Errno::PROTONOSUPPORT
        | Errno::SOCKTNOSUPPORT
        | Errno::NOPROTOOPT
        | Errno::NOTTY => ErrorKind::Unsupported,
        Errno::MSGSIZE
        | Errno::NAMETOOLONG
        | Errno::NOTCONN
        | Errno::ISCONN
        | Errno::DESTADDRREQ
        | Errno::ADDRNOTAVAIL
        | Errno::NOTSOCK
        | Errno::NODEV => ErrorKind::InvalidInput,
        _ => return None,
    })
}

fn why(errno: Errno) -> &'static str {
    match errno {
        Errno::CONNREFUSED => "nobody listens there; who did has ended, or not yet begun",
        Errno::ADDRINUSE => "another socket has this address",
        Errno::PROTOTYPE => "what listens there is a socket of another kind",
        Errno::PIPE | Errno::CONNRESET => "the peer has closed",
        Errno::TOOMANYREFS => "too many of this user's descriptors are on their way, unreceived",
        Errno::MSGSIZE => "longer than one message of this socket may be",
        Errno::NOTCONN | Errno::DESTADDRREQ => "it is not connected: say where to",
        Errno::ADDRNOTAVAIL => "not an address of this machine",
        Errno::AFNOSUPPORT => "this kernel does not have that kind of address",
        Errno::NOPROTOOPT => "this kernel, or this kind of socket, does not know it",
        Errno::NAMETOOLONG => "a name of a socket has at most 107 bytes",
        _ => "",
    }
}

/// How long to go on.
#[derive(Copy, Clone, Debug)]
pub(super) enum Patience {
    Forever,
    Until(Deadline),
    /// One attempt.
    Never,
}

/// Makes the call until it answers, for as long as there is patience; `None`: it would block still.
///
/// `call` is told whether it must not block. A signal ends no call; the remaining time counts.
#[inline]
pub(super) fn attempt<T>(
    socket: BorrowedFd<'_>,
    direction: PollFlags,
    patience: Patience,
    mut call: impl FnMut(bool) -> Result<T, Errno>,
) -> Result<Option<T>, Errno> {
    loop {
        match call(!matches!(patience, Patience::Forever)) {
            Ok(done) => return Ok(Some(done)),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                if !wait(socket, direction, patience)? {
                    return Ok(None);
                }
            }
            Err(errno) => return Err(errno),
        }
    }
}

/// How long to wait where readiness is not told, in nanoseconds.
const PACE_NS: u64 = 1_000_000;

/// Waits until the socket is ready; false once there is no patience left.
#[cold]
pub(super) fn wait(
    socket: BorrowedFd<'_>,
    direction: PollFlags,
    patience: Patience,
) -> Result<bool, Errno> {
    let left = match patience {
        Patience::Forever => None,
        Patience::Never => return Ok(false),
        Patience::Until(deadline) => {
            let left = deadline.left();
            if left.is_zero() {
                return Ok(false);
            }
            Some(left)
        }
    };
    // Beyond what a timespec holds, the wait is cut, and the caller comes again.
    let timeout = left.map(|left| Timespec::try_from(left).unwrap_or(FAR));
    let mut fds = [PollFd::from_borrowed_fd(socket, direction)];
    match poll(&mut fds, timeout.as_ref()) {
        Err(Errno::INTR) | Ok(0) => Ok(true),
        Ok(_) => Ok(true),
        Err(errno) => Err(errno),
    }
}

const FAR: Timespec = Timespec {
    tv_sec: 1 << 30,
    tv_nsec: 0,
};

/// Makes the call until it answers, where the queue that is full is not the socket's own and so no
/// poll tells when it has room.
pub(super) fn retry<T>(
    patience: Patience,
    mut call: impl FnMut(bool) -> Result<T, Errno>,
) -> Result<Option<T>, Errno> {
    loop {
        match call(!matches!(patience, Patience::Forever)) {
            Ok(done) => return Ok(Some(done)),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if rest(patience) => {}
            Err(Errno::AGAIN) => return Ok(None),
            Err(errno) => return Err(errno),
        }
    }
}

/// A moment's rest before the next attempt, for what announces nothing.
pub(super) fn rest(patience: Patience) -> bool {
    let pace = Deadline::from_ns(Deadline::now().ns() + PACE_NS);
    let left = match patience {
        Patience::Never => return false,
        Patience::Forever => pace.left(),
        Patience::Until(deadline) if deadline.passed() => return false,
        Patience::Until(deadline) => pace.min(deadline).left(),
    };
    // sleep: a full queue of another socket, or a lock of a directory, tells nobody when it is free
    std::thread::sleep(left);
    true
}

#[cfg(test)]
mod tests {
    //! The table.

    use super::*;

    #[test]
    fn answers_have_kinds() {
        let kind = |errno| fail(errno, "connect socket", "/x").kind();
        assert_eq!(kind(Errno::NOENT), ErrorKind::NotFound);
        assert_eq!(kind(Errno::ADDRINUSE), ErrorKind::Exists);
        assert_eq!(kind(Errno::CONNREFUSED), ErrorKind::PeerGone);
        assert_eq!(kind(Errno::PIPE), ErrorKind::PeerGone);
        assert_eq!(kind(Errno::CONNRESET), ErrorKind::PeerGone);
        assert_eq!(kind(Errno::ACCESS), ErrorKind::Denied);
        assert_eq!(kind(Errno::PROTOTYPE), ErrorKind::WrongKind);
        assert_eq!(kind(Errno::TOOMANYREFS), ErrorKind::Exhausted);
        assert_eq!(kind(Errno::MFILE), ErrorKind::Exhausted);
        assert_eq!(kind(Errno::MSGSIZE), ErrorKind::InvalidInput);
        assert_eq!(kind(Errno::AFNOSUPPORT), ErrorKind::Unsupported);
        assert_eq!(kind(Errno::NETUNREACH), ErrorKind::Kernel);
        let text = fail(Errno::CONNREFUSED, "connect socket", "/x").to_string();
        assert!(text.starts_with("connect socket /x: the other process is gone (nobody listens"));
    }
}
