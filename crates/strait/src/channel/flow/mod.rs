//! Reading in parts, and quotas: what pipes do with the ends of a channel.
//!
//! The reader says in its memory how many bytes it has read; what the writer has sent beyond that
//! is unread, and a write ends once that is within the quota. The bytes are there to be read from
//! the start. Room is given back with every read, since a writer may wait for the last byte of it.
//!
//! Where an end is held by several processes each call takes the turn (`channel::share`), and goes
//! on from the mark or the sum that the last one left (`mark`). What a reader has taken is gone
//! with it if it is killed; of a message in several records the rest is dropped then. Who waits
//! with nothing in hand waits without the turn.

mod inflow;
mod mark;
mod outflow;
mod returned;

pub(crate) use self::inflow::Inflow;
pub(crate) use self::outflow::Outflow;
pub(crate) use self::returned::Returned;

use std::time::Duration;

use crate::channel::layout::CUT;
use crate::channel::link::Link;
use crate::channel::sender::Patience;
use crate::channel::share::End;
use crate::channel::{Channel, Options};
use crate::error::{Error, ErrorKind, Result};
use crate::object::transfer::{Parcel, Transferable};

/// What is read or written at a time.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Unit {
    /// Bytes, whatever writes they came by.
    Bytes,
    /// At most one message.
    Message,
}

/// Why nothing more is to be had.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The other side has closed, or its process is gone.
    Closed,
    /// The same, while this call waited.
    ClosedMeanwhile,
    /// One of the two has cut the session off.
    Cut,
    /// This side has said that it writes no more.
    Shut,
    /// The caller wants to wait no longer.
    Stopped,
    /// The other side broke the protocol.
    Broken(Error),
}

/// How long a call may wait.
#[derive(Copy, Clone)]
pub(crate) struct Pace<'a> {
    /// Not at all.
    pub(crate) now: bool,
    /// Asked when this side is woken: true ends the wait.
    pub(crate) stop: &'a dyn Fn() -> bool,
}

impl Pace<'static> {
    pub(crate) const NOW: Self = Self {
        now: true,
        stop: &|| false,
    };
}

/// What a look found.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Seen {
    /// Bytes that were copied.
    pub(crate) len: usize,
    /// Bytes there are in all.
    pub(crate) available: u64,
    /// Bytes that the first message has beyond those copied.
    pub(crate) left: u64,
}

impl Seen {
    fn note(
        &mut self,
        buffer: &mut [u8],
        bytes: u64,
        unit: Unit,
        first: &mut bool,
        copy: impl FnOnce(&mut [u8]),
    ) {
        self.available = self.available.saturating_add(bytes);
        if unit == Unit::Message && !*first {
            return;
        }
        let room = buffer.len() - self.len;
        let len = usize::try_from(bytes).map_or(room, |bytes| bytes.min(room));
        copy(&mut buffer[self.len..self.len + len]);
        self.len += len;
        if *first {
            self.left = self.left.saturating_add(bytes - len as u64);
        }
    }
}

fn ended(link: &Link, bit: u32, meanwhile: bool, verb: &'static str) -> Option<Ended> {
    if link.peer_says(CUT) || link.says(CUT) {
        return Some(Ended::Cut);
    }
    if link.is_broken() {
        return Some(Ended::Broken(link.error(ErrorKind::Broken, verb)));
    }
    link.is_over(bit).then_some(if meanwhile {
        Ended::ClosedMeanwhile
    } else {
        Ended::Closed
    })
}

/// How long the turn of another holder is, unless that one waits in the middle of a message.
const MOMENT: Duration = Duration::from_millis(1);

/// Takes the turn at an end that others may hold. False: another has it, and nobody waits.
fn enter(
    link: &Link,
    end: End,
    pace: Pace<'_>,
    verb: &'static str,
) -> std::result::Result<bool, Ended> {
    if link.is_foreign() {
        return Err(Ended::Broken(link.foreign(verb)));
    }
    let patience = if pace.now {
        Patience::for_at_most(MOMENT)
    } else {
        Patience::Forever
    };
    let locked = link.lock_unless(end, patience, verb, pace.stop);
    let locked = locked.map_err(Ended::Broken)?;
    if locked || pace.now {
        Ok(locked)
    } else {
        Err(Ended::Stopped)
    }
}

/// What an heir of both ends needs. They are shared from here on.
///
/// # Errors
/// [`ErrorKind::Busy`] if something that was given back is in this process alone.
pub(crate) fn pack(input: &Inflow, out: &Outflow, verb: &'static str) -> Result<Parcel> {
    let link = input.link();
    if input.returned().is_there() {
        let why = "this process alone has what a dropped read had got: read it first";
        return Err(link.error(ErrorKind::Busy, verb).because(why));
    }
    input.leave_mark();
    out.leave_sum();
    let ends = [End::Sending, End::Receiving];
    link.pack(&ends, Options::new().message_max, verb)
}

/// What somebody packed.
pub(crate) fn unpack(parcel: Parcel) -> Result<Channel> {
    Channel::unpack(parcel, &[])
}
