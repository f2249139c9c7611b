//! Timers: objects that become ready at a time, once or again and again.
//!
//! Nobody runs a timer: its schedule lies in the object, and whoever waits computes from the clock
//! whether it has expired. A named one works between processes, also when its setter is gone.
//!
//! | NT | here |
//! | --- | --- |
//! | a manual-reset timer stays ready until it is set again; an auto-reset one releases one waiter | faithful |
//! | setting again restarts and unsignals; cancelling leaves the state | faithful |
//! | an absolute time follows changes of the clock | differs: it is fixed when the timer is set |
//! | completion routines | belong to a C interface |
//!
//! ```
//! use strait::nt::Timer;
//! use std::time::Duration;
//!
//! let tick = Timer::options().create()?;
//! tick.set(Duration::from_millis(1))?;
//! tick.wait()?;
//! # Ok::<(), strait::Error>(())
//! ```
//! Source: Windows SDK, CreateWaitableTimer, SetWaitableTimer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use strait_sys::time::{Deadline, monotonic_ns};

use crate::error::{Error, ErrorKind, Result};
use crate::object::handle::{Blueprint, Handle, Site};
use crate::object::kind::{Birth, Kind, Reset, Rights};
use crate::object::layout::FLAG_MANUAL;
use crate::object::spot::Object;
use crate::object::wait::timer::{self, Schedule};
use crate::object::wait::{self, Member, Waitable, signal};
use crate::object::word::{Op, State};

/// A waitable timer.
#[derive(Debug)]
#[doc(alias = "CreateWaitableTimer")]
pub struct Timer {
    object: Arc<Object>,
}

/// How a timer is born or opened.
#[derive(Clone, Debug)]
#[must_use]
pub struct TimerOptions {
    site: Site,
    reset: Reset,
    rights: Rights,
}

/// What a timer is like at this moment.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TimerState {
    /// Whether it has expired and was not taken.
    pub ready: bool,
    /// Time until its next expiry, if it is set.
    pub due: Option<Duration>,
    /// Whether taking it resets it.
    pub reset: Reset,
}

impl TimerOptions {
    site_options!();

    /// What taking it does; [`Reset::Auto`] by default.
    pub fn reset(mut self, reset: Reset) -> Self {
        self.reset = reset;
        self
    }

    fn plan(&self) -> Blueprint {
        Blueprint {
            kind: Kind::Timer,
            flags: if self.reset == Reset::Manual {
                FLAG_MANUAL
            } else {
                0
            },
            limit: 0,
            data_len: 0,
            states: [State::new(false, 0); 2],
        }
    }

    /// Makes the timer, not set.
    ///
    /// # Errors
    /// As [`EventOptions::create`](crate::nt::EventOptions::create).
    pub fn create(self) -> Result<Timer> {
        Timer::over(self.site.create(&self.plan(), "create timer")?)
    }

    /// Makes it, or opens the timer of that name as it is.
    ///
    /// # Errors
    /// As [`create`](Self::create), but for a timer of that name.
    pub fn create_or_open(self) -> Result<(Timer, Birth)> {
        let (handle, birth) = self.site.create_or_open(&self.plan(), "create timer")?;
        Ok((Timer::over(handle)?, birth))
    }

    /// Opens the timer of that name.
    ///
    /// # Errors
    /// As [`EventOptions::open`](crate::nt::EventOptions::open).
    pub fn open(self) -> Result<Timer> {
        Timer::over(self.site.open(Kind::Timer, self.rights, "open timer")?)
    }

    shared_option!();
}

impl Timer {
    /// Options for a new timer, or to open one.
    pub fn options() -> TimerOptions {
        TimerOptions {
            site: Site::default(),
            reset: Reset::Auto,
            rights: Rights::ALL,
        }
    }

    /// Opens the timer of that name in the user's own namespace.
    ///
    /// # Errors
    /// As [`TimerOptions::open`].
    pub fn open(name: impl Into<String>) -> Result<Self> {
        Self::options().name(name).open()
    }

    fn over(handle: Handle) -> Result<Self> {
        Ok(Self {
            object: Arc::new(Object::new(handle)?),
        })
    }

    /// Expires once, after `delay`. It is not ready until then, whatever it was.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] without [`Rights::MODIFY`]; [`ErrorKind::Broken`]; [`ErrorKind::Busy`]
    /// if 32 threads set it at this moment.
    #[doc(alias = "SetWaitableTimer")]
    pub fn set(&self, delay: Duration) -> Result<()> {
        self.arm(Deadline::after(delay).ns(), 0)
    }

    /// Expires after `delay`, then every `period`, which is at least a microsecond.
    ///
    /// # Errors
    /// As [`set`](Self::set); [`ErrorKind::InvalidInput`] for a shorter period.
    pub fn set_periodic(&self, delay: Duration, period: Duration) -> Result<()> {
        let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        if period < 1000 {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "set timer",
                self.object.handle.full_name(),
            )
            .because("a period is at least a microsecond"));
        }
        self.arm(Deadline::after(delay).ns(), period)
    }

    /// Expires once, at that time of the real-time clock; at once if it has passed.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn set_at(&self, time: SystemTime) -> Result<()> {
        self.set(time.duration_since(SystemTime::now()).unwrap_or_default())
    }

    fn arm(&self, first: u64, period: u64) -> Result<()> {
        self.reschedule(
            Schedule {
                first: first.max(1),
                period,
            },
            |cell| Op::Arm { cell },
        )
    }

    /// Stops it; whether it is ready does not change.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    #[doc(alias = "CancelWaitableTimer")]
    pub fn cancel(&self) -> Result<()> {
        let spot = self.object.spot(0);
        self.object.require(Rights::MODIFY, "set timer")?;
        // What has expired by now is its state.
        timer::fire(&spot, &mut wait::steps())
            .map_err(|_| wait::unsettled(&spot, "cancel timer"))?;
        self.reschedule(
            Schedule {
                first: 0,
                period: 0,
            },
            |cell| Op::Disarm { cell },
        )
    }

    fn reschedule(&self, schedule: Schedule, op: impl Fn(u32) -> Op) -> Result<()> {
        let spot = self.object.spot(0);
        self.object.require(Rights::MODIFY, "set timer")?;
        let cell = timer::write(&spot, schedule)?;
        signal::signal(&spot, "set timer", |_| op(cell))?;
        timer::published(&spot, cell);
        Ok(())
    }

    /// Waits until it expires, and takes the expiry if it is auto-reset.
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
    pub fn query(&self) -> Result<TimerState> {
        let spot = self.object.spot(0);
        let now = monotonic_ns();
        let due = timer::next(&spot).map(|due| Duration::from_nanos(due.ns().saturating_sub(now)));
        let ready = timer::is_ready(&spot);
        self.object.check_whole("query timer")?;
        let manual = self.object.has_flag(FLAG_MANUAL);
        let reset = if manual { Reset::Manual } else { Reset::Auto };
        Ok(TimerState { ready, due, reset })
    }
}

waiting_handle!(Timer, Kind::Timer, "timer");

impl Waitable for Timer {
    fn member(&self) -> Member<'_> {
        Member::object(&self.object, 0)
    }
}
