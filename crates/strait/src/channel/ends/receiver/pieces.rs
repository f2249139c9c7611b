//! Messages of several records, and those with something beside their bytes.

use strait_sys::kill;

use crate::channel::attach::Enclosed;
use crate::channel::layout::{Header, UNIT};
use crate::channel::loan::Lent;
use crate::channel::meanwhile;
use crate::channel::receiver::{Found, Piece, RECV, Receiver, Taken};
use crate::channel::ring::{Lie, ReadLane};
use crate::channel::sender::Patience;
use crate::error::Result;

impl Receiver {
    /// A message of several records, or with something beside its bytes.
    #[cold]
    #[inline(never)]
    pub(super) fn take_in_pieces(
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
            let goes_on = self.input.went_round(seen);
            let found = if goes_on && patience.is_over() {
                Found::TimedOut
            } else {
                match self.input.next().map_err(|lie| self.lied(lie))? {
                    Some(header) => Found::Record(header),
                    None => self.await_record(patience)?,
                }
            };
            if goes_on {
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

    /// For a server of many: receives a message into `buffer`, which grows to its length, if one is
    /// there. Never waits. What of a message of several records has come so far stays where it is.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv); the session is broken off for a message beyond the limit.
    #[inline]
    pub(crate) fn poll(&mut self, buffer: &mut Vec<u8>) -> Result<Taken> {
        self.let_go();
        match self.input.next() {
            Ok(Some(header)) if header.is_plain() && self.total.is_none() => {
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
        if self.link.is_foreign() {
            return Err(self.link.foreign(RECV));
        }
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
        // What was sent before the end is one ring at most.
        let was_gone = self.link.is_gone();
        loop {
            if header.has(Header::TOTAL) && self.total.is_none() {
                // Its length is checked before it is believed; room is made as bytes come.
                if header.len() != UNIT || !header.has(Header::MORE) {
                    return Err(self.lied(Lie("a message begins that has no length")));
                }
                let total = self.next_len_alone()?.unwrap_or(0);
                if total > self.message_max as u64 {
                    return Err(self.lied(Lie("its message is longer than was agreed on")));
                }
                self.accept(header)?;
                self.total = Some(total);
            } else if header.has(Header::LOAN) {
                return Err(self.lied(Lie("it lends what is received whole only")));
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
            meanwhile("gather: one more");
            match self.input.next() {
                Ok(next) => {
                    // One that goes on and on is heard for one ring: others are waiting.
                    match next {
                        Some(next) if !self.input.went_round(begin) => header = next,
                        found => {
                            self.stash = stash;
                            return match found {
                                Some(_) if was_gone => self.over(),
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
}
