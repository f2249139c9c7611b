//! ONC RPC.

pub(crate) mod rpcbind;
