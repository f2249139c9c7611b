//! System V semaphore sets: `semget(2)`, `semop(2)`, `semctl(2)`.
//!
//! A set is a number, not a descriptor: it lives until it is [removed](Set::remove), whoever made
//! it. One call changes several of its semaphores together or none.

use core::ffi::{c_int, c_long};

use rustix::fs::Mode;

use crate::{Errno, Result, checked};

/// A semaphore set in the kernel, by its number.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Set(c_int);

/// One change of one semaphore; negative waits until there is as much to take, zero waits for 0.
#[derive(Copy, Clone)]
#[repr(transparent)]
pub struct Op(libc::sembuf);

impl Op {
    /// Adds `change` to semaphore `number`.
    #[must_use]
    pub const fn new(number: u16, change: i16) -> Self {
        Self(libc::sembuf {
            sem_num: number,
            sem_op: change,
            sem_flg: 0,
        })
    }
}

impl core::fmt::Debug for Op {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Op({}: {:+})", self.0.sem_num, self.0.sem_op)
    }
}

impl Set {
    /// Makes the set with this key, of `count` semaphores at 0; key 0 (`IPC_PRIVATE`) always makes
    /// a new one.
    ///
    /// # Errors
    ///
    /// `EEXIST`: there is one. `EINVAL`: no semaphores, or more than a set may have. `ENOSPC`,
    /// `ENOMEM`: the system has no more room for sets.
    pub fn create(key: i32, count: u16, mode: Mode) -> Result<Self> {
        let bits = c_int::try_from(mode.bits()).map_err(|_| Errno::INVAL)?;
        Self::get(key, count, bits | libc::IPC_CREAT | libc::IPC_EXCL)
    }

    /// The set with this key.
    ///
    /// # Errors
    ///
    /// `ENOENT`: there is none. `EACCES`: not for this user.
    pub fn open(key: i32) -> Result<Self> {
        // IPC_PRIVATE would make a set.
        if key == libc::IPC_PRIVATE {
            return Err(Errno::NOENT);
        }
        Self::get(key, 0, 0)
    }

    fn get(key: i32, count: u16, flags: c_int) -> Result<Self> {
        // SAFETY: the call takes three integers.
        let result = unsafe { libc::semget(key, c_int::from(count), flags) };
        checked(c_long::from(result)).map(|_| Self(result))
    }

    /// The kernel's number for it.
    #[must_use]
    pub const fn id(self) -> i32 {
        self.0
    }

    /// Makes all changes at once; waits until that is possible.
    ///
    /// # Errors
    ///
    /// `EFBIG`: there is no such semaphore. `ERANGE`: a value would pass 32,767. `E2BIG`, `EINVAL`:
    /// too many changes, or none. `EIDRM`: the set was removed. `EINTR`: a signal came. `EACCES`:
    /// not for this user.
    pub fn op(self, ops: &[Op]) -> Result<()> {
        // SAFETY: `Op` is a sembuf, and there are as many as is said; semop only reads them.
        let result = unsafe { libc::semop(self.0, ops.as_ptr().cast_mut().cast(), ops.len()) };
        checked(c_long::from(result)).map(drop)
    }

    /// The value of one semaphore now.
    ///
    /// # Errors
    ///
    /// `EINVAL`: there is no such semaphore, or no set with this number. `EACCES`: not for this
    /// user.
    pub fn value(self, number: u16) -> Result<u16> {
        // SAFETY: GETVAL takes no fourth argument.
        let result = unsafe { libc::semctl(self.0, c_int::from(number), libc::GETVAL) };
        u16::try_from(checked(c_long::from(result))?).map_err(|_| Errno::RANGE)
    }

    /// Removes the set for everybody; sleepers get `EIDRM`.
    ///
    /// # Errors
    ///
    /// `EINVAL`: there is none with this number. `EPERM`: neither owner nor creator.
    pub fn remove(self) -> Result<()> {
        // SAFETY: IPC_RMID takes no fourth argument.
        let result = unsafe { libc::semctl(self.0, 0, libc::IPC_RMID) };
        checked(c_long::from(result)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    //! One set from birth to removal.

    use super::*;

    #[test]
    fn changes_are_made_together_and_the_set_goes() {
        let set = Set::create(libc::IPC_PRIVATE, 2, Mode::RUSR | Mode::WUSR).unwrap();
        set.op(&[Op::new(0, 2), Op::new(1, 1)]).unwrap();
        set.op(&[Op::new(0, -1), Op::new(1, -1)]).unwrap();
        assert_eq!((set.value(0), set.value(1)), (Ok(1), Ok(0)));
        assert_eq!(set.op(&[Op::new(2, 1)]), Err(Errno::FBIG));
        assert_eq!(set.op(&[]), Err(Errno::INVAL));
        assert_eq!(set.remove(), Ok(()));
        assert!(set.value(0).is_err());
        assert_eq!(Set::open(libc::IPC_PRIVATE), Err(Errno::NOENT));
    }
}
