//! Memory mapped from a file, or private, that is safe to share with those who lie.
//!
//! A [`Map`] gives [`Word`]s and bounded copies, never a reference or a slice: another process may
//! change every byte at any time. It survives truncation: see [`Map::is_broken`]. Use
//! [`Map::shared`] for memory that processes share, [`Map::private`] for objects of one process
//! that shall work by the same code, [`Map::copy_on_write`] for a snapshot to change in private.
//!
//! Segments of [`sysv_shm`](crate::sysv_shm) are attached as maps too.
//!
//! A clone is the same memory; the last one to go unmaps it. A forked child keeps the maps.
//! `mmap(2)`.

use core::fmt;
use core::marker::PhantomData;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use crate::cell::{Mode, ReadOnly, ReadWrite, Scalar, Word};
use crate::guard::Guard;
use crate::{Errno, Result, copy};

/// What a [`Map`] allows.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Access {
    /// Loads only; a store is not possible even by mistake.
    Read,
    /// Loads and stores.
    Write,
}

impl Access {
    fn protection(self) -> ProtFlags {
        match self {
            Self::Read => ProtFlags::READ,
            Self::Write => ProtFlags::READ | ProtFlags::WRITE,
        }
    }
}

/// Mapped memory.
#[derive(Clone, Debug)]
pub struct Map {
    // The first three repeat what `region` knows, so that finding a word follows no pointer.
    base: *mut u8,
    len: usize,
    access: Access,
    region: Arc<Region>,
}

/// The mapping itself; unmapped on drop.
#[derive(Debug)]
pub(crate) struct Region {
    base: *mut u8,
    len: usize,
    /// It is a segment of System V's, whose pages may be of any size: only `shmdt` knows its end.
    attached: bool,
    /// `None` for memory without a file, which nobody can truncate.
    guard: Option<Guard>,
}

// SAFETY: the memory belongs to no thread, and all access to it is atomic.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}
// SAFETY: a Region is an address range with one owner; unmapping is not tied to a thread.
unsafe impl Send for Region {}
// SAFETY: a shared Region gives out nothing but the state of its guard, which is atomic.
unsafe impl Sync for Region {}

impl Map {
    /// Maps `len` bytes of a file from `offset`; all who map them see each other's stores.
    ///
    /// Bytes past the end of the file can be mapped; touching their pages breaks the map.
    ///
    /// # Errors
    ///
    /// `EINVAL`: `len` is 0, or `offset` is not on a page. `EACCES`, `EPERM`: the descriptor, or a
    /// seal, forbids it. `ENODEV`: not a file that can be mapped. `ENOMEM`: too many maps, or no
    /// room for one of this size.
    pub fn shared(fd: BorrowedFd<'_>, offset: u64, len: usize, access: Access) -> Result<Self> {
        // SAFETY: a new mapping at a place of the kernel's choice touches no existing memory.
        let base = unsafe {
            mmap(
                null_mut(),
                len,
                access.protection(),
                MapFlags::SHARED,
                fd,
                offset,
            )
        }?;
        Self::guarded(base.cast(), len, access, false)
    }

    /// Maps `len` zeroed bytes that only this process (and a forked child, as a copy) can reach.
    ///
    /// # Errors
    ///
    /// `EINVAL`: `len` is 0. `ENOMEM`: too many maps, or no room.
    pub fn private(len: usize) -> Result<Self> {
        let protection = Access::Write.protection();
        // SAFETY: as in `shared`.
        let base = unsafe { mmap_anonymous(null_mut(), len, protection, MapFlags::PRIVATE) }?;
        let region = Region {
            base: base.cast(),
            len,
            attached: false,
            guard: None,
        };
        Ok(Self::new(region, Access::Write))
    }

    /// Maps `len` bytes of a file from `offset`; stores stay in this map and change no file.
    ///
    /// A page not yet stored to may or may not follow the file.
    ///
    /// # Errors
    ///
    /// As for [`Map::shared`]; a descriptor for reading is enough.
    pub fn copy_on_write(fd: BorrowedFd<'_>, offset: u64, len: usize) -> Result<Self> {
        let protection = Access::Write.protection();
        // SAFETY: as in `shared`.
        let base = unsafe { mmap(null_mut(), len, protection, MapFlags::PRIVATE, fd, offset) }?;
        Self::guarded(base.cast(), len, Access::Write, false)
    }

    /// A segment of System V's that `shmat` has put at `base`; detached with the last clone.
    ///
    /// # Errors
    ///
    /// `ENOMEM`: too many maps; it is detached again.
    ///
    /// # Safety
    ///
    /// The segment has at least `len` bytes and was attached for `access` at `base`, which this map
    /// alone detaches.
    pub(crate) unsafe fn attached(base: *mut u8, len: usize, access: Access) -> Result<Self> {
        Self::guarded(base, len, access, true)
    }

    fn guarded(base: *mut u8, len: usize, access: Access, attached: bool) -> Result<Self> {
        let start = base.expose_provenance();
        let guard = Guard::new(start, len, access == Access::Write);
        let registered = guard.is_some();
        let region = Region {
            base,
            len,
            attached,
            guard,
        };
        let map = Self::new(region, access);
        // Without a guard it is unmapped again: the table has room for more maps than the kernel.
        registered.then_some(map).ok_or(Errno::NOMEM)
    }

    fn new(region: Region, access: Access) -> Self {
        Self {
            base: region.base,
            len: region.len,
            access,
            region: Arc::new(region),
        }
    }

    /// The bytes as a slice, for [`crate::memfd::Sealed`] alone: its file is sealed against writing
    /// and its map is handed to nobody.
    pub(crate) fn sealed_bytes(&self) -> &[u8] {
        // SAFETY: mapped and readable for `len` bytes while `self` lives, and written by nobody.
        unsafe { core::slice::from_raw_parts(self.base, self.len) }
    }

    /// The length in bytes; never 0.
    #[expect(clippy::len_without_is_empty, reason = "a map is never empty")]
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// What it was mapped for.
    #[inline]
    #[must_use]
    pub const fn access(&self) -> Access {
        self.access
    }

    /// Whether a page was found missing: somebody truncated the file.
    ///
    /// Such a page reads as zeros from then on, and what is stored there goes nowhere. Ask after
    /// reading what must not be zeros by accident.
    #[inline]
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.region.guard.as_ref().is_some_and(Guard::is_broken)
    }

    /// Where the memory begins in this process: for identity and diagnostics only.
    #[inline]
    #[must_use]
    pub fn address(&self) -> usize {
        self.base.addr()
    }

    /// The word at `offset`; `None` if out of bounds, not aligned, or mapped for reading.
    #[inline]
    #[must_use]
    pub fn word<T: Scalar>(&self, offset: usize) -> Option<Word<'_, T, ReadWrite>> {
        if self.access == Access::Read {
            return None;
        }
        let at = self.place::<T>(offset)?;
        // SAFETY: `place` checked bounds and alignment; the memory is writable, it is mapped as
        // long as `self` is borrowed, and this crate accesses it atomically only.
        Some(unsafe { Word::new(at) })
    }

    /// The word at `offset`, for looking only; `None` if out of bounds or not aligned.
    #[inline]
    #[must_use]
    pub fn look<T: Scalar>(&self, offset: usize) -> Option<Word<'_, T, ReadOnly>> {
        let at = self.place::<T>(offset)?;
        // SAFETY: as in `word`; reading is always allowed.
        Some(unsafe { Word::new(at) })
    }

    /// The word at `offset`, with the map: it costs no check to use and may outlive `self`.
    ///
    /// `None` as for [`Map::word`].
    #[must_use]
    pub fn fixed<T: Scalar>(&self, offset: usize) -> Option<Fixed<T, ReadWrite>> {
        Some(Fixed::new(self.word(offset)?, self.region()))
    }

    /// As [`Map::fixed`], for looking only; `None` as for [`Map::look`].
    #[must_use]
    pub fn fixed_look<T: Scalar>(&self, offset: usize) -> Option<Fixed<T, ReadOnly>> {
        Some(Fixed::new(self.look(offset)?, self.region()))
    }

    /// The start of `len` bytes from `offset`, if they are all in the map.
    pub(crate) fn span(&self, offset: usize, len: usize) -> Option<*mut u8> {
        let all = self.holds(offset, len);
        all.then(|| self.base.wrapping_add(offset))
    }

    /// What keeps the memory mapped.
    pub(crate) fn region(&self) -> Arc<Region> {
        Arc::clone(&self.region)
    }

    #[inline]
    fn place<T>(&self, offset: usize) -> Option<*mut T> {
        let room = self.len.checked_sub(offset)?;
        // The base is on a page, so that the offset decides the alignment.
        if room < size_of::<T>() || !offset.is_multiple_of(align_of::<T>()) {
            return None;
        }
        Some(self.base.wrapping_add(offset).cast())
    }

    /// Copies bytes out from `offset`; false, and nothing copied, if they are not all in the map.
    ///
    /// Safe against writers, who may be half way: then old and new bytes are mixed.
    #[must_use]
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> bool {
        if !self.holds(offset, bytes.len()) {
            return false;
        }
        let from = self.base.wrapping_add(offset);
        let (head, words) = split(from, bytes.len());
        let (first, rest) = bytes.split_at_mut(head);
        let (middle, last) = rest.split_at_mut(words);
        read_bytes(from, first);
        let from = from.wrapping_add(head);
        // SAFETY: in the map by `holds`, aligned and whole words by `split`.
        unsafe { copy::load(from, middle) };
        read_bytes(from.wrapping_add(words), last);
        true
    }

    /// Copies bytes in at `offset`; false, and nothing copied, if they do not all fit in the map or
    /// it is mapped for reading.
    ///
    /// As with [`Map::read`], another sees it happen piece by piece; publish with a [`Word`].
    #[must_use]
    pub fn write(&self, offset: usize, bytes: &[u8]) -> bool {
        if self.access == Access::Read || !self.holds(offset, bytes.len()) {
            return false;
        }
        let to = self.base.wrapping_add(offset);
        let (head, words) = split(to, bytes.len());
        let (first, rest) = bytes.split_at(head);
        let (middle, last) = rest.split_at(words);
        write_bytes(to, first);
        let to = to.wrapping_add(head);
        // SAFETY: as in `read`, and writable.
        unsafe { copy::store(to, middle) };
        write_bytes(to.wrapping_add(words), last);
        true
    }

    #[inline]
    fn holds(&self, offset: usize, len: usize) -> bool {
        self.len.checked_sub(offset).is_some_and(|room| room >= len)
    }
}

/// A [`Word`] that keeps its map mapped, found once and used often.
///
/// A clone is the same word.
pub struct Fixed<T, A = ReadWrite> {
    at: *mut T,
    region: Arc<Region>,
    mode: PhantomData<fn() -> A>,
}

// SAFETY: as for a Map and its Word: all access is atomic.
unsafe impl<T: Scalar, A> Send for Fixed<T, A> {}
// SAFETY: as above.
unsafe impl<T: Scalar, A> Sync for Fixed<T, A> {}

impl<T, A> Clone for Fixed<T, A> {
    fn clone(&self) -> Self {
        Self {
            region: Arc::clone(&self.region),
            ..*self
        }
    }
}

impl<T, A> fmt::Debug for Fixed<T, A> {
    /// Shows where the word is; its value may differ each time one looks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fixed").field(&self.at).finish()
    }
}

impl<T: Scalar, A: Mode> Fixed<T, A> {
    fn new(word: Word<'_, T, A>, region: Arc<Region>) -> Self {
        Self {
            at: word.pointer(),
            region,
            mode: PhantomData,
        }
    }

    /// The word.
    #[inline]
    #[must_use]
    pub fn word(&self) -> Word<'_, T, A> {
        // SAFETY: it was a word of this mode in the region, which `self` keeps mapped.
        unsafe { Word::new(self.at) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let broken = self.guard.as_ref().is_some_and(Guard::is_broken);
        // First: once unmapped, the addresses may be anybody's.
        drop(self.guard.take());
        if self.attached && !broken {
            // SAFETY: attached by `shmat` at this place, and borrowed by nobody any more.
            let detached = unsafe { libc::shmdt(self.base.cast()) };
            debug_assert_eq!(detached, 0, "detach what was attached");
            return;
        }
        // Where the guard has put zeros into a segment too: both kinds of pages go, and a segment
        // of which no page is left is detached.
        // SAFETY: mapped by this Region and borrowed by nobody any more.
        let unmapped = unsafe { munmap(self.base.cast(), self.len) };
        debug_assert_eq!(unmapped, Ok(()), "unmap what was mapped");
    }
}

/// How `len` bytes at `at` divide: bytes before the first aligned word, and bytes of whole words.
fn split(at: *mut u8, len: usize) -> (usize, usize) {
    let head = (at.addr().wrapping_neg() % copy::WORD).min(len);
    (head, (len - head) / copy::WORD * copy::WORD)
}

fn read_bytes(from: *mut u8, bytes: &mut [u8]) {
    for (index, byte) in bytes.iter_mut().enumerate() {
        // SAFETY: the callers pass a range that is in the map.
        let cell = unsafe { AtomicU8::from_ptr(from.wrapping_add(index)) };
        *byte = cell.load(Relaxed);
    }
}

fn write_bytes(to: *mut u8, bytes: &[u8]) {
    for (index, byte) in bytes.iter().enumerate() {
        // SAFETY: the callers pass a range that is in the map, which is writable.
        let cell = unsafe { AtomicU8::from_ptr(to.wrapping_add(index)) };
        cell.store(*byte, Relaxed);
    }
}
