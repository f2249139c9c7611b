//! The client's machine: calls in flight, their replies, deadlines, retransmissions.
//!
//! One machine serves one connection, or one socket of datagrams. On a stream it writes each call
//! as a record; on datagrams it keeps each call until it is answered, and gives it out again, with
//! the same XID, after a time that doubles. A reply is matched by its XID alone, in any order; one
//! that nobody waits for (late, twice, invented) is dropped.
//!
//! The results are the caller's to decode, and there are none before the header has said so.

mod receive;
mod send;
mod timers;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::auth::OpaqueAuth;
use super::message::{Procedure, Xid};
use super::record;
use crate::time::Time;
use crate::xdr;

pub use receive::{Answer, Received, Refused};
pub use send::{Draft, Form};
pub use timers::Due;

/// Calls in flight unless [`Client::in_flight_max`] says otherwise.
pub const IN_FLIGHT_MAX: usize = 4096;
/// A datagram is sent again after this long at first.
pub const RETRY_FIRST: Duration = Duration::from_millis(500);
/// The shortest time between two sendings, whatever [`Retry`] says.
pub const RETRY_MIN: Duration = Duration::from_millis(1);
/// The longest time between two sendings.
pub const RETRY_MAX: Duration = Duration::from_secs(8);

/// A call without its arguments.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// What is called.
    pub procedure: Procedure,
    /// Who calls.
    pub credential: OpaqueAuth<'a>,
    /// What proves it.
    pub verifier: OpaqueAuth<'a>,
    /// When to stop waiting; `None`: never.
    pub deadline: Option<Time>,
}

impl<'a> Order<'a> {
    /// Nobody in particular calls, and waits for ever.
    #[must_use]
    pub const fn new(procedure: Procedure) -> Self {
        Self {
            procedure,
            credential: OpaqueAuth::NONE,
            verifier: OpaqueAuth::NONE,
            deadline: None,
        }
    }

    /// Stops waiting then.
    #[must_use]
    pub fn deadline(self, deadline: Time) -> Self {
        let deadline = Some(deadline);
        Self { deadline, ..self }
    }

    /// Calls with this credential.
    #[must_use]
    pub fn credential(self, credential: OpaqueAuth<'a>) -> Self {
        Self { credential, ..self }
    }
}

/// When a datagram that is not answered is sent again.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Retry {
    /// After the first sending.
    pub first: Duration,
    /// The time doubles with each sending up to this.
    pub max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first: RETRY_FIRST,
            max: RETRY_MAX,
        }
    }
}

/// A call that was not made.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// As many calls as allowed are in flight.
    TooMany {
        /// The limit.
        max: usize,
    },
    /// An argument, or a credential, breaks the bound of its type.
    Encode(xdr::Error),
    /// The call does not fit a datagram.
    TooLong {
        /// Its length, in bytes.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The call does not fit a record.
    Record(record::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { max } => write!(f, "{max} calls are in flight already"),
            Self::Encode(error) => write!(f, "the arguments cannot be encoded: {error}"),
            Self::TooLong { len, max } => {
                write!(f, "a call of {len} bytes, and a datagram holds {max}")
            }
            Self::Record(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Encode(error) => Some(error),
            Self::Record(error) => Some(error),
            Self::TooMany { .. } | Self::TooLong { .. } => None,
        }
    }
}

/// The client's machine.
#[derive(Debug)]
pub struct Client {
    form: Form,
    /// On datagrams.
    retry: Option<Retry>,
    in_flight_max: usize,
    /// The number of the next call, unless one that has it is still in flight.
    pub(super) next: Xid,
    pending: BTreeMap<Xid, Pending>,
    /// When something of each call is due, where something is.
    timers: BTreeSet<(Time, Xid)>,
}

/// A call in flight.
#[derive(Debug)]
struct Pending {
    deadline: Option<Time>,
    /// On datagrams.
    again: Option<Again>,
}

impl Pending {
    /// When something is due.
    fn due(&self) -> Option<Time> {
        let again = self.again.as_ref().map(|again| again.at);
        again.into_iter().chain(self.deadline).min()
    }
}

/// What is sent again, and when.
#[derive(Debug)]
struct Again {
    datagram: Vec<u8>,
    at: Time,
    /// To the sending after that.
    pause: Duration,
}

impl Client {
    /// Calls over a stream, as records. `first` is to be random, so that a client that starts anew
    /// is not taken for its predecessor.
    #[must_use]
    pub const fn stream(first: Xid) -> Self {
        Self::new(first, Form::RECORD, None)
    }

    /// Calls over a transport that keeps messages apart and loses none: without marks, and none is
    /// sent again. `first` as for [`stream`](Self::stream).
    #[must_use]
    pub const fn messages(first: Xid) -> Self {
        Self::new(first, Form::MESSAGE, None)
    }

    /// Calls in datagrams of at most [`DATAGRAM_MAX`](super::DATAGRAM_MAX) bytes. `first` is to be
    /// random: on UDP a reply is told from a forged one by its XID.
    #[must_use]
    pub const fn datagrams(first: Xid, retry: Retry) -> Self {
        Self::new(first, Form::DATAGRAM, Some(retry))
    }

    const fn new(first: Xid, form: Form, retry: Option<Retry>) -> Self {
        Self {
            form,
            retry,
            in_flight_max: IN_FLIGHT_MAX,
            next: first,
            pending: BTreeMap::new(),
            timers: BTreeSet::new(),
        }
    }

    /// So many calls in flight, in place of [`IN_FLIGHT_MAX`].
    #[must_use]
    pub const fn in_flight_max(mut self, max: usize) -> Self {
        self.in_flight_max = max;
        self
    }

    /// What its calls look like.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// Calls in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// The numbers of the calls in flight.
    pub fn in_flight_calls(&self) -> impl Iterator<Item = Xid> {
        self.pending.keys().copied()
    }

    /// Forgets one call: its reply is dropped when it comes. False: it was not in flight.
    pub fn cancel(&mut self, xid: Xid) -> bool {
        self.take(xid)
    }

    /// Forgets every call, and says which: the connection is gone.
    pub fn abandon(&mut self) -> impl Iterator<Item = Xid> + use<> {
        self.timers.clear();
        core::mem::take(&mut self.pending).into_keys()
    }

    fn take(&mut self, xid: Xid) -> bool {
        let pending = self.pending.remove(&xid);
        if let Some(due) = pending.as_ref().and_then(Pending::due) {
            self.timers.remove(&(due, xid));
        }
        pending.is_some()
    }
}
