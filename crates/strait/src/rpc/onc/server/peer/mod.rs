//! A connection as others see it: the tasks that do its calls, and who looks after all of them.

pub(super) mod care;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;

use crate::rpc::onc::Caller;
use crate::rpc::onc::server::event::Dropped;
use crate::rpc::onc::server::lock;
use crate::rpc::onc::server::shared::{Shared, network};

/// Times are milliseconds of [`Shared::now`]; 0 is never.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: u64,
    pub(super) caller: Caller,
    pub(super) reached: Option<SocketAddr>,
    /// When a call came last, or a reply went.
    pub(super) used: Moment,
    /// When the call began that is not whole yet.
    pub(super) begun: Moment,
    /// When bytes of it came last.
    pub(super) progress: Moment,
    /// Calls have come, wholly or not, that wait until others have ended or replies are taken.
    pub(super) is_behind: AtomicBool,
    /// When replies went last, while there are some to go.
    pub(super) writing: Moment,
    /// It is not read from for want of memory.
    pub(super) waits: AtomicBool,
    /// Memory of what has come.
    pub(super) memory: AtomicUsize,
    /// Calls being done.
    pub(super) in_flight: AtomicUsize,
    mailbox: Mutex<Mailbox>,
}

/// Whose connections count together, where there are too many.
#[derive(Copy, Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Crowd {
    /// As [`network`] has it.
    Address(IpAddr),
    User(u32),
    /// Pipes that were handed over, whoever is there.
    Pipes,
}

/// A time, or never.
#[derive(Debug, Default)]
pub(super) struct Moment(AtomicU64);

impl Moment {
    pub(super) fn set(&self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }

    pub(super) fn clear(&self) {
        self.set(0);
    }

    pub(super) fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|at| *at != 0)
    }

    /// Milliseconds since then.
    pub(super) fn age(&self, now: u64) -> Option<u64> {
        self.get().map(|at| now.saturating_sub(at))
    }
}

/// What others have for the connection's task.
#[derive(Debug, Default)]
struct Mailbox {
    replies: Vec<Vec<u8>>,
    waker: Option<Waker>,
    doom: Option<Dropped>,
    shrink: bool,
    /// The task has ended.
    is_closed: bool,
}

/// What the connection's task is told.
#[derive(Debug, Default)]
pub(super) struct Mail {
    pub(super) replies: Vec<Vec<u8>>,
    pub(super) doom: Option<Dropped>,
    pub(super) shrink: bool,
}

impl Peer {
    pub(super) fn new(id: u64, caller: Caller, reached: Option<SocketAddr>, now: u64) -> Self {
        let used = Moment::default();
        used.set(now);
        Self {
            id,
            caller,
            reached,
            used,
            begun: Moment::default(),
            progress: Moment::default(),
            is_behind: AtomicBool::new(false),
            writing: Moment::default(),
            waits: AtomicBool::new(false),
            memory: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            mailbox: Mutex::default(),
        }
    }

    pub(super) fn crowd(&self) -> Crowd {
        let address = match &self.caller {
            Caller::Local { uid, .. } => return Crowd::User(*uid),
            Caller::Pipe => return Crowd::Pipes,
            Caller::Tcp(address) | Caller::Tls { address, .. } | Caller::Udp(address) => address,
        };
        Crowd::Address(network(address.ip()))
    }

    /// Takes what is there; `waker` is woken when there is more.
    pub(super) fn collect(&self, waker: &Waker) -> Mail {
        let mut mailbox = lock(&self.mailbox);
        match &mut mailbox.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        Mail {
            replies: std::mem::take(&mut mailbox.replies),
            doom: mailbox.doom.clone(),
            shrink: std::mem::take(&mut mailbox.shrink),
        }
    }

    pub(super) fn has_replies(&self) -> bool {
        !lock(&self.mailbox).replies.is_empty()
    }

    /// Takes the last replies; further ones are dropped.
    pub(super) fn close(&self) -> Vec<Vec<u8>> {
        let mut mailbox = lock(&self.mailbox);
        mailbox.is_closed = true;
        mailbox.waker = None;
        std::mem::take(&mut mailbox.replies)
    }

    /// Ends the connection. False: it is ending already.
    pub(super) fn doom(&self, why: Dropped) -> bool {
        let mut mailbox = lock(&self.mailbox);
        if mailbox.is_closed || mailbox.doom.is_some() {
            return false;
        }
        mailbox.doom = Some(why);
        wake(mailbox);
        true
    }

    pub(super) fn is_doomed(&self) -> bool {
        let mailbox = lock(&self.mailbox);
        mailbox.is_closed || mailbox.doom.is_some()
    }

    /// Asks the connection to give back memory that it does not use.
    pub(super) fn shrink(&self) {
        let mut mailbox = lock(&self.mailbox);
        mailbox.shrink = true;
        wake(mailbox);
    }

    pub(super) fn wake(&self) {
        wake(lock(&self.mailbox));
    }

    /// Whether it holds memory for calls that are not done by its own client's doing: they do not
    /// go on, or their client takes no replies.
    pub(super) fn is_held_up(&self) -> bool {
        let is_behind = self.is_behind.load(Ordering::Relaxed) && self.writing.get().is_some();
        let has_any = self.memory.load(Ordering::Relaxed) > 0;
        has_any && !self.waits.load(Ordering::Relaxed) && (self.begun.get().is_some() || is_behind)
    }

    pub(super) fn is_busy(&self) -> bool {
        self.in_flight.load(Ordering::SeqCst) > 0 || self.writing.get().is_some()
    }
}

/// Not under the lock: what is woken may look here.
fn wake(mailbox: MutexGuard<'_, Mailbox>) {
    let waker = mailbox.waker.clone();
    drop(mailbox);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A call in progress, counted until it ends in whatever way.
#[derive(Debug)]
pub(super) struct Ticket {
    shared: Arc<Shared>,
    peer: Option<Arc<Peer>>,
}

impl Ticket {
    pub(super) fn new(shared: &Arc<Shared>, peer: Option<&Arc<Peer>>) -> Self {
        shared.calls.take();
        if let Some(peer) = peer {
            peer.in_flight.fetch_add(1, Ordering::SeqCst);
        }
        Self {
            shared: Arc::clone(shared),
            peer: peer.map(Arc::clone),
        }
    }

    /// The reply goes to the connection, if that is still there.
    pub(super) fn deliver(self, reply: Vec<u8>) {
        let Some(peer) = &self.peer else { return };
        let mut mailbox = lock(&peer.mailbox);
        if !mailbox.is_closed {
            self.shared.queued.fetch_add(reply.len(), Ordering::SeqCst);
            mailbox.replies.push(reply);
        }
        // The drop of `self` wakes, once the call is not counted any more.
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // In this order: where its connection may begin another, this one counts nowhere any more.
        self.shared.calls.give_back();
        if let Some(peer) = &self.peer {
            peer.in_flight.fetch_sub(1, Ordering::SeqCst);
            peer.wake();
        }
        self.shared.ended();
    }
}
