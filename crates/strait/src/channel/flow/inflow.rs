//! The receiving end, read in parts.

mod over;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use strait_sys::kill;
use strait_sys::map::Fixed;

use crate::channel::flow::mark::{Mark, Marks};
use crate::channel::flow::{Ended, Pace, Returned, Seen, Unit, ended, enter};
use crate::channel::layout::{CLOSED, CUT, Header, READ, UNIT, WANTS};
use crate::channel::link::Link;
use crate::channel::park::Waited;
use crate::channel::receiver::{Part, Receiver};
use crate::channel::ring::Lie;
use crate::channel::share::End;
use crate::channel::wait::Arrivals;
use crate::object::wait::source::Source;

/// The receiving end, read in parts.
#[derive(Debug)]
pub(crate) struct Inflow {
    receiver: Receiver,
    read: Fixed<u64>,
    wants: Fixed<u64>,
    marks: Marks,
    /// Bytes read so far.
    taken: u64,
    /// Bytes that stood before the part that was read last.
    place: u64,
    /// Bytes to come of a message that is in several records.
    rest: Option<u64>,
    /// The present message was begun.
    begun: bool,
    /// By a holder that was killed: its rest is dropped.
    orphan: bool,
    returned: Arc<Returned>,
    arrivals: Arc<dyn Source>,
    /// A read waits, and this is in use.
    waiting: Arc<AtomicBool>,
}

const READING: &str = "read";

impl Inflow {
    pub(crate) fn new(receiver: Receiver) -> Option<Self> {
        let own = &receiver.link.own;
        let read = own.fixed::<u64>(READ)?;
        let returned = Arc::new(Returned::default());
        Some(Self {
            wants: own.fixed(WANTS)?,
            marks: Marks::new(own)?,
            taken: read.word().load(Ordering::SeqCst),
            place: 0,
            read,
            rest: None,
            begun: false,
            orphan: false,
            arrivals: Arc::new(Arrivals::new(&receiver.link, returned.flag())?),
            returned,
            waiting: Arc::default(),
            receiver,
        })
    }

    /// How waits see it.
    pub(crate) fn arrivals(&self) -> Arc<dyn Source> {
        self.arrivals.clone()
    }

    /// Where in the stream the part stood that was read last.
    pub(crate) fn place(&self) -> u64 {
        self.place
    }

    /// What reads gave back.
    pub(crate) fn returned(&self) -> &Arc<Returned> {
        &self.returned
    }

    /// True while a read waits, and this is in use.
    pub(crate) fn waiting(&self) -> Arc<AtomicBool> {
        self.waiting.clone()
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
        if let Some(len) = self.read_plain(buffer, unit) {
            return Ok(Some(Part { len, more: false }));
        }
        self.read_parts(buffer, unit, pace)
    }

    /// Reads what is there, where that is simple. How many bytes; `None`: nothing was read.
    #[inline]
    pub(crate) fn read_plain(&mut self, buffer: &mut [u8], unit: Unit) -> Option<usize> {
        if !self.is_plain() {
            return None;
        }
        let len = match unit {
            Unit::Message => self.take_message(buffer),
            Unit::Bytes => self.take_bytes(buffer),
        }?;
        self.place = self.taken.wrapping_sub(len as u64);
        self.tell();
        Some(len)
    }

    /// Whether nothing but the ring says what comes next, and nobody else reads.
    #[inline]
    fn is_plain(&self) -> bool {
        let receiver = &self.receiver;
        self.rest.is_none()
            && !self.orphan
            && !self.returned.is_there()
            && !receiver.is_odd()
            && !receiver.link.peer_says(CUT)
    }

    /// Takes a message that is there in one record and fits.
    #[inline]
    fn take_message(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let receiver = &mut self.receiver;
        let header = receiver.input.next().ok()??;
        if receiver.offset != 0 || !header.is_plain() {
            return None;
        }
        let bytes = buffer.get_mut(..header.len() as usize)?;
        receiver.input.copy(0, bytes);
        receiver.input.consume(header);
        self.taken = self.taken.wrapping_add(bytes.len() as u64);
        Some(bytes.len())
    }

    /// Takes bytes that are there, up to what is no message in one record. None: there are none.
    #[inline]
    fn take_bytes(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let mut done = 0;
        while done < buffer.len()
            && let Ok(Some(header)) = self.receiver.input.next()
            && header.is_plain()
            && let Some(left) = header.len().checked_sub(self.receiver.offset)
            // One without bytes that comes first is a read of its own.
            && (left > 0 || done > 0)
        {
            let room = &mut buffer[done..];
            let len = left.min(room.len() as u64);
            self.receiver
                .input
                .copy(self.receiver.offset, &mut room[..len as usize]);
            self.pass(header, left, len);
            done += len as usize;
        }
        (done > 0).then_some(done)
    }

    /// Tells the writer what was read.
    #[inline]
    fn tell(&mut self) {
        kill::point("channel.consume");
        self.read.word().store(self.taken, Ordering::Release);
        self.receiver.input.release();
        self.receiver.waiter.published();
    }

    /// The same, so that other holders go on from there. `in_hand`: no caller has the last part
    /// yet.
    fn settle(&mut self, in_hand: bool) {
        let shared = self.receiver.keeps_turn;
        if shared {
            self.marks.set(self.mark(in_hand));
            kill::point("flow.marked");
        }
        self.tell();
        if shared {
            self.told();
        }
    }

    fn mark(&self, in_hand: bool) -> Mark {
        Mark {
            position: self.receiver.input.position(),
            offset: self.receiver.offset,
            taken: self.taken,
            rest: self.rest,
            begun: self.begun,
            in_hand: in_hand || self.orphan,
        }
    }

    /// The writer has been rung: from here on those who wait for something need not look.
    fn told(&self) {
        kill::point("flow.told");
        self.receiver.input.note();
        self.marks.tell();
    }

    /// Leaves a mark for those who will share the end, unless it is shared already.
    pub(super) fn leave_mark(&self) {
        if !self.receiver.is_odd() {
            self.marks.set(self.mark(false));
            self.marks.tell();
        }
    }

    /// Goes on where the last holder has read, and tells what that one could not.
    fn go_on(&mut self) {
        let mark = self.marks.last();
        let receiver = &mut self.receiver;
        let released = receiver.input.lane.tail.word().load(Ordering::SeqCst);
        receiver.input.go_on(mark.position, released);
        receiver.offset = mark.offset;
        (self.taken, self.rest) = (mark.taken, mark.rest);
        (self.begun, self.orphan) = (mark.begun, mark.in_hand);
        if !self.marks.is_told() {
            self.tell();
            self.told();
        }
    }

    /// Runs while no other holder of the end reads; `None` if one does, and nobody waits.
    pub(crate) fn in_turn<T>(
        &mut self,
        pace: Pace<'_>,
        run: impl FnOnce(&mut Self) -> Result<T, Ended>,
    ) -> Result<Option<T>, Ended> {
        if !self.receiver.is_odd() || self.receiver.keeps_turn {
            return run(self).map(Some);
        }
        self.waiting.store(true, Ordering::Relaxed);
        let entered = enter(&self.receiver.link, End::Receiving, pace, READING);
        self.waiting.store(false, Ordering::Relaxed);
        if !entered? {
            return Ok(None);
        }
        self.receiver.waiter.share();
        self.receiver.keeps_turn = true;
        self.go_on();
        let result = run(self);
        self.receiver.keeps_turn = false;
        self.receiver.link.unlock(End::Receiving);
        result.map(Some)
    }

    fn read_parts(
        &mut self,
        buffer: &mut [u8],
        unit: Unit,
        pace: Pace<'_>,
    ) -> Result<Option<Part>, Ended> {
        loop {
            if let Some((part, place)) = self.returned.take(buffer) {
                self.place = place;
                return Ok(Some(part));
            }
            let found = self.in_turn(pace, |input| input.attempt(buffer, unit, pace))?;
            if let Some(Some(part)) = found {
                self.place = self.taken.wrapping_sub(part.len as u64);
                return Ok(Some(part));
            }
            if pace.now {
                return Ok(None);
            }
            self.wait(0, buffer.len(), pace)?;
        }
    }

    /// Reads what is there; waits only for the rest of what it has begun to read.
    fn attempt(
        &mut self,
        buffer: &mut [u8],
        unit: Unit,
        pace: Pace<'_>,
    ) -> Result<Option<Part>, Ended> {
        let before = (self.taken, self.receiver.input.position());
        let result = self.collect(buffer, unit, pace);
        if before != (self.taken, self.receiver.input.position()) {
            self.settle(false);
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
        // An earlier call has given a part of the present message to its caller.
        let mut given = self.begun && !self.orphan;
        let mut seen = self.receiver.input.position();
        loop {
            let next = self.next()?;
            // One that goes on and on is heard for one ring before the caller is thought of.
            let goes_on = next.is_some() && self.receiver.input.went_round(seen);
            let Some(header) = next.filter(|_| !goes_on) else {
                if unit == Unit::Bytes && (done > 0 || empty) {
                    return part(done, false);
                }
                if self.pause(done, buffer.len(), goes_on, pace)? {
                    return if done > 0 { part(done, true) } else { Ok(None) };
                }
                seen = self.receiver.input.position();
                continue;
            };
            if header.has(Header::TORN) {
                self.advance(header);
                (self.begun, self.orphan) = (false, false);
                if self.rest.take().is_some() && unit == Unit::Message {
                    done = 0;
                    if given {
                        return part(0, false);
                    }
                }
                given = false;
                continue;
            }
            if header.has(Header::TOTAL) {
                self.begin(header)?;
                continue;
            }
            let left = self.check(header)?;
            if self.orphan {
                self.orphan = !self.pass(header, left, left);
                continue;
            }
            let len = left.min((buffer.len() - done) as u64);
            let (offset, to) = (self.receiver.offset, done + len as usize);
            self.receiver.input.copy(offset, &mut buffer[done..to]);
            let ends = self.pass(header, left, len);
            done = to;
            empty |= ends && len == 0;
            given &= !ends;
            if unit == Unit::Message && ends {
                return part(done, false);
            }
            if done == buffer.len() {
                return part(done, unit == Unit::Message);
            }
        }
    }

    /// There is no record, or one after the other comes and is no message. True: the call ends with
    /// what is `done` so far.
    fn pause(
        &mut self,
        done: usize,
        len: usize,
        goes_on: bool,
        pace: Pace<'_>,
    ) -> Result<bool, Ended> {
        let stops = pace.now || (pace.stop)();
        if done == 0 {
            return match (goes_on, stops) {
                (true, true) if !pace.now => Err(Ended::Stopped),
                (true, _) => Ok(true),
                (false, _) => Ok(!self.ends()?),
            };
        }
        // What is read already is not lost with a call that is given up.
        if stops || goes_on {
            return Ok(stops);
        }
        self.settle(true);
        match self.wait(done, len, pace) {
            Err(Ended::Stopped) => Ok(false),
            waited => waited.map(|()| false),
        }
    }

    /// There was nothing: an error if nothing will come. True: something was sent before the end.
    fn ends(&mut self) -> Result<bool, Ended> {
        match self.ended(false) {
            None => Ok(false),
            Some(Ended::Closed) if self.next()?.is_some() => Ok(true),
            Some(ended) => Err(ended),
        }
    }

    /// So many of the bytes that are left of a record are read. Whether a message ends with it.
    #[inline]
    fn pass(&mut self, header: Header, left: u64, len: u64) -> bool {
        self.taken = self.taken.wrapping_add(len);
        self.rest = self.rest.map(|rest| rest - len);
        let whole = len == left;
        if whole {
            self.advance(header);
        } else {
            self.receiver.offset += len;
        }
        let ends = whole && self.rest.is_none_or(|rest| rest == 0);
        if ends {
            self.rest = None;
        }
        self.begun = !ends;
        ends
    }

    /// Goes past a record. Others who hold the end learn of it with the mark.
    #[inline]
    fn advance(&mut self, header: Header) {
        self.receiver.offset = 0;
        if self.receiver.keeps_turn {
            self.receiver.input.pass(header);
        } else {
            self.receiver.input.consume(header);
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
        self.advance(header);
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

    /// Waits for a record, or where nothing is `done` for what is given back too.
    fn wait(&mut self, done: usize, len: usize, pace: Pace<'_>) -> Result<(), Ended> {
        // Of several who wait none can say how much goes beyond the quota.
        if !self.receiver.is_odd() {
            let wants = (len - done) as u64 + 1;
            self.wants.word().store(wants, Ordering::Release);
        }
        self.waiting.store(true, Ordering::Relaxed);
        let returned = (done == 0).then(|| self.returned.clone());
        let lane = &self.receiver.input.lane;
        let (head, position) = (lane.head.clone(), lane.position.clone());
        let link = &self.receiver.link;
        let waited = self.receiver.waiter.wait(
            || {
                head.word().load(Ordering::Acquire) != position.word().load(Ordering::Relaxed)
                    || returned
                        .as_ref()
                        .is_some_and(|returned| returned.is_there())
            },
            || link.is_over(CLOSED) || link.says(CUT) || (pace.stop)(),
            None,
        );
        self.waiting.store(false, Ordering::Relaxed);
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
        let seen = self.in_turn(Pace::NOW, |input| {
            let seen = input.look(buffer, unit)?;
            if seen.available != 0 || !input.is_empty()? {
                return Ok(seen);
            }
            let Some(ended) = input.ended(false) else {
                return Ok(seen);
            };
            // What was sent before the end.
            let seen = input.look(buffer, unit)?;
            if seen.available == 0 && input.is_empty()? {
                return Err(ended);
            }
            Ok(seen)
        })?;
        Ok(seen.unwrap_or_default())
    }

    fn look(&mut self, buffer: &mut [u8], unit: Unit) -> Result<Seen, Ended> {
        let mut seen = Seen::default();
        let mut first = true;
        self.returned.look(&mut seen, buffer, unit, &mut first);
        let _ = self.next()?;
        let unread = self.receiver.input.unread();
        unread.map_err(|lie| self.lied(lie))?;
        let (mut at, mut offset) = (self.receiver.input.position(), self.receiver.offset);
        let (mut rest, mut orphan) = (self.rest, self.orphan);
        // What was seen before the message that is looked at.
        let mut before = seen;
        // As many as the ring holds.
        while let Some(header) = self.header_at(at)? {
            if header.has(Header::TORN) {
                if rest.take().is_some() && unit == Unit::Message {
                    if first && !buffer.is_empty() && seen.len == buffer.len() {
                        // A read ends with what there is room for, and does not come here.
                        first = false;
                    } else {
                        // It was given up: no read gets any of it.
                        seen = before;
                    }
                }
                orphan = false;
            } else if header.has(Header::TOTAL) && header.len() == UNIT {
                let mut total = [0; UNIT as usize];
                self.receiver.input.copy_at(at, 0, &mut total);
                rest = Some(u64::from_ne_bytes(total));
                before = seen;
            } else if orphan {
                orphan = header.has(Header::MORE);
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
        Ok(!self.returned.is_there() && self.next()?.is_none())
    }
}
