//! Deadlines on the monotonic clock, and the two clocks read as nanoseconds.
//!
//! Every wait in Strait takes a [`Deadline`], never a duration: a wait that is interrupted and
//! begun again must not start its time over. Durations from a user become deadlines once, at the
//! edge. `clock_gettime(2)`; the vDSO answers without entering the kernel.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
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

/// A count that grows at a steady rate, read in a few nanoseconds; for spins and rough durations.
///
/// The processor's own counter: rdtsc on x86-64, cntvct on aarch64, elsewhere [`monotonic_ns`].
/// Reads may pass other instructions, and on a machine whose processors disagree a later one may be
/// lower: subtract with `saturating_sub`. [`ticks_per_us`] gives the rate.
#[inline]
#[must_use]
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has the instruction.
    return unsafe { core::arch::x86_64::_rdtsc() };
    #[cfg(target_arch = "aarch64")]
    {
        let ticks: u64;
        // SAFETY: Linux lets user space read the counter.
        unsafe {
            core::arch::asm!(
                "mrs {ticks}, cntvct_el0",
                ticks = out(reg) ticks,
                options(nomem, nostack, preserves_flags)
            );
        }
        ticks
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    monotonic_ns()
}

/// How many [`ticks`] there are in a microsecond; at least 1.
///
/// Measured in the first call, which takes a quarter of a millisecond; rounded down.
#[must_use]
pub fn ticks_per_us() -> u64 {
    match RATE.load(Relaxed) {
        0 => measure(),
        rate => rate,
    }
}

/// What was measured, or 0. Two threads that ask first may both measure: a lock could be held at a
/// fork.
static RATE: AtomicU64 = AtomicU64::new(0);

#[cold]
fn measure() -> u64 {
    let (begin, first) = instant();
    while monotonic_ns() < begin + MEASURED_NS {
        core::hint::spin_loop();
    }
    let (end, last) = instant();
    let ticks = last.saturating_sub(first);
    let rate = ticks.saturating_mul(1000) / end.saturating_sub(begin).max(1);
    RATE.store(rate.max(1), Relaxed);
    rate.max(1)
}

/// For how long [`ticks_per_us`] measures.
const MEASURED_NS: u64 = 250_000;

/// The clock and the ticks at one moment: of several readings the one least interrupted.
fn instant() -> (u64, u64) {
    let reading = |_| {
        let before = ticks();
        let ns = monotonic_ns();
        (ticks().saturating_sub(before), ns, before)
    };
    let (_, ns, ticks) = (0..5).map(reading).min().unwrap_or_default();
    (ns, ticks)
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
