//! The mechanisms of Linux and System V, between real processes.

pub(crate) mod every;
mod fifo;
pub(crate) mod mqueue;
pub(crate) mod msg;
pub(crate) mod peers;
pub(crate) mod pipe;
pub(crate) mod process;
pub(crate) mod sem;
pub(crate) mod shm;
pub(crate) mod signal;
pub(crate) mod socket;
