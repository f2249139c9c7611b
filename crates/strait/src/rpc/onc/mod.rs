//! ONC RPC version 2 (RFC 5531), with XDR (RFC 4506) and rpcbind (RFC 1833).
//!
//! An interface is written as a `.x` file, and `strait_idl` makes Rust of it: types, a client for
//! each version of a program, and a trait to be implemented for a server. `docs/onc.md` of the
//! repository leads from an empty directory to a call; `examples/kv_server.rs` and
//! `examples/kv_client.rs` are two programs to copy from.
//!
//! | For | see |
//! | --- | --- |
//! | serving: TCP, UDP, local sockets, streams and pipes that exist | [`Server`] |
//! | calling from threads, without a runtime | [`Client`] |
//! | calling from tasks | [`AsyncClient`] |
//! | finding a program by its number, and being found | [`rpcbind`] |
//! | calls that nobody between can read or change (feature `tls`) | `tls` |
//! | who calls, proven; arguments and results that nobody reads | [`gss`] |
//! | what the server said instead of results, and who it is | [`status()`], [`peer()`] |
//!
//! Use it to talk with what speaks it already, between machines, and where the interface is to
//! outlive both programs. Between two processes of one machine
//! [`nt::lpc`](crate::nt::lpc) costs less.
//!
//! # Faithful and not
//!
//! Tests have clients and servers of rpcgen and libtirpc as the other party, over TCP, UDP and
//! local sockets, and Debian's rpcbind.
//!
//! | | |
//! | --- | --- |
//! | messages, records, XDR, the language with what rpcgen adds to it | RFC 5531, RFC 4506 |
//! | AUTH_NONE, AUTH_SYS, AUTH_SHORT | RFC 5531 |
//! | rpcbind, versions 2 to 4, with broadcasts | RFC 1833 |
//! | RPCSEC_GSS, with Kerberos 5 or any other mechanism: [`gss`] | RFC 2203 |
//! | TLS over TCP | RFC 9289 |
//! | AUTH_DH, TLS over UDP | not there |
//! | `quadruple` | its 16 bytes as they are; libtirpc does not have it |

pub mod client;
mod generated;
pub mod gss;
mod program;
pub mod rpcbind;
pub mod server;
mod status;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(not(feature = "tls"))]
#[path = "tls/absent.rs"]
mod tls;
mod watched;

pub use self::client::{
    AsyncBatch, AsyncClient, BATCH_MAX, Batch, Client, ClientOptions, Decoder, Pending, TIMEOUT,
    UNCOLLECTED_MAX,
};
pub use self::generated::{AsyncCall, Call, arguments, results};
pub use self::program::{Answer, Caller, Context, Program, Refusal};
pub use self::server::{Limits, Running, Server, ServerOptions, Stats};
pub use self::status::{Status, peer, status};
#[cfg(feature = "tls")]
pub use self::tls::{Tls, TlsServer};
pub use crate::Error;
pub use strait_wire::onc::auth;
pub use strait_wire::onc::message::{AuthStat, Procedure, Xid};
pub use strait_wire::xdr;

/// What a channel's session is for: its messages are calls and replies.
const CHANNEL_ROLE: u32 = u32::from_be_bytes(*b"ONC1");
/// Bytes of the ring that each side of a channel sends through.
const CHANNEL_CAPACITY: usize = 256 << 10;

/// Random bytes; without the kernel's randomness, the clock's.
fn random() -> u64 {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK) {
        Ok(8) => u64::from_ne_bytes(bytes),
        // The product spreads the low bits, which differ, over all.
        _ => strait_sys::time::monotonic_ns().wrapping_mul(0x9e37_79b9_7f4a_7c15),
    }
}
