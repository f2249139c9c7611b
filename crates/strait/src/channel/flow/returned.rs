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
    bytes: Vec<u8>,
    read: usize,
    more: bool,
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

    /// Gives back what one read got. Those who wait are to be woken.
    pub(crate) fn put(&self, bytes: Vec<u8>, more: bool) {
        let mut parts = self.parts();
        parts.push_front(Back {
            bytes,
            read: 0,
            more,
        });
        self.some.store(true, Ordering::SeqCst);
    }

    /// What is first, up to the end of what one read had got.
    pub(super) fn take(&self, buffer: &mut [u8]) -> Option<Part> {
        if !self.is_there() {
            return None;
        }
        let mut parts = self.parts();
        let first = parts.front_mut()?;
        let rest = &first.bytes[first.read..];
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        first.read += len;
        if first.read < first.bytes.len() {
            return Some(Part { len, more: true });
        }
        let more = first.more;
        parts.pop_front();
        self.some.store(!parts.is_empty(), Ordering::SeqCst);
        Some(Part { len, more })
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
