//! The verbs of the mechanisms of Linux and System V: one file each.

pub(crate) mod fifo;
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "the verbs that read keys come with their mechanisms"
    )
)]
pub(crate) mod key;
pub(crate) mod signal;
