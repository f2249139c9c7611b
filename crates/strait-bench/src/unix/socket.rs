//! `unix.socket.*`: sockets of each kind, connected, bytes or messages.

use std::marker::PhantomData;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;

use strait::unix::socket::{
    Address, Arrival, Datagram, Kind, Listener, Messages, NoDelay, Seqpacket, Socket, Stream,
};

use super::wraps;
use crate::{Carries, Failure, Goal, Job, Mechanism, Outcome, Side, Site};

/// How the two sides get their sockets.
pub(super) trait Way: 'static {
    const ID: &'static str;
    const ABOUT: &'static str;
    const MEASURES: &'static [Job];
    const GOALS: &'static [Goal];
    type Socket;

    fn open(site: &Site<'_>) -> Outcome<Self::Socket>;
}

/// A socket that carries bytes.
pub(super) struct OfBytes<W> {
    socket: Stream,
    way: PhantomData<W>,
}

/// A socket that carries messages.
pub(super) struct OfMessages<W: Way> {
    socket: W::Socket,
}

impl<W: Way<Socket = Stream>> Mechanism for OfBytes<W> {
    const ID: &'static str = W::ID;
    const ABOUT: &'static str = W::ABOUT;
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = W::MEASURES;
    const GOALS: &'static [Goal] = W::GOALS;

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let socket = W::open(site)?;
        let way = PhantomData;
        Ok(Self { socket, way })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        Ok(self.socket.write_all(message)?)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        self.socket.read_exact(buffer)?;
        Ok(buffer.len())
    }
}

impl<K: Messages, W: Way<Socket = Socket<K>>> Mechanism for OfMessages<W> {
    const ID: &'static str = W::ID;
    const ABOUT: &'static str = W::ABOUT;
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = W::MEASURES;
    const GOALS: &'static [Goal] = W::GOALS;

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let socket = W::open(site)?;
        Ok(Self { socket })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        Ok(self.socket.send(message)?)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        let Arrival { len, end, .. } = self.socket.recv(buffer)?;
        if end {
            return Err(Failure::gone("the other side closed"));
        }
        Ok(len)
    }
}

/// One end of a pair, of which near gives the other to far.
fn pair<K: Kind>(site: &Site<'_>) -> Outcome<Socket<K>> {
    if site.side() == Side::Far {
        let [socket] = site.take()?;
        return Ok(Socket::from_descriptor(socket)?);
    }
    let (socket, theirs) = Socket::pair()?;
    site.give(&[theirs.as_fd()])?;
    Ok(socket)
}

const LOOPBACK: Address = Address::Inet(SocketAddr::new(
    std::net::IpAddr::V4(Ipv4Addr::LOCALHOST),
    0,
));

fn hear(site: &Site<'_>) -> Outcome<Address> {
    Ok(String::from_utf8(site.hear()?)?.parse()?)
}

fn tell(site: &Site<'_>, address: &Address) -> Outcome<()> {
    site.tell(address.to_string().as_bytes())
}

fn tcp(site: &Site<'_>) -> Outcome<Stream> {
    let socket = if site.side() == Side::Near {
        let listener = Listener::listen(&LOOPBACK)?;
        tell(site, &listener.local_address()?)?;
        let caller = hear(site)?;
        let socket: Stream = listener.accept()?;
        // Anybody may connect to a port of this machine; it must be the other side.
        let from = socket.peer_address()?;
        if from != caller {
            return Err(Failure::new(format!("{from} connected instead of far")));
        }
        socket
    } else {
        let socket = Stream::connect(&hear(site)?)?;
        tell(site, &socket.local_address()?)?;
        socket
    };
    socket.set(NoDelay(true))?;
    Ok(socket)
}

fn udp(site: &Site<'_>) -> Outcome<Datagram> {
    let socket = Datagram::bind(&LOOPBACK)?;
    tell(site, &socket.local_address()?)?;
    socket.connect_to(&hear(site)?)?;
    Ok(socket)
}

const ALL: &[Job] = &[Job::RTT, Job::ONEWAY, Job::BANDWIDTH];

macro_rules! ways {
    ($(
        $name:ident, $socket:ty, $id:literal, $about:literal,
        $raw:literal, $jobs:expr, $open:expr;
    )*) => {$(
        #[doc = $about]
        pub(super) enum $name {}

        impl Way for $name {
            const ID: &'static str = $id;
            const ABOUT: &'static str = $about;
            const MEASURES: &'static [Job] = $jobs;
            const GOALS: &'static [Goal] = &[wraps($raw)];
            type Socket = $socket;

            fn open(site: &Site<'_>) -> Outcome<$socket> {
                $open(site)
            }
        }
    )*};
}

ways! {
    Streams, Stream, "unix.socket.stream", "Unix stream socket", "raw.unix.stream", ALL, pair;
    Packets, Seqpacket, "unix.socket.seqpacket", "Unix seqpacket socket", "raw.unix.seqpacket",
        ALL, pair;
    Datagrams, Datagram, "unix.socket.dgram", "Unix datagram socket", "raw.unix.dgram", ALL, pair;
    Tcp, Stream, "unix.socket.tcp", "TCP over loopback, NoDelay", "raw.tcp", ALL, tcp;
    Udp, Datagram, "unix.socket.udp", "UDP over loopback", "raw.udp", &[Job::RTT], udp;
}
