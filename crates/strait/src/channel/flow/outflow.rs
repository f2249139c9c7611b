//! The sending end, with a quota.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use strait_sys::cell::ReadOnly;
use strait_sys::kill;
use strait_sys::map::Fixed;

use crate::channel::flow::{Ended, Pace, Unit, ended};
use crate::channel::layout::{CUT, DEAF, Header, READ, UNIT, WANTS, WRITTEN, span};
use crate::channel::park::Waited;
use crate::channel::ring::{Lie, WriteLane, piece};
use crate::channel::sender::Sender;

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
