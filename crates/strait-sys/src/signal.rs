//! Signal numbers, sets of them, the mask of a thread, and taking blocked signals by asking.
//!
//! No handler is involved: a signal to be taken is blocked in every thread, which is done before
//! any is started. A standard signal that is sent twice before it is taken comes once; real-time
//! signals queue.
//!
//! `signal(7)`, `rt_sigprocmask(2)`, `rt_sigtimedwait(2)`, `rt_sigpending(2)`. The kernel is called
//! directly: the C library's sigtimedwait turns SI_TKILL into SI_USER.

use core::ffi::c_int;
use core::fmt;
use core::ptr::null;
use core::str::FromStr;
use std::time::Duration;

use crate::siginfo::Info;
use crate::time::timespec;
use crate::{Result, checked};

/// The number of a signal: 1 to 31, or a real-time one that the C library leaves to programs.
#[derive(Copy, Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Signal(u8);

/// Why something is not a signal that a program can use.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum NotASignal {
    /// Outside 1 to 64.
    Number(i64),
    /// The C library keeps it for its threads: 32 and 33 with glibc.
    Reserved(i64),
    /// There are fewer real-time signals.
    Realtime(u32),
    /// No such name.
    Name(String),
}

/// What a signal does to a process that neither handles nor ignores nor blocks it.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum DefaultAction {
    /// Ends the process.
    Terminate,
    /// Ends it with a core dump, if its limits allow one.
    Core,
    /// Nothing.
    Ignore,
    /// Stops it.
    Stop,
    /// Continues it, which happens even where the signal is ignored or blocked.
    Continue,
}

macro_rules! signals {
    ($($name:ident = $number:ident, $action:ident, $about:literal;)*) => {
        impl Signal {
            $(#[doc = $about]
            pub const $name: Self = Self(libc::$number.to_le_bytes()[0]);)*
        }

        /// Names without `SIG`, and default actions.
        const STANDARD: &[(&str, Signal, DefaultAction)] =
            &[$((stringify!($name), Signal::$name, DefaultAction::$action)),*];
    };
}

#[rustfmt::skip]
signals! {
    HUP = SIGHUP, Terminate, "The terminal is gone; by custom, read the configuration again.";
    INT = SIGINT, Terminate, "Interrupt from the keyboard.";
    QUIT = SIGQUIT, Core, "Quit from the keyboard.";
    ILL = SIGILL, Core, "An illegal instruction.";
    TRAP = SIGTRAP, Core, "A breakpoint.";
    ABRT = SIGABRT, Core, "abort(3).";
    BUS = SIGBUS, Core, "Memory that cannot be had, such as a map of a truncated file.";
    FPE = SIGFPE, Core, "Arithmetic that cannot be done.";
    KILL = SIGKILL, Terminate, "Kill: cannot be caught, blocked or ignored.";
    USR1 = SIGUSR1, Terminate, "The program's own.";
    SEGV = SIGSEGV, Core, "An invalid reference to memory.";
    USR2 = SIGUSR2, Terminate, "The program's own.";
    PIPE = SIGPIPE, Terminate, "A write to a pipe or socket without a reader.";
    ALRM = SIGALRM, Terminate, "alarm(2) or setitimer(2).";
    TERM = SIGTERM, Terminate, "A request to end.";
    STKFLT = SIGSTKFLT, Terminate, "Unused.";
    CHLD = SIGCHLD, Ignore, "A child stopped, went on or ended.";
    CONT = SIGCONT, Continue, "Go on if stopped.";
    STOP = SIGSTOP, Stop, "Stop: cannot be caught, blocked or ignored.";
    TSTP = SIGTSTP, Stop, "Stop from the keyboard.";
    TTIN = SIGTTIN, Stop, "A read from the terminal by a background process.";
    TTOU = SIGTTOU, Stop, "A write to the terminal by a background process.";
    URG = SIGURG, Ignore, "Urgent data on a socket.";
    XCPU = SIGXCPU, Core, "Over the limit of CPU time.";
    XFSZ = SIGXFSZ, Core, "Over the limit of a file's size.";
    VTALRM = SIGVTALRM, Terminate, "A timer of CPU time.";
    PROF = SIGPROF, Terminate, "A timer of profiling.";
    WINCH = SIGWINCH, Ignore, "The terminal's window changed its size.";
    IO = SIGIO, Terminate, "A descriptor is ready.";
    PWR = SIGPWR, Terminate, "The power fails.";
    SYS = SIGSYS, Core, "A system call that does not exist or is forbidden.";
}

/// Other names of the same numbers.
const ALIASES: &[(&str, Signal)] = &[
    ("IOT", Signal::ABRT),
    ("CLD", Signal::CHLD),
    ("POLL", Signal::IO),
];

impl Signal {
    /// The signal of that number.
    ///
    /// # Errors
    ///
    /// It is not in 1 to 64, or the C library keeps it for itself.
    #[inline]
    pub fn new(number: i32) -> core::result::Result<Self, NotASignal> {
        match u8::try_from(number) {
            Ok(small @ 1..=31) => Ok(Self(small)),
            Ok(small @ 32..=64) if number >= libc::SIGRTMIN() => Ok(Self(small)),
            Ok(32..=64) => Err(NotASignal::Reserved(number.into())),
            _ => Err(NotASignal::Number(number.into())),
        }
    }

    /// The real-time signal SIGRTMIN + `n`. Which number that is, the C library says at run time.
    ///
    /// # Errors
    ///
    /// `n` is above SIGRTMAX - SIGRTMIN, which is 30 with glibc.
    pub fn realtime(n: u32) -> core::result::Result<Self, NotASignal> {
        i32::try_from(n)
            .ok()
            .and_then(|n| libc::SIGRTMIN().checked_add(n))
            .filter(|number| *number <= libc::SIGRTMAX())
            .and_then(|number| u8::try_from(number).ok())
            .map(Self)
            .ok_or(NotASignal::Realtime(n))
    }

    /// Every signal that a program can use, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (1..=64).filter_map(|number| Self::new(number).ok())
    }

    /// The number.
    #[inline]
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0 as i32
    }

    /// Whether it is a real-time signal: these queue, carry values, and come lowest number first.
    #[must_use]
    pub const fn is_realtime(self) -> bool {
        self.0 > 31
    }

    /// Whether an instruction raises it, for the thread that executed it: such a signal cannot be
    /// blocked, ignored or waited for to any good.
    #[must_use]
    pub const fn is_fault(self) -> bool {
        matches!(
            self,
            Self::SEGV | Self::BUS | Self::FPE | Self::ILL | Self::TRAP | Self::SYS
        )
    }

    /// What it does to a process that has not said otherwise.
    #[must_use]
    pub fn default_action(self) -> DefaultAction {
        STANDARD
            .iter()
            .find(|(_, known, _)| *known == self)
            .map_or(DefaultAction::Terminate, |(_, _, action)| *action)
    }

    #[inline]
    const fn bit(self) -> u64 {
        1 << (self.0 - 1)
    }
}

/// `SIGTERM`, `SIGRTMIN+3`.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match STANDARD.iter().find(|(_, known, _)| known == self) {
            Some((name, ..)) => write!(f, "SIG{name}"),
            None => match self.number() - libc::SIGRTMIN() {
                0 => f.write_str("SIGRTMIN"),
                n => write!(f, "SIGRTMIN+{n}"),
            },
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `TERM`, `SIGTERM`, `15`, `RTMIN+3`, `RTMAX-1`; letters of either case.
impl FromStr for Signal {
    type Err = NotASignal;

    fn from_str(text: &str) -> core::result::Result<Self, NotASignal> {
        if let Ok(number) = text.parse::<i64>() {
            let small = i32::try_from(number).map_err(|_| NotASignal::Number(number))?;
            return Self::new(small);
        }
        let unknown = || NotASignal::Name(text.chars().take(40).collect());
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let distance = |rest: &str, sign: char| match rest {
            "" => Ok(0),
            rest => rest
                .strip_prefix(sign)
                .filter(|digits| digits.starts_with(|c: char| c.is_ascii_digit()))
                .and_then(|digits| digits.parse::<u32>().ok())
                .ok_or_else(unknown),
        };
        if let Some(rest) = name.strip_prefix("RTMIN") {
            return Self::realtime(distance(rest, '+')?);
        }
        if let Some(rest) = name.strip_prefix("RTMAX") {
            let down = distance(rest, '-')?;
            let most = (libc::SIGRTMAX() - libc::SIGRTMIN()).unsigned_abs();
            let n = most.checked_sub(down).ok_or_else(unknown)?;
            return Self::realtime(n);
        }
        let standard = STANDARD.iter().map(|(known, signal, _)| (*known, *signal));
        let mut known = standard.chain(ALIASES.iter().copied());
        known
            .find(|(known, _)| *known == name)
            .map(|(_, signal)| signal)
            .ok_or_else(unknown)
    }
}

impl fmt::Display for NotASignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number} is no signal: 1 to 64 are"),
            Self::Reserved(number) => {
                write!(f, "signal {number} is the C library's own, for threads")
            }
            Self::Realtime(n) => write!(
                f,
                "there is no SIGRTMIN+{n}: the last is SIGRTMIN+{}",
                libc::SIGRTMAX() - libc::SIGRTMIN()
            ),
            Self::Name(name) => write!(
                f,
                "{name:?} is no signal: write a name or a number, such as TERM, 15 or RTMIN+3"
            ),
        }
    }
}

impl core::error::Error for NotASignal {}

/// A set of signals.
#[derive(Copy, Clone, Default, Eq, Hash, PartialEq)]
pub struct Set(u64);

impl Set {
    /// The set of these signals.
    pub fn new(signals: impl IntoIterator<Item = Signal>) -> Self {
        Self(signals.into_iter().fold(0, |bits, one| bits | one.bit()))
    }

    /// The set that the kernel writes as these bits: signal 1 is the lowest. Without those that the
    /// C library keeps.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        let all = Self::new(Signal::all());
        Self(bits & all.0)
    }

    /// Whether a thread with this mask is inside the C library, which blocks everything for a
    /// moment, its own signals too: nobody else can block those.
    #[must_use]
    pub fn is_passing(mask: u64) -> bool {
        mask & !Self::new(Signal::all()).0 != 0
    }

    /// Whether the signal is one of them.
    #[must_use]
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 & signal.bit() != 0
    }

    /// Those that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its signals, in order; without those that the C library keeps.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        Signal::all().filter(move |signal| self.contains(*signal))
    }

    /// Where the kernel finds the bits, and how many bytes there are.
    #[inline]
    pub(crate) const fn raw(&self) -> (*const u64, usize) {
        (&raw const self.0, size_of::<u64>())
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// What to do with a thread's mask.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[repr(i32)]
pub enum Change {
    /// Block these too.
    Block = libc::SIG_BLOCK,
    /// Block these no longer.
    Unblock = libc::SIG_UNBLOCK,
    /// Block these and no others.
    Replace = libc::SIG_SETMASK,
}

/// Changes the mask of the calling thread, which the threads and processes it starts inherit.
/// Returns what it was. KILL and STOP are never blocked: the kernel leaves them out in silence.
///
/// # Errors
///
/// None that Linux documents for these arguments.
pub fn change_mask(change: Change, set: Set) -> Result<Set> {
    let mut before = 0_u64;
    let (bits, len) = set.raw();
    // SAFETY: `bits` may be read and `before` written, `len` bytes each.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            change as c_int,
            bits,
            &raw mut before,
            len,
        )
    };
    checked(result)?;
    Ok(Set(before))
}

/// What the calling thread blocks.
///
/// # Errors
///
/// As [`change_mask`].
pub fn mask() -> Result<Set> {
    change_mask(Change::Block, Set::default())
}

/// What is pending for this thread or its process.
///
/// # Errors
///
/// None that Linux documents.
pub fn pending() -> Result<Set> {
    let mut bits = 0_u64;
    // SAFETY: `bits` may be written, as many bytes as are named.
    let result = unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut bits, size_of::<u64>()) };
    checked(result)?;
    Ok(Set(bits))
}

/// Takes a pending signal of the set, the lowest number first; waits for one, at most `wait` if
/// that is given. Those of this thread come before those of the process.
///
/// # Errors
///
/// `EAGAIN`: none came in time. `EINTR`: another signal came, and was handled.
#[inline]
pub fn take(set: &Set, wait: Option<Duration>) -> Result<Info> {
    let ns = |wait: Duration| u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
    let until = wait.map(|wait| timespec(ns(wait)));
    let until = until.as_ref().map_or(null(), |until| &raw const *until);
    let mut info = Info::empty();
    let (bits, len) = set.raw();
    // SAFETY: the set and the time may be read; `info` is as long as a siginfo_t and may be
    // written, and is integers, of which every content is valid.
    let result =
        unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, bits, &raw mut info, until, len) };
    checked(result)?;
    Ok(info)
}
