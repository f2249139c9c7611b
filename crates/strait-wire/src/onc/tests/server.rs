//! Calls taken apart, and the replies that turn them away.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::super::auth::{AuthSys, BODY_MAX, Flavor, Gids, OpaqueAuth};
use super::super::message::{Accepted, AuthStat, CallHeader, Denied, Procedure, ReplyHeader, Xid};
use super::super::server::{self, Answer, Caps, Identity, Ignored, Programs, Unsent, parse_call};
use super::super::{DATAGRAM_MAX, message};
use super::{PROCEDURE, words};
use crate::xdr::{self, Padding, What, from_slice, to_vec};

const EVERY: Caps<'_> = Caps {
    flavors: &[
        Flavor::NONE,
        Flavor::SYS,
        Flavor::SHORT,
        Flavor::GSS,
        Flavor::TLS,
    ],
    padding: Padding::Strict,
};

fn call(credential: OpaqueAuth<'_>) -> Vec<u8> {
    call_of(PROCEDURE, credential)
}

fn call_of(procedure: Procedure, credential: OpaqueAuth<'_>) -> Vec<u8> {
    let header = CallHeader {
        xid: Xid(7),
        procedure,
        credential,
        verifier: OpaqueAuth::NONE,
    };
    to_vec(&header).unwrap()
}

/// What the reply says that turns `message` away.
fn denied(message: &[u8], caps: &Caps) -> Denied {
    let Err(Answer::Reply { message, denied }) = parse_call(message, caps) else {
        panic!("not turned away");
    };
    let reply: ReplyHeader<'_> = from_slice(&message).unwrap();
    assert_eq!(reply.xid, Xid(7));
    assert_eq!(reply.body, message::ReplyBody::Denied(denied));
    denied
}

#[test]
fn a_call_is_taken_apart() {
    let mut message = call(OpaqueAuth::NONE);
    message.extend_from_slice(b"args");
    let call = parse_call(&message, &Caps::default()).unwrap();
    assert_eq!(call.header.procedure, PROCEDURE);
    assert_eq!(call.identity, Identity::None);
    assert_eq!(call.arguments, b"args");
}

#[test]
fn what_is_no_whole_call_is_not_answered() {
    let sound = call(OpaqueAuth::short(&b"abc"[..]));
    for end in 0..sound.len() {
        let answer = parse_call(&sound[..end], &EVERY).unwrap_err();
        assert!(matches!(answer, Answer::Drop(Ignored::Short(_))), "{end}");
    }
    for kind in [1, 2, u32::MAX] {
        let message = words(&[7, kind, 2, 1, 1, 0, 0, 0, 0, 0]);
        let answer = parse_call(&message, &EVERY).unwrap_err();
        assert_eq!(answer, Answer::Drop(Ignored::NoCall(kind)));
    }
}

/// Even if nothing that is known follows: other versions may have other headers.
#[test]
fn another_version_of_the_protocol_is_a_mismatch_with_2_and_2() {
    for version in [0, 1, 3, u32::MAX] {
        for message in [&[7, 0, version][..], &[7, 0, version, 1, 1, 0, 0, 0, 0, 0]] {
            let expected = Denied::RpcMismatch { low: 2, high: 2 };
            assert_eq!(denied(&words(message), &EVERY), expected);
        }
    }
}

#[test]
fn credentials_are_told_apart() {
    let sys = AuthSys {
        machine_name: b"here"[..].into(),
        uid: 1000,
        gids: Gids::new(&[1, 2]).unwrap(),
        ..AuthSys::default()
    };
    let message = call(OpaqueAuth::sys(&sys).unwrap());
    let parsed = parse_call(&message, &Caps::default()).unwrap();
    assert_eq!(parsed.identity, Identity::Sys(sys));
    let message = call(OpaqueAuth::short(&b"handle"[..]));
    let parsed = parse_call(&message, &EVERY).unwrap();
    assert_eq!(parsed.identity, Identity::Short(b"handle"));
    let gss = OpaqueAuth {
        flavor: Flavor::GSS,
        body: b"token"[..].into(),
    };
    let message = call(gss.clone());
    let parsed = parse_call(&message, &EVERY).unwrap();
    assert_eq!(parsed.identity, Identity::Other(Flavor::GSS));
    assert_eq!(parsed.header.credential, gss);
}

#[test]
fn a_flavor_that_is_not_taken_is_rejected() {
    let expected = Denied::Auth(AuthStat::REJECTED_CREDENTIAL);
    for flavor in [2, 3, 4, 5, 6, 7, 390_003, u32::MAX] {
        let body = b""[..].into();
        let flavor = Flavor(flavor);
        let message = call(OpaqueAuth { flavor, body });
        assert_eq!(denied(&message, &Caps::default()), expected, "{flavor}");
    }
}

#[test]
fn a_credential_that_is_not_well_formed_is_bad() {
    let bad = Denied::Auth(AuthStat::BAD_CREDENTIAL);
    let sys = |body: &[u8]| OpaqueAuth {
        flavor: Flavor::SYS,
        body: body.to_vec().into(),
    };
    let sixteen = [&[0, 0, 0, 0, 16][..], &[1; 16]].concat();
    assert!(parse_call(&call(sys(&words(&sixteen))), &EVERY).is_ok());
    let seventeen = [&[0, 0, 0, 0, 17][..], &[1; 17]].concat();
    let long_name = [&[0, 256][..], &[0x6161_6161; 64], &[0, 0, 0]].concat();
    for body in [
        &[][..],
        &[0, 0, 0, 0],
        &[0, 0, 0, 0, 1],
        &[0, 0, 0, 0, 0, 0],
        &[0, 1, 0x6162_0000, 0, 0, 0],
        &seventeen,
        &long_name,
    ] {
        assert_eq!(denied(&call(sys(&words(body))), &EVERY), bad, "{body:?}");
    }
    let long = [
        &words(&[7, 0, 2, 1, 1, 0, 1, BODY_MAX + 1])[..],
        &[0; BODY_MAX as usize + 4],
        &[0; 8],
    ]
    .concat();
    assert_eq!(denied(&long, &EVERY), bad);
    let padded = words(&[7, 0, 2, 1, 1, 0, 2, 1, 0x6162_0000, 0, 0]);
    assert_eq!(denied(&padded, &EVERY), bad);
    let lenient = Caps {
        padding: Padding::Lenient,
        ..EVERY
    };
    assert!(parse_call(&padded, &lenient).is_ok());
}

#[test]
fn a_verifier_that_is_not_well_formed_is_bad() {
    let header = words(&[7, 0, 2, 1, 1, 0, 0, 0, 0]);
    let body = [0; BODY_MAX as usize + 4];
    let longest = [&header, &words(&[BODY_MAX])[..], &body[4..]].concat();
    assert!(parse_call(&longest, &EVERY).is_ok());
    let longer = [&header, &words(&[BODY_MAX + 1])[..], &body].concat();
    let expected = Denied::Auth(AuthStat::BAD_VERIFIER);
    assert_eq!(denied(&longer, &EVERY), expected);
}

/// RFC 9289 section 4.1.
#[test]
fn tls_is_asked_for_by_procedure_0_with_nothing_else() {
    let null = Procedure {
        number: 0,
        ..PROCEDURE
    };
    let message = call_of(null, OpaqueAuth::TLS);
    assert_eq!(
        parse_call(&message, &EVERY).unwrap().identity,
        Identity::Tls
    );
    let bad = Denied::Auth(AuthStat::BAD_CREDENTIAL);
    assert_eq!(denied(&call(OpaqueAuth::TLS), &EVERY), bad);
    let full = OpaqueAuth {
        body: b"x"[..].into(),
        ..OpaqueAuth::TLS
    };
    assert_eq!(denied(&call_of(null, full), &EVERY), bad);
}

#[test]
fn programs_are_found_and_versions_told_also_across_a_hole() {
    let mut programs = Programs::default();
    for (program, version) in [
        (5, 1),
        (5, 3),
        (6, 0),
        (6, u32::MAX),
        (8, 2),
        (9, 2),
        (9, 7),
        (9, 5),
    ] {
        assert_eq!(programs.insert(program, version, (program, version)), None);
    }
    let mismatch = |low, high| Err(Accepted::ProgramMismatch { low, high });
    for (program, version, found) in [
        (5, 1, Ok(&(5, 1))),
        (5, 3, Ok(&(5, 3))),
        (5, 2, mismatch(1, 3)),
        (5, 0, mismatch(1, 3)),
        (5, 4, mismatch(1, 3)),
        (6, 1, mismatch(0, u32::MAX)),
        (8, 1, mismatch(2, 2)),
        (4, 1, Err(Accepted::ProgramUnavailable)),
        (7, 1, Err(Accepted::ProgramUnavailable)),
        (9, 3, mismatch(2, 7)),
        (9, 6, mismatch(2, 7)),
        (10, 1, Err(Accepted::ProgramUnavailable)),
    ] {
        assert_eq!(
            programs.find(program, version),
            found,
            "{program} {version}"
        );
    }
    assert_eq!(programs.iter().count(), 8);
    assert_eq!(programs.remove(5, 3), Some((5, 3)));
    assert_eq!(programs.find(5, 3), mismatch(1, 1));
    programs.remove(5, 1);
    assert_eq!(programs.find(5, 1), Err(Accepted::ProgramUnavailable));
}

#[test]
fn replies_are_built() {
    let mut out = b"before".to_vec();
    server::success(&mut out, Xid(7), &OpaqueAuth::STARTTLS, |to| {
        to.unsigned(9);
        Ok(())
    })
    .unwrap();
    let tls = b"STARTTLS".map(u32::from);
    let word = |i: usize| tls[i] << 24 | tls[i + 1] << 16 | tls[i + 2] << 8 | tls[i + 3];
    let expected = [
        b"before",
        &words(&[7, 1, 0, 0, 8, word(0), word(4), 0, 9])[..],
    ]
    .concat();
    assert_eq!(out, expected);

    out.clear();
    server::refuse(
        &mut out,
        Xid(7),
        &OpaqueAuth::NONE,
        Accepted::GarbageArguments,
    )
    .unwrap();
    assert_eq!(out, words(&[7, 1, 0, 0, 0, 4]));
    out.clear();
    server::deny(&mut out, Xid(7), Denied::Auth(AuthStat::TOO_WEAK));
    assert_eq!(out, words(&[7, 1, 1, 1, 5]));
}

#[test]
fn a_reply_that_fails_leaves_nothing_behind() {
    let mut out = b"before".to_vec();
    let unsent = server::success(&mut out, Xid(7), &OpaqueAuth::NONE, |to| {
        to.unsigned(9);
        to.string("abc", 2)
    });
    let what = What::TooLong { len: 3, max: 2 };
    let unsent = unsent.unwrap_err();
    assert_eq!(unsent, Unsent::Encode(xdr::Error { at: 28, what }));
    assert!(unsent.to_string().contains("above the bound 2"));
    let body = vec![0; BODY_MAX as usize + 1];
    let long = OpaqueAuth::short(&body[..]);
    assert!(server::refuse(&mut out, Xid(7), &long, Accepted::SystemError).is_err());
    assert_eq!(out, b"before");
}

#[test]
fn a_datagram_ends_at_its_limit() {
    let fits = DATAGRAM_MAX - 24;
    for (len, sent) in [(fits, true), (fits + 1, false)] {
        let mut out = vec![];
        let unsent = server::success_datagram(&mut out, Xid(7), &OpaqueAuth::NONE, |to| {
            // A datagram's limit is no multiple of four.
            to.opaque_fixed(&vec![0; len / 4 * 4]);
            Ok(())
        });
        let expected = match sent || len % 4 != 0 {
            true => Ok(()),
            false => Err(Unsent::TooLong {
                len: len + 24,
                max: DATAGRAM_MAX,
            }),
        };
        assert_eq!(unsent, expected);
    }
}
