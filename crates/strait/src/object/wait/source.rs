//! What the kernel gives no descriptor for: the queues and semaphores of System V, and channels.
//!
//! A thread blocks in the kernel's own call on the waiter's behalf, in a form that takes nothing,
//! and makes a descriptor readable when the call returns: by that descriptor a source is part of
//! every kind of wait. Then the waiter tries to take, without blocking; where another process was
//! faster, the thread blocks again. The end of a wait interrupts it.
//!
//! A source that is rung through a word of memory, as a channel is, has no thread but in a set.

use std::fmt::Debug;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use strait_sys::Errno;
use strait_sys::futex::Sleep;
use strait_sys::thread::Interruptible;

use crate::error::{Error, Result};
use crate::object::wait::no_thread;

/// The pause after the kernel refused to block for a reason that the waiter does not see.
const REFUSED: Duration = Duration::from_millis(1);

/// How long [`Source::block`] sleeps on a futex(2) at most. One without a timeout is restarted, not
/// interrupted, where the program handles SIGURG with SA_RESTART, and one of several words always.
pub(crate) const CALLABLE: Duration = Duration::from_secs(1);

/// Something to wait for that has no descriptor.
pub(crate) trait Source: Debug + Send + Sync {
    /// Takes it if it is ready. Never blocks.
    fn take(&self) -> Result<bool>;

    /// Whether it is ready. Never blocks and takes nothing.
    fn is_ready(&self) -> Result<bool>;

    /// Blocks until it may be ready. Takes nothing that [`Source::take`] does not hand out later.
    ///
    /// # Errors
    /// `EINTR`: interrupted; it is called again unless the wait is over. Any other: the waiter
    /// looks, and finds out what is wrong.
    fn block(&self) -> std::result::Result<(), Errno>;

    /// For what is rung through a word of memory: announces a sleeper, who is woken from now on
    /// until [`Source::disarm`]. Such a one needs no thread in a wait for several.
    fn arm(&self) -> Armed<'_> {
        Armed::Wordless
    }

    /// The sleeper that [`Source::arm`] announced is awake. Called once for each.
    fn disarm(&self) {}
}

/// What came of announcing a sleeper.
#[derive(Debug)]
pub(crate) enum Armed<'a> {
    /// No word tells: a thread must watch it.
    Wordless,
    /// It may be ready by now, and nobody was announced.
    LookAgain,
    /// To sleep on, with others.
    Asleep(Sleep<'a>),
}

/// A source that a thread watches from the first [`Lookout::arm`] on, until this is dropped.
#[derive(Debug)]
pub(crate) struct Lookout {
    source: Arc<dyn Source>,
    shared: Arc<Shared>,
    thread: Mutex<Option<Interruptible>>,
}

#[derive(Debug)]
struct Shared {
    /// Readable when the source may be ready.
    told: OwnedFd,
    /// The thread has told, and waits to be armed again.
    idle: AtomicBool,
}

impl Lookout {
    pub(crate) fn new(source: &Arc<dyn Source>) -> Result<Self> {
        let told = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| Error::kernel(errno, "wait", ""))?;
        let idle = AtomicBool::new(false);
        Ok(Self {
            source: Arc::clone(source),
            shared: Arc::new(Shared { told, idle }),
            thread: Mutex::default(),
        })
    }

    pub(crate) fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    /// Has the descriptor become readable when the source may be ready. Call it after a look that
    /// found nothing: what comes in between is told.
    pub(crate) fn arm(&self) -> Result<()> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = &*thread {
            // Only a thread that has told is rearmed: else what it is about to tell would be lost
            // with what is drained here.
            if self.shared.idle.load(Ordering::SeqCst) {
                let mut count = [0; 8];
                let _ = rustix::io::read(&self.shared.told, &mut count);
                self.shared.idle.store(false, Ordering::SeqCst);
                thread.unpark();
            }
            return Ok(());
        }
        let (source, shared) = (Arc::clone(&self.source), Arc::clone(&self.shared));
        let watch = move |stop: &AtomicBool| shared.watch(&*source, stop);
        let started = Interruptible::spawn("strait-source", watch)
            .map_err(|errno| no_thread(errno, "strait-source"))?;
        *thread = Some(started);
        Ok(())
    }
}

impl AsFd for Lookout {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.told.as_fd()
    }
}

impl Shared {
    fn watch(&self, source: &dyn Source, stop: &AtomicBool) {
        while !stop.load(Ordering::SeqCst) {
            let result = source.block();
            if result == Err(Errno::INTR) {
                continue;
            }
            // Told before idle: see `arm`. A full counter is readable as well.
            let _ = rustix::io::write(&self.told, &1u64.to_ne_bytes());
            self.idle.store(true, Ordering::SeqCst);
            while self.idle.load(Ordering::SeqCst) && !stop.load(Ordering::SeqCst) {
                std::thread::park();
            }
            if result.is_err() && !stop.load(Ordering::SeqCst) {
                // The waiter found nothing wrong (no memory, a limit lowered meanwhile): asked at
                // once again and again, the kernel would say the same to a busy loop.
                std::thread::park_timeout(REFUSED);
            }
        }
    }
}
