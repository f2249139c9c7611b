//! ONC RPC.

pub(crate) mod rpcbind;
pub(crate) mod client;
