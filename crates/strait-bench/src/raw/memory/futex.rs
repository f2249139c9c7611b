//! `raw.futex`: two words, each written by one side and slept on by the other.

use std::sync::atomic::Ordering::{Acquire, Release};

use strait_sys::futex;
use strait_sys::map::Map;

use crate::raw::{PAGE, low, number, offsets, put_number, word};
use crate::{Carries, Job, Mechanism, Outcome, Site};

/// The words' low halves are the futexes.
pub(in crate::raw) struct Futex {
    map: Map,
    own: usize,
    other: usize,
    last: u64,
}

impl Mechanism for Futex {
    const ID: &'static str = "raw.futex";
    const ABOUT: &'static str = "futex(2), always waking";
    const CARRIES: Carries = Carries::Value;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::UNCONTENDED];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let (own, other) = offsets(site.side());
        Ok(Self {
            map: site.memory(PAGE)?,
            own,
            other,
            last: 0,
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        let word = word(&self.map, self.own);
        word.store(number(message), Release);
        futex::wake(word.low(), 1)?;
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        let word = word(&self.map, self.other);
        let value = loop {
            let value = word.load(Acquire);
            if value != self.last {
                break value;
            }
            // Spurious, interrupted or too late: the load decides.
            let _ = futex::wait(word.low(), low(value), None);
        };
        self.last = value;
        Ok(put_number(buffer, value))
    }

    /// A wake-up that finds nobody.
    fn op(&mut self, sequence: u64) -> Outcome<u64> {
        let woken = futex::wake(word(&self.map, self.own).low(), 1)?;
        Ok(if woken == 0 { sequence } else { u64::MAX })
    }
}
