//! Making objects ready: the one path of every set, reset, pulse and release.

use std::cell::RefCell;

use strait_sys::kill;

use crate::error::{Error, ErrorKind, Result};
use crate::object::commit::seat::Scribe;
use crate::object::commit::txn::{self, NoSignal, Unsettled};
use crate::object::kind::Rights;
use crate::object::layout::FLAG_LOOK_WAITS;
use crate::object::spot::Spot;
use crate::object::wait::member::{self, Steps};
use crate::object::wait::ring;
use crate::object::word::{Op, State};

/// Applies the operation that `plan` gives for the state as it is found. The state it replaced
/// comes back, and whether anything changed.
pub(crate) fn signal(
    spot: &Spot<'_>,
    verb: &'static str,
    plan: impl Fn(State) -> Op,
) -> Result<(State, bool)> {
    let object = spot.object;
    object.require(Rights::MODIFY, verb)?;
    object.check_whole(verb)?;
    let seatless = RefCell::new(None);
    let author = || {
        Scribe::new(&object.domain, false).map_err(|error| {
            *seatless.borrow_mut() = Some(error);
            Unsettled
        })
    };
    let always = object.has_flag(FLAG_LOOK_WAITS);
    match txn::signal(author, spot, always, plan, &mut Steps::until(None)) {
        Ok((before, changed)) => {
            object.check_whole(verb)?;
            if changed {
                ring::ring(spot);
            }
            Ok((before, changed))
        }
        Err(NoSignal::AtLimit) => Err(Error::new(
            ErrorKind::LimitExceeded,
            verb,
            object.handle.full_name(),
        )),
        Err(NoSignal::Unsettled) => match seatless.into_inner() {
            Some(error) => Err(error.during(verb, object.handle.full_name())),
            None => Err(member::unsettled(spot, verb)),
        },
    }
}

/// Sets an event: at most one release per registered waiter is pending.
pub(crate) fn set(spot: &Spot<'_>, verb: &'static str) -> Result<bool> {
    let plan = |state: State| Op::Set {
        // Counting the waiters only matters when a release is pending already.
        cap: if state.ready() {
            kill::point("set.counting");
            member::waiters(spot)
        } else {
            1
        },
    };
    Ok(signal(spot, verb, plan)?.0.ready())
}

/// Resets an event; releases that were given to waiters stay theirs.
pub(crate) fn reset(spot: &Spot<'_>, verb: &'static str) -> Result<bool> {
    let plan = |state: State| Op::Reset {
        waiters: if state.ready() {
            member::waiters(spot)
        } else {
            0
        },
    };
    Ok(signal(spot, verb, plan)?.0.ready())
}

/// Releases whoever is registered, and leaves the event reset.
pub(crate) fn pulse(spot: &Spot<'_>, verb: &'static str) -> Result<bool> {
    let plan = |_| Op::Pulse {
        waiters: member::waiters(spot),
    };
    Ok(signal(spot, verb, plan)?.0.ready())
}
