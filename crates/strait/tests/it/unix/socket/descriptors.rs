//! Descriptors on their way: none leaks and none is lost unsaid, whatever comes.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::fs::fstat;
use rustix::io::{FdFlags, fcntl_getfd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use strait::ErrorKind;
use strait::unix::socket::{
    Address, Ancillary, Credentials, Datagram, Kind, Listener, PassCredentials, PassProcess,
    PassRights, RIGHTS_MAX, Received, Seqpacket, Socket, Stream,
};

use super::unique;
use crate::peer::{Peer, command, say, told};
use crate::world::{GUARD, Random, USERS, alone, as_member, no_users, refused, skip};

fn open() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn file() -> File {
    File::open("/dev/null").unwrap()
}

fn send<K: Kind>(socket: &Socket<K>, fds: &[BorrowedFd<'_>]) -> strait::Result<usize> {
    socket.send_message(b"x", &Ancillary::descriptors(fds))
}

/// Receives a message with up to so many descriptors.
fn recv<K: Kind>(socket: &Socket<K>, max: usize) -> (usize, Received) {
    let mut beside = Received::new(max);
    let came = socket.recv_message(&mut [0; 8], &mut beside).unwrap();
    (came.len, beside)
}

#[test]
fn up_to_253_descriptors_arrive_and_254_are_refused() {
    fn both_ways<K: Kind>((a, b): (Socket<K>, Socket<K>)) {
        let before = open();
        let file = file();
        let many = vec![file.as_fd(); RIGHTS_MAX + 1];
        for count in [0, 1, 2, RIGHTS_MAX] {
            assert_eq!(send(&a, &many[..count]).unwrap(), 1);
            let (len, mut beside) = recv(&b, RIGHTS_MAX);
            let came = beside.descriptors().unwrap();
            assert_eq!((len, came.len(), beside.is_cut()), (1, count, false));
            for fd in &came {
                assert!(fcntl_getfd(fd).unwrap().contains(FdFlags::CLOEXEC));
                assert_eq!(fstat(fd).unwrap().st_ino, fstat(&file).unwrap().st_ino);
            }
            assert_eq!(open(), before + 1 + count);
        }
        refused(send(&a, &many), ErrorKind::InvalidInput);
        let nothing = b
            .try_recv_message(&mut [0; 8], &mut Received::new(0))
            .unwrap();
        assert!(nothing.is_none(), "nothing of it was sent");
        drop(file);
        assert_eq!(open(), before);
    }
    alone(
        "unix::socket::descriptors::up_to_253_descriptors_arrive_and_254_are_refused",
        || {
            both_ways(Stream::pair().unwrap());
            both_ways(Seqpacket::pair().unwrap());
            both_ways(Datagram::pair().unwrap());
            let (a, b) = Stream::pair().unwrap();
            let file = file();
            let bare = a.send_message(b"", &Ancillary::descriptors(&[file.as_fd()]));
            refused(bare, ErrorKind::InvalidInput);
            // A packet may be empty and carry them.
            let (c, d) = Seqpacket::pair().unwrap();
            c.send_message(b"", &Ancillary::descriptors(&[file.as_fd()]))
                .unwrap();
            let (len, mut beside) = recv(&d, 1);
            assert_eq!((len, beside.descriptors().unwrap().len()), (0, 1));
            c.send_message(b"", &Ancillary::descriptors(&[file.as_fd()]))
                .unwrap();
            assert!(!d.recv(&mut [0; 8]).unwrap().end, "and is not the end");
            drop(b);
        },
    );
}

#[test]
fn what_was_not_asked_for_is_closed_and_said() {
    alone(
        "unix::socket::descriptors::what_was_not_asked_for_is_closed_and_said",
        || {
            let (a, b) = Stream::pair().unwrap();
            let file = file();
            let before = open();
            for (sent, asked) in [(1, 0), (2, 1), (8, 7), (60, 0), (253, 1), (253, 252)] {
                send(&a, &vec![file.as_fd(); sent]).unwrap();
                let (len, mut beside) = recv(&b, asked);
                assert_eq!(len, 1, "the bytes are there");
                assert!(beside.is_cut());
                let error = refused(beside.descriptors(), ErrorKind::LimitExceeded);
                assert!(error.to_string().contains("more came"), "{error}");
                assert_eq!(beside.partial().len(), asked);
                assert_eq!(open(), before, "{sent} for {asked}");
                // Who reads only bytes gets only bytes.
                send(&a, &vec![file.as_fd(); sent]).unwrap();
                assert_eq!(b.read(&mut [0; 8]).unwrap(), 1);
                assert_eq!(open(), before);
            }
            // Never received: closed with the socket.
            send(&a, &[file.as_fd(), file.as_fd()]).unwrap();
            drop((a, b));
            assert_eq!(open(), before - 2);
        },
    );
}

#[test]
fn without_free_descriptors_those_that_came_are_kept_and_the_rest_is_said() {
    alone(
        "unix::socket::descriptors::\
         without_free_descriptors_those_that_came_are_kept_and_the_rest_is_said",
        || {
            let (a, b) = Seqpacket::pair().unwrap();
            let file = file();
            let before = open();
            let old = getrlimit(Resource::Nofile);
            let next = file.try_clone().unwrap().as_raw_fd();
            let next = u64::try_from(next).unwrap();
            for room in 0..=5 {
                send(&a, &[file.as_fd(); 4]).unwrap();
                let current = Some(next + room);
                setrlimit(Resource::Nofile, Rlimit { current, ..old }).unwrap();
                let looked = {
                    let mut beside = Received::new(4);
                    b.peek_message(&mut [0; 8], &mut beside).unwrap();
                    beside.is_cut()
                };
                let mut beside = Received::new(4);
                let came = b.recv_message(&mut [0; 8], &mut beside).unwrap();
                setrlimit(Resource::Nofile, old).unwrap();
                assert_eq!((came.len, came.end), (1, false));
                assert_eq!((looked, beside.is_cut()), (room < 4, room < 4));
                if room < 4 {
                    refused(beside.descriptors(), ErrorKind::Exhausted);
                }
                let kept = beside.partial().len();
                assert_eq!(kept as u64, room.min(4));
                assert_eq!(open(), before, "with room for {room}");
            }
            // A listener without room keeps the connection.
            let at = unique("room");
            let listener = Listener::listen(&at).unwrap();
            let client = Stream::connect(&at).unwrap();
            let current = Some(next);
            setrlimit(Resource::Nofile, Rlimit { current, ..old }).unwrap();
            let full: strait::Result<Stream> = listener.accept();
            setrlimit(Resource::Nofile, old).unwrap();
            refused(full, ErrorKind::Exhausted);
            client.write_all(b"still here").unwrap();
            assert_eq!(listener.accept().unwrap().read(&mut [0; 16]).unwrap(), 10);
        },
    );
}

#[test]
fn looking_opens_further_ones_and_takes_none() {
    alone(
        "unix::socket::descriptors::looking_opens_further_ones_and_takes_none",
        || {
            let (a, b) = Stream::pair().unwrap();
            let file = file();
            let before = open();
            send(&a, &[file.as_fd(); 3]).unwrap();
            let mut beside = Received::new(3);
            for _ in 0..5 {
                b.peek_message(&mut [0; 8], &mut beside).unwrap();
                assert_eq!(open(), before + 3, "the next look closes the last one's");
                assert_eq!(b.peek(&mut [0; 8]).unwrap(), 1);
            }
            let looked = beside.descriptors().unwrap();
            b.recv_message(&mut [0; 8], &mut beside).unwrap();
            let taken = beside.descriptors().unwrap();
            assert_eq!((looked.len(), taken.len(), open()), (3, 3, before + 6));
            drop((looked, taken));
            assert_eq!(open(), before);
        },
    );
}

#[test]
fn the_sender_comes_as_a_descriptor_if_there_is_room() {
    let name = "unix::socket::descriptors::the_sender_comes_as_a_descriptor_if_there_is_room";
    alone(name, || {
        let (a, b) = Seqpacket::pair().unwrap();
        if let Err(error) = b.set(PassProcess(true)) {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            return skip(
                "the sender as a descriptor",
                "SO_PASSPIDFD came with Linux 6.5",
            );
        }
        let mut beside = Received::new(0);
        a.send(b"one").unwrap();
        assert_eq!(b.recv_message(&mut [0; 8], &mut beside).unwrap().len, 3);
        let process = beside.process().unwrap();
        assert!(process.is_exact() && beside.process().is_none());
        let runs = strait::wait::any_for(&[&process], Duration::ZERO).unwrap();
        assert!(runs.is_none(), "it is this process");
        // Without room the bytes come all the same.
        let before = getrlimit(Resource::Nofile);
        let full = Rlimit {
            current: Some(3),
            maximum: before.maximum,
        };
        a.send(b"two").unwrap();
        setrlimit(Resource::Nofile, full).unwrap();
        let came = b.recv_message(&mut [0; 8], &mut beside);
        let process = beside.process();
        setrlimit(Resource::Nofile, before).unwrap();
        assert_eq!(came.unwrap().len, 3);
        assert!(process.is_none());
    });
}

#[test]
fn on_a_stream_descriptors_split_what_is_read() {
    let (a, b) = Stream::pair().unwrap();
    let file = file();
    a.write_all(b"before ").unwrap();
    a.send_message(b"with ", &Ancillary::descriptors(&[file.as_fd()]))
        .unwrap();
    a.write_all(b"after ").unwrap();
    a.send_message(b"with two", &Ancillary::descriptors(&[file.as_fd(); 2]))
        .unwrap();
    drop(a);
    let mut beside = Received::new(RIGHTS_MAX);
    let (mut text, mut counts) = (Vec::<u8>::new(), Vec::new());
    let mut buffer = [0; 64];
    loop {
        let came = b.recv_message(&mut buffer, &mut beside).unwrap();
        if came.end {
            break;
        }
        text.extend(&buffer[..came.len]);
        counts.push(beside.descriptors().unwrap().len());
    }
    assert_eq!(text, b"before with after with two");
    counts.retain(|count| *count > 0);
    assert_eq!(
        counts,
        [1, 2],
        "no read joins the descriptors of two messages"
    );
}

// ---- peers -------------------------------------------------------------------------------------

/// Sends messages of all kinds, as many as `args[1]` says, to `args[0]`.
pub(super) fn flood(args: &[String]) {
    let socket = Seqpacket::connect(&args[0].parse().unwrap()).unwrap();
    let mut random = Random::of_seed(args[2].parse().unwrap());
    let file = file();
    let own = Credentials {
        pid: std::process::id(),
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    };
    for _ in 0..args[1].parse::<usize>().unwrap() {
        let count = match random.below(4) {
            0 => 0,
            1 => RIGHTS_MAX,
            _ => random.below(RIGHTS_MAX),
        };
        let sockets = [file.as_fd(), socket.as_fd()];
        let fds = vec![sockets[random.below(2)]; count];
        let beside = Ancillary {
            descriptors: &fds,
            credentials: (random.below(2) == 0).then_some(own),
            to: None,
        };
        let bytes = vec![b'x'; random.below(300)];
        // The receiver may have had enough.
        if socket.send_message(&bytes, &beside).is_err() {
            break;
        }
    }
    say("sent");
}

#[test]
fn a_flood_of_descriptors_leaves_nothing_behind() {
    const MESSAGES: usize = 3_000;
    alone(
        "unix::socket::descriptors::a_flood_of_descriptors_leaves_nothing_behind",
        || {
            let mut random = Random::of_test("a_flood_of_descriptors_leaves_nothing_behind");
            let at = unique("flood");
            let listener = Listener::listen(&at).unwrap();
            let seed = random.next().to_string();
            let arguments = [&at.to_string(), &MESSAGES.to_string(), &seed];
            let mut peer = Peer::start("socket.flood", &arguments.map(|text| &**text));
            let socket: Seqpacket = listener.accept_for(GUARD).unwrap().unwrap();
            let before = open();
            socket.set(PassCredentials(true)).unwrap();
            let mut came = 0;
            let mut kept: Vec<OwnedFd> = Vec::new();
            while came < MESSAGES {
                if random.below(64) == 0 {
                    let _ = socket.set(PassProcess(random.below(2) == 0));
                }
                let mut buffer = vec![0; random.below(300)];
                let mut beside = Received::new(random.below(RIGHTS_MAX + 1));
                let arrival = match random.below(4) {
                    0 => socket.recv(&mut buffer),
                    1 => {
                        let looked = socket.peek_message(&mut buffer, &mut beside).unwrap();
                        assert!(!looked.end);
                        continue;
                    }
                    _ => socket.recv_message(&mut buffer, &mut beside),
                }
                .unwrap();
                assert!(!arrival.end, "after {came}");
                came += 1;
                kept.extend(beside.descriptors().unwrap_or_default().into_iter().take(2));
                kept.truncate(64);
                assert!(open() <= before + 64 + RIGHTS_MAX + 2);
            }
            assert_eq!(peer.hear().as_deref(), Some("sent"));
            // Among them is the sender's own socket: only without it this is the end.
            drop(kept);
            assert!(socket.recv(&mut [0; 8]).unwrap().end);
            assert_eq!(open(), before);
            assert!(peer.finish().success());
        },
    );
}

/// Sends a pipe's write end to `args[0]`, and waits to be killed.
pub(super) fn holder(args: &[String]) {
    let socket = Stream::connect(&args[0].parse().unwrap()).unwrap();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    rustix::io::write(&writer, b"left behind").unwrap();
    send(&socket, &[reader.as_fd()]).unwrap();
    drop(writer);
    say("sent");
    told();
}

#[test]
fn a_descriptor_on_its_way_outlives_its_sender() {
    let at = unique("outlives");
    let listener = Listener::listen(&at).unwrap();
    let mut peer = Peer::start("socket.descriptors", &[&at.to_string()]);
    let socket: Stream = listener.accept_for(GUARD).unwrap().unwrap();
    assert_eq!(peer.hear().as_deref(), Some("sent"));
    peer.kill();
    let (_, mut beside) = recv(&socket, 1);
    let fd = beside.descriptors().unwrap().remove(0);
    let mut text = [0; 16];
    assert_eq!(rustix::io::read(&fd, &mut text).unwrap(), 11);
    assert_eq!(rustix::io::read(&fd, &mut text).unwrap(), 0);
    let (len, mut beside) = recv(&socket, 1);
    assert_eq!((len, beside.descriptors().unwrap().len()), (0, 0));
}

/// As an ordinary user: sends descriptors that nobody receives, until the kernel has enough.
pub(super) fn in_flight(_: &[String]) {
    let old = getrlimit(Resource::Nofile);
    let current = Some(64);
    setrlimit(Resource::Nofile, Rlimit { current, ..old }).unwrap();
    let (a, b) = Stream::pair().unwrap();
    let file = file();
    let mut sent = 0;
    let error = loop {
        match send(&a, &[file.as_fd(); 16]) {
            Ok(_) => sent += 16,
            Err(error) => break error,
        }
        assert!(sent < 10_000, "nobody counts them");
    };
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    assert!(error.to_string().contains("on their way"), "{error}");
    // What was sent is all there, and makes room.
    while sent > 0 {
        let (len, mut beside) = recv(&b, 16);
        assert_eq!((len, beside.descriptors().unwrap().len()), (1, 16));
        sent -= 16;
    }
    send(&a, &[file.as_fd(); 16]).unwrap();
}

#[test]
fn too_many_on_their_way_is_said_before_any_is_sent() {
    if let Some(why) = no_users() {
        return skip("too_many_on_their_way_is_said_before_any_is_sent", why);
    }
    let mut start = command("socket.in_flight", &[]);
    let peer = Peer::of(as_member(&mut start, USERS[0], USERS[0]));
    assert!(peer.finish().success(), "see above");
}

#[test]
fn descriptors_can_be_refused() {
    let (a, b) = Stream::pair().unwrap();
    let file = file();
    if let Err(error) = b.set(PassRights(false)) {
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        return skip(
            "descriptors_can_be_refused",
            "no SO_PASSRIGHTS before Linux 6.16",
        );
    }
    refused(send(&a, &[file.as_fd()]), ErrorKind::Denied);
    a.write_all(b"bytes go").unwrap();
    b.set(PassRights(true)).unwrap();
    assert_eq!(send(&a, &[file.as_fd()]).unwrap(), 1);
    let datagram = Datagram::bind(&Address::Unnamed).unwrap();
    let to = datagram.local_address().unwrap();
    let sender = Datagram::bind(&Address::Unnamed).unwrap();
    let mut beside = Ancillary::descriptors(&[]);
    beside.to = Some(&to);
    sender.send_message(b"to an address", &beside).unwrap();
    let mut came = Received::new(1);
    let brief = Duration::from_millis(2);
    assert!(
        datagram
            .recv_message_for(&mut [0; 64], &mut came, brief)
            .unwrap()
            .is_some()
    );
    assert_eq!(came.from(), Some(sender.local_address().unwrap()));
    assert!(
        datagram
            .recv_message_for(&mut [0; 64], &mut came, brief)
            .unwrap()
            .is_none()
    );
}
