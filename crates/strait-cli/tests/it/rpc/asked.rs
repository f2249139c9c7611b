//! Registries that `strait rpc call`, `info` and `serve` ask.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use rustix::process::Signal;

use super::calls::Sums;
use crate::world::World;

#[test]
fn a_registry_knows_the_port() {
    let sums = Sums::new();
    let socket = sums.path("registry.sock");
    let socket = socket.to_str().unwrap();
    let mut registry = sums.world.start(&["rpc", "bind", "--socket", socket]);
    while !registry.hear().starts_with("local") {}
    let (server, _) = sums.serving(&["--registry", socket]);
    for host in ["127.0.0.1", "udp://127.0.0.1"] {
        let words = ["--registry", socket, "--program", "SUMS", "ADD", "1", "2"];
        assert_eq!(sums.good(host, &words), "3\n");
    }
    server.signal(Signal::TERM);
    server.finish();
    let said = sums.bad(125, "127.0.0.1", &["--registry", socket, "REST"]);
    assert!(said.contains("is not registered"), "{said}");
}

#[test]
fn a_silent_registry_is_waited_for_no_longer_than_an_answer() {
    let sums = Sums::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let asked = ["--registry", &host, "REST", "--timeout", "50ms"];
    let said = sums.bad(124, "localhost", &asked);
    let silent = format!("no registry (rpcbind) answers at {host}: ");
    assert!(said.contains(&silent) && said.contains("50ms"), "{said}");
    for words in ["", "-t ", "-l "] {
        let program = if words.is_empty() { "" } else { "700 1" };
        let ran = sums
            .world
            .strait(&format!("rpc info --timeout 50ms {words}{host} {program}"));
        assert_eq!((ran.status, &*ran.out), (Some(124), ""), "{ran:?}");
        assert!(ran.err.contains(&silent), "{ran:?}");
    }
}

#[test]
fn a_server_that_registers_heeds_signals() {
    let sums = Sums::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let registry = listener.local_addr().unwrap().to_string();
    let socket = sums.path("sums.sock");
    let words = ["rpc", "serve", &sums.file, "--echo", "--socket"];
    let more = [socket.to_str().unwrap(), "--registry", &registry];
    let server = sums.world.start(&[&words[..], &more].concat());
    let (mut silent, _) = listener.accept().unwrap();
    // It has asked.
    silent.read_exact(&mut [0]).unwrap();
    server.signal(Signal::INT);
    let ran = server.finish();
    assert_eq!(ran.status, None, "it died of the signal: {ran:?}");
    assert!(!socket.exists(), "its socket is gone");
}

#[test]
fn what_is_no_registry_is_said() {
    let sums = Sums::new();
    let (_server, hosts) = sums.serving(&["--echo"]);
    let program = hosts[0].as_str();
    for (line, status) in [
        (format!("rpc info {program}"), 1),
        (format!("rpc info -t {program} 700"), 1),
        (
            format!("rpc serve {} --echo --registry {program}", sums.file),
            125,
        ),
        ("rpc info 127.0.0.1:1".to_owned(), 1),
    ] {
        let ran = sums.world.strait(&line);
        assert_eq!((ran.status, &*ran.out), (Some(status), ""), "{ran:?}");
        let none = "no registry (rpcbind) answers at 127.0.0.1:";
        assert!(ran.err.contains(none), "{line}: {ran:?}");
    }
}

#[test]
fn a_program_without_versions_is_not_ready() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut call = [0; 44];
        stream.read_exact(&mut call).unwrap();
        // PROG_MISMATCH, from 5 to 2.
        let words = [1, 0, 0, 0, 2, 5, 2_u32].map(u32::to_be_bytes).concat();
        let mark = 0x8000_0000_u32 | 32;
        let reply = [&mark.to_be_bytes(), &call[4..8], &words].concat();
        stream.write_all(&reply).unwrap();
    });
    let ran = world.strait(&format!("rpc info -n {port} -t 127.0.0.1 700"));
    answering.join().unwrap();
    assert_eq!((ran.status, &*ran.out), (Some(1), ""), "{ran:?}");
    assert!(ran.err.contains("versions 5 to 2"), "{ran:?}");
}

#[test]
fn a_port_is_none_of_a_local_socket() {
    let world = World::new();
    let ran = world.strait("rpc info -n 5 -T local 127.0.0.1 700");
    assert_eq!((ran.status, &*ran.out), (Some(2), ""), "{ran:?}");
    assert!(ran.err.contains("local has no ports"), "{ran:?}");
}
