//! Internet and vsock: through the loopback interface, where this machine has it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use strait::ErrorKind;
use strait::unix::socket::{
    Address, Ancillary, Broadcast, Bytes, Coalesce, Cork, Datagram, Half, KeepAlive, KeepCount,
    KeepIdle, KeepInterval, Linger, Listener, MulticastLoop, MulticastTtl, NoDelay, Options,
    ReceiveBuffer, Received, Segment, SendBuffer, Stream, UserTimeout, V6Only,
};

use crate::peer::Peer;
use crate::world::{GUARD, alone, refused, skip};

const V4: Address = Address::Inet(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0));
const V6: Address = Address::Inet(SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0));
const ANY_V6: Address = Address::Inet(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0));

fn port(address: &Address) -> u16 {
    match address {
        Address::Inet(address) => address.port(),
        other => panic!("{other} has no port"),
    }
}

/// The loopback addresses that this machine has.
fn loopbacks(test: &str) -> Vec<Address> {
    let (have, lack): (Vec<_>, Vec<_>) = [V4, V6]
        .into_iter()
        .partition(|at| Datagram::bind(at).is_ok());
    for at in lack {
        skip(test, format!("{at} is not an address of this machine"));
    }
    have
}

#[test]
fn bytes_cross_tcp() {
    alone("unix::socket::far::bytes_cross_tcp", || {
        for at in loopbacks("bytes_cross_tcp") {
            let listener = Listener::listen(&at).unwrap();
            let at = listener.local_address().unwrap();
            let peer = Peer::start("socket.echo", &["stream", &at.to_string()]);
            let stream: Stream = listener.accept_for(GUARD).unwrap().unwrap();
            assert_eq!(stream.local_address().unwrap(), at);
            let text: Vec<u8> = (0..=255).cycle().take(10_000).collect();
            stream.write_all(&text).unwrap();
            stream.shutdown(Half::Sending).unwrap();
            let mut back = vec![0; text.len()];
            stream.read_exact(&mut back).unwrap();
            assert_eq!((back == text, stream.read(&mut [0; 1]).unwrap()), (true, 0));
            assert!(peer.finish().success());
            refused(stream.peer(), ErrorKind::InvalidInput);
            // Its port is taken while it lives, and free at once afterwards.
            refused(
                Listener::<strait::unix::socket::Bytes>::listen(&at),
                ErrorKind::Exists,
            );
            drop((listener, stream));
            refused(Stream::connect(&at), ErrorKind::PeerGone);
            let again: Listener<strait::unix::socket::Bytes> = Listener::listen(&at).unwrap();
            // A silent host: the backlog is full, and the kernel answers nothing.
            drop(again);
            let full: Listener<_> = Options::default().backlog(0).listen(&at).unwrap();
            let brief = Duration::from_millis(20);
            let clients = || Stream::connect_for(&at, brief).unwrap();
            let clients: Vec<Option<Stream>> = (0..4).map(|_| clients()).collect();
            assert!(clients[0].is_some() && clients[3].is_none());
            let server: Stream = full.accept().unwrap();
            clients[0]
                .as_ref()
                .unwrap()
                .set(Linger(Some(Duration::ZERO)))
                .unwrap();
            drop(clients);
            refused(server.read(&mut [0; 1]), ErrorKind::PeerGone);
        }
    });
}

#[test]
fn options_are_read_back() {
    let listener = Listener::listen(&V4).unwrap();
    let client = Stream::connect(&listener.local_address().unwrap()).unwrap();
    let _server: Stream = listener.accept().unwrap();
    macro_rules! there_and_back {
        ($socket:expr, $($option:expr),*) => {$(
            $socket.set($option).unwrap();
            let same = $option;
            let mut now = $option;
            if now == same {
                now = $socket.option().unwrap();
            }
            assert_eq!(now, same);
        )*};
    }
    there_and_back!(
        client,
        NoDelay(true),
        NoDelay(false),
        Cork(true),
        KeepAlive(true),
        KeepIdle(Duration::from_secs(7)),
        KeepInterval(Duration::from_secs(8)),
        KeepCount(9),
        UserTimeout(Duration::from_millis(1500)),
        Linger(Some(Duration::from_secs(3))),
        Linger(None)
    );
    client.set(SendBuffer(20_000)).unwrap();
    assert_eq!(client.option::<SendBuffer>().unwrap(), SendBuffer(40_000));
    client.set(ReceiveBuffer(20_000)).unwrap();
    refused(client.set(KeepCount(1 << 20)), ErrorKind::InvalidInput);
    refused(client.set(KeepIdle(Duration::MAX)), ErrorKind::InvalidInput);
    let datagram = Datagram::bind(&V4).unwrap();
    there_and_back!(
        datagram,
        Broadcast(true),
        MulticastLoop(false),
        MulticastTtl(3),
        Segment(1000)
    );
    refused(datagram.set(NoDelay(true)), ErrorKind::Unsupported);
    refused(client.set(V6Only(true)), ErrorKind::Unsupported);
}

#[test]
fn ports_are_shared_only_by_those_who_say_so() {
    let options = || Datagram::options().reuse_port();
    let one = options().bind(&V4).unwrap();
    let at = one.local_address().unwrap();
    refused(Datagram::bind(&at), ErrorKind::Exists);
    let two = options().bind(&at).unwrap();
    for number in 0..64 {
        let client = Datagram::bind(&V4).unwrap();
        client.send_to(&[number], &at).unwrap();
    }
    let mut came = 0;
    for socket in [&one, &two] {
        while socket.try_recv(&mut [0; 4]).unwrap().is_some() {
            came += 1;
        }
    }
    assert_eq!(came, 64);
    let tied = Datagram::options().device("lo").bind(&V4);
    if let Err(error) = tied {
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    }
    refused(
        Datagram::options().device("no-such").bind(&V4),
        ErrorKind::InvalidInput,
    );
    if Datagram::bind(&V6).is_err() {
        return skip("ports_are_shared_only_by_those_who_say_so", "no IPv6 here");
    }
    let both = Datagram::options().dual_stack().bind(&ANY_V6).unwrap();
    let at_v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port(&both.local_address().unwrap())));
    one.send_to(b"from IPv4", &at_v4.into()).unwrap();
    let (came, from) = both.recv_from(&mut [0; 16]).unwrap();
    assert_eq!((came.len, port(&from)), (9, port(&at)));
    let only = Datagram::options().v6_only().bind(&ANY_V6).unwrap();
    assert_eq!(only.option::<V6Only>().unwrap(), V6Only(true));
}

#[test]
fn datagrams_say_where_they_come_from_and_what_was_cut() {
    for at in loopbacks("datagrams_say_where_they_come_from_and_what_was_cut") {
        let receiver = Datagram::bind(&at).unwrap();
        let at = receiver.local_address().unwrap();
        let sender = Datagram::connect(&at).unwrap();
        for message in [&b"one"[..], b"", b"longer than the buffer"] {
            sender.send(message).unwrap();
        }
        for (len, lost) in [(3, 0), (0, 0), (8, 14)] {
            let (came, from) = receiver.recv_from(&mut [0; 8]).unwrap();
            assert_eq!((came.len, came.lost, came.end), (len, lost, false));
            assert_eq!(from, sender.local_address().unwrap());
        }
        refused(sender.send(&[0; 70_000]), ErrorKind::InvalidInput);
        drop(receiver);
        // The first is answered by the network, and the second call hears of it.
        sender.send(b"anybody?").unwrap();
        refused(sender.recv_for(&mut [0; 8], GUARD), ErrorKind::PeerGone);
    }
}

#[test]
fn a_message_is_cut_into_datagrams_and_joined_again() {
    let receiver = Datagram::bind(&V4).unwrap();
    let sender = Datagram::connect(&receiver.local_address().unwrap()).unwrap();
    if sender.set(Segment(100)).is_err() || receiver.set(Coalesce(true)).is_err() {
        let why = "no UDP_SEGMENT or UDP_GRO";
        return skip("a_message_is_cut_into_datagrams_and_joined_again", why);
    }
    sender
        .send_message(&[7; 950], &Ancillary::default())
        .unwrap();
    let mut bytes = 0;
    let mut buffer = [0; 2048];
    let mut beside = Received::new(0);
    while bytes < 950 {
        let came = receiver.recv_message_for(&mut buffer, &mut beside, GUARD);
        let came = came.unwrap().expect("all of it comes");
        // Joined or not is the kernel's choice; if it is, the length says where to cut.
        assert!(came.len <= 100 || beside.segment() == Some(100), "{came:?}");
        bytes += came.len;
    }
    assert_eq!(bytes, 950);
}

/// Through the kernel's loopback transport, VMADDR_CID_LOCAL.
#[test]
fn bytes_cross_vsock() {
    let test = "bytes_cross_vsock";
    let listener: Listener<Bytes> = match Listener::listen(&"vsock:any:any".parse().unwrap()) {
        Ok(listener) => listener,
        Err(error) => return skip(test, error),
    };
    let Address::Vsock { port, .. } = listener.local_address().unwrap() else {
        panic!("a vsock address");
    };
    assert_ne!(port, u32::MAX);
    let at = Address::Vsock { cid: 1, port };
    match Stream::connect_for(&at, Duration::from_secs(3)) {
        Ok(Some(_)) => drop(listener.accept_for(GUARD).unwrap().unwrap()),
        Ok(None) => return skip(test, "no answer from this machine itself"),
        Err(error) => return skip(test, format!("no vsock_loopback: {error}")),
    }
    let peer = Peer::start("socket.echo", &["stream", &at.to_string()]);
    let server: Stream = listener.accept_for(GUARD).unwrap().unwrap();
    let from = server.peer_address().unwrap();
    assert!(matches!(from, Address::Vsock { cid: 1, .. }), "{from}");
    let text: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    server.write_all(&text).unwrap();
    server.shutdown(Half::Sending).unwrap();
    let mut back = vec![0; text.len()];
    server.read_exact(&mut back).unwrap();
    assert_eq!((back == text, server.read(&mut [0; 1]).unwrap()), (true, 0));
    assert!(peer.finish().success());
}
