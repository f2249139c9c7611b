//! What a child keeps across its exec: descriptors, and taking them there; blocked signals.
//!
//! Every descriptor of this library is close-on-exec; one that is passed on loses that flag in
//! the child alone, between fork and exec, so that no other child started meanwhile inherits it.
//!
//! `fcntl(2)` under "File descriptor flags"; `execve(2)` on what it keeps.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use crate::signal::Set;
use crate::{Errno, Result};

/// Descriptors that this process has taken from its parent already.
static TAKEN: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());

/// Leaves `fd` open, under the number it has, in the program that `command` will start. It stays
/// open here as long as the command.
pub fn keep_open(command: &mut Command, fd: OwnedFd) {
    let keep = move || {
        fcntl_setfd(&fd, FdFlags::empty())?;
        Ok(())
    };
    // SAFETY: the closure makes one system call on a descriptor it owns; no allocation, no lock.
    unsafe { command.pre_exec(keep) };
}

/// Has the program that `command` will start begin with these signals blocked and no others,
/// whatever is blocked in the thread that starts it.
pub fn block_only(command: &mut Command, blocked: Set) {
    let block = move || {
        blocked.block_only()?;
        Ok(())
    };
    // SAFETY: the closure makes one system call; no allocation, no lock.
    unsafe { command.pre_exec(block) };
}

/// Takes ownership of a descriptor that the parent left open for this program, once.
///
/// # Errors
///
/// `EBADF`: it is not open, was not left open across exec, or was taken.
pub fn take_inherited(fd: RawFd) -> Result<OwnedFd> {
    if fd <= 2 {
        return Err(Errno::BADF);
    }
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    if taken.contains(&fd) {
        return Err(Errno::BADF);
    }
    // SAFETY: not -1, and used for two calls that fail harmlessly if it is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    // Everything that this process opened itself is close-on-exec: a descriptor with the flag is
    // not the parent's gift.
    if fcntl_getfd(borrowed)?.contains(FdFlags::CLOEXEC) {
        return Err(Errno::BADF);
    }
    fcntl_setfd(borrowed, FdFlags::CLOEXEC)?;
    taken.push(fd);
    // SAFETY: open, left by the parent for this purpose, and not handed out before.
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    debug_assert_eq!(owned.as_raw_fd(), fd);
    Ok(owned)
}
