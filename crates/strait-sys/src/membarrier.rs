//! A fence in every thread of every process that asked for it, paid by the one who calls.
//!
//! For the rare side of an asymmetric protocol. Where two sides each store one word and then load
//! the other's, both need a sequentially consistent fence between the two. With this call only the
//! rare side pays: the frequent one needs a compiler fence between its store and its load, in a
//! process that has registered itself ([`works`] does that). A process that has not is not
//! interrupted, so that its fence must be a real one: both sides must know of each other which one
//! they use.
//!
//! `membarrier(2)` under `MEMBARRIER_CMD_GLOBAL_EXPEDITED` (Linux 4.16).

use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

use rustix::thread::{MembarrierCommand, membarrier};

use crate::Result;

/// Whether this process is registered for [`global`], and may call it.
///
/// The first call registers the process and tries one barrier; in a process with threads the
/// kernel takes milliseconds to register it. The others return what was found. A registration
/// holds for all threads of the process and until it executes another program; a forked child is
/// registered as its parent was, so that the answer is right there too.
///
/// False on older kernels and where a filter of system calls forbids it.
#[inline]
#[must_use]
pub fn works() -> bool {
    match STATE.load(Relaxed) {
        UNKNOWN => probe(),
        state => state == WORKS,
    }
}

/// What was found. Two threads that ask first may both find it: a lock could be held at a fork.
static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);
const UNKNOWN: u8 = 0;
const WORKS: u8 = 1;
const FAILS: u8 = 2;

#[cold]
fn probe() -> bool {
    let registered = membarrier(MembarrierCommand::RegisterGlobalExpedited);
    let works = registered.and_then(|()| global()).is_ok();
    STATE.store(if works { WORKS } else { FAILS }, Relaxed);
    works
}

/// Has every thread that runs in a registered process pass a full memory fence before it returns.
///
/// A thread that does not run needs none: it passed one when it was taken off its processor. Costs
/// an interrupt of each processor on which such a thread runs: microseconds.
///
/// # Errors
///
/// `EINVAL`, `ENOSYS`: the kernel is too old. `EPERM` or another: a filter of system calls. None
/// of them where [`works`].
pub fn global() -> Result<()> {
    membarrier(MembarrierCommand::GlobalExpedited)
}
