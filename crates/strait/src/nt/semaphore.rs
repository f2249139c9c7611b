//! Semaphores: a count of units that processes take and give.
//!
//! A unit belongs to nobody: what a killed process had taken is lost, as on NT. Where units must
//! come back after a death use a [`Mutant`](crate::nt::Mutant) or System V semaphores with undo.
//!
//! | NT | here |
//! | --- | --- |
//! | release of 0 or less, count above the limit: refused, nothing changed | faithful |
//! | release(n) wakes up to n waiters | all are woken, n take; the rest sleep on |
//!
//! ```
//! use strait::nt::Semaphore;
//! use std::time::Duration;
//!
//! let slots = Semaphore::options(1, 2).create()?;
//! assert!(slots.wait_for(Duration::ZERO)?);
//! assert_eq!(slots.release(2)?, 0);
//! assert!(slots.release(1).is_err());
//! # Ok::<(), strait::Error>(())
//! ```
//! Source: Windows SDK, CreateSemaphore, ReleaseSemaphore.

use std::sync::Arc;
use std::time::Duration;

use strait_sys::time::Deadline;

use crate::error::{Error, ErrorKind, Result};
use crate::object::handle::{Blueprint, Handle, Site};
use crate::object::kind::{Birth, Kind, Rights};
use crate::object::layout::COUNT_MAX;
use crate::object::spot::Object;
use crate::object::wait::{self, Member, Waitable, signal};
use crate::object::word::{Op, State};

/// The largest limit, as in NT.
pub const LIMIT_MAX: u32 = COUNT_MAX;

/// A semaphore.
#[derive(Debug)]
#[doc(alias = "NtCreateSemaphore")]
pub struct Semaphore {
    object: Arc<Object>,
    limit: u32,
}

/// How a semaphore is born or opened.
#[derive(Clone, Debug)]
#[must_use]
pub struct SemaphoreOptions {
    site: Site,
    initial: u32,
    limit: u32,
    rights: Rights,
}

/// What a semaphore is like at this moment.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SemaphoreState {
    /// Units that can be taken.
    pub count: u32,
    /// The most there can be.
    pub limit: u32,
}

impl SemaphoreOptions {
    site_options!();
    shared_option!();

    fn plan(&self, verb: &'static str) -> Result<Blueprint> {
        if self.limit == 0 || self.limit > LIMIT_MAX || self.initial > self.limit {
            let what = format!("initial {} of limit {}", self.initial, self.limit);
            return Err(Error::new(ErrorKind::InvalidInput, verb, what)
                .because("the limit is 1 to 2,147,483,647, and not below the initial count"));
        }
        Ok(Blueprint {
            kind: Kind::Semaphore,
            flags: 0,
            limit: u64::from(self.limit),
            data_len: 0,
            states: [
                State::new(self.initial > 0, self.initial),
                State::new(false, 0),
            ],
        })
    }

    /// Makes the semaphore.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a limit of 0 or above 2,147,483,647, or an initial count
    /// above it; otherwise as [`EventOptions::create`](crate::nt::EventOptions::create).
    pub fn create(self) -> Result<Semaphore> {
        let plan = self.plan("create semaphore")?;
        Semaphore::over(self.site.create(&plan, "create semaphore")?)
    }

    /// Makes it, or opens the semaphore of that name as it is.
    ///
    /// # Errors
    /// As [`create`](Self::create), but for a semaphore of that name.
    pub fn create_or_open(self) -> Result<(Semaphore, Birth)> {
        let plan = self.plan("create semaphore")?;
        let (handle, birth) = self.site.create_or_open(&plan, "create semaphore")?;
        Ok((Semaphore::over(handle)?, birth))
    }

    /// Opens the semaphore of that name; the counts asked for do not matter.
    ///
    /// # Errors
    /// As [`EventOptions::open`](crate::nt::EventOptions::open).
    pub fn open(self) -> Result<Semaphore> {
        Semaphore::over(
            self.site
                .open(Kind::Semaphore, self.rights, "open semaphore")?,
        )
    }
}

impl Semaphore {
    /// Options for a new semaphore with this initial count and this limit, or to open one.
    pub fn options(initial: u32, limit: u32) -> SemaphoreOptions {
        SemaphoreOptions {
            site: Site::default(),
            initial,
            limit,
            rights: Rights::ALL,
        }
    }

    /// Opens the semaphore of that name in the user's own namespace.
    ///
    /// # Errors
    /// As [`SemaphoreOptions::open`].
    pub fn open(name: impl Into<String>) -> Result<Self> {
        Self::options(0, 1).name(name).open()
    }

    fn over(handle: Handle) -> Result<Self> {
        let object = Arc::new(Object::new(handle)?);
        let limit = u32::try_from(object.handle.header.limit).unwrap_or(LIMIT_MAX);
        Ok(Self { object, limit })
    }

    /// Gives units back; the count before.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for 0 units; [`ErrorKind::LimitExceeded`] if the count would
    /// pass the limit: nothing was changed; [`ErrorKind::Denied`] without [`Rights::MODIFY`];
    /// [`ErrorKind::Broken`].
    #[doc(alias = "NtReleaseSemaphore")]
    pub fn release(&self, units: u32) -> Result<u32> {
        if units == 0 {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "release semaphore",
                self.object.handle.full_name(),
            )
            .because("a release is of at least one unit"));
        }
        if let Some(before) = self.object.quick_signal(0, Op::Release { units }) {
            return Ok(before.value());
        }
        let plan = |_| Op::Release { units };
        match signal::signal(&self.object.spot(0), "release semaphore", plan) {
            Ok((before, _)) => Ok(before.value()),
            Err(error) if error.kind() == ErrorKind::LimitExceeded => {
                Err(error.because(format!("{units} more would pass {}", self.limit)))
            }
            Err(error) => Err(error),
        }
    }

    /// Waits for a unit and takes it.
    ///
    /// # Errors
    /// As [`wait::any`].
    pub fn wait(&self) -> Result<()> {
        wait::one_forever(&self.object, 0).map(drop)
    }

    /// [`wait`](Self::wait) for at most `timeout`; false: the time ran out.
    ///
    /// # Errors
    /// As [`wait::any`].
    pub fn wait_for(&self, timeout: Duration) -> Result<bool> {
        Ok(wait::one(&self.object, 0, || Some(Deadline::after(timeout)))?.is_some())
    }

    /// Looks at it; nothing changes.
    ///
    /// # Errors
    /// [`ErrorKind::Broken`].
    #[doc(alias = "NtQuerySemaphore")]
    pub fn query(&self) -> Result<SemaphoreState> {
        let count = self.object.spot(0).observe().value();
        self.object.check_whole("query semaphore")?;
        Ok(SemaphoreState {
            count,
            limit: self.limit,
        })
    }
}

waiting_handle!(Semaphore, Kind::Semaphore);

impl Waitable for Semaphore {
    fn member(&self) -> Member<'_> {
        Member::object(&self.object, 0)
    }
}
