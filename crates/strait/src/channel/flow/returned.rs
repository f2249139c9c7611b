//! What a read had got and nobody wanted: the next read of this process gets it first.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::channel::flow::{Seen, Unit};
use crate::channel::receiver::Part;

/// Bytes that were given back, in the order in which they are to be read. Whoever waits for
/// something to be read holds no lock that giving back needs.
#[derive(Debug, Default)]
pub(crate) struct Returned {
    parts: Mutex<VecDeque<Back>>,
    /// There are some: a flag of its own, which waits look at.
    some: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Back {
    /// Where in the stream its first byte stood.
    place: u64,
    bytes: Vec<u8>,
    read: usize,
    more: bool,
}

impl Back {
    /// Where it stands among others: one without bytes before those that stood at its place.
    fn order(&self) -> (u64, bool) {
        let place = self.place.wrapping_add(self.read as u64);
        (place, !self.bytes.is_empty())
    }
}

impl Returned {
    fn parts(&self) -> MutexGuard<'_, VecDeque<Back>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    pub(crate) fn is_there(&self) -> bool {
        self.some.load(Ordering::SeqCst)
    }

    /// True while there is something.
    pub(super) fn flag(&self) -> Arc<AtomicBool> {
        self.some.clone()
    }

    /// Gives back what one read got at that place of the stream, whatever is given back before or
    /// after it. Those who wait are to be woken.
    pub(crate) fn put(&self, place: u64, bytes: Vec<u8>, more: bool) {
        let back = Back {
            place,
            bytes,
            read: 0,
            more,
        };
        let mut parts = self.parts();
        let at = parts.partition_point(|other| other.order() <= back.order());
        parts.insert(at, back);
        self.some.store(true, Ordering::SeqCst);
    }

    /// What is first, up to the end of what one read had got, and its place in the stream.
    pub(super) fn take(&self, buffer: &mut [u8]) -> Option<(Part, u64)> {
        if !self.is_there() {
            return None;
        }
        let mut parts = self.parts();
        let first = parts.front_mut()?;
        let rest = &first.bytes[first.read..];
        let len = rest.len().min(buffer.len());
        let place = first.order().0;
        buffer[..len].copy_from_slice(&rest[..len]);
        first.read += len;
        if first.read < first.bytes.len() {
            return Some((Part { len, more: true }, place));
        }
        let more = first.more;
        parts.pop_front();
        self.some.store(!parts.is_empty(), Ordering::SeqCst);
        Some((Part { len, more }, place))
    }

    /// Notes what is there for a look.
    pub(super) fn look(&self, seen: &mut Seen, buffer: &mut [u8], unit: Unit, first: &mut bool) {
        for back in &*self.parts() {
            let bytes = &back.bytes[back.read..];
            seen.note(buffer, bytes.len() as u64, unit, first, |to| {
                to.copy_from_slice(&bytes[..to.len()]);
            });
            *first &= back.more;
        }
    }
}
