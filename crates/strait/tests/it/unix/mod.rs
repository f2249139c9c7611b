//! The mechanisms of Linux and System V, between real processes.

mod fifo;
pub(crate) mod pipe;
pub(crate) mod sem;
pub(crate) mod shm;
