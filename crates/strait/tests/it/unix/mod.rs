//! The mechanisms of Linux and System V, between real processes.

pub(crate) mod msg;
