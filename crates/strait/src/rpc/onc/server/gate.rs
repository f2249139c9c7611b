//! What all connections share and must ask for: calls in progress, and memory of what comes.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::Waker;

use super::lock;

/// A number of things to be had at once.
#[derive(Debug)]
pub(super) struct Gate {
    max: usize,
    used: AtomicUsize,
    /// Somebody may be in `waiting`.
    wanted: AtomicBool,
    /// By connection, so that who asks again is not in it twice.
    waiting: Mutex<HashMap<u64, Waker>>,
}

impl Gate {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            used: AtomicUsize::new(0),
            wanted: AtomicBool::new(false),
            waiting: Mutex::default(),
        }
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(SeqCst)
    }

    /// Whether there is one to be had; else `waker` is woken when there may be. Several that ask at
    /// once may all go on, so that as many too many are taken.
    pub(super) fn is_open_or_wait(&self, connection: u64, waker: &Waker) -> bool {
        if self.is_below(self.max) {
            return true;
        }
        lock(&self.waiting).insert(connection, waker.clone());
        self.wanted.store(true, SeqCst);
        // One given back before the line above woke nobody.
        self.is_below(self.max)
    }

    /// Nobody is there any more who could be woken.
    pub(super) fn forget(&self, connection: u64) {
        if self.wanted.load(SeqCst) {
            lock(&self.waiting).remove(&connection);
        }
    }

    pub(super) fn is_below(&self, max: usize) -> bool {
        self.used() < max.min(self.max)
    }

    pub(super) fn take(&self) {
        self.used.fetch_add(1, SeqCst);
    }

    pub(super) fn give_back(&self) {
        self.used.fetch_sub(1, SeqCst);
        // Where more were taken than there are, the last of those given back too many wakes.
        if self.is_below(self.max) && self.wanted.swap(false, SeqCst) {
            let waiting = std::mem::take(&mut *lock(&self.waiting));
            waiting.into_values().for_each(Waker::wake);
        }
    }
}

/// Memory of records. A part is kept back for one connection at a time, so that of many that all
/// want more one can always go on.
#[derive(Debug)]
pub(super) struct Memory {
    max: usize,
    reserve: usize,
    state: Mutex<MemoryState>,
}

#[derive(Debug, Default)]
struct MemoryState {
    used: usize,
    /// Whose the reserve is.
    holder: Option<u64>,
    waiting: HashMap<u64, Waker>,
}

/// So much a connection has without asking: room for a small call.
pub(super) const FREE: usize = 8 << 10;

impl Memory {
    /// `record` is the most that one of them takes: so much is kept back, or none could become
    /// whole once all have begun.
    pub(super) fn new(max: usize, record: usize) -> Self {
        Self {
            max,
            reserve: record.min(max),
            state: Mutex::default(),
        }
    }

    pub(super) fn used(&self) -> usize {
        lock(&self.state).used
    }

    /// Whether somebody waits for memory.
    pub(super) fn is_short(&self) -> bool {
        !lock(&self.state).waiting.is_empty()
    }

    /// `bytes` more for a connection that has `has`; or `waker` is woken when there may be some.
    pub(super) fn take_or_wait(
        &self,
        connection: u64,
        (has, bytes): (usize, usize),
        waker: &Waker,
    ) -> bool {
        let mut state = lock(&self.state);
        let after = state.used + bytes;
        let room = if state.holder == Some(connection) {
            self.max
        } else {
            self.max - self.reserve
        };
        if after > room && has + bytes > FREE {
            if state.holder.is_some() || after > self.max {
                state.waiting.insert(connection, waker.clone());
                return false;
            }
            state.holder = Some(connection);
        }
        state.used = after;
        state.waiting.remove(&connection);
        true
    }

    /// The record has come, or the connection ends: somebody else may have the reserve.
    pub(super) fn settle(&self, connection: u64, given_back: usize) {
        let mut state = lock(&self.state);
        state.used -= given_back;
        state.waiting.remove(&connection);
        if state.holder == Some(connection) {
            state.holder = None;
        } else if given_back == 0 {
            return;
        }
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_values().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_that_want_more_memory_one_goes_on() {
        let memory = Memory::new(800 << 10, 100 << 10);
        let waker = Waker::noop();
        let take = |who, has, bytes| memory.take_or_wait(who, (has, bytes), waker);
        assert!(take(1, 0, 700 << 10), "without the reserve");
        assert!(take(2, 0, 8 << 10), "a small call always");
        assert!(take(2, 8 << 10, 8 << 10), "has the reserve now");
        assert!(!take(3, 8 << 10, 8 << 10));
        assert!(take(2, 16 << 10, 8 << 10));
        assert!(!take(2, 24 << 10, 800 << 10), "beyond all there is");
        assert!(memory.is_short());
        memory.settle(2, 24 << 10);
        assert!(!memory.is_short(), "all are asked to try again");
        assert!(take(3, 8 << 10, 8 << 10));
        memory.settle(3, 8 << 10);
        memory.settle(1, 700 << 10);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn of_all_that_have_begun_a_long_one_becomes_whole() {
        let (max, record) = (24 << 20, 4 << 20);
        let memory = Memory::new(max, record);
        let waker = Waker::noop();
        let first = 64 << 10;
        let take = |who, has, bytes| memory.take_or_wait(who, (has, bytes), waker);
        let begun = (0..1000).take_while(|who| take(*who, 0, first)).count() as u64;
        assert!(begun < 1000, "all memory is taken");
        // Who was the last has the reserve, and doubles what it has up to the longest record.
        let (last, mut has) = (begun - 1, first);
        while has < record {
            let growth = has.min(record - has);
            assert!(take(last, has, growth), "{has} bytes");
            has += growth;
        }
        assert!(!take(0, first, first), "one at a time");
    }

    #[test]
    fn who_waits_for_a_call_to_end_is_woken() {
        use std::sync::Arc;
        use std::sync::atomic::AtomicUsize;
        use std::task::Wake;

        #[derive(Default)]
        struct Count(AtomicUsize);

        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, SeqCst);
            }
        }

        let gate = Gate::new(2);
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        gate.take();
        assert!(gate.is_open_or_wait(1, &waker));
        gate.take();
        assert!(!gate.is_open_or_wait(2, &waker) && !gate.is_open_or_wait(2, &waker));
        gate.give_back();
        assert_eq!(count.0.load(SeqCst), 1, "once, however often it asked");
        assert!(!gate.is_below(1) && gate.is_open_or_wait(2, &waker));
    }
}
