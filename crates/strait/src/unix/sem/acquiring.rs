//! Operations on a set as a member of waits.

use std::sync::Arc;

use strait_sys::Errno;

use super::fail::{self, Doing};
use super::{Op, Set};
use crate::error::Result;
use crate::object::wait::source::Source;
use crate::object::wait::{Member, Waitable};

/// The most operations that can be waited for: with what takes each back, they are one call.
pub const ACQUIRING_MAX: usize = 250;

/// Operations to be done, as a member of a [wait](crate::wait), by [`Set::acquiring`].
///
/// The wait that it wins has done them: all at once. A wait that it does not win, or that is given
/// up, has changed no value. A wait for all only looks: do them by [`Set::try_op`] then.
///
/// While a wait sleeps, a thread waits in the kernel with the same operations followed by what
/// takes each of them back, in one call, which changes nothing in sum. It needs the same
/// permissions, and leaves traces: the time and the process of the last operation. It stands in the
/// kernel's queue in the wait's place; when it gets through, the wait itself has still to take what
/// is there, and another process may be faster.
#[derive(Debug)]
#[must_use = "nothing is acquired before this is waited for"]
pub struct Acquiring(Arc<dyn Source>);

#[derive(Debug)]
struct Wanted {
    set: Set,
    ops: Vec<Op>,
    /// The operations and what takes them back; and the same without waiting.
    probe: Vec<Op>,
    look: Vec<Op>,
}

impl Set {
    /// These operations, to be waited for together with other things. Their
    /// [`nowait`](Op::nowait) means nothing here.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for none, or for more than
    /// [`ACQUIRING_MAX`]. What else is wrong the wait says.
    pub fn acquiring(&self, ops: &[Op]) -> Result<Acquiring> {
        if !(1..=ACQUIRING_MAX).contains(&ops.len()) {
            let why = format!("{} operations to wait for: 1 to {ACQUIRING_MAX}", ops.len());
            return Err(fail::invalid(self, Doing::Op(ops.len()), why));
        }
        let there = ops.iter().map(|op| op.bare());
        let back = ops.iter().rev().filter_map(|op| op.inverse());
        let probe: Vec<Op> = there.chain(back).collect();
        Ok(Acquiring(Arc::new(Wanted {
            set: *self,
            ops: ops.iter().map(|op| op.nowait()).collect(),
            look: probe.iter().map(|op| op.nowait()).collect(),
            probe,
        })))
    }
}

impl Waitable for Acquiring {
    fn member(&self) -> Member<'_> {
        Member::source(&self.0)
    }
}

impl Source for Wanted {
    fn take(&self) -> Result<bool> {
        self.set.attempt(&self.ops)
    }

    fn is_ready(&self) -> Result<bool> {
        self.set.attempt(&self.look)
    }

    fn block(&self) -> std::result::Result<(), Errno> {
        self.set.raw.op(&self.probe)
    }
}
