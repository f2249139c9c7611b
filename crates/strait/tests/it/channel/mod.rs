//! Channels between two processes: whole messages, ends, deaths, waits.

pub(crate) mod attach;
pub(crate) mod lies;
pub(crate) mod loan;
pub(crate) mod share;
pub(crate) mod storm;
pub(crate) mod stranger;

use std::path::PathBuf;
use std::sync::Barrier;
use std::time::Duration;

use strait::channel::{Channel, Listener, Options, Taken};
use strait::{ErrorKind, wait};
use strait_sys::{Errno, seccomp};

use crate::peer::{self, Peer, say, told};
use crate::world::{GUARD, Random, alone, refused, until};

/// What a peer of these tests does.
pub(crate) const ROLES: &[(&str, peer::Role)] = &[
    ("channel.echo", echo),
    ("channel.source", source),
    ("channel.mute", mute),
];

fn options(arguments: &[String]) -> Options {
    let capacity = arguments[1].parse().unwrap();
    Options::new().capacity(capacity)
}

/// Sends back everything, reversed.
fn echo(arguments: &[String]) {
    let mut channel = Channel::open(&arguments[0], &options(arguments)).unwrap();
    let mut bytes = Vec::new();
    while channel.receiver().recv_vec(&mut bytes).unwrap().is_some() {
        bytes.reverse();
        channel.send(&bytes).unwrap();
    }
    say("end");
}

/// Sends numbered messages of random lengths for ever.
fn source(arguments: &[String]) {
    let mut channel = Channel::open(&arguments[0], &options(arguments)).unwrap();
    let mut random = Random::of_seed(arguments[2].parse().unwrap());
    let max: usize = arguments[3].parse().unwrap();
    say("begun");
    for number in 0.. {
        let message = numbered(number, random.below(max));
        if random.below(3) == 0 {
            channel.sender().push(&message).unwrap();
        } else {
            channel.send(&message).unwrap();
        }
    }
}

/// Connects, and then only does what it is told.
fn mute(arguments: &[String]) {
    let mut channel = Some(Channel::open(&arguments[0], &options(arguments)).unwrap());
    say("here");
    while let Some(line) = told() {
        match line.as_str() {
            "drop" => drop(channel.take()),
            text => channel.as_mut().unwrap().send(text.as_bytes()).unwrap(),
        }
        say("done");
    }
}

/// A message that says which it is and is checked byte by byte.
pub(crate) fn numbered(number: u64, len: usize) -> Vec<u8> {
    let mut message = number.to_le_bytes().to_vec();
    let bytes = (0..len).map(|index| (number as usize + index * 7) as u8);
    message.extend(bytes);
    message
}

fn check(message: &[u8], number: u64) {
    assert_eq!(
        message,
        numbered(number, message.len() - 8),
        "message {number}"
    );
}

struct Met {
    channel: Channel,
    peer: Peer,
    place: tempdir::Place,
}

/// A channel to a peer in that role.
fn meet(role: &str, capacity: usize, more: &[&str]) -> Met {
    meet_with(role, (capacity, &|options| options), more)
}

/// The same, with other options for this side as well.
fn meet_with(
    role: &str,
    (capacity, with): (usize, &dyn Fn(Options) -> Options),
    more: &[&str],
) -> Met {
    let options = &with(Options::new().capacity(capacity));
    let place = tempdir::Place::new();
    let path = place.0.join("socket");
    let mut listener = Listener::bind(&path, 0o600, options).unwrap();
    let text = capacity.to_string();
    let arguments = [&[path.to_str().unwrap(), &text], more].concat();
    let peer = Peer::start(role, &arguments);
    let channel = listener
        .accept_for(GUARD)
        .unwrap()
        .expect("the peer connects");
    assert_eq!(channel.peer().pid, peer.child.id());
    Met {
        channel,
        peer,
        place,
    }
}

mod tempdir {
    //! A directory that goes with the test.

    pub(crate) struct Place(pub(crate) super::PathBuf);

    impl Place {
        pub(crate) fn new() -> Self {
            let mut path = std::env::temp_dir();
            let unique = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_nsec;
            path.push(format!("strait-channel-{}-{unique}", std::process::id()));
            std::fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

#[test]
fn messages_of_all_lengths_come_back_whole() {
    for capacity in [4096, 32 << 10, 1 << 20] {
        let Met {
            mut channel, peer, ..
        } = meet("channel.echo", capacity, &[]);
        let edges = [0, 1, 7, 8, 9, 55, 56, 57, 64, 1000];
        let around = [
            capacity / 4 - 9,
            capacity / 4 - 8,
            capacity / 4 - 7,
            capacity,
        ];
        let large = [3 * capacity + 5, 1 << 20];
        for len in edges.into_iter().chain(around).chain(large) {
            let message = numbered(len as u64, len);
            channel.send(&message).unwrap();
            let mut reply = Vec::new();
            channel.receiver().recv_vec(&mut reply).unwrap().unwrap();
            reply.reverse();
            assert!(reply == message, "{len} bytes through {capacity}");
        }
        drop(channel);
        assert!(peer.finish().success());
    }
}

#[test]
fn what_a_killed_sender_had_sent_is_received_then_its_death() {
    for (seed, max) in [(1, 64), (2, 3000), (3, 40_000)] {
        let seed_text = seed.to_string();
        let max_text = max.to_string();
        let mut met = meet("channel.source", 16 << 10, &[&seed_text, &max_text]);
        let mut bytes = Vec::new();
        for number in 0..100 {
            met.channel
                .receiver()
                .recv_vec(&mut bytes)
                .unwrap()
                .unwrap();
            check(&bytes, number);
        }
        met.peer.kill();
        let mut number = 100;
        let error = loop {
            match met.channel.receiver().recv_vec(&mut bytes) {
                Ok(Some(_)) => check(&bytes, number),
                Ok(None) => panic!("a killed peer has not closed"),
                Err(error) => break error,
            }
            number += 1;
        };
        assert_eq!(error.kind(), ErrorKind::PeerGone, "{error}");
        assert_eq!(
            refused(met.channel.send(b"x"), ErrorKind::PeerGone).operation(),
            "send"
        );
    }
}

#[test]
fn a_closed_channel_ends_once_everything_was_received() {
    let mut met = meet("channel.mute", 4096, &[]);
    assert_eq!(met.peer.hear().as_deref(), Some("here"));
    met.peer.ask("first");
    met.peer.ask("second");
    met.peer.ask("drop");
    let mut buffer = [0; 16];
    for expected in ["first", "second"] {
        let len = met.channel.recv(&mut buffer).unwrap().unwrap();
        assert_eq!(&buffer[..len], expected.as_bytes());
    }
    assert_eq!(met.channel.recv(&mut buffer).unwrap(), None);
    refused(met.channel.send(b"x"), ErrorKind::PeerGone);
}

#[test]
fn one_who_sleeps_hears_of_the_other_sides_death() {
    let mut met = meet("channel.mute", 4096, &[]);
    let mut channel = met.channel;
    let sleeper = std::thread::spawn(move || {
        let received = channel.recv(&mut [0; 16]);
        (received.map(|_| ()), channel)
    });
    met.peer.kill();
    let (received, _channel) = sleeper.join().unwrap();
    refused(received, ErrorKind::PeerGone);
    // And one who waits for room.
    let mut met = meet("channel.mute", 4096, &[]);
    let mut channel = met.channel;
    let sleeper = std::thread::spawn(move || {
        loop {
            if let Err(error) = channel.send(&[0; 100]) {
                return error.kind();
            }
        }
    });
    assert_eq!(met.peer.hear().as_deref(), Some("here"));
    met.peer.kill();
    assert_eq!(sleeper.join().unwrap(), ErrorKind::PeerGone);
}

#[test]
fn a_message_that_does_not_fit_stays() {
    let (mut near, mut far) = Channel::pair(&Options::new().capacity(4096)).unwrap();
    near.send(b"twelve bytes").unwrap();
    let error = refused(far.recv(&mut [0; 11]), ErrorKind::TooLong);
    assert!(error.why().contains("12 bytes"), "{error}");
    assert_eq!(far.recv(&mut [0; 12]).unwrap(), Some(12));
}

#[test]
fn time_runs_out_and_nothing_is_lost() {
    let (mut near, mut far) = Channel::pair(&Options::new().capacity(4096)).unwrap();
    let moment = Duration::from_millis(20);
    assert_eq!(far.recv_for(&mut [0; 8], moment).unwrap(), Taken::TimedOut);
    let mut sent = 0;
    while near.sender().try_send(&[sent as u8; 500]).unwrap() {
        sent += 1;
    }
    assert!(sent >= 5, "{sent} fit");
    assert!(!near.sender().send_for(&[0; 500], moment).unwrap());
    // One that needs more room than there is in all: given up in the middle, it leaves nothing.
    let mut buffer = [0; 20_000];
    assert_eq!(far.recv(&mut buffer).unwrap(), Some(500));
    assert_eq!(far.recv(&mut buffer).unwrap(), Some(500));
    assert!(!near.sender().send_for(&[9; 20_000], moment).unwrap());
    for number in 2..sent {
        assert_eq!(far.recv(&mut buffer).unwrap(), Some(500));
        assert_eq!(buffer[0], number as u8);
    }
    assert_eq!(far.recv_for(&mut buffer, moment).unwrap(), Taken::TimedOut);
    near.send(b"after").unwrap();
    assert_eq!(far.recv(&mut buffer).unwrap(), Some(5));
    assert_eq!(&buffer[..5], b"after");
}

#[test]
fn a_batch_is_seen_when_it_is_flushed() {
    let (mut near, mut far) = Channel::pair(&Options::new()).unwrap();
    for number in 0..10u8 {
        near.sender().push(&[number]).unwrap();
    }
    assert_eq!(
        far.receiver().try_recv(&mut [0; 8]).unwrap(),
        Taken::TimedOut
    );
    near.sender().flush();
    for number in 0..10 {
        let mut buffer = [0; 8];
        assert_eq!(far.recv(&mut buffer).unwrap(), Some(1));
        assert_eq!(buffer[0], number);
    }
}

#[test]
fn a_wait_for_any_wakes_for_a_message_and_takes_nothing() {
    let mut met = meet("channel.mute", 4096, &[]);
    assert_eq!(met.peer.hear().as_deref(), Some("here"));
    let event = strait::nt::Event::options().create().unwrap();
    let none = wait::any_for(&[&event, &met.channel], Duration::from_millis(10)).unwrap();
    assert!(none.is_none());
    for round in 0..20 {
        let text = format!("round {round}");
        met.peer.tell(&text);
        let won = wait::any_for(&[&event, &met.channel], GUARD)
            .unwrap()
            .unwrap();
        assert_eq!(won.index, 1);
        let again = wait::any_for(&[&met.channel], GUARD).unwrap();
        assert!(again.is_some(), "looked at, not taken");
        let mut buffer = [0; 16];
        let len = met.channel.recv(&mut buffer).unwrap().unwrap();
        assert_eq!(&buffer[..len], text.as_bytes());
        assert!(
            wait::any_for(&[&met.channel], Duration::ZERO)
                .unwrap()
                .is_none()
        );
        assert_eq!(met.peer.hear().as_deref(), Some("done"));
    }
    met.peer.kill();
    let won = wait::any_for(&[&event, &met.channel], GUARD)
        .unwrap()
        .unwrap();
    assert_eq!(won.index, 1, "its death is something to receive");
}

#[test]
fn a_set_has_channels_too() {
    let mut met = meet("channel.mute", 4096, &[]);
    assert_eq!(met.peer.hear().as_deref(), Some("here"));
    let set = wait::Set::new().unwrap();
    let key = set.add(&met.channel).unwrap();
    for _ in 0..3 {
        met.peer.tell("hello");
        let won = set.wait_for(GUARD).unwrap().unwrap();
        assert_eq!(won.key, key);
        met.channel.recv(&mut [0; 8]).unwrap();
        assert_eq!(met.peer.hear().as_deref(), Some("done"));
    }
}

#[test]
fn a_path_is_reclaimed_from_the_dead_and_not_from_the_living() {
    let place = tempdir::Place::new();
    let path = place.0.join("socket");
    refused(Channel::open(&path, &Options::new()), ErrorKind::NotFound);
    let listener = Listener::bind(&path, 0o600, &Options::new()).unwrap();
    refused(
        Listener::bind(&path, 0o600, &Options::new()),
        ErrorKind::Exists,
    );
    drop(listener);
    assert!(!path.exists());
}

#[test]
fn a_client_that_says_nothing_delays_nobody() {
    let place = tempdir::Place::new();
    let path = place.0.join("socket");
    let mut listener = Listener::bind(&path, 0o600, &Options::new()).unwrap();
    let silent: Vec<_> = (0..10).map(|_| connected(&path)).collect();
    let client = {
        let path = path.clone();
        std::thread::spawn(move || Channel::open(&path, &Options::new()))
    };
    assert!(listener.accept_for(GUARD).unwrap().is_some());
    client.join().unwrap().unwrap();
    drop(silent);
}

fn connected(path: &PathBuf) -> std::os::fd::OwnedFd {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket};
    let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    connect(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
    socket
}

/// Where the watcher's thread is not to be had no session begins that nobody would watch, however
/// many begin at once.
#[test]
fn without_a_watcher_no_session_begins() {
    let name = "channel::without_a_watcher_no_session_begins";
    alone(name, || {
        let start = Barrier::new(5);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    start.wait();
                    for _ in 0..500 {
                        assert!(Channel::pair(&Options::new()).is_err(), "nobody watches");
                    }
                });
            }
            seccomp::deny(&seccomp::CLONES, Errno::AGAIN).unwrap();
            start.wait();
        });
    });
}

#[test]
fn the_watcher_tells_also_those_who_only_ask() {
    let mut met = meet("channel.mute", 4096, &[]);
    met.peer.kill();
    until("the death is known", || met.channel.receiver().is_ready());
}
