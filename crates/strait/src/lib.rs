//! Every way two processes can talk, behind one model of names, handles, waits and transfer.
//!
//! Start with [`nt`] for events, mutants, semaphores, sections and timers, and [`wait`] for waiting
//! on any or all of them. [`unix`] has signals, pipes, System V IPC and sockets. [`Namespace`] says
//! where names live.
#![forbid(unsafe_code)]

pub mod channel;
mod error;
pub mod inspect;
#[cfg(feature = "test-kit")]
#[doc(hidden)]
pub mod kit;
pub mod nt;
mod object;
#[cfg(feature = "net")]
pub mod rpc;
pub mod unix;

pub use error::{Error, ErrorKind, Result};
pub use object::transfer::{HandleSocket, Pass, Transferable, inherited, inherited_descriptor};
pub use object::wait;
pub use object::{
    Birth, Collected, Kind, NAME_UTF16_MAX, Name, Namespace, Reset, Rights, Scope, Security,
};
pub use strait_sys::cell::Word;

/// The example of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
