//! Which processors this thread may use, and which one it is on.
//!
//! For spinning (never with one processor, nor when the peer is on ours) and for measurements,
//! which pin their threads. `sched_setaffinity(2)`, `getcpu(2)`, `rseq(2)`.

use core::ffi::{CStr, c_uint};
use core::sync::atomic::{AtomicIsize, Ordering::Relaxed};

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

/// As [`current`], in about a nanosecond where the C library has registered its threads with
/// `rseq(2)` (glibc 2.35 and later): the kernel keeps the number in the thread's own memory.
#[inline]
#[must_use]
pub fn quick() -> u32 {
    let offset = RSEQ.load(Relaxed);
    if offset != UNKNOWN && offset != NONE {
        // SAFETY: glibc put an rseq area there in every thread.
        let cpu = unsafe { rseq_cpu(offset) };
        // The numbers that say the thread is not registered are negative.
        if cpu.cast_signed() >= 0 {
            return cpu;
        }
    }
    slow(offset)
}

/// Where the rseq area is from the thread pointer, which itself points to something else: or
/// [`UNKNOWN`], or [`NONE`].
static RSEQ: AtomicIsize = AtomicIsize::new(UNKNOWN);
const UNKNOWN: isize = 0;
const NONE: isize = isize::MIN;

#[cold]
fn slow(offset: isize) -> u32 {
    if offset == UNKNOWN {
        RSEQ.store(find_rseq().unwrap_or(NONE), Relaxed);
    }
    u32::try_from(current()).unwrap_or(0)
}

/// What glibc says of its rseq areas, if it has registered any.
fn find_rseq() -> Option<isize> {
    // musl and older versions of glibc do not have them.
    let size = symbol(c"__rseq_size")?.cast::<c_uint>();
    let offset = symbol(c"__rseq_offset")?.cast::<isize>();
    // SAFETY: glibc's documented variable of this type, written before `main`.
    let size = unsafe { *size };
    // SAFETY: as above; a ptrdiff_t.
    let offset = unsafe { *offset };
    let known = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));
    (known && size > 0).then_some(offset)
}

fn symbol(name: &CStr) -> Option<*mut core::ffi::c_void> {
    // SAFETY: looks the name up among the loaded objects.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

/// The field `cpu_id` of this thread's `struct rseq`, which follows 4 other bytes.
///
/// # Safety
///
/// There is one at `offset` from the thread pointer.
#[inline]
unsafe fn rseq_cpu(offset: isize) -> u32 {
    let cpu: u32;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a load from what the caller says is there.
    unsafe {
        core::arch::asm!(
            "mov {cpu:e}, fs:[{offset} + 4]",
            offset = in(reg) offset,
            cpu = lateout(reg) cpu,
            options(nostack, preserves_flags, readonly)
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a load from what the caller says is there.
    unsafe {
        core::arch::asm!(
            "mrs {at}, tpidr_el0",
            "add {at}, {at}, {offset}",
            "ldr {cpu:w}, [{at}, 4]",
            at = out(reg) _,
            offset = in(reg) offset,
            cpu = lateout(reg) cpu,
            options(nostack, preserves_flags, readonly)
        );
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let _ = offset;
        cpu = u32::MAX;
    }
    cpu
}
