//! What is served here.

use alloc::collections::BTreeMap;

use crate::onc::message::Accepted;

/// Programs and their versions, each with whatever serves it.
#[derive(Clone, Debug)]
pub struct Programs<T> {
    /// By program and version.
    all: BTreeMap<(u32, u32), T>,
}

impl<T> Default for Programs<T> {
    fn default() -> Self {
        let all = BTreeMap::new();
        Self { all }
    }
}

impl<T> Programs<T> {
    /// Serves a version; what has served it until now is returned.
    pub fn insert(&mut self, program: u32, version: u32, service: T) -> Option<T> {
        self.all.insert((program, version), service)
    }

    /// Serves a version no longer.
    pub fn remove(&mut self, program: u32, version: u32) -> Option<T> {
        self.all.remove(&(program, version))
    }

    /// What serves that version.
    ///
    /// # Errors
    ///
    /// What the caller is to be told: [`Accepted::ProgramUnavailable`], or
    /// [`Accepted::ProgramMismatch`] with the lowest and the highest version, also where the one
    /// that is asked for lies between.
    pub fn find(&self, program: u32, version: u32) -> Result<&T, Accepted> {
        if let Some(service) = self.all.get(&(program, version)) {
            return Ok(service);
        }
        let mut versions = self.all.range((program, 0)..=(program, u32::MAX));
        let Some(((_, low), _)) = versions.next() else {
            return Err(Accepted::ProgramUnavailable);
        };
        let low = *low;
        let high = versions.next_back().map_or(low, |((_, high), _)| *high);
        Err(Accepted::ProgramMismatch { low, high })
    }

    /// All of them, by program and version.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32, &T)> {
        let all = self.all.iter();
        all.map(|((program, version), service)| (*program, *version, service))
    }
}
