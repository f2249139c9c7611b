//! Anonymous shared memory files with a size that nobody can change.
//!
//! A sealed memfd is the memory to share with a peer that is not trusted: it cannot be truncated
//! under the one who maps it. It cannot keep a writer from zeroing pages by punching holes; the
//! contents are the peer's word in any case. Hand a peer who shall only look the descriptor of
//! [`reopen_read_only`], never a writable one.
//!
//! `memfd_create(2)`, `fcntl(2)` under "File Sealing".

use core::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    FallocateFlags, MemfdFlags, OFlags, fallocate, fchmod, fcntl_add_seals, fcntl_get_seals,
    ftruncate, memfd_create, open,
};

pub use rustix::fs::{Mode, SealFlags};

use crate::{Errno, Result};

/// Beyond this size it is worth asking whether so much memory can be had at all.
const LARGE: u64 = 64 << 20;

/// Creates a file of `size` bytes, all allocated and zero, sealed against shrinking and growing.
///
/// `mode` is what opening it again through `/proc` is judged by; other users' processes need it
/// for that only. `name` shows in `/proc/PID/maps`. Where the kernel can, execution is sealed off
/// too.
///
/// # Errors
///
/// `ENOMEM`, `ENOSPC`: no memory for the pages. `EMFILE`, `ENFILE`: too many descriptors.
/// `EINVAL`: the name is longer than 249 bytes. `EFBIG`: the size is beyond what a file can have.
pub fn create(name: &CStr, size: u64, mode: Mode) -> Result<OwnedFd> {
    create_sparse(name, size, size, mode)
}

/// As [`create`], but only the first `allocated` bytes (all, if there are fewer) have their pages
/// from the start.
///
/// The others are zero and get theirs at the first touch, be it a load. Where no memory is left for
/// one, the map that was touched is broken ([`Map::is_broken`](crate::map::Map::is_broken)).
///
/// # Errors
///
/// As for [`create`].
pub fn create_sparse(name: &CStr, size: u64, allocated: u64, mode: Mode) -> Result<OwnedFd> {
    let allocated = allocated.min(size);
    if allocated > LARGE {
        // Memfds are not accounted before their pages exist: what the machine can never have would
        // be sought until the last page. A private map is refused at once.
        let len = usize::try_from(allocated).map_err(|_| Errno::FBIG)?;
        drop(crate::map::Map::private(len)?);
    }
    let fd = create_unsized(name)?;
    fchmod(&fd, mode)?;
    ftruncate(&fd, size)?;
    if allocated > 0 {
        // Pages that exist cannot fail to appear at first touch, which would be a SIGBUS.
        fallocate(&fd, FallocateFlags::empty(), 0, allocated)?;
    }
    fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW)?;
    Ok(fd)
}

fn create_unsized(name: &CStr) -> Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels from 6.3 can be told to refuse memfds that might be executed; older ones do not
    // know the flag.
    match memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => memfd_create(name, flags),
        result => result,
    }
}

/// Adds seals; there is no way to take one off.
///
/// # Errors
///
/// `EPERM`: the file takes no more seals, or the descriptor is not writable. `EBUSY`: a writable
/// map is in the way of `WRITE`. `EINVAL`: not such a file.
pub fn add_seals(fd: BorrowedFd<'_>, seals: SealFlags) -> Result<()> {
    fcntl_add_seals(fd, seals)
}

/// The seals on the file. Check a received one for `SHRINK | GROW` with `contains`: it may have
/// more.
///
/// # Errors
///
/// `EINVAL`: not a file in memory.
pub fn seals(fd: BorrowedFd<'_>) -> Result<SealFlags> {
    fcntl_get_seals(fd)
}

/// Whether the file is in memory: a memfd, on tmpfs or on hugetlbfs.
///
/// This asks the kernel's own bookkeeping and no file system, so that a descriptor from a peer can
/// be judged though it may be a FUSE file whose server never answers.
#[must_use]
pub fn is_shmem(fd: BorrowedFd<'_>) -> bool {
    fcntl_get_seals(fd).is_ok()
}

/// Whether the file is in memory and its size is sealed.
#[must_use]
pub fn is_sealed(fd: BorrowedFd<'_>) -> bool {
    seals(fd).is_ok_and(|seals| seals.contains(SealFlags::SHRINK | SealFlags::GROW))
}

/// Opens the file of `fd` again, for reading only.
///
/// With mode 0600 another user who receives the result can neither map nor open it for writing.
/// The same user and root can.
///
/// # Errors
///
/// `ENOENT`: `/proc` is not mounted. `EACCES`: the file's mode forbids it.
pub fn reopen_read_only(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// The bytes of a file that is sealed against every change.
#[derive(Debug)]
pub struct Sealed {
    map: crate::map::Map,
}

impl Sealed {
    /// Maps `len` bytes from `offset` (a multiple of the page size).
    ///
    /// # Errors
    ///
    /// `EPERM`: the file is not sealed against writing, shrinking and growing. `EINVAL`: not a file
    /// in memory, or the part is not within it. `ENOMEM`.
    pub fn map(fd: BorrowedFd<'_>, offset: u64, len: usize) -> Result<Self> {
        if !seals(fd)?.contains(SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW) {
            return Err(Errno::PERM);
        }
        let size = u64::try_from(rustix::fs::fstat(fd)?.st_size).map_err(|_| Errno::INVAL)?;
        let end = offset.checked_add(len as u64);
        if len == 0 || end.is_none_or(|end| end > size) {
            return Err(Errno::INVAL);
        }
        // A shared map of a writable descriptor counts as one that could become writable, which
        // the seal forbids on some kernels: a private one is read from the same pages.
        Ok(Self {
            map: crate::map::Map::copy_on_write(fd, offset, len)?,
        })
    }

    /// The bytes. Nobody can change them any more, so that a reference is honest.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.map.sealed_bytes()
    }
}
