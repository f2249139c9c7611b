//! Tidy, CI and the long runs.
fn main() {}
