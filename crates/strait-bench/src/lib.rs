//! The survey engine.
#![forbid(unsafe_code)]
