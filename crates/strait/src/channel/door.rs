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
use crate::object::flaw;

/// Sessions behind one door.
pub(crate) const BITS: u32 = GROUPS * GROUP;
/// Bits of a word of the bitmap, and of the summary.
const GROUP: u32 = u64::BITS;
const GROUPS: u32 = u64::BITS;
const LEN: usize = PAGE;

/// u32: rung when the server sleeps.
const BELL: usize = 0;
/// u32: who of the server's threads sleep, or are about to, each as a [`Sleeper`].
const SLEEPS: usize = APART;
/// u64: the groups of the bitmap in which there are bits.
const SUMMARY: usize = 2 * APART;
/// u64: when somebody knocked last, in ticks.
const STAMP: usize = 3 * APART;
/// u64 each: a bit for each session.
const BITMAP: usize = 4 * APART;

/// A word of a door: mapped memory, or a model's.
pub(crate) trait Bits: Copy {
    fn set(self, bits: u64);
    /// What was there before.
    fn clear(self, bits: u64) -> u64;
    fn look(self) -> u64;
}

impl Bits for Word<'_, u64> {
    #[inline]
    fn set(self, bits: u64) {
        self.fetch_or(bits, Ordering::SeqCst);
    }

    #[inline]
    fn clear(self, bits: u64) -> u64 {
        self.fetch_and(!bits, Ordering::SeqCst)
    }

    #[inline]
    fn look(self) -> u64 {
        self.load(Ordering::SeqCst)
    }
}

/// What a thread that sleeps at a door does when it is woken.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Sleeper {
    /// Serves whoever has knocked.
    ServesAll = 1,
    /// Looks for one session, or only tells somebody else.
    ServesSome = 1 << 16,
}

/// How many of the threads that sleep a knock is to wake: one of those who serve all. While others
/// sleep there too it might be one of them that is woken, and goes back to sleep: then everybody.
pub(crate) fn woken(sleeps: u32) -> u32 {
    if sleeps >= Sleeper::ServesSome as u32 && !flaw("knock: whoever it wakes") {
        u32::MAX
    } else {
        sleeps.min(1)
    }
}

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
        let sleepers = || self.sleeps.word().load(Ordering::SeqCst);
        if sleepers() != 0 {
            self.bell.word().fetch_add(1, Ordering::SeqCst);
            kill::point("door.bell");
            // Asked again: whoever sleeps on what the bell was before has been counted by now.
            let _ = futex::wake(self.bell.word(), woken(sleepers()));
        }
    }

    /// Says it to a server that is awake.
    pub(crate) fn mark(&self) {
        mark(
            (self.bits.word(), self.bit),
            (self.summary.word(), self.group),
        );
    }

    /// Takes the bit back: whoever set it is about to be served.
    pub(crate) fn unmark(&self) {
        unmark(
            (self.bits.word(), self.bit),
            (self.summary.word(), self.group),
        );
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

/// Sets a bit, and its group's.
pub(crate) fn mark<B: Bits>((bits, bit): (B, u64), (summary, group): (B, u64)) {
    if flaw("mark: the group first") {
        summary.set(group);
    }
    // In this order: the server clears them in the opposite one.
    bits.set(bit);
    kill::point("door.bit");
    if !flaw("mark: the group first") {
        summary.set(group);
    }
    kill::point("door.summary");
}

pub(crate) fn unmark<B: Bits>((bits, bit): (B, u64), (summary, group): (B, u64)) {
    if bits.clear(bit) == bit {
        settle(bits, summary, group);
    }
}

/// A group was found empty: takes it from the summary, unless somebody has come meanwhile.
fn settle<B: Bits>(bits: B, summary: B, group: u64) {
    summary.clear(group);
    if bits.look() != 0 && !flaw("settle: no second look") {
        summary.set(group);
    }
}

/// Takes a bit that is set, the first from `from` on. The end is the end: whoever goes round looks
/// at the other doors before.
pub(crate) fn take<B: Bits>(summary: B, bits: impl Fn(u32) -> Option<B>, from: u32) -> Option<u32> {
    let (first, within) = (from / GROUP, from % GROUP);
    if first >= GROUPS {
        return None;
    }
    let mut rest = summary.look() & (u64::MAX << first);
    while rest != 0 {
        let group = rest.trailing_zeros();
        let mask = u64::MAX << if group == first { within } else { 0 };
        if let Some(bit) = take_of((bits(group)?, mask), summary, group) {
            return Some(bit);
        }
        rest &= rest - 1;
    }
    None
}

/// Takes the lowest bit of a group that is among those of `mask`.
fn take_of<B: Bits>((bits, mask): (B, u64), summary: B, group: u32) -> Option<u32> {
    // Other threads may be faster, as often as there are bits.
    for _ in 0..GROUP {
        let found = bits.look();
        let chosen = found & mask;
        if chosen == 0 {
            if found == 0 {
                settle(bits, summary, 1 << group);
            }
            return None;
        }
        let bit = chosen & chosen.wrapping_neg();
        let before = bits.clear(bit);
        if before & !bit == 0 {
            settle(bits, summary, 1 << group);
        }
        if before & bit != 0 {
            return Some(group * GROUP + bit.trailing_zeros());
        }
    }
    None
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
    pub(crate) fn sleeps(&self, sleeper: Sleeper) {
        self.sleeps
            .word()
            .fetch_add(sleeper as u32, Ordering::SeqCst);
    }

    pub(crate) fn wakes(&self, sleeper: Sleeper) {
        self.sleeps
            .word()
            .fetch_sub(sleeper as u32, Ordering::SeqCst);
    }

    /// Who sleeps here, or is about to: see [`Sleeper`].
    #[cfg(test)]
    pub(crate) fn sleepers(&self) -> u32 {
        self.sleeps.word().load(Ordering::SeqCst)
    }

    /// Wakes so many of the threads that sleep here.
    pub(crate) fn ring(&self, count: u32) {
        ring(self.bell(), count);
    }

    /// Takes a bit that is set, the first from `from` on.
    pub(crate) fn take(&self, from: u32) -> Option<u32> {
        let bits = |group| {
            let at = BITMAP + group as usize * size_of::<u64>();
            self.map.word::<u64>(at)
        };
        take(self.summary.word(), bits, from)
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
        assert_eq!((&found[..], from), (&[64, 700, 4095][..], BITS));
        while let Some(bit) = door.take(0) {
            found.push(bit);
        }
        assert_eq!(found[3..], [0, 1, 63]);
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
        while door
            .take(count * 7 % BITS)
            .or_else(|| door.take(0))
            .is_some()
        {
            count += 1;
        }
        assert_eq!(count, BITS);
        // A summary that promises what is not there.
        door.summary.word().store(u64::MAX, Ordering::SeqCst);
        assert_eq!(door.take(5), None);
        assert_eq!(door.summary(), 0);
    }

    #[test]
    fn what_lies_before_is_not_taken() {
        let door = Door::create(0).unwrap();
        for bit in [2, 70] {
            door.knocker(bit).unwrap().mark();
        }
        assert_eq!(door.take(71), None);
        assert_eq!(door.take(BITS), None);
        assert_eq!(door.take(3), Some(70));
        assert_eq!(door.take(0), Some(2));
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
                        let Some(bit) = door.take(at).or_else(|| door.take(0)) else {
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
