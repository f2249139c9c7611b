//! Bells: how a [`Set`](super::Set) of thousands sleeps on one word per domain.
//!
//! A set's objects hold the seat of a *ringer*, one thread of this process per domain, in their
//! rosters; a signal that wakes rings it. A signaller killed between its decision and the ring
//! would leave a ringer asleep: it looks every 100 ms regardless.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use strait_sys::time::Deadline;
use strait_sys::{fork, futex, kill, thread};

use crate::error::{Error, ErrorKind, Result};
use crate::object::commit::domain::{self, Domain};
use crate::object::commit::seat;
use crate::object::layout::{self, BELL_MARK};
use crate::object::spot::Spot;
use crate::object::wait::member::{self, PROBE};
use crate::object::wait::set::Shared;

/// The record whose bell stands for all private objects.
const PRIVATE_BELL: u16 = 0;

/// Wakes the ringers registered with the object.
pub(crate) fn ring(spot: &Spot<'_>) {
    if spot.half_look(BELL_MARK).load(Ordering::SeqCst) == 0 {
        return;
    }
    kill::point("ring.ringing");
    let domain = &spot.object.domain;
    if spot.is_private() {
        strike(domain, PRIVATE_BELL);
        return;
    }
    let mut last = 0;
    for token in member::roster(spot, layout::bells(spot.core()), BELL_MARK) {
        if token != last && !domain.is_dead(token) {
            strike(domain, domain::slot_of(token));
        }
        last = token;
    }
}

fn strike(domain: &Domain, slot: u16) {
    if let Some(bell) = domain.bell(slot) {
        bell.fetch_add(1, Ordering::SeqCst);
        kill::point("ring.struck");
        // Nobody asleep is fine: the number has changed.
        let _ = futex::wake(bell, u32::MAX >> 1);
    }
}

/// A thread that looks after the sets with objects in one domain.
#[derive(Debug)]
pub(crate) struct Ringer {
    domain: Arc<Domain>,
    sets: Mutex<Vec<Weak<Shared>>>,
    seat: Mutex<Option<domain::Seat>>,
    retired: AtomicBool,
}

/// By the fork generation that started them: threads do not survive a fork.
static RINGERS: Mutex<(u32, Vec<Arc<Ringer>>)> = Mutex::new((0, Vec::new()));

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The ringer of that domain, started if there is none.
pub(crate) fn ringer(domain: &Arc<Domain>, set: &Arc<Shared>) -> Result<Arc<Ringer>> {
    let mut ringers = lock(&RINGERS);
    if ringers.0 != fork::generation() {
        *ringers = (fork::generation(), Vec::new());
    }
    ringers
        .1
        .retain(|ringer| !ringer.retired.load(Ordering::SeqCst));
    let known = ringers
        .1
        .iter()
        .find(|ringer| Arc::ptr_eq(&ringer.domain, domain));
    let ringer = match known {
        Some(ringer) => ringer.clone(),
        None => {
            let ringer = start(domain)?;
            ringers.1.push(ringer.clone());
            ringer
        }
    };
    let mut sets = lock(&ringer.sets);
    if !sets.iter().any(|known| known.as_ptr() == Arc::as_ptr(set)) {
        sets.push(Arc::downgrade(set));
    }
    drop(sets);
    Ok(ringer)
}

fn start(domain: &Arc<Domain>) -> Result<Arc<Ringer>> {
    let ringer = Arc::new(Ringer {
        domain: domain.clone(),
        sets: Mutex::default(),
        seat: Mutex::default(),
        retired: AtomicBool::new(false),
    });
    let (ready, seated) = std::sync::mpsc::channel();
    let theirs = ringer.clone();
    thread::spawn_quiet("strait-ringer", move || {
        let seat = if theirs.domain.is_private() {
            Ok(domain::Seat {
                slot: PRIVATE_BELL,
                token: 0,
            })
        } else {
            seat::seat(&theirs.domain)
        };
        let ok = seat.is_ok();
        if let Ok(seat) = &seat {
            *lock(&theirs.seat) = Some(*seat);
        }
        // The starter has gone away only if its own thread is dying.
        let _ = ready.send(seat.map(drop));
        if ok {
            theirs.run();
        }
        theirs.retired.store(true, Ordering::SeqCst);
    })
    .map_err(|errno| Error::kernel(errno, "start thread", "strait-ringer"))?;
    seated.recv().unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Exhausted,
            "start thread",
            "strait-ringer",
        ))
    })?;
    Ok(ringer)
}

impl Ringer {
    /// Enters the ringer into the rosters of the object, so that signals ring it.
    pub(crate) fn attach(&self, spot: &Spot<'_>) -> Result<Option<usize>> {
        if spot.is_private() {
            spot.half(BELL_MARK).fetch_add(1, Ordering::SeqCst);
            return Ok(None);
        }
        let token = lock(&self.seat).map_or(0, |seat| seat.token);
        let entry = member::enter(spot, layout::bells(spot.core()), BELL_MARK, token);
        kill::point("ring.attached");
        entry.map(Some).ok_or_else(|| {
            Error::new(
                ErrorKind::Exhausted,
                "add to set",
                spot.object.handle.full_name(),
            )
            .because(format!("{} sets wait on it already", layout::ROSTER_LEN))
        })
    }

    pub(crate) fn detach(spot: &Spot<'_>, entry: Option<usize>) {
        match entry {
            None => {
                spot.half(BELL_MARK).fetch_sub(1, Ordering::SeqCst);
            }
            Some(entry) => member::leave(spot, layout::bells(spot.core()), entry),
        }
    }

    /// Makes the thread look now, for instance at a new member.
    pub(crate) fn nudge(&self) {
        if let Some(seat) = *lock(&self.seat) {
            strike(&self.domain, seat.slot);
        }
    }

    fn run(&self) {
        let Some(seat) = *lock(&self.seat) else {
            return;
        };
        let Some(bell) = self.domain.bell(seat.slot) else {
            return;
        };
        loop {
            let heard = bell.load(Ordering::SeqCst);
            let sets: Vec<_> = lock(&self.sets).iter().filter_map(Weak::upgrade).collect();
            for set in &sets {
                set.announce(&self.domain);
            }
            drop(sets);
            if self.is_done() {
                return;
            }
            // A signal, a time-out and nonsense are answered alike: by a look.
            let _ = futex::wait(bell, heard, Some(Deadline::after(PROBE)));
        }
    }

    /// No set is left: retire, unless one came while we looked.
    fn is_done(&self) -> bool {
        let _registry = lock(&RINGERS);
        let mut sets = lock(&self.sets);
        sets.retain(|set| set.strong_count() > 0);
        let done = sets.is_empty() && Arc::strong_count(&self.domain) > 0;
        if done {
            self.retired.store(true, Ordering::SeqCst);
        }
        done
    }
}
