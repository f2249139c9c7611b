//! The protocol: mark, decide, finish; resolve what others left.
//!
//! Status of a record, one word so that operation and outcome are read together (two words gave
//! false partial looks): bits 0..2 outcome, 2..19 sequence, 19..24 operation, 32..64 argument.

use strait_sys::kill;

use crate::object::flaw;
use crate::object::word::{Admission, AtLimit, Op, Rule, SEQ_MASK, State};

/// Looks of an observer before it answers with what it saw last: only a process that scribbles
/// makes it need more than a few.
const LOOKS_MAX: u32 = 64;

const ACTIVE: u64 = 0;
const COMMITTED: u64 = 1;
/// Idle, or given up. A wake-up that decides ORs 1 into it, which makes 3: still aborted.
pub(crate) const ABORTED: u64 = 2;
const OUTCOME: u64 = 3;

/// A word of the protocol: mapped memory, or a model checker's.
pub(crate) trait Cell: Copy {
    fn load(self) -> u64;
    /// Others see it before whatever its author stores or exchanges later, and after whatever it
    /// did before. They may see it late: later loads of its author do not wait for that.
    fn store(self, value: u64);
    /// The word as it was found, if it was not `old`.
    fn cas(self, old: u64, new: u64) -> Result<(), u64>;
}

/// An object that takes part: its word, its rule, and the way from a mark to a record.
pub(crate) trait Place: Copy {
    type Cell: Cell;
    fn state(&self) -> Self::Cell;
    fn rule(&self) -> Rule;
    /// The decision word of the record that a mark's slot names; `None` where none can be, so that
    /// the mark is nonsense.
    fn status_of(&self, slot: u16) -> Option<u64>;
    /// Replaces that decision word by `new` if it is still `old`.
    fn overrule(&self, slot: u16, old: u64, new: u64);
    /// Who a mutant belongs to if the sitter of that slot takes it.
    fn token_of(&self, slot: u16) -> u32;
    /// Whether the record's present transaction names this object. A mark that outlived 131,072
    /// transactions of its slot would otherwise be taken for the present one's.
    fn enlisted(&self, slot: u16) -> bool;
}

/// An object's part in a transaction.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Part<P> {
    pub(crate) place: P,
    /// The generation at which the caller registered with the object.
    pub(crate) since: Option<u32>,
    /// The mark while it has one; what the word was before once the transaction is over.
    pub(crate) state: State,
}

impl<P> Part<P> {
    pub(crate) fn new(place: P, since: Option<u32>) -> Self {
        Self {
            place,
            since,
            state: State(0),
        }
    }
}

/// The thread that transacts, as the objects of one transaction see it.
pub(crate) trait Author<P: Place> {
    /// Its decision word.
    fn status(&self) -> P::Cell;
    /// The slot that marks on this object carry.
    fn slot(&self, place: &P) -> u16;
    /// Who a mutant belongs to if this author takes it.
    fn token(&self, place: &P) -> u32;
    /// A new sequence number; records which objects the transaction is about.
    fn enlist(&self, parts: &[Part<P>]) -> u32;
    /// In one step: decide (OR 1 into the status) and wake all who sleep on this object. In two,
    /// an author killed between them would leave sleepers beside a ready object.
    fn decide_and_wake(&self, place: &P);
}

/// How long to insist: on each other's marks, and on an object that never settles.
pub(crate) trait Pace {
    /// One more round in vain.
    fn pause(&mut self) -> Result<(), Unsettled>;
    /// An undecided transaction has been waited for long enough to be aborted.
    fn weary(&mut self) -> bool;
}

/// The word kept changing, or the time was up, before anything could be decided.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Unsettled;

/// Why an all-or-nothing attempt took nothing.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// The object of this index is not ready.
    NotReady(usize),
    Unsettled,
}

impl From<Unsettled> for Refusal {
    fn from(_: Unsettled) -> Self {
        Self::Unsettled
    }
}

/// Why a signal changed nothing.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum NoSignal {
    AtLimit,
    Unsettled,
}

impl From<Unsettled> for NoSignal {
    fn from(_: Unsettled) -> Self {
        Self::Unsettled
    }
}

impl From<AtLimit> for NoSignal {
    fn from(_: AtLimit) -> Self {
        Self::AtLimit
    }
}

fn status_word(op: Op, seq: u32, outcome: u64) -> u64 {
    let (code, argument) = op.pack();
    outcome
        | u64::from(seq & SEQ_MASK) << 2
        | u64::from(code & 0x1f) << 19
        | u64::from(argument) << 32
}

#[expect(clippy::cast_possible_truncation, reason = "masked to 17 bits")]
pub(crate) fn seq_of(status: u64) -> u32 {
    (status >> 2) as u32 & SEQ_MASK
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "masked or shifted to its width"
)]
pub(crate) fn op_of(status: u64) -> Op {
    Op::unpack((status >> 19) as u32 & 0x1f, (status >> 32) as u32)
}

/// Whether a dead author left this status decided but perhaps not finished.
pub(crate) fn is_committed(status: u64) -> bool {
    status & OUTCOME == COMMITTED
}

/// Whether the transaction of that sequence was decided in favour.
pub(crate) fn decided(status: u64, seq: u32) -> bool {
    is_committed(status) && seq_of(status) == seq
}

/// Takes over the record of an empty seat, and tells the sequence that it has come to. `None`: its
/// last sitter died after deciding. The seat is retired, since marks may still name that decision.
pub(crate) fn inherit(status: impl Cell) -> Option<u32> {
    let found = status.load();
    if is_committed(found) && !flaw("inherit: a decided record") {
        return None;
    }
    kill::point("seat.locked");
    let aborted = found & !OUTCOME | ABORTED;
    status.cas(found, aborted).ok().map(|()| seq_of(found))
}

/// The content as it was at one moment of the call, for those who may only look: what is committed
/// counts, though its mark may still be there.
pub(crate) fn observe<P: Place>(place: &P, look: impl Fn() -> State) -> State {
    let mut state = look();
    for _ in 0..LOOKS_MAX {
        if !state.locked() {
            return state;
        }
        let slot = state.slot();
        let status = place.status_of(slot);
        if let Some(status) = status
            && decided(status, state.seq())
            && place.enlisted(slot)
            && place.status_of(slot) == Some(status)
        {
            let author = place.token_of(slot);
            return place.rule().finish(state, op_of(status), author);
        }
        // Not decided when we looked at the record; but the mark is older than that look. Had it
        // been decided, finished and forgotten in between, the word would have changed.
        let again = look();
        if again == state || flaw("observe: the word once") {
            break;
        }
        state = again;
    }
    state.unmarked()
}

/// What a waiter that may only look finds.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Watched {
    Ready,
    /// Sleep on this: it changes before the object becomes ready, and the change wakes.
    Quiet(State),
    /// Sleep briefly: the decision may already have been made, and its wake-up be over.
    Marked(State),
}

/// Prepares a sleep without writing. Whoever makes such an object ready wakes its sleepers, asked
/// or not.
pub(crate) fn watch<P: Place>(place: &P, since: Option<u32>, look: impl Fn() -> State) -> Watched {
    let state = look();
    let seen = place.rule().admit(observe(place, &look), 0, since);
    if seen == Admission::Ready {
        Watched::Ready
    } else if state.locked() && !flaw("watch: sleep on a mark") {
        Watched::Marked(state)
    } else {
        Watched::Quiet(state)
    }
}

/// The word once no mark is on it.
pub(crate) fn settled<P: Place>(place: &P, pace: &mut impl Pace) -> Result<State, Unsettled> {
    loop {
        let state = State(place.state().load());
        if !state.locked() {
            return Ok(state);
        }
        resolve(place, state, pace)?;
    }
}

/// Brings an object that carries `mark` back to an unmarked state.
pub(crate) fn resolve<P: Place>(
    place: &P,
    mark: State,
    pace: &mut impl Pace,
) -> Result<(), Unsettled> {
    let cell = place.state();
    // A failed exchange below means that another has resolved it: nothing is left to do.
    let replace = |with: State| {
        let _ = cell.cas(mark.0, with.0);
    };
    let slot = mark.slot();
    loop {
        let Some(status) = place.status_of(slot) else {
            replace(mark.unmarked());
            return pace.pause();
        };
        let outcome = status & OUTCOME;
        if seq_of(status) != mark.seq() || outcome & ABORTED != 0 {
            replace(mark.unmarked());
            return pace.pause();
        }
        let enlisted = place.enlisted(slot);
        if place.status_of(slot) != Some(status) && !flaw("resolve: by the next one's list") {
            // The record turned to another transaction: the list may be that one's.
        } else if !enlisted {
            replace(mark.unmarked());
            return pace.pause();
        } else if outcome == COMMITTED && !flaw("resolve.finish") {
            kill::point("resolve.finish");
            replace(
                place
                    .rule()
                    .finish(mark, op_of(status), place.token_of(slot)),
            );
            return pace.pause();
        } else if cell.load() != mark.0 {
            return pace.pause();
        } else if outcome == ACTIVE && pace.weary() && !flaw("resolve.abort") {
            // Undecided for too long: its author may be stopped or dead. Decide against it; the
            // next round removes the mark.
            kill::point("resolve.abort");
            place.overrule(slot, status, status & !OUTCOME | ABORTED);
            kill::point("resolve.aborted");
        }
        pace.pause()?;
    }
}

/// Whether `admission` lets the author in; the owner of a held mutant is looked up by `dead`.
fn may<P: Place>(admission: Admission, place: &P, dead: &impl Fn(&P, u32) -> bool) -> bool {
    match admission {
        Admission::Ready => true,
        Admission::NotReady => false,
        Admission::OwnedBy(owner) => dead(place, owner),
    }
}

/// Takes one object by a single exchange. `Ok(None)`: not ready.
pub(crate) fn take_one<P: Place>(
    place: &P,
    me: u32,
    since: Option<u32>,
    dead: impl Fn(&P, u32) -> bool,
    pace: &mut impl Pace,
) -> Result<Option<State>, Unsettled> {
    loop {
        let state = State(place.state().load());
        if state.locked() {
            resolve(place, state, pace)?;
            continue;
        }
        if !may(place.rule().admit(state, me, since), place, &dead) {
            return Ok(None);
        }
        let next = place.rule().acquire(state, me);
        if next == state || place.state().cas(state.0, next.0).is_ok() {
            kill::point("take.taken");
            return Ok(Some(state));
        }
        pace.pause()?;
    }
}

/// Takes all of them or none.
pub(crate) fn take_all<P: Place>(
    author: &impl Author<P>,
    parts: &mut [Part<P>],
    dead: impl Fn(&P, u32) -> bool,
    last_look: impl Fn() -> bool,
    pace: &mut impl Pace,
) -> Result<(), Refusal> {
    loop {
        let seq = begin(author, Op::Acquire, parts);
        let stop = mark_all(author, parts, seq, pace, |part, state| {
            let me = author.token(&part.place);
            let admission = part.place.rule().admit(state, me, part.since);
            may(admission, &part.place, &dead)
        });
        kill::point("all.marked");
        let verdict = match stop {
            // Descriptors are looked at here, at the moment of commitment.
            Ok(()) if last_look() => decide(author, Op::Acquire, seq),
            Ok(()) => {
                withdraw(author, Op::Acquire, seq, parts);
                return Err(Refusal::NotReady(parts.len()));
            }
            Err((marked, refusal)) => {
                withdraw(author, Op::Acquire, seq, &parts[..marked]);
                return Err(refusal);
            }
        };
        if verdict {
            kill::point("all.committed");
            finish(author, Op::Acquire, parts);
            kill::point("all.finished");
            idle(author, Op::Acquire, seq);
            parts
                .iter_mut()
                .for_each(|part| part.state = part.state.unmarked());
            return Ok(());
        }
        unmark(parts);
        pace.pause()?;
    }
}

/// Withdraws the releases of an auto-reset event whose waiters have gone; `waiters` counts those
/// who are left.
pub(crate) fn thin<P: Place>(
    place: &P,
    waiters: impl Fn() -> u32,
    pace: &mut impl Pace,
) -> Result<(), Unsettled> {
    loop {
        if !place.rule().is_crowded(State(place.state().load())) {
            return Ok(());
        }
        let state = settled(place, pace)?;
        let Some(thinned) = place.rule().thinned(state, waiters()) else {
            return Ok(());
        };
        if place.state().cas(state.0, thinned.0).is_ok() {
            return Ok(());
        }
        pace.pause()?;
    }
}

/// Signals one object: by one exchange where nobody sleeps, else by a transaction whose decision
/// is the wake-up. `plan` gives the operation for the state as found. What it was comes back, and
/// whether anything changed.
pub(crate) fn signal<P: Place, A: Author<P>>(
    author: impl Fn() -> Result<A, Unsettled>,
    place: &P,
    always_wake: bool,
    plan: impl Fn(State) -> Op,
    pace: &mut impl Pace,
) -> Result<(State, bool), NoSignal> {
    loop {
        let state = State(place.state().load());
        if state.locked() {
            resolve(place, state, pace)?;
            continue;
        }
        let op = plan(state);
        let Some(next) = place.rule().signal(state, op)? else {
            // `plan` may have looked at more than the state, and after it: a release that was
            // pending then may have been taken meanwhile, and this one would be lost.
            if place.state().load() == state.0 || flaw("signal: nothing to do, once") {
                return Ok((state, false));
            }
            pace.pause()?;
            continue;
        };
        // Only a signal that releases clears the waiters' bit: a reset wakes nobody.
        if (state.waiters() && !next.waiters()) || always_wake {
            if transact_one(&author()?, place, state, op, pace)? {
                return Ok((state, true));
            }
        } else if place.state().cas(state.0, next.0).is_ok() {
            kill::point("signal.changed");
            return Ok((state, true));
        }
        pace.pause()?;
    }
}

/// One attempt at a transaction on one object, from exactly `state`, that wakes its sleepers.
fn transact_one<P: Place>(
    author: &impl Author<P>,
    place: &P,
    state: State,
    op: Op,
    pace: &mut impl Pace,
) -> Result<bool, Unsettled> {
    let mut part = [Part::new(*place, None)];
    let seq = begin(author, op, &part);
    kill::point("signal.begun");
    let mark = state.marked(author.slot(place), seq);
    part[0].state = mark;
    if place.state().cas(state.0, mark.0).is_err() {
        idle(author, op, seq);
        return Ok(false);
    }
    kill::point("signal.marked");
    author.decide_and_wake(place);
    kill::point("signal.woken");
    let committed = is_committed(author.status().load());
    if committed {
        finish(author, op, &part);
        kill::point("signal.finished");
    } else {
        unmark(&part);
        pace.pause()?;
    }
    idle(author, op, seq);
    Ok(committed)
}

/// Sets the waiters' bit. `Ok(None)`: it may be ready by now, look again; else what to sleep on.
pub(crate) fn arm<P: Place>(
    place: &P,
    me: u32,
    since: Option<u32>,
    pace: &mut impl Pace,
) -> Result<Option<State>, Unsettled> {
    loop {
        let state = if flaw("arm: on a mark") {
            State(place.state().load())
        } else {
            settled(place, pace)?
        };
        if place.rule().admit(state, me, since) == Admission::Ready {
            return Ok(None);
        }
        if state.waiters() {
            return Ok(Some(state));
        }
        let armed = state.with_waiters();
        if place.state().cas(state.0, armed.0).is_ok() {
            kill::point("wait.armed");
            return Ok(Some(armed));
        }
        pace.pause()?;
    }
}

fn begin<P: Place>(author: &impl Author<P>, op: Op, parts: &[Part<P>]) -> u32 {
    let seq = author.enlist(parts);
    author.status().store(status_word(op, seq, ACTIVE));
    kill::point("txn.begun");
    seq
}

/// Marks one after the other. The error says how many were marked before one could not be.
fn mark_all<P: Place>(
    author: &impl Author<P>,
    parts: &mut [Part<P>],
    seq: u32,
    pace: &mut impl Pace,
    admits: impl Fn(&Part<P>, State) -> bool,
) -> Result<(), (usize, Refusal)> {
    for (index, part) in parts.iter_mut().enumerate() {
        let cell = part.place.state();
        let slot = author.slot(&part.place);
        loop {
            let state = State(cell.load());
            if state.locked() {
                resolve(&part.place, state, pace).map_err(|stop| (index, stop.into()))?;
                continue;
            }
            // What is ready lets everybody in.
            if !state.ready() && !admits(part, state) {
                return Err((index, Refusal::NotReady(index)));
            }
            part.state = state.marked(slot, seq);
            if cell.cas(state.0, part.state.0).is_ok() {
                kill::point("all.marking");
                break;
            }
            pace.pause().map_err(|stop| (index, stop.into()))?;
        }
    }
    Ok(())
}

/// The decision. False: somebody aborted it first.
fn decide<P: Place>(author: &impl Author<P>, op: Op, seq: u32) -> bool {
    let undecided = status_word(op, seq, ACTIVE);
    if flaw("decide: by a store") {
        author.status().store(status_word(op, seq, COMMITTED));
        return true;
    }
    author
        .status()
        .cas(undecided, status_word(op, seq, COMMITTED))
        .is_ok()
}

fn finish<P: Place>(author: &impl Author<P>, op: Op, parts: &[Part<P>]) {
    if flaw("finish: leave it to others") {
        return;
    }
    for Part { place, state, .. } in parts {
        let last = place.rule().finish(*state, op, author.token(place));
        // A helper may have done it: then the word has moved on.
        let _ = place.state().cas(state.0, last.0);
        kill::point("txn.finishing");
    }
}

fn withdraw<P: Place>(author: &impl Author<P>, op: Op, seq: u32, marked: &[Part<P>]) {
    // Abort before unmarking: whoever meets a mark that is left need not wait for us.
    if flaw("withdraw: unmark first") {
        unmark(marked);
    }
    idle(author, op, seq);
    kill::point("all.withdrawn");
    unmark(marked);
}

fn unmark<P: Place>(marked: &[Part<P>]) {
    for Part { place, state, .. } in marked {
        let _ = place.state().cas(state.0, state.unmarked().0);
    }
}

fn idle<P: Place>(author: &impl Author<P>, op: Op, seq: u32) {
    author.status().store(status_word(op, seq, ABORTED));
}
