//! Reference lines through System V queues and semaphores, POSIX queues, signals; and the price of
//! entering the kernel at all.

mod mqueue;
mod msg;
mod sem;
mod shm;
mod signal;
mod syscall;

pub(super) use mqueue::Mqueue;
pub(crate) use mqueue::mqueue_names;
pub(super) use msg::Msg;
pub(super) use sem::Sem;
pub(super) use shm::Shm;
pub use signal::SIGNAL;
pub(super) use signal::Signals;
pub(super) use syscall::Syscall;
