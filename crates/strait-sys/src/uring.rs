//! Sleeping on words and descriptors at once, through io_uring.
//!
//! The only way to wait for a futex and a socket in one call; it takes Linux 6.7 and a system that
//! permits io_uring: ask [`works`], and fall back to threads or sliced waits. For words alone
//! [`futex::waitv`](crate::futex::waitv) is cheaper. A [`Ring`] takes half a millisecond to set up:
//! keep one for each thread that waits. Some time after a ring is closed, the kernel clears up
//! behind it in the thread that set it up, and whatever system call that is in by then fails with
//! EINTR: drop a ring only when its thread ends.
//!
//! Nothing stays behind after a wait: what did not happen is cancelled, and the cancellation is
//! waited for. `io_uring_enter(2)`; the operations are FUTEX_WAIT, FUTEX_WAITV, POLL_ADD,
//! ASYNC_CANCEL.

use core::cell::RefCell;
use core::fmt;
use core::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::types::{CancelBuilder, Fd, FutexWaitV, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe as Opcodes, opcode, squeue};

pub use rustix::event::PollFlags;

use crate::futex::{Probe, SIZE_U32, SLEEPS_MAX, Sleep, touch_all};
use crate::time::Deadline;
use crate::{Errno, Result, fork};

/// Submissions that go to the kernel in one call; a longer list goes in several.
const ENTRIES: u32 = 64;

/// An io_uring that belongs to the thread that made it.
pub struct Ring {
    ring: IoUring,
    /// A forked child has the parent's memory and must not touch the ring in it.
    generation: u32,
    /// Tells the completions of one wait from those of an earlier one that failed half way.
    round: u64,
    /// How many submissions have not completed.
    pending: usize,
    /// Kept between waits for its memory.
    vectors: Vec<FutexWaitV>,
    /// The kernel serves only the thread that set the ring up.
    thread: PhantomData<*mut ()>,
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ring").field(&self.ring.as_raw_fd()).finish()
    }
}

/// What the completions of a wait said.
#[derive(Copy, Clone, Debug, Default)]
struct Found {
    /// Something is ready, was woken or has changed.
    happened: bool,
    error: Option<Errno>,
}

impl Ring {
    /// Sets a ring up for the calling thread.
    ///
    /// # Errors
    ///
    /// `ENOSYS`, `EPERM`: not on this kernel, or forbidden. `EINVAL`: a kernel before 6.1.
    /// `EMFILE`, `ENFILE`, `ENOMEM`: the usual ones.
    pub fn new() -> Result<Self> {
        Ok(Self {
            ring: new_ring()?,
            generation: fork::generation(),
            round: 0,
            pending: 0,
            vectors: Vec::new(),
            thread: PhantomData,
        })
    }

    /// Sleeps while every word has its expected value and no descriptor is ready for what is asked
    /// of it; errors and hang-ups of a descriptor count as ready.
    ///
    /// `Ok` says to look: the wait may have been for a word that no longer had its value.
    ///
    /// # Errors
    ///
    /// `ETIMEDOUT`: the deadline passed. `EINTR`: a signal came. `EFAULT`: the page of a word is
    /// gone; its map is now broken. `EINVAL`: nothing to wait for.
    pub fn wait(
        &mut self,
        sleeps: &[Sleep<'_>],
        fds: &[(BorrowedFd<'_>, PollFlags)],
        deadline: Option<Deadline>,
    ) -> Result<()> {
        if sleeps.is_empty() && fds.is_empty() {
            return Err(Errno::INVAL);
        }
        self.renew()?;
        self.round += 1;
        let mut found = Found::default();
        let slept = self.begin(sleeps, fds).and_then(|()| self.sleep(deadline));
        self.collect(&mut found);
        self.end(&mut found)?;
        // A wake-up that came while the rest was being cancelled is this wait's: it is spent.
        if found.happened {
            return Ok(());
        }
        if let Some(errno) = found.error {
            return Err(touch_all(sleeps, errno));
        }
        slept?;
        // The kernel reports what it submitted, and not why it stopped waiting.
        match deadline {
            Some(deadline) if deadline.passed() => Err(Errno::TIMEDOUT),
            _ => Err(Errno::INTR),
        }
    }

    /// A ring of our own again, after a fork or a wait that could not clean up behind itself.
    fn renew(&mut self) -> Result<()> {
        let generation = fork::generation();
        if self.generation != generation || self.pending > 0 {
            self.ring = new_ring()?;
            self.generation = generation;
            self.pending = 0;
        }
        Ok(())
    }

    fn begin(&mut self, sleeps: &[Sleep<'_>], fds: &[(BorrowedFd<'_>, PollFlags)]) -> Result<()> {
        // Filled before any address in it is given away.
        self.vectors.clear();
        self.vectors.extend(sleeps.iter().map(|sleep| {
            FutexWaitV::new()
                .val(sleep.expected.into())
                .uaddr(sleep.word.address() as u64)
                .flags(SIZE_U32)
        }));
        if let [sleep] = sleeps {
            let any = u64::from(u32::MAX);
            let at = sleep.word.pointer().cast_const();
            let wait = opcode::FutexWait::new(at, sleep.expected.into(), any, SIZE_U32);
            self.push(wait.build())?;
        } else {
            let mut first = 0;
            while first < sleeps.len() {
                let several = &self.vectors[first..sleeps.len().min(first + SLEEPS_MAX)];
                first += several.len();
                let count = u32::try_from(several.len()).map_err(|_| Errno::INVAL)?;
                let wait = opcode::FutexWaitV::new(several.as_ptr(), count);
                self.push(wait.build())?;
            }
        }
        for (fd, flags) in fds {
            let poll = opcode::PollAdd::new(Fd(fd.as_raw_fd()), u32::from(flags.bits()));
            self.push(poll.build())?;
        }
        Ok(())
    }

    fn push(&mut self, entry: squeue::Entry) -> Result<()> {
        if self.ring.submission().is_full() {
            self.ring.submit().map_err(errno)?;
        }
        let entry = entry.user_data(self.round);
        // SAFETY: the words, the vectors and the descriptors of `entry` outlive it: `wait` borrows
        // them and ends, or gives up the ring with, whatever is pending before it returns.
        unsafe { self.ring.submission().push(&entry) }.map_err(|_| Errno::BUSY)?;
        self.pending += 1;
        Ok(())
    }

    fn sleep(&mut self, deadline: Option<Deadline>) -> Result<()> {
        let slept = match deadline {
            None => self.ring.submit_and_wait(1),
            // The cancellation submits the rest before itself: what is ready shows all the same.
            Some(deadline) if deadline.passed() => return Ok(()),
            Some(deadline) => {
                let left = Timespec::from(deadline.left());
                let args = SubmitArgs::new().timespec(&left);
                self.ring.submitter().submit_with_args(1, &args)
            }
        };
        match slept.map_err(errno) {
            Ok(_) | Err(Errno::TIME | Errno::INTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Takes the completions that are there.
    fn collect(&mut self, found: &mut Found) {
        for completion in self.ring.completion() {
            if completion.user_data() == 0 {
                // The cancellation's own.
                self.pending -= 1;
                continue;
            }
            if completion.user_data() != self.round {
                continue;
            }
            self.pending -= 1;
            match completion.result() {
                0.. => found.happened = true,
                code => match Errno::from_raw_os_error(-code) {
                    Errno::CANCELED | Errno::INTR => {}
                    // The word had changed already.
                    Errno::AGAIN => found.happened = true,
                    errno => found.error = Some(errno),
                },
            }
        }
    }

    /// Cancels what is pending and waits until it is gone.
    fn end(&mut self, found: &mut Found) -> Result<()> {
        if self.pending == 0 {
            return Ok(());
        }
        let cancel = opcode::AsyncCancel2::new(CancelBuilder::any().all()).build();
        if self.ring.submission().is_full() {
            self.ring.submit().map_err(errno)?;
        }
        // SAFETY: a cancellation refers to no memory.
        unsafe { self.ring.submission().push(&cancel) }.map_err(|_| Errno::BUSY)?;
        self.pending += 1;
        while self.pending > 0 {
            match self.ring.submit_and_wait(self.pending).map_err(errno) {
                Ok(_) | Err(Errno::INTR | Errno::BUSY) => self.collect(found),
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

thread_local! {
    /// The ring that [`works`] has tried, not closed but kept for this thread's first [`Ring`], and
    /// the fork generation that it is of.
    static SPARE: RefCell<Option<(u32, IoUring)>> = const { RefCell::new(None) };
}

fn new_ring() -> Result<IoUring> {
    let spare = SPARE.try_with(RefCell::take).ok().flatten();
    if let Some((generation, ring)) = spare
        && generation == fork::generation()
    {
        return Ok(ring);
    }
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .build(ENTRIES)
        .map_err(errno)
}

#[expect(clippy::needless_pass_by_value, reason = "for use with map_err")]
fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

/// Whether this system lets us make a [`Ring`] and sleep on words with it. Asked once.
#[must_use]
pub fn works() -> bool {
    static WORKS: Probe = Probe::new();
    WORKS.get(|| {
        let Ok(ring) = new_ring() else {
            return false;
        };
        let mut known = Opcodes::new();
        let asked = ring.submitter().register_probe(&mut known);
        // Where there is no place to keep it, the thread is ending.
        let _ = SPARE.try_with(|spare| spare.replace(Some((fork::generation(), ring))));
        asked.is_ok()
            && known.is_supported(opcode::FutexWait::CODE)
            && known.is_supported(opcode::FutexWaitV::CODE)
    })
}
