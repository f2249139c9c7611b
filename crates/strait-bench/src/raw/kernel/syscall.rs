//! `raw.syscall`: entering the kernel and coming back.

use rustix::process::{Pid, getppid};

use crate::{Carries, Job, Mechanism, Outcome, Site};

/// The cheapest call that libc does not answer itself.
pub(in crate::raw) struct Syscall {
    parent: Option<Pid>,
}

impl Mechanism for Syscall {
    const ID: &'static str = "raw.syscall";
    const ABOUT: &'static str = "getppid(2), one process";
    const CARRIES: Carries = Carries::Value;
    const MEASURES: &'static [Job] = &[Job::UNCONTENDED];
    const ALONE: bool = true;
    const YARDSTICK: bool = true;

    fn open(_: &mut Site<'_>) -> Outcome<Self> {
        Ok(Self { parent: getppid() })
    }

    fn op(&mut self, sequence: u64) -> Outcome<u64> {
        Ok(if getppid() == self.parent {
            sequence
        } else {
            u64::MAX
        })
    }
}
