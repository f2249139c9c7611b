//! `raw.shm`: messages copied through System V shared memory, with a System V semaphore each way.

use rustix::fs::Mode;
use strait_sys::map::{Access, Map};
use strait_sys::sysv_sem::{Op, Set};
use strait_sys::sysv_shm::{Memory, Segment};

use crate::{Carries, Failure, Job, Mechanism, Outcome, Side, Site};

/// Room for one message each way, with its length before it.
const HALF: usize = 128 << 10;
const DATA: usize = 64;
/// The semaphores: what is full and what is free, there and back.
const VALUES: [u16; 4] = [0, 1, 0, 1];

/// The memory, and who may go on.
pub(in crate::raw) struct Shm {
    map: Map,
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
    const ID: &'static str = "raw.shm";
    const ABOUT: &'static str = "System V segment, copied in and out, a semaphore per hand-over";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::ONEWAY, Job::BANDWIDTH];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let mode = Mode::RUSR | Mode::WUSR;
        let (segment, set) = match site.side() {
            Side::Near => {
                let memory = Memory::default();
                let segment = Segment::create(site.key(), 2 * HALF, mode, memory)?;
                let set = Set::create(site.key(), 4, mode)?;
                set.set_values(&VALUES)?;
                site.tell(&[0])?;
                (segment, set)
            }
            Side::Far => {
                site.hear()?;
                (Segment::open(site.key())?, Set::open(site.key())?)
            }
        };
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
            map: segment.attach(Access::Write)?,
            set,
            to,
            from,
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        let Lane { at, full, free } = self.to;
        self.set.op(&[Op::new(free, -1)])?;
        let len = (message.len() as u64).to_le_bytes();
        if !self.map.write(at, &len) || !self.map.write(at + DATA, message) {
            return Err(Failure::check("no room for the message"));
        }
        self.set.op(&[Op::new(full, 1)])?;
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        let Lane { at, full, free } = self.from;
        self.set.op(&[Op::new(full, -1)])?;
        let mut len = [0; 8];
        let read = self.map.read(at, &mut len);
        let len = usize::try_from(u64::from_le_bytes(len)).unwrap_or(usize::MAX);
        let into = buffer.get_mut(..len).filter(|_| read);
        let into = into.ok_or_else(|| Failure::check("longer than sent"))?;
        if !self.map.read(at + DATA, into) {
            return Err(Failure::check("longer than the memory"));
        }
        self.set.op(&[Op::new(free, 1)])?;
        Ok(len)
    }
}
