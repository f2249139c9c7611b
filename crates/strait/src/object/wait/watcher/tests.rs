//! The watcher without its pauses: it lets go and is called again all the time.

use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::object::handle::{Blueprint, Site};
use crate::object::kind::Kind;
use crate::object::wait::{Whole, any, signal};
use crate::object::word::Op;

const ROUNDS: u32 = 1_000;
/// Who die one after the other in each.
const HEIRS: u32 = 2;
/// Longest wait for something that must come.
const GUARD: Duration = Duration::from_secs(20);

fn mutant() -> Arc<Object> {
    let plan = Blueprint {
        kind: Kind::Mutant,
        flags: 0,
        limit: 0,
        data_len: 0,
        states: [State::new(true, 0), State::new(false, 0)],
    };
    let handle = Site::default().create(&plan, "create mutant").unwrap();
    Arc::new(Object::new(handle).unwrap())
}

#[test]
fn who_lets_go_says_so_before_it_looks() {
    let object = mutant();
    let watched = Watched::new(&object).unwrap();
    let alarms = || object.lookout.alarms();
    object.lookout.begin(fork::generation());
    assert_eq!(alarms(), Some(0));
    let armed = |_: &Watched| {
        assert_eq!(alarms(), None, "a sleeper of now must not rely on it");
        State::new(false, 7).with_waiters()
    };
    assert!(!watched.leave(armed));
    assert_eq!(alarms(), Some(0));
    assert!(watched.leave(Watched::look));
    assert_eq!(alarms(), None);
}

/// A fork can come at any look; its child must find them all.
#[test]
fn what_is_looked_at_stays_where_a_forked_child_finds_it() {
    static HERE: Guarded<Watcher> = Guarded::new(Watcher {
        generation: 0,
        is_running: true,
        mutants: Vec::new(),
    });
    let objects = [mutant(), mutant(), mutant()];
    let watched = || {
        objects
            .iter()
            .map(|object| Arc::new(Watched::new(object).unwrap()))
    };
    HERE.with(|watcher| watcher.mutants.extend(watched()));
    let count = || HERE.with(|watcher| watcher.mutants.len());
    let keeps_all = |_: &Watched| count() == 3;
    assert!(!round(&HERE, keeps_all) && HERE.with(|watcher| watcher.is_running));
    let of = |watched: &Watched, object: &Object| Arc::ptr_eq(&watched.lookout, &object.lookout);
    assert!(!round(&HERE, |watched| !of(watched, &objects[0])));
    let gone = |watcher: &mut Watcher| !watcher.mutants.iter().any(|it| of(it, &objects[0]));
    assert_eq!((count(), HERE.with(gone)), (2, true));
    assert!(round(&HERE, |_| false) && !HERE.with(|watcher| watcher.is_running));
    assert_eq!(count(), 0);
}

/// Owners die one after the other, while a watcher lets go as often as it can. A sleeper without a
/// time-out that nobody watched would sleep for ever.
#[test]
fn nobody_sleeps_unwatched_on_a_dead_owners_mutant() {
    let rounds = std::env::var("STRAIT_WATCHES").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let object = &mutant();
    let is_over = AtomicBool::new(false);
    let (send, ended) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let watched = Watched::new(object).unwrap();
            let lookout = &watched.lookout.clone();
            let mut pauses = 0;
            let goes_on = || !is_over.load(Ordering::SeqCst);
            while goes_on() {
                lookout.begin(fork::generation());
                while goes_on() && watched.look_after() {
                    // It is to let go at any moment between a release and a death.
                    pauses = (pauses * 5 + 3) % 16;
                    (0..pauses).for_each(|_| std::hint::spin_loop());
                }
                // Until somebody has noticed: one who has not sleeps for good.
                while goes_on() && lookout.halves() == (0, 0) {
                    std::thread::yield_now();
                }
            }
        });
        scope.spawn(move || {
            for round in 0..rounds {
                let dies = |spins: u32| {
                    // Nobody waits after a release: the watcher may let go.
                    any(&[&Whole(object, 0)]).unwrap();
                    signal::signal(&object.spot(0), "release mutant", |_| Op::Free).unwrap();
                    any(&[&Whole(object, 0)]).unwrap();
                    (0..spins).for_each(|_| std::hint::spin_loop());
                };
                std::thread::scope(|inner| {
                    for heir in 0..HEIRS {
                        // As long as a few looks of the watcher, and as a few dozen.
                        inner.spawn(move || dies((round * 7 + heir * 331) % 1024));
                    }
                });
                send.send(()).unwrap();
            }
        });
        let in_time = (0..rounds).all(|_| ended.recv_timeout(GUARD).is_ok());
        is_over.store(true, Ordering::SeqCst);
        // Only its own watcher is left to those who sleep on; this test's has failed.
        if !in_time {
            eprintln!("somebody sleeps on a mutant whose owner is dead");
            std::process::exit(101);
        }
    });
}
