//! POSIX message queues: `mq_overview(7)`.
//!
//! On Linux a queue is a file and its handle a descriptor: it can be polled and passed on. Its
//! name stays until [`unlink`] takes it away, the queue until its last descriptor is closed.

use core::ffi::{CStr, c_int, c_long};
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::fs::Mode;

use crate::{Result, checked};

/// How much a queue takes.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Room {
    /// Messages.
    pub messages: u32,
    /// Bytes in one message.
    pub len_max: u32,
}

/// Makes the queue with this name (a slash and up to 255 bytes without one), to send and receive.
///
/// # Errors
///
/// `EEXIST`: there is one. `EINVAL`: not such a name, or more room than this user may have.
/// `EMFILE`, `ENFILE`, `ENOSPC`, `ENOSYS`: no descriptors, no memory, no such queues here.
pub fn create(name: &CStr, room: Room, mode: Mode) -> Result<OwnedFd> {
    // SAFETY: the structure is integers, for which zero is valid.
    let mut attributes: libc::mq_attr = unsafe { MaybeUninit::zeroed().assume_init() };
    attributes.mq_maxmsg = c_long::from(room.messages);
    attributes.mq_msgsize = c_long::from(room.len_max);
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
    // SAFETY: the name ends with a zero byte; the mode and attributes follow O_CREAT, as they must.
    let result = unsafe { libc::mq_open(name.as_ptr(), flags, mode.bits(), &raw mut attributes) };
    owned(result)
}

/// Opens the queue with this name, to send and receive.
///
/// # Errors
///
/// `ENOENT`: there is none. `EACCES`: not for this user.
pub fn open(name: &CStr) -> Result<OwnedFd> {
    // SAFETY: the name ends with a zero byte; without O_CREAT nothing follows the flags.
    let result = unsafe { libc::mq_open(name.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    owned(result)
}

fn owned(result: c_int) -> Result<OwnedFd> {
    checked(c_long::from(result))?;
    // SAFETY: the kernel has just opened it, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

/// Takes the name away.
///
/// # Errors
///
/// `ENOENT`: there is none. `EACCES`: not for this user.
pub fn unlink(name: &CStr) -> Result<()> {
    // SAFETY: the name ends with a zero byte.
    let result = unsafe { libc::mq_unlink(name.as_ptr()) };
    checked(c_long::from(result)).map(drop)
}

/// Sends one message; waits for room. Higher priorities overtake lower ones.
///
/// # Errors
///
/// `EMSGSIZE`: longer than the queue takes. `EINTR`: a signal came. `EBADF`: not such a queue.
pub fn send(queue: BorrowedFd<'_>, message: &[u8], priority: u32) -> Result<()> {
    // SAFETY: pointer and length are one slice's.
    let result = unsafe {
        libc::mq_send(
            queue.as_raw_fd(),
            message.as_ptr().cast(),
            message.len(),
            priority,
        )
    };
    checked(c_long::from(result)).map(drop)
}

/// Receives the oldest message of the highest priority, and returns its length; waits for it.
///
/// # Errors
///
/// `EMSGSIZE`: the buffer is shorter than what the queue takes. `EINTR`: a signal came. `EBADF`:
/// not such a queue.
pub fn recv(queue: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: pointer and length are one slice's, which may be written; no priority is asked for.
    let result = unsafe {
        libc::mq_receive(
            queue.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            null_mut(),
        )
    };
    usize::try_from(result).map_err(|_| crate::last_errno())
}

#[cfg(test)]
mod tests {
    //! One queue from birth to removal.

    use std::ffi::CString;
    use std::os::fd::AsFd;

    use super::*;
    use crate::Errno;

    #[test]
    fn priorities_overtake_and_the_name_goes() {
        let name = CString::new(format!("/strait-sys-{}", std::process::id())).unwrap();
        let room = Room {
            messages: 4,
            len_max: 64,
        };
        let queue = match create(&name, room, Mode::RUSR | Mode::WUSR) {
            // A kernel without them.
            Err(Errno::NOSYS) => return,
            other => other.unwrap(),
        };
        let same = open(&name).unwrap();
        assert_eq!(create(&name, room, Mode::empty()).err(), Some(Errno::EXIST));
        unlink(&name).unwrap();
        assert_eq!(unlink(&name), Err(Errno::NOENT));
        send(queue.as_fd(), b"later", 1).unwrap();
        send(same.as_fd(), b"first", 2).unwrap();
        assert_eq!(send(same.as_fd(), &[0; 65], 0), Err(Errno::MSGSIZE));
        let mut buffer = [0; 64];
        assert_eq!(recv(queue.as_fd(), &mut buffer), Ok(5));
        assert_eq!(&buffer[..5], b"first");
        assert_eq!(recv(queue.as_fd(), &mut buffer[..10]), Err(Errno::MSGSIZE));
    }
}
