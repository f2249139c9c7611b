//! OpenSSL as the other party, as Python's module `ssl` has it.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::thread;

use strait::ErrorKind;
use strait::rpc::onc::Tls;

use super::pki::{self, NAME, Pki};
use super::*;
use crate::peer::Peer;
use crate::world::{refused, skip, until};

/// Whether it is there.
fn has_python(test: &str) -> bool {
    let probe = Command::new("python3")
        .args(["-c", "import ssl; assert ssl.HAS_TLSv1_3"])
        .stderr(Stdio::null())
        .status();
    let has = probe.is_ok_and(|status| status.success());
    if !has {
        skip(test, "there is no python3 whose ssl has TLS 1.3");
    }
    has
}

/// What a client of Python's says.
fn client(served: &Served, pki: &Pki, mode: &str, more: &[&str]) -> String {
    let port = served.tcp.port().to_string();
    let mut command = Command::new("python3");
    command.args(["-c", include_str!("client.py"), &port]);
    command.arg(pki.roots_file()).arg(mode).args(more);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    let said = said.strip_prefix("@ ");
    said.unwrap_or_else(|| panic!("{errors}")).trim_end().into()
}

/// A server of Python's, and where it listens.
fn server(pki: &Pki, mode: &str) -> (Peer, SocketAddr) {
    let path = pki.issue("python", &pki::SOUND);
    let mut command = Command::new("python3");
    command.args(["-c", include_str!("server.py"), &path, mode]);
    command.arg(pki.roots_file());
    let mut peer = Peer::of(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let port: u16 = peer.hear().unwrap().parse().unwrap();
    (peer, ([127, 0, 0, 1], port).into())
}

#[test]
fn a_client_of_python_calls_our_server() {
    if !has_python("a_client_of_python_calls_our_server") {
        return;
    }
    let pki = Pki::new("python-client");
    let served = serving(&pki, ",required,likes", &[]);
    let said = client(&served, &pki, "calls", &[]);
    assert_eq!(said, "TLSv1.3 sunrpc True 3 False");
    let path = pki.issue("client", &pki::SOUND);
    let said = client(&served, &pki, "certificate", &[&path]);
    assert_eq!(said, "TLSv1.3 sunrpc True 3 True");
}

#[test]
fn clients_of_python_are_refused_that_speak_something_else() {
    if !has_python("clients_of_python_are_refused_that_speak_something_else") {
        return;
    }
    let pki = Pki::new("python-others");
    let mut served = serving(&pki, "", &[]);
    let alpn = "TLS: the client does not name the protocol sunrpc in its handshake (ALPN)";
    for (mode, hears, operator) in [
        ("none", "no application protocol", alpn),
        ("other", "no application protocol", alpn),
        (
            "1.2",
            "protocol version",
            "TLS: the client does not speak TLS 1.3",
        ),
    ] {
        let said = client(&served, &pki, mode, &[]);
        assert!(said.contains(hears), "{mode}: {said}");
        until("the operator is told", || served.has_told(operator));
    }
    let all = serving(&pki, ",all", &[]);
    let said = client(&all, &pki, "calls", &[]);
    assert!(said.contains("certificate required"), "{said}");
    // Of a client that trusts somebody else.
    let other = Pki::new("python-stranger");
    let said = client(&served, &other, "calls", &[]);
    assert!(said.contains("CERTIFICATE_VERIFY_FAILED"), "{said}");
}

#[test]
fn our_client_calls_a_server_of_python() {
    if !has_python("our_client_calls_a_server_of_python") {
        return;
    }
    let pki = Pki::new("python-server");
    let (_server, at) = server(&pki, "calls");
    let ours = options(&pki).tcp(at).unwrap();
    ours.null(PROGRAM, 1).unwrap();
    let data = pattern(1 << 20);
    assert!(echo(&ours, &data).unwrap() == data);
    thread::scope(|scope| {
        for me in 0..8_usize {
            let ours = &ours;
            scope.spawn(move || {
                for round in 0..50 {
                    let data = pattern(me * 1000 + round);
                    assert!(echo(ours, &data).unwrap() == data);
                }
            });
        }
    });
    let (_server, at) = server(&pki, "certificate");
    let tls = Tls::required(NAME, &pki.roots()).unwrap();
    let path = pki.issue("client", &pki::SOUND);
    let shows = with(&tls.identity(&pki::identity(&path)).unwrap());
    assert_eq!(echo(&shows.tcp(at).unwrap(), b"mine").unwrap(), b"mine");
    let without = options(&pki).tcp(at).and_then(|ours| echo(&ours, b"none"));
    let said = refused(without, ErrorKind::Denied).to_string();
    let words = "the server requires a certificate of this side";
    assert!(said.contains(words), "{said}");
}

#[test]
fn servers_of_python_are_refused_that_speak_something_else() {
    if !has_python("servers_of_python_are_refused_that_speak_something_else") {
        return;
    }
    let pki = Pki::new("python-liars");
    for (mode, words) in [
        (
            "none",
            "the server does not name the protocol sunrpc in its handshake (ALPN)",
        ),
        // OpenSSL goes on without a protocol where none is shared.
        (
            "other",
            "the server does not name the protocol sunrpc in its handshake (ALPN)",
        ),
        ("1.2", "the server does not speak TLS 1.3"),
    ] {
        let (_server, at) = server(&pki, mode);
        let error = refused(options(&pki).tcp(at), ErrorKind::Unsupported);
        assert!(error.to_string().contains(words), "{mode}: {error}");
    }
}
