//! Reading in parts, and quotas: what pipes do with the ends of a channel.
//!
//! The reader says in its memory how many bytes it has read; what the writer has sent beyond that is
//! unread, and a write ends once that is within the quota. The bytes are there to be read from the
//! start. Room is given back with every read, since a writer may wait for the last byte of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use strait_sys::cell::ReadOnly;
use strait_sys::kill;
use strait_sys::map::Fixed;

use crate::channel::layout::{CLOSED, CUT, DEAF, Header, OFFSET, READ, UNIT, WANTS, WRITTEN, span};
use crate::channel::link::Link;
use crate::channel::park::Waited;
use crate::channel::receiver::{Part, Receiver};
use crate::channel::ring::{Lie, WriteLane, piece};
use crate::channel::sender::Sender;
use crate::error::{Error, ErrorKind};

/// What is read or written at a time.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Unit {
    /// Bytes, whatever writes they came by.
    Bytes,
    /// At most one message.
    Message,
}

/// Why nothing more is to be had.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The other side has closed, or its process is gone.
    Closed,
    /// The same, while this call waited.
    ClosedMeanwhile,
    /// One of the two has cut the session off.
    Cut,
    /// The caller wants to wait no longer.
    Stopped,
    /// The other side broke the protocol.
    Broken(Error),
}

/// How long a call may wait.
#[derive(Copy, Clone)]
pub(crate) struct Pace<'a> {
    /// Not at all.
    pub(crate) now: bool,
    /// Asked when this side is woken: true ends the wait.
    pub(crate) stop: &'a dyn Fn() -> bool,
}

/// What a look found.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Seen {
    /// Bytes that were copied.
    pub(crate) len: usize,
    /// Bytes there are in all.
    pub(crate) available: u64,
    /// Bytes that the first message has beyond those copied.
    pub(crate) left: u64,
}

/// What a read hands back because nobody wanted it.
#[derive(Debug)]
struct Returned {
    bytes: Vec<u8>,
    read: usize,
    more: bool,
}

/// The receiving end, read in parts.
#[derive(Debug)]
pub(crate) struct Inflow {
    receiver: Receiver,
    read: Fixed<u64>,
    wants: Fixed<u64>,
    offset: Fixed<u64>,
    /// Bytes read so far.
    taken: u64,
    /// Bytes to come of a message that is in several records.
    rest: Option<u64>,
    /// A caller has had a part of the present message.
    begun: bool,
    returned: VecDeque<Returned>,
}

const READING: &str = "read";

impl Inflow {
    pub(crate) fn new(receiver: Receiver) -> Option<Self> {
        let own = &receiver.link.own;
        let (read, wants) = (own.fixed::<u64>(READ)?, own.fixed(WANTS)?);
        let offset = own.fixed::<u64>(OFFSET)?;
        let taken = read.word().load(Ordering::SeqCst);
        let mut receiver = receiver;
        receiver.offset = offset.word().load(Ordering::SeqCst);
        Some(Self {
            receiver,
            read,
            wants,
            offset,
            taken,
            rest: None,
            begun: false,
            returned: VecDeque::new(),
        })
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.receiver.link
    }

    /// Reads into `buffer`; `None` if there is nothing and the pace is not to wait.
    #[inline]
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        unit: Unit,
        pace: Pace<'_>,
    ) -> Result<Option<Part>, Ended> {
        let receiver = &mut self.receiver;
        if unit == Unit::Message
            && receiver.offset == 0
            && self.rest.is_none()
            && self.returned.is_empty()
            && !receiver.link.peer_says(CUT)
            && let Ok(Some(header)) = receiver.input.next()
            && header.0 <= 0xffff_ffff
            && let Some(bytes) = buffer.get_mut(..header.len() as usize)
        {
            let len = bytes.len();
            receiver.input.copy(0, bytes);
            receiver.input.consume(header);
            self.taken = self.taken.wrapping_add(len as u64);
            self.tell();
            return Ok(Some(Part { len, more: false }));
        }
        self.read_parts(buffer, unit, pace)
    }

    /// Tells the writer what was read.
    #[inline]
    fn tell(&mut self) {
        kill::point("channel.consume");
        self.read.word().store(self.taken, Ordering::Release);
        self.receiver.input.release();
        self.receiver.waiter.published();
    }

    fn read_parts(
        &mut self,
        buffer: &mut [u8],
        unit: Unit,
        pace: Pace<'_>,
    ) -> Result<Option<Part>, Ended> {
        if let Some(part) = self.take_back(buffer) {
            return Ok(Some(part));
        }
        let before = (self.taken, self.receiver.input.position());
        let result = self.collect(buffer, unit, pace);
        if before != (self.taken, self.receiver.input.position()) {
            let offset = self.receiver.offset;
            self.offset.word().store(offset, Ordering::Relaxed);
            self.tell();
        }
        result
    }

    fn collect(
        &mut self,
        buffer: &mut [u8],
        unit: Unit,
        pace: Pace<'_>,
    ) -> Result<Option<Part>, Ended> {
        let mut done = 0;
        // A message without bytes was read as bytes.
        let mut empty = false;
        loop {
            let Some(header) = self.next()? else {
                let enough = unit == Unit::Bytes && (done > 0 || empty);
                if enough || done > 0 && (pace.now || (pace.stop)()) {
                    let more = unit == Unit::Message;
                    self.begun |= more;
                    return Ok(Some(Part { len: done, more }));
                }
                if pace.now {
                    match self.ended(false) {
                        None => return Ok(None),
                        // What was sent before it closed.
                        Some(Ended::Closed) if self.next()?.is_some() => continue,
                        Some(ended) => return Err(ended),
                    }
                }
                self.wait(buffer.len() - done, pace)?;
                continue;
            };
            if header.has(Header::TORN) {
                self.receiver.input.consume(header);
                let (begun, torn) = (self.begun, self.rest.take().is_some());
                self.begun = false;
                if unit == Unit::Message && torn {
                    done = 0;
                    if begun {
                        return Ok(Some(Part {
                            len: 0,
                            more: false,
                        }));
                    }
                }
                continue;
            }
            if header.has(Header::TOTAL) {
                self.begin(header)?;
                continue;
            }
            let left = self.check(header)?;
            let len = usize::try_from(left)
                .map_or(buffer.len() - done, |left| left.min(buffer.len() - done));
            let offset = self.receiver.offset;
            self.receiver
                .input
                .copy(offset, &mut buffer[done..done + len]);
            done += len;
            self.taken = self.taken.wrapping_add(len as u64);
            self.rest = self.rest.map(|rest| rest - len as u64);
            let whole = len as u64 == left;
            if whole {
                self.receiver.offset = 0;
                self.receiver.input.consume(header);
                empty |= left == 0;
            } else {
                self.receiver.offset = offset + len as u64;
            }
            let ends = whole && self.rest.is_none_or(|rest| rest == 0);
            self.begun = !ends;
            if ends {
                self.rest = None;
            }
            if unit == Unit::Message && ends {
                return Ok(Some(Part {
                    len: done,
                    more: false,
                }));
            }
            if done == buffer.len() {
                let more = unit == Unit::Message;
                return Ok(Some(Part { len: done, more }));
            }
        }
    }

    /// The next record, unless the session is cut off.
    fn next(&mut self) -> Result<Option<Header>, Ended> {
        let link = &self.receiver.link;
        if link.peer_says(CUT) || link.says(CUT) {
            return Err(Ended::Cut);
        }
        self.receiver.input.next().map_err(|lie| self.lied(lie))
    }

    /// A message of several records begins: its length.
    fn begin(&mut self, header: Header) -> Result<(), Ended> {
        if self.rest.is_some() || header.len() != UNIT || !header.has(Header::MORE) {
            return Err(self.lied(Lie("a message begins in another")));
        }
        let mut total = [0; UNIT as usize];
        self.receiver.input.copy(0, &mut total);
        self.rest = Some(u64::from_ne_bytes(total));
        self.begun = false;
        self.receiver.input.consume(header);
        Ok(())
    }

    /// Bytes of the record that were not read yet.
    fn check(&self, header: Header) -> Result<u64, Ended> {
        if header.has(Header::LOAN) || header.handles() != 0 {
            return Err(self.lied(Lie("it sends what was not agreed on")));
        }
        let Some(left) = header.len().checked_sub(self.receiver.offset) else {
            return Err(self.lied(Lie("a message has shrunk")));
        };
        let fits = match self.rest {
            None => !header.has(Header::MORE),
            Some(rest) => left <= rest && header.has(Header::MORE) == (left < rest),
        };
        if fits {
            Ok(left)
        } else {
            Err(self.lied(Lie("a message is not as long as it said")))
        }
    }

    /// Waits for a record, with room for so many bytes.
    fn wait(&mut self, room: usize, pace: Pace<'_>) -> Result<(), Ended> {
        let offset = self.receiver.offset;
        self.offset.word().store(offset, Ordering::Relaxed);
        self.read.word().store(self.taken, Ordering::Release);
        self.wants.word().store(room as u64 + 1, Ordering::Release);
        let Receiver {
            input,
            waiter,
            link,
            ..
        } = &mut self.receiver;
        input.release();
        waiter.published();
        let (head, seen) = (input.lane.head.clone(), input.position());
        let waited = waiter.wait(
            || head.word().load(Ordering::Acquire) != seen,
            || link.is_over(CLOSED) || link.says(CUT) || (pace.stop)(),
            None,
        );
        self.wants.word().store(0, Ordering::Release);
        match waited {
            Waited::Over => match self.ended(true) {
                Some(ended) => Err(ended),
                None if (pace.stop)() => Err(Ended::Stopped),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Why nothing more comes, if that is so. What was sent before is read first.
    pub(crate) fn ended(&self, meanwhile: bool) -> Option<Ended> {
        ended(&self.receiver.link, CLOSED, meanwhile, READING)
    }

    fn lied(&self, lie: Lie) -> Ended {
        Ended::Broken(self.receiver.link.break_off(READING, lie.0))
    }

    /// Looks at what is there, and takes nothing.
    pub(crate) fn peek(&mut self, buffer: &mut [u8], unit: Unit) -> Result<Seen, Ended> {
        let mut seen = Seen::default();
        let mut first = true;
        for returned in &self.returned {
            let bytes = &returned.bytes[returned.read..];
            seen.note(buffer, bytes.len() as u64, unit, &mut first, |to| {
                to.copy_from_slice(&bytes[..to.len()]);
            });
            first &= returned.more;
        }
        let _ = self.next()?;
        let unread = self.receiver.input.unread();
        unread.map_err(|lie| self.lied(lie))?;
        let (mut at, mut offset) = (self.receiver.input.position(), self.receiver.offset);
        let mut rest = self.rest;
        // As many as the ring holds.
        while let Some(header) = self.header_at(at)? {
            if header.has(Header::TOTAL) && header.len() == UNIT {
                let mut total = [0; UNIT as usize];
                self.receiver.input.copy_at(at, 0, &mut total);
                rest = Some(u64::from_ne_bytes(total));
            } else if header.has(Header::TORN) {
                rest = None;
            } else {
                let left = header.len().saturating_sub(offset);
                let input = &self.receiver.input;
                seen.note(buffer, left, unit, &mut first, |to| {
                    input.copy_at(at, offset, to);
                });
                if let Some(rest) = &mut rest {
                    *rest = rest.saturating_sub(left);
                }
                if !header.has(Header::MORE) {
                    first = false;
                    rest = None;
                }
            }
            offset = 0;
            at = at.wrapping_add(header.span());
        }
        if first {
            // Of the first message some is still to come.
            seen.left = seen.left.saturating_add(rest.unwrap_or(0));
        }
        Ok(seen)
    }

    fn header_at(&self, at: u64) -> Result<Option<Header>, Ended> {
        self.receiver
            .input
            .header_at(at)
            .map_err(|lie| self.lied(lie))
    }

    /// Whether there is nothing to be read.
    pub(crate) fn is_empty(&mut self) -> Result<bool, Ended> {
        Ok(self.returned.is_empty() && self.next()?.is_none())
    }

    /// Gives back what was read: the next read gets it first.
    pub(crate) fn give_back(&mut self, bytes: Vec<u8>, more: bool) {
        let returned = Returned {
            bytes,
            read: 0,
            more,
        };
        self.returned.push_front(returned);
    }

    /// What was given back, up to the end of what one read had got.
    fn take_back(&mut self, buffer: &mut [u8]) -> Option<Part> {
        let first = self.returned.front_mut()?;
        let rest = &first.bytes[first.read..];
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        first.read += len;
        if first.read < first.bytes.len() {
            return Some(Part { len, more: true });
        }
        let more = first.more;
        self.returned.pop_front();
        Some(Part { len, more })
    }
}

impl Seen {
    fn note(
        &mut self,
        buffer: &mut [u8],
        bytes: u64,
        unit: Unit,
        first: &mut bool,
        copy: impl FnOnce(&mut [u8]),
    ) {
        self.available = self.available.saturating_add(bytes);
        if unit == Unit::Message && !*first {
            return;
        }
        let room = buffer.len() - self.len;
        let len = usize::try_from(bytes).map_or(room, |bytes| bytes.min(room));
        copy(&mut buffer[self.len..self.len + len]);
        self.len += len;
        if *first {
            self.left = self.left.saturating_add(bytes - len as u64);
        }
    }
}

/// The sending end, with a quota.
#[derive(Debug)]
pub(crate) struct Outflow {
    sender: Sender,
    sum: Fixed<u64>,
    read: Fixed<u64, ReadOnly>,
    wants: Fixed<u64, ReadOnly>,
    /// Bytes sent so far.
    written: u64,
    /// Bytes that the reader had read when it was last asked.
    seen: u64,
    quota: u64,
    /// A write waits for the reader.
    waiting: Arc<AtomicBool>,
}

const WRITING: &str = "write";

impl Outflow {
    pub(crate) fn new(sender: Sender, quota: u64) -> Option<Self> {
        let link = &sender.link;
        let sum = link.own.fixed::<u64>(WRITTEN)?;
        let written = sum.word().load(Ordering::SeqCst);
        let read = link.theirs.fixed_look::<u64>(READ)?;
        Some(Self {
            wants: link.theirs.fixed_look(WANTS)?,
            seen: read.word().load(Ordering::Acquire),
            read,
            sum,
            written,
            quota,
            waiting: Arc::default(),
            sender,
        })
    }

    /// True while a write waits for the reader, and this is in use.
    pub(crate) fn waiting(&self) -> Arc<AtomicBool> {
        self.waiting.clone()
    }

    /// Writes, and ends when no more than the quota is unread. How many bytes were written: all, or
    /// none where the pace is not to wait; of bytes then as many as a read waits for.
    #[inline]
    pub(crate) fn write(
        &mut self,
        data: &[u8],
        unit: Unit,
        pace: Pace<'_>,
    ) -> Result<usize, Ended> {
        let len = data.len() as u64;
        let sender = &mut self.sender;
        if self.written.wrapping_add(len).wrapping_sub(self.seen) <= self.quota
            && len <= piece(sender.out.lane.capacity())
            && !sender.torn
            && !sender.link.is_over(DEAF)
            && (len != 0 || unit == Unit::Message)
            && sender.out.has_room(span(len)) == Ok(true)
        {
            self.push(Header::new(len as u32, 0), data);
            return Ok(data.len());
        }
        self.write_waiting(data, unit, pace)
    }

    #[inline]
    fn push(&mut self, header: Header, data: &[u8]) {
        self.sender.out.push(header, [&[], data]);
        self.written = self.written.wrapping_add(data.len() as u64);
        self.sum.word().store(self.written, Ordering::Relaxed);
        kill::point("channel.pushed");
        self.sender.flush();
    }

    /// Bytes that were not read yet.
    fn unread(&mut self) -> u64 {
        self.seen = self.read.word().load(Ordering::Acquire);
        self.written.wrapping_sub(self.seen)
    }

    /// Bytes that can be written without waiting.
    pub(crate) fn free(&mut self) -> u64 {
        self.quota.saturating_sub(self.unread())
    }

    fn write_waiting(&mut self, data: &[u8], unit: Unit, pace: Pace<'_>) -> Result<usize, Ended> {
        if let Some(ended) = self.ended(false) {
            return Err(ended);
        }
        if data.is_empty() && unit == Unit::Bytes {
            return Ok(0);
        }
        let data = if pace.now {
            match self.allowed(data, unit)? {
                Some(data) => data,
                None => return Ok(0),
            }
        } else {
            data
        };
        self.send(data, unit, pace)?;
        if !pace.now {
            let (read, written, quota) = (self.read.clone(), self.written, self.quota);
            let is_within =
                move || written.wrapping_sub(read.word().load(Ordering::Acquire)) <= quota;
            self.await_reader(is_within, pace)?;
            self.unread();
        }
        Ok(data.len())
    }

    /// What of it may be written without waiting.
    fn allowed<'d>(&mut self, data: &'d [u8], unit: Unit) -> Result<Option<&'d [u8]>, Ended> {
        let free = self.free();
        let mut data = data;
        if data.len() as u64 > free {
            let wants = self.wants.word().load(Ordering::Acquire).saturating_sub(1);
            let wants = if self.unread() == 0 { wants } else { 0 };
            if unit == Unit::Bytes {
                let wants = usize::try_from(wants).unwrap_or(usize::MAX);
                data = &data[..wants.min(data.len())];
            } else if data.len() as u64 > free.saturating_add(wants) {
                data = &[];
            }
            if data.is_empty() {
                return Ok(None);
            }
        }
        // All of its records at once: one more for the length, and what they are rounded up by.
        let largest = piece(self.sender.out.lane.capacity());
        let records = data.len() as u64 / largest + 3;
        let needed = data.len() as u64 + records * 2 * UNIT;
        let has_room = self.sender.out.has_room(needed);
        let has_room = has_room.map_err(|lie| self.lied(lie))?;
        Ok(has_room.then_some(data))
    }

    /// Puts it into the ring, in several records where one would be too long.
    fn send(&mut self, data: &[u8], unit: Unit, pace: Pace<'_>) -> Result<(), Ended> {
        if self.sender.torn {
            let header = Header::new(0, Header::TORN);
            self.room(header.span(), pace)?;
            self.push(header, &[]);
            self.sender.torn = false;
        }
        let largest = usize::try_from(piece(self.sender.out.lane.capacity())).unwrap_or(usize::MAX);
        let is_long = data.len() > largest;
        if is_long && unit == Unit::Message {
            let first = Header::new(UNIT as u32, Header::TOTAL | Header::MORE);
            self.room(first.span() + span(UNIT), pace)?;
            let total = (data.len() as u64).to_ne_bytes();
            self.sender.out.push(first, [&total, &[]]);
        }
        let mut left = data;
        loop {
            let (now, later) = left.split_at(left.len().min(largest));
            let flags = if later.is_empty() || unit == Unit::Bytes {
                0
            } else {
                Header::MORE
            };
            let header = Header::new(now.len() as u32, flags);
            let room = self.room(header.span(), pace);
            if room.is_err() {
                self.sender.torn = is_long && unit == Unit::Message;
                return room;
            }
            self.push(header, now);
            kill::point("channel.piece");
            left = later;
            if left.is_empty() {
                return Ok(());
            }
        }
    }

    /// Waits for room in the ring.
    fn room(&mut self, span: u64, pace: Pace<'_>) -> Result<(), Ended> {
        loop {
            let has_room = self.sender.out.has_room(span);
            if has_room.map_err(|lie| self.lied(lie))? {
                return Ok(());
            }
            self.sender.flush();
            let (tail, seen) = (
                self.sender.out.lane.tail.clone(),
                self.sender.out.lane.tail(),
            );
            if self.sender.out.has_room(span) == Ok(true) {
                return Ok(());
            }
            self.await_reader(move || tail.word().load(Ordering::Acquire) != seen, pace)?;
        }
    }

    fn await_reader(&mut self, is_there: impl Fn() -> bool, pace: Pace<'_>) -> Result<(), Ended> {
        loop {
            let Sender { waiter, link, .. } = &mut self.sender;
            self.waiting.store(true, Ordering::Relaxed);
            let waited = waiter.wait(
                &is_there,
                || link.is_over(DEAF) || link.says(CUT) || (pace.stop)(),
                None,
            );
            self.waiting.store(false, Ordering::Relaxed);
            if waited != Waited::Over {
                return Ok(());
            }
            if let Some(ended) = self.ended(true) {
                return Err(ended);
            }
            if (pace.stop)() {
                return Err(Ended::Stopped);
            }
        }
    }

    /// Waits until everything written has been read.
    pub(crate) fn drain(&mut self, pace: Pace<'_>) -> Result<(), Ended> {
        let (tail, head) = (
            self.sender.out.lane.tail.clone(),
            self.sender.out.position(),
        );
        if let Some(cut @ Ended::Cut) = self.ended(false) {
            return Err(cut);
        }
        self.await_reader(move || tail.word().load(Ordering::Acquire) == head, pace)
    }

    /// Why nothing more is read, if that is so.
    pub(crate) fn ended(&self, meanwhile: bool) -> Option<Ended> {
        ended(&self.sender.link, DEAF, meanwhile, WRITING)
    }

    fn lied(&self, lie: Lie) -> Ended {
        Ended::Broken(self.sender.link.break_off(WRITING, lie.0))
    }
}

fn ended(link: &Link, bit: u32, meanwhile: bool, verb: &'static str) -> Option<Ended> {
    if link.peer_says(CUT) || link.says(CUT) {
        return Some(Ended::Cut);
    }
    if link.is_broken() {
        return Some(Ended::Broken(link.error(ErrorKind::Broken, verb)));
    }
    link.is_over(bit).then_some(if meanwhile {
        Ended::ClosedMeanwhile
    } else {
        Ended::Closed
    })
}
