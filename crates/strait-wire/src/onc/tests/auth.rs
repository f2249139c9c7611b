//! Credentials, at their limits and one past them.

use alloc::string::ToString;

use super::super::auth::{AuthSys, BODY_MAX, Flavor, GIDS_MAX, Gids, MACHINE_NAME_MAX, OpaqueAuth};
use super::{both_ways, words};
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
