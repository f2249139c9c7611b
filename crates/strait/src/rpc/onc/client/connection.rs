//! One connection, and the threads that call over it.
//!
//! There is no thread beside them: one of those who wait reads, for all. Whoever finds nobody
//! reading takes the inbox, and with it the turn; when his own reply has come he puts it back and
//! wakes another. The turn is never held while a caller's own code runs.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strait_sys::Errno;
use strait_sys::time::Deadline;
use strait_wire::onc::client::Form;
use strait_wire::onc::message::Xid;

use super::calls::{Calls, Outcome, Waiter};
use super::failure::{End, Failure};
use super::inbox::Inbox;
use super::transport::Transport;

/// Who has room to wait for and cannot read, since another does, looks again after this long: that
/// one may have stopped, and then nobody reads.
const PACE: Duration = Duration::from_millis(10);
/// Reads after the time has run out: what came in time may lie in the socket, behind other replies.
const LATE_READS: u32 = 64;
/// Buffers that are kept for the next calls, and the largest of them, in bytes.
const BUFFERS: usize = 4;
const BUFFER_MAX: usize = 2 << 20;
/// Attempts to send a datagram that reports the fate of one before it.
const ATTEMPTS: u32 = 3;

/// One connection.
pub(super) struct Connection {
    transport: Box<dyn Transport>,
    record_max: usize,
    state: Mutex<State>,
    sending: Turn,
    buffers: Mutex<Vec<Vec<u8>>>,
}

struct State {
    calls: Calls,
    /// Away while somebody reads.
    inbox: Option<Inbox>,
    /// For the next reader, while results are decoded from the other.
    spare: Option<Inbox>,
}

/// The results of a call, not decoded.
pub(super) enum Results {
    /// Where they were read into.
    Lent { inbox: Inbox, at: usize },
    /// Somebody else has read them, or more follows them.
    Copied(Vec<u8>),
}

impl Results {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Lent { inbox, at } => &inbox.message()[*at..],
            Self::Copied(bytes) => bytes,
        }
    }
}

impl Connection {
    pub(super) fn new(transport: Box<dyn Transport>, calls: Calls, record_max: usize) -> Self {
        let inbox = Inbox::new(transport.form(), record_max);
        let state = Mutex::new(State {
            calls,
            inbox: Some(inbox),
            spare: None,
        });
        Self {
            transport,
            record_max,
            state,
            sending: Turn::default(),
            buffers: Mutex::default(),
        }
    }

    /// Whether sending may block whatever time is left.
    pub(super) fn can_block(&self) -> bool {
        self.transport.can_block()
    }

    pub(super) fn form(&self) -> Form {
        self.transport.form()
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.transport.is_encrypted()
    }

    /// Whether calls cannot be gathered for one write.
    pub(super) fn is_one_by_one(&self) -> bool {
        self.form() != Form::RECORD
    }

    /// What it knows of its calls. Never held while a system call may block.
    pub(super) fn calls<T>(&self, with: impl FnOnce(&mut Calls) -> T) -> T {
        with(&mut self.state().calls)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty buffer to encode a call in.
    pub(super) fn buffer(&self) -> Vec<u8> {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        buffers.pop().unwrap_or_default()
    }

    /// Gives a buffer back.
    pub(super) fn reuse(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        if buffers.len() < BUFFERS && buffer.capacity() <= BUFFER_MAX {
            buffers.push(buffer);
        }
    }

    /// Sends calls that have their numbers. `xid`: the one of them that is to be answered, if they
    /// are one.
    pub(super) fn send(
        &self,
        bytes: &[u8],
        until: Deadline,
        xid: Option<Xid>,
    ) -> Result<(), Failure> {
        if bytes.is_empty() {
            return Ok(());
        }
        let _turn = self.sending.take(until)?;
        // Whoever had the turn may have left a call cut.
        self.calls(|calls| calls.check_open())?;
        let (mut sent, mut attempts, mut within) = (0, 0, None);
        while sent < bytes.len() {
            match self.transport.try_send(&bytes[sent..]) {
                Ok(len) => sent += len,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    if let Some(end) = self.calls(|calls| calls.ended().cloned()) {
                        return Err(Failure::Ended(end));
                    }
                    let within = *within.get_or_insert_with(|| until.left());
                    if until.passed() {
                        if sent > 0 || self.transport.is_within_message() {
                            let cut = End::cut(sent, bytes.len());
                            self.calls(|calls| calls.close(cut));
                        }
                        return Err(Failure::Stuck { within });
                    }
                    self.wait_for_room(until)?;
                }
                Err(errno) if self.form() == Form::DATAGRAM => {
                    // What the kernel reports may be the fate of an earlier datagram.
                    attempts += 1;
                    if errno != Errno::CONNREFUSED {
                        return Err(Failure::Unsent(errno));
                    }
                    self.calls(|calls| calls.unreachable(xid));
                    if attempts == ATTEMPTS {
                        return Err(Failure::Unreachable);
                    }
                }
                Err(errno) => {
                    let end = self.transport.end(errno);
                    self.calls(|calls| calls.close(end.clone()));
                    return Err(Failure::Ended(end));
                }
            }
        }
        Ok(())
    }

    /// Waits for room to send. The server may read on only when its replies have gone, so that they
    /// are read here if nobody else reads.
    #[cold]
    fn wait_for_room(&self, until: Deadline) -> Result<(), Failure> {
        let Some(mut reading) = self.state().read(self) else {
            let pace = Deadline::after(PACE).min(until);
            let waited = self.transport.wait_for_room(false, pace);
            return waited.map_err(Failure::Unsent);
        };
        let waited = self.transport.wait_for_room(true, until);
        let read = self.transport.try_receive(reading.inbox());
        let mut state = self.state();
        self.arrived(&mut state, reading.inbox(), &read);
        state.sort(reading.inbox(), None);
        drop(state);
        waited.map_err(Failure::Unsent)
    }

    /// Waits until fewer than `max` calls are in flight under RPCSEC_GSS, reading if nobody else
    /// does. One waits at a time. False: there are as many still.
    pub(super) fn wait_for_window(&self, max: u32, until: Deadline) -> Result<bool, Failure> {
        let mut state = self.state();
        loop {
            state.calls.check_open()?;
            if state.calls.book.has_room(max) {
                state.pass_on();
                return Ok(true);
            }
            let limit = self.tick(&mut state).map_or(until, |tick| tick.min(until));
            if until.passed() {
                state.pass_on();
                return Ok(false);
            }
            if let Some(mut reading) = state.read(self) {
                // In this order: a mechanism may panic, and the end of the turn takes the lock.
                let mut state = state;
                // The last reader may have left something.
                let _ = state.sort(reading.inbox(), None);
                if !state.calls.book.has_room(max) {
                    drop(state);
                    let read = self.transport.receive(reading.inbox(), limit);
                    state = self.state();
                    self.arrived(&mut state, reading.inbox(), &read);
                    let _ = state.sort(reading.inbox(), None);
                }
                drop(state);
            } else {
                let me = Waiter::Thread(std::thread::current());
                state.calls.book.wait(me);
                drop(state);
                std::thread::park_timeout(limit.left());
            }
            state = self.state();
        }
    }

    /// Waits for the reply to a call, reading if nobody else does.
    pub(super) fn wait(
        &self,
        xid: Xid,
        until: Deadline,
        within: Duration,
    ) -> Result<Results, Failure> {
        let mut state = self.state();
        state.calls.attend(xid);
        loop {
            let limit = self.tick(&mut state).map_or(until, |tick| tick.min(until));
            if let Some(outcome) = state.calls.collect(xid) {
                state.pass_on();
                return results(outcome?, Results::Copied);
            }
            if let Some(mut reading) = state.read(self) {
                // In this order: a mechanism may panic, and the end of the turn takes the lock.
                let mut state = state;
                // The last reader may have left something.
                let found = state.sort(reading.inbox(), Some(xid));
                drop(state);
                return match found {
                    Some(outcome) => results(outcome, |at| reading.lend(at)),
                    None => self.lead(reading, xid, (limit, until), within),
                };
            }
            if until.passed() {
                return Err(timed_out(&mut state, xid, within));
            }
            let me = Waiter::Thread(std::thread::current());
            state.calls.wait(xid, me);
            drop(state);
            std::thread::park_timeout(limit.left());
            state = self.state();
            state.calls.wait_no_more(xid);
        }
    }

    /// Reads, for all, until the reply to `xid` has come, or until the second of the times; at the
    /// first there is something to do.
    fn lead(
        &self,
        mut reading: Reading<'_>,
        xid: Xid,
        (mut limit, until): (Deadline, Deadline),
        within: Duration,
    ) -> Result<Results, Failure> {
        let mut late_reads = 0;
        loop {
            let read = self.transport.receive(reading.inbox(), limit);
            let mut state = self.state();
            self.arrived(&mut state, reading.inbox(), &read);
            let found = state.sort(reading.inbox(), Some(xid));
            if let Some(outcome) = found {
                drop(state);
                return results(outcome, |at| reading.lend(at));
            }
            limit = self.tick(&mut state).map_or(until, |tick| tick.min(until));
            if let Some(outcome) = state.calls.collect(xid) {
                drop(state);
                return results(outcome?, Results::Copied);
            }
            if until.passed() {
                late_reads += 1;
                if matches!(read, Ok(None)) || late_reads > LATE_READS {
                    return Err(timed_out(&mut state, xid, within));
                }
            }
        }
    }

    /// What a read has brought.
    fn arrived(&self, state: &mut State, inbox: &mut Inbox, read: &Result<Option<usize>, Errno>) {
        let is_datagram = self.form() == Form::DATAGRAM;
        match read {
            Ok(Some(0)) if self.form() == Form::RECORD => {
                let end = End::closed(!inbox.is_drained());
                state.calls.end(&end);
            }
            Ok(Some(len)) => inbox.filled(*len),
            Ok(None) => {}
            Err(Errno::CONNREFUSED) if is_datagram => state.calls.unreachable(None),
            Err(errno) => state.calls.end(&self.transport.end(*errno)),
        }
    }

    /// Sends again what is due, and says when to come back.
    fn tick(&self, state: &mut State) -> Option<Deadline> {
        let mut is_refused = false;
        state.calls.tick(|datagram| {
            // One that cannot be sent now is like one that is lost.
            let sent = self.transport.try_send(datagram);
            is_refused |= sent == Err(Errno::CONNREFUSED);
        });
        if is_refused {
            state.calls.unreachable(None);
        }
        state.calls.next_tick()
    }

    /// Gives back what results were decoded from.
    pub(super) fn give_back(&self, results: Results) {
        let Results::Lent { inbox, .. } = results else {
            return;
        };
        let mut state = self.state();
        // If nothing is in the other: this one has room for what has come before.
        match &mut state.inbox {
            Some(present) if present.is_drained() => {
                let other = std::mem::replace(present, inbox);
                state.spare = Some(other);
            }
            _ => state.spare = Some(inbox),
        }
    }

    /// Forgets a call.
    pub(super) fn forget(&self, xid: Xid) {
        let mut state = self.state();
        state.calls.forget(xid);
        state.pass_on();
    }
}

impl State {
    /// Takes what has come: what became of `mine` is returned, and what follows is left.
    fn sort(&mut self, inbox: &mut Inbox, mine: Option<Xid>) -> Option<Outcome<usize>> {
        loop {
            match inbox.next() {
                Ok(true) => {
                    let found = self.calls.take_in(inbox.message(), mine);
                    if found.is_some() {
                        return found;
                    }
                }
                Ok(false) => return None,
                Err(error) => {
                    self.calls.end(&End::record(error));
                    return None;
                }
            }
        }
    }

    /// Takes the turn to read, if nobody has it.
    fn read<'a>(&mut self, connection: &'a Connection) -> Option<Reading<'a>> {
        let inbox = Some(self.inbox.take()?);
        Some(Reading { connection, inbox })
    }

    /// One who was woken may have been given the turn without taking it.
    fn pass_on(&mut self) {
        if self.inbox.is_some() {
            self.calls.wake_one();
        }
    }
}

/// The turn to read. It ends when this is dropped, also by a panic of what is read from, or of a
/// mechanism: never while the lock is held, which that takes.
struct Reading<'a> {
    connection: &'a Connection,
    /// There until the end.
    inbox: Option<Inbox>,
}

impl Reading<'_> {
    fn inbox(&mut self) -> &mut Inbox {
        self.inbox.as_mut().expect("it is there until the end")
    }

    /// Ends the turn. The results stay where they are, unless more follows them there.
    fn lend(mut self, at: usize) -> Results {
        if !self.inbox().is_drained() {
            return Results::Copied(self.inbox().message()[at..].to_vec());
        }
        let Connection {
            transport,
            record_max,
            ..
        } = self.connection;
        let mut state = self.connection.state();
        let spare = state.spare.take();
        drop(state);
        let spare = spare.unwrap_or_else(|| Inbox::new(transport.form(), *record_max));
        let inbox = std::mem::replace(self.inbox(), spare);
        Results::Lent { inbox, at }
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut state = self.connection.state();
        state.inbox = self.inbox.take();
        state.calls.wake_one();
    }
}

fn results<R>(outcome: Outcome<R>, place: impl FnOnce(R) -> Results) -> Result<Results, Failure> {
    match outcome {
        Outcome::Results(at) => Ok(place(at)),
        Outcome::Opened(bytes) => Ok(Results::Copied(bytes)),
        Outcome::Unproven(why) => Err(Failure::Unproven(why)),
        Outcome::Refused(refused) => Err(Failure::Refused(refused)),
        Outcome::Malformed(error) => Err(Failure::Malformed(error)),
        Outcome::Unreachable => Err(Failure::Unreachable),
        Outcome::Dropped { len, max } => Err(Failure::Dropped { len, max }),
    }
}

fn timed_out(state: &mut State, xid: Xid, within: Duration) -> Failure {
    state.calls.forget(xid);
    state.pass_on();
    let strays = state.calls.strays.clone();
    Failure::TimedOut { within, strays }
}

/// A lock that is waited for until a time.
#[derive(Default)]
pub(super) struct Turn {
    /// Whether it is taken, and how many wait for it: nobody is woken, by a system call, where
    /// nobody waits.
    state: Mutex<(bool, usize)>,
    free: Condvar,
}

impl Turn {
    pub(super) const fn new() -> Self {
        Self {
            state: Mutex::new((false, 0)),
            free: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, (bool, usize)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self, until: Deadline) -> Result<Taken<'_>, Failure> {
        let mut state = self.state();
        let mut within = None;
        while state.0 {
            let left = until.left();
            let within = *within.get_or_insert(left);
            if left.is_zero() {
                return Err(Failure::Stuck { within });
            }
            state.1 += 1;
            let waited = self.free.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            state.1 -= 1;
        }
        state.0 = true;
        Ok(Taken(self))
    }
}

/// The turn, until it is dropped.
pub(super) struct Taken<'a>(&'a Turn);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.0 = false;
        let is_awaited = state.1 > 0;
        drop(state);
        if is_awaited {
            self.0.free.notify_one();
        }
    }
}
