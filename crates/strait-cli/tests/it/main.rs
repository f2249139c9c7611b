//! The program `strait`, run as its users run it: each verb in a process of its own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod doctor;
mod golden;
mod held;
mod list;
mod objects;
mod rpc;
mod shell;
mod survey;
mod unix;
mod wait;
mod world;
