//! The headers of calls and replies: RFC 5531 section 9.

use core::fmt;

use super::auth::OpaqueAuth;
use crate::xdr::{Decode, Encode, Error, Reader, What, Writer};

/// The version of the protocol.
pub const RPC_VERSION: u32 = 2;
/// Procedure 0, of every program: takes nothing, does nothing, returns nothing.
pub const NULL: u32 = 0;

/// `msg_type`.
pub(super) const CALL: u32 = 0;
const REPLY: u32 = 1;
/// `reply_stat`.
const ACCEPTED: u32 = 0;
const DENIED: u32 = 1;

/// The number of a call, which its reply repeats: chosen by the client, and meaningful within one
/// connection only.
#[derive(Copy, Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Xid(pub u32);

/// What is called.
#[derive(Copy, Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Procedure {
    /// The program's number.
    pub program: u32,
    /// The version of the program.
    pub version: u32,
    /// The procedure's number within it; [`NULL`] always exists.
    pub number: u32,
}

impl fmt::Display for Procedure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            program,
            version,
            number,
        } = self;
        write!(
            f,
            "program {program:#x} version {version} procedure {number}"
        )
    }
}

/// What stands before the arguments of a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CallHeader<'a> {
    /// The number of the call.
    pub xid: Xid,
    /// What is called.
    pub procedure: Procedure,
    /// Who calls.
    pub credential: OpaqueAuth<'a>,
    /// What proves it.
    pub verifier: OpaqueAuth<'a>,
}

impl CallHeader<'_> {
    /// Bytes that it takes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.credential_end() + self.verifier.encoded_len()
    }

    /// Bytes up to the end of the credential: those that a verifier may be a checksum of.
    #[must_use]
    pub fn credential_end(&self) -> usize {
        24 + self.credential.encoded_len()
    }

    /// Appends them.
    pub(super) fn encode_to_credential(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        let Procedure {
            program,
            version,
            number,
        } = self.procedure;
        for word in [self.xid.0, CALL, RPC_VERSION, program, version, number] {
            to.unsigned(word);
        }
        self.credential.encode(to)
    }
}

impl Encode for CallHeader<'_> {
    fn encode(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        to.reserve(self.encoded_len());
        self.encode_to_credential(to)?;
        self.verifier.encode(to)
    }
}

impl<'a> Decode<'a> for CallHeader<'a> {
    fn decode(from: &mut Reader<'a>) -> Result<Self, Error> {
        let xid = Xid(from.unsigned()?);
        expect(from, CALL)?;
        expect(from, RPC_VERSION)?;
        Ok(Self {
            xid,
            procedure: Procedure::decode(from)?,
            credential: OpaqueAuth::decode(from)?,
            verifier: OpaqueAuth::decode(from)?,
        })
    }
}

impl<'a> Decode<'a> for Procedure {
    fn decode(from: &mut Reader<'a>) -> Result<Self, Error> {
        Ok(Self {
            program: from.unsigned()?,
            version: from.unsigned()?,
            number: from.unsigned()?,
        })
    }
}

/// A word that can only be `word`.
fn expect(from: &mut Reader<'_>, word: u32) -> Result<(), Error> {
    let at = from.position();
    match from.unsigned()? {
        found if found == word => Ok(()),
        found => Err(Error {
            at,
            what: What::Arm(found.into()),
        }),
    }
}

/// A reply without the results, which follow where it is a success.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReplyHeader<'a> {
    /// The number of the call that is answered.
    pub xid: Xid,
    /// What became of it.
    pub body: ReplyBody<'a>,
}

/// What became of a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ReplyBody<'a> {
    /// MSG_ACCEPTED: the server has looked at it.
    Accepted {
        /// What proves that it was the server.
        verifier: OpaqueAuth<'a>,
        /// What it found.
        status: Accepted,
    },
    /// MSG_DENIED: the server has not.
    Denied(Denied),
}

/// What a server that has looked at a call says: `accept_stat`.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Accepted {
    /// SUCCESS: the results follow.
    Success,
    /// PROG_UNAVAIL: the program is not here.
    ProgramUnavailable,
    /// PROG_MISMATCH: the program is here, but not in that version.
    ProgramMismatch {
        /// The lowest version that is here.
        low: u32,
        /// The highest version that is here.
        high: u32,
    },
    /// PROC_UNAVAIL: the program has no such procedure.
    ProcedureUnavailable,
    /// GARBAGE_ARGS: the arguments cannot be decoded.
    GarbageArguments,
    /// SYSTEM_ERR: the server's fault.
    SystemError,
}

/// Why a server does not look at a call: `reject_stat`.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Denied {
    /// RPC_MISMATCH: another version of the protocol.
    RpcMismatch {
        /// The lowest version spoken.
        low: u32,
        /// The highest version spoken.
        high: u32,
    },
    /// AUTH_ERROR: the caller is not who it must be.
    Auth(AuthStat),
}

/// What is wrong with a credential or verifier: `auth_stat`. A number that has no name here is
/// kept, as the list grows.
#[derive(Copy, Clone, Debug, Eq, Hash, PartialEq)]
pub struct AuthStat(pub u32);

named! { AuthStat, "RFC 5531":
    /// Success.
    OK = 0 "AUTH_OK";
    /// The credential is not well formed.
    BAD_CREDENTIAL = 1 "AUTH_BADCRED";
    /// The client must begin a new session, or the credential is of no kind that is taken.
    REJECTED_CREDENTIAL = 2 "AUTH_REJECTEDCRED";
    /// The verifier is not well formed.
    BAD_VERIFIER = 3 "AUTH_BADVERF";
    /// The verifier has expired or was used before.
    REJECTED_VERIFIER = 4 "AUTH_REJECTEDVERF";
    /// Refused for reasons of security.
    TOO_WEAK = 5 "AUTH_TOOWEAK";
    /// The verifier of the reply is bogus: found by the client.
    INVALID_RESPONSE = 6 "AUTH_INVALIDRESP";
    /// For another reason: found by the client.
    FAILED = 7 "AUTH_FAILED";
    /// Kerberos: a general error.
    KERB_GENERIC = 8 "AUTH_KERB_GENERIC";
    /// Kerberos: the credential has expired.
    TIME_EXPIRE = 9 "AUTH_TIMEEXPIRE";
    /// Kerberos: something is wrong with the ticket.
    TICKET_FILE = 10 "AUTH_TKT_FILE";
    /// Kerberos: the authenticator cannot be decoded.
    DECODE = 11 "AUTH_DECODE";
    /// Kerberos: the address in the ticket is not the caller's.
    NET_ADDRESS = 12 "AUTH_NET_ADDR";
    /// RPCSEC_GSS: no credentials for the user.
    GSS_CREDENTIAL_PROBLEM = 13 "RPCSEC_GSS_CREDPROBLEM";
    /// RPCSEC_GSS: the context is not known.
    GSS_CONTEXT_PROBLEM = 14 "RPCSEC_GSS_CTXPROBLEM";
}

impl fmt::Display for AuthStat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "auth_stat {}", self.0),
        }
    }
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Success => "SUCCESS",
            Self::ProgramUnavailable => "PROG_UNAVAIL",
            Self::ProgramMismatch { low, high } => {
                return write!(f, "PROG_MISMATCH (versions {low} to {high})");
            }
            Self::ProcedureUnavailable => "PROC_UNAVAIL",
            Self::GarbageArguments => "GARBAGE_ARGS",
            Self::SystemError => "SYSTEM_ERR",
        })
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RpcMismatch { low, high } => {
                write!(f, "RPC_MISMATCH (versions {low} to {high})")
            }
            Self::Auth(why) => write!(f, "AUTH_ERROR ({why})"),
        }
    }
}

impl Encode for ReplyHeader<'_> {
    fn encode(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        to.unsigned(self.xid.0);
        to.unsigned(REPLY);
        match &self.body {
            ReplyBody::Accepted { verifier, status } => {
                to.unsigned(ACCEPTED);
                verifier.encode(to)?;
                status.encode(to)
            }
            ReplyBody::Denied(denied) => {
                to.unsigned(DENIED);
                denied.encode(to)
            }
        }
    }
}

impl<'a> Decode<'a> for ReplyHeader<'a> {
    fn decode(from: &mut Reader<'a>) -> Result<Self, Error> {
        let xid = Xid(from.unsigned()?);
        expect(from, REPLY)?;
        let body = match from.unsigned()? {
            ACCEPTED => ReplyBody::Accepted {
                verifier: OpaqueAuth::decode(from)?,
                status: Accepted::decode(from)?,
            },
            DENIED => ReplyBody::Denied(Denied::decode(from)?),
            other => return Err(unknown(from, other)),
        };
        Ok(Self { xid, body })
    }
}

impl Encode for Accepted {
    fn encode(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        to.unsigned(match self {
            Self::Success => 0,
            Self::ProgramUnavailable => 1,
            Self::ProgramMismatch { .. } => 2,
            Self::ProcedureUnavailable => 3,
            Self::GarbageArguments => 4,
            Self::SystemError => 5,
        });
        if let Self::ProgramMismatch { low, high } = self {
            to.unsigned(*low);
            to.unsigned(*high);
        }
        Ok(())
    }
}

impl<'a> Decode<'a> for Accepted {
    fn decode(from: &mut Reader<'a>) -> Result<Self, Error> {
        Ok(match from.unsigned()? {
            0 => Self::Success,
            1 => Self::ProgramUnavailable,
            2 => Self::ProgramMismatch {
                low: from.unsigned()?,
                high: from.unsigned()?,
            },
            3 => Self::ProcedureUnavailable,
            4 => Self::GarbageArguments,
            5 => Self::SystemError,
            other => return Err(unknown(from, other)),
        })
    }
}

impl Encode for Denied {
    fn encode(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        match self {
            Self::RpcMismatch { low, high } => {
                to.unsigned(0);
                to.unsigned(*low);
                to.unsigned(*high);
            }
            Self::Auth(why) => {
                to.unsigned(1);
                to.unsigned(why.0);
            }
        }
        Ok(())
    }
}

impl<'a> Decode<'a> for Denied {
    fn decode(from: &mut Reader<'a>) -> Result<Self, Error> {
        Ok(match from.unsigned()? {
            0 => Self::RpcMismatch {
                low: from.unsigned()?,
                high: from.unsigned()?,
            },
            1 => Self::Auth(AuthStat(from.unsigned()?)),
            other => return Err(unknown(from, other)),
        })
    }
}

/// The word just read chooses nothing.
fn unknown(from: &Reader<'_>, word: u32) -> Error {
    Error {
        at: from.position() - crate::xdr::UNIT,
        what: What::Arm(word.into()),
    }
}
