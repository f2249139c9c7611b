//! ONC RPC.

pub(crate) mod client;
pub(crate) mod rpcbind;
pub(crate) mod server;
