//! Calls by UDP.

use std::net::UdpSocket;

use super::{Served, call, procedure, results, words};
use crate::world::{GUARD, until};

struct Datagrams(UdpSocket);

impl Datagrams {
    fn of(served: &Served) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(served.udp).unwrap();
        socket.set_read_timeout(Some(GUARD)).unwrap();
        Self(socket)
    }

    fn send(&self, message: &[u8]) {
        assert_eq!(self.0.send(message).unwrap(), message.len());
    }

    fn reply(&self) -> Vec<u8> {
        let mut reply = vec![0; 1 << 16];
        let len = self.0.recv(&mut reply).unwrap();
        reply.truncate(len);
        reply
    }

    fn ask(&self, message: &[u8]) -> Vec<u8> {
        self.send(message);
        self.reply()
    }
}

#[test]
fn a_repeated_call_is_done_once_and_answered_twice() {
    let served = Served::start(&[]);
    let client = Datagrams::of(&served);
    let count = call(5, procedure::COUNT, &[]);
    let first = client.ask(&count);
    assert_eq!(results(&first, 5), words(&[1]));
    assert_eq!(client.ask(&count), first, "again, and not done again");
    assert_eq!(
        results(&client.ask(&call(6, procedure::COUNT, &[])), 6),
        words(&[2])
    );
    let other = Datagrams::of(&served);
    assert_eq!(
        results(&other.ask(&count), 5),
        words(&[3]),
        "another caller's"
    );
}

#[test]
fn a_call_in_progress_that_is_repeated_is_dropped() {
    let mut served = Served::start(&[]);
    let client = Datagrams::of(&served);
    let waiting = call(7, procedure::COUNT_AND_WAIT, &[]);
    client.send(&waiting);
    client.send(&waiting);
    client.send(&waiting);
    until("both are known as repeated", || {
        served.count("repeated") == 2
    });
    assert_eq!(served.count("in-flight"), 1);
    // From elsewhere, so that what comes here is only what was asked for.
    served.client().call(procedure::OPEN, &words(&[0]));
    assert_eq!(results(&client.reply(), 7), words(&[1]));
    // One reply: the next that comes belongs to the next call.
    assert_eq!(
        results(&client.ask(&call(8, procedure::COUNT, &[])), 8),
        words(&[2])
    );
}

#[test]
fn a_reply_too_long_for_a_datagram_is_a_system_error() {
    let mut served = Served::start(&[]);
    let client = Datagrams::of(&served);
    let bytes = |len: u32| call(len, procedure::BYTES, &words(&[len]));
    // 65,507 without the header of 24.
    assert_eq!(client.ask(&bytes(65_483)).len(), 65_507);
    assert_eq!(client.ask(&bytes(65_484)), words(&[65_484, 1, 0, 0, 0, 5]));
    assert_eq!(served.count("events a reply of 65508 bytes"), 1);
}

#[test]
fn a_reply_is_no_amplification_where_that_is_bounded() {
    let served = Served::start(&["factor=3"]);
    let client = Datagrams::of(&served);
    // The call has 44 bytes: 132 may go back, of which 24 are the header.
    let bytes = |len: u32| call(len, procedure::BYTES, &words(&[len]));
    assert_eq!(client.ask(&bytes(108)).len(), 132);
    assert_eq!(client.ask(&bytes(112)), words(&[112, 1, 0, 0, 0, 5]));
}

#[test]
fn only_what_came_is_decoded_and_junk_is_dropped() {
    let mut served = Served::start(&[]);
    let client = Datagrams::of(&served);
    client.send(&call(1, procedure::ECHO, &[0x5a; 2000]));
    client.reply();
    // 44 bytes whose credential claims 400 more, of which the buffer still holds another's.
    client.send(&words(&[2, 0, 2, super::PROGRAM, 1, 1, 0, 400, 0, 0, 0]));
    client.send(&words(&[3, 1, 0, 0, 0, 0]));
    client.send(b"x");
    assert_eq!(
        results(&client.ask(&call(4, procedure::ECHO, b"here")), 4),
        b"here"
    );
    assert_eq!(served.count("events dropped"), 3);
}

#[test]
fn the_answer_comes_from_the_address_that_was_asked() {
    let served = Served::start(&[]);
    let client = UdpSocket::bind("0.0.0.0:0").unwrap();
    client.set_read_timeout(Some(GUARD)).unwrap();
    let asked = (std::net::Ipv4Addr::new(127, 9, 8, 7), served.udp.port());
    client
        .send_to(&call(1, procedure::WHO, &[]), asked)
        .unwrap();
    let mut reply = [0; 64];
    let (len, from) = client.recv_from(&mut reply).unwrap();
    assert_eq!(from, asked.into());
    assert_eq!(results(&reply[..len], 1), words(&[1, 0, asked.1.into()]));
}

#[test]
fn panics_of_what_hears_of_events_and_of_what_handlers_leave_end_nothing() {
    let mut served = Served::start(&["falls=1", "idle=300"]);
    let client = Datagrams::of(&served);
    for xid in 0..3 {
        client.send(&words(&[xid, 0]));
        let fall = call(10 + xid, procedure::PANIC_AT_LAST, &[]);
        assert_eq!(results(&client.ask(&fall), 10 + xid), []);
    }
    until("it is told", || {
        served.count("events not a whole call") == 3
    });
    let echo = call(20, procedure::ECHO, b"well");
    assert_eq!(results(&client.ask(&echo), 20), b"well");
    // Who looks after connections tells of them.
    for _ in 0..2 {
        let mut idle = served.client();
        assert!(idle.call(procedure::PANIC_AT_LAST, &[]).is_empty());
        assert!(idle.is_closed());
    }
    assert_eq!(served.count("events idle for too long"), 2);
    let options = strait::rpc::onc::Client::options().timeout(GUARD);
    let channel = options.namespace(&served.space()).channel("calls").unwrap();
    let fall = strait::rpc::onc::Procedure {
        program: super::PROGRAM,
        version: 1,
        number: procedure::PANIC_AT_LAST,
    };
    for _ in 0..2 {
        channel.call(fall, |_| Ok(()), |_| Ok(())).unwrap();
    }
}

#[test]
fn what_a_handler_panics_with_ends_nothing() {
    let mut served = Served::start(&[]);
    let client = Datagrams::of(&served);
    for xid in 0..2 {
        let fall = call(xid, procedure::PANIC_TWICE, &[]);
        assert_eq!(client.ask(&fall), words(&[xid, 1, 0, 0, 0, 5]));
    }
    assert_eq!(served.count("panicked"), 2);
    let mut client = served.client();
    let fall = client.send(procedure::PANIC_TWICE, &[]);
    assert_eq!(client.reply(), words(&[fall, 1, 0, 0, 0, 5]));
}

#[test]
fn another_address_that_calls_much_does_not_have_calls_done_twice() {
    let served = Served::start(&[]);
    let client = Datagrams::of(&served);
    let count = call(5, procedure::COUNT, &[]);
    let first = client.ask(&count);
    let crowd = UdpSocket::bind("127.0.0.2:0").unwrap();
    crowd.connect(served.udp).unwrap();
    crowd.set_read_timeout(Some(GUARD)).unwrap();
    let crowd = Datagrams(crowd);
    // As many as are remembered in all, and some.
    for xid in 0..4200 {
        let reply = crowd.ask(&call(xid, procedure::ECHO, b"much"));
        assert_eq!(results(&reply, xid), b"much");
    }
    assert_eq!(client.ask(&count), first, "not done again");
}
