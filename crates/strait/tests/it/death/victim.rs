//! The process that dies: works on the objects in one way or another until its point is hit.

use std::fs;
use std::hint::black_box;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use strait::nt::{self, Event};
use strait::wait::{self, Set};
use strait::{Namespace, Rights, Security};
use strait_sys::kill::{self, Signal};
use strait_sys::step;

use crate::death::world::{NAMES, TURN, World};
use crate::peer::{say, told};
use crate::world::USERS;

/// Rounds after which a point counts as never hit.
const ROUNDS_MAX: u64 = 20_000;
/// A wait that runs out, most of the time.
const BRIEF: Duration = Duration::from_micros(50);
const LONG: Duration = Duration::from_secs(3);

/// Told `scenario point nth KILL|STOP`, works until the point has been hit so often, and says so if
/// it still can. It ends if the point is never hit.
pub(crate) fn victim(args: &[String]) {
    let world = World::of(Path::new(&args[0]));
    // A seat, so that no scenario takes its first one by the way.
    wait::all_for(&[&world.none, &world.lone], Duration::ZERO).unwrap();
    say("ready");
    while let Some(line) = told() {
        if let Some(path) = line.strip_prefix("walk ") {
            walk(&world, path);
            continue;
        }
        let words: Vec<&str> = line.split(' ').collect();
        let nth: u64 = words[2].parse().unwrap();
        let signal = match words[3] {
            "KILL" => Signal::Kill,
            _ => Signal::Stop,
        };
        let scenario = SCENARIOS.iter().find(|(name, _)| *name == words[0]);
        let (_, work) = scenario.expect("a scenario of that name");
        let before = kill::hits(words[1]);
        kill::arm(words[1], nth, signal);
        let mut round = 0;
        while kill::hits(words[1]) < before + nth && round < ROUNDS_MAX {
            work(&world, round);
            round += 1;
        }
        kill::disarm();
        if round == ROUNDS_MAX {
            // Whoever waits for a stop or an end shall not wait for ever.
            std::process::exit(1);
        }
        say("done");
    }
}

/// Goes a path once, between two marks, to be led instruction by instruction.
fn walk(world: &World, path: &str) {
    let name = || world.space.event("name.0");
    // Once before: what only the first time does is not what is looked at.
    match path {
        "set" => set(world, 0),
        "acquire" => unit(world, 0),
        "all" => all(world, 0),
        "free" => mutant(world, 0),
        _ => names(world, 0),
    }
    let mut event = match path {
        "open" | "close" => Some(name().create_or_open().unwrap().0),
        _ => None,
    };
    let mut guard = None;
    if path == "free" {
        let acquired = world.mutant.acquire_for(LONG).unwrap();
        guard = Some(acquired.expect("it comes free"));
        world.ledger.add(TURN, 1);
    }
    // The sleepers go to sleep: likely is enough.
    for _ in 0..50 {
        std::thread::yield_now();
    }
    let members = world.all();
    say(step::me());
    assert_eq!(told().as_deref(), Some("go"));
    step::mark();
    match path {
        "set" => assert!(black_box(world.wake.set()).is_ok()),
        "acquire" => assert!(world.units[0].wait_for(Duration::ZERO).unwrap()),
        "all" => drop(wait::all_for(&members, Duration::ZERO).unwrap().unwrap()),
        "free" => drop(guard.take()),
        "create" => event = Some(name().create_or_open().unwrap().0),
        "open" => std::mem::forget(name().open().unwrap()),
        "close" => drop(event.take()),
        _ => panic!("no path {path}"),
    }
    step::mark();
    let taken = match path {
        "acquire" => 1,
        "all" => world.units.len(),
        _ => 0,
    };
    for one in &world.units[..taken] {
        one.release(1).unwrap();
    }
    drop(event);
    say("done");
}

type Scenario = fn(&World, u64);

const SCENARIOS: &[(&str, Scenario)] = &[
    ("set", set),
    ("twice", twice),
    ("unit", unit),
    ("all", all),
    ("refused", refused),
    ("mutant", mutant),
    ("sleep", sleep),
    ("pair", pair),
    ("names", names),
    ("leftover", leftover),
    ("copy", copy),
    ("seat", seat),
    ("heir", heir),
    ("timer", timer),
    ("bell", bell),
    ("own-set", own_set),
    ("table", table),
    ("reborn", reborn),
];

/// Beside sleepers.
fn set(world: &World, _: u64) {
    world.wake.set().unwrap();
    // Until they sleep again there is nobody to wake.
    std::thread::yield_now();
}

/// What is set already.
fn twice(world: &World, _: u64) {
    world.lone.set().unwrap();
    world.lone.set().unwrap();
    world.lone.reset().unwrap();
}

/// One unit, by one exchange each way.
fn unit(world: &World, _: u64) {
    assert!(world.units[0].wait_for(LONG).unwrap());
    world.units[0].release(1).unwrap();
}

fn all(world: &World, _: u64) {
    assert!(wait::all_for(&world.all(), LONG).unwrap().is_some());
    for one in &world.units {
        one.release(1).unwrap();
    }
}

fn refused(world: &World, _: u64) {
    let mut members = world.all();
    members.push(&world.none);
    assert!(wait::all_for(&members, Duration::ZERO).unwrap().is_none());
}

/// Beside one that wants it too.
fn mutant(world: &World, _: u64) {
    let guard = world
        .mutant
        .acquire_for(LONG)
        .unwrap()
        .expect("it comes free");
    world.ledger.add(TURN, 1);
    for _ in 0..20 {
        std::thread::yield_now();
    }
    drop(guard);
}

/// Registers, finds nothing, and leaves. The set takes the waiters' bit away.
fn sleep(world: &World, _: u64) {
    world.lone.wait_for(BRIEF).unwrap();
    world.lone.set().unwrap();
    world.lone.reset().unwrap();
}

fn pair(world: &World, _: u64) {
    nt::signal_and_wait(&world.wake, &world.lone, Some(BRIEF)).unwrap();
}

fn own(world: &World) {
    drop(
        world
            .mutant
            .acquire_for(LONG)
            .unwrap()
            .expect("it comes free"),
    );
}

fn a_name(round: u64) -> String {
    format!("name.{}", round % NAMES as u64)
}

fn names(world: &World, round: u64) {
    let name = a_name(round);
    // A survivor may hold it or keep it in transition at this moment.
    let Ok((event, _)) = world.space.event(&*name).create_or_open() else {
        return;
    };
    let again = world.space.event(&*name).open().unwrap();
    drop(event);
    drop(again);
}

/// What a killed process leaves, made by hand; whoever looks the name up removes it.
fn leftover(world: &World, round: u64) {
    let name = a_name(round);
    let path = world.space.path().join(format!("o{name}"));
    put_leftover(&world.space, &name, &path, Security::private());
    let _ = world.space.event(name).create_or_open();
}

/// Copies a living object and puts the copy, which nobody has locked, where that one was.
pub(super) fn put_leftover(space: &Namespace, name: &str, path: &Path, security: Security) {
    let Ok(event) = space.event(name).security(security).create() else {
        return;
    };
    let bytes = fs::read(path).unwrap();
    let like = fs::metadata(path).unwrap();
    let copy = path.with_file_name(format!(".leftover-{}", std::process::id()));
    fs::write(&copy, bytes).unwrap();
    chown(&copy, Some(like.uid()), Some(like.gid())).unwrap();
    fs::set_permissions(&copy, like.permissions()).unwrap();
    drop(event);
    fs::rename(&copy, path).unwrap();
}

fn copy(world: &World, _: u64) {
    drop(world.wake.duplicate(Rights::ALL).unwrap());
}

/// A thread of its own sits, and gets up again.
fn seat(world: &World, _: u64) {
    std::thread::scope(|scope| {
        scope.spawn(|| own(world));
    });
}

/// A thread ends as owner of the mutant; the next one sits where it sat.
fn heir(world: &World, _: u64) {
    std::thread::scope(|scope| {
        let owner = scope.spawn(|| {
            let guard = world.mutant.acquire_for(LONG).unwrap();
            std::mem::forget(guard.expect("it comes free"));
        });
        owner.join().unwrap();
    });
    seat(world, 0);
}

fn timer(world: &World, round: u64) {
    let delay = Duration::from_nanos(round % 1000);
    world.timer.set(delay).unwrap();
    // A survivor may set it anew, and take it.
    world.timer.wait_for(BRIEF).unwrap();
}

fn bell(world: &World, _: u64) {
    world.bell.set().unwrap();
    std::thread::yield_now();
}

fn own_set(world: &World, _: u64) {
    let set = Set::new().unwrap();
    set.add(&world.none).unwrap();
}

/// A directory that becomes a namespace.
fn table(world: &World, _: u64) {
    let path = fresh(world);
    fs::create_dir(&path).unwrap();
    let space = Namespace::directory(&path).unwrap();
    let event: Event = space.event("first").create().unwrap();
    event.set().unwrap();
    drop(event);
    drop(space);
    fs::remove_dir_all(&path).unwrap();
}

/// Where [`table`] works: in the directory above, so that a killed one leaves nothing in ours.
pub(crate) fn fresh(world: &World) -> PathBuf {
    let name = world.space.path().file_name().unwrap().to_string_lossy();
    let name = format!("{name}-{}", std::process::id());
    world.space.path().with_file_name(name)
}

/// As one of two ordinary users in a sticky directory: the other's leftover cannot be removed.
fn reborn(world: &World, _: u64) {
    let security = Security::private().mode(0o666).owner(USERS[1]);
    let options = world.space.event("reborn").security(security);
    drop(options.create_or_open().unwrap());
}
