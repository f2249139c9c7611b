//! Mutants: one owner at a time, and the next one learns if the last died owning it.
//!
//! The owner is a thread; it may acquire again, and must release as often. Use one to guard what a
//! crash must not leave half changed unnoticed. Not for async tasks: a task has no thread. A
//! process that often sleeps on one starts a thread (`strait-watcher`), which asks for dead owners.
//!
//! | NT | here |
//! | --- | --- |
//! | abandoned when the owner thread ends | faithful; a waiter already asleep learns it within 100 ms, since a death on Linux announces nothing |
//! | closing a handle does not abandon | faithful |
//! | recursion limit 2^31 | faithful: [`ErrorKind::LimitExceeded`] |
//!
//! ```
//! use strait::nt::Mutant;
//!
//! let deploy = Mutant::options().create()?;
//! let guard = deploy.acquire()?;
//! assert!(!guard.abandoned());
//! drop(guard);
//! # Ok::<(), strait::Error>(())
//! ```
//! Source: Windows SDK, CreateMutex; NtCreateMutant, NtQueryMutant.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use strait_sys::kill;
use strait_sys::time::Deadline;

use crate::error::{Error, ErrorKind, Result};
use crate::object::handle::{Blueprint, Handle, Site};
use crate::object::kind::{Birth, Kind, Rights};
use crate::object::layout::RECURSION;
use crate::object::spot::Object;
use crate::object::wait::{self, Member, Waitable, signal};
use crate::object::word::{Op, State};

/// A mutant: NT's mutex.
#[derive(Debug)]
#[doc(alias = "NtCreateMutant")]
#[doc(alias = "CreateMutex")]
pub struct Mutant {
    object: Arc<Object>,
}

/// Ownership of a mutant by this thread, given up on drop.
#[derive(Debug)]
#[must_use]
pub struct MutantGuard<'a> {
    mutant: &'a Mutant,
    abandoned: bool,
    /// The owner is a thread: the guard does not leave it.
    _thread: PhantomData<*const ()>,
}

/// How a mutant is born or opened.
#[derive(Clone, Debug)]
#[must_use]
pub struct MutantOptions {
    site: Site,
    owned: bool,
    rights: Rights,
}

/// What a mutant is like at this moment.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct MutantState {
    /// Process and thread of the owner, if it is owned.
    pub owner: Option<(u32, u32)>,
    /// How often the owner must release it; 0 if it is free.
    pub depth: u32,
    /// Whether the calling thread owns it.
    pub owned_by_caller: bool,
    /// Whether its last owner died owning it, and nobody has acquired it since.
    pub abandoned: bool,
}

impl MutantOptions {
    site_options!();
    shared_option!();

    /// Born owned by the calling thread.
    pub fn owned(mut self) -> Self {
        self.owned = true;
        self
    }

    fn plan(&self, verb: &'static str) -> Result<Blueprint> {
        let state = if self.owned {
            State::new(false, self.site.token(verb)?)
        } else {
            State::new(true, 0)
        };
        Ok(Blueprint {
            kind: Kind::Mutant,
            flags: 0,
            limit: 0,
            data_len: 0,
            states: [state, State::new(false, 0)],
        })
    }

    /// Makes the mutant.
    ///
    /// # Errors
    /// As [`EventOptions::create`](crate::nt::EventOptions::create).
    pub fn create(self) -> Result<Mutant> {
        let plan = self.plan("create mutant")?;
        let mutant = Mutant::over(self.site.create(&plan, "create mutant")?)?;
        mutant.born(self.owned);
        Ok(mutant)
    }

    /// Makes it, or opens the mutant of that name as it is; then `owned` does not matter.
    ///
    /// # Errors
    /// As [`create`](Self::create), but for a mutant of that name.
    pub fn create_or_open(self) -> Result<(Mutant, Birth)> {
        let plan = self.plan("create mutant")?;
        let (handle, birth) = self.site.create_or_open(&plan, "create mutant")?;
        let mutant = Mutant::over(handle)?;
        mutant.born(self.owned && birth == Birth::Created);
        Ok((mutant, birth))
    }

    /// Opens the mutant of that name.
    ///
    /// # Errors
    /// As [`EventOptions::open`](crate::nt::EventOptions::open).
    pub fn open(self) -> Result<Mutant> {
        Mutant::over(self.site.open(Kind::Mutant, self.rights, "open mutant")?)
    }
}

impl Mutant {
    /// Options for a new mutant, or to open one.
    pub fn options() -> MutantOptions {
        MutantOptions {
            site: Site::default(),
            owned: false,
            rights: Rights::ALL,
        }
    }

    /// Opens the mutant of that name in the user's own namespace.
    ///
    /// # Errors
    /// As [`MutantOptions::open`].
    pub fn open(name: impl Into<String>) -> Result<Self> {
        Self::options().name(name).open()
    }

    fn over(handle: Handle) -> Result<Self> {
        Ok(Self {
            object: Arc::new(Object::new(handle)?),
        })
    }

    fn born(&self, owned: bool) {
        if owned {
            self.object
                .spot(0)
                .half(RECURSION)
                .store(1, Ordering::Relaxed);
        }
    }

    /// Waits until it is this thread's.
    ///
    /// # Errors
    /// As [`wait::any`]; [`ErrorKind::LimitExceeded`] if this thread has acquired it 2,147,483,647
    /// times already.
    pub fn acquire(&self) -> Result<MutantGuard<'_>> {
        if self.object.quick_own() {
            return Ok(self.guard(false));
        }
        let won = wait::any(&[self])?;
        Ok(self.guard(won.abandoned))
    }

    /// [`acquire`](Self::acquire) for at most `timeout`. `None`: the time ran out.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub fn acquire_for(&self, timeout: Duration) -> Result<Option<MutantGuard<'_>>> {
        if self.object.quick_own() {
            return Ok(Some(self.guard(false)));
        }
        let won = wait::any_until(&[self], Some(Deadline::after(timeout)))?;
        Ok(won.map(|won| self.guard(won.abandoned)))
    }

    /// [`acquire`](Self::acquire) if that can be done at once.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub fn try_acquire(&self) -> Result<Option<MutantGuard<'_>>> {
        self.acquire_for(Duration::ZERO)
    }

    fn guard(&self, abandoned: bool) -> MutantGuard<'_> {
        MutantGuard {
            mutant: self,
            abandoned,
            _thread: PhantomData,
        }
    }

    /// Gives it up once; how often this thread had acquired it. For a mutant that
    /// [`wait::any`] or [`wait::all`] took: a guard does it by itself.
    ///
    /// # Errors
    /// [`ErrorKind::NotOwner`] if the calling thread does not own it; [`ErrorKind::Broken`].
    #[doc(alias = "NtReleaseMutant")]
    pub fn release(&self) -> Result<u32> {
        if self.object.quick_free() {
            return Ok(1);
        }
        let verb = "release mutant";
        let object = &self.object;
        let not_owner = || Error::new(ErrorKind::NotOwner, verb, object.handle.full_name());
        object.require(Rights::WAIT, verb)?;
        let spot = object.spot(0);
        let me = wait::member_token(&spot)?;
        let state = spot.observe();
        if state.ready() || state.value() != me {
            return Err(not_owner());
        }
        let count = spot.half(RECURSION);
        let depth = count.load(Ordering::Relaxed);
        if depth > 1 {
            count.store(depth - 1, Ordering::Relaxed);
            return Ok(depth);
        }
        kill::point("mutant.releasing");
        signal::signal(&spot, verb, |_| Op::Free)?;
        Ok(1)
    }

    /// Looks at it; nothing changes.
    ///
    /// # Errors
    /// [`ErrorKind::Broken`].
    #[doc(alias = "NtQueryMutant")]
    pub fn query(&self) -> Result<MutantState> {
        let spot = self.object.spot(0);
        let state = spot.observe();
        let depth = spot.half_look(RECURSION).load(Ordering::Relaxed);
        self.object.check_whole("query mutant")?;
        let owner = state.value();
        if state.ready() {
            return Ok(MutantState {
                owner: None,
                depth: 0,
                owned_by_caller: false,
                abandoned: false,
            });
        }
        let abandoned = self.object.domain.is_dead(owner);
        Ok(MutantState {
            owner: self.object.domain.sitter(owner).filter(|_| !abandoned),
            depth: if abandoned { 0 } else { depth },
            owned_by_caller: self.object.domain.is_callers(owner),
            abandoned,
        })
    }
}

waiting_handle!(Mutant, Kind::Mutant);

impl MutantGuard<'_> {
    /// Whether the last owner died owning it: what it guards may be half changed.
    #[must_use]
    pub fn abandoned(&self) -> bool {
        self.abandoned
    }
}

impl Drop for MutantGuard<'_> {
    fn drop(&mut self) {
        // It fails only if it was released behind the guard's back, or is broken.
        let _ = self.mutant.release();
    }
}

impl Waitable for Mutant {
    fn member(&self) -> Member<'_> {
        Member::object(&self.object, 0)
    }
}
