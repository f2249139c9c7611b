//! [`Window`]: a stretch of a map in which every position is in bounds.
//!
//! The memory of a ring: its length is a power of two, positions are counted without end, and each
//! is taken modulo the length. So no position needs a check, whoever computed it: a peer that lies
//! about one chooses which of the bytes are copied, never bytes outside.

use core::fmt;
use core::marker::PhantomData;
use std::sync::Arc;

use crate::cell::{Mode, ReadOnly, ReadWrite, Word};
use crate::copy;
use crate::map::{Access, Map, Region};

const WORD: usize = copy::WORD;

/// What offset and length of a window are multiples of: a cache line.
const LINE: usize = 64;

/// A part of a map, a power of two of bytes long, that is addressed modulo its length.
///
/// It keeps the map mapped, and its clone is the same memory.
pub struct Window<A = ReadWrite> {
    base: *mut u8,
    /// The length less one: the bits of a position that count.
    mask: usize,
    region: Arc<Region>,
    mode: PhantomData<fn() -> A>,
}

// SAFETY: as for a Map: the memory belongs to no thread, and all access to it is atomic.
unsafe impl<A> Send for Window<A> {}
// SAFETY: as above.
unsafe impl<A> Sync for Window<A> {}

impl<A> Clone for Window<A> {
    fn clone(&self) -> Self {
        Self {
            region: Arc::clone(&self.region),
            ..*self
        }
    }
}

impl<A> fmt::Debug for Window<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Window");
        shown
            .field("base", &self.base)
            .field("len", &(self.mask + 1));
        shown.finish()
    }
}

impl Window<ReadWrite> {
    /// The `len` bytes of the map from `offset`.
    ///
    /// `None` if they are not all in the map, if the map is for reading only, if `len` is less than
    /// 64 or no power of two, or if `offset` is not a multiple of 64.
    #[must_use]
    pub fn new(map: &Map, offset: usize, len: usize) -> Option<Self> {
        let writable = map.access() == Access::Write;
        writable.then(|| Self::within(map, offset, len))?
    }

    /// Copies bytes in from position `at` on, around the end if need be.
    ///
    /// The position is rounded down to a multiple of 8. Bytes beyond the length of the window are
    /// left out. A last word that they do not fill is filled up with zeros: a record owns its
    /// length rounded up to 8.
    ///
    /// Another sees it happen piece by piece; publish with a [`Word`].
    #[inline]
    pub fn write(&self, at: u64, bytes: &[u8]) {
        let (place, room) = self.place(at);
        if bytes.len() > room.min(copy::FEW) {
            return self.write_many(at, bytes);
        }
        // SAFETY: the window goes on for `room` bytes from here, whole words, and is writable.
        unsafe { copy::store_few(place, bytes) };
    }

    #[inline(never)]
    fn write_many(&self, at: u64, bytes: &[u8]) {
        let bytes = &bytes[..bytes.len().min(self.len())];
        let (place, room) = self.place(at);
        let (first, second) = bytes.split_at(bytes.len().min(room));
        // SAFETY: as above.
        unsafe { copy::store(place, first) };
        // SAFETY: the rest is less than the window, from its beginning.
        unsafe { copy::store(self.base, second) };
    }
}

impl Window<ReadOnly> {
    /// The `len` bytes of the map from `offset`, for looking only.
    ///
    /// `None` as for [`Window::new`], but the map may be for reading only.
    #[must_use]
    pub fn look(map: &Map, offset: usize, len: usize) -> Option<Self> {
        Self::within(map, offset, len)
    }
}

impl<A: Mode> Window<A> {
    fn within(map: &Map, offset: usize, len: usize) -> Option<Self> {
        let fits = len >= LINE && len.is_power_of_two() && offset.is_multiple_of(LINE);
        let base = map.span(offset, len).filter(|_| fits)?;
        Some(Self {
            base,
            mask: len - 1,
            region: map.region(),
            mode: PhantomData,
        })
    }

    /// The length in bytes: a power of two, at least 64.
    #[expect(clippy::len_without_is_empty, reason = "a window is never empty")]
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.mask + 1
    }

    /// The word at position `at`, which is rounded down to a multiple of 8.
    #[inline]
    #[must_use]
    pub fn word(&self, at: u64) -> Word<'_, u64, A> {
        let (place, _) = self.place(at);
        // SAFETY: aligned and in the window, whose map outlives the borrow; writable if A says so.
        unsafe { Word::new(place.cast()) }
    }

    /// Copies bytes out from position `at` on, around the end if need be.
    ///
    /// The position is rounded down to a multiple of 8. Bytes beyond the length of the window keep
    /// their values. Safe against writers, who may be half way: then old and new bytes are mixed.
    #[inline]
    pub fn read(&self, at: u64, bytes: &mut [u8]) {
        let (place, room) = self.place(at);
        if bytes.len() > room.min(copy::FEW) {
            return self.read_many(at, bytes);
        }
        // SAFETY: the window goes on for `room` bytes from here, whole words.
        unsafe { copy::load_few(place, bytes) };
    }

    #[inline(never)]
    fn read_many(&self, at: u64, bytes: &mut [u8]) {
        let len = bytes.len().min(self.len());
        let (place, room) = self.place(at);
        let (first, second) = bytes[..len].split_at_mut(len.min(room));
        // SAFETY: as above.
        unsafe { copy::load(place, first) };
        // SAFETY: the rest is less than the window, from its beginning.
        unsafe { copy::load(self.base, second) };
    }

    /// Asks the processor to have position `at` in its cache soon; only a hint.
    #[inline]
    pub fn prefetch(&self, at: u64) {
        let (place, _) = self.place(at);
        copy::prefetch(place);
    }

    /// Where position `at`, rounded down, is, and how many bytes there are from there to the end.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "only the bits of the mask count"
    )]
    fn place(&self, at: u64) -> (*mut u8, usize) {
        let offset = at as usize & self.mask & !(WORD - 1);
        (self.base.wrapping_add(offset), self.len() - offset)
    }
}
