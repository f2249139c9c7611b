//! Clients who do not keep to the protocol, or die in the middle of it.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use strait::rpc::onc::auth::OpaqueAuth;
use strait::rpc::onc::{AuthStat, Status, status};

use super::super::server::{Client as Bare, call, record, results, words};
use super::pki::Pki;
use super::*;
use crate::peer::{Peer, say, told};
use crate::world::until;

const AUTH_TLS: u32 = 7;

/// The question for TLS.
fn question(xid: u32) -> Vec<u8> {
    words(&[xid, 0, 2, PROGRAM, 1, 0, AUTH_TLS, 0, 0, 0])
}

fn granted(xid: u32) -> Vec<u8> {
    let head = words(&[xid, 1, 0, 0, 8]);
    [&head[..], b"STARTTLS", &[0; 4]].concat()
}

/// Beginning of a handshake that never goes on: a record of 512 bytes, of which 100 have come.
fn begun() -> Vec<u8> {
    [&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 89]].concat()
}

/// Asks for TLS, and begins its handshake.
fn shaking(address: &str) -> TcpStream {
    let mut client = Bare::over(TcpStream::connect(address).unwrap());
    client.stream.write_all(&record(&question(1))).unwrap();
    assert_eq!(client.reply(), granted(1));
    client.stream.write_all(&begun()).unwrap();
    client.stream
}

/// Begins a handshake and waits for its end.
pub(crate) fn half(arguments: &[String]) {
    let stream = shaking(&arguments[0]);
    say("half");
    told();
    drop(stream);
}

/// Begins as many as asked for, which then stand still or crawl.
pub(crate) fn halves(arguments: &[String]) {
    let count = arguments[1].parse().unwrap();
    let mut streams: Vec<_> = (0..count).map(|_| shaking(&arguments[0])).collect();
    say("begun");
    if arguments.get(2).is_none() {
        told();
        return;
    }
    loop {
        for stream in &mut streams {
            // One that was closed crawls no more.
            let _ = stream.write_all(&[7]);
        }
        // sleep: for as long as it is killed, slower than anybody is.
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn calls_in_clear_text_are_too_weak_where_tls_is_required() {
    let pki = Pki::new("weak");
    let served = serving(&pki, ",required", &[]);
    let too_weak = |xid| words(&[xid, 1, 1, 1, 5]);
    for number in [0, procedure::ECHO] {
        let mut client = served.client();
        let xid = client.send(number, b"data");
        assert_eq!(client.reply(), too_weak(xid));
        // It may think better of it.
        client.stream.write_all(&record(&question(9))).unwrap();
        assert_eq!(client.reply(), granted(9));
    }
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    datagrams.set_read_timeout(Some(GUARD)).unwrap();
    let mut reply = [0; 100];
    datagrams
        .send_to(&call(3, procedure::ECHO, &[]), served.udp)
        .unwrap();
    let len = datagrams.recv(&mut reply).unwrap();
    assert_eq!(reply[..len], too_weak(3));
    let clear = strait::rpc::onc::Client::options().timeout(GUARD);
    let client = clear.clone().tcp(served.tcp).unwrap();
    let error = who(&client).unwrap_err();
    assert_eq!(status(&error), Some(Status::Auth(AuthStat::TOO_WEAK)));
    assert!(
        error
            .to_string()
            .ends_with("denied (AUTH_ERROR (AUTH_TOOWEAK))"),
        "{error}"
    );
    // The kernel says who calls from here.
    assert_eq!(who(&clear.local(&served.path).unwrap()).unwrap(), 2);
}

#[test]
fn the_question_for_tls_is_asked_as_the_rfc_says() {
    let pki = Pki::new("question");
    let served = serving(&pki, "", &[]);
    let header = |procedure, credential: &[u32], verifier: &[u32]| {
        let head = words(&[5, 0, 2, PROGRAM, 1, procedure]);
        [head, words(credential), words(verifier)].concat()
    };
    let auth_error = |why| words(&[5, 1, 1, 1, why]);
    let mut client = served.client();
    for (call, reply) in [
        // AUTH_BADCRED: another procedure; a body.
        (
            header(procedure::ECHO, &[AUTH_TLS, 0], &[0, 0]),
            auth_error(1),
        ),
        (header(0, &[AUTH_TLS, 4, 7], &[0, 0]), auth_error(1)),
        // AUTH_BADVERF.
        (header(0, &[AUTH_TLS, 0], &[0, 4, 7]), auth_error(3)),
        // PROG_UNAVAIL.
        (
            words(&[5, 0, 2, 7, 1, 0, AUTH_TLS, 0, 0, 0]),
            words(&[5, 1, 0, 0, 0, 1]),
        ),
    ] {
        client.stream.write_all(&record(&call)).unwrap();
        assert_eq!(client.reply(), reply);
    }
    // Nothing of that has begun anything.
    assert_eq!(client.call(procedure::ECHO, b"well"), b"well");
    // AUTH_REJECTEDCRED: where there is no TLS.
    let without = Served::start(&[]);
    let mut client = without.client();
    client.stream.write_all(&record(&question(5))).unwrap();
    assert_eq!(client.reply(), auth_error(2));
    // AUTH_BADCRED: within it.
    let asks = options(&pki).credential(OpaqueAuth::TLS);
    let client = asks.tcp(served.tcp).unwrap();
    for number in [0, procedure::ECHO] {
        let asked = client.call(super::number(number), |_| Ok(()), |_| Ok(()));
        let bad = Status::Auth(AuthStat::BAD_CREDENTIAL);
        assert_eq!(status(&asked.unwrap_err()), Some(bad), "{number}");
    }
}

#[test]
fn nothing_in_clear_text_behind_the_question_is_taken_for_more() {
    let pki = Pki::new("injected");
    let mut served = serving(&pki, "", &[]);
    // In one write, whole and in part.
    let count = record(&call(2, procedure::COUNT, &[]));
    for cut in [1, 4, count.len()] {
        let mut client = served.client();
        let both = [&record(&question(1)), &count[..cut]].concat();
        client.stream.write_all(&both).unwrap();
        assert!(client.is_closed());
        assert!(served.has_told("TLS: more came in clear text behind the question for it"));
    }
    // After the word for TLS.
    let mut client = served.client();
    client.stream.write_all(&record(&question(1))).unwrap();
    assert_eq!(client.reply(), granted(1));
    client.stream.write_all(&count).unwrap();
    assert!(client.is_closed());
    until("the operator is told", || {
        served.has_told("TLS: what the client sends is not TLS")
    });
    // While a call is in progress, whose reply would go in clear text.
    let mut client = served.client();
    client.send(procedure::WAIT, &words(&[1]));
    until("it is in progress", || served.count("in-flight") == 1);
    client.stream.write_all(&record(&question(2))).unwrap();
    assert!(client.is_closed());
    assert!(served.has_told("TLS: it was asked for while calls were in progress"));
    let mut client = served.client();
    client.call(procedure::OPEN, &words(&[1]));
    assert_eq!(
        client.number(procedure::COUNT, 0),
        1,
        "none was carried out"
    );
}

#[test]
fn clients_killed_in_the_middle_of_a_handshake_leave_nothing() {
    let pki = Pki::new("killed");
    let mut served = serving(&pki, "", &[]);
    let address = served.tcp.to_string();
    for _ in 0..20 {
        let mut client = Peer::start("rpc.onc.tls.half", &[&address]);
        assert_eq!(client.hear().unwrap(), "half");
        client.kill();
    }
    until("they are gone", || served.count("connections") == 0);
    assert_eq!(served.count("records"), 0, "their memory is given back");
    assert!(served.has_told("TLS: the handshake was cut: the client has closed it"));
    let client = options(&pki).tcp(served.tcp).unwrap();
    assert_eq!(who(&client).unwrap(), 3);
}

#[test]
fn a_handshake_that_stands_still_is_given_up() {
    let pki = Pki::new("slow");
    let mut served = serving(&pki, "", &["record_time=300"]);
    let address = served.tcp.to_string();
    let mut client = Bare::over(shaking(&address));
    assert!(client.is_closed());
    let said = "TLS: its handshake was begun and not finished in time";
    until("the operator is told", || served.has_told(said));
    // One who was granted TLS and says nothing is no better.
    let mut client = served.client();
    client.stream.write_all(&record(&question(1))).unwrap();
    assert_eq!(client.reply(), granted(1));
    assert!(client.is_closed());
}

#[test]
fn a_thousand_half_handshakes_stall_nobody() {
    let pki = Pki::new("thousand");
    let mut served = serving(&pki, "", &[]);
    let address = served.tcp.to_string();
    let mut honest = served.client();
    let within = options(&pki).tcp(served.tcp).unwrap();
    let mut attackers = Peer::start("rpc.onc.tls.halves", &[&address, "1000"]);
    assert_eq!(attackers.hear().unwrap(), "begun");
    for number in 0..100_u32 {
        let number = number.to_be_bytes();
        assert_eq!(honest.call(procedure::ECHO, &number), number);
        assert_eq!(echo(&within, &number).unwrap(), number);
    }
    // Who comes now gets in too: those that stand still make way.
    let client = options(&pki).tcp(served.tcp).unwrap();
    let data = pattern(1 << 20);
    assert!(echo(&client, &data).unwrap() == data);
    let (records, peak) = (served.count("records"), served.count("VmHWM:"));
    println!("{records} bytes of records; {peak} kB at most");
    assert!(records <= 24 << 20, "{records}");
    assert!(peak < 64 << 10, "{peak} kB");
}

#[test]
fn handshakes_that_crawl_keep_nobody_out() {
    let pki = Pki::new("crawl");
    let served = serving(&pki, "", &[]);
    let address = served.tcp.to_string();
    let mut attackers = Peer::start("rpc.onc.tls.halves", &[&address, "300", "crawl"]);
    assert_eq!(attackers.hear().unwrap(), "begun");
    let client = options(&pki).tcp(served.tcp).unwrap();
    assert_eq!(who(&client).unwrap(), 3);
}

#[test]
fn what_was_handed_out_in_clear_text_counts_for_nothing_within_tls() {
    let pki = Pki::new("short");
    let served = serving(&pki, "", &["short=100"]);
    // AUTH_SYS of user 0, in clear text; who stands between may have said so.
    let header = words(&[1, 0, 2, PROGRAM, 1, procedure::SAID]);
    let sys = words(&[1, 20, 0, 0, 0, 0, 0, 0, 0]);
    let mut bare = served.client();
    bare.stream
        .write_all(&record(&[header, sys].concat()))
        .unwrap();
    let reply = bare.reply();
    assert_eq!(reply[..20], words(&[1, 1, 0, 2, 24]));
    let short = OpaqueAuth::short(reply[28..44].to_vec());
    let within = options(&pki).credential(short).stream(bare.stream).unwrap();
    let said = within.call(number(procedure::SAID), |_| Ok(()), |_| Ok(()));
    let rejected = Status::Auth(AuthStat::REJECTED_CREDENTIAL);
    assert_eq!(status(&said.unwrap_err()), Some(rejected));
}

#[test]
fn junk_within_a_handshake_ends_it() {
    let pki = Pki::new("junk");
    let mut served = serving(&pki, "", &[]);
    for junk in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        // A handshake message of 16 MiB, and an alert in place of a first message.
        [&[22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..], &[0; 16_380]].concat(),
        vec![21, 3, 3, 0, 2, 2, 40],
        [[23, 3, 3, 0, 1, 0]; 100].concat(),
    ] {
        let mut client = served.client();
        client.stream.write_all(&record(&question(1))).unwrap();
        assert_eq!(client.reply(), granted(1));
        // It may be refused before it has all gone.
        let _ = client.stream.write_all(&junk);
        let mut rest = Vec::new();
        let _ = client.stream.read_to_end(&mut rest);
        assert!(rest.len() <= 7, "an alert at most: {rest:?}");
    }
    assert_eq!(served.count("panicked"), 0);
    assert_eq!(served.count("records"), 0);
    let mut bare = served.client();
    let xid = bare.send(procedure::ECHO, b"well");
    assert_eq!(results(&bare.reply(), xid), b"well");
}
