//! A unit that is given back by itself.

use std::time::Duration;

use strait_sys::fork;

use super::{Set, down, up};
use crate::error::Result;

/// A unit of a semaphore, given back when this is dropped, and by the kernel if the process dies
/// before that.
///
/// It may be dropped by another thread. In a forked child, whose it is not, dropping it does
/// nothing.
#[derive(Debug)]
#[must_use = "the unit is given back at once"]
pub struct Held {
    set: Set,
    number: u16,
    generation: u32,
}

impl Set {
    /// Takes a unit of semaphore `number`, and holds it; waits until there is one. It is
    /// `down(number).undo()` now and `up(number).undo()` later.
    ///
    /// # Errors
    /// As [`op`](Self::op).
    pub fn hold(&self, number: u16) -> Result<Held> {
        self.op(&[down(number).undo()])?;
        Ok(Held::new(self, number))
    }

    /// [`hold`](Self::hold) without waiting; `None`: there is no unit.
    ///
    /// # Errors
    /// As [`op`](Self::op).
    pub fn try_hold(&self, number: u16) -> Result<Option<Held>> {
        let taken = self.try_op(&[down(number).undo()])?;
        Ok(taken.then(|| Held::new(self, number)))
    }

    /// [`hold`](Self::hold) that waits for at most `timeout`; `None`: there was no unit.
    ///
    /// # Errors
    /// As [`op`](Self::op).
    pub fn hold_for(&self, number: u16, timeout: Duration) -> Result<Option<Held>> {
        let taken = self.op_for(&[down(number).undo()], timeout)?;
        Ok(taken.then(|| Held::new(self, number)))
    }
}

impl Held {
    fn new(set: &Set, number: u16) -> Self {
        Self {
            set: *set,
            number,
            generation: fork::generation(),
        }
    }

    /// Gives it back, and says if that failed: the set may be gone, or full.
    ///
    /// # Errors
    /// As [`Set::op`].
    pub fn release(self) -> Result<()> {
        let (set, number) = (self.set, self.number);
        std::mem::forget(self);
        set.op(&[up(number).undo()])
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.generation == fork::generation() {
            // Where the set is gone there is nothing to give back to.
            let _ = self.set.op(&[up(self.number).undo()]);
        }
    }
}
