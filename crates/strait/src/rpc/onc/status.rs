//! What an error of a call tells beside its kind: what the server said instead of results, and who
//! that is.

use strait_wire::onc::client::Refused;
use strait_wire::onc::message::{Accepted, AuthStat, Denied};

use crate::error::Error;

/// The status of a call that did not succeed: `accept_stat`, `reject_stat` and `auth_stat` of
/// RFC 5531 section 9.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Status {
    /// PROG_UNAVAIL: the program is not there.
    ProgramUnavailable,
    /// PROG_MISMATCH: the program is there, in versions from `low` to `high`.
    ProgramMismatch {
        /// The lowest version.
        low: u32,
        /// The highest version.
        high: u32,
    },
    /// PROC_UNAVAIL: the program has no such procedure.
    ProcedureUnavailable,
    /// GARBAGE_ARGS: the server cannot decode the arguments.
    GarbageArguments,
    /// SYSTEM_ERR: the server's fault.
    SystemError,
    /// RPC_MISMATCH: another version of the protocol.
    RpcMismatch {
        /// The lowest version.
        low: u32,
        /// The highest version.
        high: u32,
    },
    /// AUTH_ERROR: the caller is not who it must be.
    Auth(AuthStat),
}

impl Status {
    pub(super) fn of(refused: Refused) -> Option<Self> {
        Some(match refused {
            Refused::Accepted(Accepted::Success) => return None,
            Refused::Accepted(Accepted::ProgramUnavailable) => Self::ProgramUnavailable,
            Refused::Accepted(Accepted::ProgramMismatch { low, high }) => {
                Self::ProgramMismatch { low, high }
            }
            Refused::Accepted(Accepted::ProcedureUnavailable) => Self::ProcedureUnavailable,
            Refused::Accepted(Accepted::GarbageArguments) => Self::GarbageArguments,
            Refused::Accepted(Accepted::SystemError) => Self::SystemError,
            Refused::Denied(Denied::RpcMismatch { low, high }) => Self::RpcMismatch { low, high },
            Refused::Denied(Denied::Auth(why)) => Self::Auth(why),
        })
    }
}

/// The status that the server gave; `None` where the call failed for another reason.
#[must_use]
pub fn status(error: &Error) -> Option<Status> {
    let source = std::error::Error::source(error)?;
    source
        .downcast_ref::<Refused>()
        .and_then(|refused| Status::of(*refused))
}

/// Whom a call was made to that failed, as [`Client::peer`](super::Client::peer) says it; `None`
/// for an error of anything else. The [subject](Error::subject) says which call it was, too.
#[must_use]
pub fn peer(error: &Error) -> Option<&str> {
    error.peer()
}
