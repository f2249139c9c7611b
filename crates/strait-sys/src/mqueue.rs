//! POSIX message queues: `mq_overview(7)`.
//!
//! On Linux a queue is a file and its handle a descriptor: it can be polled and passed on. Its
//! name stays until [`unlink`] takes it away, the queue until its last descriptor is closed.

use core::ffi::{CStr, c_int, c_long};
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::fs::Mode;

use crate::{Errno, Result, checked};

/// How much a queue takes.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Room {
    /// Messages.
    pub messages: u32,
    /// Bytes in one message.
    pub len_max: u32,
}

/// What a descriptor is for.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Access {
    /// Sending only.
    Send,
    /// Receiving only.
    Recv,
    /// Both.
    Both,
}

impl Access {
    fn flags(self) -> c_int {
        libc::O_CLOEXEC
            | match self {
                Self::Send => libc::O_WRONLY,
                Self::Recv => libc::O_RDONLY,
                Self::Both => libc::O_RDWR,
            }
    }
}

/// How much a queue takes, and holds.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Attributes {
    /// What it takes.
    pub room: Room,
    /// Messages in it.
    pub messages: u32,
}

/// Makes the queue with this name (a slash and up to 255 bytes without one), to send and receive.
///
/// # Errors
///
/// `EEXIST`: there is one. `EINVAL`: not such a name, or more room than this user may have.
/// `EMFILE`, `ENFILE`, `ENOSPC`, `ENOSYS`: no descriptors, no memory, no such queues here.
pub fn create(name: &CStr, room: Room, mode: Mode) -> Result<OwnedFd> {
    create_for(name, Access::Both, Some(room), mode)
}

/// [`create`] for this use; without `room`, what the system gives by default.
///
/// # Errors
///
/// As [`create`].
pub fn create_for(name: &CStr, access: Access, room: Option<Room>, mode: Mode) -> Result<OwnedFd> {
    // SAFETY: the structure is integers, for which zero is valid.
    let mut attributes: libc::mq_attr = unsafe { MaybeUninit::zeroed().assume_init() };
    let attributes = match room {
        None => null_mut(),
        Some(room) => {
            attributes.mq_maxmsg = c_long::from(room.messages);
            attributes.mq_msgsize = c_long::from(room.len_max);
            &raw mut attributes
        }
    };
    let flags = access.flags() | libc::O_CREAT | libc::O_EXCL;
    // SAFETY: the name ends with a zero byte; the mode and attributes follow O_CREAT, as they must,
    // and the attributes may be null.
    let result = unsafe { libc::mq_open(name.as_ptr(), flags, mode.bits(), attributes) };
    owned(result)
}

/// Opens the queue with this name, to send and receive.
///
/// # Errors
///
/// `ENOENT`: there is none. `EACCES`: not for this user.
pub fn open(name: &CStr) -> Result<OwnedFd> {
    open_for(name, Access::Both)
}

/// [`open`] for this use.
///
/// # Errors
///
/// As [`open`].
pub fn open_for(name: &CStr, access: Access) -> Result<OwnedFd> {
    // SAFETY: the name ends with a zero byte; without O_CREAT nothing follows the flags.
    let result = unsafe { libc::mq_open(name.as_ptr(), access.flags()) };
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

/// [`send`] that does not wait.
///
/// # Errors
///
/// As [`send`]. `EAGAIN`: there is no room.
pub fn try_send(queue: BorrowedFd<'_>, message: &[u8], priority: u32) -> Result<()> {
    let past = past();
    // SAFETY: pointer and length are one slice's, and the time lives until the call returns.
    let result = unsafe {
        libc::mq_timedsend(
            queue.as_raw_fd(),
            message.as_ptr().cast(),
            message.len(),
            priority,
            &raw const past,
        )
    };
    checked(c_long::from(result)).map(drop).map_err(now)
}

/// [`recv`] that also returns the priority.
///
/// # Errors
///
/// As [`recv`].
pub fn recv_priority(queue: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<(usize, u32)> {
    let mut priority = 0;
    // SAFETY: pointer and length are one slice's, which may be written, as the priority may.
    let result = unsafe {
        libc::mq_receive(
            queue.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            &raw mut priority,
        )
    };
    let len = usize::try_from(result).map_err(|_| crate::last_errno())?;
    Ok((len, priority))
}

/// [`recv_priority`] that does not wait.
///
/// # Errors
///
/// As [`recv`]. `EAGAIN`: there is no message.
pub fn try_recv(queue: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<(usize, u32)> {
    let (mut priority, past) = (0, past());
    // SAFETY: pointer and length are one slice's, which may be written, as the priority may; the
    // time lives until the call returns.
    let result = unsafe {
        libc::mq_timedreceive(
            queue.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            &raw mut priority,
            &raw const past,
        )
    };
    let len = usize::try_from(result).map_err(|_| now(crate::last_errno()))?;
    Ok((len, priority))
}

/// A time that has passed: a call with it does not wait, whatever `O_NONBLOCK` says, which all
/// holders of the descriptor share.
const fn past() -> libc::timespec {
    libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    }
}

fn now(errno: Errno) -> Errno {
    match errno {
        Errno::TIMEDOUT => Errno::AGAIN,
        other => other,
    }
}

/// How much it takes, and holds.
///
/// # Errors
///
/// `EBADF`: not such a queue.
pub fn attributes(queue: BorrowedFd<'_>) -> Result<Attributes> {
    let mut attributes = MaybeUninit::<libc::mq_attr>::zeroed();
    // SAFETY: the structure may be written.
    let result = unsafe { libc::mq_getattr(queue.as_raw_fd(), attributes.as_mut_ptr()) };
    checked(c_long::from(result))?;
    // SAFETY: it is integers, and the kernel has filled it.
    let attributes = unsafe { attributes.assume_init() };
    let count = |number: c_long| u32::try_from(number).unwrap_or(u32::MAX);
    Ok(Attributes {
        room: Room {
            messages: count(attributes.mq_maxmsg),
            len_max: count(attributes.mq_msgsize),
        },
        messages: count(attributes.mq_curmsgs),
    })
}

#[cfg(test)]
mod tests {
    //! One queue from birth to removal.

    use std::ffi::CString;
    use std::os::fd::AsFd;

    use super::*;

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

    #[test]
    fn trying_does_not_wait() {
        let name = CString::new(format!("/strait-sys-try-{}", std::process::id())).unwrap();
        let queue = match create_for(&name, Access::Both, None, Mode::RUSR | Mode::WUSR) {
            Err(Errno::NOSYS) => return,
            other => other.unwrap(),
        };
        let sender = open_for(&name, Access::Send).unwrap();
        unlink(&name).unwrap();
        let most = attributes(queue.as_fd()).unwrap();
        let mut buffer = vec![0; most.room.len_max as usize];
        assert_eq!(try_recv(queue.as_fd(), &mut buffer), Err(Errno::AGAIN));
        for _ in 0..most.room.messages {
            try_send(sender.as_fd(), b"text", 7).unwrap();
        }
        assert_eq!(try_send(sender.as_fd(), b"", 0), Err(Errno::AGAIN));
        assert_eq!(
            attributes(sender.as_fd()).unwrap().messages,
            most.room.messages
        );
        assert_eq!(try_recv(queue.as_fd(), &mut buffer), Ok((4, 7)));
        assert_eq!(recv_priority(queue.as_fd(), &mut buffer), Ok((4, 7)));
        assert_eq!(try_recv(sender.as_fd(), &mut buffer), Err(Errno::BADF));
    }
}
