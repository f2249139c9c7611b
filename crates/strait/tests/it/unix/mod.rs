//! The mechanisms of Linux and System V, between real processes.

mod fifo;
pub(crate) mod mqueue;
pub(crate) mod msg;
pub(crate) mod pipe;
pub(crate) mod socket;
