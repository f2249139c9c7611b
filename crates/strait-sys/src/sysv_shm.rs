//! System V shared memory: `shmget(2)`, `shmat(2)`, `shmctl(2)`.
//!
//! A segment is a number, not a descriptor: it lives until it is [removed](Segment::remove) and
//! nobody has it attached any more. Attached it is a [`Map`].

use core::ffi::{c_int, c_long, c_ulong};
use core::mem::MaybeUninit;
use core::ptr::null;

use rustix::fs::Mode;

use crate::map::{Access, Map};
use crate::sysv::Perm;
use crate::{Errno, Result, checked};

// include/uapi/linux/shm.h; libc has none of them for Linux.
const SHM_STAT: c_int = 13;
const SHM_INFO: c_int = 14;
const SHM_STAT_ANY: c_int = 15;
const SHM_DEST: u16 = 0o1000;
const SHM_LOCKED: u16 = 0o2000;
const SHM_HUGE_SHIFT: u32 = 26;
/// A power of two has 6 bits there.
const HUGE_MAX: u8 = 63;

/// A segment in the kernel, by its number.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Segment(c_int);

/// What memory a new segment is of.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct Memory {
    /// Huge pages of this power of two in bytes; 0 for the system's usual size (SHM_HUGETLB).
    pub huge: Option<u8>,
    /// Promised without being set aside (SHM_NORESERVE).
    pub unreserved: bool,
}

/// What the kernel tells of a segment.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Stat {
    /// Its number.
    pub id: i32,
    /// Who owns it.
    pub perm: Perm,
    /// Its size in bytes, as it was asked for.
    pub size: usize,
    /// How often it is attached, in all processes.
    pub attached: u64,
    /// Who made it.
    pub creator: i32,
    /// Who last attached or detached it; 0 if nobody did.
    pub last: i32,
    /// When it was last attached, in seconds since 1970; 0 if never.
    pub atime: i64,
    /// When it was last detached; 0 if never.
    pub dtime: i64,
    /// When it was made, or last changed otherwise.
    pub ctime: i64,
}

impl Stat {
    /// It was removed, and goes when nobody has it attached any more.
    #[must_use]
    pub const fn is_going(&self) -> bool {
        self.perm.mode & SHM_DEST != 0
    }

    /// It is locked in memory.
    #[must_use]
    pub const fn is_locked(&self) -> bool {
        self.perm.mode & SHM_LOCKED != 0
    }
}

/// The limits of this IPC namespace.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// The most bytes of a segment (sysctl `kernel.shmmax`; as good as none unless changed).
    #[doc(alias = "shmmax")]
    pub size: u64,
    /// The most pages of all segments (`kernel.shmall`; as good as none unless changed).
    #[doc(alias = "shmall")]
    pub pages: u64,
    /// The most segments (`kernel.shmmni`; 4,096 unless changed).
    #[doc(alias = "shmmni")]
    pub segments: u64,
}

/// What is in use in this IPC namespace.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Usage {
    /// Segments.
    pub segments: u32,
    /// Pages of all of them, touched or not.
    pub pages: u64,
    /// Of these, in memory.
    pub resident: u64,
    /// Of these, swapped out.
    pub swapped: u64,
}

/// `struct shminfo64`, include/uapi/asm-generic/shmbuf.h.
#[repr(C)]
struct Info {
    max: c_ulong,
    min: c_ulong,
    segments: c_ulong,
    per_process: c_ulong,
    all: c_ulong,
    unused: [c_ulong; 4],
}

/// `struct shm_info`, include/uapi/linux/shm.h.
#[repr(C)]
struct InUse {
    ids: c_int,
    total: c_ulong,
    resident: c_ulong,
    swapped: c_ulong,
    unused: [c_ulong; 2],
}

/// The limits of this IPC namespace.
///
/// # Errors
///
/// None that `shmctl(2)` documents for this question.
pub fn limits() -> Result<Limits> {
    let mut info = MaybeUninit::<Info>::zeroed();
    // SAFETY: for IPC_INFO the third argument points to a shminfo64, which is written.
    let result = unsafe { libc::shmctl(0, libc::IPC_INFO, info.as_mut_ptr().cast()) };
    checked(c_long::from(result))?;
    // SAFETY: integers, for which zero is valid.
    let info = unsafe { info.assume_init() };
    Ok(Limits {
        size: info.max,
        pages: info.all,
        segments: info.segments,
    })
}

/// What is in use in this IPC namespace.
///
/// # Errors
///
/// As [`limits`].
pub fn usage() -> Result<Usage> {
    in_use().map(|(usage, _)| usage)
}

/// The same, and the highest place in use.
fn in_use() -> Result<(Usage, c_int)> {
    let mut info = MaybeUninit::<InUse>::zeroed();
    // SAFETY: for SHM_INFO the third argument points to a shm_info, which is written.
    let result = unsafe { libc::shmctl(0, SHM_INFO, info.as_mut_ptr().cast()) };
    checked(c_long::from(result))?;
    // SAFETY: integers, for which zero is valid.
    let info = unsafe { info.assume_init() };
    let usage = Usage {
        segments: info.ids.cast_unsigned(),
        pages: info.total,
        resident: info.resident,
        swapped: info.swapped,
    };
    Ok((usage, result))
}

/// All segments of this IPC namespace, also those that this process may not read.
///
/// A segment made or removed meanwhile may or may not be among them.
///
/// # Errors
///
/// As [`limits`].
pub fn list() -> Result<Vec<Stat>> {
    let (usage, highest) = in_use()?;
    let all = |command| -> Vec<Stat> {
        let stat = |place| stat(place, command).ok();
        (0..=highest).filter_map(stat).collect()
    };
    let found = all(SHM_STAT_ANY);
    // Where a sandbox's kernel knows only the older command, those that may be read.
    if found.is_empty() && usage.segments > 0 {
        return Ok(all(SHM_STAT));
    }
    Ok(found)
}

/// The segment at a place of the kernel's table, or with a number (IPC_STAT).
fn stat(place: c_int, command: c_int) -> Result<Stat> {
    let mut facts = MaybeUninit::<libc::shmid_ds>::zeroed();
    // SAFETY: for these commands the third argument points to a shmid_ds, which is written.
    let result = unsafe { libc::shmctl(place, command, facts.as_mut_ptr()) };
    checked(c_long::from(result))?;
    // SAFETY: integers, for which zero is valid.
    let facts = unsafe { facts.assume_init() };
    let id = if command == libc::IPC_STAT {
        place
    } else {
        result
    };
    Ok(told(id, &facts))
}

fn told(id: i32, facts: &libc::shmid_ds) -> Stat {
    Stat {
        id,
        perm: Perm::from(&facts.shm_perm),
        size: facts.shm_segsz,
        attached: facts.shm_nattch,
        creator: facts.shm_cpid,
        last: facts.shm_lpid,
        atime: facts.shm_atime,
        dtime: facts.shm_dtime,
        ctime: facts.shm_ctime,
    }
}

impl Segment {
    /// The segment with this number, if there is one.
    #[must_use]
    pub const fn from_id(id: i32) -> Self {
        Self(id)
    }

    /// Makes the segment with this key, of `size` zeroed bytes; key 0 (`IPC_PRIVATE`) always makes
    /// a new one.
    ///
    /// # Errors
    ///
    /// `EEXIST`: there is one. `EINVAL`: no bytes, or more than a segment may have, or huge pages
    /// of a size that there is not. `ENOSPC`, `ENOMEM`, `ENFILE`: the system has no more room.
    /// `EPERM`: huge pages are not for this user.
    pub fn create(key: i32, size: usize, mode: Mode, memory: Memory) -> Result<Self> {
        let mut flags = c_int::try_from(mode.bits() & 0o777).map_err(|_| Errno::INVAL)?;
        if let Some(power) = memory.huge {
            if power > HUGE_MAX {
                return Err(Errno::INVAL);
            }
            flags |= libc::SHM_HUGETLB;
            flags |= (u32::from(power) << SHM_HUGE_SHIFT).cast_signed();
        }
        if memory.unreserved {
            flags |= libc::SHM_NORESERVE;
        }
        Self::get(key, size, flags | libc::IPC_CREAT | libc::IPC_EXCL)
    }

    /// The segment with this key.
    ///
    /// # Errors
    ///
    /// `ENOENT`: there is none. `EACCES`: not for this user.
    pub fn open(key: i32) -> Result<Self> {
        // IPC_PRIVATE would make a segment.
        if key == libc::IPC_PRIVATE {
            return Err(Errno::NOENT);
        }
        Self::get(key, 0, 0)
    }

    fn get(key: i32, size: usize, flags: c_int) -> Result<Self> {
        // SAFETY: the call takes three integers.
        let result = unsafe { libc::shmget(key, size, flags) };
        checked(c_long::from(result)).map(|_| Self(result))
    }

    /// The kernel's number for it.
    #[must_use]
    pub const fn id(self) -> i32 {
        self.0
    }

    /// Maps all of it, at a place of the kernel's choice. Detached with the last clone of the map.
    ///
    /// # Errors
    ///
    /// `EACCES`: not for this user. `EINVAL`, `EIDRM`: there is none with this number. `ENOMEM`: no
    /// room for the mapping.
    pub fn attach(self, access: Access) -> Result<Map> {
        let flags = match access {
            Access::Read => libc::SHM_RDONLY,
            Access::Write => 0,
        };
        // SAFETY: a new mapping at a place of the kernel's choice touches no existing memory.
        let base = unsafe { libc::shmat(self.0, null(), flags) };
        if base.addr() == usize::MAX {
            return Err(crate::last_errno());
        }
        // Its size is asked for now: while it is attached, nothing else can get its number. What
        // was known before might be the size of another segment.
        match self.stat() {
            // SAFETY: attached just now for this access, and so large.
            Ok(stat) => unsafe { Map::attached(base.cast(), stat.size, access) },
            Err(errno) => {
                // SAFETY: attached just now, and known to nobody else.
                unsafe { libc::shmdt(base) };
                Err(errno)
            }
        }
    }

    /// Who owns it, and the rest.
    ///
    /// # Errors
    ///
    /// `EINVAL`, `EIDRM`: there is none with this number. `EACCES`: not for this user to read.
    pub fn stat(self) -> Result<Stat> {
        stat(self.0, libc::IPC_STAT)
    }

    /// The same, also for those who may not read it.
    ///
    /// # Errors
    ///
    /// `EINVAL`: there is no segment with this number.
    pub fn stat_any(self) -> Result<Stat> {
        // The kernel finds the place of a number, and says which number is there.
        let found = stat(self.0, SHM_STAT_ANY)?;
        Some(found)
            .filter(|found| found.id == self.0)
            .ok_or(Errno::INVAL)
    }

    /// Gives it to this user and group, with this mode.
    ///
    /// # Errors
    ///
    /// `EPERM`: neither owner nor creator. `EINVAL`: there is none with this number.
    pub fn set_owner(self, uid: u32, gid: u32, mode: Mode) -> Result<()> {
        // SAFETY: integers, for which zero is valid.
        let mut facts: libc::shmid_ds = unsafe { MaybeUninit::zeroed().assume_init() };
        facts.shm_perm.uid = uid;
        facts.shm_perm.gid = gid;
        // The field has 16 bits on some machines and 32 on others.
        facts.shm_perm.mode = (mode.bits() & 0o777) as _;
        // SAFETY: IPC_SET takes a shmid_ds, which is read.
        let result = unsafe { libc::shmctl(self.0, libc::IPC_SET, &raw mut facts) };
        checked(c_long::from(result)).map(drop)
    }

    /// Keeps its pages in memory once they are touched.
    ///
    /// # Errors
    ///
    /// `EPERM`: neither its owner nor its creator, or no memory may be locked (RLIMIT_MEMLOCK).
    /// `ENOMEM`: more than may be locked. `EINVAL`: there is none with this number.
    pub fn lock(self) -> Result<()> {
        self.command(libc::SHM_LOCK)
    }

    /// Lets its pages be swapped out again.
    ///
    /// # Errors
    ///
    /// As for [`Segment::lock`].
    pub fn unlock(self) -> Result<()> {
        self.command(libc::SHM_UNLOCK)
    }

    /// Removes its key; it goes when nobody has it attached any more.
    ///
    /// # Errors
    ///
    /// `EINVAL`: there is none with this number. `EPERM`: neither owner nor creator.
    pub fn remove(self) -> Result<()> {
        self.command(libc::IPC_RMID)
    }

    fn command(self, command: c_int) -> Result<()> {
        // SAFETY: SHM_LOCK, SHM_UNLOCK and IPC_RMID take no third argument.
        let result = unsafe { libc::shmctl(self.0, command, core::ptr::null_mut()) };
        checked(c_long::from(result)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    //! Segments from birth to removal, in this process.

    use core::sync::atomic::Ordering::Relaxed;

    use super::*;
    use crate::sysv::LATE;

    const MODE: Mode = Mode::RUSR.union(Mode::WUSR);

    fn fresh(size: usize, memory: Memory) -> Segment {
        Segment::create(libc::IPC_PRIVATE, size, MODE, memory).unwrap()
    }

    #[test]
    fn a_segment_is_attached_and_goes_after_the_last_map() {
        let segment = fresh(5000, Memory::default());
        let map = segment.attach(Access::Write).unwrap();
        let looks = segment.attach(Access::Read).unwrap();
        assert_eq!((map.len(), looks.len()), (5000, 5000));
        assert!(map.write(4998, b"ab") && !map.write(4999, b"ab") && !looks.write(0, b"a"));
        let mut read = [0; 2];
        assert!(looks.read(4998, &mut read));
        assert_eq!(&read, b"ab");
        let stat = segment.stat().unwrap();
        assert_eq!(
            (stat.size, stat.attached, stat.is_going()),
            (5000, 2, false)
        );
        assert_eq!(stat.creator, std::process::id().cast_signed());
        assert!(list().unwrap().contains(&stat));
        assert!(usage().unwrap().pages >= 2 && limits().unwrap().segments >= 1);
        segment.remove().unwrap();
        assert!(segment.stat().unwrap().is_going());
        drop(looks);
        assert_eq!(segment.stat().unwrap().attached, 1);
        drop(map);
        assert!(segment.stat().is_err());
    }

    #[test]
    fn times_after_2038_are_read() {
        // SAFETY: integers, for which zero is valid.
        let mut facts: libc::shmid_ds = unsafe { MaybeUninit::zeroed().assume_init() };
        facts.shm_atime = LATE;
        (facts.shm_dtime, facts.shm_ctime) = (LATE + 1, LATE + 2);
        let stat = told(7, &facts);
        let times = (stat.atime, stat.dtime, stat.ctime);
        assert_eq!(times, (LATE, LATE + 1, LATE + 2));
    }

    #[test]
    fn huge_pages_that_are_not_there_break_the_map_and_nothing_else() {
        let memory = Memory {
            huge: Some(0),
            unreserved: true,
        };
        let size = 5 << 20;
        let segment = match Segment::create(libc::IPC_PRIVATE, size, MODE, memory) {
            Ok(segment) => segment,
            Err(errno) => return eprintln!("skipped: no huge pages: {errno}"),
        };
        let map = segment.attach(Access::Write).unwrap();
        let beside = segment.attach(Access::Write).unwrap();
        segment.remove().unwrap();
        assert_eq!(map.len(), size);
        map.word::<u64>(3 << 20).unwrap().store(7, Relaxed);
        if !map.is_broken() {
            return eprintln!("skipped: this machine has huge pages set aside");
        }
        assert_eq!(map.look::<u64>(3 << 20).unwrap().load(Relaxed), 7);
        assert_eq!(map.look::<u64>(size - 8).unwrap().load(Relaxed), 0);
        assert!(!beside.is_broken());
        assert_eq!(segment.stat().unwrap().attached, 1);
        drop((map, beside));
        assert!(segment.stat().is_err());
    }
}
