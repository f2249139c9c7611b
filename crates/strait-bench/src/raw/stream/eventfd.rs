//! `raw.eventfd`: two counters that block while they are 0.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{read, write};

use crate::{Carries, Job, Mechanism, Outcome, Side, Site};

/// One counter each way: the number is added to nothing and taken out whole.
pub(in crate::raw) struct Eventfd {
    from: OwnedFd,
    to: OwnedFd,
}

impl Mechanism for Eventfd {
    const ID: &'static str = "raw.eventfd";
    const ABOUT: &'static str = "eventfd(2), write and read";
    const CARRIES: Carries = Carries::Value;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::UNCONTENDED];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        if site.side() == Side::Far {
            let [to, from] = site.take()?;
            return Ok(Self { from, to });
        }
        let from = eventfd(0, EventfdFlags::CLOEXEC)?;
        let to = eventfd(0, EventfdFlags::CLOEXEC)?;
        site.give(&[from.as_fd(), to.as_fd()])?;
        Ok(Self { from, to })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        // The kernel adds the number that these bytes are to it, and gives the same bytes back.
        write(&self.to, message)?;
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        Ok(read(&self.from, buffer)?)
    }

    fn op(&mut self, sequence: u64) -> Outcome<u64> {
        let mut bytes = sequence.to_ne_bytes();
        write(&self.to, &bytes)?;
        read(&self.to, &mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }
}
