//! Servers of these tests, honest and otherwise: bare sockets, in a process of their own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;

use strait::rpc::onc::auth::{Flavor, OpaqueAuth};
use strait::rpc::onc::xdr::Writer;
use strait_wire::onc::message::{Accepted, AuthStat, Denied, Xid};
use strait_wire::onc::record::{self, Caps, Records};
use strait_wire::onc::server::{self, Call};

use crate::peer::{self, Peer};

/// A server over TCP that behaves like that.
pub(super) fn stream(behaviour: &str) -> (Peer, SocketAddr) {
    started("onc.client.stream", behaviour)
}

/// An honest server over the two halves of something, in a thread of the test.
pub(super) fn halves(
    reader: impl Read + Send + 'static,
    writer: impl Write + Send + 'static,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(|| behave("honest", Line::new(Halves(reader, writer))))
}

struct Halves<R, W>(R, W);

impl<R: Read, W> Read for Halves<R, W> {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(room)
    }
}

impl<R, W: Write> Write for Halves<R, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.1.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.1.flush()
    }
}

/// A server over UDP that behaves like that.
pub(super) fn datagrams(behaviour: &str) -> (Peer, SocketAddr) {
    started("onc.client.datagrams", behaviour)
}

fn started(role: &str, behaviour: &str) -> (Peer, SocketAddr) {
    let mut peer = Peer::start(role, &[behaviour]);
    let address = peer.hear().unwrap().parse().unwrap();
    (peer, address)
}

pub(super) fn on_tcp(arguments: &[String]) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    peer::say(listener.local_addr().unwrap());
    for stream in listener.incoming() {
        let stream = stream.unwrap();
        stream.set_nodelay(true).unwrap();
        let behaviour = arguments[0].clone();
        std::thread::spawn(move || behave(&behaviour, Line::new(stream)));
    }
}

pub(super) fn on_local(arguments: &[String]) {
    let listener = UnixListener::bind(&arguments[1]).unwrap();
    peer::say("bound");
    for stream in listener.incoming() {
        let stream = stream.unwrap();
        let behaviour = arguments[0].clone();
        std::thread::spawn(move || behave(&behaviour, Line::new(stream)));
    }
}

/// A connection, as the server sees it.
struct Line<S> {
    stream: S,
    records: Records,
}

/// A call, taken apart.
struct Asked {
    xid: Xid,
    number: u32,
    credential: OpaqueAuth<'static>,
    arguments: Vec<u8>,
}

impl Asked {
    fn of(call: &Call<'_>) -> Self {
        Self {
            xid: call.header.xid,
            number: call.header.procedure.number,
            credential: call.header.credential.clone().into_owned(),
            arguments: call.arguments.to_vec(),
        }
    }
}

/// Takes credentials that were handed out, too.
const CAPS: server::Caps<'_> = server::Caps {
    flavors: &[Flavor::NONE, Flavor::SYS, Flavor::SHORT],
    padding: strait::rpc::onc::xdr::Padding::Strict,
};

impl<S: Read + Write> Line<S> {
    fn new(stream: S) -> Self {
        let records = Records::new(Caps {
            record: 64 << 20,
            ..Caps::default()
        });
        Self { stream, records }
    }

    /// The next call; `None` once the client has closed.
    fn hear(&mut self) -> Option<Asked> {
        loop {
            if let Some(message) = self.records.next_record().unwrap() {
                return Some(Asked::of(&server::parse_call(message, &CAPS).unwrap()));
            }
            let read = self.stream.read(self.records.room()).unwrap_or(0);
            if read == 0 {
                return None;
            }
            self.records.filled(read);
        }
    }

    fn say(&mut self, bytes: &[u8]) {
        // The client may have gone.
        let _ = self.stream.write_all(bytes);
    }

    fn echo(&mut self, asked: &Asked) {
        let message = echo(asked, &OpaqueAuth::NONE);
        self.say(&marked(&message));
    }
}

/// A successful reply: the arguments, given back.
fn echo(asked: &Asked, verifier: &OpaqueAuth<'_>) -> Vec<u8> {
    let mut message = Vec::new();
    server::success(&mut message, asked.xid, verifier, |to| {
        to.opaque_fixed(&asked.arguments);
        Ok(())
    })
    .unwrap();
    message
}

fn marked(message: &[u8]) -> Vec<u8> {
    let mut record = record::mark(message.len()).unwrap().to_vec();
    record.extend_from_slice(message);
    record
}

/// A fragment that is not the last.
fn fragment(bytes: &[u8]) -> Vec<u8> {
    let mut fragment = (bytes.len() as u32).to_be_bytes().to_vec();
    fragment.extend_from_slice(bytes);
    fragment
}

fn words(words: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut to = Writer::new(&mut bytes);
    for word in words {
        to.unsigned(*word);
    }
    bytes
}

fn behave<S: Read + Write>(behaviour: &str, mut line: Line<S>) {
    match behaviour {
        "honest" => {
            while let Some(asked) = line.hear() {
                line.echo(&asked);
            }
        }
        "reverse" => reverse(&mut line),
        "pieces" => pieces(&mut line),
        "late" => late(&mut line),
        "half" => {
            let asked = line.hear().unwrap();
            let record = marked(&echo(&asked, &OpaqueAuth::NONE));
            line.say(&record[..record.len() / 2]);
            peer::say("half");
            line.hear();
        }
        "statuses" => statuses(&mut line),
        "short" => short(&mut line),
        "liar" => liar(&mut line),
        "deaf" => {
            peer::say("deaf");
            std::thread::park();
        }
        "glutton" => glutton(&mut line),
        other => panic!("nobody behaves like {other}"),
    }
}

/// Hears as many calls as the first says, and answers the last first.
fn reverse<S: Read + Write>(line: &mut Line<S>) {
    let first = line.hear().unwrap();
    let count = u32::from_be_bytes(*first.arguments.first_chunk().unwrap());
    let mut all = vec![first];
    all.extend((1..count).map_while(|_| line.hear()));
    for asked in all.iter().rev() {
        line.echo(asked);
    }
    line.hear();
}

/// Sends replies in the worst pieces that are legal.
fn pieces<S: Read + Write>(line: &mut Line<S>) {
    while let Some(asked) = line.hear() {
        let message = echo(&asked, &OpaqueAuth::NONE);
        let (front, back) = message.split_at(message.len() / 2);
        let mut record = fragment(&[]);
        record.extend(fragment(front));
        record.extend(fragment(&[]));
        record.extend(marked(back));
        for byte in record {
            line.say(&[byte]);
        }
    }
}

/// Answers the first call after the second was made, and twice; then a call comes the other way.
fn late<S: Read + Write>(line: &mut Line<S>) {
    let first = line.hear().unwrap();
    let second = line.hear().unwrap();
    line.echo(&first);
    line.echo(&first);
    line.say(&marked(&words(&[77, 0, 2, 1, 1, 1, 0, 0, 0, 0])));
    line.say(&marked(&[]));
    line.echo(&second);
    while let Some(asked) = line.hear() {
        line.echo(&asked);
    }
}

/// Answers each procedure with the status of that number.
fn statuses<S: Read + Write>(line: &mut Line<S>) {
    while let Some(asked) = line.hear() {
        let mut message = Vec::new();
        let xid = asked.xid;
        let (low, high) = (3, 5);
        let accepted = match asked.number {
            11 => Some(Accepted::ProgramUnavailable),
            12 => Some(Accepted::ProgramMismatch { low, high }),
            13 => Some(Accepted::ProcedureUnavailable),
            14 => Some(Accepted::GarbageArguments),
            15 => Some(Accepted::SystemError),
            _ => None,
        };
        if let Some(status) = accepted {
            server::refuse(&mut message, xid, &OpaqueAuth::NONE, status).unwrap();
        }
        match asked.number {
            16 => server::deny(&mut message, xid, Denied::RpcMismatch { low, high }),
            17 => {
                server::deny(&mut message, xid, Denied::Auth(AuthStat::TOO_WEAK));
                message.extend_from_slice(b"and junk that looks like results");
            }
            // A denial of no kind there is.
            18 => message = words(&[xid.0, 1, 1, 9]),
            // A verifier of 404 bytes, all of them sent.
            19 => {
                message = words(&[xid.0, 1, 0, 0, 404]);
                message.resize(message.len() + 404, 0);
                message.extend(words(&[0]));
            }
            // Results and then some.
            20 => {
                message = echo(&asked, &OpaqueAuth::NONE);
                message.extend(words(&[1, 2]));
            }
            // A header that ends too soon.
            21 => message = words(&[xid.0, 1, 0, 0]),
            // Refused, with what would be results.
            22 => {
                server::refuse(&mut message, xid, &OpaqueAuth::NONE, Accepted::SystemError)
                    .unwrap();
                message.extend(words(&[7]));
            }
            0..=10 => message = echo(&asked, &OpaqueAuth::NONE),
            _ => {}
        }
        line.say(&marked(&message));
    }
}

/// Hands out a shorter credential, takes it once, then knows it no more. The results say which
/// flavor came.
fn short<S: Read + Write>(line: &mut Line<S>) {
    let mut uses = 0;
    while let Some(asked) = line.hear() {
        let mut message = Vec::new();
        if asked.credential.flavor == Flavor::SHORT {
            assert_eq!(&*asked.credential.body, b"cookie42");
            uses += 1;
            if uses == 2 {
                let why = AuthStat::REJECTED_CREDENTIAL;
                server::deny(&mut message, asked.xid, Denied::Auth(why));
                line.say(&marked(&message));
                continue;
            }
        }
        let short = OpaqueAuth::short(&b"cookie42"[..]);
        let verifier = OpaqueAuth::handing_out(&short).unwrap();
        server::success(&mut message, asked.xid, &verifier, |to| {
            to.opaque_fixed(&asked.arguments);
            to.unsigned(asked.credential.flavor.0);
            Ok(())
        })
        .unwrap();
        line.say(&marked(&message));
    }
}

/// Claims a reply of two gigabytes and sends the beginning of it.
fn liar<S: Read + Write>(line: &mut Line<S>) {
    let asked = line.hear().unwrap();
    line.say(&0xffff_ffff_u32.to_be_bytes());
    line.say(&echo(&asked, &OpaqueAuth::NONE));
    line.hear();
}

/// Reads no further than it can answer: a client that writes all before it reads stands still.
fn glutton<S: Read + Write>(line: &mut Line<S>) {
    while let Some(asked) = line.hear() {
        line.echo(&asked);
    }
}

pub(super) fn on_udp(arguments: &[String]) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer::say(socket.local_addr().unwrap());
    let mut buffer = vec![0; 1 << 16];
    let mut heard = Vec::new();
    loop {
        let (len, from) = socket.recv_from(&mut buffer).unwrap();
        let asked = Asked::of(&server::parse_call(&buffer[..len], &CAPS).unwrap());
        let reply = echo(&asked, &OpaqueAuth::NONE);
        match arguments[0].as_str() {
            "third" => {
                heard.push(asked.xid);
                if heard.len() < 3 {
                    continue;
                }
                assert!(heard.iter().all(|xid| *xid == asked.xid), "one call");
            }
            "foreign" => {
                let forged = Asked {
                    arguments: words(&[0xbad]),
                    ..asked
                };
                let forged = echo(&forged, &OpaqueAuth::NONE);
                let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
                stranger.send_to(&forged, from).unwrap();
                // From here, but not whole; nothing; and a reply to somebody else.
                socket.send_to(&forged[..14], from).unwrap();
                socket.send_to(&[], from).unwrap();
                socket.send_to(&words(&[1, 1, 0, 0, 0, 0]), from).unwrap();
            }
            _ => {}
        }
        socket.send_to(&reply, from).unwrap();
        socket.send_to(&reply, from).unwrap();
    }
}
