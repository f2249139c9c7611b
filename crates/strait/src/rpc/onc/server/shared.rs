//! What all tasks of a server share.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use strait_wire::onc::auth::Flavor;
use strait_wire::onc::gss::server::Handle;
use strait_wire::onc::message::{NULL, Procedure};
use strait_wire::onc::record::ROOM_MAX;
use strait_wire::onc::server::{Caps, Duplicates, Programs, Shorts};
use strait_wire::time::Time;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::event::{Dropped, Event};
use super::gate::{Gate, Memory};
use super::options::ServerOptions;
use super::peer::Peer;
use super::{contained, lock};
use crate::rpc::onc::gss::server::Guard;
use crate::rpc::onc::tls::TlsServer;
use crate::rpc::onc::{Caller, Program, random};

/// Calls in progress, and replies on their way, spare a connection when one is to make way, unless
/// this part of all or more is of the same address or user: else whoever keeps many of them busy
/// has those of others closed.
const CROWD_SHARE: usize = 8;

/// What was answered by one socket, or over all streams.
pub(super) type Cache = Mutex<Duplicates<IpAddr, Whose>>;

/// Whose a call is, of those from one network: an address's and its port's, and with RPCSEC_GSS the
/// context's that has proven it. Without that, whoever sends from the address of another could have
/// the other's replies read to him.
pub(super) type Whose = (IpAddr, u16, Option<Handle>);

/// Who shares what is remembered of calls with the caller from there, and whose the call is of
/// theirs.
pub(super) fn whose(address: SocketAddr, context: Option<Handle>) -> (IpAddr, Whose) {
    let (ip, port) = (address.ip(), address.port());
    (network(ip), (ip, port, context))
}

/// An address, or the network of one of IPv6: a host takes as many of that as it likes.
pub(super) fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() >> 64 << 64).into()),
        four @ IpAddr::V4(_) => four,
    }
}

pub(in crate::rpc::onc) struct Shared {
    pub(super) options: ServerOptions,
    pub(in crate::rpc::onc) programs: Programs<Arc<dyn Program>>,
    flavors: Vec<Flavor>,
    pub(super) guard: Option<Arc<Guard>>,
    pub(super) calls: Gate,
    pub(super) memory: Memory,
    /// Bytes of replies that no connection has taken yet.
    pub(super) queued: AtomicUsize,
    pub(in crate::rpc::onc) counts: Counts,
    /// Of streams, where that is asked for.
    pub(super) cache: Option<Arc<Cache>>,
    /// What was handed out, by connection, where that is asked for.
    pub(super) shorts: Option<Mutex<Shorts<u64>>>,
    peers: Mutex<HashMap<u64, Arc<Peer>>>,
    next: AtomicU64,
    /// Listeners, receivers of datagrams, and who looks after the connections.
    pub(super) services: Mutex<JoinSet<()>>,
    /// Connections and calls.
    tasks: Mutex<JoinSet<()>>,
    pub(super) is_stopping: AtomicBool,
    /// Nothing is waited for any more.
    pub(super) is_cut: AtomicBool,
    /// Something has ended while the server stops.
    pub(super) end: Notify,
    /// A connection has ended.
    pub(super) room: Notify,
    /// There is something to look after.
    pub(super) care: Notify,
    started: Instant,
}

/// Counted since the start.
#[derive(Debug, Default)]
pub(in crate::rpc::onc) struct Counts {
    pub(super) accepted: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(in crate::rpc::onc) calls: AtomicU64,
    pub(in crate::rpc::onc) refused: AtomicU64,
    pub(super) panicked: AtomicU64,
    pub(super) repeated: AtomicU64,
    pub(super) ignored: AtomicU64,
    pub(super) short: AtomicU64,
}

impl Counts {
    pub(in crate::rpc::onc) fn add(count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Shared {
    pub(super) fn new(options: ServerOptions, programs: Programs<Arc<dyn Program>>) -> Self {
        let limits = &options.limits;
        let cache = || Arc::new(Mutex::new(Duplicates::new(limits.duplicates)));
        let guard = options.acceptor.clone().map(|acceptor| {
            let guard = Guard::new(acceptor, options.gss_least, limits.gss);
            Arc::new(guard)
        });
        let shorts = |limits| Mutex::new(Shorts::new(limits, random().to_ne_bytes()));
        let mut flavors = options.flavors.to_vec();
        flavors.extend(options.shorts.map(|_| Flavor::SHORT));
        flavors.extend(guard.as_ref().map(|_| Flavor::GSS));
        Self {
            flavors,
            guard,
            calls: Gate::new(limits.calls_max),
            memory: Memory::new(
                limits.records_memory,
                limits.record_max.saturating_add(ROOM_MAX),
            ),
            queued: AtomicUsize::new(0),
            counts: Counts::default(),
            cache: options.duplicates_on_streams.then(cache),
            shorts: options.shorts.map(shorts),
            programs,
            options,
            peers: Mutex::default(),
            next: AtomicU64::new(0),
            services: Mutex::default(),
            tasks: Mutex::default(),
            is_stopping: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
            end: Notify::new(),
            room: Notify::new(),
            care: Notify::new(),
            started: Instant::now(),
        }
    }

    /// What calls may look like.
    pub(super) fn caps(&self) -> Caps<'_> {
        Caps {
            flavors: &self.flavors,
            padding: self.options.xdr.padding,
        }
    }

    /// Milliseconds on the server's clock; never 0.
    pub(super) fn now(&self) -> u64 {
        1 + millis(self.started.elapsed())
    }

    pub(super) fn time(&self) -> Time {
        Time::default().after(self.started.elapsed())
    }

    /// Whether TLS, or another credential, is required of a call that came so. Procedure 0 never
    /// needs a credential.
    pub(super) fn is_too_weak(&self, caller: &Caller, to: Procedure, flavor: Flavor) -> bool {
        let tls = self.options.tls.as_ref();
        let is_clear = matches!(caller, Caller::Tcp(_) | Caller::Udp(_));
        let required = self.options.required;
        (is_clear && tls.is_some_and(TlsServer::is_required))
            || (to.number != NULL && required.is_some_and(|required| required != flavor))
    }

    pub(super) fn tell(&self, event: impl FnOnce() -> Event) {
        if let Some(hook) = &self.options.on_event {
            // Its panic ends nobody's task: who listens, receives and looks after others tells too.
            let _ = contained(|| hook(event()));
        }
    }

    /// Runs a connection or a call to its end, or to the end of the server's patience.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        tasks.spawn(task);
        // Two for each that begins: what has ended does not pile up.
        for _ in 0..2 {
            if tasks.try_join_next().is_none() {
                break;
            }
        }
    }

    pub(super) fn reap(&self) {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
    }

    /// Ends everything at once.
    pub(super) fn abort(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        self.is_cut.store(true, Ordering::SeqCst);
        lock(&self.services).abort_all();
        lock(&self.tasks).abort_all();
    }

    pub(super) fn next_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn enter(&self, peer: &Arc<Peer>) {
        let mut peers = lock(&self.peers);
        peers.insert(peer.id, Arc::clone(peer));
        let is_first = peers.len() == 1;
        drop(peers);
        Counts::add(&self.counts.accepted);
        if is_first {
            self.care.notify_one();
        }
    }

    pub(super) fn leave(&self, id: u64) {
        lock(&self.peers).remove(&id);
        self.forget_shorts(id);
        self.room.notify_waiters();
        self.ended();
    }

    /// Nothing that was handed out on that connection counts any more.
    pub(super) fn forget_shorts(&self, id: u64) {
        if let Some(shorts) = &self.shorts {
            lock(shorts).forget(id);
        }
    }

    pub(super) fn connections(&self) -> usize {
        lock(&self.peers).len()
    }

    pub(super) fn peers(&self) -> Vec<Arc<Peer>> {
        lock(&self.peers).values().map(Arc::clone).collect()
    }

    /// Closes a connection of whoever has most of them, the one that has done nothing for the
    /// longest time; one with calls in progress only of who has many, or if there is no other.
    /// False: there is none that is not closing already.
    pub(super) fn make_way(&self) -> bool {
        let peers = lock(&self.peers);
        let open: Vec<_> = peers.values().filter(|peer| !peer.is_doomed()).collect();
        let mut crowds = HashMap::<_, usize>::new();
        for peer in &open {
            *crowds.entry(peer.crowd()).or_default() += 1;
        }
        let order = |peer: &&&Arc<Peer>| {
            let crowd = crowds.get(&peer.crowd()).copied().unwrap_or(0);
            let is_busy = peer.is_busy();
            let is_spared = is_busy && crowd * CROWD_SHARE < open.len();
            (is_spared, Reverse(crowd), is_busy, peer.used.get())
        };
        let idlest = open.iter().min_by_key(order);
        idlest.is_some_and(|peer| peer.doom(Dropped::MadeWay))
    }

    /// A connection or a call has ended.
    pub(super) fn ended(&self) {
        if self.is_stopping.load(Ordering::SeqCst) {
            self.end.notify_one();
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX - 1)
}

#[cfg(test)]
mod tests {
    use strait_wire::onc::message::Xid;
    use strait_wire::onc::server::{Key, Limits, Verdict};

    use super::*;

    #[test]
    fn a_host_with_many_addresses_makes_way_for_itself_alone() {
        let mut cache = Duplicates::new(Limits {
            entries: 64,
            ..Limits::default()
        });
        let now = Time::default();
        let of = |address: &str, xid| {
            let whose = whose(address.parse().unwrap(), None);
            Key::new(whose, Xid(xid), Procedure::default(), b"call")
        };
        let mut answer = |key| {
            assert_eq!(cache.begin(now, key), Verdict::New);
            cache.finish(now, key, b"reply");
        };
        for xid in 0..3 {
            answer(of("[2001:db8::1]:9", xid));
        }
        // Each address of that network calls once.
        for host in 0..200 {
            answer(of(&format!("[2001:db8:0:1::{host:x}]:9"), 7));
        }
        for xid in 0..3 {
            let again = cache.begin(now, of("[2001:db8::1]:9", xid));
            assert_eq!(again, Verdict::Done(b"reply"), "{xid}");
        }
        let other = cache.begin(now, of("[2001:db8::2]:9", 0));
        assert_eq!(other, Verdict::New, "what was answered to its neighbour");
    }
}
