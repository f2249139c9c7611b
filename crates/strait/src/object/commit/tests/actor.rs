//! The participants: the real protocol over simulated words, and what they do with it.

use std::sync::atomic::Ordering;

use super::explore::Actor;
use super::flaw::flaw;
use super::op::{self, At, Ends, Op};
use super::tape::perform;
use crate::object::commit::domain;
use crate::object::commit::list::{Half, List};
use crate::object::commit::txn::Watched;
use crate::object::commit::txn::{
    self, Author, Cell, NoSignal, Pace, Part, Place, Refusal, Unsettled,
};
use crate::object::word::{Op as Deed, Rule, State};

impl Cell for At {
    fn load(self) -> u64 {
        perform(Op::Load(self))
    }

    fn store(self, value: u64) {
        perform(Op::Store(self, value));
    }

    fn cas(self, old: u64, new: u64) -> Result<(), u64> {
        match perform(Op::Cas(self, old, new)) {
            found if found == old => Ok(()),
            found => Err(found),
        }
    }
}

/// An object of the simulated domain.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Thing {
    pub(crate) index: usize,
    pub(crate) rule: Rule,
    /// Its transactions write their lists entry by entry, as the real table does; else in one step,
    /// which keeps scenarios small where no list is ever in doubt.
    pub(crate) by_entries: bool,
}

impl Half for At {
    fn load(self, _: Ordering) -> u32 {
        u32::try_from(perform(Op::Load(self))).expect("half a word")
    }

    fn store(self, value: u32, order: Ordering) {
        let release = order != Ordering::Relaxed;
        perform(Op::StoreHalf {
            at: self,
            value,
            release,
        });
    }
}

fn list(slot: u16) -> List<At, impl Fn(usize) -> Option<At>> {
    List {
        count: op::list(slot),
        entry: move |index| op::entry(slot, index),
    }
}

impl Place for Thing {
    type Cell = At;

    fn state(&self) -> At {
        op::object(self.index)
    }

    fn rule(&self) -> Rule {
        self.rule
    }

    fn status_of(&self, slot: u16) -> Option<u64> {
        let known = (1..=op::SLOTS).contains(&slot);
        known.then(|| Cell::load(op::status(slot)))
    }

    fn overrule(&self, slot: u16, old: u64, new: u64) {
        let _ = op::status(slot).cas(old, new);
    }

    fn token_of(&self, slot: u16) -> u32 {
        if self.rule == Rule::Mutant {
            token_in(slot)
        } else {
            0
        }
    }

    fn enlisted(&self, slot: u16) -> bool {
        if self.by_entries {
            return list(slot).names(id(self));
        }
        flaw("enlisted: always") || Cell::load(op::list(slot)) & 1 << self.index != 0
    }
}

fn token_in(slot: u16) -> u32 {
    domain::token(slot, Cell::load(op::incarnation(slot)))
}

/// As `Domain::is_dead`: the record first, then the lock.
fn is_dead(_: &Thing, owner: u32) -> bool {
    let slot = domain::slot_of(owner);
    if slot == 0 || token_in(slot) != owner {
        return true;
    }
    perform(Op::Seated(slot)) == 0
}

/// A participant in its seat.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Sitter {
    pub(crate) slot: u16,
    pub(crate) token: u32,
}

impl Author<Thing> for Sitter {
    fn status(&self) -> At {
        op::status(self.slot)
    }

    fn slot(&self, _: &Thing) -> u16 {
        self.slot
    }

    fn token(&self, _: &Thing) -> u32 {
        self.token
    }

    fn enlist(&self, parts: &[Part<Thing>]) -> u32 {
        let things = || parts.iter().map(|part| &part.place);
        let ids = ids(things());
        let slot = self.slot;
        let seq = if things().any(|thing| thing.by_entries) {
            list(slot).write(things().map(id));
            perform(Op::Count { slot, ids })
        } else if flaw("enlist: the same sequence again") {
            perform(Op::EnlistAgain { slot, ids })
        } else {
            perform(Op::Enlist { slot, ids })
        };
        u32::try_from(seq).expect("few transactions")
    }

    fn decide_and_wake(&self, place: &Thing) {
        let (slot, object) = (self.slot, place.index);
        if flaw("signal: store, then wake") {
            perform(Op::Decide { slot });
            perform(Op::Wake { object });
        } else if flaw("signal: wake, then store") {
            perform(Op::Wake { object });
            perform(Op::Decide { slot });
        } else {
            perform(Op::DecideAndWake { slot, object });
        }
    }
}

/// Patience is not modelled: to wait for another is to be scheduled later.
pub(crate) struct Turns;

impl Pace for Turns {
    fn pause(&mut self) -> Result<(), Unsettled> {
        match perform(Op::Pause) {
            0 => Ok(()),
            _ => Err(Unsettled),
        }
    }

    fn weary(&mut self) -> bool {
        true
    }
}

pub(crate) fn ends(ends: Ends) {
    perform(Op::Ends(ends));
}

fn sitter(who: usize) -> Sitter {
    let slot = u16::try_from(who + 1).expect("few participants");
    Sitter {
        slot,
        token: domain::token(slot, 1),
    }
}

fn id(thing: &Thing) -> u32 {
    u32::try_from(thing.index).expect("few objects") + 1
}

fn ids<'t>(things: impl IntoIterator<Item = &'t Thing>) -> u64 {
    let bits = things.into_iter().map(|thing| 1 << thing.index);
    bits.fold(0, |ids, bit| ids | bit)
}

/// What a participant does, one operation after another; `false` ends it early.
pub(crate) type Operation = Box<dyn Fn(&Sitter) -> bool>;

/// A participant of seat `who + 1` that does these.
pub(crate) fn actor(who: usize, operations: Vec<Operation>) -> Actor {
    Box::new(move |stage| {
        let at = usize::try_from(stage).expect("few operations");
        let going = operations.get(at)?(&sitter(who));
        (going && at + 1 < operations.len()).then_some(stage + 1)
    })
}

/// Sleeps, as [`Blocking`](crate::object::wait) does on one word.
fn sleep(thing: &Thing, state: State, since: Option<u32>) {
    let (object, low) = (thing.index, state.low());
    if perform(Op::Doze { object, low, since }) == 1 {
        perform(Op::Wakes);
    }
}

/// `wait::all_for(.., 0)`.
pub(crate) fn try_all(things: &'static [Thing]) -> Operation {
    Box::new(move |me| all_once(me, things).is_ok())
}

fn all_once(me: &Sitter, things: &'static [Thing]) -> Result<(), Refusal> {
    let mut parts: Vec<_> = things.iter().map(|thing| Part::new(*thing, None)).collect();
    match txn::take_all(me, &mut parts, is_dead, || true, &mut Turns) {
        Ok(()) => {
            let abandoned = parts
                .iter()
                .any(|part| part.place.rule == Rule::Mutant && !part.state.ready());
            ends(Ends {
                decisions: 1,
                taken: ids(things),
                abandoned,
                ..Ends::default()
            });
            Ok(())
        }
        Err(refusal) => {
            ends(Ends::default());
            Err(refusal)
        }
    }
}

/// `wait::all`.
pub(crate) fn all(things: &'static [Thing]) -> Operation {
    Box::new(move |me| {
        loop {
            match all_once(me, things) {
                Ok(()) => return true,
                Err(Refusal::Unsettled) => return false,
                Err(Refusal::NotReady(index)) => {
                    match txn::arm(&things[index], me.token, None, &mut Turns) {
                        Ok(Some(state)) => sleep(&things[index], state, None),
                        Ok(None) => {}
                        Err(Unsettled) => return false,
                    }
                }
            }
        }
    })
}

/// One attempt of `wait::any` on one object.
fn take(me: &Sitter, thing: &Thing, since: Option<u32>) -> Result<bool, Unsettled> {
    if thing.rule == Rule::Auto {
        let waiters = || {
            perform(Op::Thins);
            waiters()
        };
        txn::thin(thing, waiters, &mut Turns)?;
        perform(Op::Thinned);
    }
    let Some(before) = txn::take_one(thing, me.token, since, is_dead, &mut Turns)? else {
        return Ok(false);
    };
    let changes = thing.rule != Rule::Manual;
    ends(Ends {
        decisions: u8::from(changes),
        taken: 1 << thing.index,
        abandoned: thing.rule == Rule::Mutant && !before.ready(),
        ..Ends::default()
    });
    Ok(true)
}

/// `wait::any_for(.., 0)` on one object.
pub(crate) fn try_take(thing: Thing) -> Operation {
    Box::new(move |me| take(me, &thing, None) == Ok(true))
}

fn take_asleep(me: &Sitter, thing: &Thing, since: Option<u32>) -> Result<(), Unsettled> {
    while !take(me, thing, since)? {
        if let Some(state) = txn::arm(thing, me.token, since, &mut Turns)? {
            sleep(thing, state, since);
            if thing.rule == Rule::Mutant {
                // It wakes now and then for nothing.
                Turns.pause()?;
            }
        }
    }
    Ok(())
}

/// `wait::any` on one object, registered since `since`; an event's ticket is given back.
pub(crate) fn wait(thing: Thing, since: Option<u32>) -> Operation {
    Box::new(move |me| {
        if take_asleep(me, &thing, since).is_err() {
            ends(Ends::default());
            return false;
        }
        if thing.rule == Rule::Auto {
            Cell::store(op::ticket(usize::from(me.slot) - 1), 0);
        }
        true
    })
}

/// A wait whose time runs out as it would fall asleep: it withdraws its ticket.
pub(crate) fn wait_in_vain(thing: Thing, since: Option<u32>) -> Operation {
    Box::new(move |me| {
        let mut took = take(me, &thing, since) == Ok(true);
        if !took && txn::arm(&thing, me.token, since, &mut Turns).is_ok() {
            took = take(me, &thing, since) == Ok(true);
        }
        if !took {
            ends(Ends::default());
        }
        Cell::store(op::ticket(usize::from(me.slot) - 1), 0);
        true
    })
}

/// The one path of every set, reset, pulse and release.
pub(crate) fn signal(thing: Thing, always_wake: bool, plan: fn(State) -> Deed) -> Operation {
    Box::new(move |me| {
        let author = || Ok(*me);
        gave(
            thing,
            txn::signal(author, &thing, always_wake, plan, &mut Turns),
        )
    })
}

fn gave(thing: Thing, done: Result<(State, bool), NoSignal>) -> bool {
    ends(match done {
        Ok((_, true)) => Ends {
            decisions: 1,
            given: 1 << thing.index,
            ..Ends::default()
        },
        Ok((_, false)) | Err(NoSignal::AtLimit | NoSignal::Unsettled) => Ends::default(),
    });
    done.is_ok()
}

pub(crate) fn release(thing: Thing) -> Operation {
    signal(thing, false, |_| Deed::Release { units: 1 })
}

/// As `member::waiters` counts: one ticket each of the first three participants.
pub(crate) fn waiters() -> u32 {
    (0..3)
        .filter(|who| {
            let token = Cell::load(op::ticket(*who));
            let token = u32::try_from(token).expect("tokens have 32 bits");
            token != 0 && perform(Op::Seated(domain::slot_of(token))) == 1
        })
        .count()
        .try_into()
        .expect("few waiters")
}

/// As `signal::set` plans it.
pub(crate) fn set(thing: Thing) -> Operation {
    Box::new(move |me| {
        perform(Op::Sets);
        let plan = |state: State| Deed::Set {
            cap: if state.ready() { waiters() } else { 1 },
        };
        let author = || Ok(*me);
        let done = txn::signal(author, &thing, false, plan, &mut Turns);
        if matches!(done, Ok((_, false))) {
            perform(Op::LeavesFull);
        }
        gave(thing, done)
    })
}

/// Looks at the value, as a query does.
pub(crate) fn look(thing: Thing) -> Operation {
    Box::new(move |_| {
        let object = thing.index;
        perform(Op::LooksAt(object));
        let state = txn::observe(&thing, || State(Cell::load(thing.state())));
        let content = u64::from(state.value());
        perform(Op::Saw { object, content });
        true
    })
}

/// A wait of one that may only look.
pub(crate) fn look_wait(thing: Thing, since: Option<u32>) -> Operation {
    Box::new(move |_| {
        loop {
            match txn::watch(&thing, since, || State(Cell::load(thing.state()))) {
                Watched::Ready => return true,
                Watched::Quiet(state) => sleep(&thing, state, since),
                Watched::Marked(_) => {
                    if Turns.pause().is_err() {
                        return false;
                    }
                }
            }
        }
    })
}

/// As `Domain::sit` takes one seat. `None`: it is taken, or retired.
pub(crate) fn sit(slot: u16) -> Option<Sitter> {
    if perform(Op::ClaimSeat(slot)) == 0 {
        return None;
    }
    if flaw("sit: under the last sitter's number") {
        perform(Op::LockSeat(slot));
    }
    let Some(seq) = txn::inherit(op::status(slot)) else {
        perform(Op::Rise(slot));
        return None;
    };
    let now = Cell::load(op::incarnation(slot)) + 1;
    Cell::store(op::incarnation(slot), now);
    if perform(Op::LockSeat(slot)) == 0 {
        perform(Op::Rise(slot));
        return None;
    }
    perform(Op::CountFrom(seq.into()));
    Some(Sitter {
        slot,
        token: domain::token(slot, now),
    })
}

/// Takes seat `slot` if it can be had, and then does `operation` from there.
pub(crate) fn from_seat(slot: u16, operation: Operation) -> Operation {
    Box::new(move |_| sit(slot).is_some_and(|me| operation(&me)))
}
