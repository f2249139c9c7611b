//! Clients who mean harm, or die in the middle.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use super::{Served, call, procedure, record, results, words};
use crate::peer::{Peer, say, told};
use crate::world::until;

/// A mark that announces as much as a record may have.
const CLAIM: u32 = 0x8000_0000 | (4 << 20);

/// Opens connections to the server, claims 4 MiB on each and sends 64 KiB.
pub(crate) fn attack(arguments: &[String]) {
    let bytes = vec![0x41; 64 << 10];
    let open = || {
        let mut stream = TcpStream::connect(&arguments[0]).unwrap();
        stream.write_all(&words(&[CLAIM])).unwrap();
        // The server may read it late, or hang up: that is not the client's worry.
        stream.set_nonblocking(true).unwrap();
        let _ = stream.write(&bytes);
        stream
    };
    let streams: Vec<_> = (0..arguments[1].parse().unwrap()).map(|_| open()).collect();
    say("sent");
    told();
    drop(streams);
}

/// Sends half a call and waits for its end.
pub(crate) fn half(arguments: &[String]) {
    let mut stream = TcpStream::connect(&arguments[0]).unwrap();
    let call = record(&call(1, procedure::COUNT, &[0; 400]));
    stream.write_all(&call[..call.len() / 2]).unwrap();
    say("half");
    told();
}

#[test]
fn half_a_call_stalls_nobody() {
    let served = Served::start(&[]);
    let mut slow = served.client();
    let whole = record(&call(9, procedure::ECHO, &[7; 1000]));
    slow.stream.write_all(&whole[..500]).unwrap();
    let mut honest = served.client();
    for number in 0..1000_u32 {
        let number = number.to_be_bytes();
        assert_eq!(honest.call(procedure::ECHO, &number), number);
    }
    slow.stream.write_all(&whole[500..]).unwrap();
    assert_eq!(results(&slow.reply(), 9), [7; 1000]);
}

#[test]
fn a_call_in_many_pieces_is_put_together() {
    let served = Served::start(&[]);
    let mut client = served.client();
    let whole = call(3, procedure::ECHO, b"in pieces---");
    let (last, pieces) = whole.split_last().unwrap();
    // An empty fragment is legal; marks may come in parts.
    client.stream.write_all(&words(&[0])).unwrap();
    for piece in pieces {
        client.stream.write_all(&[0, 0]).unwrap();
        client.stream.write_all(&[0, 1, *piece]).unwrap();
    }
    client.stream.write_all(&[0x80, 0, 0, 1, *last]).unwrap();
    let mut end = Vec::new();
    client.stream.shutdown(Shutdown::Write).unwrap();
    client.stream.read_to_end(&mut end).unwrap();
    assert_eq!(results(&end[4..], 3), b"in pieces---");
}

#[test]
fn endless_records_end_the_connection() {
    let mut served = Served::start(&[]);
    let cases: &[(&str, Vec<u8>)] = &[
        ("more than 64 fragments", words(&[0; 65])),
        ("more than 64 fragments", [0, 0, 0, 1, 9].repeat(65)),
        ("a record of 2147483647 bytes", words(&[0x7fff_ffff])),
        ("a record of 4194305 bytes", words(&[CLAIM + 1])),
        ("not a whole call", words(&[0x8000_0000])),
        ("not a call", record(&words(&[1, 1, 0, 0, 0, 0]))),
    ];
    for (at, (why, bytes)) in cases.iter().enumerate() {
        let mut client = served.client();
        client.stream.write_all(bytes).unwrap();
        assert!(client.is_closed(), "{why}");
        assert_eq!(served.count("dropped"), at as u64 + 1);
        assert!(served.has_told(why), "{why}");
    }
    // Large fragments without end: refused before 5 MiB have gone.
    let mut client = served.client();
    let piece = [&words(&[1 << 16])[..], &vec![0; 1 << 16]].concat();
    let taken = (0..80).take_while(|_| client.stream.write_all(&piece).is_ok());
    let _ = taken.count();
    assert!(client.is_closed());
    assert!(served.has_told("and at most 4194304 are allowed"));
    assert_eq!(served.client().call(procedure::ECHO, b"well"), b"well");
}

#[test]
fn a_thousand_hostile_clients_get_no_more_memory_than_allowed() {
    let mut served = Served::start(&[]);
    let mut attackers = Peer::start("rpc.onc.server.hostile", &[&served.tcp.to_string(), "1000"]);
    assert_eq!(attackers.hear().unwrap(), "sent");
    let mut honest = served.client();
    for number in 0..100_u32 {
        let number = number.to_be_bytes();
        assert_eq!(honest.call(procedure::ECHO, &number), number);
    }
    // A large one too, for which somebody has to make way.
    let large = vec![0x55; 1 << 20];
    let mut writer = honest.stream.try_clone().unwrap();
    let sent = record(&call(101, procedure::ECHO, &large));
    let writing = std::thread::spawn(move || writer.write_all(&sent));
    assert!(results(&honest.reply(), 101) == large);
    writing.join().unwrap().unwrap();
    let (records, peak) = (served.count("records"), served.count("VmHWM:"));
    println!("{records} bytes of records; {peak} kB at most");
    assert!(records <= 24 << 20, "{records}");
    assert!(peak < 64 << 10, "{peak} kB");
}

#[test]
fn a_client_that_takes_no_replies_is_dropped() {
    let mut served = Served::start(&["write_time=300"]);
    let mut client = served.client();
    let asked = record(&call(1, procedure::BYTES, &words(&[512 << 10])));
    // It is not read from any more after some replies: then these writes end in an error, when it
    // is dropped.
    while client.stream.write_all(&asked.repeat(100)).is_ok() {
        let held = served.count("replies");
        assert!(held < 2 << 20, "{held} bytes of replies");
    }
    until("it is dropped", || served.has_told("takes no replies"));
    until("its replies are gone", || served.count("replies") == 0);
    assert_eq!(served.client().call(procedure::ECHO, b"well"), b"well");
}

#[test]
fn clients_that_take_no_replies_make_way_where_memory_is_short() {
    // The usual 30 s for who takes no replies: that is not what ends them.
    let mut served = Served::start(&["replies=2097152"]);
    let asked = record(&call(1, procedure::BYTES, &words(&[512 << 10])));
    let silent: Vec<_> = (0..5)
        .map(|_| {
            let mut client = served.client();
            client.stream.write_all(&asked.repeat(100)).unwrap();
            client
        })
        .collect();
    until("one is dropped", || served.has_told("takes no replies"));
    until("room is made", || served.count("replies") < 2 << 20);
    assert_eq!(served.client().call(procedure::ECHO, b"well"), b"well");
    drop(silent);
}

/// What it has sent of a call stays in the server's memory, and its reading stops for its own sake.
#[test]
fn who_takes_no_replies_holds_no_memory_that_others_wait_for() {
    // Neither time of a client's own ends it.
    let times = ["write_time=3600000", "record_time=3600000"];
    let room = ["records=1048576", "record_max=524288"];
    let mut served = Served::start(&[times, room].concat());
    let mut hostile = served.client();
    hostile.send(procedure::BYTES_LATER, &words(&[1, 32 << 20]));
    let half = &record(&call(2, procedure::ECHO, &vec![7; 500_000]))[..480_000];
    hostile.stream.write_all(half).unwrap();
    until("the half has come", || served.count("records") > 400_000);
    let mut honest = served.client();
    honest.call(procedure::OPEN, &words(&[1]));
    until("a reply waits", || served.count("replies") > 1 << 20);
    let long = vec![8; 300_000];
    assert!(honest.call(procedure::ECHO, &long) == long);
    assert!(served.has_told("memory is short"));
}

#[test]
fn a_call_that_trickles_is_given_up() {
    let mut served = Served::start(&["record_time=300"]);
    let mut client = served.client();
    let mut honest = served.client();
    client.stream.write_all(&words(&[CLAIM])).unwrap();
    while client.stream.write_all(b"x").is_ok() {
        assert!(honest.call(0, &[]).is_empty());
    }
    assert!(served.has_told("a call was begun and not finished in time"));
    assert!(
        honest.call(0, &[]).is_empty(),
        "who has nothing to say is no loris"
    );
}

#[test]
fn clients_killed_in_the_middle_of_a_call_leave_nothing() {
    let mut served = Served::start(&[]);
    let address = served.tcp.to_string();
    for _ in 0..100 {
        let mut client = Peer::start("rpc.onc.server.half", &[&address]);
        assert_eq!(client.hear().unwrap(), "half");
        client.kill();
    }
    let mut honest = served.client();
    assert_eq!(
        honest.number(procedure::COUNT, 0),
        1,
        "none of them was done"
    );
    until("their connections are gone", || {
        served.count("connections") == 1
    });
}
