//! An object's state, in types and in words.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use strait_sys::time::monotonic_ns;

use super::file::Found;
use crate::object::commit::domain::look::{Sitter, Table};
use crate::object::layout::{
    FLAG_FILE, FLAG_MANUAL, Header, RECURSION, SCHEDULE, SCHEDULE_SPACING,
};
use crate::object::wait::timer::Schedule;
use crate::object::word::{self, Rule, SCHEDULES, TimerValue};
use crate::object::{Kind, Reset};

/// An object's state. Its words are `set, auto`, `3 of 8`, `owned by 4121/4125 depth 2`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum State {
    /// An event.
    Event {
        /// Whether it is set.
        set: bool,
        /// Whether taking it resets it.
        reset: Reset,
    },
    /// An event pair.
    EventPair {
        /// Whether Low is set.
        low: bool,
        /// Whether High is set.
        high: bool,
    },
    /// A mutant.
    Mutant(Ownership),
    /// A semaphore.
    Semaphore {
        /// Units that can be taken.
        count: u32,
        /// The most there can be.
        limit: u32,
    },
    /// A section.
    Section {
        /// Its length in bytes.
        len: u64,
        /// The file of which it is a section, if it is of one, by the path that its maker left.
        file: Option<PathBuf>,
    },
    /// A timer.
    Timer {
        /// Whether it has expired and was not taken.
        ready: bool,
        /// Time until its next expiry, if it is set.
        due: Option<Duration>,
        /// Time between expiries, if it is periodic.
        period: Option<Duration>,
        /// Whether taking it resets it.
        reset: Reset,
    },
}

/// Whose a mutant is.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Ownership {
    /// Nobody's.
    Free,
    /// Nobody's: its last owner died owning it, and nobody has acquired it since.
    Abandoned,
    /// Somebody's.
    Owned {
        /// Process and thread; `None` if this process cannot tell who, or whether it still lives.
        by: Option<(u32, u32)>,
        /// How often it must be released.
        depth: u32,
    },
}

/// Whether the section is one over a file, whose description follows the header.
pub(super) fn over_file(header: &Header) -> bool {
    header.kind == Kind::Section && header.flags & FLAG_FILE != 0
}

/// The state of an object, with what the commit table of its namespace says of it.
pub(super) fn state(found: &Found, table: Option<&Table>) -> State {
    let header = &found.header;
    let manual = header.flags & FLAG_MANUAL != 0;
    let reset = if manual { Reset::Manual } else { Reset::Auto };
    let flag = if manual { Rule::Manual } else { Rule::Auto };
    let settled = |core: usize, rule| {
        let state = word::State(header.states[core]);
        match table {
            // An object that outlived its table names records of another one.
            Some(table) if table.id() == header.domain => table.settle(state, rule),
            _ => state.unmarked(),
        }
    };
    match header.kind {
        Kind::Event => State::Event {
            set: settled(0, flag).ready(),
            reset,
        },
        Kind::EventPair => State::EventPair {
            low: settled(0, Rule::Auto).ready(),
            high: settled(1, Rule::Auto).ready(),
        },
        Kind::Mutant => State::Mutant(ownership(found, table, settled(0, Rule::Mutant))),
        Kind::Semaphore => {
            let limit = u32::try_from(header.limit).unwrap_or(u32::MAX);
            State::Semaphore {
                count: settled(0, Rule::Semaphore { limit }).value(),
                limit,
            }
        }
        Kind::Section => State::Section {
            len: header.limit,
            file: found
                .backing
                .get(16..)
                .filter(|path| !path.is_empty())
                .map(|path| PathBuf::from(OsStr::from_bytes(path))),
        },
        Kind::Timer => timer(found, settled(0, Rule::Timer { auto: !manual }), reset),
    }
}

fn ownership(found: &Found, table: Option<&Table>, state: word::State) -> Ownership {
    if state.ready() {
        return Ownership::Free;
    }
    let depth = found.half(crate::object::layout::CORE + RECURSION).max(1);
    let table = table.filter(|table| table.id() == found.header.domain);
    match table.and_then(|table| table.sitter(state.value())) {
        Some(Sitter::Living(pid, tid)) => Ownership::Owned {
            by: Some((pid, tid)),
            depth,
        },
        Some(Sitter::Dead) => Ownership::Abandoned,
        None => Ownership::Owned { by: None, depth },
    }
}

fn timer(found: &Found, state: word::State, reset: Reset) -> State {
    let value = TimerValue::of(state.value());
    let cell = SCHEDULE + (value.cell % SCHEDULES) as usize * SCHEDULE_SPACING;
    let schedule = Schedule {
        first: found.number(cell),
        period: found.number(cell + 8),
    };
    let now = monotonic_ns();
    let elapsed = schedule.elapsed(now);
    State::Timer {
        ready: state.ready() || (elapsed != 0 && elapsed != value.fired),
        due: schedule
            .next_after(now)
            .map(|due| Duration::from_nanos(due.ns().saturating_sub(now))),
        period: (schedule.first != 0 && schedule.period != 0)
            .then(|| Duration::from_nanos(schedule.period)),
        reset,
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = |set: bool| if set { "set" } else { "reset" };
        let word = |reset: &Reset| match reset {
            Reset::Manual => "manual",
            Reset::Auto => "auto",
        };
        match self {
            Self::Event { set: is, reset } => write!(f, "{}, {}", set(*is), word(reset)),
            Self::EventPair { low, high } => {
                write!(f, "low {}, high {}", set(*low), set(*high))
            }
            Self::Mutant(ownership) => write!(f, "{ownership}"),
            Self::Semaphore { count, limit } => write!(f, "{count} of {limit}"),
            Self::Section { len, file: None } => write!(f, "{len} bytes"),
            Self::Section {
                len,
                file: Some(file),
            } => {
                let file = file.display().to_string();
                write!(f, "{len} bytes of {}", file.escape_debug())
            }
            Self::Timer {
                ready,
                due,
                period,
                reset,
            } => {
                match (ready, due) {
                    (true, None) => f.write_str("expired")?,
                    (true, Some(due)) => write!(f, "expired, due in {}", seconds(*due))?,
                    (false, Some(due)) => write!(f, "due in {}", seconds(*due))?,
                    (false, None) => f.write_str("not set")?,
                }
                if let Some(period) = period {
                    write!(f, ", every {}", seconds(*period))?;
                }
                write!(f, ", {}", word(reset))
            }
        }
    }
}

impl fmt::Display for Ownership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Free => f.write_str("free"),
            Self::Abandoned => f.write_str("abandoned"),
            Self::Owned { by: None, depth } => write!(f, "owned, depth {depth}"),
            Self::Owned {
                by: Some((pid, tid)),
                depth,
            } => write!(f, "owned by {pid}/{tid} depth {depth}"),
        }
    }
}

/// A duration as a person reads it, cut off, not rounded: in milliseconds below a second.
pub(super) fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 0.01 {
        format!("{:.3}ms", seconds * 1000.0)
    } else if seconds < 1.0 {
        format!("{}ms", duration.as_millis())
    } else if duration.as_secs() < 600 && duration.subsec_millis() >= 100 {
        // A tenth of a second is what changes while one reads.
        format!("{}.{}s", duration.as_secs(), duration.subsec_millis() / 100)
    } else {
        format!("{}s", duration.as_secs())
    }
}
