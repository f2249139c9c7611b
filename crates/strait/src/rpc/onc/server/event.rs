//! What an operator may want to know.

use std::fmt;
use std::io;

use strait_wire::onc::gss::Unsound;
use strait_wire::onc::message::Procedure;
use strait_wire::onc::record;
use strait_wire::onc::server::{Ignored, Unsent};

use crate::rpc::onc::Caller;

/// Something that happened to a server, and that no caller is told in full.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A connection was closed by this side.
    Dropped {
        /// Whose it was.
        caller: Caller,
        /// Why.
        why: Dropped,
    },
    /// No connection can be accepted for want of descriptors or memory. The next attempt comes
    /// after a pause.
    Exhausted {
        /// What the kernel said.
        error: io::Error,
        /// An idle connection made way.
        made_way: bool,
    },
    /// A handler panicked, or the mechanism of RPCSEC_GSS; its caller was told SYSTEM_ERR.
    Panicked {
        /// What was called.
        procedure: Procedure,
        /// By whom.
        caller: Caller,
    },
    /// A reply could not be sent as it is; its caller was told SYSTEM_ERR.
    Unsent {
        /// What was called.
        procedure: Procedure,
        /// By whom.
        caller: Caller,
        /// Why.
        why: Unsent,
    },
    /// A datagram was not answered.
    Ignored {
        /// Whose it was.
        caller: Caller,
        /// Why.
        why: Ignored,
    },
    /// RPCSEC_GSS: no context was made, a call was not proven, or its reply cannot be. The caller
    /// was told as much as RFC 2203 allows.
    Gss {
        /// Whose call it was.
        caller: Caller,
        /// What the mechanism says.
        why: Unsound,
    },
    /// A datagram could not be received, or a reply not be sent.
    Datagram {
        /// What the kernel said.
        error: io::Error,
    },
}

/// Why a connection was closed.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Dropped {
    /// No call for [`Limits::idle`](super::Limits::idle).
    Idle,
    /// It made way for another one.
    MadeWay,
    /// A call was not whole within [`Limits::record_time`](super::Limits::record_time).
    Unfinished,
    /// Its replies were not taken within [`Limits::write_time`](super::Limits::write_time).
    NotReading,
    /// It had begun a call, sent nothing more, and others needed the memory.
    Greedy,
    /// What it sent is no record that is taken.
    Record(record::Error),
    /// What it sent is no call.
    NoCall(Ignored),
    /// TLS has come to nothing: why.
    Tls(String),
    /// It was cut by its client, in the middle of something.
    Failed(io::ErrorKind),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dropped { caller, why } => write!(f, "connection from {caller} closed: {why}"),
            Self::Exhausted { error, made_way } => {
                write!(f, "no connection can be accepted: {error}")?;
                if *made_way {
                    f.write_str("; an idle one makes way")?;
                }
                Ok(())
            }
            Self::Panicked { procedure, caller } => {
                write!(f, "{procedure}, called by {caller}: ")?;
                f.write_str("its handler, or the mechanism that proves who calls, panicked")
            }
            Self::Unsent {
                procedure,
                caller,
                why,
            } => write!(f, "{procedure}, called by {caller}: {why}"),
            Self::Ignored { caller, why } => write!(f, "datagram from {caller} dropped: {why}"),
            Self::Gss { caller, why } => write!(f, "RPCSEC_GSS, called by {caller}: {why}"),
            Self::Datagram { error } => write!(f, "datagrams: {error}"),
        }
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("idle for too long"),
            Self::MadeWay => f.write_str("it made way for another"),
            Self::Unfinished => f.write_str("a call was begun and not finished in time"),
            Self::NotReading => f.write_str("its client takes no replies"),
            Self::Greedy => f.write_str("a call was begun and not continued, and memory is short"),
            Self::Record(error) => error.fmt(f),
            Self::NoCall(why) => why.fmt(f),
            Self::Tls(why) => write!(f, "TLS: {why}"),
            Self::Failed(kind) => kind.fmt(f),
        }
    }
}
