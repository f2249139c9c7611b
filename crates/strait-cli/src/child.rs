//! Commands that are run while something is held.
//!
//! What is held would be abandoned, though the command still works with it, if this program ended
//! first. So from [`Hold::begin`] on it outlives the command. The keys of a terminal (INT, QUIT,
//! TSTP) reach the command without its help, being in the same process group. What another process
//! sends is passed on; whether it was sent to the command as well cannot be seen, so a signal to
//! the whole group may reach the command twice. While it waits to acquire, a signal does what it
//! does to any program: [`Hold::win`] waits for it too, so that none falls between what was won and
//! the command.
//!
//! The exit status of the command becomes this program's, as env(1) and timeout(1) have it: 128
//! and the number for a signal, 126 if it cannot be run, 127 if it does not exist.

use std::ffi::OsString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::Access;
use rustix::process::{Pid, getpid};
use strait::unix::process;
use strait::wait::{self, AllWon, Readable, Waitable, Won};
use strait_sys::sigaction::{self, Action};
use strait_sys::siginfo::{Code, Fields, Info};
use strait_sys::signal::{self, Change, Set, Signal};
use strait_sys::sigsend::{self, Scope, Target};
use strait_sys::{Errno, signalfd, spawn};

use crate::failure::{CANNOT_RUN, ERROR, Failure, NOT_FOUND, answer};

/// What would end this program, but for real-time signals, which are taken too, faults, limits of
/// resources, and the signals of job control; and CONT, for a command that was stopped alone.
const TAKEN: [Signal; 13] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::USR1,
    Signal::USR2,
    Signal::ALRM,
    Signal::VTALRM,
    Signal::PROF,
    Signal::IO,
    Signal::PWR,
    Signal::STKFLT,
    Signal::CONT,
];

/// A command from its words, of which there is at least one.
pub(crate) fn command(words: &[OsString]) -> Result<Command, Failure> {
    // `--while -- CMD` is what the other verbs have taught people to type.
    let words = words.strip_prefix(&[OsString::from("--")]).unwrap_or(words);
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| Failure::new("no command was given").into_error())?;
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

/// Whether the command can be run, as far as can be known before it is.
pub(crate) fn check(words: &[OsString]) -> Result<(), Failure> {
    let command = command(words)?;
    let program = Path::new(command.get_program());
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let places: Vec<PathBuf> = if program.components().nth(1).is_some() || program.is_absolute() {
        vec![program.to_owned()]
    } else {
        std::env::split_paths(&path)
            .map(|place| place.join(program))
            .collect()
    };
    let mut found = Errno::NOENT;
    for place in places.iter().filter(|place| place.is_file()) {
        match rustix::fs::access(place, Access::EXEC_OK) {
            Ok(()) => return Ok(()),
            Err(errno) => found = errno,
        }
    }
    Err(cannot(&command, &found.into()))
}

/// A process group by its leader.
#[derive(Debug)]
pub(crate) struct Group {
    leader: Pid,
    pidfd: Option<OwnedFd>,
}

impl Group {
    pub(crate) fn of(child: &process::Child) -> Option<Self> {
        let leader = i32::try_from(child.id()).ok().and_then(Pid::from_raw)?;
        let pidfd = child
            .pidfd()
            .and_then(|pidfd| pidfd.try_clone_to_owned().ok());
        Some(Self { leader, pidfd })
    }

    /// Whether the process of that number leads it.
    pub(crate) fn is_of(&self, leader: u32) -> bool {
        u32::try_from(self.leader.as_raw_pid()) == Ok(leader)
    }

    /// To all of it, unless the leader has ended and was waited for: then its number may come to be
    /// another's.
    pub(crate) fn signal(&self, signal: Signal) {
        let by_number = || {
            // It may have ended by itself.
            let _ = sigsend::kill(Target::Group(self.leader), Some(signal));
        };
        let Some(pidfd) = &self.pidfd else {
            return by_number();
        };
        let to = |signal, scope| sigsend::pidfd(pidfd.as_fd(), signal, None, scope);
        let sent = to(Some(signal), Scope::ProcessGroup);
        // An older kernel knows no groups here, but whether the leader is there.
        if sent == Err(Errno::INVAL) && to(None, Scope::Descriptor).is_ok() {
            by_number();
        }
    }
}

/// What ends a program that waits for others.
const ENDING: [Signal; 4] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];

/// Signals that end this program once it has cleared up.
#[derive(Debug)]
pub(crate) struct Ends {
    descriptor: OwnedFd,
    taken: Set,
    before: Set,
}

impl Ends {
    /// From here on they wait to be [taken](Self::take), also in threads that are begun from now
    /// on. Those that this program was born to ignore stay ignored.
    pub(crate) fn begin() -> Result<Self, Failure> {
        let heeded = |signal: &Signal| {
            sigaction::get(*signal).is_ok_and(|now| now.action() != Action::Ignore)
        };
        let taken = Set::new(ENDING.into_iter().filter(heeded));
        let before = block(taken);
        // One that was blocked before goes on doing nothing.
        let taken = taken.without(before);
        let descriptor = signalfd::create(taken).map_err(|errno| Failure {
            message: format!("wait for signals: {}", answer(&errno.into())),
            status: ERROR,
        })?;
        Ok(Self {
            descriptor,
            taken,
            before,
        })
    }

    /// Ready when one has come.
    pub(crate) fn readable(&self) -> Readable<'_> {
        wait::readable(&self.descriptor)
    }

    /// One that has come.
    pub(crate) fn take(&self) -> Option<Signal> {
        let taken = signal::take(&self.taken, Some(Duration::ZERO)).ok()?;
        taken.signal()
    }

    /// Has a thread take the first that comes, and die of it once it has done that.
    pub(crate) fn first(self, run: impl FnOnce() + Send + 'static) -> Result<Ended, Failure> {
        let ended = Ended::default();
        let told = ended.clone();
        let wait = move || {
            let signal = loop {
                match signal::take(&self.taken, None).map(|taken| taken.signal()) {
                    Ok(Some(signal)) => break signal,
                    // This program was stopped and continued.
                    Ok(None) | Err(Errno::INTR) => {}
                    Err(_) => return,
                }
            };
            told.0.store(true, Ordering::SeqCst);
            run();
            // All others block it: this thread takes it, and the program ends of it.
            self.die_of(signal);
        };
        let started = std::thread::Builder::new().spawn(wait);
        started
            .map(|_| ended)
            .map_err(|error| Failure::io("start a thread", &error))
    }

    /// Does what the signal would have done at once. Comes back only if it cannot.
    pub(crate) fn die_of(&self, signal: Signal) -> Failure {
        let _ = signal::change_mask(Change::Replace, self.before);
        let _ = sigsend::kill(Target::Process(getpid()), Some(signal));
        Failure {
            message: format!("ended by {signal}"),
            status: ERROR,
        }
    }
}

/// Something is held for a command: signals are the command's.
///
/// Begin before it is acquired, or as soon as it is, and let go of it before this value.
#[derive(Debug)]
pub(crate) struct Hold {
    taken: Set,
    /// What was blocked before.
    outside: Set,
    /// What will be blocked in the command.
    before: Set,
    /// The terminal has interrupted the command and us.
    interrupted: bool,
    /// That ended the command.
    is_end: bool,
}

impl Hold {
    /// From here on signals wait. Those that this program was born to ignore stay ignored.
    pub(crate) fn begin() -> Self {
        let heeded = |signal: &Signal| {
            sigaction::get(*signal).is_ok_and(|now| now.action() != Action::Ignore)
        };
        let realtime = Signal::all().filter(|signal| signal.is_realtime());
        let mut taken: Vec<Signal> = TAKEN.into_iter().chain(realtime).filter(heeded).collect();
        // A parent may have ignored it; then no child would announce its end, or leave a status.
        let _ = sigaction::set(Signal::CHLD, Action::Default);
        taken.push(Signal::CHLD);
        let taken = Set::new(taken);
        let before = block(taken);
        Self {
            taken,
            outside: before,
            before,
            interrupted: false,
            is_end: false,
        }
    }

    /// The command shall begin with these signals blocked, not with what is blocked now.
    pub(crate) fn with_mask(mut self, before: Set) -> Self {
        self.before = before;
        self
    }

    /// [`wait::any_for`]; without a timeout, for as long as it takes. A signal that comes first
    /// does here what it would have done if it did not wait for the command.
    pub(crate) fn win_any(
        &self,
        members: &[&dyn Waitable],
        timeout: Option<Duration>,
        explain: impl Fn(strait::Error) -> Failure,
    ) -> Result<Option<Won>, Failure> {
        self.win(timeout, |signal, left| {
            let mut all = members.to_vec();
            // Last: what is there at once is won.
            all.push(&signal);
            let won = wait::any_for(&all, left).map_err(&explain)?;
            Ok(won.filter(|won| won.index < members.len()))
        })
    }

    /// [`wait::all_for`], in the same way.
    pub(crate) fn win_all(
        &self,
        members: &[&dyn Waitable],
        timeout: Option<Duration>,
        explain: impl Fn(strait::Error) -> Failure,
    ) -> Result<Option<AllWon>, Failure> {
        self.win(timeout, |signal, left| {
            wait::all_unless(members, signal, left).map_err(&explain)
        })
    }

    /// What `attempt` wins within the time that it is given, unless a signal comes first; again,
    /// unless that ends this program, while there is time.
    fn win<T>(
        &self,
        timeout: Option<Duration>,
        attempt: impl Fn(Readable<'_>, Duration) -> Result<Option<T>, Failure>,
    ) -> Result<Option<T>, Failure> {
        let begin = Instant::now();
        let left = || timeout.map(|timeout| timeout.saturating_sub(begin.elapsed()));
        let fails = |errno: Errno| Failure {
            message: format!("wait for signals: {}", answer(&errno.into())),
            status: ERROR,
        };
        // One that was blocked before does nothing now.
        let heard = self.taken.without(self.outside);
        let descriptor = signalfd::create(heard).map_err(fails)?;
        loop {
            let won = attempt(wait::readable(&descriptor), left().unwrap_or(Duration::MAX))?;
            if won.is_some() {
                return Ok(won);
            }
            // It ends this program here, or means nothing to it.
            signal::change_mask(Change::Replace, self.outside).map_err(fails)?;
            block(self.taken);
            if left().is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
        }
    }

    /// Runs it to its end.
    pub(crate) fn run(&mut self, command: &mut Command) -> Result<ExitCode, Failure> {
        spawn::block_only(command, self.before);
        let mut child = command.spawn().map_err(|error| cannot(command, &error))?;
        let status = self.wait(&mut child).map_err(|error| Failure {
            message: format!(
                "wait for {}: {}",
                command.get_program().display(),
                answer(&error)
            ),
            status: ERROR,
        })?;
        let code = match (status.code(), status.signal()) {
            (Some(code), _) => code,
            (None, Some(signal)) => {
                self.is_end = self.interrupted && signal == Signal::INT.number();
                128 + signal
            }
            (None, None) => 1,
        };
        Ok(u8::try_from(code).unwrap_or(1).into())
    }

    fn wait(&mut self, child: &mut Child) -> std::io::Result<ExitStatus> {
        loop {
            if let Some(status) = child.try_wait()? {
                // What ended it was sent to this program before that, but may not be taken yet.
                while let Ok(taken) = signal::take(&self.taken, Some(Duration::ZERO)) {
                    self.interrupted |= is_key(&taken, Signal::INT);
                }
                return Ok(status);
            }
            match signal::take(&self.taken, None) {
                Ok(taken) => self.pass_on(&taken, Pid::from_child(child)),
                // This program was stopped and continued.
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn pass_on(&mut self, taken: &Info, command: Pid) {
        self.interrupted |= is_key(taken, Signal::INT);
        let is_known = is_key(taken, Signal::INT) || is_key(taken, Signal::QUIT);
        // What the command sent it need not hear: it may have sent it to its whole group.
        if is_known || sender(taken) == Some(command.as_raw_nonzero().get()) {
            return;
        }
        let signal = taken.signal();
        if let Some(signal) = signal.filter(|signal| *signal != Signal::CHLD) {
            // Nobody else waits for it, so the number is still its own. It may have ended.
            let plain = || sigsend::kill(Target::Process(command), Some(signal));
            let _ = match taken.fields() {
                // Where the queue is full, a signal without its value is better than none.
                Fields::Queued { value, .. } => {
                    sigsend::queue(command, signal, value).or_else(|_| plain())
                }
                _ => plain(),
            };
        }
    }
}

/// Whether it came from that key of the terminal, and so to the command as well.
fn is_key(taken: &Info, signal: Signal) -> bool {
    taken.code() == Code::Kernel && taken.signal() == Some(signal)
}

/// The process that sent it.
fn sender(taken: &Info) -> Option<i32> {
    match taken.fields() {
        Fields::Sent { pid, .. } | Fields::Queued { pid, .. } => Some(pid),
        _ => None,
    }
}

/// Blocks these too. What was blocked before.
fn block(signals: Set) -> Set {
    signal::change_mask(Change::Block, signals).expect("a set and a word are given")
}

/// What is blocked.
pub(crate) fn mask() -> Set {
    block(Set::default())
}

impl Drop for Hold {
    /// A shell goes on with its script after a command that dealt with Ctrl-C and ended; one that
    /// died of it ends the script. So that shells see it, this program dies of it as well.
    fn drop(&mut self) {
        if self.is_end && signal::change_mask(Change::Replace, self.before).is_ok() {
            let _ = sigsend::kill(Target::Process(getpid()), Some(Signal::INT));
        }
    }
}

/// Whether a signal ends this program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended(Arc<AtomicBool>);

impl Ended {
    /// What failed, unless a signal ends this program, and has made it fail: then that is waited
    /// for.
    pub(crate) fn or(&self, failure: Failure) -> Failure {
        while self.0.load(Ordering::SeqCst) {
            std::thread::park();
        }
        failure
    }
}

/// Becomes that command. Comes back only if it cannot.
pub(crate) fn become_it(command: &mut Command) -> Failure {
    let error = command.exec();
    cannot(command, &error)
}

fn cannot(command: &Command, error: &std::io::Error) -> Failure {
    let program = command.get_program().to_string_lossy();
    let (status, why) = if error.kind() == std::io::ErrorKind::NotFound {
        (NOT_FOUND, "no such command".to_owned())
    } else {
        (CANNOT_RUN, answer(error))
    };
    Failure {
        message: format!("run {program}: {why}"),
        status,
    }
}
