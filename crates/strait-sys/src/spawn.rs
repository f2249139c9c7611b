//! What a child is made to be between fork and exec: descriptors it keeps, signals it starts with,
//! and a pidfd of it that names no other process.
//!
//! Every descriptor of this library is close-on-exec; one that is passed on loses that flag in
//! the child alone, between fork and exec, so that no other child started meanwhile inherits it.
//!
//! `fcntl(2)` under "File descriptor flags"; `execve(2)` under "Effect on process attributes".

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use crate::signal::{self, Change, Set};
use crate::{Errno, Result, pass, sigaction};

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

/// The signals that a child starts with.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct Signals {
    /// Blocked; all others are not.
    pub blocked: Set,
    /// Ignored; what else the parent ignores does its default again.
    pub ignored: Set,
}

/// The next start of a command, prepared; later starts are not concerned.
#[derive(Debug)]
pub struct Start {
    socket: OwnedFd,
    armed: Arc<AtomicBool>,
}

impl Start {
    /// Has the child that `command` starts next begin with these signals, and send its own pidfd:
    /// the child opens it, so that its number cannot be another's by then.
    ///
    /// # Errors
    ///
    /// `EMFILE`, `ENFILE`: no descriptors left.
    pub fn prepare(command: &mut Command, signals: Signals) -> Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let kind = SocketType::SEQPACKET;
        let (socket, childs) = socketpair(AddressFamily::UNIX, kind, flags, None)?;
        let armed = Arc::new(AtomicBool::new(true));
        let mine = armed.clone();
        let begin = move || {
            if mine.load(Ordering::Relaxed) {
                sigaction::reset_ignored(signals.ignored)?;
                signal::change_mask(Change::Replace, signals.blocked)?;
                // Where the kernel or a filter has none, the parent goes by the number.
                if let Ok(own) = pidfd_open(getpid(), PidfdFlags::empty()) {
                    pass::send(childs.as_fd(), &[0], &[own.as_fd()])?;
                }
            }
            Ok(())
        };
        // SAFETY: the closure loads an atomic and makes system calls on its own descriptors and
        // buffers on its stack; no allocation, no lock.
        unsafe { command.pre_exec(begin) };
        Ok(Self { socket, armed })
    }

    /// The pidfd of the child, once the command has been started; `None` where the kernel has none.
    #[must_use]
    pub fn pidfd(self) -> Option<OwnedFd> {
        let (_, fds) = pass::recv(self.socket.as_fd(), &mut [0], 1).ok()?;
        fds.into_iter().next()
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        // The command keeps the closure for its next start.
        self.armed.store(false, Ordering::Relaxed);
    }
}
