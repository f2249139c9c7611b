//! Copies into and out of memory that another process may be writing.
//!
//! In relaxed words, so that a race is not undefined and no word is torn.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub(crate) const WORD: usize = size_of::<u64>();

/// Copies bytes out; the last word is loaded whole.
///
/// # Safety
///
/// `from` is aligned for u64, and `bytes.len()` rounded up to 8 is mapped there.
#[inline]
pub(crate) unsafe fn load(from: *mut u8, bytes: &mut [u8]) {
    let (words, tail) = bytes.as_chunks_mut::<WORD>();
    let after = from.wrapping_add(words.len() * WORD);
    for (index, word) in words.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        let cell = unsafe { AtomicU64::from_ptr(from.cast::<u64>().wrapping_add(index)) };
        *word = cell.load(Relaxed).to_ne_bytes();
    }
    if !tail.is_empty() {
        // SAFETY: the caller's promise.
        let cell = unsafe { AtomicU64::from_ptr(after.cast()) };
        tail.copy_from_slice(&cell.load(Relaxed).to_ne_bytes()[..tail.len()]);
    }
}

/// Copies bytes in; the last word is filled up with zeros.
///
/// # Safety
///
/// As for [`load`], and writable.
#[inline]
pub(crate) unsafe fn store(to: *mut u8, bytes: &[u8]) {
    let (words, tail) = bytes.as_chunks::<WORD>();
    let after = to.wrapping_add(words.len() * WORD);
    for (index, word) in words.iter().enumerate() {
        // SAFETY: the caller's promise.
        let cell = unsafe { AtomicU64::from_ptr(to.cast::<u64>().wrapping_add(index)) };
        cell.store(u64::from_ne_bytes(*word), Relaxed);
    }
    if !tail.is_empty() {
        let mut word = [0; WORD];
        word[..tail.len()].copy_from_slice(tail);
        // SAFETY: the caller's promise.
        let cell = unsafe { AtomicU64::from_ptr(after.cast()) };
        cell.store(u64::from_ne_bytes(word), Relaxed);
    }
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
