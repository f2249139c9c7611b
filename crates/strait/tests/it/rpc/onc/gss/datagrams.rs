//! Over UDP: where messages are lost, come again, and anybody can send some.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use strait::ErrorKind;
use strait::rpc::onc::Xid;
use strait::rpc::onc::gss::Service;
use strait_wire::onc::auth::OpaqueAuth;
use strait_wire::onc::gss::Purpose;
use strait_wire::onc::gss::client::Context;
use strait_wire::onc::message::{Accepted, CallHeader, ReplyBody, ReplyHeader};
use strait_wire::onc::server::checksum;
use strait_wire::xdr::{Decode, Reader, to_vec};

use super::hostile::{Raw, purpose, with_reply};
use super::mechanism::{ADA, EVE, PANIC};
use super::middle::{self, Way};
use super::{COUNT, ECHO, Served, a_word, count, options, procedure, refused};
use crate::world::GUARD;

#[test]
fn over_udp_a_call_is_sent_again_under_another_number_and_done_once() {
    let served = Served::start("udp", &[]);
    for service in super::SERVICES {
        // Of each call the first two replies are lost, and forged ones come in their place.
        let mut calls: Vec<Vec<u8>> = Vec::new();
        let mut replies: Vec<Vec<u8>> = Vec::new();
        let at = middle::udp(served.udp, move |way, message| {
            let xid = message[..4].to_vec();
            let is_call = match way {
                Way::ToServer => purpose(&message) == Purpose::Data,
                Way::ToClient => calls.iter().any(|call| call[..4] == xid),
            };
            if !is_call {
                return vec![message];
            }
            if way == Way::ToServer {
                assert!(!calls.contains(&message), "the same bytes again");
                calls.push(message.clone());
                return vec![message];
            }
            let before = replies.iter().filter(|reply| **reply == xid).count();
            replies.push(xid);
            match before {
                0 | 1 => vec![with_reply(&message, Some(OpaqueAuth::NONE), None)],
                _ => vec![message],
            }
        });
        let short = Duration::from_millis(20);
        let client = options(service).retry(short, short * 4).udp(at).unwrap();
        let done = client.call(
            procedure(ECHO),
            |to| to.string("once", 9),
            |from| from.string(9).map(str::to_owned),
        );
        assert_eq!(done.unwrap(), "once");
        let before = served.count();
        assert_eq!(
            client.call(procedure(COUNT), |_| Ok(()), a_word).unwrap(),
            before + 2
        );
    }
}

/// The results of a call of ECHO whose arguments are these, under privacy.
fn echo(socket: &UdpSocket, context: &Context, xid: Xid, arguments: &[u8]) -> Vec<u8> {
    let (call, privacy) = ((xid, procedure(ECHO)), Service::Privacy);
    let mut message = Vec::new();
    let sequence = context.call(call, privacy, arguments, &mut message);
    socket.send(&message).unwrap();
    let mut reply = [0; 1000];
    let len = socket.recv(&mut reply).unwrap();
    let mut from = Reader::new(&reply[..len]);
    let header = ReplyHeader::decode(&mut from).unwrap();
    let opened = context.open(&[sequence.unwrap()], privacy, &header, from.rest());
    opened.unwrap().unwrap().into_owned()
}

/// What a server may know a call by besides its arguments: its service and its context.
fn known_by(context: &Context) -> Vec<u8> {
    let (call, mut message) = ((Xid(0), procedure(ECHO)), Vec::new());
    let sealed = context.call(call, Service::Privacy, &[], &mut message);
    sealed.unwrap();
    let header = CallHeader::decode(&mut Reader::new(&message)).unwrap();
    header.credential.body[12..].to_vec()
}

/// A word that gives `head` with it the checksum of `like`, which is as long: each step of the
/// checksum can be taken back.
fn colliding(head: &[u8], like: &[u8]) -> Vec<u8> {
    let back = |sum: u64| (sum ^ (sum >> 32)).wrapping_mul(0xf1de_83e1_9937_733d);
    let before_last = |message: &[u8]| back(back(checksum(message)));
    let word = before_last(like) ^ before_last(&[head, &[0; 8]].concat());
    let word = word.to_le_bytes();
    assert_eq!(checksum(&[head, &word].concat()), checksum(like));
    word.to_vec()
}

#[test]
fn what_was_answered_to_one_is_told_to_nobody_else() {
    let served = Served::start("told", &[]);
    let mut raw = Raw::new(&served);
    let (ada, eve) = (raw.context_of(&ADA), raw.context_of(&EVE));
    // Whoever can send from the address of another, and hears what comes back.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(GUARD)).unwrap();
    socket.connect(served.udp).unwrap();
    let secret = b"what she alone may know!";
    assert_eq!(echo(&socket, &ada, Xid(1), secret), secret);
    let mine = [0; 16];
    let whole = |context: &Context, arguments: &[u8]| [&known_by(context), arguments].concat();
    for word in [
        colliding(&whole(&eve, &mine), &whole(&ada, secret)),
        colliding(&mine, secret),
    ] {
        let arguments = [&mine[..], &word].concat();
        assert_eq!(echo(&socket, &eve, Xid(1), &arguments), arguments);
    }
    // To oneself it is told again.
    assert_eq!(echo(&socket, &ada, Xid(1), secret), secret);
}

#[test]
fn a_mechanism_that_panics_ends_no_more_than_a_call() {
    let served = Served::start("panic", &[]);
    let mut raw = Raw::new(&served);
    let (ada, call) = (raw.context_of(&ADA), (Xid(1), procedure(ECHO)));
    let mut message = Vec::new();
    ada.call(call, Service::None, &[], &mut message).unwrap();
    let mut header = CallHeader::decode(&mut Reader::new(&message)).unwrap();
    header.verifier.body = PANIC.into();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(GUARD)).unwrap();
    socket.connect(served.udp).unwrap();
    socket.send(&to_vec(&header).unwrap()).unwrap();
    let mut reply = [0; 100];
    let len = socket.recv(&mut reply).unwrap();
    let reply = ReplyHeader::decode(&mut Reader::new(&reply[..len])).unwrap();
    let failed = ReplyBody::Accepted {
        verifier: OpaqueAuth::NONE,
        status: Accepted::SystemError,
    };
    assert_eq!(reply.body, failed);
    assert_eq!(
        echo(&socket, &ada, Xid(2), b"as well as ever!"),
        b"as well as ever!"
    );
}

/// Answers to the first tokens of a context are changed, `lies` of them.
fn forging(served: &Served, lies: u32) -> (std::net::SocketAddr, Arc<AtomicU32>) {
    let begun = Arc::new(AtomicU32::new(0));
    let (counted, mut steps, mut told) = (begun.clone(), Vec::new(), 0);
    let at = middle::udp(served.udp, move |way, message| {
        if way == Way::ToServer {
            if purpose(&message) == Purpose::Init {
                steps.push(message[..4].to_vec());
                counted.store(steps.len() as u32, SeqCst);
            }
            return vec![message];
        }
        if told == lies || !steps.contains(&message[..4].to_vec()) {
            return vec![message];
        }
        told += 1;
        // The last byte of the token; the true answer comes behind.
        let mut forged = message.clone();
        *forged.last_mut().unwrap() ^= 1;
        vec![forged, message]
    });
    (at, begun)
}

#[test]
fn a_forged_answer_to_a_token_makes_no_call_fail() {
    let served = Served::start("token", &[]);
    for lies in 0..3 {
        let (at, begun) = forging(&served, lies);
        let client = options(Service::Integrity).udp(at).unwrap();
        assert!(count(&client).is_ok(), "{lies}");
        assert_eq!(begun.load(SeqCst), lies + 1);
        let (at, _) = forging(&served, lies);
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        runtime.block_on(async {
            let client = options(Service::Integrity).udp_async(at).await.unwrap();
            let counted = client.call(procedure(COUNT), |_| Ok(()), a_word).await;
            assert!(counted.is_ok(), "{lies}");
        });
    }
    // Who has another key is told so, and soon.
    let (at, begun) = forging(&served, u32::MAX);
    let client = options(Service::Integrity).udp(at).unwrap();
    refused(count(&client), ErrorKind::Denied, None);
    assert_eq!(begun.load(SeqCst), 4);
}
