//! Every way two processes can talk.
#![forbid(unsafe_code)]
