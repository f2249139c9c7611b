//! `raw.waitv`: as `raw.futex`, but a side sleeps on two words at once.

use std::sync::atomic::Ordering::{Acquire, Release};

use strait_sys::futex::{self, Sleep};
use strait_sys::map::Map;

use crate::raw::{APART, PAGE, low, number, offsets, put_number, word};
use crate::{Carries, Failure, Job, Mechanism, Outcome, Site};

/// A word that never changes, to be slept on as well.
const IDLE: usize = 2 * APART;

/// The words' low halves are the futexes.
pub(in crate::raw) struct Waitv {
    map: Map,
    own: usize,
    other: usize,
    last: u64,
}

impl Mechanism for Waitv {
    const ID: &'static str = "raw.waitv";
    const ABOUT: &'static str = "futex_waitv(2) on two words";
    const CARRIES: Carries = Carries::Value;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::UNCONTENDED];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        if !futex::waitv_works() {
            return Err(Failure::new(
                "this kernel has no futex_waitv, or a filter forbids it",
            ));
        }
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
        let (word, idle) = (word(&self.map, self.other), word(&self.map, IDLE));
        let value = loop {
            let value = word.load(Acquire);
            if value != self.last {
                break value;
            }
            let sleeps = [
                Sleep {
                    word: word.look().low(),
                    expected: low(value),
                },
                Sleep {
                    word: idle.look().low(),
                    expected: 0,
                },
            ];
            // Spurious, interrupted or too late: the load decides.
            let _ = futex::waitv(&sleeps, None);
        };
        self.last = value;
        Ok(put_number(buffer, value))
    }

    /// A call over 64 words of which only the last has changed: it looks at all of them.
    fn op(&mut self, sequence: u64) -> Outcome<u64> {
        let (word, idle) = (word(&self.map, self.own), word(&self.map, IDLE));
        let mut sleeps = [Sleep {
            word: idle.look().low(),
            expected: 0,
        }; 64];
        sleeps[63] = Sleep {
            word: word.look().low(),
            expected: 1,
        };
        match futex::waitv(&sleeps, None) {
            Err(strait_sys::Errno::AGAIN) => Ok(sequence),
            other => Err(Failure::check(format!("futex_waitv answered {other:?}"))),
        }
    }
}
