//! How real code is run one operation at a time: it is started afresh each time, is given the
//! results that its operations had before, and is unwound at the first that has none yet.
//!
//! That needs no thread and no stack of its own, and makes what a participant knows a plain list of
//! results: two interleavings after which memory and these lists are equal are one state.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

#[derive(Default)]
struct Tape {
    results: Vec<u64>,
    played: usize,
    next: Option<Box<dyn Any>>,
    running: bool,
}

/// Unwinds a participant to where it was started.
struct Stop;

thread_local! {
    static TAPE: RefCell<Tape> = RefCell::default();
}

/// What a participant does next.
pub(crate) enum Next<O> {
    Perform(O),
    /// The operation is over; where the participant goes on, if it does.
    Over(Option<u64>),
}

/// One operation of the participant that runs. It comes back with its result, or not at all.
pub(crate) fn perform<O: 'static>(op: O) -> u64 {
    let result = TAPE.with_borrow_mut(|tape| {
        if !tape.running {
            // A destructor that runs while the participant is unwound: it has died or is asleep.
            return Some(0);
        }
        let result = tape.results.get(tape.played).copied();
        tape.played += 1;
        if result.is_none() {
            tape.next = Some(Box::new(op));
            tape.running = false;
        }
        result
    });
    result.unwrap_or_else(|| resume_unwind(Box::new(Stop)))
}

/// Runs `actor` from the stage `stage` up to what it does after these results.
pub(crate) fn play<O: 'static>(
    actor: &dyn Fn(u64) -> Option<u64>,
    stage: u64,
    results: Vec<u64>,
) -> Next<O> {
    TAPE.set(Tape {
        results,
        played: 0,
        next: None,
        running: true,
    });
    let ended = catch_unwind(AssertUnwindSafe(|| actor(stage)));
    let tape = TAPE.take();
    match ended {
        Ok(stage) => {
            assert!(
                tape.played >= tape.results.len() && tape.next.is_none(),
                "a participant did something else on the same results"
            );
            Next::Over(stage)
        }
        Err(stop) if stop.is::<Stop>() => {
            let next = tape.next.and_then(|next| next.downcast().ok());
            Next::Perform(*next.expect("a participant performs only operations of its world"))
        }
        Err(panic) => resume_unwind(panic),
    }
}
