//! The mechanisms of Linux and System V, from the shell.

mod mqueue;
mod msg;
