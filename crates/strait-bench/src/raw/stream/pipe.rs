//! `raw.pipe`: two pipes.

use std::os::fd::{AsFd, OwnedFd};

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use super::{read_all, write_all};
use crate::{Carries, Job, Measure, Mechanism, Outcome, Side, Site};

/// The largest pipe that an ordinary user gets unless the administrator says otherwise.
const PIPE_MAX: usize = 1 << 20;

/// One pipe each way: of the size they are born with, or for much data the largest.
pub(in crate::raw) struct Pipe {
    from: OwnedFd,
    to: OwnedFd,
    /// A pipe of its own for what near does alone.
    alone: Option<(OwnedFd, OwnedFd)>,
}

impl Mechanism for Pipe {
    const ID: &'static str = "raw.pipe";
    const ABOUT: &'static str = "pipe(2), write and read";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::ONEWAY, Job::BANDWIDTH, Job::UNCONTENDED];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        if site.side() == Side::Far {
            let [from, to] = site.take()?;
            return Ok(Self {
                from,
                to,
                alone: None,
            });
        }
        let (there, to) = pipe_with(PipeFlags::CLOEXEC)?;
        let (from, back) = pipe_with(PipeFlags::CLOEXEC)?;
        if site.job().measure == Measure::Bandwidth {
            // Else a message fills the pipe, and every one costs a sleep on either side.
            let _ = fcntl_setpipe_size(&from, PIPE_MAX);
        }
        site.give(&[there.as_fd(), back.as_fd()])?;
        Ok(Self {
            from,
            to,
            alone: Some(pipe_with(PipeFlags::CLOEXEC)?),
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        write_all(&self.to, message)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        read_all(&self.from, buffer)
    }

    fn op(&mut self, sequence: u64) -> Outcome<u64> {
        let Some((from, to)) = &self.alone else {
            return Ok(u64::MAX);
        };
        let mut bytes = sequence.to_ne_bytes();
        write_all(to, &bytes)?;
        read_all(from, &mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }
}
