//! Waiting for any of several.

use std::cell::{Cell, OnceCell};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::PollFlags;
use strait_sys::futex::Sleep;
use strait_sys::kill;
use strait_sys::time::Deadline;

use crate::error::{Error, ErrorKind, Result};
use crate::object::commit::txn::{self, Place, Watched};
use crate::object::kind::Kind;
use crate::object::spot::{Object, Quick};
use crate::object::wait::block::Blocking;
use crate::object::wait::member::{self, FIRST_PROBE, Steps, Taken, Ticket};
use crate::object::wait::source::{Armed, Lookout, Source};
use crate::object::wait::timer::Due;
use crate::object::wait::{Inner, MEMBERS_MAX, Waitable, Won, timer, watcher};

/// How long one who only looks sleeps on a word that a transaction has marked.
const MARKED: Duration = Duration::from_millis(10);

/// Waits until one of `members` is ready and takes the lowest that is, and only that.
///
/// A member may appear twice. Releases go to whoever comes first, not in order of arrival.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for none or more than [`MEMBERS_MAX`] members;
/// [`ErrorKind::Denied`] for a member whose handle may not wait; [`ErrorKind::Broken`] if a peer
/// damaged one; [`ErrorKind::Exhausted`] if the namespace has no seat left for this thread, or
/// there is no thread or descriptor for a System V member to be watched by;
/// [`ErrorKind::Removed`] if such a one is gone. Nothing is taken then.
pub fn any(members: &[&dyn Waitable]) -> Result<Won> {
    loop {
        if let Some(won) = any_until(members, None)? {
            return Ok(won);
        }
    }
}

/// [`any`] for at most `timeout`; zero only looks. `None`: the time ran out and nothing was taken.
///
/// # Errors
/// As [`any`].
pub fn any_for(members: &[&dyn Waitable], timeout: Duration) -> Result<Option<Won>> {
    any_until(members, Some(Deadline::after(timeout)))
}

/// [`any`] until a moment.
pub(crate) fn any_until(
    members: &[&dyn Waitable],
    deadline: Option<Deadline>,
) -> Result<Option<Won>> {
    check_count(members.len())?;
    let mut steps = Steps::until(deadline);
    let late = deadline.is_some_and(Deadline::passed);
    steps.probes = late;
    for (index, waitable) in members.iter().enumerate() {
        let member = waitable.member();
        if let Inner::Object(object, core) = &member.0 {
            match object.quick_take(*core) {
                Quick::Taken => return Ok(Some(won(index, Taken { abandoned: false }))),
                Quick::NotReady => continue,
                Quick::Unknown => {}
            }
        }
        member::check(&member.0, false)?;
        if let Some(taken) = member::take(&member.0, None, &mut steps)? {
            return Ok(Some(won(index, taken)));
        }
    }
    if late {
        return Ok(None);
    }
    let watch = Watch::over(members)?;
    watch.wait(deadline, &mut steps)
}

pub(crate) fn check_count(count: usize) -> Result<()> {
    if (1..=MEMBERS_MAX).contains(&count) {
        return Ok(());
    }
    Err(
        Error::new(ErrorKind::InvalidInput, "wait", format!("{count} members"))
            .because(format!("1 to {MEMBERS_MAX} are allowed")),
    )
}

fn won(index: usize, taken: Taken) -> Won {
    Won {
        index,
        abandoned: taken.abandoned,
    }
}

/// A wait that is registered with its members, until it is dropped.
pub(crate) struct Watch<'a> {
    pub(crate) entries: Vec<Entry<'a>>,
}

/// One member of a registered wait.
pub(crate) struct Entry<'a> {
    pub(crate) inner: Inner<'a>,
    /// The generation when the wait began: a later one means that a pulse was for us.
    pub(crate) since: Option<u32>,
    /// How what has no descriptor is watched.
    lookout: Option<Lookouts<'a>>,
    _ticket: Option<Ticket<'a>>,
}

/// What came of preparing to sleep on a member.
pub(crate) enum Prepared {
    Asleep,
    /// It may be ready by now.
    LookAgain,
}

impl<'a> Watch<'a> {
    pub(crate) fn over<'m: 'a>(members: &'a [&'m dyn Waitable]) -> Result<Self> {
        let mut entries = Vec::with_capacity(members.len());
        for waitable in members {
            let inner = waitable.member().0;
            member::check(&inner, true)?;
            entries.push(Entry::begin(inner)?);
        }
        Ok(Self { entries })
    }

    fn wait(&self, deadline: Option<Deadline>, steps: &mut Steps) -> Result<Option<Won>> {
        let intervals = self
            .entries
            .iter()
            .filter_map(|entry| member::probe_interval(&entry.inner));
        let interval = intervals.min();
        let mut probing: Option<Probing> = None;
        let mut alarms = None;
        loop {
            // Before the look: what is found after the deadline still counts.
            let late = deadline.is_some_and(Deadline::passed);
            let is_alarmed = alarms.is_some_and(|seen| self.alarms() != Some(seen));
            steps.probes = late || is_alarmed || probing.as_mut().is_some_and(Probing::is_due);
            for (index, entry) in self.entries.iter().enumerate() {
                if let Some(taken) = member::take(&entry.inner, entry.since, steps)? {
                    return Ok(Some(won(index, taken)));
                }
            }
            if late {
                return Ok(None);
            }
            let mut blocking = Blocking::until(deadline);
            if !self.prepare(&mut blocking, deadline)? {
                continue;
            }
            if let Some(interval) = interval {
                alarms = self.alarms();
                if alarms.is_none() {
                    let probing = probing.get_or_insert_with(|| Probing::every(interval));
                    blocking.at_latest(probing.next);
                    self.mutants().for_each(|object| watcher::slept(object));
                }
            }
            blocking.block()?;
        }
    }

    fn mutants(&self) -> impl Iterator<Item = &'a Arc<Object>> {
        self.entries.iter().filter_map(|entry| match entry.inner {
            Inner::Object(object, _) if object.handle.kind == Kind::Mutant => Some(object),
            _ => None,
        })
    }

    /// Alarms about the members so far; `None`: not all that must be looked after are.
    fn alarms(&self) -> Option<u32> {
        let is_process = |entry: &Entry<'_>| matches!(entry.inner, Inner::Process(_));
        if self.entries.iter().any(is_process) {
            return None;
        }
        self.mutants().try_fold(0, |sum: u32, object| {
            Some(sum.wrapping_add(object.lookout.alarms()?))
        })
    }

    /// Prepares to sleep on all members. False: one may be ready by now.
    fn prepare<'s>(
        &'s self,
        blocking: &mut Blocking<'s>,
        deadline: Option<Deadline>,
    ) -> Result<bool> {
        for entry in &self.entries {
            if let Prepared::LookAgain = entry.prepare(blocking, deadline)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// When to look for what wakes nobody: soon for the first time, but not before every sleep.
#[derive(Copy, Clone)]
struct Probing {
    next: Deadline,
    interval: Duration,
}

impl Probing {
    fn every(interval: Duration) -> Self {
        Self {
            next: Deadline::after(interval.min(FIRST_PROBE)),
            interval,
        }
    }

    fn is_due(&mut self) -> bool {
        let due = self.next.passed();
        if due {
            self.next = Deadline::after(self.interval);
        }
        due
    }
}

impl<'a> Entry<'a> {
    /// Registers with the member. The generation is read after the ticket is held: the other way
    /// round, a pulse between the two could be taken from a waiter that it was meant for.
    pub(crate) fn begin(inner: Inner<'a>) -> Result<Self> {
        let Inner::Object(object, core) = inner else {
            let lookout = match &inner {
                Inner::Source(source) => Some(Lookouts::new(source)),
                _ => None,
            };
            return Ok(Self {
                inner,
                since: None,
                lookout,
                _ticket: None,
            });
        };
        let spot = object.spot(core);
        let looks = member::only_looks(&spot);
        let ticket = if looks { None } else { Ticket::register(spot)? };
        let since = Some(spot.rule().generation(spot.observe()));
        kill::point("wait.begun");
        Ok(Self {
            inner,
            since,
            lookout: None,
            _ticket: ticket,
        })
    }

    /// Arms the member and adds what wakes us to `blocking`.
    pub(crate) fn prepare<'s>(
        &'s self,
        blocking: &mut Blocking<'s>,
        deadline: Option<Deadline>,
    ) -> Result<Prepared>
    where
        'a: 's,
    {
        let (object, core) = match &self.inner {
            Inner::Object(object, core) => (*object, *core),
            Inner::Descriptor(fd, interest) => {
                blocking.add_descriptor(*fd, *interest);
                return Ok(Prepared::Asleep);
            }
            Inner::Until(moment) => {
                blocking.at_latest(*moment);
                return Ok(Prepared::Asleep);
            }
            Inner::Source(_) => {
                return match &self.lookout {
                    Some(lookout) => lookout.prepare(blocking),
                    None => Ok(Prepared::Asleep),
                };
            }
            Inner::Process(_) => return Ok(Prepared::Asleep),
        };
        let spot = object.spot(core);
        let state = if member::only_looks(&spot) {
            match txn::watch(&spot, self.since, || spot.glance()) {
                Watched::Ready => None,
                Watched::Quiet(state) => Some(state),
                Watched::Marked(state) => {
                    blocking.at_latest(Deadline::after(MARKED));
                    Some(state)
                }
            }
        } else {
            let me = member::token(&spot)?;
            match txn::arm(&spot, me, self.since, &mut Steps::until(deadline)) {
                Ok(state) => state,
                Err(_) if deadline.is_some_and(Deadline::passed) => None,
                Err(_) => return Err(member::unsettled(&spot, "wait")),
            }
        };
        let Some(state) = state else {
            return Ok(Prepared::LookAgain);
        };
        // The schedule of the state that was armed: one set later finds a waiter, and wakes it.
        match timer::due(&spot, state) {
            Due::Never => {}
            Due::At(moment) => blocking.at_latest(moment),
            Due::Unknown => return Ok(Prepared::LookAgain),
        }
        blocking.add_sleep(Sleep {
            word: spot.look().low(),
            expected: state.low(),
        });
        Ok(Prepared::Asleep)
    }
}

/// How a source is watched: through its word, or by a thread from the first sleep on.
pub(crate) struct Lookouts<'a> {
    source: &'a Arc<dyn Source>,
    is_armed: Cell<bool>,
    thread: OnceCell<Lookout>,
}

impl<'a> Lookouts<'a> {
    fn new(source: &'a Arc<dyn Source>) -> Self {
        Self {
            source,
            is_armed: Cell::new(false),
            thread: OnceCell::new(),
        }
    }

    fn prepare<'s>(&'s self, blocking: &mut Blocking<'s>) -> Result<Prepared> {
        self.disarm();
        match self.source.arm() {
            Armed::Asleep(sleep) => {
                self.is_armed.set(true);
                blocking.add_sleep(sleep);
                return Ok(Prepared::Asleep);
            }
            Armed::LookAgain => return Ok(Prepared::LookAgain),
            Armed::Wordless => {}
        }
        let lookout = match self.thread.get() {
            Some(lookout) => lookout,
            None => {
                let lookout = Lookout::new(self.source)?;
                self.thread.get_or_init(|| lookout)
            }
        };
        lookout.arm()?;
        blocking.add_descriptor(lookout.as_fd(), PollFlags::IN);
        Ok(Prepared::Asleep)
    }

    fn disarm(&self) {
        if self.is_armed.replace(false) {
            self.source.disarm();
        }
    }
}

impl Drop for Lookouts<'_> {
    fn drop(&mut self) {
        self.disarm();
    }
}

/// Registers with the members, gives the signal, then waits for any of them.
pub(crate) fn signal_then_any(
    signal: impl FnOnce() -> Result<()>,
    members: &[&dyn Waitable],
    deadline: Option<Deadline>,
) -> Result<Option<Won>> {
    check_count(members.len())?;
    let watch = Watch::over(members)?;
    signal()?;
    kill::point("wait.signalled");
    watch.wait(deadline, &mut Steps::until(deadline))
}
