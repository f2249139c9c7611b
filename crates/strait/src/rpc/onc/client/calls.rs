//! Calls in flight and what became of them: what all who call over one connection share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::Waker;
use std::thread::Thread;

use strait_sys::time::Deadline;
use strait_wire::onc::auth::OpaqueAuth;
use strait_wire::onc::client::{self as machine, Draft, Due, Form, Received, Refused};
use strait_wire::onc::gss::Unsound;
use strait_wire::onc::message::{ReplyBody, ReplyHeader, Xid};
use strait_wire::time::Time;
use strait_wire::xdr;

use super::failure::{End, Failure};
use super::gss::Book;

/// What became of a call. `R` is where its results stand.
#[derive(Debug)]
pub(super) enum Outcome<R = Vec<u8>> {
    /// It succeeded.
    Results(R),
    /// It succeeded, and these are its results, taken out of their protection.
    Opened(Vec<u8>),
    /// The reply does not prove itself.
    Unproven(Unsound),
    /// The server said no.
    Refused(Refused),
    /// The reply's header cannot be decoded.
    Malformed(xdr::Error),
    /// Nobody receives datagrams there.
    Unreachable,
    /// It succeeded, and its results were dropped: too much was there that nobody had collected.
    Dropped {
        /// Their length.
        len: usize,
        /// What may be kept.
        max: usize,
    },
}

/// Who sleeps until a call has ended, or until it is his turn to read.
#[derive(Debug)]
pub(super) enum Waiter {
    Thread(Thread),
    Task(Waker),
}

impl Waiter {
    pub(super) fn wake(&self) {
        match self {
            Self::Thread(thread) => thread.unpark(),
            Self::Task(waker) => waker.wake_by_ref(),
        }
    }
}

/// Messages that were dropped, for the error of a call that waits in vain.
#[derive(Clone, Debug, Default)]
pub(super) struct Strays {
    /// Replies to no call in flight.
    pub(super) late: u64,
    /// What was no reply.
    pub(super) garbage: u64,
    /// What was wrong with the last of these.
    pub(super) last: Option<xdr::Error>,
    /// Replies that do not prove themselves.
    pub(super) unproven: u64,
}

/// The calls of one connection.
#[derive(Debug)]
pub(super) struct Calls {
    machine: machine::Client,
    in_flight_max: usize,
    uncollected_max: usize,
    /// What has come and is not collected.
    done: BTreeMap<Xid, Outcome>,
    /// Calls that were begun, and nobody waits for yet.
    unattended: BTreeSet<Xid>,
    /// Bytes of the results of those.
    uncollected: usize,
    waiting: BTreeMap<Xid, Waiter>,
    /// Why no call can be begun.
    closed: Option<End>,
    /// Why no reply can come.
    ended: Option<End>,
    /// What the server has handed out in place of the credential: AUTH_SHORT.
    short: Option<Arc<OpaqueAuth<'static>>>,
    /// Those of RPCSEC_GSS.
    pub(super) book: Book,
    pub(super) strays: Strays,
}

impl Calls {
    pub(super) fn new(
        machine: machine::Client,
        in_flight_max: usize,
        uncollected_max: usize,
    ) -> Self {
        Self {
            machine: machine.in_flight_max(in_flight_max),
            in_flight_max,
            uncollected_max,
            done: BTreeMap::new(),
            unattended: BTreeSet::new(),
            uncollected: 0,
            waiting: BTreeMap::new(),
            closed: None,
            ended: None,
            short: None,
            book: Book::default(),
            strays: Strays::default(),
        }
    }

    /// Begins a call, whose number is put into `out`.
    pub(super) fn launch(&mut self, draft: &Draft, out: &mut [u8]) -> Result<Xid, Failure> {
        self.check_open()?;
        let max = self.in_flight_max;
        if self.machine.in_flight() + self.done.len() >= max {
            return Err(Failure::Draft(machine::Error::TooMany { max }));
        }
        loop {
            let xid = self.machine.launch(self.launching(), draft, out);
            let xid = xid.map_err(Failure::Draft)?;
            // A reply that nobody has collected for four thousand million calls has this number.
            if !self.done.contains_key(&xid) {
                return Ok(xid);
            }
            self.machine.cancel(xid);
        }
    }

    /// The time, where it decides when the call is sent again.
    fn launching(&self) -> Time {
        match self.machine.form() {
            Form::DATAGRAM => now(),
            _ => Time::from_nanos(0),
        }
    }

    /// A number for a call that is encoded with it.
    pub(super) fn reserve(&mut self) -> Xid {
        loop {
            let xid = self.machine.reserve();
            if !self.done.contains_key(&xid) {
                return xid;
            }
        }
    }

    /// Begins a call under a number that was reserved.
    pub(super) fn launch_as(
        &mut self,
        xid: Xid,
        draft: &Draft,
        out: &mut [u8],
    ) -> Result<(), Failure> {
        self.check_open()?;
        let max = self.in_flight_max;
        if self.machine.in_flight() + self.done.len() >= max {
            return Err(Failure::Draft(machine::Error::TooMany { max }));
        }
        let launched = self.machine.launch_as(self.launching(), xid, draft, out);
        launched.map_err(Failure::Draft)
    }

    /// A call that was launched is not waited for until [`attend`](Self::attend).
    pub(super) fn leave(&mut self, xid: Xid) {
        // Whoever reads may have been quick.
        if self.unattended.insert(xid)
            && let Some(Outcome::Results(bytes)) = self.done.get(&xid)
        {
            self.uncollected += bytes.len();
        }
    }

    /// A call is waited for from now on, or forgotten.
    pub(super) fn attend(&mut self, xid: Xid) {
        if self.unattended.remove(&xid)
            && let Some(Outcome::Results(bytes)) = self.done.get(&xid)
        {
            self.uncollected -= bytes.len();
        }
    }

    /// Makes a call that nobody waits for.
    pub(super) fn launch_oneway(&mut self, draft: &Draft, out: &mut [u8]) -> Result<(), Failure> {
        self.check_open()?;
        self.machine.launch_oneway(draft, out);
        Ok(())
    }

    pub(super) fn check_open(&self) -> Result<(), Failure> {
        match &self.closed {
            Some(end) => Err(Failure::Ended(end.clone())),
            None => Ok(()),
        }
    }

    /// Nothing more can be sent.
    pub(super) fn close(&mut self, why: End) {
        self.closed.get_or_insert(why);
    }

    /// Nothing more comes: every call has ended with that.
    pub(super) fn end(&mut self, why: &End) {
        self.close(why.clone());
        self.ended.get_or_insert_with(|| why.clone());
        // Each that waits finds the end by itself.
        drop(self.machine.abandon());
        self.book.clear();
        for waiter in self.waiting.values() {
            waiter.wake();
        }
    }

    pub(super) fn ended(&self) -> Option<&End> {
        self.ended.as_ref()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// Nobody receives there: every call but `but` has ended with that.
    pub(super) fn unreachable(&mut self, but: Option<Xid>) {
        let all: Vec<Xid> = self.machine.in_flight_calls().collect();
        for xid in all.into_iter().filter(|xid| Some(*xid) != but) {
            self.machine.cancel(xid);
            self.book.remove(xid);
            self.deliver(xid, Outcome::Unreachable);
        }
    }

    /// Forgets a call: its reply is dropped when it comes.
    pub(super) fn forget(&mut self, xid: Xid) {
        self.attend(xid);
        self.machine.cancel(xid);
        self.book.remove(xid);
        self.done.remove(&xid);
        self.waiting.remove(&xid);
    }

    /// What became of a call, if that is known; it is collected with that.
    pub(super) fn collect(&mut self, xid: Xid) -> Option<Result<Outcome, Failure>> {
        if let Some(outcome) = self.done.remove(&xid) {
            return Some(Ok(outcome));
        }
        let end = self.ended.clone()?;
        Some(Err(Failure::Lost(end)))
    }

    /// `waiter` is to be woken when the call has ended.
    pub(super) fn wait(&mut self, xid: Xid, waiter: Waiter) {
        self.waiting.insert(xid, waiter);
    }

    pub(super) fn wait_no_more(&mut self, xid: Xid) {
        self.waiting.remove(&xid);
    }

    /// Wakes one who waits, so that he reads.
    pub(super) fn wake_one(&mut self) {
        match self.waiting.values().next() {
            Some(waiter) => waiter.wake(),
            None => self.book.wake(),
        }
    }

    /// Takes a message. What became of `mine` is returned, with the place of the results in the
    /// message; what became of others is kept for them.
    pub(super) fn take_in(&mut self, message: &[u8], mine: Option<Xid>) -> Option<Outcome<usize>> {
        let is_lossy = self.machine.form() == Form::DATAGRAM;
        let opened = self.book.open(message);
        if is_lossy && matches!(opened, Some(Err(_))) {
            // Anyone can send datagrams: the true reply may yet come.
            self.strays.unproven += 1;
            return None;
        }
        let (xid, outcome) = match self.machine.receive(message) {
            Received::Answer(answer) => {
                let xid = answer.header.xid;
                self.book.remove(xid);
                let outcome = match (answer.results(), opened) {
                    (_, Some(Err(why))) => Outcome::Unproven(why),
                    (Ok(_), Some(Ok(bytes))) => Outcome::Opened(bytes),
                    (Ok(results), None) => Outcome::Results(message.len() - results.len()),
                    (Err(refused), _) => Outcome::Refused(refused),
                };
                self.learn(&answer.header);
                (xid, outcome)
            }
            Received::Malformed { xid, error } if !is_lossy => {
                self.book.remove(xid);
                (xid, Outcome::Malformed(error))
            }
            Received::Malformed { error, .. } | Received::Garbage(error) => {
                self.strays.garbage += 1;
                self.strays.last = Some(error);
                return None;
            }
            Received::Unexpected(_) => {
                self.strays.late += 1;
                return None;
            }
        };
        if mine == Some(xid) {
            return Some(outcome);
        }
        let outcome = match outcome {
            Outcome::Results(at) => self.keep(xid, &message[at..]),
            Outcome::Opened(bytes) => self.keep(xid, &bytes),
            Outcome::Unproven(why) => Outcome::Unproven(why),
            Outcome::Refused(refused) => Outcome::Refused(refused),
            Outcome::Malformed(error) => Outcome::Malformed(error),
            Outcome::Unreachable => Outcome::Unreachable,
            Outcome::Dropped { len, max } => Outcome::Dropped { len, max },
        };
        self.deliver(xid, outcome);
        None
    }

    /// Results for somebody who reads later. Who waits already has room for his own; of the others
    /// all together have a bound, and who reads cannot stop at it: what he waits for may lie
    /// behind.
    fn keep(&mut self, xid: Xid, results: &[u8]) -> Outcome {
        if self.unattended.contains(&xid) {
            let (len, max) = (results.len(), self.uncollected_max);
            if self.uncollected + len > max {
                return Outcome::Dropped { len, max };
            }
            self.uncollected += len;
        }
        Outcome::Results(results.to_vec())
    }

    fn deliver(&mut self, xid: Xid, outcome: Outcome) {
        self.done.insert(xid, outcome);
        if let Some(waiter) = self.waiting.get(&xid) {
            waiter.wake();
        }
    }

    /// RFC 5531 appendix A: what a verifier AUTH_SHORT holds may be sent in place of the
    /// credential.
    fn learn(&mut self, header: &ReplyHeader<'_>) {
        if let ReplyBody::Accepted { verifier, .. } = &header.body
            && let Some(short) = verifier.handed_out()
            && self.short.as_deref() != Some(&short)
        {
            self.short = Some(Arc::new(short.into_owned()));
        }
    }

    /// What is to be sent in place of the credential.
    pub(super) fn short(&self) -> Option<Arc<OpaqueAuth<'static>>> {
        self.short.clone()
    }

    /// The server does not take it any more.
    pub(super) fn drop_short(&mut self) {
        self.short = None;
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(super) fn next_tick(&self) -> Option<Deadline> {
        let due = self.machine.poll_timeout()?;
        Some(Deadline::from_ns(due.as_nanos()))
    }

    /// Sends again what is due.
    pub(super) fn tick(&mut self, mut send: impl FnMut(&[u8])) {
        if self.machine.poll_timeout().is_none() {
            return;
        }
        let now = now();
        while let Some(due) = self.machine.handle_timeout(now) {
            if let Due::Retransmit { xid, datagram } = due {
                match self.book.again(xid) {
                    Some(datagram) if datagram.is_empty() => {}
                    Some(datagram) => send(&datagram),
                    None => send(datagram),
                }
            }
        }
    }
}

fn now() -> Time {
    Time::from_nanos(Deadline::now().ns())
}
