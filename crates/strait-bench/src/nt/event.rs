//! `nt.event`: an auto-reset event each way.

use std::sync::atomic::Ordering::{Acquire, Release};

use strait::nt;
use strait_sys::map::Map;

use crate::nt::{NEAR_FUTEX, space};
use crate::raw::{PAGE, number, offsets, put_number, word};
use crate::{Against, Carries, Failure, Goal, Job, Limit, Mechanism, Outcome, Side, Site};

/// The events, and the memory that holds the numbers.
pub(super) struct Event {
    to: nt::Event,
    from: nt::Event,
    map: Map,
    own: usize,
    other: usize,
}

impl Mechanism for Event {
    const ID: &'static str = "nt.event";
    const ABOUT: &'static str = "named auto-reset events, set and wait";
    const CARRIES: Carries = Carries::Beside;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::UNCONTENDED];
    const GOALS: &'static [Goal] = &[
        NEAR_FUTEX,
        Goal {
            job: Job::UNCONTENDED,
            placement: None,
            against: Against::Other("raw.eventfd", Job::UNCONTENDED),
            limit: Limit::AtMost(1.0 / 40.0),
        },
    ];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let map = site.memory(PAGE)?;
        let (own, other) = offsets(site.side());
        let space = space(site)?;
        let event = |name: &str| Ok::<_, Failure>(space.event(name).create_or_open()?.0);
        let (there, back) = (event("there")?, event("back")?);
        let (to, from) = if site.side() == Side::Near {
            (there, back)
        } else {
            (back, there)
        };
        Ok(Self {
            to,
            from,
            map,
            own,
            other,
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        word(&self.map, self.own).store(number(message), Release);
        self.to.set()?;
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        self.from.wait()?;
        Ok(put_number(
            buffer,
            word(&self.map, self.other).load(Acquire),
        ))
    }

    fn op(&mut self, sequence: u64) -> Outcome<u64> {
        if self.to.set()? {
            return Err(Failure::check("it was set before"));
        }
        self.to.wait()?;
        Ok(sequence)
    }
}
