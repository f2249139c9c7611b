//! What calls are answered, and in which order.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;

use strait::ErrorKind;
use strait::rpc::onc::{Procedure, Server};

use super::{Client, PROGRAM, Served, call, procedure, record, results, words};
use crate::peer;
use crate::world::{GUARD, refused, until};

/// RFC 5531 section 9, as bytes.
#[test]
fn every_kind_of_answer() {
    let served = Served::start(&[]);
    let mut client = served.client();
    let long = [&words(&[0, 404])[..], &[0; 404]].concat();
    let longest = [&words(&[0, 400])[..], &[0; 400]].concat();
    let named = |len: u32| {
        let name = vec![0; len.next_multiple_of(4) as usize];
        let body = [
            &words(&[0, len])[..],
            &name,
            &words(&[7, 7, 16]),
            &words(&[1; 16]),
        ]
        .concat();
        [&words(&[1, body.len() as u32])[..], &body].concat()
    };
    let gids = |count: u32| {
        let body = [vec![0, 0, 7, 7, count], vec![1; count as usize]].concat();
        let body = words(&body);
        [&words(&[1, body.len() as u32])[..], &body].concat()
    };
    let none = words(&[0, 0]);
    let head = |rpc, program, version, procedure| words(&[7, 0, rpc, program, version, procedure]);
    let with = |credential: &[u8]| [&head(2, PROGRAM, 1, 0)[..], credential, &none].concat();
    let plain = |program, version, procedure| {
        [&head(2, program, version, procedure)[..], &none, &none].concat()
    };
    let accepted = |status: &[u32]| [&[7, 1, 0, 0, 0], status].concat();
    let cases: &[(&str, Vec<u8>, Vec<u32>)] = &[
        ("procedure 0", plain(PROGRAM, 1, 0), accepted(&[0])),
        ("program", plain(PROGRAM + 1, 1, 0), accepted(&[1])),
        (
            "version in the hole",
            plain(PROGRAM, 2, 0),
            accepted(&[2, 1, 3]),
        ),
        ("version above", plain(PROGRAM, 4, 1), accepted(&[2, 1, 3])),
        ("procedure", plain(PROGRAM, 3, 99), accepted(&[3])),
        (
            "arguments",
            plain(PROGRAM, 1, procedure::OPEN),
            accepted(&[4]),
        ),
        ("system", plain(PROGRAM, 1, procedure::FAIL), accepted(&[5])),
        (
            "version of RPC",
            [head(3, PROGRAM, 1, 0), words(&[0; 4])].concat(),
            vec![7, 1, 1, 0, 2, 2],
        ),
        ("long credential", with(&long), vec![7, 1, 1, 1, 1]),
        ("longest credential", with(&longest), accepted(&[0])),
        ("17 groups", with(&gids(17)), vec![7, 1, 1, 1, 1]),
        ("16 groups", with(&gids(16)), accepted(&[0])),
        ("long name", with(&named(256)), vec![7, 1, 1, 1, 1]),
        ("longest name", with(&named(255)), accepted(&[0])),
        (
            "long verifier",
            [&head(2, PROGRAM, 1, 0)[..], &none, &long].concat(),
            vec![7, 1, 1, 1, 3],
        ),
        (
            "unknown flavor",
            with(&words(&[390_000, 0])),
            vec![7, 1, 1, 1, 2],
        ),
    ];
    for (what, message, expected) in cases {
        use std::io::Write;
        client.stream.write_all(&record(message)).unwrap();
        assert_eq!(client.reply(), words(expected), "{what}");
    }
}

#[test]
fn a_weak_credential_is_refused_but_for_procedure_0() {
    let served = Served::start(&["require=1"]);
    let mut client = served.client();
    assert!(client.call(0, &[]).is_empty());
    let xid = client.send(procedure::COUNT, &[]);
    assert_eq!(client.reply(), words(&[xid, 1, 1, 1, 5]));
}

#[test]
fn replies_go_when_they_are_ready() {
    let served = Served::start(&[]);
    let mut client = served.client();
    let waiting = client.send(procedure::WAIT, &words(&[1]));
    assert_eq!(
        client.call(procedure::ECHO, b"meanwhile---"),
        b"meanwhile---"
    );
    let opening = client.send(procedure::OPEN, &words(&[1]));
    let mut replies = [client.reply(), client.reply()];
    replies.sort();
    results(&replies[0], waiting);
    results(&replies[1], opening);
}

#[test]
fn no_more_calls_of_one_client_are_begun_than_allowed() {
    let mut served = Served::start(&[]);
    let mut client = served.client();
    let calls: Vec<u8> = (1..=300)
        .flat_map(|xid| record(&call(xid, procedure::WAIT, &words(&[2]))))
        .collect();
    std::io::Write::write_all(&mut client.stream, &calls).unwrap();
    until("256 are begun", || served.count("in-flight") == 256);
    // Beyond the bound nothing is read: also this would be answered at once.
    let mut other = served.client();
    assert_eq!(other.number(procedure::COUNT, 0), 1);
    assert_eq!(served.count("in-flight"), 256);
    other.call(procedure::OPEN, &words(&[2]));
    let mut xids: Vec<_> = (0..300).map(|_| client.reply()[..4].to_vec()).collect();
    xids.sort();
    assert_eq!(xids.concat(), words(&(1..=300).collect::<Vec<_>>()));
}

#[test]
fn a_handler_that_panics_harms_nobody() {
    let mut served = Served::start(&[]);
    let mut client = served.client();
    for procedure in [procedure::PANIC, procedure::PANIC_LATER] {
        let xid = client.send(procedure, &[]);
        assert_eq!(client.reply(), words(&[xid, 1, 0, 0, 0, 5]));
        assert_eq!(client.call(procedure::ECHO, b"next"), b"next");
    }
    assert_eq!(served.count("events panicked"), 2);
}

#[test]
fn large_calls_and_replies_are_whole() {
    let served = Served::start(&[]);
    let mut client = served.client();
    let large: Vec<u8> = (0..1 << 20)
        .map(|at: u32| at.wrapping_mul(31) as u8)
        .collect();
    let xid = 1;
    // The client reads while it writes, or both sides would wait.
    let mut writer = client.stream.try_clone().unwrap();
    let calls = record(&call(xid, procedure::ECHO, &large)).repeat(4);
    let writing = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &calls));
    for _ in 0..4 {
        assert!(results(&client.reply(), xid) == large);
    }
    writing.join().unwrap().unwrap();
}

#[test]
fn a_local_caller_is_known_by_the_kernel() {
    let mut served = Served::start(&[]);
    let mode = std::fs::metadata(&served.path)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o666);
    let stream = UnixStream::connect(&served.path).unwrap();
    stream.set_read_timeout(Some(GUARD)).unwrap();
    let mut client = Client::over(stream);
    let uid = rustix::process::getuid().as_raw();
    assert_eq!(client.call(procedure::WHO, &[]), words(&[2, uid, 0]));
    let port = served.tcp.port().into();
    assert_eq!(
        served.client().call(procedure::WHO, &[]),
        words(&[0, 0, port])
    );
    assert_eq!(served.peer.ask("stop 10000"), "cut 0");
    assert!(!served.path.exists(), "the file goes with the server");
}

#[test]
fn a_call_that_comes_by_a_new_connection_is_known_where_that_is_asked_for() {
    let served = Served::start(&["streams=1"]);
    // The first call of each client has XID 1.
    let first = served.client().call(procedure::COUNT, &[]);
    assert_eq!(served.client().call(procedure::COUNT, &[]), first);
    let mut third = served.client();
    third.send(0, &[]);
    third.reply();
    assert_eq!(third.call(procedure::COUNT, &[]), words(&[2]));
}

#[test]
fn an_existing_stream_is_served_and_nothing_else() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(GUARD)).unwrap();
    let client = std::thread::spawn(move || {
        let mut client = Client::over(ours);
        let xid = client.send(0, &[]);
        let reply = client.reply();
        // It stays connected until it has been counted.
        (client, reply, xid)
    });
    runtime.block_on(async {
        let mut server = Server::new();
        let (single, datagrams) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let place = strait::Namespace::temporary().unwrap();
        let listener = UnixListener::bind(place.path().join("listens")).unwrap();
        for wrong in [
            single.into(),
            listener.into(),
            std::net::TcpListener::bind("127.0.0.1:0").unwrap().into(),
            std::fs::File::open("/dev/null").unwrap().into(),
        ] {
            let wrong: std::os::fd::OwnedFd = wrong;
            refused(server.serve_stream(wrong), ErrorKind::WrongKind);
        }
        drop(datagrams);
        server.serve_stream(theirs).unwrap();
        let running = server.start();
        let answered = tokio::task::spawn_blocking(|| client.join().unwrap());
        let (_client, reply, xid) = answered.await.unwrap();
        assert_eq!(reply, words(&[xid, 1, 0, 0, 0, 1]), "no program is here");
        assert_eq!(running.stats().connections, 1);
    });
}

/// As a command that is started with pipes, on this machine or through a shell on another.
#[test]
fn two_pipes_of_another_process_are_served() {
    let start = || {
        let mut command = peer::command("rpc.onc.server.pipes", &[]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let (asking, answers) = (child.stdin.take().unwrap(), child.stderr.take().unwrap());
        let client = strait::rpc::onc::Client::options().timeout(GUARD);
        (child, client.halves(answers, asking))
    };
    let echo = |client: &strait::rpc::onc::Client, bytes: &[u8]| {
        let procedure = Procedure {
            program: PROGRAM,
            version: 1,
            number: procedure::ECHO,
        };
        let max = u32::MAX;
        client.call(
            procedure,
            |to| to.opaque(bytes, max),
            |from| from.opaque(max).map(<[u8]>::to_vec),
        )
    };
    let (mut child, client) = start();
    // More than the pipes hold, so that both sides wait for room.
    for len in [0, 5, 1 << 20, 3] {
        let bytes = vec![len as u8; len];
        assert_eq!(echo(&client, &bytes).unwrap(), bytes, "{len}");
    }
    let who = Procedure {
        program: PROGRAM,
        version: 1,
        number: procedure::WHO,
    };
    let kind = client.call(
        who,
        |_| Ok(()),
        |from| {
            let kind = from.unsigned()?;
            from.unsigned()?;
            from.unsigned()?;
            Ok(kind)
        },
    );
    assert_eq!(kind.unwrap(), 4);
    drop(client);
    assert!(child.wait().unwrap().success(), "it ends with its client");

    let (mut child, client) = start();
    assert_eq!(echo(&client, b"there").unwrap(), b"there");
    child.kill().unwrap();
    child.wait().unwrap();
    refused(echo(&client, b"gone"), ErrorKind::PeerGone);
}

#[test]
fn what_is_no_pair_of_pipes_is_not_served() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let mut server = Server::new();
        let (read, write) = std::io::pipe().unwrap();
        refused(server.serve_pipes(write, read), ErrorKind::WrongKind);
        let (read, write) = UnixStream::pair().unwrap();
        refused(server.serve_pipes(read, write), ErrorKind::WrongKind);
    });
}
