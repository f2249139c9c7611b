//! One thread that looks after the owners of mutants, so that those who sleep on them need no
//! timer each: a sleep with one makes handing a mutant over a tenth slower.
//!
//! A mutant is watched, by handle, once this process has slept on it [`OFTEN`] times. Before that,
//! and where no thread is to be had, sleepers wake now and then and ask themselves. Every 100 ms
//! the watcher looks at the watched ones that somebody sleeps on; where the owner is dead it counts
//! an alarm and wakes them all, and whoever finds more alarms than before its sleep asks for the
//! owner. One that was between its look and its sleep is woken 100 ms later.
//!
//! A sleeper arms the word and then looks whether it is watched; the watcher, before it lets go,
//! says that it is not and then looks at the word. One of them sees the other. A release between
//! the two clears the waiters' bit, but it also changes the half word that the sleeper would sleep
//! on, so that it does not.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use strait_sys::cell::{ReadOnly, Word};
use strait_sys::fork::{self, Guarded};
use strait_sys::map::{Access, Map};
use strait_sys::{futex, thread};

use crate::object::commit::domain::Domain;
use crate::object::layout::{PAGE, STATE};
use crate::object::space::life::Mapping;
use crate::object::spot::Object;
use crate::object::wait::member::PROBE;
use crate::object::word::State;

/// Sleeps of this process on a mutant until it is watched.
const OFTEN: u32 = 16;
/// Rounds of the watcher without a sleeper until it lets a mutant go.
const IDLE_MAX: u32 = 10;

/// Beside a generation: the watcher is about to let go, and has not decided.
const LEAVING: u32 = 1 << 31;

/// What a handle and the watcher share. Upper half: the fork generation in which it is watched, or
/// 0. Lower half: alarms if it is watched, else sleeps.
#[derive(Debug, Default)]
pub(crate) struct Lookout(AtomicU64);

impl Lookout {
    fn halves(&self) -> (u32, u32) {
        let found = self.0.load(Ordering::SeqCst);
        ((found >> 32) as u32, (found & 0xffff_ffff) as u32)
    }

    /// Alarms so far; `None`: it is not watched, and its sleepers must ask themselves. Of use only
    /// after it was armed.
    pub(crate) fn alarms(&self) -> Option<u32> {
        let (generation, alarms) = self.halves();
        (generation == fork::generation()).then_some(alarms)
    }

    fn begin(&self, generation: u32) {
        let word = u64::from(generation) << 32;
        self.0.store(word, Ordering::SeqCst);
    }
}

/// A mutant that is watched. Its memory is mapped apart from any handle: who closes the last one
/// need not wait for the watcher until the name is free.
#[derive(Debug)]
struct Watched {
    map: Map,
    at: usize,
    domain: Arc<Domain>,
    lookout: Arc<Lookout>,
    /// Rounds since anybody slept on it. The watcher's alone.
    idle: AtomicU32,
}

#[derive(Debug)]
struct Watcher {
    generation: u32,
    is_running: bool,
    mutants: Vec<Arc<Watched>>,
}

static WATCHER: Guarded<Watcher> = Guarded::new(Watcher {
    generation: 0,
    is_running: false,
    mutants: Vec::new(),
});

/// Counts a sleep on a mutant that is not watched, which may make it so.
pub(crate) fn slept(object: &Object) {
    let lookout = &object.lookout;
    let found @ (generation, count) = lookout.halves();
    match found {
        (0, sleeps) if sleeps < OFTEN => {
            lookout.0.fetch_add(1, Ordering::Relaxed);
        }
        (generation, _) if generation & !LEAVING == fork::generation() => {}
        // As often again, if there is no thread to be had; or its parent's watcher is not ours.
        _ => {
            let found = u64::from(generation) << 32 | u64::from(count);
            let zeroed = lookout
                .0
                .compare_exchange(found, 0, Ordering::SeqCst, Ordering::SeqCst);
            // Another thread has found the same: by now it may be watched, and is to stay so.
            if zeroed.is_ok()
                && generation == 0
                && let Some(watched) = Watched::new(object)
                && let Some(watched) = join(watched, false)
            {
                let _ = thread::spawn_quiet("strait-watcher", || run(watched));
            }
        }
    }
}

/// Hands a mutant to the watcher. It comes back if there is none; the caller `is_one` if it can
/// be.
fn join(watched: Watched, is_one: bool) -> Option<Watched> {
    let mut gone = Vec::new();
    let refused = WATCHER.with(|watcher| {
        let generation = fork::generation();
        if watcher.generation != generation {
            watcher.generation = generation;
            watcher.is_running = false;
            gone = std::mem::take(&mut watcher.mutants);
        }
        // Two threads may have found it missing.
        let is_known = watched.lookout.alarms().is_some();
        if watcher.is_running == is_one || is_known {
            return Some(watched);
        }
        watcher.is_running = true;
        watched.lookout.begin(generation);
        watcher.mutants.push(Arc::new(watched));
        None
    });
    // Outside: they may be the last to hold their domains.
    drop(gone);
    refused
}

fn run(first: Watched) {
    // Else another has become the watcher meanwhile.
    if let Some(first) = join(first, true) {
        drop(join(first, false));
        return;
    }
    loop {
        // sleep: a death announces nothing.
        std::thread::sleep(PROBE);
        if round(&WATCHER, Watched::look_after) {
            return;
        }
    }
}

/// Looks at each, and lets go of those that need it no more; whether none is left. They stay where
/// the child of a fork finds them, which does not have this thread: of what is in its hands, one
/// at a time, the child would keep the memory.
fn round(watcher: &Guarded<Watcher>, look: impl Fn(&Watched) -> bool) -> bool {
    let mut at = 0;
    // Others only add some, at the end.
    while let Some(watched) = watcher.with(|watcher| watcher.mutants.get(at).cloned()) {
        if look(&watched) {
            at += 1;
        } else {
            let gone = watcher.with(|watcher| watcher.mutants.swap_remove(at));
            // Outside: it may be the last to hold its domain.
            drop(gone);
        }
    }
    watcher.with(|watcher| {
        watcher.is_running = !watcher.mutants.is_empty();
        !watcher.is_running
    })
}

impl Watched {
    fn new(object: &Object) -> Option<Self> {
        let map = if object.handle.is_private() {
            object.map.clone()
        } else {
            let file = object.handle.file_for_view(Mapping::Look)?;
            Map::shared(file.as_fd(), 0, PAGE, Access::Read).ok()?
        };
        Some(Self {
            map,
            at: object.state_at(),
            domain: object.domain.clone(),
            lookout: object.lookout.clone(),
            idle: AtomicU32::new(0),
        })
    }

    fn word(&self) -> Option<Word<'_, u64, ReadOnly>> {
        self.map.look(self.at + STATE)
    }

    fn look(&self) -> State {
        State(self.word().map_or(0, |word| word.load(Ordering::SeqCst)))
    }

    /// Wakes the sleepers if the owner is dead. False: nobody needs it to be watched any more.
    fn look_after(&self) -> bool {
        if Arc::strong_count(&self.lookout) == 1 {
            return false;
        }
        // A mark changes neither its owner nor whether somebody waits.
        let state = self.look();
        let owned = !state.ready() && state.value() != 0;
        let is_orphan = state.waiters() && owned && self.domain.is_dead(state.value());
        if self.map.is_broken() || is_orphan {
            self.lookout.0.fetch_add(1, Ordering::SeqCst);
            if let Some(word) = self.word() {
                let _ = futex::wake(word.low(), u32::MAX >> 1);
            }
        }
        let idle = match state.waiters() {
            true => 0,
            false => self.idle.load(Ordering::Relaxed) + 1,
        };
        self.idle.store(idle % IDLE_MAX, Ordering::Relaxed);
        if idle < IDLE_MAX {
            return true;
        }
        !self.leave(Self::look)
    }

    /// Says that it is not watched any more, unless somebody waits who may have seen that it was.
    fn leave(&self, look: impl FnOnce(&Self) -> State) -> bool {
        let generation = fork::generation();
        self.lookout.begin(generation | LEAVING);
        let needed = look(self).waiters();
        self.lookout.begin(if needed { generation } else { 0 });
        !needed
    }
}

#[cfg(test)]
mod tests;
