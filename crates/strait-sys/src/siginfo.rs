//! What the kernel tells with a signal: who sent it, how, and with what value.
//!
//! siginfo_t is a union whose members depend on the signal and its code. Here it is a row of
//! integers, of which every content is valid, and the code says what they mean: nothing is guessed.
//!
//! `sigaction(2)` under "The siginfo_t argument".

use core::ffi::c_int;
use core::mem::offset_of;

use crate::signal::Signal;

/// What the kernel tells with a signal: siginfo_t as 64-bit Linux has it. What the union behind the
/// code holds is told by [`fields`](Self::fields), never guessed.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct Info {
    number: c_int,
    errno: c_int,
    code: c_int,
    pad: c_int,
    first: c_int,
    second: u32,
    third: u64,
    rest: [u64; 12],
}

const _: () = assert!(size_of::<Info>() == size_of::<libc::siginfo_t>());
const _: () = assert!(offset_of!(Info, first) == 16 && offset_of!(Info, third) == 24);

/// What came with a signal, by its code.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fields {
    /// The kernel filled in who: kill(2), tgkill(2).
    Sent {
        /// The sender's process, 0 if it is of another pid namespace.
        pid: i32,
        /// Its real user.
        uid: u32,
    },
    /// The sender says who it is, and gave a value: sigqueue(3), mq_notify(3), aio.
    Queued {
        /// The process that it says it is.
        pid: i32,
        /// The user that it says it is.
        uid: u32,
        /// A number of pointer size, of which sigqueue's int fills the lower half.
        value: u64,
    },
    /// A POSIX timer.
    Timer {
        /// Expirations beyond the one that is told.
        overrun: i32,
        /// As the timer was given it.
        value: u64,
    },
    /// A child changed its state.
    Child {
        /// The child.
        pid: i32,
        /// Its real user.
        uid: u32,
        /// Its exit status, or the signal that ended, stopped or continued it.
        status: i32,
    },
    /// A descriptor is ready (fcntl(2), F_SETSIG).
    Poll {
        /// Events as poll(2) has them.
        band: i64,
        /// The descriptor.
        fd: i32,
    },
    /// Nothing more: the kernel's own, or a fault.
    Nothing,
}

/// How a signal came to be sent: si_code by name.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Code {
    /// SI_USER: kill(2), or pidfd_send_signal(2) without a value.
    Kill,
    /// SI_TKILL: tgkill(2), to one thread.
    Thread,
    /// SI_QUEUE: sigqueue(3), with a value.
    Queue,
    /// SI_TIMER: a POSIX timer.
    Timer {
        /// Expirations beyond this one.
        overrun: i32,
    },
    /// SI_MESGQ: a message came to an empty POSIX queue.
    MessageQueue,
    /// SI_ASYNCIO: asynchronous input or output is done.
    AsyncIo,
    /// CLD_*: a child changed its state. The sender is the child.
    Child(ChildChange),
    /// POLL_*, SI_SIGIO: a descriptor is ready (fcntl(2), F_SETSIG).
    Poll {
        /// Events, as poll(2) has them.
        band: i64,
        /// The descriptor.
        fd: i32,
    },
    /// SI_KERNEL.
    Kernel,
    /// Any other.
    Other(i32),
}

/// What became of a child, with its exit status or the number of the signal.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ChildChange {
    /// It ended by itself.
    Exited(i32),
    /// A signal ended it.
    Killed(i32),
    /// A signal ended it, and its core was dumped.
    Dumped(i32),
    /// Its tracer was told something.
    Trapped(i32),
    /// A signal stopped it.
    Stopped(i32),
    /// A signal continued it.
    Continued(i32),
}

impl Info {
    /// Room for the kernel to fill.
    #[inline]
    pub(crate) const fn empty() -> Self {
        Self {
            number: 0,
            errno: 0,
            code: 0,
            pad: 0,
            first: 0,
            second: 0,
            third: 0,
            rest: [0; 12],
        }
    }

    /// Of the first 32 bytes, which are all that is ever looked at.
    #[cfg(feature = "test-kit")]
    #[must_use]
    pub fn of_bytes(bytes: &[u8; 32]) -> Self {
        let half = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        let third = |at: usize| u64::from(u32::from_ne_bytes(half(at)));
        Self {
            number: c_int::from_ne_bytes(half(0)),
            errno: c_int::from_ne_bytes(half(4)),
            code: c_int::from_ne_bytes(half(8)),
            first: c_int::from_ne_bytes(half(16)),
            second: u32::from_ne_bytes(half(20)),
            third: third(24) | third(28) << 32,
            ..Self::empty()
        }
    }

    /// What a process sends with a value.
    pub(crate) fn queued(signal: Signal, pid: i32, uid: u32, value: u64) -> Self {
        Self {
            number: signal.number(),
            code: libc::SI_QUEUE,
            first: pid,
            second: uid,
            third: value,
            ..Self::empty()
        }
    }

    /// The signal's number.
    #[inline]
    #[must_use]
    pub const fn number(&self) -> i32 {
        self.number
    }

    /// The signal, if it is one that a program can use.
    #[inline]
    #[must_use]
    pub fn signal(&self) -> Option<Signal> {
        Signal::new(self.number).ok()
    }

    /// How it came to be sent.
    #[inline]
    #[must_use]
    pub fn code(&self) -> Code {
        match (self.code, self.fields()) {
            (libc::SI_USER, _) => Code::Kill,
            (libc::SI_TKILL, _) => Code::Thread,
            (libc::SI_QUEUE, _) => Code::Queue,
            (libc::SI_MESGQ, _) => Code::MessageQueue,
            (libc::SI_ASYNCIO, _) => Code::AsyncIo,
            (libc::SI_KERNEL, _) => Code::Kernel,
            (_, Fields::Timer { overrun, .. }) => Code::Timer { overrun },
            (_, Fields::Poll { band, fd }) => Code::Poll { band, fd },
            (code, Fields::Child { status, .. }) => match code {
                libc::CLD_EXITED => Code::Child(ChildChange::Exited(status)),
                libc::CLD_KILLED => Code::Child(ChildChange::Killed(status)),
                libc::CLD_DUMPED => Code::Child(ChildChange::Dumped(status)),
                libc::CLD_TRAPPED => Code::Child(ChildChange::Trapped(status)),
                libc::CLD_STOPPED => Code::Child(ChildChange::Stopped(status)),
                _ => Code::Child(ChildChange::Continued(status)),
            },
            (code, _) => Code::Other(code),
        }
    }

    /// What the other fields mean: siginfo_layout of the kernel's signal.c.
    #[inline]
    #[must_use]
    pub fn fields(&self) -> Fields {
        let (pid, uid, value) = (self.first, self.second, self.third);
        match (self.code, self.number) {
            (libc::SI_USER | libc::SI_TKILL, _) => Fields::Sent { pid, uid },
            (libc::SI_TIMER, _) => Fields::Timer {
                overrun: uid.cast_signed(),
                value,
            },
            (1..=6, libc::SIGCHLD) => Fields::Child {
                pid,
                uid,
                status: low(value),
            },
            (1.., libc::SIGILL | libc::SIGFPE | libc::SIGSEGV | libc::SIGBUS) => Fields::Nothing,
            (1.., libc::SIGTRAP | libc::SIGSYS) => Fields::Nothing,
            (1..=6 | libc::SI_SIGIO, _) => Fields::Poll {
                band: (u64::from(uid) << 32 | u64::from(pid.cast_unsigned())).cast_signed(),
                fd: low(value),
            },
            (..0, _) => Fields::Queued { pid, uid, value },
            _ => Fields::Nothing,
        }
    }
}

/// The int in the lower half.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
const fn low(value: u64) -> i32 {
    (value as u32).cast_signed()
}

#[cfg(test)]
mod tests {
    //! What any process may send, and any content the kernel may give.

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nobody_passes_for_the_kernel(
            number in any::<i32>().prop_map(|number| number.rem_euclid(70)),
            code in prop_oneof![-70..=70, Just(libc::SI_KERNEL), any::<i32>()],
            (first, second, third) in any::<(i32, u32, u64)>(),
        ) {
            let info = Info { number, code, first, second, third, ..Info::empty() };
            let fields = info.fields();
            // The kernel lets no other process send a code from 0 on, or SI_TKILL.
            let forgeable = code < 0 && code != libc::SI_TKILL;
            let vouched = matches!(fields, Fields::Sent { .. } | Fields::Child { .. });
            prop_assert!(!(forgeable && vouched), "{:?}", fields);
            prop_assert!(forgeable || !matches!(fields, Fields::Queued { .. }), "{:?}", fields);
            let child = matches!(fields, Fields::Child { .. });
            prop_assert_eq!(matches!(info.code(), Code::Child(_)), child);
            if let Some(signal) = info.signal() {
                prop_assert_eq!(signal.number(), number);
            }
        }
    }
}
