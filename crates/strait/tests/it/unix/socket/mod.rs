//! Sockets between real processes.

mod descriptors;
mod far;
mod multicast;
mod old;
mod reclaim;
mod signals;

use std::io::{IoSlice, IoSliceMut};
use std::path::PathBuf;
use std::time::Duration;

use strait::nt::Event;
use strait::unix::socket::{
    Address, Arrival, BATCH_MAX, Connected, Credentials, Datagram, Half, Kind, Listener, Messages,
    Options, PassCredentials, PeekOffset, Seqpacket, Socket, Stream,
};
use strait::{ErrorKind, HandleSocket, wait};

use crate::peer::{Peer, Role, command, say, told};
use crate::world::{GUARD, USERS, alone, as_member, no_users, refused, skip};

pub(crate) const ROLES: &[(&str, Role)] = &[
    ("socket.echo", echo),
    ("socket.talk", talk),
    ("socket.datagrams", datagrams),
    ("socket.sender", sender),
    ("socket.flood", descriptors::flood),
    ("socket.descriptors", descriptors::holder),
    ("socket.in_flight", descriptors::in_flight),
    ("socket.member", multicast::member),
    ("socket.groups", multicast::groups),
    ("socket.old_kernel", old::kernel),
    ("socket.listener", reclaim::listener),
    ("socket.racer", reclaim::racer),
    ("socket.masked", reclaim::masked),
    ("socket.stranger", reclaim::stranger),
];

/// A directory that goes with the value.
pub(super) struct Place(PathBuf);

impl Place {
    pub(super) fn new(name: &str) -> Self {
        let at = std::env::temp_dir().join(format!("strait-socket-{name}-{}", std::process::id()));
        // What an earlier process of this number left.
        let _ = std::fs::remove_dir_all(&at);
        std::fs::create_dir(&at).unwrap();
        Self(at)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn at(&self, name: &str) -> Address {
        Address::Path(self.path(name))
    }

    pub(super) fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn unique(name: &str) -> Address {
    Address::abstract_name(format!("strait\0{name}-{}", std::process::id()))
}

/// Connects to `args[1]` as a stream or with packets, and gives back what comes until the end.
fn echo(args: &[String]) {
    let at: Address = args[1].parse().unwrap();
    let mut buffer = [0; 4096];
    if args[0] == "stream" {
        let socket = Stream::connect(&at).unwrap();
        loop {
            match socket.read(&mut buffer).unwrap() {
                0 => break,
                len => socket.write_all(&buffer[..len]).unwrap(),
            }
        }
    } else {
        let socket = Seqpacket::connect(&at).unwrap();
        loop {
            let Arrival { len, end, .. } = socket.recv(&mut buffer).unwrap();
            if end {
                break;
            }
            socket.send(&buffer[..len]).unwrap();
        }
    }
}

/// Accepts from a peer that echoes.
fn echoing<K: Connected>(word: &str, at: &Address) -> (Socket<K>, Peer) {
    let listener = Listener::<K>::listen(at).unwrap();
    assert_eq!(&listener.local_address().unwrap(), at);
    let peer = Peer::start("socket.echo", &[word, &at.to_string()]);
    let socket = listener.accept_for(GUARD).unwrap().expect("it connects");
    assert_eq!(socket.peer().unwrap().pid, peer.child.id());
    assert_eq!(socket.peer_address().unwrap(), Address::Unnamed);
    (socket, peer)
}

#[test]
fn bytes_and_packets_cross_at_paths_and_abstract_names() {
    let place = Place::new("cross");
    let deep = place.path(&"d".repeat(100)).join("e".repeat(100));
    std::fs::create_dir_all(&deep).unwrap();
    let long = Address::Path(deep.join("socket"));
    let mut relative = Address::abstract_name(b"");
    if let Address::Abstract(name) = &mut relative {
        name.extend(format!("\0\\\u{ff}{}", std::process::id()).bytes());
    }
    for at in [place.at("s"), long, unique("cross"), relative] {
        let (stream, peer) = echoing::<_>("stream", &at);
        let stream: Stream = stream;
        let text: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        stream.write_all(&text).unwrap();
        stream.shutdown(Half::Sending).unwrap();
        let mut back = vec![0; text.len()];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(back, text);
        assert_eq!(stream.read(&mut back).unwrap(), 0, "its end follows ours");
        assert!(peer.finish().success());

        let (packets, peer) = echoing::<_>("packets", &at);
        let packets: Seqpacket = packets;
        for message in [&b"one"[..], b"", b"", &[7; 4096], b"last"] {
            packets.send(message).unwrap();
        }
        let mut back = [0; 16];
        for (len, lost) in [(3, 0), (0, 0), (0, 0), (16, 4080), (4, 0)] {
            let came = packets.recv(&mut back).unwrap();
            assert_eq!((came.len, came.lost, came.end), (len, lost, false));
        }
        packets.shutdown(Half::Sending).unwrap();
        assert!(packets.recv(&mut back).unwrap().end);
        assert!(peer.finish().success());
    }
    assert_eq!(
        std::fs::read_dir(&deep).unwrap().count(),
        0,
        "the files went with the listeners"
    );
}

// ---- ends ------------------------------------------------------------------------------------

/// Connects to `args[1]`, writes what `args[2]` says, and waits.
fn talk(args: &[String]) {
    let at: Address = args[1].parse().unwrap();
    let hold: Box<dyn std::any::Any> = if args[0] == "stream" {
        let socket = Stream::connect(&at).unwrap();
        socket.write_all(args[2].as_bytes()).unwrap();
        Box::new(socket)
    } else {
        let socket = Seqpacket::connect(&at).unwrap();
        socket.send(args[2].as_bytes()).unwrap();
        Box::new(socket)
    };
    say("said");
    told();
    drop(hold);
}

#[test]
fn a_killed_peer_is_the_end_after_what_it_sent() {
    let at = unique("killed");
    let mut buffer = [0; 64];
    let listener = Listener::listen(&at).unwrap();
    let mut peer = Peer::start("socket.talk", &["stream", &at.to_string(), "last words"]);
    let stream: Stream = listener.accept_for(GUARD).unwrap().unwrap();
    assert_eq!(peer.hear().as_deref(), Some("said"));
    let process = stream.peer_process().unwrap();
    peer.kill();
    assert_eq!(stream.read(&mut buffer).unwrap(), 10);
    assert_eq!(stream.read(&mut buffer).unwrap(), 0);
    refused(stream.write(b"anybody?"), ErrorKind::PeerGone);
    wait::any(&[&process]).unwrap();
    // Later kernels name a process also after its end.
    match stream.peer_process() {
        Ok(process) => assert!(
            wait::any_for(&[&process], Duration::ZERO)
                .unwrap()
                .is_some()
        ),
        Err(error) => assert_eq!(error.kind(), ErrorKind::PeerGone),
    }
    drop(listener);

    let listener = Listener::listen(&at).unwrap();
    let mut peer = Peer::start("socket.talk", &["packets", &at.to_string(), "last words"]);
    let packets: Seqpacket = listener.accept_for(GUARD).unwrap().unwrap();
    assert_eq!(peer.hear().as_deref(), Some("said"));
    packets.send(b"never read").unwrap();
    peer.kill();
    // It died with a message unread, which is said once; what it had sent is there all the same.
    refused(packets.recv(&mut buffer), ErrorKind::PeerGone);
    assert_eq!(packets.recv(&mut buffer).unwrap().len, 10);
    assert!(packets.recv(&mut buffer).unwrap().end);
    refused(packets.send(b"anybody?"), ErrorKind::PeerGone);
}

#[test]
fn halves_close_alone_and_queues_can_be_asked() {
    let (a, b) = Stream::pair().unwrap();
    a.write_all(b"12345678").unwrap();
    assert_eq!(b.unread().unwrap(), 8);
    assert!(a.unsent().unwrap() > 0);
    let mut buffer = [0; 4];
    b.set(PeekOffset(Some(2))).unwrap();
    assert_eq!(b.peek(&mut buffer).unwrap(), 4);
    assert_eq!(&buffer, b"3456");
    assert_eq!(b.option::<PeekOffset>().unwrap(), PeekOffset(Some(6)));
    b.set(PeekOffset(None)).unwrap();
    assert_eq!(b.read(&mut [0; 16]).unwrap(), 8);
    assert_eq!(a.unsent().unwrap(), 0);
    a.shutdown(Half::Sending).unwrap();
    refused(a.write(b"x"), ErrorKind::PeerGone);
    assert_eq!(b.read(&mut buffer).unwrap(), 0);
    b.write_all(b"back").unwrap();
    a.read_exact(&mut buffer).unwrap();
    b.shutdown(Half::Both).unwrap();
    assert_eq!(
        refused(a.read_exact(&mut buffer), ErrorKind::PeerGone).errno(),
        None
    );
    let (a, _b) = Datagram::pair().unwrap();
    refused(a.send(&vec![0; 16 << 20]), ErrorKind::InvalidInput);
    let lonely = Datagram::bind(&Address::Unnamed).unwrap();
    refused(lonely.send(b"where to?"), ErrorKind::InvalidInput);
    refused(lonely.peer_address(), ErrorKind::InvalidInput);
    assert!(Stream::from_descriptor(lonely.into()).is_err());
}

#[test]
fn empty_packets_are_not_the_end() {
    for told in [false, true] {
        let (a, b) = Seqpacket::pair().unwrap();
        if told {
            b.set(PassCredentials(true)).unwrap();
        }
        let mut buffer = [0; 8];
        a.send(b"").unwrap();
        assert!(!b.recv(&mut buffer).unwrap().end);
        a.send(b"").unwrap();
        a.send(b"x").unwrap();
        a.send(b"").unwrap();
        drop(a);
        let came: Vec<(usize, bool)> = (0..4)
            .map(|_| b.recv(&mut buffer).unwrap())
            .map(|came| (came.len, came.end))
            .collect();
        // The last one, with only the close behind it, is known by its credentials alone.
        assert_eq!(came[..2], [(0, false), (1, false)]);
        assert_eq!(came[2..], [(0, !told), (0, true)]);
    }
}

// ---- deadlines and backpressure ----------------------------------------------------------------

#[test]
fn limits_of_time_end_every_call() {
    let brief = Duration::from_millis(5);
    let (a, b) = Stream::pair().unwrap();
    let mut buffer = [0; 1 << 16];
    assert_eq!(a.try_read(&mut buffer).unwrap(), None);
    assert_eq!(a.read_for(&mut buffer, brief).unwrap(), None);
    while a.try_write(&buffer).unwrap().is_some() {}
    assert_eq!(a.write_for(&buffer, brief).unwrap(), None);
    assert!(b.try_read(&mut buffer).unwrap().is_some());

    let place = Place::new("limits");
    let at = place.at("s");
    let listener: Listener<_> = Options::default().backlog(0).listen(&at).unwrap();
    assert!(listener.try_accept().unwrap().is_none());
    assert!(listener.accept_for(brief).unwrap().is_none());
    let first = Stream::connect(&at).unwrap();
    let none = Stream::connect_for(&at, brief).unwrap();
    assert!(none.is_none(), "its backlog is full");
    let accepted: Stream = listener.accept().unwrap();
    let second = Stream::connect_for(&at, GUARD).unwrap().unwrap();
    // The time-out was the connecting's alone.
    second.write_all(b"x").unwrap();
    drop((first, accepted));
    drop(listener);
    refused(Stream::connect(&at), ErrorKind::NotFound);
    std::fs::write(place.path("file"), "").unwrap();
    refused(Stream::connect(&place.at("file")), ErrorKind::PeerGone);
    refused(Stream::connect(&unique("nobody")), ErrorKind::PeerGone);
    let _bound = Datagram::bind(&at).unwrap();
    refused(Stream::connect(&at), ErrorKind::WrongKind);
}

/// Sends the numbers up to `args[1]` to `args[0]`, one a message.
fn datagrams(args: &[String]) {
    let to: Address = args[0].parse().unwrap();
    let socket = Datagram::bind(&Address::Unnamed).unwrap();
    for number in 0..args[1].parse::<u32>().unwrap() {
        socket.send_to(&number.to_ne_bytes(), &to).unwrap();
    }
    say("sent");
}

#[test]
fn a_full_queue_holds_senders_back_and_loses_nothing() {
    let place = Place::new("queue");
    let at = place.at("d");
    let receiver = Datagram::bind(&at).unwrap();
    let sender = Datagram::bind(&Address::Unnamed).unwrap();
    let mut held = 0_u32;
    while sender
        .try_send_to(&u32::MAX.to_ne_bytes(), &at)
        .unwrap()
        .is_some()
    {
        held += 1;
        assert!(held < 100_000, "a queue without end");
    }
    let brief = Duration::from_millis(5);
    assert_eq!(sender.send_to_for(b"late", &at, brief).unwrap(), None);
    let mut peer = Peer::start("socket.datagrams", &[&at.to_string(), "1000"]);
    let mut buffer = [0; 4];
    for _ in 0..held {
        let (came, from) = receiver.recv_from(&mut buffer).unwrap();
        assert_eq!((came.len, buffer), (4, [0xff; 4]));
        assert_eq!(
            from,
            sender.local_address().unwrap(),
            "five digits of the kernel's"
        );
    }
    for number in 0..1000_u32 {
        let came = receiver.recv_for(&mut buffer, GUARD).unwrap().unwrap();
        assert_eq!((came.len, came.end), (4, false));
        assert_eq!(u32::from_ne_bytes(buffer), number);
    }
    assert_eq!(peer.hear().as_deref(), Some("sent"));
    // A connected one is told when there is room.
    let connected = Datagram::connect(&at).unwrap();
    while connected.try_send(b"").unwrap().is_some() {}
    assert_eq!(connected.send_for(b"", brief).unwrap(), None);
    drop(receiver);
    refused(connected.send(b""), ErrorKind::PeerGone);
    refused(sender.send_to(b"", &at), ErrorKind::NotFound);
}

#[test]
fn batches_are_messages_in_order() {
    alone("unix::socket::batches_are_messages_in_order", || {
        let at = unique("batch");
        let receiver = Datagram::bind(&at).unwrap();
        let mut peer = Peer::start("socket.datagrams", &[&at.to_string(), "500"]);
        let mut bytes = [[0_u8; 4]; BATCH_MAX + 8];
        let mut arrivals = Vec::new();
        let mut next = 0_u32;
        while next < 500 {
            assert!(wait::any_for(&[&receiver], GUARD).unwrap().is_some());
            let mut buffers: Vec<_> = bytes.iter_mut().map(|room| IoSliceMut::new(room)).collect();
            receiver.recv_batch(&mut buffers, &mut arrivals).unwrap();
            assert!((1..=BATCH_MAX).contains(&arrivals.len()));
            for ((arrival, from), bytes) in arrivals.iter().zip(&bytes) {
                assert_eq!((arrival.len, arrival.lost), (4, 0));
                assert!(
                    matches!(from, Address::Abstract(name) if name.len() == 5),
                    "{from}"
                );
                assert_eq!(u32::from_ne_bytes(*bytes), next);
                next += 1;
            }
        }
        assert_eq!(peer.hear().as_deref(), Some("sent"));
        let sender = Datagram::connect(&at).unwrap();
        let messages = [
            IoSlice::new(b"1"),
            IoSlice::new(b"longer"),
            IoSlice::new(b""),
        ];
        assert_eq!(sender.send_batch(&messages).unwrap(), 3);
        let mut rooms = [[0; 2]; 3];
        let mut buffers: Vec<_> = rooms.iter_mut().map(|room| IoSliceMut::new(room)).collect();
        receiver.recv_batch(&mut buffers, &mut arrivals).unwrap();
        let came = arrivals
            .iter()
            .map(|(arrival, _)| (arrival.len, arrival.lost));
        assert!(came.eq([(1, 0), (2, 4), (0, 0)]));
        drop(receiver);
        refused(sender.send_batch(&messages), ErrorKind::PeerGone);
    });
}

#[test]
fn sockets_are_members_of_a_wait() {
    let at = unique("wait");
    let listener = Listener::listen(&at).unwrap();
    let event = Event::options().create().unwrap();
    let brief = Duration::from_millis(2);
    assert!(
        wait::any_for(&[&event, &listener], brief)
            .unwrap()
            .is_none()
    );
    let client = Stream::connect(&at).unwrap();
    assert_eq!(wait::any(&[&event, &listener]).unwrap().index, 1);
    let server: Stream = listener.accept().unwrap();
    assert!(wait::any_for(&[&event, &server], brief).unwrap().is_none());
    client.write_all(b"x").unwrap();
    assert_eq!(wait::any(&[&event, &server]).unwrap().index, 1);
    assert_eq!(server.unread().unwrap(), 1, "nothing was taken");
    let shared = Event::options().shared().create().unwrap();
    client.send_handle(&shared).unwrap();
    server.read_exact(&mut [0; 1]).unwrap();
    let received: Event = server.receive_handle(&[]).unwrap();
    shared.set().unwrap();
    assert_eq!(wait::any(&[&server, &received]).unwrap().index, 1);
    let room = wait::writable(&server);
    assert_eq!(wait::any(&[&event, &room]).unwrap().index, 1);
}

// ---- who is there ------------------------------------------------------------------------------

/// Sends a message to `args[0]` as itself, and tries to pass for another.
fn sender(args: &[String]) {
    use strait::unix::socket::Ancillary;
    let socket = Seqpacket::connect(&args[0].parse().unwrap()).unwrap();
    let own = Credentials {
        pid: std::process::id(),
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    };
    let mut beside = Ancillary::default();
    socket.send_message(b"silent", &beside).unwrap();
    beside.credentials = Some(own);
    socket.send_message(b"said", &beside).unwrap();
    beside.credentials = Some(Credentials {
        uid: own.uid + 1,
        ..own
    });
    if own.uid != 0 {
        refused(socket.send_message(b"lie", &beside), ErrorKind::Denied);
    }
    say(socket.peer().unwrap().pid);
    told();
}

#[test]
fn the_kernel_says_who_speaks() {
    use strait::unix::socket::{PassProcess, Received};
    let place = Place::new("who");
    let mut users = vec![None];
    match no_users() {
        Some(why) => skip("the_kernel_says_who_speaks as another user", why),
        None => users.push(Some(USERS[0])),
    }
    for user in users {
        let at = place.at("s");
        // A directory and a socket that other users may reach.
        std::fs::set_permissions(
            place.text(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        let options = Options::default().mode(0o666);
        let listener = options.listen(&at).unwrap();
        let mut start = command("socket.sender", &[&at.to_string()]);
        if let Some(uid) = user {
            as_member(&mut start, uid, uid);
        }
        let mut peer = Peer::of(&mut start);
        let socket: Seqpacket = listener.accept_for(GUARD).unwrap().unwrap();
        socket.set(PassCredentials(true)).unwrap();
        let told = socket.set(PassProcess(true));
        assert_eq!(peer.hear().unwrap(), std::process::id().to_string());
        let expected = Credentials {
            pid: peer.child.id(),
            uid: user.unwrap_or(rustix::process::geteuid().as_raw()),
            gid: user.unwrap_or(rustix::process::getegid().as_raw()),
        };
        assert_eq!(socket.peer().unwrap(), expected);
        if let Some(gid) = user {
            assert_eq!(socket.peer_groups().unwrap(), [] as [u32; 0], "only {gid}");
        }
        socket.peer_label().unwrap();
        let mut beside = Received::new(0);
        for text in ["silent", "said"] {
            let mut buffer = [0; 16];
            let came = socket.recv_message(&mut buffer, &mut beside).unwrap();
            assert_eq!(&buffer[..came.len], text.as_bytes());
            if let Some(sender) = beside.sender()
                && sender.pid != 0
            {
                assert_eq!(sender, expected);
            } else {
                // Sent before the option was set.
                assert_eq!(text, "silent");
            }
            if told.is_ok() && text == "said" {
                let process = beside.process();
                assert!(process.is_none_or(|process| process.is_exact()));
            }
        }
        let process = socket.peer_process().unwrap();
        assert!(
            wait::any_for(&[&process], Duration::ZERO)
                .unwrap()
                .is_none()
        );
        assert!(peer.finish().success());
        wait::any(&[&process]).unwrap();
    }
}

#[test]
fn without_permission_for_the_path_nobody_connects() {
    if let Some(why) = no_users() {
        return skip("without_permission_for_the_path_nobody_connects", why);
    }
    let place = Place::new("denied");
    let at = place.at("s");
    let listener = Listener::<strait::unix::socket::Packets>::listen(&at).unwrap();
    let mut start = command("socket.sender", &[&at.to_string()]);
    let peer =
        Peer::of(as_member(&mut start, USERS[0], USERS[0]).stderr(std::process::Stdio::null()));
    assert!(!peer.finish().success(), "its connect was denied");
    assert!(listener.try_accept().unwrap().is_none());
}

/// That a kind's word is in its messages.
#[test]
fn messages_name_the_socket() {
    fn shown<K: Messages + Kind>(socket: &Socket<K>) -> String {
        refused(
            socket.set(strait::unix::socket::NoDelay(true)),
            ErrorKind::Unsupported,
        )
        .to_string()
    }
    let (packets, _other) = Seqpacket::pair().unwrap();
    assert!(
        shown(&packets).contains("seqpacket socket"),
        "{}",
        shown(&packets)
    );
    let place = Place::new("named");
    let bound = Datagram::bind(&place.at("d")).unwrap();
    assert!(shown(&bound).contains(place.text()), "{}", shown(&bound));
}
