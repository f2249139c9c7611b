//! Seats whose sitters died between a decision and its end.

use std::fs::{File, Permissions, set_permissions};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::time::Duration;

use strait::nt::{Event, EventPair, Half, Reset, Semaphore};
use strait::wait::Waitable;
use strait::{ErrorKind, Namespace, Pass, inherited, wait};
use strait_sys::ofd_lock::{Lock, try_lock};
use strait_sys::step;

use crate::death::watch::let_sleep;
use crate::peer::{Peer, Role, command, say, told};
use crate::world::{GUARD, USERS, alone, as_user, no_users, refused, skip, until};

pub(crate) const ROLES: &[(&str, Role)] = &[
    ("seats.taker", taker),
    ("seats.collector", collector),
    ("seats.setter", setter),
    ("seats.halver", halver),
];

/// Takes both semaphores and what `args[1]` says, or dies on the way.
fn taker(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let open = |name| -> Semaphore { space.semaphore(name, 0, 1).open().unwrap() };
    let (one, two) = (open("one"), open("two"));
    let mut members: Vec<&dyn Waitable> = vec![&one, &two];
    let third: Option<Event> = match &*args[1] {
        "private" => Some(Event::options().set().create().unwrap()),
        "unnamed" => Some(inherited("unnamed").unwrap()),
        _ => None,
    };
    members.extend(third.iter().map(|third| third as &dyn Waitable));
    wait::all(&members).unwrap();
}

/// Collects when it is told to, and says how many seats it gave back.
fn collector(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    while told().is_some() {
        say(space.collect().unwrap().seats);
    }
}

fn path(space: &Namespace) -> &str {
    space.path().to_str().unwrap()
}

/// Has a process die on its way through a transaction.
fn dies_at(point: &str, space: &Namespace, third: &str, event: Option<&Event>) {
    let mut taker = command("seats.taker", &[path(space), third]);
    taker.env("STRAIT_KILL", format!("{point}:1:KILL"));
    if let Some(event) = event {
        taker.pass("unnamed", event).unwrap();
    }
    assert!(!Peer::of(&mut taker).finish().success());
}

fn retires(space: &Namespace, third: &str, event: Option<&Event>) {
    dies_at("all.committed", space, third, event);
}

fn units(space: &Namespace) -> [Semaphore; 2] {
    ["one", "two"].map(|name| space.semaphore(name, 1, 1).create().unwrap())
}

fn give_back(units: &[Semaphore]) {
    for unit in units {
        unit.release(1).unwrap();
    }
}

fn seats(space: &Namespace) -> usize {
    space.collect().unwrap().seats
}

fn counts([one, two]: &[Semaphore; 2]) -> [u32; 2] {
    [one, two].map(|semaphore| semaphore.query().unwrap().count)
}

#[test]
fn a_retired_seat_is_given_out_again_once_its_marks_are_gone() {
    let space = Namespace::temporary().unwrap();
    let units = units(&space);
    for (point, freed) in [("all.committed", 1), ("all.marked", 0)] {
        dies_at(point, &space, "", None);
        assert_eq!(seats(&space), freed, "killed at {point}");
        assert_eq!(seats(&space), 0);
        // What was decided holds, and what was not leaves nothing behind.
        let left = u32::from(freed == 0);
        assert_eq!(counts(&units), [left; 2], "killed at {point}");
        if left == 0 {
            give_back(&units);
        }
    }
}

#[test]
fn permanent_objects_that_nobody_holds_are_settled_too() {
    let space = Namespace::temporary().unwrap();
    for name in ["one", "two"] {
        let unit = space.semaphore(name, 1, 1).permanent();
        drop(unit.create().unwrap());
    }
    retires(&space, "", None);
    assert_eq!(seats(&space), 1);
    let units = ["one", "two"].map(|name| space.semaphore(name, 0, 1).open().unwrap());
    assert_eq!(counts(&units), [0; 2]);
}

#[test]
fn objects_that_have_gone_need_no_settling() {
    let space = Namespace::temporary().unwrap();
    let units = units(&space);
    retires(&space, "", None);
    drop(units);
    assert_eq!(seats(&space), 1);
}

#[test]
fn a_private_object_keeps_no_seat_and_an_unnamed_one_does() {
    let space = Namespace::temporary().unwrap();
    let units = units(&space);
    retires(&space, "private", None);
    assert_eq!(seats(&space), 1);
    assert_eq!(counts(&units), [0; 2]);
    give_back(&units);
    let shared = Event::options().namespace(&space).shared().set();
    let shared = shared.create().unwrap();
    retires(&space, "unnamed", Some(&shared));
    assert_eq!(seats(&space), 0);
    // The seat is kept for this: the decision still reaches an object that nobody can look up.
    assert!(!shared.query().unwrap().set);
    assert!(!shared.wait_for(Duration::ZERO).unwrap());
}

/// Sets the event that somebody sleeps on, or dies on the way.
fn setter(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    space.event("event").open().unwrap().set().unwrap();
}

#[test]
fn a_decided_signal_is_brought_to_its_end() {
    let space = Namespace::temporary().unwrap();
    let event = space.event("event").reset(Reset::Manual).create().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(event.wait_for(GUARD).unwrap()));
        // The bit that says so: then the setter must decide, and wake.
        let state = File::open(space.path().join("oevent")).unwrap();
        until("somebody waits", || {
            let mut word = [0; 8];
            state.read_exact_at(&mut word, 128).unwrap();
            word[0] & 2 != 0
        });
        let mut setter = command("seats.setter", &[path(&space)]);
        setter.env("STRAIT_KILL", "signal.woken:1:KILL");
        assert!(!Peer::of(&mut setter).finish().success());
    });
    assert_eq!(seats(&space), 1);
    assert!(event.query().unwrap().set);
}

/// An entry that cannot be read may be any object that was not found, and no other.
#[test]
fn what_cannot_be_opened_keeps_only_what_it_may_be() {
    alone(
        "death::seats::what_cannot_be_opened_keeps_only_what_it_may_be",
        || {
            let space = Namespace::temporary().unwrap();
            let units = units(&space);
            let garbage = space.path().join("ogarbage");
            std::fs::write(&garbage, b"no object").unwrap();
            // Held as an object is: an enemy's, or one of a build to come.
            let held = File::open(&garbage).unwrap();
            assert_eq!(try_lock(held.as_fd(), Lock::Read, 0, 1), Ok(true));
            retires(&space, "", None);
            assert_eq!(seats(&space), 1, "both were found");
            give_back(&units);
            retires(&space, "", None);
            drop(units);
            assert_eq!(seats(&space), 0, "the garbage may be one of them");
            drop(held);
            assert_eq!(seats(&space), 1);
        },
    );
}

/// A directory that everybody may use, unlike that of a temporary namespace.
struct Commons(PathBuf);

impl Drop for Commons {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

impl Commons {
    fn set_mode(&self, file: &str, mode: u32) {
        set_permissions(self.0.join(file), Permissions::from_mode(mode)).unwrap();
    }
}

#[test]
fn what_may_only_be_read_is_looked_at() {
    if let Some(why) = no_users() {
        return skip("what_may_only_be_read_is_looked_at", why);
    }
    let commons = Commons(format!("/dev/shm/strait-seats-{}", std::process::id()).into());
    std::fs::create_dir(&commons.0).unwrap();
    commons.set_mode("", 0o777);
    let space = Namespace::directory(&commons.0).unwrap();
    let units = units(&space);
    retires(&space, "", None);
    commons.set_mode("oone", 0o644);
    commons.set_mode("otwo", 0o644);
    let mut other = command("seats.collector", &[path(&space)]);
    let mut other = Peer::of(as_user(&mut other, USERS[0]));
    assert_eq!(other.ask("collect"), "0", "marked, and not its to settle");
    give_back(&units);
    assert_eq!(other.ask("collect"), "1", "the marks have gone");
}

/// Makes every record of the table one that a dead sitter left decided, about `participants`.
fn retire_all(space: &Namespace, participants: &[u32]) {
    let table = File::options().write(true).open(space.path().join(".txn"));
    let table = table.unwrap();
    for slot in 1..=4095 {
        let mut record = [0_u8; 192];
        // Committed, at its first incarnation.
        (record[0], record[8]) = (1, 1);
        record[28] = u8::try_from(participants.len()).unwrap();
        for (index, id) in participants.iter().enumerate() {
            record[128 + index * 4..][..4].copy_from_slice(&id.to_le_bytes());
        }
        table.write_all_at(&record, 4096 + slot * 512).unwrap();
    }
}

#[test]
fn a_thread_that_finds_no_seat_frees_those_that_can_be() {
    // The two uppermost bits say that it is unnamed, and shared.
    const UNNAMED: u32 = 2 << 30;
    let space = Namespace::temporary().unwrap();
    let event = space.event("event").create().unwrap();
    let other = space.event("other").create().unwrap();
    let waits = || wait::any_for(&[&event, &other], Duration::from_millis(1));
    retire_all(&space, &[UNNAMED]);
    let error = refused(waits(), ErrorKind::Exhausted);
    assert!(error.to_string().contains("4095"), "{error}");
    retire_all(&space, &[]);
    assert_eq!(waits().unwrap(), None);
}

// ---- event pairs ---------------------------------------------------------------------------

/// Takes one half of a pair, and a unit, or dies on the way.
fn halver(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let pair = space.event_pair("pair").open().unwrap();
    let one = space.semaphore("one", 0, 1).open().unwrap();
    wait::all(&[&pair.high(), &one]).unwrap();
}

/// A mark that outlived so many transactions of its seat that its number came again, on the other
/// half of a pair that the present one is about.
#[test]
fn a_decision_about_one_half_of_a_pair_says_nothing_of_the_other() {
    const LOW: u64 = 128;
    const HIGH: u64 = 256;
    let space = Namespace::temporary().unwrap();
    let pair = space.event_pair("pair").create().unwrap();
    let one = space.semaphore("one", 1, 1).create().unwrap();
    pair.set_high().unwrap();
    let mut halver = command("seats.halver", &[path(&space)]);
    halver.env("STRAIT_KILL", "all.committed:1:KILL");
    assert!(!Peer::of(&mut halver).finish().success());
    let mut options = File::options();
    let file = options.read(true).write(true);
    let file = file.open(space.path().join("opair")).unwrap();
    let mut word = [0; 8];
    file.read_exact_at(&mut word, HIGH).unwrap();
    assert_eq!(word[0] & 0b101, 0b101, "set, and marked");
    file.write_all_at(&word, LOW).unwrap();
    let look = |half: Half<'_>| wait::any_for(&[&half], Duration::ZERO).unwrap().is_some();
    assert!(look(pair.low()), "it was set, and nobody took it");
    assert!(!look(pair.high()), "it was taken");
    assert_eq!(one.query().unwrap().count, 0);
}

#[test]
fn both_halves_of_a_pair_are_taken_together() {
    let space = Namespace::temporary().unwrap();
    let private = EventPair::options().create().unwrap();
    for pair in [space.event_pair("pair").create().unwrap(), private] {
        let (low, high) = (pair.low(), pair.high());
        let both = |timeout| wait::all_for(&[&low, &high], timeout).unwrap().is_some();
        pair.set_low().unwrap();
        assert!(!both(Duration::from_millis(1)));
        assert!(pair.query().unwrap().low, "nothing is taken but both");
        std::thread::scope(|scope| {
            let (tell, told) = std::sync::mpsc::channel();
            let taken = scope.spawn(move || {
                tell.send(step::me()).unwrap();
                both(GUARD)
            });
            let_sleep(std::process::id(), told.recv().unwrap());
            pair.set_high().unwrap();
            assert!(taken.join().unwrap());
        });
        let state = pair.query().unwrap();
        assert!(!state.low && !state.high);
        assert!(wait::all_for(&[&low, &low], Duration::ZERO).is_err());
    }
}
