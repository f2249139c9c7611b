//! Asking a registry, and registering in it.

use std::fmt;
use std::net::{Ipv4Addr, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use strait_wire::onc::rpcbind::{
    EntryV4, Mapping, Netid, PORT, PROGRAM, Registration, RemoteResult, SOCKET, Statistics,
    UADDR_MAX, Uaddr, decode_list, v2, v3, v4,
};
use strait_wire::xdr::{self, Decode as _, Encode, Reader, Writer};

use super::super::{Client as Rpc, ClientOptions, Procedure, Status, status};
use super::broadcast::{self, remote};
use super::request::owned;
use crate::error::{Error, ErrorKind, Result};

/// How long a registry may take for a connection and for each answer, unless said otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

type Coded<T> = std::result::Result<T, xdr::Error>;

/// A client of a registry: `rpcbind::Client::usual()?.address(100_003, 3, Netid::Tcp)`.
///
/// It asks by version 4, and where that is not to be had by 3 and 2.
#[derive(Clone)]
pub struct Client {
    rpc: Rpc,
    netid: Netid,
    peer: String,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Client");
        shown.field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Where the registry is.
impl Client {
    /// This machine's: at [`SOCKET`], and if nobody listens there, at [`PORT`] of 127.0.0.1.
    ///
    /// # Errors
    /// Those of the second attempt.
    pub fn usual() -> Result<Self> {
        Self::local(SOCKET).or_else(|_| Self::tcp((Ipv4Addr::LOCALHOST, PORT)))
    }

    /// On a local socket: the one way on which a registration has an owner.
    ///
    /// # Errors
    /// Those of connecting.
    pub fn local(path: impl AsRef<Path>) -> Result<Self> {
        let rpc = options().local(path)?;
        Ok(Self::over(rpc, Netid::Local))
    }

    /// Over TCP.
    ///
    /// # Errors
    /// Those of connecting.
    pub fn tcp(to: impl ToSocketAddrs) -> Result<Self> {
        Self::over_ip(options().tcp(to)?, Netid::Tcp, Netid::Tcp6)
    }

    /// Over UDP.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn udp(to: impl ToSocketAddrs) -> Result<Self> {
        Self::over_ip(options().udp(to)?, Netid::Udp, Netid::Udp6)
    }

    fn over_ip(rpc: Rpc, v4: Netid, v6: Netid) -> Result<Self> {
        // IPv6 is written in brackets.
        let is_six = rpc.peer().contains('[');
        Ok(Self::over(rpc, if is_six { v6 } else { v4 }))
    }

    /// Over a connection that is there, of that transport.
    #[must_use]
    pub fn over(rpc: Rpc, netid: Netid) -> Self {
        let peer = rpc.peer();
        Self { rpc, netid, peer }
    }

    /// The same connection, with another limit for each answer.
    #[must_use]
    pub fn within(&self, timeout: Duration) -> Self {
        let rpc = self.rpc.within(timeout);
        Self {
            rpc,
            ..self.clone()
        }
    }

    /// The transport over which it asks.
    #[must_use]
    pub fn netid(&self) -> Netid {
        self.netid
    }
}

/// Registering.
impl Client {
    /// Registers; `false`: the registry refuses, because the program is registered with another
    /// address or by another owner, the address is none, or it takes nothing from here.
    ///
    /// # Errors
    /// Those of the call.
    pub fn set(
        &self,
        (program, version): (u32, u32),
        netid: Netid,
        address: &Uaddr,
    ) -> Result<bool> {
        let registration = self.registration((program, version), netid.name(), address.to_string());
        let done = self.newest(v3::VERSION, v3::SET, &registration, boolean)?;
        let mapping = || {
            let mapping = mapping((program, version), netid)?;
            let port = address.port()?.into();
            Some(Mapping { port, ..mapping })
        };
        match (done, mapping()) {
            (Some(done), _) => Ok(done),
            (None, Some(mapping)) => self.second(v2::SET, &mapping, boolean),
            (None, None) => Err(self.lacking("register")),
        }
    }

    /// Takes a registration back, on that transport or on all; `false`: there was none, or it is
    /// another's.
    ///
    /// # Errors
    /// Those of the call.
    pub fn unset(&self, of: (u32, u32), netid: Option<Netid>) -> Result<bool> {
        let name = netid.map_or("", Netid::name);
        let registration = self.registration(of, name, String::new());
        match self.newest(v3::VERSION, v3::UNSET, &registration, boolean)? {
            Some(done) => Ok(done),
            // Of TCP and UDP: it knows no less.
            None => {
                let mapping = mapping(of, Netid::Tcp).unwrap_or_default();
                self.second(v2::UNSET, &mapping, boolean)
            }
        }
    }

    /// Registers for as long as what is returned lives. What is left of a former run of the same
    /// owner is replaced.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`]: the registry does not want it. Those of the calls.
    pub fn register(&self, of: (u32, u32), netid: Netid, address: &Uaddr) -> Result<Registered> {
        let is_set = self.set(of, netid, address)?
            || self.unset(of, Some(netid))? && self.set(of, netid, address)?;
        if !is_set {
            let why = format!("{} refuses {netid} {address}", self.peer);
            let error = Error::new(ErrorKind::Refused, "register", shown(of));
            return Err(error.because(why));
        }
        let client = self.clone();
        Ok(Registered { client, of, netid })
    }
}

/// Asking.
impl Client {
    /// The port of a program over TCP or UDP of IPv4, by version 2; `None`: not registered. A wrong
    /// version is ignored.
    ///
    /// # Errors
    /// Those of the call; [`ErrorKind::InvalidInput`]: another transport.
    pub fn port(&self, of: (u32, u32), netid: Netid) -> Result<Option<u16>> {
        let Some(mapping) = mapping(of, netid) else {
            let error = Error::new(ErrorKind::InvalidInput, "ask for the port of", shown(of));
            return Err(error.because(format!("version 2 knows no {netid}")));
        };
        let port = self.second(v2::GETPORT, &mapping, unsigned)?;
        match u16::try_from(port) {
            Ok(0) => Ok(None),
            Ok(port) => Ok(Some(port)),
            Err(_) => Err(self.broken("ask for the port of", of, format!("port {port}"))),
        }
    }

    /// The address of a program on a transport; `None`: not registered.
    ///
    /// Over that same transport a wrong version is ignored, since GETADDR is asked. That procedure
    /// tells of no other transport (RFC 1833 section 2.2.1), so over another one GETADDRLIST is
    /// asked, and where that tells nothing the port by version 2, which leaves the address "any".
    ///
    /// # Errors
    /// Those of the call; [`ErrorKind::Broken`]: what it answers is no address.
    pub fn address(&self, of: (u32, u32), netid: Netid) -> Result<Option<Uaddr>> {
        let text = if netid == self.netid {
            let asked = self.registration(of, netid.name(), String::new());
            self.newest(v3::VERSION, v3::GETADDR, &asked, text)?
        } else {
            let entries = self.addresses(of)?;
            let on = |entries: Vec<EntryV4<'_>>| {
                let mut found = entries
                    .into_iter()
                    .filter(|each| each.netid == netid.name());
                found
                    .next()
                    .map_or_else(String::new, |each| each.address.into_owned())
            };
            entries.map(on)
        };
        let is_other = netid != self.netid;
        match text {
            // Debian's lists nothing on its local socket.
            Some(text) if text.is_empty() && is_other && mapping(of, netid).is_some() => {
                self.at_port(of, netid)
            }
            Some(text) if text.is_empty() => Ok(None),
            Some(text) => {
                let broken = |_| {
                    let answer = format!("{netid} {text:?}");
                    self.broken("ask for the address of", of, answer)
                };
                Uaddr::parse(netid, &text).map(Some).map_err(broken)
            }
            None if mapping(of, netid).is_none() => Err(self.lacking("ask for an address")),
            None => self.at_port(of, netid),
        }
    }

    fn at_port(&self, of: (u32, u32), netid: Netid) -> Result<Option<Uaddr>> {
        let at = |port| Uaddr::Inet((Ipv4Addr::UNSPECIFIED, port).into());
        Ok(self.port(of, netid)?.map(at))
    }

    /// All transports of that very version, by GETADDRLIST; `None`: the registry has no version 4.
    ///
    /// # Errors
    /// Those of the call.
    pub fn addresses(&self, of: (u32, u32)) -> Result<Option<Vec<EntryV4<'static>>>> {
        let asked = self.registration(of, "", String::new());
        self.newest(v4::VERSION, v4::GETADDRLIST, &asked, |from| {
            let entries: Vec<EntryV4<'_>> = decode_list(from)?;
            Ok(entries.into_iter().map(owned_entry).collect())
        })
    }

    /// All that is registered.
    ///
    /// # Errors
    /// Those of the call.
    pub fn dump(&self) -> Result<Vec<Registration<'static>>> {
        let read = |from: &mut Reader<'_>| {
            let all: Vec<Registration<'_>> = decode_list(from)?;
            Ok(all.into_iter().map(owned).collect())
        };
        if let Some(all) = self.newest(v3::VERSION, v3::DUMP, &(), read)? {
            return Ok(all);
        }
        let of_port = |mapping: Mapping| {
            let netid = Netid::of_protocol(mapping.protocol)?;
            let port = u16::try_from(mapping.port).ok()?;
            Some(Registration {
                program: mapping.program,
                version: mapping.version,
                netid: netid.name().into(),
                address: Uaddr::Inet((Ipv4Addr::UNSPECIFIED, port).into())
                    .to_string()
                    .into(),
                owner: "".into(),
            })
        };
        Ok(self.mappings()?.into_iter().filter_map(of_port).collect())
    }

    /// All that version 2 tells of.
    ///
    /// # Errors
    /// Those of the call.
    pub fn mappings(&self) -> Result<Vec<Mapping>> {
        self.second(v2::DUMP, &(), mappings)
    }

    /// What versions 2, 3 and 4 were asked; `None`: the registry has no version 4.
    ///
    /// # Errors
    /// Those of the call.
    pub fn statistics(&self) -> Result<Option<[Statistics<'static>; 3]>> {
        self.newest(v4::VERSION, v4::GETSTAT, &(), |from| {
            from.array_fixed(|from| Statistics::decode(from).map(owned_statistics))
        })
    }

    /// The registry's clock, in seconds since 1970; `None`: it has neither version 3 nor 4.
    ///
    /// # Errors
    /// Those of the call.
    pub fn time(&self) -> Result<Option<u32>> {
        self.newest(v3::VERSION, v3::GETTIME, &(), unsigned)
    }

    /// Has the registry call a program of its machine (INDIRECT of version 4): where that listens,
    /// and what it has returned. Many registries do not do that. Debian's, with `-r`, does so by
    /// UDP alone and answers from another port than was asked, which a client of UDP drops: a
    /// [`Broadcast`](super::Broadcast) to its one address hears it.
    ///
    /// # Errors
    /// Those of the call; [`status`] tells what the program, or the registry, said:
    /// [`Status::ProcedureUnavailable`] also where the registry makes no such calls.
    pub fn indirect<R>(
        &self,
        of: Procedure,
        arguments: impl FnOnce(&mut Writer<'_>) -> Coded<()>,
        results: impl FnOnce(&mut Reader<'_>) -> Coded<R>,
    ) -> Result<(Uaddr, R)> {
        let subject = || shown((of.program, of.version));
        let mut inner = Vec::new();
        let encoded = arguments(&mut Writer::new(&mut inner));
        encoded.map_err(|error| {
            Error::new(ErrorKind::InvalidInput, "call", subject()).caused(error)
        })?;
        let call = remote(of, inner);
        let (text, results) = self.call(v4::VERSION, v4::INDIRECT, &call, |from| {
            let said = RemoteResult::decode(from)?;
            let mut inner = Reader::new(&said.results);
            let results = results(&mut inner)?;
            inner.finish()?;
            Ok((said.address.into_owned(), results))
        })?;
        let at = broadcast::address(&text);
        let at = at.ok_or_else(|| self.broken("call", (of.program, of.version), text))?;
        Ok((at, results))
    }

    /// By version 4, or the next that is not below `lowest`; `None`: there is none of these.
    fn newest<R>(
        &self,
        lowest: u32,
        number: u32,
        arguments: &impl Encode,
        results: impl Fn(&mut Reader<'_>) -> Coded<R>,
    ) -> Result<Option<R>> {
        for version in (lowest..=v4::VERSION).rev() {
            match self.call(version, number, arguments, &results) {
                Err(error) if is_missing(&error) => {}
                other => return other.map(Some),
            }
        }
        Ok(None)
    }

    fn second<R>(
        &self,
        number: u32,
        arguments: &impl Encode,
        results: impl FnOnce(&mut Reader<'_>) -> Coded<R>,
    ) -> Result<R> {
        self.call(v2::VERSION, number, arguments, results)
    }

    fn call<R>(
        &self,
        version: u32,
        number: u32,
        arguments: &impl Encode,
        results: impl FnOnce(&mut Reader<'_>) -> Coded<R>,
    ) -> Result<R> {
        let program = PROGRAM;
        let procedure = Procedure {
            program,
            version,
            number,
        };
        self.rpc.call(procedure, |to| arguments.encode(to), results)
    }

    fn registration(&self, of: (u32, u32), netid: &str, address: String) -> Registration<'static> {
        Registration {
            program: of.0,
            version: of.1,
            netid: netid.to_owned().into(),
            address: address.into(),
            // Who that is, the registry asks the kernel.
            owner: "".into(),
        }
    }

    fn lacking(&self, operation: &'static str) -> Error {
        let error = Error::new(ErrorKind::Unsupported, operation, self.peer.clone());
        error.because("the registry has neither version 3 nor 4")
    }

    fn broken(&self, operation: &'static str, of: (u32, u32), answer: String) -> Error {
        let error = Error::new(ErrorKind::Broken, operation, shown(of));
        error.because(format!("{} answers {answer}", self.peer))
    }
}

/// A registration that ends with this. Nothing is done about it if the registry is gone then.
#[derive(Debug)]
#[must_use = "the registration ends with it"]
pub struct Registered {
    client: Client,
    of: (u32, u32),
    netid: Netid,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let unset = self.client.unset(self.of, Some(self.netid));
        // The connection may have been closed for being idle.
        if unset.is_err() && self.client.rpc.reconnect().is_ok() {
            let _ = self.client.unset(self.of, Some(self.netid));
        }
    }
}

fn options() -> ClientOptions {
    Rpc::options().timeout(TIMEOUT)
}

fn shown((program, version): (u32, u32)) -> String {
    format!("program {program} version {version}")
}

/// Whether another version may know what this one does not.
fn is_missing(error: &Error) -> bool {
    matches!(
        status(error),
        Some(
            Status::ProgramMismatch { .. }
                | Status::ProgramUnavailable
                | Status::ProcedureUnavailable
        )
    )
}

/// `None`: version 2 knows no such transport.
fn mapping((program, version): (u32, u32), netid: Netid) -> Option<Mapping> {
    let is_known = matches!(netid, Netid::Tcp | Netid::Udp);
    Some(Mapping {
        program,
        version,
        protocol: netid.protocol().filter(|_| is_known)?,
        port: 0,
    })
}

// As functions, for a method's path stands for one lifetime only.
fn boolean(from: &mut Reader<'_>) -> Coded<bool> {
    from.boolean()
}

fn unsigned(from: &mut Reader<'_>) -> Coded<u32> {
    from.unsigned()
}

fn mappings(from: &mut Reader<'_>) -> Coded<Vec<Mapping>> {
    decode_list(from)
}

fn text(from: &mut Reader<'_>) -> Coded<String> {
    from.string(UADDR_MAX).map(str::to_owned)
}

fn owned_entry(entry: EntryV4<'_>) -> EntryV4<'static> {
    EntryV4 {
        address: entry.address.into_owned().into(),
        netid: entry.netid.into_owned().into(),
        semantics: entry.semantics,
        family: entry.family.into_owned().into(),
        protocol: entry.protocol.into_owned().into(),
    }
}

fn owned_statistics(all: Statistics<'_>) -> Statistics<'static> {
    use strait_wire::onc::rpcbind::{AddressInfo, RemoteCallInfo};

    let addresses = all.addresses.into_iter().map(|each| AddressInfo {
        netid: each.netid.into_owned().into(),
        ..each
    });
    let remote_calls = all.remote_calls.into_iter().map(|each| RemoteCallInfo {
        netid: each.netid.into_owned().into(),
        ..each
    });
    Statistics {
        calls: all.calls,
        set: all.set,
        unset: all.unset,
        addresses: addresses.collect(),
        remote_calls: remote_calls.collect(),
    }
}
