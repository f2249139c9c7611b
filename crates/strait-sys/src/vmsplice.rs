//! Memory lent to a pipe: `vmsplice(2)`.
//!
//! The reader sees the memory as it is when it reads. Only what never changes is lent here, so that
//! nobody sees a message change behind its back; SPLICE_F_GIFT would give the pages away besides.

use std::os::fd::BorrowedFd;

use rustix::pipe::{IoSliceRaw, SpliceFlags};

use crate::Result;

/// Has the pipe refer to `bytes`, and returns how many it took. Waits for room.
///
/// # Errors
///
/// `EBADF`: not a pipe's write end. `EPIPE`: nobody reads. `EINTR`: a signal came.
pub fn lend(pipe: BorrowedFd<'_>, bytes: &'static [u8]) -> Result<usize> {
    let lent = [IoSliceRaw::from_slice(bytes)];
    // SAFETY: the bytes live for ever and never change, so that the pages may be read at any time;
    // they are not given away.
    unsafe { rustix::pipe::vmsplice(pipe, &lent, SpliceFlags::empty()) }
}
