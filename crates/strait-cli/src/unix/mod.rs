//! The verbs of the mechanisms of Linux and System V: one file each.

pub(crate) mod signal;
