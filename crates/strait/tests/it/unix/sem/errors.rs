//! Refusals: kind, operation and subject of each.

use strait::unix::ipc::Change;
use strait::unix::sem::{Op, Set, down, up, zero};
use strait::{Error, ErrorKind, Result};

use super::{Own, key};
use crate::peer::{Peer, command, say};
use crate::world::{USERS, as_member, is_root, no_users, permitted, refused, skip, within};

#[track_caller]
fn fails<T>(result: Result<T>, kind: ErrorKind, operation: &str, set: &Set) -> Error {
    let error = refused(result, kind);
    assert_eq!(error.operation(), operation, "{error}");
    let id = format!("(id {})", set.id());
    assert!(error.subject().ends_with(&id), "{error}");
    error
}

#[test]
fn each_wrong_operation_says_what_is_wrong() {
    let set = Own::of(&[32_767, 0]);
    let (operate, wrong) = ("operate on", ErrorKind::InvalidInput);
    let full = fails(
        set.op(&[up(1), up(0)]),
        ErrorKind::LimitExceeded,
        operate,
        &set,
    );
    assert_eq!(full.errno(), Some(34), "{full}");
    assert_eq!(set.values().unwrap(), [32_767, 0], "nothing was changed");
    assert!(set.try_op(&[down(0), up(0)]).unwrap());
    fails(set.op(&[up(2)]), wrong, operate, &set);
    fails(set.op(&[]), wrong, operate, &set);
    fails(set.try_op(&[]), wrong, operate, &set);
    let many: Vec<Op> = (0..501).map(|_| zero(1)).collect();
    let error = fails(set.op(&many), wrong, operate, &set);
    assert!(error.why().contains("at most 500"), "{error}");
    fails(set.op(&[down(1).nowait()]), ErrorKind::Busy, operate, &set);
    fails(set.value(2), wrong, "read", &set);
    fails(set.semaphore(9), wrong, "read", &set);
    fails(set.set_value(2, 1), wrong, "set values of", &set);
    let range = ErrorKind::LimitExceeded;
    fails(set.set_value(1, 32_768), range, "set values of", &set);
    fails(set.set_values(&[0, 40_000]), range, "set values of", &set);
    fails(set.set_values(&[0, 0, 0]), wrong, "set values of", &set);
    let mode = Change::new().mode(0o4600);
    fails(set.set(mode), wrong, "change", &set);
    assert_eq!(set.values().unwrap(), [32_767, 0]);
}

#[test]
#[should_panic(expected = "1 to 32,767 units")]
fn more_units_than_a_semaphore_holds_are_no_operation() {
    let _ = up(0).by(32_768);
}

#[test]
fn who_waits_for_a_set_that_is_removed_is_told() {
    let key = key(5);
    let set = Own(Set::create(key, 1, 0o600).unwrap());
    let mut workers = [set.worker(), set.worker(), set.worker()];
    workers[0].tell("op 0:-1");
    workers[1].tell("for 0:-1u");
    set.waited_for(0, 2, 0);
    set.set_value(0, 0).unwrap();
    set.remove().unwrap();
    for worker in &mut workers[..2] {
        let said = worker.hear().unwrap();
        assert!(said.starts_with("Removed: operate on"), "{said}");
    }
    // Another set of the same key is not taken for it.
    let fresh = Own(Set::create(key, 1, 0o600).unwrap());
    assert_ne!(fresh.id(), set.id());
    let said = workers[2].ask("op 0:+1");
    assert!(said.starts_with("Removed"), "{said}");
    for result in [
        set.op(&[up(0)]),
        set.set_value(0, 1),
        set.value(0).map(drop),
        set.values().map(drop),
        set.stat().map(drop),
        set.set(Change::new()),
        set.remove(),
        Set::from_id(set.id()).map(drop),
    ] {
        refused(result, ErrorKind::Removed);
    }
    assert_eq!(fresh.value(0).unwrap(), 0);
}

/// Says what another user may do with the set of this id.
pub(crate) fn stranger(args: &[String]) {
    let set = Set::from_id(args[0].parse().unwrap()).unwrap();
    let word = |result: Result<()>| match result {
        Ok(()) => "yes".to_owned(),
        Err(error) if error.kind() == ErrorKind::Denied => {
            assert!(error.why().contains("uid "), "{error}");
            "no".to_owned()
        }
        Err(error) => error.to_string(),
    };
    say(word(set.stat().map(drop)));
    say(word(set.value(0).map(drop)));
    say(word(set.op(&[zero(0)])));
    say(word(set.op(&[up(0), down(0)])));
    say(word(set.set_value(0, 0)));
    say(word(set.set(Change::new().mode(0o666))));
    say(word(set.remove()));
}

#[test]
fn others_may_do_what_the_mode_says() {
    if let Some(why) = no_users() {
        return skip("others_may_do_what_the_mode_says", why);
    }
    let set = Own::of(&[0]);
    // stat, value, wait for zero, change, set values, change the mode, remove
    for (mode, allowed) in [
        (0o600, "yes no no no no no no"),
        (0o604, "yes yes yes no no no no"),
        (0o602, "yes no no yes yes no no"),
        (0o606, "yes yes yes yes yes no no"),
    ] {
        set.set(Change::new().mode(mode)).unwrap();
        let mut command = command("sem.stranger", &[&set.id().to_string()]);
        let mut peer = Peer::of(as_member(&mut command, USERS[0], USERS[0]));
        let said: Vec<String> = std::iter::from_fn(|| peer.hear()).collect();
        assert_eq!(said.join(" "), allowed, "{mode:o}");
    }
    // An owner may do everything.
    let given = Change::new().owner(USERS[0]).mode(0o600);
    set.set(given).unwrap();
    let mut command = command("sem.stranger", &[&set.id().to_string()]);
    let mut peer = Peer::of(as_member(&mut command, USERS[0], USERS[0]));
    let said: Vec<String> = std::iter::from_fn(|| peer.hear()).collect();
    assert_eq!(said.join(" "), "yes yes yes yes yes yes yes");
}

/// In an IPC namespace of its own, where two sets of together 5 semaphores may be.
pub(crate) fn crowded(_: &[String]) {
    std::fs::write("/proc/sys/kernel/sem", "4 5 3 2").unwrap();
    let key = key(6);
    let limits = strait::unix::sem::limits().unwrap();
    assert_eq!((limits.per_set, limits.semaphores), (4, 5));
    assert_eq!((limits.ops, limits.sets), (3, 2));
    let set = Set::create(key, 1, 0o600).unwrap();
    let error = refused(Set::create(key, 1, 0o600), ErrorKind::Exists);
    assert_eq!(error.operation(), "create");
    let large = refused(
        Set::create(super::key(7), 5, 0o600),
        ErrorKind::InvalidInput,
    );
    assert!(large.why().contains("1 to 4"), "{large}");
    let error = refused(set.op(&[up(0); 4]), ErrorKind::InvalidInput);
    assert!(error.why().contains("at most 3"), "{error}");
    let (full, _) = Set::create_or_open(super::key(7), &[1, 1, 1, 1], 0o600).unwrap();
    assert_eq!(full.values().unwrap(), [1; 4]);
    for count in [1, 2] {
        let error = refused(
            Set::create(super::key(8), count, 0o600),
            ErrorKind::Exhausted,
        );
        assert!(error.why().contains("SEMMNI"), "{error}");
    }
    say("crowded");
}

#[test]
fn limits_are_told_and_kept() {
    let wrapper = ["unshare", "-i"];
    if !is_root() || !permitted(&wrapper) {
        return skip(
            "limits_are_told_and_kept",
            "no IPC namespace of its own, which needs root",
        );
    }
    let mut peer = Peer::of(&mut within(&wrapper, &command("sem.crowded", &[])));
    assert_eq!(peer.hear().as_deref(), Some("crowded"));
}
