//! Overlapped operations: begun now, waited for later.
//!
//! What can be done at once is; the rest is done by a thread of the pipe's end, `strait-pipe-io`,
//! one for reads and one for writes, which ends when it has had nothing to do for a while.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use strait_sys::time::Deadline;
use strait_sys::{fork, thread};

use crate::error::{Error, ErrorKind, Result};
use crate::nt::pipe::completion::{Immediate, Port, flag};
use crate::nt::pipe::end::End;
use crate::nt::pipe::fault::fault;
use crate::nt::status::NtStatus;
use crate::object::spot::Object;
use crate::object::wait::{self, Member, Waitable, signal};

/// How long a thread without work stays for more.
const IDLE: Duration = Duration::from_millis(200);
/// Operations that wait for one direction of one end, at most.
const PENDING_MAX: usize = 1 << 16;

/// What came of an operation.
#[derive(Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Completed {
    /// The caller's own vector; a read's bytes stand at its beginning.
    pub buffer: Vec<u8>,
    /// Bytes that were read or written.
    pub len: usize,
    /// The message has more, which the next read gets.
    pub more: bool,
}

/// What came of it, and where in the stream a read's bytes stood.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) completed: Completed,
    pub(super) place: u64,
}

/// A pending operation: a waitable that is ready once the operation has ended.
///
/// Dropping it cancels it; what a read had got by then is handed to the next read.
#[must_use = "dropping it cancels it"]
pub struct Operation(Arc<Shared>);

pub(super) struct Shared {
    id: u64,
    progress: Mutex<Progress>,
    /// [`AWAITS_TURN`], [`BEGUN`] or [`GIVEN_UP`].
    phase: AtomicU8,
    cancelled: AtomicBool,
    /// It has its result, or gave that back.
    settled: AtomicBool,
    ended: Arc<Object>,
    port: Option<Port>,
    lane: Weak<Lane>,
    /// Has a thread that waits on the operation's behalf look at `cancelled`.
    wake: Box<dyn Fn() + Send + Sync>,
    /// Whose read it is.
    reader: Option<Weak<End>>,
    name: Arc<str>,
}

/// Others of its end may come first: cancelling it ends it at once.
const AWAITS_TURN: u8 = 0;
/// It is being done: cancelled, it ends when it sees that.
const BEGUN: u8 = 1;
/// It was cancelled before its turn, and has ended.
const GIVEN_UP: u8 = 2;

enum Progress {
    Pending,
    /// Nobody wants the result.
    Dropped,
    Done(Result<Outcome>),
    Taken,
}

/// Does an operation and settles it. [`Shared::stops`] says that it is to be given up, and is to be
/// asked once the operation has its turn and before it does anything.
pub(super) type Run = Box<dyn FnOnce(&Shared) + Send>;

/// An operation to be begun.
pub(super) struct Begin {
    pub(super) port: Option<Port>,
    pub(super) wake: Box<dyn Fn() + Send + Sync>,
    pub(super) reader: Option<Weak<End>>,
    pub(super) name: Arc<str>,
}

const VERB: &str = "complete pipe operation";

fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Begin {
    fn shared(self, lane: Weak<Lane>) -> Result<Arc<Shared>> {
        Ok(Arc::new(Shared {
            id: number(),
            progress: Mutex::new(Progress::Pending),
            phase: AtomicU8::new(AWAITS_TURN),
            cancelled: AtomicBool::new(false),
            settled: AtomicBool::new(false),
            ended: flag()?,
            port: self.port,
            lane,
            wake: self.wake,
            reader: self.reader,
            name: self.name,
        }))
    }

    /// An operation that has ended already.
    pub(super) fn done(self, outcome: Outcome) -> Result<Operation> {
        let shared = self.shared(Weak::new())?;
        shared.settle(Ok(outcome));
        shared.tell(true);
        Ok(Operation(shared))
    }
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has its result. What nobody wants of a read is given back here: a read does this before it
    /// lets others read, who would else get what came later first.
    pub(super) fn settle(&self, result: Result<Outcome>) {
        let mut progress = self.progress();
        match *progress {
            Progress::Pending => *progress = Progress::Done(result),
            Progress::Dropped => {
                drop(progress);
                self.give_back(result);
            }
            // It was given up before its turn.
            Progress::Done(_) | Progress::Taken => {}
        }
        self.settled.store(true, Ordering::SeqCst);
    }

    /// Tells who waits for its end.
    fn tell(&self, at_once: bool) {
        if matches!(*self.progress(), Progress::Dropped) {
            return;
        }
        // An object of this process alone does not fail.
        let _ = signal::set(&self.ended.spot(0), VERB);
        if let Some(port) = &self.port
            && !(at_once && port.immediate == Immediate::Skip)
        {
            port.queue.post(port.key, self.id);
        }
    }

    fn give_back(&self, result: Result<Outcome>) {
        let reader = self.reader.as_ref().and_then(Weak::upgrade);
        if let (Some(end), Ok(outcome)) = (reader, result) {
            end.give_back(outcome);
        }
    }

    /// False: it has ended already, or was cancelled before.
    fn cancel(&self) -> bool {
        if !matches!(*self.progress(), Progress::Pending | Progress::Dropped)
            || self.cancelled.swap(true, Ordering::SeqCst)
        {
            return false;
        }
        match self.lane.upgrade().and_then(|lane| lane.withdraw(self.id)) {
            // It had not begun.
            Some(_) => self.abort(),
            None if self.enters(GIVEN_UP) => self.abort(),
            None => (self.wake)(),
        }
        true
    }

    /// Whether it was waiting for its turn until now.
    fn enters(&self, phase: u8) -> bool {
        let (set, fetch) = (Ordering::SeqCst, Ordering::SeqCst);
        let entered = self.phase.compare_exchange(AWAITS_TURN, phase, set, fetch);
        entered.is_ok()
    }

    /// Whether it is to be given up; it has its turn.
    pub(super) fn stops(&self) -> bool {
        if self.phase.load(Ordering::Relaxed) == AWAITS_TURN {
            self.enters(BEGUN);
        }
        self.phase.load(Ordering::SeqCst) == GIVEN_UP || self.cancelled.load(Ordering::SeqCst)
    }

    /// Ends it as one that was given up before it began.
    fn abort(&self) {
        self.settle(Err(fault(NtStatus::CANCELLED, VERB, &self.name)));
        self.tell(false);
    }
}

impl Operation {
    /// A number of its own in this process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// How it stands: STATUS_PENDING, or how it ended; STATUS_BUFFER_OVERFLOW for a message of
    /// which there is more. NT: OVERLAPPED.Internal.
    #[must_use]
    pub fn status(&self) -> NtStatus {
        match &*self.0.progress() {
            Progress::Pending | Progress::Dropped => NtStatus::PENDING,
            Progress::Done(Ok(outcome)) if outcome.completed.more => NtStatus::BUFFER_OVERFLOW,
            Progress::Done(Err(error)) => error.nt_status(),
            Progress::Done(Ok(_)) | Progress::Taken => NtStatus::SUCCESS,
        }
    }

    /// Its result, once; `None` while it is pending (ERROR_IO_INCOMPLETE).
    ///
    /// # Errors
    /// What the operation ended with; [`ErrorKind::Cancelled`]; [`ErrorKind::WrongState`] if the
    /// result was taken before.
    #[doc(alias = "GetOverlappedResult")]
    pub fn try_result(&mut self) -> Result<Option<Completed>> {
        let mut progress = self.0.progress();
        match std::mem::replace(&mut *progress, Progress::Taken) {
            Progress::Done(result) => result.map(|outcome| Some(outcome.completed)),
            Progress::Taken => Err(Error::new(ErrorKind::WrongState, VERB, &*self.0.name)
                .because("its result was taken already")),
            pending => {
                *progress = pending;
                Ok(None)
            }
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// As for [`try_result`](Self::try_result).
    pub fn wait(mut self) -> Result<Completed> {
        loop {
            wait::one_forever(&self.0.ended, 0)?;
            if let Some(completed) = self.try_result()? {
                return Ok(completed);
            }
        }
    }

    /// Waits for its end for at most `timeout`. `None`: it is still pending.
    ///
    /// # Errors
    /// As for [`try_result`](Self::try_result).
    #[doc(alias = "GetOverlappedResultEx")]
    pub fn wait_for(&mut self, timeout: Duration) -> Result<Option<Completed>> {
        wait::one(&self.0.ended, 0, || Some(Deadline::after(timeout)))?;
        self.try_result()
    }

    /// Has it end with [`ErrorKind::Cancelled`], unless it ends otherwise first. What a write has
    /// put into the pipe stays there, but for a message that is not whole.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it has ended, or was cancelled before.
    #[doc(alias = "CancelIoEx")]
    pub fn cancel(&self) -> Result<()> {
        if self.0.cancel() {
            Ok(())
        } else {
            Err(fault(
                NtStatus::NOT_FOUND,
                "cancel pipe operation",
                &self.0.name,
            ))
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let mut progress = self.0.progress();
        match std::mem::replace(&mut *progress, Progress::Taken) {
            Progress::Pending => {
                *progress = Progress::Dropped;
                drop(progress);
                self.0.cancel();
            }
            Progress::Done(result) => {
                drop(progress);
                self.0.give_back(result);
            }
            Progress::Taken | Progress::Dropped => {}
        }
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Operation");
        shown.field("id", &self.0.id).field("pipe", &self.0.name);
        shown.finish_non_exhaustive()
    }
}

/// Ready once it has ended. Nothing is taken: [`Operation::try_result`] does that.
impl Waitable for Operation {
    fn member(&self) -> Member<'_> {
        Member::object(&self.0.ended, 0)
    }
}

#[cfg(feature = "tokio")]
impl IntoFuture for Operation {
    type Output = Result<Completed>;
    type IntoFuture = std::pin::Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// Dropping the future cancels the operation.
    fn into_future(mut self) -> Self::IntoFuture {
        Box::pin(async move {
            loop {
                wait::any_async(&[&self]).await?;
                if let Some(completed) = self.try_result()? {
                    return Ok(completed);
                }
            }
        })
    }
}

// ---- the threads -----------------------------------------------------------------------------

struct Job {
    shared: Arc<Shared>,
    run: Run,
}

/// Operations of one direction, done one after the other.
#[derive(Default)]
pub(super) struct Lane {
    work: Mutex<Work>,
    more: Condvar,
}

#[derive(Default)]
struct Work {
    queue: VecDeque<Job>,
    current: Option<Arc<Shared>>,
    /// The fork generation of the thread that does them.
    worker: Option<u32>,
}

impl Lane {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something is to be done before a new operation.
    pub(super) fn is_busy(&self) -> bool {
        let work = self.work();
        let is_pending = |shared: &Arc<Shared>| !shared.settled.load(Ordering::SeqCst);
        work.current.as_ref().is_some_and(is_pending) || !work.queue.is_empty()
    }

    /// Begins an operation that could not be done at once.
    pub(super) fn begin(self: &Arc<Self>, begin: Begin, run: Run) -> Result<Operation> {
        let shared = begin.shared(Arc::downgrade(self))?;
        let mut work = self.work();
        if work.queue.len() >= PENDING_MAX {
            return Err(
                Error::new(ErrorKind::Exhausted, "begin operation", &*shared.name)
                    .because(format!("{PENDING_MAX} operations are pending")),
            );
        }
        if work.worker != Some(fork::generation()) {
            let lane = self.clone();
            thread::spawn_quiet("strait-pipe-io", move || lane.serve())
                .map_err(|errno| Error::kernel(errno, "start thread", "strait-pipe-io"))?;
            work.worker = Some(fork::generation());
        }
        work.queue.push_back(Job {
            shared: shared.clone(),
            run,
        });
        self.more.notify_one();
        drop(work);
        Ok(Operation(shared))
    }

    fn serve(&self) {
        while let Some(job) = self.next() {
            let shared = job.shared;
            (job.run)(&shared);
            self.work().current = None;
            // One that was given up before its turn was told of then.
            if shared.phase.load(Ordering::SeqCst) != GIVEN_UP {
                shared.tell(false);
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut work = self.work();
        loop {
            if let Some(job) = work.queue.pop_front() {
                work.current = Some(job.shared.clone());
                return Some(job);
            }
            let waited = self.more.wait_timeout(work, IDLE);
            let (held, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            work = held;
            if timeout.timed_out() && work.queue.is_empty() {
                work.worker = None;
                return None;
            }
        }
    }

    fn withdraw(&self, id: u64) -> Option<Job> {
        let mut work = self.work();
        let at = work.queue.iter().position(|job| job.shared.id == id)?;
        work.queue.remove(at)
    }

    /// Cancels everything; how much that was.
    pub(super) fn cancel_all(&self) -> usize {
        let work = self.work();
        let all: Vec<_> = work
            .current
            .iter()
            .chain(work.queue.iter().map(|job| &job.shared))
            .cloned()
            .collect();
        drop(work);
        all.iter().filter(|shared| shared.cancel()).count()
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").finish_non_exhaustive()
    }
}

/// The operations of an end.
#[derive(Debug, Default)]
pub(super) struct Workers {
    pub(super) reads: Arc<Lane>,
    pub(super) writes: Arc<Lane>,
}

impl Workers {
    pub(super) fn cancel_all(&self) -> usize {
        self.reads.cancel_all() + self.writes.cancel_all()
    }
}
