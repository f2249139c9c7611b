//! A table of slots that a signal handler or a forked child may walk at any moment.
//!
//! Taking and giving back a slot is a few atomic operations however many there are, without a lock:
//! a handler can interrupt it, a child can inherit it half done. Slots live for ever and are used
//! again, last in first out, so that a walk stays as long as the table once was full.

use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// Slots in the first chunk; each further chunk doubles the table.
const FIRST: u32 = 64;
const FIRST_LOG: u32 = FIRST.trailing_zeros();
/// With 64 in the first chunk, 67 million in all: more than a process can have of anything.
const CHUNKS: usize = 20;
const SLOTS_MAX: u32 = FIRST * ((1 << CHUNKS) - 1);

pub(crate) struct Table<T: 'static> {
    chunks: [AtomicPtr<Node<T>>; CHUNKS],
    /// How many slots were ever taken from the chunks.
    used: AtomicU32,
    /// The free slots: a stack. Low half: index of the top plus one; high half: a count of the
    /// changes, so that a top that went and came back is not taken for one that stayed.
    free: AtomicU64,
}

#[derive(Default)]
struct Node<T> {
    next: AtomicU32,
    value: T,
}

/// A slot taken from a table: to be given back by whoever holds this.
#[derive(Debug)]
pub(crate) struct Slot<T: 'static> {
    index: u32,
    pub(crate) value: &'static T,
}

impl<T: Default + Sync> Table<T> {
    pub(crate) const fn new() -> Self {
        Self {
            chunks: [const { AtomicPtr::new(null_mut()) }; CHUNKS],
            used: AtomicU32::new(0),
            free: AtomicU64::new(0),
        }
    }

    /// A slot that nobody else has, with the value that its last holder left; `None` when all are
    /// taken.
    pub(crate) fn take(&self) -> Option<Slot<T>> {
        if let Some(slot) = self.pop() {
            return Some(slot);
        }
        let grow = |used| (used < SLOTS_MAX).then_some(used + 1);
        let index = self
            .used
            .try_update(Ordering::Relaxed, Ordering::Relaxed, grow);
        let index = index.ok()?;
        Some(Slot {
            index,
            value: &self.node(index).value,
        })
    }

    /// Gives a slot back.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "who gives a slot back has it no longer"
    )]
    pub(crate) fn give(&self, slot: Slot<T>) {
        let node = self.node(slot.index);
        let mut top = self.free.load(Ordering::Relaxed);
        loop {
            node.next.store(low(top), Ordering::Relaxed);
            let new = pack(high(top).wrapping_add(1), slot.index + 1);
            // Release: who pops this slot sees its last holder's value and the `next` above.
            match self
                .free
                .compare_exchange_weak(top, new, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(found) => top = found,
            }
        }
    }

    fn pop(&self) -> Option<Slot<T>> {
        let mut top = self.free.load(Ordering::Acquire);
        loop {
            let index = low(top).checked_sub(1)?;
            let node = self.node(index);
            // May be stale if another pops this slot now; then the count has changed too.
            let next = node.next.load(Ordering::Relaxed);
            let new = pack(high(top).wrapping_add(1), next);
            match self
                .free
                .compare_exchange_weak(top, new, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => {
                    return Some(Slot {
                        index,
                        value: &node.value,
                    });
                }
                Err(found) => top = found,
            }
        }
    }

    /// Every slot there is memory for, held or not. Async-signal-safe.
    pub(crate) fn each(&self) -> impl Iterator<Item = &'static T> {
        let mut left = self.used.load(Ordering::Acquire) as usize;
        let chunks = self.chunks.iter().zip(0_u32..);
        let chunks = chunks.map_while(move |(chunk, number)| {
            let take = left.min(chunk_len(number));
            left -= take;
            (take > 0).then(|| (chunk.load(Ordering::Acquire), take))
        });
        // A chunk may be missing while its first slot is being taken: nothing is in it yet.
        let chunks = chunks.filter(|(first, _)| !first.is_null());
        chunks.flat_map(|(first, take)| {
            (0..take).map(move |at| {
                // SAFETY: `take` is at most the length of the chunk that begins at `first`.
                let node = unsafe { first.add(at) };
                // SAFETY: chunks are initialised before they are published and never freed.
                let node: &'static Node<T> = unsafe { &*node };
                &node.value
            })
        })
    }

    fn node(&self, index: u32) -> &'static Node<T> {
        let (chunk, at) = place(index);
        let cell = &self.chunks[chunk as usize];
        let mut first = cell.load(Ordering::Acquire);
        if first.is_null() {
            first = Self::add_chunk(cell, chunk_len(chunk));
        }
        // SAFETY: `place` gives a position below the length of that chunk.
        let node = unsafe { first.add(at as usize) };
        // SAFETY: chunks are initialised before they are published and never freed.
        unsafe { &*node }
    }

    #[cold]
    fn add_chunk(cell: &AtomicPtr<Node<T>>, len: usize) -> *mut Node<T> {
        let nodes: Box<[Node<T>]> = (0..len)
            .map(|_| Node {
                next: AtomicU32::new(0),
                value: T::default(),
            })
            .collect();
        let fresh = Box::into_raw(nodes);
        let first = fresh.cast::<Node<T>>();
        match cell.compare_exchange(null_mut(), first, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => first,
            Err(theirs) => {
                // SAFETY: `fresh` came from a box just now and was not published.
                drop(unsafe { Box::from_raw(fresh) });
                theirs
            }
        }
    }
}

/// The chunk a slot is in, and its position there.
const fn place(index: u32) -> (u32, u32) {
    let shifted = index + FIRST;
    let chunk = shifted.ilog2() - FIRST_LOG;
    (chunk, shifted - (FIRST << chunk))
}

const fn chunk_len(chunk: u32) -> usize {
    (FIRST as usize) << chunk
}

const fn pack(count: u32, top: u32) -> u64 {
    (count as u64) << 32 | top as u64
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is wanted")]
const fn low(word: u64) -> u32 {
    word as u32
}

const fn high(word: u64) -> u32 {
    low(word >> 32)
}
