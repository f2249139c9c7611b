//! Seats of the calling thread, and the thread as the author of transactions.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use strait_sys::cell::Word;
use strait_sys::fork;

use crate::error::{Error, ErrorKind, Result};
use crate::object::commit::domain::{Domain, Seat, registered, slot_of};
use crate::object::space::sweep;

#[derive(Default)]
struct Seated {
    generation: u32,
    seats: Vec<(Arc<Domain>, Seat)>,
    seq: u32,
}

impl Drop for Seated {
    fn drop(&mut self) {
        // What runs in this thread after us, another destructor for instance, has no seat.
        LAST.set(Last(0, 0, 0));
        if self.generation == fork::generation() {
            for (domain, seat) in &self.seats {
                domain.rise(seat.slot);
            }
        }
    }
}

thread_local! {
    static SEATED: RefCell<Seated> = RefCell::default();
}

impl Seated {
    fn seat(&mut self, domain: &Arc<Domain>) -> Result<Seat> {
        if self.generation != fork::generation() {
            // A forked child: these seats are its parent's.
            self.seats.clear();
            self.generation = fork::generation();
        }
        if let Some((_, seat)) = self
            .seats
            .iter()
            .find(|(known, _)| Arc::ptr_eq(known, domain))
        {
            return Ok(*seat);
        }
        self.leave_dead_domains();
        let (seat, seq) = domain.sit()?;
        self.seq = self.seq.max(seq);
        self.seats.push((domain.clone(), seat));
        Ok(seat)
    }

    /// Domains that only this thread still holds on to: their namespace is closed.
    fn leave_dead_domains(&mut self) {
        self.seats.retain(|(domain, seat)| {
            let used = domain.is_private() || Arc::strong_count(domain) > 1;
            if !used {
                // Another domain may come to lie at its address.
                LAST.set(Last(0, 0, 0));
                domain.rise(seat.slot);
            }
            used
        });
    }
}

/// The seat this thread asked for last: the domain's address, fork generation, token.
#[derive(Copy, Clone)]
struct Last(usize, u32, u32);

thread_local! {
    static LAST: std::cell::Cell<Last> = const { std::cell::Cell::new(Last(0, 0, 0)) };
}

/// The calling thread's token in `domain`, if it asked for it last.
#[inline]
pub(crate) fn quick_token(domain: &Arc<Domain>) -> Option<u32> {
    let Last(known, generation, token) = LAST.get();
    (known == Arc::as_ptr(domain).addr() && generation == fork::generation()).then_some(token)
}

/// The calling thread's seat in `domain`, taken if it has none.
#[inline]
pub(crate) fn seat(domain: &Arc<Domain>) -> Result<Seat> {
    if let Some(token) = quick_token(domain) {
        let slot = slot_of(token);
        return Ok(Seat { slot, token });
    }
    find_seat(domain)
}

fn find_seat(domain: &Arc<Domain>) -> Result<Seat> {
    match take_seat(domain) {
        Err(error) if error.kind() == ErrorKind::Exhausted && sweep::make_room(domain) => {
            take_seat(domain)
        }
        taken => taken,
    }
}

fn take_seat(domain: &Arc<Domain>) -> Result<Seat> {
    SEATED
        .try_with(|seated| seated.borrow_mut().seat(domain))
        .inspect(|seat| {
            if let Ok(seat) = seat {
                LAST.set(Last(
                    Arc::as_ptr(domain).addr(),
                    fork::generation(),
                    seat.token,
                ));
            }
        })
        .unwrap_or_else(|_| {
            Err(
                Error::new(ErrorKind::Unsupported, "take a seat", "commit table")
                    .because("the thread is ending"),
            )
        })
}

fn next_seq() -> u32 {
    SEATED
        .try_with(|seated| {
            let mut seated = seated.borrow_mut();
            seated.seq = seated.seq.wrapping_add(1);
            seated.seq
        })
        .unwrap_or(0)
}

/// The calling thread as the author of transactions in one domain, and on private objects.
#[derive(Debug)]
pub(crate) struct Scribe<'d> {
    domain: &'d Domain,
    seat: Seat,
    local: Option<(Arc<Domain>, Seat)>,
}

impl<'d> Scribe<'d> {
    /// `mixed`: private objects will take part too.
    #[inline]
    pub(crate) fn new(domain: &'d Arc<Domain>, mixed: bool) -> Result<Self> {
        let local = if mixed && !domain.is_private() {
            let private = Domain::private()?;
            let seat = seat(&private)?;
            Some((private, seat))
        } else {
            None
        };
        let seat = seat(domain)?;
        // A decision in a page that was taken away would be seen by nobody else.
        let _ = domain
            .status(seat.slot)
            .map(|status| status.load(Ordering::Relaxed));
        if domain.is_broken() {
            return Err(Error::new(ErrorKind::Broken, "decide", "commit table")
                .because("a process with write access truncated the commit table"));
        }
        Ok(Self {
            domain,
            seat,
            local,
        })
    }

    pub(crate) fn status(&self) -> Word<'d, u64> {
        self.domain
            .status(self.seat.slot)
            .expect("a seat's slot lies within the table")
    }

    /// The seat whose slot marks on a (private?) object carry.
    pub(crate) fn seat_for(&self, private: bool) -> Seat {
        match &self.local {
            Some((_, seat)) if private => *seat,
            _ => self.seat,
        }
    }

    pub(crate) fn enlist(&self, ids: impl ExactSizeIterator<Item = u32>) -> u32 {
        let seq = next_seq();
        self.domain.enlist(self.seat.slot, ids);
        if let Some((private, seat)) = &self.local {
            redirect(
                private,
                seat.slot,
                encode_redirect(self.domain.index, self.seat.slot),
            );
        } else if self.domain.is_private() {
            redirect(self.domain, self.seat.slot, 0);
        }
        seq
    }
}

fn redirect(private: &Domain, slot: u16, to: u64) {
    if let Some(word) = private.redirection(slot) {
        word.store(to, Ordering::SeqCst);
    }
}

fn encode_redirect(index: usize, slot: u16) -> u64 {
    (index as u64 + 1) << 16 | u64::from(slot)
}

/// Where the decision about a mark on a private object is: in its author's private record, or in
/// the record of the shared domain that it transacts in at the same time.
pub(crate) fn redirected(private: &Domain, slot: u16) -> Option<(Arc<Domain>, u16)> {
    let to = private.redirection(slot)?.load(Ordering::SeqCst);
    if to == 0 {
        return None;
    }
    let index = usize::try_from((to >> 16) - 1).ok()?;
    Some((registered(index)?, u16::try_from(to & 0xffff).ok()?))
}

impl Domain {
    /// Whether the calling thread is who that token stands for. Takes no seat.
    pub(crate) fn is_callers(&self, token: u32) -> bool {
        SEATED
            .try_with(|seated| {
                let seated = seated.borrow();
                let mut seats = seated.seats.iter();
                seated.generation == fork::generation()
                    && seats.any(|(domain, seat)| {
                        std::ptr::eq(&raw const **domain, self) && seat.token == token
                    })
            })
            .unwrap_or(false)
    }
}
