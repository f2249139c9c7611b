//! Time passes: calls are sent again, and given up.

use super::{Client, RETRY_MIN};
use crate::onc::message::Xid;
use crate::time::Time;

/// What time has brought.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Due<'a> {
    /// To be sent again.
    Retransmit {
        /// The call.
        xid: Xid,
        /// The same bytes as before.
        datagram: &'a [u8],
    },
    /// The deadline of this call has passed; it is not in flight any more.
    TimedOut(Xid),
}

impl Client {
    /// When to call [`handle_timeout`](Self::handle_timeout) next; `None`: nothing is due, ever.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// One thing that is due by `now`. Call it until there is none.
    pub fn handle_timeout(&mut self, now: Time) -> Option<Due<'_>> {
        let (due, xid) = *self.timers.first()?;
        if due > now {
            return None;
        }
        self.timers.pop_first();
        let pending = self.pending.get(&xid)?;
        if pending.deadline.is_some_and(|deadline| deadline <= now) {
            self.pending.remove(&xid);
            return Some(Due::TimedOut(xid));
        }
        let max = self.retry?.max;
        let pending = self.pending.get_mut(&xid)?;
        let again = pending.again.as_mut()?;
        again.pause = again.pause.saturating_mul(2).min(max).max(RETRY_MIN);
        // From now, not from when it was due: who comes late does not send a burst.
        again.at = now.after(again.pause);
        self.timers.insert((pending.due()?, xid));
        let datagram = &self.pending.get(&xid)?.again.as_ref()?.datagram;
        Some(Due::Retransmit { xid, datagram })
    }
}
