//! The table of records of a namespace, and the seats that threads take in it.
//!
//! `.txn` is a sparse file: a page of header, then 4,095 records of 512 bytes, each given its
//! memory when a thread first sits there. A thread holds its seat by a write lock of an open file
//! description on one byte: the kernel lets go of it however the process ends, and anybody can ask
//! who still sits. A second byte, locked before and for as long, keeps others out while the seat is
//! made ready. A seat that was left decided but unfinished is not given out again: marks that
//! name it may still stand in objects.
//!
//! ```text
//! record:  0 status u64   8 incarnation u64   16 bell u32   20 pid u32   24 tid u32   28 count u32
//!        128 participants: 64 x u32          384 redirect u64 (private domain only)
//! ```

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use rustix::fs::{self, FallocateFlags, Mode};
use strait_sys::cell::Word;
use strait_sys::fork::{self, ChildClosed, Guarded};
use strait_sys::map::{Access, Map};
use strait_sys::ofd_lock::{self, Lock};
use strait_sys::{Errno, kill};

use crate::error::{Error, ErrorKind, Result};
use crate::object::commit::list::List;
use crate::object::commit::txn;

mod file;
pub(crate) mod look;

use self::file::{make_table, open_table};

pub(crate) use self::file::link;

/// The table's name in its directory.
pub(crate) const TABLE: &str = ".txn";
/// Seats of a domain, that is threads which may wait, or signal a waiter, at one time.
pub(crate) const SEATS: u16 = 4095;

const MAGIC: u64 = 0x4e58_5449_4152_5453;
const LAYOUT: u64 = 1;
const HEADER: usize = 4096;
const RECORD: usize = 512;
const TABLE_LEN: usize = HEADER + RECORD * (SEATS as usize + 1);
const STATUS: usize = 0;
const INCARNATION: usize = 8;
const BELL: usize = 16;
const PID: usize = 20;
const TID: usize = 24;
const COUNT: usize = 28;
const LIST: usize = 128;
const REDIRECT: usize = 384;
/// A token is a slot and the low bits of its incarnation.
const INCARNATION_BITS: u32 = 20;
/// How often a process may fork without an exec, and its child again, and still use one domain.
const FORKS: usize = 16;

type Half<'d> = Word<'d, u32>;

/// Objects that can change together: those of one namespace, or of this process alone.
#[derive(Debug)]
pub(crate) struct Domain {
    key: TableKey,
    map: Map,
    /// Where to open the table afresh, and what that is called; `None` for the private domain.
    directory: Option<(OwnedFd, String)>,
    /// By fork generation: a child must neither use nor keep its parent's locks.
    locks: [OnceLock<Locks>; FORKS],
    /// Its place among the domains of this process.
    pub(crate) index: usize,
}

#[derive(Debug)]
struct Locks {
    file: Option<ChildClosed>,
    /// Seats that a thread of this process has, or is trying to take.
    claimed: Bits,
    /// Those that it has: who sat there before is dead, also while somebody tries.
    taken: Bits,
}

/// A bit for each seat.
#[derive(Debug)]
struct Bits([AtomicU64; 64]);

/// A thread's place in a domain's table.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Seat {
    pub(crate) slot: u16,
    pub(crate) token: u32,
}

static DOMAINS: Guarded<Registry> = Guarded::new(Registry {
    private: None,
    known: Vec::new(),
});

/// The domains of this process.
#[derive(Debug)]
struct Registry {
    private: Option<Arc<Domain>>,
    /// At each domain's index.
    known: Vec<(TableKey, Weak<Domain>)>,
}

/// Device and inode of a table, and the number in it, which alone its owner could choose.
type TableKey = (u64, u64, u64);

/// The domain of that table, made if this process has none: two of one id could not commit
/// together.
fn register(key: TableKey, make: impl FnOnce(usize) -> Domain) -> Arc<Domain> {
    DOMAINS.with(|Registry { known, .. }| {
        let mut same = known.iter().filter(|(known, _)| *known == key);
        if let Some(domain) = same.find_map(|(_, domain)| domain.upgrade()) {
            return domain;
        }
        let free = known.iter().position(|(_, old)| old.strong_count() == 0);
        let index = free.unwrap_or(known.len());
        let domain = Arc::new(make(index));
        let entry = (key, Arc::downgrade(&domain));
        match free {
            Some(free) => known[free] = entry,
            None => known.push(entry),
        }
        domain
    })
}

pub(crate) fn registered(index: usize) -> Option<Arc<Domain>> {
    DOMAINS.with(|domains| domains.known.get(index)?.1.upgrade())
}

impl Domain {
    /// The domain of objects that only this process has.
    pub(crate) fn private() -> Result<Arc<Self>> {
        if let Some(domain) = DOMAINS.with(|domains| domains.private.clone()) {
            return Ok(domain);
        }
        let map = Map::private(TABLE_LEN)
            .map_err(|errno| Error::kernel(errno, "map", "the private commit table"))?;
        let domain = register((0, 0, 0), |index| Self::over((0, 0, 0), map, None, index));
        Ok(DOMAINS.with(|domains| domains.private.get_or_insert(domain).clone()))
    }

    /// The domain of the namespace in `directory`. If it has no table one of that mode is made, or
    /// none if no mode is given.
    pub(crate) fn of_directory(
        directory: BorrowedFd<'_>,
        mode: Option<Mode>,
        path: &str,
    ) -> Result<Arc<Self>> {
        let fail = |errno| Error::kernel(errno, "open commit table", format!("{path}/{TABLE}"));
        let bad = |why: &str| {
            Error::new(
                ErrorKind::Layout,
                "open commit table",
                format!("{path}/{TABLE}"),
            )
            .because(why)
        };
        let file = loop {
            match open_table(directory) {
                Err(Errno::NOENT) => {
                    let mode = mode.ok_or_else(|| gone(path))?;
                    match make_table(directory, mode) {
                        Err(Errno::EXIST) | Ok(()) => {}
                        Err(errno) => return Err(fail(errno)),
                    }
                }
                Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => {
                    return Err(bad("not a regular file"));
                }
                other => break other.map_err(fail)?,
            }
        };
        let stat = fs::fstat(&file).map_err(fail)?;
        if fs::FileType::from_raw_mode(stat.st_mode) != fs::FileType::RegularFile {
            return Err(bad("not a regular file"));
        }
        if u64::try_from(stat.st_size) != Ok(TABLE_LEN as u64) {
            return Err(bad("wrong length: truncated, or of another layout"));
        }
        let map = Map::shared(file.as_fd(), 0, TABLE_LEN, Access::Write).map_err(fail)?;
        let word = |at| {
            map.look::<u64>(at)
                .map_or(0, |word| word.load(Ordering::Acquire))
        };
        if word(0) != MAGIC || word(8) != LAYOUT || word(16) == 0 {
            return Err(bad("not a commit table of this layout"));
        }
        let id = word(16);
        let directory = rustix::io::fcntl_dupfd_cloexec(directory, 3).map_err(fail)?;
        let key = (stat.st_dev, stat.st_ino, id);
        Ok(register(key, |index| {
            Self::over(key, map, Some((directory, path.to_owned())), index)
        }))
    }

    fn over(key: TableKey, map: Map, directory: Option<(OwnedFd, String)>, index: usize) -> Self {
        let locks = [const { OnceLock::new() }; FORKS];
        Self {
            key,
            map,
            directory,
            locks,
            index,
        }
    }

    /// Tells domains apart; 0 is the private one.
    pub(crate) fn id(&self) -> u64 {
        self.key.2
    }

    pub(crate) fn is_private(&self) -> bool {
        self.directory.is_none()
    }

    /// The namespace's directory, and what it is called; `None` for the private domain.
    pub(crate) fn directory(&self) -> Option<(BorrowedFd<'_>, &str)> {
        let (directory, path) = self.directory.as_ref()?;
        Some((directory.as_fd(), path))
    }

    /// Whether the table was found truncated.
    pub(crate) fn is_broken(&self) -> bool {
        self.map.is_broken()
    }

    fn word(&self, slot: u16, at: usize) -> Option<Word<'_, u64>> {
        self.map.word(HEADER + usize::from(slot) * RECORD + at)
    }

    fn half(&self, slot: u16, at: usize) -> Option<Half<'_>> {
        self.map.word(HEADER + usize::from(slot) * RECORD + at)
    }

    /// Where the author of marks on private objects decides; see [`super::seat::redirected`].
    pub(crate) fn redirection(&self, slot: u16) -> Option<Word<'_, u64>> {
        self.word(slot, REDIRECT)
    }

    /// The decision word of a record.
    pub(crate) fn status(&self, slot: u16) -> Option<Word<'_, u64>> {
        (slot != 0).then(|| self.word(slot, STATUS)).flatten()
    }

    /// What a mutant's word holds while the present sitter of `slot` owns it.
    pub(crate) fn token(&self, slot: u16) -> u32 {
        let incarnation = self
            .word(slot, INCARNATION)
            .map_or(0, |word| word.load(Ordering::Acquire));
        token(slot, incarnation)
    }

    /// The word that a sleeper of this record sleeps on when it cannot sleep on the objects.
    pub(crate) fn bell(&self, slot: u16) -> Option<Word<'_, u32>> {
        self.half(slot, BELL)
    }

    /// Who sits there, for tools: process and thread.
    pub(crate) fn sitter(&self, token: u32) -> Option<(u32, u32)> {
        let slot = slot_of(token);
        let load = |at| self.half(slot, at).map(|word| word.load(Ordering::Acquire));
        Some((load(PID)?, load(TID)?))
    }

    fn locks(&self) -> Result<&Locks> {
        let generation = fork::generation() as usize;
        let cell = self.locks.get(generation).ok_or_else(|| {
            Error::new(ErrorKind::Exhausted, "take a seat", "commit table")
                .because(format!("forked {FORKS} deep without an exec"))
        })?;
        if let Some(locks) = cell.get() {
            return Ok(locks);
        }
        let file = match &self.directory {
            None => None,
            Some((directory, _)) => {
                let file = open_table(directory.as_fd())
                    .map_err(|errno| Error::kernel(errno, "open commit table", TABLE))?;
                self.check_same(&file)?;
                Some(fork::close_in_child(file))
            }
        };
        Ok(cell.get_or_init(|| Locks {
            file,
            claimed: Bits::none(),
            taken: Bits::none(),
        }))
    }

    /// A table that was replaced behind our back is another domain.
    fn check_same(&self, file: &OwnedFd) -> Result<()> {
        let mut id = [0; 8];
        let read = rustix::io::pread(file, &mut id, 16)
            .map_err(|errno| Error::kernel(errno, "read commit table", TABLE))?;
        if read == 8 && u64::from_le_bytes(id) == self.id() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Broken, "open commit table", TABLE)
            .because("the commit table was replaced or truncated while objects of it are open"))
    }

    /// Whether the thread that `token` stands for can no longer act.
    pub(crate) fn is_dead(&self, token: u32) -> bool {
        let slot = slot_of(token);
        if slot == 0 || self.token(slot) != token {
            return true;
        }
        let Ok(locks) = self.locks() else {
            return false;
        };
        let is_taken = locks.taken.has(slot)
            || locks.file.as_ref().is_some_and(|file| {
                // Only a write lock proves a sitter: any reader can hold a read lock.
                let held = ofd_lock::probe(file.as_fd(), Lock::Read, lock_byte(slot), 1);
                !matches!(held, Ok(None))
            });
        // A seat is renamed before it looks taken: by now it may be another's.
        !is_taken || self.token(slot) != token
    }

    /// Finds a free seat for the calling thread.
    pub(crate) fn sit(&self) -> Result<(Seat, u32)> {
        let locks = self.locks()?;
        let start = self.first_try();
        for step in 0..SEATS {
            let slot = (start + step) % SEATS + 1;
            if let Some(found) = self.try_sit(locks, slot)? {
                return Ok(found);
            }
        }
        Err(
            Error::new(ErrorKind::Exhausted, "take a seat", "commit table").because(format!(
                "all {SEATS} are taken, or retired for the sake of objects that cannot be settled"
            )),
        )
    }

    /// Processes start at different places, so that they need not try each other's seats.
    fn first_try(&self) -> u16 {
        if self.is_private() {
            return 0;
        }
        let pid = rustix::process::getpid()
            .as_raw_nonzero()
            .get()
            .unsigned_abs();
        u16::try_from(pid.wrapping_mul(0x9e37_79b1) >> 20).unwrap_or(0) % SEATS
    }

    fn try_sit(&self, locks: &Locks, slot: u16) -> Result<Option<(Seat, u32)>> {
        let fail = |errno| Error::kernel(errno, "take a seat", "commit table");
        if !locks.claimed.set(slot) {
            return Ok(None);
        }
        if let Some(file) = &locks.file {
            if !ofd_lock::try_lock(file.as_fd(), Lock::Write, claim_byte(slot), 1).map_err(fail)? {
                locks.claimed.clear(slot);
                return Ok(None);
            }
            let at = (HEADER + usize::from(slot) * RECORD) as u64;
            fs::fallocate(file.as_fd(), FallocateFlags::KEEP_SIZE, at, RECORD as u64)
                .inspect_err(|_| self.rise(slot))
                .map_err(fail)?;
        }
        let (Some(status), Some(incarnation)) = (self.status(slot), self.word(slot, INCARNATION))
        else {
            self.rise(slot);
            return Ok(None);
        };
        let Some(seq) = txn::inherit(status) else {
            self.rise(slot);
            return Ok(None);
        };
        let now = incarnation.load(Ordering::SeqCst).wrapping_add(1);
        incarnation.store(now, Ordering::SeqCst);
        kill::point("seat.renamed");
        // Only now may the seat look taken: while it still had its last sitter's number, that one
        // would come to life with what he left, for as long as we are stopped here.
        if let Some(file) = &locks.file
            && !ofd_lock::try_lock(file.as_fd(), Lock::Write, lock_byte(slot), 1)
                .inspect_err(|_| self.rise(slot))
                .map_err(fail)?
        {
            self.rise(slot);
            return Ok(None);
        }
        locks.taken.set(slot);
        self.sign(slot);
        kill::point("seat.taken");
        let seat = Seat {
            slot,
            token: token(slot, now),
        };
        Ok(Some((seat, seq)))
    }

    /// Writes who sits there, for those who look.
    fn sign(&self, slot: u16) {
        let pid = rustix::process::getpid()
            .as_raw_nonzero()
            .get()
            .unsigned_abs();
        let tid = rustix::thread::gettid()
            .as_raw_nonzero()
            .get()
            .unsigned_abs();
        for (at, number) in [(PID, pid), (TID, tid)] {
            if let Some(word) = self.half(slot, at) {
                word.store(number, Ordering::Release);
            }
        }
    }

    /// Gives a seat back.
    pub(crate) fn rise(&self, slot: u16) {
        let Ok(locks) = self.locks() else { return };
        locks.taken.clear(slot);
        if let Some(file) = &locks.file {
            // The locks also go with the process; a failure here keeps the seat until then.
            let _ = ofd_lock::unlock(file.as_fd(), lock_byte(slot), 1);
            let _ = ofd_lock::unlock(file.as_fd(), claim_byte(slot), 1);
        }
        locks.claimed.clear(slot);
    }

    /// What the present transaction of `slot` is about.
    fn list<'d>(&'d self, slot: u16) -> Option<List<Half<'d>, impl Fn(usize) -> Option<Half<'d>>>> {
        let count = self.half(slot, COUNT)?;
        let entry = move |index| self.half(slot, LIST + index * 4);
        Some(List { count, entry })
    }

    /// Records what the coming transaction is about.
    pub(crate) fn enlist(&self, slot: u16, ids: impl ExactSizeIterator<Item = u32>) {
        if let Some(list) = self.list(slot) {
            list.write(ids);
        }
    }

    /// Whether the present transaction of `slot` is about the object of this id.
    pub(crate) fn names(&self, slot: u16, id: u32) -> bool {
        self.list(slot).is_some_and(|list| list.names(id))
    }

    /// Seats whose sitters died after a decision, with that decision.
    pub(crate) fn retired(&self) -> Vec<(u16, u64)> {
        let decided = |slot| Some(self.status(slot)?.load(Ordering::Acquire));
        (1..=SEATS)
            .filter_map(|slot| {
                Some((
                    slot,
                    decided(slot).filter(|found| txn::is_committed(*found))?,
                ))
            })
            .filter(|(slot, _)| self.is_dead(self.token(*slot)))
            .collect()
    }

    /// Gives a retired seat out again, if all that its decision was about is `settled`: no mark
    /// names the decision any more.
    pub(crate) fn readmit(
        &self,
        slot: u16,
        decision: u64,
        mut settled: impl FnMut(u32) -> bool,
    ) -> bool {
        let Ok(locks) = self.locks() else {
            return false;
        };
        let (Some(file), Some(status)) = (&locks.file, self.status(slot)) else {
            return false;
        };
        let is_settled = self
            .list(slot)
            .is_some_and(|list| list.ids().all(&mut settled));
        if !is_settled || !locks.claimed.set(slot) {
            return false;
        }
        let locked = ofd_lock::try_lock(file.as_fd(), Lock::Write, claim_byte(slot), 1);
        let readmitted = matches!(locked, Ok(true)) && {
            let idle = decision & !3 | txn::ABORTED;
            status
                .compare_exchange(decision, idle, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
        };
        self.rise(slot);
        readmitted
    }

    /// How many seats are taken by the living, and how many are retired.
    pub(crate) fn census(&self) -> (usize, usize) {
        let mut living = 0;
        let mut retired = 0;
        for slot in 1..=SEATS {
            let incarnation = self
                .word(slot, INCARNATION)
                .map_or(0, |word| word.load(Ordering::Acquire));
            if incarnation == 0 {
                continue;
            }
            if !self.is_dead(self.token(slot)) {
                living += 1;
            } else if self
                .status(slot)
                .is_some_and(|word| txn::is_committed(word.load(Ordering::Acquire)))
            {
                retired += 1;
            }
        }
        (living, retired)
    }
}

impl Bits {
    const fn none() -> Self {
        Self([const { AtomicU64::new(0) }; 64])
    }

    fn of(&self, slot: u16) -> (&AtomicU64, u64) {
        (&self.0[usize::from(slot / 64)], 1 << (slot % 64))
    }

    fn has(&self, slot: u16) -> bool {
        let (word, bit) = self.of(slot);
        word.load(Ordering::Acquire) & bit != 0
    }

    /// False: it was set already.
    fn set(&self, slot: u16) -> bool {
        let (word, bit) = self.of(slot);
        word.fetch_or(bit, Ordering::AcqRel) & bit == 0
    }

    fn clear(&self, slot: u16) {
        let (word, bit) = self.of(slot);
        word.fetch_and(!bit, Ordering::AcqRel);
    }
}

pub(crate) fn token(slot: u16, incarnation: u64) -> u32 {
    let low = u32::try_from(incarnation & ((1 << INCARNATION_BITS) - 1)).unwrap_or(0);
    u32::from(slot) << INCARNATION_BITS | low
}

/// The seat a token was made for.
pub(crate) fn slot_of(token: u32) -> u16 {
    u16::try_from(token >> INCARNATION_BITS).unwrap_or(0)
}

/// Objects were born with the table: it has been removed.
fn gone(path: &str) -> Error {
    Error::new(
        ErrorKind::Broken,
        "open commit table",
        format!("{path}/{TABLE}"),
    )
    .because("the commit table was removed")
}

/// Locked by who sits there.
fn lock_byte(slot: u16) -> u64 {
    HEADER as u64 + u64::from(slot)
}

/// Locked by who sits there, or is about to. Past the end of the file.
fn claim_byte(slot: u16) -> u64 {
    TABLE_LEN as u64 + u64::from(slot)
}

#[cfg(test)]
mod tests;
