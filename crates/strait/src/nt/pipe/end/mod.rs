//! One end of a connection: what server, client, reader and writer have in common.

mod mode;
mod transfer;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use crate::channel::Channel;
use crate::channel::Part;
use crate::channel::flow::{self, Ended, Inflow, Outflow, Pace, Returned, Unit};
use crate::channel::layout::{CLOSED, CUT, DEAF};
use crate::channel::link::Link;
use crate::error::{Error, ErrorKind, Result};
use crate::nt::pipe::fault::{Manner, fault, unreadable, unwritable};
use crate::nt::pipe::operation::{Begin, Completed, Lane, Operation, Outcome, Run, Workers};
use crate::nt::status::NtStatus;
use crate::object::transfer::Parcel;
use crate::object::wait::source::Source;

pub(super) use self::mode::Mode;

/// How reads see the pipe.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum ReadMode {
    /// A stream of bytes, also where they were written as messages.
    Bytes,
    /// A message at a time; message pipes only.
    Message,
}

/// What is agreed on when an end begins.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) struct Facts {
    /// Each write is a message.
    pub(super) message: bool,
    pub(super) reads: bool,
    pub(super) writes: bool,
    /// Bytes that may lie unread of what is written here.
    pub(super) quota: u64,
    /// It is the server's.
    pub(super) server: bool,
}

impl Facts {
    /// What a write is.
    fn unit(self) -> Unit {
        if self.message {
            Unit::Message
        } else {
            Unit::Bytes
        }
    }
}

/// What a look at a pipe found. NT: PeekNamedPipe.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Peeked {
    /// Bytes copied.
    pub len: usize,
    /// Bytes to be read in all. Of a message that is longer than the ring those that have arrived.
    pub available: u64,
    /// Bytes of the first message beyond those copied; 0 where bytes are read.
    pub left: u64,
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct End {
    input: Mutex<Inflow>,
    out: Mutex<Outflow>,
    /// A read or transaction waits, with the lock on what is received; a write, with that on what
    /// is sent.
    reading: Arc<AtomicBool>,
    writing: Arc<AtomicBool>,
    /// What reads gave back: under no lock that a read waits with.
    returned: Arc<Returned>,
    pub(super) arrivals: Arc<dyn Source>,
    pub(super) link: Arc<Link>,
    pub(super) facts: Facts,
    pub(super) mode: Arc<Mode>,
    pub(super) name: Arc<str>,
    /// The handle is gone: what others wait for with it ends.
    closed: AtomicBool,
    /// Something was read.
    has_read: AtomicBool,
    pub(super) workers: Workers,
}

const READ: &str = "read from pipe";
const WRITE: &str = "write to pipe";
const PEEK: &str = "look into pipe";
const TRANSACT: &str = "transact on pipe";

impl End {
    pub(super) fn new(
        channel: Channel,
        facts: Facts,
        mode: Arc<Mode>,
        name: Arc<str>,
    ) -> Result<Arc<Self>> {
        let (sender, receiver) = channel.split();
        let made = Outflow::new(sender, facts.quota).zip(Inflow::new(receiver));
        let Some((out, input)) = made else {
            return Err(Error::new(ErrorKind::Broken, "open pipe", &*name)
                .because("its memory has no room for the protocol"));
        };
        Ok(Arc::new(Self {
            writing: out.waiting(),
            reading: input.waiting(),
            returned: input.returned().clone(),
            arrivals: input.arrivals(),
            link: input.link().clone(),
            input: Mutex::new(input),
            out: Mutex::new(out),
            facts,
            mode,
            name,
            closed: AtomicBool::new(false),
            has_read: AtomicBool::new(false),
            workers: Workers::default(),
        }))
    }

    pub(super) fn fault(&self, status: NtStatus, verb: &'static str) -> Error {
        fault(status, verb, &self.name)
    }

    fn unreadable(&self, ended: Ended, verb: &'static str) -> Error {
        unreadable(ended, self.manner(CLOSED), verb, &self.name)
    }

    fn unwritable(&self, ended: Ended, verb: &'static str) -> Error {
        unwritable(ended, self.manner(DEAF), verb, &self.name)
    }

    fn manner(&self, bit: u32) -> Manner {
        if self.link.is_abandoned(bit) {
            Manner::Abandoned
        } else {
            Manner::Closed
        }
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Runs with the pace of a call on this handle: `stop` ends it, and so does the handle's end.
    fn paced<T>(&self, now: bool, stop: &dyn Fn() -> bool, run: impl FnOnce(Pace<'_>) -> T) -> T {
        let stop = || self.is_closed() || stop();
        run(Pace { now, stop: &stop })
    }

    /// What is received; `None` where the caller does not wait, and somebody else waits for it.
    #[inline]
    fn input(&self, now: bool) -> Option<MutexGuard<'_, Inflow>> {
        if !now {
            return Some(self.input.lock().unwrap_or_else(PoisonError::into_inner));
        }
        try_lock(&self.input, || self.reading.load(Ordering::SeqCst))
    }

    #[inline]
    fn out(&self, now: bool) -> Option<MutexGuard<'_, Outflow>> {
        if !now {
            return Some(self.out.lock().unwrap_or_else(PoisonError::into_inner));
        }
        try_lock(&self.out, || self.writing.load(Ordering::SeqCst))
    }

    #[inline]
    pub(super) fn read(&self, buffer: &mut [u8]) -> Result<Part> {
        if self.facts.reads
            && let Ok(mut input) = self.input.try_lock()
            && let Some(len) = input.read_plain(buffer, self.mode.unit())
        {
            self.note_read();
            return Ok(Part { len, more: false });
        }
        self.read_slowly(buffer)
    }

    #[inline(never)]
    fn read_slowly(&self, buffer: &mut [u8]) -> Result<Part> {
        if !self.facts.reads {
            return Err(self.fault(NtStatus::ACCESS_DENIED, READ));
        }
        let now = self.mode.is_nowait();
        self.read_until(buffer, now, &|| false)?
            .ok_or_else(|| self.fault(NtStatus::PIPE_EMPTY, READ))
    }

    /// Reads; `None` if there is nothing and the caller does not wait.
    #[inline]
    pub(super) fn read_until(
        &self,
        buffer: &mut [u8],
        now: bool,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Part>> {
        let placed = self.read_placed(buffer, now, stop)?;
        Ok(placed.map(|(part, _)| part))
    }

    /// The same, and where in the stream it stood.
    #[inline]
    fn read_placed(
        &self,
        buffer: &mut [u8],
        now: bool,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<(Part, u64)>> {
        let Some(mut input) = self.input(now) else {
            return Ok(None);
        };
        self.read_from(&mut input, buffer, now, stop)
    }

    #[inline]
    fn read_from(
        &self,
        input: &mut Inflow,
        buffer: &mut [u8],
        now: bool,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<(Part, u64)>> {
        if stop() {
            return Err(self.unreadable(Ended::Stopped, READ));
        }
        let read = self.paced(now, stop, |pace| input.read(buffer, self.mode.unit(), pace));
        if matches!(read, Ok(Some(_))) {
            self.note_read();
        }
        let read = read.map_err(|ended| self.unreadable(ended, READ))?;
        Ok(read.map(|part| (part, input.place())))
    }

    /// Whether something was read.
    #[inline]
    pub(super) fn has_read(&self) -> bool {
        self.has_read.load(Ordering::Relaxed)
    }

    #[inline]
    fn note_read(&self) {
        if !self.has_read() {
            self.set_has_read(true);
        }
    }

    pub(super) fn set_has_read(&self, has_read: bool) {
        self.has_read.store(has_read, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn write(&self, data: &[u8]) -> Result<usize> {
        if self.facts.writes
            && let Ok(mut out) = self.out.try_lock()
            && out.write_plain(data, self.facts.unit())
        {
            return Ok(data.len());
        }
        self.write_slowly(data)
    }

    #[inline(never)]
    fn write_slowly(&self, data: &[u8]) -> Result<usize> {
        if !self.facts.writes {
            return Err(self.fault(NtStatus::ACCESS_DENIED, WRITE));
        }
        self.write_until(data, self.mode.is_nowait(), &|| false)
    }

    #[inline]
    pub(super) fn write_until(
        &self,
        data: &[u8],
        now: bool,
        stop: &dyn Fn() -> bool,
    ) -> Result<usize> {
        let unit = self.facts.unit();
        let Some(mut out) = self.out(now) else {
            return Ok(0);
        };
        if stop() {
            return Err(self.unwritable(Ended::Stopped, WRITE));
        }
        self.paced(now, stop, |pace| out.write(data, unit, pace))
            .map_err(|ended| self.unwritable(ended, WRITE))
    }

    pub(super) fn peek(&self, buffer: &mut [u8]) -> Result<Peeked> {
        if !self.facts.reads {
            return Err(self.fault(NtStatus::ACCESS_DENIED, PEEK));
        }
        let fail = |ended| match ended {
            // The server is told that the state is wrong, the client that nobody is there.
            Ended::Cut if self.facts.server => self.fault(NtStatus::INVALID_PIPE_STATE, PEEK),
            ended => self.unreadable(ended, PEEK),
        };
        let Some(mut input) = self.input(true) else {
            return Ok(Peeked::default());
        };
        let unit = self.mode.unit();
        let seen = input.peek(buffer, unit).map_err(fail)?;
        Ok(Peeked {
            len: seen.len,
            available: seen.available,
            left: if unit == Unit::Message { seen.left } else { 0 },
        })
    }

    /// Writes a request and reads its reply; nobody else reads in between.
    pub(super) fn transact(&self, request: &[u8], reply: &mut [u8]) -> Result<Part> {
        if self.mode.read() != ReadMode::Message || !self.facts.reads || !self.facts.writes {
            return Err(self.fault(NtStatus::INVALID_READ_MODE, TRANSACT));
        }
        let Some(mut input) = self.input(true) else {
            return Err(self.fault(NtStatus::PIPE_BUSY, TRANSACT));
        };
        let fail = |ended| self.unreadable(ended, TRANSACT);
        let part = self.paced(false, &|| false, |pace| {
            input.in_turn(pace, |input| {
                if !input.is_empty()? {
                    return Ok(Err(self.fault(NtStatus::PIPE_BUSY, TRANSACT)));
                }
                // Those who do not wait need not wait for the request to go either.
                self.reading.store(true, Ordering::SeqCst);
                let written = self.write_until(request, false, &|| false);
                self.reading.store(false, Ordering::SeqCst);
                if let Err(error) = written {
                    return Ok(Err(error.during(TRANSACT, &*self.name)));
                }
                let part = input.read(reply, Unit::Message, pace)?;
                Ok(part.ok_or_else(|| self.fault(NtStatus::PIPE_EMPTY, TRANSACT)))
            })
        });
        let part = part.map_err(fail)?;
        let part = part.unwrap_or_else(|| Err(self.fault(NtStatus::PIPE_BUSY, TRANSACT)))?;
        self.set_has_read(true);
        Ok(part)
    }

    pub(super) fn flush_until(&self, stop: &dyn Fn() -> bool) -> Result<()> {
        const FLUSH: &str = "flush pipe";
        if !self.facts.writes {
            return Err(self.fault(NtStatus::ACCESS_DENIED, FLUSH));
        }
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        if stop() {
            return Err(self.unreadable(Ended::Stopped, FLUSH));
        }
        self.paced(false, stop, |pace| out.drain(pace))
            .map_err(|ended| self.unwritable(ended, FLUSH))
    }

    fn begin(self: &Arc<Self>, lane: &Arc<Lane>, reader: bool, run: Run) -> Result<Operation> {
        if self.link.is_foreign() {
            return Err(self.link.foreign("begin pipe operation"));
        }
        lane.begin(self.operation(reader), run)
    }

    fn operation(self: &Arc<Self>, reader: bool) -> Begin {
        let link = self.link.clone();
        Begin {
            port: self.mode.port(),
            wake: Box::new(move || link.wake_own()),
            reader: reader.then(|| Arc::downgrade(self)),
            name: self.name.clone(),
        }
    }

    pub(super) fn read_overlapped(self: &Arc<Self>, mut buffer: Vec<u8>) -> Result<Operation> {
        if !self.facts.reads {
            return Err(self.fault(NtStatus::ACCESS_DENIED, READ));
        }
        let lane = &self.workers.reads;
        if !lane.is_busy()
            && let Some(placed) = self.read_placed(&mut buffer, true, &|| false)?
        {
            return self.operation(true).done(completed(buffer, placed));
        }
        if self.mode.is_nowait() {
            return Err(self.fault(NtStatus::PIPE_EMPTY, READ));
        }
        let end = self.clone();
        let run: Run = Box::new(move |operation| {
            let mut input = end.input.lock().unwrap_or_else(PoisonError::into_inner);
            let stop = || operation.stops();
            let read = end.read_from(&mut input, &mut buffer, false, &stop);
            let read =
                read.and_then(|read| read.ok_or_else(|| end.fault(NtStatus::PIPE_EMPTY, READ)));
            operation.settle(read.map(|placed| completed(buffer, placed)));
            drop(input);
        });
        self.begin(lane, true, run)
    }

    pub(super) fn write_overlapped(self: &Arc<Self>, data: Vec<u8>) -> Result<Operation> {
        if !self.facts.writes {
            return Err(self.fault(NtStatus::ACCESS_DENIED, WRITE));
        }
        let lane = &self.workers.writes;
        let written = |buffer, len| {
            let part = Part { len, more: false };
            completed(buffer, (part, 0))
        };
        let now = self.mode.is_nowait();
        let fits = now || !lane.is_busy() && data.len() as u64 <= self.writable();
        let mut begun = 0;
        if fits {
            begun = self.write_until(&data, true, &|| false)?;
            if now || begun == data.len() {
                return self.operation(false).done(written(data, begun));
            }
        }
        // Of bytes a part may have gone, where others write too.
        let end = self.clone();
        let run: Run = Box::new(move |operation| {
            let len = end.write_until(&data[begun..], false, &|| operation.stops());
            operation.settle(len.map(|len| written(data, begun + len)));
        });
        self.begin(lane, false, run)
    }

    pub(super) fn flush_overlapped(self: &Arc<Self>) -> Result<Operation> {
        let end = self.clone();
        let run: Run = Box::new(move |operation| {
            let flushed = end.flush_until(&|| operation.stops());
            operation.settle(flushed.map(|()| Outcome::default()));
        });
        self.begin(&self.workers.writes, false, run)
    }

    pub(super) fn cancel_all(&self) -> Result<usize> {
        match self.workers.cancel_all() {
            0 => Err(self.fault(NtStatus::NOT_FOUND, "cancel pipe operations")),
            count => Ok(count),
        }
    }

    /// Bytes that can be written without waiting.
    pub(super) fn writable(&self) -> u64 {
        self.out(true).map_or(0, |mut out| out.free())
    }

    pub(super) fn set_read_mode(&self, mode: ReadMode) -> Result<()> {
        if mode == ReadMode::Message && !self.facts.message {
            return Err(self
                .fault(NtStatus::INVALID_PARAMETER, "set read mode of pipe")
                .because("a pipe of bytes has no messages to read"));
        }
        self.mode.set_read(mode);
        Ok(())
    }

    /// Hands back what a read got and nobody wants: the next read gets it.
    pub(super) fn give_back(&self, outcome: Outcome) {
        let mut completed = outcome.completed;
        completed.buffer.truncate(completed.len);
        self.returned
            .put(outcome.place, completed.buffer, completed.more);
        self.link.wake_own();
    }

    /// What another process needs to be at this end too.
    pub(super) fn pack(&self, verb: &'static str) -> Result<Parcel> {
        let (Some(input), Some(out)) = (self.input(true), self.out(true)) else {
            return Err(Error::new(ErrorKind::Busy, verb, &*self.name)
                .because("a call waits with it: it can go to another process when none does"));
        };
        flow::pack(&input, &out, verb).map_err(|error| error.during(verb, &*self.name))
    }

    /// Whether one of those who hold this end has cut the other side off.
    pub(super) fn is_cut(&self) -> bool {
        self.link.says(CUT)
    }

    /// Whether the other side has closed: it reads no more either.
    pub(super) fn is_closing(&self) -> bool {
        self.link.is_over(DEAF)
    }

    /// Whether the other side is gone and has not said before that it writes no more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.link.is_abandoned(CLOSED)
    }

    /// Nothing more is written with it.
    pub(super) fn shut(&self) -> Result<()> {
        const SHUT: &str = "shut down pipe";
        if !self.facts.writes {
            return Err(self.fault(NtStatus::ACCESS_DENIED, SHUT));
        }
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        self.paced(false, &|| false, |pace| out.shut(pace))
            .map_err(|ended| self.unwritable(ended, SHUT))
    }

    /// Whether the other side has read everything; not while a write waits for that.
    pub(super) fn is_flushed(&self) -> bool {
        self.out(true).is_some_and(|out| out.is_drained())
    }

    /// Waits until the other side is closed.
    pub(super) fn await_end(&self) -> Result<()> {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        self.paced(false, &|| false, |pace| input.await_end(pace))
            .map_err(|ended| self.unreadable(ended, "wait for the end of pipe"))
    }

    /// The handle is going: whatever is pending with it ends.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.workers.cancel_all();
        self.link.wake_own();
    }
}

fn completed(buffer: Vec<u8>, (part, place): (Part, u64)) -> Outcome {
    let completed = Completed {
        buffer,
        len: part.len,
        more: part.more,
    };
    Outcome { completed, place }
}

/// The lock, unless `waits` says that its holder waits for the other side.
fn try_lock<T>(lock: &Mutex<T>, waits: impl Fn() -> bool) -> Option<MutexGuard<'_, T>> {
    loop {
        match lock.try_lock() {
            Ok(held) => return Some(held),
            Err(TryLockError::Poisoned(held)) => return Some(held.into_inner()),
            Err(TryLockError::WouldBlock) if waits() => return None,
            Err(TryLockError::WouldBlock) => std::thread::yield_now(),
        }
    }
}
