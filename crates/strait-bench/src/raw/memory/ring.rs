//! `raw.ring` and `raw.ring.batch`: a naive ring in shared memory, one writer and one reader, both
//! polling.

use std::hint::spin_loop;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use strait_sys::map::Map;

use crate::raw::{APART, PAGE, word};
use crate::{Carries, Failure, Job, Mechanism, Outcome, Side, Site, Waits};

/// Bytes in a slot: a message exactly.
const SLOT: usize = 64;
/// Slots: a power of two, 1 MiB in all.
const SLOTS: u64 = 1 << 14;
/// How many messages have been written, and how many read.
const WRITTEN: usize = 0;
const READ: usize = APART;

/// From far to near; every message is published by itself.
pub(in crate::raw) type Ring = Of<1>;
/// The same with so many published at a time.
pub(in crate::raw) type RingOf32 = Of<32>;

/// Published, and given back, in batches.
pub(in crate::raw) struct Of<const BATCH: u64> {
    map: Map,
    /// Messages this side has written or read.
    own: u64,
    /// How far this side may go, as it was when last looked.
    limit: u64,
}

impl<const BATCH: u64> Of<BATCH> {
    /// Says how far this side has come, if a batch is whole.
    #[inline]
    fn step(&mut self, at: usize) {
        self.own += 1;
        if self.own.is_multiple_of(BATCH) {
            word(&self.map, at).store(self.own, Release);
        }
    }
}

impl<const BATCH: u64> Mechanism for Of<BATCH> {
    const ID: &'static str = if BATCH == 1 {
        "raw.ring"
    } else {
        "raw.ring.batch"
    };
    const ABOUT: &'static str = if BATCH == 1 {
        "naive ring in shared memory, both sides polling"
    } else {
        "the naive ring, messages published in batches of 32"
    };
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::ONEWAY];
    const WAITS: Waits = Waits::Polls;
    const YARDSTICK: bool = true;

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let map = site.memory(PAGE + usize::try_from(SLOTS)? * SLOT)?;
        let limit = if site.side() == Side::Far { SLOTS } else { 0 };
        Ok(Self { map, own: 0, limit })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        while self.own == self.limit {
            self.limit = word(&self.map, READ).load(Acquire) + SLOTS;
            if self.own == self.limit {
                spin_loop();
            }
        }
        let (words, []) = message.as_chunks::<8>() else {
            return Err(Failure::new("a slot takes words of 8 bytes"));
        };
        for (offset, bytes) in slot(self.own).zip(words) {
            word(&self.map, offset).store(u64::from_ne_bytes(*bytes), Relaxed);
        }
        self.step(WRITTEN);
        Ok(())
    }

    fn flush(&mut self) -> Outcome<()> {
        word(&self.map, WRITTEN).store(self.own, Release);
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        while self.own == self.limit {
            self.limit = word(&self.map, WRITTEN).load(Acquire);
            if self.own == self.limit {
                spin_loop();
            }
        }
        for (offset, bytes) in slot(self.own).zip(buffer.as_chunks_mut::<8>().0) {
            *bytes = word(&self.map, offset).load(Relaxed).to_ne_bytes();
        }
        self.step(READ);
        Ok(SLOT)
    }
}

/// Offsets of the words of a slot.
#[inline]
fn slot(index: u64) -> impl Iterator<Item = usize> {
    // Below SLOTS, so it fits whatever a usize is.
    let index = usize::try_from(index % SLOTS).unwrap_or(0);
    (PAGE + index * SLOT..).step_by(8).take(SLOT / 8)
}
