//! A server of many and its clients, as threads of one process.

mod turns;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};

use strait_sys::time::Deadline;

use super::*;
use crate::channel::connect::{Greeting, establish_connecting, greet};
use crate::channel::door::Sleeper;
use crate::channel::receiver::Taken;
use crate::channel::sender::Patience;
use crate::channel::{Channel, Spin};

const ROLE: u32 = 77;

impl User for u64 {}

pub(super) struct Scene {
    pub(super) hub: Arc<Hub<u64>>,
    address: SocketAddrUnix,
}

fn seqpacket() -> OwnedFd {
    let flags = SocketFlags::CLOEXEC;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
}

fn options() -> Options {
    Options::new()
        .shareable(false)
        .message_max(100_000)
        .spin(Spin::NoYield)
}

/// Says what a client says.
pub(super) fn greeted(socket: &OwnedFd) -> Greeting {
    greet(socket, &options(), ROLE, b"hello").unwrap()
}

impl Scene {
    fn new() -> Self {
        let (address, listener) = Self::listen();
        Self::at(address, listener)
    }

    /// One whose own thread hears nobody who comes to its address.
    pub(super) fn unheard() -> (Self, OwnedFd) {
        let (address, listener) = Self::listen();
        let other = Self::listen().1;
        (Self::at(address, other), listener)
    }

    fn listen() -> (SocketAddrUnix, OwnedFd) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "strait-hub-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap();
        let listener = seqpacket();
        bind(&listener, &address).unwrap();
        listen(&listener, 4096).unwrap();
        (address, listener)
    }

    fn at(address: SocketAddrUnix, listener: OwnedFd) -> Self {
        let terms = Terms {
            options: options(),
            role: ROLE,
            sessions_max: 5000,
            backlog_max: 200_000,
        };
        let hub = Arc::new(Hub::open(listener, terms).unwrap());
        Self { hub, address }
    }

    pub(super) fn dial(&self) -> OwnedFd {
        let socket = seqpacket();
        connect(&socket, &self.address).unwrap();
        socket
    }

    fn connect(&self) -> Result<Channel> {
        let socket = self.dial();
        let greeting = greet(&socket, &options(), ROLE, b"hello")?;
        Ok(establish_connecting(socket, &options(), greeting, None)?.0)
    }

    /// Connects a client, of that user, to a session that this attendant begins.
    fn welcome(
        &self,
        attendant: &mut Attendant<u64>,
        uid: Option<u32>,
    ) -> (Arc<Session<u64>>, Channel) {
        let (session, client) = self.admit(attendant, uid);
        (session.unwrap(), client.unwrap())
    }

    /// The same for one that may be refused.
    fn admit(
        &self,
        attendant: &mut Attendant<u64>,
        uid: Option<u32>,
    ) -> (Result<Arc<Session<u64>>>, Result<Channel>) {
        std::thread::scope(|scope| {
            let client = scope.spawn(|| self.connect());
            let mut asked = loop {
                if let Some(Event::Asked(asked)) = attendant.next(Patience::Forever) {
                    break asked;
                }
            };
            asked.peer.uid = uid.unwrap_or(asked.peer.uid);
            let session = self.hub.welcome(*asked, (Vec::new(), None), 0);
            (session, client.join().unwrap())
        })
    }

    /// Echoes until closed; how many messages and ends it saw.
    fn serve(&self) -> std::thread::JoinHandle<(u64, u64)> {
        let mut attendant = self.hub.attendant();
        let hub = self.hub.clone();
        std::thread::spawn(move || {
            let (mut messages, mut ends) = (0, 0);
            loop {
                match attendant.next(Patience::Forever) {
                    Some(Event::Asked(asked)) => {
                        let _ = hub.welcome(*asked, (b"welcome".to_vec(), None), 0);
                    }
                    Some(Event::Message(len)) => {
                        messages += 1;
                        let _ = attendant.session().post([&[], &attendant.buffer[..len]]);
                    }
                    Some(Event::Ended(_)) => ends += 1,
                    Some(Event::Closed) => return (messages, ends),
                    None => {}
                }
            }
        })
    }
}

fn echo(channel: &mut Channel, message: &[u8]) {
    channel.send(message).unwrap();
    let mut reply = vec![0; message.len()];
    let taken = channel
        .recv_for(&mut reply, Duration::from_secs(20))
        .unwrap();
    assert_eq!(taken, Taken::Message(message.len()));
    assert!(reply == message);
}

#[test]
fn many_clients_are_answered_each_with_its_own() {
    let scene = Scene::new();
    let server = scene.serve();
    let mut clients: Vec<_> = (0..100).map(|_| scene.connect().unwrap()).collect();
    for round in 0..50_u64 {
        for (index, client) in clients.iter_mut().enumerate() {
            echo(client, &(round << 32 | index as u64).to_le_bytes());
        }
    }
    // Messages longer than the ring, both ways.
    let long: Vec<u8> = (0..90_000_u32).map(|n| n as u8).collect();
    echo(&mut clients[3], &long);
    echo(&mut clients[97], &long);
    assert_eq!(scene.hub.len(), 100);
    drop(clients);
    while scene.hub.len() > 0 {
        std::thread::yield_now();
    }
    scene.hub.close();
    assert_eq!(server.join().unwrap(), (5002, 100));
}

#[test]
fn several_threads_share_the_work_and_lose_nothing() {
    let scene = Scene::new();
    let servers: Vec<_> = (0..3).map(|_| scene.serve()).collect();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut client = scene.connect().unwrap();
                for number in 0..2000_u64 {
                    echo(&mut client, &number.to_le_bytes());
                }
            });
        }
    });
    while scene.hub.len() > 0 {
        std::thread::yield_now();
    }
    scene.hub.close();
    let seen: Vec<_> = servers
        .into_iter()
        .map(|server| server.join().unwrap())
        .collect();
    assert_eq!(
        seen.iter().map(|(messages, _)| messages).sum::<u64>(),
        12_000
    );
    assert_eq!(seen.iter().map(|(_, ends)| ends).sum::<u64>(), 6);
}

#[test]
fn nobody_starves_when_all_have_something() {
    const CLIENTS: usize = 70;
    const SERVED: u64 = 3500;
    let scene = Scene::new();
    let server = scene.serve();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| scene.connect().unwrap()).collect();
    // The session of the last is begun wholly: one that begins now would be closed.
    echo(&mut clients[CLIENTS - 1], b"begun");
    // Its thread ends, and the sessions go on.
    scene.hub.shared.notes.fetch_or(CLOSED, Ordering::SeqCst);
    scene.hub.shared.ring_all();
    server.join().unwrap();
    // Everybody has sent a hundred before the first is received.
    let mut attendant = Attendant::new(scene.hub.shared.clone());
    scene.hub.shared.notes.fetch_and(!CLOSED, Ordering::SeqCst);
    attendant.next(Patience::Look);
    let start = Barrier::new(CLIENTS + 1);
    let counts = std::thread::scope(|scope| {
        for (index, mut client) in clients.into_iter().enumerate() {
            let start = &start;
            scope.spawn(move || {
                for _ in 0..100 {
                    client.send(&[index as u8]).unwrap();
                }
                start.wait();
                // Until the server hangs up.
                let mut byte = [0];
                while let Ok(Some(_)) = client.recv(&mut byte) {}
            });
        }
        start.wait();
        let mut counts = [0_u64; CLIENTS];
        let mut served = 0;
        let mut sessions = Vec::new();
        while served < SERVED {
            if let Some(Event::Message(_)) = attendant.next(Patience::Forever) {
                counts[usize::from(attendant.buffer[0])] += 1;
                served += 1;
                if !sessions
                    .iter()
                    .any(|known| Arc::ptr_eq(known, attendant.session()))
                {
                    sessions.push(attendant.session().clone());
                }
            }
        }
        for session in sessions {
            session.close();
        }
        counts
    });
    let (min, max) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(max - min <= 1, "{counts:?}");
}

#[test]
fn who_connects_and_stalls_or_lies_delays_nobody() {
    let scene = Scene::new();
    let server = scene.serve();
    let stalled: Vec<_> = (0..300).map(|_| scene.dial()).collect();
    let liars: Vec<_> = (0..20_u8)
        .map(|index| {
            let socket = scene.dial();
            let bytes = vec![index; usize::from(index) * 17];
            let _ = strait_sys::pass::send(socket.as_fd(), &bytes, &[]);
            socket
        })
        .collect();
    let mut client = scene.connect().unwrap();
    echo(&mut client, b"still served");
    drop((stalled, liars));
    scene.hub.close();
    server.join().unwrap();
}

#[test]
fn who_never_reads_loses_only_its_own_session() {
    let scene = Scene::new();
    let server = scene.serve();
    let mut honest = scene.connect().unwrap();
    let (mut flood, mut deaf) = scene.connect().unwrap().split();
    let sending = std::thread::spawn(move || {
        // Answers fill its ring, then what is kept for it; then it is not heard any more.
        let mut sent = 0;
        while sent < 10_000
            && flood
                .send_for(&[7; 1000], Duration::from_millis(200))
                .unwrap_or(false)
        {
            sent += 1;
        }
        (sent, flood)
    });
    for number in 0..2000_u32 {
        echo(&mut honest, &number.to_le_bytes());
    }
    let (sent, mut flood) = sending.join().unwrap();
    assert!(sent < 10_000, "it was held up");
    // Once it reads, it goes on where it was.
    let mut answer = [0; 1000];
    for _ in 0..sent {
        let taken = deaf.recv_for(&mut answer, Duration::from_secs(20)).unwrap();
        assert_eq!((taken, answer), (Taken::Message(1000), [7; 1000]));
    }
    flood.send(b"and on").unwrap();
    assert_eq!(deaf.recv(&mut answer).unwrap(), Some(6));
    echo(&mut honest, b"as before");
    scene.hub.close();
    server.join().unwrap();
}

#[test]
fn a_door_that_is_scribbled_on_costs_time_only() {
    let scene = Scene::new();
    let server = scene.serve();
    let mut clients: Vec<_> = (0..5).map(|_| scene.connect().unwrap()).collect();
    let hall = scene.hub.shared.halls()[0].clone();
    let wrong = hall.door.knocker(4000).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                wrong.knock();
                // What a client has said is taken back, and that the server sleeps is denied.
                while hall.door.take(0).is_some() {}
                hall.door.wakes(Sleeper::ServesAll);
                hall.door.sleeps(Sleeper::ServesAll);
            }
        });
        for number in 0..2_u8 {
            for client in &mut clients {
                echo(client, &[number]);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    scene.hub.close();
    server.join().unwrap();
}

#[test]
fn refused_means_told() {
    let scene = Scene::new();
    let mut attendant = scene.hub.attendant();
    std::thread::scope(|scope| {
        let client = scope.spawn(|| scene.connect());
        let Some(Event::Asked(asked)) = attendant.next(Patience::Forever) else {
            panic!("somebody asks");
        };
        assert_eq!(asked.payload, b"hello");
        asked.refuse(5, b"not today").unwrap();
        let error = client.join().unwrap().err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().contains("not today"), "{error}");
    });
    assert!(attendant.next(Patience::Look).is_none());
}
