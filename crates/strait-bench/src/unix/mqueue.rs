//! `unix.mqueue`: two POSIX message queues through the library.

use std::os::fd::AsFd;

use strait::unix::mqueue::{self, Queue};

use super::{wraps, wraps_alone};
use crate::raw::mqueue_names;
use crate::{Carries, Goal, Job, Mechanism, Outcome, Side, Site};

/// As many messages as an ordinary user gets unless the administrator says otherwise.
const ROOM: (u32, u32) = (10, 64);

/// One queue each way.
pub(super) struct Mqueue {
    from: Queue,
    to: Queue,
}

impl Mechanism for Mqueue {
    const ID: &'static str = "unix.mqueue";
    const ABOUT: &'static str = "POSIX message queue";
    const CARRIES: Carries = Carries::Bytes;
    // Not bandwidth: a queue takes 8 KiB a message unless the administrator says otherwise.
    const MEASURES: &'static [Job] = &[Job::RTT, Job::ONEWAY, Job::UNCONTENDED];
    const GOALS: &'static [Goal] = &[wraps("raw.mqueue"), wraps_alone("raw.mqueue")];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        if site.side() == Side::Far {
            let [to, from] = site.take()?;
            return Ok(Self {
                from: Queue::from_fd(from)?,
                to: Queue::from_fd(to)?,
            });
        }
        let [there, back] = mqueue_names(site.key());
        let (to, from) = (nameless(&there)?, nameless(&back)?);
        site.give(&[from.as_fd(), to.as_fd()])?;
        Ok(Self { from, to })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        Ok(self.to.send(0, message)?)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        Ok(self.from.recv_into(buffer)?.0)
    }

    fn op(&mut self, sequence: u64) -> Outcome<u64> {
        self.to.send(0, &sequence.to_ne_bytes())?;
        let mut bytes = [0; 64];
        self.to.recv_into(&mut bytes)?;
        let number = bytes.first_chunk();
        Ok(number.map_or(u64::MAX, |bytes| u64::from_ne_bytes(*bytes)))
    }
}

/// A queue whose name is gone at once: its descriptor is passed on instead.
fn nameless(name: &str) -> Outcome<Queue> {
    let (messages, bytes_max) = ROOM;
    let queue = Queue::options().room(messages, bytes_max).create(name)?;
    mqueue::unlink(name)?;
    Ok(queue)
}
