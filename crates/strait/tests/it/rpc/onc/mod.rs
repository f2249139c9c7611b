//! ONC RPC.

pub(crate) mod client;
pub(crate) mod examples;
pub(crate) mod foreign;
mod page;
pub(crate) mod rpcbind;
pub(crate) mod server;
