//! A path has one owner at a time, and never a live one displaced.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use rustix::fs::{FlockOperation, Mode, flock};
use rustix::process::umask;
use strait::ErrorKind;
use strait::unix::socket::{Address, Bytes, Datagram, Listener, Options, Stream};

use super::Place;
use crate::peer::{Peer, command, say, told};
use crate::world::{GUARD, USERS, as_member, no_users, refused, skip, until};

fn listen(at: &Address) -> strait::Result<Listener<Bytes>> {
    Listener::listen(at)
}

/// Listens at `args[0]`, and says its name to whoever connects.
pub(super) fn listener(args: &[String]) {
    let _listener = listen(&args[0].parse().unwrap()).unwrap();
    say("listening");
    told();
}

/// When told, tries to listen at `args[0]`, says whether it does, and keeps it until told again.
pub(super) fn racer(args: &[String]) {
    let at: Address = args[0].parse().unwrap();
    say("ready");
    while told().is_some() {
        let won = listen(&at);
        match &won {
            Ok(_) => say("won"),
            Err(error) => say(format!("{:?}", error.kind())),
        }
        told();
        if let Ok(listener) = &won {
            // Whoever connects to the path comes to the winner.
            let client = listener.accept_for(GUARD).unwrap().expect("a client");
            client.write_all(&std::process::id().to_ne_bytes()).unwrap();
        }
        drop(won);
        say("over");
    }
}

#[test]
fn of_eight_that_race_for_a_stale_path_one_wins() {
    let place = Place::new("race");
    let at = place.at("s");
    let text = at.to_string();
    let mut racers: Vec<Peer> = (0..8)
        .map(|_| Peer::start("socket.racer", &[&text]))
        .collect();
    for racer in &mut racers {
        assert_eq!(racer.hear().as_deref(), Some("ready"));
    }
    for round in 0..50 {
        // One that was killed left its file.
        let mut dead = Peer::start("socket.listener", &[&text]);
        assert_eq!(dead.hear().as_deref(), Some("listening"));
        dead.kill();
        refused(Stream::connect(&at), ErrorKind::PeerGone);
        assert!(!at.is_bound().unwrap());
        for racer in &mut racers {
            racer.tell("go");
        }
        let answers: Vec<String> = racers
            .iter_mut()
            .map(|racer| racer.hear().unwrap())
            .collect();
        let winner = answers.iter().position(|answer| answer == "won");
        let winner = winner.unwrap_or_else(|| panic!("round {round}: {answers:?}"));
        let exists = answers.iter().filter(|answer| *answer == "Exists").count();
        assert_eq!(exists, 7, "round {round}: {answers:?}");
        assert!(at.is_bound().unwrap());
        let client = Stream::connect(&at).unwrap();
        for racer in &mut racers {
            racer.tell("end");
        }
        let mut pid = [0; 4];
        client.read_exact(&mut pid).unwrap();
        assert_eq!(u32::from_ne_bytes(pid), racers[winner].child.id());
        for racer in &mut racers {
            assert_eq!(racer.hear().as_deref(), Some("over"));
        }
        assert!(!place.path("s").exists(), "the winner took its file along");
    }
    for racer in racers {
        assert!(racer.finish().success());
    }
    assert_eq!(
        fs::read_dir(place.text()).unwrap().count(),
        0,
        "and nothing else is left"
    );
}

#[test]
fn a_restart_after_kill_finds_its_path_again() {
    let place = Place::new("restart");
    let at = place.at("s");
    for _ in 0..5 {
        let mut peer = Peer::start("socket.listener", &[&at.to_string()]);
        assert_eq!(peer.hear().as_deref(), Some("listening"));
        refused(listen(&at), ErrorKind::Exists);
        refused(Datagram::bind(&at), ErrorKind::Exists);
        assert!(
            Stream::connect_for(&at, GUARD).unwrap().is_some(),
            "it was not disturbed"
        );
        peer.kill();
        assert!(place.path("s").exists());
    }
    let datagram = Datagram::bind(&at).unwrap();
    refused(listen(&at), ErrorKind::Exists);
    drop(datagram);
    assert!(!place.path("s").exists());
}

/// A listener that was killed, and one that was killed at that step of taking its path.
fn killed_at(step: &str, at: &str, start: impl Fn(&mut Command) -> Peer) {
    let listen = || command("socket.masked", &[at, "0", "666"]);
    let mut dead = start(&mut listen());
    assert_eq!(dead.hear().as_deref(), Some("666"));
    dead.kill();
    let mut dead = start(listen().env("STRAIT_KILL", format!("{step}:1:KILL")));
    assert_eq!(dead.hear(), None, "{step}");
    assert_eq!(dead.child.wait().unwrap().signal(), Some(9), "{step}");
}

#[test]
fn one_that_dies_while_it_reclaims_is_in_nobodys_way() {
    let place = Place::new("reclaiming");
    let at = place.at("s");
    for step in ["socket.reclaim.locked", "socket.reclaim.removed"] {
        // 0600 for the owner; and more for those who may write the directory, alone.
        for (directory, file) in [(0o755, 0o600), (0o777, 0o666), (0o700, 0o600)] {
            fs::set_permissions(place.text(), PermissionsExt::from_mode(directory)).unwrap();
            killed_at(step, &at.to_string(), Peer::of);
            let lock = fs::metadata(place.path(".strait.lock")).unwrap();
            assert_eq!(lock.permissions().mode() & 0o777, file, "{directory:o}");
            assert_eq!(place.path("s").exists(), step.ends_with("locked"));
            let listener = listen(&at).unwrap();
            // Where nothing was in the way, the lock was not needed and stays.
            let stays = !step.ends_with("locked");
            assert_eq!(place.path(".strait.lock").exists(), stays, "{step}");
            drop(listener);
            assert!(!place.path("s").exists());
            let _ = fs::remove_file(place.path(".strait.lock"));
        }
    }
}

#[test]
fn only_who_may_write_the_directory_can_hold_others_up() {
    let place = Place::new("readers");
    let at = place.at("s");
    // What anyone may do who reads it.
    let directory = fs::File::open(place.text()).unwrap();
    flock(&directory, FlockOperation::LockExclusive).unwrap();
    let mut dead = Peer::start("socket.listener", &[&at.to_string()]);
    assert_eq!(dead.hear().as_deref(), Some("listening"));
    dead.kill();
    drop(listen(&at).unwrap());
    assert!(!place.path("s").exists());
    // Held by a writer: what lives is told apart all the same, and what is stale not touched.
    let lock = fs::File::create(place.path(".strait.lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let mut peer = Peer::start("socket.listener", &[&at.to_string()]);
    assert_eq!(peer.hear().as_deref(), Some("listening"));
    refused(listen(&at), ErrorKind::Exists);
    peer.kill();
    let error = refused(listen(&at), ErrorKind::Busy);
    assert!(error.why().contains(".strait.lock"), "{error}");
    assert!(place.path("s").exists());
    drop(lock);
    drop(listen(&at).unwrap());
    assert_eq!(fs::read_dir(place.text()).unwrap().count(), 0);
}

#[test]
fn a_group_that_shares_a_directory_reclaims_for_each_other() {
    let test = "a_group_that_shares_a_directory_reclaims_for_each_other";
    if let Some(why) = no_users() {
        return skip(test, why);
    }
    let place = Place::new("group");
    let at = place.at("s").to_string();
    let [one, other] = USERS;
    let group = other + 1;
    chown(place.text(), None, Some(group)).unwrap();
    fs::set_permissions(place.text(), PermissionsExt::from_mode(0o775)).unwrap();
    let of = |user| move |start: &mut Command| Peer::of(as_member(start, user, group));
    killed_at("socket.reclaim.locked", &at, of(one));
    let lock = fs::metadata(place.path(".strait.lock")).unwrap();
    assert_eq!(
        (lock.uid(), lock.gid(), lock.mode() & 0o777),
        (one, group, 0o660)
    );
    let mut heir = of(other)(&mut command("socket.masked", &[&at, "0", "666"]));
    assert_eq!(heir.hear().as_deref(), Some("666"));
    let found = fs::metadata(place.path("s")).unwrap();
    assert_eq!(found.uid(), other);
    assert!(!place.path(".strait.lock").exists());
    heir.kill();
    // Nobody else may, and is told so at once.
    let mut stranger = command("socket.stranger", &[&at]);
    let mut stranger = Peer::of(as_member(&mut stranger, group, group + 1));
    assert_eq!(stranger.hear().as_deref(), Some("Denied"));
    assert!(place.path("s").exists());
}

/// Says why it cannot listen at `args[0]`.
pub(super) fn stranger(args: &[String]) {
    let error = listen(&args[0].parse().unwrap()).unwrap_err();
    assert!(error.why().contains(".strait.lock"), "{error}");
    say(format!("{:?}", error.kind()));
}

#[test]
fn live_sockets_of_others_are_never_displaced() {
    let place = Place::new("others");
    let path = place.path("s");
    let at = place.at("s");
    // Bound and not listening yet: connecting is refused as if it were stale.
    let fd = rustix::net::socket(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        None,
    );
    let bound = fd.unwrap();
    rustix::net::bind(&bound, &rustix::net::SocketAddrUnix::new(&path).unwrap()).unwrap();
    refused(Stream::connect(&at), ErrorKind::PeerGone);
    refused(listen(&at), ErrorKind::Exists);
    rustix::net::listen(&bound, 1).unwrap();
    // Full: connecting would block.
    let _one = Stream::connect(&at).unwrap();
    let _two = Stream::connect(&at).unwrap();
    refused(listen(&at), ErrorKind::Exists);
    drop(bound);
    // A datagram socket that is connected elsewhere refuses even to be asked.
    fs::remove_file(&path).unwrap();
    let datagram = UnixDatagram::bind(&path).unwrap();
    let elsewhere = UnixDatagram::bind(place.path("elsewhere")).unwrap();
    datagram.connect(place.path("elsewhere")).unwrap();
    refused(listen(&at), ErrorKind::Exists);
    drop((datagram, elsewhere));
    // A child that another test forked holds what was closed until it runs its program.
    let mut mine = None;
    until("the path is stale", || {
        mine = listen(&at).ok();
        mine.is_some()
    });
    drop(mine);
    assert!(!path.exists());
}

#[test]
fn what_is_no_socket_is_refused_and_stays() {
    let place = Place::new("stays");
    let at = place.at("s");
    let path = place.path("s");
    fs::write(&path, "precious").unwrap();
    refused(listen(&at), ErrorKind::WrongKind);
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    fs::remove_file(&path).unwrap();

    // A link, also to a stale socket or to nothing.
    drop(UnixListener::bind(place.path("stale")).unwrap());
    for target in ["stale", "nothing"] {
        symlink(place.path(target), &path).unwrap();
        refused(listen(&at), ErrorKind::WrongKind);
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        fs::remove_file(&path).unwrap();
    }
    assert!(
        fs::metadata(place.path("stale"))
            .unwrap()
            .file_type()
            .is_socket()
    );
    assert!(!place.path("nothing").exists());

    fs::create_dir(&path).unwrap();
    refused(listen(&at), ErrorKind::WrongKind);
    refused(listen(&place.at("none/s")), ErrorKind::NotFound);
    refused(listen(&"/".parse().unwrap()), ErrorKind::InvalidInput);
    let long = Address::Path(place.path(&"d".repeat(90)).join("x".repeat(200)));
    fs::create_dir(place.path(&"d".repeat(90))).unwrap();
    refused(listen(&long), ErrorKind::InvalidInput);
}

#[test]
fn only_the_own_file_goes_with_the_listener() {
    let place = Place::new("own");
    let at = place.at("s");
    let path = place.path("s");
    let first = listen(&at).unwrap();
    fs::rename(&path, place.path("moved")).unwrap();
    let second = listen(&at).unwrap();
    let number = fs::metadata(&path).unwrap().ino();
    drop(first);
    assert_eq!(fs::metadata(&path).unwrap().ino(), number);
    assert!(Stream::connect_for(&at, GUARD).unwrap().is_some());
    fs::remove_file(&path).unwrap();
    fs::write(&path, "somebody else's").unwrap();
    drop(second);
    assert!(path.exists());
}

/// Listens at `args[0]` with the umask `args[1]` and the mode `args[2]`, and shows the mode; until
/// its input ends.
pub(super) fn masked(args: &[String]) {
    let octal = |text: &str| u32::from_str_radix(text, 8).unwrap();
    umask(Mode::from_raw_mode(octal(&args[1])));
    let at: Address = args[0].parse().unwrap();
    let _listener = Options::<Bytes>::default()
        .mode(octal(&args[2]))
        .listen(&at)
        .unwrap();
    let Address::Path(path) = at else {
        unreachable!("a path");
    };
    say(format!(
        "{:o}",
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    ));
    told();
}

#[test]
fn the_mode_is_what_was_asked_for_under_every_umask() {
    let place = Place::new("mode");
    for mask in ["0", "22", "77", "777"] {
        for mode in ["600", "660", "666", "777", "0"] {
            let at = place.at("s").to_string();
            let mut peer = Peer::start("socket.masked", &[&at, mask, mode]);
            assert_eq!(peer.hear().as_deref(), Some(mode), "umask {mask}");
            assert!(peer.finish().success());
        }
    }
}
