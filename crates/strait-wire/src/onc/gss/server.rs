//! A server's contexts.
//!
//! A context costs what its mechanism keeps, and a bit for each number of its window. There are
//! never more than [`Limits`] say: of those that are being made the oldest makes way, and of those
//! that are in use, of whoever has most of them, the one that has not been used for the longest
//! time. Its client makes a new one when it is told RPCSEC_GSS_CREDPROBLEM.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::cmp::Reverse;
use core::fmt;
use core::time::Duration;

use super::{Fate, Negotiation, STEPS_MAX, SecurityContext, WINDOW, Window};
use crate::time::Time;

/// How many contexts a server keeps, and for how long.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Contexts in use; 4,096.
    pub contexts: usize,
    /// Without a call for so long, a context is forgotten; 1 hour.
    pub idle: Duration,
    /// Contexts that are being made; 128. So many tokens are also looked at or wait for that at
    /// once: to more of them the answer is SYSTEM_ERR.
    pub unfinished: usize,
    /// They are done within this time; 30 s.
    pub unfinished_time: Duration,
    /// Calls of a context that may be under way at once; 128, and at most
    /// [`WINDOW_MAX`](super::WINDOW_MAX).
    pub window: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            contexts: 4096,
            idle: Duration::from_secs(3600),
            unfinished: 128,
            unfinished_time: Duration::from_secs(30),
            window: WINDOW,
        }
    }
}

/// What a context is called. Random, so that nobody can name another's, also not one of a server
/// that was here before.
pub type Handle = [u8; 16];

/// A context that is being made.
pub struct Unfinished {
    /// Where it is.
    pub negotiation: Box<dyn Negotiation>,
    /// Tokens that have come.
    steps: u32,
}

impl Unfinished {
    /// One whose first token has come.
    #[must_use]
    pub const fn new(negotiation: Box<dyn Negotiation>) -> Self {
        let steps = 1;
        Self { negotiation, steps }
    }
}

impl fmt::Debug for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unfinished")
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

struct Ready {
    context: Arc<dyn SecurityContext>,
    window: Window,
}

/// Things by name, and who has them.
struct Table<T> {
    all: BTreeMap<Handle, Entry<T>>,
    /// The one that was not touched for the longest time first.
    order: BTreeSet<(Time, Handle)>,
    /// The same, of each.
    owners: BTreeMap<Arc<str>, BTreeSet<(Time, Handle)>>,
}

struct Entry<T> {
    touched: Time,
    owner: Arc<str>,
    value: T,
}

impl<T> Table<T> {
    const fn new() -> Self {
        Self {
            all: BTreeMap::new(),
            order: BTreeSet::new(),
            owners: BTreeMap::new(),
        }
    }

    fn insert(&mut self, touched: Time, handle: Handle, owner: &str, value: T) {
        self.remove(&handle);
        self.order.insert((touched, handle));
        let owner = match self.owners.get_key_value(owner) {
            Some((owner, _)) => Arc::clone(owner),
            None => Arc::from(owner),
        };
        let its = self.owners.entry(Arc::clone(&owner)).or_default();
        its.insert((touched, handle));
        let entry = Entry {
            touched,
            owner,
            value,
        };
        self.all.insert(handle, entry);
    }

    fn remove(&mut self, handle: &Handle) -> Option<T> {
        let entry = self.all.remove(handle)?;
        let place = (entry.touched, *handle);
        self.order.remove(&place);
        if let Some(its) = self.owners.get_mut(&entry.owner) {
            its.remove(&place);
            if its.is_empty() {
                self.owners.remove(&entry.owner);
            }
        }
        Some(entry.value)
    }

    fn touch(&mut self, now: Time, handle: &Handle) -> Option<&mut T> {
        let entry = self.all.get_mut(handle)?;
        let (old, new) = ((entry.touched, *handle), (now, *handle));
        entry.touched = now;
        let its = self.owners.get_mut(&entry.owner);
        for order in its.into_iter().chain([&mut self.order]) {
            order.remove(&old);
            order.insert(new);
        }
        Some(&mut entry.value)
    }

    /// Forgets what was not touched for `age`, and then, down to `max`, the oldest of whoever has
    /// most.
    fn trim(&mut self, now: Time, age: Duration, max: usize) {
        while let Some((touched, handle)) = self.order.first().copied()
            && touched.after(age) <= now
        {
            self.remove(&handle);
        }
        while self.all.len() > max
            && let Some(most) = self.owners.values().max_by_key(|its| {
                let oldest = its.first().map(|(touched, _)| *touched);
                (its.len(), Reverse(oldest))
            })
            && let Some((_, handle)) = most.first().copied()
        {
            self.remove(&handle);
        }
    }
}

/// All contexts of a server.
pub struct Contexts {
    limits: Limits,
    ready: Table<Ready>,
    unfinished: Table<Unfinished>,
}

impl Contexts {
    /// None yet.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            ready: Table::new(),
            unfinished: Table::new(),
        }
    }

    /// Calls of a context that may be under way at once, as clients are told.
    #[must_use]
    pub fn window(&self) -> u32 {
        self.limits.window.clamp(1, super::WINDOW_MAX)
    }

    /// A token has come for a context that is being made: it is taken out, so that no other token
    /// finds it. `None`: there is none, or it has had [`STEPS_MAX`] tokens.
    pub fn take(&mut self, now: Time, handle: &[u8]) -> Option<Unfinished> {
        self.trim(now);
        let mut taken = self.unfinished.remove(handle.try_into().ok()?)?;
        taken.steps += 1;
        (taken.steps <= STEPS_MAX).then_some(taken)
    }

    /// The context needs another token.
    pub fn put(&mut self, now: Time, handle: Handle, unfinished: Unfinished) {
        self.unfinished.insert(now, handle, "", unfinished);
        self.trim(now);
    }

    /// The context is made.
    pub fn establish(&mut self, now: Time, handle: Handle, context: Arc<dyn SecurityContext>) {
        let window = Window::new(self.limits.window);
        let owner = Arc::clone(&context);
        let ready = Ready { context, window };
        self.ready.insert(now, handle, owner.peer(), ready);
        self.trim(now);
    }

    /// A call has come: the context that its header is to be held against. Not a use of it yet.
    ///
    /// # Errors
    ///
    /// `None`: there is no such context. Otherwise [`Fate`]: the call is not looked at, and never
    /// [`Fate::New`].
    pub fn find(
        &mut self,
        now: Time,
        handle: &[u8],
        sequence: u32,
    ) -> Result<Arc<dyn SecurityContext>, Option<Fate>> {
        self.trim(now);
        let ready = handle.try_into().ok();
        let ready = ready.and_then(|handle: Handle| self.ready.all.get(&handle));
        let ready = &ready.ok_or(None)?.value;
        match ready.window.look(sequence) {
            // RFC 2203 section 7.2.2: no proof is needed to drop it.
            Fate::New => Ok(Arc::clone(&ready.context)),
            fate => Err(Some(fate)),
        }
    }

    /// The header of a call is proven: its number is seen with that. `None`: the context is gone
    /// meanwhile.
    pub fn accept(&mut self, now: Time, handle: &[u8], sequence: u32) -> Option<Fate> {
        let ready = self.ready.touch(now, handle.try_into().ok()?)?;
        Some(ready.window.accept(sequence))
    }

    /// Forgets a context.
    pub fn destroy(&mut self, handle: &[u8]) {
        if let Ok(handle) = handle.try_into() {
            self.ready.remove(handle);
        }
    }

    /// Contexts in use, and contexts that are being made.
    #[must_use]
    pub fn len(&self) -> (usize, usize) {
        (self.ready.all.len(), self.unfinished.all.len())
    }

    /// Whether there is none of either.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    fn trim(&mut self, now: Time) {
        let limits = &self.limits;
        self.ready.trim(now, limits.idle, limits.contexts);
        self.unfinished
            .trim(now, limits.unfinished_time, limits.unfinished);
    }
}

impl fmt::Debug for Contexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contexts")
            .field("limits", &self.limits)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
