//! Replies come in.

use core::fmt;

use super::Client;
use crate::onc::message::{Accepted, Denied, ReplyBody, ReplyHeader, Xid};
use crate::xdr::{Decode, Error, Reader};

/// What a message was.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Received<'a> {
    /// The reply to a call in flight, which is not in flight any more.
    Answer(Answer<'a>),
    /// A reply that nobody waits for: late, sent twice, or to a call without an answer.
    Unexpected(Xid),
    /// The reply to a call in flight cannot be decoded. On a stream the call has ended with that;
    /// on datagrams, which anyone can send, it goes on, and the true reply may yet come.
    Malformed {
        /// The call.
        xid: Xid,
        /// What is wrong.
        error: Error,
    },
    /// No reply at all.
    Garbage(Error),
}

/// A reply.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer<'a> {
    /// Its header.
    pub header: ReplyHeader<'a>,
    /// What follows the header.
    rest: &'a [u8],
}

impl<'a> Answer<'a> {
    /// The results, not decoded.
    ///
    /// # Errors
    ///
    /// [`Refused`] if the call did not succeed: there are no results.
    pub const fn results(&self) -> Result<&'a [u8], Refused> {
        match self.header.body {
            ReplyBody::Accepted {
                status: Accepted::Success,
                ..
            } => Ok(self.rest),
            ReplyBody::Accepted { status, .. } => Err(Refused::Accepted(status)),
            ReplyBody::Denied(denied) => Err(Refused::Denied(denied)),
        }
    }
}

/// What a server says instead of results.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Refused {
    /// It has looked at the call; never [`Accepted::Success`].
    Accepted(Accepted),
    /// It has not.
    Denied(Denied),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted(status) => status.fmt(f),
            Self::Denied(denied) => denied.fmt(f),
        }
    }
}

impl core::error::Error for Refused {}

impl Client {
    /// Takes one message: a whole record of a stream, or a datagram as long as it was received.
    pub fn receive<'a>(&mut self, message: &'a [u8]) -> Received<'a> {
        let mut reader = Reader::new(message);
        let xid = match reader.clone().unsigned() {
            Ok(xid) => Xid(xid),
            Err(error) => return Received::Garbage(error),
        };
        let waits = self.pending.contains_key(&xid);
        match ReplyHeader::decode(&mut reader) {
            Ok(_) if !waits => Received::Unexpected(xid),
            Ok(header) => {
                self.take(xid);
                let rest = reader.rest();
                Received::Answer(Answer { header, rest })
            }
            Err(error) if waits => {
                if self.retry.is_none() {
                    self.take(xid);
                }
                Received::Malformed { xid, error }
            }
            Err(error) => Received::Garbage(error),
        }
    }
}
