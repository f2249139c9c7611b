//! Several operations are one step, in their order; waits; what is told of a set.

use std::time::{Duration, SystemTime};

use strait::ErrorKind;
use strait::unix::ipc::{Change, Key};
use strait::unix::sem::{self, Op, Set, down, up, zero};
use strait_sys::{interrupt, step};

use super::Own;
use crate::peer::{Peer, say};
use crate::world::{GUARD, Random, refused};

#[test]
fn operations_are_done_together_or_not_at_all() {
    let set = Own::of(&[1, 0, 5]);
    assert!(!set.try_op(&[down(0), up(1), down(2).by(6)]).unwrap());
    assert_eq!(set.values().unwrap(), [1, 0, 5]);
    assert!(set.try_op(&[down(0), up(1), down(2).by(5)]).unwrap());
    assert_eq!(set.values().unwrap(), [0, 1, 0]);
    assert!(!set.op_for(&[down(0)], Duration::from_millis(1)).unwrap());
    assert!(set.op_for(&[down(1)], Duration::MAX).unwrap());
    assert_eq!(set.values().unwrap(), [0, 0, 0]);
    // More than are marked on the stack.
    let many: Vec<Op> = (0..500).map(|_| up(0)).collect();
    assert!(set.try_op(&many).unwrap());
    let mut all: Vec<Op> = (0..499).map(|_| down(0)).collect();
    all.push(down(0).by(2));
    assert!(!set.try_op(&all).unwrap());
    assert_eq!(set.value(0).unwrap(), 500);
}

#[test]
fn operations_on_one_semaphore_see_each_other() {
    let set = Own::of(&[0]);
    assert!(set.try_op(&[up(0), down(0)]).unwrap());
    assert!(!set.try_op(&[down(0), up(0)]).unwrap());
    // A lock that is free at 0.
    assert!(set.try_op(&[zero(0), up(0)]).unwrap());
    assert!(!set.try_op(&[zero(0), up(0)]).unwrap());
    assert!(set.try_op(&[down(0), zero(0), up(0).by(3)]).unwrap());
    assert_eq!(set.value(0).unwrap(), 3);
}

#[test]
fn a_sleeper_is_woken_by_what_it_waits_for() {
    let set = Own::of(&[2, 0]);
    let (mut zero, mut taker) = (set.worker(), set.worker());
    zero.tell("op 0:0 1:+1");
    set.waited_for(0, 0, 1);
    set.op(&[down(0)]).unwrap();
    set.waited_for(0, 0, 1);
    taker.tell("for 0:-2");
    set.waited_for(0, 1, 1);
    set.op(&[up(0)]).unwrap();
    assert_eq!(taker.hear().unwrap(), "true");
    // Its taking has left nothing.
    assert_eq!(zero.hear().unwrap(), "true");
    assert_eq!(set.values().unwrap(), [0, 1]);
    let found = set.semaphore(0).unwrap();
    assert_eq!((found.value, found.takers, found.zero_waiters), (0, 0, 0));
    assert_eq!(set.semaphore(1).unwrap().last, Some(zero.child.id()));
    assert_eq!(taker.ask("brief 0:-1"), "false");
    // Setting a value wakes too.
    taker.tell("op 0:-7");
    set.waited_for(0, 1, 0);
    set.set_value(0, 7).unwrap();
    assert_eq!(taker.hear().unwrap(), "true");
}

#[test]
fn signals_that_are_handled_end_no_operation() {
    interrupt::accept().unwrap();
    let set = Own::of(&[0]);
    let (tell, told) = std::sync::mpsc::channel();
    let take = |timeout: Option<Duration>| match timeout {
        Some(timeout) => set.op_for(&[down(0)], timeout),
        None => set.op(&[down(0)]).map(|()| true),
    };
    for (timeout, ends) in [
        (None, true),
        (Some(GUARD), true),
        (Some(GUARD / 200), false),
    ] {
        std::thread::scope(|scope| {
            let tell = tell.clone();
            let sleeper = scope.spawn(move || {
                tell.send(step::me()).unwrap();
                take(timeout).unwrap()
            });
            let tid = told.recv().unwrap();
            if ends {
                set.waited_for(0, 1, 0);
                let before = interrupt::handled();
                while interrupt::handled() < before + 100 {
                    interrupt::thread(tid).expect("a signal ended the operation");
                }
                set.op(&[up(0)]).unwrap();
            } else {
                // The time runs out though it is interrupted all the time.
                while !sleeper.is_finished() && interrupt::thread(tid).is_ok() {
                    std::thread::yield_now();
                }
            }
            assert_eq!(sleeper.join().unwrap(), ends);
        });
    }
}

/// Moves units from one semaphore to another, on and on.
pub(crate) fn mover(args: &[String]) {
    let set = Set::from_id(args[0].parse().unwrap()).unwrap();
    let mut random = Random::of_seed(args[1].parse().unwrap());
    let count = u16::try_from(set.stat().unwrap().count).unwrap();
    let mut some = move || u16::try_from(random.below(count.into())).unwrap();
    say("moving");
    loop {
        let ops = [down(some()), down(some()), up(some()), up(some())];
        set.op_for(&ops, Duration::from_millis(1)).unwrap();
    }
}

#[test]
fn killed_processes_leave_no_operation_half_done() {
    const UNITS: u32 = 40;
    let mut random = Random::of_test("killed_processes_leave_no_operation_half_done");
    let set = Own::of(&[10, 10, 10, 10]);
    let mut start = || {
        let seed = random.next().to_string();
        let mut peer = Peer::start("sem.mover", &[&set.id().to_string(), &seed]);
        assert_eq!(peer.hear().as_deref(), Some("moving"));
        peer
    };
    let mut peers: Vec<Peer> = (0..3).map(|_| start()).collect();
    let sum = || -> u32 {
        let values = set.values().unwrap();
        values.into_iter().map(u32::from).sum()
    };
    for round in 0..30 {
        for _ in 0..200 {
            assert_eq!(sum(), UNITS);
        }
        let index = round % peers.len();
        peers[index].kill();
        peers[index] = start();
    }
    drop(peers);
    assert_eq!(sum(), UNITS);
}

#[test]
fn a_set_tells_of_itself() {
    let key = super::key(1);
    let set = Own(Set::create(key, 3, 0o640).unwrap());
    let stat = set.stat().unwrap();
    assert_eq!((stat.id, stat.key, stat.count), (set.id(), key, 3));
    assert_eq!(stat.permissions.mode, 0o640);
    assert_eq!(stat.permissions.uid, rustix::process::geteuid().as_raw());
    assert!(stat.operated.is_none() && stat.changed.unwrap() <= SystemTime::now());
    assert_eq!(set.semaphore(2).unwrap().last, None);
    set.op(&[up(2)]).unwrap();
    assert!(set.stat().unwrap().operated.is_some());
    assert_eq!(set.semaphore(2).unwrap().last, Some(std::process::id()));
    set.set(Change::new().mode(0o600)).unwrap();
    let listed = sem::list().unwrap();
    let listed = listed.iter().find(|found| found.id == set.id()).unwrap();
    assert_eq!(listed.permissions.mode, 0o600);
    assert_eq!(*listed, set.stat().unwrap());
    assert_eq!(Set::open(key).unwrap(), *set);
    assert_eq!(Set::from_id(set.id()).unwrap(), *set);
    let (limits, usage) = (sem::limits().unwrap(), sem::usage().unwrap());
    assert!(usage.sets >= 1 && usage.semaphores >= 3 && limits.sets >= usage.sets);
    assert_eq!(limits.value, u32::from(sem::VALUE_MAX));
    let text = std::fs::read_to_string("/proc/sys/kernel/sem").unwrap();
    let numbers: Vec<u32> = text
        .split_whitespace()
        .map(|n| n.parse().unwrap())
        .collect();
    let ours = [limits.per_set, limits.semaphores, limits.ops, limits.sets];
    assert_eq!(numbers, ours);
    refused(Set::open(Key::PRIVATE), ErrorKind::InvalidInput);
    drop(set);
    refused(Set::open(key), ErrorKind::NotFound);
}
