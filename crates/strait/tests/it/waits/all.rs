//! What `all` takes: everything in one step, or nothing.

use std::io::{Read, Write};
use std::time::Duration;

use strait::nt::{Event, EventPair, Mutant, Semaphore};
use strait::wait::{self, AllWon, Waitable};
use strait::{ErrorKind, Namespace, Rights};

use crate::death::watch::{STUCK, let_sleep};

use super::{beside, refs};

fn all_now(members: &[&dyn Waitable]) -> bool {
    wait::all_for(members, Duration::ZERO).unwrap().is_some()
}

pub(crate) fn everything_is_taken_at_once() {
    let space = Namespace::temporary().unwrap();
    let event = space.event("event").create().unwrap();
    let units = space.semaphore("units", 2, 2).create().unwrap();
    let mutant = space.mutant("mutant").create().unwrap();
    let timer = space.timer("timer").create().unwrap();
    let members: [&dyn Waitable; 4] = [&event, &units, &mutant, &timer];
    assert!(!all_now(&members));
    timer.set(Duration::ZERO).unwrap();
    assert!(!all_now(&members), "the event is not set");
    event.set().unwrap();
    assert!(all_now(&members));
    assert!(!event.query().unwrap().set && !timer.query().unwrap().ready);
    assert_eq!(units.query().unwrap().count, 1);
    assert!(mutant.query().unwrap().owned_by_caller);
    // Recursion counts in `all` as elsewhere.
    assert!(all_now(&[&mutant, &units]));
    assert_eq!(mutant.release().unwrap(), 2);
    assert_eq!(mutant.release().unwrap(), 1);
    assert_eq!(mutant.release().unwrap_err().kind(), ErrorKind::NotOwner);
    assert!(!all_now(&[&mutant, &units]), "no unit is left");
    assert!(!mutant.query().unwrap().owned_by_caller);
}

pub(crate) fn an_end_ends_the_wait_and_takes_nothing() {
    let space = Namespace::temporary().unwrap();
    let units = space.semaphore("units", 2, 2).create().unwrap();
    let event = space.event("event").create().unwrap();
    let (pipe, mut writer) = std::io::pipe().unwrap();
    let end = wait::readable(&pipe);
    let unless = |timeout| wait::all_unless(&[&units, &event], end, timeout).unwrap();
    assert_eq!(unless(Duration::ZERO), None);
    let won = beside(
        || unless(STUCK),
        |_| {
            event.set().unwrap();
        },
    );
    assert!(won.is_some());
    assert_eq!(
        beside(
            || unless(Duration::MAX),
            |_| writer.write_all(b"x").unwrap()
        ),
        None
    );
    assert_eq!(units.query().unwrap().count, 1);
    // It is readable still, and what is ready at once is taken all the same.
    assert_eq!(unless(Duration::MAX), None);
    event.set().unwrap();
    assert!(unless(Duration::MAX).is_some());
    assert_eq!(units.query().unwrap().count, 0);
}

pub(crate) fn descriptors_are_looked_at_and_not_taken() {
    let space = Namespace::temporary().unwrap();
    let event = space.event("event").set().create().unwrap();
    let private = Event::options().set().create().unwrap();
    let (mut pipe, mut writer) = std::io::pipe().unwrap();
    let fd = pipe.try_clone().unwrap();
    let fd = wait::readable(&fd);
    assert!(!all_now(&[&event, &fd, &private]));
    assert!(event.query().unwrap().set && private.query().unwrap().set);
    let wait = || wait::all_for(&[&event, &fd, &private], STUCK).unwrap();
    let won = beside(wait, |_| writer.write_all(b"x").unwrap());
    assert!(won.is_some());
    assert!(!event.query().unwrap().set && !private.query().unwrap().set);
    let mut byte = [0];
    pipe.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"x", "the wait read nothing");
    let soon = wait::after(Duration::from_millis(2));
    event.set().unwrap();
    assert!(wait::all_for(&[&soon, &event], STUCK).unwrap().is_some());
}

pub(crate) fn private_and_named_objects_mix() {
    let space = Namespace::temporary().unwrap();
    let named = space.semaphore("named", 1, 1).create().unwrap();
    let private = Semaphore::options(1, 1).create().unwrap();
    let other = space.mutant("other").create().unwrap();
    let own = Mutant::options().create().unwrap();
    for _ in 0..100 {
        let members: [&dyn Waitable; 4] = [&private, &named, &own, &other];
        assert!(all_now(&members));
        assert!(!all_now(&[&private, &own]) && !all_now(&[&named, &other]));
        own.release().unwrap();
        other.release().unwrap();
        named.release(1).unwrap();
        assert!(!all_now(&members));
        assert_eq!(named.query().unwrap().count, 1);
        assert!(!own.query().unwrap().owned_by_caller);
        private.release(1).unwrap();
    }
    std::thread::scope(|scope| {
        let contend = || {
            for _ in 0..2_000 {
                let won = wait::all_for(&[&private, &named], STUCK).unwrap();
                won.expect("units are given back");
                assert_eq!(named.query().unwrap().count, 0);
                assert_eq!(private.query().unwrap().count, 0);
                private.release(1).unwrap();
                named.release(1).unwrap();
            }
        };
        scope.spawn(contend);
        scope.spawn(contend);
    });
    assert_eq!(named.query().unwrap().count, 1);
    assert_eq!(private.query().unwrap().count, 1);
}

pub(crate) fn two_namespaces_do_not_mix() {
    let spaces = [(); 2].map(|()| Namespace::temporary().unwrap());
    let [one, two] = spaces
        .each_ref()
        .map(|space| space.event("event").set().create().unwrap());
    let error = wait::all_for(&[&one, &two], Duration::ZERO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("namespace"), "{error}");
    assert!(one.query().unwrap().set && two.query().unwrap().set);
    let won = wait::any_for(&[&two, &one], Duration::ZERO).unwrap();
    assert_eq!(
        won.map(|won| won.index),
        Some(0),
        "any needs no common table"
    );
}

pub(crate) fn an_object_may_not_appear_twice() {
    let space = Namespace::temporary().unwrap();
    let units = space.semaphore("units", 5, 5).create().unwrap();
    let again = space.semaphore("units", 0, 1).open().unwrap();
    let copy = units.duplicate(Rights::ALL).unwrap();
    let other = Event::options().set().create().unwrap();
    for twice in [
        [&units as &dyn Waitable, &other, &units],
        [&units, &other, &again],
        [&copy, &units, &other],
        [&other, &units, &other],
    ] {
        let error = wait::all_for(&twice, Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(units.query().unwrap().count, 5);
    assert!(other.query().unwrap().set);
    // The halves of a pair are two objects.
    let pair = EventPair::options().create().unwrap();
    pair.set_low().unwrap();
    pair.set_high().unwrap();
    assert!(all_now(&[&pair.low(), &pair.high()]));
}

pub(crate) fn abandoned_mutants_are_listed() {
    let space = Namespace::temporary().unwrap();
    let mutants = [0, 1, 2, 3].map(|index| {
        let name = format!("m{index}");
        space.mutant(name).create().unwrap()
    });
    let private = Mutant::options().create().unwrap();
    let event = Event::options().set().create().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for mutant in [&mutants[1], &mutants[3], &private] {
                std::mem::forget(mutant.acquire().unwrap());
            }
        });
    });
    let members: [&dyn Waitable; 6] = [
        &event,
        &mutants[3],
        &mutants[0],
        &mutants[1],
        &private,
        &mutants[2],
    ];
    let won = wait::all_for(&members, STUCK).unwrap().unwrap();
    assert_eq!(won.abandoned, [1, 3, 4]);
    for mutant in mutants.iter().chain([&private]) {
        mutant.release().unwrap();
    }
    event.set().unwrap();
    let won = wait::all_for(&members, STUCK).unwrap().unwrap();
    assert!(won.abandoned.is_empty(), "reported once: {won:?}");
}

pub(crate) fn a_sleeper_wakes_when_the_last_is_ready() {
    let space = Namespace::temporary().unwrap();
    let events = super::any::four_events(&space);
    let everything = || wait::all_for(&refs(&events), STUCK).unwrap();
    let named = || wait::all_for(&[&events[0], &events[2]], STUCK).unwrap();
    let everything: &(dyn Fn() -> Option<AllWon> + Sync) = &everything;
    for (wait, order) in [(everything, [2, 0, 3, 1]), (&named, [3, 2, 1, 0])] {
        for _ in 0..10 {
            let won = beside(wait, |tid| {
                for index in order {
                    let_sleep(std::process::id(), tid);
                    events[index].set().unwrap();
                }
            });
            assert!(won.is_some());
            // What was not asked for is left alone.
            for (index, event) in events.iter().enumerate() {
                let left = order == [3, 2, 1, 0] && index % 2 == 1;
                assert_eq!(event.reset().unwrap(), left);
            }
        }
    }
}
