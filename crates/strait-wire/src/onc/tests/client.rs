//! Calls in flight.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use super::super::auth::OpaqueAuth;
use super::super::client::{
    Client, Due, Error, Form, IN_FLIGHT_MAX, Order, RETRY_FIRST, RETRY_MAX, RETRY_MIN, Received,
    Refused, Retry,
};
use super::super::message::{Accepted, AuthStat, CallHeader, Denied, Xid};
use super::super::record::{self, MARK_LEN};
use super::super::{DATAGRAM_MAX, server};
use super::{PROCEDURE, ms, words};
use crate::time::Time;
use crate::xdr::{Decode, Reader, Writer};

fn nothing(_: &mut Writer<'_>) -> Result<(), crate::xdr::Error> {
    Ok(())
}

fn call(client: &mut Client, order: &Order<'_>) -> (Xid, Vec<u8>) {
    let mut out = Vec::new();
    let xid = client.call(ms(0), order, &mut out, nothing).unwrap();
    (xid, out)
}

fn reply(xid: Xid, result: u32) -> Vec<u8> {
    let mut out = Vec::new();
    server::success(&mut out, xid, &OpaqueAuth::NONE, |to| {
        to.unsigned(result);
        Ok(())
    })
    .unwrap();
    out
}

/// All that is due by `now`: what timed out, and what is sent again.
fn due(client: &mut Client, now: Time) -> (Vec<Xid>, Vec<(Xid, Vec<u8>)>) {
    let (mut late, mut again) = (Vec::new(), Vec::new());
    while let Some(due) = client.handle_timeout(now) {
        match due {
            Due::TimedOut(xid) => late.push(xid),
            Due::Retransmit { xid, datagram } => again.push((xid, datagram.to_vec())),
        }
    }
    (late, again)
}

#[test]
fn a_draft_becomes_the_same_call() {
    for (mut client, form) in [
        (Client::stream(Xid(7)), Form::RECORD),
        (Client::messages(Xid(7)), Form::MESSAGE),
        (Client::datagrams(Xid(7), Retry::default()), Form::DATAGRAM),
    ] {
        assert_eq!(client.form(), form);
        let order = Order::new(PROCEDURE).credential(OpaqueAuth::short(&b"id"[..]));
        let mut drafted = b"queued".to_vec();
        let draft = form.draft(&order, &mut drafted, |to| to.string("a", 1));
        let draft = draft.unwrap();
        assert_eq!(draft.start(), 6);
        assert_eq!(&drafted[draft.arguments()], b"\0\0\0\x01a\0\0\0");
        assert_eq!(client.launch(ms(0), &draft, &mut drafted), Ok(Xid(7)));
        assert_eq!(client.in_flight_calls().collect::<Vec<_>>(), [Xid(7)]);
        client.cancel(Xid(7));
        client.next = Xid(7);
        let mut called = b"queued".to_vec();
        let xid = client.call(ms(0), &order, &mut called, |to| to.string("a", 1));
        assert_eq!((xid, called), (Ok(Xid(7)), drafted));
        let broken = form.draft(&order, &mut Vec::new(), |to| to.string("ab", 1));
        assert!(matches!(broken, Err(Error::Encode(_))));
    }
}

#[test]
fn a_call_on_a_stream_is_a_record() {
    let mut client = Client::stream(Xid(7));
    let mut out = b"queued".to_vec();
    let order = Order::new(PROCEDURE).credential(OpaqueAuth::short(&b"id"[..]));
    let xid = client.call(ms(0), &order, &mut out, |to| to.string("a", 1));
    assert_eq!(xid, Ok(Xid(7)));
    let (mark, message) = out[6..].split_at(MARK_LEN);
    assert_eq!(mark, record::mark(message.len()).unwrap());
    let mut reader = Reader::new(message);
    let header = CallHeader::decode(&mut reader).unwrap();
    assert_eq!((header.xid, header.procedure), (Xid(7), PROCEDURE));
    assert_eq!(&*header.credential.body, b"id");
    assert_eq!(reader.rest(), b"\0\0\0\x01a\0\0\0");
    assert_eq!(client.poll_timeout(), None, "a stream repeats nothing");
}

#[test]
fn replies_come_in_any_order_and_each_once() {
    let mut client = Client::stream(Xid(u32::MAX));
    let order = Order::new(PROCEDURE);
    let xids: Vec<Xid> = (0..3).map(|_| call(&mut client, &order).0).collect();
    assert_eq!(xids, [Xid(u32::MAX), Xid(0), Xid(1)]);
    for (left, xid) in [(2, Xid(0)), (1, Xid(1)), (0, Xid(u32::MAX))] {
        let message = reply(xid, xid.0);
        let Received::Answer(answer) = client.receive(&message) else {
            panic!("{xid:?} is in flight");
        };
        assert_eq!(answer.header.xid, xid);
        assert_eq!(answer.results(), Ok(&xid.0.to_be_bytes()[..]));
        assert_eq!(client.in_flight(), left);
        assert_eq!(client.receive(&message), Received::Unexpected(xid));
    }
    assert_eq!(
        client.receive(&reply(Xid(99), 0)),
        Received::Unexpected(Xid(99))
    );
}

#[test]
fn there_are_no_results_unless_the_header_says_so() {
    for status in [
        Accepted::ProgramUnavailable,
        Accepted::ProgramMismatch { low: 1, high: 2 },
        Accepted::ProcedureUnavailable,
        Accepted::GarbageArguments,
        Accepted::SystemError,
    ] {
        let mut client = Client::stream(Xid(7));
        call(&mut client, &Order::new(PROCEDURE));
        let mut message = Vec::new();
        server::refuse(&mut message, Xid(7), &OpaqueAuth::NONE, status).unwrap();
        let Received::Answer(answer) = client.receive(&message) else {
            panic!("answered");
        };
        assert_eq!(answer.results(), Err(Refused::Accepted(status)));
    }
    let denied = Denied::Auth(AuthStat::TOO_WEAK);
    let mut client = Client::stream(Xid(7));
    call(&mut client, &Order::new(PROCEDURE));
    let mut message = Vec::new();
    server::deny(&mut message, Xid(7), denied);
    let Received::Answer(answer) = client.receive(&message) else {
        panic!("answered");
    };
    let refused = answer.results().unwrap_err();
    assert_eq!(refused, Refused::Denied(denied));
    assert_eq!(refused.to_string(), "AUTH_ERROR (AUTH_TOOWEAK)");
}

#[test]
fn a_reply_that_cannot_be_decoded_ends_a_call_on_a_stream_only() {
    let wrong = words(&[7, 1, 9]);
    let mut client = Client::stream(Xid(7));
    call(&mut client, &Order::new(PROCEDURE));
    let received = client.receive(&wrong);
    assert!(matches!(received, Received::Malformed { xid: Xid(7), .. }));
    assert_eq!(client.in_flight(), 0);
    let mut client = Client::datagrams(Xid(7), Retry::default());
    call(&mut client, &Order::new(PROCEDURE));
    let received = client.receive(&wrong);
    assert!(matches!(received, Received::Malformed { xid: Xid(7), .. }));
    assert_eq!(client.in_flight(), 1);
    for garbage in [&[][..], &[0, 0, 0], &words(&[8, 1, 9]), &words(&[8, 0, 2])] {
        assert!(matches!(client.receive(garbage), Received::Garbage(_)));
    }
}

#[test]
fn calls_in_flight_end_at_their_limit() {
    let mut client = Client::stream(Xid(7));
    let order = Order::new(PROCEDURE);
    let mut out = Vec::new();
    for _ in 0..IN_FLIGHT_MAX {
        client.call(ms(0), &order, &mut out, nothing).unwrap();
    }
    let len = out.len();
    let max = IN_FLIGHT_MAX;
    let error = client.call(ms(0), &order, &mut out, nothing).unwrap_err();
    assert_eq!((error, out.len()), (Error::TooMany { max }, len));
    client.call_oneway(&order, &mut out, nothing).unwrap();
    client.receive(&reply(Xid(9), 0));
    client.call(ms(0), &order, &mut out, nothing).unwrap();
    let mut client = Client::stream(Xid(7)).in_flight_max(1);
    call(&mut client, &order);
    let error = client.call(ms(0), &order, &mut out, nothing).unwrap_err();
    assert_eq!(error.to_string(), "1 calls are in flight already");
}

#[test]
fn a_number_in_flight_is_not_given_twice() {
    let mut client = Client::stream(Xid(5));
    let order = Order::new(PROCEDURE);
    call(&mut client, &order);
    for _ in 0..3 {
        call(&mut client, &order);
    }
    client.cancel(Xid(6));
    // Round the circle of numbers: as if 2^32 calls had come and gone.
    client.next = Xid(5);
    assert_eq!(call(&mut client, &order).0, Xid(6));
    assert_eq!(call(&mut client, &order).0, Xid(9));
}

#[test]
fn a_call_that_cannot_be_made_leaves_nothing_behind() {
    let order = Order::new(PROCEDURE);
    for mut client in [
        Client::stream(Xid(7)),
        Client::datagrams(Xid(7), Retry::default()),
    ] {
        let mut out = b"queued".to_vec();
        let error = client.call(ms(0), &order, &mut out, |to| to.string("abc", 2));
        assert!(matches!(error, Err(Error::Encode(_))));
        let long = OpaqueAuth::short(vec![0; 401]);
        let error = client.call(ms(0), &order.clone().credential(long), &mut out, nothing);
        assert!(matches!(error, Err(Error::Encode(_))));
        assert_eq!((&out[..], client.in_flight()), (&b"queued"[..], 0));
        assert_eq!(client.poll_timeout(), None);
        assert_eq!(call(&mut client, &order).0, Xid(7));
    }
}

#[test]
fn a_call_in_a_datagram_ends_at_its_limit() {
    let order = Order::new(PROCEDURE);
    let mut client = Client::datagrams(Xid(7), Retry::default());
    let fits = (DATAGRAM_MAX - 40) / 4 * 4;
    let mut out = Vec::new();
    let mut of = |len: usize| {
        client.call(ms(0), &order, &mut out, |to| {
            to.opaque_fixed(&vec![0; len]);
            Ok(())
        })
    };
    of(fits).unwrap();
    let (len, max) = (fits + 44, DATAGRAM_MAX);
    assert_eq!(of(fits + 4), Err(Error::TooLong { len, max }));
}

#[test]
fn a_deadline_ends_a_call_and_the_late_reply_is_dropped() {
    let mut client = Client::stream(Xid(7));
    let (late, _) = call(&mut client, &Order::new(PROCEDURE).deadline(ms(10)));
    let (soon, _) = call(&mut client, &Order::new(PROCEDURE).deadline(ms(5)));
    let (never, _) = call(&mut client, &Order::new(PROCEDURE));
    assert_eq!(client.poll_timeout(), Some(ms(5)));
    assert_eq!(due(&mut client, ms(4)).0, []);
    assert_eq!(due(&mut client, ms(5)).0, [soon]);
    assert_eq!(client.receive(&reply(soon, 0)), Received::Unexpected(soon));
    assert!(matches!(
        client.receive(&reply(late, 0)),
        Received::Answer(_)
    ));
    assert_eq!(client.poll_timeout(), None);
    assert!(client.cancel(never));
    assert!(!client.cancel(never));
    assert_eq!(
        client.receive(&reply(never, 0)),
        Received::Unexpected(never)
    );
}

#[test]
fn a_datagram_is_sent_again_with_the_same_number_after_twice_the_time() {
    let mut client = Client::datagrams(Xid(7), Retry::default());
    let (xid, datagram) = call(&mut client, &Order::new(PROCEDURE).deadline(ms(60_000)));
    let mut at = Vec::new();
    let mut last = ms(0);
    loop {
        let now = client.poll_timeout().unwrap();
        let (late, again) = due(&mut client, now);
        if late == [xid] {
            break;
        }
        assert_eq!(again, [(xid, datagram.clone())]);
        at.push(now.since(last));
        last = now;
    }
    let pauses = [500, 1000, 2000, 4000, 8000, 8000, 8000, 8000, 8000];
    assert_eq!(at[..9], pauses.map(Duration::from_millis));
    assert_eq!((at[0], at[8]), (RETRY_FIRST, RETRY_MAX));
    assert_eq!((client.poll_timeout(), client.in_flight()), (None, 0));
}

#[test]
fn an_answer_ends_the_repetition() {
    let mut client = Client::datagrams(Xid(7), Retry::default());
    let (xid, _) = call(&mut client, &Order::new(PROCEDURE));
    assert_eq!(due(&mut client, ms(500)).1.len(), 1);
    client.receive(&reply(xid, 0));
    assert_eq!(client.poll_timeout(), None);
    let mut out = Vec::new();
    client
        .call_oneway(&Order::new(PROCEDURE), &mut out, nothing)
        .unwrap();
    assert_eq!(
        client.poll_timeout(),
        None,
        "nobody waits for a one-way call"
    );
}

#[test]
fn a_pause_of_nothing_is_a_millisecond() {
    let none = Retry {
        first: Duration::ZERO,
        max: Duration::ZERO,
    };
    let mut client = Client::datagrams(Xid(7), none);
    call(&mut client, &Order::new(PROCEDURE));
    assert_eq!(client.poll_timeout(), Some(ms(0).after(RETRY_MIN)));
    assert_eq!(due(&mut client, ms(100)).1.len(), 1, "late, and no burst");
    assert_eq!(client.poll_timeout(), Some(ms(101)));
}

#[test]
fn a_lost_connection_ends_all_calls() {
    let mut client = Client::stream(Xid(7));
    for deadline in [ms(1), ms(2)] {
        call(&mut client, &Order::new(PROCEDURE).deadline(deadline));
    }
    let lost: Vec<Xid> = client.abandon().collect();
    assert_eq!(lost, [Xid(7), Xid(8)]);
    assert_eq!((client.in_flight(), client.poll_timeout()), (0, None));
    assert_eq!(call(&mut client, &Order::new(PROCEDURE)).0, Xid(9));
}
