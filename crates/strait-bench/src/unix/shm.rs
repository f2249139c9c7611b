//! `unix.shm`: messages copied through a segment, with a semaphore each way.

use strait::unix::ipc::Key;
use strait::unix::sem::{Set, down, up};
use strait::unix::shm::{Segment, View, Write};

use super::wraps;
use crate::{Carries, Failure, Goal, Job, Mechanism, Outcome, Side, Site};

/// Room for one message each way, with its length before it.
const HALF: usize = 128 << 10;
const DATA: usize = 64;
/// The semaphores: what is full and what is free, there and back.
const VALUES: [u16; 4] = [0, 1, 0, 1];

/// The view, and who may go on.
pub(super) struct Shm {
    view: View<Write>,
    set: Set,
    to: Lane,
    from: Lane,
}

struct Lane {
    at: usize,
    full: u16,
    free: u16,
}

impl Mechanism for Shm {
    const ID: &'static str = "unix.shm";
    const ABOUT: &'static str = "System V segment, copied in and out, a semaphore per hand-over";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::ONEWAY, Job::BANDWIDTH];
    const GOALS: &'static [Goal] = &[wraps("raw.shm")];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let key = Key::new(site.key().cast_unsigned());
        let (segment, _) = Segment::create_or_open(key, 2 * HALF, 0o600)?;
        let (set, _) = Set::create_or_open(key, &VALUES, 0o600)?;
        let lane = |at, full| Lane {
            at,
            full,
            free: full + 1,
        };
        let (there, back) = (lane(0, 0), lane(HALF, 2));
        let (to, from) = match site.side() {
            Side::Near => (there, back),
            Side::Far => (back, there),
        };
        Ok(Self {
            view: segment.attach()?,
            set,
            to,
            from,
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        let Lane { at, full, free } = self.to;
        self.set.op(&[down(free)])?;
        self.view.write(at, &(message.len() as u64).to_le_bytes())?;
        self.view.write(at + DATA, message)?;
        self.set.op(&[up(full)])?;
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        let Lane { at, full, free } = self.from;
        self.set.op(&[down(full)])?;
        let mut len = [0; 8];
        self.view.read(at, &mut len)?;
        let len = usize::try_from(u64::from_le_bytes(len)).unwrap_or(usize::MAX);
        let into = buffer
            .get_mut(..len)
            .ok_or_else(|| Failure::check("longer than sent"))?;
        self.view.read(at + DATA, into)?;
        self.set.op(&[up(free)])?;
        Ok(len)
    }
}
