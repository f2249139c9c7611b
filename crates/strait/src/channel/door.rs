//! One doorbell for many sessions: a bit for each, and one word to sleep on.
//!
//! A server has a door for each user among its clients: a page that it and these clients write. Who
//! has published something to a server that said it would not look sets its bit and its group's in
//! the summary, and rings if the server sleeps. The server finds by two words who has come, however
//! many there are. Clients of one user trust each other this far: who scribbles there wakes the
//! server for nothing, or delays its own user's other clients until the server looks for itself,
//! every second.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

use rustix::fs::Mode;
use strait_sys::cell::{ReadOnly, Word};
use strait_sys::map::{Access, Fixed, Map};
use strait_sys::time;
use strait_sys::{Errno, futex, kill, memfd};

use crate::channel::layout::{APART, PAGE};
use crate::channel::memory;

/// Sessions behind one door.
pub(crate) const BITS: u32 = GROUPS * GROUP;
/// Bits of a word of the bitmap, and of the summary.
const GROUP: u32 = u64::BITS;
const GROUPS: u32 = u64::BITS;
const LEN: usize = PAGE;

/// u32: rung when the server sleeps.
const BELL: usize = 0;
/// u32: how many of the server's threads sleep, or are about to.
const SLEEPS: usize = APART;
/// u64: the groups of the bitmap in which there are bits.
const SUMMARY: usize = 2 * APART;
/// u64: when somebody knocked last, in ticks.
const STAMP: usize = 3 * APART;
/// u64 each: a bit for each session.
const BITMAP: usize = 4 * APART;

/// How a client of a server with many knocks.
#[derive(Clone, Debug)]
pub(crate) struct Knocker {
    bits: Fixed<u64>,
    bit: u64,
    summary: Fixed<u64>,
    group: u64,
    stamp: Fixed<u64>,
    sleeps: Fixed<u32, ReadOnly>,
    bell: Fixed<u32>,
}

impl Knocker {
    fn new(map: &Map, bit: u32) -> Option<Self> {
        let group = bit / GROUP;
        if group >= GROUPS {
            return None;
        }
        Some(Self {
            bits: map.fixed(BITMAP + group as usize * size_of::<u64>())?,
            bit: 1 << (bit % GROUP),
            summary: map.fixed(SUMMARY)?,
            group: 1 << group,
            stamp: map.fixed(STAMP)?,
            sleeps: map.fixed_look(SLEEPS)?,
            bell: map.fixed(BELL)?,
        })
    }

    /// In a client: the door whose file came with a welcome.
    pub(crate) fn received(file: &OwnedFd, bit: u32) -> Result<Self, &'static str> {
        memory::check(file, LEN as u64)?;
        let map = memory::map(file, LEN as u64, Access::Write);
        let map = map.map_err(|_| "its doorbell cannot be mapped")?;
        Self::new(&map, bit).ok_or("its doorbell has no such bit")
    }

    /// Says that there is something to look at, and wakes the server if it sleeps.
    pub(crate) fn knock(&self) {
        self.stamp.word().store(time::ticks(), Ordering::Relaxed);
        self.mark();
        // After the bits: a server that was about to sleep sees them, or is seen here.
        if self.sleeps.word().load(Ordering::SeqCst) != 0 {
            ring(self.bell.word(), 1);
        }
    }

    /// Says it to a server that is awake.
    pub(crate) fn mark(&self) {
        // In this order: the server clears them in the opposite one.
        self.bits.word().fetch_or(self.bit, Ordering::SeqCst);
        kill::point("door.bit");
        self.summary.word().fetch_or(self.group, Ordering::SeqCst);
        kill::point("door.summary");
    }

    /// Takes the bit back: whoever set it is about to be served.
    pub(crate) fn unmark(&self) {
        let before = self.bits.word().fetch_and(!self.bit, Ordering::SeqCst);
        if before == self.bit {
            settle(self.bits.word(), self.summary.word(), self.group);
        }
    }

    /// Whether the bit is set.
    pub(crate) fn is_marked(&self) -> bool {
        self.bits.word().load(Ordering::Relaxed) & self.bit != 0
    }

    /// Whether no other bit is set, as far as two loads tell.
    #[inline]
    pub(crate) fn is_alone(&self, summary: u64) -> bool {
        summary == self.group && self.bits.word().load(Ordering::Relaxed) & !self.bit == 0
    }
}

fn ring(bell: Word<'_, u32>, count: u32) {
    bell.fetch_add(1, Ordering::SeqCst);
    let _ = futex::wake(bell, count);
}

/// A group was found empty: takes it from the summary, unless somebody has come meanwhile.
fn settle(bits: Word<'_, u64>, summary: Word<'_, u64>, group: u64) {
    summary.fetch_and(!group, Ordering::SeqCst);
    if bits.load(Ordering::SeqCst) != 0 {
        summary.fetch_or(group, Ordering::SeqCst);
    }
}

/// The server's side of a door.
#[derive(Debug)]
pub(crate) struct Door {
    /// Whose clients come to it.
    pub(crate) uid: u32,
    file: OwnedFd,
    map: Map,
    bell: Fixed<u32>,
    sleeps: Fixed<u32>,
    summary: Fixed<u64>,
    stamp: Fixed<u64>,
}

impl Door {
    pub(crate) fn create(uid: u32) -> Result<Self, Errno> {
        let file = memfd::create(c"strait-door", LEN as u64, Mode::RUSR | Mode::WUSR)?;
        let map = memory::map(&file, LEN as u64, Access::Write)?;
        let whole = || {
            Some((
                map.fixed(BELL)?,
                map.fixed(SLEEPS)?,
                map.fixed(SUMMARY)?,
                map.fixed(STAMP)?,
            ))
        };
        let (bell, sleeps, summary, stamp) = whole().ok_or(Errno::NOMEM)?;
        Ok(Self {
            uid,
            file,
            map,
            bell,
            sleeps,
            summary,
            stamp,
        })
    }

    /// What clients are sent.
    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    pub(crate) fn knocker(&self, bit: u32) -> Option<Knocker> {
        Knocker::new(&self.map, bit)
    }

    #[inline]
    pub(crate) fn summary(&self) -> u64 {
        self.summary.word().load(Ordering::Acquire)
    }

    pub(crate) fn rang_at(&self) -> u64 {
        self.stamp.word().load(Ordering::Relaxed)
    }

    pub(crate) fn bell(&self) -> Word<'_, u32> {
        self.bell.word()
    }

    /// One more thread sleeps, or is about to.
    pub(crate) fn sleeps(&self) {
        self.sleeps.word().fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn wakes(&self) {
        self.sleeps.word().fetch_sub(1, Ordering::SeqCst);
    }

    /// Wakes so many of the threads that sleep here.
    pub(crate) fn ring(&self, count: u32) {
        ring(self.bell(), count);
    }

    /// Takes a bit that is set, the first from `from` on, around the end.
    pub(crate) fn take(&self, from: u32) -> Option<u32> {
        let summary = self.summary();
        if summary == 0 {
            return None;
        }
        let (first, within) = (from / GROUP % GROUPS, from % GROUP);
        let upper = u64::MAX << within;
        if let Some(bit) = self.take_of(first, upper) {
            return Some(bit);
        }
        // The groups after the first, in order.
        let mut rest = summary.rotate_right(first) & !1;
        while rest != 0 {
            let group = (first + rest.trailing_zeros()) % GROUPS;
            if let Some(bit) = self.take_of(group, u64::MAX) {
                return Some(bit);
            }
            rest &= rest - 1;
        }
        self.take_of(first, !upper)
    }

    /// Takes the lowest bit of a group that is among those of `mask`.
    fn take_of(&self, group: u32, mask: u64) -> Option<u32> {
        let at = BITMAP + group as usize * size_of::<u64>();
        let bits = self.map.word::<u64>(at)?;
        // Other threads may be faster, as often as there are bits.
        for _ in 0..GROUP {
            let found = bits.load(Ordering::SeqCst);
            let chosen = found & mask;
            if chosen == 0 {
                if found == 0 {
                    settle(bits, self.summary.word(), 1 << group);
                }
                return None;
            }
            let bit = chosen & chosen.wrapping_neg();
            let before = bits.fetch_and(!bit, Ordering::SeqCst);
            if before & !bit == 0 {
                settle(bits, self.summary.word(), 1 << group);
            }
            if before & bit != 0 {
                return Some(group * GROUP + bit.trailing_zeros());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_who_knocks_is_found_once_and_in_turn() {
        let door = Door::create(0).unwrap();
        let come = [0, 1, 63, 64, 700, 4095];
        for bit in come {
            door.knocker(bit).unwrap().mark();
        }
        let mut from = 64;
        let mut found = Vec::new();
        while let Some(bit) = door.take(from) {
            found.push(bit);
            from = bit + 1;
        }
        assert_eq!(found, [64, 700, 4095, 0, 1, 63]);
        assert_eq!(door.summary(), 0, "nothing is left to look for");
    }

    #[test]
    fn a_bit_beyond_the_door_is_refused() {
        let door = Door::create(0).unwrap();
        assert!(door.knocker(BITS - 1).is_some());
        assert!(door.knocker(BITS).is_none());
        assert!(Knocker::received(&door.file, BITS - 1).is_ok());
        assert!(Knocker::received(&door.file, BITS).is_err());
        let small = memfd::create(c"small", 64, Mode::RUSR).unwrap();
        assert!(Knocker::received(&small, 0).is_err());
    }

    #[test]
    fn what_is_scribbled_there_ends_the_search() {
        let door = Door::create(0).unwrap();
        for at in (SUMMARY..BITMAP + 512).step_by(8) {
            door.map
                .word::<u64>(at)
                .unwrap()
                .store(u64::MAX, Ordering::SeqCst);
        }
        let mut count = 0;
        while door.take(count * 7 % BITS).is_some() {
            count += 1;
        }
        assert_eq!(count, BITS);
        // A summary that promises what is not there.
        door.summary.word().store(u64::MAX, Ordering::SeqCst);
        assert_eq!(door.take(5), None);
        assert_eq!(door.summary(), 0);
    }

    #[test]
    fn none_is_lost_between_those_who_knock_and_those_who_look() {
        const EACH: u32 = 20_000;
        let door = Door::create(0).unwrap();
        let seen = std::sync::atomic::AtomicU32::new(0);
        let waiting: Vec<_> = (0..4)
            .map(|_| std::sync::atomic::AtomicU32::new(0))
            .collect();
        std::thread::scope(|scope| {
            for (index, own) in waiting.iter().enumerate() {
                let knocker = door.knocker(index as u32 * 32).unwrap();
                scope.spawn(move || {
                    for _ in 0..EACH {
                        own.store(1, Ordering::SeqCst);
                        knocker.mark();
                        while own.load(Ordering::SeqCst) == 1 {
                            std::thread::yield_now();
                        }
                    }
                });
            }
            for from in 0..2 {
                let (door, seen, waiting) = (&door, &seen, &waiting);
                scope.spawn(move || {
                    let mut at = from * 32;
                    while seen.load(Ordering::SeqCst) < 4 * EACH {
                        let Some(bit) = door.take(at) else {
                            std::thread::yield_now();
                            continue;
                        };
                        at = bit + 1;
                        let own = &waiting[bit as usize / 32];
                        if own.swap(0, Ordering::SeqCst) == 1 {
                            seen.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert_eq!(seen.into_inner(), 4 * EACH);
    }
}
