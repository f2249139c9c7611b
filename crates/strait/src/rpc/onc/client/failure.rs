//! What can go wrong with a call, and the error it becomes.

use std::time::Duration;

use strait_sys::Errno;
use strait_wire::onc::client::{self as machine, Refused};
use strait_wire::onc::gss::Unsound;
use strait_wire::onc::gss::client::{Refused as Uncontexted, Unsealed};
use strait_wire::onc::message::{Accepted, Denied, Procedure};
use strait_wire::onc::record;
use strait_wire::xdr;

use super::calls::Strays;
use crate::error::{Error, ErrorKind};

/// Why a connection can be used no more.
#[derive(Clone, Debug)]
pub(in crate::rpc::onc) struct End {
    pub(in crate::rpc::onc) kind: ErrorKind,
    pub(in crate::rpc::onc) why: String,
    pub(in crate::rpc::onc) errno: Option<Errno>,
}

impl End {
    pub(in crate::rpc::onc) fn new(kind: ErrorKind, why: impl Into<String>) -> Self {
        Self {
            kind,
            why: why.into(),
            errno: None,
        }
    }

    /// The stream has ended; `cut`: within a record.
    pub(in crate::rpc::onc) fn closed(cut: bool) -> Self {
        Self::new(
            ErrorKind::PeerGone,
            match cut {
                true => "the server has closed the connection in the middle of a reply",
                false => "the server has closed the connection",
            },
        )
    }

    /// The kernel reports the end.
    pub(in crate::rpc::onc) fn kernel(errno: Errno) -> Self {
        let kind = match errno {
            Errno::PIPE
            | Errno::CONNRESET
            | Errno::CONNABORTED
            | Errno::TIMEDOUT
            | Errno::NETUNREACH
            | Errno::HOSTUNREACH => ErrorKind::PeerGone,
            Errno::PROTO | Errno::MSGSIZE => ErrorKind::Broken,
            _ => Error::kernel(errno, "", "").kind(),
        };
        let why = match errno {
            Errno::PIPE | Errno::CONNRESET | Errno::CONNABORTED => {
                "the server has dropped the connection"
            }
            Errno::PROTO => "the server does not keep to the channel's protocol",
            Errno::MSGSIZE => "the server sends a longer reply than is taken",
            _ => "the connection has failed",
        };
        Self {
            errno: Some(errno),
            ..Self::new(kind, why)
        }
    }

    /// What the server sends is no record of a length that is taken.
    pub(in crate::rpc::onc) fn record(error: record::Error) -> Self {
        let why = format!("the server sends {error}; the connection is given up");
        Self::new(ErrorKind::Broken, why)
    }

    /// A call was cut while it was sent.
    pub(in crate::rpc::onc) fn cut(sent: usize, len: usize) -> Self {
        let why = format!(
            "{sent} of {len} bytes of a call were sent when its time ran out: nothing more can be \
             sent over this connection"
        );
        Self::new(ErrorKind::Broken, why)
    }
}

impl End {
    fn error(self, subject: String) -> Error {
        let error = match self.errno {
            Some(errno) => Error::kernel(errno, "call", subject).with_kind(self.kind),
            None => Error::new(self.kind, "call", subject),
        };
        error.because(self.why)
    }
}

/// Why there are no results.
#[derive(Debug)]
pub(super) enum Failure {
    /// The call was not made.
    Draft(machine::Error),
    /// No reply in that time.
    TimedOut { within: Duration, strays: Strays },
    /// It could not even be sent in that time.
    Stuck { within: Duration },
    /// RPCSEC_GSS: in that time its turn did not come, or so many calls were in flight, which is
    /// all that the server's window has room for.
    Full {
        within: Duration,
        window: Option<u32>,
    },
    /// The connection, before the call was sent.
    Ended(End),
    /// The connection, since then.
    Lost(End),
    /// RPCSEC_GSS: there is no context.
    Context(Uncontexted),
    /// The call cannot be put under protection.
    Unsealed(Unsealed),
    /// The reply does not prove itself.
    Unproven(Unsound),
    /// The server says so.
    Refused(Refused),
    /// The reply's header.
    Malformed(xdr::Error),
    /// The results.
    Results(xdr::Error),
    /// The results were dropped when they came.
    Dropped { len: usize, max: usize },
    /// Nobody receives datagrams there.
    Unreachable,
    /// The kernel does not send it.
    Unsent(Errno),
}

impl Failure {
    /// As the one who calls is told it.
    #[cold]
    pub(super) fn error(self, procedure: Procedure, peer: &str) -> Error {
        let Procedure {
            program,
            version,
            number,
        } = procedure;
        let subject =
            format!("procedure {number} of program {program:#x} version {version} at {peer}");
        self.explain(subject).with_peer(peer)
    }

    /// Why, of that call.
    fn explain(self, subject: String) -> Error {
        let new = |kind| Error::new(kind, "call", subject.clone());
        match self {
            Self::Draft(error) => new(draft(&error)).caused(error),
            Self::TimedOut { within, strays } => {
                new(ErrorKind::TimedOut).because(in_vain(within, &strays))
            }
            Self::Stuck { within } => new(ErrorKind::TimedOut).because(format!(
                "the server takes no bytes: the call was not sent within {within:?}"
            )),
            Self::Full { within, window } => new(ErrorKind::TimedOut).because(match window {
                Some(window) => format!(
                    "{window} calls are in flight, for as many the context has room: the call was \
                     not sent within {within:?}"
                ),
                None => format!(
                    "others make the context, or wait for room in it: the call was not sent \
                     within {within:?}"
                ),
            }),
            Self::Lost(mut end) => {
                end.why += "; the call may have been carried out";
                end.error(subject)
            }
            Self::Ended(end) => end.error(subject),
            Self::Refused(refused) => new(kind(refused)).caused(refused),
            Self::Context(why) => new(ErrorKind::Denied)
                .because(format!("there is no context of RPCSEC_GSS: {why}"))
                .caused(why),
            Self::Unsealed(why) => new(unsealed(&why)).caused(why),
            Self::Unproven(why) => new(ErrorKind::Broken)
                .because(format!(
                    "what has come as the reply does not prove itself, and is not believed: {why}"
                ))
                .caused(why),
            Self::Malformed(error) => new(ErrorKind::Broken)
                .because(format!(
                    "the server's fault: the reply is not well formed {error}"
                ))
                .caused(error),
            Self::Results(error) => new(ErrorKind::Broken)
                .because(format!(
                    "the results are not of their type {error}: the server's fault, or it has \
                     another idea of the interface"
                ))
                .caused(error),
            Self::Dropped { len, max } => new(ErrorKind::LimitExceeded).because(format!(
                "it was carried out, and its {len} bytes of results were dropped: replies that \
                 nobody waits for may have {max} bytes together"
            )),
            Self::Unreachable => Error::kernel(Errno::CONNREFUSED, "call", subject)
                .with_kind(ErrorKind::Refused)
                .because("nobody receives datagrams there"),
            Self::Unsent(errno) => {
                Error::kernel(errno, "call", subject).because("it cannot be sent")
            }
        }
    }
}

/// What a call waited for, and what came in its place.
fn in_vain(within: Duration, strays: &Strays) -> String {
    let mut why = format!("no reply within {within:?}; the call may have been carried out");
    if strays.garbage > 0 {
        why += &format!(
            "; the server has sent {} messages that are no replies",
            strays.garbage
        );
    }
    if strays.unproven > 0 {
        why += &format!(
            "; of {} replies that do not prove themselves none was believed",
            strays.unproven
        );
    }
    if let Some(last) = &strays.last {
        why += &format!(", the last wrong {last}");
    }
    why
}

/// The kind of what the server says. The table stands in the docs of the module.
fn kind(refused: Refused) -> ErrorKind {
    match refused {
        Refused::Accepted(
            Accepted::ProgramUnavailable
            | Accepted::ProgramMismatch { .. }
            | Accepted::ProcedureUnavailable,
        )
        | Refused::Denied(Denied::RpcMismatch { .. }) => ErrorKind::Unsupported,
        Refused::Accepted(_) => ErrorKind::Refused,
        Refused::Denied(Denied::Auth(_)) => ErrorKind::Denied,
    }
}

/// The kind of a call that RPCSEC_GSS has nothing for.
fn unsealed(why: &Unsealed) -> ErrorKind {
    match why {
        Unsealed::Encode(_) => ErrorKind::TooLong,
        Unsealed::Exhausted | Unsealed::Fault(_) => ErrorKind::Denied,
    }
}

impl From<machine::Error> for Failure {
    fn from(error: machine::Error) -> Self {
        Self::Draft(error)
    }
}

/// The kind of a call that was not made.
fn draft(error: &machine::Error) -> ErrorKind {
    match error {
        machine::Error::TooMany { .. } => ErrorKind::LimitExceeded,
        machine::Error::TooLong { .. } | machine::Error::Record(_) => ErrorKind::TooLong,
        _ => ErrorKind::InvalidInput,
    }
}

#[cfg(test)]
mod tests {
    //! The table, and the words.

    use strait_wire::onc::message::AuthStat;

    use super::*;
    use crate::rpc::onc::{Status, peer, status};

    fn error(failure: Failure) -> Error {
        let procedure = Procedure {
            program: 0x2000_0001,
            version: 1,
            number: 3,
        };
        failure.error(procedure, "127.0.0.1:1234")
    }

    #[test]
    fn statuses_have_kinds_and_stay_exact() {
        let (low, high) = (2, 4);
        for (refused, kind, exact) in [
            (
                Refused::Accepted(Accepted::ProgramUnavailable),
                ErrorKind::Unsupported,
                Status::ProgramUnavailable,
            ),
            (
                Refused::Accepted(Accepted::ProgramMismatch { low, high }),
                ErrorKind::Unsupported,
                Status::ProgramMismatch { low, high },
            ),
            (
                Refused::Accepted(Accepted::ProcedureUnavailable),
                ErrorKind::Unsupported,
                Status::ProcedureUnavailable,
            ),
            (
                Refused::Accepted(Accepted::GarbageArguments),
                ErrorKind::Refused,
                Status::GarbageArguments,
            ),
            (
                Refused::Accepted(Accepted::SystemError),
                ErrorKind::Refused,
                Status::SystemError,
            ),
            (
                Refused::Denied(Denied::RpcMismatch { low, high }),
                ErrorKind::Unsupported,
                Status::RpcMismatch { low, high },
            ),
            (
                Refused::Denied(Denied::Auth(AuthStat::TOO_WEAK)),
                ErrorKind::Denied,
                Status::Auth(AuthStat::TOO_WEAK),
            ),
        ] {
            let error = error(Failure::Refused(refused));
            assert_eq!(error.kind(), kind, "{error}");
            assert_eq!(status(&error), Some(exact), "{error}");
        }
    }

    #[test]
    fn an_error_says_what_failed_on_what_and_why() {
        let refused = Refused::Accepted(Accepted::ProgramMismatch { low: 2, high: 4 });
        assert_eq!(
            error(Failure::Refused(refused)).to_string(),
            "call procedure 3 of program 0x20000001 version 1 at 127.0.0.1:1234: not supported \
             here (PROG_MISMATCH (versions 2 to 4))"
        );
        let ended = error(Failure::Ended(End::closed(true)));
        assert_eq!(peer(&ended), Some("127.0.0.1:1234"), "apart from the words");
        assert_eq!(ended.kind(), ErrorKind::PeerGone);
        assert_eq!(status(&ended), None);
        assert!(!ended.to_string().contains("carried out"), "{ended}");
        let lost = error(Failure::Lost(End::closed(false)));
        assert_eq!(lost.kind(), ErrorKind::PeerGone);
        assert!(
            lost.to_string()
                .ends_with("connection; the call may have been carried out)"),
            "{lost}"
        );
    }
}
