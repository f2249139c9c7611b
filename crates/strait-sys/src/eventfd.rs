//! A counter as a descriptor: what makes a word's change visible to `poll`.
//!
//! Give one only to those who are trusted to leave it alone: whoever can add can also take, and so
//! read a wake-up away. `eventfd(2)`. None of the calls blocks.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::event::EventfdFlags;

use crate::{Errno, Result};

/// A counter with this value, readable while it is not 0.
///
/// # Errors
///
/// `EMFILE`, `ENFILE`, `ENOMEM`: the usual ones.
pub fn create(value: u32) -> Result<OwnedFd> {
    rustix::event::eventfd(value, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
}

/// Adds to the counter and wakes who polls it.
///
/// # Errors
///
/// `EAGAIN`: it would pass its greatest value, 2^64 - 2; it is readable in any case. `EINVAL`:
/// `count` is `u64::MAX`.
pub fn add(event: BorrowedFd<'_>, count: u64) -> Result<()> {
    rustix::io::retry_on_intr(|| rustix::io::write(event, &count.to_ne_bytes())).map(drop)
}

/// Sets the counter to 0 and returns what it was; `None` if it was 0.
///
/// # Errors
///
/// `EINVAL`, `EBADF`: not an eventfd.
pub fn take(event: BorrowedFd<'_>) -> Result<Option<u64>> {
    read_count(event)
}

/// The eight bytes that counters answer with; `None` if there is nothing yet.
pub(crate) fn read_count(fd: BorrowedFd<'_>) -> Result<Option<u64>> {
    let mut bytes = [0; size_of::<u64>()];
    match rustix::io::retry_on_intr(|| rustix::io::read(fd, &mut bytes)) {
        Ok(len) if len == bytes.len() => Ok(Some(u64::from_ne_bytes(bytes))),
        Ok(_) => Err(Errno::INVAL),
        Err(Errno::AGAIN) => Ok(None),
        Err(errno) => Err(errno),
    }
}
