//! The server's side: calls taken apart, replies put together.
//!
//! Most of it is functions, since a server of ONC RPC remembers nothing of a call but its XID:
//! [`parse_call`] for what comes in, [`success`], [`refuse`] and [`deny`] for what goes out. State
//! is in tables: [`Programs`], what is served here; [`Duplicates`], what was answered already, for
//! transports that deliver a call twice; [`Shorts`], shorter credentials that were handed out.

mod cache;
mod programs;
mod receive;
mod send;
mod short;

pub use cache::{CACHE_AGE, CACHE_BYTES_MAX, CACHE_ENTRIES_MAX};
pub use cache::{Duplicates, Key, Limits, Verdict, checksum};
pub use programs::Programs;
pub use receive::{Answer, Call, Caps, Identity, Ignored, parse_call};
pub use send::{Unsent, deny, refuse, success, success_datagram};
pub use short::{
    SHORT_AGE, SHORT_BYTES_MAX, SHORT_ENTRIES_MAX, SHORT_LEN, SHORT_OF_ONE_MAX, ShortLimits, Shorts,
};
