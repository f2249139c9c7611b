//! `nt.names` and `nt.names.create`: a name among a hundred thousand, and among a hundred.

use strait::Namespace;

use crate::nt::crowd::{Crowd, member};
use crate::nt::space;
use crate::raw::{number, put_number};
use crate::{Against, Carries, Failure, Goal, Job, Limit, Measure, Mechanism, Outcome, Side, Site};

const MANY: Job = Job::sized(Measure::Scale, 100_000);
const FEW: Job = Job::sized(Measure::Scale, 100);

/// The same costs at most half as much again among a thousand times as many.
const fn goal(own: &'static str) -> Goal {
    Goal {
        job: MANY,
        placement: None,
        against: Against::Other(own, FEW),
        limit: Limit::AtMost(1.5),
    }
}

/// A namespace, and who holds what is in it. Nobody does on far's side, which has no part.
struct Names {
    space: Namespace,
    count: u32,
    _crowd: Option<Crowd>,
}

impl Names {
    fn gather(site: &Site<'_>) -> Outcome<Self> {
        let space = space(site)?;
        let count = site.job().size;
        let crowd = match site.side() {
            Side::Near => Some(Crowd::gather(space.path(), count)?),
            Side::Far => None,
        };
        Ok(Self {
            space,
            count: u32::try_from(count)?,
            _crowd: crowd,
        })
    }
}

/// Opens the names in no order, so that it does not find in the caches what it left there.
pub(super) struct Open {
    names: Names,
    random: u32,
}

impl Mechanism for Open {
    const ID: &'static str = "nt.names";
    const ABOUT: &'static str = "open and close one of so many named objects that others hold";
    const CARRIES: Carries = Carries::Nothing;
    const MEASURES: &'static [Job] = &[MANY];
    const ALONE: bool = true;
    const HEAVY: bool = true;
    const GOALS: &'static [Goal] = &[goal(Self::ID)];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let names = Names::gather(site)?;
        Ok(Self { names, random: 1 })
    }

    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<usize> {
        // Numerical Recipes' generator; the upper bits are the random ones.
        self.random = self
            .random
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        let index = (self.random >> 8) % self.names.count;
        let object = member(&self.names.space, index).open()?;
        if object.query()?.count != index {
            return Err(Failure::check(format!("another object than {index} came")));
        }
        drop(object);
        Ok(put_number(reply, number(request)))
    }
}

/// Makes names that were not there, and lets them go.
pub(super) struct Create(Names);

impl Mechanism for Create {
    const ID: &'static str = "nt.names.create";
    const ABOUT: &'static str = "create and close a named object beside so many that others hold";
    const CARRIES: Carries = Carries::Nothing;
    const MEASURES: &'static [Job] = &[MANY];
    const ALONE: bool = true;
    const HEAVY: bool = true;
    const GOALS: &'static [Goal] = &[goal(Self::ID)];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        Names::gather(site).map(Self)
    }

    fn call(&mut self, request: &[u8], reply: &mut [u8]) -> Outcome<usize> {
        // Fails if the name of the last step was still there.
        let object = self.0.space.semaphore("own", 0, 1).create()?;
        drop(object);
        Ok(put_number(reply, number(request)))
    }
}
