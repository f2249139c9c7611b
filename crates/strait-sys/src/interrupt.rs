//! Interrupting a thread by a signal that it handles, for tests of what a wait does then.
//!
//! `sigaction(2)` without SA_RESTART: a system call that sleeps returns `EINTR`.

use core::mem::zeroed;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::{Result, checked};

static HANDLED: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_signal: libc::c_int) {
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

/// Has this process handle SIGUSR1 by counting it.
///
/// # Errors
///
/// None that the kernel documents for this call.
pub fn accept() -> Result<()> {
    // SAFETY: all zeroes is a valid sigaction: default action, no flags, empty mask.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = count as extern "C" fn(libc::c_int) as usize;
    // SAFETY: the handler adds to an atomic, which is async-signal-safe.
    checked(unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, null_mut()) }.into())
        .map(drop)
}

/// How many such signals this process has handled.
#[must_use]
pub fn handled() -> u64 {
    HANDLED.load(Ordering::SeqCst)
}

/// Sends SIGUSR1 to one thread of this process, by its number.
///
/// # Errors
///
/// `ESRCH`: no such thread.
pub fn thread(tid: i32) -> Result<()> {
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    // SAFETY: takes no pointers.
    checked(unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, libc::SIGUSR1) }).map(drop)
}
