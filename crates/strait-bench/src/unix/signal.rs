//! `unix.signal`: a signal each way, received by a set that was blocked before threads started.

use std::sync::atomic::Ordering::{Acquire, Release};

use strait::unix::signal::{self, Code, Receiver, Set, Signal};
use strait_sys::map::Map;

use super::{wraps, wraps_alone};
use crate::raw::{PAGE, number, offsets, put_number, word};
use crate::{Carries, Failure, Goal, Job, Mechanism, Outcome, Site};

/// The signal of `unix.signal`: blocked in every thread of a side, from its start.
pub const SIGNAL: Signal = Signal::USR1;

/// Whom to signal, who signals, and the memory that holds the numbers.
pub(super) struct Signals {
    receiver: Receiver,
    peer: u32,
    this: u32,
    map: Map,
    own: usize,
    other: usize,
}

impl Mechanism for Signals {
    const ID: &'static str = "unix.signal";
    const ABOUT: &'static str = "signals, send and receive";
    const CARRIES: Carries = Carries::Beside;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::UNCONTENDED];
    const GOALS: &'static [Goal] = &[wraps("raw.signal"), wraps_alone("raw.signal")];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let (own, other) = offsets(site.side());
        Ok(Self {
            receiver: Set::new([SIGNAL]).block()?,
            peer: site.peer(),
            this: std::process::id(),
            map: site.memory(PAGE)?,
            own,
            other,
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        word(&self.map, self.own).store(number(message), Release);
        Ok(signal::send(self.peer, SIGNAL)?)
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
        signal::send(self.this, SIGNAL)?;
        self.take_from(self.this)?;
        Ok(sequence)
    }
}

impl Signals {
    fn take_from(&self, sender: u32) -> Outcome<()> {
        let taken = self.receiver.recv()?;
        let found = taken.sender.map(|sender| sender.pid);
        if taken.code != Code::Kill || found != Some(sender) {
            return Err(Failure::check(format!(
                "somebody else signalled: {taken:?}"
            )));
        }
        Ok(())
    }
}
