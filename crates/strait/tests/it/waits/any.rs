use std::time::Duration;

use strait::nt::{self, Event, Mutant, Reset, Semaphore};
use strait::wait::{self, Waitable};
use strait::{ErrorKind, Namespace};
use strait_sys::interrupt;

use crate::death::watch::{STUCK, hear_within, let_sleep};
use crate::peer::{Peer, say, told};

use super::{beside, refs};

const SOON: Duration = Duration::from_millis(5);

/// Four events, of which every other one is named.
pub(super) fn four_events(space: &Namespace) -> [Event; 4] {
    std::array::from_fn(|index| {
        if index % 2 == 0 {
            space.event(format!("e{index}")).create().unwrap()
        } else {
            Event::options().create().unwrap()
        }
    })
}

fn sets(events: &[Event]) -> Vec<bool> {
    events
        .iter()
        .map(|event| event.query().unwrap().set)
        .collect()
}

pub(crate) fn the_lowest_ready_index_is_taken_and_nothing_else() {
    let space = Namespace::temporary().unwrap();
    let events = four_events(&space);
    let units = space.semaphore("units", 2, 5).create().unwrap();
    let members: Vec<&dyn Waitable> = vec![&events[0], &events[1], &events[2], &units, &events[3]];
    for event in &events[1..] {
        event.set().unwrap();
    }
    let mut won = Vec::new();
    while let Some(next) = wait::any_for(&members, Duration::ZERO).unwrap() {
        assert!(!next.abandoned);
        won.push(next.index);
        let ready: Vec<bool> = sets(&events);
        let left = |index| !won.contains(&index);
        assert_eq!(ready, [false, left(1), left(2), left(4)], "after {won:?}");
    }
    assert_eq!(won, [1, 2, 3, 3, 4]);
    assert_eq!(units.query().unwrap().count, 0);
}

pub(crate) fn a_sleeper_takes_what_woke_it_and_nothing_else() {
    let space = Namespace::temporary().unwrap();
    let events = four_events(&space);
    for round in 0..20 {
        let index = round % 4;
        let wait = || wait::any_for(&refs(&events), STUCK).unwrap();
        let won = beside(wait, |_| assert!(!events[index].set().unwrap()));
        assert_eq!(won.expect("released").index, index);
        assert_eq!(sets(&events), [false; 4]);
    }
}

pub(crate) fn an_event_may_appear_twice() {
    let space = Namespace::temporary().unwrap();
    let event = space.event("twice").create().unwrap();
    let again = space.event("twice").open().unwrap();
    let wait = |limit| {
        let won = wait::any_for(&[&event, &again, &event], limit).unwrap();
        won.map(|won| won.index)
    };
    event.set().unwrap();
    assert_eq!(wait(Duration::ZERO), Some(0));
    assert_eq!(wait(Duration::ZERO), None);
    let won = beside(|| wait(STUCK), |_| assert!(!again.set().unwrap()));
    assert_eq!(won, Some(0));
    assert!(!event.query().unwrap().set, "one set, one taking");
}

pub(crate) fn running_out_of_time_takes_nothing() {
    let space = Namespace::temporary().unwrap();
    let set = space.event("set").set().create().unwrap();
    let unset = space.event("unset").create().unwrap();
    let none = space.semaphore("none", 0, 1).create().unwrap();
    let some = Semaphore::options(3, 3).create().unwrap();
    let never = wait::after(STUCK);
    let begin = std::time::Instant::now();
    assert_eq!(wait::any_for(&[&unset, &none, &never], SOON).unwrap(), None);
    assert_eq!(wait::all_for(&[&set, &some, &unset], SOON).unwrap(), None);
    assert_eq!(wait::all_for(&[&none, &some, &set], SOON).unwrap(), None);
    assert!(begin.elapsed() >= 3 * SOON, "never before the deadline");
    assert!(set.query().unwrap().set);
    assert_eq!(some.query().unwrap().count, 3);
    // Nobody is registered any more: one set is one release.
    unset.set().unwrap();
    unset.set().unwrap();
    assert!(unset.wait_for(Duration::ZERO).unwrap());
    assert!(!unset.wait_for(Duration::ZERO).unwrap());
}

pub(crate) fn a_deadline_of_zero_polls() {
    let space = Namespace::temporary().unwrap();
    let events = four_events(&space);
    let members = refs(&events);
    for _ in 0..100 {
        assert!(wait::any_for(&members, Duration::ZERO).unwrap().is_none());
        assert!(
            wait::all_for(&members[..1], Duration::ZERO)
                .unwrap()
                .is_none()
        );
        events[2].set().unwrap();
        let won = wait::any_for(&members, Duration::ZERO).unwrap();
        assert_eq!(won.map(|won| won.index), Some(2));
        events[0].set().unwrap();
        assert!(
            wait::all_for(&members[..1], Duration::ZERO)
                .unwrap()
                .is_some()
        );
    }
    assert_eq!(sets(&events), [false; 4]);
}

pub(crate) fn one_to_sixty_four_members_are_allowed() {
    let events: Vec<Event> = (0..65)
        .map(|_| Event::options().set().create().unwrap())
        .collect();
    let members = refs(&events);
    for refused in [&members[..0], &members[..65]] {
        let any = wait::any_for(refused, Duration::ZERO).unwrap_err();
        let all = wait::all_for(refused, Duration::ZERO).unwrap_err();
        assert_eq!(
            (any.kind(), all.kind()),
            (ErrorKind::InvalidInput, ErrorKind::InvalidInput)
        );
    }
    assert_eq!(sets(&events), [true; 65], "a refused wait takes nothing");
    assert!(
        wait::all_for(&members[..64], Duration::ZERO)
            .unwrap()
            .is_some()
    );
    assert_eq!(
        wait::any_for(&members[1..], Duration::ZERO)
            .unwrap()
            .map(|won| won.index),
        Some(63)
    );
}

/// A wait is interrupted a hundred times, by every means of sleeping, and goes on.
pub(crate) fn signals_that_are_handled_end_no_wait() {
    interrupt::accept().unwrap();
    let space = Namespace::temporary().unwrap();
    let events = four_events(&space);
    let (pipe, _writer) = std::io::pipe().unwrap();
    let fd = wait::readable(&pipe);
    let alone = || wait::any_for(&[&events[0]], STUCK).unwrap().is_some();
    let several = || wait::any_for(&refs(&events), STUCK).unwrap().is_some();
    let mixed = || {
        let won = wait::any_for(&[&events[0], &fd], STUCK).unwrap();
        won.is_some()
    };
    let all = || {
        let won = wait::all_for(&refs(&events[..2]), STUCK).unwrap();
        won.is_some()
    };
    let waits: [&(dyn Fn() -> bool + Sync); 4] = [&alone, &several, &mixed, &all];
    for wait in waits {
        let woken = beside(wait, |tid| {
            let before = interrupt::handled();
            while interrupt::handled() < before + 100 {
                let_sleep(std::process::id(), tid);
                interrupt::thread(tid).expect("a signal ended the wait");
                std::thread::yield_now();
            }
            events[1].set().unwrap();
            events[0].set().unwrap();
        });
        assert!(woken);
        for event in &events {
            event.reset().unwrap();
        }
    }
}

/// Owns the mutants that it is told of, and holds them until it dies.
pub(crate) fn owner(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let mutants: Vec<Mutant> = args[1..]
        .iter()
        .map(|name| space.mutant(name).open().unwrap())
        .collect();
    for mutant in &mutants {
        std::mem::forget(mutant.acquire().unwrap());
    }
    say("owned");
    told();
}

pub(crate) fn a_dead_owner_is_reported_with_its_index() {
    let space = Namespace::temporary().unwrap();
    let mutant = space.mutant("m").create().unwrap();
    let unset = space.event("unset").create().unwrap();
    let wait = || {
        let won = wait::any_for(&[&unset, &mutant], STUCK).unwrap();
        mutant.release().unwrap();
        won.expect("the dead release what they held")
    };
    for asleep in [false, true] {
        let mut owner = Peer::start("waits.owner", &[space.path().to_str().unwrap(), "m"]);
        assert_eq!(hear_within(&mut owner, STUCK).as_deref(), Some("owned"));
        assert!(mutant.try_acquire().unwrap().is_none());
        let won = if asleep {
            beside(wait, |_| owner.kill())
        } else {
            owner.kill();
            wait()
        };
        assert_eq!((won.index, won.abandoned), (1, true), "asleep: {asleep}");
        let guard = mutant.try_acquire().unwrap().expect("free");
        assert!(!guard.abandoned(), "reported once");
    }
}

pub(crate) fn a_failed_signal_fails_before_the_wait() {
    let full = Semaphore::options(1, 1).create().unwrap();
    let event = Event::options()
        .reset(Reset::Manual)
        .set()
        .create()
        .unwrap();
    let mutant = Mutant::options().create().unwrap();
    let error = nt::signal_and_wait(&full, &event, Some(STUCK)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    let error = nt::signal_and_wait(&mutant, &full, Some(STUCK)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotOwner);
    assert_eq!(full.query().unwrap().count, 1, "not waited for");
    // The same object twice: set, then taken by its own wait.
    let again = Event::options().create().unwrap();
    let won = nt::signal_and_wait(&again, &again, Some(STUCK)).unwrap();
    assert!(won.is_some() && !again.query().unwrap().set);
}
