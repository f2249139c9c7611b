//! Mechanisms that panic: that is told, and ends no more than a call.

use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use strait::rpc::onc::gss::{Fault, Initiator, Negotiation, SecurityContext, Service, Step};
use strait::rpc::onc::{Client, Pending};
use strait_wire::onc::auth::{Flavor, OpaqueAuth};
use strait_wire::onc::gss::Purpose;
use strait_wire::onc::gss::client::Setup;

use super::hostile::{Raw, purpose, with_reply};
use super::mechanism::{ADA, PANIC};
use super::middle::{self, Way};
use super::{COUNT, PROGRAM, Served, a_word, count, options, procedure};
use crate::peer::{Peer, say};
use crate::world::{GUARD, until};

#[test]
fn a_token_that_a_mechanism_panics_of_is_counted() {
    let mut served = Served::start("tokens", &[]);
    let mut raw = Raw::new(&served);
    let (setup, _) = Setup::begin(&ADA, Service::None).unwrap();
    let (verifier, results) = raw.token(&setup, PANIC);
    // SYSTEM_ERR: there are no results.
    assert_eq!((verifier, &results[..]), (OpaqueAuth::NONE, &[][..]));
    assert_eq!(served.peer.ask("panicked"), "1");
    assert_eq!(served.count(), 0);
}

/// Whole records that have come and are not read.
fn records(stream: &TcpStream) -> usize {
    let mut come = [0; 4096];
    let len = stream.peek(&mut come).unwrap();
    let mut rest = &come[..len];
    let mut count = 0;
    while let Some((mark, behind)) = rest.split_first_chunk() {
        let len = u32::from_be_bytes(*mark) & 0x7fff_ffff;
        let Some(next) = behind.get(len as usize..) else {
            break;
        };
        (count, rest) = (count + 1, next);
    }
    count
}

/// Two calls in flight, whose replies have come together: of the second the mechanism panics.
fn answered(served: &Served) -> (Client, [Pending<u32>; 2]) {
    let (mut calls, mut first) = (Vec::new(), None);
    let at = middle::tcp(served.tcp, move |way, message| {
        let xid = message[..4].to_vec();
        match way {
            Way::ToServer if purpose(&message) == Purpose::Data => calls.push(xid),
            Way::ToClient if calls.first() == Some(&xid) => {
                first = Some(message);
                return vec![];
            }
            Way::ToClient if calls.get(1) == Some(&xid) => {
                let verifier = OpaqueAuth {
                    flavor: Flavor::GSS,
                    body: PANIC.into(),
                };
                let second = with_reply(&message, Some(verifier), None);
                return first.take().into_iter().chain([second]).collect();
            }
            _ => {}
        }
        vec![message]
    });
    let stream = TcpStream::connect(at).unwrap();
    let seen = stream.try_clone().unwrap();
    let client = options(Service::Integrity).stream(stream).unwrap();
    let calls = [(); 2].map(|()| client.begin(procedure(COUNT), |_| Ok(()), a_word).unwrap());
    until("both have come", || records(&seen) == 2);
    (client, calls)
}

/// It panics, and no more than that.
fn panics(call: impl FnOnce() -> strait::Result<u32> + Send + 'static) {
    let call = thread::spawn(call);
    until("it has ended", || call.is_finished());
    assert!(call.join().is_err(), "it does not panic");
}

#[test]
fn who_reads_what_a_mechanism_panics_of_lets_others_read_on() {
    let served = Served::start("reads", &["window of four"]);
    let (client, [first, second]) = answered(&served);
    assert_eq!(first.wait().unwrap(), 1);
    panics(|| second.wait());
    assert_eq!(count(&client).unwrap(), 3);
    // Who waits for room in the window reads too.
    let (client, [first, _second]) = answered(&served);
    assert_eq!(first.wait().unwrap(), 4);
    let begin = |_| client.begin(procedure(COUNT), |_| Ok(()), a_word).unwrap();
    let calls: Vec<_> = (0..3).map(begin).collect();
    let another = client.clone();
    panics(move || count(&another));
    assert_eq!(count(&client).unwrap(), 9);
    drop(calls);
}

/// Panics of every checksum that it is to make.
struct Mute(Arc<dyn SecurityContext>);

impl SecurityContext for Mute {
    fn mic(&self, _: &[u8]) -> Result<Vec<u8>, Fault> {
        panic!("asked to, of every checksum");
    }

    fn verify(&self, message: &[u8], mic: &[u8]) -> Result<(), Fault> {
        self.0.verify(message, mic)
    }

    fn wrap(&self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        self.0.wrap(message)
    }

    fn unwrap(&self, wrapped: &[u8]) -> Result<Vec<u8>, Fault> {
        self.0.unwrap(wrapped)
    }

    fn peer(&self) -> &str {
        self.0.peer()
    }
}

struct Muting(Box<dyn Negotiation>);

impl Negotiation for Muting {
    fn step(&mut self, token: &[u8]) -> Result<Step, Fault> {
        Ok(match self.0.step(token)? {
            Step::Done { token, context } => {
                let context = Arc::new(Mute(context));
                Step::Done { token, context }
            }
            further => further,
        })
    }
}

struct Mutes;

impl Initiator for Mutes {
    fn begin(&self) -> Result<Box<dyn Negotiation>, Fault> {
        Ok(Box::new(Muting(Initiator::begin(&ADA)?)))
    }
}

/// Calls with that mechanism, and lets the client go while it panics.
pub(super) fn call(arguments: &[String]) {
    let at: SocketAddr = arguments[0].parse().unwrap();
    let options = || Client::options().timeout(GUARD).gss(Mutes, Service::None);
    let called = catch_unwind(AssertUnwindSafe(|| {
        let client = options().tcp(at).unwrap();
        client.null(PROGRAM, 1)
    }));
    assert!(called.is_err());
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let called = runtime.block_on(async {
        tokio::spawn(async move {
            let client = options().tcp_async(at).await.unwrap();
            client.null(PROGRAM, 1).await
        })
        .await
    });
    assert!(called.is_err());
    say("as well as ever");
}

#[test]
fn a_client_that_goes_while_its_mechanism_panics_ends_no_process() {
    let served = Served::start("goes", &[]);
    let mut peer = Peer::start("rpc.onc.gss.panics", &[&served.tcp.to_string()]);
    assert_eq!(peer.hear().as_deref(), Some("as well as ever"));
}
