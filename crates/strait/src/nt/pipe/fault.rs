//! The errors of pipes, by their NTSTATUS.

use crate::channel::flow::Ended;
use crate::error::{Error, ErrorKind};
use crate::nt::status::NtStatus;

/// The error of that status: what failed on which pipe.
pub(super) fn fault(status: NtStatus, verb: &'static str, subject: &str) -> Error {
    let (kind, why) = meaning(status);
    Error::new(kind, verb, subject)
        .because(why)
        .with_status(status.0)
}

fn meaning(status: NtStatus) -> (ErrorKind, &'static str) {
    match status {
        NtStatus::PIPE_LISTENING => (ErrorKind::WrongState, "no client has come yet"),
        NtStatus::PIPE_DISCONNECTED => (ErrorKind::PeerGone, "the server has disconnected it"),
        NtStatus::PIPE_CLOSING => (ErrorKind::PeerGone, "the other end is closed"),
        NtStatus::PIPE_BROKEN => (ErrorKind::PeerGone, "the other end is closed"),
        NtStatus::PIPE_EMPTY => (ErrorKind::TimedOut, "there is nothing to read"),
        NtStatus::INVALID_PIPE_STATE => (ErrorKind::WrongState, "nothing can be looked at"),
        NtStatus::INVALID_READ_MODE => (
            ErrorKind::WrongState,
            "it needs a message pipe that is read by messages",
        ),
        NtStatus::PIPE_BUSY => (
            ErrorKind::Busy,
            "something is there to be read, and would be taken for the reply",
        ),
        NtStatus::PIPE_NOT_AVAILABLE => (
            ErrorKind::Busy,
            "it exists, but no instance listens: wait_for waits for one",
        ),
        NtStatus::INSTANCE_NOT_AVAILABLE => {
            (ErrorKind::Busy, "it has as many instances as it may have")
        }
        NtStatus::PIPE_CONNECTED => (ErrorKind::WrongState, "a client is there already"),
        NtStatus::CANCELLED => (ErrorKind::Cancelled, ""),
        NtStatus::NOT_FOUND => (ErrorKind::NotFound, "there is nothing to cancel"),
        NtStatus::ACCESS_DENIED => (ErrorKind::Denied, "the pipe does not go that way"),
        NtStatus::CANNOT_IMPERSONATE => (
            ErrorKind::Denied,
            "nothing has been read from the client yet",
        ),
        NtStatus::BAD_IMPERSONATION_LEVEL => (ErrorKind::Denied, "the client does not allow it"),
        NtStatus::PRIVILEGE_NOT_HELD => (
            ErrorKind::Denied,
            "to act as another user needs CAP_SETUID and CAP_SETGID",
        ),
        NtStatus::IO_TIMEOUT => (ErrorKind::TimedOut, "no instance listened in time"),
        NtStatus::OBJECT_NAME_NOT_FOUND => (ErrorKind::NotFound, "no pipe of that name"),
        NtStatus::INSUFFICIENT_RESOURCES => (ErrorKind::Exhausted, ""),
        NtStatus::INVALID_PARAMETER => (ErrorKind::InvalidInput, ""),
        _ => (ErrorKind::Kernel, ""),
    }
}

/// How the other side ended.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Manner {
    /// It has closed.
    Closed,
    /// Its process is gone, and has not closed.
    Abandoned,
}

/// What the end of the other side means to a read.
pub(super) fn unreadable(ended: Ended, manner: Manner, verb: &'static str, subject: &str) -> Error {
    match ended {
        Ended::Closed | Ended::ClosedMeanwhile => fault(NtStatus::PIPE_BROKEN, verb, subject)
            .because(match manner {
                Manner::Closed => "the other end is closed, and everything it sent has been read",
                Manner::Abandoned => {
                    "the process at the other end is gone without having closed it: what it sent \
                     has been read, and may not be whole"
                }
            }),
        ended => other(ended, verb, subject),
    }
}

/// What it means to a flush, or to a write: one that waited hears that the pipe is broken.
pub(super) fn unwritable(ended: Ended, manner: Manner, verb: &'static str, subject: &str) -> Error {
    let status = match ended {
        Ended::Closed => NtStatus::PIPE_CLOSING,
        Ended::ClosedMeanwhile => NtStatus::PIPE_BROKEN,
        Ended::Shut => {
            return Error::new(ErrorKind::WrongState, verb, subject)
                .because("this end has said that it writes no more")
                .with_status(NtStatus::PIPE_CLOSING.0);
        }
        ended => return other(ended, verb, subject),
    };
    fault(status, verb, subject).because(match (status, manner) {
        (NtStatus::PIPE_CLOSING, Manner::Closed) => "the other end is closed",
        (_, Manner::Closed) => "the other end was closed before everything was read",
        (_, Manner::Abandoned) => "the process at the other end is gone without having closed it",
    })
}

fn other(ended: Ended, verb: &'static str, subject: &str) -> Error {
    match ended {
        Ended::Broken(error) => error.during(verb, subject),
        Ended::Stopped => fault(NtStatus::CANCELLED, verb, subject),
        _ => fault(NtStatus::PIPE_DISCONNECTED, verb, subject),
    }
}
