//! Asking all registries at once: who has a program?

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use strait_sys::Errno;
use strait_wire::onc::auth::OpaqueAuth;
use strait_wire::onc::message::{Accepted, CallHeader, ReplyBody, ReplyHeader, Xid};
use strait_wire::onc::rpcbind::{
    CallitResult, Netid, PROGRAM, RemoteArguments, RemoteResult, Uaddr, v2, v3, v4,
};
use strait_wire::onc::{DATAGRAM_MAX, message::Procedure};
use strait_wire::xdr::{self, Decode as _, Encode as _, Reader, Writer};

use crate::error::{Error, ErrorKind, Result};
use crate::rpc::onc::random;

/// Registries that are heard of in one broadcast; further ones are not told of.
pub const HEARD_MAX: usize = 1024;
/// Between the first two sendings; the time doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(4);
/// Longer than anybody waits.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// The longest wait that a socket is given: 0 would be for ever.
const WAIT_MIN: Duration = Duration::from_millis(1);

type Coded<T> = std::result::Result<T, xdr::Error>;

/// A call to every host that hears it: each registry calls the program for us (CALLIT), and those
/// where it succeeds answer. The others say nothing: RFC 1833 section 2.2.1.
///
/// ```no_run
/// use std::ops::ControlFlow;
/// use std::time::Duration;
/// use strait::rpc::onc::Procedure;
/// use strait::rpc::onc::rpcbind::{Broadcast, PORT, broadcast_addresses};
///
/// let everybody = broadcast_addresses(PORT);
/// let nfs = Procedure { program: 100_003, version: 3, number: 0 };
/// Broadcast::to(everybody).within(Duration::from_secs(3)).call(
///     nfs,
///     |_| Ok(()),
///     |_| Ok(()),
///     |heard| {
///         println!("{} has it at {}", heard.registry.ip(), heard.address);
///         ControlFlow::Continue(())
///     },
/// )?;
/// # Ok::<(), strait::Error>(())
/// ```
///
/// Many registries do not do this for others: Debian's only with `-r`, Strait's only with
/// [`ServiceOptions::remote_calls`](super::ServiceOptions::remote_calls). Whoever is on the network
/// can answer anything.
#[derive(Clone, Debug)]
#[must_use = "nothing is sent yet"]
pub struct Broadcast {
    to: Vec<SocketAddr>,
    version: u32,
    time: Duration,
}

/// An answer to a [`Broadcast`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Heard<R> {
    /// The registry that has answered. The port may be another than was asked: Debian's is.
    pub registry: SocketAddr,
    /// Where the program listens, as the registry says.
    pub address: Uaddr,
    /// What the program has returned.
    pub results: R,
}

impl Broadcast {
    /// To these addresses, all of one family: of broadcast, of multicast, or of single hosts.
    pub fn to(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self {
            to: addresses.into_iter().collect(),
            version: v2::VERSION,
            time: Duration::from_secs(10),
        }
    }

    /// By that version of the registry's program: 2, which every registry has and which is asked
    /// unless said, 3 or 4. Version 2 tells a port alone.
    pub fn version(self, version: u32) -> Self {
        Self { version, ..self }
    }

    /// Collects answers for so long, in place of 10 s; a year at most.
    pub fn within(self, time: Duration) -> Self {
        Self { time, ..self }
    }

    /// Calls, and tells `heard` of each registry that answers, once each, up to [`HEARD_MAX`],
    /// until that says to break or the time is over. The call is sent again, with the same number,
    /// after half a second and ever longer pauses. Answers whose results cannot be read by
    /// `results`, all of them, are dropped.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`]: no address, or of two families, or arguments that break a
    /// bound; [`ErrorKind::Unsupported`]: another version; [`ErrorKind::TooLong`] for a datagram;
    /// as the kernel says if it sends to none of the addresses.
    pub fn call<R>(
        &self,
        procedure: Procedure,
        arguments: impl FnOnce(&mut Writer<'_>) -> Coded<()>,
        results: impl Fn(&mut Reader<'_>) -> Coded<R>,
        mut heard: impl FnMut(Heard<R>) -> ControlFlow<()>,
    ) -> Result<()> {
        let xid = Xid((random() >> 32) as u32);
        let call = self.encode(xid, procedure, arguments)?;
        let socket = self.socket()?;
        let begun = Instant::now();
        let end = begun.checked_add(self.time.min(YEAR)).unwrap_or(begun);
        let (mut pause, mut again) = (PAUSE, begun);
        let mut known = HashSet::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            if now >= again {
                self.send(&socket, &call)?;
                again = now + pause;
                pause = (2 * pause).min(PAUSE_MAX);
            }
            let wait = again.min(end).saturating_duration_since(now).max(WAIT_MIN);
            let received = socket.set_read_timeout(Some(wait));
            let received = received.and_then(|()| socket.recv_from(&mut buffer));
            let (len, from) = match received {
                Ok(received) => received,
                Err(error) if is_passing(&error) => continue,
                Err(error) => return Err(failed(&error, "collect answers to")),
            };
            if known.len() >= HEARD_MAX || known.contains(&from) {
                continue;
            }
            if let Some(told) = self.decode(xid, from, &buffer[..len], &results) {
                known.insert(from);
                if heard(told).is_break() {
                    return Ok(());
                }
            }
        }
    }

    fn encode(
        &self,
        xid: Xid,
        procedure: Procedure,
        arguments: impl FnOnce(&mut Writer<'_>) -> Coded<()>,
    ) -> Result<Vec<u8>> {
        if !(v2::VERSION..=v4::VERSION).contains(&self.version) {
            let why = format!("version {} of the registry's program", self.version);
            return Err(new(ErrorKind::Unsupported).because(why));
        }
        let mut out = Vec::new();
        let mut inner = Vec::new();
        let encoded = arguments(&mut Writer::new(&mut inner)).and_then(|()| {
            let header = CallHeader {
                xid,
                procedure: Procedure {
                    program: PROGRAM,
                    version: self.version,
                    number: v3::CALLIT,
                },
                credential: OpaqueAuth::NONE,
                verifier: OpaqueAuth::NONE,
            };
            let mut to = Writer::new(&mut out);
            header.encode(&mut to)?;
            remote(procedure, inner).encode(&mut to)
        });
        encoded.map_err(|error| new(ErrorKind::InvalidInput).caused(error))?;
        if out.len() > DATAGRAM_MAX {
            let why = format!("{} bytes, and a datagram holds {DATAGRAM_MAX}", out.len());
            return Err(new(ErrorKind::TooLong).because(why));
        }
        Ok(out)
    }

    fn socket(&self) -> Result<UdpSocket> {
        let is_six = self.to.first().is_some_and(SocketAddr::is_ipv6);
        if self.to.is_empty() || self.to.iter().any(|to| to.is_ipv6() != is_six) {
            let why = "addresses of one family are wanted, and at least one";
            return Err(new(ErrorKind::InvalidInput).because(why));
        }
        let any: IpAddr = match is_six {
            true => Ipv6Addr::UNSPECIFIED.into(),
            false => Ipv4Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0));
        let socket = socket.and_then(|socket| socket.set_broadcast(true).map(|()| socket));
        socket.map_err(|error| failed(&error, "broadcast"))
    }

    /// To all; an error if that goes nowhere.
    fn send(&self, socket: &UdpSocket, call: &[u8]) -> Result<()> {
        let sent = self.to.iter().map(|to| socket.send_to(call, to));
        // Without `any`, which would stop at the first.
        let (sent, failures): (Vec<_>, Vec<_>) = sent.partition(io::Result::is_ok);
        match failures.into_iter().find_map(io::Result::err) {
            Some(error) if sent.is_empty() && !is_passing(&error) => {
                Err(failed(&error, "broadcast"))
            }
            _ => Ok(()),
        }
    }

    /// `None`: not a success, or nothing that belongs here.
    fn decode<R>(
        &self,
        xid: Xid,
        from: SocketAddr,
        message: &[u8],
        results: &impl Fn(&mut Reader<'_>) -> Coded<R>,
    ) -> Option<Heard<R>> {
        let mut reader = Reader::new(message);
        let header = ReplyHeader::decode(&mut reader).ok()?;
        let is_success = matches!(
            header.body,
            ReplyBody::Accepted {
                status: Accepted::Success,
                ..
            }
        );
        if header.xid != xid || !is_success {
            return None;
        }
        let (address, bytes) = if self.version == v2::VERSION {
            let said = CallitResult::decode(&mut reader).ok()?;
            let port = u16::try_from(said.port).ok()?;
            (Uaddr::Inet((from.ip(), port).into()), said.results)
        } else {
            let said = RemoteResult::decode(&mut reader).ok()?;
            (address(&said.address)?.seen_from(from.ip()), said.results)
        };
        reader.finish().ok()?;
        let mut inner = Reader::new(&bytes);
        let results = results(&mut inner).ok()?;
        inner.finish().ok()?;
        Some(Heard {
            registry: from,
            address,
            results,
        })
    }
}

/// What a registry is to call.
pub(super) fn remote(procedure: Procedure, arguments: Vec<u8>) -> RemoteArguments<'static> {
    RemoteArguments {
        program: procedure.program,
        version: procedure.version,
        procedure: procedure.number,
        arguments: arguments.into(),
    }
}

/// An address of whichever transport.
pub(super) fn address(text: &str) -> Option<Uaddr> {
    let kinds = [Netid::Udp, Netid::Udp6, Netid::Local];
    let mut parsed = kinds.into_iter().map(|netid| Uaddr::parse(netid, text));
    parsed.find_map(std::result::Result::ok)
}

/// The broadcast addresses of this machine's IPv4 networks, as `/proc/net/fib_trie` tells them, but
/// for the loopback's if there are others; where it tells none, 255.255.255.255.
#[must_use]
pub fn broadcast_addresses(port: u16) -> Vec<SocketAddr> {
    let table = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let mut all = broadcasts(&table);
    if all.iter().any(|address| !address.is_loopback()) {
        all.retain(|address| !address.is_loopback());
    }
    if all.is_empty() {
        all.push(Ipv4Addr::BROADCAST);
    }
    all.into_iter()
        .map(|address| (address, port).into())
        .collect()
}

/// An address stands on a line of its own, and what it is on the lines that follow.
fn broadcasts(table: &str) -> Vec<Ipv4Addr> {
    let mut all = Vec::new();
    let mut last = None;
    for line in table.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line.ends_with(" BROADCAST")
            && let Some(address) = last.take()
            && !all.contains(&address)
        {
            all.push(address);
        }
    }
    all
}

/// The time was over; a signal came; an earlier datagram has met nobody (ICMP).
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, Interrupted, TimedOut, WouldBlock};
    matches!(
        error.kind(),
        WouldBlock | TimedOut | Interrupted | ConnectionRefused
    )
}

fn new(kind: ErrorKind) -> Error {
    Error::new(kind, "broadcast", "a call")
}

#[cold]
fn failed(error: &io::Error, operation: &'static str) -> Error {
    let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
    Error::kernel(errno, operation, "a call to all registries")
}

#[cfg(test)]
mod tests {
    use super::broadcasts;

    #[test]
    fn broadcast_addresses_are_found_in_the_kernels_table() {
        let table = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n\
                     Local:\n     |-- 10.9.0.0\n        /24 link UNICAST\n     |-- 10.9.0.1\n\
                     \x20       /32 host LOCAL\n     |-- 10.9.0.255\n        /32 link BROADCAST\n\
                     \x20    |-- 10.9.0.255\n        /32 link BROADCAST\n     |-- junk\n\
                     \x20       /32 link BROADCAST\n";
        assert_eq!(
            broadcasts(table),
            ["10.9.0.255".parse::<std::net::Ipv4Addr>().unwrap()]
        );
        assert_eq!(broadcasts(""), Vec::<std::net::Ipv4Addr>::new());
    }
}
