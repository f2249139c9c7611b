//! `raw.epoll`: as `raw.eventfd`, but a side waits for its counter and another through epoll.

use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{read, write};

use crate::{Carries, Job, Mechanism, Outcome, Side, Site};

/// One counter each way, and one that is never written.
pub(in crate::raw) struct Epoll {
    epoll: OwnedFd,
    from: OwnedFd,
    to: OwnedFd,
    _idle: OwnedFd,
}

impl Mechanism for Epoll {
    const ID: &'static str = "raw.epoll";
    const ABOUT: &'static str = "epoll(7) on two eventfds, one fires";
    const CARRIES: Carries = Carries::Value;
    const MEASURES: &'static [Job] = &[Job::RTT];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let (from, to) = if site.side() == Side::Far {
            let [to, from] = site.take()?;
            (from, to)
        } else {
            let from = eventfd(0, EventfdFlags::CLOEXEC)?;
            let to = eventfd(0, EventfdFlags::CLOEXEC)?;
            site.give(&[from.as_fd(), to.as_fd()])?;
            (from, to)
        };
        let idle = eventfd(0, EventfdFlags::CLOEXEC)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        for (fd, data) in [(&from, 0), (&idle, 1)] {
            epoll::add(&epoll, fd, EventData::new_u64(data), EventFlags::IN)?;
        }
        Ok(Self {
            epoll,
            from,
            to,
            _idle: idle,
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        write(&self.to, message)?;
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        let mut events = Vec::with_capacity(2);
        epoll::wait(&self.epoll, spare_capacity(&mut events), None)?;
        Ok(read(&self.from, buffer)?)
    }
}
