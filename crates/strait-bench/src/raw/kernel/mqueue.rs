//! `raw.mqueue`: two POSIX message queues.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::Mode;
use strait_sys::mqueue::{self, Room};

use crate::{Carries, Failure, Job, Mechanism, Outcome, Side, Site};

/// As many messages as an ordinary user gets unless the administrator says otherwise.
const ROOM: Room = Room {
    messages: 10,
    len_max: 64,
};

/// One queue each way.
pub(in crate::raw) struct Mqueue {
    from: OwnedFd,
    to: OwnedFd,
}

impl Mechanism for Mqueue {
    const ID: &'static str = "raw.mqueue";
    const ABOUT: &'static str = "POSIX message queue";
    const CARRIES: Carries = Carries::Bytes;
    // Not bandwidth: a queue takes 8 KiB a message unless the administrator says otherwise.
    const MEASURES: &'static [Job] = &[Job::RTT, Job::ONEWAY, Job::UNCONTENDED];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        if site.side() == Side::Far {
            let [to, from] = site.take()?;
            return Ok(Self { from, to });
        }
        let [there, back] = mqueue_names(site.key());
        let (to, from) = (nameless(there)?, nameless(back)?);
        site.give(&[from.as_fd(), to.as_fd()])?;
        Ok(Self { from, to })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        Ok(mqueue::send(self.to.as_fd(), message, 0)?)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        Ok(mqueue::recv(self.from.as_fd(), buffer)?)
    }

    fn op(&mut self, sequence: u64) -> Outcome<u64> {
        mqueue::send(self.to.as_fd(), &sequence.to_ne_bytes(), 0)?;
        let mut bytes = [0; 64];
        mqueue::recv(self.to.as_fd(), &mut bytes)?;
        let number = bytes.first_chunk();
        Ok(number.map_or(u64::MAX, |bytes| u64::from_ne_bytes(*bytes)))
    }
}

/// The names that the queues have for a moment, to and from far.
pub(crate) fn mqueue_names(key: i32) -> [String; 2] {
    ["there", "back"].map(|way| format!("/strait-bench-{key}-{way}"))
}

/// A queue whose name is gone at once: its descriptor is passed on instead.
fn nameless(name: String) -> Outcome<OwnedFd> {
    let name = &CString::new(name)?;
    let queue = mqueue::create(name, ROOM, Mode::RUSR | Mode::WUSR)
        .map_err(|errno| Failure::new(format!("make a POSIX message queue: {errno}")))?;
    mqueue::unlink(name)?;
    Ok(queue)
}
