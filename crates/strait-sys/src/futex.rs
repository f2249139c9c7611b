//! Sleeping on a word and waking its sleepers, across processes.
//!
//! Every futex here is shared: the kernel knows the word by its file and offset, so processes that
//! map one file meet, whatever their addresses, and a read-only map is enough to wait and to wake.
//! Use [`waitv`] for several words on kernels that have it ([`waitv_works`]); use
//! [`uring`](crate::uring) to add descriptors.
//!
//! `futex(2)`, `futex_waitv(2)` (Linux 5.16). A wait on a page that a truncation took away is
//! `EFAULT`, and the word's map is then marked broken.

use arrayvec::ArrayVec;
use core::ffi::{c_int, c_long};
use core::ptr::null;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

use rustix::time::Timespec;

use crate::cell::{Mode, ReadOnly, Word};
use crate::time::Deadline;
use crate::{Errno, Result, checked};

/// The most words one [`waitv`] takes.
pub const SLEEPS_MAX: usize = 128;

/// FUTEX2_SIZE_U32 of `linux/futex.h`: a 32-bit word, shared.
pub(crate) const SIZE_U32: u32 = 2;

/// Wake everybody: the kernel counts in an int.
const ALL: c_long = c_int::MAX as c_long;

/// One word of several to sleep on, and the value that makes sleeping right.
#[derive(Copy, Clone, Debug)]
pub struct Sleep<'m> {
    /// The word.
    pub word: Word<'m, u32, ReadOnly>,
    /// The value at which to sleep.
    pub expected: u32,
}

/// Sleeps while the word is `expected`, until woken or the deadline.
///
/// A return without error may be spurious: load the word again.
///
/// # Errors
///
/// `EAGAIN`: the word had another value. `EINTR`: a signal came. `ETIMEDOUT`: the deadline passed.
/// `EFAULT`: the page is gone; the map is now broken.
#[inline]
pub fn wait<A: Mode>(
    word: Word<'_, u32, A>,
    expected: u32,
    deadline: Option<Deadline>,
) -> Result<()> {
    let until = deadline.map(Deadline::timespec);
    let until = until.as_ref().map_or(null(), |t| t as *const Timespec);
    // SAFETY: the word stays mapped for its lifetime, the timespec until the call returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.pointer(),
            libc::FUTEX_WAIT_BITSET,
            expected,
            until,
            null::<u32>(),
            libc::FUTEX_BITSET_MATCH_ANY,
        )
    };
    faulting(word, checked(result)).map(drop)
}

/// Wakes at most `count` sleepers of the word and returns how many.
///
/// # Errors
///
/// `EFAULT`: the page is gone; the map is now broken.
#[inline]
pub fn wake<A: Mode>(word: Word<'_, u32, A>, count: u32) -> Result<u32> {
    let count = c_int::try_from(count).unwrap_or(c_int::MAX);
    // SAFETY: the word stays mapped for its lifetime; the call writes nothing.
    let result = unsafe { libc::syscall(libc::SYS_futex, word.pointer(), libc::FUTEX_WAKE, count) };
    let woken = faulting(word, checked(result))?;
    Ok(u32::try_from(woken).unwrap_or(u32::MAX))
}

/// Sets the bits `or` in `decision` and wakes all sleepers of `word`, in one system call.
///
/// Whoever sees the bits set knows that the wake-up cannot be lost to this caller's death: the
/// kernel does the one directly after the other. Sleepers on `decision` sleep on.
///
/// # Errors
///
/// `EINVAL`: `or` is not a value the kernel can encode: a number below 2048, one single bit, or
/// all bits from some bit up to 11 upwards (a sign-extended 12-bit number). `EFAULT`: a page is
/// gone; its map is now broken.
pub fn wake_op_or(word: Word<'_, u32>, decision: Word<'_, u32>, or: u32) -> Result<()> {
    let operation = operation_or(or).ok_or(Errno::INVAL)?;
    // SAFETY: both words stay mapped for their lifetimes; the kernel changes `decision`
    // atomically, which a writable word allows.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.pointer(),
            libc::FUTEX_WAKE_OP,
            ALL,
            0_usize,
            decision.pointer(),
            operation,
        )
    };
    faulting(decision, faulting(word, checked(result))).map(drop)
}

/// FUTEX_OP_OR with `or`, and a comparison that is true only where all bits were set before.
fn operation_or(or: u32) -> Option<u32> {
    const OR: u32 = 2;
    const SHIFTED: u32 = 8;
    const EQUAL_TO_MINUS_ONE: u32 = 0xfff;
    let signed = or.cast_signed();
    let (op, argument) = if (-2048..2048).contains(&signed) {
        (OR, or & 0xfff)
    } else if or.is_power_of_two() {
        (OR | SHIFTED, or.trailing_zeros())
    } else {
        return None;
    };
    Some(op << 28 | argument << 12 | EQUAL_TO_MINUS_ONE)
}

/// Sleeps while every word has its expected value; returns the index of one that was woken.
///
/// # Errors
///
/// `EAGAIN`: a word had another value. `EINTR`, `ETIMEDOUT`, `EFAULT`: as for [`wait`].
/// `EINVAL`: no words, or more than [`SLEEPS_MAX`]. `ENOSYS`, `EPERM`: see [`waitv_works`].
pub fn waitv(sleeps: &[Sleep<'_>], deadline: Option<Deadline>) -> Result<usize> {
    if sleeps.is_empty() || sleeps.len() > SLEEPS_MAX {
        return Err(Errno::INVAL);
    }
    let entries: ArrayVec<Entry, SLEEPS_MAX> = sleeps.iter().map(Entry::of).collect();
    let until = deadline.map(Deadline::timespec);
    let until = until.as_ref().map_or(null(), |t| t as *const Timespec);
    // SAFETY: each entry names a word that stays mapped.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            entries.as_ptr(),
            entries.len(),
            0_usize,
            until,
            libc::CLOCK_MONOTONIC,
        )
    };
    match checked(result) {
        Ok(index) => usize::try_from(index).map_err(|_| Errno::IO),
        Err(errno) => Err(touch_all(sleeps, errno)),
    }
}

/// Whether this kernel and its filters let us [`waitv`]. Asked once; later calls are a load.
#[must_use]
pub fn waitv_works() -> bool {
    static WORKS: Probe = Probe::new();
    WORKS.get(|| {
        // No entries: EINVAL from a kernel that has the call, before it looks at anything.
        // SAFETY: the kernel is told that the array has no entries.
        let result = unsafe {
            libc::syscall(
                libc::SYS_futex_waitv,
                null::<Entry>(),
                0_usize,
                0_usize,
                null::<Timespec>(),
                libc::CLOCK_MONOTONIC,
            )
        };
        checked(result) == Err(Errno::INVAL)
    })
}

/// `struct futex_waitv` of `linux/futex.h`.
#[repr(C)]
#[derive(Copy, Clone, Default)]
struct Entry {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

impl Entry {
    fn of(sleep: &Sleep<'_>) -> Self {
        Self {
            value: u64::from(sleep.expected),
            address: sleep.word.address() as u64,
            flags: SIZE_U32,
            reserved: 0,
        }
    }
}

/// The kernel answers EFAULT where a load would raise SIGBUS: load, so that the guard sees it.
#[inline]
fn faulting<T, A: Mode>(word: Word<'_, u32, A>, result: Result<T>) -> Result<T> {
    if matches!(result, Err(Errno::FAULT)) {
        let _ = word.look().load(Relaxed);
    }
    result
}

/// As [`faulting`], for each word of several.
pub(crate) fn touch_all(sleeps: &[Sleep<'_>], errno: Errno) -> Errno {
    if errno == Errno::FAULT {
        for sleep in sleeps {
            let _ = sleep.word.load(Relaxed);
        }
    }
    errno
}

/// A yes or no that is found out once. Two threads may both ask; they get one answer.
pub(crate) struct Probe(AtomicU8);

impl Probe {
    const NO: u8 = 1;
    const YES: u8 = 2;

    pub(crate) const fn new() -> Self {
        Self(AtomicU8::new(0))
    }

    pub(crate) fn get(&self, ask: impl FnOnce() -> bool) -> bool {
        match self.0.load(Relaxed) {
            Self::YES => true,
            Self::NO => false,
            _ => {
                let works = ask();
                let answer = if works { Self::YES } else { Self::NO };
                self.0.store(answer, Relaxed);
                works
            }
        }
    }
}
