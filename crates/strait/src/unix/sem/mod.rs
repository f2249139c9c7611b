//! System V semaphores: sets of counters that change together or not at all.
//!
//! Use a set where several counts must be taken in one step, where what a killed process held must
//! come back by itself ([`Op::undo`]), or where other programs already use one. Use something else
//! for plain turns between threads or your own programs: [`nt::Semaphore`](crate::nt::Semaphore)
//! and [`nt::Mutant`](crate::nt::Mutant) make no system call when nobody waits, and say when an
//! owner died. A set stays until it is [removed](Set::remove), whoever dies.
//!
//! | System V | here |
//! | --- | --- |
//! | one call, up to 500 operations, in order, all or nothing | faithful: [`Set::op`] |
//! | add, take, wait for zero; `SEM_UNDO`; `IPC_NOWAIT` | faithful: [`up`], [`down`], [`zero`]; [`Op::undo`]; [`Op::nowait`], [`Set::try_op`] |
//! | `EINTR`, never restarted | asked again; a time-out goes on counting |
//! | values are 0 at birth, and set later: a race | [`Set::create_or_open`] returns when its maker has published them |
//! | `semctl` with a union | a method each |
//! | no descriptor | [`Set::acquiring`] joins any [wait](crate::wait) |
//!
//! # Undo
//!
//! Of each operation with [`Op::undo`] the kernel notes the opposite for the *process*, and adds
//! what has been noted when the process ends, however it ends.
//!
//! - Threads share the notes: a unit taken by one and given back by another, both with undo, is
//!   even. A thread's end undoes nothing.
//! - A forked child begins without notes; its own operations are its own. `execve` keeps them: a
//!   program takes on what the program before it held.
//! - A value does not go below 0 or above 32,767: there the undo ends, and what is left over is
//!   forgotten. An undo of `up` finds less than it gave if others took it meanwhile.
//! - [`Set::set_value`] and [`Set::set_values`] clear the notes of *all* processes on these
//!   semaphores.
//! - With undo at one end only, the count drifts: take *and* give back with undo, or neither.
//! - Afterwards the dead process is the one that last changed the semaphore.
//!
//! # Traps
//!
//! - **Nobody holds a semaphore.** The kernel knows who changed it last, no more.
//! - **Big takers starve.** A call for 5 units waits while others take 1 at a time.
//! - **A set of somebody else's.** A key is a number that anybody can choose: who made the set
//!   first decides who may use it. [`Set::stat`] names owner and creator.
//! - **Reused ids.** An id is a place in the kernel's table and a count of its uses: calls with the
//!   id of a removed set fail with [`ErrorKind::Removed`](crate::ErrorKind::Removed), also where a
//!   new set has the same key. After 65,536 sets in one place (or 128, with `ipcmni_extend`) an id
//!   comes again.
//! - **Gone at logout.** systemd removes the sets of users who log out, unless `RemoveIPC=no`.
//!
//! Limits: a semaphore holds 0 to 32,767 units; for the others see [`limits`].
//!
//! ```
//! use std::process::Command;
//! use strait::unix::ipc::Key;
//! use strait::unix::sem::{self, Set};
//!
//! let set = Set::create(Key::PRIVATE, 2, 0o600)?;
//! set.op(&[sem::up(0).by(3)])?;
//! set.op(&[sem::down(0).undo(), sem::up(1)])?; // both or neither; undone if this process dies
//! assert_eq!(set.values()?, [2, 1]);
//! assert!(!set.try_op(&[sem::down(0), sem::down(1).by(2)])?);
//! # if let Ok(status) =
//! Command::new("ipcrm").args(["-s", &set.id().to_string()]).status() // another process
//! # { if !status.success() { set.remove()?; } } else { set.remove()?; }
//! # ;
//! let gone = set.op(&[sem::down(0)]).unwrap_err();
//! assert_eq!(gone.kind(), strait::ErrorKind::Removed);
//! # Ok::<(), strait::Error>(())
//! ```
//! Source: sysvipc(7), semget(2), semop(2), semctl(2).

mod acquiring;
mod born;
mod fail;
mod held;
mod stat;

use std::time::Duration;

use arrayvec::ArrayVec;
use strait_sys::Errno;
use strait_sys::sysv_sem;
use strait_sys::time::Deadline;

pub use self::acquiring::{ACQUIRING_MAX, Acquiring};
pub use self::born::PUBLISHING_MAX;
use self::fail::Doing;
pub use self::held::Held;
pub use self::stat::{Limits, Semaphore, Stat, Usage, limits, list, usage};
use crate::error::{Error, Result};
use crate::unix::ipc::{Key, Kind, facts};
pub use strait_sys::sysv_sem::{Op, VALUE_MAX};

/// Operations that are marked on the stack in order not to wait; of more, the kernel is asked to
/// wait for no time, which is slower when it would have to.
const STAGED_MAX: usize = 64;

/// Takes a unit of semaphore `number`; waits until there is one.
#[must_use]
pub const fn down(number: u16) -> Op {
    Op::new(number, -1)
}

/// Adds a unit to semaphore `number`.
#[must_use]
pub const fn up(number: u16) -> Op {
    Op::new(number, 1)
}

/// Waits until semaphore `number` is 0.
#[must_use]
pub const fn zero(number: u16) -> Op {
    Op::new(number, 0)
}

/// A set, by its id. Dropping it does nothing: the set stays until it is removed.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[must_use = "a set that nobody knows stays in the kernel all the same"]
pub struct Set {
    raw: sysv_sem::Set,
    key: Key,
}

impl Set {
    /// Makes a set of `count` semaphores, all 0. `mode` says who may read (4: look, wait for zero)
    /// and write (2: change values), in octal as for files; the umask does not matter.
    ///
    /// Others can find it from this moment on, before its values are set: with
    /// [`create_or_open`](Self::create_or_open) they wait for that.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`](crate::ErrorKind::Exists) if there is one of this key;
    /// [`ErrorKind::Exhausted`](crate::ErrorKind::Exhausted) if there are as many as may be;
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a count that is 0 or above
    /// [`Limits::per_set`], and for a mode with other bits than read and write.
    #[doc(alias = "semget")]
    pub fn create(key: Key, count: u16, mode: u32) -> Result<Self> {
        let mode = facts::checked_mode("create", || Kind::Set.of_key(key), mode)?;
        if count == 0 {
            return Err(fail::of_birth(key, 0, Errno::INVAL));
        }
        let raw = sysv_sem::Set::create(key.raw(), count, mode);
        let raw = raw.map_err(|errno| fail::of_birth(key, count.into(), errno))?;
        Ok(Self { raw, key })
    }

    /// Finds the set of this key as it is. Whether this user may use it shows when it is used.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is none;
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for [`Key::PRIVATE`], by which
    /// nothing is found: pass the [`id`](Self::id) on instead.
    pub fn open(key: Key) -> Result<Self> {
        let raw = sysv_sem::Set::open(Kind::Set.findable(key)?);
        let raw = raw.map_err(|errno| Kind::Set.refused("open", key, errno))?;
        Ok(Self { raw, key })
    }

    /// The set with this id.
    ///
    /// # Errors
    /// [`ErrorKind::Removed`](crate::ErrorKind::Removed) if no set has it (any more).
    pub fn from_id(id: i32) -> Result<Self> {
        let raw = sysv_sem::Set::from_id(id);
        let mut set = Self {
            raw,
            key: Key::PRIVATE,
        };
        set.key = facts::key_of(set.look(Doing::Stat).map(|stat| stat.perm))?;
        Ok(set)
    }

    /// Its id: what other processes can find it by, also if it has no key.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.raw.id()
    }

    /// Its key; [`Key::PRIVATE`] if it has none.
    #[must_use]
    pub fn key(&self) -> Key {
        self.key
    }

    /// Does these operations in their order, as one step; waits until all of them can be done.
    ///
    /// Each sees what those before it did, so that `[zero(0), up(0)]` takes a lock that is free at
    /// 0. Nothing is changed before everything can be.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for no operations, more than
    /// [`Limits::ops`], or a semaphore that the set does not have;
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) if a value would pass 32,767;
    /// [`ErrorKind::Denied`](crate::ErrorKind::Denied) without write permission, or read permission
    /// where all of them wait for zero; [`ErrorKind::Removed`](crate::ErrorKind::Removed), also
    /// while it waits; [`ErrorKind::Busy`](crate::ErrorKind::Busy) only for an [`Op::nowait`] that
    /// would have to wait; [`ErrorKind::Exhausted`](crate::ErrorKind::Exhausted) if there is no
    /// memory to note an undo.
    #[doc(alias = "semop")]
    #[inline]
    pub fn op(&self, ops: &[Op]) -> Result<()> {
        loop {
            match self.raw.op(ops) {
                Ok(()) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.not_done(errno, ops.len())),
            }
        }
    }

    /// [`op`](Self::op) without waiting; false: it would have to, and nothing was done.
    ///
    /// # Errors
    /// As [`op`](Self::op).
    pub fn try_op(&self, ops: &[Op]) -> Result<bool> {
        if ops.len() > STAGED_MAX {
            return self.op_for(ops, Duration::ZERO);
        }
        let staged = ops.iter().map(|op| op.nowait());
        self.attempt(&staged.collect::<ArrayVec<Op, STAGED_MAX>>())
    }

    /// [`op`](Self::op) that waits for at most `timeout`; false: the time ran out, and nothing was
    /// done.
    ///
    /// # Errors
    /// As [`op`](Self::op).
    #[doc(alias = "semtimedop")]
    pub fn op_for(&self, ops: &[Op], timeout: Duration) -> Result<bool> {
        let deadline = Deadline::after(timeout);
        let mut left = timeout;
        loop {
            match self.raw.op_for(ops, left) {
                Ok(()) => return Ok(true),
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::INTR) => left = deadline.left(),
                Err(errno) => return Err(self.not_done(errno, ops.len())),
            }
        }
    }

    /// Operations that do not wait; false: one would have to.
    fn attempt(&self, ops: &[Op]) -> Result<bool> {
        loop {
            match self.raw.op(ops) {
                Ok(()) => return Ok(true),
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.not_done(errno, ops.len())),
            }
        }
    }

    #[cold]
    fn not_done(&self, errno: Errno, count: usize) -> Error {
        if count == 0 {
            return fail::invalid(self, Doing::Op(0), "no operations");
        }
        fail::of(self, errno, Doing::Op(count))
    }

    /// The value of one semaphore at this moment.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if there is no such semaphore;
    /// [`ErrorKind::Denied`](crate::ErrorKind::Denied) without read permission;
    /// [`ErrorKind::Removed`](crate::ErrorKind::Removed).
    #[doc(alias = "GETVAL")]
    pub fn value(&self, number: u16) -> Result<u16> {
        let value = self.raw.value(number);
        value.map_err(|errno| fail::of(self, errno, Doing::Read))
    }

    /// All values at one moment.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    #[doc(alias = "GETALL")]
    pub fn values(&self) -> Result<Vec<u16>> {
        let count = self.look(Doing::Read)?.count;
        let values = self.raw.values(count);
        values.map_err(|errno| fail::of(self, errno, Doing::Read))
    }

    /// Sets the value of one semaphore, whatever it was, and clears what would be undone of it, for
    /// all processes. Who waits is woken if this was what he waited for.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for more than 32,767 units;
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if there is no such semaphore;
    /// [`ErrorKind::Denied`](crate::ErrorKind::Denied) without write permission;
    /// [`ErrorKind::Removed`](crate::ErrorKind::Removed).
    #[doc(alias = "SETVAL")]
    pub fn set_value(&self, number: u16, value: u16) -> Result<()> {
        let result = self.raw.set_value(number, value);
        result.map_err(|errno| fail::of(self, errno, Doing::Set))
    }

    /// Sets all values in one step, and clears what would be undone, for all processes.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if there are not as many values
    /// as semaphores; otherwise as [`set_value`](Self::set_value).
    #[doc(alias = "SETALL")]
    pub fn set_values(&self, values: &[u16]) -> Result<()> {
        let count = self.look(Doing::Set)?.count;
        if count != values.len() {
            let why = format!("{} values, and it has {count} semaphores", values.len());
            return Err(fail::invalid(self, Doing::Set, why));
        }
        let result = self.raw.set_values(values);
        result.map_err(|errno| fail::of(self, errno, Doing::Set))
    }

    /// Removes the set for everybody, at once. Whoever waits on it is told
    /// [`ErrorKind::Removed`](crate::ErrorKind::Removed).
    ///
    /// # Errors
    /// [`ErrorKind::Denied`](crate::ErrorKind::Denied) for others than owner, creator and
    /// CAP_SYS_ADMIN; [`ErrorKind::Removed`](crate::ErrorKind::Removed) if it was removed before.
    #[doc(alias = "IPC_RMID")]
    pub fn remove(&self) -> Result<()> {
        let result = self.raw.remove();
        result.map_err(|errno| fail::of(self, errno, Doing::Remove))
    }
}
