//! What the dead may have taken along, and whether that is what is missing.

use std::time::Duration;

use crate::death::storm::worker::{MUTANTS, Shop, UNITS, UNITS_EACH, journal};
use crate::death::watch::Ledger;
use crate::death::world::LIMIT;

/// What a worker is at. A set of semaphores is a bit for each.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    Idle,
    /// One of these, or nothing yet.
    TakingAny(u8),
    /// All of these, or nothing yet.
    TakingAll(u8),
    Holding(u8),
    /// It holds the first, of which it gives back the second.
    Giving(u8, u8),
    TakingMutant(usize),
    Owning(usize),
    GivingMutant(usize),
}

impl Phase {
    pub(super) fn encode(self) -> u64 {
        let (code, first, second) = match self {
            Self::Idle => (0, 0, 0),
            Self::TakingAny(mask) => (1, mask.into(), 0),
            Self::TakingAll(mask) => (2, mask.into(), 0),
            Self::Holding(mask) => (3, mask.into(), 0),
            Self::Giving(mask, one) => (4, mask.into(), one.into()),
            Self::TakingMutant(which) => (5, which as u64, 0),
            Self::Owning(which) => (6, which as u64, 0),
            Self::GivingMutant(which) => (7, which as u64, 0),
        };
        code | first << 8 | second << 16
    }

    fn decode(word: u64) -> Self {
        let [code, first, second, ..] = word.to_le_bytes();
        match code {
            1 => Self::TakingAny(first),
            2 => Self::TakingAll(first),
            3 => Self::Holding(first),
            4 => Self::Giving(first, second),
            5 => Self::TakingMutant(first.into()),
            6 => Self::Owning(first.into()),
            7 => Self::GivingMutant(first.into()),
            _ => Self::Idle,
        }
    }
}

/// What one was at when it was killed.
#[derive(Copy, Clone, Debug)]
pub(super) struct Dead(Phase);

impl Dead {
    pub(super) fn of(ledger: &Ledger, index: usize) -> Self {
        Self(Phase::decode(ledger.get(journal(index))))
    }

    pub(super) fn holds(&self) -> bool {
        self.0 != Phase::Idle
    }

    pub(super) fn owns(&self) -> bool {
        matches!(
            self.0,
            Phase::Owning(_) | Phase::GivingMutant(_) | Phase::TakingMutant(_)
        )
    }

    /// Every set of units that it may have taken along.
    fn may_have(self) -> Vec<u8> {
        let singles = |mask: u8| {
            (0..8)
                .map(|bit| 1 << bit)
                .filter(move |one| mask & one != 0)
        };
        match self.0 {
            Phase::TakingAny(mask) => [0].into_iter().chain(singles(mask)).collect(),
            Phase::TakingAll(mask) => vec![0, mask],
            Phase::Holding(mask) => vec![mask],
            Phase::Giving(mask, one) => vec![mask, mask & !one],
            _ => vec![0],
        }
    }
}

/// How often each mutant has been reported abandoned.
pub(super) type Reports = [u64; MUTANTS];

/// Units that are missing, by semaphore.
type Missing = [u32; UNITS];

fn sum(masks: &[u8]) -> Missing {
    std::array::from_fn(|index| masks.iter().map(|mask| u32::from(mask >> index & 1)).sum())
}

/// Whether the dead, each by one of what it may have had, explain what is missing.
fn explained(missing: &Missing, dead: &[Dead], chosen: &mut Vec<u8>) -> bool {
    let Some((first, rest)) = dead.split_first() else {
        return sum(chosen) == *missing;
    };
    first.may_have().into_iter().any(|mask| {
        chosen.push(mask);
        let fits = explained(missing, rest, chosen);
        chosen.pop();
        fits
    })
}

impl Shop {
    /// Whether what is missing is what the dead had.
    pub(super) fn reconcile(&self, dead: &[Dead], before: Reports) -> Result<Missing, String> {
        let mut missing = [0; UNITS];
        for (missing, one) in missing.iter_mut().zip(&self.units) {
            // A poll first: marks of the dead are brought to their end by whoever comes.
            let got = one
                .wait_for(Duration::ZERO)
                .map_err(|error| error.to_string())?;
            if !got {
                return Err("units: refused, though the dead cannot have all".into());
            }
            one.release(1).map_err(|error| error.to_string())?;
            let count = one.query().map_err(|error| error.to_string())?.count;
            *missing = UNITS_EACH - count;
        }
        if !explained(&missing, dead, &mut Vec::new()) {
            return Err(format!("units lost: {missing:?}, by {dead:?}"));
        }
        self.mutants_are_reported(dead, before)?;
        Ok(missing)
    }

    /// One report for each owner that died, and none for anybody else.
    fn mutants_are_reported(&self, dead: &[Dead], before: Reports) -> Result<(), String> {
        for (which, before) in before.into_iter().enumerate() {
            let guard = self.mutants[which].acquire_for(LIMIT);
            let guard = guard.map_err(|error| error.to_string())?;
            let guard = guard.ok_or("a mutant is stuck")?;
            let mine = u64::from(guard.abandoned());
            self.nobody_owns(which);
            let reports = self.reports()[which] - before + mine;
            let count = |phases: &[Phase]| {
                let found = dead.iter().filter(|dead| phases.contains(&dead.0));
                found.count() as u64
            };
            let owned = count(&[Phase::Owning(which)]);
            let taking = count(&[Phase::TakingMutant(which)]);
            let giving = count(&[Phase::GivingMutant(which)]);
            // Who dies while taking may have been told, and may be told of.
            let range = owned.saturating_sub(taking)..=owned + taking + giving;
            if !range.contains(&reports) {
                return Err(format!(
                    "mutant {which}: abandoned {reports} times, expected {range:?}: {dead:?}"
                ));
            }
        }
        Ok(())
    }

    pub(super) fn repair(&self, missing: &Missing) -> Result<(), String> {
        for (missing, one) in missing.iter().zip(&self.units) {
            if *missing > 0 {
                one.release(*missing).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }
}
