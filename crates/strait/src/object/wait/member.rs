//! What a wait does with one member: look, take, register, withdraw.

use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, WaitId, WaitIdOptions, test_kill_process, waitid};
use strait_sys::kill;
use strait_sys::time::Deadline;

use crate::error::{Error, ErrorKind, Result};
use crate::object::commit::seat;
use crate::object::commit::txn::{self, Pace, Place, Unsettled};
use crate::object::kind::{Kind, Rights};
use crate::object::layout::{self, FLAG_LOOK_WAITS, RECURSION};
use crate::object::spot::{Quick, Spot};
use crate::object::wait::{Inner, timer};
use crate::object::word::{Admission, Rule, State};

/// How long an object may fail to settle before it counts as broken.
const SETTLE: Duration = Duration::from_secs(1);
/// Rounds of patience with an undecided transaction: about a microsecond.
const PATIENCE: u32 = 200;
/// Rounds before a passed deadline counts: some twenty marks can be brought to their end. A poll
/// that gave up on the first would call an object taken that nobody has, for ever if its author is
/// dead.
const INSIST: u32 = 4096;
/// How often a process is looked at whose end nothing tells.
pub(crate) const PROCESS_PROBE: Duration = Duration::from_millis(10);
/// How often a mutant's owner is asked for: its death announces nothing.
pub(crate) const PROBE: Duration = Duration::from_millis(100);
/// When it is asked for the first time: sooner, but not before every sleep. Longer than a tick of
/// the kernel's: a sleep with a shorter one costs a reprogramming of the timer hardware each time.
pub(crate) const FIRST_PROBE: Duration = Duration::from_millis(20);

/// The pace of this process: spin, then yield, and never past the caller's deadline.
#[derive(Debug)]
pub(crate) struct Steps {
    rounds: u32,
    weary: u32,
    limit: Option<Deadline>,
    deadline: Option<Deadline>,
    /// Whether a held mutant's owner is asked for, which costs a system call.
    pub(crate) probes: bool,
}

impl Steps {
    pub(crate) fn until(deadline: Option<Deadline>) -> Self {
        Self {
            rounds: 0,
            weary: 0,
            limit: None,
            deadline,
            probes: true,
        }
    }
}

impl Pace for Steps {
    fn pause(&mut self) -> std::result::Result<(), Unsettled> {
        self.rounds = self.rounds.wrapping_add(1);
        if !self.rounds.is_multiple_of(64) {
            std::hint::spin_loop();
            return Ok(());
        }
        let limit = *self.limit.get_or_insert_with(|| {
            let settle = Deadline::after(SETTLE);
            self.deadline
                .map_or(settle, |deadline| deadline.min(settle))
        });
        if !limit.passed() {
            std::thread::yield_now();
            return Ok(());
        }
        // Without yielding: nobody else has to run for a mark to be brought to its end.
        if self.rounds < INSIST {
            Ok(())
        } else {
            Err(Unsettled)
        }
    }

    fn weary(&mut self) -> bool {
        self.weary += 1;
        match self.weary {
            ..PATIENCE => false,
            PATIENCE => {
                std::thread::yield_now();
                false
            }
            _ => {
                self.weary = 0;
                true
            }
        }
    }
}

/// The error of an object that never settles.
pub(crate) fn unsettled(spot: &Spot<'_>, verb: &'static str) -> Error {
    Error::new(ErrorKind::Broken, verb, spot.object.handle.full_name())
        .because("its state never settles: a process with write access keeps changing it")
}

/// What was taken.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) abandoned: bool,
}

/// Who the calling thread is to this object: only a mutant asks.
pub(crate) fn token(spot: &Spot<'_>) -> Result<u32> {
    if spot.rule() == Rule::Mutant {
        return Ok(seat::seat(&spot.object.domain)?.token);
    }
    Ok(0)
}

pub(crate) fn is_dead(spot: &Spot<'_>, owner: u32) -> bool {
    owner != 0 && spot.object.domain.is_dead(owner) && !kill::sabotaged("owner.dead")
}

/// Whether this handle may only look: then nothing is taken, and only a manual event may be waited
/// for.
pub(crate) fn only_looks(spot: &Spot<'_>) -> bool {
    !spot.object.handle.rights.includes(Rights::WAIT)
}

/// Whether a wait on this member is allowed at all.
pub(crate) fn check(inner: &Inner<'_>, blocking: bool) -> Result<()> {
    let Inner::Object(object, core) = inner else {
        return Ok(());
    };
    let spot = object.spot(*core);
    if !only_looks(&spot) {
        return Ok(());
    }
    let denied = |why: &str| {
        Err(Error::new(ErrorKind::Denied, "wait", object.handle.full_name()).because(why))
    };
    if spot.rule() != Rule::Manual || !object.handle.rights.includes(Rights::LOOK) {
        return denied("waiting takes it, which needs write access");
    }
    if blocking && !object.has_flag(FLAG_LOOK_WAITS) {
        return denied("a read-only wait needs an event born with look_waits");
    }
    Ok(())
}

/// Takes the member if it is ready.
pub(crate) fn take(
    inner: &Inner<'_>,
    since: Option<u32>,
    steps: &mut Steps,
) -> Result<Option<Taken>> {
    let ready = match inner {
        Inner::Object(object, core) => {
            match object.quick_take(*core) {
                Quick::Taken => return Ok(Some(Taken { abandoned: false })),
                // A pulse may be owed to a registered waiter though it is not ready.
                Quick::NotReady if since.is_none() => return Ok(None),
                _ => {}
            }
            return take_object(&object.spot(*core), since, steps);
        }
        Inner::Descriptor(fd, interest) => descriptor_ready(*fd, *interest)?,
        Inner::Until(deadline) => deadline.passed(),
        Inner::Source(source) => source.take()?,
        Inner::Process(pid) => !process_runs(*pid),
    };
    Ok(ready.then_some(Taken { abandoned: false }))
}

/// Whether the member is ready, for one that is only looked at.
pub(crate) fn is_ready(inner: &Inner<'_>, since: Option<u32>, steps: &mut Steps) -> Result<bool> {
    match inner {
        Inner::Source(source) => source.is_ready(),
        _ => Ok(take(inner, since, steps)?.is_some()),
    }
}

fn take_object(spot: &Spot<'_>, since: Option<u32>, steps: &mut Steps) -> Result<Option<Taken>> {
    spot.object.check_whole("wait")?;
    if only_looks(spot) {
        let admission = spot.rule().admit(spot.observe(), 0, since);
        let ready = admission == Admission::Ready;
        return Ok(ready.then_some(Taken { abandoned: false }));
    }
    let settle = |result: std::result::Result<_, Unsettled>| match result {
        Ok(taken) => Ok(taken),
        Err(Unsettled) if steps_late(steps) => Ok(None),
        Err(Unsettled) => Err(unsettled(spot, "wait")),
    };
    let me = token(spot)?;
    let mut pace = Steps::until(steps.deadline);
    let dead = |spot: &Spot<'_>, owner| steps.probes && is_dead(spot, owner);
    let result =
        refresh(spot, &mut pace).and_then(|()| txn::take_one(spot, me, since, dead, &mut pace));
    let before = settle(result)?;
    before.map(|before| account(spot, before, me)).transpose()
}

/// Brings a word up to this moment: expiries become READY, and the releases of waiters who have
/// gone are withdrawn.
#[inline]
pub(crate) fn refresh(spot: &Spot<'_>, pace: &mut Steps) -> std::result::Result<(), Unsettled> {
    match spot.rule() {
        Rule::Timer { .. } => timer::fire(spot, pace),
        Rule::Auto => thin(spot, pace),
        _ => Ok(()),
    }
}

/// Withdraws the releases that were for waiters who have given up or died.
fn thin(spot: &Spot<'_>, pace: &mut Steps) -> std::result::Result<(), Unsettled> {
    txn::thin(spot, || waiters(spot), pace)
}

fn steps_late(steps: &Steps) -> bool {
    steps.deadline.is_some_and(Deadline::passed)
}

fn check_depth(spot: &Spot<'_>, depth: u32) -> Result<()> {
    if depth < i32::MAX.unsigned_abs() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::LimitExceeded,
        "acquire mutant",
        spot.object.handle.full_name(),
    )
    .because("acquired 2,147,483,647 times by its owner"))
}

/// Fails if `me` owns this mutant as often as anybody can. Before anything is taken with it: only
/// the owner counts, so that it is still true then.
pub(crate) fn check_limit(spot: &Spot<'_>, me: u32) -> Result<()> {
    let state = spot.observe();
    if state.ready() || state.value() != me {
        return Ok(());
    }
    check_depth(spot, spot.half(RECURSION).load(Ordering::Relaxed))
}

/// A mutant's recursion is its owner's to count. `before` is the word as it was taken.
pub(crate) fn account(spot: &Spot<'_>, before: State, me: u32) -> Result<Taken> {
    if spot.rule() != Rule::Mutant {
        return Ok(Taken { abandoned: false });
    }
    let count = spot.half(RECURSION);
    if !before.ready() && before.value() == me {
        let depth = count.load(Ordering::Relaxed);
        check_depth(spot, depth)?;
        count.store(depth + 1, Ordering::Relaxed);
        return Ok(Taken { abandoned: false });
    }
    count.store(1, Ordering::Relaxed);
    Ok(Taken {
        abandoned: !before.ready(),
    })
}

pub(crate) fn descriptor_ready(fd: BorrowedFd<'_>, interest: PollFlags) -> Result<bool> {
    let mut fds = [PollFd::new(&fd, interest)];
    let zero = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    loop {
        match rustix::event::poll(&mut fds, Some(&zero)) {
            Ok(_) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Error::kernel(errno, "wait", "a descriptor")),
        }
    }
    let events = fds[0].revents();
    if events.contains(PollFlags::NVAL) {
        return Err(Error::kernel(
            rustix::io::Errno::BADF,
            "wait",
            "a descriptor",
        ));
    }
    Ok(!events.is_empty())
}

pub(crate) fn process_runs(pid: Pid) -> bool {
    // A zombie has exited, though signal 0 still reaches it.
    let stat = std::fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    // Behind the name of the command, which is any bytes.
    let state = |stat: Vec<u8>| {
        let end = stat.iter().rposition(|byte| *byte == b')')?;
        stat.get(end + 2).copied()
    };
    match stat.ok().and_then(state) {
        Some(state) => !matches!(state, b'Z' | b'X'),
        None => !is_dead_child(pid) && test_kill_process(pid) != Err(rustix::io::Errno::SRCH),
    }
}

/// Whether it is a child of ours that has exited: without /proc, signals alone do not tell a
/// zombie.
fn is_dead_child(pid: Pid) -> bool {
    let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::Pid(pid), peek), Ok(Some(_)))
}

// ---- tickets: who is waiting on an auto-reset event ----------------------------------------

/// A place in an event's roster of waiters, given back when the wait ends.
#[derive(Debug)]
pub(crate) struct Ticket<'a> {
    spot: Spot<'a>,
    entry: Option<usize>,
}

impl<'a> Ticket<'a> {
    /// Registers the calling thread, so that sets are counted up to the waiters there are.
    pub(crate) fn register(spot: Spot<'a>) -> Result<Option<Self>> {
        if spot.rule() != Rule::Auto || kill::sabotaged("ticket.register") {
            return Ok(None);
        }
        if spot.is_private() {
            spot.half(layout::TICKET_MARK)
                .fetch_add(1, Ordering::SeqCst);
            return Ok(Some(Self { spot, entry: None }));
        }
        let token = seat::seat(&spot.object.domain)?.token;
        let entry = enter(
            &spot,
            layout::tickets(spot.core()),
            layout::TICKET_MARK,
            token,
        );
        kill::point("ticket.entered");
        Ok(entry.map(|entry| Self {
            spot,
            entry: Some(entry),
        }))
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        match self.entry {
            None => {
                self.spot
                    .half(layout::TICKET_MARK)
                    .fetch_sub(1, Ordering::SeqCst);
            }
            Some(entry) => {
                kill::point("ticket.leaving");
                leave(&self.spot, layout::tickets(self.spot.core()), entry);
            }
        }
    }
}

/// Puts `token` into a roster. `None`: it is full.
pub(crate) fn enter(spot: &Spot<'_>, roster: usize, mark: usize, token: u32) -> Option<usize> {
    for index in 0..layout::ROSTER_LEN {
        let word = spot.object.map.word::<u32>(roster + index * 4)?;
        let found = word.load(Ordering::SeqCst);
        if found != 0 && (found == token || !spot.object.domain.is_dead(found)) {
            continue;
        }
        if word
            .compare_exchange(found, token, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
        {
            let high = spot.half(mark);
            let needed = u32::try_from(index + 1).unwrap_or(u32::MAX);
            let mut found = high.load(Ordering::SeqCst);
            while found < needed {
                match high.compare_exchange(found, needed, Ordering::SeqCst, Ordering::SeqCst) {
                    Ok(_) => break,
                    Err(now) => found = now,
                }
            }
            return Some(index);
        }
    }
    None
}

pub(crate) fn leave(spot: &Spot<'_>, roster: usize, entry: usize) {
    if let Some(word) = spot.object.map.word::<u32>(roster + entry * 4) {
        word.store(0, Ordering::SeqCst);
    }
}

/// The tokens in a roster.
pub(crate) fn roster<'a>(
    spot: &Spot<'a>,
    roster: usize,
    mark: usize,
) -> impl Iterator<Item = u32> + use<'a> {
    let used = spot.half_look(mark).load(Ordering::SeqCst) as usize;
    let object = spot.object;
    (0..used.min(layout::ROSTER_LEN)).filter_map(move |index| {
        let token = object
            .map
            .look::<u32>(roster + index * 4)?
            .load(Ordering::SeqCst);
        (token != 0).then_some(token)
    })
}

/// How many living waiters are registered with an auto-reset event.
pub(crate) fn waiters(spot: &Spot<'_>) -> u32 {
    if spot.is_private() {
        return spot.half_look(layout::TICKET_MARK).load(Ordering::SeqCst);
    }
    let domain = &spot.object.domain;
    let tokens = roster(spot, layout::tickets(spot.core()), layout::TICKET_MARK);
    u32::try_from(tokens.filter(|token| !domain.is_dead(*token)).count()).unwrap_or(u32::MAX)
}

/// Whether a sleeper on this member must wake now and then, because what ends its wait cannot
/// wake it.
pub(crate) fn probe_interval(inner: &Inner<'_>) -> Option<Duration> {
    match inner {
        Inner::Object(object, _) if object.handle.kind == Kind::Mutant => Some(PROBE),
        Inner::Process(_) => Some(PROCESS_PROBE),
        _ => None,
    }
}
