//! Byte-range locks that belong to an open file description, not to a process.
//!
//! The kernel releases them when the last descriptor of the description closes: a killed holder
//! leaves no lock behind, which makes a write lock a proof of life. Unlike POSIX locks they are not
//! lost when the process closes another descriptor of the file, and they hold between threads.
//! Descriptors that were duplicated or inherited share one description and so one lock: close
//! them in a forked child ([`close_in_child`](crate::fork::close_in_child)). They are advisory.
//!
//! `fcntl_locking(2)`: `F_OFD_SETLK`, `F_OFD_GETLK`.

use core::ffi::{c_int, c_short};
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::{Errno, Result, checked};

/// The kinds of lock: many readers, or one writer.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Lock {
    /// Shared. The descriptor must be open for reading.
    Read,
    /// Exclusive. The descriptor must be open for writing.
    Write,
}

/// Takes the lock on `len` bytes from `offset`, or changes the kind of one held there, without
/// waiting; false if another description's lock is in the way. `len` 0 reaches to the end of any
/// file.
///
/// # Errors
///
/// `EBADF`: the descriptor is not open for what the lock needs. `EINVAL`: the range does not fit a
/// file. `ENOLCK`: too many locks.
pub fn try_lock(fd: BorrowedFd<'_>, lock: Lock, offset: u64, len: u64) -> Result<bool> {
    let mut range = range(kind(lock), offset, len)?;
    match control(fd, libc::F_OFD_SETLK, &mut range) {
        Ok(()) => Ok(true),
        Err(Errno::AGAIN | Errno::ACCESS) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Releases what this description holds in the range.
///
/// # Errors
///
/// `EINVAL`: the range does not fit a file. `ENOLCK`: splitting a held range needed one lock too
/// many.
pub fn unlock(fd: BorrowedFd<'_>, offset: u64, len: u64) -> Result<()> {
    let mut range = range(libc::F_UNLCK, offset, len)?;
    control(fd, libc::F_OFD_SETLK, &mut range)
}

/// What another description holds that would keep `lock` from being taken; `None` if nothing does.
///
/// # Errors
///
/// `EINVAL`: the range does not fit a file.
pub fn probe(fd: BorrowedFd<'_>, lock: Lock, offset: u64, len: u64) -> Result<Option<Lock>> {
    let mut range = range(kind(lock), offset, len)?;
    control(fd, libc::F_OFD_GETLK, &mut range)?;
    Ok(match c_int::from(range.l_type) {
        libc::F_UNLCK => None,
        libc::F_RDLCK => Some(Lock::Read),
        _ => Some(Lock::Write),
    })
}

/// Takes a lease on the file, so that a test meets one: others' opens fail or wait from then on.
///
/// The holder is told of them by SIGURG, which does nothing unless somebody asked for it.
///
/// # Errors
///
/// `EAGAIN`: somebody else has it open. `EACCES`: it is another user's. `EINVAL`: the file system
/// has no leases.
#[cfg(feature = "test-kit")]
pub fn lease(fd: BorrowedFd<'_>) -> Result<()> {
    /// F_SETSIG of `asm-generic/fcntl.h`.
    const SET_SIGNAL: c_int = 10;
    // SAFETY: the descriptor is open while borrowed; both commands take a number.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), SET_SIGNAL, libc::SIGURG) };
    checked(result.into())?;
    // SAFETY: as above.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) };
    checked(result.into()).map(drop)
}

const fn kind(lock: Lock) -> c_int {
    match lock {
        Lock::Read => libc::F_RDLCK,
        Lock::Write => libc::F_WRLCK,
    }
}

fn range(kind: c_int, offset: u64, len: u64) -> Result<libc::flock> {
    Ok(libc::flock {
        l_type: c_short::try_from(kind).map_err(|_| Errno::INVAL)?,
        l_whence: c_short::try_from(libc::SEEK_SET).map_err(|_| Errno::INVAL)?,
        l_start: i64::try_from(offset).map_err(|_| Errno::INVAL)?,
        l_len: i64::try_from(len).map_err(|_| Errno::INVAL)?,
        // The kernel requires zero of OFD locks.
        l_pid: 0,
    })
}

fn control(fd: BorrowedFd<'_>, command: c_int, range: &mut libc::flock) -> Result<()> {
    // SAFETY: the descriptor is open while borrowed, and `range` is what these commands read and
    // write.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), command, core::ptr::from_mut(range)) };
    checked(result.into()).map(drop)
}
