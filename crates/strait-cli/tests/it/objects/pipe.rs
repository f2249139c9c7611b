//! `strait pipe`: servers and clients, each a process of its own.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::PathBuf;

use rustix::fs::Mode;
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, send, socket_with,
};
use strait_sys::{memfd, pass};

use crate::world::{Running, World};

pub(super) fn listening(world: &World, arguments: &[&str]) -> Running {
    let words = [&["pipe", "listen", "Log", "--ready"], arguments].concat();
    let mut server = world.start(&words);
    assert!(server.hear().ends_with(r"\\.\pipe\Log"));
    server
}

#[test]
fn standard_input_of_one_is_standard_output_of_the_other() {
    let world = World::new();
    let mut server = listening(&world, &[]);
    // It sends nothing back.
    server.close();
    let data = b"abcdefghijklmnopqrstuvw".repeat(1_000);
    let client = world.fed("pipe connect log", &data);
    assert_eq!((client.status, &*client.err), (Some(0), ""));
    let ran = server.finish();
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    assert!(ran.out.as_bytes() == data, "{} bytes", ran.out.len());
}

#[test]
fn a_line_is_a_message_and_a_message_a_line() {
    let world = World::new();
    let server = listening(&world, &["--message", "--keep"]);
    assert_eq!(
        world.fed("pipe connect log", b"one\n\nthree").status,
        Some(0)
    );
    assert_eq!(world.fed("pipe connect log", b"four\n").status, Some(0));
    let mut server = server;
    for line in ["one", "", "three", "four"] {
        assert_eq!(server.hear(), line);
    }
    assert_eq!(world.good("pipe ls"), "\\\\.\\pipe\\log\n");
    server.kill();
    drop(server);
    world.until("the name goes with the server", || {
        world.good("pipe ls").is_empty()
    });
}

#[test]
fn what_is_missing_or_busy_is_said_with_its_cure() {
    let world = World::new();
    let ran = world.strait("pipe connect log");
    assert_eq!(ran.status, Some(125));
    assert!(
        ran.err
            .contains("nobody serves \\\\.\\pipe\\log (`strait pipe listen log`"),
        "{ran:?}"
    );
    let waited = world.strait("pipe wait log --timeout 1ms");
    assert_eq!(
        waited.status,
        Some(125),
        "there is none to wait for: {waited:?}"
    );
    let _server = listening(&world, &[]);
    assert_eq!(world.strait("pipe wait log --timeout 20s").status, Some(0));
    let second = world.strait("pipe listen log");
    assert!(
        second.err.contains("another process serves it"),
        "{second:?}"
    );
    let none = world.strait("pipe listen other --timeout 10ms");
    assert_eq!(none.status, Some(124));
    assert!(none.err.contains("no client came in time"), "{none:?}");
    let call = world.strait("pipe call log x");
    assert!(call.err.contains("is a pipe of bytes"), "{call:?}");
}

#[test]
fn a_call_that_nobody_answers_ends_in_time() {
    let world = World::new();
    let mut server = listening(&world, &["--message"]);
    let call = world.strait("pipe call log request --timeout 2s");
    assert_eq!(call.status, Some(124), "{call:?}");
    assert!(call.err.contains("no reply came in time"), "{call:?}");
    assert_eq!(server.hear(), "request");
}

/// A greeting as a client's is, with memory that says that more was sent than there is.
fn lying_hello() -> (Vec<u8>, OwnedFd) {
    const PAGE: u64 = 4096;
    const RING: u64 = 1 << 20;
    let mode = Mode::RUSR | Mode::WUSR;
    let memory = memfd::create_sparse(c"liar", PAGE + RING, 0, mode).unwrap();
    let file = File::from(memory);
    // The head of the ring.
    file.write_all_at(&u64::MAX.to_le_bytes(), 0).unwrap();
    let mut hello = b"STRAITCH".to_vec();
    // Version and verb, flags, the role of a pipe, a code; ring, blocks, door, and what follows.
    hello.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    hello.extend(0x4550_4950_u32.to_le_bytes());
    hello.extend([0; 4]);
    hello.extend(RING.to_le_bytes());
    hello.extend([0; 16]);
    hello.extend(16_u32.to_le_bytes());
    hello.extend([0; 12]);
    // Both ways; the ring once more.
    hello.extend([1, 3, 1, 0, 0, 0, 0, 0]);
    hello.extend(RING.to_le_bytes());
    let looks = memfd::reopen_read_only(file.as_fd()).unwrap();
    (hello, looks)
}

#[test]
fn a_server_of_many_goes_on_beside_one_that_lies() {
    let world = World::new();
    let mut server = listening(&world, &["--message", "--keep"]);
    let entries = std::fs::read_dir(world.space.path()).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path());
    let is_socket =
        |path: &PathBuf| std::fs::metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let address = SocketAddrUnix::new(paths.find(is_socket).unwrap()).unwrap();
    let guest = || {
        let kind = SocketType::SEQPACKET;
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, kind, flags, None).unwrap();
        connect(&socket, &address).unwrap();
        socket
    };
    let mut present = Vec::new();
    for round in 0..3_u8 {
        // One that stalls, one that talks nonsense, one that is understood and then lies.
        present.push(guest());
        let babbling = guest();
        let len = 1 + 100 * usize::from(round);
        let _ = send(&babbling, &vec![round; len], SendFlags::NOSIGNAL);
        present.push(babbling);
        let liar = guest();
        let (hello, memory) = lying_hello();
        pass::send(liar.as_fd(), &hello, &[memory.as_fd()]).unwrap();
        present.push(liar);
        let line = format!("honest {round}\n");
        let ran = world.fed("pipe connect log --timeout 20s", line.as_bytes());
        assert_eq!((ran.status, &*ran.err), (Some(0), ""), "{ran:?}");
        assert_eq!(server.hear(), line.trim_end());
    }
    server.kill();
    let said = server.finish().err;
    assert_eq!(said.matches("broken by a peer").count(), 3, "{said}");
}
