//! Replies go out: RFC 5531 section 9.

use alloc::vec::Vec;
use core::fmt;

use crate::onc::DATAGRAM_MAX;
use crate::onc::auth::OpaqueAuth;
use crate::onc::message::{Accepted, Denied, ReplyBody, ReplyHeader, Xid};
use crate::xdr::{Encode, Error, Writer};

/// A reply that cannot be sent. The server's fault: the caller is told [`Accepted::SystemError`].
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Unsent {
    /// A result breaks the bound of its type.
    Encode(Error),
    /// The reply is longer than its transport carries.
    TooLong {
        /// Its length, in bytes.
        len: usize,
        /// The limit.
        max: usize,
    },
}

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encode(error) => write!(f, "the results cannot be encoded: {error}"),
            Self::TooLong { len, max } => {
                write!(f, "a reply of {len} bytes, and the transport carries {max}")
            }
        }
    }
}

impl core::error::Error for Unsent {}

/// Appends the reply of a call that succeeded: `results` writes what follows the header.
///
/// # Errors
///
/// [`Unsent::Encode`]; nothing has then been appended.
pub fn success(
    out: &mut Vec<u8>,
    xid: Xid,
    verifier: &OpaqueAuth<'_>,
    results: impl FnOnce(&mut Writer<'_>) -> Result<(), Error>,
) -> Result<(), Unsent> {
    success_within(usize::MAX, out, |to| {
        accepted(to, xid, verifier, Accepted::Success)?;
        results(to)
    })
}

/// The same for a datagram, which carries at most [`DATAGRAM_MAX`] bytes.
///
/// # Errors
///
/// [`Unsent`]; nothing has then been appended.
pub fn success_datagram(
    out: &mut Vec<u8>,
    xid: Xid,
    verifier: &OpaqueAuth<'_>,
    results: impl FnOnce(&mut Writer<'_>) -> Result<(), Error>,
) -> Result<(), Unsent> {
    success_within(DATAGRAM_MAX, out, |to| {
        accepted(to, xid, verifier, Accepted::Success)?;
        results(to)
    })
}

fn success_within(
    max: usize,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Writer<'_>) -> Result<(), Error>,
) -> Result<(), Unsent> {
    let start = out.len();
    let mut to = Writer::new(out);
    let written = write(&mut to);
    let len = to.position();
    let unsent = match written {
        Err(error) => Unsent::Encode(error),
        Ok(()) if len > max => Unsent::TooLong { len, max },
        Ok(()) => return Ok(()),
    };
    out.truncate(start);
    Err(unsent)
}

/// Appends the reply of a call that was looked at and did not succeed.
///
/// # Errors
///
/// If the verifier is longer than [`BODY_MAX`](crate::onc::auth::BODY_MAX); nothing has then been
/// appended.
pub fn refuse(
    out: &mut Vec<u8>,
    xid: Xid,
    verifier: &OpaqueAuth<'_>,
    status: Accepted,
) -> Result<(), Error> {
    let start = out.len();
    accepted(&mut Writer::new(out), xid, verifier, status).inspect_err(|_| out.truncate(start))
}

/// Appends the reply of a call that was not looked at.
pub fn deny(out: &mut Vec<u8>, xid: Xid, denied: Denied) {
    let body = ReplyBody::Denied(denied);
    let written = ReplyHeader { xid, body }.encode(&mut Writer::new(out));
    debug_assert!(written.is_ok(), "a denial holds nothing that has a bound");
}

fn accepted(
    to: &mut Writer<'_>,
    xid: Xid,
    verifier: &OpaqueAuth<'_>,
    status: Accepted,
) -> Result<(), Error> {
    let verifier = OpaqueAuth {
        flavor: verifier.flavor,
        body: (&*verifier.body).into(),
    };
    let body = ReplyBody::Accepted { verifier, status };
    ReplyHeader { xid, body }.encode(to)
}
