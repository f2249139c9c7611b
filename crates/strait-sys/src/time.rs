//! Deadlines on the monotonic clock, and the two clocks read as nanoseconds.
//!
//! Every wait in Strait takes a [`Deadline`], never a duration: a wait that is interrupted and
//! begun again must not start its time over. Durations from a user become deadlines once, at the
//! edge. `clock_gettime(2)`; the vDSO answers without entering the kernel.

use core::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

const NS_PER_S: u64 = 1_000_000_000;

/// A moment on `CLOCK_MONOTONIC`, in nanoseconds.
#[derive(Copy, Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Deadline(u64);

impl Deadline {
    /// This moment.
    #[inline]
    #[must_use]
    pub fn now() -> Self {
        Self(monotonic_ns())
    }

    /// The moment `wait` from now; a wait too long to represent ends at the last moment there is.
    #[must_use]
    pub fn after(wait: Duration) -> Self {
        let ns = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        Self(monotonic_ns().saturating_add(ns))
    }

    /// Nanoseconds on the monotonic clock.
    #[inline]
    #[must_use]
    pub const fn ns(self) -> u64 {
        self.0
    }

    /// The moment `ns` nanoseconds after the monotonic clock's zero.
    #[inline]
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// How long until then; zero when it has passed.
    #[must_use]
    pub fn left(self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(monotonic_ns()))
    }

    /// Whether the moment is now or past.
    #[must_use]
    pub fn passed(self) -> bool {
        self.0 <= monotonic_ns()
    }

    /// The form the kernel takes: absolute, on the monotonic clock.
    pub(crate) fn timespec(self) -> Timespec {
        timespec(self.0)
    }
}

/// Nanoseconds as the kernel's pair of seconds and nanoseconds.
pub(crate) fn timespec(ns: u64) -> Timespec {
    // A u64 of nanoseconds is at most 18.4 thousand million seconds: both parts fit an i64.
    Timespec {
        tv_sec: (ns / NS_PER_S).cast_signed(),
        tv_nsec: (ns % NS_PER_S).cast_signed(),
    }
}

/// `CLOCK_MONOTONIC` in nanoseconds. It does not run while the machine sleeps.
#[inline]
#[must_use]
pub fn monotonic_ns() -> u64 {
    ns_of(clock_gettime(ClockId::Monotonic))
}

/// `CLOCK_REALTIME` in nanoseconds since 1970; zero for a clock set before that.
#[must_use]
pub fn realtime_ns() -> u64 {
    ns_of(clock_gettime(ClockId::Realtime))
}

#[inline]
fn ns_of(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let rest = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(NS_PER_S).saturating_add(rest)
}
