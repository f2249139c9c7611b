//! Channels among what a wait waits for: looked at, never taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use strait_sys::Errno;
use strait_sys::cell::ReadOnly;
use strait_sys::futex::{self, Sleep};
use strait_sys::map::Fixed;
use strait_sys::time::Deadline;

use crate::channel::layout::{CLOSED, DEAF, HEAD, POSITION, TAIL};
use crate::channel::link::{Link, Place};
use crate::channel::park::arm;
use crate::channel::{Channel, Receiver, Sender};
use crate::error::Result;
use crate::object::wait::source::{Armed, CALLABLE, Source};
use crate::object::wait::{Member, Waitable};

/// Something arrives: ready when a receive would not block.
#[derive(Debug)]
pub(crate) struct Arrivals {
    place: Place,
    head: Fixed<u64, ReadOnly>,
    position: Fixed<u64>,
    /// Something is there beside what the ring holds.
    beside: Arc<AtomicBool>,
}

impl Arrivals {
    /// Ready also while `beside`; who sets it wakes this side.
    pub(crate) fn new(link: &Arc<Link>, beside: Arc<AtomicBool>) -> Option<Self> {
        Some(Self {
            place: Place::new(link, false, None)?,
            head: link.theirs.fixed_look(HEAD)?,
            position: link.own.fixed(POSITION)?,
            beside,
        })
    }
}

/// There is room: ready when half the ring is free, so that a small message would not block.
#[derive(Debug)]
pub(crate) struct Room {
    place: Place,
    head: Fixed<u64>,
    tail: Fixed<u64, ReadOnly>,
    capacity: u64,
}

impl Room {
    pub(crate) fn new(link: &Arc<Link>) -> Option<Self> {
        Some(Self {
            place: Place::new(link, true, None)?,
            head: link.own.fixed(HEAD)?,
            tail: link.theirs.fixed_look(TAIL)?,
            capacity: link.own_shape.capacity,
        })
    }
}

/// What can be waited for at a waiting place.
trait Awaited {
    fn place(&self) -> &Place;
    fn is_there(&self) -> bool;
}

impl Awaited for Arrivals {
    fn place(&self) -> &Place {
        &self.place
    }

    fn is_there(&self) -> bool {
        let (head, position) = (self.head.word(), self.position.word());
        head.load(Ordering::Acquire) != position.load(Ordering::Relaxed)
            || self.place.link.is_over(CLOSED)
            || self.beside.load(Ordering::SeqCst)
    }
}

impl Awaited for Room {
    fn place(&self) -> &Place {
        &self.place
    }

    fn is_there(&self) -> bool {
        let (head, tail) = (self.head.word(), self.tail.word());
        let used = head
            .load(Ordering::Relaxed)
            .wrapping_sub(tail.load(Ordering::Acquire));
        used <= self.capacity / 2 || self.place.link.is_over(DEAF)
    }
}

impl<T: Awaited + std::fmt::Debug + Send + Sync> Source for T {
    fn take(&self) -> Result<bool> {
        Ok(self.is_there())
    }

    fn is_ready(&self) -> Result<bool> {
        Ok(self.is_there())
    }

    fn block(&self) -> std::result::Result<(), Errno> {
        match self.arm() {
            Armed::Asleep(sleep) => {
                let until = Deadline::after(CALLABLE);
                let slept = futex::wait(sleep.word, sleep.expected, Some(until));
                self.disarm();
                match slept {
                    Err(Errno::INTR) => Err(Errno::INTR),
                    _ if self.is_there() => Ok(()),
                    _ => Err(Errno::INTR),
                }
            }
            _ => Ok(()),
        }
    }

    fn arm(&self) -> Armed<'_> {
        let place = self.place();
        place.link.sleeps();
        let bell = arm(place);
        if self.is_there() {
            place.link.wakes();
            return Armed::LookAgain;
        }
        Armed::Asleep(Sleep {
            word: place.bell_word().look(),
            expected: bell,
        })
    }

    fn disarm(&self) {
        self.place().link.wakes();
    }
}

/// Ready when a receive would not block: a message, or the end. Nothing is taken.
impl Waitable for Receiver {
    fn member(&self) -> Member<'_> {
        Member::source(&self.arrivals)
    }
}

/// Ready when half the ring is free, or the receiver is gone. Nothing is taken.
impl Waitable for Sender {
    fn member(&self) -> Member<'_> {
        Member::source(&self.room)
    }
}

/// Ready when a receive would not block.
impl Waitable for Channel {
    fn member(&self) -> Member<'_> {
        self.receiver.member()
    }
}
