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
//! says that it is not and then looks at the word. One of them sees the other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use strait_sys::{fork, futex, thread};

use crate::object::spot::Object;
use crate::object::wait::member::{self, PROBE};

/// Sleeps of this process on a mutant until it is watched.
const OFTEN: u32 = 16;
/// Rounds of the watcher without a sleeper until it lets a mutant go.
const IDLE_MAX: u32 = 10;

/// What a handle knows of the watcher. Upper half: the fork generation in which it is watched, or
/// 0. Lower half: alarms if it is watched, else sleeps.
#[derive(Debug, Default)]
pub(crate) struct Lookout(AtomicU64);

/// The watched of this process, with the rounds since anybody slept on them.
#[derive(Debug)]
struct Watched {
    generation: u32,
    is_running: bool,
    mutants: Vec<(Weak<Object>, u32)>,
}

impl Watched {
    const fn new(generation: u32) -> Self {
        Self {
            generation,
            is_running: false,
            mutants: Vec::new(),
        }
    }
}

/// A forked child may inherit it locked, for ever: only who is watched in this generation waits
/// for it.
static WATCHED: Mutex<Watched> = Mutex::new(Watched::new(0));

impl Lookout {
    fn halves(&self) -> (u32, u32) {
        let found = self.0.load(Ordering::SeqCst);
        ((found >> 32) as u32, (found & 0xffff_ffff) as u32)
    }

    /// The alarms so far; `None`: it is not watched.
    fn alarms(&self) -> Option<u32> {
        let (generation, alarms) = self.halves();
        (generation == fork::generation()).then_some(alarms)
    }

    fn begin(&self, generation: u32) {
        let word = u64::from(generation) << 32;
        self.0.store(word, Ordering::SeqCst);
    }
}

/// Alarms about this mutant so far; `None`: it is not watched, and its sleepers must look
/// themselves. To be asked once it is armed.
pub(crate) fn alarms(object: &Object) -> Option<u32> {
    object.lookout.alarms()
}

/// Counts a sleep on a mutant that is not watched, which may make it so.
pub(crate) fn slept(object: &Arc<Object>) {
    match object.lookout.halves() {
        (0, sleeps) if sleeps < OFTEN => {
            object.lookout.0.fetch_add(1, Ordering::Relaxed);
        }
        (0, _) => watch(object),
        (generation, _) if generation == fork::generation() => {}
        // Watched by the parent of this process.
        _ => object.lookout.begin(0),
    }
}

fn watch(object: &Arc<Object>) {
    let Ok(mut watched) = WATCHED.try_lock() else {
        return;
    };
    let generation = fork::generation();
    if watched.generation != generation {
        *watched = Watched::new(generation);
    }
    if object.lookout.alarms().is_some() {
        return;
    }
    if !watched.is_running && thread::spawn_quiet("strait-watcher", run).is_err() {
        return;
    }
    watched.is_running = true;
    watched.mutants.push((Arc::downgrade(object), 0));
    object.lookout.begin(generation);
}

/// To be called before a handle goes: the watcher may hold it for a moment, and it must not outlive
/// its owner.
pub(crate) fn forget(object: &Arc<Object>) {
    if object.lookout.alarms().is_none() {
        return;
    }
    let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    object.lookout.begin(0);
    let address = Arc::as_ptr(object);
    watched
        .mutants
        .retain(|(known, _)| known.as_ptr() != address);
}

fn run() {
    loop {
        // sleep: a death announces nothing.
        std::thread::sleep(PROBE);
        let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
        watched.mutants.retain_mut(|(object, idle)| {
            let object = object.upgrade();
            object.is_some_and(|object| look_after(&object, idle))
        });
        if watched.mutants.is_empty() {
            watched.is_running = false;
            return;
        }
    }
}

/// Wakes the sleepers of one whose owner is dead. False: nobody needs it to be watched any more.
fn look_after(object: &Object, idle: &mut u32) -> bool {
    let spot = object.spot(0);
    let state = spot.observe();
    let orphan = !state.ready() && member::is_dead(&spot, state.value());
    if object.map.is_broken() || state.waiters() && orphan {
        object.lookout.0.fetch_add(1, Ordering::SeqCst);
        let _ = futex::wake(spot.look().low(), u32::MAX >> 1);
    }
    *idle = if state.waiters() { 0 } else { *idle + 1 };
    if *idle < IDLE_MAX {
        return true;
    }
    object.lookout.begin(0);
    let needed = spot.glance().waiters();
    if needed {
        object.lookout.begin(fork::generation());
        *idle = 0;
    }
    needed
}
