//! Those who change, repeat and invent.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use strait::ErrorKind;
use strait::rpc::onc::gss::Service;
use strait::rpc::onc::{AuthStat, Client, Procedure, Status, Xid};
use strait_wire::onc::auth::{Flavor, OpaqueAuth};
use strait_wire::onc::gss::client::{Context, Progress, Setup};
use strait_wire::onc::gss::{Credential, Purpose, SEQUENCE_MAX};
use strait_wire::onc::message::{Accepted, CallHeader, Denied, ReplyBody, ReplyHeader};
use strait_wire::xdr::{Decode, Reader, to_vec};

use super::mechanism::{ADA, EVE, Party};
use super::middle::{self, Way};
use super::{COUNT, PROGRAM, Served, count, echo, options, procedure, refused};
use crate::world::GUARD;

/// A client that writes its bytes itself.
pub(super) struct Raw {
    stream: TcpStream,
    xid: u32,
}

const NULL: Procedure = procedure(0);

impl Raw {
    pub(super) fn new(served: &Served) -> Self {
        let stream = TcpStream::connect(served.tcp).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(GUARD)).unwrap();
        Self { stream, xid: 0 }
    }

    fn next(&mut self) -> Xid {
        self.xid += 1;
        Xid(self.xid)
    }

    fn send(&mut self, message: &[u8]) {
        let mark = 0x8000_0000 | message.len() as u32;
        let record = [&mark.to_be_bytes(), message].concat();
        self.stream.write_all(&record).unwrap();
    }

    fn reply(&mut self) -> Vec<u8> {
        let mut mark = [0; 4];
        self.stream.read_exact(&mut mark).unwrap();
        let mut reply = vec![0; (u32::from_be_bytes(mark) & 0x7fff_ffff) as usize];
        self.stream.read_exact(&mut reply).unwrap();
        reply
    }

    /// The reply to a call without protection of its body.
    fn ask(&mut self, message: &[u8]) -> (Xid, ReplyBody<'static>, Vec<u8>) {
        self.send(message);
        let reply = self.reply();
        let mut from = Reader::new(&reply);
        let header = ReplyHeader::decode(&mut from).unwrap();
        let body = match header.body {
            ReplyBody::Accepted { verifier, status } => ReplyBody::Accepted {
                verifier: verifier.into_owned(),
                status,
            },
            ReplyBody::Denied(denied) => ReplyBody::Denied(denied),
        };
        (header.xid, body, from.rest().to_vec())
    }

    /// A call that carries a token.
    pub(super) fn token(&mut self, setup: &Setup, token: &[u8]) -> (OpaqueAuth<'static>, Vec<u8>) {
        let header = CallHeader {
            xid: self.next(),
            procedure: NULL,
            credential: setup.credential().unwrap(),
            verifier: OpaqueAuth::NONE,
        };
        let mut message = to_vec(&header).unwrap();
        let mut to = strait_wire::xdr::Writer::new(&mut message);
        Setup::arguments(token, &mut to).unwrap();
        match self.ask(&message) {
            (_, ReplyBody::Accepted { verifier, .. }, results) => (verifier, results),
            (_, denied, _) => panic!("{denied:?}"),
        }
    }

    fn context(&mut self) -> Context {
        self.context_of(&ADA)
    }

    pub(super) fn context_of(&mut self, who: &Party) -> Context {
        let (mut setup, mut token) = Setup::begin(who, Service::None).unwrap();
        loop {
            let (verifier, results) = self.token(&setup, &token);
            match setup.receive(&verifier, &results).unwrap() {
                Progress::Send(next, answer) => (setup, token) = (next, answer),
                Progress::Ready(context) => return context,
            }
        }
    }

    fn call(&mut self, context: &Context, number: u32) -> Vec<u8> {
        let (call, mut message) = ((self.next(), procedure(number)), Vec::new());
        context
            .call(call, Service::None, &[], &mut message)
            .unwrap();
        message
    }

    /// Why the server turns the message away.
    #[track_caller]
    fn denied(&mut self, message: &[u8]) -> AuthStat {
        match self.ask(message).1 {
            ReplyBody::Denied(Denied::Auth(why)) => why,
            other => panic!("{other:?}"),
        }
    }
}

/// What a call is for.
pub(super) fn purpose(message: &[u8]) -> Purpose {
    let header = CallHeader::decode(&mut Reader::new(message)).unwrap();
    Credential::parse(&header.credential.body).unwrap().purpose
}

/// The same call with another credential. Its verifier is not that one's.
fn with_credential(message: &[u8], change: impl FnOnce(&mut Credential<'_>)) -> Vec<u8> {
    let mut from = Reader::new(message);
    let mut header = CallHeader::decode(&mut from).unwrap();
    let body = header.credential.body.into_owned();
    let mut credential = Credential::parse(&body).unwrap();
    change(&mut credential);
    header.credential = credential.to_auth().unwrap();
    [&to_vec(&header).unwrap()[..], from.rest()].concat()
}

#[test]
fn a_changed_call_is_denied_and_not_done() {
    let served = Served::start("changed", &[]);
    let mut raw = Raw::new(&served);
    let context = raw.context();
    let message = raw.call(&context, COUNT);
    // The procedure, the number, the last byte of the checksum.
    let end = message.len() - 1;
    for at in [23, end] {
        let mut changed = message.clone();
        changed[at] ^= 2;
        assert_eq!(
            raw.denied(&changed),
            AuthStat::GSS_CREDENTIAL_PROBLEM,
            "{at}"
        );
    }
    let higher = with_credential(&message, |credential| credential.sequence += 1000);
    assert_eq!(raw.denied(&higher), AuthStat::GSS_CREDENTIAL_PROBLEM);
    let endless = with_credential(&message, |credential| {
        credential.sequence = SEQUENCE_MAX + 1
    });
    assert_eq!(raw.denied(&endless), AuthStat::GSS_CONTEXT_PROBLEM);
    let stolen = with_credential(&message, |credential| {
        credential.handle = [9; 16][..].into()
    });
    assert_eq!(raw.denied(&stolen), AuthStat::GSS_CREDENTIAL_PROBLEM);
    let strange = with_credential(&message, |credential| credential.purpose = Purpose::Init);
    assert_eq!(raw.denied(&strange), AuthStat::BAD_CREDENTIAL);
    // None of them has moved the window: the call itself is taken.
    let (_, body, results) = raw.ask(&message);
    let done = ReplyBody::Accepted {
        verifier: verifier(&body),
        status: Accepted::Success,
    };
    assert_eq!((body, &results[..]), (done, &1_u32.to_be_bytes()[..]));
    assert_eq!(served.count(), 1);
}

fn verifier(body: &ReplyBody<'static>) -> OpaqueAuth<'static> {
    match body {
        ReplyBody::Accepted { verifier, .. } => {
            assert_eq!(verifier.flavor, Flavor::GSS);
            verifier.clone()
        }
        ReplyBody::Denied(denied) => panic!("{denied}"),
    }
}

#[test]
fn a_call_that_comes_again_is_dropped_without_a_word() {
    let served = Served::start("again", &[]);
    let mut raw = Raw::new(&served);
    let context = raw.context();
    let first = raw.call(&context, COUNT);
    let (xid, body, _) = raw.ask(&first);
    verifier(&body);
    raw.send(&first);
    raw.send(&first);
    let second = raw.call(&context, COUNT);
    let (next, _, results) = raw.ask(&second);
    assert_eq!(
        (next, results),
        (Xid(xid.0 + 1), 2_u32.to_be_bytes().to_vec())
    );
    // Below the window.
    for _ in 0..200 {
        let call = raw.call(&context, 0);
        raw.ask(&call);
    }
    raw.send(&first);
    let last = raw.call(&context, COUNT);
    let (_, _, results) = raw.ask(&last);
    assert_eq!(results, 3_u32.to_be_bytes());
}

#[test]
fn a_context_ends_by_its_own_clients_word_only() {
    let served = Served::start("destroy", &[]);
    let mut raw = Raw::new(&served);
    let context = raw.context();
    let mut destroy = Vec::new();
    let xid = raw.next();
    context.destroy(xid, (PROGRAM, 1), &mut destroy).unwrap();
    let mut forged = destroy.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(raw.denied(&forged), AuthStat::GSS_CREDENTIAL_PROBLEM);
    let call = raw.call(&context, COUNT);
    verifier(&raw.ask(&call).1);
    verifier(&raw.ask(&destroy).1);
    let call = raw.call(&context, COUNT);
    assert_eq!(raw.denied(&call), AuthStat::GSS_CREDENTIAL_PROBLEM);
    assert_eq!(raw.denied(&destroy), AuthStat::GSS_CREDENTIAL_PROBLEM);
    assert_eq!(served.count(), 1);
}

#[test]
fn thousands_of_contexts_that_nobody_finishes_cost_little_and_stop_nobody() {
    let mut served = Served::start("unfinished", &[]);
    let mut raw = Raw::new(&served);
    let honest = options(Service::Privacy).tcp(served.tcp).unwrap();
    assert_eq!(count(&honest).unwrap(), 1);
    let mut first = None;
    for _ in 0..2000 {
        let (setup, token) = Setup::begin(&ADA, Service::None).unwrap();
        let (verifier, results) = raw.token(&setup, &token);
        first.get_or_insert((setup, verifier, results));
    }
    // The oldest has made way: its next token finds nothing.
    let (setup, verifier, results) = first.unwrap();
    let Progress::Send(setup, token) = setup.receive(&verifier, &results).unwrap() else {
        panic!("it takes three tokens");
    };
    let (verifier, results) = raw.token(&setup, &token);
    let why = setup.receive(&verifier, &results).unwrap_err();
    assert!(why.to_string().contains("GSS_S_NO_CONTEXT"), "{why}");
    assert_eq!(count(&honest).unwrap(), 2);
    raw.context();
    let peak: u64 = served.peer.ask("memory").parse().unwrap();
    assert!(peak < 64 << 10, "{peak} kB");
}

#[test]
fn nobody_s_contexts_make_way_for_anothers_many() {
    let served = Served::start("fair", &["four contexts"]);
    let mut raw = Raw::new(&served);
    let ada = raw.context();
    for _ in 0..20 {
        raw.context_of(&EVE);
    }
    let call = raw.call(&ada, COUNT);
    verifier(&raw.ask(&call).1);
    // Of one's own the idlest makes way.
    let others: Vec<_> = (0..4).map(|_| raw.context()).collect();
    let call = raw.call(&ada, COUNT);
    assert_eq!(raw.denied(&call), AuthStat::GSS_CREDENTIAL_PROBLEM);
    let call = raw.call(&others[3], COUNT);
    verifier(&raw.ask(&call).1);
}

/// The reply with another body, or another verifier.
pub(super) fn with_reply(
    message: &[u8],
    verifier: Option<OpaqueAuth<'_>>,
    rest: Option<&[u8]>,
) -> Vec<u8> {
    let mut from = Reader::new(message);
    let mut header = ReplyHeader::decode(&mut from).unwrap();
    if let (ReplyBody::Accepted { verifier: old, .. }, Some(new)) = (&mut header.body, verifier) {
        *old = new;
    }
    [&to_vec(&header).unwrap()[..], rest.unwrap_or(from.rest())].concat()
}

/// A client whose replies are changed from the one on that is the first of a call.
fn lied_to(
    served: &Served,
    service: Service,
    mut lie: impl FnMut(Vec<u8>) -> Vec<u8> + Send + 'static,
) -> Client {
    // Two are answered while the context is made.
    let mut replies = 0;
    let at = middle::tcp(served.tcp, move |way, message| {
        replies += u32::from(way == Way::ToClient);
        match way {
            Way::ToClient if replies > 2 => vec![lie(message)],
            _ => vec![message],
        }
    });
    options(service).tcp(at).unwrap()
}

#[test]
fn a_reply_that_does_not_prove_itself_is_an_error() {
    let served = Served::start("lies", &[]);
    let bytes = b"results!";
    for service in super::SERVICES {
        let honest = lied_to(&served, service, |message| message);
        assert_eq!(echo(&honest, bytes).unwrap(), bytes);
        let unsigned = lied_to(&served, service, |message| {
            with_reply(&message, Some(OpaqueAuth::NONE), None)
        });
        refused(echo(&unsigned, bytes), ErrorKind::Broken, None);
        let changed = lied_to(&served, service, |mut message| {
            message[24] ^= 1;
            message
        });
        refused(echo(&changed, bytes), ErrorKind::Broken, None);
        // The proof of one call with another: the reply before, under this one's number.
        let mut before: Option<Vec<u8>> = None;
        let swapped = lied_to(&served, service, move |message| {
            let old = before.get_or_insert_with(|| message.clone());
            [&message[..4], &old[4..]].concat()
        });
        assert_eq!(echo(&swapped, bytes).unwrap(), bytes);
        refused(echo(&swapped, bytes), ErrorKind::Broken, None);
    }
    for service in [Service::Integrity, Service::Privacy] {
        let bare = lied_to(&served, service, |message| {
            let plain = [&8_u32.to_be_bytes()[..], b"anything"].concat();
            with_reply(&message, None, Some(&plain))
        });
        refused(echo(&bare, bytes), ErrorKind::Broken, None);
        let changed = lied_to(&served, service, |mut message| {
            *message.last_mut().unwrap() ^= 1;
            message
        });
        refused(echo(&changed, bytes), ErrorKind::Broken, None);
    }
}

#[test]
fn nobody_between_them_reads_what_is_private() {
    let served = Served::start("private", &[]);
    let secret = b"a secret of sixteen words";
    for (service, is_seen) in [(Service::Integrity, true), (Service::Privacy, false)] {
        let seen = Arc::new(AtomicU32::new(0));
        let counted = seen.clone();
        let at = middle::tcp(served.tcp, move |_, message| {
            let found = message.windows(secret.len()).any(|part| part == secret);
            counted.fetch_add(found.into(), SeqCst);
            vec![message]
        });
        let client = options(service).tcp(at).unwrap();
        assert_eq!(echo(&client, secret).unwrap(), secret);
        assert_eq!(
            seen.load(SeqCst) == 2,
            is_seen,
            "call and reply with {service:?}"
        );
    }
}

#[test]
fn arguments_that_were_changed_on_the_way_are_garbage() {
    let served = Served::start("garbage", &[]);
    for service in [Service::Integrity, Service::Privacy] {
        let mut calls = 0;
        let at = middle::tcp(served.tcp, move |way, mut message| {
            calls += u32::from(way == Way::ToServer);
            if way == Way::ToServer && calls > 2 {
                *message.last_mut().unwrap() ^= 1;
            }
            vec![message]
        });
        let client = options(service).tcp(at).unwrap();
        let garbage = Some(Status::GarbageArguments);
        refused(echo(&client, b"arguments"), ErrorKind::Refused, garbage);
    }
}

#[test]
fn a_denied_context_is_made_anew_once_for_a_call_and_no_more() {
    let served = Served::start("once", &[]);
    let made = Arc::new(AtomicU32::new(0));
    let counted = made.clone();
    let at = middle::tcp(served.tcp, move |way, message| {
        match way {
            Way::ToServer => {
                counted.fetch_add((purpose(&message) == Purpose::Init).into(), SeqCst);
                // A handle that nobody has.
                let is_call = purpose(&message) == Purpose::Data;
                let lost = |credential: &mut Credential<'_>| credential.handle = [0; 16][..].into();
                vec![if is_call {
                    with_credential(&message, lost)
                } else {
                    message
                }]
            }
            Way::ToClient => vec![message],
        }
    });
    let client = options(Service::Integrity).tcp(at).unwrap();
    let lost = Some(Status::Auth(AuthStat::GSS_CREDENTIAL_PROBLEM));
    refused(count(&client), ErrorKind::Denied, lost);
    assert_eq!(made.load(SeqCst), 2);
    assert_eq!(served.count(), 0);
}
