//! Headers: the tables of RFC 5531 section 9, word by word.

use alloc::string::ToString;
use alloc::vec::Vec;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::auth::{Flavor, OpaqueAuth};
use super::super::message::{
    Accepted, AuthStat, CallHeader, Denied, Procedure, ReplyBody, ReplyHeader, Xid,
};
use super::{both_ways, words};
use crate::xdr::{What, from_slice, to_vec};

#[test]
fn a_call_is_ten_words_at_least() {
    let mut call = CallHeader {
        xid: Xid(0x0102_0304),
        procedure: Procedure {
            program: 100_000,
            version: 2,
            number: 4,
        },
        credential: OpaqueAuth::NONE,
        verifier: OpaqueAuth::NONE,
    };
    let bytes = words(&[0x0102_0304, 0, 2, 100_000, 2, 4, 0, 0, 0, 0]);
    both_ways(&call, &bytes);
    assert_eq!(call.encoded_len(), bytes.len());
    call.credential = OpaqueAuth::short(&b"abcd"[..]);
    let short = u32::from_be_bytes(*b"abcd");
    let bytes = words(&[0x0102_0304, 0, 2, 100_000, 2, 4, 2, 4, short, 0, 0]);
    both_ways(&call, &bytes);
    assert_eq!(call.encoded_len(), bytes.len());
}

#[test]
fn a_call_is_refused_whose_constants_are_others() {
    for (at, word) in [(1, 1), (1, 2), (2, 1), (2, 3)] {
        let mut call = [1, 0, 2, 7, 7, 7, 0, 0, 0, 0];
        call[at] = word;
        let error = from_slice::<CallHeader>(&words(&call)).unwrap_err();
        assert_eq!((error.at, error.what), (4 * at, What::Arm(word.into())));
    }
}

/// Every `accept_stat`, its words after the verifier, and what it is called.
const ACCEPTED: &[(Accepted, &[u32], &str)] = &[
    (Accepted::Success, &[0], "SUCCESS"),
    (Accepted::ProgramUnavailable, &[1], "PROG_UNAVAIL"),
    (
        Accepted::ProgramMismatch { low: 1, high: 3 },
        &[2, 1, 3],
        "PROG_MISMATCH (versions 1 to 3)",
    ),
    (Accepted::ProcedureUnavailable, &[3], "PROC_UNAVAIL"),
    (Accepted::GarbageArguments, &[4], "GARBAGE_ARGS"),
    (Accepted::SystemError, &[5], "SYSTEM_ERR"),
];

#[test]
fn every_accepted_reply_is_as_section_9_has_it() {
    for (status, tail, name) in ACCEPTED {
        assert_eq!(status.to_string(), *name);
        let verifier = OpaqueAuth::NONE;
        let status = *status;
        let body = ReplyBody::Accepted { verifier, status };
        let reply = ReplyHeader { xid: Xid(9), body };
        both_ways(&reply, &words(&[&[9, 1, 0, 0, 0], *tail].concat()));
    }
    let error = from_slice::<ReplyHeader>(&words(&[9, 1, 0, 0, 0, 6])).unwrap_err();
    assert_eq!((error.at, error.what), (20, What::Arm(6)));
}

/// Every `auth_stat` and its name.
const AUTH: &[(AuthStat, u32, &str)] = &[
    (AuthStat::OK, 0, "AUTH_OK"),
    (AuthStat::BAD_CREDENTIAL, 1, "AUTH_BADCRED"),
    (AuthStat::REJECTED_CREDENTIAL, 2, "AUTH_REJECTEDCRED"),
    (AuthStat::BAD_VERIFIER, 3, "AUTH_BADVERF"),
    (AuthStat::REJECTED_VERIFIER, 4, "AUTH_REJECTEDVERF"),
    (AuthStat::TOO_WEAK, 5, "AUTH_TOOWEAK"),
    (AuthStat::INVALID_RESPONSE, 6, "AUTH_INVALIDRESP"),
    (AuthStat::FAILED, 7, "AUTH_FAILED"),
    (AuthStat::KERB_GENERIC, 8, "AUTH_KERB_GENERIC"),
    (AuthStat::TIME_EXPIRE, 9, "AUTH_TIMEEXPIRE"),
    (AuthStat::TICKET_FILE, 10, "AUTH_TKT_FILE"),
    (AuthStat::DECODE, 11, "AUTH_DECODE"),
    (AuthStat::NET_ADDRESS, 12, "AUTH_NET_ADDR"),
    (
        AuthStat::GSS_CREDENTIAL_PROBLEM,
        13,
        "RPCSEC_GSS_CREDPROBLEM",
    ),
    (AuthStat::GSS_CONTEXT_PROBLEM, 14, "RPCSEC_GSS_CTXPROBLEM"),
    (AuthStat(15), 15, "auth_stat 15"),
];

#[test]
fn every_denial_is_as_section_9_has_it() {
    let denied = |denied, tail: &[u32]| {
        let body = ReplyBody::Denied(denied);
        let reply = ReplyHeader { xid: Xid(9), body };
        both_ways(&reply, &words(&[&[9, 1, 1], tail].concat()));
    };
    let mismatch = Denied::RpcMismatch { low: 2, high: 2 };
    denied(mismatch, &[0, 2, 2]);
    assert_eq!(mismatch.to_string(), "RPC_MISMATCH (versions 2 to 2)");
    for (why, number, name) in AUTH {
        assert_eq!(why.to_string(), *name);
        denied(Denied::Auth(*why), &[1, *number]);
    }
    for (at, reply) in [
        (3, &[9, 1, 1, 2][..]),
        (2, &[9, 1, 2]),
        (1, &[9, 0, 0, 0, 0, 0]),
    ] {
        let error = from_slice::<ReplyHeader>(&words(reply)).unwrap_err();
        assert_eq!(
            (error.at, error.what),
            (4 * at, What::Arm(reply[at].into()))
        );
    }
}

fn auth() -> impl Strategy<Value = OpaqueAuth<'static>> {
    (0..8_u32, vec(any::<u8>(), 0..=400)).prop_map(|(flavor, body)| OpaqueAuth {
        flavor: Flavor(flavor),
        body: body.into(),
    })
}

fn reply() -> impl Strategy<Value = ReplyHeader<'static>> {
    let status = prop_oneof![
        prop::sample::select(ACCEPTED).prop_map(|(status, ..)| status),
        any::<(u32, u32)>().prop_map(|(low, high)| Accepted::ProgramMismatch { low, high }),
    ];
    let accepted =
        (auth(), status).prop_map(|(verifier, status)| ReplyBody::Accepted { verifier, status });
    let denied = prop_oneof![
        any::<u32>().prop_map(|why| Denied::Auth(AuthStat(why))),
        any::<(u32, u32)>().prop_map(|(low, high)| Denied::RpcMismatch { low, high }),
    ];
    let body = prop_oneof![accepted, denied.prop_map(ReplyBody::Denied)];
    (any::<u32>(), body).prop_map(|(xid, body)| ReplyHeader {
        xid: Xid(xid),
        body,
    })
}

proptest! {
    #[test]
    fn any_call_comes_back(
        (xid, program, version, number) in any::<(u32, u32, u32, u32)>(),
        credential in auth(),
        verifier in auth(),
    ) {
        let (xid, procedure) = (Xid(xid), Procedure { program, version, number });
        let call = CallHeader { xid, procedure, credential, verifier };
        let bytes = to_vec(&call).unwrap();
        prop_assert_eq!(bytes.len(), call.encoded_len());
        prop_assert_eq!(from_slice::<CallHeader>(&bytes), Ok(call));
    }

    #[test]
    fn any_reply_comes_back(reply in reply()) {
        let bytes = to_vec(&reply).unwrap();
        prop_assert_eq!(from_slice::<ReplyHeader>(&bytes), Ok(reply));
    }

    #[test]
    fn words_that_are_read_are_written_again(some in vec(0..8_u32, 3..14)) {
        let bytes: Vec<u8> = words(&some);
        if let Ok(reply) = from_slice::<ReplyHeader>(&bytes) {
            prop_assert_eq!(&to_vec(&reply).unwrap(), &bytes);
        }
        if let Ok(call) = from_slice::<CallHeader>(&bytes) {
            prop_assert_eq!(&to_vec(&call).unwrap(), &bytes);
        }
    }
}
