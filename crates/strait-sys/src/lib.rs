//! The kernel facilities Strait stands on.
