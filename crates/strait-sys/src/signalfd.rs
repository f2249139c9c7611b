//! A descriptor that is readable while a signal of a set is pending for whoever polls it.
//!
//! It is for waiting only: what is pending is taken by [`signal::take`](crate::signal::take), which
//! tells all that there is to know. The descriptor shows the signals of the thread that polls or
//! reads it, and of its process: after a fork those of the child. An epoll instance is woken by
//! those of the process that added it there.
//!
//! `signalfd(2)`.

use core::ffi::c_int;
use std::os::fd::{FromRawFd, OwnedFd};

use crate::signal::Set;
use crate::{Result, checked};

/// A descriptor for these signals, which must be blocked. KILL and STOP are left out in silence.
///
/// # Errors
///
/// `EMFILE`, `ENFILE`, `ENOMEM`: the usual ones. `ENODEV`: the kernel has no anonymous inodes.
pub fn create(set: Set) -> Result<OwnedFd> {
    let (bits, len) = set.raw();
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: `bits` may be read, `len` bytes; -1 asks for a new descriptor.
    let fd = unsafe { libc::syscall(libc::SYS_signalfd4, -1, bits, len, flags) };
    let fd = c_int::try_from(checked(fd)?).map_err(|_| crate::Errno::IO)?;
    // SAFETY: opened just now, and known to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
