//! The memory of a session: one's own, the peer's, and the bell page.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, fstat};
use strait_sys::map::{Access, Map};
use strait_sys::{Errno, memfd};

use crate::channel::hello::Shape;
use crate::channel::layout::{BELL_PAGE, PAGE};

/// The files of a session, as an heir of this end needs them.
#[derive(Debug)]
pub(crate) struct Files {
    /// Writable.
    pub(crate) own: OwnedFd,
    /// For reading.
    pub(crate) theirs: OwnedFd,
    /// Writable.
    pub(crate) bells: OwnedFd,
}

/// A side's own memory: zero, sealed in size, and for this user alone to open again.
pub(crate) fn create(shape: Shape) -> Result<OwnedFd, Errno> {
    // Blocks get their pages when they are first lent: an idle session does not pay for them.
    let needed = PAGE as u64 + shape.capacity;
    memfd::create_sparse(
        c"strait-channel",
        shape.file_len(),
        needed,
        Mode::RUSR | Mode::WUSR,
    )
}

pub(crate) fn create_bells() -> Result<OwnedFd, Errno> {
    memfd::create(c"strait-bells", BELL_PAGE as u64, Mode::RUSR | Mode::WUSR)
}

pub(crate) fn map(file: &OwnedFd, len: u64, access: Access) -> Result<Map, Errno> {
    let len = usize::try_from(len).map_err(|_| Errno::FBIG)?;
    Map::shared(file.as_fd(), 0, len, access)
}

/// Maps what a peer says is its memory, for reading.
///
/// Its length is sealed, so that no truncation can take it away from under the map; and it is a
/// file in memory, so that nobody's file server can delay us.
pub(crate) fn map_theirs(file: &OwnedFd, shape: Shape) -> Result<Map, &'static str> {
    check(file, shape.file_len())?;
    map(file, shape.file_len(), Access::Read).map_err(|_| "its memory cannot be mapped")
}

/// Maps the page that both write.
pub(crate) fn map_bells(file: &OwnedFd) -> Result<Map, &'static str> {
    check(file, BELL_PAGE as u64)?;
    map(file, BELL_PAGE as u64, Access::Write).map_err(|_| "its bell page cannot be mapped")
}

pub(crate) fn check(file: &OwnedFd, len: u64) -> Result<(), &'static str> {
    if !memfd::is_sealed(file.as_fd()) {
        return Err("what it sent is not memory of a sealed size");
    }
    let found = fstat(file).map_err(|_| "what it sent cannot be looked at")?;
    if u64::try_from(found.st_size) != Ok(len) {
        return Err("its memory has another size than it said");
    }
    Ok(())
}
