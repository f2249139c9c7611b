//! The registry of programs, rpcbind: which program listens where. RFC 1833.
//!
//! [`Client`] asks a registry and registers in it. [`Service`] is one: versions 2 (the portmapper),
//! 3 and 4 of its program, to be added to any [`Server`](super::Server); `strait rpc bind` is that.
//! [`Broadcast`] asks the registries of a whole network.
//! Use it where programs find each other by number; a client that knows the port needs none.
//!
//! ```
//! use strait::rpc::onc::rpcbind::{Client, Netid, Service};
//! use strait::rpc::onc::Server;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A registry at a port of its own, which needs no privilege.
//! let service = Service::new();
//! let mut server = Server::new();
//! for program in service.programs() {
//!     server.add(program);
//! }
//! let at = server.tcp("127.0.0.1:0".parse()?).await?;
//! for (netid, address) in server.places() {
//!     service.announce(netid, &address).expect("it listens there");
//! }
//! let running = server.start();
//!
//! // Somebody registers, and somebody asks. The client blocks, so it has a thread.
//! let asked = tokio::task::spawn_blocking(move || {
//!     let client = Client::tcp(at)?;
//!     let here = strait::rpc::onc::rpcbind::Uaddr::Inet(at);
//!     let registered = client.register((0x2000_0001, 1), Netid::Tcp, &here)?;
//!     let port = client.port((0x2000_0001, 1), Netid::Tcp)?;
//!     drop(registered);
//!     Ok::<_, strait::Error>(port)
//! });
//! assert_eq!(asked.await??, Some(at.port()));
//! # drop(running);
//! # Ok(())
//! # }
//! ```
//!
//! # Who may change what
//!
//! SET and UNSET are FALSE for whoever is not on this machine. On the local socket the kernel says
//! whose call it is: only that user takes back what it has registered, and user 0 what anybody has.
//! Over the loopback address nobody knows who calls: such registrations have the owner "unknown",
//! and everybody who comes that way may take them back. What a caller says of itself (`r_owner`,
//! AUTH_SYS) counts for nothing. The registry's own program is nobody's to register.
//!
//! # The dead
//!
//! A registration goes when its owner unsets it, or when nobody listens at its address any more. To
//! watch the process that has registered would be wrong: it may have forked, or registered for
//! another, and libtirpc hangs up at once. So `/proc/net` is read, at a SET and before an answer if
//! the last look is more than a second ago: nothing is done while nobody asks. What was once seen
//! to listen goes at the first look that does not see it; what never was, after 10 s. A socket in
//! another network namespace is not seen: see [`ServiceOptions::keep_dead`].
//!
//! # Faithful and different
//!
//! - GETPORT and GETADDR, faithful: a wrong version finds the nearest. GETADDR is of the transport
//!   that the call came by, whatever `r_netid` says. GETVERSADDR and GETADDRLIST are of that
//!   version only.
//! - "Any" address becomes for a caller the one at which the call arrived, on the local socket the
//!   loopback. DUMP leaves it as it is.
//! - SET is FALSE for an unknown netid, and for what is no universal address: leading zeros, port
//!   0, multicast, a relative path. Debian's registers such. It is FALSE for what is registered,
//!   unless that is the same and its owner's, or a dead one's.
//! - CALLIT, BCAST and INDIRECT are not made unless asked for
//!   ([`ServiceOptions::remote_calls`]): they let strangers call as if from here, and amplify. The
//!   first two are silent over UDP about every failure; else it is told, as PROC_UNAVAIL where they
//!   are off. Debian's passes on what the caller says of himself; this one passes on nothing.
//! - A reply by UDP to another machine that is more than [`REPLY_FACTOR_MAX`] times as long as its
//!   call, as of DUMP, is SYSTEM_ERR: the RFC knows no part of a list, and TCP has the whole.
//! - GETSTAT does not count procedure 0, which does not get here.
//! - Registrations are bounded, in all and for each owner: [`Limits`].
//!
//! Sources: RFC 1833, RFC 5665, `rpcbind(8)`, `proc_net(5)`.

mod asker;
mod broadcast;
mod client;
mod registry;
mod remote;
mod request;
mod service;
mod sight;
mod statistics;
#[cfg(test)]
mod tests;

pub use self::broadcast::{Broadcast, HEARD_MAX, Heard, broadcast_addresses};
pub use self::client::{Client, Registered};
pub use self::registry::{Entry, Limits, Owner, Rejected};
pub use self::remote::RemoteLimits;
pub use self::service::{REPLY_FACTOR_MAX, Service, ServiceOptions};
pub use strait_wire::onc::rpcbind::{
    BadAddress, EntryV4, Mapping, NETID_MAX, Netid, OWNER_MAX, PORT, PROGRAM, Registration, SOCKET,
    Statistics, UADDR_MAX, Uaddr, v2, v3, v4,
};
