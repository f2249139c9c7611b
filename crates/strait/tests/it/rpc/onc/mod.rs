//! ONC RPC.

pub(crate) mod channel;
pub(crate) mod client;
pub(crate) mod examples;
pub(crate) mod foreign;
pub(crate) mod gss;
pub(crate) mod lent;
mod page;
pub(crate) mod rpcbind;
pub(crate) mod server;
pub(crate) mod tls;
