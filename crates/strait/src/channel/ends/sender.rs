//! The sending end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use strait_sys::cell::ReadOnly;
use strait_sys::kill;
use strait_sys::map::Fixed;
use strait_sys::time::Deadline;
use strait_sys::window::Window;

use crate::channel::door::Knocker;
use crate::channel::layout::{CLOSED, DEAF, HEAD, Header, OPEN, RING, TAIL, UNIT, span};
use crate::channel::link::{Link, Peer, Place};
use crate::channel::loan::Lender;
use crate::channel::park::{Spin, Waited, Waiter, arm};
use crate::channel::ring::{Lie, WriteLane, Writer, piece};
use crate::channel::share::End;
use crate::channel::wait::Room;
use crate::error::{ErrorKind, Result};
use crate::object::transfer::Parcel;
use crate::object::wait::source::Source;

/// The ring that this side writes.
#[derive(Debug)]
pub(crate) struct Out {
    ring: Window,
    capacity: u64,
    pub(in crate::channel) head: Fixed<u64>,
    pub(in crate::channel) tail: Fixed<u64, ReadOnly>,
    /// Says to other holders of this end that its last message is not whole.
    pub(in crate::channel) open: Fixed<u32>,
}

impl Out {
    fn new(link: &Link) -> Option<Self> {
        let capacity = link.own_shape.capacity;
        Some(Self {
            ring: Window::new(&link.own, RING, usize::try_from(capacity).ok()?)?,
            capacity,
            head: link.own.fixed(HEAD)?,
            tail: link.theirs.fixed_look(TAIL)?,
            open: link.own.fixed(OPEN)?,
        })
    }
}

impl WriteLane for Out {
    #[inline]
    fn capacity(&self) -> u64 {
        self.capacity
    }

    #[inline]
    fn tail(&self) -> u64 {
        self.tail.word().load(Ordering::Acquire)
    }

    #[inline]
    fn publish(&self, head: u64) {
        self.head.word().store(head, Ordering::Release);
    }

    #[inline]
    fn write(&self, at: u64, bytes: &[u8]) {
        self.ring.write(at, bytes);
    }

    #[inline]
    fn set(&self, at: u64, word: u64) {
        self.ring.word(at).store(word, Ordering::Relaxed);
    }
}

/// How long a call may wait.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Patience {
    /// Not at all.
    Look,
    /// Until then.
    Until(Deadline),
    /// For good.
    Forever,
}

impl Patience {
    pub(crate) fn for_at_most(timeout: Duration) -> Self {
        if timeout.is_zero() {
            Self::Look
        } else {
            Self::Until(Deadline::after(timeout))
        }
    }

    /// Whether no time is left.
    pub(crate) fn is_over(self) -> bool {
        match self {
            Self::Look => true,
            Self::Until(deadline) => deadline.passed(),
            Self::Forever => false,
        }
    }

    pub(crate) fn deadline(self) -> Option<Deadline> {
        match self {
            Self::Look => Some(Deadline::now()),
            Self::Until(deadline) => Some(deadline),
            Self::Forever => None,
        }
    }
}

/// The sending end of a channel.
///
/// Messages arrive whole, once and in order, or not at all: a sender that is killed in the middle
/// of one leaves nothing of it.
#[derive(Debug)]
pub struct Sender {
    pub(crate) out: Writer<Out>,
    pub(crate) waiter: Waiter<Place>,
    pub(crate) link: Arc<Link>,
    pub(crate) lender: Arc<Lender>,
    /// What goes with the next message.
    pub(crate) attached: Vec<Parcel>,
    /// How waits see it.
    pub(crate) room: Arc<dyn Source>,
    /// A message was given up when some of its records were out: the reader is to drop them.
    pub(in crate::channel) torn: bool,
}

pub(in crate::channel) const SEND: &str = "send";

impl Sender {
    pub(crate) fn new(link: &Arc<Link>, spin: Spin, door: Option<Knocker>) -> Option<Self> {
        let out = Out::new(link)?;
        let head = out.head.word().load(Ordering::SeqCst);
        Some(Self {
            out: Writer::at(out, head),
            waiter: Waiter::new(Place::new(link, true, door)?, spin),
            room: Arc::new(Room::new(link)?),
            lender: Lender::new(link)?,
            attached: Vec::new(),
            link: link.clone(),
            torn: false,
        })
    }

    /// Sends a message, of any length from 0. Blocks while the ring is full.
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`] if the receiver is closed or its process gone;
    /// [`ErrorKind::Broken`] if it broke the protocol.
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        self.deliver([&[], message], Patience::Forever, true)
            .map(drop)
    }

    /// [`send`](Self::send) without blocking. False: there is no room, and nothing was sent.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub fn try_send(&mut self, message: &[u8]) -> Result<bool> {
        self.deliver([&[], message], Patience::Look, true)
    }

    /// [`send`](Self::send) for at most `timeout`. False: the time ran out and nothing was sent;
    /// what is attached waits for the next attempt.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub fn send_for(&mut self, message: &[u8], timeout: Duration) -> Result<bool> {
        self.deliver([&[], message], Patience::for_at_most(timeout), true)
    }

    /// Adds a message to a batch, which the receiver sees with the next [`flush`](Self::flush) or
    /// [`send`](Self::send), or once the ring is full. A batch that is not flushed is lost with
    /// this process.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    #[inline]
    pub fn push(&mut self, message: &[u8]) -> Result<()> {
        self.deliver([&[], message], Patience::Forever, false)
            .map(drop)
    }

    /// Shows the receiver everything pushed.
    #[inline]
    pub fn flush(&mut self) {
        if self.out.publish() {
            kill::point("channel.published");
            self.waiter.published();
        }
    }

    /// Publishes everything pushed, for a receiver that is rung by other means.
    pub(crate) fn show(&mut self) {
        self.out.publish();
    }

    /// Whether nobody will receive any more.
    #[inline]
    pub(crate) fn is_deaf(&self) -> bool {
        self.link.is_over(DEAF)
    }

    /// Who receives, as the kernel said when the session began.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.link.peer
    }

    /// Bytes of this end's ring.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.link.own_shape.capacity as usize
    }

    /// Sends a message of two parts, the first of a length that is a multiple of 8.
    #[inline]
    pub(crate) fn deliver(
        &mut self,
        parts: [&[u8]; 2],
        patience: Patience,
        publish: bool,
    ) -> Result<bool> {
        if self.is_odd() {
            return self.deliver_in_turn(parts, patience);
        }
        self.deliver_alone(parts, patience, publish)
    }

    #[inline]
    pub(in crate::channel) fn deliver_alone(
        &mut self,
        parts: [&[u8]; 2],
        patience: Patience,
        publish: bool,
    ) -> Result<bool> {
        debug_assert!((parts[0].len() as u64).is_multiple_of(UNIT));
        let len = (parts[0].len() + parts[1].len()) as u64;
        let is_plain = len <= piece(self.out.lane.capacity());
        if !is_plain || self.torn || !self.attached.is_empty() {
            return self.deliver_specially(parts, patience, publish);
        }
        let header = Header::new(len as u32, 0);
        if self.link.is_over(DEAF) {
            return Err(self.gone(SEND));
        }
        let has_room = self.out.has_room(header.span());
        if !has_room.map_err(|lie| self.lied(lie))? && !self.room(header.span(), patience)? {
            return Ok(false);
        }
        self.out.push(header, parts);
        if publish {
            kill::point("channel.pushed");
            self.flush();
        }
        Ok(true)
    }

    /// Whether other processes may hold this end, or this is not the process whose it is.
    #[inline]
    pub(crate) fn is_odd(&self) -> bool {
        self.waiter.park.is_shared() || self.link.is_foreign()
    }

    /// Waits for room. False: the time is up.
    #[cold]
    #[inline(never)]
    pub(crate) fn room(&mut self, span: u64, patience: Patience) -> Result<bool> {
        // What is there to be read makes room.
        self.flush();
        if matches!(patience, Patience::Look) {
            let has_room = self.out.has_room(span);
            return has_room.map_err(|lie| self.lied(lie));
        }
        let link = &self.link;
        let is_over = || link.is_over(DEAF);
        let until = patience.deadline();
        match self.out.await_room(span, &mut self.waiter, is_over, until) {
            Ok(Waited::Ready) => Ok(true),
            Ok(Waited::TimedOut) => Ok(false),
            Ok(Waited::Over) => Err(self.gone(SEND)),
            Err(lie) => Err(self.lied(lie)),
        }
    }

    /// Sends a message that is larger than what goes in one piece, or has handles with it.
    #[cold]
    #[inline(never)]
    fn deliver_specially(
        &mut self,
        parts: [&[u8]; 2],
        patience: Patience,
        publish: bool,
    ) -> Result<bool> {
        if self.link.is_over(DEAF) {
            return Err(self.gone(SEND));
        }
        if !self.settle(patience)? {
            return Ok(false);
        }
        let total = (parts[0].len() + parts[1].len()) as u64;
        let largest = piece(self.out.lane.capacity());
        if total <= largest {
            let header = Header::new(total as u32, 0);
            if !self.room(header.span(), patience)? {
                return Ok(false);
            }
            let handles = self.enclose()?.len();
            self.out.push(header.with_handles(handles as u8), parts);
            if publish {
                self.flush();
                self.followed();
            }
            return Ok(true);
        }
        let first = Header::new(UNIT as u32, Header::TOTAL | Header::MORE);
        if !self.room(first.span() + span(UNIT), patience)? {
            return Ok(false);
        }
        let handles = self.enclose()?;
        let length = total.to_ne_bytes();
        self.out.lane.open.word().store(1, Ordering::SeqCst);
        let first = first.with_handles(handles.len() as u8);
        self.out.push(first, [&length, &[]]);
        let sent = self.deliver_pieces(parts, largest, patience)?;
        if !sent {
            // Nothing of it was sent: they wait for the next attempt.
            self.attached = handles;
        }
        Ok(sent)
    }

    /// Sends the bytes of a message whose length was sent.
    fn deliver_pieces(
        &mut self,
        parts: [&[u8]; 2],
        largest: u64,
        patience: Patience,
    ) -> Result<bool> {
        let mut left = parts;
        loop {
            // The first part goes whole, or in pieces that keep what follows aligned.
            let room = usize::try_from(largest).unwrap_or(usize::MAX);
            let head = left[0].split_at(left[0].len().min(room));
            let body = left[1].split_at(left[1].len().min(room - head.0.len()));
            let len = head.0.len() + body.0.len();
            left = [head.1, body.1];
            let is_last = left[0].is_empty() && left[1].is_empty();
            let header = Header::new(len as u32, if is_last { 0 } else { Header::MORE });
            if !self.room(header.span(), patience)? {
                self.torn = true;
                return Ok(false);
            }
            self.out.push(header, [head.0, body.0]);
            kill::point("channel.piece");
            self.flush();
            if is_last {
                self.out.lane.open.word().store(0, Ordering::SeqCst);
                return Ok(true);
            }
        }
    }

    /// For a server of many: sends as much of a message as there is room for, never waits. `done`
    /// is `None` before its beginning is out, and then how many bytes are. True: all of it is out.
    ///
    /// False also announces a sleeper: the reader rings when it has made room.
    /// The handles of `attached` go with its beginning.
    pub(crate) fn send_some(
        &mut self,
        (message, attached): (&[u8], &mut Vec<Parcel>),
        done: &mut Option<usize>,
    ) -> Result<bool> {
        if self.link.is_foreign() {
            return Err(self.link.foreign(SEND));
        }
        let largest = self.piece_max();
        loop {
            let (header, bytes) = match *done {
                None if message.len() <= largest => (Header::new(message.len() as u32, 0), message),
                None => (
                    Header::new(UNIT as u32, Header::TOTAL | Header::MORE),
                    &[][..],
                ),
                Some(at) => {
                    let rest = message.get(at..).unwrap_or_default();
                    let len = rest.len().min(largest);
                    let more = if len < rest.len() { Header::MORE } else { 0 };
                    (Header::new(len as u32, more), &rest[..len])
                }
            };
            if self.link.is_over(DEAF) {
                return Err(self.gone(SEND));
            }
            if !self.has_room_or_arms(header.span())? {
                return Ok(false);
            }
            self.attached.append(attached);
            let header = header.with_handles(self.enclose()?.len() as u8);
            if header.has(Header::TOTAL) {
                let total = (message.len() as u64).to_ne_bytes();
                self.out.push(header, [&total, &[]]);
                *done = Some(0);
                continue;
            }
            self.out.push(header, [&[], bytes]);
            kill::point("channel.some");
            self.flush();
            *done = Some(done.unwrap_or(0) + bytes.len());
            if !header.has(Header::MORE) {
                return Ok(true);
            }
        }
    }

    /// Bytes of the longest message that goes in one piece.
    pub(crate) fn piece_max(&self) -> usize {
        usize::try_from(piece(self.out.lane.capacity())).unwrap_or(usize::MAX)
    }

    fn has_room_or_arms(&mut self, span: u64) -> Result<bool> {
        if self.out.has_room(span).map_err(|lie| self.lied(lie))? {
            return Ok(true);
        }
        self.flush();
        arm(&self.waiter.park);
        self.out.has_room(span).map_err(|lie| self.lied(lie))
    }

    /// What else this end knows of the session.
    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    #[cold]
    pub(crate) fn gone(&self, operation: &'static str) -> crate::error::Error {
        if self.link.is_broken() {
            return self.link.error(ErrorKind::Broken, operation);
        }
        self.link
            .error(ErrorKind::PeerGone, operation)
            .because("it reads no more")
    }

    /// Has the receiver drop what there is of a message that was given up. False: no room.
    pub(crate) fn settle(&mut self, patience: Patience) -> Result<bool> {
        if self.torn {
            let header = Header::new(0, Header::TORN);
            if !self.room(header.span(), patience)? {
                return Ok(false);
            }
            self.out.push(header, [&[], &[]]);
            self.flush();
            self.out.lane.open.word().store(0, Ordering::SeqCst);
            self.torn = false;
        }
        Ok(true)
    }

    #[cold]
    fn lied(&self, lie: Lie) -> crate::error::Error {
        self.link.break_off(SEND, lie.0)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if self.link.is_foreign() {
            return;
        }
        // Where it is shared there is nothing to be shown.
        if !self.waiter.park.is_shared() {
            self.flush();
        }
        if self.link.let_go(End::Sending) {
            self.link.say(CLOSED);
            self.waiter.published();
        }
    }
}
