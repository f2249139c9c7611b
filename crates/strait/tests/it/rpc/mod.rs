//! Remote procedure calls, between real processes.

pub(crate) mod onc;
