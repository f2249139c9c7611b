//! The three kinds of System V objects: what they are called, and what a failure means of each.

use std::fmt;

use strait_sys::Errno;

use super::Key;
use crate::error::{Error, ErrorKind, Result};

/// What kind of System V object. Each kind has keys and ids of its own.
#[derive(Copy, Clone, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// A [queue](crate::unix::msg) of messages.
    Queue,
    /// A [set](crate::unix::sem) of semaphores.
    Set,
    /// A [segment](crate::unix::shm) of shared memory.
    Segment,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queue => "message queue",
            Self::Set => "semaphore set",
            Self::Segment => "shared memory segment",
        })
    }
}

impl Kind {
    /// The object of that key, in messages.
    pub(in crate::unix) fn of_key(self, key: Key) -> String {
        match key.is_private() {
            true => format!("private {self}"),
            false => format!("{self} {key}"),
        }
    }

    /// The object of that key and id, in messages.
    pub(in crate::unix) fn of_id(self, key: Key, id: i32) -> String {
        format!("{} (id {id})", self.of_key(key))
    }

    /// The key as the kernel takes it, to find an object by.
    pub(in crate::unix) fn findable(self, key: Key) -> Result<i32> {
        if key.is_private() {
            let error = Error::new(ErrorKind::InvalidInput, "open", self.of_key(key));
            return Err(error.because("it has no key to be found by: open it by its id"));
        }
        Ok(key.raw())
    }

    /// Why an object that was there cannot be used any more.
    pub(in crate::unix) fn gone(self) -> String {
        format!("no {self} has that id any more; one made anew with the same key has another")
    }

    /// The error of finding or making the object of a key.
    #[cold]
    pub(in crate::unix) fn refused(self, operation: &'static str, key: Key, errno: Errno) -> Error {
        explained(errno, Error::kernel(errno, operation, self.of_key(key)))
    }

    /// The error of a question about all objects of this kind.
    #[cold]
    pub(in crate::unix) fn of_all(self, operation: &'static str, errno: Errno) -> Error {
        explained(errno, Error::kernel(errno, operation, format!("{self}s")))
    }

    /// Others make and remove the object of this key as often as this process looks for it.
    #[cold]
    pub(in crate::unix) fn comes_and_goes(self, key: Key) -> Error {
        Error::new(ErrorKind::Busy, "create", self.of_key(key))
            .because("others make and remove it all the time")
    }
}

fn explained(errno: Errno, error: Error) -> Error {
    match errno {
        Errno::NOSYS => error.because("this kernel was built without CONFIG_SYSVIPC"),
        Errno::ACCESS => error.because("its owner does not let this user use it"),
        _ => error,
    }
}
