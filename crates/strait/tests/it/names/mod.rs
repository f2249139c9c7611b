//! Names: any that NT allows, a hundred thousand of them, each for exactly as long as a handle.

mod collect;
mod crowd;
mod foreign;

use std::collections::HashSet;
use std::fs;

use strait::nt::Event;
use strait::nt::status::NtStatus;
use strait::{Birth, ErrorKind, Kind, NAME_UTF16_MAX, Name, Namespace, Result, Rights};

use crate::peer::{Peer, Role, say, told};
use crate::world::{alone, objects_in, refused};

pub(crate) const ROLES: &[(&str, Role)] = &[
    ("names.hold", crowd::hold),
    ("names.unnamed", crowd::unnamed),
    ("names.take", take),
    ("names.race", race),
    ("names.keep", keep),
    ("names.temporary", temporary),
    ("names.collector", collect::collector),
    ("names.maker", collect::maker),
    ("names.lease", foreign::lease),
    ("names.guest", foreign::guest),
    ("names.full", foreign::full),
    ("names.roomless", foreign::roomless),
];

fn path(space: &Namespace) -> &str {
    space.path().to_str().unwrap()
}

// ---- any name ------------------------------------------------------------------------------

fn hex(units: &[u16]) -> String {
    units.iter().map(|unit| format!("{unit:04x}")).collect()
}

fn name_of(hex: &str) -> Name {
    let units: Vec<u16> = hex
        .as_bytes()
        .chunks(4)
        .map(|digits| u16::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap())
        .collect();
    Name::from_utf16(&units).unwrap().0
}

/// Takes the event of each name it is told, in hexadecimal UTF-16, if it is set.
pub(crate) fn take(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    while let Some(line) = told() {
        let event = Event::options()
            .namespace(&space)
            .raw_name(name_of(&line))
            .open();
        say(event.unwrap().wait_for(std::time::Duration::ZERO).unwrap());
    }
}

const STRANGE: &[&str] = &[
    "a",
    "A",
    "a ",
    " a",
    ".",
    "..",
    ".txn",
    ".tmp-0",
    "/",
    "a/b",
    "/etc/passwd",
    "c:",
    "%",
    "%41",
    "%2541",
    "a%00",
    "\0",
    "a\0b",
    "a\0",
    "ab",
    "o",
    "oa",
    "h",
    "*",
    "~",
    "é",
    "e\u{301}",
    "\u{1F600}",
    "\u{FFFD}",
    "\u{FFFF}",
    "CON",
    "Local",
    "Global",
    "local\u{2216}x",
    "-rf",
    "\n",
    "\t",
    "'\"",
    "a;b",
    "a=b,c",
    "\u{202E}",
];

fn strange_names() -> Vec<Vec<u16>> {
    let mut names: Vec<Vec<u16>> = STRANGE
        .iter()
        .map(|text| text.encode_utf16().collect())
        .collect();
    // Lone surrogates, a pair the wrong way round, two of a kind, one beside a real pair.
    for units in [
        &[0xd800][..],
        &[0xdfff],
        &[0xdc00, 0xd800],
        &[0xd83d, 0xd83d],
        &[0xd83d, 0xd83d, 0xde00],
        &[0x61, 0xde00],
    ] {
        names.push(units.to_vec());
    }
    // Around what a file name and its escaped form can hold.
    for len in [65, 66, 67, 198, 199, 200, 201, 254, 255, 256, 1000] {
        names.push(vec![0x78; len]);
        names.push(vec![0x2f; len]);
    }
    // The longest there are, which differ in their last unit only.
    for (first, last) in [
        (0x61, 0x61),
        (0x61, 0x62),
        (0x20ac, 0x20ac),
        (0xd800, 0xd800),
    ] {
        let mut units = vec![first; NAME_UTF16_MAX / 2];
        *units.last_mut().unwrap() = last;
        names.push(units);
    }
    names
}

#[test]
fn any_name_round_trips_and_no_two_meet() {
    alone("names::any_name_round_trips_and_no_two_meet", || {
        let space = Namespace::temporary().unwrap();
        let names = strange_names();
        let options = |name: &Name| Event::options().namespace(&space).raw_name(name.clone());
        let mut events = Vec::new();
        for units in &names {
            let (name, global) = Name::from_utf16(units).unwrap();
            assert!(!global);
            let (event, birth) = options(&name).create_or_open().unwrap();
            assert_eq!(birth, Birth::Created, "{name:?} met another");
            assert_eq!(event.name(), Some(&name));
            if let Ok(text) = String::from_utf16(units) {
                // Where both are possible they are one name.
                assert_eq!(name.as_bytes(), text.as_bytes());
                assert!(space.event(text).open().unwrap().is_same(&event));
            }
            events.push((hex(units), event));
        }
        let distinct: HashSet<_> = events
            .iter()
            .map(|(_, event)| event.name().unwrap().as_bytes().to_vec())
            .collect();
        assert_eq!(distinct.len(), names.len());
        assert_eq!(objects_in(space.path()), names.len(), "a file for each");
        let mut peer = Peer::start("names.take", &[path(&space)]);
        for (units, event) in &events {
            event.set().unwrap();
            assert_eq!(peer.ask(units), "true");
            let set = events
                .iter()
                .filter(|(_, other)| other.query().unwrap().set);
            assert_eq!(set.count(), 0, "only the one that was meant was set");
        }
    });
}

#[test]
fn names_that_nt_refuses_are_refused_with_its_codes() {
    alone(
        "names::names_that_nt_refuses_are_refused_with_its_codes",
        || {
            let space = Namespace::temporary().unwrap();
            let longest = NAME_UTF16_MAX / 2;
            assert_eq!(longest, 32_766);
            for unit in [0x61_u16, 0x20ac, 0xdc00] {
                assert!(Name::from_utf16(&vec![unit; longest]).is_ok());
                let error = refused(
                    Name::from_utf16(&vec![unit; longest + 1]),
                    ErrorKind::InvalidName,
                );
                assert_eq!(
                    (error.nt_status(), error.win32()),
                    (NtStatus::OBJECT_NAME_INVALID, 123)
                );
            }
            // A pair is two units, in either way to say it.
            let pairs = "\u{1F600}".repeat(longest / 2);
            assert!(Name::parse(&pairs).is_ok());
            refused(Name::parse(&(pairs + "a")), ErrorKind::InvalidName);
            refused(Name::parse(""), ErrorKind::InvalidName);
            for text in [
                r"a\b",
                r"\a",
                r"a\",
                r"\",
                r"local\a",
                r"Session\1\a",
                r"Local\a\b",
            ] {
                for error in [
                    refused(space.event(text).create(), ErrorKind::PathNotFound),
                    refused(space.event(text).open(), ErrorKind::PathNotFound),
                ] {
                    assert_eq!(
                        (error.nt_status(), error.win32()),
                        (NtStatus::OBJECT_PATH_NOT_FOUND, 3)
                    );
                    assert!(!error.subject().is_empty(), "{error}");
                }
            }
            assert_eq!(objects_in(space.path()), 0);
            // A prefix is not part of the name.
            let event = space.event(r"Local\a").create().unwrap();
            assert!(space.event("a").open().unwrap().is_same(&event));
            assert_eq!(event.name().unwrap().as_bytes(), b"a");
        },
    );
}

#[test]
fn case_counts() {
    let space = Namespace::temporary().unwrap();
    let done = space.event("JobDone").create().unwrap();
    let error = refused(space.event("JOBDONE").open(), ErrorKind::NotFound);
    assert_eq!(
        (error.nt_status(), error.win32()),
        (NtStatus::OBJECT_NAME_NOT_FOUND, 2)
    );
    assert!(error.to_string().contains("JOBDONE"), "{error}");
    let other = space.event("JOBDONE").create().unwrap();
    assert!(!done.is_same(&other));
}

// ---- one space for all kinds ---------------------------------------------------------------

type Try = fn(&Namespace) -> Result<Box<dyn std::any::Any>>;

fn held<T: 'static>(object: T) -> Box<dyn std::any::Any> {
    Box::new(object)
}

/// For each kind: create, create or open, open, all under the name `n`.
const KINDS: [(Kind, [Try; 3]); 6] = [
    (
        Kind::Event,
        [
            |s| s.event("n").create().map(held),
            |s| s.event("n").create_or_open().map(held),
            |s| s.event("n").open().map(held),
        ],
    ),
    (
        Kind::EventPair,
        [
            |s| s.event_pair("n").create().map(held),
            |s| s.event_pair("n").create_or_open().map(held),
            |s| s.event_pair("n").open().map(held),
        ],
    ),
    (
        Kind::Mutant,
        [
            |s| s.mutant("n").create().map(held),
            |s| s.mutant("n").create_or_open().map(held),
            |s| s.mutant("n").open().map(held),
        ],
    ),
    (
        Kind::Semaphore,
        [
            |s| s.semaphore("n", 0, 1).create().map(held),
            |s| s.semaphore("n", 0, 1).create_or_open().map(held),
            |s| s.semaphore("n", 0, 1).open().map(held),
        ],
    ),
    (
        Kind::Section,
        [
            |s| s.section("n", 1).create().map(held),
            |s| s.section("n", 1).create_or_open().map(held),
            |s| s.section("n", 1).open().map(held),
        ],
    ),
    (
        Kind::Timer,
        [
            |s| s.timer("n").create().map(held),
            |s| s.timer("n").create_or_open().map(held),
            |s| s.timer("n").open().map(held),
        ],
    ),
];

#[test]
fn all_kinds_share_one_space_of_names() {
    alone("names::all_kinds_share_one_space_of_names", || {
        let space = Namespace::temporary().unwrap();
        for (mine, [create, ..]) in KINDS {
            let first = create(&space).unwrap();
            for (theirs, [create, either, open]) in KINDS {
                if mine == theirs {
                    let error = refused(create(&space), ErrorKind::Exists);
                    assert_eq!(
                        (error.nt_status(), error.win32()),
                        (NtStatus::OBJECT_NAME_COLLISION, 183)
                    );
                    assert!(either(&space).is_ok() && open(&space).is_ok());
                    continue;
                }
                for attempt in [create, either, open] {
                    let error = refused(attempt(&space), ErrorKind::WrongKind);
                    assert_eq!(
                        (error.nt_status(), error.win32()),
                        (NtStatus::OBJECT_TYPE_MISMATCH, 6)
                    );
                    let message = error.to_string();
                    assert!(message.contains(mine.word()), "it is {mine}: {message}");
                    assert!(message.contains("/n"), "{message}");
                }
            }
            // The attempts have neither removed it nor left something that keeps it.
            assert_eq!(objects_in(space.path()), 1);
            drop(first);
            assert_eq!(objects_in(space.path()), 0, "{mine}");
        }
    });
}

/// Creates or opens each name it is told, and says which it was; lets go of the one before.
pub(crate) fn race(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let mut held = None;
    while let Some(name) = told() {
        let (event, birth) = space.event(name).create_or_open().unwrap();
        say(format!("{birth:?}"));
        let before = held.replace(event);
        drop(before);
    }
}

#[test]
fn of_many_who_create_at_once_one_has_created() {
    alone("names::of_many_who_create_at_once_one_has_created", || {
        let space = Namespace::temporary().unwrap();
        let mut peers: Vec<Peer> = (0..6)
            .map(|_| Peer::start("names.race", &[path(&space)]))
            .collect();
        for round in 0..200 {
            for peer in &mut peers {
                peer.tell(&format!("race-{round}"));
            }
            let said: Vec<String> = peers.iter_mut().map(|p| p.hear().unwrap()).collect();
            let created = said.iter().filter(|said| *said == "Created").count();
            assert_eq!(created, 1, "round {round}: {said:?}");
        }
        drop(peers);
        space.collect().unwrap();
        assert_eq!(objects_in(space.path()), 0);
    });
}

// ---- how long a name lives -----------------------------------------------------------------

/// Creates (`create`), creates for good (`permanent`) or opens to look (`look`) the event
/// `args[1]`.
pub(crate) fn keep(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let options = space.event(&*args[1]);
    let event = match &*args[2] {
        "create" => options.create(),
        "permanent" => options.permanent().create(),
        _ => options.rights(Rights::LOOK).open(),
    };
    let event = event.unwrap();
    say("kept");
    told();
    drop(event);
    say("closed");
}

fn keeper(space: &Namespace, how: &str) -> Peer {
    let mut peer = Peer::start("names.keep", &[path(space), "kept", how]);
    assert_eq!(peer.hear().as_deref(), Some("kept"));
    peer
}

#[test]
fn a_name_goes_with_its_last_handle() {
    alone("names::a_name_goes_with_its_last_handle", || {
        let space = Namespace::temporary().unwrap();
        let options = || space.event("kept");
        let gone = || refused(options().open(), ErrorKind::NotFound);
        // Closed in order.
        let mut first = keeper(&space, "create");
        let mine = options().open().unwrap();
        assert_eq!(first.ask("close"), "closed");
        assert!(options().open().is_ok(), "mine still holds it");
        drop(mine);
        gone();
        assert_eq!(objects_in(space.path()), 0);
        // Killed: the name is gone with the process, before anybody cleans up.
        let mut first = keeper(&space, "create");
        first.kill();
        refused(options().rights(Rights::LOOK).open(), ErrorKind::NotFound);
        gone();
        let (_, birth) = options().create_or_open().unwrap();
        assert_eq!(birth, Birth::Created);
        // Of two holders one is killed.
        let mut first = keeper(&space, "create");
        let mine = options().open().unwrap();
        first.kill();
        assert!(options().open().is_ok());
        drop(mine);
        gone();
        // A reader alone keeps it.
        let mut first = keeper(&space, "create");
        let mut reader = keeper(&space, "look");
        first.kill();
        assert_eq!(options().create_or_open().unwrap().1, Birth::Opened);
        assert_eq!(reader.ask("close"), "closed");
        gone();
        assert_eq!(objects_in(space.path()), 0);
    });
}

#[test]
fn a_permanent_name_stays_until_it_is_made_temporary() {
    alone(
        "names::a_permanent_name_stays_until_it_is_made_temporary",
        || {
            let space = Namespace::temporary().unwrap();
            let options = || space.event("kept");
            let mut maker = keeper(&space, "permanent");
            options().open().unwrap().set().unwrap();
            maker.kill();
            assert_eq!(
                space.collect().unwrap().objects,
                0,
                "it is not to be collected"
            );
            let event = options().open().unwrap();
            assert!(event.query().unwrap().set, "its state stays too");
            assert_eq!(options().create_or_open().unwrap().1, Birth::Opened);
            let weak = options().rights(Rights::WAIT | Rights::MODIFY).open();
            let error = refused(weak.unwrap().make_temporary(), ErrorKind::Denied);
            assert_eq!(error.win32(), 5);
            event.make_temporary().unwrap();
            assert!(options().open().is_ok());
            drop(event);
            refused(options().open(), ErrorKind::NotFound);
            let event = options().create().unwrap();
            event.make_permanent().unwrap();
            drop(event);
            options().open().unwrap().make_temporary().unwrap();
            refused(options().open(), ErrorKind::NotFound);
            let unnamed = Event::options().create().unwrap();
            refused(unnamed.make_permanent(), ErrorKind::InvalidInput);
        },
    );
}

// ---- temporary namespaces ------------------------------------------------------------------

/// Makes a temporary namespace with an event in it, and says where it is.
pub(crate) fn temporary(_: &[String]) {
    let space = Namespace::temporary().unwrap();
    let event = space.event("kept").create().unwrap();
    say(path(&space));
    told();
    drop(event);
    say("closed");
    told();
}

#[test]
fn a_temporary_namespace_is_collected_when_nobody_uses_it() {
    alone(
        "names::a_temporary_namespace_is_collected_when_nobody_uses_it",
        || {
            let local = Namespace::local().unwrap();
            let mut maker = Peer::start("names.temporary", &[]);
            let at = maker.hear().unwrap();
            let exists = || fs::exists(&at).unwrap();
            let used = Namespace::directory(&at).unwrap();
            let held = used.event("kept").open().unwrap();
            local.collect().unwrap();
            assert!(exists() && used.event("kept").open().is_ok());
            // Its maker lives, though nothing is in it.
            drop(held);
            assert_eq!(maker.ask("close"), "closed");
            local.collect().unwrap();
            assert!(exists());
            // Its maker is gone, but I hold an object in it.
            let held = used.event("mine").create().unwrap();
            maker.kill();
            local.collect().unwrap();
            assert!(exists() && used.event("mine").open().is_ok());
            drop((held, used));
            local.collect().unwrap();
            assert!(!exists());
        },
    );
}
