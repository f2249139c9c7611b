//! Owners, limits, versions, and the dead.

use std::time::Duration;

use strait_wire::onc::rpcbind::{Netid, PROGRAM, Uaddr};
use strait_wire::time::Time;

use super::super::registry::{Entry, GRACE, LOOK_EVERY, Limits, Match, Owner, Registry, Rejected};

const AT: Time = Time::from_nanos(1);

fn entry(program: u32, version: u32, port: u16, owner: Owner) -> Entry {
    Entry {
        program,
        version,
        netid: Netid::Tcp,
        address: Uaddr::Inet(([0, 0, 0, 0], port).into()),
        owner,
    }
}

fn port(registry: &Registry, of: (u32, u32), which: Match) -> Option<u16> {
    registry.find(of, Netid::Tcp, which)?.port()
}

#[test]
fn only_its_owner_and_root_unset_a_registration() {
    let [ann, bob, root] = [1000, 1001, 0].map(Owner::User);
    for (setter, unsetter, may) in [
        (ann, ann, true),
        (ann, bob, false),
        (ann, root, true),
        (ann, Owner::Unknown, false),
        (root, ann, false),
        (root, root, true),
        (Owner::Unknown, Owner::Unknown, true),
        (Owner::Unknown, ann, false),
        (Owner::Unknown, root, true),
        (Owner::Registry, root, false),
        (Owner::Registry, Owner::Unknown, false),
    ] {
        let mut registry = Registry::default();
        registry.set(AT, entry(9, 1, 77, setter)).unwrap();
        assert_eq!(
            registry.unset((9, 1), None, unsetter),
            may,
            "{setter:?} {unsetter:?}"
        );
        let left = port(&registry, (9, 1), Match::Exact);
        assert_eq!(left.is_none(), may, "{setter:?} {unsetter:?}");
    }
}

#[test]
fn what_is_taken_stays_and_the_same_again_is_well() {
    let ann = Owner::User(1000);
    let mut registry = Registry::default();
    registry.set(AT, entry(9, 1, 77, ann)).unwrap();
    assert_eq!(registry.set(AT, entry(9, 1, 77, ann)), Ok(()));
    assert_eq!(registry.set(AT, entry(9, 1, 78, ann)), Err(Rejected::Taken));
    let roots = entry(9, 1, 77, Owner::User(0));
    assert_eq!(registry.set(AT, roots), Err(Rejected::Taken));
    assert_eq!(port(&registry, (9, 1), Match::Exact), Some(77));
}

#[test]
fn the_registry_itself_and_addresses_of_nobody_are_refused() {
    let mut registry = Registry::default();
    let root = Owner::User(0);
    for version in [2, 3, 4, 5] {
        let own = entry(PROGRAM, version, 111, root);
        assert_eq!(registry.set(AT, own), Err(Rejected::Reserved));
    }
    assert_eq!(
        registry.set(AT, entry(9, 1, 0, root)),
        Err(Rejected::Address)
    );
    for ip in [[224, 0, 0, 1], [255; 4]] {
        let mut multicast = entry(9, 1, 5, root);
        multicast.address = Uaddr::Inet((ip, 5).into());
        assert_eq!(
            registry.set(AT, multicast),
            Err(Rejected::Address),
            "{ip:?}"
        );
    }
}

#[test]
fn registrations_are_bounded_in_all_and_for_each_owner() {
    let limits = Limits {
        registrations_max: 10,
        per_owner_max: 4,
    };
    let mut registry = Registry::new(limits);
    let [ann, bob, root] = [1000, 1001, 0].map(Owner::User);
    for program in 1..=4 {
        registry.set(AT, entry(program, 1, 77, ann)).unwrap();
    }
    assert_eq!(registry.set(AT, entry(5, 1, 77, ann)), Err(Rejected::Full));
    // What is there may be set again; others have room; root has all that is left.
    assert_eq!(registry.set(AT, entry(4, 1, 77, ann)), Ok(()));
    registry.set(AT, entry(5, 1, 77, bob)).unwrap();
    for program in 6..=10 {
        registry.set(AT, entry(program, 1, 77, root)).unwrap();
    }
    assert_eq!(
        registry.set(AT, entry(11, 1, 77, root)),
        Err(Rejected::Full)
    );
    assert!(registry.unset((1, 1), None, ann));
    assert_eq!(registry.set(AT, entry(11, 1, 77, bob)), Ok(()));
}

#[test]
fn the_nearest_version_is_found_and_of_two_the_higher() {
    let mut registry = Registry::default();
    for version in [2, 4, 9] {
        registry
            .set(
                AT,
                entry(
                    7,
                    version,
                    100 + u16::try_from(version).unwrap(),
                    Owner::Unknown,
                ),
            )
            .unwrap();
    }
    registry.set(AT, entry(6, 3, 999, Owner::Unknown)).unwrap();
    for (asked, nearest, exact) in [
        (0, 102, None),
        (2, 102, Some(102)),
        (3, 104, None),
        (4, 104, Some(104)),
        (7, 109, None),
        (u32::MAX, 109, None),
    ] {
        assert_eq!(
            port(&registry, (7, asked), Match::Nearest),
            Some(nearest),
            "{asked}"
        );
        assert_eq!(port(&registry, (7, asked), Match::Exact), exact, "{asked}");
    }
    assert_eq!(port(&registry, (8, 3), Match::Nearest), None);
    assert_eq!(registry.find((7, 2), Netid::Udp, Match::Nearest), None);
}

#[test]
fn the_dead_go_once_they_were_seen_alive_or_had_their_time() {
    let mut registry = Registry::default();
    let grace = AT.after(GRACE);
    let soon = AT.after(Duration::from_secs(1));
    registry.set(AT, entry(1, 1, 1, Owner::Unknown)).unwrap();
    registry.set(AT, entry(2, 1, 2, Owner::Unknown)).unwrap();
    registry.set(AT, entry(3, 1, 3, Owner::Unknown)).unwrap();
    registry.set(AT, entry(4, 1, 4, Owner::Registry)).unwrap();
    let all =
        |registry: &Registry| -> Vec<u32> { registry.iter().map(|each| each.program).collect() };
    // 1 listens, 2 not yet; of 3 nobody knows.
    let seen = |_, at: &Uaddr| (at.port() != Some(3)).then(|| at.port() == Some(1));
    registry.look(soon, seen);
    assert_eq!(all(&registry), [1, 2, 3, 4]);
    // 1 has been seen: gone at once. 2 may still begin.
    let none = |_, at: &Uaddr| (at.port() != Some(3)).then_some(false);
    registry.look(soon.after(Duration::from_secs(1)), none);
    assert_eq!(all(&registry), [2, 3, 4]);
    registry.look(grace, none);
    assert_eq!(all(&registry), [3, 4]);
}

#[test]
fn what_is_registered_during_a_look_is_not_judged_by_it() {
    let mut registry = Registry::default();
    let again = AT.after(GRACE * 3);
    registry.set(AT, entry(1, 1, 1, Owner::Unknown)).unwrap();
    registry.look(AT.after(GRACE), |_, _| Some(true));
    // Its successor comes after the look has begun.
    registry.set(again, entry(1, 1, 1, Owner::Unknown)).unwrap();
    registry.look(AT.after(GRACE * 2), |_, _| Some(false));
    assert_eq!(registry.iter().count(), 1);
}

#[test]
fn a_look_is_due_once_a_second_and_only_for_others() {
    let mut registry = Registry::default();
    registry.set(AT, entry(4, 1, 4, Owner::Registry)).unwrap();
    assert!(!registry.is_look_due(AT));
    registry.set(AT, entry(1, 1, 1, Owner::Unknown)).unwrap();
    assert!(registry.is_look_due(AT));
    assert!(!registry.is_look_due(AT));
    assert!(registry.is_look_due(AT.after(LOOK_EVERY)));
}
