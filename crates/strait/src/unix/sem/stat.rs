//! What the kernel says of sets, of all of them, and of their limits; and what may be changed.

use std::time::SystemTime;

use strait_sys::sysv_sem;
pub use strait_sys::sysv_sem::{Limits, Usage};

use super::Set;
use super::fail::{self, Doing};
use crate::error::Result;
use crate::unix::ipc::{Change, Key, Kind, Permissions, facts};

/// What a set is like at this moment.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stat {
    /// Its id.
    #[doc(alias = "semid")]
    pub id: i32,
    /// Its key.
    pub key: Key,
    /// Whose it is, and who may use it.
    pub permissions: Permissions,
    /// How many semaphores it has.
    #[doc(alias = "sem_nsems")]
    pub count: usize,
    /// When an operation last succeeded, in whole seconds; `None`: none ever did, so that its
    /// creator has not [published](Set::create_or_open) it. Setting values does not count.
    #[doc(alias = "sem_otime")]
    pub operated: Option<SystemTime>,
    /// When it was made, last changed, or a value was last set.
    #[doc(alias = "sem_ctime")]
    pub changed: Option<SystemTime>,
}

impl Stat {
    fn new(stat: &sysv_sem::Stat) -> Self {
        Self {
            id: stat.id,
            key: Key::new(stat.perm.key.cast_unsigned()),
            permissions: Permissions::from(stat.perm),
            count: stat.count,
            operated: facts::time(stat.otime),
            changed: facts::time(stat.ctime),
        }
    }
}

/// What one semaphore is like at this moment.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Semaphore {
    /// Its units: 0 to 32,767.
    #[doc(alias = "GETVAL")]
    pub value: u16,
    /// The process that last changed it, also by an undo at its end: then it is dead, and its
    /// number may be another's by now. Nobody holds a semaphore as far as the kernel knows.
    #[doc(alias = "GETPID")]
    pub last: Option<u32>,
    /// Calls that wait for units of it.
    #[doc(alias = "GETNCNT")]
    pub takers: u32,
    /// Calls that wait for it to be 0.
    #[doc(alias = "GETZCNT")]
    pub zero_waiters: u32,
}

/// The limits of this IPC namespace.
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) of a kernel without System V IPC.
pub fn limits() -> Result<Limits> {
    sysv_sem::limits().map_err(|errno| Kind::Set.of_all("read limits of", errno))
}

/// What is in use in this IPC namespace.
///
/// # Errors
/// As [`limits`].
pub fn usage() -> Result<Usage> {
    sysv_sem::usage().map_err(|errno| Kind::Set.of_all("count", errno))
}

/// All sets of this IPC namespace, by index, also those that this user may not use; on kernels that
/// hide those, the others. A set that is made or removed meanwhile may or may not be among them.
///
/// # Errors
/// As [`limits`].
pub fn list() -> Result<Vec<Stat>> {
    let found = sysv_sem::list().map_err(|errno| Kind::Set.of_all("list", errno))?;
    Ok(found.iter().map(Stat::new).collect())
}

impl Set {
    /// Looks at the set. Takes read permission only on kernels that hide sets from those without.
    ///
    /// # Errors
    /// [`ErrorKind::Removed`](crate::ErrorKind::Removed);
    /// [`ErrorKind::Denied`](crate::ErrorKind::Denied), as above.
    #[doc(alias = "IPC_STAT")]
    pub fn stat(&self) -> Result<Stat> {
        self.look(Doing::Stat).map(|stat| Stat::new(&stat))
    }

    pub(super) fn look(&self, doing: Doing) -> Result<sysv_sem::Stat> {
        let found = self.raw.stat_any().or_else(|_| self.raw.stat());
        found.map_err(|errno| fail::of(self, errno, doing))
    }

    /// Looks at one semaphore: four calls, between which others may come.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if there is no such semaphore;
    /// [`ErrorKind::Denied`](crate::ErrorKind::Denied) without read permission;
    /// [`ErrorKind::Removed`](crate::ErrorKind::Removed).
    pub fn semaphore(&self, number: u16) -> Result<Semaphore> {
        let look = || {
            Ok(Semaphore {
                value: self.raw.value(number)?,
                last: facts::pid(self.raw.pid(number)?),
                takers: self.raw.takers(number)?,
                zero_waiters: self.raw.zero_waiters(number)?,
            })
        };
        look().map_err(|errno| fail::of(self, errno, Doing::Read))
    }

    /// Changes owner, group and mode. Of two that do so at once, the later one also undoes what the
    /// earlier one changed and it did not mean to: the kernel sets all or nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`](crate::ErrorKind::Denied) for others than owner, creator and
    /// CAP_SYS_ADMIN; [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a mode with
    /// other bits than read and write; [`ErrorKind::Removed`](crate::ErrorKind::Removed).
    #[doc(alias = "IPC_SET")]
    pub fn set(&self, change: Change) -> Result<()> {
        let now = self.look(Doing::Change)?;
        let (uid, gid, mode) = change.over(&now.perm, || fail::subject(self))?;
        let result = self.raw.set_owner(uid, gid, mode);
        result.map_err(|errno| fail::of(self, errno, Doing::Change))
    }
}
