//! The receiving end.

mod pieces;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use strait_sys::cell::ReadOnly;
use strait_sys::kill;
use strait_sys::map::Fixed;
use strait_sys::window::Window;

use crate::channel::Options;
use crate::channel::attach::Enclosed;
use crate::channel::door::Knocker;
use crate::channel::layout::{
    CLOSED, DEAF, HEAD, Header, PIECES_FROM, PIECES_TO, POSITION, RING, TAIL, UNIT,
};
use crate::channel::link::{Link, Peer, Place};
use crate::channel::park::{Waited, Waiter};
use crate::channel::ring::{Lie, ReadLane, Reader};
use crate::channel::sender::Patience;
use crate::channel::share::End;
use crate::channel::wait::Arrivals;
use crate::error::{Error, ErrorKind, Result};
use crate::object::wait::source::Source;

/// The ring that the other side writes.
#[derive(Debug)]
pub(crate) struct In {
    ring: Window<ReadOnly>,
    capacity: u64,
    pub(in crate::channel) head: Fixed<u64, ReadOnly>,
    pub(in crate::channel) tail: Fixed<u64>,
    pub(in crate::channel) position: Fixed<u64>,
    /// From where to where the rest of a message lies that a holder of this end has begun.
    pieces: [Fixed<u64>; 2],
}

impl In {
    fn new(link: &Link) -> Option<Self> {
        let capacity = link.their_shape.capacity;
        Some(Self {
            ring: Window::look(&link.theirs, RING, usize::try_from(capacity).ok()?)?,
            capacity,
            head: link.theirs.fixed_look(HEAD)?,
            tail: link.own.fixed(TAIL)?,
            position: link.own.fixed(POSITION)?,
            pieces: [link.own.fixed(PIECES_FROM)?, link.own.fixed(PIECES_TO)?],
        })
    }

    /// A message in pieces goes on at `from`. In this order: a holder that dies at any point of it
    /// leaves what names no part of the ring, or this one.
    fn begin_pieces(&self, from: u64) {
        self.pieces[0].word().store(from, Ordering::SeqCst);
        self.end_pieces(from.wrapping_add(u64::MAX / 4));
    }

    /// It ends there.
    fn end_pieces(&self, to: u64) {
        self.pieces[1].word().store(to, Ordering::SeqCst);
    }

    /// Whether the record there belongs to a message whose beginning was received.
    pub(in crate::channel) fn is_piece(&self, at: u64) -> bool {
        let [from, to] = [0, 1].map(|index| self.pieces[index].word().load(Ordering::SeqCst));
        at.wrapping_sub(from) < to.wrapping_sub(from)
    }
}

impl ReadLane for In {
    #[inline]
    fn capacity(&self) -> u64 {
        self.capacity
    }

    #[inline]
    fn head(&self) -> u64 {
        self.head.word().load(Ordering::Acquire)
    }

    #[inline]
    fn release(&self, tail: u64) {
        self.tail.word().store(tail, Ordering::Release);
    }

    #[inline]
    fn note(&self, tail: u64) {
        self.position.word().store(tail, Ordering::Relaxed);
    }

    #[inline]
    fn read(&self, at: u64, bytes: &mut [u8]) {
        self.ring.read(at, bytes);
    }

    #[inline]
    fn get(&self, at: u64) -> u64 {
        self.ring.word(at).load(Ordering::Relaxed)
    }

    #[inline]
    fn prefetch(&self, at: u64) {
        self.ring.prefetch(at);
    }
}

/// What a read in parts found.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Part {
    /// Bytes that were read.
    pub len: usize,
    /// The message has more, which the next read gets.
    pub more: bool,
}

/// The receiving end of a channel.
#[derive(Debug)]
pub struct Receiver {
    pub(in crate::channel) input: Reader<In>,
    pub(crate) waiter: Waiter<Place>,
    pub(crate) link: Arc<Link>,
    /// Bytes of the first record that were read already.
    pub(in crate::channel) offset: u64,
    /// How waits see it.
    pub(crate) arrivals: Arc<dyn Source>,
    /// The beginning of a message whose rest did not come in time.
    pub(in crate::channel) stash: Vec<u8>,
    /// How long that message is.
    pub(in crate::channel) total: Option<u64>,
    pub(crate) message_max: usize,
    /// This holder has the turn at a shared end.
    pub(in crate::channel) keeps_turn: bool,
    /// Where it had come to when the end was noticed.
    last: Option<u64>,
    /// What came with the last message.
    pub(crate) enclosed: Enclosed,
}

pub(in crate::channel) const RECV: &str = "receive";

impl Receiver {
    pub(crate) fn new(link: &Arc<Link>, options: &Options, door: Option<Knocker>) -> Option<Self> {
        let input = In::new(link)?;
        let tail = input.position.word().load(Ordering::SeqCst);
        Some(Self {
            input: Reader::at(input, tail),
            waiter: Waiter::new(Place::new(link, false, door)?, options.spin),
            arrivals: Arc::new(Arrivals::new(link, Arc::default())?),
            link: link.clone(),
            offset: 0,
            stash: Vec::new(),
            total: None,
            message_max: options.message_max,
            keeps_turn: false,
            last: None,
            enclosed: Enclosed::default(),
        })
    }

    /// Receives a message into `buffer` and returns its length; blocks until there is one. `None`:
    /// the sender is closed, and everything it sent has been received.
    ///
    /// # Errors
    /// [`ErrorKind::TooLong`] if it is longer than `buffer`: it stays, and the error says how long
    /// it is. [`ErrorKind::PeerGone`] if the sender's process went without closing, once everything
    /// it had sent whole has been received. [`ErrorKind::Broken`] if it broke the protocol.
    #[inline]
    pub fn recv(&mut self, buffer: &mut [u8]) -> Result<Option<usize>> {
        loop {
            match self.take(buffer, Patience::Forever)? {
                Taken::Message(len) => return Ok(Some(len)),
                Taken::End => return Ok(None),
                Taken::TimedOut => {}
            }
        }
    }

    /// [`recv`](Self::recv) without blocking.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn try_recv(&mut self, buffer: &mut [u8]) -> Result<Taken> {
        self.take(buffer, Patience::Look)
    }

    /// [`recv`](Self::recv) for at most `timeout`.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn recv_for(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<Taken> {
        self.take(buffer, Patience::for_at_most(timeout))
    }

    /// Who sends, as the kernel said when the session began.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.link.peer
    }

    /// Whether there is something to receive, an end included.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let lane = &self.input.lane;
        lane.head() != lane.position.word().load(Ordering::Relaxed) || self.link.is_over(CLOSED)
    }

    #[inline]
    pub(crate) fn take(&mut self, buffer: &mut [u8], patience: Patience) -> Result<Taken> {
        if self.is_odd() {
            return self.in_turn(patience, |receiver, patience| {
                receiver.take_alone(buffer, patience)
            });
        }
        self.take_alone(buffer, patience)
    }

    #[inline]
    pub(in crate::channel) fn take_alone(
        &mut self,
        buffer: &mut [u8],
        patience: Patience,
    ) -> Result<Taken> {
        self.let_go();
        let header = match self.find(patience)? {
            Found::Record(header) => header,
            Found::End => return Ok(Taken::End),
            Found::TimedOut => return Ok(Taken::TimedOut),
        };
        if !header.is_plain() || self.total.is_some() || self.offset != 0 {
            return self.take_in_pieces(header, buffer, patience);
        }
        let len = header.len() as usize;
        let Some(bytes) = buffer.get_mut(..len) else {
            return Err(self.too_long(header.len(), buffer.len()));
        };
        self.input.copy(0, bytes);
        self.consume(header);
        Ok(Taken::Message(len))
    }

    /// Whether other processes may hold this end, or this is not the process whose it is.
    #[inline]
    pub(in crate::channel) fn is_odd(&self) -> bool {
        self.waiter.park.is_shared() || self.link.is_foreign()
    }

    /// The record of that header is the last of its message.
    pub(in crate::channel) fn end_pieces(&self, header: Header) {
        let after = self.input.position().wrapping_add(header.span());
        self.input.lane.end_pieces(after);
    }

    /// Closes what came with the last message and was not taken.
    #[inline]
    pub(crate) fn let_go(&mut self) {
        if !self.enclosed.is_empty() && self.total.is_none() {
            self.enclosed = Enclosed::default();
        }
    }

    /// Consumes the record of that header and takes in what came with it.
    pub(in crate::channel) fn accept(&mut self, header: Header) -> Result<()> {
        let position = self.input.position();
        // In this order: handles of a record that nobody will see again are skipped.
        self.consume(header);
        self.enclosed = Enclosed::open(&self.link, header, position)?;
        Ok(())
    }

    /// The next record, if it is there or comes in time.
    #[inline]
    pub(in crate::channel) fn find(&mut self, patience: Patience) -> Result<Found> {
        match self.input.next() {
            Ok(Some(header)) => Ok(Found::Record(header)),
            Ok(None) => self.await_record(patience),
            Err(lie) => Err(self.lied(lie)),
        }
    }

    #[inline]
    pub(in crate::channel) fn consume(&mut self, header: Header) {
        kill::point("channel.consume");
        self.offset = 0;
        if self.input.consume(header) {
            kill::point("channel.released");
            self.waiter.published();
        }
    }

    /// Waits for a record. Whoever is about to wait first gives back all room.
    #[inline(never)]
    pub(in crate::channel) fn await_record(&mut self, patience: Patience) -> Result<Found> {
        if self.input.release() {
            kill::point("channel.drained");
            self.waiter.published();
        }
        if matches!(patience, Patience::Look) && !self.is_ready() {
            return Ok(Found::TimedOut);
        }
        let link = &self.link;
        let is_over = || link.is_over(CLOSED);
        let until = patience.deadline();
        let waited = self.input.await_record(&mut self.waiter, is_over, until);
        match waited {
            Waited::TimedOut => Ok(Found::TimedOut),
            Waited::Ready => match self.input.next() {
                Ok(Some(header)) => Ok(Found::Record(header)),
                Ok(None) => Err(self.lied(Lie("what it published was taken back"))),
                Err(lie) => Err(self.lied(lie)),
            },
            Waited::Over => self.over().map(|_| Found::End),
        }
    }

    /// How the end is to be told: in order, or not.
    #[cold]
    pub(crate) fn over(&self) -> Result<Taken> {
        if self.link.is_broken() {
            return Err(self.link.error(ErrorKind::Broken, RECV));
        }
        // What it gave up half way it has not sent.
        if self.link.peer_says(CLOSED) {
            return Ok(Taken::End);
        }
        Err(self
            .link
            .error(ErrorKind::PeerGone, RECV)
            .because("its process went without closing"))
    }

    /// Of one whose session is over: whether all has been received that can have been sent before.
    /// That is one ring at most, whatever is written there now; of one who lied it is nothing.
    #[cold]
    pub(crate) fn is_past_end(&mut self) -> bool {
        let last = *self.last.get_or_insert(self.input.position());
        self.link.is_broken() || self.input.went_round(last)
    }

    fn forget(&mut self) {
        self.total = None;
        self.stash.clear();
    }

    /// The length in bytes of the message that is next, if there is one; the rest of it where it
    /// was read in part.
    ///
    /// # Errors
    /// [`ErrorKind::Broken`].
    pub fn next_len(&mut self) -> Result<Option<u64>> {
        if !self.is_odd() {
            return self.next_len_alone();
        }
        let found = self.in_turn(Patience::Look, |receiver, _| {
            let len = receiver.next_len_alone()?;
            Ok(len.map_or(Taken::TimedOut, Taken::Message))
        })?;
        Ok(match found {
            Taken::Message(len) => Some(len),
            _ => None,
        })
    }

    fn next_len_alone(&mut self) -> Result<Option<u64>> {
        if let Some(total) = self.total {
            return Ok(Some(total));
        }
        let Some(header) = self.input.next().map_err(|lie| self.lied(lie))? else {
            return Ok(None);
        };
        if header.has(Header::TOTAL) && header.len() == UNIT {
            let mut total = [0; UNIT as usize];
            self.input.copy(0, &mut total);
            return Ok(Some(u64::from_ne_bytes(total)));
        }
        if header.has(Header::LOAN) {
            return Ok(Some(self.note(header)?.len));
        }
        Ok(Some(header.len().saturating_sub(self.offset)))
    }

    /// Receives a message of any length up to the limit of [`Options::message_max`] into `buffer`,
    /// which is cleared first. `None`: the sender is closed.
    ///
    /// [`Options::message_max`]: crate::channel::Options::message_max
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn recv_vec(&mut self, buffer: &mut Vec<u8>) -> Result<Option<usize>> {
        loop {
            let taken = if self.is_odd() {
                self.in_turn(Patience::Forever, |receiver, patience| {
                    receiver.take_vec(buffer, patience)
                })?
            } else {
                self.take_vec(buffer, Patience::Forever)?
            };
            match taken {
                Taken::Message(len) => return Ok(Some(len)),
                Taken::End => return Ok(None),
                Taken::TimedOut => {}
            }
        }
    }

    fn take_vec(&mut self, buffer: &mut Vec<u8>, patience: Patience) -> Result<Taken> {
        loop {
            if self.total.is_none() {
                match self.find(patience)? {
                    Found::Record(_) => {}
                    Found::End => return Ok(Taken::End),
                    Found::TimedOut => return Ok(Taken::TimedOut),
                }
            }
            let len = self.next_len_alone()?.unwrap_or(0);
            if len > self.message_max as u64 {
                return Err(self.too_long(len, self.message_max));
            }
            buffer.resize(len as usize, 0);
            match self.take_alone(buffer, patience) {
                Ok(Taken::Message(len)) => {
                    buffer.truncate(len);
                    return Ok(Taken::Message(len));
                }
                Ok(taken) => return Ok(taken),
                // A torn one made way for one that is longer.
                Err(error) if error.kind() == ErrorKind::TooLong => {}
                Err(error) => return Err(error),
            }
        }
    }

    #[cold]
    pub(crate) fn too_long(&self, len: u64, room: usize) -> Error {
        self.link.error(ErrorKind::TooLong, RECV).because(format!(
            "the message has {len} bytes, and the room is for {room}"
        ))
    }

    #[cold]
    pub(in crate::channel) fn lied(&mut self, lie: Lie) -> Error {
        let lie = self.input.distrust(lie);
        self.link.break_off(RECV, lie.0)
    }
}

/// What became of an attempt to receive.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Taken<T = usize> {
    /// A message was received, of that many bytes where nothing else is said.
    Message(T),
    /// There was none in time; nothing was taken.
    TimedOut,
    /// The sender is closed, and everything it sent has been received.
    End,
}

impl<T> Taken<T> {
    pub(in crate::channel) fn map<U>(self, made: impl FnOnce(T) -> U) -> Taken<U> {
        match self {
            Self::Message(message) => Taken::Message(made(message)),
            Self::TimedOut => Taken::TimedOut,
            Self::End => Taken::End,
        }
    }
}

pub(in crate::channel) enum Found {
    Record(Header),
    End,
    TimedOut,
}

enum Piece {
    Whole,
    More,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if self.link.is_foreign() {
            return;
        }
        if std::mem::take(&mut self.keeps_turn) {
            self.link.unlock(End::Receiving);
        }
        if self.link.let_go(End::Receiving) {
            self.link.say(DEAF);
            self.waiter.published();
        }
    }
}
