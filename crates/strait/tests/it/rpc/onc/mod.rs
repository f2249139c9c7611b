//! ONC RPC.

pub(crate) mod channel;
pub(crate) mod client;
pub(crate) mod rpcbind;
pub(crate) mod server;
