//! Credentials, at their limits and one past them.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use super::super::auth::{AuthSys, BODY_MAX, Flavor, GIDS_MAX, Gids, MACHINE_NAME_MAX, OpaqueAuth};
use super::super::server::{SHORT_LEN, SHORT_OF_ONE_MAX, ShortLimits, Shorts};
use super::{both_ways, ms, words};
use crate::xdr::{Error, What, from_slice, to_vec};

#[test]
fn auth_none_is_two_words() {
    both_ways(&OpaqueAuth::NONE, &[0; 8]);
    both_ways(&OpaqueAuth::TLS, &words(&[7, 0]));
    both_ways(&OpaqueAuth::STARTTLS, b"\0\0\0\0\0\0\0\x08STARTTLS");
    both_ways(
        &OpaqueAuth::short(&b"abc"[..]),
        b"\0\0\0\x02\0\0\0\x03abc\0",
    );
}

#[test]
fn auth_sys_is_as_appendix_a_has_it() {
    let sys = AuthSys {
        stamp: 9,
        machine_name: b"host1"[..].into(),
        uid: 1000,
        gid: 100,
        gids: Gids::new(&[4, 24]).unwrap(),
    };
    let mut bytes = words(&[9, 5]);
    bytes.extend_from_slice(b"host1\0\0\0");
    bytes.extend(words(&[1000, 100, 2, 4, 24]));
    both_ways(&sys, &bytes);
    let auth = OpaqueAuth::sys(&sys).unwrap();
    assert_eq!((auth.flavor, &*auth.body), (Flavor::SYS, &bytes[..]));
    assert_eq!(auth.encoded_len(), to_vec(&auth).unwrap().len());
}

#[test]
fn a_body_ends_at_400_bytes() {
    let body = [7; BODY_MAX as usize + 1];
    let longest = OpaqueAuth::short(&body[1..]);
    let bytes = to_vec(&longest).unwrap();
    assert_eq!(bytes.len(), longest.encoded_len());
    both_ways(&longest, &bytes);
    let what = What::TooLong { len: 401, max: 400 };
    let error = Error { at: 4, what };
    assert_eq!(to_vec(&OpaqueAuth::short(&body[..])), Err(error));
    let longer = [&words(&[2, BODY_MAX + 1])[..], &body, &[0; 3]].concat();
    assert_eq!(from_slice::<OpaqueAuth>(&longer), Err(error));
}

#[test]
fn a_machine_name_ends_at_255_bytes_and_groups_at_16() {
    let name = [b'x'; MACHINE_NAME_MAX as usize + 1];
    let mut sys = AuthSys {
        machine_name: name[1..].into(),
        gids: Gids::new(&[1; GIDS_MAX as usize]).unwrap(),
        ..AuthSys::default()
    };
    let bytes = to_vec(&sys).unwrap();
    assert!(bytes.len() <= BODY_MAX as usize);
    both_ways(&sys, &bytes);
    sys.machine_name = name[..].into();
    let what = What::TooLong { len: 256, max: 255 };
    assert_eq!(to_vec(&sys), Err(Error { at: 4, what }));

    let groups = words(&[&[0, 0, 0, 0, GIDS_MAX][..], &[1; 16]].concat());
    assert_eq!(from_slice::<AuthSys>(&groups).unwrap().gids.len(), 16);
    let groups = words(&[&[0, 0, 0, 0, GIDS_MAX + 1][..], &[1; 17]].concat());
    let what = What::TooLong { len: 17, max: 16 };
    assert_eq!(from_slice::<AuthSys>(&groups), Err(Error { at: 16, what }));
    assert_eq!(Gids::new(&[1; 17]), None);
    assert_eq!(Gids::first_of(&[1; 17]), Gids::new(&[1; 16]).unwrap());
}

#[test]
fn flavors_have_their_names() {
    for (number, name) in [
        (0, "AUTH_NONE"),
        (1, "AUTH_SYS"),
        (2, "AUTH_SHORT"),
        (3, "AUTH_DH"),
        (6, "RPCSEC_GSS"),
        (7, "AUTH_TLS"),
        (390_003, "flavor 390003"),
    ] {
        assert_eq!(Flavor(number).to_string(), name);
    }
}

#[test]
fn what_is_handed_out_stands_in_the_verifier_as_a_credential() {
    let short = OpaqueAuth::short(&b"cookie42"[..]);
    let verifier = OpaqueAuth::handing_out(&short).unwrap();
    let bytes = b"\0\0\0\x02\0\0\0\x10\0\0\0\x02\0\0\0\x08cookie42";
    both_ways(&verifier, bytes);
    assert_eq!(verifier.handed_out(), Some(short.clone()));
    for other in [
        OpaqueAuth::NONE,
        short,
        OpaqueAuth::short(&b"\0\0\0\x01\0\0\0\0"[..]),
        OpaqueAuth::short(&b"\0\0\0\x02\0\0\0\0more"[..]),
    ] {
        assert_eq!(other.handed_out(), None, "{other:?}");
    }
}

fn shorts(limits: ShortLimits) -> Shorts<u8> {
    Shorts::new(limits, *b"a server")
}

#[test]
fn a_short_credential_counts_for_its_owner_alone() {
    let mut shorts = shorts(ShortLimits::default());
    let first = shorts.hand_out(ms(0), 1, b"somebody").unwrap();
    assert_eq!(first.len(), SHORT_LEN);
    assert_eq!(shorts.hand_out(ms(1), 1, b"somebody"), Some(first), "again");
    let second = shorts.hand_out(ms(1), 2, b"somebody").unwrap();
    assert_ne!(first, second);
    assert_eq!(shorts.find(ms(2), 1, &first), Some(&b"somebody"[..]));
    assert_eq!(shorts.find(ms(2), 2, &first), None, "another's");
    for junk in [
        &b""[..],
        &first[..15],
        b"a server\0\0\0\0\0\0\0\x09",
        b"b server\0\0\0\0\0\0\0\0",
    ] {
        assert_eq!(shorts.find(ms(2), 1, junk), None, "{junk:?}");
    }
    shorts.forget(1);
    assert_eq!(shorts.find(ms(3), 1, &first), None);
    assert_eq!(shorts.find(ms(3), 2, &second), Some(&b"somebody"[..]));
    assert_eq!((shorts.len(), shorts.bytes()), (1, 8));
}

#[test]
fn short_credentials_are_forgotten_by_number_bytes_and_age() {
    let limits = ShortLimits {
        entries: 3,
        bytes: 20,
        age: Duration::from_millis(100),
    };
    let mut all = shorts(limits);
    let given: Vec<_> = (0..4)
        .map(|owner| all.hand_out(ms(owner.into()), owner, b"abcd").unwrap())
        .collect();
    assert_eq!((all.len(), all.bytes()), (3, 12), "the oldest made way");
    assert_eq!(all.find(ms(4), 0, &given[0]), None);
    assert!(all.find(ms(4), 1, &given[1]).is_some());
    all.hand_out(ms(5), 9, &[7; 13]).unwrap();
    assert_eq!(
        (all.len(), all.bytes()),
        (2, 17),
        "one of 4 bytes, and of 13"
    );
    assert_eq!(
        all.hand_out(ms(5), 9, &[7; 21]),
        None,
        "longer than all may be"
    );
    assert!(all.find(ms(102), 3, &given[3]).is_some());
    assert_eq!(all.find(ms(103), 3, &given[3]), None, "too old");
    assert_eq!(all.len(), 1);
    let none = ShortLimits {
        entries: 0,
        ..limits
    };
    assert_eq!(shorts(none).hand_out(ms(0), 1, b"abcd"), None);
}

#[test]
fn one_owner_does_not_push_out_the_others() {
    let mut all = shorts(ShortLimits::default());
    let other = all.hand_out(ms(0), 2, b"other").unwrap();
    let first = all.hand_out(ms(0), 1, b"first").unwrap();
    for number in 1..SHORT_OF_ONE_MAX {
        all.hand_out(ms(1), 1, &number.to_be_bytes()).unwrap();
    }
    assert!(all.find(ms(1), 1, &first).is_some(), "at the limit");
    all.hand_out(ms(1), 1, b"one more").unwrap();
    assert_eq!(all.find(ms(1), 1, &first), None);
    assert!(all.find(ms(1), 2, &other).is_some());
    assert_eq!(all.len(), SHORT_OF_ONE_MAX + 1);
}
