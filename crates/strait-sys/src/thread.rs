//! Threads that take no signals: hidden helpers must not run the program's handlers.
//!
//! All but those that an instruction raises: a thread that blocks one of them is killed by it, and
//! the [guard of maps](crate::map) lives on SIGBUS.
//!
//! `pthread_sigmask(3)`: a new thread inherits the mask of its maker, so that the mask is set
//! around the start and there is no moment in which the thread could be interrupted.

use core::ffi::c_int;
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};

use crate::{Errno, Result};

/// What an instruction raises.
const FAULTS: [c_int; 5] = [
    libc::SIGBUS,
    libc::SIGSEGV,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGTRAP,
];

/// All signals but faults are blocked in this thread until it is dropped.
struct Quiet(libc::sigset_t);

impl Quiet {
    fn new() -> Result<Self> {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigfillset initialises the set it is given.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        for fault in FAULTS {
            // SAFETY: the set is initialised.
            unsafe { libc::sigdelset(all.as_mut_ptr(), fault) };
        }
        // SAFETY: `all` is initialised, `before` may be written.
        let result =
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
        if result != 0 {
            return Err(Errno::from_raw_os_error(result));
        }
        // SAFETY: the call succeeded, so it stored the previous mask.
        Ok(Self(unsafe { before.assume_init() }))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // SAFETY: the set came from the kernel; nothing is stored.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, null_mut()) };
    }
}

fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::AGAIN)
}

/// Starts a thread of that name with all signals blocked.
///
/// # Errors
///
/// `EAGAIN`: no more threads.
pub fn spawn_quiet<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    let _quiet = Quiet::new()?;
    Builder::new()
        .name(name.into())
        .spawn(run)
        .map_err(|error| errno_of(&error))
}

/// [`spawn_quiet`] for a thread that ends within `scope`.
///
/// # Errors
///
/// `EAGAIN`: no more threads.
pub fn spawn_scoped_quiet<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    run: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    let _quiet = Quiet::new()?;
    Builder::new()
        .name(name.into())
        .spawn_scoped(scope, run)
        .map_err(|error| errno_of(&error))
}
