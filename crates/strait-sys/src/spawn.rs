//! What a child is made to be between fork and exec: descriptors it keeps, signals it starts with,
//! and a pidfd of it that names no other process.
//!
//! Every descriptor of this library is close-on-exec; one that is passed on loses that flag in
//! the child alone, between fork and exec, so that no other child started meanwhile inherits it.
//! The child's environment says which numbers were passed and to which files they lead: any other
//! descriptor may have an owner in the program, and is not given away.
//!
//! `fcntl(2)` under "File descriptor flags"; `execve(2)` under "Effect on process attributes".

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::fs::fstat;
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_getfd, fcntl_setfd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open, setpgid};

use crate::fork::Guarded;
use crate::signal::{self, Change, Set};
use crate::{Errno, Result, pass, sigaction};

/// What was passed to a program: `number:device:inode`, separated by semicolons.
const PASSED: &str = "STRAIT_DESCRIPTORS";

/// What was passed to this process and is not taken yet; `None` until it is asked for.
static LEFT: Guarded<Option<Vec<Passed>>> = Guarded::new(None);

/// A descriptor that a program is started with.
struct Passed {
    number: RawFd,
    file: (u64, u64),
}

/// Leaves `fd` open, under the number it has, in the program that `command` will start; that takes
/// it with [`take_inherited`]. It stays open here as long as the command.
///
/// # Errors
///
/// What `fstat(2)` answers.
pub fn keep_open(command: &mut Command, fd: OwnedFd) -> Result<()> {
    let (device, inode) = file_of(&fd)?;
    let before = command.get_envs().find(|(key, _)| *key == PASSED);
    let mut passed = before
        .and_then(|(_, value)| Some(format!("{};", value?.to_str()?)))
        .unwrap_or_default();
    passed += &format!("{}:{device}:{inode}", fd.as_raw_fd());
    command.env(PASSED, passed);
    let keep = move || {
        fcntl_setfd(&fd, FdFlags::empty())?;
        Ok(())
    };
    // SAFETY: the closure makes one system call on a descriptor it owns; no allocation, no lock.
    unsafe { command.pre_exec(keep) };
    Ok(())
}

/// Has the program that `command` will start begin with these signals blocked and no others,
/// whatever is blocked in the thread that starts it.
pub fn block_only(command: &mut Command, blocked: Set) {
    let block = move || {
        signal::change_mask(Change::Replace, blocked)?;
        Ok(())
    };
    // SAFETY: the closure makes one system call; no allocation, no lock.
    unsafe { command.pre_exec(block) };
}

/// Takes ownership of a descriptor that the parent passed to this program with [`keep_open`], once.
///
/// # Errors
///
/// `EBADF`: none of that number was passed, it was taken, or it is no longer open.
pub fn take_inherited(fd: RawFd) -> Result<OwnedFd> {
    // Before the lock: the environment has one of its own, which a thread may hold while it forks.
    let given = std::env::var(PASSED).unwrap_or_default();
    LEFT.with(|left| {
        let left = left.get_or_insert_with(|| read(&given));
        let at = left.iter().position(|passed| passed.number == fd);
        let passed = left.swap_remove(at.ok_or(Errno::BADF)?);
        // SAFETY: not -1; used for calls that fail harmlessly if it is not open.
        let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
        // The program's own parent may have taken and closed it, and the number be another's.
        let same = is_inherited(borrowed)? && file_of(borrowed)? == passed.file;
        if !same {
            return Err(Errno::BADF);
        }
        fcntl_setfd(borrowed, FdFlags::CLOEXEC)?;
        // SAFETY: open, left by the parent for this purpose, and not handed out before.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    })
}

/// A descriptor of its own for what the parent, a shell for instance, left open under that number,
/// standard streams included. That one stays as it is, whoever it belongs to.
///
/// # Errors
///
/// `EBADF`: it is not open, or this program opened it itself. `EMFILE`: no more descriptors.
pub fn duplicate_inherited(fd: RawFd) -> Result<OwnedFd> {
    if fd < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: not -1; used for calls that fail harmlessly if it is not open, and that neither
    // close nor change it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    if !is_inherited(borrowed)? {
        return Err(Errno::BADF);
    }
    fcntl_dupfd_cloexec(borrowed, 3)
}

/// Everything that a program opens itself should be close-on-exec, and all that this library does
/// is: a descriptor with the flag did not come through exec.
fn is_inherited(fd: BorrowedFd<'_>) -> Result<bool> {
    Ok(!fcntl_getfd(fd)?.contains(FdFlags::CLOEXEC))
}

fn file_of(fd: impl AsFd) -> Result<(u64, u64)> {
    fstat(fd).map(|stat| (stat.st_dev, stat.st_ino))
}

/// The entries that are well formed.
fn read(passed: &str) -> Vec<Passed> {
    let entry = |entry: &str| {
        let mut fields = entry.split(':');
        let mut field = || fields.next()?.parse::<u64>().ok();
        Some(Passed {
            number: RawFd::try_from(field()?).ok().filter(|fd| *fd > 2)?,
            file: (field()?, field()?),
        })
    };
    passed.split(';').filter_map(entry).collect()
}

/// The signals that a child starts with.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct Signals {
    /// Blocked; all others are not.
    pub blocked: Set,
    /// Ignored; what else the parent ignores does its default again.
    pub ignored: Set,
}

/// The process group that a child starts in.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Group {
    /// One of its own, which it leads.
    Own,
    /// The one with this number, in the same session.
    Of(Pid),
}

/// The next start of a command, prepared; later starts are not concerned, and nothing stays open.
#[derive(Debug)]
pub struct Start {
    socket: OwnedFd,
    /// Open as long as `number` says its number: the command keeps the closure for good.
    _childs: OwnedFd,
    number: Arc<AtomicI32>,
}

impl Start {
    /// Has the child that `command` starts next begin with these signals, in that group if one is
    /// given, and send its own pidfd: the child opens it, so that its number cannot be another's by
    /// then.
    ///
    /// # Errors
    ///
    /// `EMFILE`, `ENFILE`: no descriptors left.
    pub fn prepare(command: &mut Command, signals: Signals, group: Option<Group>) -> Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let kind = SocketType::SEQPACKET;
        let (socket, childs) = socketpair(AddressFamily::UNIX, kind, flags, None)?;
        let number = Arc::new(AtomicI32::new(childs.as_raw_fd()));
        let childs_number = number.clone();
        let begin = move || {
            let number = childs_number.load(Ordering::Relaxed);
            if number < 0 {
                return Ok(());
            }
            match group {
                Some(Group::Own) => setpgid(None, None)?,
                Some(Group::Of(leader)) => setpgid(None, Some(leader))?,
                None => {}
            }
            sigaction::reset_ignored(signals.ignored)?;
            signal::change_mask(Change::Replace, signals.blocked)?;
            // Where the kernel or a filter refuses, the parent goes by the process's number.
            if let Ok(own) = pidfd_open(getpid(), PidfdFlags::empty()) {
                // SAFETY: the parent had it open when it forked, as it has not said -1.
                let socket = unsafe { BorrowedFd::borrow_raw(number) };
                let _ = pass::send(socket, &[0], &[own.as_fd()]);
            }
            Ok(())
        };
        // SAFETY: the closure loads an atomic and makes system calls on its own descriptors and
        // buffers on its stack; no allocation, no lock.
        unsafe { command.pre_exec(begin) };
        Ok(Self {
            socket,
            _childs: childs,
            number,
        })
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
        // Before the descriptor is closed; the command keeps the closure for its next start.
        self.number.store(-1, Ordering::Relaxed);
    }
}
