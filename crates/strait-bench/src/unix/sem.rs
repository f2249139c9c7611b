//! `unix.sem`: a set of semaphores, one each way.

use std::sync::atomic::Ordering::{Acquire, Release};

use strait::unix::ipc::Key;
use strait::unix::sem::{Set, down, up};
use strait_sys::map::Map;

use super::{wraps, wraps_alone};
use crate::raw::{PAGE, number, offsets, put_number, word};
use crate::{Carries, Goal, Job, Mechanism, Outcome, Side, Site};

/// The set, and the memory that holds the numbers.
pub(super) struct Sem {
    set: Set,
    map: Map,
    /// Semaphore and offset of the number: of this side's sending, of its receiving.
    own: (u16, usize),
    other: (u16, usize),
    /// The measure is of eight semaphores at once.
    eight: bool,
}

impl Mechanism for Sem {
    const ID: &'static str = "unix.sem";
    const ABOUT: &'static str = "System V semaphore, up and down";
    const CARRIES: Carries = Carries::Beside;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::UNCONTENDED, Job::EIGHT];
    const GOALS: &'static [Goal] = &[wraps("raw.sem"), wraps_alone("raw.sem")];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let map = site.memory(PAGE)?;
        let (own, other) = offsets(site.side());
        let key = Key::new(site.key().cast_unsigned());
        let (set, _) = Set::create_or_open(key, &[0; 8], 0o600)?;
        let (sends, receives) = match site.side() {
            Side::Near => (0, 1),
            Side::Far => (1, 0),
        };
        Ok(Self {
            set,
            map,
            own: (sends, own),
            other: (receives, other),
            eight: site.job() == Job::EIGHT,
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        word(&self.map, self.own.1).store(number(message), Release);
        Ok(self.set.op(&[up(self.own.0)])?)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        self.set.op(&[down(self.other.0)])?;
        Ok(put_number(
            buffer,
            word(&self.map, self.other.1).load(Acquire),
        ))
    }

    fn op(&mut self, sequence: u64) -> Outcome<u64> {
        if self.eight {
            self.set.op(&[0, 1, 2, 3, 4, 5, 6, 7].map(up))?;
            self.set.op(&[0, 1, 2, 3, 4, 5, 6, 7].map(down))?;
        } else {
            self.set.op(&[up(0)])?;
            self.set.op(&[down(0)])?;
        }
        Ok(sequence)
    }
}
