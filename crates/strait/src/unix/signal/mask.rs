//! The mask of the calling thread: what it blocks, and guards that change it for a while.

use std::marker::PhantomData;

use strait_sys::Errno;
use strait_sys::signal::{self, Change, Set as Bits};

use super::{Set, Signal};
use crate::error::{Error, Result};

const VERB: &str = "change signal mask";

/// A change to the mask of the calling thread, undone when it is dropped. Only what it changed
/// itself is undone, so that guards may be dropped in any order.
///
/// Threads and processes that are started meanwhile inherit the mask as it is then.
#[derive(Debug)]
#[must_use = "dropped, it undoes the change at once"]
pub struct Mask {
    changed: Bits,
    undo: Change,
    /// A mask is its thread's.
    here: PhantomData<*const ()>,
}

impl Mask {
    /// Blocks these too: they stay pending until unblocked or received.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for KILL, STOP and faults.
    pub fn block(signals: impl IntoIterator<Item = Signal>) -> Result<Self> {
        let set = Set::new(signals).checked(VERB)?;
        let before = signal::change_mask(Change::Block, set).map_err(fail)?;
        Ok(Self {
            changed: set.without(before),
            undo: Change::Unblock,
            here: PhantomData,
        })
    }

    /// Blocks these no longer. What is pending of them acts at once.
    ///
    /// # Errors
    /// As [`Mask::block`].
    pub fn unblock(signals: impl IntoIterator<Item = Signal>) -> Result<Self> {
        let set = Set::new(signals).checked(VERB)?;
        let before = signal::change_mask(Change::Unblock, set).map_err(fail)?;
        Ok(Self {
            changed: set.without(set.without(before)),
            undo: Change::Block,
            here: PhantomData,
        })
    }
}

impl Drop for Mask {
    fn drop(&mut self) {
        // The kernel refuses no set of these.
        let _ = signal::change_mask(self.undo, self.changed);
    }
}

/// What the calling thread blocks.
///
/// # Errors
/// None that the kernel documents.
pub fn blocked() -> Result<Set> {
    signal::mask().map(Set).map_err(fail)
}

/// What is pending for the calling thread or its process: sent, blocked and not taken yet.
///
/// # Errors
/// None that the kernel documents.
pub fn pending() -> Result<Set> {
    signal::pending().map(Set).map_err(fail)
}

fn fail(errno: Errno) -> Error {
    Error::kernel(errno, VERB, "")
}
