//! `raw.sem`: a System V set of two semaphores, one each way.

use std::sync::atomic::Ordering::{Acquire, Release};

use rustix::fs::Mode;
use strait_sys::map::Map;
use strait_sys::sysv_sem::{Op, Set};

use crate::raw::{PAGE, number, offsets, put_number, word};
use crate::{Carries, Job, Mechanism, Outcome, Side, Site};

/// The set, and the memory that holds the numbers.
pub(in crate::raw) struct Sem {
    set: Set,
    map: Map,
    /// Semaphore and offset of the number: of this side's sending, of its receiving.
    own: (u16, usize),
    other: (u16, usize),
    /// The measure is of eight semaphores at once.
    eight: bool,
}

impl Mechanism for Sem {
    const ID: &'static str = "raw.sem";
    const ABOUT: &'static str = "System V semaphore, up and down";
    const CARRIES: Carries = Carries::Beside;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::UNCONTENDED, Job::EIGHT];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let map = site.memory(PAGE)?;
        let (own, other) = offsets(site.side());
        if site.side() == Side::Near {
            let set = Set::create(site.key(), 8, Mode::RUSR | Mode::WUSR)?;
            site.tell(&[0])?;
            return Ok(Self {
                set,
                map,
                own: (0, own),
                other: (1, other),
                eight: site.job() == Job::EIGHT,
            });
        }
        site.hear()?;
        let set = Set::open(site.key())?;
        Ok(Self {
            set,
            map,
            own: (1, own),
            other: (0, other),
            eight: false,
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        word(&self.map, self.own.1).store(number(message), Release);
        Ok(self.set.op(&[Op::new(self.own.0, 1)])?)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        self.set.op(&[Op::new(self.other.0, -1)])?;
        Ok(put_number(
            buffer,
            word(&self.map, self.other.1).load(Acquire),
        ))
    }

    fn op(&mut self, sequence: u64) -> Outcome<u64> {
        let units = |change| [0, 1, 2, 3, 4, 5, 6, 7].map(|number| Op::new(number, change));
        if self.eight {
            self.set.op(&units(1))?;
            self.set.op(&units(-1))?;
        } else {
            self.set.op(&units(1)[..1])?;
            self.set.op(&units(-1)[..1])?;
        }
        Ok(sequence)
    }
}
