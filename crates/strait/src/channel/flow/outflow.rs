//! The sending end, with a quota.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use strait_sys::cell::ReadOnly;
use strait_sys::kill;
use strait_sys::map::Fixed;

use crate::channel::flow::mark::Sums;
use crate::channel::flow::{Ended, Pace, Unit, ended, enter};
use crate::channel::layout::{CLOSED, CUT, DEAF, Header, READ, UNIT, WANTS, span};
use crate::channel::park::Waited;
use crate::channel::ring::{Lie, WriteLane, piece};
use crate::channel::sender::Sender;
use crate::channel::share::End;

/// The sending end, with a quota.
#[derive(Debug)]
pub(crate) struct Outflow {
    sender: Sender,
    sums: Sums,
    read: Fixed<u64, ReadOnly>,
    wants: Fixed<u64, ReadOnly>,
    /// Bytes sent so far.
    written: u64,
    /// Bytes that the reader had read when it was last asked.
    seen: u64,
    quota: u64,
    /// A write waits for the reader.
    waiting: Arc<AtomicBool>,
    /// This holder has the turn at a shared end.
    keeps_turn: bool,
    /// Nothing more is written.
    shut: bool,
}

const WRITING: &str = "write";

impl Outflow {
    pub(crate) fn new(sender: Sender, quota: u64) -> Option<Self> {
        let link = &sender.link;
        let sums = Sums::new(&link.own)?;
        let written = sums.at(sender.out.position());
        let read = link.theirs.fixed_look::<u64>(READ)?;
        Some(Self {
            wants: link.theirs.fixed_look(WANTS)?,
            seen: read.word().load(Ordering::Acquire),
            read,
            sums,
            written,
            quota,
            waiting: Arc::default(),
            keeps_turn: false,
            shut: link.says(CLOSED),
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
        if self.write_plain(data, unit) {
            return Ok(data.len());
        }
        self.write_waiting(data, unit, pace)
    }

    /// Writes where that is simple. False: nothing was written.
    #[inline]
    pub(crate) fn write_plain(&mut self, data: &[u8], unit: Unit) -> bool {
        let len = data.len() as u64;
        let sender = &mut self.sender;
        let is_plain = self.written.wrapping_add(len).wrapping_sub(self.seen) <= self.quota
            && len <= piece(sender.out.lane.capacity())
            && !sender.torn
            && !self.shut
            && !sender.is_odd()
            && !sender.link.is_over(DEAF)
            && (len != 0 || unit == Unit::Message)
            && sender.out.has_room(span(len)) == Ok(true);
        if is_plain {
            self.push(Header::new(len as u32, 0), data);
        }
        is_plain
    }

    #[inline]
    fn push(&mut self, header: Header, data: &[u8]) {
        self.sender.out.push(header, [&[], data]);
        self.written = self.written.wrapping_add(data.len() as u64);
        self.note_sum();
        kill::point("channel.pushed");
        self.sender.flush();
    }

    /// Says to other holders how much was written, before they see what was pushed.
    #[inline]
    fn note_sum(&self) {
        if self.keeps_turn {
            let next = self.sender.out.position();
            self.sums.set(self.head(), next, self.written);
            kill::point("flow.summed");
        }
    }

    /// Says to other holders whether the last message is not whole.
    fn say_open(&self, open: bool) {
        let word = self.sender.out.lane.open.word();
        word.store(open.into(), Ordering::SeqCst);
    }

    /// The head that is published.
    fn head(&self) -> u64 {
        self.sender.out.lane.head.word().load(Ordering::SeqCst)
    }

    /// Leaves the sum for those who will share the end, unless it is shared already.
    pub(super) fn leave_sum(&self) {
        if !self.sender.is_odd() {
            self.sums.set(!self.head(), self.head(), self.written);
        }
    }

    /// Runs while no other holder of the end writes; `None` if one does, and nobody waits.
    fn in_turn<T>(
        &mut self,
        pace: Pace<'_>,
        run: impl FnOnce(&mut Self) -> Result<T, Ended>,
    ) -> Result<Option<T>, Ended> {
        if !self.sender.is_odd() || self.keeps_turn {
            return run(self).map(Some);
        }
        self.waiting.store(true, Ordering::Relaxed);
        let entered = enter(&self.sender.link, End::Sending, pace, WRITING);
        self.waiting.store(false, Ordering::Relaxed);
        if !entered? {
            return Ok(None);
        }
        self.sender.waiter.share();
        let head = self.head();
        self.sender.out.go_on(head);
        self.sender.torn = self.sender.out.lane.open.word().load(Ordering::SeqCst) != 0;
        self.written = self.sums.at(head);
        self.keeps_turn = true;
        let result = run(self);
        self.keeps_turn = false;
        self.sender.link.unlock(End::Sending);
        result.map(Some)
    }

    /// Bytes that were not read yet.
    fn unread(&mut self) -> u64 {
        self.seen = self.read.word().load(Ordering::Acquire);
        self.written.wrapping_sub(self.seen)
    }

    /// Bytes that can be written without waiting.
    pub(crate) fn free(&mut self) -> u64 {
        let free = self.in_turn(Pace::NOW, |out| Ok(out.quota.saturating_sub(out.unread())));
        free.ok().flatten().unwrap_or(0)
    }

    fn write_waiting(&mut self, data: &[u8], unit: Unit, pace: Pace<'_>) -> Result<usize, Ended> {
        if let Some(ended) = self.ended(false) {
            return Err(ended);
        }
        // By this holder or another.
        if self.sender.link.says(CLOSED) {
            return Err(Ended::Shut);
        }
        if data.is_empty() && unit == Unit::Bytes {
            return Ok(0);
        }
        let sent = self.in_turn(pace, |out| {
            let allowed = if pace.now {
                out.allowed(data, unit)?
            } else {
                Some(data)
            };
            let Some(data) = allowed else {
                return Ok(0);
            };
            out.send(data, unit, pace)?;
            Ok(data.len())
        })?;
        if !pace.now {
            let (read, written, quota) = (self.read.clone(), self.written, self.quota);
            // What others have written since may have been read as well.
            let unread = move || written.wrapping_sub(read.word().load(Ordering::Acquire));
            let is_within = move || unread().cast_signed() <= quota.cast_signed();
            self.await_reader(is_within, pace)?;
            self.unread();
        }
        Ok(sent.unwrap_or(0))
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
        let around = |len: u64| (len / largest + 3) * 2 * UNIT;
        let len = data.len() as u64;
        let has_room = self.sender.out.has_room(len + around(len));
        if has_room.map_err(|lie| self.lied(lie))? {
            return Ok(Some(data));
        }
        // Of bytes those that there is room for.
        let room = self.sender.out.free();
        let fits = usize::try_from(room.saturating_sub(around(room))).unwrap_or(usize::MAX);
        let some = unit == Unit::Bytes && fits > 0;
        Ok(some.then(|| &data[..fits.min(data.len())]))
    }

    /// Puts it into the ring, in several records where one would be too long.
    fn send(&mut self, data: &[u8], unit: Unit, pace: Pace<'_>) -> Result<(), Ended> {
        if self.sender.torn {
            let header = Header::new(0, Header::TORN);
            self.room(header.span(), pace)?;
            self.push(header, &[]);
            self.sender.torn = false;
            self.say_open(false);
        }
        let largest = usize::try_from(piece(self.sender.out.lane.capacity())).unwrap_or(usize::MAX);
        let in_pieces = data.len() > largest && unit == Unit::Message;
        if in_pieces {
            let first = Header::new(UNIT as u32, Header::TOTAL | Header::MORE);
            self.room(first.span() + span(UNIT), pace)?;
            let total = (data.len() as u64).to_ne_bytes();
            self.say_open(true);
            self.sender.out.push(first, [&total, &[]]);
            self.note_sum();
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
                self.sender.torn = in_pieces;
                return room;
            }
            self.push(header, now);
            kill::point("channel.piece");
            left = later;
            if left.is_empty() {
                if in_pieces {
                    self.say_open(false);
                }
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

    /// Nothing more is written, by any holder of the end: the other side reads to here, and may go
    /// on writing.
    pub(crate) fn shut(&mut self, pace: Pace<'_>) -> Result<(), Ended> {
        self.in_turn(pace, |out| {
            out.sender.flush();
            out.shut = true;
            out.sender.link.say(CLOSED);
            out.sender.waiter.published();
            Ok(())
        })?;
        Ok(())
    }

    /// Whether everything written has been read.
    pub(crate) fn is_drained(&self) -> bool {
        let tail = self.sender.out.lane.tail.word().load(Ordering::Acquire);
        self.head().wrapping_sub(tail).cast_signed() <= 0
    }

    /// Waits until everything written has been read.
    pub(crate) fn drain(&mut self, pace: Pace<'_>) -> Result<(), Ended> {
        if self.sender.link.is_foreign() {
            return Err(Ended::Broken(self.sender.link.foreign(WRITING)));
        }
        let (tail, head) = (self.sender.out.lane.tail.clone(), self.head());
        if let Some(cut @ Ended::Cut) = self.ended(false) {
            return Err(cut);
        }
        // What others write meanwhile may be read as well.
        let unread = move || head.wrapping_sub(tail.word().load(Ordering::Acquire));
        self.await_reader(move || unread().cast_signed() <= 0, pace)
    }

    /// Why nothing more is read, if that is so.
    pub(crate) fn ended(&self, meanwhile: bool) -> Option<Ended> {
        ended(&self.sender.link, DEAF, meanwhile, WRITING)
    }

    fn lied(&self, lie: Lie) -> Ended {
        Ended::Broken(self.sender.link.break_off(WRITING, lie.0))
    }
}
