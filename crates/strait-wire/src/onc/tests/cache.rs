//! Duplicate requests.

use core::time::Duration;

use proptest::prelude::*;

use super::super::message::{Procedure, Xid};
use super::super::server::{
    CACHE_AGE, CACHE_BYTES_MAX, CACHE_ENTRIES_MAX, Duplicates, Key, Limits, Verdict, checksum,
};
use super::{PROCEDURE, ms};

fn key(xid: u32) -> Key<u16> {
    of(1, xid)
}

fn of(address: u16, xid: u32) -> Key<u16> {
    Key::new((address, 7), Xid(xid), PROCEDURE, b"call")
}

#[test]
fn a_call_is_done_once_and_answered_as_often_as_it_comes() {
    let mut cache = Duplicates::new(Limits::default());
    assert_eq!(cache.begin(ms(0), key(1)), Verdict::New);
    assert_eq!(cache.begin(ms(1), key(1)), Verdict::InProgress);
    cache.finish(ms(2), key(1), b"reply");
    assert_eq!(cache.begin(ms(3), key(1)), Verdict::Done(b"reply"));
    assert_eq!(cache.begin(ms(4), key(1)), Verdict::Done(b"reply"));
    cache.finish(ms(5), key(1), b"another");
    assert_eq!(cache.begin(ms(6), key(1)), Verdict::Done(b"reply"));
}

#[test]
fn a_call_that_differs_in_anything_is_another() {
    let mut cache = Duplicates::new(Limits::default());
    cache.begin(ms(0), key(1));
    let other = |change: fn(&mut Procedure)| {
        let mut procedure = PROCEDURE;
        change(&mut procedure);
        Key::new((1, 7), Xid(1), procedure, b"call")
    };
    for other in [
        Key::new((2, 7), Xid(1), PROCEDURE, b"call"),
        Key::new((1, 8), Xid(1), PROCEDURE, b"call"),
        Key::new((1, 7), Xid(2), PROCEDURE, b"call"),
        other(|procedure| procedure.program += 1),
        other(|procedure| procedure.version += 1),
        other(|procedure| procedure.number += 1),
        Key::new((1, 7), Xid(1), PROCEDURE, b"cell"),
        Key::new((1, 7), Xid(1), PROCEDURE, b"call\0"),
    ] {
        assert_eq!(cache.begin(ms(0), other), Verdict::New);
    }
    assert_eq!(cache.begin(ms(0), key(1)), Verdict::InProgress);
}

#[test]
fn a_call_that_was_not_done_may_come_again() {
    let mut cache = Duplicates::new(Limits::default());
    cache.begin(ms(0), key(1));
    cache.forget(&key(1));
    assert!(cache.is_empty());
    assert_eq!(cache.begin(ms(0), key(1)), Verdict::New);
    cache.finish(ms(0), key(1), b"reply");
    cache.forget(&key(1));
    assert_eq!(cache.begin(ms(0), key(1)), Verdict::Done(b"reply"));
}

#[test]
fn entries_end_at_their_limit_and_what_is_being_done_stays() {
    let mut cache = Duplicates::new(Limits::default());
    let max = u32::try_from(CACHE_ENTRIES_MAX).unwrap();
    for xid in 0..max {
        assert_eq!(cache.begin(ms(0), key(xid)), Verdict::New);
    }
    assert_eq!(cache.begin(ms(0), key(max)), Verdict::Full);
    assert_eq!(cache.begin(ms(0), key(0)), Verdict::InProgress);
    cache.finish(ms(0), key(7), b"reply");
    cache.finish(ms(0), key(8), b"reply");
    assert_eq!(cache.begin(ms(0), key(max)), Verdict::New);
    assert_eq!(cache.len(), CACHE_ENTRIES_MAX);
    assert_eq!(
        cache.begin(ms(0), key(8)),
        Verdict::Done(b"reply"),
        "7 is older"
    );
}

#[test]
fn bytes_end_at_their_limit() {
    let mut cache = Duplicates::new(Limits::default());
    let half = vec![0; CACHE_BYTES_MAX / 2];
    for xid in 0..2 {
        cache.begin(ms(0), key(xid));
        cache.finish(ms(0), key(xid), &half);
    }
    assert_eq!((cache.bytes(), cache.len()), (CACHE_BYTES_MAX, 2));
    cache.begin(ms(0), key(2));
    cache.finish(ms(0), key(2), b"x");
    assert_eq!((cache.bytes(), cache.len()), (CACHE_BYTES_MAX / 2 + 1, 2));
    assert_eq!(cache.begin(ms(0), key(1)), Verdict::Done(&half));

    let whole = vec![0; CACHE_BYTES_MAX];
    cache.begin(ms(0), key(3));
    cache.finish(ms(0), key(3), &whole);
    assert_eq!((cache.bytes(), cache.len()), (CACHE_BYTES_MAX, 1));
    let more = vec![0; CACHE_BYTES_MAX + 1];
    cache.begin(ms(0), key(4));
    cache.finish(ms(0), key(4), &more);
    assert_eq!(cache.begin(ms(0), key(4)), Verdict::New, "too long to keep");
    assert_eq!(cache.begin(ms(0), key(3)), Verdict::Done(&whole));
}

#[test]
fn who_calls_much_makes_way_for_itself_alone() {
    let limits = Limits {
        entries: 8,
        bytes: 800,
        ..Limits::default()
    };
    let mut cache = Duplicates::new(limits);
    let mut answer = |key, len| {
        assert_eq!(cache.begin(ms(0), key), Verdict::New);
        cache.finish(ms(0), key, &vec![7; len]);
        cache.len()
    };
    for xid in 0..3 {
        answer(of(1, xid), 8);
    }
    // From as many ports as it likes.
    for xid in 0..1000 {
        let port = u16::try_from(xid % 60_000).unwrap();
        let key = Key::new((2, port), Xid(xid), PROCEDURE, b"call");
        assert!(answer(key, 8) <= 8);
    }
    // Few that are long count by their bytes.
    for xid in 0..10 {
        answer(of(3, xid), 700);
    }
    for xid in 0..3 {
        assert_eq!(
            cache.begin(ms(0), of(1, xid)),
            Verdict::Done(&[7; 8]),
            "{xid}"
        );
    }
    assert_eq!(cache.begin(ms(0), of(3, 9)), Verdict::Done(&[7; 700]));
    assert!(cache.bytes() <= 800 && cache.len() <= 8);
}

#[test]
fn replies_are_forgotten_at_their_age() {
    let mut cache = Duplicates::new(Limits::default());
    assert_eq!(cache.poll_timeout(), None);
    cache.begin(ms(0), key(1));
    cache.begin(ms(0), key(2));
    assert_eq!(cache.poll_timeout(), None, "what is being done has no age");
    cache.finish(ms(5), key(1), b"reply");
    let due = ms(5).after(CACHE_AGE);
    assert_eq!(cache.poll_timeout(), Some(due));
    let before = ms(4).after(CACHE_AGE);
    assert_eq!(cache.begin(before, key(1)), Verdict::Done(b"reply"));
    assert_eq!(cache.begin(due, key(1)), Verdict::New);
    assert_eq!(
        cache.begin(due.after(CACHE_AGE), key(2)),
        Verdict::InProgress
    );
    let never = Limits {
        age: Duration::MAX,
        ..Limits::default()
    };
    let mut cache = Duplicates::new(never);
    cache.begin(ms(0), key(1));
    cache.finish(ms(0), key(1), b"");
    cache.handle_timeout(ms(u64::MAX / 2_000_000));
    assert_eq!(cache.len(), 1);
}

proptest! {
    #[test]
    fn a_checksum_tells_one_changed_byte(
        mut message in proptest::collection::vec(any::<u8>(), 1..200),
        at in any::<prop::sample::Index>(),
        flip in 1..=u8::MAX,
    ) {
        let before = checksum(&message);
        let at = at.index(message.len());
        message[at] ^= flip;
        prop_assert_ne!(checksum(&message), before);
    }
}
