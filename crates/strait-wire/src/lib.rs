//! The bytes that two machines agree on.
//!
//! Nothing here opens a socket, reads a clock or draws a random number: time, randomness and
//! buffers are arguments, so that a protocol can be run, and broken, in a test. What moves the
//! bytes is in the crate `strait`.
//!
//! - [`xdr`]: how values are written (RFC 4506).
//! - [`onc`]: remote procedure calls made of them (RFC 5531), and who finds whom (RFC 1833).
//! - [`time`]: the clock of the machines.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
#[macro_use]
extern crate std;

pub mod onc;
pub mod time;
pub mod xdr;
