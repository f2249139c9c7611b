//! The three versions of the registry's program, over one registry.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use strait_sys::sockaddr::{self, Name};
use strait_sys::time::Deadline;
use strait_wire::onc::DATAGRAM_MAX;
use strait_wire::onc::rpcbind::{
    CallitResult, EntryV4, Mapping, Netbuf, Netid, PROGRAM, Registration, RemoteResult, UADDR_MAX,
    Uaddr, encode_list, v2, v3, v4,
};
use strait_wire::time::Time;
use strait_wire::xdr::{Encode as _, Error, Writer};

use super::super::{Answer, Context, Procedure, Program, Refusal};
use super::asker::Asker;
use super::registry::{Entry, Limits, Match, Owner, Registry, Rejected};
use super::remote::{Forwarder, RemoteLimits};
use super::request::{Remote, Request};
use super::sight::Sight;
use super::statistics::Counts;

/// A stranger's datagram is answered by one that is at most so many times as long, so that a forged
/// sender gains little. What is longer is refused, in 24 bytes: TCP gives the whole.
pub const REPLY_FACTOR_MAX: usize = 3;

/// A registry of programs, to be served: [`programs`](Self::programs) are its three versions.
///
/// A clone is the same registry.
#[derive(Clone, Debug)]
pub struct Service(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    keeps_dead: bool,
    /// Where it calls for others.
    forwarder: Option<Forwarder>,
}

#[derive(Debug)]
struct State {
    registry: Registry,
    /// Of versions 2, 3 and 4.
    counts: [Counts; 3],
}

/// What a registry is to be like.
#[derive(Clone, Debug, Default)]
pub struct ServiceOptions {
    limits: Limits,
    keeps_dead: bool,
    remote: Option<RemoteLimits>,
}

impl ServiceOptions {
    /// How much it holds.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Registrations stay until they are unset, also where nobody listens any more: for servers in
    /// another network namespace, whose sockets cannot be seen from here.
    #[must_use]
    pub fn keep_dead(mut self) -> Self {
        self.keeps_dead = true;
        self
    }

    /// Makes remote calls (CALLIT, BCAST, INDIRECT), within these limits. Off unless asked for: who
    /// asks reaches programs of this machine from an address of its own, past what stands between,
    /// and a short datagram may bring about much.
    ///
    /// A call goes to a program that is registered here and listens at the address at which the
    /// registry was reached, or at any, and comes from there: not from the loopback, unless the one
    /// who asks does. By UDP, or for who asks over a stream and where there is none, by TCP. It
    /// carries no credential (AUTH_NONE). It never goes to the registry itself.
    #[must_use]
    pub fn remote_calls(mut self, limits: RemoteLimits) -> Self {
        self.remote = Some(limits);
        self
    }

    /// An empty registry.
    #[must_use]
    pub fn create(&self) -> Service {
        let state = State {
            registry: Registry::new(self.limits),
            counts: Default::default(),
        };
        Service(Arc::new(Shared {
            state: Mutex::new(state),
            keeps_dead: self.keeps_dead,
            forwarder: self.remote.map(Forwarder::new),
        }))
    }
}

impl Service {
    /// An empty registry with the usual limits.
    #[must_use]
    pub fn new() -> Self {
        Self::options().create()
    }

    /// One that differs.
    #[must_use]
    pub fn options() -> ServiceOptions {
        ServiceOptions::default()
    }

    /// Versions 2, 3 and 4.
    #[must_use]
    pub fn programs(&self) -> [impl Program + use<>; 3] {
        [v2::VERSION, v3::VERSION, v4::VERSION].map(|version| Version {
            shared: Arc::clone(&self.0),
            version,
        })
    }

    /// Says in the registry where it is itself served.
    ///
    /// # Errors
    /// [`Rejected`]: port 0 and the like.
    pub fn announce(&self, netid: Netid, address: &Uaddr) -> Result<(), Rejected> {
        for version in [v2::VERSION, v3::VERSION, v4::VERSION] {
            self.register((PROGRAM, version), netid, address)?;
        }
        Ok(())
    }

    /// Registers a program of this process, in the registry's own name: nobody else unsets it, and
    /// nobody looks whether it listens.
    ///
    /// # Errors
    /// [`Rejected`].
    pub fn register(
        &self,
        (program, version): (u32, u32),
        netid: Netid,
        address: &Uaddr,
    ) -> Result<(), Rejected> {
        let entry = Entry {
            program,
            version,
            netid,
            address: address.clone(),
            owner: Owner::Registry,
        };
        self.0.state().registry.set(now(), entry)
    }

    /// What is registered, by program, version and transport.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.0.state().registry.iter().collect()
    }
}

impl Default for Service {
    fn default() -> Self {
        Self::new()
    }
}

fn now() -> Time {
    Time::from_nanos(Deadline::now().ns())
}

impl Shared {
    /// Whole also after a panic: each change of it is one step.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets who does not listen any more. A look may take as long as the machine has sockets, so
    /// it is not for the runtime's threads.
    async fn look(&self) {
        let then = now();
        if let Ok(sight) = tokio::task::spawn_blocking(Sight::read).await {
            let listens = |netid, address: &Uaddr| sight.listens(netid, address);
            self.state().registry.look(then, listens);
        }
    }

    async fn look_if_due(&self) {
        if !self.keeps_dead && self.state().registry.is_look_due(now()) {
            self.look().await;
        }
    }

    /// SET. What is taken may be a dead server's, whose successor registers.
    async fn set(&self, entry: Entry) -> bool {
        let set = |entry| self.state().registry.set(now(), entry);
        if self.keeps_dead {
            return set(entry).is_ok();
        }
        let mut done = set(entry.clone());
        if let Err(Rejected::Taken | Rejected::Full) = done {
            self.look().await;
            done = set(entry);
        }
        if done.is_ok() {
            // Most listen before they register: then their end is seen as soon as it comes.
            self.look().await;
        }
        done.is_ok()
    }
}

/// One version of the program.
#[derive(Clone, Debug)]
struct Version {
    shared: Arc<Shared>,
    version: u32,
}

impl Program for Version {
    fn program(&self) -> u32 {
        PROGRAM
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn dispatch(
        self: Arc<Self>,
        context: Context,
        procedure: u32,
        args: &[u8],
        mut reply: Vec<u8>,
    ) -> Result<Answer, Refusal> {
        self.count(|counts| counts.call(procedure));
        let request = Request::decode(self.version, procedure, args)?;
        let asker = Asker::of(&context, args);
        if let Request::Remote(remote) = request {
            return self.remote(remote, (procedure, asker), reply);
        }
        Ok(Box::pin(async move {
            self.shared.look_if_due().await;
            let mut to = Writer::new(&mut reply);
            let written = self.answer(request, &asker, &mut to).await;
            written.map_err(|_| Refusal::SystemError)?;
            if reply.len() > asker.reply_max {
                return Err(Refusal::SystemError);
            }
            Ok(reply)
        }))
    }
}

impl Version {
    /// A call for somebody else. CALLIT and BCAST are silent about every failure (RFC 1833 section
    /// 2.2.1) where many may have been asked at once; INDIRECT says it.
    fn remote(
        self: Arc<Self>,
        remote: Remote,
        (by, asker): (u32, Asker),
        reply: Vec<u8>,
    ) -> Result<Answer, Refusal> {
        let is_silent = asker.is_by_datagram() && by == v3::CALLIT;
        let told = move |refusal| match is_silent {
            true => Refusal::Silence,
            false => refusal,
        };
        let (of, netid) = (remote.procedure, asker.netid);
        if self.shared.forwarder.is_none() {
            self.count(|counts| counts.remote(of, netid, (by, false)));
            return Err(told(Refusal::ProcedureUnavailable));
        }
        Ok(Box::pin(async move {
            let outcome = self.forward(&remote, &asker, reply).await;
            let is_done = outcome.is_ok();
            self.count(|counts| counts.remote(of, netid, (by, is_done)));
            outcome.map_err(told)
        }))
    }

    async fn forward(
        &self,
        remote: &Remote,
        asker: &Asker,
        mut reply: Vec<u8>,
    ) -> Result<Vec<u8>, Refusal> {
        let Some(forwarder) = &self.shared.forwarder else {
            return Err(Refusal::ProcedureUnavailable);
        };
        self.shared.look_if_due().await;
        let target = self.target(remote.procedure, asker);
        let (netid, at) = target.ok_or(Refusal::ProgramUnavailable)?;
        let results = forwarder.call(remote, (netid, at)).await?;
        let mut to = Writer::new(&mut reply);
        let written = if self.version == v2::VERSION {
            let port = at.port().into();
            let results = results.into();
            CallitResult { port, results }.encode(&mut to)
        } else {
            let address = Uaddr::Inet(at).to_string().into();
            let results = results.into();
            RemoteResult { address, results }.encode(&mut to)
        };
        let max = match asker.is_by_datagram() {
            true => asker.reply_max.min(DATAGRAM_MAX),
            false => asker.reply_max,
        };
        match written {
            Ok(()) if reply.len() <= max => Ok(reply),
            _ => Err(Refusal::SystemError),
        }
    }

    /// Where a call for somebody else goes: never to this registry, under whatever number it is
    /// registered, nor to where he could not have called himself.
    fn target(&self, of: Procedure, asker: &Asker) -> Option<(Netid, SocketAddr)> {
        let state = self.shared.state();
        let registry = &state.registry;
        let own = registry.iter().filter(|entry| entry.program == PROGRAM);
        let own: Vec<u16> = own.filter_map(|entry| entry.address.port()).collect();
        let (datagrams, streams) = match asker.netid {
            Netid::Udp6 | Netid::Tcp6 => (Netid::Udp6, Netid::Tcp6),
            _ => (Netid::Udp, Netid::Tcp),
        };
        let streams = (!asker.is_by_datagram()).then_some(streams);
        let mut kinds = [Some(datagrams), streams].into_iter().flatten();
        kinds.find_map(|netid| {
            // A wrong version is for the program to tell.
            let found = registry.find((of.program, of.version), netid, Match::Nearest)?;
            let Uaddr::Inet(at) = asker.sees(found) else {
                return None;
            };
            let is_there = asker.reached == Some(at.ip())
                || (asker.netid == Netid::Local && at.ip().is_loopback());
            let is_other = of.program != PROGRAM && !own.contains(&at.port());
            (is_there && is_other).then_some((netid, at))
        })
    }

    fn count(&self, count: impl FnOnce(&mut Counts)) {
        let at = self.version - v2::VERSION;
        count(&mut self.shared.state().counts[at as usize]);
    }

    async fn answer(
        &self,
        request: Request,
        asker: &Asker,
        to: &mut Writer<'_>,
    ) -> Result<(), Error> {
        match request {
            Request::Map(mapping) => to.boolean(self.set(entry_of_mapping(mapping), asker).await),
            Request::Set(set) => to.boolean(self.set(entry_of(&set), asker).await),
            Request::Unmap(Mapping {
                program, version, ..
            }) => {
                let unset = [Netid::Tcp, Netid::Udp]
                    .map(|netid| self.unset((program, version), Some(netid), asker));
                to.boolean(unset.contains(&true));
            }
            Request::Unset(unset) => {
                let netid = Netid::of_name(&unset.netid);
                let of = (unset.program, unset.version);
                let is_junk = netid.is_none() && !unset.netid.is_empty();
                to.boolean(!is_junk && self.unset(of, netid, asker));
            }
            Request::Port(Mapping {
                program,
                version,
                protocol,
                ..
            }) => {
                let netid = Netid::of_protocol(protocol);
                let found =
                    netid.and_then(|netid| self.find((program, version), netid, Match::Nearest));
                to.unsigned(found.and_then(|found| found.port()).unwrap_or(0).into());
            }
            Request::Address(of) => self.address(&of, Match::Nearest, asker, to)?,
            Request::VersionAddress(of) => self.address(&of, Match::Exact, asker, to)?,
            Request::Addresses(of) => self.addresses(&of, asker, to)?,
            Request::Dump if self.version == v2::VERSION => self.mappings(to)?,
            Request::Dump => self.registrations(to)?,
            Request::Time => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH);
                // 32 bits, which go round in 2106.
                let seconds = since.map_or(0, |since| since.as_secs()) % (1 << 32);
                to.unsigned(u32::try_from(seconds).unwrap_or(0));
            }
            Request::ToTransport(text) => to_transport(&text, asker.netid).encode(to)?,
            Request::ToUniversal(netbuf) => {
                let text = to_universal(&netbuf.address, asker.netid);
                to.string(&text.unwrap_or_default(), UADDR_MAX)?;
            }
            Request::Statistics => {
                let all = self.shared.state().counts.each_ref().map(Counts::tell);
                all.iter().try_for_each(|each| each.encode(to))?;
            }
            // Answered before.
            Request::Remote(_) => {}
        }
        Ok(())
    }

    async fn set(&self, entry: Option<Entry>, asker: &Asker) -> bool {
        let Some((mut entry, owner)) = entry.zip(asker.owner) else {
            return false;
        };
        entry.owner = owner;
        let done = self.shared.set(entry).await;
        if done {
            self.count(Counts::set);
        }
        done
    }

    fn unset(&self, of: (u32, u32), netid: Option<Netid>, asker: &Asker) -> bool {
        let unset = |owner| self.shared.state().registry.unset(of, netid, owner);
        let done = asker.owner.is_some_and(unset);
        if done {
            self.count(Counts::unset);
        }
        done
    }

    fn find(&self, of: (u32, u32), netid: Netid, which: Match) -> Option<Uaddr> {
        let found = self.shared.state().registry.find(of, netid, which).cloned();
        self.count(|counts| counts.address(of, netid, found.is_some()));
        found
    }

    /// The transport is the one that the request came by, whatever `r_netid` says.
    fn address(
        &self,
        of: &Registration<'_>,
        which: Match,
        asker: &Asker,
        to: &mut Writer<'_>,
    ) -> Result<(), Error> {
        let found = self.find((of.program, of.version), asker.netid, which);
        let text = found.map(|found| asker.sees(&found).to_string());
        to.string(&text.unwrap_or_default(), UADDR_MAX)
    }

    fn addresses(
        &self,
        of: &Registration<'_>,
        asker: &Asker,
        to: &mut Writer<'_>,
    ) -> Result<(), Error> {
        let entries: Vec<EntryV4<'_>> = {
            let state = self.shared.state();
            let on = |netid| {
                let of = (of.program, of.version);
                Some((netid, state.registry.find(of, netid, Match::Exact)?))
            };
            let found = Netid::ALL.into_iter().filter_map(on);
            let entry = |(netid, address): (Netid, &Uaddr)| EntryV4 {
                address: asker.sees(address).to_string().into(),
                netid: netid.name().into(),
                semantics: netid.semantics(),
                family: netid.family_name().into(),
                protocol: netid.protocol_name().into(),
            };
            found.map(entry).collect()
        };
        encode_list(&entries, to)
    }

    fn mappings(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        let entries: Vec<Entry> = self.shared.state().registry.iter().collect();
        let mapping = |entry: &Entry| {
            let is_inet = matches!(entry.netid, Netid::Tcp | Netid::Udp);
            Some(Mapping {
                program: entry.program,
                version: entry.version,
                protocol: entry.netid.protocol().filter(|_| is_inet)?,
                port: entry.address.port()?.into(),
            })
        };
        let mappings: Vec<Mapping> = entries.iter().filter_map(mapping).collect();
        encode_list(&mappings, to)
    }

    fn registrations(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        let entries: Vec<Entry> = self.shared.state().registry.iter().collect();
        let registration = |entry: &Entry| Registration {
            program: entry.program,
            version: entry.version,
            netid: entry.netid.name().into(),
            address: entry.address.to_string().into(),
            owner: entry.owner.to_string().into(),
        };
        let all: Vec<Registration<'_>> = entries.iter().map(registration).collect();
        encode_list(&all, to)
    }
}

/// `None`: another protocol than TCP and UDP, or no port.
fn entry_of_mapping(mapping: Mapping) -> Option<Entry> {
    let port = u16::try_from(mapping.port).ok()?;
    Some(Entry {
        program: mapping.program,
        version: mapping.version,
        netid: Netid::of_protocol(mapping.protocol)?,
        address: Uaddr::Inet((Ipv4Addr::UNSPECIFIED, port).into()),
        owner: Owner::Unknown,
    })
}

/// `None`: a transport or an address that is junk. Who owns it is not the caller's to say.
fn entry_of(registration: &Registration<'_>) -> Option<Entry> {
    let netid = Netid::of_name(&registration.netid)?;
    Some(Entry {
        program: registration.program,
        version: registration.version,
        netid,
        address: Uaddr::parse(netid, &registration.address).ok()?,
        owner: Owner::Unknown,
    })
}

/// The address as the kernel has it; empty for what is no address of that transport.
fn to_transport(text: &str, netid: Netid) -> Netbuf<'static> {
    let encoded = match Uaddr::parse(netid, text) {
        Ok(Uaddr::Inet(address)) => Name::Inet(address).encode().ok(),
        Ok(Uaddr::Local(path)) => Name::Path(path.as_bytes()).encode().ok(),
        Err(_) => None,
    };
    let bytes = encoded.map_or_else(Vec::new, |address| sockaddr::bytes(&address).to_vec());
    Netbuf {
        len_max: u32::try_from(bytes.len()).unwrap_or(0),
        address: bytes.into(),
    }
}

fn to_universal(bytes: &[u8], netid: Netid) -> Option<String> {
    let address = sockaddr::of_bytes(bytes);
    let universal = match sockaddr::decode(&address) {
        Name::Inet(address) => Uaddr::Inet(address).to_string(),
        Name::Path(path) => std::str::from_utf8(path).ok()?.to_owned(),
        _ => return None,
    };
    // Of the asked transport, and without what cannot be written so.
    Uaddr::parse(netid, &universal)
        .ok()
        .map(|parsed| parsed.to_string())
}
