//! The verbs of remote procedure calls.

mod calls;
