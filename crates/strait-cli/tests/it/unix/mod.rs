//! The verbs of the mechanisms of Linux and System V.

mod signal;
