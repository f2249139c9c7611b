//! A thread that serves a hub's sessions.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::channel::Receiver;
use crate::channel::attach::Enclosed;
use crate::channel::connect::Asked;
use crate::channel::door::BITS;
use crate::channel::door::Sleeper;
use crate::channel::hub::doorway::Doorway;
use crate::channel::hub::{CLOSED, Halls, MISSED, NEWS, Session, Shared, User};
use crate::channel::meanwhile;
use crate::channel::park::{Waited, Waiter};
use crate::channel::receiver::Taken;
use crate::channel::sender::Patience;
use crate::error::Error;
use crate::object::wait::source::Source;

/// Looks that a call without time has, at least.
const LOOKS: u32 = 2;
/// Bits of a door that may turn out to stand for nothing, one after the other.
const TAKES_MAX: u32 = 64;

/// What an attendant received.
#[derive(Debug)]
pub(crate) enum Event {
    /// Somebody wants a session.
    Asked(Box<Asked>),
    /// A message of so many bytes, from [`Attendant::session`].
    Message(usize),
    /// The session of [`Attendant::session`] is over; why, unless the client closed it.
    Ended(Option<Error>),
    /// The hub is closed. From [`Attendant::next_of`] also: the session is over, and another thread
    /// is told so.
    Closed,
}

/// A session, and its receiving end while this thread has it.
type InHand<T> = (Arc<Session<T>>, Option<Box<Receiver>>);

/// One thread's way to receive from all sessions.
pub(crate) struct Attendant<T: User> {
    shared: Arc<Shared<T>>,
    halls: Halls<T>,
    /// The notes as they are while nothing has changed and nobody asks.
    calm: u32,
    waiter: Waiter<Doorway<T>>,
    /// The session that was served last; its receiving end while this thread has it.
    current: Option<InHand<T>>,
    /// It has had its turn.
    served: bool,
    /// Which door is looked at first, and from which bit on.
    turn: (usize, u32),
    /// News came first the last time.
    told: bool,
    pub(crate) buffer: Vec<u8>,
    /// The handles that came with the message in the buffer.
    pub(crate) enclosed: Enclosed,
}

impl<T: User> Attendant<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        // Who sleeps with a session in hand lets go of it, now that there are several.
        if shared.attendants.fetch_add(1, Ordering::SeqCst) > 0 {
            shared.changed();
        }
        // One that is closed is to be noticed.
        let calm = shared.notes.load(Ordering::SeqCst) & !(NEWS | MISSED | CLOSED);
        let halls = shared.halls();
        let doorway = Doorway::new(shared.clone(), halls.clone());
        Self {
            waiter: Waiter::new(doorway, shared.terms.options.spin_policy()),
            shared,
            halls,
            calm,
            current: None,
            served: false,
            turn: (0, 0),
            told: false,
            buffer: vec![0; 1024],
            enclosed: Enclosed::default(),
        }
    }

    /// How waits see it.
    pub(crate) fn source(&self) -> &Arc<dyn Source> {
        &self.waiter.park.source
    }

    /// The session that the last event was about.
    ///
    /// # Panics
    /// If there was none.
    pub(crate) fn session(&self) -> &Arc<Session<T>> {
        &self.current.as_ref().expect("an event of a session came").0
    }

    /// Receives what comes next. `None`: nothing came in time.
    pub(crate) fn next(&mut self, patience: Patience) -> Option<Event> {
        self.next_if(patience, |_| true)
    }

    /// [`next`](Self::next) from those sessions of which `admits` says so; it has others released
    /// once it would.
    pub(crate) fn next_if(
        &mut self,
        patience: Patience,
        admits: impl Fn(&Session<T>) -> bool,
    ) -> Option<Event> {
        self.let_go();
        let mut looks = LOOKS;
        loop {
            if self.shared.notes.load(Ordering::Acquire) != self.calm
                && let Some(event) = self.hear()
            {
                return Some(event);
            }
            if self.holds()
                && !(self.served && self.is_awaited())
                && let Some(event) = self.serve(&admits)
            {
                return Some(event);
            }
            if self.is_awaited() {
                self.leave();
                if self.turn_to_next() {
                    continue;
                }
            }
            self.leave_for_others();
            match self.wait(patience) {
                Waited::Ready if looks > 0 => looks -= 1,
                // Bits that stand for nothing do not hold up who has no time.
                Waited::Ready if !patience.is_over() => {}
                _ => return None,
            }
        }
    }

    /// Receives what comes next from that session alone. `None`: nothing came in time, or no end of
    /// what comes; the session is then anybody's.
    pub(crate) fn next_of(
        &mut self,
        session: &Arc<Session<T>>,
        patience: Patience,
    ) -> Option<Event> {
        self.let_go();
        loop {
            let notes = self.shared.notes.load(Ordering::Acquire);
            if notes & CLOSED != 0 {
                return Some(Event::Closed);
            }
            let is_ours = self.take(session);
            if is_ours && let Some(event) = self.serve(&|_| true) {
                return Some(event);
            }
            if !is_ours && session.is_gone() {
                return Some(Event::Closed);
            }
            meanwhile("next_of: nothing");
            // Whoever always has something that is no message is not heard beyond its time.
            let is_late = patience.is_over();
            if is_late || !self.sleep_for_one(session, is_ours, patience) {
                self.leave_for_others();
                return None;
            }
            if is_ours {
                session.knocker.unmark();
            }
        }
    }

    /// Sleeps until that session has something, or comes free. False: the time is up.
    fn sleep_for_one(&mut self, session: &Session<T>, is_ours: bool, patience: Patience) -> bool {
        let is_ready = || {
            let has_come = if is_ours {
                (!session.is_blocked() && session.has_arrivals()) || session.knocker.is_marked()
            } else {
                session.is_free() || session.is_gone()
            };
            has_come || self.shared.notes.load(Ordering::Acquire) & CLOSED != 0
        };
        self.waiter.park.sleeper = Sleeper::ServesSome;
        let waited = self.waiter.wait(is_ready, || false, patience.deadline());
        self.waiter.park.awake();
        self.waiter.park.sleeper = Sleeper::ServesAll;
        waited == Waited::Ready
    }

    fn leave_for_others(&mut self) {
        if !self.keeps() {
            self.leave();
        }
    }

    /// Closes what came with the last message and was not taken.
    #[inline]
    fn let_go(&mut self) {
        if !self.enclosed.is_empty() {
            self.enclosed = Enclosed::default();
        }
    }

    /// Takes that session in hand, unless another thread has it.
    fn take(&mut self, session: &Arc<Session<T>>) -> bool {
        if self.holds() && Arc::ptr_eq(self.session(), session) {
            return true;
        }
        self.leave();
        self.turn_to(session.clone())
    }

    /// Whether this thread may keep a session in hand: not where others could take it.
    fn keeps(&self) -> bool {
        self.shared.attendants.load(Ordering::Relaxed) == 1
            && self
                .current
                .as_ref()
                .is_none_or(|(session, _)| !session.is_stayed())
    }

    #[inline]
    fn holds(&self) -> bool {
        matches!(self.current, Some((_, Some(_))))
    }

    fn has_more(&self) -> bool {
        matches!(&self.current, Some((_, Some(receiver))) if receiver.is_ready())
    }

    /// What happens beside messages.
    #[cold]
    fn hear(&mut self) -> Option<Event> {
        let notes = self.shared.notes.load(Ordering::SeqCst);
        if notes & CLOSED != 0 {
            self.leave();
            return Some(Event::Closed);
        }
        if notes & !(NEWS | MISSED) != self.calm {
            self.calm = notes & !(NEWS | MISSED);
            self.halls = self.shared.halls();
            self.waiter.park.halls = self.halls.clone();
        }
        // Those who are connected and those who want to be take turns.
        let is_idle = || !self.is_awaited() && !self.has_more();
        let has_turn = !self.told || is_idle();
        self.told = false;
        if notes & NEWS == 0 || !has_turn {
            return None;
        }
        self.told = true;
        let asked = self.shared.next_asked()?;
        Some(Event::Asked(Box::new(asked)))
    }

    /// Receives from the session in hand.
    #[inline]
    fn serve(&mut self, admits: &impl Fn(&Session<T>) -> bool) -> Option<Event> {
        let (session, Some(receiver)) = self.current.as_mut()? else {
            return None;
        };
        if session.is_gone() && (session.is_closed() || receiver.is_past_end()) {
            let why = receiver.over().err();
            return Some(self.end(why));
        }
        if session.is_blocked() {
            match session.drain() {
                Err(error) => return Some(self.end(Some(error))),
                Ok(()) if session.is_blocked() => return None,
                Ok(()) => {}
            }
        }
        if session.is_held() || !session.is_admitted(admits) {
            return None;
        }
        match receiver.poll(&mut self.buffer) {
            Ok(Taken::Message(len)) => {
                self.served = true;
                if !receiver.enclosed.is_empty() {
                    self.enclosed = std::mem::take(&mut receiver.enclosed);
                }
                if self.shared.attendants.load(Ordering::Relaxed) > 1 {
                    // Before the message is dealt with, which may take long.
                    self.leave();
                }
                Some(Event::Message(len))
            }
            Ok(Taken::TimedOut) => None,
            Ok(Taken::End) => Some(self.end(None)),
            Err(error) => Some(self.end(Some(error))),
        }
    }

    #[cold]
    fn end(&mut self, why: Option<Error>) -> Event {
        if let Some((session, receiver)) = &mut self.current {
            drop(receiver.take());
            session.retire();
            self.shared.release(session);
        }
        self.waiter.park.hold(None);
        let is_ours = matches!(&self.current, Some((session, _)) if session.is_closed());
        Event::Ended(why.filter(|_| !is_ours))
    }

    /// Whether anybody but the session in hand has knocked.
    #[inline]
    fn is_awaited(&self) -> bool {
        let held = match &self.current {
            Some((session, Some(_))) => Some(session),
            _ => None,
        };
        let is_missed = || self.shared.notes.load(Ordering::Relaxed) & MISSED != 0;
        let knocked = self.halls.iter().any(|hall| {
            let summary = hall.door.summary();
            summary != 0
                && !held.is_some_and(|session| {
                    session.sits_in(hall) && session.knocker.is_alone(summary)
                })
        });
        knocked || is_missed()
    }

    /// Lets go of the session in hand: it knocks when it has something.
    pub(super) fn leave(&mut self) {
        let Some((session, receiver)) = &mut self.current else {
            return;
        };
        let Some(receiver) = receiver.take() else {
            return;
        };
        let looks_again = if session.is_stayed() {
            // It rings when it has made room, and whoever releases it knocks.
            false
        } else {
            meanwhile("leave: not blocked");
            session.knocker.unmark();
            // What was unmarked may have told of room that another thread waits for.
            !session.arm() || session.is_stayed()
        };
        let rung = session.yield_up(receiver);
        if looks_again || rung {
            session.knock();
        }
        self.waiter.park.hold(None);
    }

    /// Takes that session in hand, unless another thread has it. There is none.
    fn turn_to(&mut self, session: Arc<Session<T>>) -> bool {
        let Some(receiver) = session.claim() else {
            return false;
        };
        self.served = false;
        self.waiter.park.hold(Some(session.clone()));
        self.current = Some((session, Some(receiver)));
        true
    }

    /// Takes in hand who has knocked, in rotation.
    fn turn_to_next(&mut self) -> bool {
        let (first, bit) = self.turn;
        // The door it is at comes again at the end: a user whose bits come back at once waits for
        // all other users.
        for step in 0..=self.halls.len() {
            let index = (first + step) % self.halls.len();
            let from = if step == 0 { bit } else { 0 };
            let hall = self.halls[index].clone();
            for _ in 0..TAKES_MAX {
                let Some(bit) = hall.door.take(from) else {
                    break;
                };
                self.turn = (index, bit + 1);
                // A bit may be nobody's, or another thread has whose it is.
                if hall
                    .session(bit)
                    .is_some_and(|session| self.turn_to(session))
                {
                    return true;
                }
            }
            // Those whose bits somebody has taken away, once each.
            while let Some((session, is_last)) = self.shared.next_missed(&hall) {
                self.turn = if is_last {
                    (index + 1, 0)
                } else {
                    (index, BITS)
                };
                if self.turn_to(session) {
                    return true;
                }
            }
            self.turn = (index + 1, 0);
        }
        self.shared.forget_missed();
        false
    }

    fn wait(&mut self, patience: Patience) -> Waited {
        let (halls, current, shared, calm) = (&self.halls, &self.current, &self.shared, self.calm);
        let receiver = match current {
            Some((_, Some(receiver))) => Some(receiver),
            _ => None,
        };
        let is_ready = || {
            receiver.is_some_and(|receiver| receiver.input.has_come() || receiver.is_ready())
                || halls.iter().any(|hall| hall.door.summary() != 0)
                || shared.notes.load(Ordering::Acquire) != calm
        };
        if matches!(patience, Patience::Look) {
            return if is_ready() {
                Waited::Ready
            } else {
                Waited::TimedOut
            };
        }
        let waited = self.waiter.wait(is_ready, || false, patience.deadline());
        self.waiter.park.awake();
        if let Some((session, Some(_))) = &self.current
            && session.knocker.is_marked()
        {
            // Seen: what it has is looked at next.
            session.knocker.unmark();
        }
        waited
    }
}

impl<T: User> Drop for Attendant<T> {
    fn drop(&mut self) {
        if self.shared.is_foreign() {
            return;
        }
        self.leave();
        self.shared.attendants.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<T: User> fmt::Debug for Attendant<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attendant")
            .field("turn", &self.turn)
            .finish_non_exhaustive()
    }
}
