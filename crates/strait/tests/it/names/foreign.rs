//! What stands at a name's place and is no object: refused by kind, named, and left alone.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, mknodat};
use strait::inspect::{self, Depth};
use strait::nt::{Event, GRANULARITY, Section};
use strait::{Birth, ErrorKind, Namespace, Rights};
use strait_sys::ofd_lock::{self, Lock};

use super::path;
use crate::peer::{Peer, command, say, told};
use crate::world::{
    USERS, alone, as_user, no_users, objects_in, on_fresh_shm, refused, skip, until,
};

/// Where the key of the name `x` is.
fn place(space: &Namespace) -> PathBuf {
    space.path().join("ox")
}

/// The bytes of a sound object of that name.
fn sound(space: &Namespace, name: &str) -> Vec<u8> {
    let event = space.event(name).create().unwrap();
    let bytes = fs::read(space.path().join(format!("o{name}"))).unwrap();
    drop(event);
    bytes
}

/// Whatever stands there is refused by every way to use the name, and stays.
#[track_caller]
fn stays(space: &Namespace, kind: ErrorKind, because: &str) {
    let inode = || fs::symlink_metadata(place(space)).unwrap().ino();
    let before = inode();
    let options = || space.event("x");
    for error in [
        refused(options().create(), kind),
        refused(options().create_or_open(), kind),
        refused(options().open(), kind),
        refused(space.section("x", 1).create(), kind),
    ] {
        let message = error.to_string();
        assert!(message.contains("/x"), "it names the thing: {message}");
        assert!(message.contains(because), "{because}: {message}");
    }
    // To look at nothing is to find nothing; it must not be taken for an object.
    let look = options().rights(Rights::LOOK).open();
    assert!(matches!(look.unwrap_err().kind(), k if k == kind || k == ErrorKind::NotFound));
    space.collect().unwrap();
    assert_eq!(inode(), before, "the foreign file was replaced");
}

#[test]
fn foreign_kinds_of_files_are_refused_and_left_alone() {
    alone(
        "names::foreign::foreign_kinds_of_files_are_refused_and_left_alone",
        || {
            let space = Namespace::temporary().unwrap();
            let at = place(&space);
            let target = space.path().join("target");
            fs::write(&target, sound(&space, "x")).unwrap();
            symlink(&target, &at).unwrap();
            stays(&space, ErrorKind::Layout, "symbolic link");
            fs::remove_file(&at).unwrap();
            symlink("/nowhere", &at).unwrap();
            stays(&space, ErrorKind::Layout, "symbolic link");
            fs::remove_file(&at).unwrap();
            let fifo = rustix::fs::FileType::Fifo;
            mknodat(rustix::fs::CWD, &at, fifo, Mode::RWXU, 0).unwrap();
            stays(&space, ErrorKind::Layout, "not a regular file");
            fs::remove_file(&at).unwrap();
            let listener = UnixListener::bind(&at).unwrap();
            stays(&space, ErrorKind::Layout, "not a regular file");
            drop(listener);
            fs::remove_file(&at).unwrap();
            fs::create_dir(&at).unwrap();
            stays(&space, ErrorKind::Layout, "not a regular file");
            fs::remove_dir(&at).unwrap();
            assert!(space.event("x").create().is_ok());
        },
    );
}

#[test]
fn files_that_are_no_objects_are_refused_and_left_alone() {
    alone(
        "names::foreign::files_that_are_no_objects_are_refused_and_left_alone",
        || {
            let space = Namespace::temporary().unwrap();
            let good = sound(&space, "x");
            let mut random = crate::world::Random::of_test("files_that_are_no_objects");
            let noise = (0..8192).map(|_| random.next().to_le_bytes()[0]).collect();
            let with = |at: usize, bytes: &[u8]| {
                let mut changed = good.clone();
                changed[at..at + bytes.len()].copy_from_slice(bytes);
                changed
            };
            let cases: [(&str, Vec<u8>, &str); 6] = [
                ("empty", Vec::new(), "shorter than a header"),
                ("a few bytes", good[..15].to_vec(), "shorter than a header"),
                ("noise", noise, "no object of Strait"),
                ("zeros", vec![0; 4096], "no object of Strait"),
                ("a later layout", with(8, &2_u32.to_le_bytes()), "layout 2"),
                ("layout 0", with(8, &0_u32.to_le_bytes()), "layout 0"),
            ];
            for (what, bytes, because) in cases {
                eprintln!("{what}");
                fs::write(place(&space), bytes).unwrap();
                stays(&space, ErrorKind::Layout, because);
                fs::remove_file(place(&space)).unwrap();
            }
            // Recognised, and held by somebody: his header is wrong.
            let cases: [(&str, Vec<u8>, &str); 8] = [
                ("half", good[..2048].to_vec(), "shorter than a header"),
                ("longer", [&good[..], &[0; 4096]].concat(), "truncated, or"),
                ("unknown kind", with(12, &77_u32.to_le_bytes()), "kind 77"),
                ("unknown flags", with(24, &64_u32.to_le_bytes()), "flags"),
                (
                    "no end of a name",
                    with(28, &u32::MAX.to_le_bytes()),
                    "shorter than",
                ),
                (
                    "a longer name",
                    with(28, &2000_u32.to_le_bytes()),
                    "shorter than",
                ),
                (
                    "data beyond all",
                    with(56, &u64::MAX.to_le_bytes()),
                    "truncated",
                ),
                ("another name", with(2560, b"y"), "another name"),
            ];
            for (what, bytes, because) in cases {
                eprintln!("{what}");
                fs::write(place(&space), bytes).unwrap();
                let file = File::open(place(&space)).unwrap();
                assert!(ofd_lock::try_lock(file.as_fd(), Lock::Read, 0, 1).unwrap());
                stays(&space, ErrorKind::Layout, because);
                fs::remove_file(place(&space)).unwrap();
            }
            assert!(space.event("x").create().is_ok());
        },
    );
}

#[test]
fn a_stranger_in_transition_makes_a_name_busy() {
    alone(
        "names::foreign::a_stranger_in_transition_makes_a_name_busy",
        || {
            let space = Namespace::temporary().unwrap();
            fs::write(place(&space), sound(&space, "x")).unwrap();
            let file = File::options()
                .write(true)
                .read(true)
                .open(place(&space))
                .unwrap();
            assert!(ofd_lock::try_lock(file.as_fd(), Lock::Write, 0, 1).unwrap());
            stays(&space, ErrorKind::Busy, "transition");
            drop(file);
            assert_eq!(space.event("x").create_or_open().unwrap().1, Birth::Created);
        },
    );
}

/// Holds a lease on `args[0]`.
pub(crate) fn lease(args: &[String]) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&args[0])
        .unwrap();
    say(strait_sys::ofd_lock::lease(file.as_fd()).is_ok());
    told();
}

#[test]
fn a_leased_file_delays_nobody() {
    alone("names::foreign::a_leased_file_delays_nobody", || {
        let space = Namespace::temporary().unwrap();
        fs::write(place(&space), sound(&space, "x")).unwrap();
        let at = place(&space);
        let mut holder = Peer::start("names.lease", &[at.to_str().unwrap()]);
        if holder.hear().as_deref() != Some("true") {
            return skip(
                "a_leased_file_delays_nobody",
                "this file system has no leases",
            );
        }
        stays(&space, ErrorKind::Busy, "leased");
        assert!(holder.finish().success());
        until("the lease ends with its holder", || {
            space.event("x").create_or_open().is_ok()
        });
    });
}

#[test]
fn the_commit_table_is_checked_before_it_is_believed() {
    alone(
        "names::foreign::the_commit_table_is_checked_before_it_is_believed",
        || {
            let place = Namespace::temporary().unwrap();
            // Not the one that was born with the table, and keeps it.
            let space = Namespace::directory(place.path()).unwrap();
            let table = space.path().join(".txn");
            let sound = |from: &Namespace| {
                drop(from.event("x").create().unwrap());
                fs::read(from.path().join(".txn")).unwrap()
            };
            let good = sound(&Namespace::temporary().unwrap());
            let with = |at: usize, byte: u8| {
                let mut changed = good.clone();
                changed[at] ^= byte;
                changed
            };
            let cases = [
                ("empty", Vec::new()),
                ("half", good[..good.len() / 2].to_vec()),
                ("longer", [&good[..], &[0]].concat()),
                ("another magic", with(0, 1)),
                ("another layout", with(8, 2)),
                ("zeros", vec![0; good.len()]),
            ];
            for (what, bytes) in cases {
                fs::write(&table, &bytes).unwrap();
                let fresh = Namespace::directory(space.path()).unwrap();
                let error = refused(fresh.event("x").create(), ErrorKind::Layout);
                assert!(error.to_string().contains("/x"), "{what}: {error}");
                assert_eq!(fs::read(&table).unwrap(), bytes, "{what}: left alone");
                fs::remove_file(&table).unwrap();
            }
            for make in [
                (|at: &Path| symlink("/nowhere", at).unwrap()) as fn(&Path),
                |at| fs::create_dir(at).unwrap(),
                |at| {
                    mknodat(
                        rustix::fs::CWD,
                        at,
                        rustix::fs::FileType::Fifo,
                        Mode::RWXU,
                        0,
                    )
                    .unwrap()
                },
            ] {
                make(&table);
                let fresh = Namespace::directory(space.path()).unwrap();
                let error = fresh.event("x").create().unwrap_err();
                let kind = error.kind();
                assert_eq!(kind, ErrorKind::Layout, "{error}");
                assert!(
                    fs::remove_file(&table)
                        .or_else(|_| fs::remove_dir(&table))
                        .is_ok()
                );
            }
            // One that was exchanged while objects of the other are open is not mixed with it.
            let held = space.event("held").create().unwrap();
            fs::remove_file(&table).unwrap();
            fs::write(&table, &good).unwrap();
            let fresh = Namespace::directory(space.path()).unwrap();
            refused(fresh.event("held").open(), ErrorKind::Broken);
            assert!(!held.set().unwrap());
            // Nor is one made anew beside objects of a table that is gone.
            let fresh = Namespace::directory(space.path()).unwrap();
            fs::remove_file(&table).unwrap();
            refused(fresh.event("held").open(), ErrorKind::Broken);
            refused(Namespace::directory(space.path()), ErrorKind::InvalidInput);
            assert!(!table.exists());
        },
    );
}

#[test]
fn a_directory_with_other_things_in_it_never_becomes_a_namespace() {
    // A child that another test forks would keep the event's handle open for a moment.
    alone(
        "names::foreign::a_directory_with_other_things_in_it_never_becomes_a_namespace",
        other_things,
    );
}

fn other_things() {
    let home = Namespace::temporary().unwrap();
    let at = home.path().join(".directory");
    fs::create_dir(&at).unwrap();
    let entries = || fs::read_dir(&at).unwrap().count();
    let space = Namespace::directory(&at).unwrap();
    refused(space.event("x").open(), ErrorKind::NotFound);
    space.collect().unwrap();
    inspect::look(std::slice::from_ref(&space), Depth::Holders).unwrap();
    assert_eq!(entries(), 0, "looking makes nothing");
    let held = space.event("x").create().unwrap();
    let table = at.join(".txn");
    assert!(table.exists());
    // A namespace stays one, whatever else is put there; and that is not for collectors.
    let theirs = at.join(".tmp-of-another-program");
    fs::create_dir(&theirs).unwrap();
    fs::write(theirs.join("file"), "theirs").unwrap();
    let fresh = Namespace::directory(&at).unwrap();
    assert!(!fresh.event("x").open().unwrap().set().unwrap());
    fresh.collect().unwrap();
    assert!(theirs.join("file").exists());
    drop(held);
    fs::remove_file(&table).unwrap();
    let error = refused(Namespace::directory(&at), ErrorKind::InvalidInput);
    assert!(
        error.to_string().contains("neither empty nor a namespace"),
        "{error}"
    );
    assert_eq!(entries(), 1);
    fs::remove_dir_all(&at).unwrap();
}

/// As an ordinary user, in the directory `args[0]` of somebody else.
pub(crate) fn guest(args: &[String]) {
    let space = Namespace::directory(&args[0]);
    let error = space
        .and_then(|space| space.event("x").create())
        .unwrap_err();
    say(format!("{:?} {} {error}", error.kind(), error.win32()));
}

#[test]
fn a_directory_of_somebody_else_is_denied() {
    if let Some(why) = no_users() {
        return skip("a_directory_of_somebody_else_is_denied", why);
    }
    // Not in the user's own namespace: an ordinary user could not reach it there.
    let at = PathBuf::from(format!("/dev/shm/strait-test-{}", std::process::id()));
    for mode in [0o700, 0o755] {
        fs::create_dir(&at).unwrap();
        fs::set_permissions(&at, PermissionsExt::from_mode(mode)).unwrap();
        let space = Namespace::directory(&at).unwrap();
        let held = space.event("x").create().unwrap();
        let mut guest = command("names.guest", &[at.to_str().unwrap()]);
        let said = Peer::of(as_user(&mut guest, USERS[0])).hear().unwrap();
        drop(held);
        fs::remove_dir_all(&at).unwrap();
        assert!(said.starts_with("Denied 5 "), "mode {mode:o}: {said}");
        assert!(said.contains(at.to_str().unwrap()), "{said}");
    }
}

// ---- a full file system --------------------------------------------------------------------

#[test]
fn a_full_tmpfs_is_an_error_and_no_signal() {
    on_fresh_shm(
        "a_full_tmpfs_is_an_error_and_no_signal",
        "256k",
        "names.full",
    );
}

/// On a `/dev/shm` of 64 pages.
pub(crate) fn full(_: &[String]) {
    let space = Namespace::temporary().unwrap();
    let pages = |count: u64| count * 4096;
    // More than there is: refused now, not at the first touch.
    let error = refused(
        space.section("big", pages(64)).create(),
        ErrorKind::Exhausted,
    );
    assert!(error.to_string().contains("/big"), "{error}");
    assert!(error.to_string().contains("full"), "{error}");
    assert_eq!(objects_in(space.path()), 0, "nothing half made is left");
    // What there is can be written to the last byte.
    let big = space.section("big", pages(40)).create().unwrap();
    let view = big.map::<strait::nt::Write>().unwrap();
    view.write(0, &vec![7; 40 * 4096]).unwrap();
    let mut events: Vec<Event> = Vec::new();
    let error = loop {
        match space.event(format!("e{}", events.len())).create() {
            Ok(event) => events.push(event),
            Err(error) => break error,
        }
        assert!(events.len() < 64);
    };
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    assert!(
        error.to_string().contains(&format!("/e{}", events.len())),
        "{error}"
    );
    assert!(error.win32() == 1450 && error.errno().is_some());
    // What exists goes on working, across processes, or says that there is no room for a seat.
    let mut peer = Peer::start("names.roomless", &[path(&space)]);
    let said = peer.hear().unwrap();
    assert!(said == "taken" || said == "Exhausted", "{said}");
    events[0].set().unwrap();
    assert!(!events[1].set().unwrap() && events[1].query().unwrap().set);
    // A collector looks at every seat there could be: it must not allocate, nor break.
    space.collect().unwrap();
    Namespace::local().unwrap().collect().unwrap();
    let error = refused(Namespace::temporary(), ErrorKind::Exhausted);
    assert!(error.to_string().contains(".txn"), "{error}");
    // Room again: all is well.
    drop((view, big));
    let section = space.section("small", GRANULARITY).create().unwrap();
    assert!(section.map::<strait::nt::Write>().is_ok());
    assert!(events[0].wait_for(std::time::Duration::ZERO).is_ok());
    assert!(Namespace::temporary().unwrap().event("x").create().is_ok());
    drop((peer, events, Section::options(1).create().unwrap()));
}

/// Waits a moment for `e0`, which takes a seat in the table.
pub(crate) fn roomless(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let event = space.event("e0").open().unwrap();
    event.set().unwrap();
    let zero = std::time::Duration::ZERO;
    assert!(event.wait_for(zero).unwrap());
    match event.wait_for(std::time::Duration::from_millis(1)) {
        Ok(taken) => {
            assert!(!taken);
            say("taken");
        }
        Err(error) => say(format!("{:?}", error.kind())),
    }
    told();
}
