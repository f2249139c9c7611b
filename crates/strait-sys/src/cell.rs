//! [`Word`]: one atomic integer in memory that another process may write at any time.
//!
//! Use a `Word` for every field of shared memory; use [`Map::read`](crate::map::Map::read) and
//! [`Map::write`](crate::map::Map::write) for bytes. A `Word` comes from a
//! [`Map`](crate::map::Map), lives no longer than the borrow of it, and never hands out a
//! reference: what is behind it may change between any two loads, so a value is loaded once,
//! checked, and then used.
//!
//! The operations are those of [`core::sync::atomic`], to which they compile. Two limits of the
//! Rust memory model concern shared memory, and both are met here:
//!
//! - On read-only memory only relaxed loads are defined: a [`ReadOnly`] word loads relaxed and adds
//!   the fence that the ordering asked for.
//! - Accesses of different sizes to one place, such as a [`Word::low`] half beside its whole, are
//!   outside Rust's model when they race. They are given byte for byte by LLVM's, and by the
//!   processors: each access is one instruction, and a half read is a half of some written whole.
//!
//! A word cannot outlive its map:
//!
//! ```compile_fail,E0505
//! # use strait_sys::map::Map;
//! # use core::sync::atomic::Ordering::Relaxed;
//! let map = Map::private(64).unwrap();
//! let word = map.word::<u32>(0).unwrap();
//! drop(map);
//! word.store(1, Relaxed);
//! ```
//!
//! A peer that scribbles changes values, never more: memory behind a `Word` stays mapped (see
//! the guard in [`map`](crate::map)) and holds plain integers, for which every value is valid.

use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::{
    AtomicI32, AtomicI64, AtomicU32, AtomicU64,
    Ordering::{self, Acquire, Relaxed, SeqCst},
    fence,
};

/// Marks a [`Word`] that can only be loaded.
#[derive(Debug)]
pub enum ReadOnly {}

/// Marks a [`Word`] that can be loaded and changed.
#[derive(Debug)]
pub enum ReadWrite {}

/// What may be done with a [`Word`]: [`ReadOnly`] or [`ReadWrite`].
pub trait Mode: sealed::Mode {}

impl Mode for ReadOnly {}
impl Mode for ReadWrite {}

/// The integers a [`Word`] can hold: `u32`, `u64`, `i32` and `i64`.
pub trait Scalar: sealed::Scalar {}

/// One atomic integer in a map that lives for `'m`.
pub struct Word<'m, T, A = ReadWrite> {
    at: *mut T,
    map: PhantomData<&'m ()>,
    mode: PhantomData<fn() -> A>,
}

// SAFETY: a Word stands for `&'m Atomic`, which is Send; all access through it is atomic.
unsafe impl<T: Scalar, A> Send for Word<'_, T, A> {}
// SAFETY: as above; `&Atomic` is Sync.
unsafe impl<T: Scalar, A> Sync for Word<'_, T, A> {}

impl<T, A> Clone for Word<'_, T, A> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, A> Copy for Word<'_, T, A> {}

impl<T, A> fmt::Debug for Word<'_, T, A> {
    /// Shows where the word is; its value may differ each time one looks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Word").field(&self.at).finish()
    }
}

impl<'m, T: Scalar, A: Mode> Word<'m, T, A> {
    /// The word at `at`.
    ///
    /// # Safety
    ///
    /// `at` is aligned for `T` and stays mapped, readable and, for [`ReadWrite`], writable for
    /// `'m`; in this process the memory is accessed only atomically.
    #[inline]
    pub(crate) const unsafe fn new(at: *mut T) -> Self {
        Self {
            at,
            map: PhantomData,
            mode: PhantomData,
        }
    }

    /// The value now.
    ///
    /// A load that is sequentially consistent is a fence and a load where the word is read-only.
    ///
    /// # Panics
    ///
    /// If `order` is `Release` or `AcqRel`, as in [`core::sync::atomic`].
    #[inline]
    #[must_use]
    pub fn load(self, order: Ordering) -> T {
        let atomic = self.atomic();
        if A::WRITABLE {
            return T::load(atomic, order);
        }
        match order {
            Acquire => {
                let value = T::load(atomic, Relaxed);
                fence(Acquire);
                value
            }
            SeqCst => {
                fence(SeqCst);
                let value = T::load(atomic, Relaxed);
                fence(Acquire);
                value
            }
            // Relaxed, or an ordering that std refuses with its own words.
            other => T::load(atomic, other),
        }
    }

    /// The same word, for looking only.
    #[inline]
    #[must_use]
    pub const fn look(self) -> Word<'m, T, ReadOnly> {
        Word {
            at: self.at,
            map: PhantomData,
            mode: PhantomData,
        }
    }

    /// Where the word is in this process, for identity and diagnostics.
    #[inline]
    #[must_use]
    pub fn address(self) -> usize {
        self.at.addr()
    }

    /// The address, for the kernel.
    #[inline]
    pub(crate) const fn pointer(self) -> *mut T {
        self.at
    }

    #[inline]
    fn atomic(&self) -> &T::Atomic {
        // SAFETY: `new` promised an aligned, mapped word for 'm, and `self` lives no longer.
        unsafe { T::atomic(self.at) }
    }
}

impl<T: Scalar> Word<'_, T, ReadWrite> {
    /// Sets the value.
    ///
    /// # Panics
    ///
    /// If `order` is `Acquire` or `AcqRel`, as in [`core::sync::atomic`].
    #[inline]
    pub fn store(self, value: T, order: Ordering) {
        T::store(self.atomic(), value, order);
    }

    /// Sets the value and returns the one before.
    #[inline]
    pub fn swap(self, value: T, order: Ordering) -> T {
        T::swap(self.atomic(), value, order)
    }

    /// Sets the value to `new` if it is `current`.
    ///
    /// # Errors
    ///
    /// The value found, if it was another.
    ///
    /// # Panics
    ///
    /// If `failure` is `Release` or `AcqRel`, as in [`core::sync::atomic`].
    #[inline]
    pub fn compare_exchange(
        self,
        current: T,
        new: T,
        success: Ordering,
        failure: Ordering,
    ) -> core::result::Result<T, T> {
        T::compare_exchange(self.atomic(), (current, new), success, failure)
    }

    /// Adds, wrapping around, and returns the value before.
    #[inline]
    pub fn fetch_add(self, value: T, order: Ordering) -> T {
        T::fetch_add(self.atomic(), value, order)
    }

    /// Subtracts, wrapping around, and returns the value before.
    #[inline]
    pub fn fetch_sub(self, value: T, order: Ordering) -> T {
        T::fetch_sub(self.atomic(), value, order)
    }

    /// Sets the bits of `value` and returns the value before.
    #[inline]
    pub fn fetch_or(self, value: T, order: Ordering) -> T {
        T::fetch_or(self.atomic(), value, order)
    }

    /// Keeps only the bits of `value` and returns the value before.
    #[inline]
    pub fn fetch_and(self, value: T, order: Ordering) -> T {
        T::fetch_and(self.atomic(), value, order)
    }
}

impl<'m, A: Mode> Word<'m, u64, A> {
    /// The least significant half: what a futex sleeps on when the word is 64 bits wide.
    #[inline]
    #[must_use]
    pub const fn low(self) -> Word<'m, u32, A> {
        self.half(if cfg!(target_endian = "big") { 1 } else { 0 })
    }

    /// The most significant half.
    #[inline]
    #[must_use]
    pub const fn high(self) -> Word<'m, u32, A> {
        self.half(if cfg!(target_endian = "big") { 0 } else { 1 })
    }

    #[inline]
    const fn half(self, index: usize) -> Word<'m, u32, A> {
        Word {
            at: self.at.cast::<u32>().wrapping_add(index),
            map: PhantomData,
            mode: PhantomData,
        }
    }
}

mod sealed {
    use core::fmt::Debug;
    use core::sync::atomic::Ordering;

    pub trait Mode {
        const WRITABLE: bool;
    }

    impl Mode for super::ReadOnly {
        const WRITABLE: bool = false;
    }

    impl Mode for super::ReadWrite {
        const WRITABLE: bool = true;
    }

    /// An integer and the atomic that stands on it.
    pub trait Scalar: Copy + Debug + Eq + Send + Sync + 'static {
        type Atomic;

        /// # Safety
        ///
        /// As for the atomic's `from_ptr`: aligned and mapped for `'a`, accessed only atomically.
        unsafe fn atomic<'a>(at: *mut Self) -> &'a Self::Atomic;

        fn load(atomic: &Self::Atomic, order: Ordering) -> Self;
        fn store(atomic: &Self::Atomic, value: Self, order: Ordering);
        fn swap(atomic: &Self::Atomic, value: Self, order: Ordering) -> Self;
        fn compare_exchange(
            atomic: &Self::Atomic,
            pair: (Self, Self),
            success: Ordering,
            failure: Ordering,
        ) -> Result<Self, Self>;
        fn fetch_add(atomic: &Self::Atomic, value: Self, order: Ordering) -> Self;
        fn fetch_sub(atomic: &Self::Atomic, value: Self, order: Ordering) -> Self;
        fn fetch_or(atomic: &Self::Atomic, value: Self, order: Ordering) -> Self;
        fn fetch_and(atomic: &Self::Atomic, value: Self, order: Ordering) -> Self;
    }
}

macro_rules! forward {
    ($($name:ident),*) => {$(
        #[inline]
        fn $name(atomic: &Self::Atomic, value: Self, order: Ordering) -> Self {
            atomic.$name(value, order)
        }
    )*};
}

macro_rules! scalar {
    ($($int:ty: $atomic:ty),*) => {$(
        impl Scalar for $int {}

        impl sealed::Scalar for $int {
            type Atomic = $atomic;

            #[inline]
            unsafe fn atomic<'a>(at: *mut Self) -> &'a $atomic {
                // SAFETY: the caller's promise is that of `from_ptr`.
                unsafe { <$atomic>::from_ptr(at) }
            }

            #[inline]
            fn load(atomic: &$atomic, order: Ordering) -> Self {
                atomic.load(order)
            }

            #[inline]
            fn store(atomic: &$atomic, value: Self, order: Ordering) {
                atomic.store(value, order);
            }

            #[inline]
            fn compare_exchange(
                atomic: &$atomic,
                pair: (Self, Self),
                success: Ordering,
                failure: Ordering,
            ) -> Result<Self, Self> {
                atomic.compare_exchange(pair.0, pair.1, success, failure)
            }

            forward!(swap, fetch_add, fetch_sub, fetch_or, fetch_and);
        }
    )*};
}

scalar!(u32: AtomicU32, u64: AtomicU64, i32: AtomicI32, i64: AtomicI64);
