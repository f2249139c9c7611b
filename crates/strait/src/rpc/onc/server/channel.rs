//! Calls that come over channels: one thread for each name receives, and answers what ends at once.
//!
//! A client is a session of a hub and a [`Peer`] as any connection is, so that limits and care are
//! the same. What would wake a connection's task here releases the session, or closes it.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::{Wake, Waker};

use rustix::net::Shutdown;
use strait_sys::{Errno, thread};
use strait_wire::onc::record::FRAGMENT_MAX;
use tokio::runtime::Handle;

use super::call::{Form, Origin, Outcome, begin};
use super::event::{Dropped, Event};
use super::lock;
use super::options::ServerOptions;
use super::peer::{Peer, Ticket};
use super::shared::{Counts, Shared};
use crate::channel::connect::Asked;
use crate::channel::hub::{self, Attendant, FULL, Hub, PACE, Session, Terms, User};
use crate::channel::sender::Patience;
use crate::error::{Error, ErrorKind, Result};
use crate::object::space::Namespace;
use crate::object::space::name::Name;
use crate::object::space::socket::{Calling, Listening, Place};
use crate::rpc::onc::{CHANNEL_CAPACITY, CHANNEL_ROLE, Caller};

const LISTEN: &str = "listen for calls at";

/// A name that clients can connect to; they are served from [`serve`](Self::serve) on.
pub(super) struct Entrance {
    listening: Arc<Doorplate>,
    hub: Arc<Hub<Guest>>,
    /// To the thread: it ends if nothing comes.
    begin: Sender<Desk>,
    shown: String,
}

impl Entrance {
    pub(super) fn open(options: &ServerOptions, name: &str) -> Result<Self> {
        let (name, prefix) = Name::parse_bytes(name.as_bytes())?;
        let space = options.space.clone().map_or_else(Namespace::local, Ok)?;
        let place = Place {
            space: &space.led_by(prefix)?,
            calling: Calling::Port,
            name: &name,
        };
        let shown = place.shown();
        let during = |error: Error| error.during(LISTEN, shown.clone());
        let kernel = |errno: Errno| Error::kernel(errno, LISTEN, shown.clone());
        let mode = options.security.bits().as_raw_mode();
        let listening = place.listen(mode).map_err(during)?;
        let socket = listening.socket.try_clone();
        let socket = socket.map_err(|_| kernel(Errno::MFILE))?;
        let limits = &options.limits;
        let terms = Terms {
            options: crate::channel::Options::new()
                .capacity(CHANNEL_CAPACITY)
                .message_max(limits.record_max)
                .shareable(false),
            role: CHANNEL_ROLE,
            // Whoever comes then takes the idlest's place, which it leaves a moment later.
            sessions_max: 2 * limits.connections_max,
            backlog_max: limits.replies_memory,
        };
        let hub = Arc::new(Hub::open(socket, terms).map_err(during)?);
        let (begin, begun) = channel::<Desk>();
        let attendant = hub.attendant();
        thread::spawn_quiet("strait-onc", move || {
            if let Ok(desk) = begun.recv() {
                desk.serve(attendant);
            }
        })
        .map_err(kernel)?;
        let listening = Arc::new(Doorplate(Mutex::new(Some(listening))));
        Ok(Self {
            listening,
            hub,
            begin,
            shown,
        })
    }

    /// Serves until the future is dropped.
    pub(super) fn serve(self, shared: &Arc<Shared>) -> impl Future<Output = ()> + Send + 'static {
        let desk = self.desk(shared);
        // The thread waits for nothing else.
        let _ = self.begin.send(desk);
        let open = Open {
            listening: self.listening,
            hub: self.hub,
        };
        async move {
            let _open = open;
            std::future::pending().await
        }
    }
}

impl Entrance {
    fn desk(&self, shared: &Arc<Shared>) -> Desk {
        Desk {
            shared: Arc::clone(shared),
            listening: Arc::clone(&self.listening),
            hub: Arc::clone(&self.hub),
            runtime: Handle::current(),
            sessions: HashMap::new(),
        }
    }
}

impl fmt::Debug for Entrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entrance").field(&self.shown).finish()
    }
}

/// What clients connect by, until it is closed.
struct Doorplate(Mutex<Option<Listening>>);

impl Doorplate {
    fn close(&self) {
        let listening = lock(&self.0).take();
        if let Some(listening) = &listening {
            // The hub's thread has a descriptor too, until it looks: nobody shall come by that.
            let _ = rustix::net::shutdown(&listening.socket, Shutdown::Both);
        }
    }
}

/// A name that is served.
struct Open {
    listening: Arc<Doorplate>,
    hub: Arc<Hub<Guest>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.hub.stop();
        self.listening.close();
    }
}

/// A client, as the server keeps it with the session.
#[derive(Debug)]
struct Guest {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    waker: OnceLock<Waker>,
    /// Bytes of replies for which there is no room yet; `None` once nobody counts them.
    kept: Mutex<Option<usize>>,
}

impl Guest {
    /// Whether no further call of that client may begin now; it is released when one may.
    fn is_full(&self) -> bool {
        let (shared, peer) = (&self.shared, &self.peer);
        peer.in_flight.load(SeqCst) >= shared.options.limits.calls_per_connection
            || self
                .waker
                .get()
                .is_some_and(|waker| !shared.calls.is_open_or_wait(peer.id, waker))
    }

    /// The client is no longer there.
    fn forget(&self) {
        let kept = lock(&self.kept).take();
        self.shared.queued.fetch_sub(kept.unwrap_or(0), SeqCst);
        self.peer.close();
        self.shared.calls.forget(self.peer.id);
        self.shared.leave(self.peer.id);
    }
}

impl User for Guest {
    fn kept(&self, more: usize, less: usize) {
        let mut kept = lock(&self.kept);
        let Some(kept) = &mut *kept else {
            return;
        };
        *kept = *kept + more - less;
        self.shared.queued.fetch_add(more, SeqCst);
        self.shared.queued.fetch_sub(less, SeqCst);
        let (peer, now) = (&self.peer, self.shared.now());
        if *kept == 0 {
            peer.writing.clear();
        } else if more == 0 || peer.writing.get().is_none() {
            peer.writing.set(now);
        }
        if more == 0 {
            peer.used.set(now);
        }
    }
}

type Seated = Arc<Session<Guest>>;

/// What a connection's task would be woken for.
struct Bell(Weak<Session<Guest>>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let Some(session) = self.0.upgrade() else {
            return;
        };
        if session.user.peer.is_doomed() {
            session.close();
        } else if !session.user.is_full() {
            session.release();
        }
    }
}

/// The thread that serves a name.
struct Desk {
    shared: Arc<Shared>,
    listening: Arc<Doorplate>,
    hub: Arc<Hub<Guest>>,
    runtime: Handle,
    sessions: HashMap<u64, Seated>,
}

impl Desk {
    fn serve(mut self, mut attendant: Attendant<Guest>) {
        let runtime = self.runtime.clone();
        let _entered = runtime.enter();
        loop {
            match attendant.next_if(Patience::Forever, |session| !session.user.is_full()) {
                None => {}
                Some(hub::Event::Asked(asked)) => self.welcome(*asked),
                Some(hub::Event::Message(len)) => {
                    self.answer(attendant.session(), &attendant.buffer[..len]);
                }
                Some(hub::Event::Ended(why)) => self.part(attendant.session(), why),
                Some(hub::Event::Closed) => break,
            }
        }
        self.finish();
    }

    fn welcome(&mut self, asked: Asked) {
        let shared = &self.shared;
        let is_full = shared.connections() >= shared.options.limits.connections_max;
        if is_full && !shared.make_way() {
            let _ = asked.refuse(FULL, b"it has no room for more clients");
            return;
        }
        let caller = Caller::Local {
            pid: asked.peer.pid,
            uid: asked.peer.uid,
            gid: asked.peer.gid,
        };
        let peer = Arc::new(Peer::new(shared.next_id(), caller, None, shared.now()));
        let guest = Guest {
            shared: Arc::clone(shared),
            peer: Arc::clone(&peer),
            waker: OnceLock::new(),
            kept: Mutex::new(Some(0)),
        };
        match self.hub.welcome(asked, (Vec::new(), None), guest) {
            Ok(session) => {
                let waker = Waker::from(Arc::new(Bell(Arc::downgrade(&session))));
                peer.collect(session.user.waker.get_or_init(|| waker));
                shared.enter(&peer);
                self.sessions.insert(peer.id, session);
            }
            // Who has gone meanwhile is nobody's loss.
            Err(error) if error.kind() == ErrorKind::PeerGone => {}
            Err(error) => {
                let made_way = shared.make_way();
                let error = io::Error::other(error);
                shared.tell(|| Event::Exhausted { error, made_way });
            }
        }
    }

    fn answer(&self, session: &Seated, message: &[u8]) {
        let (shared, peer) = (&self.shared, &session.user.peer);
        peer.used.set(shared.now());
        let origin = Origin {
            caller: &peer.caller,
            reached: None,
            form: Form {
                lead: 0,
                max: FRAGMENT_MAX.min(shared.options.limits.replies_memory),
            },
            connection: Some(peer.id),
            cache: None,
        };
        match begin(shared, &origin, message) {
            Outcome::Reply(reply) => send(session, &reply),
            Outcome::Later(later) => {
                let ticket = Ticket::new(shared, Some(peer));
                let session = Arc::clone(session);
                shared.spawn(async move {
                    send(&session, &later.await);
                    // The reply is on its way before the call is not counted any more.
                    drop(ticket);
                });
            }
            Outcome::Repeated => {}
            Outcome::Ignored(why) => {
                peer.doom(Dropped::NoCall(why));
            }
        }
    }

    /// A client is no longer there.
    fn part(&mut self, session: &Seated, why: Option<Error>) {
        let peer = &session.user.peer;
        let doom = peer.collect(Waker::noop()).doom;
        let broken = why.filter(|error| error.kind() != ErrorKind::PeerGone);
        let broken = broken.map(|_| Dropped::Failed(io::ErrorKind::InvalidData));
        if let Some(why) = doom.or(broken) {
            Counts::add(&self.shared.counts.dropped);
            self.shared.tell(|| Event::Dropped {
                caller: peer.caller.clone(),
                why,
            });
        }
        self.sessions.remove(&peer.id);
        session.user.forget();
    }

    /// No call begins any more: those in progress are answered, and their replies taken, while
    /// there is time.
    fn finish(&mut self) {
        loop {
            let shared = &self.shared;
            let is_cut = !shared.is_stopping.load(SeqCst) || shared.is_cut.load(SeqCst);
            let is_done = |session: &mut Seated| {
                // In this order: a reply is there before its call is not counted any more.
                let is_idle = session.user.peer.in_flight.load(SeqCst) == 0;
                let owes = session.owes();
                is_cut || session.is_gone() || (is_idle && !owes)
            };
            let done = self.sessions.extract_if(|_, session| is_done(session));
            for (_, session) in done.collect::<Vec<_>>() {
                session.close();
                session.user.forget();
            }
            if self.sessions.is_empty() {
                return;
            }
            // sleep: nothing tells a thread that is no attendant that a client has made room.
            std::thread::sleep(PACE);
        }
    }
}

impl Drop for Desk {
    /// After a panic, too: clients are told, and there are no new ones.
    fn drop(&mut self) {
        self.listening.close();
        self.hub.close();
        for (_, session) in std::mem::take(&mut self.sessions) {
            session.close();
            session.user.forget();
        }
    }
}

/// Never waits. A client that is gone, or takes nothing, is told of by its session's end.
fn send(session: &Session<Guest>, reply: &[u8]) {
    if !reply.is_empty() {
        let Guest { shared, peer, .. } = &session.user;
        peer.used.set(shared.now());
        let _ = session.post([&[], reply]);
    }
}

#[cfg(test)]
mod tests {
    use strait_wire::onc::server::Programs;

    use super::*;
    use crate::rpc::onc::Client;

    #[test]
    fn a_name_goes_with_the_thread_that_serves_it() {
        let space = Namespace::temporary().unwrap();
        let options = ServerOptions::default().namespace(&space);
        let shared = Arc::new(Shared::new(options.clone(), Programs::default()));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _entered = runtime.enter();
        let entrance = Entrance::open(&options, "name").unwrap();
        let desk = entrance.desk(&shared);
        let _served = entrance.serve(&shared);
        let connect = || {
            Client::options()
                .namespace(&space)
                .channel("name")
                .map(drop)
        };
        connect().unwrap();
        // What is left of a thread after a panic.
        drop(desk);
        let error = connect().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        Entrance::open(&options, "name").unwrap();
    }
}
