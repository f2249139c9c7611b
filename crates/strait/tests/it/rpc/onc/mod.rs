//! ONC RPC.

pub(crate) mod server;
