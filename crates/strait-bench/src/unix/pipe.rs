//! `unix.pipe`: two pipes.

use std::os::fd::AsFd;

use strait::unix::pipe::{self, Reader, Writer};

use super::{wraps, wraps_alone};
use crate::{Carries, Failure, Goal, Job, Measure, Mechanism, Outcome, Side, Site};

/// The largest pipe that an ordinary user gets unless the administrator says otherwise.
const PIPE_MAX: usize = 1 << 20;

/// One pipe each way: of the size they are born with, or for much data the largest.
pub(super) struct Pipe {
    from: Reader,
    to: Writer,
    /// A pipe of its own for what near does alone.
    alone: Option<(Reader, Writer)>,
}

impl Mechanism for Pipe {
    const ID: &'static str = "unix.pipe";
    const ABOUT: &'static str = "pipes, read and write";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::ONEWAY, Job::BANDWIDTH, Job::UNCONTENDED];
    const GOALS: &'static [Goal] = &[wraps("raw.pipe"), wraps_alone("raw.pipe")];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        if site.side() == Side::Far {
            let [from, to] = site.take()?;
            return Ok(Self {
                from: from.try_into()?,
                to: to.try_into()?,
                alone: None,
            });
        }
        let mut options = pipe::options();
        if site.job().measure == Measure::Bandwidth {
            options = options.capacity(PIPE_MAX);
        }
        let create = || options.create().or_else(|_| pipe::create());
        let (there, to) = create()?;
        let (from, back) = create()?;
        site.give(&[there.as_fd(), back.as_fd()])?;
        Ok(Self {
            from,
            to,
            alone: Some(pipe::create()?),
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        Ok(self.to.write_all(message)?)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        read_all(&self.from, buffer)
    }

    fn op(&mut self, sequence: u64) -> Outcome<u64> {
        let Some((from, to)) = &self.alone else {
            return Ok(u64::MAX);
        };
        let mut bytes = sequence.to_ne_bytes();
        to.write_all(&bytes)?;
        read_all(from, &mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }
}

/// Reads as many bytes as `buffer` has room for.
#[inline]
pub(super) fn read_all(from: &Reader, buffer: &mut [u8]) -> Outcome<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match from.read(&mut buffer[done..])? {
            0 => return Err(Failure::gone("the other side closed")),
            len => done += len,
        }
    }
    Ok(done)
}
