//! `raw.spin` and `raw.spin.two`: cache lines that go back and forth between two CPUs.
//!
//! With one line both sides write the same word, and each write finds the line at the other CPU.
//! With two each side writes a line of its own: what a channel does that has a word each way.

use std::hint::spin_loop;
use std::sync::atomic::Ordering::{Acquire, Release};

use strait_sys::map::Map;

use crate::raw::{PAGE, number, offsets, put_number, word};
use crate::{Carries, Job, Mechanism, Outcome, Side, Site, Waits};

/// A word: twice the number, and 1 more once far has answered.
pub(in crate::raw) struct Spin {
    map: Map,
    /// The lowest bit of what this side writes.
    own: u64,
    last: u64,
}

/// A word each way: the number.
pub(in crate::raw) struct Two {
    map: Map,
    own: usize,
    other: usize,
    last: u64,
}

impl Mechanism for Spin {
    const ID: &'static str = "raw.spin";
    const ABOUT: &'static str = "one cache line, both sides polling";
    const CARRIES: Carries = Carries::Value;
    const MEASURES: &'static [Job] = &[Job::RTT];
    const WAITS: Waits = Waits::Polls;
    const YARDSTICK: bool = true;

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let own = if site.side() == Side::Near { 0 } else { 1 };
        Ok(Self {
            map: site.memory(PAGE)?,
            own,
            last: 0,
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        word(&self.map, 0).store(2 * number(message) + self.own, Release);
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        let word = word(&self.map, 0);
        let value = loop {
            let value = word.load(Acquire);
            if value & 1 != self.own && value != self.last {
                break value;
            }
            spin_loop();
        };
        self.last = value;
        Ok(put_number(buffer, value / 2))
    }
}

impl Mechanism for Two {
    const ID: &'static str = "raw.spin.two";
    const ABOUT: &'static str = "two cache lines, one each way, both sides polling";
    const CARRIES: Carries = Carries::Value;
    const MEASURES: &'static [Job] = &[Job::RTT];
    const WAITS: Waits = Waits::Polls;
    const YARDSTICK: bool = true;

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
        word(&self.map, self.own).store(number(message), Release);
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        let word = word(&self.map, self.other);
        let value = loop {
            let value = word.load(Acquire);
            if value != self.last {
                break value;
            }
            spin_loop();
        };
        self.last = value;
        Ok(put_number(buffer, value))
    }
}
