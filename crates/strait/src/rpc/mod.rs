//! Remote procedure calls.
//!
//! [`onc`] is Sun's: XDR, RPC version 2 and rpcbind. It needs the feature `net`.

pub mod onc;
