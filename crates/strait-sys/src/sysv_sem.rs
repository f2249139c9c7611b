//! System V semaphore sets: `semget(2)`, `semop(2)`, `semctl(2)`.
//!
//! A set is a number, not a descriptor: it lives until it is [removed](Set::remove), whoever made
//! it. One call changes several of its semaphores together or none.

use core::ffi::{c_int, c_long, c_void};
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use core::time::Duration;

use rustix::fs::Mode;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

use crate::sysv::Perm;
use crate::time::timespec;
use crate::{Errno, Result, checked};

/// The most units a semaphore holds (SEMVMX).
pub const VALUE_MAX: u16 = 32_767;

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

    /// The semaphore it is about, counted from 0.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0.sem_num
    }

    /// What it adds; 0 for one that waits for zero.
    #[must_use]
    pub const fn change(self) -> i16 {
        self.0.sem_op
    }

    /// The same of `units` units instead of one. What waits for zero stays as it is.
    ///
    /// # Panics
    /// If `units` is 0, or more than the 32,767 that a semaphore holds.
    #[must_use]
    pub const fn by(mut self, units: u16) -> Self {
        assert!(units > 0 && units <= VALUE_MAX, "1 to 32,767 units");
        self.0.sem_op = self.0.sem_op.signum() * units.cast_signed();
        self
    }

    /// Undone by the kernel when this process ends, however it ends (SEM_UNDO).
    #[must_use]
    #[doc(alias = "SEM_UNDO")]
    pub const fn undo(mut self) -> Self {
        self.0.sem_flg |= UNDO;
        self
    }

    /// If this one would have to wait, the whole call fails with `EAGAIN` (IPC_NOWAIT).
    #[must_use]
    #[doc(alias = "IPC_NOWAIT")]
    pub const fn nowait(mut self) -> Self {
        self.0.sem_flg |= NOWAIT;
        self
    }

    /// Without undo and nowait.
    #[must_use]
    pub const fn bare(self) -> Self {
        Self::new(self.0.sem_num, self.0.sem_op)
    }

    /// What takes it back, without undo and nowait; `None` if it changes nothing.
    #[must_use]
    pub const fn inverse(self) -> Option<Self> {
        match self.0.sem_op {
            0 => None,
            change => Some(Self::new(self.0.sem_num, change.saturating_neg())),
        }
    }
}

/// The flags as they lie in a `sembuf`.
const UNDO: i16 = 0x1000;
const NOWAIT: i16 = 0o4000;
const _: () = assert!(UNDO as c_int == libc::SEM_UNDO && NOWAIT as c_int == libc::IPC_NOWAIT);

impl core::fmt::Debug for Op {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Op({}: {:+}", self.0.sem_num, self.0.sem_op)?;
        for (flag, word) in [(UNDO, ", undo"), (NOWAIT, ", nowait")] {
            if self.0.sem_flg & flag != 0 {
                f.write_str(word)?;
            }
        }
        f.write_str(")")
    }
}

/// What the kernel tells of a set.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Stat {
    /// Its number.
    pub id: i32,
    /// Who owns it.
    pub perm: Perm,
    /// How many semaphores it has.
    pub count: usize,
    /// When semop last changed it, in seconds since 1970; 0 if never.
    pub otime: i64,
    /// When it was made, or last changed otherwise.
    pub ctime: i64,
}

/// The limits of this IPC namespace (sysctl `kernel.sem`).
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// The most sets (SEMMNI; 32,000 unless changed).
    #[doc(alias = "semmni")]
    pub sets: u32,
    /// The most semaphores in all sets (SEMMNS; 1,024,000,000 unless changed).
    #[doc(alias = "semmns")]
    pub semaphores: u32,
    /// The most semaphores in one set (SEMMSL; 32,000 unless changed).
    #[doc(alias = "semmsl")]
    pub per_set: u32,
    /// The most operations in one call (SEMOPM; 500 unless changed).
    #[doc(alias = "semopm")]
    pub ops: u32,
    /// The most units of a semaphore (SEMVMX; 32,767 always).
    #[doc(alias = "semvmx")]
    pub value: u32,
}

/// What is in use in this IPC namespace.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Usage {
    /// Sets.
    pub sets: u32,
    /// Semaphores in all of them.
    pub semaphores: u32,
}

/// The limits of this IPC namespace.
///
/// # Errors
///
/// None that `semctl(2)` documents for this question.
pub fn limits() -> Result<Limits> {
    let (info, _) = info(libc::IPC_INFO)?;
    Ok(Limits {
        sets: info.semmni.cast_unsigned(),
        semaphores: info.semmns.cast_unsigned(),
        per_set: info.semmsl.cast_unsigned(),
        ops: info.semopm.cast_unsigned(),
        value: info.semvmx.cast_unsigned(),
    })
}

/// What is in use in this IPC namespace.
///
/// # Errors
///
/// As [`limits`].
pub fn usage() -> Result<Usage> {
    let (info, _) = info(libc::SEM_INFO)?;
    // `semctl(2)`: with SEM_INFO these two fields have this meaning.
    Ok(Usage {
        sets: info.semusz.cast_unsigned(),
        semaphores: info.semaem.cast_unsigned(),
    })
}

/// The answer to IPC_INFO or SEM_INFO, and the highest place in use.
fn info(command: c_int) -> Result<(libc::seminfo, c_int)> {
    let mut info = MaybeUninit::<libc::seminfo>::zeroed();
    // SAFETY: for these commands the fourth argument points to a seminfo, which is written.
    let result = unsafe { libc::semctl(0, 0, command, info.as_mut_ptr()) };
    checked(c_long::from(result))?;
    // SAFETY: integers, for which zero is valid.
    Ok((unsafe { info.assume_init() }, result))
}

/// All sets of this IPC namespace, also those that this process may not read.
///
/// A set made or removed meanwhile may or may not be among them.
///
/// # Errors
///
/// As [`limits`].
pub fn list() -> Result<Vec<Stat>> {
    let (_, highest) = info(libc::SEM_INFO)?;
    let all = |command| -> Vec<Stat> {
        let stat = |place| stat(place, command).ok();
        (0..=highest).filter_map(stat).collect()
    };
    let found = all(libc::SEM_STAT_ANY);
    // Where a sandbox's kernel knows only the older command, those that may be read.
    if found.is_empty() && usage()?.sets > 0 {
        return Ok(all(libc::SEM_STAT));
    }
    Ok(found)
}

/// The set at a place of the kernel's table (SEM_STAT, SEM_STAT_ANY), or with a number (IPC_STAT).
fn stat(place: c_int, command: c_int) -> Result<Stat> {
    let mut facts = MaybeUninit::<libc::semid_ds>::zeroed();
    // SAFETY: for these commands the fourth argument points to a semid_ds, which is written.
    let result = unsafe { libc::semctl(place, 0, command, facts.as_mut_ptr()) };
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

fn told(id: i32, facts: &libc::semid_ds) -> Stat {
    Stat {
        id,
        perm: Perm::from(&facts.sem_perm),
        count: usize::try_from(facts.sem_nsems).unwrap_or(usize::MAX),
        otime: facts.sem_otime,
        ctime: facts.sem_ctime,
    }
}

impl Set {
    /// The set with this number, if there is one.
    #[must_use]
    pub const fn from_id(id: i32) -> Self {
        Self(id)
    }

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
    /// too many changes, or none. `EIDRM`: the set was removed. `EINTR`: a signal came. `EAGAIN`:
    /// one that does not wait would have to. `EACCES`: not for this user.
    #[inline]
    pub fn op(self, ops: &[Op]) -> Result<()> {
        // SAFETY: `Op` is a sembuf, and there are as many as is said; semop only reads them.
        let result = unsafe { libc::semop(self.0, ops.as_ptr().cast_mut().cast(), ops.len()) };
        checked(c_long::from(result)).map(drop)
    }

    /// [`Set::op`] that waits at most this long; zero tries once.
    ///
    /// # Errors
    ///
    /// As for [`Set::op`]; `EAGAIN`: the time ran out.
    pub fn op_for(self, ops: &[Op], wait: Duration) -> Result<()> {
        let wait = timespec(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
        // SAFETY: as in `op`; the time is the kernel's on 64-bit Linux, and lives until the call
        // returns.
        let result = unsafe {
            libc::syscall(
                libc::SYS_semtimedop,
                self.0,
                ops.as_ptr(),
                ops.len(),
                &raw const wait,
            )
        };
        checked(result).map(drop)
    }

    /// The value of one semaphore now.
    ///
    /// # Errors
    ///
    /// `EINVAL`: there is no such semaphore, or no set with this number. `EACCES`: not for this
    /// user.
    pub fn value(self, number: u16) -> Result<u16> {
        let value = self.ask(number, libc::GETVAL)?;
        u16::try_from(value).map_err(|_| Errno::RANGE)
    }

    /// Who last changed it; 0 if nobody did.
    ///
    /// # Errors
    ///
    /// As for [`Set::value`].
    pub fn pid(self, number: u16) -> Result<i32> {
        self.ask(number, libc::GETPID)
    }

    /// How many calls wait for units of it.
    ///
    /// # Errors
    ///
    /// As for [`Set::value`].
    pub fn takers(self, number: u16) -> Result<u32> {
        self.ask(number, libc::GETNCNT).map(i32::cast_unsigned)
    }

    /// How many calls wait for it to be 0.
    ///
    /// # Errors
    ///
    /// As for [`Set::value`].
    pub fn zero_waiters(self, number: u16) -> Result<u32> {
        self.ask(number, libc::GETZCNT).map(i32::cast_unsigned)
    }

    fn ask(self, number: u16, command: c_int) -> Result<c_int> {
        // SAFETY: GETVAL, GETPID, GETNCNT and GETZCNT take no fourth argument.
        let result = unsafe { libc::semctl(self.0, c_int::from(number), command) };
        checked(c_long::from(result)).map(|_| result)
    }

    /// Sets the value of one semaphore, and forgets what everybody's undo knows of it.
    ///
    /// # Errors
    ///
    /// `ERANGE`: more than 32,767. Otherwise as for [`Set::value`].
    pub fn set_value(self, number: u16, value: u16) -> Result<()> {
        // SAFETY: SETVAL takes an int, here widened as the kernel's register has it.
        let result = unsafe {
            libc::semctl(
                self.0,
                c_int::from(number),
                libc::SETVAL,
                c_long::from(value),
            )
        };
        checked(c_long::from(result)).map(drop)
    }

    /// All values at one moment; the set must have `count` semaphores.
    ///
    /// # Errors
    ///
    /// `EFAULT`: it has more. Otherwise as for [`Set::value`].
    pub fn values(self, count: usize) -> Result<Vec<u16>> {
        let exact = Exact::new(count)?;
        self.all(libc::GETALL, &exact)?;
        Ok(exact.values().to_vec())
    }

    /// Sets all values at one moment, and forgets what everybody's undo knows; the set must have as
    /// many semaphores.
    ///
    /// # Errors
    ///
    /// `EFAULT`: it has more. `ERANGE`: one is more than 32,767. Otherwise as for [`Set::value`].
    pub fn set_values(self, values: &[u16]) -> Result<()> {
        let mut exact = Exact::new(values.len())?;
        exact.values_mut().copy_from_slice(values);
        self.all(libc::SETALL, &exact)
    }

    fn all(self, command: c_int, exact: &Exact) -> Result<()> {
        // SAFETY: the kernel reads or writes as many values as the set has; what would be beyond
        // those of `exact` is a page that it cannot touch, and it answers EFAULT.
        let result = unsafe { libc::semctl(self.0, 0, command, exact.first) };
        checked(c_long::from(result)).map(drop)
    }

    /// Who owns it, and the rest.
    ///
    /// # Errors
    ///
    /// `EINVAL`, `EIDRM`: there is no set with this number. `EACCES`: not for this user to read.
    pub fn stat(self) -> Result<Stat> {
        stat(self.0, libc::IPC_STAT)
    }

    /// The same, also for those who may not read it.
    ///
    /// # Errors
    ///
    /// `EINVAL`: there is no set with this number.
    pub fn stat_any(self) -> Result<Stat> {
        // The kernel finds the place of a number, and says which number is there.
        let found = stat(self.0, libc::SEM_STAT_ANY)?;
        Some(found)
            .filter(|found| found.id == self.0)
            .ok_or(Errno::INVAL)
    }

    /// Gives it to this user and group, with this mode.
    ///
    /// # Errors
    ///
    /// `EPERM`: neither owner nor creator. `EINVAL`: there is no set with this number.
    pub fn set_owner(self, uid: u32, gid: u32, mode: Mode) -> Result<()> {
        // SAFETY: integers, for which zero is valid.
        let mut facts: libc::semid_ds = unsafe { MaybeUninit::zeroed().assume_init() };
        facts.sem_perm.uid = uid;
        facts.sem_perm.gid = gid;
        // The field has 16 bits on some machines and 32 on others.
        facts.sem_perm.mode = (mode.bits() & 0o777) as _;
        // SAFETY: IPC_SET takes a semid_ds, which is read.
        let result = unsafe { libc::semctl(self.0, 0, libc::IPC_SET, &raw mut facts) };
        checked(c_long::from(result)).map(drop)
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

/// Room for exactly so many values: behind the last one is a page that cannot be touched.
///
/// GETALL and SETALL are not told how much room there is: they take the set that has the number at
/// that moment, which may be another one, with more semaphores, than the caller knew.
struct Exact {
    base: *mut c_void,
    len: usize,
    first: *mut u16,
    count: usize,
}

impl Exact {
    fn new(count: usize) -> Result<Self> {
        let page = rustix::param::page_size();
        let bytes = count.checked_mul(2).ok_or(Errno::NOMEM)?;
        let room = bytes.checked_next_multiple_of(page).ok_or(Errno::NOMEM)?;
        let len = room.checked_add(page).ok_or(Errno::NOMEM)?;
        let usual = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at a place of the kernel's choice touches no existing memory.
        let base = unsafe { mmap_anonymous(null_mut(), len, usual, MapFlags::PRIVATE) }?;
        let first = base.cast::<u8>().wrapping_add(room - bytes).cast();
        let exact = Self {
            base,
            len,
            first,
            count,
        };
        let end = base.cast::<u8>().wrapping_add(room).cast();
        // SAFETY: the last page of our own mapping, where no value lies.
        unsafe { mprotect(end, page, MprotectFlags::empty()) }?;
        Ok(exact)
    }

    fn values(&self) -> &[u16] {
        // SAFETY: `count` values lie before the last page, aligned, as the page is and 2 divides
        // their length; the kernel writes them only during `Set::all`.
        unsafe { core::slice::from_raw_parts(self.first, self.count) }
    }

    fn values_mut(&mut self) -> &mut [u16] {
        // SAFETY: as in `values`, and borrowed by nobody else.
        unsafe { core::slice::from_raw_parts_mut(self.first, self.count) }
    }
}

impl Drop for Exact {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and borrowed by nobody any more.
        let unmapped = unsafe { munmap(self.base, self.len) };
        debug_assert_eq!(unmapped, Ok(()), "unmap what was mapped");
    }
}

#[cfg(test)]
mod tests {
    //! One set from birth to removal.

    use super::*;
    use crate::sysv::LATE;

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

    #[test]
    fn values_never_pass_the_room_for_them() {
        let set = Set::create(libc::IPC_PRIVATE, 3, Mode::RUSR | Mode::WUSR).unwrap();
        set.set_values(&[1, 2, 3]).unwrap();
        assert_eq!(set.values(3), Ok(vec![1, 2, 3]));
        // As if the set of that number had got more semaphores meanwhile.
        assert_eq!(set.values(2), Err(Errno::FAULT));
        assert_eq!(set.set_values(&[7, 7]), Err(Errno::FAULT));
        assert_eq!(set.values(3), Ok(vec![1, 2, 3]));
        assert_eq!(set.set_value(0, 40_000), Err(Errno::RANGE));
        set.set_value(2, VALUE_MAX).unwrap();
        assert_eq!(set.value(2), Ok(VALUE_MAX));
        set.remove().unwrap();
    }

    #[test]
    fn a_set_is_listed_and_described() {
        let set = Set::create(libc::IPC_PRIVATE, 3, Mode::RUSR | Mode::WUSR).unwrap();
        let stat = set.stat().unwrap();
        assert_eq!((stat.count, stat.otime, stat.perm.mode), (3, 0, 0o600));
        assert!(list().unwrap().contains(&stat));
        assert!(usage().unwrap().semaphores >= 3);
        let limits = limits().unwrap();
        assert_eq!(limits.value, u32::from(VALUE_MAX));
        set.set_owner(stat.perm.uid, stat.perm.gid, Mode::RUSR)
            .unwrap();
        assert_eq!(set.stat().unwrap().perm.mode, 0o400);
        set.remove().unwrap();
        assert!(set.stat().is_err());
    }

    #[test]
    fn times_after_2038_are_read() {
        // SAFETY: integers, for which zero is valid.
        let mut facts: libc::semid_ds = unsafe { MaybeUninit::zeroed().assume_init() };
        (facts.sem_otime, facts.sem_ctime) = (LATE, LATE + 1);
        let stat = told(7, &facts);
        assert_eq!((stat.otime, stat.ctime), (LATE, LATE + 1));
    }

    #[test]
    fn a_bounded_wait_ends() {
        let set = Set::create(libc::IPC_PRIVATE, 1, Mode::RUSR | Mode::WUSR).unwrap();
        let down = [Op::new(0, -1)];
        assert_eq!(set.op_for(&down, Duration::ZERO), Err(Errno::AGAIN));
        assert_eq!(
            set.op_for(&down, Duration::from_millis(2)),
            Err(Errno::AGAIN)
        );
        assert_eq!(set.op(&[down[0].nowait()]), Err(Errno::AGAIN));
        set.op(&[Op::new(0, 1).by(2)]).unwrap();
        set.op_for(&down, Duration::MAX).unwrap();
        assert_eq!(set.pid(0), Ok(std::process::id().cast_signed()));
        assert_eq!((set.takers(0), set.zero_waiters(0)), (Ok(0), Ok(0)));
        set.remove().unwrap();
    }
}
