//! What the kernel says of segments, of all of them, and of their limits; and what may be changed.

use std::time::SystemTime;

use strait_sys::sysv_shm;
pub use strait_sys::sysv_shm::{Limits, Usage};

use super::Segment;
use super::fail::{self, Doing};
use crate::error::Result;
use crate::unix::ipc::{Change, Key, Kind, Permissions, facts};

/// What a segment is like at this moment.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stat {
    /// Its id.
    #[doc(alias = "shmid")]
    pub id: i32,
    /// Its key; [`Key::PRIVATE`] also once it was removed.
    pub key: Key,
    /// Whose it is, and who may use it.
    pub permissions: Permissions,
    /// Its size in bytes, as it was asked for.
    #[doc(alias = "shm_segsz")]
    pub size: usize,
    /// How often it is attached, in all processes: not how many processes have it.
    #[doc(alias = "shm_nattch")]
    pub attached: u64,
    /// The process that made it. Its number may be another's by now.
    #[doc(alias = "shm_cpid")]
    pub creator: Option<u32>,
    /// The process that last attached or detached it.
    #[doc(alias = "shm_lpid")]
    pub last: Option<u32>,
    /// When it was last attached, in whole seconds.
    #[doc(alias = "shm_atime")]
    pub attached_at: Option<SystemTime>,
    /// When it was last detached, in whole seconds.
    #[doc(alias = "shm_dtime")]
    pub detached_at: Option<SystemTime>,
    /// When it was made, or last changed by [`Segment::set`].
    #[doc(alias = "shm_ctime")]
    pub changed: Option<SystemTime>,
    /// It was removed, and goes when nobody has it attached any more.
    #[doc(alias = "SHM_DEST")]
    pub removed: bool,
    /// Its pages stay in memory once they are touched.
    #[doc(alias = "SHM_LOCKED")]
    pub locked: bool,
}

impl Stat {
    fn new(stat: &sysv_shm::Stat) -> Self {
        Self {
            id: stat.id,
            key: Key::new(stat.perm.key.cast_unsigned()),
            permissions: Permissions::from(stat.perm),
            size: stat.size,
            attached: stat.attached,
            creator: facts::pid(stat.creator),
            last: facts::pid(stat.last),
            attached_at: facts::time(stat.atime),
            detached_at: facts::time(stat.dtime),
            changed: facts::time(stat.ctime),
            removed: stat.is_going(),
            locked: stat.is_locked(),
        }
    }
}

/// The limits of this IPC namespace.
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) of a kernel without System V IPC.
pub fn limits() -> Result<Limits> {
    sysv_shm::limits().map_err(|errno| Kind::Segment.of_all("read limits of", errno))
}

/// What is in use in this IPC namespace.
///
/// # Errors
/// As [`limits`].
pub fn usage() -> Result<Usage> {
    sysv_shm::usage().map_err(|errno| Kind::Segment.of_all("count", errno))
}

/// All segments of this IPC namespace, by index, also those that this user may not use, and those
/// that were removed and are still attached; on kernels that hide those of others, the rest. A
/// segment that is made or removed meanwhile may or may not be among them.
///
/// # Errors
/// As [`limits`].
pub fn list() -> Result<Vec<Stat>> {
    let found = sysv_shm::list().map_err(|errno| Kind::Segment.of_all("list", errno))?;
    Ok(found.iter().map(Stat::new).collect())
}

impl Segment {
    /// Looks at the segment. Takes read permission only on kernels that hide segments from those
    /// without.
    ///
    /// # Errors
    /// [`ErrorKind::Removed`](crate::ErrorKind::Removed) once it is gone;
    /// [`ErrorKind::Denied`](crate::ErrorKind::Denied), as above.
    #[doc(alias = "IPC_STAT")]
    pub fn stat(&self) -> Result<Stat> {
        self.look(Doing::Stat).map(|stat| Stat::new(&stat))
    }

    pub(super) fn look(&self, doing: Doing) -> Result<sysv_shm::Stat> {
        let found = self.raw.stat_any().or_else(|_| self.raw.stat());
        found.map_err(|errno| fail::of(self, errno, doing))
    }

    /// Changes owner, group and mode. Of two that do so at once, the later one also undoes what the
    /// earlier one changed and it did not mean to: the kernel sets all or nothing. Who has it
    /// attached keeps it.
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
