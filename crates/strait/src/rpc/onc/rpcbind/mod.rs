//! The registry of programs, rpcbind: RFC 1833.

mod client;
mod registry;
mod request;
mod service;
mod sight;
mod statistics;
#[cfg(test)]
mod tests;

pub use self::client::{Client, Registered};
pub use self::registry::{Entry, Limits, Owner, Rejected};
pub use self::service::{REPLY_FACTOR_MAX, Service, ServiceOptions};
pub use strait_wire::onc::rpcbind::{
    BadAddress, EntryV4, Mapping, NETID_MAX, Netid, OWNER_MAX, PORT, PROGRAM, Registration, SOCKET,
    Statistics, UADDR_MAX, Uaddr, v2, v3, v4,
};
