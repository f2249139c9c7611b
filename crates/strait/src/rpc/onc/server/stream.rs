//! A connection: one task, which reads calls, does what ends at once, and writes replies.
//!
//! Calls that wait are tasks of their own, and leave their replies in the connection's mailbox:
//! so replies go in the order in which they are ready. What is ready goes in one write, before the
//! connection waits for more to read. It is not read from while it has too many calls in progress
//! or too many replies to take: then its client's writes wait.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::task::{Context as Poller, Poll, ready};

use arrayvec::ArrayVec;
use strait_wire::onc::record::{Caps, FRAGMENT_MAX, MARK_LEN, Records};
use tokio::io::ReadBuf;

use super::call::{Form, Origin, Outcome, begin};
use super::event::{Dropped, Event};
use super::gate::FREE;
use super::peer::{Peer, Ticket};
use super::shared::{Cache, Counts, Shared};
use super::socket::Socket;
use crate::rpc::onc::Caller;
use crate::rpc::onc::tls::{self, Asked, HANDSHAKE_MEMORY, Shaken};

/// Calls of one connection before others have their turn.
const TURN: usize = 64;
/// Times that it reads before others have their turn.
const READS: usize = 16;
/// Replies in one write.
const GATHER: usize = 32;
/// What a client sent and nobody will do is read up to so many bytes when the server stops, as the
/// kernel would otherwise tell the client of a broken connection before it has its replies.
const LEFT_MAX: usize = 256 << 10;

pub(super) struct Connection {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    socket: Socket,
    /// As the calls are told of it.
    caller: Caller,
    /// TLS was granted; its handshake comes next, and nothing in clear text any more.
    is_shaking: bool,
    /// Its handshake has its memory.
    has_begun: bool,
    records: Records,
    /// As it is accounted for.
    memory: usize,
    out: VecDeque<Vec<u8>>,
    /// Bytes of the first of them that have gone.
    gone: usize,
    /// Bytes in `out`.
    queued: usize,
    /// The client sends nothing more.
    is_ended: bool,
}

/// Why no more calls are begun.
enum Halt {
    /// No whole one has come.
    Empty,
    /// Too much is in progress.
    Full,
    /// It is others' turn.
    Turn,
}

impl Connection {
    pub(super) fn new(shared: &Arc<Shared>, socket: Socket, caller: Caller) -> Self {
        let reached = socket.reached();
        let known = caller.clone();
        let peer = Arc::new(Peer::new(shared.next_id(), known, reached, shared.now()));
        shared.enter(&peer);
        let limits = &shared.options.limits;
        Self {
            records: Records::new(Caps {
                record: limits.record_max,
                fragments: limits.fragments_max,
            }),
            shared: Arc::clone(shared),
            peer,
            socket,
            caller,
            is_shaking: false,
            has_begun: false,
            memory: 0,
            out: VecDeque::new(),
            gone: 0,
            queued: 0,
            is_ended: false,
        }
    }

    /// Until the connection ends: why, if not because there is nothing more to do.
    fn drive(&mut self, poller: &mut Poller<'_>) -> Poll<Option<Dropped>> {
        let now = self.shared.now();
        for _ in 0..READS {
            if let Some(why) = self.collect(poller) {
                return Poll::Ready(Some(why));
            }
            if self.is_shaking
                && let Err(why) = ready!(self.shake(poller, now))
            {
                return Poll::Ready(why);
            }
            let halt = self.dispatch(poller, now);
            if let Err(error) = self.flush(poller, now) {
                return Poll::Ready(Some(tls::dropped(&error)));
            }
            match halt {
                Err(why) => return Poll::Ready(Some(why)),
                Ok(Halt::Turn) => break,
                // Room that the flush has made, or a reply that has just come.
                Ok(Halt::Full) if self.is_full(poller) => return Poll::Pending,
                Ok(Halt::Full) => {}
                Ok(Halt::Empty) if self.is_ended || self.is_stopping() => {
                    return self.rest();
                }
                Ok(Halt::Empty) => match ready!(self.read(poller, now)) {
                    Ok(0) => self.is_ended = true,
                    Ok(_) => {}
                    Err(error) => return Poll::Ready(Some(tls::dropped(&error))),
                },
            }
        }
        poller.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_stopping(&self) -> bool {
        self.shared.is_stopping.load(SeqCst)
    }

    /// Nothing more is read: the end, once all is answered.
    fn rest(&mut self) -> Poll<Option<Dropped>> {
        // In this order: a reply is in the mailbox before its call is not counted any more.
        if self.peer.in_flight.load(SeqCst) > 0 || self.peer.has_replies() || !self.out.is_empty() {
            return Poll::Pending;
        }
        let is_cut = self.is_ended && self.records.is_within_record();
        let cut = Dropped::Failed(io::ErrorKind::UnexpectedEof);
        if self.is_stopping() {
            self.socket.finish(LEFT_MAX);
        }
        Poll::Ready(is_cut.then_some(cut))
    }

    /// Takes what others have left for this task.
    fn collect(&mut self, poller: &Poller<'_>) -> Option<Dropped> {
        let mail = self.peer.collect(poller.waker());
        let replies = mail.replies.into_iter();
        for reply in replies.filter(|reply| !reply.is_empty()) {
            self.queued += reply.len();
            self.out.push_back(reply);
        }
        if mail.shrink && !self.is_shaking && !self.records.is_within_record() {
            self.records.shrink();
            self.account();
        }
        match mail.doom {
            Some(Dropped::Unfinished) if self.is_shaking => {
                let why = "its handshake was begun and not finished in time";
                Some(Dropped::Tls(why.to_owned()))
            }
            doom => doom,
        }
    }

    /// Goes on with the handshake of TLS. `Err` ends the connection, for that reason if there is
    /// one.
    fn shake(&mut self, poller: &mut Poller<'_>, now: u64) -> Poll<Result<(), Option<Dropped>>> {
        if self.is_stopping() {
            return Poll::Ready(Err(None));
        }
        // The word for TLS goes in clear text, before anything is read.
        if let Err(error) = self.flush(poller, now) {
            return Poll::Ready(Err(Some(Dropped::Failed(error.kind()))));
        }
        if !self.out.is_empty() {
            return Poll::Pending;
        }
        if self.socket.is_clear()
            && let Some(server) = &self.shared.options.tls
        {
            self.socket.start_tls(server);
        }
        // Memory only once there is something to be read; what failed says so when it is read.
        if !self.has_begun {
            let _ = ready!(self.socket.poll_come(poller));
            ready!(self.ask(poller, FREE));
            self.has_begun = true;
        }
        self.peer.progress.set(now);
        let shaken = loop {
            match ready!(self.socket.poll_shake(poller)) {
                Ok(Shaken::Long) => {
                    ready!(self.ask(poller, HANDSHAKE_MEMORY - FREE));
                    self.socket.make_room_to_shake();
                }
                Ok(Shaken::Done(certificate)) => break Ok(certificate),
                Err(error) => break Err(error),
            }
        };
        self.is_shaking = false;
        self.settle();
        self.account();
        match (shaken, &self.caller) {
            (Ok(certificate), Caller::Tcp(address)) => {
                self.caller = Caller::Tls {
                    address: *address,
                    certificate,
                };
                Poll::Ready(Ok(()))
            }
            (Ok(_), _) => Poll::Ready(Err(None)),
            (Err(error), _) => {
                // So that the client hears why.
                self.socket.finish(LEFT_MAX);
                Poll::Ready(Err(Some(tls::dropped(&error))))
            }
        }
    }

    /// TLS is granted, if nothing is left over from before it.
    fn grant(&mut self, now: u64) -> Result<(), Dropped> {
        let refused = |why: &str| Err(Dropped::Tls(why.to_owned()));
        // In this order: a reply is in the mailbox before its call is not counted any more.
        if self.peer.in_flight.load(SeqCst) > 0 || self.peer.has_replies() {
            return refused("it was asked for while calls were in progress");
        }
        // What somebody may have put there is not taken for something said within TLS.
        if self.records.is_within_record() {
            return refused("more came in clear text behind the question for it");
        }
        self.shared.forget_shorts(self.peer.id);
        // What is kept for records is the handshake's now.
        self.records.shrink();
        self.account();
        self.is_shaking = true;
        self.peer.begun.set(now);
        self.peer.progress.set(now);
        Ok(())
    }

    /// Does the calls that have come.
    fn dispatch(&mut self, poller: &Poller<'_>, now: u64) -> Result<Halt, Dropped> {
        let lead = MARK_LEN;
        let form = Form {
            lead,
            max: FRAGMENT_MAX,
        };
        for _ in 0..TURN {
            if self.is_stopping() {
                return Ok(Halt::Empty);
            }
            if self.is_full(poller) {
                self.peer.begun.clear();
                let is_behind = self.records.is_within_record();
                self.peer.is_behind.store(is_behind, Relaxed);
                return Ok(Halt::Full);
            }
            let Some(record) = self.records.next_record().map_err(Dropped::Record)? else {
                self.await_rest(now);
                return Ok(Halt::Empty);
            };
            let within = self.socket.is_within_tls();
            if (within || self.socket.is_clear())
                && self.shared.options.tls.is_some()
                && let Some(asked) = tls::asked(&self.shared, record, within)
            {
                let (reply, is_granted) = match asked {
                    Asked::Granted(reply) => (reply, true),
                    Asked::TurnedAway(reply) => (reply, false),
                };
                self.queue(reply);
                self.peer.used.set(now);
                self.settle();
                if is_granted {
                    self.grant(now)?;
                    return Ok(Halt::Turn);
                }
                continue;
            }
            let origin = Origin {
                caller: &self.caller,
                reached: self.peer.reached,
                form,
                connection: Some(self.peer.id),
                cache: cache(&self.shared, &self.caller),
            };
            match begin(&self.shared, &origin, record) {
                Outcome::Reply(reply) if reply.is_empty() => {}
                Outcome::Reply(reply) => self.queue(reply),
                Outcome::Later(later) => {
                    let ticket = Ticket::new(&self.shared, Some(&self.peer));
                    self.shared
                        .spawn(async move { ticket.deliver(later.await) });
                }
                Outcome::Repeated => {}
                Outcome::Ignored(why) => return Err(Dropped::NoCall(why)),
            }
            self.peer.used.set(now);
            self.settle();
        }
        Ok(Halt::Turn)
    }

    fn queue(&mut self, reply: Vec<u8>) {
        self.queued += reply.len();
        self.shared.queued.fetch_add(reply.len(), SeqCst);
        self.out.push_back(reply);
    }

    /// Whether no further call may begin now; this task is woken when one may.
    fn is_full(&self, poller: &Poller<'_>) -> bool {
        let limits = &self.shared.options.limits;
        let total = || self.shared.queued.load(SeqCst);
        // Replies that are to go: `flush` has asked to be woken.
        self.queued >= limits.replies_per_connection
            || (self.queued > 0 && total() >= limits.replies_memory)
            // Calls of its own: each wakes this task when it ends.
            || self.peer.in_flight.load(SeqCst) >= limits.calls_per_connection
            || !self.shared.calls.is_open_or_wait(self.peer.id, poller.waker())
    }

    /// Notes since when a call is coming, if one is.
    fn await_rest(&self, now: u64) {
        self.peer.is_behind.store(false, Relaxed);
        if !self.records.is_within_record() {
            self.peer.begun.clear();
        } else if self.peer.begun.get().is_none() {
            self.peer.begun.set(now);
        }
    }

    /// A call has come wholly; what has begun to come behind it is another one.
    fn settle(&mut self) {
        self.peer.begun.clear();
        if self.memory > FREE {
            self.shared.memory.settle(self.peer.id, 0);
        }
    }

    /// Tells what memory the records have given back.
    fn account(&mut self) {
        let less = self.memory.saturating_sub(self.records.memory());
        self.memory -= less;
        self.peer.memory.store(self.memory, Relaxed);
        self.shared.memory.settle(self.peer.id, less);
    }

    fn read(&mut self, poller: &mut Poller<'_>, now: u64) -> Poll<io::Result<usize>> {
        // Memory only once there is something to be read.
        ready!(self.socket.poll_read_ready(poller))?;
        let growth = self.records.growth();
        if growth > 0 {
            ready!(self.ask(poller, growth));
        }
        let mut room = ReadBuf::new(self.records.room());
        ready!(self.socket.poll_read(poller, &mut room))?;
        let len = room.filled().len();
        self.records.filled(len);
        self.peer.progress.set(now);
        Poll::Ready(Ok(len))
    }

    /// Asks for memory; until there is some.
    fn ask(&mut self, poller: &Poller<'_>, growth: usize) -> Poll<()> {
        let (id, waker) = (self.peer.id, poller.waker());
        let had = self
            .shared
            .memory
            .take_or_wait(id, (self.memory, growth), waker);
        self.peer.waits.store(!had, Relaxed);
        if !had {
            self.shared.care.notify_one();
            return Poll::Pending;
        }
        self.memory += growth;
        self.peer.memory.store(self.memory, Relaxed);
        Poll::Ready(())
    }

    /// Writes as much as the client takes.
    fn flush(&mut self, poller: &mut Poller<'_>, now: u64) -> io::Result<()> {
        while !self.out.is_empty() {
            let mut slices = ArrayVec::<_, GATHER>::new();
            let mut skip = self.gone;
            for reply in self.out.iter().take(GATHER) {
                slices.push(IoSlice::new(&reply[skip..]));
                skip = 0;
            }
            let written = self.socket.poll_write(poller, &slices);
            drop(slices);
            match written {
                Poll::Pending => {
                    if self.peer.writing.get().is_none() {
                        self.peer.writing.set(now);
                    }
                    return Ok(());
                }
                Poll::Ready(written) => self.advance(written?),
            }
            self.peer.used.set(now);
            self.peer.writing.clear();
        }
        Ok(())
    }

    fn advance(&mut self, written: usize) {
        self.queued -= written;
        self.shared.queued.fetch_sub(written, SeqCst);
        self.gone += written;
        while let Some(first) = self.out.front()
            && self.gone >= first.len()
        {
            self.gone -= first.len();
            self.out.pop_front();
        }
    }
}

/// The table of calls over streams, if there is one, and the address that calls are known by.
fn cache<'a>(shared: &'a Shared, caller: &Caller) -> Option<(&'a Arc<Cache>, SocketAddr)> {
    let cache = shared.cache.as_ref()?;
    let Caller::Tcp(address) = caller else {
        return None;
    };
    let ip: IpAddr = address.ip();
    Some((cache, SocketAddr::new(ip, 0)))
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<()> {
        let why = ready!(self.drive(poller));
        if let Some(why) = why {
            Counts::add(&self.shared.counts.dropped);
            self.shared.tell(|| Event::Dropped {
                caller: self.caller.clone(),
                why,
            });
        }
        Poll::Ready(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.socket.close();
        let left = self.peer.close();
        let left = left.iter().map(Vec::len).sum::<usize>() + self.queued;
        self.shared.queued.fetch_sub(left, SeqCst);
        self.shared.memory.settle(self.peer.id, self.memory);
        self.shared.calls.forget(self.peer.id);
        self.shared.leave(self.peer.id);
    }
}
