//! Which processors this thread may use, and which one it is on.
//!
//! For spinning (never with one processor, nor when the peer is on ours) and for measurements,
//! which pin their threads. `sched_setaffinity(2)`, `getcpu(2)`.

use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

use crate::fork::Guarded;
use crate::{Errno, Result};

/// The processors that the process could use when it first pinned a thread.
static BEFORE: Guarded<Option<CpuSet>> = Guarded::new(None);

/// Keeps the calling thread on processor `cpu`.
///
/// # Errors
///
/// `EINVAL`: there is no such processor, or this process may not use it.
pub fn pin(cpu: usize) -> Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(Errno::INVAL);
    }
    let now = sched_getaffinity(None)?;
    BEFORE.with(|before| {
        before.get_or_insert(now);
    });
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set)
}

/// Gives the calling thread all processors that the process could use before the first [`pin`].
///
/// # Errors
///
/// `EINVAL`: none of them is left to this process.
pub fn unpin() -> Result<()> {
    match BEFORE.with(|before| *before) {
        Some(set) => sched_setaffinity(None, &set),
        None => Ok(()),
    }
}

/// How many processors the calling thread may use; at least one. One system call: keep the answer.
#[must_use]
pub fn count() -> usize {
    match sched_getaffinity(None) {
        Ok(set) => usize::try_from(set.count()).unwrap_or(1).max(1),
        // More processors than the set has bits for.
        Err(_) => std::thread::available_parallelism().map_or(1, usize::from),
    }
}

/// The processor this thread is on; it may be on another before the caller has read the answer.
#[must_use]
pub fn current() -> usize {
    sched_getcpu()
}
