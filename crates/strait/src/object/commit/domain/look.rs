//! The commit table as one who only looks sees it: no seat is taken, nothing is made or locked.
//!
//! For tools. The file is read, not mapped: what another process does to it cannot harm a reader.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, FileType, Mode, OFlags};
use strait_sys::ofd_lock::{self, Lock};

use super::{
    HEADER, INCARNATION, LAYOUT, MAGIC, PID, RECORD, SEATS, STATUS, TABLE, TABLE_LEN, TID,
    lock_byte, slot_of, token,
};
use crate::object::commit::txn;
use crate::object::word::{Rule, State};

/// A commit table, open for reading.
#[derive(Debug)]
pub(crate) struct Table {
    file: OwnedFd,
    id: u64,
}

/// Whom a mutant's token stands for.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Sitter {
    /// Process and thread.
    Living(u32, u32),
    Dead,
}

impl Table {
    /// The table of the namespace in `directory`; `None` if there is none that can be read.
    pub(crate) fn open(directory: BorrowedFd<'_>) -> Option<Self> {
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let file = fs::openat(directory, TABLE, flags, Mode::empty()).ok()?;
        let stat = fs::fstat(&file).ok()?;
        let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !regular || u64::try_from(stat.st_size) != Ok(TABLE_LEN as u64) {
            return None;
        }
        let mut table = Self { file, id: 0 };
        let known = table.number(0)? == MAGIC && table.number(8)? == LAYOUT;
        table.id = table.number(16)?;
        known.then_some(table)
    }

    /// Tells domains apart, as in the headers of their objects.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    fn number(&self, at: usize) -> Option<u64> {
        let mut bytes = [0; 8];
        let read = rustix::io::pread(&self.file, &mut bytes, at as u64).ok()?;
        (read == 8).then(|| u64::from_le_bytes(bytes))
    }

    fn half(&self, at: usize) -> Option<u32> {
        let mut bytes = [0; 4];
        let read = rustix::io::pread(&self.file, &mut bytes, at as u64).ok()?;
        (read == 4).then(|| u32::from_le_bytes(bytes))
    }

    fn record(slot: u16, field: usize) -> usize {
        HEADER + usize::from(slot) * RECORD + field
    }

    fn token(&self, slot: u16) -> u32 {
        token(
            slot,
            self.number(Self::record(slot, INCARNATION)).unwrap_or(0),
        )
    }

    /// The word as it counts: with a decided transaction's effect, without an undecided one's mark.
    pub(crate) fn settle(&self, state: State, rule: Rule) -> State {
        if !state.locked() {
            return state;
        }
        match self.number(Self::record(state.slot(), STATUS)) {
            Some(status) if state.slot() <= SEATS && txn::decided(status, state.seq()) => {
                rule.finish(state, txn::op_of(status), self.token(state.slot()))
            }
            _ => state.unmarked(),
        }
    }

    /// Whom that token stands for; `None` if it cannot be told.
    pub(crate) fn sitter(&self, owner: u32) -> Option<Sitter> {
        let slot = slot_of(owner);
        if slot == 0 || slot > SEATS || self.token(slot) != owner {
            return Some(Sitter::Dead);
        }
        // Only a write lock proves a sitter: any reader can hold a read lock.
        match ofd_lock::probe(self.file.as_fd(), Lock::Read, lock_byte(slot), 1) {
            Ok(None) => Some(Sitter::Dead),
            // Another has sat down meanwhile.
            Ok(Some(_)) if self.token(slot) != owner => Some(Sitter::Dead),
            Ok(Some(_)) => Some(Sitter::Living(
                self.half(Self::record(slot, PID))?,
                self.half(Self::record(slot, TID))?,
            )),
            Err(_) => None,
        }
    }

    /// How many seats the living hold, and how many are retired.
    pub(crate) fn census(&self) -> (usize, usize) {
        let mut living = 0;
        let mut retired = 0;
        for slot in 1..=SEATS {
            let number = |field| self.number(Self::record(slot, field)).unwrap_or(0);
            let incarnation = number(INCARNATION);
            if incarnation == 0 {
                continue;
            }
            match self.sitter(token(slot, incarnation)) {
                Some(Sitter::Living(..)) => living += 1,
                _ if txn::is_committed(number(STATUS)) => retired += 1,
                _ => {}
            }
        }
        (living, retired)
    }
}
