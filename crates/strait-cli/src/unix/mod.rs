//! The verbs of the mechanisms of Linux and System V: one file each.

pub(crate) mod fifo;
pub(crate) mod key;
pub(crate) mod owned;
pub(crate) mod sem;
pub(crate) mod shm;
