//! The receiving end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use strait_sys::cell::ReadOnly;
use strait_sys::kill;
use strait_sys::map::Fixed;
use strait_sys::window::Window;

use crate::channel::Options;
use crate::channel::door::Knocker;
use crate::channel::layout::{CLOSED, DEAF, HEAD, Header, POSITION, RING, TAIL, UNIT};
use crate::channel::link::{Link, Peer, Place};
use crate::channel::park::{Waited, Waiter};
use crate::channel::ring::{Lie, ReadLane, Reader};
use crate::channel::sender::Patience;
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
        })
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
    message_max: usize,
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
        lane.head() != self.input.position() || self.link.is_over(CLOSED)
    }

    #[inline]
    pub(crate) fn take(&mut self, buffer: &mut [u8], patience: Patience) -> Result<Taken> {
        let header = match self.input.next() {
            Ok(Some(header)) => header,
            Ok(None) => match self.await_record(patience)? {
                Found::Record(header) => header,
                Found::End => return Ok(Taken::End),
                Found::TimedOut => return Ok(Taken::TimedOut),
            },
            Err(lie) => return Err(self.lied(lie)),
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

    #[inline]
    fn consume(&mut self, header: Header) {
        kill::point("channel.consume");
        self.offset = 0;
        if self.input.consume(header) {
            kill::point("channel.released");
            self.waiter.published();
        }
    }

    /// Waits for a record. Whoever is about to wait first gives back all room.
    #[inline(never)]
    fn await_record(&mut self, patience: Patience) -> Result<Found> {
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
            self.consume(header);
            self.forget();
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
            self.total = Some(total);
            self.consume(header);
            return Ok(Piece::More);
        }
        if header.has(Header::LOAN) || header.handles() != 0 {
            return Err(self.lied(Lie("it sends what was not agreed on")));
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
            self.consume(header);
            *done = rest as usize;
            return Ok(Piece::Whole);
        };
        let end = *done as u64 + header.len();
        let is_last = !header.has(Header::MORE);
        if header.len() == 0 || end > total || is_last != (end == total) {
            return Err(self.lied(Lie("a message is not as long as it said")));
        }
        self.input.copy(0, &mut buffer[*done..end as usize]);
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
            if self.next_len()?.is_none() {
                match self.await_record(Patience::Forever)? {
                    Found::Record(_) => {}
                    Found::End => return Ok(None),
                    Found::TimedOut => continue,
                }
            }
            let len = self.next_len()?.unwrap_or(0);
            if len > self.message_max as u64 {
                return Err(self.too_long(len, self.message_max));
            }
            buffer.resize(len as usize, 0);
            match self.take(buffer, Patience::Forever) {
                Ok(Taken::Message(len)) => {
                    buffer.truncate(len);
                    return Ok(Some(len));
                }
                Ok(Taken::End) => return Ok(None),
                Ok(Taken::TimedOut) => {}
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
                Taken::TimedOut if patience.is_over() => return Ok(Taken::TimedOut),
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
            kill::point("channel.drained");
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
        let begin = self.input.position();
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
                Ok(next) => {
                    // One that goes on and on is heard for one ring: others are waiting.
                    let read = self.input.position().wrapping_sub(begin);
                    match next {
                        Some(next) if read < self.input.lane.capacity => header = next,
                        found => {
                            self.stash = stash;
                            return match found {
                                Some(_) => Ok(Taken::TimedOut),
                                None => self.found_nothing(),
                            };
                        }
                    }
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
pub enum Taken {
    /// A message of that many bytes was received.
    Message(usize),
    /// There was none in time; nothing was taken.
    TimedOut,
    /// The sender is closed, and everything it sent has been received.
    End,
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
        self.link.say(DEAF);
        self.waiter.published();
    }
}
