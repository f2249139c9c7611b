//! Calls that go well.

use std::path::Path;
use std::thread;
use std::time::Duration;

use strait::ErrorKind;
use strait::rpc::onc::tls::Roots;
use strait::rpc::onc::{Client, Tls};

use super::pki::{self, NAME, Pki};
use super::*;
use crate::peer::{self, Peer, say};
use crate::world::{refused, until};

#[test]
fn calls_of_any_size_come_back_and_the_handler_knows_of_tls() {
    let pki = Pki::new("sizes");
    let mut served = serving(&pki, ",required", &[]);
    let client = options(&pki).tcp(served.tcp).unwrap();
    assert!(client.is_encrypted());
    client.null(PROGRAM, 1).unwrap();
    assert_eq!(who(&client).unwrap(), 3);
    for len in [
        0,
        1,
        3,
        4,
        4096,
        16_384,
        65_536,
        65_537,
        1 << 20,
        4_194_200,
        5,
    ] {
        let data = pattern(len);
        assert!(echo(&client, &data).unwrap() == data, "{len}");
    }
    assert_eq!(served.count("dropped"), 0);
    drop(client);
    until("it is gone", || served.count("connections") == 0);
    assert_eq!(served.count("dropped"), 0, "it has ended in good order");
    assert_eq!(served.count("records"), 0, "no memory is left behind");
}

#[test]
fn threads_share_a_connection_within_tls() {
    let pki = Pki::new("threads");
    let served = serving(&pki, "", &[]);
    let client = options(&pki).tcp(served.tcp).unwrap();
    thread::scope(|scope| {
        for me in 0..8_usize {
            let client = client.clone();
            scope.spawn(move || {
                for round in 0..100 {
                    let data = pattern(me * 977 + round);
                    assert!(echo(&client, &data).unwrap() == data);
                }
            });
        }
    });
}

#[test]
fn large_calls_from_one_thread_do_not_wait_for_their_replies_to_be_read() {
    let pki = Pki::new("large");
    let served = serving(&pki, "", &[]);
    let client = options(&pki).tcp(served.tcp).unwrap();
    let data = pattern(1 << 20);
    let calls: Vec<_> = (0..32)
        .map(|_| {
            client
                .begin(number(procedure::ECHO), bytes(&data), some_bytes)
                .unwrap()
        })
        .collect();
    for call in calls {
        assert!(call.wait().unwrap() == data);
    }
    client
        .batch(|batch| {
            (0..100).try_for_each(|_| batch.call_oneway(number(procedure::COUNT), |_| Ok(())))
        })
        .unwrap();
    let count = client.call(number(procedure::COUNT), |_| Ok(()), |from| from.unsigned());
    assert_eq!(count.unwrap(), 101);
}

#[test]
fn tasks_call_within_tls() {
    let pki = Pki::new("tasks");
    let served = serving(&pki, ",required", &[]);
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let client = options(&pki).tcp_async(served.tcp).await.unwrap();
        assert!(client.is_encrypted());
        let tasks: Vec<_> = (0..64_usize)
            .map(|me| {
                let client = client.clone();
                tokio::spawn(async move {
                    for round in 0..20 {
                        let data = pattern(if round == 7 { 1 << 20 } else { me * 301 });
                        let echo = number(procedure::ECHO);
                        let answer = client.call(echo, bytes(&data), some_bytes).await;
                        assert!(answer.unwrap() == data);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn the_handler_gets_the_clients_certificate() {
    let pki = Pki::new("certificate");
    let path = pki.issue("client", &pki::SOUND);
    let der = std::fs::read(format!("{path}.der")).unwrap();
    let shows = Tls::required(NAME, &pki.roots()).unwrap();
    let shows = with(&shows.identity(&pki::identity(&path)).unwrap());
    let certificate =
        |client: &Client| client.call(number(procedure::CERTIFICATE), |_| Ok(()), some_bytes);
    let all = serving(&pki, ",all", &[]);
    let client = shows.clone().tcp(all.tcp).unwrap();
    assert_eq!(certificate(&client).unwrap(), der);
    // One that is longer than what a handshake has without asking.
    let names = (0..400).map(|at| &*format!("name-{at}.test").leak());
    let names = names.collect::<Vec<_>>().leak();
    let long = pki.issue(
        "long",
        &pki::Wish {
            names,
            ..pki::SOUND
        },
    );
    let long_der = std::fs::read(format!("{long}.der")).unwrap();
    assert!(long_der.len() > 4096);
    let tls = Tls::required(NAME, &pki.roots()).unwrap();
    let client = with(&tls.identity(&pki::identity(&long)).unwrap());
    let client = client.tcp(all.tcp).unwrap();
    assert!(certificate(&client).unwrap() == long_der);
    let likes = serving(&pki, ",likes", &[]);
    let client = shows.tcp(likes.tcp).unwrap();
    assert_eq!(certificate(&client).unwrap(), der);
    let client = options(&pki).tcp(likes.tcp).unwrap();
    assert_eq!(
        certificate(&client).unwrap(),
        [],
        "who shows none is served"
    );
}

/// Calls a server whom the issuers vouch for that this machine trusts.
pub(crate) fn trusting(arguments: &[String]) {
    let called = Roots::system().and_then(|roots| {
        let tls = Tls::required(NAME, &roots)?;
        who(&with(&tls).tcp(&*arguments[0])?)
    });
    say(called.map_or_else(|error| error.to_string(), |kind| format!("{kind}")));
}

#[test]
fn whom_the_machine_trusts_its_environment_says() {
    let (pki, other) = (Pki::new("system"), Pki::new("system-other"));
    let served = serving(&pki, "", &[]);
    let called = |file: &Path| {
        let mut command = peer::command("rpc.onc.tls.system", &[&served.tcp.to_string()]);
        Peer::of(command.env("SSL_CERT_FILE", file)).hear().unwrap()
    };
    let file = |name: &str, parts: &[&str]| {
        let path = pki.place.join(name);
        std::fs::write(&path, parts.concat()).unwrap();
        path
    };
    let text = |pki: &Pki| std::fs::read_to_string(pki.roots_file()).unwrap();
    let odd = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let all = file("all.pem", &[odd, &text(&other), &text(&pki)]);
    assert_eq!(
        called(&all),
        "3",
        "one that is not understood is passed over"
    );
    for (path, words) in [
        (other.roots_file(), "issued by none of the trusted roots"),
        (
            file("odd.pem", &[odd]),
            "it has no certificate that can be used",
        ),
        (file("empty.pem", &[]), "it has no certificate (PEM)"),
        ("/no/such.pem".into(), "read /no/such.pem: "),
    ] {
        let said = called(&path);
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn an_address_is_a_name_too() {
    let pki = Pki::new("address");
    let served = serving(&pki, "", &[]);
    let tls = Tls::required("127.0.0.1", &pki.roots()).unwrap();
    let client = with(&tls).tcp(served.tcp).unwrap();
    assert_eq!(who(&client).unwrap(), 3);
}

#[test]
fn a_stream_that_exists_carries_tls() {
    let pki = Pki::new("stream");
    let served = serving(&pki, "", &[]);
    let stream = std::net::TcpStream::connect(served.tcp).unwrap();
    stream.set_nonblocking(true).unwrap();
    let client = options(&pki).stream(stream).unwrap();
    assert_eq!(who(&client).unwrap(), 3);
    let over_udp = refused(options(&pki).udp(served.udp), ErrorKind::Unsupported);
    assert_eq!(
        over_udp.to_string(),
        "start TLS with UDP: not supported here (TLS goes over TCP and other stream sockets only)"
    );
    let halves = options(&pki).halves(std::io::empty(), std::io::sink());
    refused(who(&halves), ErrorKind::Unsupported);
}

#[test]
fn connecting_anew_is_within_tls_again() {
    let pki = Pki::new("anew");
    let served = serving(&pki, "", &["idle=50"]);
    let client = options(&pki).tcp(served.tcp).unwrap();
    until("the server hangs up", || {
        who(&client).is_err() || {
            // sleep: nothing tells that the server would have hung up on who is idle.
            thread::sleep(Duration::from_millis(100));
            false
        }
    });
    refused(who(&client), ErrorKind::PeerGone);
    client.reconnect().unwrap();
    assert!(client.is_encrypted());
    assert_eq!(who(&client).unwrap(), 3);
}

#[test]
fn tls_if_offered_is_clear_text_only_where_it_is_not() {
    let pki = Pki::new("offered");
    let tls = Tls::if_offered(NAME, &pki.roots()).unwrap();
    let served = serving(&pki, "", &[]);
    let client = with(&tls).tcp(served.tcp).unwrap();
    assert!(client.is_encrypted());
    assert_eq!(who(&client).unwrap(), 3);
    let clear = Served::start(&[]);
    let client = with(&tls).tcp(clear.tcp).unwrap();
    assert!(!client.is_encrypted());
    assert_eq!(who(&client).unwrap(), 0);
    // Offered, and then not sound: that is no reason for clear text.
    let tls = Tls::if_offered("other.test", &pki.roots()).unwrap();
    refused(with(&tls).tcp(served.tcp), ErrorKind::Denied);
}

#[test]
fn a_server_that_stops_answers_what_is_in_progress() {
    let pki = Pki::new("stop");
    let mut served = serving(&pki, "", &[]);
    let client = options(&pki).tcp(served.tcp).unwrap();
    let wait = |to: &mut strait::rpc::onc::xdr::Writer<'_>| {
        to.unsigned(1);
        Ok(())
    };
    let call = client
        .begin(number(procedure::WAIT), wait, |_| Ok(()))
        .unwrap();
    until("it is in progress", || served.count("in-flight") == 1);
    served.peer.tell("stop 10000");
    // Opens the gate.
    served.peer.tell("now");
    call.wait().unwrap();
    assert_eq!(served.peer.hear().unwrap(), "cut 0");
    refused(who(&client), ErrorKind::PeerGone);
}
