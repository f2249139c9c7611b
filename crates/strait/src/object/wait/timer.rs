//! Timers need nobody to run them: whoever looks computes, from the schedule and the clock, how
//! often one has expired, and turns that into READY by one exchange.
//!
//! A schedule is written into a cell of its own before the state word names it, so that a setter
//! killed or stopped between leaves the old schedule whole. A cell belongs to its claimer; the
//! current one is never claimed.
//!
//! Cell: first expiry u64 (ns of CLOCK_MONOTONIC, 0 for never), period u64 (ns, 0 for once), claim
//! u32.

use std::sync::atomic::Ordering;

use strait_sys::kill;
use strait_sys::time::{Deadline, monotonic_ns};

use crate::error::{Error, ErrorKind, Result};
use crate::object::commit::seat;
use crate::object::commit::txn::{self, Pace, Place, Unsettled};
use crate::object::layout::{SCHEDULE, SCHEDULE_SPACING};
use crate::object::spot::Spot;
use crate::object::word::{Rule, SCHEDULES, State, TimerValue};

/// The claim of a cell that was current once.
const USED: u32 = 1;

/// When a timer expires.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Schedule {
    /// First expiry on CLOCK_MONOTONIC in ns; 0 for never.
    pub(crate) first: u64,
    /// Time between expiries in ns; 0 for once.
    pub(crate) period: u64,
}

impl Schedule {
    /// How many expiries there were until `now`, folded into 1..=0xfffff so that it is never
    /// mistaken for none.
    pub(crate) fn elapsed(self, now: u64) -> u32 {
        if self.first == 0 || now < self.first {
            return 0;
        }
        let more = (now - self.first).checked_div(self.period).unwrap_or(0);
        u32::try_from(more % u64::from(TimerValue::FIRED_MASK)).unwrap_or(0) + 1
    }

    pub(crate) fn next_after(self, now: u64) -> Option<Deadline> {
        if self.first == 0 {
            return None;
        }
        if now < self.first {
            return Some(Deadline::from_ns(self.first));
        }
        let passed = (now - self.first).checked_div(self.period)?;
        let next = self
            .period
            .checked_mul(passed + 1)?
            .checked_add(self.first)?;
        Some(Deadline::from_ns(next))
    }
}

/// The schedule that the state names; `None` if a setter was faster.
fn schedule(spot: &Spot<'_>, state: State) -> Option<Schedule> {
    let at = cell_at(TimerValue::of(state.value()).cell);
    let map = &spot.object.map;
    let first = map.look::<u64>(at)?.load(Ordering::SeqCst);
    let period = map.look::<u64>(at + 8)?.load(Ordering::SeqCst);
    let again = TimerValue::of(State(spot.look().load(Ordering::SeqCst)).value());
    let named = TimerValue::of(state.value());
    (again.cell == named.cell && again.generation == named.generation)
        .then_some(Schedule { first, period })
}

fn cell_at(cell: u32) -> usize {
    SCHEDULE + (cell % SCHEDULES) as usize * SCHEDULE_SPACING
}

/// Turns what has expired into READY. Nothing for other kinds.
pub(crate) fn fire(spot: &Spot<'_>, pace: &mut impl Pace) -> std::result::Result<(), Unsettled> {
    if !matches!(spot.rule(), Rule::Timer { .. }) {
        return Ok(());
    }
    loop {
        let state = txn::settled(spot, pace)?;
        let Some(schedule) = schedule(spot, state) else {
            pace.pause()?;
            continue;
        };
        let elapsed = schedule.elapsed(monotonic_ns());
        if elapsed == 0 || elapsed == TimerValue::of(state.value()).fired {
            return Ok(());
        }
        let fired = Rule::fire(state, elapsed);
        if txn::Cell::cas(spot.cell(), state.0, fired.0).is_ok() {
            kill::point("timer.fired");
            return Ok(());
        }
        pace.pause()?;
    }
}

/// When the timer will expire next, if it will.
pub(crate) fn next(spot: &Spot<'_>) -> Option<Deadline> {
    if !matches!(spot.rule(), Rule::Timer { .. }) {
        return None;
    }
    schedule(spot, spot.observe())?.next_after(monotonic_ns())
}

/// Whether it is ready, changing nothing.
pub(crate) fn is_ready(spot: &Spot<'_>) -> bool {
    let state = spot.observe();
    let elapsed = schedule(spot, state).map_or(0, |schedule| schedule.elapsed(monotonic_ns()));
    state.ready() || (elapsed != 0 && elapsed != TimerValue::of(state.value()).fired)
}

/// Writes a schedule into a cell that nobody uses; the state must then be made to name it.
pub(crate) fn write(spot: &Spot<'_>, schedule: Schedule) -> Result<u32> {
    let token = seat::seat(&spot.object.domain)?.token;
    for cell in 0..SCHEDULES {
        if claim(spot, cell, token) == Some(true) {
            kill::point("timer.claimed");
            let at = cell_at(cell);
            let map = &spot.object.map;
            if let (Some(first), Some(period)) = (map.word::<u64>(at), map.word::<u64>(at + 8)) {
                first.store(schedule.first, Ordering::SeqCst);
                period.store(schedule.period, Ordering::SeqCst);
            }
            kill::point("timer.written");
            return Ok(cell);
        }
    }
    Err(
        Error::new(ErrorKind::Busy, "set timer", spot.object.handle.full_name())
            .because("32 threads are setting it at this moment"),
    )
}

fn claim(spot: &Spot<'_>, cell: u32, token: u32) -> Option<bool> {
    let current = || TimerValue::of(spot.observe().value()).cell == cell;
    let word = spot.object.map.word::<u32>(cell_at(cell) + 16)?;
    let found = word.load(Ordering::SeqCst);
    let free = found == 0 || found == USED || found == token || spot.object.domain.is_dead(found);
    if current() || !free {
        return Some(false);
    }
    if word
        .compare_exchange(found, token, Ordering::SeqCst, Ordering::SeqCst)
        .is_err()
    {
        return Some(false);
    }
    // It may have become current between the look and the claim; now it no longer can.
    if current() {
        return Some(false);
    }
    Some(true)
}

/// The cell is named by the state now: it is free again once it no longer is.
pub(crate) fn published(spot: &Spot<'_>, cell: u32) {
    kill::point("timer.published");
    if let Some(word) = spot.object.map.word::<u32>(cell_at(cell) + 16) {
        word.store(USED, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiries_are_counted_and_never_fold_to_none() {
        let once = Schedule {
            first: 100,
            period: 0,
        };
        assert_eq!([99, 100, 10_000].map(|now| once.elapsed(now)), [0, 1, 1]);
        let every = Schedule {
            first: 100,
            period: 10,
        };
        assert_eq!(
            [99, 100, 109, 110, 1100].map(|now| every.elapsed(now)),
            [0, 1, 1, 2, 101]
        );
        let mask = u64::from(TimerValue::FIRED_MASK);
        assert_eq!(every.elapsed(100 + 10 * mask), 1);
        assert_eq!(every.elapsed(99 + 10 * mask), TimerValue::FIRED_MASK);
        assert_eq!(
            Schedule {
                first: 0,
                period: 10
            }
            .elapsed(5),
            0
        );
    }

    #[test]
    fn the_next_expiry_lies_ahead() {
        let every = Schedule {
            first: 100,
            period: 10,
        };
        assert_eq!(every.next_after(5), Some(Deadline::from_ns(100)));
        assert_eq!(every.next_after(100), Some(Deadline::from_ns(110)));
        assert_eq!(
            Schedule {
                first: 100,
                period: 0
            }
            .next_after(100),
            None
        );
        assert_eq!(
            Schedule {
                first: 100,
                period: u64::MAX
            }
            .next_after(200),
            None
        );
    }
}
