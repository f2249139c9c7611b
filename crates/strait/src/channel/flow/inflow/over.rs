//! Waiting for the other side's close, beyond the end of what it sends.

use std::sync::atomic::Ordering;

use crate::channel::flow::inflow::READING;
use crate::channel::flow::{Ended, Inflow, Pace};
use crate::channel::layout::{CUT, DEAF};

impl Inflow {
    /// Waits until the other side neither writes nor reads any more.
    pub(crate) fn await_end(&mut self, pace: Pace<'_>) -> Result<(), Ended> {
        let link = self.receiver.link.clone();
        if link.is_foreign() {
            return Err(Ended::Broken(link.foreign(READING)));
        }
        let is_over = || link.is_over(DEAF) || link.says(CUT);
        self.waiting.store(true, Ordering::Relaxed);
        // Its socket hangs up after it has said so: that wakes who waits here.
        while !is_over() && !(pace.stop)() {
            let is_over = || is_over() || (pace.stop)();
            self.receiver.waiter.wait(|| false, is_over, None);
        }
        self.waiting.store(false, Ordering::Relaxed);
        if is_over() {
            Ok(())
        } else {
            Err(Ended::Stopped)
        }
    }
}
