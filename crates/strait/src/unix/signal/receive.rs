//! Receiving: signals that are blocked, taken one by one with all that came with them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread::ThreadId;
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::thread::gettid;
use strait_sys::siginfo::{Fields, Info};
use strait_sys::signal::{self, Change, Set as Bits};
use strait_sys::time::Deadline;
use strait_sys::{Errno, fork, signalfd};

use super::look::{field, is_zombie, mask, status};
use super::{Code, Set, Signal, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::object::wait::{Member, Waitable};

const VERB: &str = "receive signals";
/// How often a thread is looked at that the C library lets block everything for a moment, as while
/// it starts another.
const PASSING: u32 = 1000;

/// A signal that was taken.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Received {
    /// Which.
    pub signal: Signal,
    /// How it came to be sent.
    pub code: Code,
    /// Who sent it, or the child it tells of; `None` if it was the kernel.
    pub sender: Option<Sender>,
    /// What was sent with it.
    pub value: Option<Value>,
}

/// Who sent a signal.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Sender {
    /// The process; 0 if it is of another pid namespace, or the queue was full.
    pub pid: u32,
    /// Its real user.
    pub uid: u32,
    /// The sender filled this in itself, as sigqueue(3) does: any process that may signal this one
    /// can write anything. False: the kernel did.
    pub claimed: bool,
}

impl Received {
    #[inline]
    pub(crate) fn of(info: &Info) -> Result<Self> {
        // The set has no others.
        let signal = info.signal().ok_or_else(|| fail(Errno::INVAL, ""))?;
        let who = |pid: i32, uid, claimed| Sender {
            pid: pid.try_into().unwrap_or(0),
            uid,
            claimed,
        };
        let (sender, value) = match info.fields() {
            Fields::Sent { pid, uid } | Fields::Child { pid, uid, .. } => {
                (Some(who(pid, uid, false)), None)
            }
            Fields::Queued { pid, uid, value } => (Some(who(pid, uid, true)), Some(Value(value))),
            Fields::Timer { value, .. } => (None, Some(Value(value))),
            _ => (None, None),
        };
        Ok(Self {
            signal,
            code: info.code(),
            sender,
            value,
        })
    }
}

/// Takes the signals of a set, which are blocked as long as this lives.
///
/// It may move to another thread. Dropped in the thread that blocked them, it unblocks those that
/// were not blocked before; what is pending then acts as its disposition says. Dropped in another
/// it leaves the mask of both as it is.
#[derive(Debug)]
#[must_use = "dropped, it unblocks the signals at once"]
pub struct Receiver {
    set: Bits,
    fd: OwnedFd,
    /// Those that were not blocked before.
    newly: Bits,
    thread: ThreadId,
    generation: u32,
}

impl Set {
    /// Blocks these signals in this thread, and in those it starts from now on, and receives them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for KILL, STOP, a fault or an empty set, and if another thread
    /// of this process does not block one of them: what is sent to the process would go there, and
    /// kill. Block before threads start. A thread that is just receiving one of them counts as one
    /// that does not block it. Without /proc that is not checked; nor is a thread that starts
    /// meanwhile. [`ErrorKind::Exhausted`] without a free descriptor.
    pub fn block(self) -> Result<Receiver> {
        self.checked(VERB)?;
        if let Some((name, open)) = open_elsewhere(self.0) {
            let why = format!(
                "thread {name:?} does not block {open}, and what is sent to the process would go \
                 there: block before starting threads"
            );
            return Err(Error::new(ErrorKind::InvalidInput, VERB, self.to_string()).because(why));
        }
        self.block_thread()
    }

    /// [`block`](Self::block) without a look at the other threads: for signals that are sent to
    /// this one thread.
    ///
    /// # Errors
    /// As [`block`](Self::block), but for other threads.
    pub fn block_thread(self) -> Result<Receiver> {
        let set = self.checked(VERB)?;
        if set.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, VERB, "")
                .because("the set is empty: nothing would ever come"));
        }
        let fd = signalfd::create(set).map_err(|errno| fail(errno, self))?;
        let before = signal::change_mask(Change::Block, set).map_err(|errno| fail(errno, self))?;
        Ok(Receiver {
            set,
            fd,
            newly: set.without(before),
            thread: std::thread::current().id(),
            generation: fork::generation(),
        })
    }
}

#[cold]
fn fail(errno: Errno, subject: impl ToString) -> Error {
    Error::kernel(errno, VERB, subject.to_string())
}

/// A thread that does not block all of `set`, by its name, and what it does not block.
fn open_elsewhere(set: Bits) -> Option<(String, Set)> {
    let own = gettid().as_raw_nonzero().to_string();
    for task in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
        if task.file_name().to_str() == Some(&own) {
            continue;
        }
        let path = task.path().join("status");
        for _ in 0..PASSING {
            // One that has ended meanwhile takes no signals.
            let status = status(&path).unwrap_or_default();
            let Some(mask) = mask(&status, "SigBlk:").filter(|_| !is_zombie(&status)) else {
                break;
            };
            let open = set.without(Bits::from_bits(mask));
            if !open.is_empty() {
                return Some((field(&status, "Name:")?.to_owned(), Set(open)));
            }
            if !Bits::is_passing(mask) {
                break;
            }
            std::thread::yield_now();
        }
    }
    None
}

impl Receiver {
    /// Its signals.
    #[must_use]
    pub fn set(&self) -> Set {
        Set(self.set)
    }

    /// Waits for a signal of the set and takes it: the lowest number first, and of one number in
    /// the order of sending. One system call.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] in a forked child.
    #[inline]
    #[doc(alias("sigwaitinfo", "rt_sigtimedwait"))]
    pub fn recv(&self) -> Result<Received> {
        self.check_process()?;
        loop {
            match signal::take(&self.set, None) {
                Ok(info) => return Received::of(&info),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(fail(errno, self.set())),
            }
        }
    }

    /// Takes a signal that is pending; `None` if none is.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    #[inline]
    pub fn try_recv(&self) -> Result<Option<Received>> {
        self.within(Duration::ZERO)
    }

    /// [`recv`](Self::recv) for at most `timeout`. `None`: the time ran out.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    #[doc(alias = "sigtimedwait")]
    pub fn recv_for(&self, timeout: Duration) -> Result<Option<Received>> {
        self.within(timeout)
    }

    #[inline]
    fn within(&self, timeout: Duration) -> Result<Option<Received>> {
        self.check_process()?;
        let mut left = timeout;
        let mut deadline = None;
        loop {
            match signal::take(&self.set, Some(left)) {
                Ok(info) => return Received::of(&info).map(Some),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {
                    // From the first interruption on: later than it was, never sooner.
                    left = deadline
                        .get_or_insert_with(|| Deadline::after(timeout))
                        .left();
                }
                Err(errno) => return Err(fail(errno, self.set())),
            }
        }
    }

    #[inline]
    fn check_process(&self) -> Result<()> {
        if self.generation == fork::generation() {
            return Ok(());
        }
        Err(
            Error::new(ErrorKind::Unsupported, VERB, self.set().to_string())
                .because("it belongs to the process that this one was forked from"),
        )
    }
}

impl AsFd for Receiver {
    /// A signalfd, to wait for. Read from it, a signal is gone for [`Receiver::recv`].
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Ready while a signal of the set is pending. A wait takes none: [`Receiver::try_recv`] does.
impl Waitable for Receiver {
    fn member(&self) -> Member<'_> {
        Member::descriptor(self.fd.as_fd(), PollFlags::IN)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if self.thread == std::thread::current().id() {
            // The kernel refuses no set of these.
            let _ = signal::change_mask(Change::Unblock, self.newly);
        }
    }
}
