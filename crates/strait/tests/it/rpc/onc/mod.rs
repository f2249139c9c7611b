//! ONC RPC.

pub(crate) mod client;
