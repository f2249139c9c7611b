//! The receiving end, read in parts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use strait_sys::kill;
use strait_sys::map::Fixed;

use crate::channel::flow::{Ended, Pace, Seen, Unit, ended};
use crate::channel::layout::{CLOSED, CUT, Header, OFFSET, READ, UNIT, WANTS};
use crate::channel::link::Link;
use crate::channel::park::Waited;
use crate::channel::receiver::{Part, Receiver};
use crate::channel::ring::Lie;

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
        let part = |len, more| Ok(Some(Part { len, more }));
        let mut done = 0;
        // A message without bytes was read as bytes.
        let mut empty = false;
        let mut seen = self.receiver.input.position();
        loop {
            let next = self.next()?;
            // One that goes on and on is heard for one ring before the caller is thought of.
            let goes_on = next.is_some() && self.receiver.input.went_round(seen);
            let Some(header) = next.filter(|_| !goes_on) else {
                let enough = unit == Unit::Bytes && (done > 0 || empty);
                if enough || done > 0 && (pace.now || (pace.stop)()) {
                    let more = unit == Unit::Message;
                    self.begun |= more;
                    return part(done, more);
                }
                if goes_on {
                    if pace.now {
                        return Ok(None);
                    }
                    if (pace.stop)() {
                        return Err(Ended::Stopped);
                    }
                    seen = self.receiver.input.position();
                    continue;
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
                let (begun, torn) = (std::mem::take(&mut self.begun), self.rest.take());
                if unit == Unit::Message && torn.is_some() {
                    done = 0;
                    if begun {
                        return part(0, false);
                    }
                }
                continue;
            }
            if header.has(Header::TOTAL) {
                self.begin(header)?;
                continue;
            }
            let (len, ends) = self.copy(header, &mut buffer[done..])?;
            done += len;
            empty |= ends && len == 0;
            if unit == Unit::Message && ends {
                return part(done, false);
            }
            if done == buffer.len() {
                return part(done, unit == Unit::Message);
            }
        }
    }

    /// Copies what there is room for of a record. How much that was, and whether a message ends
    /// with it.
    fn copy(&mut self, header: Header, buffer: &mut [u8]) -> Result<(usize, bool), Ended> {
        let left = self.check(header)?;
        let len = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let offset = self.receiver.offset;
        self.receiver.input.copy(offset, &mut buffer[..len]);
        self.taken = self.taken.wrapping_add(len as u64);
        self.rest = self.rest.map(|rest| rest - len as u64);
        let whole = len as u64 == left;
        if whole {
            self.receiver.offset = 0;
            self.receiver.input.consume(header);
        } else {
            self.receiver.offset = offset + len as u64;
        }
        let ends = whole && self.rest.is_none_or(|rest| rest == 0);
        if ends {
            self.rest = None;
        }
        self.begun = !ends;
        Ok((len, ends))
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
