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
use core::sync::atomic::{AtomicBool, Ordering};
use std::os::unix::thread::JoinHandleExt;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};
use std::time::Duration;

use crate::{Errno, Result, fork};

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

// ---- a thread that can be called out of a system call --------------------------------------

/// What interrupts a thread of [`Interruptible`]: ignored by default, so that one which arrives
/// late does no harm.
const INTERRUPT: c_int = libc::SIGURG;
/// Between two attempts to interrupt: the first may come before the thread is in its system call.
const AGAIN: Duration = Duration::from_micros(200);

/// A quiet thread whose blocking system call ends with `EINTR` when it is to stop: one of those
/// that are never restarted (`signal(7)`), such as msgrcv(2), semop(2), poll(2), and futex(2) with
/// a timeout. Others go on sleeping where the program has a handler of its own with SA_RESTART.
///
/// It is interrupted by SIGURG, which it alone does not block and for which a handler that does
/// nothing is installed unless the program has one of its own. (Where the program installs one at
/// the very moment at which ours is, a SIGURG that comes within those microseconds may miss it.)
#[derive(Debug)]
pub struct Interruptible {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    generation: u32,
}

extern "C" fn nothing(_signal: c_int) {}

/// Has SIGURG interrupt: ignored or defaulted, it would not. A handler of the program's stays.
pub(crate) fn accept_interrupts() {
    if dispose(None).is_some_and(|now| is_unhandled(&now)) {
        install();
    }
}

fn is_unhandled(action: &libc::sigaction) -> bool {
    [libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction)
}

/// Installs the handler that does nothing. Another thread may have installed the program's since
/// the caller looked, and what takes its place would lose it: so what was displaced goes back, and
/// so does what that displaces in turn, until nobody has come between.
pub(crate) fn install() {
    let mut put = libc::sigaction {
        sa_sigaction: nothing as extern "C" fn(c_int) as usize,
        // Not SA_RESTART: a futex(2) would go on sleeping.
        sa_flags: 0,
        // SAFETY: of integers and an optional function, for which zero is valid: no signal more is
        // blocked in the handler.
        ..unsafe { core::mem::zeroed() }
    };
    let Some(mut displaced) = dispose(Some(&put)) else {
        return;
    };
    if is_unhandled(&displaced) || displaced.sa_sigaction == put.sa_sigaction {
        return;
    }
    while let Some(next) = dispose(Some(&displaced))
        && next.sa_sigaction != put.sa_sigaction
    {
        (put, displaced) = (displaced, next);
    }
}

/// What SIGURG does now, in exchange for `new` if there is one.
fn dispose(new: Option<&libc::sigaction>) -> Option<libc::sigaction> {
    let mut now = MaybeUninit::<libc::sigaction>::zeroed();
    let new = new.map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: `new` is null or an action whose handler does nothing or was installed by the
    // program itself; `now` may be written.
    let result = unsafe { libc::sigaction(INTERRUPT, new, now.as_mut_ptr()) };
    // SAFETY: the kernel filled it in, and zero is a valid sigaction besides.
    (result == 0).then(|| unsafe { now.assume_init() })
}

fn set_interrupts(how: c_int) {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set it is given.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: the set is initialised.
    unsafe { libc::sigaddset(set.as_mut_ptr(), INTERRUPT) };
    // SAFETY: the set is initialised; the old one is not asked for.
    unsafe { libc::pthread_sigmask(how, set.as_ptr(), null_mut()) };
}

impl Interruptible {
    /// Starts `run`, which must return soon after its argument has become true, and look at it
    /// whenever a call ended with `EINTR`.
    ///
    /// # Errors
    ///
    /// `EAGAIN`: no more threads.
    pub fn spawn(name: &str, run: impl FnOnce(&AtomicBool) + Send + 'static) -> Result<Self> {
        accept_interrupts();
        let stop = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&stop);
        let thread = spawn_quiet(name, move || {
            set_interrupts(libc::SIG_UNBLOCK);
            run(&theirs);
        })?;
        Ok(Self {
            stop,
            thread: Some(thread),
            generation: fork::generation(),
        })
    }

    /// Wakes it from [`std::thread::park`].
    pub fn unpark(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Interruptible {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        self.stop.store(true, Ordering::SeqCst);
        // It stayed behind in the process that this one was forked from.
        if self.generation != fork::generation() {
            core::mem::forget(thread);
            return;
        }
        thread.thread().unpark();
        while !thread.is_finished() {
            accept_interrupts();
            // SAFETY: the thread was not joined or detached, so that its handle is valid.
            unsafe { libc::pthread_kill(thread.as_pthread_t(), INTERRUPT) };
            // sleep: the signal may have come just before its system call; then another must.
            std::thread::sleep(AGAIN);
        }
        // A panic in it was told when it happened; it holds nothing of ours.
        let _ = thread.join();
    }
}
