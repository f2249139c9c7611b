//! Creation by several at once, and by one that dies on the way.

use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use strait::unix::ipc::Key;
use strait::unix::sem::Set;
use strait::{Birth, ErrorKind};

use super::{Own, key};
use crate::peer::{Peer, command, say, told};
use crate::world::{refused, until};

const VALUES: [u16; 4] = [3, 0, 32_767, 1];

/// Makes or opens the set of the key it is told, and says what it saw.
pub(crate) fn racer(_: &[String]) {
    say("here");
    while let Some(line) = told() {
        let key = Key::new(line.parse().unwrap());
        match Set::create_or_open(key, &VALUES, 0o600) {
            Ok((set, birth)) => say(format!(
                "{birth:?} {} {:?}",
                set.id(),
                set.values().unwrap()
            )),
            Err(error) => say(error),
        }
    }
}

fn racers(count: usize) -> Vec<Peer> {
    let start = |_| {
        let mut peer = Peer::start("sem.racer", &[]);
        assert_eq!(peer.hear().as_deref(), Some("here"));
        peer
    };
    (0..count).map(start).collect()
}

#[test]
fn of_eight_that_race_one_creates_and_all_see_the_values() {
    let mut peers = racers(8);
    for round in 0..50 {
        let key = key(16 + round % 2);
        for peer in &mut peers {
            peer.tell(&key.number().to_string());
        }
        let said: Vec<String> = peers.iter_mut().map(|peer| peer.hear().unwrap()).collect();
        let set = Own(Set::open(key).unwrap());
        let seen = |birth| format!("{birth} {} {VALUES:?}", set.id());
        let created = said.iter().filter(|line| **line == seen("Created")).count();
        let opened = said.iter().filter(|line| **line == seen("Opened")).count();
        assert_eq!((created, opened), (1, 7), "{said:?}");
    }
}

/// A racer that dies or stops after it has made the set.
fn unfinished(key: Key, signal: &str) -> Peer {
    let mut command = command("sem.racer", &[]);
    let mut peer = Peer::of(kill_at_creation(&mut command, signal));
    assert_eq!(peer.hear().as_deref(), Some("here"));
    peer.tell(&key.number().to_string());
    peer
}

fn kill_at_creation<'a>(command: &'a mut Command, signal: &str) -> &'a mut Command {
    command.env("STRAIT_KILL", format!("sem.created:1:{signal}"))
}

#[test]
fn a_creator_that_dies_is_named_and_its_set_never_taken_for_finished() {
    let key = key(2);
    let mut dead = unfinished(key, "KILL");
    assert_eq!(dead.hear(), None);
    let set = Own(Set::open(key).unwrap());
    assert_eq!(set.values().unwrap(), [0; 4]);
    for patience in [Duration::ZERO, Duration::from_millis(30)] {
        let late = Set::create_or_open_for(key, &VALUES, 0o600, patience);
        let error = refused(late, ErrorKind::Busy);
        let uid = rustix::process::geteuid().as_raw();
        let named = format!("its creator, uid {uid}, made it");
        assert!(error.why().contains(&named), "{error}");
        let cure = format!("`ipcrm -s {}` removes it", set.id());
        assert!(error.why().contains(&cure), "{error}");
        assert_eq!(error.operation(), "open");
        assert!(error.subject().contains(&set.id().to_string()), "{error}");
    }
    set.remove().unwrap();
    let (fresh, birth) = Set::create_or_open_for(key, &VALUES, 0o600, Duration::ZERO).unwrap();
    let fresh = Own(fresh);
    assert_eq!(
        (birth, fresh.values().unwrap()),
        (Birth::Created, VALUES.to_vec())
    );
}

#[test]
fn openers_wait_for_a_creator_that_is_slow() {
    let key = key(3);
    let mut slow = unfinished(key, "STOP");
    until("it has made the set", || Set::open(key).is_ok());
    let pid = Pid::from_raw(slow.child.id().cast_signed()).unwrap();
    until("it stands still", || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", slow.child.id()));
        stat.unwrap().contains(") T ")
    });
    let mut opener = racers(1).remove(0);
    opener.tell(&key.number().to_string());
    assert_eq!(Set::open(key).unwrap().values().unwrap(), [0; 4]);
    kill_process(pid, Signal::CONT).unwrap();
    assert!(slow.hear().unwrap().starts_with("Created"));
    let heard = opener.hear().unwrap();
    assert!(heard.starts_with("Opened"), "{heard}");
    assert!(heard.ends_with(&format!("{VALUES:?}")), "{heard}");
    Set::open(key).unwrap().remove().unwrap();
}

#[test]
fn what_cannot_be_born_is_refused_and_leaves_nothing() {
    let key = key(4);
    let too_much = Set::create_or_open(key, &[1, 32_768], 0o600);
    refused(too_much, ErrorKind::LimitExceeded);
    refused(
        Set::create_or_open(key, &[], 0o600),
        ErrorKind::InvalidInput,
    );
    refused(
        Set::create_or_open(key, &[1], 0o700),
        ErrorKind::InvalidInput,
    );
    refused(Set::create(key, 0, 0o600), ErrorKind::InvalidInput);
    refused(Set::create(key, 65_535, 0o600), ErrorKind::InvalidInput);
    refused(Set::open(key), ErrorKind::NotFound);
    // All zero, and more semaphores than operations in one call.
    for values in [vec![0; 2], vec![7; 600], vec![32_767; 600]] {
        let (set, birth) = Set::create_or_open(key, &values, 0o600).unwrap();
        let set = Own(set);
        assert_eq!(
            (birth, set.values().unwrap()),
            (Birth::Created, values.clone())
        );
        let (_, birth) = Set::create_or_open(key, &values, 0o600).unwrap();
        assert_eq!(birth, Birth::Opened);
        let error = refused(
            Set::create_or_open(key, &[1; 3], 0o600),
            ErrorKind::InvalidInput,
        );
        assert!(error.why().contains("semaphores, not 3"), "{error}");
        refused(Set::create(key, 3, 0o600), ErrorKind::Exists);
    }
}
