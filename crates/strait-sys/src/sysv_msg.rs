//! System V message queues: `msgget(2)`, `msgop(2)`, `msgctl(2)`.
//!
//! A queue is a number, not a descriptor: it lives until it is [removed](Queue::remove), whoever
//! made it. A message is its type, eight bytes in the machine's order and above 0, and then its
//! text, in one buffer, as the kernel has it: nothing is copied here.

use core::ffi::{c_int, c_long};
use core::ptr::null_mut;

use rustix::fs::Mode;

use crate::{Errno, Result, checked};

/// Bytes of a message before its text.
pub const TYPE_LEN: usize = size_of::<c_long>();

/// A queue in the kernel, by its number.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Queue(c_int);

impl Queue {
    /// Makes the queue with this key; key 0 (`IPC_PRIVATE`) always makes a new one.
    ///
    /// # Errors
    ///
    /// `EEXIST`: there is one. `ENOSPC`, `ENOMEM`: the system has no more room for queues.
    pub fn create(key: i32, mode: Mode) -> Result<Self> {
        let bits = c_int::try_from(mode.bits()).map_err(|_| Errno::INVAL)?;
        Self::get(key, bits | libc::IPC_CREAT | libc::IPC_EXCL)
    }

    /// The queue with this key.
    ///
    /// # Errors
    ///
    /// `ENOENT`: there is none. `EACCES`: not for this user.
    pub fn open(key: i32) -> Result<Self> {
        // IPC_PRIVATE would make a queue.
        if key == libc::IPC_PRIVATE {
            return Err(Errno::NOENT);
        }
        Self::get(key, 0)
    }

    fn get(key: i32, flags: c_int) -> Result<Self> {
        // SAFETY: the call takes two integers.
        let result = unsafe { libc::msgget(key, flags) };
        checked(c_long::from(result)).map(|_| Self(result))
    }

    /// The kernel's number for it.
    #[must_use]
    pub const fn id(self) -> i32 {
        self.0
    }

    /// Sends one message, type and text; waits for room.
    ///
    /// # Errors
    ///
    /// `EINVAL`: no type, a type below 1, or more text than a queue takes (`msgmax`). `EIDRM`:
    /// the queue was removed. `EINTR`: a signal came. `EACCES`: not for this user.
    pub fn send(self, message: &[u8]) -> Result<()> {
        let len = message.len().checked_sub(TYPE_LEN).ok_or(Errno::INVAL)?;
        // SAFETY: the buffer holds the type and `len` bytes more.
        let result = unsafe { libc::msgsnd(self.0, message.as_ptr().cast(), len, 0) };
        checked(c_long::from(result)).map(drop)
    }

    /// Receives one message, type and text, and returns how long the text is; waits for it.
    ///
    /// `select` is 0 for the first message, a type for the first of that type, or the negative
    /// of the highest type for the lowest there is.
    ///
    /// # Errors
    ///
    /// `E2BIG`: the text is longer than the buffer; the message stays. `EINVAL`: the buffer has no
    /// room for a type. `EIDRM`, `EINTR`, `EACCES`: as for [`send`](Self::send).
    pub fn recv(self, buffer: &mut [u8], select: i64) -> Result<usize> {
        let room = buffer.len().checked_sub(TYPE_LEN).ok_or(Errno::INVAL)?;
        // SAFETY: the buffer may be written: a type and `room` bytes more.
        let result = unsafe { libc::msgrcv(self.0, buffer.as_mut_ptr().cast(), room, select, 0) };
        usize::try_from(result).map_err(|_| crate::last_errno())
    }

    /// Removes the queue, with what is in it, for everybody; sleepers get `EIDRM`.
    ///
    /// # Errors
    ///
    /// `EINVAL`: there is none with this number. `EPERM`: neither owner nor creator.
    pub fn remove(self) -> Result<()> {
        // SAFETY: IPC_RMID takes no buffer.
        let result = unsafe { libc::msgctl(self.0, libc::IPC_RMID, null_mut()) };
        checked(c_long::from(result)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    //! One queue from birth to removal.

    use super::*;

    #[test]
    fn messages_come_by_type_and_the_queue_goes() {
        let queue = Queue::create(libc::IPC_PRIVATE, Mode::RUSR | Mode::WUSR).unwrap();
        let message = |kind: i64, text: &[u8]| [&kind.to_ne_bytes()[..], text].concat();
        queue.send(&message(3, b"three")).unwrap();
        queue.send(&message(1, b"one")).unwrap();
        assert_eq!(queue.send(&message(0, b"")), Err(Errno::INVAL));
        assert_eq!(queue.send(&[1]), Err(Errno::INVAL));
        let mut buffer = [0; 16];
        assert_eq!(queue.recv(&mut buffer, -5), Ok(3));
        assert_eq!(buffer[..11], message(1, b"one")[..]);
        assert_eq!(queue.recv(&mut buffer[..10], 0), Err(Errno::TOOBIG));
        assert_eq!(queue.recv(&mut buffer, 0), Ok(5));
        assert_eq!(queue.remove(), Ok(()));
        assert!(queue.remove().is_err());
        assert_eq!(Queue::open(libc::IPC_PRIVATE), Err(Errno::NOENT));
    }
}
