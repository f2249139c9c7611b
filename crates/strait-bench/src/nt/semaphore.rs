//! `nt.semaphore`: a semaphore each way.

use std::sync::atomic::Ordering::{Acquire, Release};

use strait::nt;
use strait_sys::map::Map;

use crate::nt::{NEAR_FUTEX, space};
use crate::raw::{PAGE, number, offsets, put_number, word};
use crate::{Carries, Failure, Goal, Job, Mechanism, Outcome, Side, Site};

/// The semaphores, and the memory that holds the numbers.
pub(super) struct Semaphore {
    to: nt::Semaphore,
    from: nt::Semaphore,
    map: Map,
    own: usize,
    other: usize,
}

impl Mechanism for Semaphore {
    const ID: &'static str = "nt.semaphore";
    const ABOUT: &'static str = "named semaphores, release and wait";
    const CARRIES: Carries = Carries::Beside;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::UNCONTENDED];
    const GOALS: &'static [Goal] = &[NEAR_FUTEX];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let map = site.memory(PAGE)?;
        let (own, other) = offsets(site.side());
        let space = space(site)?;
        let semaphore =
            |name: &str| Ok::<_, Failure>(space.semaphore(name, 0, 8).create_or_open()?.0);
        let (there, back) = (semaphore("there")?, semaphore("back")?);
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
        self.to.release(1)?;
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
        if self.to.release(1)? != 0 {
            return Err(Failure::check("the count was not 0"));
        }
        self.to.wait()?;
        Ok(sequence)
    }
}
