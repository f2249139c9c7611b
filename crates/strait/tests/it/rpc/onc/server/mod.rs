//! A server in a process of its own, and clients that write their bytes themselves.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use crate::peer::{self, Peer};
use crate::world::GUARD;

mod calls;
mod datagrams;
mod hostile;
mod packets;
mod program;
mod room;
mod short;
mod six;
mod stop;

pub(crate) const ROLES: &[(&str, peer::Role)] = &[
    ("rpc.onc.server", program::serve),
    ("rpc.onc.server.pipes", program::pipes),
    ("rpc.onc.server.hostile", hostile::attack),
    ("rpc.onc.server.half", hostile::half),
];

/// The program that is served, in versions 1 and 3.
pub(in crate::rpc::onc) const PROGRAM: u32 = 0x2000_0099;

/// Its procedures.
pub(in crate::rpc::onc) mod procedure {
    /// Returns its arguments.
    pub(crate) const ECHO: u32 = 1;
    /// Answers once that gate is open.
    pub(crate) const WAIT: u32 = 2;
    /// Opens a gate.
    pub(crate) const OPEN: u32 = 3;
    /// Counts, and returns the count.
    pub(crate) const COUNT: u32 = 4;
    /// Panics at once.
    pub(crate) const PANIC: u32 = 5;
    /// Panics after it has waited.
    pub(crate) const PANIC_LATER: u32 = 6;
    /// Returns so many bytes.
    pub(crate) const BYTES: u32 = 7;
    /// Says who calls: 0 TCP, 1 UDP, 2 local and its user, 3 TLS, 4 a pipe; and the port that was
    /// reached.
    pub(crate) const WHO: u32 = 8;
    /// Refuses with SYSTEM_ERR.
    pub(crate) const FAIL: u32 = 9;
    /// Counts, then answers once gate 0 is open.
    pub(crate) const COUNT_AND_WAIT: u32 = 10;
    /// Returns the certificate of the caller.
    pub(crate) const CERTIFICATE: u32 = 11;
    /// Says what the caller says of itself: its credential's kind, and its user.
    pub(crate) const SAID: u32 = 12;
    /// Returns nothing, and panics when what has done so is dropped.
    pub(crate) const PANIC_AT_LAST: u32 = 13;
    /// Returns so many bytes once that gate is open: the gate, and the bytes.
    pub(crate) const BYTES_LATER: u32 = 14;
    /// Panics with what panics when it is dropped.
    pub(crate) const PANIC_TWICE: u32 = 15;
}

/// A server in another process.
pub(in crate::rpc::onc) struct Served {
    pub(in crate::rpc::onc) peer: Peer,
    pub(in crate::rpc::onc) tcp: SocketAddr,
    pub(in crate::rpc::onc) udp: SocketAddr,
    pub(in crate::rpc::onc) path: std::path::PathBuf,
    _place: Place,
}

/// The directory of a server's own, which is gone with the test however the server ended.
struct Place(std::path::PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Served {
    /// With these settings, such as `idle=100`.
    pub(in crate::rpc::onc) fn start(settings: &[&str]) -> Self {
        Self::of(&mut peer::command("rpc.onc.server", settings))
    }

    pub(in crate::rpc::onc) fn of(command: &mut Command) -> Self {
        let mut peer = Peer::of(command);
        let tcp = peer.hear().unwrap().parse().unwrap();
        let udp = peer.hear().unwrap().parse().unwrap();
        let path = std::path::PathBuf::from(peer.hear().unwrap());
        let place = Place(path.parent().unwrap().into());
        Self {
            peer,
            tcp,
            udp,
            path,
            _place: place,
        }
    }

    /// Where its channel's name is.
    pub(in crate::rpc::onc) fn space(&self) -> strait::Namespace {
        let path = self.path.with_file_name("space");
        strait::Namespace::directory(path).unwrap()
    }

    pub(in crate::rpc::onc) fn client(&self) -> Client<TcpStream> {
        Client::tcp(self.tcp)
    }

    /// One of the server's counts.
    pub(in crate::rpc::onc) fn count(&mut self, what: &str) -> u64 {
        self.peer.ask(what).parse().unwrap()
    }

    /// Whether an event has been told whose text has this in it.
    pub(in crate::rpc::onc) fn has_told(&mut self, text: &str) -> bool {
        self.count(&format!("events {text}")) > 0
    }
}

/// A client of a stream.
pub(in crate::rpc::onc) struct Client<S> {
    pub(in crate::rpc::onc) stream: S,
    xid: u32,
}

impl Client<TcpStream> {
    pub(in crate::rpc::onc) fn tcp(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(GUARD)).unwrap();
        Self::over(stream)
    }
}

impl<S: Read + Write> Client<S> {
    pub(in crate::rpc::onc) fn over(stream: S) -> Self {
        Self { stream, xid: 0 }
    }

    /// Sends a call, and says its number.
    pub(in crate::rpc::onc) fn send(&mut self, procedure: u32, arguments: &[u8]) -> u32 {
        self.xid += 1;
        let call = call(self.xid, procedure, arguments);
        self.stream.write_all(&record(&call)).unwrap();
        self.xid
    }

    /// The next reply.
    pub(in crate::rpc::onc) fn reply(&mut self) -> Vec<u8> {
        let mut mark = [0; 4];
        self.stream.read_exact(&mut mark).unwrap();
        let len = u32::from_be_bytes(mark);
        assert!(len >> 31 == 1, "one fragment");
        let mut reply = vec![0; (len & 0x7fff_ffff) as usize];
        self.stream.read_exact(&mut reply).unwrap();
        reply
    }

    /// The results of a call that succeeds.
    pub(in crate::rpc::onc) fn call(&mut self, procedure: u32, arguments: &[u8]) -> Vec<u8> {
        let xid = self.send(procedure, arguments);
        results(&self.reply(), xid)
    }

    pub(in crate::rpc::onc) fn number(&mut self, procedure: u32, argument: u32) -> u32 {
        let results = self.call(procedure, &argument.to_be_bytes());
        u32::from_be_bytes(results.try_into().unwrap())
    }

    /// Whether the server closes the connection, after whatever replies.
    pub(in crate::rpc::onc) fn is_closed(&mut self) -> bool {
        let mut rest = [0; 4096];
        loop {
            match self.stream.read(&mut rest) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    }
}

/// Words as they are sent.
pub(in crate::rpc::onc) fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A call without credentials to version 1.
pub(in crate::rpc::onc) fn call(xid: u32, procedure: u32, arguments: &[u8]) -> Vec<u8> {
    let header = words(&[xid, 0, 2, PROGRAM, 1, procedure, 0, 0, 0, 0]);
    [&header, arguments].concat()
}

/// A message with its mark.
pub(in crate::rpc::onc) fn record(message: &[u8]) -> Vec<u8> {
    let mark = 0x8000_0000 | u32::try_from(message.len()).unwrap();
    [&mark.to_be_bytes(), message].concat()
}

/// The results in a reply that must be a success.
#[track_caller]
pub(in crate::rpc::onc) fn results(reply: &[u8], xid: u32) -> Vec<u8> {
    assert_eq!(
        reply[..24],
        words(&[xid, 1, 0, 0, 0, 0]),
        "success of {xid}"
    );
    reply[24..].to_vec()
}
