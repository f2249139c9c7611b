//! Remote procedure calls.

pub(crate) mod onc;
