//! Handles that reach another process: duplicated, passed at creation, kept over exec, sent.

mod forked;
mod hostile;
mod spaces;
mod threads;

use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;

use strait::nt::{Event, EventPair, Mutant, Read, Section, Semaphore, Timer, Write};
use strait::{ErrorKind, HandleSocket, Namespace, Pass, Rights, Transferable, inherited, wait};

use crate::peer::{Peer, Role, command, say, told};
use crate::world::{GUARD, alone, refused};

pub(crate) const ROLES: &[(&str, Role)] = &[
    ("transfer.child", child),
    ("transfer.bare", bare),
    ("transfer.execs", execs),
    ("transfer.child_of_itself", child_of_itself),
    ("transfer.sender", sender),
    ("transfer.silent", forked::silent),
    ("transfer.islander", spaces::islander),
    ("transfer.local", spaces::local),
];

fn path(space: &Namespace) -> &str {
    space.path().to_str().unwrap()
}

// ---- duplicated ----------------------------------------------------------------------------

#[test]
fn a_duplicate_has_fewer_rights_and_never_more() {
    alone(
        "transfer::a_duplicate_has_fewer_rights_and_never_more",
        || {
            let space = Namespace::temporary().unwrap();
            let named = space.event("x").create().unwrap();
            let shared = Event::options().namespace(&space).shared();
            let shared = shared.create().unwrap();
            for event in [named, shared] {
                let looks = event.duplicate(Rights::LOOK).unwrap();
                let takes = event.duplicate(Rights::LOOK | Rights::WAIT).unwrap();
                let sets = event.duplicate(Rights::MODIFY).unwrap();
                for (one, other) in [(&looks, &takes), (&takes, &sets), (&sets, &event)] {
                    assert!(one.is_same(other));
                }
                for refusal in [
                    refused(looks.set(), ErrorKind::Denied),
                    refused(looks.wait_for(Duration::ZERO), ErrorKind::Denied),
                    refused(takes.set(), ErrorKind::Denied),
                    refused(takes.reset(), ErrorKind::Denied),
                    refused(sets.wait_for(Duration::ZERO), ErrorKind::Denied),
                    refused(looks.duplicate(Rights::WAIT), ErrorKind::Denied),
                    refused(takes.duplicate(Rights::ALL), ErrorKind::Denied),
                    refused(sets.duplicate(Rights::LOOK), ErrorKind::Denied),
                ] {
                    assert_eq!(refusal.win32(), 5, "{refusal}");
                }
                assert!(!sets.set().unwrap());
                assert!(looks.query().unwrap().set);
                // The duplicate is a handle of its own.
                drop(event);
                assert!(takes.wait_for(Duration::ZERO).unwrap());
            }
            refused(space.event("x").open(), ErrorKind::NotFound);
            let section = space.section("s", 1).create().unwrap();
            let reads = section.duplicate(Rights::LOOK).unwrap();
            refused(reads.map::<Write>(), ErrorKind::Denied);
            assert!(reads.map::<Read>().is_ok() && reads.is_same(&section));
            let private = Event::options().create().unwrap();
            let error = refused(private.duplicate(Rights::LOOK), ErrorKind::Unsupported);
            assert!(error.to_string().contains("shared"), "{error}");
            // Without its name there is no way to a new description.
            std::fs::remove_file(space.path().join("os")).unwrap();
            refused(section.duplicate(Rights::ALL), ErrorKind::NotFound);
        },
    );
}

// ---- passed at creation --------------------------------------------------------------------

/// Takes what it was given: see the test.
pub(crate) fn child(args: &[String]) {
    let kind_of = |error: strait::Error| error.kind();
    let missing = inherited::<Event>("other").map_err(kind_of);
    assert_eq!(missing.unwrap_err(), ErrorKind::NotFound);
    let wrong = inherited::<Semaphore>("wrong").map_err(kind_of);
    assert_eq!(wrong.unwrap_err(), ErrorKind::WrongKind);
    say("untaken");
    told();
    let name = inherited::<Event>("name, of=a;kind").unwrap();
    let again = inherited::<Event>("name, of=a;kind").map_err(kind_of);
    assert_eq!(again.unwrap_err(), ErrorKind::NotFound, "taken twice");
    assert_eq!(name.name().unwrap().as_bytes(), b"x");
    assert!(name.wait_for(GUARD).unwrap());
    let space = Namespace::directory(&args[0]).unwrap();
    assert!(space.event("x").open().unwrap().is_same(&name));
    // Unnamed, in memory of its own; fewer rights; a section.
    let bell: Event = inherited("bell").unwrap();
    assert!(bell.name().is_none() && !bell.set().unwrap());
    let looks: Event = inherited("looks").unwrap();
    assert_eq!(looks.rights(), Rights::LOOK);
    assert!(looks.query().unwrap().set);
    assert_eq!(looks.set().map_err(kind_of).unwrap_err(), ErrorKind::Denied);
    let section: Section = inherited("section").unwrap();
    section.map::<Write>().unwrap().write(7, b"tea").unwrap();
    say("taken");
    told();
    drop(name);
    say("closed");
    told();
}

#[test]
fn handles_are_passed_to_a_child() {
    alone("transfer::handles_are_passed_to_a_child", || {
        let space = Namespace::temporary().unwrap();
        let named = space.event("x").set().create().unwrap();
        let bell = Event::options().namespace(&space).shared();
        let bell = bell.create().unwrap();
        let section = Section::options(1).namespace(&space).create().unwrap();
        let private = Event::options().create().unwrap();
        let mut command = command("transfer.child", &[path(&space)]);
        refused(command.pass("p", &private), ErrorKind::Unsupported);
        refused(command.pass("", &named), ErrorKind::InvalidInput);
        command.pass("name, of=a;kind", &named).unwrap();
        refused(
            command.pass("name, of=a;kind", &bell),
            ErrorKind::InvalidInput,
        );
        let looks = bell.duplicate(Rights::LOOK).unwrap();
        command.pass("wrong", &named).unwrap();
        command.pass("bell", &bell).unwrap();
        command.pass("looks", &looks).unwrap();
        command.pass("section", &section).unwrap();
        bell.set().unwrap();
        let mut child = Peer::of(&mut command);
        assert_eq!(child.hear().as_deref(), Some("untaken"));
        assert!(bell.wait_for(GUARD).unwrap());
        // The child alone has it, and has not even taken it.
        drop((command, named));
        assert!(space.event("x").open().is_ok());
        assert!(!bell.query().unwrap().set);
        assert_eq!(child.ask("take"), "taken");
        assert!(bell.wait_for(GUARD).unwrap());
        let mut tea = [0; 3];
        section.map::<Read>().unwrap().read(7, &mut tea).unwrap();
        assert_eq!(&tea, b"tea");
        assert!(space.event("x").open().is_ok());
        assert_eq!(child.ask("close"), "closed");
        refused(space.event("x").open(), ErrorKind::NotFound);
        assert!(child.finish().success());
    });
}

/// Was given nothing, and has nothing.
pub(crate) fn bare(args: &[String]) {
    let error = inherited::<Event>("name").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let ours = |link: &Path| {
        let text = link.to_string_lossy().into_owned();
        text.starts_with(&args[0]) || text.contains("memfd:strait")
    };
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let leaked: Vec<_> = open
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter(|link| ours(link))
        .collect();
    assert!(leaked.is_empty(), "{leaked:?}");
}

#[test]
fn a_child_that_was_given_nothing_inherits_nothing() {
    let space = Namespace::temporary().unwrap();
    let named = space.event("x").create().unwrap();
    let shared = Event::options().namespace(&space).shared();
    let shared = shared.create().unwrap();
    let mut given = command("transfer.bare", &[path(&space)]);
    given.pass("name", &named).unwrap();
    // What one command was given does not reach another.
    assert!(
        Peer::start("transfer.bare", &[path(&space)])
            .finish()
            .success()
    );
    drop((named, shared, given));
}

/// Replaces its program, and keeps what it passes to itself.
pub(crate) fn execs(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let event = space.event("kept").create().unwrap();
    let other = space.event("not kept").create().unwrap();
    let mutant = space.mutant("owned").owned().create().unwrap();
    let mut command = command("transfer.child_of_itself", &[]);
    command.stdin(std::process::Stdio::inherit());
    command.stdout(std::process::Stdio::inherit());
    command.pass("event", &event).unwrap();
    command.pass("mutant", &mutant).unwrap();
    let error = command.exec();
    panic!("{error} {other:?}");
}

/// The second program of [`execs`].
pub(crate) fn child_of_itself(_: &[String]) {
    let event: Event = inherited("event").unwrap();
    assert!(!event.set().unwrap());
    let mutant: Mutant = inherited("mutant").unwrap();
    // The thread that owned it ended with the program, though the process lives.
    assert!(mutant.try_acquire().unwrap().unwrap().abandoned());
    say("there");
    told();
}

#[test]
fn a_handle_is_kept_over_exec() {
    let space = Namespace::temporary().unwrap();
    let mut peer = Peer::start("transfer.execs", &[path(&space)]);
    assert_eq!(peer.hear().as_deref(), Some("there"));
    assert!(space.event("kept").open().unwrap().wait_for(GUARD).unwrap());
    refused(space.event("not kept").open(), ErrorKind::NotFound);
    peer.kill();
    refused(space.event("kept").open(), ErrorKind::NotFound);
}

// ---- sent over a socket --------------------------------------------------------------------

/// Makes an object of each kind in `args[0]`, sends it to the socket there, and is gone.
pub(crate) fn sender(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let socket = UnixStream::connect(space.path().join(".socket")).unwrap();
    socket
        .send_handle(&space.event("e").set().create().unwrap())
        .unwrap();
    let pair = space.event_pair("p").create().unwrap();
    pair.set_high().unwrap();
    socket.send_handle(&pair).unwrap();
    drop(pair);
    socket
        .send_handle(&space.mutant("m").owned().create().unwrap())
        .unwrap();
    socket
        .send_handle(&space.semaphore("s", 2, 3).create().unwrap())
        .unwrap();
    let section = space.section("c", 1).create().unwrap();
    section.map::<Write>().unwrap().write(0, b"tea").unwrap();
    socket.send_handle(&section).unwrap();
    drop(section);
    let timer = space.timer("t").create().unwrap();
    timer.set(Duration::ZERO).unwrap();
    socket.send_handle(&timer).unwrap();
    let shared = Event::options().namespace(&space).shared().set();
    let shared = shared.create().unwrap();
    socket.send_handle(&shared).unwrap();
    socket
        .send_handle(&shared.duplicate(Rights::LOOK).unwrap())
        .unwrap();
    let looks = space.event("e").open().unwrap().duplicate(Rights::LOOK);
    socket.send_handle(&looks.unwrap()).unwrap();
    // Ends here: nobody has received anything yet.
}

#[test]
fn objects_survive_in_flight_between_strangers() {
    alone(
        "transfer::objects_survive_in_flight_between_strangers",
        || {
            let space = Namespace::temporary().unwrap();
            // Before the socket is put there, or the sender would find no namespace.
            drop(space.event("first").create().unwrap());
            let listener = UnixListener::bind(space.path().join(".socket")).unwrap();
            let sender = Peer::start("transfer.sender", &[path(&space)]);
            let (socket, _) = listener.accept().unwrap();
            assert!(sender.finish().success());
            let spaces = [space.clone()];
            // Held by nothing but messages in a socket.
            assert!(space.event("e").open().is_ok() && space.timer("t").open().is_ok());
            let event: Event = socket.receive_handle(&spaces).unwrap();
            let pair: EventPair = socket.receive_handle(&spaces).unwrap();
            let mutant: Mutant = socket.receive_handle(&spaces).unwrap();
            let semaphore: Semaphore = socket.receive_handle(&spaces).unwrap();
            let section: Section = socket.receive_handle(&spaces).unwrap();
            let timer: Timer = socket.receive_handle(&spaces).unwrap();
            let shared: Event = socket.receive_handle(&spaces).unwrap();
            let looks_shared: Event = socket.receive_handle(&spaces).unwrap();
            let looks: Event = socket.receive_handle(&spaces).unwrap();
            let end = socket.receive_handle::<Event>(&spaces);
            refused(end, ErrorKind::PeerGone);
            assert!(space.event("e").open().unwrap().is_same(&event));
            assert!(looks.is_same(&event) && looks_shared.is_same(&shared));
            for handle in [&looks, &looks_shared] {
                assert_eq!(handle.rights(), Rights::LOOK);
                assert!(handle.query().unwrap().set);
                refused(handle.reset(), ErrorKind::Denied);
            }
            // All of them belong to one commit domain, the unnamed one too.
            let high = pair.high();
            let all: [&dyn wait::Waitable; 6] =
                [&event, &high, &mutant, &semaphore, &timer, &shared];
            let won = wait::all_for(&all, GUARD).unwrap().unwrap();
            assert_eq!(won.abandoned, [2], "its owner is gone");
            assert_eq!(semaphore.query().unwrap().count, 1);
            let mut tea = [0; 3];
            section.map::<Read>().unwrap().read(0, &mut tea).unwrap();
            assert_eq!(&tea, b"tea");
            drop((event, looks, socket));
            refused(space.event("e").open(), ErrorKind::NotFound);
        },
    );
}

#[test]
fn a_message_that_nobody_reads_keeps_nothing_alive() {
    alone(
        "transfer::a_message_that_nobody_reads_keeps_nothing_alive",
        || {
            let space = Namespace::temporary().unwrap();
            let (one, other) = UnixDatagram::pair().unwrap();
            let event = space.event("e").create().unwrap();
            one.send_handle(&event).unwrap();
            drop(event);
            assert!(space.event("e").open().is_ok());
            // It may be asked for as often as one likes.
            assert!(space.event("e").open().is_ok());
            drop((one, other));
            refused(space.event("e").open(), ErrorKind::NotFound);
        },
    );
}

fn sent<T: Transferable>(handle: &T) -> UnixStream {
    let (one, other) = UnixStream::pair().unwrap();
    one.send_handle(handle).unwrap();
    other
}

#[test]
fn what_is_received_must_be_expected() {
    alone("transfer::what_is_received_must_be_expected", || {
        let space = Namespace::temporary().unwrap();
        let (event, known) = (space.event("e").create().unwrap(), [space.clone()]);
        let before = crate::world::descriptors();
        let wrong = sent(&event).receive_handle::<Semaphore>(&known);
        let error = refused(wrong, ErrorKind::WrongKind);
        assert!(error.to_string().contains("/e"), "{error}");
        let unknown = sent(&event).receive_handle::<Event>(&[]);
        let error = refused(unknown, ErrorKind::NotFound);
        assert!(error.to_string().contains("namespace"), "{error}");
        let private = Event::options().create().unwrap();
        let (one, _other) = UnixStream::pair().unwrap();
        refused(one.send_handle(&private), ErrorKind::Unsupported);
        drop((one, _other));
        assert_eq!(crate::world::descriptors(), before, "nothing leaked");
        // The refused handle was closed as any other: the last one takes the name along.
        let socket = sent(&event);
        drop(event);
        refused(
            socket.receive_handle::<Mutant>(&known),
            ErrorKind::WrongKind,
        );
        assert!(!space.path().join("oe").exists());
    });
}
