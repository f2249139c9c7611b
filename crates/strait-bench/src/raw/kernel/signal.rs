//! `raw.signal`: a signal each way, blocked and waited for.

use std::sync::atomic::Ordering::{Acquire, Release};

use rustix::process::{Pid, getpid};
use strait_sys::map::Map;
use strait_sys::siginfo::Fields;
use strait_sys::signal::{self, Set, Signal};
use strait_sys::sigsend::{self, Target};

use crate::raw::{PAGE, number, offsets, put_number, word};
use crate::{Carries, Failure, Job, Mechanism, Outcome, Site};

/// The signal of `raw.signal`: blocked in every thread of a side, from its start.
pub const SIGNAL: Signal = Signal::USR2;

/// Whom to signal, who signals, and the memory that holds the numbers.
pub(in crate::raw) struct Signals {
    set: Set,
    peer: Pid,
    this: Pid,
    map: Map,
    own: usize,
    other: usize,
}

impl Mechanism for Signals {
    const ID: &'static str = "raw.signal";
    const ABOUT: &'static str = "kill(2) and rt_sigtimedwait(2)";
    const CARRIES: Carries = Carries::Beside;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::UNCONTENDED];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let peer = i32::try_from(site.peer()).ok().and_then(Pid::from_raw);
        let peer = peer.ok_or_else(|| Failure::new("the other side has no process id"))?;
        let (own, other) = offsets(site.side());
        Ok(Self {
            set: Set::new([SIGNAL]),
            peer,
            this: getpid(),
            map: site.memory(PAGE)?,
            own,
            other,
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        word(&self.map, self.own).store(number(message), Release);
        Ok(sigsend::kill(Target::Process(self.peer), Some(SIGNAL))?)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        self.take_from(self.peer)?;
        Ok(put_number(
            buffer,
            word(&self.map, self.other).load(Acquire),
        ))
    }

    /// To itself.
    fn op(&mut self, sequence: u64) -> Outcome<u64> {
        sigsend::kill(Target::Process(self.this), Some(SIGNAL))?;
        self.take_from(self.this)?;
        Ok(sequence)
    }
}

impl Signals {
    fn take_from(&self, sender: Pid) -> Outcome<()> {
        match signal::take(&self.set, None)?.fields() {
            Fields::Sent { pid, .. } if pid == sender.as_raw_nonzero().get() => Ok(()),
            other => Err(Failure::check(format!(
                "somebody else signalled: {other:?}"
            ))),
        }
    }
}
