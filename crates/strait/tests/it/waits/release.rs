//! Whom a set, a reset and a pulse release: sleepers in other processes, which stop at their first
//! step after registering, so that the signals come before any of them has run.

use std::time::Duration;

use strait::Namespace;
use strait::nt::{Event, Reset};
use strait::wait::{self, Waitable};
use strait_sys::kill::{self, Signal};
use strait_sys::step;

use crate::death::watch::{Fate, STUCK, fate, go_on, hear_within, let_sleep, pid_of};
use crate::peer::{Peer, say};

/// Waits for the event `args[1]`, alone or (`args[2]`) beside another one, and says what it won.
/// It stops once, just after it has registered.
pub(crate) fn sleeper(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let event = space.event(&*args[1]).open().unwrap();
    let other = Event::options().create().unwrap();
    say(step::me());
    let members: &[&dyn Waitable] = match &*args[2] {
        "alone" => &[&event],
        _ => &[&other, &event],
    };
    kill::arm("wait.begun", members.len() as u64, Signal::Stop);
    match wait::any_for(members, STUCK).unwrap() {
        Some(won) => say(format!("won {}", won.index + 1 - members.len())),
        None => say("timed out"),
    }
}

struct Sleepers(Vec<(Peer, i32)>);

impl Sleepers {
    /// So many processes that are registered with that event, and stopped.
    fn stopped(space: &Namespace, event: &str, count: usize) -> Self {
        let path = space.path().to_str().unwrap();
        let start = |index: usize| {
            let how = if index % 2 == 0 { "alone" } else { "beside" };
            Peer::start("waits.sleeper", &[path, event, how])
        };
        let peers: Vec<_> = (0..count).map(start).collect();
        let announced = peers.into_iter().map(|mut peer| {
            let tid = hear_within(&mut peer, STUCK).expect("the sleeper's thread");
            assert_eq!(fate(pid_of(&peer)), Fate::Stopped);
            (peer, tid.parse().unwrap())
        });
        Self(announced.collect())
    }

    /// The same, but asleep.
    fn asleep(space: &Namespace, event: &str, count: usize) -> Self {
        let sleepers = Self::stopped(space, event, count);
        sleepers.run();
        for (peer, tid) in &sleepers.0 {
            let_sleep(peer.child.id(), *tid);
        }
        sleepers
    }

    fn run(&self) {
        for (peer, _) in &self.0 {
            go_on(pid_of(peer));
        }
    }

    /// How many have come back so far that were released.
    fn all_released(mut self) {
        for (peer, _) in &mut self.0 {
            let said = hear_within(peer, STUCK);
            assert_eq!(said.as_deref(), Some("won 0"), "every sleeper is released");
        }
    }
}

pub(crate) fn as_many_sets_as_sleepers_release_all_of_them() {
    let space = Namespace::temporary().unwrap();
    let event = space.event("event").create().unwrap();
    for count in [1, 2, 5] {
        let sleepers = Sleepers::asleep(&space, "event", count);
        for _ in 0..count {
            event.set().unwrap();
        }
        sleepers.all_released();
        assert!(!event.query().unwrap().set, "and nobody else");
    }
}

pub(crate) fn sets_before_the_first_sleeper_runs_release_all_of_them() {
    let space = Namespace::temporary().unwrap();
    let event = space.event("event").create().unwrap();
    for count in [1, 2, 5] {
        let sleepers = Sleepers::stopped(&space, "event", count);
        for _ in 0..count {
            event.set().unwrap();
        }
        assert!(event.query().unwrap().set);
        sleepers.run();
        sleepers.all_released();
        assert!(!event.query().unwrap().set, "and nobody else");
    }
}

pub(crate) fn a_set_and_reset_releases_registered_sleepers() {
    let space = Namespace::temporary().unwrap();
    for (reset, count) in [(Reset::Manual, 3), (Reset::Auto, 1)] {
        let name = format!("{reset:?}");
        let event = space.event(&*name).reset(reset).create().unwrap();
        for stopped in [true, false] {
            let sleepers = if stopped {
                Sleepers::stopped(&space, &name, count)
            } else {
                Sleepers::asleep(&space, &name, count)
            };
            assert!(!event.set().unwrap());
            // A sleeper that runs may have taken an auto-reset one by now.
            let was_set = event.reset().unwrap();
            assert!(was_set || (reset == Reset::Auto && !stopped));
            assert!(!event.wait_for(Duration::ZERO).unwrap(), "it is reset");
            if stopped {
                sleepers.run();
            }
            sleepers.all_released();
            assert!(!event.query().unwrap().set);
        }
    }
}

pub(crate) fn a_pulse_releases_registered_sleepers() {
    let space = Namespace::temporary().unwrap();
    for (reset, count) in [(Reset::Manual, 3), (Reset::Auto, 1), (Reset::Auto, 3)] {
        let name = format!("{reset:?} {count}");
        let event = space.event(&*name).reset(reset).create().unwrap();
        assert!(!event.pulse().unwrap());
        assert!(!event.wait_for(Duration::ZERO).unwrap(), "nobody waited");
        for stopped in [true, false] {
            let sleepers = if stopped {
                Sleepers::stopped(&space, &name, count)
            } else {
                Sleepers::asleep(&space, &name, count)
            };
            let pulses = if reset == Reset::Auto { count } else { 1 };
            for _ in 0..pulses {
                assert!(!event.pulse().unwrap());
                assert!(!event.query().unwrap().set, "never seen as set");
                assert!(!event.wait_for(Duration::ZERO).unwrap());
            }
            if stopped {
                sleepers.run();
            }
            sleepers.all_released();
        }
    }
}

/// A waiter that dies withdraws its registration, with or without having been released.
pub(crate) fn a_dead_waiter_holds_no_release() {
    let space = Namespace::temporary().unwrap();
    let event = space.event("event").create().unwrap();
    let mut dying = Sleepers::stopped(&space, "event", 3);
    let staying = Sleepers::stopped(&space, "event", 1);
    for (peer, _) in &mut dying.0 {
        peer.kill();
    }
    for _ in 0..4 {
        event.set().unwrap();
    }
    staying.run();
    staying.all_released();
    assert!(!event.query().unwrap().set, "the dead are not counted");
}
