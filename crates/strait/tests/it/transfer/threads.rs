//! fork while other threads are in the midst of what all threads share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use strait::nt::{Event, Mutant, Semaphore};
use strait::{Namespace, wait};
use strait_sys::fork::run_child;

use crate::world::{GUARD, alone, until};

const FORKS: u32 = 150;

/// Everything that uses state of the whole process: names, private memory, domains, ringers.
fn use_everything(space: &Namespace) {
    let again = Namespace::directory(space.path()).unwrap();
    let named = again.semaphore("units", 0, 8).create_or_open().unwrap().0;
    let private = Semaphore::options(0, 8).create().unwrap();
    named.release(1).unwrap();
    private.release(1).unwrap();
    // A transaction of both, which the one's record decides and the other's redirects to.
    let won = wait::all_for(&[&named, &private], GUARD).unwrap();
    assert!(won.is_some());
    let mutant = Mutant::options().create().unwrap();
    drop(mutant.acquire_for(GUARD).unwrap().unwrap());
    let set = wait::Set::new().unwrap();
    let (event, other) = (Event::options().create(), again.event("other").create());
    let (event, _other) = (event.unwrap(), other.map(|other| set.add(&other)));
    let key = set.add(&event).unwrap();
    event.set().unwrap();
    assert_eq!(set.wait_for(GUARD).unwrap().unwrap().key, key);
    assert!(Namespace::local().unwrap().path().is_absolute());
}

fn ends_well(child: Pid) {
    let mut status = None;
    let mut ended = || {
        status = waitpid(Some(child), WaitOptions::NOHANG).unwrap();
        status.is_some()
    };
    let since = std::time::Instant::now();
    while !ended() {
        if since.elapsed() > GUARD {
            kill_process(child, Signal::KILL).unwrap();
            until("the child is gone", ended);
            panic!("the child hangs in something that another thread had at the fork");
        }
        // sleep: between two looks at a child that may never end
        std::thread::sleep(Duration::from_millis(1));
    }
    let status = status.unwrap().1;
    assert_eq!(status.exit_status(), Some(0), "{status:?}");
}

#[test]
fn a_child_finds_nothing_in_the_hands_of_a_thread_it_does_not_have() {
    let test = "transfer::threads::a_child_finds_nothing_in_the_hands_of_a_thread_it_does_not_have";
    alone(test, || {
        let space = Namespace::temporary().unwrap();
        let shared = Arc::new(wait::Set::new().unwrap());
        let done = Arc::new(AtomicBool::new(false));
        let (theirs, set, stop) = (space.clone(), shared.clone(), done.clone());
        let (tell, told) = std::sync::mpsc::channel();
        // The name, which it has once it runs, says that the fork may take place all the same.
        let busy = std::thread::Builder::new().name("strait-busy".into());
        let busy = busy.spawn(move || {
            tell.send(()).unwrap();
            let event = Event::options().create().unwrap();
            while !stop.load(Ordering::Relaxed) {
                use_everything(&theirs);
                let key = set.add(&event).unwrap();
                assert!(set.remove(key));
            }
        });
        told.recv().unwrap();
        for _ in 0..FORKS {
            let child = run_child(|| {
                assert_eq!(shared.len(), 0, "it is the parent's");
                use_everything(&space);
                0
            });
            ends_well(child.unwrap());
        }
        done.store(true, Ordering::Relaxed);
        busy.unwrap().join().unwrap();
    });
}
