//! Blocking once on words, descriptors and a moment, by the best means the kernel grants.

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd};
use strait_sys::futex::{self, Sleep};
use strait_sys::map::Map;
use strait_sys::time::Deadline;
use strait_sys::{Errno, fork, thread, uring};

use crate::error::{Error, Result};

/// How long a sleep lasts at most where several words cannot be slept on at once.
const SLICE: Duration = Duration::from_millis(1);

/// By what means waits block on this machine, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Tiers {
    /// Several objects: `futex_waitv`, `io_uring` or `slices`.
    pub objects: &'static str,
    /// Objects together with descriptors: `io_uring`, `helper thread` or `slices`.
    pub mixed: &'static str,
    /// Why it is not the first of these.
    pub why: &'static str,
}

/// By what means waits block on this machine.
#[must_use]
pub fn tiers() -> Tiers {
    let (waitv, ring) = (futex::waitv_works(), uring::works());
    Tiers {
        objects: match (waitv, ring) {
            (true, _) => "futex_waitv",
            (false, true) => "io_uring",
            (false, false) => "slices",
        },
        mixed: match (waitv, ring) {
            (_, true) => "io_uring",
            (true, false) => "helper thread",
            (false, false) => "slices",
        },
        why: match (waitv, ring) {
            (true, true) => "the kernel grants all that is asked for",
            (true, false) => {
                "io_uring's futex operations came with Linux 6.7, and may be forbidden"
            }
            (false, true) => "futex_waitv is forbidden here",
            (false, false) => "futex_waitv came with Linux 5.16, and may be forbidden",
        },
    }
}

thread_local! {
    static RING: RefCell<Option<(u32, uring::Ring)>> = const { RefCell::new(None) };
}

/// What wakes a wait.
#[derive(Debug)]
pub(crate) struct Blocking<'a> {
    sleeps: Vec<Sleep<'a>>,
    descriptors: Vec<(BorrowedFd<'a>, PollFlags)>,
    until: Option<Deadline>,
}

impl<'a> Blocking<'a> {
    pub(crate) fn until(deadline: Option<Deadline>) -> Self {
        Self {
            sleeps: Vec::new(),
            descriptors: Vec::new(),
            until: deadline,
        }
    }

    pub(crate) fn add_sleep(&mut self, sleep: Sleep<'a>) {
        self.sleeps.push(sleep);
    }

    pub(crate) fn add_descriptor(&mut self, fd: BorrowedFd<'a>, interest: PollFlags) {
        self.descriptors.push((fd, interest));
    }

    /// Wake at this moment if nothing else happened.
    pub(crate) fn at_latest(&mut self, moment: Deadline) {
        self.until = Some(self.until.map_or(moment, |until| until.min(moment)));
    }

    /// Sleeps until something may have happened. Waking for nothing is allowed.
    pub(crate) fn block(&self) -> Result<()> {
        let woken = match (self.sleeps.as_slice(), self.descriptors.is_empty()) {
            ([], _) => self.poll(self.until, &[]),
            ([sleep], true) => futex::wait(sleep.word, sleep.expected, self.until),
            (sleeps, true) if futex::waitv_works() => futex::waitv(sleeps, self.until).map(drop),
            _ if uring::works() => self.ring(),
            _ if futex::waitv_works() => return self.with_helper(),
            _ => self.slice(),
        };
        match woken {
            Ok(()) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT) => Ok(()),
            // The memory of a word is gone; the next look says which, and by whose doing.
            Err(Errno::FAULT) => Ok(()),
            Err(errno) => Err(Error::kernel(errno, "wait", "")),
        }
    }

    fn poll(
        &self,
        until: Option<Deadline>,
        more: &[(BorrowedFd<'_>, PollFlags)],
    ) -> std::result::Result<(), Errno> {
        let all = self.descriptors.iter().chain(more);
        let mut fds: Vec<_> = all
            .map(|(fd, interest)| PollFd::from_borrowed_fd(*fd, *interest))
            .collect();
        let left = until.map(|until| {
            let left = until.left();
            rustix::event::Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        rustix::event::poll(&mut fds, left.as_ref()).map(drop)
    }

    fn ring(&self) -> std::result::Result<(), Errno> {
        // Setting a ring up takes half a millisecond: a thread keeps its own.
        RING.with_borrow_mut(|kept| {
            let generation = fork::generation();
            if kept.as_ref().is_none_or(|(born, _)| *born != generation) {
                *kept = Some((generation, uring::Ring::new()?));
            }
            match kept {
                Some((_, ring)) => ring.wait(&self.sleeps, &self.descriptors, self.until),
                None => Err(Errno::NOSYS),
            }
        })
    }

    /// A thread polls the descriptors and wakes a word that this one sleeps on with the others.
    fn with_helper(&self) -> Result<()> {
        let fail = |errno| Error::kernel(errno, "wait", "");
        let map = Map::private(4096).map_err(fail)?;
        let word = map.word::<u32>(0).ok_or_else(|| fail(Errno::NOMEM))?;
        let cancel = eventfd(0, EventfdFlags::CLOEXEC).map_err(fail)?;
        let mut sleeps = self.sleeps.clone();
        sleeps.push(Sleep {
            word: word.look(),
            expected: 0,
        });
        let result = std::thread::scope(|scope| {
            let helper = || {
                // Whatever poll answers, the waiter looks again.
                let _ = self.poll(None, &[(cancel.as_fd(), PollFlags::IN)]);
                word.store(1, std::sync::atomic::Ordering::SeqCst);
                let _ = futex::wake(word, 1);
            };
            thread::spawn_scoped_quiet(scope, "strait-helper", helper)?;
            let result = futex::waitv(&sleeps, self.until);
            rustix::io::write(&cancel, &1u64.to_ne_bytes())?;
            result
        });
        match result {
            Ok(_) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT | Errno::FAULT) => Ok(()),
            Err(errno) => Err(fail(errno)),
        }
    }

    /// No kernel facility waits on all of it: sleep briefly, then look again.
    fn slice(&self) -> std::result::Result<(), Errno> {
        let end = Deadline::after(SLICE);
        let end = self.until.map_or(end, |until| until.min(end));
        match (self.descriptors.is_empty(), self.sleeps.first()) {
            (true, Some(sleep)) => futex::wait(sleep.word, sleep.expected, Some(end)),
            _ => self.poll(Some(end), &[]),
        }
    }
}
