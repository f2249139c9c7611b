//! Interface languages: a text becomes a checked tree, and the tree becomes Rust.
//!
//! Use it from a build script, or through `strait rpc gen`. It reads files and writes text, and
//! knows nothing of sockets: what the generated code calls is in `strait::rpc`.
//!
//! | Language | Module | Source |
//! | --- | --- | --- |
//! | the RPC language, `.x` | [`onc`] | RFC 4506 section 6, RFC 5531 section 12 |
//!
//! An error is a [`Diagnostic`]: file, line, column, the line itself and a caret below what is
//! wrong.
#![forbid(unsafe_code)]

mod diag;
mod lex;
pub mod onc;
mod source;

pub use diag::{Diagnostic, Diagnostics};
