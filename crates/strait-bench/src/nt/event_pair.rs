//! `nt.eventpair`: one pair, and the two sides take turns.

use std::sync::atomic::Ordering::{Acquire, Release};

use strait::nt;
use strait_sys::map::Map;

use crate::nt::{NEAR_FUTEX, space};
use crate::raw::{PAGE, number, offsets, put_number, word};
use crate::{Carries, Goal, Job, Mechanism, Outcome, Side, Site};

/// The pair, and the memory that holds the numbers. Near sets Low and waits for High.
pub(super) struct EventPair {
    pair: nt::EventPair,
    side: Side,
    map: Map,
    own: usize,
    other: usize,
}

impl Mechanism for EventPair {
    const ID: &'static str = "nt.eventpair";
    const ABOUT: &'static str = "named event pair, set one half and wait for the other";
    const CARRIES: Carries = Carries::Beside;
    const MEASURES: &'static [Job] = &[Job::RTT];
    const GOALS: &'static [Goal] = &[NEAR_FUTEX];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let map = site.memory(PAGE)?;
        let (own, other) = offsets(site.side());
        let (pair, _) = space(site)?.event_pair("pair").create_or_open()?;
        Ok(Self {
            pair,
            side: site.side(),
            map,
            own,
            other,
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        word(&self.map, self.own).store(number(message), Release);
        match self.side {
            Side::Near => self.pair.set_low()?,
            Side::Far => self.pair.set_high()?,
        }
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        match self.side {
            Side::Near => self.pair.wait_high()?,
            Side::Far => self.pair.wait_low()?,
        }
        Ok(put_number(
            buffer,
            word(&self.map, self.other).load(Acquire),
        ))
    }

    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<usize> {
        word(&self.map, self.own).store(number(request), Release);
        self.pair.set_low_wait_high()?;
        Ok(put_number(reply, word(&self.map, self.other).load(Acquire)))
    }
}
