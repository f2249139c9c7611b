//! Copies into and out of memory that another process may be writing.
//!
//! Few bytes go in relaxed words, which inline well. Many go in vectors, in one `asm!` block whose
//! accesses are the processor's and no data race of the compiler's: in half to two thirds of the
//! time. SSE2 is enough, and every x86-64 has it; other processors go on in words.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub(crate) const WORD: usize = size_of::<u64>();

/// Up to so many bytes words are as fast as vectors.
pub(crate) const FEW: usize = 256;

/// Copies bytes out; of the last word, if they do not fill it, as many as there are.
///
/// # Safety
///
/// `from` is aligned for u64, and `bytes.len()` rounded up to 8 is mapped there.
pub(crate) unsafe fn load(from: *mut u8, bytes: &mut [u8]) {
    // SAFETY: the caller's promise; the slice is ours alone.
    let done = unsafe { blocks(bytes.as_mut_ptr(), from, bytes.len()) };
    // SAFETY: the caller's promise, `done` is whole words of it.
    unsafe { load_few(from.wrapping_add(done), &mut bytes[done..]) };
}

/// Copies bytes in; the last word, if they do not fill it, is filled up with zeros.
///
/// # Safety
///
/// As for [`load`], and writable.
pub(crate) unsafe fn store(to: *mut u8, bytes: &[u8]) {
    // SAFETY: the caller's promise.
    let done = unsafe { blocks(to, bytes.as_ptr(), bytes.len()) };
    // SAFETY: the caller's promise, `done` is whole words of it.
    unsafe { store_few(to.wrapping_add(done), &bytes[done..]) };
}

/// As [`load`], for few bytes.
///
/// # Safety
///
/// As for [`load`].
#[inline]
pub(crate) unsafe fn load_few(from: *mut u8, bytes: &mut [u8]) {
    let (words, tail) = bytes.as_chunks_mut::<WORD>();
    let mut from = from.cast::<u64>();
    for word in words {
        // SAFETY: the caller's promise.
        let cell = unsafe { AtomicU64::from_ptr(from) };
        *word = cell.load(Relaxed).to_ne_bytes();
        from = from.wrapping_add(1);
    }
    if !tail.is_empty() {
        // SAFETY: the caller's promise.
        let cell = unsafe { AtomicU64::from_ptr(from) };
        let mut word = u64::from_le(cell.load(Relaxed));
        // Neither this nor its counterpart is a copy of a slice, which would call `memcpy`.
        for byte in tail {
            *byte = word.to_le_bytes()[0];
            word >>= 8;
        }
    }
}

/// As [`store`], for few bytes.
///
/// # Safety
///
/// As for [`store`].
#[inline]
pub(crate) unsafe fn store_few(to: *mut u8, bytes: &[u8]) {
    let (words, tail) = bytes.as_chunks::<WORD>();
    let mut to = to.cast::<u64>();
    for word in words {
        // SAFETY: the caller's promise.
        let cell = unsafe { AtomicU64::from_ptr(to) };
        cell.store(u64::from_ne_bytes(*word), Relaxed);
        to = to.wrapping_add(1);
    }
    if !tail.is_empty() {
        let byte = |word, byte: &u8| word << 8 | u64::from(*byte);
        let word = tail.iter().rev().fold(0, byte);
        // SAFETY: the caller's promise.
        let cell = unsafe { AtomicU64::from_ptr(to) };
        cell.store(u64::to_le(word), Relaxed);
    }
}

/// Copies what is worth it of `len` bytes in blocks of vectors, and returns how many bytes that
/// was: a multiple of a word.
///
/// # Safety
///
/// `from` can be read and `to` written for `len` bytes.
#[cfg(target_arch = "x86_64")]
unsafe fn blocks(to: *mut u8, from: *const u8, len: usize) -> usize {
    const BLOCK: usize = 64;
    if len <= FEW {
        return 0;
    }
    let all = len / BLOCK * BLOCK;
    // SAFETY: `all` is a positive number of blocks within both ranges, whatever their alignment. As
    // the compiler sees it, each byte may be loaded or stored by itself, in any order.
    unsafe {
        core::arch::asm!(
            "2:",
            "movups {a}, [{from} + {at}]",
            "movups {b}, [{from} + {at} + 16]",
            "movups {c}, [{from} + {at} + 32]",
            "movups {d}, [{from} + {at} + 48]",
            "movups [{to} + {at}], {a}",
            "movups [{to} + {at} + 16], {b}",
            "movups [{to} + {at} + 32], {c}",
            "movups [{to} + {at} + 48], {d}",
            "add {at}, 64",
            "jnz 2b",
            // Both ends, and a place that counts up to 0 there.
            from = in(reg) from.wrapping_add(all),
            to = in(reg) to.wrapping_add(all),
            at = inout(reg) all.wrapping_neg() => _,
            a = out(xmm_reg) _,
            b = out(xmm_reg) _,
            c = out(xmm_reg) _,
            d = out(xmm_reg) _,
            options(nostack),
        );
    }
    all
}

/// As above: nothing.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn blocks(_to: *mut u8, _from: *const u8, _len: usize) -> usize {
    0
}

/// Asks for the line at `at`; any address will do.
#[inline]
pub(crate) fn prefetch(at: *mut u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which accesses nothing and cannot fault.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
