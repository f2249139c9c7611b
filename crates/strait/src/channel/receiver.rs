//! The receiving end.

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
use crate::channel::loan::{Lent, Message, NOTE_LEN, Note};
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
    pub(super) head: Fixed<u64, ReadOnly>,
    tail: Fixed<u64>,
    position: Fixed<u64>,
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
    fn is_piece(&self, at: u64) -> bool {
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
    pub(super) input: Reader<In>,
    pub(crate) waiter: Waiter<Place>,
    pub(crate) link: Arc<Link>,
    /// Bytes of the first record that were read already.
    pub(super) offset: u64,
    /// How waits see it.
    pub(crate) arrivals: Arc<dyn Source>,
    /// The beginning of a message whose rest did not come in time.
    stash: Vec<u8>,
    /// How long that message is.
    total: Option<u64>,
    pub(crate) message_max: usize,
    /// This holder has the turn at a shared end.
    keeps_turn: bool,
    /// What came with the last message.
    pub(crate) enclosed: Enclosed,
}

const RECV: &str = "receive";

impl Receiver {
    pub(crate) fn new(link: &Arc<Link>, options: &Options, door: Option<Knocker>) -> Option<Self> {
        let input = In::new(link)?;
        let tail = input.position.word().load(Ordering::SeqCst);
        Some(Self {
            input: Reader::at(input, tail),
            waiter: Waiter::new(Place::new(link, false, door)?, options.spin),
            arrivals: Arc::new(Arrivals::new(link)?),
            link: link.clone(),
            offset: 0,
            stash: Vec::new(),
            total: None,
            message_max: options.message_max,
            keeps_turn: false,
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
    fn take_alone(&mut self, buffer: &mut [u8], patience: Patience) -> Result<Taken> {
        self.let_go();
        let header = match self.find(patience)? {
            Found::Record(header) => header,
            Found::End => return Ok(Taken::End),
            Found::TimedOut => return Ok(Taken::TimedOut),
        };
        if header.0 > 0xffff_ffff || self.total.is_some() || self.offset != 0 {
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
    fn is_odd(&self) -> bool {
        self.waiter.park.is_shared() || self.link.is_foreign()
    }

    /// Receives when it is this holder's turn, again whenever there may be something.
    #[cold]
    #[inline(never)]
    fn in_turn<T>(
        &mut self,
        patience: Patience,
        mut attempt: impl FnMut(&mut Self, Patience) -> Result<Taken<T>>,
    ) -> Result<Taken<T>> {
        loop {
            if !self.enter(patience)? {
                return Ok(Taken::TimedOut);
            }
            let mut result = match self.drop_orphans() {
                Ok(true) => attempt(self, Patience::Look),
                Ok(false) => Ok(Taken::TimedOut),
                Err(error) => Err(error),
            };
            if matches!(result, Ok(Taken::TimedOut)) && self.total.is_some() {
                // The rest of a message goes to whoever has its beginning.
                result = attempt(self, patience);
            }
            if self.total.is_none() {
                self.keeps_turn = false;
                self.link.unlock(End::Receiving);
            }
            match result {
                Ok(Taken::TimedOut)
                    if self.total.is_none() && !matches!(patience, Patience::Look) => {}
                other => return other,
            }
            let (head, position) = (
                self.input.lane.head.clone(),
                self.input.lane.position.clone(),
            );
            let link = &self.link;
            let waited = self.waiter.wait(
                || head.word().load(Ordering::Acquire) != position.word().load(Ordering::Relaxed),
                || link.is_over(CLOSED),
                patience.deadline(),
            );
            if waited == Waited::TimedOut {
                return Ok(Taken::TimedOut);
            }
            if waited == Waited::Over && self.lacks_a_rest() {
                return self.over().map(|_| Taken::End);
            }
        }
    }

    /// Takes the turn and goes on where the last holder has read. False: the time was up.
    fn enter(&mut self, patience: Patience) -> Result<bool> {
        if self.link.is_foreign() {
            return Err(self.link.foreign(RECV));
        }
        if self.keeps_turn {
            return Ok(true);
        }
        if !self.link.lock(End::Receiving, patience, RECV)? {
            return if self.link.is_gone() && !matches!(patience, Patience::Look) {
                self.over().map(|_| false)
            } else {
                Ok(false)
            };
        }
        self.waiter.share();
        self.keeps_turn = true;
        let lane = &self.input.lane;
        let position = lane.position.word().load(Ordering::SeqCst);
        let released = lane.tail.word().load(Ordering::SeqCst);
        self.input.go_on(position, released);
        Ok(true)
    }

    /// Drops the rest of a message whose beginning a dead holder has. False: it is still to come.
    fn drop_orphans(&mut self) -> Result<bool> {
        while self.lacks_a_rest() {
            let Some(header) = self.input.next().map_err(|lie| self.lied(lie))? else {
                return Ok(false);
            };
            if !header.has(Header::MORE) || header.has(Header::TORN) {
                self.end_pieces(header);
            }
            self.consume(header);
        }
        Ok(true)
    }

    fn lacks_a_rest(&self) -> bool {
        self.total.is_none() && self.input.lane.is_piece(self.input.position())
    }

    /// The record of that header is the last of its message.
    fn end_pieces(&self, header: Header) {
        let after = self.input.position().wrapping_add(header.span());
        self.input.lane.end_pieces(after);
    }

    /// Whether nothing of this end is in this process alone.
    pub(crate) fn is_settled(&self, operation: &'static str) -> Result<()> {
        if self.total.is_none() && self.offset == 0 {
            return Ok(());
        }
        let error = self.link.error(ErrorKind::Busy, operation);
        Err(error.because("it has received a part of a message"))
    }

    /// Closes what came with the last message and was not taken.
    #[inline]
    fn let_go(&mut self) {
        if !self.enclosed.is_empty() && self.total.is_none() {
            self.enclosed = Enclosed::default();
        }
    }

    /// Consumes the record of that header and takes in what came with it.
    fn accept(&mut self, header: Header) -> Result<()> {
        let position = self.input.position();
        // In this order: handles of a record that nobody will see again are skipped.
        self.consume(header);
        self.enclosed = Enclosed::open(&self.link, header, position)?;
        Ok(())
    }

    /// The next record, if it is there or comes in time.
    #[inline]
    fn find(&mut self, patience: Patience) -> Result<Found> {
        match self.input.next() {
            Ok(Some(header)) => Ok(Found::Record(header)),
            Ok(None) => self.await_record(patience),
            Err(lie) => Err(self.lied(lie)),
        }
    }

    /// Receives a message, but one that was lent is left where it lies.
    ///
    /// ```
    /// use strait::channel::{Channel, Message, Options};
    ///
    /// let (mut near, mut far) = Channel::pair(&Options::new().blocks(4, 1 << 20))?;
    /// let mut loan = near.sender().loan(1 << 20)?;
    /// loan.write(0, b"a picture")?;
    /// near.sender().send_loan(loan, 9)?;
    /// match far.receiver().recv_message(&mut [0; 64])? {
    ///     Some(Message::Lent(lent)) => {
    ///         let mut bytes = [0; 7];
    ///         lent.read(2, &mut bytes)?;
    ///         assert_eq!(&bytes, b"picture");
    ///         // The sender gets its block back here.
    ///     }
    ///     _ => unreachable!("it was lent"),
    /// }
    /// # Ok::<(), strait::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn recv_message(&mut self, buffer: &mut [u8]) -> Result<Option<Message>> {
        loop {
            match self.take_message(buffer, Patience::Forever)? {
                Taken::Message(message) => return Ok(Some(message)),
                Taken::End => return Ok(None),
                Taken::TimedOut => {}
            }
        }
    }

    /// [`recv_message`](Self::recv_message) for at most `timeout`; zero does not block.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn recv_message_for(
        &mut self,
        buffer: &mut [u8],
        timeout: Duration,
    ) -> Result<Taken<Message>> {
        self.take_message(buffer, Patience::for_at_most(timeout))
    }

    fn take_message(&mut self, buffer: &mut [u8], patience: Patience) -> Result<Taken<Message>> {
        if self.is_odd() {
            return self.in_turn(patience, |receiver, patience| {
                receiver.take_message_alone(buffer, patience)
            });
        }
        self.take_message_alone(buffer, patience)
    }

    fn take_message_alone(
        &mut self,
        buffer: &mut [u8],
        patience: Patience,
    ) -> Result<Taken<Message>> {
        self.let_go();
        loop {
            let header = match self.find(patience)? {
                Found::Record(header) => header,
                Found::End => return Ok(Taken::End),
                Found::TimedOut => return Ok(Taken::TimedOut),
            };
            if header.has(Header::LOAN) && self.total.is_none() {
                let note = self.note(header)?;
                let lent = Lent::new(&self.waiter.park, note);
                self.accept(header)?;
                return Ok(Taken::Message(Message::Lent(lent)));
            }
            return match self.take_alone(buffer, patience) {
                Ok(taken) => Ok(taken.map(Message::Copied)),
                // A torn one made way for a loan, for which there need be no room.
                Err(error) if error.kind() == ErrorKind::TooLong && self.loan_is_next() => continue,
                Err(error) => Err(error),
            };
        }
    }

    fn loan_is_next(&mut self) -> bool {
        let next = self.input.next();
        self.total.is_none() && matches!(next, Ok(Some(next)) if next.has(Header::LOAN))
    }

    /// What the record of that header lends.
    fn note(&mut self, header: Header) -> Result<Note> {
        if header.has(Header::MORE | Header::TOTAL) || header.len() != NOTE_LEN {
            return Err(self.lied(Lie("a loan is not the whole of its message")));
        }
        let mut note = [0; NOTE_LEN as usize];
        self.input.copy(0, &mut note);
        Note::decode(note, &self.link).map_err(|lie| self.lied(lie))
    }

    #[inline]
    fn consume(&mut self, header: Header) {
        kill::point("channel.consume");
        self.offset = 0;
        if self.input.consume(header) {
            self.waiter.published();
        }
    }

    /// Waits for a record. Whoever is about to wait first gives back all room.
    #[inline(never)]
    fn await_record(&mut self, patience: Patience) -> Result<Found> {
        if self.input.release() {
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

    /// A message of several records, or with something beside its bytes.
    #[cold]
    #[inline(never)]
    fn take_in_pieces(
        &mut self,
        mut header: Header,
        buffer: &mut [u8],
        patience: Patience,
    ) -> Result<Taken> {
        if let Some(total) = self.total.filter(|total| *total > buffer.len() as u64) {
            // The caller came back with a smaller buffer.
            return Err(self.too_long(total, buffer.len()));
        }
        let mut done = self.stash.len();
        buffer[..done].copy_from_slice(&self.stash);
        let mut seen = self.input.position();
        loop {
            match self.piece(header, buffer, &mut done)? {
                Piece::Whole => {
                    self.forget();
                    return Ok(Taken::Message(done));
                }
                Piece::More => {}
            }
            // A peer that goes on and on is heard for one ring before the time is looked at.
            let read = self.input.position().wrapping_sub(seen);
            let found = if read >= self.input.lane.capacity && patience.is_over() {
                Found::TimedOut
            } else {
                match self.input.next().map_err(|lie| self.lied(lie))? {
                    Some(header) => Found::Record(header),
                    None => self.await_record(patience)?,
                }
            };
            if read >= self.input.lane.capacity {
                seen = self.input.position();
            }
            header = match found {
                Found::Record(header) => header,
                found => {
                    self.stash.clear();
                    self.stash.extend_from_slice(&buffer[..done]);
                    return Ok(match found {
                        Found::End => Taken::End,
                        _ => Taken::TimedOut,
                    });
                }
            };
        }
    }

    /// Copies one record's share of a message to `buffer` and consumes it.
    fn piece(&mut self, header: Header, buffer: &mut [u8], done: &mut usize) -> Result<Piece> {
        if header.has(Header::TORN) {
            self.end_pieces(header);
            self.consume(header);
            self.forget();
            self.enclosed = Enclosed::default();
            *done = 0;
            return Ok(Piece::More);
        }
        if header.has(Header::TOTAL) {
            let mut total = [0; UNIT as usize];
            if self.total.is_some() || header.len() != UNIT || !header.has(Header::MORE) {
                return Err(self.lied(Lie("a message begins in another")));
            }
            self.input.copy(0, &mut total);
            let total = u64::from_ne_bytes(total);
            if total > buffer.len() as u64 {
                return Err(self.too_long(total, buffer.len()));
            }
            let from = self.input.position().wrapping_add(header.span());
            self.input.lane.begin_pieces(from);
            self.accept(header)?;
            self.total = Some(total);
            return Ok(Piece::More);
        }
        if header.has(Header::LOAN) {
            if self.total.is_some() {
                return Err(self.lied(Lie("a message begins in another")));
            }
            let note = self.note(header)?;
            let len = usize::try_from(note.len).unwrap_or(usize::MAX);
            let Some(bytes) = buffer.get_mut(..len) else {
                return Err(self.too_long(note.len, buffer.len()));
            };
            let lent = Lent::new(&self.waiter.park, note);
            self.accept(header)?;
            lent.read(0, bytes)?;
            *done = len;
            return Ok(Piece::Whole);
        }
        let Some(total) = self.total else {
            if header.has(Header::MORE) || self.offset > header.len() {
                return Err(self.lied(Lie("a message goes on that has not begun")));
            }
            // The rest of one that was read in part.
            let rest = header.len() - self.offset;
            let Some(bytes) = buffer.get_mut(..rest as usize) else {
                return Err(self.too_long(rest, buffer.len()));
            };
            self.input.copy(self.offset, bytes);
            self.accept(header)?;
            *done = rest as usize;
            return Ok(Piece::Whole);
        };
        let end = *done as u64 + header.len();
        let is_last = !header.has(Header::MORE);
        if header.handles() != 0 {
            return Err(self.lied(Lie("handles came in the middle of a message")));
        }
        if header.len() == 0 || end > total || is_last != (end == total) {
            return Err(self.lied(Lie("a message is not as long as it said")));
        }
        self.input.copy(0, &mut buffer[*done..end as usize]);
        if is_last {
            self.end_pieces(header);
        }
        self.consume(header);
        *done = end as usize;
        Ok(if is_last { Piece::Whole } else { Piece::More })
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

    /// For a server of many: receives a message into `buffer`, which grows to its length, if one is
    /// there. Never waits. What of a message of several records has come so far stays where it is.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv); the session is broken off for a message beyond the limit.
    #[inline]
    pub(crate) fn poll(&mut self, buffer: &mut Vec<u8>) -> Result<Taken> {
        match self.input.next() {
            Ok(Some(header)) if header.0 <= 0xffff_ffff && self.total.is_none() => {
                let len = header.len() as usize;
                if buffer.len() < len {
                    self.grow(buffer, header.len())?;
                }
                self.input.copy(0, &mut buffer[..len]);
                self.consume(header);
                Ok(Taken::Message(len))
            }
            Ok(Some(header)) => self.gather(header, buffer),
            Ok(None) => self.found_nothing(),
            Err(lie) => Err(self.lied(lie)),
        }
    }

    /// [`poll`](Self::poll) that waits.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub(crate) fn recv_growing(
        &mut self,
        buffer: &mut Vec<u8>,
        patience: Patience,
    ) -> Result<Taken> {
        loop {
            match self.poll(buffer)? {
                Taken::TimedOut => {}
                taken => return Ok(taken),
            }
            match self.await_record(patience)? {
                Found::Record(_) => {}
                Found::End => return Ok(Taken::End),
                Found::TimedOut => return Ok(Taken::TimedOut),
            }
        }
    }

    #[cold]
    fn grow(&mut self, buffer: &mut Vec<u8>, len: u64) -> Result<()> {
        if len > self.message_max as u64 {
            return Err(self.lied(Lie("its message is longer than was agreed on")));
        }
        buffer.resize((len as usize).next_power_of_two(), 0);
        Ok(())
    }

    fn found_nothing(&mut self) -> Result<Taken> {
        if self.input.release() {
            self.waiter.published();
        }
        if !self.is_ready() || self.input.lane.head() != self.input.position() {
            return Ok(Taken::TimedOut);
        }
        match self.await_record(Patience::Look)? {
            Found::End => Ok(Taken::End),
            _ => Ok(Taken::TimedOut),
        }
    }

    /// Collects the records of a message in the stash, as far as they have come.
    #[cold]
    #[inline(never)]
    fn gather(&mut self, mut header: Header, buffer: &mut Vec<u8>) -> Result<Taken> {
        let mut stash = std::mem::take(&mut self.stash);
        let mut done = stash.len();
        loop {
            if header.has(Header::TOTAL) && self.total.is_none() {
                // Its length is checked before it is believed; room is made as bytes come.
                if header.len() != UNIT || !header.has(Header::MORE) {
                    return Err(self.lied(Lie("a message begins that has no length")));
                }
                let total = self.next_len()?.unwrap_or(0);
                if total > self.message_max as u64 {
                    return Err(self.lied(Lie("its message is longer than was agreed on")));
                }
                self.total = Some(total);
                self.consume(header);
            } else {
                let len = header.len().min(self.message_max as u64);
                stash.resize(done + len as usize, 0);
                match self.piece(header, &mut stash, &mut done)? {
                    Piece::Whole => {
                        self.forget();
                        stash.truncate(done);
                        *buffer = stash;
                        return Ok(Taken::Message(done));
                    }
                    Piece::More => stash.truncate(done),
                }
            }
            match self.input.next() {
                Ok(Some(next)) => header = next,
                Ok(None) => {
                    self.stash = stash;
                    return self.found_nothing();
                }
                Err(lie) => return Err(self.lied(lie)),
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
    fn lied(&mut self, lie: Lie) -> Error {
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
    fn map<U>(self, made: impl FnOnce(T) -> U) -> Taken<U> {
        match self {
            Self::Message(message) => Taken::Message(made(message)),
            Self::TimedOut => Taken::TimedOut,
            Self::End => Taken::End,
        }
    }
}

enum Found {
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
