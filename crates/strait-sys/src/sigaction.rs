//! What a signal does to this process; and the one handler, which rings an eventfd.
//!
//! A handler may interrupt any instruction, also in the allocator or under a lock: no closure of a
//! program can run there. [`Bell`] writes to an eventfd and does nothing else.
//!
//! `sigaction(2)`, `signal-safety(7)`.

use core::ffi::{c_int, c_long};
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::null;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::process::getpid;

use crate::signal::Signal;
use crate::{Errno, Result, checked, eventfd};

/// What a signal does, where it is not blocked.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Its default action.
    Default,
    /// Nothing.
    Ignore,
    /// Runs a handler.
    Handle,
}

/// What was in force, to be put back.
#[derive(Clone, Copy)]
pub struct Disposition(libc::sigaction);

impl Disposition {
    /// What the signal does.
    #[must_use]
    pub fn action(&self) -> Action {
        match self.0.sa_sigaction {
            libc::SIG_DFL => Action::Default,
            libc::SIG_IGN => Action::Ignore,
            _ => Action::Handle,
        }
    }

    /// SA_NOCLDWAIT: children leave no status behind. Says something of SIGCHLD alone.
    #[must_use]
    pub fn no_child_wait(&self) -> bool {
        self.0.sa_flags & libc::SA_NOCLDWAIT != 0
    }

    fn of(handler: usize, flags: c_int) -> Self {
        // SAFETY: integers and an optional function, for which zero is valid.
        let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        Self(action)
    }
}

impl fmt::Debug for Disposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.action().fmt(f)
    }
}

/// What the signal does now.
///
/// # Errors
///
/// None that Linux documents for these arguments.
pub fn get(signal: Signal) -> Result<Disposition> {
    let mut now = Disposition::of(libc::SIG_DFL, 0);
    // SAFETY: nothing is set; `now` may be written.
    let result = unsafe { libc::sigaction(signal.number(), null(), &raw mut now.0) };
    checked(c_long::from(result))?;
    Ok(now)
}

/// Has the signal ignored, or do what it does by default; returns what was in force. What is
/// pending of a signal that is now ignored is discarded, even if it is blocked.
///
/// # Errors
///
/// `EINVAL`: KILL or STOP, or [`Action::Handle`].
pub fn set(signal: Signal, action: Action) -> Result<Disposition> {
    let handler = match action {
        Action::Default => libc::SIG_DFL,
        Action::Ignore => libc::SIG_IGN,
        Action::Handle => return Err(Errno::INVAL),
    };
    put(signal, &Disposition::of(handler, 0))
}

/// Puts back what was in force.
///
/// # Errors
///
/// None that Linux documents for what the kernel gave.
pub fn restore(signal: Signal, before: &Disposition) -> Result<()> {
    put(signal, before).map(drop)
}

fn put(signal: Signal, action: &Disposition) -> Result<Disposition> {
    let mut before = Disposition::of(libc::SIG_DFL, 0);
    // SAFETY: the action is the default, ignoring, our handler, or what was in force before, whose
    // handler is as good as it was; `before` may be written.
    let result =
        unsafe { libc::sigaction(signal.number(), &raw const action.0, &raw mut before.0) };
    checked(c_long::from(result))?;
    Ok(before)
}

/// What the handler needs to know of one signal.
struct Slot {
    /// The eventfd, which stays open for good: a handler that is running may yet write to it.
    event: OnceLock<OwnedFd>,
    /// Its number, for the handler; -1 while there is none.
    fd: AtomicI32,
    /// The process whose signals ring: a forked child shares the eventfd with it.
    owner: AtomicI32,
    taken: AtomicBool,
}

static SLOTS: [Slot; 65] = [const {
    Slot {
        event: OnceLock::new(),
        fd: AtomicI32::new(-1),
        owner: AtomicI32::new(0),
        taken: AtomicBool::new(false),
    }
}; 65];

fn slot(signal: Signal) -> &'static Slot {
    &SLOTS[signal.number().unsigned_abs() as usize]
}

/// Async-signal-safe: loads, getpid(2) and write(2), with errno as it was.
extern "C" fn ring(number: c_int) {
    let Some(slot) = usize::try_from(number).ok().and_then(|at| SLOTS.get(at)) else {
        return;
    };
    let fd = slot.fd.load(Ordering::Relaxed);
    let own = getpid().as_raw_nonzero().get();
    if fd < 0 || slot.owner.load(Ordering::Relaxed) != own {
        return;
    }
    // SAFETY: the place of this thread's errno.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: valid as long as the thread lives, and used by it alone.
    let before = unsafe { errno.read() };
    let one = 1_u64;
    // SAFETY: eight bytes that may be read. The descriptor is an eventfd that is never closed; if
    // its counter is at its end the write fails, and it is readable anyhow.
    unsafe { libc::write(fd, (&raw const one).cast(), size_of::<u64>()) };
    // SAFETY: as above.
    unsafe { errno.write(before) };
}

/// A signal that rings an eventfd instead of doing what it did, until this is dropped.
///
/// Interrupted system calls go on by themselves where the kernel can do that (SA_RESTART).
#[derive(Debug)]
pub struct Bell {
    signal: Signal,
    event: &'static OwnedFd,
    before: Disposition,
}

impl Bell {
    /// Hangs it up. There can be one for each signal.
    ///
    /// # Errors
    ///
    /// `EBUSY`: there is one. `EINVAL`: KILL or STOP. `EMFILE` and the like: no eventfd to be had.
    pub fn new(signal: Signal) -> Result<Self> {
        let slot = slot(signal);
        if slot.taken.swap(true, Ordering::AcqRel) {
            return Err(Errno::BUSY);
        }
        Self::hang(signal, slot).inspect_err(|_| slot.taken.store(false, Ordering::Release))
    }

    fn hang(signal: Signal, slot: &'static Slot) -> Result<Self> {
        let own = getpid().as_raw_nonzero().get();
        let inherited = slot.owner.load(Ordering::Relaxed) != own && slot.event.get().is_some();
        if inherited {
            // A descriptor of its own under the number that the parent's has here.
            let fresh = eventfd::create(0)?;
            let old = slot.event.get().map_or(-1, AsRawFd::as_raw_fd);
            // SAFETY: both are open, and the old number stays the slot's.
            let result = unsafe { libc::dup3(fresh.as_raw_fd(), old, libc::O_CLOEXEC) };
            checked(c_long::from(result))?;
        }
        let event = match slot.event.get() {
            Some(event) => event,
            None => {
                let fresh = eventfd::create(0)?;
                slot.event.get_or_init(|| fresh)
            }
        };
        eventfd::take(event.as_fd())?;
        slot.owner.store(own, Ordering::Relaxed);
        slot.fd.store(event.as_raw_fd(), Ordering::Release);
        let handler = ring as extern "C" fn(c_int) as usize;
        let flags = libc::SA_RESTART | libc::SA_ONSTACK;
        let before = put(signal, &Disposition::of(handler, flags))?;
        Ok(Self {
            signal,
            event,
            before,
        })
    }

    /// Its signal.
    #[must_use]
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// How often it rang since this was last asked; `None` if it did not.
    ///
    /// # Errors
    ///
    /// None that Linux documents.
    pub fn take(&self) -> Result<Option<u64>> {
        eventfd::take(self.event.as_fd())
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        // It was in force before: it can be again.
        let _ = restore(self.signal, &self.before);
        let slot = slot(self.signal);
        slot.fd.store(-1, Ordering::Relaxed);
        slot.taken.store(false, Ordering::Release);
    }
}

/// In a child between fork and exec: what is ignored does its default again, but for `keep`, which
/// is ignored whatever it was. Async-signal-safe.
///
/// # Errors
///
/// None that Linux documents.
pub(crate) fn reset_ignored(keep: crate::signal::Set) -> Result<()> {
    for signal in Signal::all() {
        match (keep.contains(signal), get(signal)?.action()) {
            (true, Action::Ignore) | (false, Action::Default | Action::Handle) => {}
            (true, _) => drop(set(signal, Action::Ignore)?),
            (false, Action::Ignore) => drop(set(signal, Action::Default)?),
        }
    }
    Ok(())
}
