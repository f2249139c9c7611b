//! Room for connections: descriptors, places, memory.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use rustix::net::{AddressFamily, SocketType};

use super::{Client, Served, procedure, results};
use crate::world::{GUARD, until};

#[test]
fn without_descriptors_the_idlest_makes_way() {
    let mut served = Served::start(&["descriptors=48"]);
    // They are accepted as far as descriptors go; the others wait in the kernel.
    let mut crowd: Vec<_> = (0..150).map(|_| served.client()).collect();
    for (at, client) in crowd.iter_mut().enumerate() {
        // Whoever calls has just not been the idlest, until the next ones are.
        client.send(procedure::ECHO, &(at as u32).to_be_bytes());
    }
    let mut late = served.client();
    assert_eq!(late.call(procedure::ECHO, b"late"), b"late");
    assert!(served.has_told("no connection can be accepted"));
    assert!(served.has_told("it made way for another"));
    // One pause for each that made way, and few more: it does not spin.
    let failures = served.count("events no connection can be accepted");
    assert!(failures < 1000, "{failures}");
    drop(crowd);
    until("they are gone", || served.count("connections") == 1);
    for _ in 0..10 {
        assert_eq!(served.client().call(procedure::ECHO, b"well"), b"well");
    }
    assert_eq!(late.call(procedure::ECHO, b"still"), b"still");
}

#[test]
fn beyond_the_limit_of_connections_the_idlest_makes_way() {
    let mut served = Served::start(&["connections=3"]);
    let mut clients: Vec<Client<TcpStream>> = (0..3).map(|_| served.client()).collect();
    for at in [1, 0, 2] {
        // sleep: the server counts in milliseconds who was last.
        std::thread::sleep(std::time::Duration::from_millis(3));
        clients[at].call(0, &[]);
    }
    let mut fourth = served.client();
    assert_eq!(fourth.call(procedure::ECHO, b"here"), b"here");
    assert!(clients[1].is_closed());
    for at in [0, 2] {
        assert!(clients[at].call(0, &[]).is_empty());
    }
    assert_eq!(served.count("connections"), 3);
}

/// A client from that address of this machine.
fn from(address: Ipv4Addr, served: &Served) -> Client<TcpStream> {
    let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
    let socket = rustix::net::socket(family, kind, None).unwrap();
    rustix::net::bind(&socket, &SocketAddr::from((address, 0))).unwrap();
    rustix::net::connect(&socket, &served.tcp).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(GUARD)).unwrap();
    Client::over(stream)
}

#[test]
fn of_those_who_fill_all_places_who_has_most_makes_way() {
    let mut served = Served::start(&["connections=6"]);
    let mut honest = from(Ipv4Addr::new(127, 0, 0, 2), &served);
    honest.call(0, &[]);
    let mut crowd: Vec<_> = (0..20)
        .map(|_| {
            // sleep: the server counts in milliseconds who was last.
            std::thread::sleep(std::time::Duration::from_millis(2));
            let mut client = served.client();
            client.call(0, &[]);
            client
        })
        .collect();
    assert_eq!(served.count("connections"), 6);
    assert!(honest.call(0, &[]).is_empty(), "though it was the idlest");
    assert!(crowd[0].is_closed());
    assert!(crowd[19].call(0, &[]).is_empty());
}

#[test]
fn calls_in_progress_keep_no_place_for_who_has_most_of_them() {
    let mut served = Served::start(&["connections=6"]);
    let mut honest = from(Ipv4Addr::new(127, 0, 0, 2), &served);
    honest.call(0, &[]);
    let mut crowd: Vec<_> = (0..5).map(|_| served.client()).collect();
    for client in &mut crowd {
        client.send(procedure::WAIT, &1_u32.to_be_bytes());
    }
    until("all are busy", || served.count("in-flight") == 5);
    let mut third = from(Ipv4Addr::new(127, 0, 0, 3), &served);
    assert!(third.call(0, &[]).is_empty());
    assert!(honest.call(0, &[]).is_empty(), "though it was idle");
    assert_eq!(served.count("events it made way for another"), 1);
}

#[test]
fn calls_in_progress_keep_the_place_of_who_has_few() {
    let mut served = Served::start(&["connections=20"]);
    let mut busy: Vec<_> = (0..2)
        .map(|_| from(Ipv4Addr::new(127, 0, 0, 2), &served))
        .collect();
    for client in &mut busy {
        client.send(procedure::WAIT, &1_u32.to_be_bytes());
    }
    until("both are busy", || served.count("in-flight") == 2);
    let idle: Vec<_> = (0..18)
        .map(|at| {
            let mut client = from(Ipv4Addr::new(127, 0, 1, at), &served);
            client.call(0, &[]);
            client
        })
        .collect();
    let mut last = from(Ipv4Addr::new(127, 0, 0, 3), &served);
    last.call(procedure::OPEN, &1_u32.to_be_bytes());
    for client in &mut busy {
        assert!(results(&client.reply(), 1).is_empty());
    }
    drop(idle);
}

#[test]
fn an_idle_connection_is_closed() {
    let mut served = Served::start(&["idle=200"]);
    let mut client = served.client();
    client.call(0, &[]);
    let waiting = {
        let mut busy = served.client();
        busy.send(procedure::WAIT, &1_u32.to_be_bytes());
        busy
    };
    assert!(client.is_closed());
    assert!(served.has_told("idle for too long"));
    assert_eq!(
        served.count("connections"),
        1,
        "who waits for a reply is not idle"
    );
    drop(waiting);
}

#[test]
fn idle_connections_cost_little() {
    const CROWD: u64 = 2000;
    let mut served = Served::start(&[]);
    served.client().call(0, &[]);
    let before = served.count("VmRSS:");
    let mut crowd: Vec<_> = (0..CROWD).map(|_| served.client()).collect();
    for client in &mut crowd {
        assert_eq!(client.call(procedure::ECHO, b"here"), b"here");
    }
    let each = (served.count("VmRSS:") - before) * 1024 / CROWD;
    println!("{each} bytes for each");
    assert!(each < 16 << 10, "{each} bytes for each");
    until("what they read into is given back", || {
        served.count("records") == 0
    });
}
