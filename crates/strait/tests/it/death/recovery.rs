//! How long a survivor is held up by a death.
//!
//! Each time runs from the moment at which the kernel tells of the death (the victim's pidfd is
//! readable) to the end of the survivor's operation: 0 if that ended first. One survivor, one
//! operation and one death at a time; nothing else runs.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use strait::Namespace;
use strait::wait;
use strait_sys::pidfd;

use crate::death::table::percentiles;
use crate::death::watch::{STUCK, hear_within, pid_of, setting};
use crate::death::world::{LIMIT, UNITS_EACH, World};
use crate::peer::{Peer, say, told};
use crate::world::Random;

/// A participant of transactions dies at a point, and a survivor does one thing to an object that
/// bears its mark.
struct Case {
    state: &'static str,
    scenario: &'static str,
    point: &'static str,
    operation: &'static str,
    does: fn(&World),
}

const fn case(
    (state, scenario, point): (&'static str, &'static str, &'static str),
    (operation, does): (&'static str, fn(&World)),
) -> Case {
    Case {
        state,
        scenario,
        point,
        operation,
        does,
    }
}

type State = (&'static str, &'static str, &'static str);
const UNDECIDED: State = ("undecided, 8 objects marked", "all", "all.marked");
const DECIDED: State = ("decided, 8 objects marked", "all", "all.committed");
const UNFINISHED: State = ("decided, 1 of 8 finished", "all", "txn.finishing");
const SETTING: State = ("a set undecided, with sleepers", "set", "signal.marked");
const SET: State = ("a set decided, with sleepers", "set", "signal.woken");

type Operation = (&'static str, fn(&World));
const ACQUIRE: Operation = ("acquire one", |world| {
    assert!(world.units[7].wait_for(LIMIT).unwrap());
});
const ANY: Operation = ("any of 8", |world| {
    assert!(wait::any_for(&world.all(), LIMIT).unwrap().is_some());
});
const ALL: Operation = ("all of 8", |world| {
    assert!(wait::all_for(&world.all(), LIMIT).unwrap().is_some());
});
const WAKE: Operation = ("set", |world| {
    world.wake.set().unwrap();
});

const CASES: &[Case] = &[
    case(UNDECIDED, ACQUIRE),
    case(UNDECIDED, ANY),
    case(UNDECIDED, ALL),
    case(DECIDED, ACQUIRE),
    case(DECIDED, ANY),
    case(DECIDED, ALL),
    case(UNFINISHED, ALL),
    case(SETTING, WAKE),
    case(SET, WAKE),
];

fn started(space: &Namespace, role: &str, what: &str) -> Peer {
    let mut peer = Peer::start(role, &[space.path().to_str().unwrap(), what]);
    assert_eq!(hear_within(&mut peer, STUCK).as_deref(), Some("ready"));
    peer
}

/// A process that owns the mutant for the rest of its life.
pub(crate) fn owner(args: &[String]) {
    let world = World::of(args[0].as_ref());
    let _guard = world.mutant.acquire().unwrap();
    say("ready");
    while told().is_some() {}
}

fn watched(victim: &Peer) -> OwnedFd {
    pidfd::open(pid_of(victim)).unwrap()
}

/// The moment at which the kernel tells that the process has ended.
fn ended(process: &OwnedFd) -> Instant {
    let limit = Timespec::try_from(STUCK).unwrap();
    let mut fds = [PollFd::new(process, PollFlags::IN)];
    assert_eq!(
        poll(&mut fds, Some(&limit)),
        Ok(1),
        "it never hit its point"
    );
    Instant::now()
}

fn after_a_participant(space: &Namespace, world: &World, case: &Case) -> Duration {
    let mut victim = started(space, "death.victim", "");
    let process = watched(&victim);
    victim.tell(&format!("{} {} 1 KILL", case.scenario, case.point));
    let dead = ended(&process);
    (case.does)(world);
    let took = dead.elapsed();
    for one in &world.units {
        let missing = UNITS_EACH - one.query().unwrap().count;
        if missing > 0 {
            one.release(missing).unwrap();
        }
    }
    took
}

/// The owner dies when a survivor has waited for so long.
fn after_an_owner(space: &Namespace, world: &World, waited: Duration) -> Duration {
    let mut victim = started(space, "death.owner", "");
    let process = watched(&victim);
    let acquire = || {
        let guard = world.mutant.acquire_for(LIMIT).unwrap();
        let back = Instant::now();
        assert!(guard.expect("an owner's death frees it").abandoned());
        back
    };
    std::thread::scope(|scope| {
        let waiter = scope.spawn(acquire);
        // sleep: how long it has waited when the owner dies is what is varied
        std::thread::sleep(waited);
        victim.child.kill().unwrap();
        let dead = ended(&process);
        waiter.join().unwrap().saturating_duration_since(dead)
    })
}

/// The owner is dead already when a survivor comes.
fn behind_an_owner(space: &Namespace, world: &World) -> Duration {
    let mut victim = started(space, "death.owner", "");
    let process = watched(&victim);
    victim.child.kill().unwrap();
    let dead = ended(&process);
    let guard = world.mutant.acquire_for(LIMIT).unwrap();
    let took = dead.elapsed();
    assert!(guard.expect("an owner's death frees it").abandoned());
    took
}

/// A few deaths of each kind here, 300 in `cargo xtask storm`. The times are printed, not asserted.
#[test]
fn a_death_holds_nobody_up() {
    if !pidfd::works() {
        return crate::world::skip(
            "a_death_holds_nobody_up",
            "no pidfd: nothing tells of a death",
        );
    }
    let kills = setting("STRAIT_RECOVERY_KILLS", 3);
    let space = Namespace::temporary().unwrap();
    let world = World::of(space.path());
    let _sleepers = ["wake", "wake"].map(|what| started(&space, "death.sleeper", what));
    println!("from a death (its pidfd is readable) to the end of a survivor's operation:");
    let print = |state: &str, operation: &str, mut times: Vec<Duration>| {
        println!("  {state:<32}{operation:<13}{}", percentiles(&mut times));
    };
    for case in CASES {
        let times = (0..kills).map(|_| after_a_participant(&space, &world, case));
        print(case.state, case.operation, times.collect());
    }
    let mut random = Random::of_test("a_death_holds_nobody_up");
    for (state, most) in [
        ("mutant, waited for < 10 ms", 10_000),
        ("mutant, waited for < 200 ms", 200_000),
    ] {
        let times = (0..kills).map(|_| {
            let waited = Duration::from_micros(random.next() % most);
            after_an_owner(&space, &world, waited)
        });
        print(state, "acquire", times.collect());
    }
    let times = (0..kills).map(|_| behind_an_owner(&space, &world));
    print("mutant, asked for afterwards", "acquire", times.collect());
}
