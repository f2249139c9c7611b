//! `raw.fifo`: two FIFOs.
//!
//! Not quite what pipes cost: each read and write also updates the times of the file.

use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags, mkfifoat, open};

use super::{read_all, write_all};
use crate::{Carries, Job, Mechanism, Outcome, Side, Site};

/// One FIFO each way.
pub(in crate::raw) struct Fifo {
    from: OwnedFd,
    to: OwnedFd,
}

impl Mechanism for Fifo {
    const ID: &'static str = "raw.fifo";
    const ABOUT: &'static str = "mkfifo(3), write and read";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::ONEWAY, Job::BANDWIDTH];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let place = site.place()?;
        let (there, back) = (place.join("there"), place.join("back"));
        if site.side() == Side::Near {
            for path in [&there, &back] {
                mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR)?;
            }
            site.tell(&[0])?;
        } else {
            site.hear()?;
        }
        let end = |path, flags| open(path, flags | OFlags::CLOEXEC, Mode::empty());
        // In the same order on both sides: opening an end waits for the other.
        let (from, to) = if site.side() == Side::Near {
            let to = end(&there, OFlags::WRONLY)?;
            (end(&back, OFlags::RDONLY)?, to)
        } else {
            let from = end(&there, OFlags::RDONLY)?;
            (from, end(&back, OFlags::WRONLY)?)
        };
        Ok(Self { from, to })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        write_all(&self.to, message)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        read_all(&self.from, buffer)
    }
}
