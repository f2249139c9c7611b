//! A long-lived wait over thousands of members, itself a descriptor that any event loop can poll.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use strait_sys::time::Deadline;
use strait_sys::{fork, timerfd};

use crate::error::{Error, ErrorKind, Result};
use crate::object::commit::domain::Domain;
use crate::object::commit::txn;
use crate::object::kind::Kind;
use crate::object::spot::Object;
use crate::object::wait::block::Blocking;
use crate::object::wait::member::{self, PROCESS_PROBE, Steps, Taken};
use crate::object::wait::ring::{self, Ringer};
use crate::object::wait::source::Lookout;
use crate::object::wait::{Inner, Waitable, timer};

/// Names a member of a [`Set`], from [`Set::add`] until [`Set::remove`].
#[derive(Copy, Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key(usize);

/// What a set took.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SetWon {
    /// Which member.
    pub key: Key,
    /// It is a mutant whose last owner died owning it.
    pub abandoned: bool,
}

const OBJECTS: u64 = u64::MAX;
const ALARM: u64 = u64::MAX - 1;

/// A wait over thousands of members that lasts, for event loops.
///
/// The set keeps its own references: a member stays alive while it is in the set. Its descriptor
/// ([`AsFd`]) polls readable when a member may be ready; then [`Set::wait_for`] with a zero timeout
/// takes one. Members get their turn in rotation, so that a busy one cannot starve the others.
///
/// A set is no registered waiter of an auto-reset event: pulses pass it by. It belongs to the
/// process that made it: in a forked child every call is refused. It starts one thread per
/// namespace (`strait-ringer`), which ends with the last set, and one for each System V queue or
/// semaphore (`strait-source`), which ends with its membership.
#[derive(Debug)]
pub struct Set(pub(crate) Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    epoll: OwnedFd,
    objects: OwnedFd,
    alarm: OwnedFd,
    members: Mutex<Vec<Option<Entry>>>,
    turn: AtomicUsize,
    generation: u32,
}

#[derive(Debug)]
struct Entry {
    kept: Kept,
    ringer: Option<(Arc<Ringer>, Option<usize>)>,
}

#[derive(Debug)]
enum Kept {
    Object(Arc<Object>, usize),
    Descriptor(OwnedFd, PollFlags),
    Until(Deadline),
    Source(Lookout),
    Process(rustix::process::Pid),
}

impl Kept {
    fn inner(&self) -> Inner<'_> {
        match self {
            Self::Object(object, core) => Inner::Object(object, *core),
            Self::Descriptor(fd, interest) => Inner::Descriptor(fd.as_fd(), *interest),
            Self::Until(moment) => Inner::Until(*moment),
            Self::Source(lookout) => Inner::Source(lookout.source()),
            Self::Process(pid) => Inner::Process(*pid),
        }
    }
}

fn fail(errno: rustix::io::Errno) -> Error {
    Error::kernel(errno, "wait set", "")
}

impl Set {
    /// An empty set. Takes three descriptors.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`] if there are none left.
    pub fn new() -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(fail)?;
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let objects = eventfd(0, flags).map_err(fail)?;
        let alarm = timerfd::create().map_err(fail)?;
        epoll::add(
            &epoll,
            &objects,
            EventData::new_u64(OBJECTS),
            EventFlags::IN,
        )
        .map_err(fail)?;
        epoll::add(&epoll, &alarm, EventData::new_u64(ALARM), EventFlags::IN).map_err(fail)?;
        Ok(Self(Arc::new(Shared {
            epoll,
            objects,
            alarm,
            members: Mutex::default(),
            turn: AtomicUsize::new(0),
            generation: fork::generation(),
        })))
    }

    pub(crate) fn check_process(&self) -> Result<()> {
        if self.0.generation == fork::generation() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unsupported, "wait set", "")
            .because("it belongs to the process that this one was forked from"))
    }

    /// Adds a member. A descriptor is duplicated.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] for an object whose handle may not take; [`ErrorKind::Exhausted`] if
    /// descriptors, threads, seats or the object's places for sets run out.
    pub fn add(&self, waitable: &dyn Waitable) -> Result<Key> {
        self.check_process()?;
        let member = waitable.member();
        let kept = match member.0 {
            Inner::Object(object, core) => {
                if member::only_looks(&object.spot(core)) {
                    return Err(Error::new(
                        ErrorKind::Denied,
                        "add to set",
                        object.handle.full_name(),
                    )
                    .because("a set must be able to register, which writes"));
                }
                Kept::Object(object.clone(), core)
            }
            Inner::Descriptor(fd, interest) => {
                let fd = rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(fail)?;
                Kept::Descriptor(fd, interest)
            }
            Inner::Until(moment) => Kept::Until(moment),
            Inner::Source(source) => Kept::Source(Lookout::new(source)?),
            Inner::Process(pid) => Kept::Process(pid),
        };
        self.insert(kept)
    }

    fn insert(&self, kept: Kept) -> Result<Key> {
        let mut members = self.0.members();
        let at = members
            .iter()
            .position(Option::is_none)
            .unwrap_or(members.len());
        let mut ringer = None;
        match &kept {
            Kept::Object(object, core) => {
                let found = ring::ringer(&object.domain, &self.0)?;
                let entry = found.attach(&object.spot(*core))?;
                ringer = Some((found, entry));
            }
            Kept::Descriptor(fd, interest) => {
                let mut events = EventFlags::empty();
                events.set(EventFlags::IN, interest.contains(PollFlags::IN));
                events.set(EventFlags::OUT, interest.contains(PollFlags::OUT));
                epoll::add(&self.0.epoll, fd, EventData::new_u64(at as u64), events)
                    .map_err(fail)?;
            }
            Kept::Source(lookout) => {
                let data = EventData::new_u64(at as u64);
                // First what may fail for want of threads: it leaves nothing behind.
                lookout.arm()?;
                epoll::add(&self.0.epoll, lookout, data, EventFlags::IN).map_err(fail)?;
            }
            Kept::Until(_) | Kept::Process(_) => {}
        }
        let nudge = ringer.as_ref().map(|(ringer, _)| ringer.clone());
        let entry = Some(Entry { kept, ringer });
        if at == members.len() {
            members.push(entry);
        } else {
            members[at] = entry;
        }
        self.0.set_alarm(&members);
        drop(members);
        if let Some(ringer) = nudge {
            ringer.nudge();
        }
        Ok(Key(at))
    }

    /// Removes a member; false if it was removed before, or in a forked child.
    pub fn remove(&self, key: Key) -> bool {
        if self.check_process().is_err() {
            // The bells and the epoll instance are shared: it would be removed from the parent's.
            return false;
        }
        let mut members = self.0.members();
        let Some(entry) = members.get_mut(key.0).and_then(Option::take) else {
            return false;
        };
        self.0.set_alarm(&members);
        drop(members);
        self.0.forget(&entry);
        true
    }

    /// How many members it has; none in a forked child.
    #[must_use]
    pub fn len(&self) -> usize {
        if self.check_process().is_err() {
            // Another thread may have been in there at the fork.
            return 0;
        }
        self.0.members().iter().flatten().count()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits for a member and takes it.
    ///
    /// # Errors
    /// As [`wait::any`](crate::wait::any). What is wrong with one member, which the error names,
    /// keeps no other from its turn, and is said again until that member is [removed](Set::remove).
    pub fn wait(&self) -> Result<SetWon> {
        loop {
            if let Some(won) = self.wait_until(None)? {
                return Ok(won);
            }
        }
    }

    /// [`Set::wait`] for at most `timeout`; zero only looks. `None`: the time ran out.
    ///
    /// # Errors
    /// As [`Set::wait`].
    pub fn wait_for(&self, timeout: Duration) -> Result<Option<SetWon>> {
        self.wait_until(Some(Deadline::after(timeout)))
    }

    fn wait_until(&self, deadline: Option<Deadline>) -> Result<Option<SetWon>> {
        self.check_process()?;
        loop {
            if let Some(won) = self.0.take(deadline)? {
                return Ok(Some(won));
            }
            if deadline.is_some_and(Deadline::passed) {
                return Ok(None);
            }
            let mut blocking = Blocking::until(deadline);
            blocking.add_descriptor(self.0.epoll.as_fd(), PollFlags::IN);
            if let Some(interval) = self.0.probe_interval() {
                blocking.at_latest(Deadline::after(interval));
            }
            blocking.block()?;
        }
    }
}

impl AsFd for Set {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.epoll.as_fd()
    }
}

impl Waitable for Set {
    fn member(&self) -> super::Member<'_> {
        super::Member(Inner::Descriptor(self.as_fd(), PollFlags::IN))
    }
}

impl Shared {
    fn members(&self) -> MutexGuard<'_, Vec<Option<Entry>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, entry: &Entry) {
        match &entry.kept {
            Kept::Object(object, core) => {
                if let Some((_, place)) = &entry.ringer {
                    Ringer::detach(&object.spot(*core), *place);
                }
            }
            Kept::Descriptor(fd, _) => {
                // It also leaves with its last descriptor.
                let _ = epoll::delete(&self.epoll, fd);
            }
            Kept::Source(lookout) => {
                // A child that was forked meanwhile has its descriptor too: readable for good, it
                // would keep the set readable.
                let _ = epoll::delete(&self.epoll, lookout);
            }
            Kept::Until(_) | Kept::Process(_) => {}
        }
    }

    /// Takes the next ready member in rotation. When none is ready, all are armed: the next signal
    /// rings the ringer, which makes the descriptor readable.
    fn take(&self, deadline: Option<Deadline>) -> Result<Option<SetWon>> {
        loop {
            self.drain();
            let found = self.look(deadline);
            if !matches!(found, Ok(None)) {
                // Others may be ready too: only a look that finds nothing leaves it quiet.
                self.announce_all();
                return found;
            }
            if self.arm() {
                return Ok(None);
            }
            if deadline.is_some_and(Deadline::passed) {
                // One became ready after the look: its announcement may be what was drained.
                self.announce_all();
                return Ok(None);
            }
        }
    }

    fn look(&self, deadline: Option<Deadline>) -> Result<Option<SetWon>> {
        let members = self.members();
        let count = members.len();
        let start = self.turn.load(Ordering::Relaxed);
        let mut steps = Steps::until(deadline);
        self.set_alarm(&members);
        for step in 0..count {
            let at = (start + step) % count;
            let Some(entry) = &members[at] else { continue };
            let taken = member::take(&entry.kept.inner(), None, &mut steps);
            if !matches!(taken, Ok(None)) {
                // After an error too: it must not keep the others from their turn.
                self.turn.store(at + 1, Ordering::Relaxed);
            }
            if let Some(Taken { abandoned }) = taken? {
                return Ok(Some(SetWon {
                    key: Key(at),
                    abandoned,
                }));
            }
        }
        Ok(None)
    }

    /// Before a look, so that what becomes ready after it is announced again.
    pub(crate) fn drain(&self) {
        let mut count = [0; 8];
        // Nothing to read is the usual case.
        let _ = rustix::io::read(&self.objects, &mut count);
    }

    /// Arms every object. False: one may be ready by now.
    pub(crate) fn arm(&self) -> bool {
        let members = self.members();
        let mut kept = members.iter().flatten().map(|entry| &entry.kept);
        kept.all(|kept| match kept {
            Kept::Object(object, core) => is_quiet(object, *core),
            // Its thread was started when it was added: nothing can fail.
            Kept::Source(lookout) => lookout.arm().is_ok(),
            _ => true,
        })
    }

    /// Whether it has told of something that neither [`drain`](Self::drain) nor [`arm`](Self::arm)
    /// has taken back. Of that there is no further edge, which an event loop may wait for: a thread
    /// of a source that has just told cannot be armed again yet.
    pub(crate) fn has_told(&self) -> bool {
        let mut set = [PollFd::new(&self.epoll, PollFlags::IN)];
        matches!(poll(&mut set, Some(&Timespec::default())), Ok(1..))
    }

    fn announce_all(&self) {
        let _ = rustix::io::write(&self.objects, &1u64.to_ne_bytes());
    }

    /// Arms the objects of that domain, and makes the descriptor readable if one is ready.
    pub(crate) fn announce(&self, domain: &Arc<Domain>) {
        let members = self.members();
        let ready = members.iter().flatten().any(|entry| match &entry.kept {
            Kept::Object(object, core) if Arc::ptr_eq(&object.domain, domain) => {
                !is_quiet(object, *core)
            }
            _ => false,
        });
        // A timer may have been set anew.
        self.set_alarm(&members);
        drop(members);
        if ready {
            self.announce_all();
        }
    }

    /// Sets the alarm anew, after a look: an expiry that somebody else has taken rings no more.
    pub(crate) fn reset_alarm(&self) {
        self.set_alarm(&self.members());
    }

    /// The alarm rings at the next expiry of a timer or delay.
    fn set_alarm(&self, members: &[Option<Entry>]) {
        let due = members
            .iter()
            .flatten()
            .filter_map(|entry| match &entry.kept {
                Kept::Object(object, core) => timer::next(&object.spot(*core)),
                Kept::Until(moment) => Some(*moment),
                // Nothing else makes the descriptor readable.
                Kept::Process(_) => Some(next_probe()),
                _ => None,
            });
        // A failure leaves an alarm that is early or missing; waits look at timers themselves.
        let _ = match due.min() {
            Some(due) => timerfd::arm(self.alarm.as_fd(), due),
            None => timerfd::disarm(self.alarm.as_fd()),
        };
    }

    fn probe_interval(&self) -> Option<Duration> {
        let members = self.members();
        let entries = members.iter().flatten();
        entries
            .filter_map(|entry| member::probe_interval(&entry.kept.inner()))
            .min()
    }
}

/// The next moment at which what cannot wake anybody is looked at. Always the same until then:
/// however often the alarm is set anew, it rings.
fn next_probe() -> Deadline {
    let pace = u64::try_from(PROCESS_PROBE.as_nanos()).unwrap_or(u64::MAX);
    let now = Deadline::now().ns();
    Deadline::from_ns((now / pace).saturating_add(1).saturating_mul(pace))
}

/// Arms the object; false if it may be ready. Broken ones may be: the look that follows says so.
fn is_quiet(object: &Object, core: usize) -> bool {
    let spot = object.spot(core);
    // An expiry that nobody has looked at yet makes it ready.
    let fired = timer::fire(&spot, &mut Steps::until(None)).is_ok();
    let armed = matches!(
        txn::arm(&spot, 0, None, &mut Steps::until(None)),
        Ok(Some(_))
    );
    let is_orphan = || {
        let state = spot.observe();
        let is_held = object.handle.kind == Kind::Mutant && !state.ready();
        is_held && member::is_dead(&spot, state.value())
    };
    fired && armed && !object.map.is_broken() && !is_orphan()
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.generation != fork::generation() {
            return;
        }
        let members = std::mem::take(&mut *self.members());
        for entry in members.iter().flatten() {
            self.forget(entry);
        }
    }
}
