//! The guard against truncation: what becomes of a SIGBUS.
//!
//! Who may write a file may also truncate it, and a load from a page past the end of its file
//! raises SIGBUS; so does the first touch of memory that was promised without a reservation and is
//! not there. One handler for the process, installed at the first shared map, turns that into a
//! fact that can be asked for: a zero page of our own takes the place of the lost one, the map is
//! marked broken ([`Map::is_broken`](crate::map::Map::is_broken)), and the access goes on. A SIGBUS
//! anywhere else, or sent by somebody, or for failing memory, goes to the handler that was there
//! before, or kills the process as it would have.
//!
//! Limits: a handler installed after ours by others must call ours; a thread that blocks SIGBUS
//! dies of one all the same, so threads that block signals must leave this one out.
//!
//! `sigaction(2)`, `mmap(2)` under SIGBUS.

use core::ffi::{c_int, c_void};
use core::mem::{MaybeUninit, transmute};
use core::ptr::{from_ref, null, null_mut};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering, fence};
use std::sync::OnceLock;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use crate::fork::Guarded;
use crate::slots::{Slot, Table};
use crate::{Errno, Result};

/// The largest huge pages that any machine has: 16 GiB, as a power of two.
const HUGEST: u32 = 34;

static SPANS: Table<Span> = Table::new();
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();
static PAGE: AtomicUsize = AtomicUsize::new(4096);

/// The addresses of one map, as the handler finds them.
#[derive(Debug, Default)]
pub(crate) struct Span {
    /// Odd while the fields below change: a reader then passes over them. The map whose access
    /// raised the signal is borrowed by that access, so its own span never changes meanwhile.
    sequence: AtomicU32,
    start: AtomicUsize,
    end: AtomicUsize,
    writable: AtomicBool,
    broken: AtomicBool,
}

/// A registered map. Dropped before the memory is unmapped, so that no foreign address matches.
#[derive(Debug)]
pub(crate) struct Guard(Option<Slot<Span>>);

impl Guard {
    /// Registers `len` mapped bytes from `start`; `None` if the table is full.
    pub(crate) fn new(start: usize, len: usize, writable: bool) -> Option<Self> {
        install();
        let slot = SPANS.take()?;
        slot.value.set(start, start + len, writable);
        Some(Self(Some(slot)))
    }

    #[inline]
    pub(crate) fn is_broken(&self) -> bool {
        let slot = self.0.as_ref();
        slot.is_some_and(|slot| slot.value.broken.load(Ordering::Acquire))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            slot.value.set(0, 0, false);
            SPANS.give(slot);
        }
    }
}

impl Span {
    fn set(&self, start: usize, end: usize, writable: bool) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence
            .store(sequence.wrapping_add(1), Ordering::Relaxed);
        // The odd number comes before the fields, the even one after them.
        fence(Ordering::Release);
        self.start.store(start, Ordering::Relaxed);
        self.end.store(end, Ordering::Relaxed);
        self.writable.store(writable, Ordering::Relaxed);
        self.broken.store(false, Ordering::Relaxed);
        self.sequence
            .store(sequence.wrapping_add(2), Ordering::Release);
    }

    /// The start, the end and the writability of this span, if `address` is in it.
    fn find(&self, address: usize) -> Option<(usize, usize, bool)> {
        let sequence = self.sequence.load(Ordering::Acquire);
        let start = self.start.load(Ordering::Relaxed);
        let end = self.end.load(Ordering::Relaxed);
        let writable = self.writable.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        let still = self.sequence.load(Ordering::Relaxed) == sequence;
        let found = sequence.is_multiple_of(2) && still && (start..end).contains(&address);
        found.then_some((start, end, writable))
    }
}

fn install() {
    static INSTALLED: Guarded<bool> = Guarded::new(false);
    INSTALLED.with(|installed| {
        if std::mem::replace(installed, true) {
            return;
        }
        PAGE.store(rustix::param::page_size(), Ordering::Relaxed);
        // Known before ours can run: it may be needed at once.
        let previous = *PREVIOUS.get_or_init(disposition);
        let mut ours = previous;
        ours.sa_sigaction = handle as *const () as usize;
        // The mask and SA_NODEFER stay what the handler before us, which we call, asked for.
        ours.sa_flags =
            libc::SA_SIGINFO | libc::SA_ONSTACK | (previous.sa_flags & libc::SA_NODEFER);
        set_disposition(&ours);
    });
}

/// What happens now at SIGBUS.
fn disposition() -> libc::sigaction {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: only asks; `action` is valid to write. It cannot fail for this signal.
    unsafe { libc::sigaction(libc::SIGBUS, null(), action.as_mut_ptr()) };
    // SAFETY: all fields are integers or optional functions, for which zero is valid.
    unsafe { action.assume_init() }
}

fn set_disposition(action: &libc::sigaction) {
    // SAFETY: `action` names `handle`, or what another part of the process installed itself, or
    // the default; it cannot fail for this signal.
    unsafe { libc::sigaction(libc::SIGBUS, from_ref(action), null_mut()) };
}

/// The handler. Only async-signal-safe: atomics and system calls.
extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: libc gives each thread its errno.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: the pointer is this thread's own errno.
    let saved = unsafe { *errno };
    // SAFETY: with SA_SIGINFO the kernel passes valid information.
    let facts = unsafe { &*info };
    let mended = facts.si_code == libc::BUS_ADRERR && {
        // SAFETY: this code comes with an address.
        let address = unsafe { facts.si_addr() };
        mend(address.addr())
    };
    if !mended {
        pass_on(signal, info, context);
    }
    // SAFETY: as above.
    unsafe { *errno = saved };
}

/// Puts zeros in the place of a lost page of a registered map.
fn mend(address: usize) -> bool {
    let page = PAGE.load(Ordering::Relaxed);
    let start = address & !(page - 1);
    let found = SPANS
        .each()
        .find_map(|span| span.find(address).map(|found| (span, found)));
    let Some((span, (from, end, writable))) = found else {
        return false;
    };
    // Before the zeros can be read: who reads one and then asks learns that the map is broken.
    span.broken.store(true, Ordering::SeqCst);
    // The rest of the map where the page alone is refused: there may be too many maps.
    map_zeros(start, page, writable).is_ok()
        || map_zeros(start, end.next_multiple_of(page) - start, writable).is_ok()
        || mend_huge(from, end.next_multiple_of(page), writable)
}

/// Puts zeros in the place of a whole map of huge pages, which the kernel does not split: it
/// answers EINVAL to every end that is not the end of a page, and changes nothing. So the smallest
/// size of pages that it takes leads to the end of this map, and not beyond it.
fn mend_huge(from: usize, end: usize, writable: bool) -> bool {
    for shift in PAGE.load(Ordering::Relaxed).trailing_zeros()..=HUGEST {
        let len = (end - from).next_multiple_of(1 << shift);
        match map_zeros(from, len, writable) {
            Ok(()) => {
                let behind = core::ptr::with_exposed_provenance_mut(end);
                let rest = len - (end - from);
                // SAFETY: the map ended there for all who use it; what is behind was padding of
                // its last page, and is now a map of zeros that only we know of.
                return rest == 0 || unsafe { munmap(behind, rest) }.is_ok();
            }
            Err(Errno::INVAL) => {}
            Err(_) => return false,
        }
    }
    false
}

fn map_zeros(start: usize, len: usize, writable: bool) -> Result<()> {
    let mut protection = ProtFlags::READ;
    if writable {
        protection |= ProtFlags::WRITE;
    }
    let at = core::ptr::with_exposed_provenance_mut(start);
    // Without a reservation: a peer must not be able to make it too large to be granted.
    let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
    // SAFETY: the pages are in a registered map, which is unmapped only after it is unregistered
    // and which the interrupted access keeps alive; its memory is reached through atomics alone.
    unsafe { mmap_anonymous(at, len, protection, flags) }.map(drop)
}

/// What would have happened without us.
fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes valid information.
    let sent = unsafe { (*info).si_code } <= 0;
    let previous = PREVIOUS.get();
    let action = previous.map_or(libc::SIG_DFL, |previous| previous.sa_sigaction);
    match (action, previous) {
        // The kernel does not let a fault be ignored.
        (libc::SIG_IGN, _) if sent => return,
        (libc::SIG_IGN | libc::SIG_DFL, _) | (_, None) => {
            set_default();
            return send_again(signal, info);
        }
        (handler, Some(previous)) if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
            // SAFETY: SA_SIGINFO says that the handler has this type.
            let handler = unsafe { transmute::<usize, Handler>(handler) };
            handler(signal, info, context);
        }
        (handler, Some(_)) => {
            // SAFETY: without SA_SIGINFO a handler has this type.
            let handler = unsafe { transmute::<usize, extern "C" fn(c_int)>(handler) };
            handler(signal);
        }
    }
    // A handler that only put back the default, as Rust's own does, waits for the fault to come
    // again. A signal that was sent does not come again.
    if sent && disposition().sa_sigaction == libc::SIG_DFL {
        send_again(signal, info);
    }
}

fn set_default() {
    let mut action = disposition();
    action.sa_sigaction = libc::SIG_DFL;
    action.sa_flags = 0;
    set_disposition(&action);
}

/// Sends this thread the signal with the same information; it arrives as the handler returns.
fn send_again(signal: c_int, info: *mut libc::siginfo_t) {
    let process = rustix::process::getpid().as_raw_nonzero().get();
    let thread = rustix::thread::gettid().as_raw_nonzero().get();
    // SAFETY: the kernel copies the information it gave us; a process may send itself any.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_rt_tgsigqueueinfo,
            process,
            thread,
            signal,
            info.cast_const(),
        )
    };
    if sent == -1 {
        // SAFETY: always allowed.
        unsafe { libc::raise(signal) };
    }
}
