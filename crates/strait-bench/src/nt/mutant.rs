//! `nt.mutant`: three mutants in rotation.
//!
//! A side that holds a mutant the other waits for sends by releasing it. With three of them each
//! side always holds the one that its next message needs: messages 0, 1, 2, 3 … are releases of
//! mutants 0, 1, 2, 0 …; near begins with 0 and 2, far with 1.

use std::sync::atomic::Ordering::{Acquire, Release};

use strait::nt;
use strait::wait;
use strait_sys::map::Map;

use crate::nt::{NEAR_FUTEX, space};
use crate::raw::{PAGE, number, offsets, put_number, word};
use crate::{Carries, Failure, Goal, Job, Mechanism, Outcome, Side, Site};

/// The mutants, and the memory that holds the numbers.
pub(super) struct Mutant {
    mutants: [nt::Mutant; 3],
    lone: nt::Mutant,
    /// The mutant of the next message to send, and of the next to receive.
    sends: usize,
    receives: usize,
    map: Map,
    own: usize,
    other: usize,
}

impl Mechanism for Mutant {
    const ID: &'static str = "nt.mutant";
    const ABOUT: &'static str = "named mutants handed on, release and acquire";
    const CARRIES: Carries = Carries::Beside;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::UNCONTENDED];
    const GOALS: &'static [Goal] = &[NEAR_FUTEX];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let map = site.memory(PAGE)?;
        let (own, other) = offsets(site.side());
        let space = space(site)?;
        let mutant = |name: &str| Ok::<_, Failure>(space.mutant(name).create_or_open()?.0);
        let mutants = [mutant("0")?, mutant("1")?, mutant("2")?];
        let lone = nt::Mutant::options().shared().create()?;
        let (first, begins): (usize, &[usize]) = match site.side() {
            Side::Near => (0, &[0, 2]),
            Side::Far => (1, &[1]),
        };
        for index in begins {
            wait::any(&[&mutants[*index]])?;
        }
        // Neither begins before the other holds what it must.
        match site.side() {
            Side::Near => {
                site.hear()?;
                site.tell(&[0])?;
            }
            Side::Far => {
                site.tell(&[0])?;
                site.hear()?;
            }
        }
        Ok(Self {
            mutants,
            lone,
            sends: first,
            receives: 1 - first,
            map,
            own,
            other,
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        word(&self.map, self.own).store(number(message), Release);
        self.mutants[self.sends].release()?;
        self.sends = (self.sends + 2) % 3;
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        if wait::any(&[&self.mutants[self.receives]])?.abandoned {
            return Err(Failure::gone("a mutant was abandoned"));
        }
        self.receives = (self.receives + 2) % 3;
        Ok(put_number(
            buffer,
            word(&self.map, self.other).load(Acquire),
        ))
    }

    fn op(&mut self, sequence: u64) -> Outcome<u64> {
        let guard = self.lone.acquire()?;
        if guard.abandoned() {
            return Err(Failure::check("abandoned"));
        }
        drop(guard);
        Ok(sequence)
    }
}
