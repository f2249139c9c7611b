//! `nt.timer`: a timer that is due at once.

use std::time::Duration;

use strait::nt;

use crate::nt::space;
use crate::{Carries, Job, Mechanism, Outcome, Site};

/// The timer.
pub(super) struct Timer(nt::Timer);

impl Mechanism for Timer {
    const ID: &'static str = "nt.timer";
    const ABOUT: &'static str = "named timer, set for now and waited for";
    const CARRIES: Carries = Carries::Nothing;
    const MEASURES: &'static [Job] = &[Job::UNCONTENDED];
    const ALONE: bool = true;

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        Ok(Self(space(site)?.timer("timer").create_or_open()?.0))
    }

    fn op(&mut self, sequence: u64) -> Outcome<u64> {
        self.0.set(Duration::ZERO)?;
        self.0.wait()?;
        Ok(sequence)
    }
}
