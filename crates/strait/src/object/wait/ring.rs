//! Bells: how a [`Set`](super::Set) of thousands sleeps on one word per domain.
//!
//! A set's objects hold the seat of a *ringer*, one thread of this process per domain, in their
//! rosters; a signal that wakes rings it. A signaller killed between its decision and the ring
//! would leave a ringer asleep: it looks every 100 ms regardless.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use strait_sys::fork::{self, Guarded};
use strait_sys::time::Deadline;
use strait_sys::{futex, kill, thread};

use crate::error::{Error, ErrorKind, Result};
use crate::object::commit::domain::{self, Domain};
use crate::object::commit::seat;
use crate::object::layout::{self, BELL_MARK};
use crate::object::spot::Spot;
use crate::object::wait::member::{self, PROBE};
use crate::object::wait::no_thread;
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
    seat: domain::Seat,
}

/// The ringers that run, and the sets that each looks after.
#[derive(Debug)]
struct Ringers {
    /// The fork generation that they are of: threads do not survive a fork.
    generation: u32,
    known: Vec<(Arc<Ringer>, Vec<Weak<Shared>>)>,
}

static RINGERS: Guarded<Ringers> = Guarded::new(Ringers {
    generation: 0,
    known: Vec::new(),
});

/// The ringer of that domain, started if there is none.
pub(crate) fn ringer(domain: &Arc<Domain>, set: &Arc<Shared>) -> Result<Arc<Ringer>> {
    let set = Arc::downgrade(set);
    join(domain, &set, None).map_or_else(|| start(domain, set), Ok)
}

/// Puts the set into the care of the domain's ringer; `fresh` becomes that if there is none.
fn join(
    domain: &Arc<Domain>,
    set: &Weak<Shared>,
    fresh: Option<&Arc<Ringer>>,
) -> Option<Arc<Ringer>> {
    let mut gone = Vec::new();
    let joined = RINGERS.with(|ringers| {
        if ringers.generation != fork::generation() {
            ringers.generation = fork::generation();
            gone = std::mem::take(&mut ringers.known);
        }
        let mut known = ringers.known.iter_mut();
        match known.find(|(ringer, _)| Arc::ptr_eq(&ringer.domain, domain)) {
            Some((ringer, sets)) => {
                if !sets.iter().any(|known| known.ptr_eq(set)) {
                    sets.push(set.clone());
                }
                Some(ringer.clone())
            }
            None => {
                let fresh = fresh?.clone();
                ringers.known.push((fresh.clone(), vec![set.clone()]));
                Some(fresh)
            }
        }
    });
    // Outside: they may be the last to hold their domains.
    drop(gone);
    joined
}

fn start(domain: &Arc<Domain>, set: Weak<Shared>) -> Result<Arc<Ringer>> {
    let (tell, told) = std::sync::mpsc::channel();
    let domain = domain.clone();
    thread::spawn_quiet("strait-ringer", move || {
        let seat = if domain.is_private() {
            Ok(domain::Seat {
                slot: PRIVATE_BELL,
                token: 0,
            })
        } else {
            seat::seat(&domain)
        };
        let mut mine = None;
        let joined = seat.map(|seat| {
            let fresh = Arc::new(Ringer { domain, seat });
            // Another thread may have started one meanwhile.
            let joined = join(&fresh.domain, &set, Some(&fresh)).unwrap_or_else(|| fresh.clone());
            mine = Arc::ptr_eq(&joined, &fresh).then_some(fresh);
            joined
        });
        // The starter has gone away only if its own thread is dying.
        let _ = tell.send(joined);
        if let Some(ringer) = mine {
            ringer.run();
        }
    })
    .map_err(|errno| no_thread(errno, "strait-ringer"))?;
    told.recv().unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Exhausted,
            "start thread",
            "strait-ringer",
        ))
    })
}

impl Ringer {
    /// Enters the ringer into the rosters of the object, so that signals ring it.
    pub(crate) fn attach(&self, spot: &Spot<'_>) -> Result<Option<usize>> {
        if spot.is_private() {
            spot.half(BELL_MARK).fetch_add(1, Ordering::SeqCst);
            return Ok(None);
        }
        let bells = layout::bells(spot.core());
        let entry = member::enter(spot, bells, BELL_MARK, self.seat.token);
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
        strike(&self.domain, self.seat.slot);
    }

    fn run(&self) {
        let Some(bell) = self.domain.bell(self.seat.slot) else {
            return;
        };
        loop {
            let heard = bell.load(Ordering::SeqCst);
            let Some(sets) = self.sets() else { return };
            for set in &sets {
                set.announce(&self.domain);
            }
            drop(sets);
            // A signal, a time-out and nonsense are answered alike: by a look.
            let _ = futex::wait(bell, heard, Some(Deadline::after(PROBE)));
        }
    }

    /// The sets it looks after. `None`: none is left, and whoever needs a ringer starts another.
    fn sets(&self) -> Option<Vec<Arc<Shared>>> {
        let mut retired = None;
        let sets = RINGERS.with(|ringers| {
            let mut known = ringers.known.iter();
            let at = known.position(|(ringer, _)| std::ptr::eq(&raw const **ringer, self))?;
            let sets = &mut ringers.known[at].1;
            sets.retain(|set| set.strong_count() > 0);
            if sets.is_empty() {
                retired = Some(ringers.known.swap_remove(at));
                return None;
            }
            Some(sets.iter().filter_map(Weak::upgrade).collect())
        });
        // Outside, as in `join`.
        drop(retired);
        sets
    }
}
