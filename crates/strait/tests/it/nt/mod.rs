//! NT at its edges: previous states, limits, abandonment, and the codes of what is refused.

pub(crate) mod lpc;
mod mutant;
pub(crate) mod pipe;
pub(crate) mod quick;
mod section;
pub(crate) mod smoke;

use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use strait::nt::status::NtStatus;
use strait::nt::{
    Event, EventPair, GRANULARITY, LIMIT_MAX, Mutant, Read, Reset, Section, Semaphore, Timer,
    Write, signal_and_wait,
};
use strait::wait::{self, Waitable};
use strait::{Birth, ErrorKind, Namespace, Result, Rights};

use crate::peer::{Peer, Role, say, told};
use crate::world::{GUARD, alone, refused, skip, until};

pub(crate) const ROLES: &[(&str, Role)] = &[
    ("nt.holder", mutant::holder),
    ("nt.setter", setter),
    ("nt.filer", section::filer),
];

const ZERO: Duration = Duration::ZERO;
const HOUR: Duration = Duration::from_secs(3600);

/// Refused with this kind, NTSTATUS and Win32 code.
#[track_caller]
fn fails<T>(result: Result<T>, kind: ErrorKind, status: NtStatus, win32: u32) {
    let error = refused(result, kind);
    assert_eq!(
        (error.nt_status(), error.win32()),
        (status, win32),
        "{error}"
    );
}

#[track_caller]
fn invalid<T>(result: Result<T>) {
    fails(
        result,
        ErrorKind::InvalidInput,
        NtStatus::INVALID_PARAMETER,
        87,
    );
}

#[track_caller]
fn denied<T>(result: Result<T>) {
    fails(result, ErrorKind::Denied, NtStatus::ACCESS_DENIED, 5);
}

/// Each test both with a private object and with a named one.
fn both(test: impl Fn(Option<&Namespace>)) {
    test(None);
    test(Some(&Namespace::temporary().unwrap()));
}

fn event(space: Option<&Namespace>, reset: Reset, set: bool) -> Event {
    // A child that a neighbour just forked may keep the name of another for a moment.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("e{}", NEXT.fetch_add(1, Ordering::SeqCst));
    let options = space.map_or_else(Event::options, |space| space.event(&name));
    let options = options.reset(reset);
    let options = if set { options.set() } else { options };
    options.create().unwrap()
}

fn mutant(space: Option<&Namespace>) -> Mutant {
    let options = space.map_or_else(Mutant::options, |space| space.mutant("m"));
    options.create().unwrap()
}

fn not_owner<T>(result: Result<T>) {
    fails(result, ErrorKind::NotOwner, NtStatus::MUTANT_NOT_OWNED, 288);
}

// ---- handles -------------------------------------------------------------------------------

#[test]
fn creating_what_exists_opens_it_as_it_is() {
    let space = Namespace::temporary().unwrap();
    let _event = space
        .event("e")
        .reset(Reset::Manual)
        .set()
        .create()
        .unwrap();
    let (event, birth) = space
        .event("e")
        .reset(Reset::Auto)
        .create_or_open()
        .unwrap();
    assert_eq!(birth, Birth::Opened);
    let state = event.query().unwrap();
    assert!(state.set && state.reset == Reset::Manual);
    let _semaphore = space.semaphore("s", 3, 7).create().unwrap();
    let (semaphore, _) = space.semaphore("s", 1, 2).create_or_open().unwrap();
    let state = semaphore.query().unwrap();
    assert_eq!((state.count, state.limit), (3, 7));
    let _section = space.section("c", 5000).create().unwrap();
    let (section, _) = space.section("c", 1).create_or_open().unwrap();
    assert_eq!(section.len(), 8192);
    let _mutant = space.mutant("m").create().unwrap();
    let (mutant, _) = space.mutant("m").owned().create_or_open().unwrap();
    assert_eq!(
        mutant.query().unwrap().depth,
        0,
        "it is not owned for the asking"
    );
    let _timer = space.timer("t").reset(Reset::Manual).create().unwrap();
    let (timer, _) = space.timer("t").create_or_open().unwrap();
    assert_eq!(timer.query().unwrap().reset, Reset::Manual);
    // Even what would be refused of a new one: it exists.
    let exists = space.event("e").create();
    fails(
        exists,
        ErrorKind::Exists,
        NtStatus::OBJECT_NAME_COLLISION,
        183,
    );
}

#[test]
fn opening_needs_a_name_that_exists() {
    let space = Namespace::temporary().unwrap();
    let missing = NtStatus::OBJECT_NAME_NOT_FOUND;
    fails(space.event("x").open(), ErrorKind::NotFound, missing, 2);
    fails(
        space.section("x", 1).open(),
        ErrorKind::NotFound,
        missing,
        2,
    );
    invalid(Event::options().open());
    invalid(Mutant::options().namespace(&space).open());
    let event = space.event("x").create().unwrap();
    let other = space.event("y").create().unwrap();
    assert!(event.is_same(&space.event("x").open().unwrap()) && !event.is_same(&other));
    let private = (
        Event::options().create().unwrap(),
        Event::options().create().unwrap(),
    );
    assert!(private.0.is_same(&private.0) && !private.0.is_same(&private.1));
}

// ---- events --------------------------------------------------------------------------------

#[test]
fn events_report_their_previous_state() {
    type Op = fn(&Event) -> Result<bool>;
    let (set, reset, pulse): (Op, Op, Op) = (Event::set, Event::reset, Event::pulse);
    both(|space| {
        for kind in [Reset::Manual, Reset::Auto] {
            for (before, op, after) in [
                (false, set, true),
                (true, set, true),
                (false, reset, false),
                (true, reset, false),
                (false, pulse, false),
                (true, pulse, false),
            ] {
                let event = event(space, kind, before);
                assert_eq!(op(&event).unwrap(), before, "{kind:?}");
                assert_eq!(event.query().unwrap().set, after, "{kind:?} {before}");
                assert_eq!(event.query().unwrap().reset, kind);
                assert_eq!(event.wait_for(ZERO).unwrap(), after, "{kind:?} {before}");
                let left = after && kind == Reset::Manual;
                assert_eq!(event.wait_for(ZERO).unwrap(), left, "{kind:?} {before}");
            }
            // Sets without a waiter are one.
            let event = event(space, kind, false);
            assert_eq!(
                [set(&event), set(&event), set(&event)].map(Result::unwrap),
                [false, true, true]
            );
            assert!(event.wait_for(ZERO).unwrap());
            assert_eq!(event.query().unwrap().set, kind == Reset::Manual);
            // A pulse without a waiter is for nobody who comes later.
            reset(&event).unwrap();
            pulse(&event).unwrap();
            assert!(!event.wait_for(Duration::from_millis(1)).unwrap());
        }
    });
}

/// Threads that wait on `event`, each registered before this returns.
fn with_waiters(event: &Event, count: u32, then: impl FnOnce(&AtomicU32)) {
    let arrived = Semaphore::options(0, count).create().unwrap();
    let released = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                let won = signal_and_wait(&arrived, event, Some(GUARD)).unwrap();
                assert!(won.is_some(), "not released");
                released.fetch_add(1, Ordering::SeqCst);
            });
        }
        for _ in 0..count {
            assert!(arrived.wait_for(GUARD).unwrap());
        }
        then(&released);
    });
    assert_eq!(released.load(Ordering::SeqCst), count);
}

#[test]
fn a_pulse_releases_who_waits_and_is_never_seen() {
    both(|space| {
        let manual = event(space, Reset::Manual, false);
        with_waiters(&manual, 5, |_| assert!(!manual.pulse().unwrap()));
        assert!(!manual.query().unwrap().set);
        drop(manual);
        let auto = event(space, Reset::Auto, false);
        with_waiters(&auto, 4, |released| {
            for count in 1..=3 {
                assert!(!auto.pulse().unwrap());
                until("one waiter is released", || {
                    released.load(Ordering::SeqCst) == count
                });
                assert!(!auto.query().unwrap().set);
            }
            assert!(!auto.set().unwrap());
        });
        assert!(!auto.query().unwrap().set, "the last one took it");
    });
}

#[test]
fn as_many_sets_release_as_many_waiters() {
    both(|space| {
        let auto = event(space, Reset::Auto, false);
        for _ in 0..50 {
            with_waiters(&auto, 3, |_| {
                for _ in 0..3 {
                    auto.set().unwrap();
                }
            });
            assert!(!auto.query().unwrap().set);
        }
        // More sets than waiters are one more, not several.
        with_waiters(&auto, 1, |_| drop([auto.set(), auto.set(), auto.set()]));
        until("what is left is at most one", || {
            !auto.wait_for(ZERO).unwrap()
        });
        drop(auto);
        let manual = event(space, Reset::Manual, false);
        with_waiters(&manual, 4, |_| assert!(!manual.set().unwrap()));
        assert!(manual.query().unwrap().set);
    });
}

// ---- event pairs ---------------------------------------------------------------------------

#[test]
fn event_pairs_are_two_events() {
    both(|space| {
        let options = space.map_or_else(EventPair::options, |space| space.event_pair("p"));
        let pair = options.create().unwrap();
        let state = || {
            let state = pair.query().unwrap();
            (state.low, state.high)
        };
        assert_eq!(state(), (false, false), "born unset");
        // The time runs out, but what was set is set.
        assert!(!pair.set_low_wait_high_for(ZERO).unwrap());
        assert_eq!(state(), (true, false));
        assert!(
            !pair.set_low_wait_high_for(ZERO).unwrap(),
            "set on set is nothing"
        );
        pair.set_high().unwrap();
        assert_eq!(state(), (true, true));
        assert!(pair.set_low_wait_high_for(ZERO).unwrap());
        assert!(pair.set_high_wait_low_for(ZERO).unwrap());
        assert_eq!(state(), (false, true));
        pair.wait_high().unwrap();
        let none = wait::any_for(&[&pair.low(), &pair.high()], ZERO);
        assert_eq!(none.unwrap(), None);
        // The halves of one pair are two objects to a wait for all.
        pair.set_low().unwrap();
        pair.set_high().unwrap();
        assert!(
            wait::all_for(&[&pair.low(), &pair.high()], ZERO)
                .unwrap()
                .is_some()
        );
        invalid(wait::all_for(&[&pair.low(), &pair.low()], ZERO));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                pair.wait_low().unwrap();
                for _ in 0..5000 {
                    pair.set_high_wait_low().unwrap();
                }
                pair.set_high().unwrap();
            });
            for _ in 0..5001 {
                assert!(pair.set_low_wait_high_for(GUARD).unwrap());
            }
        });
        assert_eq!(state(), (false, false));
    });
}

// ---- semaphores ----------------------------------------------------------------------------

#[test]
fn semaphores_have_limits() {
    for (initial, limit) in [(0, 0), (1, 0), (2, 1), (0, LIMIT_MAX + 1), (1, u32::MAX)] {
        invalid(Semaphore::options(initial, limit).create());
    }
    assert_eq!(LIMIT_MAX, 0x7fff_ffff);
    both(|space| {
        let semaphore = |initial, limit| {
            let options = match space {
                Some(space) => space.semaphore("s", initial, limit),
                None => Semaphore::options(initial, limit),
            };
            options.create().unwrap()
        };
        // Initial count, limit, units to release, and the count before if that is allowed.
        for (initial, limit, units, before) in [
            (0, 1, 1, Some(0)),
            (0, 1, 2, None),
            (1, 1, 1, None),
            (3, 5, 2, Some(3)),
            (3, 5, 3, None),
            (0, LIMIT_MAX, LIMIT_MAX, Some(0)),
            (1, LIMIT_MAX, LIMIT_MAX, None),
            (LIMIT_MAX, LIMIT_MAX, 1, None),
            (2, LIMIT_MAX, u32::MAX, None),
        ] {
            let semaphore = semaphore(initial, limit);
            let state = semaphore.query().unwrap();
            assert_eq!((state.count, state.limit), (initial, limit));
            match before {
                Some(before) => assert_eq!(semaphore.release(units).unwrap(), before),
                None => {
                    let status = NtStatus::SEMAPHORE_LIMIT_EXCEEDED;
                    fails(
                        semaphore.release(units),
                        ErrorKind::LimitExceeded,
                        status,
                        298,
                    );
                }
            }
            let count = before.map_or(initial, |before| before + units);
            assert_eq!(
                semaphore.query().unwrap().count,
                count,
                "{initial} {limit} {units}"
            );
            invalid(semaphore.release(0));
        }
        let semaphore = semaphore(2, 3);
        assert_eq!(
            [(); 3].map(|()| semaphore.wait_for(ZERO).unwrap()),
            [true, true, false]
        );
        assert_eq!(semaphore.release(3).unwrap(), 0);
    });
}

// ---- timers --------------------------------------------------------------------------------

fn timer(space: Option<&Namespace>, reset: Reset) -> Timer {
    let options = space.map_or_else(Timer::options, |space| space.timer("t"));
    options.reset(reset).create().unwrap()
}

#[test]
fn timers_are_set_cancelled_and_set_again() {
    both(|space| {
        for reset in [Reset::Manual, Reset::Auto] {
            let manual = reset == Reset::Manual;
            let timer = timer(space, reset);
            let state = || timer.query().unwrap();
            assert!(!state().ready && state().due.is_none() && state().reset == reset);
            assert!(!timer.wait_for(ZERO).unwrap());
            timer.cancel().unwrap();
            timer.set(HOUR).unwrap();
            assert!(!state().ready && !timer.wait_for(ZERO).unwrap());
            assert!(state().due.is_some_and(|due| due <= HOUR));
            // Again: from now on, and at once.
            timer.set(ZERO).unwrap();
            assert!(timer.wait_for(GUARD).unwrap());
            assert_eq!(timer.wait_for(ZERO).unwrap(), manual);
            assert_eq!(state().ready, manual);
            assert_eq!(state().due, None, "once");
            // Setting it unsignals.
            timer.set(ZERO).unwrap();
            timer.set(HOUR).unwrap();
            assert!(!state().ready && !timer.wait_for(ZERO).unwrap());
            // Cancelling leaves the state as it is.
            timer.cancel().unwrap();
            assert!(!state().ready && state().due.is_none());
            timer.set(ZERO).unwrap();
            until("it has expired", || state().ready);
            timer.cancel().unwrap();
            assert!(state().ready && state().due.is_none());
            assert!(timer.wait_for(ZERO).unwrap());
            assert_eq!(timer.wait_for(ZERO).unwrap(), manual);
            // Periodic: once for each expiry, and no more often.
            timer.set_periodic(ZERO, HOUR).unwrap();
            assert!(timer.wait_for(GUARD).unwrap());
            assert_eq!(timer.wait_for(ZERO).unwrap(), manual);
            assert!(state().due.is_some());
            timer
                .set_periodic(ZERO, Duration::from_micros(200))
                .unwrap();
            for _ in 0..20 {
                assert!(timer.wait_for(GUARD).unwrap());
            }
            timer.cancel().unwrap();
            // By the real-time clock.
            let now = SystemTime::now();
            timer.set_at(now + HOUR).unwrap();
            assert!(!timer.wait_for(ZERO).unwrap());
            for past in [now - HOUR, SystemTime::UNIX_EPOCH, now] {
                timer.set_at(past).unwrap();
                assert!(timer.wait_for(GUARD).unwrap());
            }
            invalid(timer.set_periodic(ZERO, ZERO));
            invalid(timer.set_periodic(ZERO, Duration::from_nanos(999)));
            timer.set(Duration::MAX).unwrap();
            assert!(!timer.wait_for(ZERO).unwrap());
        }
    });
}

/// Sets the timer of `args[0]` and is gone before it expires.
pub(crate) fn setter(args: &[String]) {
    let timer = Namespace::directory(&args[0])
        .unwrap()
        .timer("t")
        .open()
        .unwrap();
    timer
        .set_periodic(Duration::from_millis(50), Duration::from_millis(1))
        .unwrap();
    say("set");
    told();
}

#[test]
fn a_timer_outlives_its_setter() {
    let space = Namespace::temporary().unwrap();
    let timer = timer(Some(&space), Reset::Auto);
    let mut setter = Peer::start("nt.setter", &[space.path().to_str().unwrap()]);
    assert_eq!(setter.hear().as_deref(), Some("set"));
    setter.kill();
    for _ in 0..3 {
        assert!(timer.wait_for(GUARD).unwrap());
    }
}

// ---- signal and wait -----------------------------------------------------------------------

#[test]
fn signal_and_wait_takes_one_object_twice() {
    both(|space| {
        let auto = event(space, Reset::Auto, false);
        let semaphore = Semaphore::options(0, 1).create().unwrap();
        let mutant = mutant(space);
        std::mem::forget(mutant.acquire().unwrap());
        for _ in 0..10_000 {
            let won = signal_and_wait(&auto, &auto, Some(GUARD)).unwrap();
            assert_eq!(won.unwrap().index, 0);
            assert!(
                signal_and_wait(&semaphore, &semaphore, Some(GUARD))
                    .unwrap()
                    .is_some()
            );
            let won = signal_and_wait(&mutant, &mutant, Some(GUARD)).unwrap();
            assert!(!won.unwrap().abandoned);
        }
        assert!(!auto.query().unwrap().set);
        assert_eq!(semaphore.query().unwrap().count, 0);
        assert_eq!(mutant.query().unwrap().depth, 1);
    });
}

#[test]
fn a_failed_signal_fails_before_the_wait() {
    both(|space| {
        let set = event(space, Reset::Auto, true);
        let full = Semaphore::options(1, 1).create().unwrap();
        let status = NtStatus::SEMAPHORE_LIMIT_EXCEEDED;
        let failed = signal_and_wait(&full, &set, None);
        fails(failed, ErrorKind::LimitExceeded, status, 298);
        not_owner(signal_and_wait(&mutant(space), &set, None));
        assert!(set.query().unwrap().set, "nothing was taken");
        // The time runs out: the signal was given.
        let unset = Event::options().create().unwrap();
        assert!(full.wait_for(ZERO).unwrap());
        assert_eq!(signal_and_wait(&full, &unset, Some(ZERO)).unwrap(), None);
        assert_eq!(full.query().unwrap().count, 1);
    });
    let space = Namespace::temporary().unwrap();
    let auto = event(Some(&space), Reset::Auto, false);
    let looks = auto.duplicate(Rights::LOOK).unwrap();
    let unset = space.event("other").create().unwrap();
    denied(signal_and_wait(&looks, &auto, Some(ZERO)));
    // A wait that is not allowed gives no signal.
    denied(signal_and_wait(&unset, &looks, Some(ZERO)));
    assert!(!unset.query().unwrap().set);
}

#[test]
fn waits_have_as_many_members_as_nt_allows() {
    let events: Vec<Event> = (0..65)
        .map(|_| Event::options().create().unwrap())
        .collect();
    let members: Vec<&dyn Waitable> = events.iter().map(|event| event as &dyn Waitable).collect();
    assert_eq!(wait::MEMBERS_MAX, 64);
    for count in [0, 65] {
        invalid(wait::any_for(&members[..count], ZERO));
        invalid(wait::all_for(&members[..count], ZERO));
    }
    for event in &events[40..64] {
        event.set().unwrap();
    }
    let won = wait::any_for(&members[..64], ZERO).unwrap();
    assert_eq!(won.unwrap().index, 40, "the lowest");
    assert!(!events[40].query().unwrap().set && events[41].query().unwrap().set);
    assert_eq!(wait::all_for(&members[..64], ZERO).unwrap(), None);
    assert!(events[41].query().unwrap().set, "nothing was taken");
    assert!(wait::all_for(&members[41..64], ZERO).unwrap().is_some());
    // Twice the same: in any it is nothing new, in all an error, whatever the handles.
    events[7].set().unwrap();
    let twice: [&dyn Waitable; 2] = [&events[7], &events[7]];
    invalid(wait::all_for(&twice, ZERO));
    assert_eq!(wait::any_for(&twice, ZERO).unwrap().unwrap().index, 0);
    let space = Namespace::temporary().unwrap();
    let (one, other) = (
        space.event("x").create().unwrap(),
        space.event("x").open().unwrap(),
    );
    invalid(wait::all_for(&[&one, &other], ZERO));
}
