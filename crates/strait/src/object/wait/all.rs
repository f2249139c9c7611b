//! Waiting for all of several, atomically.

use std::sync::Arc;
use std::time::Duration;

use strait_sys::time::Deadline;

use crate::error::{Error, ErrorKind, Result};
use crate::object::commit::domain::{Domain, Scribe};
use crate::object::commit::txn::{self, Refusal};
use crate::object::handle::Spot;
use crate::object::wait::any::{Prepared, Watch, check_count};
use crate::object::wait::block::Blocking;
use crate::object::wait::member::{self, Steps};
use crate::object::wait::{Inner, Waitable, timer};

/// What a wait for all took: everything.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct AllWon {
    /// The indices of mutants whose last owners died owning them.
    pub abandoned: Vec<usize>,
}

/// Waits until all of `members` are ready at once, and takes all of them in one step that no other
/// process sees half done.
///
/// Objects of one namespace and private objects can be mixed. Descriptors, processes and delays are
/// looked at in the moment of commitment, and not taken. A pulse counts if the other members are
/// ready when the waiter has woken.
///
/// # Errors
/// As [`any`](crate::wait::any), and [`ErrorKind::InvalidInput`] if an object appears twice,
/// [`ErrorKind::Unsupported`] if objects of two namespaces are mixed: they have no common table of
/// decisions.
pub fn all(members: &[&dyn Waitable]) -> Result<AllWon> {
    loop {
        if let Some(won) = all_until(members, None)? {
            return Ok(won);
        }
    }
}

/// [`all`] for at most `timeout`; zero only looks. `None`: the time ran out and nothing was taken.
///
/// # Errors
/// As [`all`].
pub fn all_for(members: &[&dyn Waitable], timeout: Duration) -> Result<Option<AllWon>> {
    all_until(members, Some(Deadline::after(timeout)))
}

/// The members of a wait for all, sorted into what is taken and what is looked at.
struct Plan<'w, 'a> {
    watch: &'w Watch<'a>,
    /// Indices of objects to take, in the global order.
    taken: Vec<usize>,
    looked_at: Vec<usize>,
    domain: Arc<Domain>,
    mixed: bool,
}

fn all_until(members: &[&dyn Waitable], deadline: Option<Deadline>) -> Result<Option<AllWon>> {
    check_count(members.len())?;
    let watch = Watch::over(members)?;
    let plan = Plan::of(&watch)?;
    let scribe = Scribe::new(&plan.domain, plan.mixed)?;
    loop {
        let refusal = match plan.attempt(&scribe, deadline)? {
            Ok(won) => return Ok(Some(won)),
            Err(refusal) => refusal,
        };
        if deadline.is_some_and(Deadline::passed) {
            return Ok(None);
        }
        let unready = match refusal {
            Refusal::NotReady(at) if at < plan.taken.len() => Some(plan.taken[at]),
            Refusal::NotReady(_) => plan.unready_descriptor()?,
            Refusal::Unsettled => return Err(plan.unsettled()),
        };
        // None: a descriptor that was not ready at the decision is by now.
        let Some(unready) = unready else { continue };
        let mut blocking = Blocking::until(deadline);
        if let Prepared::Asleep = watch.entries[unready].prepare(&mut blocking, deadline)? {
            blocking.block()?;
        }
    }
}

impl<'w, 'a> Plan<'w, 'a> {
    fn of(watch: &'w Watch<'a>) -> Result<Self> {
        let mut taken = Vec::new();
        let mut looked_at = Vec::new();
        for (index, entry) in watch.entries.iter().enumerate() {
            match entry.spot() {
                Some(spot) if !member::only_looks(&spot) => taken.push(index),
                _ => looked_at.push(index),
            }
        }
        let spot = |index: &usize| watch.entries[*index].spot();
        taken.sort_by_key(|index| spot(index).map(|spot| spot.order()));
        refuse_duplicates(watch, &taken)?;
        let shared = taken
            .iter()
            .filter_map(spot)
            .filter(|spot| !spot.is_private());
        let mut domain: Option<Arc<Domain>> = None;
        for spot in shared {
            match &domain {
                Some(domain) if !Arc::ptr_eq(domain, &spot.object.domain) => {
                    return Err(Error::new(
                        ErrorKind::Unsupported,
                        "wait for all",
                        spot.object.handle.full_name(),
                    )
                    .because("the other members are of another namespace"));
                }
                _ => domain = Some(spot.object.domain.clone()),
            }
        }
        let mixed = taken.iter().filter_map(spot).any(|spot| spot.is_private());
        let domain = domain.map_or_else(Domain::private, Ok)?;
        Ok(Self {
            watch,
            taken,
            looked_at,
            domain,
            mixed,
        })
    }

    fn spots(&self) -> impl Iterator<Item = (usize, Spot<'a>)> + '_ {
        let entry = |index: &usize| Some((*index, self.watch.entries[*index].spot()?));
        self.taken.iter().filter_map(entry)
    }

    fn attempt<'s>(
        &'s self,
        scribe: &Scribe<'s>,
        deadline: Option<Deadline>,
    ) -> Result<std::result::Result<AllWon, Refusal>>
    where
        'a: 's,
    {
        let spots: Vec<Spot<'s>> = self.spots().map(|(_, spot)| spot).collect();
        let mut pace = Steps::until(deadline);
        for spot in &spots {
            spot.object.check_whole("wait for all")?;
            member::check_limit(spot, scribe.seat_for(spot.is_private()).token)?;
            if timer::fire(spot, &mut pace).is_err() {
                return Ok(Err(Refusal::Unsettled));
            }
        }
        let places: Vec<&Spot<'s>> = spots.iter().collect();
        let since: Vec<_> = self
            .taken
            .iter()
            .map(|index| self.watch.entries[*index].since)
            .collect();
        let last_look = || matches!(self.unready_descriptor(), Ok(None));
        let before = match txn::take_all(
            scribe,
            &places,
            &since,
            member::is_dead,
            last_look,
            &mut pace,
        ) {
            Ok(before) => before,
            Err(Refusal::Unsettled) if deadline.is_some_and(Deadline::passed) => {
                return Ok(Err(Refusal::NotReady(usize::MAX)));
            }
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut won = AllWon::default();
        for ((index, spot), before) in self.spots().zip(before) {
            let me = scribe.seat_for(spot.is_private()).token;
            if member::account(&spot, before, me)?.abandoned {
                won.abandoned.push(index);
            }
        }
        won.abandoned.sort_unstable();
        Ok(Ok(won))
    }

    /// The first of those that are only looked at which is not ready.
    fn unready_descriptor(&self) -> Result<Option<usize>> {
        for index in &self.looked_at {
            let entry = &self.watch.entries[*index];
            if member::take(&entry.inner, entry.since, &mut Steps::until(None))?.is_none() {
                return Ok(Some(*index));
            }
        }
        Ok(None)
    }

    fn unsettled(&self) -> Error {
        match self.spots().next() {
            Some((_, spot)) => member::unsettled(&spot, "wait for all"),
            None => Error::new(ErrorKind::Broken, "wait for all", ""),
        }
    }
}

fn refuse_duplicates(watch: &Watch<'_>, taken: &[usize]) -> Result<()> {
    // The order puts what could be the same object side by side.
    for pair in taken.windows(2) {
        let (one, two) = (watch.entries[pair[0]].spot(), watch.entries[pair[1]].spot());
        if let (Some(one), Some(two)) = (one, two)
            && one.is_same(&two)
        {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "wait for all",
                two.object.handle.full_name(),
            )
            .because(format!(
                "members {} and {} are the same object",
                pair[0], pair[1]
            )));
        }
    }
    Ok(())
}

impl<'a> super::any::Entry<'a> {
    fn spot(&self) -> Option<Spot<'a>> {
        match self.inner {
            Inner::Object(object, core) => Some(object.spot(core)),
            _ => None,
        }
    }
}
