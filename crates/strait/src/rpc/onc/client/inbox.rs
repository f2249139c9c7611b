//! Where messages are read into, and lent from.

use strait_wire::onc::client::Form;
use strait_wire::onc::record::{self, Caps, Records};

/// Room for one message that is no record: above what any datagram holds.
const MESSAGE_ROOM: usize = 1 << 16;

/// The memory that messages are read into.
#[derive(Debug)]
pub(in crate::rpc::onc) enum Inbox {
    Records(Records),
    /// One message of a transport that keeps them apart.
    Message {
        buffer: Vec<u8>,
        len: usize,
        is_new: bool,
    },
}

impl Inbox {
    pub(in crate::rpc::onc) fn new(form: Form, record_max: usize) -> Self {
        if form != Form::RECORD {
            return Self::Message {
                buffer: Vec::new(),
                len: 0,
                is_new: false,
            };
        }
        Self::Records(Records::new(Caps {
            record: record_max,
            ..Caps::default()
        }))
    }

    /// Where to read into; [`message`](Self::message) is gone with that.
    pub(in crate::rpc::onc) fn room(&mut self) -> &mut [u8] {
        match self {
            Self::Records(records) => records.room(),
            Self::Message { buffer, len, .. } => {
                buffer.resize(MESSAGE_ROOM, 0);
                *len = 0;
                buffer
            }
        }
    }

    /// The memory of the one message, which may grow; it is gone with that.
    pub(in crate::rpc::onc) fn vector(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Message { buffer, len, .. } => {
                *len = 0;
                buffer
            }
            Self::Records(_) => unreachable!("of what keeps messages apart"),
        }
    }

    /// So much was read.
    pub(in crate::rpc::onc) fn filled(&mut self, read: usize) {
        match self {
            Self::Records(records) => records.filled(read),
            Self::Message { len, is_new, .. } => {
                *len = read;
                *is_new = true;
            }
        }
    }

    /// Goes to the next message that is whole, if there is one.
    pub(in crate::rpc::onc) fn next(&mut self) -> Result<bool, record::Error> {
        match self {
            Self::Records(records) => Ok(records.next_record()?.is_some()),
            Self::Message { is_new, .. } => Ok(std::mem::take(is_new)),
        }
    }

    /// The message that [`next`](Self::next) went to.
    pub(in crate::rpc::onc) fn message(&self) -> &[u8] {
        match self {
            Self::Records(records) => records.record(),
            Self::Message { buffer, len, .. } => &buffer[..*len],
        }
    }

    /// Whether nothing follows that message.
    pub(in crate::rpc::onc) fn is_drained(&self) -> bool {
        match self {
            Self::Records(records) => !records.is_within_record(),
            Self::Message { is_new, .. } => !is_new,
        }
    }
}
