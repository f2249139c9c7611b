//! What System V's queues, semaphores and shared memory share: keys and permissions.
//!
//! An object of System V is found by its *key*, a number of 32 bits that programs agree on, and
//! used by its *id*, a number that the kernel gives out and gives out again. It has no descriptor
//! and no handle: it stays until it is removed, whoever dies, and with `RemoveIPC=yes`
//! (`logind.conf(5)`) until the user has logged out. Keys and ids hold within one IPC namespace
//! (`ipc_namespaces(7)`): a container sees its own only. The times that the kernel notes of an
//! object are whole seconds, in 64 bits on every machine that Strait runs on: they go on after
//! 2038.
//!
//! # Which key
//!
//! | how | for | danger |
//! | --- | --- | --- |
//! | [`Key::PRIVATE`] | a parent and its children, who pass the id on | none: nobody finds it by key |
//! | [`Key::new`] | a number written into both programs | another program has the same idea |
//! | [`Key::from_path`] | meeting a program that calls `ftok(3)` | 16 bits of the inode and 8 of the device: two files may give one key, without a word; a file made anew gives another |
//! | [`Key::derive`] | your own programs, by a name | among 77,000 names, two meet with even odds |
//!
//! [`distinct`] tells whether the keys that a program uses collide among themselves.
//!
//! ```
//! use strait::unix::ipc::{self, Key};
//!
//! let orders = Key::derive("orders");
//! let bills = Key::derive("bills");
//! ipc::distinct(&[("orders", orders), ("bills", bills)])?;
//! assert_eq!(orders, Key::derive("orders"));
//! # Ok::<(), strait::Error>(())
//! ```

pub(in crate::unix) mod facts;
mod kind;

use std::fmt;
use std::num::NonZeroU8;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use strait_sys::Errno;
use strait_sys::sysv::Perm;

pub use self::facts::Change;
pub use self::kind::Kind;
use crate::error::{Error, ErrorKind, Result};

/// What programs agree on to find a System V object.
#[derive(Copy, Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key(i32);

impl Key {
    /// A new object that no key finds (`IPC_PRIVATE`).
    pub const PRIVATE: Self = Self(0);

    /// The key of that number; 0 is [`Key::PRIVATE`].
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number.cast_signed())
    }

    /// The key that `ftok(3)` makes of a file and a number: the low 16 bits of the inode, the low 8
    /// of the device, and the number. Only the low 8 bits of ftok's number count, and 0 is
    /// undefined there, so that it is refused by the type here.
    ///
    /// # Errors
    /// As stat(2) has it: [`ErrorKind::NotFound`] if there is no such file, [`ErrorKind::Denied`]
    /// if a directory on the way may not be searched.
    #[doc(alias = "ftok")]
    pub fn from_path(path: impl AsRef<Path>, project: NonZeroU8) -> Result<Self> {
        let path = path.as_ref();
        let meta = std::fs::metadata(path).map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            Error::kernel(errno, "make key", path.display().to_string())
        })?;
        let inode = meta.ino() & 0xffff;
        let device = (meta.dev() & 0xff) << 16;
        let number = u32::try_from(inode | device).unwrap_or(0) | u32::from(project.get()) << 24;
        Ok(Self::new(number))
    }

    /// A key made of a name, the same on every machine: 32 bits of its FNV-1a hash, never 0.
    #[must_use]
    pub fn derive(name: &str) -> Self {
        let fold = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        let hash = name.as_bytes().iter().fold(0x811c_9dc5, fold);
        Self::new(if hash == 0 { 1 } else { hash })
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0.cast_unsigned()
    }

    /// Whether it is [`Key::PRIVATE`], which finds nothing.
    #[must_use]
    pub const fn is_private(self) -> bool {
        self.0 == 0
    }

    /// As the kernel takes it.
    pub(in crate::unix) const fn raw(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_private() {
            return f.write_str("private");
        }
        write!(f, "{:#010x}", self.number())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// Checks that no two of the named keys are the same. Ask for all keys of a program once, where it
/// starts: a collision shows as messages of another kind, not as an error.
///
/// # Errors
/// [`ErrorKind::Exists`], naming the two.
pub fn distinct(keys: &[(&str, Key)]) -> Result<()> {
    for (at, (name, key)) in keys.iter().enumerate() {
        let twin = keys[..at].iter().find(|(_, other)| other == key);
        if let Some((twin, _)) = twin.filter(|_| !key.is_private()) {
            let why = format!("{twin} has the same key {key}: choose another name or number");
            return Err(Error::new(ErrorKind::Exists, "make key", *name).because(why));
        }
    }
    Ok(())
}

/// Who owns a System V object, and who may read and write it.
#[derive(Copy, Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct Permissions {
    /// The owner: may change and remove it.
    pub uid: u32,
    /// The owner's group.
    pub gid: u32,
    /// Who created it: has the owner's powers for ever.
    pub creator_uid: u32,
    /// The creator's group.
    pub creator_gid: u32,
    /// Read (4) and write (2) for owner, group and others, in octal digits as for files; execute
    /// means nothing.
    pub mode: u16,
}

impl From<Perm> for Permissions {
    fn from(perm: Perm) -> Self {
        Self {
            uid: perm.uid,
            gid: perm.gid,
            creator_uid: perm.cuid,
            creator_gid: perm.cgid,
            mode: perm.mode & 0o777,
        }
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permissions")
            .field("uid", &self.uid)
            .field("gid", &self.gid)
            .field("creator_uid", &self.creator_uid)
            .field("creator_gid", &self.creator_gid)
            .field("mode", &format_args!("{:#o}", self.mode))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[test]
    fn a_key_of_a_file_is_ftoks() {
        let meta = std::fs::metadata("/").unwrap();
        let key = Key::from_path("/", NonZeroU8::new(0x51).unwrap()).unwrap();
        assert_eq!(key.number() >> 24, 0x51);
        assert_eq!(u64::from(key.number() & 0xffff), meta.ino() & 0xffff);
        assert_eq!(u64::from(key.number() >> 16 & 0xff), meta.dev() & 0xff);
        let missing = Key::from_path("/no/such/file", NonZeroU8::MIN).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert_eq!(missing.subject(), "/no/such/file");
    }

    #[test]
    fn names_give_the_published_hash() {
        // The test vectors of FNV-1a, 32 bits.
        assert_eq!(Key::derive("").number(), 0x811c_9dc5);
        assert_eq!(Key::derive("foobar").number(), 0xbf9c_f968);
    }

    #[test]
    fn keys_and_modes_are_shown_as_they_are_written() {
        assert_eq!(format!("{:?}", Key::new(0xffff_5100)), "Key(0xffff5100)");
        assert_eq!(format!("{:?}", Key::PRIVATE), "Key(private)");
        let perm = Perm {
            key: 1,
            uid: 10,
            gid: 20,
            cuid: 30,
            cgid: 40,
            mode: 0o1640,
            seq: 0,
        };
        let shown = format!("{:?}", Permissions::from(perm));
        assert!(shown.ends_with("creator_gid: 40, mode: 0o640 }"), "{shown}");
        let change = format!("{:?}", Change::new().mode(0o640));
        assert!(change.ends_with("mode: Some(0o640) }"), "{change}");
    }

    #[test]
    fn times_after_2038_are_kept() {
        use std::time::{Duration, SystemTime};
        let late = (1 << 32) + 99_999_999;
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(late);
        assert_eq!(facts::time(late.try_into().unwrap()), Some(time));
        assert_eq!((facts::time(0), facts::time(-1)), (None, None));
    }

    #[test]
    fn keys_that_meet_are_named() {
        let key = Key::new(7);
        assert!(distinct(&[("a", key), ("b", Key::new(8))]).is_ok());
        assert!(distinct(&[("a", Key::PRIVATE), ("b", Key::PRIVATE)]).is_ok());
        let error = distinct(&[("a", key), ("b", key)]).unwrap_err();
        assert_eq!(error.subject(), "b");
        assert!(error.why().contains('a'), "{error}");
    }
}
