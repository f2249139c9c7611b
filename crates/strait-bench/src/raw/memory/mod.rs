//! Reference lines in memory that both sides map: words, futexes, a ring; and a plain copy.

mod futex;
mod memcpy;
mod ring;
mod spin;
mod waitv;

pub(super) use futex::Futex;
pub(super) use memcpy::Memcpy;
pub(super) use ring::{Ring, RingOf32};
pub(super) use spin::{Spin, Two};
pub(super) use waitv::Waitv;
