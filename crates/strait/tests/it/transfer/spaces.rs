//! Containers: processes of two PID namespaces and two user namespaces share a directory.

use std::path::Path;
use std::time::Duration;

use strait::nt::{Mutant, Read, Write};
use strait::{ErrorKind, Namespace, wait};

use super::path;
use crate::peer::{Peer, command, say, told};
use crate::world::{GUARD, USERS, as_user, no_users, permitted, refused, skip, until, within};

const OWN_PIDS: &[&str] = &["unshare", "-pf", "--kill-child"];
const OWN_USERS: &[&str] = &["unshare", "-Ur"];
const BOTH: &[&str] = &["unshare", "-Ur", "-pf", "--kill-child"];

/// Does what it is told with the objects of `args[0]`, in whatever namespace it is.
pub(crate) fn islander(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let turn = space.event("turn").open().unwrap();
    let done = space.semaphore("done", 0, 1).open().unwrap();
    let mutant = space.mutant("mutant").open().unwrap();
    say("ready");
    while let Some(line) = told() {
        match &*line {
            "wait" => {
                say("waiting");
                assert!(turn.wait_for(GUARD).unwrap());
                done.release(1).unwrap();
            }
            "all" => {
                let won = wait::all_for(&[&turn, &mutant], GUARD).unwrap().unwrap();
                mutant.release().unwrap();
                say(format!("{:?}", won.abandoned));
            }
            "acquire" => {
                let guard = mutant.acquire_for(GUARD).unwrap().unwrap();
                say(guard.abandoned());
                std::mem::forget(guard);
            }
            "release" => say(mutant.release().unwrap()),
            "make" => {
                let event = space.event("theirs").create().unwrap();
                let section = space.section("bytes", 1).open().unwrap();
                section.map::<Write>().unwrap().write(0, b"tea").unwrap();
                say("made");
                told();
                drop(event);
                say("closed");
            }
            _ => break,
        }
    }
}

fn islander_in(wrapper: &[&str], space: &Namespace) -> Peer {
    let inner = command("transfer.islander", &[path(space)]);
    let mut peer = Peer::of(&mut within(wrapper, &inner));
    assert_eq!(peer.hear().as_deref(), Some("ready"));
    peer
}

/// Everything that model.md promises between processes, between two such islands and us.
fn islands_meet(wrapper: &[&str]) {
    let space = Namespace::temporary().unwrap();
    let turn = space.event("turn").create().unwrap();
    let done = space.semaphore("done", 0, 10).create().unwrap();
    let mutant = space.mutant("mutant").create().unwrap();
    let section = space.section("bytes", 1).create().unwrap();
    let mut peers = [islander_in(wrapper, &space), islander_in(wrapper, &space)];
    // Two sets release two sleepers, each counted though both may have the same process id.
    for _ in 0..50 {
        for peer in &mut peers {
            assert_eq!(peer.ask("wait"), "waiting");
        }
        turn.set().unwrap();
        assert!(done.wait_for(GUARD).unwrap());
        turn.set().unwrap();
        assert!(done.wait_for(GUARD).unwrap());
    }
    assert!(!turn.query().unwrap().set);
    // A mutant goes round.
    for index in [0, 1, 0] {
        assert_eq!(peers[index].ask("acquire"), "false");
        assert!(mutant.try_acquire().unwrap().is_none());
        assert_eq!(peers[index].ask("release"), "1");
    }
    peers[0].tell("all");
    turn.set().unwrap();
    assert_eq!(peers[0].hear().as_deref(), Some("[]"));
    // Names and memory.
    assert_eq!(peers[1].ask("make"), "made");
    assert!(space.event("theirs").open().is_ok());
    let mut tea = [0; 3];
    section.map::<Read>().unwrap().read(0, &mut tea).unwrap();
    assert_eq!(&tea, b"tea");
    assert_eq!(peers[1].ask("close"), "closed");
    refused(space.event("theirs").open(), ErrorKind::NotFound);
    death_is_seen(&mut peers, &mutant);
}

fn death_is_seen(peers: &mut [Peer; 2], mutant: &Mutant) {
    assert_eq!(peers[0].ask("acquire"), "false");
    peers[0].kill();
    // From one island to the other, and once.
    assert_eq!(peers[1].ask("acquire"), "true");
    assert!(mutant.try_acquire().unwrap().is_none());
    peers[1].kill();
    let guard = mutant.acquire_for(GUARD).unwrap().unwrap();
    assert!(guard.abandoned());
    drop(guard);
    assert!(!mutant.acquire().unwrap().abandoned());
}

#[test]
fn two_pid_namespaces_share_a_directory() {
    if !permitted(OWN_PIDS) {
        return skip(
            "two_pid_namespaces_share_a_directory",
            "unshare -pf is refused",
        );
    }
    islands_meet(OWN_PIDS);
}

#[test]
fn two_user_namespaces_share_a_directory() {
    if !permitted(OWN_USERS) {
        return skip(
            "two_user_namespaces_share_a_directory",
            "unshare -Ur is refused",
        );
    }
    islands_meet(OWN_USERS);
}

#[test]
fn two_containers_of_both_kinds_share_a_directory() {
    if !permitted(BOTH) {
        return skip(
            "two_containers_of_both_kinds_share_a_directory",
            "unshare is refused",
        );
    }
    islands_meet(BOTH);
}

/// Says where the user's own namespace is, and whose process it takes an owner to be.
pub(crate) fn local(args: &[String]) {
    say(match Namespace::local() {
        Ok(space) => space.path().display().to_string(),
        Err(error) => format!("{:?}", error.kind()),
    });
    let space = Namespace::directory(&args[0]).unwrap();
    let mutant = space.mutant("mutant").create_or_open().unwrap().0;
    let owner = mutant.query().unwrap().owner;
    say(owner.map_or(0, |(pid, _)| pid));
    std::mem::forget(mutant.acquire_for(Duration::ZERO).unwrap());
    say(std::process::id());
    told();
}

/// What does not cross: the ids of processes.
#[test]
fn an_owners_process_id_is_that_of_its_own_namespace() {
    if !permitted(OWN_PIDS) {
        return skip(
            "an_owners_process_id_is_that_of_its_own_namespace",
            "no unshare -pf",
        );
    }
    let space = Namespace::temporary().unwrap();
    let mutant = space.mutant("mutant").create().unwrap();
    let inner = command("transfer.local", &[path(&space)]);
    let mut peer = Peer::of(&mut within(OWN_PIDS, &inner));
    assert_eq!(
        peer.hear().unwrap(),
        Namespace::local().unwrap().to_string()
    );
    assert_eq!(peer.hear().as_deref(), Some("0"));
    assert_eq!(
        peer.hear().as_deref(),
        Some("1"),
        "it is the first of its namespace"
    );
    assert_eq!(
        mutant.query().unwrap().owner.unwrap().0,
        1,
        "and says so to everybody"
    );
}

/// What does not cross: the user's own namespace, for a user who is somebody else inside.
#[test]
fn the_own_namespace_of_a_mapped_user_is_refused_and_not_mistaken() {
    let test = "the_own_namespace_of_a_mapped_user_is_refused_and_not_mistaken";
    if let Some(why) = no_users() {
        return skip(test, why);
    }
    // Root's, as which the user sees himself inside.
    let roots = Namespace::local().unwrap();
    let place = format!("/dev/shm/strait-test-mapped-{}", std::process::id());
    std::fs::create_dir(&place).unwrap();
    let uid = Some(USERS[0]);
    std::os::unix::fs::chown(&place, uid, uid).unwrap();
    let inner = command("transfer.local", &[&place]);
    let mut outer = within(OWN_USERS, &inner);
    let mut peer = Peer::of(as_user(&mut outer, USERS[0]));
    let said = peer.hear();
    let worked = peer.hear();
    drop(peer);
    until("the place is empty", || {
        std::fs::remove_dir_all(&place).is_ok()
    });
    let Some(said) = said else {
        return skip(test, "unshare -Ur is refused to ordinary users");
    };
    assert!(
        said == "Denied" || !Path::new(&said).starts_with(roots.path()),
        "{said}"
    );
    assert_eq!(worked.as_deref(), Some("0"), "a directory of his own works");
}
