//! What participants can do to the simulated domain, and where its words are.

pub(crate) const OBJECTS: usize = 3;
/// Slots 1 to this.
pub(crate) const SLOTS: u16 = 4;
pub(super) const SEATS: usize = SLOTS as usize + 1;
const RECORDS: usize = OBJECTS;
const RECORD: usize = 3;
pub(super) const TICKETS: usize = RECORDS + RECORD * SEATS;
pub(super) const SEQS: usize = TICKETS + ACTORS;
const ENTRIES: usize = SEQS + ACTORS;
pub(super) const WORDS: usize = ENTRIES + 2 * SEATS;
pub(super) const ACTORS: usize = super::explore::ACTORS_MAX;

/// A word's place in the simulated memory.
#[derive(Copy, Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct At(pub(super) usize);

pub(crate) fn object(index: usize) -> At {
    At(index)
}

pub(crate) fn status(slot: u16) -> At {
    At(RECORDS + RECORD * usize::from(slot))
}

/// The ids of the objects that a record's transaction is about, one bit each.
pub(crate) fn list(slot: u16) -> At {
    At(status(slot).0 + 1)
}

/// The entries of a list that is written entry by entry; its count is [`list`].
pub(crate) fn entry(slot: u16, index: usize) -> Option<At> {
    (index < 2).then(|| At(ENTRIES + 2 * usize::from(slot) + index))
}

pub(crate) fn incarnation(slot: u16) -> At {
    At(status(slot).0 + 2)
}

/// A place in the roster of the one auto-reset event of a scenario.
pub(crate) fn ticket(who: usize) -> At {
    At(TICKETS + who)
}

#[derive(Copy, Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Op {
    Load(At),
    Store(At, u64),
    Cas(At, u64, u64),
    /// Writes a record's list, and draws the next sequence number.
    Enlist {
        slot: u16,
        ids: u64,
    },
    /// Draws the next number; the list is written entry by entry.
    Count {
        slot: u16,
        ids: u64,
    },
    /// A store of half a word, or of less order than all others.
    StoreHalf {
        at: At,
        value: u32,
        release: bool,
    },
    /// The same number as before: for a flaw.
    EnlistAgain {
        slot: u16,
        ids: u64,
    },
    /// FUTEX_WAKE_OP: ORs 1 into the status and wakes the object's sleepers, in one step.
    DecideAndWake {
        slot: u16,
        object: usize,
    },
    Decide {
        slot: u16,
    },
    Wake {
        object: usize,
    },
    /// FUTEX_WAIT, in two steps: falls asleep if the low half is as expected, else answers 0.
    Doze {
        object: usize,
        low: u32,
        since: Option<u32>,
    },
    Wakes,
    /// Whether somebody holds the seat's lock.
    Seated(u16),
    /// Only one at a time may sit down there.
    ClaimSeat(u16),
    LockSeat(u16),
    /// The thread's own counter is at least this.
    CountFrom(u64),
    Rise(u16),
    Pause,
    Ends(Ends),
    /// The waiters are counted, to withdraw the releases of those who have gone; that is over.
    Thins,
    Thinned,
    /// A set of the auto-reset event begins, and ends without a change.
    Sets,
    LeavesFull,
    LooksAt(usize),
    Saw {
        object: usize,
        content: u64,
    },
}

/// What an operation says it has done.
#[derive(Copy, Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Ends {
    /// Objects changed, or decisions made.
    pub(crate) decisions: u8,
    /// Taken from each object, as ids.
    pub(crate) taken: u64,
    /// Given to each object, as ids.
    pub(crate) given: u64,
    /// It says that a mutant's last owner died owning it.
    pub(crate) abandoned: bool,
}
