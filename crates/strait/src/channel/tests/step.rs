//! What a test has happen between two steps of its own thread.

use std::cell::RefCell;

/// A step, and what happens there; whether it does the next time too.
type Other = (&'static str, Box<dyn FnMut() -> bool>);

thread_local! {
    static MEANWHILE: RefCell<Option<Other>> = RefCell::new(None);
}

/// Does what [`at_step`] or [`at_steps`] said.
pub(crate) fn meanwhile(step: &str) {
    let found = MEANWHILE.with_borrow_mut(|next| next.take_if(|(at, _)| *at == step));
    if let Some((at, mut does)) = found
        && does()
    {
        MEANWHILE.set(Some((at, does)));
    }
}

/// When this thread comes to that step, something happens first, once.
pub(crate) fn at_step(step: &'static str, does: impl FnOnce() + 'static) {
    let mut once = Some(does);
    at_steps(step, 1, move || {
        if let Some(does) = once.take() {
            does();
        }
    });
}

/// The same, so many times.
pub(crate) fn at_steps(step: &'static str, times: u32, mut does: impl FnMut() + 'static) {
    let mut left = times;
    let next = move || {
        does();
        left -= 1;
        left > 0
    };
    MEANWHILE.set(Some((step, Box::new(next))));
}
