//! The mechanisms of Linux and System V, whole and safe, as members of the one wait.
//!
//! Each module wraps one mechanism of the kernel as it is: its names, its lifetime, its limits, and
//! its errors, which come back as [`Error`](crate::Error) with kind, operation and subject. A table
//! in each says where it is faithful and where it differs.

pub mod ipc;
pub mod mqueue;
pub mod msg;
pub mod pipe;
pub mod process;
pub mod sem;
pub mod shm;
pub mod signal;
pub mod socket;

pub use self::pipe::fifo;
