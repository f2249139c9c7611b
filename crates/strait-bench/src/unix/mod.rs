//! The mechanisms of Linux and System V, through the library as its users call it: each beside the
//! raw call that it wraps.

mod fifo;
mod mqueue;
mod msg;
mod pipe;
mod sem;
mod shm;
mod signal;
mod socket;

pub use self::signal::SIGNAL;

use crate::mechanism::{Entry, entry};
use crate::{Against, Goal, Job, Limit, Placement};

/// The rows.
pub const TABLE: &[Entry] = &[
    entry::<pipe::Pipe>(),
    entry::<fifo::Fifo>(),
    entry::<signal::Signals>(),
    entry::<msg::Msg>(),
    entry::<mqueue::Mqueue>(),
    entry::<socket::OfBytes<socket::Streams>>(),
    entry::<socket::OfMessages<socket::Datagrams>>(),
    entry::<socket::OfMessages<socket::Packets>>(),
    entry::<socket::OfBytes<socket::Tcp>>(),
    entry::<socket::OfMessages<socket::Udp>>(),
    entry::<sem::Sem>(),
    entry::<shm::Shm>(),
];

/// A wrapper costs next to nothing: at most 1.05 times the raw call, here a blocking round trip
/// where that says something, both on one CPU.
const fn wraps(raw: &'static str) -> Goal {
    Goal {
        job: Job::RTT,
        placement: Some(Placement::Same),
        against: Against::Row(raw),
        limit: Limit::AtMost(1.05),
    }
}

/// The same for what one process does alone.
const fn wraps_alone(raw: &'static str) -> Goal {
    Goal {
        job: Job::UNCONTENDED,
        placement: None,
        ..wraps(raw)
    }
}
