//! A client and a server in one file, with a clock and a network that are numbers.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use super::super::auth::OpaqueAuth;
use super::super::client::{Client, Due, Order, Received, Retry};
use super::super::message::{Accepted, Xid};
use super::super::record::{self, Records};
use super::super::server::{self, Caps, Duplicates, Key, Limits, Programs, Verdict, parse_call};
use super::PROCEDURE;
use crate::time::Time;
use crate::xdr::Reader;

/// Numbers that a seed decides: splitmix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True in so many of a hundred cases.
    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What the network does to a packet, or to a piece of a stream.
#[derive(Copy, Clone, Debug)]
pub(super) struct Weather {
    /// Of a hundred datagrams. Streams lose nothing, they are cut.
    pub(super) loss: u64,
    /// Of a hundred datagrams.
    pub(super) twice: u64,
    /// The longest time on the way, in milliseconds. Datagrams overtake each other.
    pub(super) delay_ms: u64,
    /// Of a thousand pieces of a stream: the connection ends there.
    pub(super) cut: u64,
}

/// How a call ended.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// With twice the number that was sent.
    Doubled,
    TimedOut,
    Cut,
}

#[derive(Copy, Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum To {
    Server,
    Client,
    /// The handler of the server is done with the call in this place of `working`.
    Done(usize),
}

/// A client, a server and what is between them.
pub(super) struct Pair {
    random: Random,
    weather: Weather,
    stream: bool,
    now: Time,
    /// What arrives, by moment and number.
    flying: BTreeMap<(Time, u64), (To, Vec<u8>)>,
    flown: u64,
    /// When the last piece of each direction of the stream arrives: nothing overtakes it.
    last: [Time; 2],
    client: Client,
    client_records: Records,
    server_records: Records,
    programs: Programs<()>,
    duplicates: Duplicates<u16>,
    working: Vec<(Option<Key<u16>>, Xid, u32)>,
    /// How often each number has been doubled.
    pub(super) done: BTreeMap<u32, u32>,
    asked: BTreeMap<Xid, u32>,
    pub(super) outcomes: BTreeMap<u32, Outcome>,
    was_cut: bool,
    /// Calls that came to the server again.
    pub(super) repeated: usize,
    /// Replies to a later call than one that still waits.
    pub(super) overtaken: usize,
}

impl Pair {
    pub(super) fn new(seed: u64, stream: bool, weather: Weather) -> Self {
        let mut random = Random(seed);
        let first = Xid(u32::try_from(random.next() >> 32).unwrap());
        let mut programs = Programs::default();
        programs.insert(PROCEDURE.program, PROCEDURE.version, ());
        Self {
            random,
            weather,
            stream,
            now: Time::default(),
            flying: BTreeMap::new(),
            flown: 0,
            last: [Time::default(); 2],
            client: match stream {
                true => Client::stream(first),
                false => Client::datagrams(first, Retry::default()),
            },
            client_records: Records::default(),
            server_records: Records::default(),
            programs,
            duplicates: Duplicates::new(Limits::default()),
            working: Vec::new(),
            done: BTreeMap::new(),
            asked: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            was_cut: false,
            repeated: 0,
            overtaken: 0,
        }
    }

    /// Asks for the double of `number`.
    pub(super) fn call(&mut self, number: u32, patience: Duration) {
        if self.was_cut {
            self.outcomes.insert(number, Outcome::Cut);
            return;
        }
        let order = Order::new(PROCEDURE).deadline(self.now.after(patience));
        let mut out = Vec::new();
        let called = self.client.call(self.now, &order, &mut out, |to| {
            to.unsigned(number);
            Ok(())
        });
        let xid = called.expect("few calls are in flight");
        assert!(
            self.asked.insert(xid, number).is_none(),
            "{xid:?} is given twice"
        );
        self.send(To::Server, &out);
    }

    /// Runs until nothing is on its way and nothing is due.
    pub(super) fn run(&mut self) {
        loop {
            let arrival = self.flying.first_key_value().map(|((at, _), _)| *at);
            let due = self.client.poll_timeout();
            let Some(now) = arrival.into_iter().chain(due).min() else {
                break;
            };
            assert!(now >= self.now, "time goes on");
            self.now = now;
            if due == Some(now) {
                self.timers();
            } else if let Some((_, (to, bytes))) = self.flying.pop_first() {
                match to {
                    To::Server => self.at_server(&bytes),
                    To::Client => self.at_client(&bytes),
                    To::Done(i) => self.answer(i),
                }
            }
        }
        assert_eq!(self.client.in_flight(), 0, "every call ends");
    }

    fn timers(&mut self) {
        let mut again = Vec::new();
        while let Some(due) = self.client.handle_timeout(self.now) {
            match due {
                Due::Retransmit { datagram, .. } => again.push(datagram.to_vec()),
                Due::TimedOut(xid) => {
                    let number = self.asked[&xid];
                    let ended = self.outcomes.insert(number, Outcome::TimedOut);
                    assert_eq!(ended, None, "a call ends once");
                }
            }
        }
        for datagram in again {
            self.send(To::Server, &datagram);
        }
    }

    fn later(&mut self) -> Time {
        let micros = 1 + self.random.below(1000 * self.weather.delay_ms);
        self.now.after(Duration::from_micros(micros))
    }

    fn fly(&mut self, at: Time, to: To, bytes: Vec<u8>) {
        self.flown += 1;
        self.flying.insert((at, self.flown), (to, bytes));
    }

    fn send(&mut self, to: To, bytes: &[u8]) {
        if self.stream {
            return self.send_pieces(to, bytes);
        }
        let copies = 1 + u8::from(self.random.percent(self.weather.twice));
        for _ in 0..copies {
            if !self.random.percent(self.weather.loss) {
                let at = self.later();
                self.fly(at, to, bytes.to_vec());
            }
        }
    }

    fn send_pieces(&mut self, to: To, mut bytes: &[u8]) {
        let way = usize::from(to == To::Client);
        while !bytes.is_empty() && !self.was_cut {
            let len = 1 + self.random.below(bytes.len() as u64);
            let (piece, rest) = bytes.split_at(usize::try_from(len).unwrap());
            bytes = rest;
            let at = self.later().max(self.last[way]);
            self.last[way] = at;
            self.fly(at, to, piece.to_vec());
            if self.random.below(1000) < self.weather.cut {
                self.cut();
            }
        }
    }

    /// The connection is gone, and what was on its way.
    fn cut(&mut self) {
        self.was_cut = true;
        self.flying.clear();
        for xid in self.client.abandon() {
            let ended = self.outcomes.insert(self.asked[&xid], Outcome::Cut);
            assert_eq!(ended, None, "a call ends once");
        }
    }

    fn at_server(&mut self, bytes: &[u8]) {
        if !self.stream {
            return self.serve(bytes);
        }
        self.server_records.push(bytes);
        while let Some(record) = self.server_records.next_record().expect("within the caps") {
            let record = record.to_vec();
            self.serve(&record);
        }
    }

    fn serve(&mut self, message: &[u8]) {
        let call = parse_call(message, &Caps::default()).expect("the client makes sound calls");
        let (xid, procedure) = (call.header.xid, call.header.procedure);
        let number = Reader::new(call.arguments).unsigned().expect("a number");
        let found = self.programs.find(procedure.program, procedure.version);
        assert_eq!(found, Ok(&()));
        let key = (!self.stream).then(|| Key::new((1, 0), xid, procedure, message));
        if let Some(key) = key {
            match self.duplicates.begin(self.now, key) {
                Verdict::New => {}
                Verdict::InProgress => {
                    self.repeated += 1;
                    return;
                }
                Verdict::Done(reply) => {
                    self.repeated += 1;
                    let reply = reply.to_vec();
                    return self.send(To::Client, &reply);
                }
                Verdict::Full => panic!("few calls are being done"),
            }
        }
        *self.done.entry(number).or_default() += 1;
        self.working.push((key, xid, number));
        // It takes a while, and calls overtake each other.
        let at = self.later();
        self.fly(at, To::Done(self.working.len() - 1), Vec::new());
    }

    fn answer(&mut self, i: usize) {
        let (key, xid, number) = self.working[i];
        let mut out = Vec::new();
        let mark = self.stream.then(|| record::begin(&mut out));
        match number.checked_mul(2) {
            Some(double) => server::success(&mut out, xid, &OpaqueAuth::NONE, |to| {
                to.unsigned(double);
                Ok(())
            })
            .expect("a number has no bound"),
            None => server::refuse(&mut out, xid, &OpaqueAuth::NONE, Accepted::SystemError)
                .expect("no verifier"),
        }
        if let Some(mark) = mark {
            mark.end(&mut out).expect("short");
        }
        if let Some(key) = key {
            self.duplicates.finish(self.now, key, &out);
        }
        self.send(To::Client, &out);
    }

    fn at_client(&mut self, bytes: &[u8]) {
        if !self.stream {
            return self.take(bytes);
        }
        self.client_records.push(bytes);
        while let Some(record) = self.client_records.next_record().expect("within the caps") {
            let record = record.to_vec();
            self.take(&record);
        }
    }

    fn take(&mut self, message: &[u8]) {
        match self.client.receive(message) {
            Received::Answer(answer) => {
                let number = self.asked[&answer.header.xid];
                let results = answer.results().expect("the server has not refused");
                let double = Reader::new(results).unsigned().expect("a number");
                assert_eq!(double, 2 * number, "somebody else's reply");
                let waits = |earlier| !self.outcomes.contains_key(&earlier);
                self.overtaken += usize::from((0..number).any(waits));
                let ended = self.outcomes.insert(number, Outcome::Doubled);
                assert_eq!(ended, None, "a call ends once");
            }
            Received::Unexpected(xid) => {
                let number = self.asked[&xid];
                assert!(self.outcomes.contains_key(&number), "{xid:?} is in flight");
            }
            other => panic!("the server makes sound replies: {other:?}"),
        }
    }
}
