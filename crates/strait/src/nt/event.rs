//! Events: a flag that processes wait for.
//!
//! Use one to say that something has happened; for data that comes with it use a pipe or a port,
//! for counted things a [`Semaphore`](crate::nt::Semaphore).
//!
//! On Linux an event is one 64-bit word in shared memory: setting and taking it without a sleeper
//! are single exchanges without a system call. A set that finds sleepers decides and wakes them in
//! one call of futex(2), so that a setter killed at any point leaves no sleeper beside a set event.
//!
//! | NT | here |
//! | --- | --- |
//! | a set releases one waiter of an auto-reset event | faithful: k sets release k sleepers, also before the first has run |
//! | waiters are released in order of arrival | differs: whoever comes first takes it |
//! | a pulse releases current waiters and is never seen as set | faithful for registered waiters; a [`wait::Set`] is none |
//! | at most 2^31 waiters | 128 waiters of an auto-reset event are counted; more are woken, but their releases may coalesce |
//!
//! ```
//! use strait::nt::{Event, Reset};
//! use std::time::Duration;
//!
//! let done = Event::options().reset(Reset::Auto).create()?;
//! done.set()?;
//! assert!(done.wait_for(Duration::ZERO)?);
//! assert!(!done.wait_for(Duration::ZERO)?);
//! # Ok::<(), strait::Error>(())
//! ```
//! Source: Windows SDK, CreateEvent; NtCreateEvent, NtPulseEvent.

use std::sync::Arc;
use std::time::Duration;

use strait_sys::time::Deadline;

use crate::error::Result;
use crate::object::handle::{Blueprint, Handle, Site};
use crate::object::kind::{Birth, Kind, Reset, Rights};
use crate::object::layout::{FLAG_LOOK_WAITS, FLAG_MANUAL};
use crate::object::spot::Object;
use crate::object::wait::{self, Member, Waitable, signal};
use crate::object::word::{Op, State};

/// An event. See the [module](crate::nt) for how it differs from NT's.
#[derive(Debug)]
#[doc(alias = "NtCreateEvent")]
pub struct Event {
    object: Arc<Object>,
}

/// How an event is born or opened.
#[derive(Clone, Debug)]
#[must_use]
pub struct EventOptions {
    site: Site,
    reset: Reset,
    set: bool,
    look_waits: bool,
    rights: Rights,
}

/// What an event is like at this moment.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct EventState {
    /// Whether it is set.
    pub set: bool,
    /// Whether taking it resets it.
    pub reset: Reset,
}

impl EventOptions {
    site_options!();
    shared_option!();

    /// What taking it does; [`Reset::Auto`] by default.
    pub fn reset(mut self, reset: Reset) -> Self {
        self.reset = reset;
        self
    }

    /// Born set.
    pub fn set(mut self) -> Self {
        self.set = true;
        self
    }

    /// Handles with [`Rights::LOOK`] alone may wait for it, if it is a manual-reset event. Each set
    /// and pulse then makes a system call, because such waiters leave no trace.
    pub fn look_waits(mut self) -> Self {
        self.look_waits = true;
        self
    }

    fn plan(&self) -> Blueprint {
        let manual = if self.reset == Reset::Manual {
            FLAG_MANUAL
        } else {
            0
        };
        let look_waits = if self.look_waits { FLAG_LOOK_WAITS } else { 0 };
        Blueprint {
            kind: Kind::Event,
            flags: manual | look_waits,
            limit: 0,
            data_len: 0,
            states: [
                State::new(self.set, u32::from(self.set)),
                State::new(false, 0),
            ],
        }
    }

    /// Makes the event.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`](crate::ErrorKind::Exists) or
    /// [`ErrorKind::WrongKind`](crate::ErrorKind::WrongKind) if the name is taken; what the name,
    /// the namespace and the kernel refuse.
    pub fn create(self) -> Result<Event> {
        Event::over(self.site.create(&self.plan(), "create event")?)
    }

    /// Makes it, or opens the event of that name as it is.
    ///
    /// # Errors
    /// As [`create`](Self::create), but for an event of that name.
    pub fn create_or_open(self) -> Result<(Event, Birth)> {
        let (handle, birth) = self.site.create_or_open(&self.plan(), "create event")?;
        Ok((Event::over(handle)?, birth))
    }

    /// Opens the event of that name.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound),
    /// [`ErrorKind::WrongKind`](crate::ErrorKind::WrongKind),
    /// [`ErrorKind::Denied`](crate::ErrorKind::Denied).
    pub fn open(self) -> Result<Event> {
        Event::over(self.site.open(Kind::Event, self.rights, "open event")?)
    }
}

impl Event {
    /// Options for a new event, or to open one.
    pub fn options() -> EventOptions {
        EventOptions {
            site: Site::default(),
            reset: Reset::Auto,
            set: false,
            look_waits: false,
            rights: Rights::ALL,
        }
    }

    /// Opens the event of that name in the user's own namespace.
    ///
    /// # Errors
    /// As [`EventOptions::open`].
    pub fn open(name: impl Into<String>) -> Result<Self> {
        Self::options().name(name).open()
    }

    fn over(handle: Handle) -> Result<Self> {
        Ok(Self {
            object: Arc::new(Object::new(handle)?),
        })
    }

    /// Sets it; whether it was set before. One waiter of an auto-reset event is released, all of a
    /// manual-reset one.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`](crate::ErrorKind::Denied) without [`Rights::MODIFY`];
    /// [`ErrorKind::Broken`](crate::ErrorKind::Broken).
    #[doc(alias = "NtSetEvent")]
    #[doc(alias = "SetEvent")]
    pub fn set(&self) -> Result<bool> {
        if let Some(before) = self.object.quick_signal(0, Op::Set { cap: 1 }) {
            return Ok(before.ready());
        }
        signal::set(&self.object.spot(0), "set event")
    }

    /// Resets it; whether it was set before. Waiters that a set has released stay released.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    #[doc(alias = "NtResetEvent")]
    #[doc(alias = "NtClearEvent")]
    pub fn reset(&self) -> Result<bool> {
        if let Some(before) = self.object.quick_signal(0, Op::Reset { waiters: 0 }) {
            return Ok(before.ready());
        }
        signal::reset(&self.object.spot(0), "reset event")
    }

    /// Releases those who wait now, one of an auto-reset event, and leaves it reset; whether it was
    /// set before.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    #[doc(alias = "NtPulseEvent")]
    pub fn pulse(&self) -> Result<bool> {
        signal::pulse(&self.object.spot(0), "pulse event")
    }

    /// Waits for it, and takes it if it is auto-reset.
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
    /// [`ErrorKind::Broken`](crate::ErrorKind::Broken).
    #[doc(alias = "NtQueryEvent")]
    pub fn query(&self) -> Result<EventState> {
        let state = self.object.spot(0).observe();
        self.object.check_whole("query event")?;
        let manual = self.object.has_flag(FLAG_MANUAL);
        let reset = if manual { Reset::Manual } else { Reset::Auto };
        Ok(EventState {
            set: state.ready(),
            reset,
        })
    }
}

waiting_handle!(Event, Kind::Event, "event");

impl Waitable for Event {
    fn member(&self) -> Member<'_> {
        Member::object(&self.object, 0)
    }
}
