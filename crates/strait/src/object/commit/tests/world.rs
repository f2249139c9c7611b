//! A simulated domain: objects, records, seats and a futex, and what must be true of them.
//!
//! What an object *contains* is its word, or, while it carries the mark of a decided transaction,
//! what that transaction makes of it. The central promise: contents change in two kinds of step
//! only, when a transaction is decided (then every object that it enlisted changes, together, each
//! by the rule) and when an unmarked word is exchanged for another. Every other step of anybody,
//! mark, finish, unmark, overrule, leaves the contents of all objects as they were. So each
//! operation takes effect at one moment or not at all, whoever dies or stops wherever.

use super::explore::{Share, World};
use super::op::{
    ACTORS, At, Ends, OBJECTS, Op, SEATS, SEQS, SLOTS, TICKETS, WORDS, incarnation, list, object,
    status,
};
use crate::object::commit::domain;
use crate::object::commit::txn;
use crate::object::word::{Admission, PENDING_MAX, READY, Rule, State};

const CONTENT: u64 = !0xffff_ffff | READY;

#[derive(Copy, Clone, Debug, Default, Eq, Hash, PartialEq)]
enum Sleep {
    #[default]
    Awake,
    Asleep {
        object: usize,
        since: Option<u32>,
    },
    Woken,
}

/// The memory, the kernel's part, and what is remembered to judge.
#[derive(Clone, Debug, Hash, PartialEq)]
pub(crate) struct Domain {
    words: [u64; WORDS],
    rules: [Rule; OBJECTS],
    sleeps: [Sleep; ACTORS],
    /// What each record's present transaction is about, and what its next one will be.
    covers: [(u64, u64); SEATS],
    /// Whether the store of a status may linger until its author stores or exchanges next, or
    /// longer than stores of no order.
    pub(crate) weak: bool,
    lingering: [Option<(At, u64)>; ACTORS],
    /// Somebody may only look, and cannot remove a mark that is in the way.
    pub(crate) lookers: bool,
    /// Who sits where.
    seats: [Option<usize>; SEATS],
    /// Who sits or is about to.
    claims: [Option<usize>; SEATS],
    /// Decisions since the present operation began.
    pub(crate) decisions: [u8; ACTORS],
    /// What finished operations say to have taken and given.
    pub(crate) balance: [i8; OBJECTS],
    /// The object looked at, and the contents it had since.
    looks: [Option<(usize, u64)>; ACTORS],
    /// Whether an auto-reset event has been full at some moment of the present set.
    full: [Option<bool>; ACTORS],
    /// The fewest waiters since the present thinning began.
    thins: [Option<u32>; ACTORS],
    /// Tokens of the dead.
    graves: [u32; 2],
    /// Whether the present operation took a mutant from a dead owner.
    inherited: [bool; ACTORS],
    pub(crate) abandonments: u8,
}

fn is_status(at: At) -> bool {
    (1..=SLOTS).any(|slot| status(slot) == at)
}

impl Domain {
    /// Participant `n` sits in seat `n + 1`, incarnation 1.
    pub(crate) fn new(objects: [(Rule, State); OBJECTS]) -> Self {
        let mut words = [0; WORDS];
        for (index, (_, state)) in objects.iter().enumerate() {
            words[object(index).0] = state.0;
        }
        let mut seats = [None; SEATS];
        for slot in 1..=SLOTS {
            words[status(slot).0] = 2;
            words[incarnation(slot).0] = 1;
            seats[usize::from(slot)] = Some(usize::from(slot) - 1);
        }
        Self {
            words,
            rules: objects.map(|(rule, _)| rule),
            sleeps: [Sleep::Awake; ACTORS],
            covers: [(0, 0); SEATS],
            weak: false,
            lingering: [None; ACTORS],
            lookers: false,
            seats,
            claims: seats,
            decisions: [0; ACTORS],
            balance: [0; OBJECTS],
            looks: [None; ACTORS],
            full: [None; ACTORS],
            thins: [None; ACTORS],
            graves: [0; 2],
            inherited: [false; ACTORS],
            abandonments: 0,
        }
    }

    pub(crate) fn set(&mut self, at: At, value: u64) {
        self.words[at.0] = value;
    }

    /// The participant's next transaction gets the number after this.
    pub(crate) fn count_from(&mut self, who: usize, seq: u64) {
        self.words[SEQS + who] = seq;
    }

    /// What the object contains: see the module.
    pub(crate) fn content(&self, index: usize) -> State {
        let word = State(self.words[index]);
        if !word.locked() {
            return word;
        }
        let slot = word.slot();
        let record = self.words[status(slot).0];
        let enlisted = self.covers[usize::from(slot)].0 & 1 << index != 0;
        if txn::decided(record, word.seq()) && enlisted {
            let token = domain::token(slot, self.words[incarnation(slot).0]);
            self.rules[index].finish(word, txn::op_of(record), token)
        } else {
            word.unmarked()
        }
    }

    fn contents(&self) -> [u64; OBJECTS] {
        std::array::from_fn(|index| self.content(index).0 & CONTENT)
    }

    fn committed(&self) -> u8 {
        (1..=SLOTS)
            .filter(|slot| txn::is_committed(self.words[status(*slot).0]))
            .fold(0, |slots, slot| slots | 1 << slot)
    }

    fn owner_is_dead(&self, token: u32) -> bool {
        token != 0 && self.graves.contains(&token)
    }

    /// How many living waiters the auto-reset event has.
    fn registered(&self) -> u32 {
        let registered = self.words[TICKETS..TICKETS + ACTORS]
            .iter()
            .filter(|token| {
                let token = u32::try_from(**token).unwrap_or(0);
                token != 0 && self.seats[usize::from(domain::slot_of(token))].is_some()
            });
        u32::try_from(registered.count()).expect("few participants")
    }

    /// Whether the event has a release pending for each registered waiter, or one if there is none.
    fn is_full(&self) -> bool {
        self.content(0).value() & PENDING_MAX >= self.registered().max(1)
    }

    /// Releases may be withdrawn down to as many as there were waiters at some moment.
    fn judge_thinning(&self, who: usize, was: State, is: State) -> Result<(), String> {
        let waiters = self.thins[who].unwrap_or(u32::MAX);
        let parts = |state: State| {
            [
                state.value() & PENDING_MAX,
                state.value() >> 10 & PENDING_MAX,
            ]
        };
        let least = [waiters.max(1), waiters];
        let kept = parts(is).into_iter().zip(parts(was)).zip(least);
        if kept
            .into_iter()
            .all(|((is, was), least)| is >= was.min(least))
        {
            return Ok(());
        }
        Err("a release was withdrawn though its waiter was there all the while".into())
    }

    /// A decision must hold everything that it enlisted, and be allowed.
    fn judge_decision(&self, slot: u16, before: &[u64; OBJECTS]) -> Result<(), String> {
        let record = self.words[status(slot).0];
        for index in (0..OBJECTS).filter(|index| self.covers[usize::from(slot)].0 & 1 << index != 0)
        {
            let word = State(self.words[index]);
            if !word.locked() || word.slot() != slot || word.seq() != txn::seq_of(record) {
                return Err(format!("decided without holding object {index}"));
            }
            self.judge_change(index, State(before[index]), self.content(index))?;
        }
        Ok(())
    }

    /// What an object became must be what the rule allows.
    fn judge_change(&self, index: usize, was: State, is: State) -> Result<(), String> {
        let allowed = match self.rules[index] {
            Rule::Semaphore { limit } => {
                is.value().abs_diff(was.value()) == 1
                    && is.value() <= limit
                    && is.ready() == (is.value() > 0)
            }
            // Taken from nobody or from the dead, or freed.
            Rule::Mutant => is.ready() || was.ready() || self.owner_is_dead(was.value()),
            Rule::Manual | Rule::Auto | Rule::Timer { .. } => true,
        };
        if allowed {
            return Ok(());
        }
        Err(format!(
            "object {index} cannot become {is:x?} from {was:x?}"
        ))
    }

    /// Holds a step against the central promise.
    fn judge(
        &mut self,
        who: usize,
        op: &Op,
        before: &[u64; OBJECTS],
        committed: u8,
    ) -> Result<(), String> {
        let now = self.contents();
        let decided = self.committed() & !committed;
        if decided != 0 {
            let slot = u16::try_from(decided.trailing_zeros()).unwrap_or(0);
            if self.seats[usize::from(slot)] != Some(who) {
                return Err("decided for another".into());
            }
            self.judge_decision(slot, before)?;
            self.decisions[who] += 1;
        } else if now != *before && self.thins[who].is_some() {
            self.judge_thinning(who, State(before[0]), State(now[0]))?;
        } else if now != *before {
            let direct = matches!(op, Op::Cas(at, old, new) if at.0 < OBJECTS
                && !State(*old).locked() && !State(*new).locked());
            if !direct {
                return Err(format!(
                    "changes what objects contain: {before:x?} to {now:x?}"
                ));
            }
            for index in (0..OBJECTS).filter(|index| now[*index] != before[*index]) {
                self.judge_change(index, State(before[index]), State(now[index]))?;
            }
            self.decisions[who] += 1;
        }
        for index in (0..OBJECTS).filter(|index| now[*index] != before[*index]) {
            self.note_abandonment(who, index, State(before[index]));
        }
        for look in self.looks.iter_mut().flatten() {
            look.1 |= 1 << (now[look.0] >> 32 & 0x3f);
        }
        if self.rules[0] == Rule::Auto {
            let (is_full, registered) = (self.is_full(), self.registered());
            for full in self.full.iter_mut().flatten() {
                *full |= is_full;
            }
            for fewest in self.thins.iter_mut().flatten() {
                *fewest = registered.min(*fewest);
            }
        }
        Ok(())
    }

    fn note_abandonment(&mut self, who: usize, index: usize, was: State) {
        if self.rules[index] != Rule::Mutant {
            return;
        }
        let dead = !was.ready() && self.owner_is_dead(was.value());
        if dead {
            self.inherited[who] = true;
        }
    }

    fn end(&mut self, who: usize, ends: Ends) -> Result<(), String> {
        self.full[who] = None;
        self.thins[who] = None;
        let decisions = std::mem::take(&mut self.decisions[who]);
        let inherited = std::mem::take(&mut self.inherited[who]);
        if decisions != ends.decisions {
            return Err(format!(
                "says that it changed something {} times; it did {decisions} times",
                ends.decisions
            ));
        }
        if inherited != ends.abandoned {
            return Err("abandonment goes unsaid, or is made up".into());
        }
        self.abandonments += u8::from(ends.abandoned);
        for (index, balance) in self.balance.iter_mut().enumerate() {
            *balance += i8::from(ends.given & 1 << index != 0);
            *balance -= i8::from(ends.taken & 1 << index != 0);
        }
        Ok(())
    }

    fn wake(&mut self, object: usize) {
        for sleep in &mut self.sleeps {
            if matches!(sleep, Sleep::Asleep { object: on, .. } if *on == object) {
                *sleep = Sleep::Woken;
            }
        }
    }

    fn store(&mut self, at: At, value: u64) {
        self.words[at.0] = value;
        let record = (1..=SLOTS).find(|slot| status(*slot) == at);
        // A transaction begins: the record is about its objects from now on.
        if let Some(slot) = record.filter(|_| value & 3 == 0) {
            let covers = &mut self.covers[usize::from(slot)];
            covers.0 = covers.1;
        }
    }

    fn store_or_linger(&mut self, who: usize, at: At, value: u64) {
        if self.weak && is_status(at) {
            self.lingering[who] = Some((at, value));
        } else {
            self.store(at, value);
        }
    }

    /// Its own store is what a participant sees, whoever else does not yet.
    fn load(&self, who: usize, at: At) -> u64 {
        let own = self.lingering[who].filter(|(stored, _)| *stored == at);
        own.map_or(self.words[at.0], |(_, value)| value)
    }

    fn perform(&mut self, who: usize, op: &Op) -> Option<u64> {
        match *op {
            Op::Load(at) => return Some(self.load(who, at)),
            Op::Store(at, value) => self.store_or_linger(who, at, value),
            Op::StoreHalf { at, value, .. } => self.words[at.0] = value.into(),
            Op::Count { slot, ids } => {
                self.covers[usize::from(slot)].1 = ids;
                self.words[SEQS + who] += 1;
                return Some(self.words[SEQS + who]);
            }
            Op::Cas(at, old, new) => {
                let found = self.words[at.0];
                if found == old {
                    self.words[at.0] = new;
                }
                return Some(found);
            }
            Op::Enlist { slot, ids } => {
                self.covers[usize::from(slot)].1 = ids;
                self.words[list(slot).0] = ids;
                self.words[SEQS + who] += 1;
                return Some(self.words[SEQS + who]);
            }
            Op::EnlistAgain { slot, ids } => {
                self.covers[usize::from(slot)].1 = ids;
                self.words[list(slot).0] = ids;
                return Some(self.words[SEQS + who]);
            }
            Op::DecideAndWake { slot, object } => {
                self.words[status(slot).0] |= 1;
                self.wake(object);
            }
            Op::Decide { slot } => self.words[status(slot).0] |= 1,
            Op::Wake { object } => self.wake(object),
            Op::Doze { object, low, since } => {
                if State(self.words[object]).low() != low {
                    return Some(0);
                }
                self.sleeps[who] = Sleep::Asleep { object, since };
                return Some(1);
            }
            Op::Wakes => return self.wakes(who),
            Op::Seated(slot) => {
                return Some(u64::from(self.seats[usize::from(slot)].is_some()));
            }
            Op::ClaimSeat(slot) => {
                let claim = self.claims[usize::from(slot)].get_or_insert(who);
                return Some(u64::from(*claim == who));
            }
            Op::LockSeat(slot) => {
                let seat = self.seats[usize::from(slot)].get_or_insert(who);
                return Some(u64::from(*seat == who));
            }
            Op::Rise(slot) => {
                let slot = usize::from(slot);
                self.seats[slot] = self.seats[slot].filter(|sitter| *sitter != who);
                self.claims[slot] = None;
            }
            Op::CountFrom(seq) => {
                self.words[SEQS + who] = self.words[SEQS + who].max(seq);
            }
            Op::LooksAt(object) => {
                self.looks[who] = Some((object, 1 << (self.content(object).value() & 0x3f)));
            }
            Op::Sets => self.full[who] = Some(self.is_full()),
            Op::Thins => self.thins[who] = Some(self.registered()),
            Op::Thinned => self.thins[who] = None,
            Op::Pause | Op::Ends(_) | Op::Saw { .. } | Op::LeavesFull => {}
        }
        Some(0)
    }

    fn wakes(&mut self, who: usize) -> Option<u64> {
        match &self.sleeps[who] {
            // Its owner's death announces nothing: a mutant's waiter probes now and then.
            Sleep::Asleep { object, .. } if self.rules[*object] == Rule::Mutant => {
                let owner = self.content(*object).value();
                if !self.owner_is_dead(owner) {
                    return None;
                }
            }
            Sleep::Asleep { .. } => return None,
            Sleep::Awake | Sleep::Woken => {}
        }
        self.sleeps[who] = Sleep::Awake;
        Some(0)
    }
}

impl World for Domain {
    type Op = Op;

    fn share(&self, op: &Op) -> Share {
        match op {
            Op::Pause => Share::Pause,
            Op::Ends(_) | Op::CountFrom(_) | Op::Saw { .. } | Op::Count { .. } => Share::Silent,
            Op::LeavesFull | Op::Thins | Op::Thinned => Share::Silent,
            _ => Share::Step,
        }
    }

    fn apply(&mut self, who: usize, op: &Op) -> Result<Option<u64>, String> {
        let passes = match op {
            Op::StoreHalf { release, .. } => !release,
            Op::Load(_) => true,
            _ => false,
        };
        if !passes && self.share(op) == Share::Step {
            self.drift(who, 0)?;
        }
        let before = self.contents();
        let committed = self.committed();
        let result = self.perform(who, op);
        self.judge(who, op, &before, committed)?;
        match *op {
            Op::Ends(ends) => self.end(who, ends)?,
            Op::LeavesFull if self.full[who] == Some(false) => {
                return Err("a set was swallowed by an event that was never full".into());
            }
            Op::Saw { object, content } => {
                let seen = self.looks[who].take();
                if seen.is_none_or(|(at, had)| at != object || had & 1 << (content & 0x3f) == 0) {
                    return Err(format!(
                        "saw {content} in object {object}, which it never contained meanwhile"
                    ));
                }
            }
            _ => {}
        }
        Ok(result)
    }

    fn drift(&mut self, who: usize, _: usize) -> Result<bool, String> {
        let Some((at, value)) = self.lingering[who].take() else {
            return Ok(false);
        };
        let before = self.contents();
        let committed = self.committed();
        self.store(at, value);
        self.judge(who, &Op::Store(at, value), &before, committed)?;
        Ok(true)
    }

    fn bury(&mut self, who: usize) {
        self.sleeps[who] = Sleep::Awake;
        self.looks[who] = None;
        self.full[who] = None;
        self.thins[who] = None;
        // The kernel lets go of the seats after that: whoever gets one sees all that was stored.
        if let Some((at, value)) = self.lingering[who].take() {
            self.store(at, value);
        }
        for slot in 1..=SLOTS {
            if self.seats[usize::from(slot)] == Some(who) {
                self.seats[usize::from(slot)] = None;
                let token = domain::token(slot, self.words[incarnation(slot).0]);
                if let Some(free) = self.graves.iter_mut().find(|grave| **grave == 0) {
                    *free = token;
                }
            }
            if self.claims[usize::from(slot)] == Some(who) {
                self.claims[usize::from(slot)] = None;
            }
        }
    }

    fn check(&self) -> Result<(), String> {
        for (who, sleep) in self.sleeps.iter().enumerate() {
            let Sleep::Asleep { object, since } = *sleep else {
                continue;
            };
            let admission = self.rules[object].admit(self.content(object), 0, since);
            if admission == Admission::Ready {
                return Err(format!(
                    "{who} sleeps beside object {object}, which is ready"
                ));
            }
        }
        Ok(())
    }

    fn may_wait_for_the_stopped(&self) -> bool {
        let marked = self.words[..OBJECTS]
            .iter()
            .any(|word| State(*word).locked());
        self.lookers && marked
    }
}
