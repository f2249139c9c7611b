//! The state word: 64 bits that hold all of an object that waits and signals change.
//!
//! ```text
//! bit  0      READY     an acquire may succeed
//! bit  1      WAITERS   somebody may be asleep on the low half
//! bit  2      LOCKED    marked by a transaction: bits 3..32 name its record and its sequence
//! bits 3..15  slot      of the transaction that marked, or marked last
//! bits 15..32 seq       likewise; left behind as a stamp, so that a sleeper sees each commit
//! bits 32..64 value     by kind, see `Rule`
//! ```
//! Everything here is arithmetic on one word: no memory, no clock, no failure but a limit.

use crate::object::flaw;

/// An acquire may succeed.
pub(crate) const READY: u64 = 1;
/// Somebody may be asleep on the low half.
pub(crate) const WAITERS: u64 = 2;
/// A transaction has marked the word.
pub(crate) const LOCKED: u64 = 4;

const SLOT_SHIFT: u32 = 3;
const SLOT_MASK: u64 = 0xfff;
const SEQ_SHIFT: u32 = 15;
/// A transaction's sequence number, as marks hold it.
pub(crate) const SEQ_MASK: u32 = 0x1_ffff;
const STAMP: u64 = 0xffff_fff8;

/// Most releases that can be pending on an auto-reset event: one per registered waiter, up to this.
pub(crate) const PENDING_MAX: u32 = 0x3ff;

/// How many schedules a timer's file holds; the value names the current one.
pub(crate) const SCHEDULES: u32 = 32;

/// A snapshot of the word.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct State(pub(crate) u64);

/// What a kind's value means, and how acquire and signal change it.
#[derive(Copy, Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Rule {
    /// Manual-reset event. Value: generation, one more at each release of its waiters.
    Manual,
    /// Auto-reset event. Value: pending releases (10 bits), pulses owed to registered waiters
    /// (10), generation of the pulses (12).
    Auto,
    /// Value: the count.
    Semaphore {
        /// The largest count.
        limit: u32,
    },
    /// Value: the owner's token, 0 when free.
    Mutant,
    /// Value: schedule (5 bits), its generation (7), expiries already turned into READY (20).
    Timer {
        /// One waiter takes the expiry (a synchronization timer).
        auto: bool,
    },
}

/// What a transaction does to each word it marked.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Op {
    /// Take it.
    Acquire,
    /// Set an event; at most `cap` releases may be pending.
    Set { cap: u32 },
    /// Reset an event with so many registered waiters.
    Reset { waiters: u32 },
    /// Pulse an event with so many registered waiters.
    Pulse { waiters: u32 },
    /// Give so many units back to a semaphore.
    Release { units: u32 },
    /// Free a mutant.
    Free,
    /// Start a timer on the schedule in this cell.
    Arm { cell: u32 },
    /// Stop a timer, its state unchanged: the cell holds a schedule that never comes.
    Disarm { cell: u32 },
}

/// Whether an acquire may go ahead.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Admission {
    Ready,
    NotReady,
    /// Owned by another thread: ready if that one is dead.
    OwnedBy(u32),
}

/// A signal that would go past the limit.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct AtLimit;

impl State {
    pub(crate) fn new(ready: bool, value: u32) -> Self {
        Self(u64::from(value) << 32 | if ready { READY } else { 0 })
    }

    pub(crate) fn ready(self) -> bool {
        self.0 & READY != 0
    }

    pub(crate) fn waiters(self) -> bool {
        self.0 & WAITERS != 0
    }

    pub(crate) fn locked(self) -> bool {
        self.0 & LOCKED != 0
    }

    pub(crate) fn value(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// What a futex sleeps on.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low half is what is meant"
    )]
    pub(crate) fn low(self) -> u32 {
        self.0 as u32
    }

    pub(crate) fn slot(self) -> u16 {
        (self.0 >> SLOT_SHIFT & SLOT_MASK) as u16
    }

    pub(crate) fn seq(self) -> u32 {
        self.low() >> SEQ_SHIFT
    }

    pub(crate) fn with_waiters(self) -> Self {
        Self(self.0 | WAITERS)
    }

    /// The same content, marked by a transaction.
    pub(crate) fn marked(self, slot: u16, seq: u32) -> Self {
        Self(
            self.0 & !STAMP
                | LOCKED
                | u64::from(slot) << SLOT_SHIFT
                | u64::from(seq & SEQ_MASK) << SEQ_SHIFT,
        )
    }

    /// The same content without the mark; who marked stays behind as a stamp.
    pub(crate) fn unmarked(self) -> Self {
        Self(self.0 & !LOCKED)
    }

    fn put(self, ready: bool, value: u32) -> Self {
        Self(self.0 & 0xffff_fffe | u64::from(value) << 32 | u64::from(ready))
    }

    /// The same with another stamp: a word that was set again after it was taken is not mistaken
    /// for one that was never taken.
    fn restamped(self) -> Self {
        let stamp = (self.0 & STAMP).wrapping_add(1 << SLOT_SHIFT) & STAMP;
        Self(self.0 & !STAMP | stamp)
    }

    /// The same, with its sleepers woken: the waiters' bit is theirs to set again.
    fn woken(self) -> Self {
        Self(self.0 & !WAITERS)
    }
}

/// The parts of an auto-reset event's value.
#[derive(Copy, Clone)]
struct Auto {
    pending: u32,
    pulses: u32,
    generation: u32,
}

impl Auto {
    fn of(value: u32) -> Self {
        Self {
            pending: value & PENDING_MAX,
            pulses: value >> 10 & PENDING_MAX,
            generation: value >> 20,
        }
    }

    fn pack(self) -> u32 {
        self.pending | self.pulses << 10 | (self.generation & 0xfff) << 20
    }
}

/// A timer's value, taken apart.
#[derive(Copy, Clone, Debug)]
pub(crate) struct TimerValue {
    pub(crate) cell: u32,
    pub(crate) generation: u32,
    pub(crate) fired: u32,
}

impl TimerValue {
    pub(crate) const FIRED_MASK: u32 = 0xf_ffff;

    pub(crate) fn of(value: u32) -> Self {
        Self {
            cell: value & 0x1f,
            generation: value >> 5 & 0x7f,
            fired: value >> 12,
        }
    }

    fn pack(self) -> u32 {
        self.cell & 0x1f | (self.generation & 0x7f) << 5 | self.fired << 12
    }
}

impl Rule {
    /// Whether READY alone says that it can be taken, by whomever.
    #[inline]
    pub(crate) fn is_plain(self) -> bool {
        matches!(self, Self::Manual | Self::Auto | Self::Semaphore { .. })
    }

    /// What a registered waiter remembers, to tell later whether it was released by a pulse.
    pub(crate) fn generation(self, state: State) -> u32 {
        match self {
            Self::Manual => state.value(),
            Self::Auto => Auto::of(state.value()).generation,
            _ => 0,
        }
    }

    /// Whether `me` may take it. `since` is the generation at which the caller registered.
    pub(crate) fn admit(self, state: State, me: u32, since: Option<u32>) -> Admission {
        if state.ready() {
            return Admission::Ready;
        }
        let released = since.is_some_and(|since| since != self.generation(state));
        match self {
            Self::Manual if released => Admission::Ready,
            Self::Auto if released && Auto::of(state.value()).pulses > 0 => Admission::Ready,
            Self::Mutant if state.value() == me => Admission::Ready,
            Self::Mutant => Admission::OwnedBy(state.value()),
            _ => Admission::NotReady,
        }
    }

    /// The word after `me` took it. Defined for every content, nonsense included.
    #[inline]
    pub(crate) fn acquire(self, state: State, me: u32) -> State {
        let value = state.value();
        match self {
            Self::Manual => state,
            Self::Auto => {
                let mut auto = Auto::of(value);
                if auto.pending > 0 {
                    auto.pending -= 1;
                } else {
                    auto.pulses = auto.pulses.saturating_sub(1);
                }
                // A setter counts the waiters beside the word.
                let state = if flaw("acquire: the stamp stays") {
                    state
                } else {
                    state.restamped()
                };
                state.put(auto.pending > 0, auto.pack())
            }
            Self::Semaphore { .. } => {
                let count = value.saturating_sub(1);
                state.put(count > 0, count)
            }
            Self::Mutant => state.put(false, me),
            Self::Timer { auto } => state.put(state.ready() && !auto, value),
        }
    }

    /// The word after a signal; `None` where nothing changes.
    pub(crate) fn signal(self, state: State, op: Op) -> Result<Option<State>, AtLimit> {
        let value = state.value();
        let next = match (self, op) {
            (Self::Manual, Op::Set { .. }) => {
                (!state.ready()).then(|| state.put(true, value.wrapping_add(1)).woken())
            }
            (Self::Manual, Op::Reset { .. }) => state.ready().then(|| state.put(false, value)),
            (Self::Manual, Op::Pulse { .. }) if state.ready() => Some(state.put(false, value)),
            (Self::Manual, Op::Pulse { .. }) => {
                Some(state.put(false, value.wrapping_add(1)).woken())
            }
            (Self::Auto, op) => auto_signal(state, op),
            (Self::Semaphore { limit }, Op::Release { units }) => {
                let count = value.checked_add(units).filter(|count| *count <= limit);
                let count = count.ok_or(AtLimit)?;
                (units > 0).then(|| state.put(true, count).woken())
            }
            (Self::Mutant, Op::Free) => Some(state.put(true, 0).woken()),
            (Self::Timer { .. }, Op::Arm { cell }) => {
                Some(state.put(false, rescheduled(value, cell)).woken())
            }
            (Self::Timer { .. }, Op::Disarm { cell }) => {
                Some(state.put(state.ready(), rescheduled(value, cell)).woken())
            }
            _ => None,
        };
        Ok(next)
    }

    /// The word a committed transaction leaves, computed alike by its author and by any helper.
    #[inline]
    pub(crate) fn finish(self, mark: State, op: Op, author: u32) -> State {
        let before = mark.unmarked();
        match op {
            Op::Acquire => self.acquire(before, author),
            _ => self.signal(before, op).ok().flatten().unwrap_or(before),
        }
    }

    /// Whether an auto-reset event holds more than one release: then its waiters must be counted.
    #[inline]
    pub(crate) fn is_crowded(self, state: State) -> bool {
        self == Self::Auto && Auto::of(state.value()).pending > 1
    }

    /// An auto-reset event without the releases whose waiters have gone: one at most is left for
    /// whoever comes. `None` where that is so already.
    pub(crate) fn thinned(self, state: State, waiters: u32) -> Option<State> {
        let mut auto = Auto::of(state.value());
        let (pending, pulses) = (auto.pending.min(waiters.max(1)), auto.pulses.min(waiters));
        if self != Self::Auto || (pending, pulses) == (auto.pending, auto.pulses) {
            return None;
        }
        (auto.pending, auto.pulses) = (pending, pulses);
        Some(state.put(pending > 0, auto.pack()))
    }

    /// An expired timer becomes READY, and remembers how many expiries that covers.
    pub(crate) fn fire(state: State, elapsed: u32) -> State {
        let mut timer = TimerValue::of(state.value());
        timer.fired = elapsed & TimerValue::FIRED_MASK;
        state.put(true, timer.pack())
    }
}

fn rescheduled(value: u32, cell: u32) -> u32 {
    let generation = TimerValue::of(value).generation.wrapping_add(1);
    TimerValue {
        cell,
        generation,
        fired: 0,
    }
    .pack()
}

fn auto_signal(state: State, op: Op) -> Option<State> {
    let mut auto = Auto::of(state.value());
    match op {
        Op::Set { cap } => {
            if auto.pending >= cap.clamp(1, PENDING_MAX) {
                return None;
            }
            auto.pending += 1;
            Some(state.put(true, auto.pack()).woken())
        }
        // Releases already given to waiters that have not run yet stay theirs: they become pulses.
        Op::Reset { waiters } => {
            if auto.pending == 0 {
                return None;
            }
            auto.pulses = (auto.pending + auto.pulses).min(waiters.min(PENDING_MAX));
            auto.pending = 0;
            auto.generation += 1;
            Some(state.put(false, auto.pack()))
        }
        Op::Pulse { waiters } => {
            auto.pulses = (auto.pending + auto.pulses + 1).min(waiters.min(PENDING_MAX));
            auto.pending = 0;
            auto.generation += 1;
            Some(state.put(false, auto.pack()).woken())
        }
        _ => None,
    }
}

impl Op {
    /// Code and argument, as a record holds them.
    pub(crate) fn pack(self) -> (u32, u32) {
        match self {
            Self::Acquire => (0, 0),
            Self::Set { cap } => (1, cap),
            Self::Reset { waiters } => (2, waiters),
            Self::Pulse { waiters } => (3, waiters),
            Self::Release { units } => (4, units),
            Self::Free => (5, 0),
            Self::Arm { cell } => (6, cell),
            Self::Disarm { cell } => (7, cell),
        }
    }

    /// The operation a record holds; codes nobody writes read as an acquire of nothing useful.
    pub(crate) fn unpack(code: u32, argument: u32) -> Self {
        match code {
            1 => Self::Set { cap: argument },
            2 => Self::Reset { waiters: argument },
            3 => Self::Pulse { waiters: argument },
            4 => Self::Release { units: argument },
            5 => Self::Free,
            6 => Self::Arm { cell: argument },
            7 => Self::Disarm { cell: argument },
            _ => Self::Acquire,
        }
    }
}

#[cfg(test)]
mod tests;
