//! Calls come in: RFC 5531 sections 8 and 9.

use alloc::vec::Vec;
use core::fmt;

use super::send::deny;
use crate::onc::auth::{AuthSys, BODY_MAX, Flavor, OpaqueAuth};
use crate::onc::message::{AuthStat, CALL, CallHeader, Denied, NULL, Procedure, RPC_VERSION, Xid};
use crate::xdr::{self, Decode, Limits, Padding, Reader, What};

/// What a server takes.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Caps<'f> {
    /// Credentials of these kinds; others are AUTH_REJECTEDCRED.
    pub flavors: &'f [Flavor],
    /// What the padding of credentials may hold.
    pub padding: Padding,
}

impl Default for Caps<'_> {
    /// AUTH_NONE and AUTH_SYS.
    fn default() -> Self {
        Self {
            flavors: &[Flavor::NONE, Flavor::SYS],
            padding: Padding::Strict,
        }
    }
}

/// A call that is sound as far as its header goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Call<'a> {
    /// Its header.
    pub header: CallHeader<'a>,
    /// What the credential says.
    pub identity: Identity<'a>,
    /// The arguments, not decoded.
    pub arguments: &'a [u8],
}

/// Who calls, according to the credential.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Identity<'a> {
    /// AUTH_NONE: nobody in particular.
    None,
    /// AUTH_SYS: whom the caller says. Nothing proves it.
    Sys(AuthSys<'a>),
    /// AUTH_SHORT: what this server once handed out, or something that looks like it.
    Short(&'a [u8]),
    /// RPCSEC_GSS, or a flavor that only the caller of [`parse_call`] knows: the credential is as
    /// it came.
    Other(Flavor),
    /// AUTH_TLS: the question whether TLS is spoken here. Always with procedure 0.
    Tls,
}

/// What becomes of a message that is no call to dispatch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// This is to be sent back.
    Reply {
        /// The whole reply, without a record mark.
        message: Vec<u8>,
        /// What it says.
        denied: Denied,
    },
    /// Nothing can be sent back.
    Drop(Ignored),
}

/// Why a message is not answered.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Ignored {
    /// It is too short to be a call.
    Short(xdr::Error),
    /// It is a reply, or neither.
    NoCall(u32),
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short(error) => write!(f, "not a whole call: {error}"),
            Self::NoCall(kind) => write!(f, "not a call: message type {kind}"),
        }
    }
}

impl Answer {
    fn deny(xid: Xid, denied: Denied) -> Self {
        let mut message = Vec::new();
        deny(&mut message, xid, denied);
        Self::Reply { message, denied }
    }

    fn auth(xid: Xid, why: AuthStat) -> Self {
        Self::deny(xid, Denied::Auth(why))
    }
}

impl From<xdr::Error> for Answer {
    fn from(error: xdr::Error) -> Self {
        Self::Drop(Ignored::Short(error))
    }
}

/// Takes a call apart: a whole record of a stream, or a datagram as long as it was received.
///
/// # Errors
///
/// [`Answer`]: the reply that turns the call away, or that it is to be dropped.
pub fn parse_call<'a>(message: &'a [u8], caps: &Caps<'_>) -> Result<Call<'a>, Answer> {
    let limits = Limits {
        padding: caps.padding,
        ..Limits::default()
    };
    let mut from = Reader::with_limits(message, limits);
    let xid = Xid(from.unsigned()?);
    let kind = from.unsigned()?;
    if kind != CALL {
        return Err(Answer::Drop(Ignored::NoCall(kind)));
    }
    if from.unsigned()? != RPC_VERSION {
        let (low, high) = (RPC_VERSION, RPC_VERSION);
        return Err(Answer::deny(xid, Denied::RpcMismatch { low, high }));
    }
    let procedure = Procedure::decode(&mut from)?;
    let credential = auth(&mut from, xid, AuthStat::BAD_CREDENTIAL)?;
    let verifier = auth(&mut from, xid, AuthStat::BAD_VERIFIER)?;
    let identity = identify(procedure, credential, caps).map_err(|why| Answer::auth(xid, why))?;
    let opaque = |(flavor, body): (Flavor, &'a [u8])| OpaqueAuth {
        flavor,
        body: body.into(),
    };
    Ok(Call {
        header: CallHeader {
            xid,
            procedure,
            credential: opaque(credential),
            verifier: opaque(verifier),
        },
        identity,
        arguments: from.rest(),
    })
}

/// A credential or verifier. One that ends too soon is no call; one that is wrong is refused.
fn auth<'a>(from: &mut Reader<'a>, xid: Xid, why: AuthStat) -> Result<(Flavor, &'a [u8]), Answer> {
    let flavor = Flavor(from.unsigned()?);
    let body = from.opaque(BODY_MAX).map_err(|error| match error.what {
        What::Short { .. } => error.into(),
        _ => Answer::auth(xid, why),
    });
    Ok((flavor, body?))
}

fn identify<'a>(
    procedure: Procedure,
    (flavor, body): (Flavor, &'a [u8]),
    caps: &Caps<'_>,
) -> Result<Identity<'a>, AuthStat> {
    if !caps.flavors.contains(&flavor) {
        return Err(AuthStat::REJECTED_CREDENTIAL);
    }
    Ok(match flavor {
        Flavor::NONE => Identity::None,
        Flavor::SYS => {
            let sys = sys(body, caps.padding);
            Identity::Sys(sys.map_err(|_| AuthStat::BAD_CREDENTIAL)?)
        }
        Flavor::SHORT => Identity::Short(body),
        // RFC 9289 section 4.1: the body is empty, and the procedure is NULL.
        Flavor::TLS if body.is_empty() && procedure.number == NULL => Identity::Tls,
        Flavor::TLS => return Err(AuthStat::BAD_CREDENTIAL),
        flavor => Identity::Other(flavor),
    })
}

fn sys(body: &[u8], padding: Padding) -> Result<AuthSys<'_>, xdr::Error> {
    let limits = Limits {
        padding,
        ..Limits::default()
    };
    let mut from = Reader::with_limits(body, limits);
    let sys = AuthSys::decode(&mut from)?;
    from.finish().map(|()| sys)
}
