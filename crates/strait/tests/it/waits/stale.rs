//! What was ready once, for somebody who has gone or only together with something else.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use strait::nt::{Event, Mutant, Reset, Semaphore, Timer};
use strait::wait;

use crate::world::until;

const LONG: Duration = Duration::from_secs(10);
const BRIEF: Duration = Duration::from_millis(100);

#[test]
fn a_wait_for_all_takes_nothing_that_was_ready_only_before() {
    for reset in [Reset::Manual, Reset::Auto] {
        let event = Event::options().reset(reset).create().unwrap();
        let unit = Semaphore::options(0, 1).create().unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| wait::all_for(&[&event, &unit], BRIEF * 5).unwrap());
            // sleep: whether the waiter sleeps on the one or the other, it must not remember.
            std::thread::sleep(BRIEF);
            event.set().unwrap();
            // sleep: lets the waiter look in between.
            std::thread::sleep(BRIEF);
            event.reset().unwrap();
            unit.release(1).unwrap();
            assert_eq!(waiter.join().unwrap(), None, "{reset:?}");
        });
        assert_eq!(unit.query().unwrap().count, 1);
    }
}

#[test]
fn releases_go_with_the_waiters_they_were_for() {
    let work = Event::options().create().unwrap();
    let stop = Event::options().reset(Reset::Manual).create().unwrap();
    std::thread::scope(|scope| {
        let waiters: Vec<_> = (0..5)
            .map(|_| scope.spawn(|| wait::any_for(&[&stop, &work], LONG).unwrap().unwrap().index))
            .collect();
        // sleep: most of them wait by then; it is right also if none does.
        std::thread::sleep(BRIEF);
        stop.set().unwrap();
        for _ in 0..5 {
            work.set().unwrap();
        }
        waiters.into_iter().for_each(|waiter| drop(waiter.join()));
    });
    let taken = (0..5)
        .filter(|_| work.wait_for(Duration::ZERO).unwrap())
        .count();
    assert!(taken <= 1, "{taken} releases were left for nobody");
}

#[test]
fn a_timer_that_nobody_looked_at_makes_its_set_readable() {
    let timer = Timer::options().create().unwrap();
    let set = wait::Set::new().unwrap();
    let key = set.add(&timer).unwrap();
    timer.set(Duration::from_millis(50)).unwrap();
    // sleep: the expiry, and some looks of the set's own thread after it.
    std::thread::sleep(Duration::from_millis(400));
    let readable = || {
        wait::any_for(&[&wait::readable(&set)], Duration::ZERO)
            .unwrap()
            .is_some()
    };
    until("the set is readable", readable);
    assert_eq!(set.wait_for(Duration::ZERO).unwrap().unwrap().key, key);
}

/// Acquires the mutant while its thread ends, and tells.
struct Last(
    Arc<Mutant>,
    std::sync::mpsc::Sender<bool>,
    std::sync::mpsc::Receiver<()>,
);

impl Drop for Last {
    fn drop(&mut self) {
        let guard = self.0.acquire();
        self.1.send(guard.is_ok()).unwrap();
        // Until the other has looked.
        let _ = self.2.recv();
    }
}

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

#[test]
fn a_thread_that_has_given_up_its_seat_owns_nothing() {
    let mutant = Arc::new(Mutant::options().create().unwrap());
    let (tell, told) = channel();
    let (go, gone) = channel();
    let theirs = mutant.clone();
    let thread = std::thread::spawn(move || {
        LAST.set(Some(Last(theirs.clone(), tell, gone)));
        drop(theirs.acquire().unwrap());
    });
    let acquired = told.recv().unwrap();
    let here = mutant.try_acquire().unwrap();
    // Either the destructor was refused, or it owns the mutant and nobody else does.
    assert_eq!(here.is_some(), !acquired);
    assert!(here.is_none_or(|guard| !guard.abandoned()));
    go.send(()).unwrap();
    thread.join().unwrap();
}
