//! Working in turn with the other holders of an end.

use std::sync::atomic::Ordering;

use crate::channel::layout::{CLOSED, DEAF, Header};
use crate::channel::park::Waited;
use crate::channel::receiver::RECV;
use crate::channel::ring::WriteLane;
use crate::channel::sender::{Patience, SEND};
use crate::channel::share::End;
use crate::channel::{Receiver, Sender, Taken, meanwhile};
use crate::error::{ErrorKind, Result};

impl Sender {
    /// Sends while others may: in turn, and going on where the last has ended.
    #[cold]
    #[inline(never)]
    pub(crate) fn deliver_in_turn(
        &mut self,
        parts: [&[u8]; 2],
        patience: Patience,
    ) -> Result<bool> {
        // A message in pieces is one holder's from its first to its last.
        let is_long = parts[0].len() + parts[1].len() > self.piece_max();
        let within = if is_long { patience } else { Patience::Look };
        self.in_turn(patience, SEND, |sender| {
            Ok(sender.deliver_alone(parts, within, true)?.then_some(()))
        })
        .map(|sent| sent.is_some())
    }

    /// Does something when it is this holder's turn, again whenever there may be room, until that
    /// gives something.
    pub(crate) fn in_turn<T>(
        &mut self,
        patience: Patience,
        operation: &'static str,
        mut attempt: impl FnMut(&mut Self) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        loop {
            if self.link.is_foreign() {
                return Err(self.link.foreign(operation));
            }
            if !self.link.lock(End::Sending, patience, operation)? {
                return if self.link.is_gone() {
                    Err(self.gone(operation))
                } else {
                    Ok(None)
                };
            }
            self.waiter.share();
            let head = self.out.lane.head.word().load(Ordering::SeqCst);
            self.out.go_on(head);
            self.torn = self.out.lane.open.word().load(Ordering::SeqCst) != 0;
            let seen = self.out.lane.tail();
            let result = attempt(self);
            self.link.unlock(End::Sending);
            match result {
                Ok(None) if !matches!(patience, Patience::Look) => {}
                other => return other,
            }
            let (tail, link) = (self.out.lane.tail.clone(), &self.link);
            let waited = self.waiter.wait(
                || tail.word().load(Ordering::Acquire) != seen,
                || link.is_over(DEAF),
                patience.deadline(),
            );
            match waited {
                Waited::Ready => {}
                Waited::TimedOut => return Ok(None),
                Waited::Over => return Err(self.gone(operation)),
            }
        }
    }

    /// Whether nothing of this end is in this process alone.
    pub(crate) fn is_settled(&self, operation: &'static str) -> Result<()> {
        let busy = |why: &str| Err(self.link.error(ErrorKind::Busy, operation).because(why));
        if self.waiter.park.is_shared() {
            return Ok(());
        }
        if self.out.position() != self.out.lane.head.word().load(Ordering::SeqCst) {
            return busy("messages were pushed: flush them");
        }
        Ok(())
    }
}

impl Receiver {
    /// Receives when it is this holder's turn, again whenever there may be something.
    #[cold]
    #[inline(never)]
    pub(crate) fn in_turn<T>(
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
                Ok(Taken::TimedOut) if self.total.is_none() && !patience.is_over() => {}
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

    /// Drops the rest of a message whose beginning a dead holder has. False: it is still to come,
    /// or there is a ring of it: a peer that goes on and on is heard for one before the time is.
    fn drop_orphans(&mut self) -> Result<bool> {
        let begin = self.input.position();
        while self.lacks_a_rest() {
            if self.input.went_round(begin) {
                return Ok(false);
            }
            let Some(header) = self.input.next().map_err(|lie| self.lied(lie))? else {
                return Ok(false);
            };
            if !header.has(Header::MORE) || header.has(Header::TORN) {
                self.end_pieces(header);
            }
            self.consume(header);
            meanwhile("orphans: one more");
        }
        Ok(true)
    }

    fn lacks_a_rest(&self) -> bool {
        self.total.is_none() && self.input.lane.is_piece(self.input.position())
    }

    /// Whether nothing of this end is in this process alone.
    pub(crate) fn is_settled(&self, operation: &'static str) -> Result<()> {
        if self.total.is_none() && self.offset == 0 {
            return Ok(());
        }
        let error = self.link.error(ErrorKind::Busy, operation);
        Err(error.because("it has received a part of a message"))
    }
}
