//! A simulated session: the words of one direction, two bells, and processors that keep their
//! stores to themselves for a while.
//!
//! A store lingers with its author, who sees it, until it drains: by itself at any later moment, at
//! its author's next fence, at a heavy fence of anybody, or when the author enters the kernel. With
//! [`Memory::Ordered`] stores drain in order, as on x86; with [`Memory::Loose`] those of no order
//! drain when they like, a release only after everything before it, and what an exchange wrote
//! may be seen late too. Loads happen in order.

use super::super::layout::UNIT;
use crate::object::commit::tests::explore::{ACTORS_MAX, Share, World};

/// A word's place.
#[derive(Copy, Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct At(usize);

pub(crate) const HEAD: At = At(0);
pub(crate) const TAIL: At = At(1);
pub(crate) const POSITION: At = At(2);
/// The writer's word for: it sends no more.
pub(crate) const CLOSED: At = At(3);
/// The reader's word for: it reads no more.
pub(crate) const DEAF: At = At(4);

/// The side that writes records, and the one that reads them.
#[derive(Copy, Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Side {
    Writer,
    Reader,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Writer => Self::Reader,
            Self::Reader => Self::Writer,
        }
    }
}

pub(crate) fn sleeps(side: Side) -> At {
    At(5 + side as usize)
}

pub(crate) fn lean(side: Side) -> At {
    At(7 + side as usize)
}

pub(crate) fn bell(side: Side) -> At {
    At(9 + side as usize)
}

/// Whether that side knows that the other is gone.
pub(crate) fn gone(side: Side) -> At {
    At(11 + side as usize)
}

/// A word of a ring of that many bytes.
pub(crate) fn ring(at: u64, capacity: u64) -> At {
    At(RING + (at % capacity / UNIT) as usize)
}

const RING: usize = 13;
const RING_MAX: usize = 8;
const WORDS: usize = RING + RING_MAX;

/// What a participant remembers between two operations.
pub(crate) const KEPT: usize = 6;
/// Stores that may linger at a time; one more drains the first.
const LINGER_MAX: usize = 6;

#[derive(Copy, Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Memory {
    Ordered,
    Loose,
}

/// What a sleeper waits for.
#[derive(Copy, Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Awaits {
    /// A record beyond that position.
    Record(u64),
    /// A record beyond what the owner of the end has taken.
    Arrival,
    /// Room for so many bytes behind that position.
    Room { head: u64, span: u64 },
}

impl Awaits {
    fn side(self) -> Side {
        match self {
            Self::Record(_) | Self::Arrival => Side::Reader,
            Self::Room { .. } => Side::Writer,
        }
    }
}

#[derive(Copy, Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Op {
    Load(At),
    Store {
        at: At,
        value: u64,
        release: bool,
    },
    /// Adds 1 to a word of 32 bits, in one step; what it was.
    Add(At),
    Fence,
    /// membarrier(2).
    HeavyFence,
    /// FUTEX_WAIT on the side's bell, in two steps: falls asleep if it is as expected, else 0.
    Doze {
        bell: u64,
        awaits: Awaits,
    },
    /// 1: was rung.
    Wakes,
    /// FUTEX_WAKE of all on the side's bell.
    Wake(Side),
    /// Happens when the participant has died.
    Dies(usize),
    Keep(usize, u64),
    Recall(usize),
    /// How far the reader is, where nobody else looks.
    Note(u64),
    /// The other side has been told of everything published.
    Told,
    Took(u64),
    /// There is nothing more to come.
    Ended,
    /// What never happens between two that keep to the protocol.
    Wrong(&'static str),
}

#[derive(Copy, Clone, Debug, Default, Eq, Hash, PartialEq)]
enum Sleep {
    #[default]
    Awake,
    Asleep(Awaits),
    Woken {
        rung: bool,
    },
}

#[derive(Copy, Clone, Debug, Eq, Hash, PartialEq)]
enum Lingers {
    Store {
        at: At,
        value: u64,
        release: bool,
    },
    /// It counts, but others still load what was there before.
    Added {
        at: At,
        before: u64,
    },
}

impl Lingers {
    fn at(self) -> At {
        match self {
            Self::Store { at, .. } | Self::Added { at, .. } => at,
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq)]
pub(crate) struct Session {
    words: [u64; WORDS],
    ring_words: usize,
    pub(crate) memory: Memory,
    lingering: [[Option<Lingers>; LINGER_MAX]; ACTORS_MAX],
    sleeping: [Sleep; ACTORS_MAX],
    /// How often each may wake for nothing.
    pub(crate) false_wakes: [u8; ACTORS_MAX],
    kept: [[u64; KEPT]; ACTORS_MAX],
    /// Which side is still to be told of what each has published.
    pending: [Option<Side>; ACTORS_MAX],
    dead: [bool; ACTORS_MAX],
    /// The dead of whom a side has not been told.
    unmourned: [bool; 2],
    taken: u64,
}

impl Session {
    /// An empty ring of that many bytes, where so many records were taken already.
    pub(crate) fn new(capacity: u64) -> Self {
        let ring_words = usize::try_from(capacity / UNIT).expect("a small ring");
        assert!(ring_words <= RING_MAX);
        let mut words = [0; WORDS];
        for side in [Side::Writer, Side::Reader] {
            // The next one wraps.
            words[sleeps(side).0] = u64::from(u32::MAX);
            words[bell(side).0] = u64::from(u32::MAX);
        }
        Self {
            words,
            ring_words,
            memory: Memory::Ordered,
            lingering: [[None; LINGER_MAX]; ACTORS_MAX],
            sleeping: [Sleep::Awake; ACTORS_MAX],
            false_wakes: [0; ACTORS_MAX],
            kept: [[0; KEPT]; ACTORS_MAX],
            pending: [None; ACTORS_MAX],
            dead: [false; ACTORS_MAX],
            unmourned: [false; 2],
            taken: 0,
        }
    }

    pub(crate) fn set(&mut self, at: At, value: u64) {
        self.words[at.0] = value;
    }

    pub(crate) fn get(&self, at: At) -> u64 {
        self.words[at.0]
    }

    pub(crate) fn keep(&mut self, who: usize, values: [u64; KEPT]) {
        self.kept[who] = values;
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.ring_words as u64 * UNIT
    }

    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    fn push(&mut self, who: usize, entry: Lingers) {
        let queue = &mut self.lingering[who];
        if queue.iter().all(Option::is_some) {
            self.drain(who, 0);
        }
        let queue = &mut self.lingering[who];
        let free = queue.iter_mut().find(|place| place.is_none());
        *free.expect("one was drained") = Some(entry);
    }

    /// Has the `nth` lingering store seen.
    fn drain(&mut self, who: usize, nth: usize) {
        let queue = &mut self.lingering[who];
        if let Some(Lingers::Store { at, value, .. }) = queue[nth] {
            self.words[at.0] = value;
        }
        queue[nth..].rotate_left(1);
        queue[LINGER_MAX - 1] = None;
    }

    fn flush(&mut self, who: usize) {
        while self.lingering[who][0].is_some() {
            self.drain(who, 0);
        }
    }

    fn may_drain(&self, who: usize, nth: usize) -> bool {
        let queue = &self.lingering[who];
        let Some(entry) = queue[nth] else {
            return false;
        };
        let overtakes = self.memory == Memory::Loose
            && matches!(entry, Lingers::Store { release: false, .. })
            && queue[..nth]
                .iter()
                .flatten()
                .all(|before| before.at() != entry.at());
        nth == 0 || overtakes
    }

    fn load(&self, who: usize, at: At) -> u64 {
        let own = self.lingering[who].iter().flatten().rev();
        let mut own = own.filter(|entry| entry.at() == at);
        match own.next() {
            Some(Lingers::Store { value, .. }) => return *value,
            Some(Lingers::Added { .. }) => return self.words[at.0],
            None => {}
        }
        let all = self.lingering.iter().flatten().flatten();
        let hidden = all.filter_map(|entry| match entry {
            Lingers::Added { at: added, before } if *added == at => Some(*before),
            _ => None,
        });
        hidden.into_iter().next().unwrap_or(self.words[at.0])
    }

    /// What its author has stored there, whoever sees it.
    fn newest(&self, at: At) -> u64 {
        let all = self
            .lingering
            .iter()
            .flat_map(|queue| queue.iter().rev().flatten());
        let mut stored = all.filter_map(|entry| match entry {
            Lingers::Store {
                at: stored, value, ..
            } if *stored == at => Some(*value),
            _ => None,
        });
        stored.next().unwrap_or(self.words[at.0])
    }

    /// Whoever acts on a word by more than a load or store sees all there is of it, for good.
    fn see(&mut self, at: At) {
        let late = |entry: &Option<Lingers>| entry.is_some_and(|entry| entry.at() == at);
        for who in 0..ACTORS_MAX {
            if self.lingering[who].iter().any(late) {
                self.flush(who);
            }
        }
    }

    fn add(&mut self, who: usize, at: At) -> u64 {
        self.flush(who);
        self.see(at);
        let before = self.words[at.0];
        self.words[at.0] = u64::from((before as u32).wrapping_add(1));
        if self.memory == Memory::Loose {
            self.push(who, Lingers::Added { at, before });
        }
        before
    }

    /// Which side is to be told that the word has changed.
    fn concerns(at: At) -> Option<Side> {
        let side = match at {
            HEAD | CLOSED => Side::Reader,
            TAIL | DEAF => Side::Writer,
            _ => {
                let of = [Side::Writer, Side::Reader];
                return of.into_iter().find(|side| gone(*side) == at);
            }
        };
        Some(side)
    }

    fn is_there(&self, awaits: Awaits) -> bool {
        let said = |at| self.newest(at) != 0;
        match awaits {
            Awaits::Record(position) => {
                self.newest(HEAD) != position || said(CLOSED) || said(gone(Side::Reader))
            }
            Awaits::Arrival => {
                self.newest(HEAD) != self.newest(POSITION)
                    || said(CLOSED)
                    || said(gone(Side::Reader))
            }
            Awaits::Room { head, span } => {
                let used = head.wrapping_sub(self.newest(TAIL));
                self.capacity() - used >= span || said(DEAF) || said(gone(Side::Writer))
            }
        }
    }

    fn perform(&mut self, who: usize, op: &Op) -> Result<Option<u64>, String> {
        match *op {
            Op::Load(at) => return Ok(Some(self.load(who, at))),
            Op::Store { at, value, release } => {
                self.pending[who] = Self::concerns(at).or(self.pending[who]);
                self.push(who, Lingers::Store { at, value, release });
            }
            Op::Add(at) => {
                self.pending[who] = Self::concerns(at).or(self.pending[who]);
                return Ok(Some(self.add(who, at)));
            }
            Op::Fence => self.flush(who),
            Op::HeavyFence => (0..ACTORS_MAX).for_each(|who| self.flush(who)),
            Op::Doze {
                bell: expected,
                awaits,
            } => {
                self.flush(who);
                self.see(bell(awaits.side()));
                if self.words[bell(awaits.side()).0] != expected {
                    return Ok(Some(0));
                }
                self.sleeping[who] = Sleep::Asleep(awaits);
                return Ok(Some(1));
            }
            Op::Wakes => {
                let Sleep::Woken { rung } = self.sleeping[who] else {
                    return Ok(None);
                };
                self.sleeping[who] = Sleep::Awake;
                return Ok(Some(rung.into()));
            }
            Op::Wake(side) => {
                self.flush(who);
                for sleep in &mut self.sleeping {
                    if matches!(sleep, Sleep::Asleep(awaits) if awaits.side() == side) {
                        *sleep = Sleep::Woken { rung: true };
                    }
                }
            }
            Op::Dies(other) if !self.dead[other] => return Ok(None),
            Op::Dies(_) => {}
            Op::Keep(nth, value) => self.kept[who][nth] = value,
            Op::Recall(nth) => return Ok(Some(self.kept[who][nth])),
            Op::Told => {
                let told = self.pending[who].take();
                // Only who heard of a death tells that side of anything but records and room.
                if let Some(side) = told.filter(|side| self.newest(gone(*side)) != 0) {
                    self.unmourned[side as usize] = false;
                }
            }
            Op::Note(position) => self.words[POSITION.0] = position,
            Op::Wrong(why) => return Err(why.into()),
            Op::Took(value) => {
                if value != self.taken {
                    return Err(format!("took {value:#x} as record {}", self.taken));
                }
                self.taken += 1;
            }
            Op::Ended => {
                if self.newest(HEAD) != self.newest(POSITION) {
                    return Err("ends before everything published was taken".into());
                }
            }
        }
        Ok(Some(0))
    }
}

impl World for Session {
    type Op = Op;
    const DRIFTS: usize = LINGER_MAX + 1;

    fn share(&self, op: &Op) -> Share {
        match op {
            // It is seen when it drains.
            Op::Store { .. } => Share::Silent,
            Op::Keep(..) | Op::Recall(_) | Op::Note(_) => Share::Silent,
            Op::Told | Op::Took(_) | Op::Ended | Op::Wrong(_) => Share::Silent,
            _ => Share::Step,
        }
    }

    fn apply(&mut self, who: usize, op: &Op) -> Result<Option<u64>, String> {
        self.perform(who, op)
    }

    fn drift(&mut self, who: usize, nth: usize) -> Result<bool, String> {
        if nth == LINGER_MAX {
            let is_asleep = matches!(self.sleeping[who], Sleep::Asleep(_));
            if !is_asleep || self.false_wakes[who] == 0 {
                return Ok(false);
            }
            self.false_wakes[who] -= 1;
            self.sleeping[who] = Sleep::Woken { rung: false };
            return Ok(true);
        }
        if !self.may_drain(who, nth) {
            return Ok(false);
        }
        self.drain(who, nth);
        Ok(true)
    }

    fn bury(&mut self, who: usize) {
        // The kernel hangs up after that.
        self.flush(who);
        self.sleeping[who] = Sleep::Awake;
        self.pending[who] = None;
        self.dead[who] = true;
        if let Some(side) = [Side::Reader, Side::Writer].get(who) {
            self.unmourned[*side as usize] = true;
        }
    }

    fn check(&self) -> Result<(), String> {
        for (who, sleep) in self.sleeping.iter().enumerate() {
            let Sleep::Asleep(awaits) = *sleep else {
                continue;
            };
            let is_to_be_told = self.pending.contains(&Some(awaits.side()))
                || self.unmourned[awaits.side() as usize];
            if self.is_there(awaits) && !is_to_be_told {
                return Err(format!(
                    "{who} sleeps beside what it waits for, and nobody rings"
                ));
            }
        }
        Ok(())
    }
}
