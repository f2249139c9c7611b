//! The verbs of the mechanisms of Linux and System V: one file each.

pub(crate) mod fifo;
pub(crate) mod key;
pub(crate) mod mqueue;
pub(crate) mod msg;
pub(crate) mod sem;
pub(crate) mod shm;
pub(crate) mod signal;
pub(crate) mod socket;
pub(crate) mod system_v;
pub(crate) mod text;
