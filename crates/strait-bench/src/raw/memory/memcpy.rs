//! `raw.memcpy`: one copy in private memory, by one process.

use crate::{Carries, Job, Mechanism, Outcome, Site};

/// Nothing but the copy.
pub(in crate::raw) struct Memcpy;

impl Mechanism for Memcpy {
    const ID: &'static str = "raw.memcpy";
    const ABOUT: &'static str = "one copy in private memory, one process";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::BANDWIDTH];
    const ALONE: bool = true;
    const YARDSTICK: bool = true;

    fn open(_: &mut Site<'_>) -> Outcome<Self> {
        Ok(Self)
    }

    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<usize> {
        reply.copy_from_slice(request);
        Ok(request.len())
    }
}
