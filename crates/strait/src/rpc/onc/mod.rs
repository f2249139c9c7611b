//! ONC RPC version 2 (RFC 5531), with XDR (RFC 4506) and rpcbind (RFC 1833).
//!
//! An interface is written as a `.x` file, and `strait_idl` makes Rust of it: types, a client for
//! each version of a program, and a trait to be implemented for a server.

pub mod client;
mod generated;
mod program;
pub mod rpcbind;
pub mod server;
mod status;

pub use self::client::{
    AsyncClient, BATCH_MAX, Batch, Client, ClientOptions, Decoder, Pending, TIMEOUT,
};
pub use self::generated::{AsyncCall, Call, arguments, results};
pub use self::program::{Answer, Caller, Context, Program, Refusal};
pub use self::server::{Limits, Running, Server, ServerOptions, Stats};
pub use self::status::{Status, status};
pub use crate::Error;
pub use strait_wire::onc::auth;
pub use strait_wire::onc::message::{AuthStat, Procedure, Xid};
pub use strait_wire::xdr;

/// What a channel's session is for: its messages are calls and replies.
const CHANNEL_ROLE: u32 = u32::from_be_bytes(*b"ONC1");
/// Bytes of the ring that each side of a channel sends through.
const CHANNEL_CAPACITY: usize = 32 << 10;
