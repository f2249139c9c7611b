//! Remote procedure calls, through the library as its users call it.

mod flight;
mod onc;

pub use onc::{ECHO, echo};
#[cfg(feature = "rivals")]
pub(crate) use onc::{FLIGHT, SIZES};

use strait::Namespace;

use crate::mechanism::{Entry, entry};
use crate::{Outcome, Site};

/// The rows.
pub const TABLE: &[Entry] = &[
    entry::<onc::Null<onc::Tcp>>(),
    entry::<onc::Rpc<onc::Tcp>>(),
    entry::<onc::Null<onc::Udp>>(),
    entry::<onc::Rpc<onc::Udp>>(),
    entry::<onc::Null<onc::Local>>(),
    entry::<onc::Rpc<onc::Local>>(),
    entry::<flight::Of32<flight::TcpBatch>>(),
    entry::<flight::Of32<flight::TcpBegun>>(),
    entry::<flight::Of32<flight::LocalBatch>>(),
    entry::<onc::Null<onc::Channels>>(),
    entry::<onc::Rpc<onc::Channels>>(),
];

/// The namespace of a row: both sides see it, and it is removed with the row.
fn space(site: &Site<'_>) -> Outcome<Namespace> {
    Ok(Namespace::directory(site.place()?)?)
}
