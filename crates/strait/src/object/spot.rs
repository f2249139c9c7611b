//! Objects that wait: their mapped state, and [`Spot`], one waitable word of it as the commit
//! protocol sees it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use strait_sys::cell::{ReadOnly, Word};
use strait_sys::fork::Guarded;
use strait_sys::futex;
use strait_sys::kill;
use strait_sys::map::{Access, Map};

use crate::error::{Error, ErrorKind, Result};
use crate::object::commit::domain::Domain;
use crate::object::commit::seat::{self, Scribe};
use crate::object::commit::txn::{self, Author, Cell, Part, Place};
use crate::object::handle::Handle;
use crate::object::kind::{Kind, Rights};
use crate::object::layout::{self, CORE, CORE_SPACING, FLAG_LOOK_WAITS, PAGE, STATE};
use crate::object::wait::watcher::Lookout;
use crate::object::word::{LOCKED, Op, READY, Rule, State, WAITERS};

/// Private objects share maps: one of 64 KiB holds 256.
const SLAB: usize = 64 * 1024;
const SLAB_OBJECT: usize = 256;

#[derive(Debug)]
struct Slab {
    map: Map,
    free: Vec<usize>,
}

static SLABS: Guarded<Vec<Slab>> = Guarded::new(Vec::new());

fn slab_take() -> Result<(Map, usize)> {
    let free = SLABS.with(|slabs| {
        let mut slabs = slabs.iter_mut().rev();
        slabs.find_map(|slab| Some((slab.free.pop()?, slab.map.clone())))
    });
    if let Some((at, map)) = free {
        return Ok((map, at));
    }
    let map = Map::private(SLAB).map_err(|errno| Error::kernel(errno, "create", "(unnamed)"))?;
    let free = (1..SLAB / SLAB_OBJECT)
        .map(|index| index * SLAB_OBJECT)
        .collect();
    let slab = Slab {
        map: map.clone(),
        free,
    };
    SLABS.with(|slabs| slabs.push(slab));
    Ok((map, 0))
}

fn slab_give(map: &Map, at: usize) {
    SLABS.with(|slabs| {
        let mut slabs = slabs.iter_mut();
        if let Some(slab) = slabs.find(|slab| slab.map.address() == map.address()) {
            slab.free.push(at);
        }
    });
}

/// A handle to an object that waits, and its mapped state.
#[derive(Debug)]
pub(crate) struct Object {
    /// Unmapped before the handle is closed: a map keeps the description alive, and its lock.
    pub(crate) map: Map,
    pub(crate) handle: Handle,
    base: usize,
    rule: Rule,
    pub(crate) domain: Arc<Domain>,
    in_slab: bool,
    /// This handle may take and signal, and no signal of it need make a system call.
    is_quick: bool,
    /// See [`Spot::order`].
    order: (u64, u64),
    /// A mutant's.
    pub(crate) lookout: Arc<Lookout>,
}

impl Drop for Object {
    fn drop(&mut self) {
        if self.in_slab {
            slab_give(&self.map, self.base);
        }
    }
}

impl Object {
    /// Maps the state of the object behind `handle`.
    pub(crate) fn new(handle: Handle) -> Result<Self> {
        let subject = handle.full_name();
        let Some(rule) = handle.header.rule() else {
            return Err(Error::new(ErrorKind::Layout, "map object", subject)
                .because("its limit is out of range, or it does not wait"));
        };
        Self::map(handle, rule).map_err(|error| error.during("map object", subject))
    }

    fn map(handle: Handle, rule: Rule) -> Result<Self> {
        let domain = handle.domain()?;
        let (map, base, in_slab) = match handle.file() {
            None if handle.kind == Kind::Timer => {
                let map = Map::private(PAGE).map_err(|errno| Error::kernel(errno, "map", ""))?;
                (map, CORE, false)
            }
            None => {
                let (map, base) = slab_take()?;
                (map, base, true)
            }
            Some(file) => {
                let access = if handle.rights.writes() {
                    Access::Write
                } else {
                    Access::Read
                };
                let map = Map::shared(file, 0, handle.header.data_offset(), access)
                    .map_err(|errno| Error::kernel(errno, "map", ""))?;
                (map, CORE, false)
            }
        };
        let is_quick = handle.rights.includes(Rights::WAIT | Rights::MODIFY)
            && handle.header.flags & FLAG_LOOK_WAITS == 0;
        let id = u64::from(handle.header.id) << 1;
        let order = match handle.inode() {
            Some(inode) => (id, inode),
            // Private ones come last: nobody else marks them.
            None => (id | 1 << 33, (map.address() + base) as u64),
        };
        let object = Self {
            handle,
            map,
            base,
            rule,
            domain,
            in_slab,
            is_quick,
            order,
            lookout: Arc::default(),
        };
        if object.handle.is_private() {
            for core in 0..2 {
                let spot = object.spot(core);
                spot.clear();
                Cell::store(spot.cell(), object.handle.header.states[core]);
            }
        }
        Ok(object)
    }

    /// One of its words.
    pub(crate) fn spot(&self, core: usize) -> Spot<'_> {
        Spot { object: self, core }
    }

    /// Fails if the memory was found truncated.
    #[inline]
    pub(crate) fn check_whole(&self, verb: &'static str) -> Result<()> {
        if self.map.is_broken() {
            return Err(self.broken(verb));
        }
        Ok(())
    }

    #[cold]
    fn broken(&self, verb: &'static str) -> Error {
        Error::new(ErrorKind::Broken, verb, self.handle.full_name())
            .because("a process with write access truncated it")
    }

    pub(crate) fn require(&self, rights: Rights, verb: &'static str) -> Result<()> {
        if self.handle.rights.includes(rights) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Denied, verb, self.handle.full_name())
            .because("the handle was opened or duplicated with fewer rights"))
    }

    pub(crate) fn has_flag(&self, flag: u32) -> bool {
        self.handle.header.flags & flag != 0
    }
}

/// What a first look at a word came to.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Quick {
    Taken,
    NotReady,
    /// The whole protocol must say.
    Unknown,
}

/// The paths without a system call, for the cases that need no protocol: nobody sleeps, nothing is
/// marked. What they cannot decide they leave alone.
impl Object {
    #[inline]
    fn quick_word(&self, core: usize) -> Option<Word<'_, u64>> {
        if !self.is_quick {
            return None;
        }
        self.map.word(self.base + core * CORE_SPACING + STATE)
    }

    #[inline]
    fn exchange(&self, word: Word<'_, u64>, old: State, new: State) -> bool {
        // Memory that was truncated is a page of our own by now: the slow path reports it.
        word.cas(old.0, new.0).is_ok() && !self.map.is_broken()
    }

    /// Where its first core stands in its map.
    pub(crate) fn state_at(&self) -> usize {
        self.base
    }

    /// Whether every right that a wait could need is there.
    #[inline]
    pub(crate) fn may_all(&self) -> bool {
        self.is_quick
    }

    /// Takes it if that is one exchange.
    #[inline]
    pub(crate) fn quick_take(&self, core: usize) -> Quick {
        let Some(word) = self.quick_word(core) else {
            return Quick::Unknown;
        };
        let state = State(word.load(Ordering::SeqCst));
        let leave = state.locked() || !self.rule.is_plain() || self.rule.is_crowded(state);
        if leave || self.map.is_broken() {
            return Quick::Unknown;
        }
        if !state.ready() {
            return Quick::NotReady;
        }
        let next = self.rule.acquire(state, 0);
        if next == state || self.exchange(word, state, next) {
            kill::point("take.taken");
            return Quick::Taken;
        }
        Quick::Unknown
    }

    /// Signals it if nobody sleeps. The state before; `None`: the protocol must.
    #[inline]
    pub(crate) fn quick_signal(&self, core: usize, op: Op) -> Option<State> {
        let word = self.quick_word(core)?;
        let state = State(word.load(Ordering::SeqCst));
        // An auto-reset event that is set already: its waiters must be counted.
        let counted = self.rule == Rule::Auto && state.ready();
        if state.0 & (LOCKED | WAITERS) != 0 || counted {
            return None;
        }
        let next = self.rule.signal(state, op).ok()??;
        self.exchange(word, state, next).then(|| {
            kill::point("signal.changed");
            state
        })
    }

    /// Takes a free mutant for its first time.
    #[inline]
    pub(crate) fn quick_own(&self) -> bool {
        let (Some(word), Some(me)) = (self.quick_word(0), seat::quick_token(&self.domain)) else {
            return false;
        };
        let state = State(word.load(Ordering::SeqCst));
        let free = state.0 & (LOCKED | READY) == READY && state.value() == 0;
        if !free || !self.exchange(word, state, self.rule.acquire(state, me)) {
            return false;
        }
        kill::point("take.taken");
        self.spot(0)
            .half(layout::RECURSION)
            .store(1, Ordering::Relaxed);
        true
    }

    /// Frees a mutant that this thread acquired once and nobody waits for.
    #[inline]
    pub(crate) fn quick_free(&self) -> bool {
        let (Some(word), Some(me)) = (self.quick_word(0), seat::quick_token(&self.domain)) else {
            return false;
        };
        let state = State(word.load(Ordering::SeqCst));
        let mine = state.0 & (LOCKED | WAITERS | READY) == 0 && state.value() == me;
        if !mine || self.spot(0).half(layout::RECURSION).load(Ordering::Relaxed) != 1 {
            return false;
        }
        let Ok(Some(next)) = self.rule.signal(state, Op::Free) else {
            return false;
        };
        self.exchange(word, state, next) && {
            kill::point("signal.changed");
            true
        }
    }
}

/// One waitable word of an object.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Spot<'a> {
    pub(crate) object: &'a Object,
    core: usize,
}

impl Cell for Word<'_, u64> {
    fn load(self) -> u64 {
        self.load(Ordering::SeqCst)
    }

    fn store(self, value: u64) {
        self.store(value, Ordering::Release);
    }

    fn cas(self, old: u64, new: u64) -> std::result::Result<(), u64> {
        self.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
            .map(drop)
    }
}

impl<'a> Spot<'a> {
    fn at(&self, field: usize) -> usize {
        self.object.base + self.core * CORE_SPACING + field
    }

    /// The state word. Only for handles with write access, which callers have checked.
    pub(crate) fn cell(&self) -> Word<'a, u64> {
        self.object
            .map
            .word(self.at(STATE))
            .expect("cores lie within every map that may be written")
    }

    pub(crate) fn look(&self) -> Word<'a, u64, ReadOnly> {
        self.object
            .map
            .look(self.at(STATE))
            .expect("cores lie within every map")
    }

    pub(crate) fn half(&self, field: usize) -> Word<'a, u32> {
        self.object
            .map
            .word(self.at(field))
            .expect("cores lie within every map that may be written")
    }

    pub(crate) fn half_look(&self, field: usize) -> Word<'a, u32, ReadOnly> {
        self.object
            .map
            .look(self.at(field))
            .expect("cores lie within every map")
    }

    fn clear(&self) {
        for field in [layout::TICKET_MARK, layout::BELL_MARK, layout::RECURSION] {
            self.half(field).store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn core(&self) -> usize {
        self.core
    }

    pub(crate) fn is_private(&self) -> bool {
        self.object.handle.is_private()
    }

    /// What it is called in records: the words of one object have each their own.
    fn id(&self) -> u32 {
        layout::word_id(self.object.handle.header.id, self.core)
    }

    /// The order in which every process marks: it keeps crossing transactions from aborting each
    /// other for ever. Equal only for one and the same word, by whatever handle. The first number
    /// is below 2^34.
    #[inline]
    pub(crate) fn order(&self) -> (u64, u64) {
        let (id, rest) = self.object.order;
        (id | self.core as u64, rest)
    }

    /// The state without its mark, for those who may only look: what is committed counts.
    pub(crate) fn observe(&self) -> State {
        txn::observe(self, || self.glance())
    }

    /// The word as it is, mark and all.
    pub(crate) fn glance(&self) -> State {
        // Only a word that may not be written needs a fence for its order.
        let word = self.object.map.word(self.at(STATE));
        State(word.map_or_else(
            || self.look().load(Ordering::SeqCst),
            |word| word.load(Ordering::SeqCst),
        ))
    }
}

impl<'a> Place for Spot<'a> {
    type Cell = Word<'a, u64>;

    fn state(&self) -> Word<'a, u64> {
        self.cell()
    }

    fn rule(&self) -> Rule {
        self.object.rule
    }

    fn status_of(&self, slot: u16) -> Option<u64> {
        if self.is_private()
            && let Some((domain, slot)) = seat::redirected(&self.object.domain, slot)
        {
            return Some(domain.status(slot)?.load(Ordering::SeqCst));
        }
        Some(self.object.domain.status(slot)?.load(Ordering::SeqCst))
    }

    fn overrule(&self, slot: u16, old: u64, new: u64) {
        let cas = |domain: &Domain, slot| {
            if let Some(status) = domain.status(slot) {
                // Lost: its author or another has decided meanwhile.
                let _ = status.cas(old, new);
            }
        };
        match seat::redirected(&self.object.domain, slot) {
            Some((domain, slot)) if self.is_private() => cas(&domain, slot),
            _ => cas(&self.object.domain, slot),
        }
    }

    fn token_of(&self, slot: u16) -> u32 {
        self.object.domain.token(slot)
    }

    fn enlisted(&self, slot: u16) -> bool {
        let id = self.id();
        if self.is_private()
            && let Some((domain, slot)) = seat::redirected(&self.object.domain, slot)
        {
            return domain.names(slot, id);
        }
        self.object.domain.names(slot, id)
    }
}

impl<'a> Author<Spot<'a>> for Scribe<'a> {
    fn status(&self) -> Word<'a, u64> {
        Scribe::status(self)
    }

    fn slot(&self, place: &Spot<'a>) -> u16 {
        self.seat_for(place.is_private()).slot
    }

    fn token(&self, place: &Spot<'a>) -> u32 {
        self.seat_for(place.is_private()).token
    }

    fn enlist(&self, parts: &[Part<Spot<'a>>]) -> u32 {
        Scribe::enlist(self, parts.iter().map(|part| part.place.id()))
    }

    fn decide_and_wake(&self, place: &Spot<'a>) {
        let status = Scribe::status(self);
        if kill::sabotaged("wake.decide") {
            status.fetch_or(1, Ordering::SeqCst);
            kill::linger();
            let _ = futex::wake(place.cell().low(), u32::MAX >> 1);
            return;
        }
        if futex::wake_op_or(place.cell().low(), status.low(), 1).is_err() {
            // The memory was truncated under the kernel's feet: decide, and wake what can be woken.
            status.fetch_or(1, Ordering::SeqCst);
            let _ = futex::wake(place.cell().low(), u32::MAX >> 1);
        }
    }
}
