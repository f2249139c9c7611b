//! Waiting for all of several, atomically.

use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;
use strait_sys::time::Deadline;

use crate::error::{Error, ErrorKind, Result};
use crate::object::commit::domain::Domain;
use crate::object::commit::seat::Scribe;
use crate::object::commit::txn::{self, Refusal};
use crate::object::spot::Spot;
use crate::object::wait::any::{Entry, Prepared, check_count};
use crate::object::wait::block::Blocking;
use crate::object::wait::member::{self, Steps};
use crate::object::wait::{Inner, MEMBERS_MAX, Waitable, timer};

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
/// Objects of one namespace and private objects can be mixed. Descriptors, processes, delays and
/// what System V has are looked at in the moment of commitment, and not taken. A pulse counts if the other members are
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
struct Plan<'a> {
    /// The objects to take, in the global order.
    taken: ArrayVec<Wanted<'a>, MEMBERS_MAX>,
    looked_at: ArrayVec<(usize, Inner<'a>), MEMBERS_MAX>,
    mixed: bool,
}

/// An object to take: its place in the global order, its index among the members, its word.
struct Wanted<'a> {
    order: (u64, u64),
    index: usize,
    spot: Spot<'a>,
}

/// The generations at which a registered wait began, by member.
type Since<'a> = &'a dyn Fn(usize) -> Option<u32>;

fn all_until(members: &[&dyn Waitable], deadline: Option<Deadline>) -> Result<Option<AllWon>> {
    check_count(members.len())?;
    // Filled in place: it is too large to be moved about.
    let mut plan = Plan {
        taken: ArrayVec::new(),
        looked_at: ArrayVec::new(),
        mixed: false,
    };
    let domain = plan.fill(members)?;
    let scribe = Scribe::new(&domain, plan.mixed)?;
    // A first look needs no registration.
    match plan.attempt(&scribe, &|_| None, deadline)? {
        Ok(won) => return Ok(Some(won)),
        Err(_) if deadline.is_some_and(Deadline::passed) => return Ok(None),
        Err(_) => {}
    }
    for waitable in members {
        member::check(&waitable.member().0, true)?;
    }
    // The one member that the last sleep was on. Only its releases and pulses count, and only for
    // the attempt after the sleep: what was ready once and is not now was never ready together.
    let mut slept: Option<(usize, Entry<'_>)> = None;
    loop {
        let since = |index: usize| match &slept {
            Some((at, entry)) if *at == index => entry.since,
            _ => None,
        };
        let refusal = match plan.attempt(&scribe, &since, deadline)? {
            Ok(won) => return Ok(Some(won)),
            Err(refusal) => refusal,
        };
        if deadline.is_some_and(Deadline::passed) {
            return Ok(None);
        }
        let unready = match refusal {
            Refusal::NotReady(at) if at < plan.taken.len() => Some(plan.taken[at].index),
            Refusal::NotReady(_) => plan.unready(&since)?,
            Refusal::Unsettled => return Err(plan.unsettled()),
        };
        slept = None;
        // None: what was looked at and not ready at the decision is ready by now.
        let Some(unready) = unready else { continue };
        let entry = Entry::begin(members[unready].member().0)?;
        let mut blocking = Blocking::until(deadline);
        if let Some(interval) = member::probe_interval(&entry.inner) {
            blocking.at_latest(Deadline::after(interval));
        }
        if let Prepared::Asleep = entry.prepare(&mut blocking, deadline)? {
            blocking.block()?;
        }
        slept = Some((unready, entry));
    }
}

impl<'a> Plan<'a> {
    /// Sorts the members, and finds the domain in which they commit.
    fn fill<'m: 'a>(&mut self, members: &'a [&'m dyn Waitable]) -> Result<Arc<Domain>> {
        for (index, waitable) in members.iter().enumerate() {
            let member = waitable.member();
            if let Inner::Object(object, core) = &member.0 {
                let spot = object.spot(*core);
                if object.may_all() || !member::only_looks(&spot) {
                    self.taken.push(Wanted {
                        order: spot.order(),
                        index,
                        spot,
                    });
                    continue;
                }
            }
            member::check(&member.0, false)?;
            self.looked_at.push((index, member.0));
        }
        self.taken.sort_unstable_by_key(|wanted| wanted.order);
        refuse_duplicates(&self.taken)?;
        let mut domain: Option<&Arc<Domain>> = None;
        for Wanted { spot, .. } in &self.taken {
            match domain {
                _ if spot.is_private() => self.mixed = true,
                Some(domain) if !Arc::ptr_eq(domain, &spot.object.domain) => {
                    let name = spot.object.handle.full_name();
                    return Err(Error::new(ErrorKind::Unsupported, "wait for all", name)
                        .because("the other members are of another namespace"));
                }
                _ => domain = Some(&spot.object.domain),
            }
        }
        domain.map_or_else(Domain::private, |domain| Ok(domain.clone()))
    }

    fn attempt<'s>(
        &'s self,
        scribe: &Scribe<'s>,
        since: Since<'_>,
        deadline: Option<Deadline>,
    ) -> Result<std::result::Result<AllWon, Refusal>>
    where
        'a: 's,
    {
        let mut pace = Steps::until(deadline);
        let mut places = ArrayVec::<&Spot<'s>, MEMBERS_MAX>::new();
        let mut generations = ArrayVec::<_, MEMBERS_MAX>::new();
        for Wanted { index, spot, .. } in &self.taken {
            spot.object.check_whole("wait for all")?;
            member::check_limit(spot, scribe.seat_for(spot.is_private()).token)?;
            let ready = timer::fire(spot, &mut pace).and_then(|()| member::thin(spot, &mut pace));
            if ready.is_err() {
                return Ok(Err(Refusal::Unsettled));
            }
            places.push(spot);
            generations.push(since(*index));
        }
        let last_look = || matches!(self.unready(since), Ok(None));
        let dead = member::is_dead;
        let taken = txn::take_all(scribe, &places, &generations, dead, last_look, &mut pace);
        let before = match taken {
            Ok(before) => before,
            Err(Refusal::Unsettled) if deadline.is_some_and(Deadline::passed) => {
                return Ok(Err(Refusal::NotReady(usize::MAX)));
            }
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut won = AllWon::default();
        for (Wanted { index, spot, .. }, before) in self.taken.iter().zip(before) {
            let me = scribe.seat_for(spot.is_private()).token;
            if member::account(spot, before, me)?.abandoned {
                won.abandoned.push(*index);
            }
        }
        won.abandoned.sort_unstable();
        Ok(Ok(won))
    }

    /// The first of those that are only looked at which is not ready.
    fn unready(&self, since: Since<'_>) -> Result<Option<usize>> {
        for (index, inner) in &self.looked_at {
            if !member::is_ready(inner, since(*index), &mut Steps::until(None))? {
                return Ok(Some(*index));
            }
        }
        Ok(None)
    }

    fn unsettled(&self) -> Error {
        match self.taken.first() {
            Some(Wanted { spot, .. }) => member::unsettled(spot, "wait for all"),
            None => Error::new(ErrorKind::Broken, "wait for all", ""),
        }
    }
}

fn refuse_duplicates(taken: &[Wanted<'_>]) -> Result<()> {
    for pair in taken.windows(2) {
        if pair[0].order == pair[1].order {
            let name = pair[0].spot.object.handle.full_name();
            let (one, two) = (pair[0].index, pair[1].index);
            return Err(Error::new(ErrorKind::InvalidInput, "wait for all", name)
                .because(format!("members {one} and {two} are the same object")));
        }
    }
    Ok(())
}
