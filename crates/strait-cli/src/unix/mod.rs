//! The verbs of the mechanisms of Linux and System V: one file each.

#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "the verbs that read keys come with their mechanisms"
    )
)]
pub(crate) mod key;
