//! What leaves: each message in one piece, and at once.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::Command;

use rustix::net::getpeername;
use rustix::net::sockopt::tcp_nodelay;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use strait::rpc::onc::{self, Procedure, Server};

use super::{PROGRAM, Served, procedure, record, words};
use crate::world::{alone, skip};

const CALLS: u64 = 10;

/// Segments with data that have come to that end of a connection, as the kernel counts them;
/// `None` without ss(8).
fn segments(here: SocketAddr, there: SocketAddr) -> Option<u64> {
    let [here, there] = [here, there].map(|at| at.to_string());
    let output = Command::new("ss")
        .args(["-tinH", "src", &here, "dst", &there])
        .output()
        .ok()?;
    let told = String::from_utf8(output.stdout).unwrap();
    let (_, count) = told.split_once("data_segs_in:")?;
    count.split_whitespace().next()?.parse().ok()
}

#[test]
fn a_reply_is_one_segment_with_its_mark() {
    let test = "a_reply_is_one_segment_with_its_mark";
    let served = Served::start(&[]);
    let mut client = served.client();
    let here = client.stream.local_addr().unwrap();
    if segments(here, served.tcp).is_none() {
        return skip(test, "no ss here (Debian's iproute2)");
    }
    let mut before = 0;
    for len in [0, 1000, 30_000] {
        for _ in 0..CALLS {
            assert_eq!(client.call(procedure::ECHO, &vec![7; len]).len(), len);
        }
        let come = segments(here, served.tcp).unwrap();
        assert_eq!(come - before, CALLS, "of {len} bytes");
        before = come;
    }
}

/// Answers what comes, and says in how many segments it came.
fn counting(listener: &TcpListener) -> Option<u64> {
    let (mut stream, there) = listener.accept().unwrap();
    stream.set_nodelay(true).unwrap();
    for _ in 0..CALLS {
        let mut mark = [0; 4];
        stream.read_exact(&mut mark).unwrap();
        let mut call = vec![0; (u32::from_be_bytes(mark) & 0x7fff_ffff) as usize];
        stream.read_exact(&mut call).unwrap();
        let reply = [&call[..4], &words(&[1, 0, 0, 0, 0])].concat();
        stream.write_all(&record(&reply)).unwrap();
    }
    segments(stream.local_addr().unwrap(), there)
}

const ECHO: Procedure = Procedure {
    program: PROGRAM,
    version: 1,
    number: procedure::ECHO,
};

#[tokio::test]
async fn a_call_is_one_segment_with_its_mark() {
    let test = "a_call_is_one_segment_with_its_mark";
    for len in [0, 1000, 30_000] {
        for tasks in [false, true] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let at = listener.local_addr().unwrap();
            let counted = tokio::task::spawn_blocking(move || counting(&listener));
            let bytes = vec![7; len];
            if tasks {
                let client = onc::Client::options().tcp_async(at).await.unwrap();
                for _ in 0..CALLS {
                    let call = client.call(ECHO, |to| to.opaque(&bytes, u32::MAX), |_| Ok(()));
                    call.await.unwrap();
                }
            } else {
                let calls = move || {
                    let client = onc::Client::options().tcp(at).unwrap();
                    for _ in 0..CALLS {
                        let call = client.call(ECHO, |to| to.opaque(&bytes, u32::MAX), |_| Ok(()));
                        call.unwrap();
                    }
                };
                tokio::task::spawn_blocking(calls).await.unwrap();
            }
            let Some(come) = counted.await.unwrap() else {
                return skip(test, "no ss here (Debian's iproute2)");
            };
            assert_eq!(come, CALLS, "of {len} bytes, tasks: {tasks}");
        }
    }
}

/// Whether each end of a connection of TCP that this process has sends at once.
fn all_at_once() -> Vec<bool> {
    let itself = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc/self/fd").unwrap() {
        let number = entry
            .unwrap()
            .file_name()
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        let Ok(copy) = pidfd_getfd(&itself, number, PidfdGetfdFlags::empty()) else {
            continue;
        };
        let there = getpeername(&copy).ok().flatten();
        if there.is_some_and(|there| SocketAddr::try_from(there).is_ok()) {
            all.push(tcp_nodelay(&copy).unwrap());
        }
    }
    all
}

fn nobody_waits() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let pair = || {
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (ours, listener.accept().unwrap().0)
    };
    let [(first, taken), (second, taken_too)] = [pair(), pair()];
    assert_eq!(all_at_once(), [false; 4], "nobody has asked for it");
    let mut server = Server::new();
    let at = runtime
        .block_on(server.tcp("127.0.0.1:0".parse().unwrap()))
        .unwrap();
    let running = runtime.block_on(async {
        server.serve_stream(taken).unwrap();
        server.start()
    });
    runtime.block_on(running.serve_stream(taken_too)).unwrap();
    let options = onc::Client::options;
    let clients = [
        options().tcp(at).unwrap(),
        options().stream(OwnedFd::from(first)).unwrap(),
    ];
    let tasks = runtime.block_on(async {
        let tcp = options().tcp_async(at).await.unwrap();
        [
            tcp,
            options().stream_async(OwnedFd::from(second)).await.unwrap(),
        ]
    });
    // No program is there, which the server says once it has the connection.
    for client in &clients {
        client.null(PROGRAM, 1).unwrap_err();
    }
    for client in &tasks {
        runtime.block_on(client.null(PROGRAM, 1)).unwrap_err();
    }
    assert_eq!(all_at_once(), [true; 8]);
}

#[test]
fn no_message_waits_for_an_acknowledgement_of_another() {
    let test = "rpc::onc::server::packets::no_message_waits_for_an_acknowledgement_of_another";
    alone(test, nobody_waits);
}
