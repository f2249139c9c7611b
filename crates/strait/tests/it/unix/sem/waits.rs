//! Sets as members of waits.

use std::time::Duration;

use strait::ErrorKind;
use strait::nt::Event;
use strait::unix::sem::{ACQUIRING_MAX, Op, down, up, zero};
use strait::wait;

use super::Own;
use crate::world::{GUARD, refused};

#[test]
fn what_wins_is_taken_and_what_loses_is_not() {
    let set = Own::of(&[1, 2]);
    let event = Event::options().create().unwrap();
    let both = set.acquiring(&[down(0), down(1).by(2)]).unwrap();
    let other = set.acquiring(&[down(1)]).unwrap();
    let won = wait::any_for(&[&event, &both, &other], GUARD).unwrap();
    assert_eq!(won.unwrap().index, 1);
    assert_eq!(set.values().unwrap(), [0, 0]);
    event.set().unwrap();
    set.op(&[up(1)]).unwrap();
    let won = wait::any_for(&[&event, &both, &other], GUARD).unwrap();
    assert_eq!(won.unwrap().index, 0);
    assert_eq!(set.values().unwrap(), [0, 1]);
    set.set_values(&[0, 0]).unwrap();
    let brief = Duration::from_millis(5);
    assert!(
        wait::any_for(&[&event, &both, &other], brief)
            .unwrap()
            .is_none()
    );
    assert_eq!(set.values().unwrap(), [0, 0]);
    set.waited_for(0, 0, 0);
    set.waited_for(1, 0, 0);
}

#[test]
fn a_sleeping_wait_is_woken_from_another_process_and_undone_with_it() {
    let set = Own::of(&[0, 0]);
    let event = Event::options().create().unwrap();
    let mut worker = set.worker();
    // Its lock is free at 0, and its probe waits for that.
    let lock = set.acquiring(&[zero(1), up(1).undo()]).unwrap();
    set.set_value(1, 1).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| wait::any_for(&[&event, &lock], GUARD).unwrap());
        set.waited_for(1, 0, 1);
        assert_eq!(worker.ask("op 1:-1"), "true");
        assert_eq!(waiter.join().unwrap().unwrap().index, 1);
    });
    assert_eq!(set.value(1).unwrap(), 1);
    let units = set.acquiring(&[down(0).by(3)]).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| wait::any_for(&[&event, &units], GUARD).unwrap());
        set.waited_for(0, 1, 0);
        assert_eq!(worker.ask("op 0:+2"), "true");
        set.waited_for(0, 1, 0);
        assert_eq!(worker.ask("op 0:+1"), "true");
        assert_eq!(waiter.join().unwrap().unwrap().index, 1);
    });
    assert_eq!(set.value(0).unwrap(), 0);
}

#[test]
fn all_only_looks() {
    let set = Own::of(&[2]);
    let event = Event::options().create().unwrap();
    event.set().unwrap();
    let unit = set.acquiring(&[down(0)]).unwrap();
    assert!(wait::all_for(&[&event, &unit], GUARD).unwrap().is_some());
    assert_eq!(set.value(0).unwrap(), 2);
    assert!(!event.query().unwrap().set);
    set.set_value(0, 0).unwrap();
    event.set().unwrap();
    let brief = Duration::from_millis(5);
    assert!(wait::all_for(&[&event, &unit], brief).unwrap().is_none());
    assert!(event.query().unwrap().set);
}

#[test]
fn a_long_lived_wait_takes_units_one_by_one() {
    let set = Own::of(&[0]);
    let unit = set.acquiring(&[down(0)]).unwrap();
    let many = wait::Set::new().unwrap();
    let key = many.add(&unit).unwrap();
    assert!(many.wait_for(Duration::ZERO).unwrap().is_none());
    let mut worker = set.worker();
    for _ in 0..20 {
        worker.tell("op 0:+1");
        assert_eq!(many.wait_for(GUARD).unwrap().unwrap().key, key);
        assert_eq!(worker.hear().unwrap(), "true");
    }
    assert_eq!(set.value(0).unwrap(), 0);
    drop(many);
    set.waited_for(0, 0, 0);
}

#[test]
fn removal_ends_the_wait() {
    let set = Own::of(&[0]);
    let unit = set.acquiring(&[down(0)]).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| refused(wait::any(&[&unit]), ErrorKind::Removed));
        set.waited_for(0, 1, 0);
        set.remove().unwrap();
        let error = waiter.join().unwrap();
        assert_eq!(error.operation(), "operate on", "{error}");
    });
    refused(wait::any_for(&[&unit], GUARD), ErrorKind::Removed);
}

#[test]
fn as_many_operations_as_can_be_taken_back_in_one_call() {
    let set = Own::of(&[250]);
    let most: Vec<Op> = (0..ACQUIRING_MAX).map(|_| down(0)).collect();
    let event = Event::options().create().unwrap();
    set.op(&[down(0)]).unwrap();
    let unit = set.acquiring(&most).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| wait::any_for(&[&event, &unit], GUARD).unwrap());
        set.waited_for(0, 1, 0);
        set.op(&[up(0)]).unwrap();
        assert_eq!(waiter.join().unwrap().unwrap().index, 1);
    });
    assert_eq!(set.value(0).unwrap(), 0);
    let more: Vec<Op> = (0..=ACQUIRING_MAX).map(|_| down(0)).collect();
    refused(set.acquiring(&more), ErrorKind::InvalidInput);
    refused(set.acquiring(&[]), ErrorKind::InvalidInput);
}
