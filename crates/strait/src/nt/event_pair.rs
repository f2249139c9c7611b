//! Event pairs: two auto-reset events, Low and High, for two parties that take turns.
//!
//! The client sets Low and waits for High, the server the other way round, each in one call. NT's
//! Quick LPC was built on them.
//!
//! | NT | here |
//! | --- | --- |
//! | both halves begin unset | faithful |
//! | waiting on the handle itself succeeds at once (its default object) | differs: there is nothing to wait for but the halves, [`EventPair::low`] and [`EventPair::high`] |
//! | set-and-wait was a hand-off before NT 5, is none since, and the object left in Windows 8.1 | as since NT 5 |
//! | a pair per thread without a handle (NtSetLowWaitHighThread) | left out |
//!
//! ```
//! use strait::nt::EventPair;
//!
//! let pair = EventPair::options().create()?;
//! std::thread::scope(|scope| {
//!     scope.spawn(|| pair.wait_low().and_then(|()| pair.set_high()));
//!     pair.set_low_wait_high()
//! })?;
//! # Ok::<(), strait::Error>(())
//! ```
//! Source: NtCreateEventPair and NtSetLowWaitHighEventPair of the Windows NT native interface.

use std::sync::Arc;
use std::time::Duration;

use strait_sys::time::Deadline;

use crate::error::Result;
use crate::object::handle::{Blueprint, Handle, Site};
use crate::object::kind::{Birth, Kind, Rights};
use crate::object::spot::Object;
use crate::object::wait::{self, Member, Waitable, signal};
use crate::object::word::{Op, State};

const LOW: usize = 0;
const HIGH: usize = 1;

/// An event pair.
#[derive(Debug)]
#[doc(alias = "NtCreateEventPair")]
pub struct EventPair {
    object: Arc<Object>,
}

/// One half of a pair, as a member of a wait.
#[derive(Copy, Clone, Debug)]
pub struct Half<'a> {
    object: &'a Arc<Object>,
    core: usize,
}

/// How an event pair is born or opened.
#[derive(Clone, Debug)]
#[must_use]
pub struct EventPairOptions {
    site: Site,
    rights: Rights,
}

/// What a pair is like at this moment.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct EventPairState {
    /// Whether Low is set.
    pub low: bool,
    /// Whether High is set.
    pub high: bool,
}

impl EventPairOptions {
    site_options!();
    shared_option!();

    fn plan() -> Blueprint {
        Blueprint {
            kind: Kind::EventPair,
            flags: 0,
            limit: 0,
            data_len: 0,
            states: [State::new(false, 0); 2],
        }
    }

    /// Makes the pair.
    ///
    /// # Errors
    /// As [`EventOptions::create`](crate::nt::EventOptions::create).
    pub fn create(self) -> Result<EventPair> {
        EventPair::over(self.site.create(&Self::plan(), "create event pair")?)
    }

    /// Makes it, or opens the pair of that name as it is.
    ///
    /// # Errors
    /// As [`create`](Self::create), but for a pair of that name.
    pub fn create_or_open(self) -> Result<(EventPair, Birth)> {
        let (handle, birth) = self
            .site
            .create_or_open(&Self::plan(), "create event pair")?;
        Ok((EventPair::over(handle)?, birth))
    }

    /// Opens the pair of that name.
    ///
    /// # Errors
    /// As [`EventOptions::open`](crate::nt::EventOptions::open).
    pub fn open(self) -> Result<EventPair> {
        EventPair::over(
            self.site
                .open(Kind::EventPair, self.rights, "open event pair")?,
        )
    }
}

impl EventPair {
    /// Options for a new pair, or to open one.
    pub fn options() -> EventPairOptions {
        EventPairOptions {
            site: Site::default(),
            rights: Rights::ALL,
        }
    }

    /// Opens the pair of that name in the user's own namespace.
    ///
    /// # Errors
    /// As [`EventPairOptions::open`].
    pub fn open(name: impl Into<String>) -> Result<Self> {
        Self::options().name(name).open()
    }

    fn over(handle: Handle) -> Result<Self> {
        Ok(Self {
            object: Arc::new(Object::new(handle)?),
        })
    }

    /// The Low half, to be waited for.
    #[must_use]
    pub fn low(&self) -> Half<'_> {
        Half {
            object: &self.object,
            core: LOW,
        }
    }

    /// The High half, to be waited for.
    #[must_use]
    pub fn high(&self) -> Half<'_> {
        Half {
            object: &self.object,
            core: HIGH,
        }
    }

    fn set(&self, core: usize, verb: &'static str) -> Result<()> {
        if self.object.quick_signal(core, Op::Set { cap: 1 }).is_some() {
            return Ok(());
        }
        signal::set(&self.object.spot(core), verb).map(drop)
    }

    /// Sets Low.
    ///
    /// # Errors
    /// As [`Event::set`](crate::nt::Event::set).
    pub fn set_low(&self) -> Result<()> {
        self.set(LOW, "set low")
    }

    /// Sets High.
    ///
    /// # Errors
    /// As [`Event::set`](crate::nt::Event::set).
    pub fn set_high(&self) -> Result<()> {
        self.set(HIGH, "set high")
    }

    /// Waits for Low and takes it.
    ///
    /// # Errors
    /// As [`wait::any`].
    pub fn wait_low(&self) -> Result<()> {
        wait::one_forever(&self.object, LOW).map(drop)
    }

    /// Waits for High and takes it.
    ///
    /// # Errors
    /// As [`wait::any`].
    pub fn wait_high(&self) -> Result<()> {
        wait::one_forever(&self.object, HIGH).map(drop)
    }

    /// Sets Low, then waits for High.
    ///
    /// # Errors
    /// As [`set_low`](Self::set_low) and [`wait_high`](Self::wait_high).
    #[doc(alias = "NtSetLowWaitHighEventPair")]
    pub fn set_low_wait_high(&self) -> Result<()> {
        self.set_low_wait_high_until(None).map(drop)
    }

    /// Sets High, then waits for Low.
    ///
    /// # Errors
    /// As [`set_high`](Self::set_high) and [`wait_low`](Self::wait_low).
    #[doc(alias = "NtSetHighWaitLowEventPair")]
    pub fn set_high_wait_low(&self) -> Result<()> {
        self.set_high_wait_low_until(None).map(drop)
    }

    /// [`set_low_wait_high`](Self::set_low_wait_high) for at most `timeout`; false: the time ran
    /// out, and Low is set. NT's calls have no timeout.
    ///
    /// # Errors
    /// As [`set_low_wait_high`](Self::set_low_wait_high).
    pub fn set_low_wait_high_for(&self, timeout: Duration) -> Result<bool> {
        self.set_low_wait_high_until(Some(Deadline::after(timeout)))
    }

    /// [`set_high_wait_low`](Self::set_high_wait_low) for at most `timeout`; false: the time ran
    /// out, and High is set.
    ///
    /// # Errors
    /// As [`set_high_wait_low`](Self::set_high_wait_low).
    pub fn set_high_wait_low_for(&self, timeout: Duration) -> Result<bool> {
        self.set_high_wait_low_until(Some(Deadline::after(timeout)))
    }

    fn set_low_wait_high_until(&self, deadline: Option<Deadline>) -> Result<bool> {
        let high = self.high();
        Ok(wait::signal_then_any(|| self.set_low(), &[&high], deadline)?.is_some())
    }

    fn set_high_wait_low_until(&self, deadline: Option<Deadline>) -> Result<bool> {
        let low = self.low();
        Ok(wait::signal_then_any(|| self.set_high(), &[&low], deadline)?.is_some())
    }

    /// Looks at both halves; nothing changes. The two looks are not one.
    ///
    /// # Errors
    /// [`ErrorKind::Broken`](crate::ErrorKind::Broken).
    pub fn query(&self) -> Result<EventPairState> {
        let ready = |core| self.object.spot(core).observe().ready();
        let state = EventPairState {
            low: ready(LOW),
            high: ready(HIGH),
        };
        self.object.check_whole("query event pair")?;
        Ok(state)
    }
}

waiting_handle!(EventPair, Kind::EventPair, "event pair");

impl Waitable for Half<'_> {
    fn member(&self) -> Member<'_> {
        Member::object(self.object, self.core)
    }
}
