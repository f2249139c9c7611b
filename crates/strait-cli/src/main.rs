//! The program `strait`.
#![forbid(unsafe_code)]
fn main() {}
