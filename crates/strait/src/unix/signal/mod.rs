//! Signals: numbers that the kernel delivers, in order and with values if they are real-time ones.
//!
//! Use them to speak with programs that know nothing else (TERM, HUP, CHLD), and real-time signals
//! for small numbers to a process whose id one knows. Between one's own processes anything else is
//! better: a signal reaches a process and not a channel, its queue is shared with all other
//! processes of the user, and whoever may signal a process can forge what [`send_value`] says of
//! its sender.
//!
//! Signals are received by asking, not by handlers: [`Set::block`] blocks them and gives a
//! [`Receiver`], a member of any wait. **Block before threads start**: a signal to the process goes
//! to any thread that does not block it, and kills. New threads inherit the mask. The one handler
//! there is, [`Bell`], writes to an eventfd: no closure can safely run where a handler does.
//!
//! ```
//! use std::process::Command;
//! use strait::unix::signal::{Set, Signal};
//!
//! let signals = Set::new([Signal::USR1, Signal::realtime(3)?]).block()?;
//! let mut child = Command::new("sh").args(["-c", "kill -USR1 $PPID"]).spawn()?;
//! let received = signals.recv()?;
//! assert_eq!(received.signal, Signal::USR1);
//! assert_eq!(received.sender.map(|sender| sender.pid), Some(child.id()));
//! child.wait()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | Linux | here |
//! | --- | --- |
//! | a standard signal sent twice before it is taken comes once | faithful |
//! | real-time signals queue: each number in order of sending, the lowest number first | faithful; none is lost |
//! | SIGRTMIN is known at run time; 32 and 33 belong to the C library | faithful: [`Signal::realtime`], [`Signal::new`] refuses them |
//! | a value is an int or a pointer | differs: an `i32` or a `usize`, never made a pointer |
//! | siginfo_t is a union | differs: decoded by its code, see [`Code`]; SI_TKILL stays what it is |
//! | kill(0), kill(-1), kill(-group) | functions of their own: no number means more than one process |
//! | blocking SIGKILL or SIGSTOP, or putting them into a signalfd, does nothing in silence | differs: refused |
//! | blocking a fault (SEGV, BUS, FPE, ILL, TRAP, SYS) kills the thread that raises it | differs: refused |
//! | a handler runs anything, and little of it is safe | differs: [`Bell`] alone |
//! | pidfd_send_signal takes a scope since 6.9 | faithful; a process as scope works on every kernel |
//!
//! # Traps
//!
//! - A set that is dropped unblocks: what is then pending acts as its disposition says, and TERM
//!   ends the process.
//! - What [`send_thread`] sends is seen by that thread alone, also as a member of a wait; where the
//!   kernel has no io_uring, a wait over objects and descriptors has a helper thread poll, which
//!   does not see it.
//! - Children inherit the mask and what is ignored, also across exec:
//!   [`process`](crate::unix::process) resets both, std's `Command` the mask and SIGPIPE.
//! - Rust ignores SIGPIPE before main; what it was before cannot be learnt.
//! - An ignored signal is discarded on arrival even while it is blocked, but not if it was ignored
//!   by default: SIGCHLD in a set arrives.
//! - With SIGCHLD ignored the kernel reaps children itself: waiting for them ends with ECHILD.
//! - kill(2) of a real-time signal still gets through when the queue is full, but then without its
//!   sender, and once however often it was sent. [`send_value`] is refused instead.
//! - With SIGURG a wait calls back the thread that watches a System V queue or semaphore for it
//!   (`strait-source`), which does not block it: while there is one, a receiver of SIGURG may miss
//!   what is sent to the process, and a [`Bell`] of it rings when such a wait ends.
//! - A receiver is its process's: in a forked child it is refused; make a new one there. A wait's
//!   `Set` made before the fork shows the parent's signals.
//!
//! - Only SI_USER, SI_TKILL and the codes of the kernel are beyond forging: whoever may signal this
//!   process can claim any other [`Code`], a timer's or a queue's too. [`Sender::claimed`] says so
//!   of a sender.
//!
//! # Not offered
//!
//! - Handlers of one's own, and with them SA_RESETHAND, SA_NODEFER and alternate stacks: no code
//!   that a compiler takes for safe is async-signal-safe. std gives its threads an alternate stack
//!   for the overflow of the other one.
//! - SA_NOCLDWAIT and SA_NOCLDSTOP: they save signals that nobody here waits for; a child's end is
//!   told by its pidfd.
//! - A handler and a [`Receiver`] for one signal: who would get it is not defined. A bell of a
//!   signal that every thread blocks is never rung.
//!
//! # Limits
//!
//! [`queue`] has the number of signals queued for the user, and RLIMIT_SIGPENDING, which bounds it.
//! A value has 64 bits.
//!
//! Sources: signal(7), sigqueue(3), rt_sigtimedwait(2), signalfd(2), pidfd_send_signal(2),
//! pthread_sigmask(3), sigaction(2), signal-safety(7).

mod disposition;
mod look;
mod mask;
mod receive;
mod send;

pub use strait_sys::siginfo::{ChildChange, Code};
pub use strait_sys::signal::{DefaultAction, NotASignal, Signal};

pub use self::disposition::{Bell, Disposition, Override, default, disposition, ignore};
pub use self::look::{Look, Queue, look, queue};
#[cfg(feature = "test-kit")]
pub(crate) use self::look::{is_zombie, parse};
pub use self::mask::{Mask, blocked, pending};
pub use self::receive::{Received, Receiver, Sender};
pub use self::send::{
    Scope, probe, send, send_everybody, send_group, send_own_group, send_thread, send_thread_value,
    send_to, send_value, send_value_to,
};

use std::fmt;

use strait_sys::signal::Set as Bits;

use crate::error::{Error, ErrorKind, Result};

/// A set of signals.
#[derive(Copy, Clone, Default, Eq, Hash, PartialEq)]
#[doc(alias = "sigset_t")]
pub struct Set(Bits);

impl Set {
    /// The set of these.
    pub fn new(signals: impl IntoIterator<Item = Signal>) -> Self {
        Self(Bits::new(signals))
    }

    /// Whether the signal is one of them.
    #[must_use]
    pub const fn contains(self, signal: Signal) -> bool {
        self.0.contains(signal)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Its signals, in order.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        self.0.iter()
    }

    /// The set, if every signal in it can be blocked and waited for.
    fn checked(self, verb: &'static str) -> Result<Bits> {
        self.iter().try_for_each(|one| check(one, verb))?;
        Ok(self.0)
    }
}

impl FromIterator<Signal> for Set {
    fn from_iter<I: IntoIterator<Item = Signal>>(signals: I) -> Self {
        Self::new(signals)
    }
}

/// Their names, with commas.
impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, signal) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{signal}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number that travels with a signal. It is never made a pointer: another process's addresses
/// mean nothing here.
#[derive(Copy, Clone, Debug, Eq, Hash, PartialEq)]
#[doc(alias = "sigval")]
pub struct Value(u64);

impl Value {
    /// As sigqueue's int: the lower half.
    #[must_use]
    pub fn int(self) -> i32 {
        let [a, b, c, d, ..] = self.0.to_le_bytes();
        i32::from_le_bytes([a, b, c, d])
    }

    /// All of it, as large as a pointer. A sender of an int leaves the upper half undefined.
    #[must_use]
    pub fn word(self) -> usize {
        usize::from_ne_bytes(self.0.to_ne_bytes())
    }
}

impl From<i32> for Value {
    fn from(int: i32) -> Self {
        Self(int.cast_unsigned().into())
    }
}

impl From<usize> for Value {
    fn from(word: usize) -> Self {
        Self(word as u64)
    }
}

/// Whether the signal can be blocked, ignored or handled to any good.
fn check(signal: Signal, verb: &'static str) -> Result<()> {
    let why = match signal {
        Signal::KILL | Signal::STOP => "the kernel lets no process block, ignore or catch it",
        fault if fault.is_fault() => {
            "an instruction raises it for its own thread, which cannot go on without its handler"
        }
        _ => return Ok(()),
    };
    Err(Error::new(ErrorKind::InvalidInput, verb, signal.to_string()).because(why))
}
