//! Waiting for all of several, atomically.

use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;
use rustix::event::PollFlags;
use strait_sys::time::Deadline;

use crate::error::{Error, ErrorKind, Result};
use crate::object::commit::domain::Domain;
use crate::object::commit::seat::Scribe;
use crate::object::commit::txn::{self, Part, Place, Refusal};
use crate::object::spot::Spot;
use crate::object::wait::any::{Entry, Prepared, check_count};
use crate::object::wait::block::Blocking;
use crate::object::wait::member::{self, Steps};
use crate::object::wait::{Inner, MEMBERS_MAX, Readable, Waitable};
use crate::object::word::Rule;

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
/// what System V has are looked at in the moment of commitment, and not taken. A pulse counts if
/// the other members are ready when the waiter has woken.
///
/// # Errors
/// As [`any`](crate::wait::any), and [`ErrorKind::InvalidInput`] if an object appears twice,
/// [`ErrorKind::Unsupported`] if objects of two namespaces are mixed: they have no common table of
/// decisions.
pub fn all(members: &[&dyn Waitable]) -> Result<AllWon> {
    loop {
        if let Some(won) = all_until(members, None, None)? {
            return Ok(won);
        }
    }
}

/// [`all`] for at most `timeout`; zero only looks. `None`: the time ran out and nothing was taken.
///
/// # Errors
/// As [`all`].
pub fn all_for(members: &[&dyn Waitable], timeout: Duration) -> Result<Option<AllWon>> {
    all_until(members, Some(Deadline::after(timeout)), None)
}

/// [`all_for`] that also ends once `end` is readable: `None`, and nothing was taken. What is ready
/// at once is taken all the same. A wait for any has such an end as its last member.
///
/// ```
/// use std::time::Duration;
/// use strait::nt::Event;
/// use strait::unix::pipe;
/// use strait::wait;
///
/// let (one, other) = (Event::options().create()?, Event::options().create()?);
/// let (end, writer) = pipe::create()?;
/// drop(writer);
/// let won = wait::all_unless(&[&one, &other], wait::readable(&end), Duration::MAX)?;
/// assert_eq!(won, None);
/// # Ok::<(), strait::Error>(())
/// ```
///
/// # Errors
/// As [`all`].
pub fn all_unless(
    members: &[&dyn Waitable],
    end: Readable<'_>,
    timeout: Duration,
) -> Result<Option<AllWon>> {
    all_until(members, Some(Deadline::after(timeout)), Some(end))
}

/// The members of a wait for all, sorted into what is taken and what is looked at.
#[derive(Default)]
struct Plan<'a> {
    /// The objects to take as they come, with their indices among the members.
    spots: ArrayVec<(Spot<'a>, usize), MEMBERS_MAX>,
    /// In the global order, as [`place`] reads them; and what they have in the transaction.
    ranks: ArrayVec<u64, MEMBERS_MAX>,
    parts: ArrayVec<Part<Spot<'a>>, MEMBERS_MAX>,
    looked_at: ArrayVec<(usize, Inner<'a>), MEMBERS_MAX>,
    slept: Slept,
    mixed: bool,
}

/// The one member that the last sleep was on, and the generation at which it was registered with.
/// Only its releases and pulses count, and only for the attempt after the sleep: what was ready
/// once and is not now was never ready together.
type Slept = Option<(usize, Option<u32>)>;

fn since(slept: Slept, index: usize) -> Option<u32> {
    slept.filter(|(at, _)| *at == index)?.1
}

fn all_until(
    members: &[&dyn Waitable],
    deadline: Option<Deadline>,
    end: Option<Readable<'_>>,
) -> Result<Option<AllWon>> {
    check_count(members.len())?;
    let private;
    // Filled in place: it is too large to be moved about.
    let mut plan = Plan::default();
    let domain = match plan.fill(members)? {
        Some(domain) => domain,
        None => {
            private = Domain::private()?;
            &private
        }
    };
    let scribe = Scribe::new(domain, plan.mixed)?;
    // A first look needs no registration.
    match plan.attempt(&scribe, deadline)? {
        Ok(won) => return Ok(Some(won)),
        Err(_) if deadline.is_some_and(Deadline::passed) => return Ok(None),
        Err(_) => {}
    }
    for waitable in members {
        member::check(&waitable.member().0, true)?;
    }
    let mut entry: Option<(usize, Entry<'_>)> = None;
    loop {
        plan.remember(entry.as_ref().map(|(at, entry)| (*at, entry.since)));
        let refusal = match plan.attempt(&scribe, deadline)? {
            Ok(won) => return Ok(Some(won)),
            Err(refusal) => refusal,
        };
        let over =
            |end: Readable<'_>| member::is_ready(&end.member().0, None, &mut Steps::until(None));
        if deadline.is_some_and(Deadline::passed) || end.map_or(Ok(false), over)? {
            return Ok(None);
        }
        let unready = match refusal {
            Refusal::NotReady(at) if at < plan.parts.len() => Some(plan.index(at)),
            Refusal::NotReady(_) => unready(&plan.looked_at, plan.slept)?,
            Refusal::Unsettled => return Err(plan.unsettled()),
        };
        entry = None;
        // None: what was looked at and not ready at the decision is ready by now.
        let Some(unready) = unready else { continue };
        let begun = Entry::begin(members[unready].member().0)?;
        let mut blocking = Blocking::until(deadline);
        if let Some(interval) = member::probe_interval(&begun.inner) {
            blocking.at_latest(Deadline::after(interval));
        }
        if let Some(Readable(end)) = end {
            blocking.add_descriptor(end, PollFlags::IN);
        }
        if let Prepared::Asleep = begun.prepare(&mut blocking, deadline)? {
            blocking.block()?;
        }
        entry = Some((unready, begun));
    }
}

impl<'a> Plan<'a> {
    /// Sorts the members, and finds the domain in which they commit; `None`: all are private.
    fn fill<'m: 'a>(&mut self, members: &'a [&'m dyn Waitable]) -> Result<Option<&'a Arc<Domain>>> {
        for (index, waitable) in members.iter().enumerate() {
            let member = waitable.member();
            if let Some(spot) = taken(&member.0) {
                self.ranks
                    .push(spot.order().0 << AT | self.spots.len() as u64);
                self.spots.push((spot, index));
                continue;
            }
            member::check(&member.0, false)?;
            self.looked_at.push((index, member.0));
        }
        self.ranks.sort_unstable();
        if self
            .ranks
            .windows(2)
            .any(|pair| pair[0] >> AT == pair[1] >> AT)
        {
            self.settle_ties()?;
        }
        let mut domain: Option<&Arc<Domain>> = None;
        for rank in &self.ranks {
            let spot = self.spots[place(*rank)].0;
            match domain {
                _ if spot.is_private() => self.mixed = true,
                Some(domain) if !Arc::ptr_eq(domain, &spot.object.domain) => {
                    let name = spot.object.handle.full_name();
                    return Err(Error::new(ErrorKind::Unsupported, "wait for all", name)
                        .because("the other members are of another namespace"));
                }
                _ => domain = Some(&spot.object.domain),
            }
            self.parts.push(Part::new(spot, None));
        }
        Ok(domain)
    }

    /// Objects whose ids are equal are in the order of what tells them apart. What nothing tells
    /// apart is one object.
    #[cold]
    fn settle_ties(&mut self) -> Result<()> {
        let spots = &self.spots;
        self.ranks
            .sort_unstable_by_key(|rank| (spots[place(*rank)].0.order(), *rank));
        for pair in self.ranks.windows(2) {
            let ((spot, one), (other, two)) = (spots[place(pair[0])], spots[place(pair[1])]);
            if spot.order() == other.order() {
                let name = spot.object.handle.full_name();
                return Err(Error::new(ErrorKind::InvalidInput, "wait for all", name)
                    .because(format!("members {one} and {two} are the same object")));
            }
        }
        Ok(())
    }

    /// The index among the members of what comes there in the global order.
    fn index(&self, at: usize) -> usize {
        self.spots[place(self.ranks[at])].1
    }

    fn remember(&mut self, slept: Slept) {
        self.slept = slept;
        for at in 0..self.parts.len() {
            self.parts[at].since = since(slept, self.index(at));
        }
    }

    fn attempt(
        &mut self,
        scribe: &Scribe<'a>,
        deadline: Option<Deadline>,
    ) -> Result<std::result::Result<AllWon, Refusal>> {
        let mut pace = Steps::until(deadline);
        for Part { place: spot, .. } in &self.parts {
            spot.object.check_whole("wait for all")?;
            if spot.rule() == Rule::Mutant {
                member::check_limit(spot, scribe.seat_for(spot.is_private()).token)?;
            } else if member::refresh(spot, &mut pace).is_err() {
                return Ok(Err(Refusal::Unsettled));
            }
        }
        let last_look = || matches!(unready(&self.looked_at, self.slept), Ok(None));
        let taken = txn::take_all(
            scribe,
            &mut self.parts,
            member::is_dead,
            last_look,
            &mut pace,
        );
        match taken {
            Ok(()) => {}
            Err(Refusal::Unsettled) if deadline.is_some_and(Deadline::passed) => {
                return Ok(Err(Refusal::NotReady(usize::MAX)));
            }
            Err(refusal) => return Ok(Err(refusal)),
        }
        let mut won = AllWon::default();
        for (at, Part { place, state, .. }) in self.parts.iter().enumerate() {
            if place.rule() != Rule::Mutant {
                continue;
            }
            let me = scribe.seat_for(place.is_private()).token;
            if member::account(place, *state, me)?.abandoned {
                won.abandoned.push(self.index(at));
            }
        }
        won.abandoned.sort_unstable();
        Ok(Ok(won))
    }

    fn unsettled(&self) -> Error {
        match self.parts.first() {
            Some(part) => member::unsettled(&part.place, "wait for all"),
            None => Error::new(ErrorKind::Broken, "wait for all", ""),
        }
    }
}

/// The word of a member that is taken; `None`: it is only looked at.
#[inline]
fn taken<'a>(inner: &Inner<'a>) -> Option<Spot<'a>> {
    let Inner::Object(object, core) = inner else {
        return None;
    };
    let spot = object.spot(*core);
    (object.may_all() || !member::only_looks(&spot)).then_some(spot)
}

/// Bits below an object's place in the global order, where its place among the spots goes along:
/// single words are quick to sort.
const AT: u32 = MEMBERS_MAX.ilog2();

fn place(rank: u64) -> usize {
    (rank % (1 << AT)) as usize
}

/// The first of those that are only looked at which is not ready.
fn unready(looked_at: &[(usize, Inner<'_>)], slept: Slept) -> Result<Option<usize>> {
    for (index, inner) in looked_at {
        if !member::is_ready(inner, since(slept, *index), &mut Steps::until(None))? {
            return Ok(Some(*index));
        }
    }
    Ok(None)
}
