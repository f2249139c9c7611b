//! Processes: children that start clean, are waited for by a pidfd, and stand in pipelines.
//!
//! Built on std's [`Command`], which stays what describes a child: its arguments, environment,
//! streams, and the handles it is [passed](crate::Pass). What std leaves out is here: a pidfd taken
//! before the child's number can be another's, a wait with a time-out, a place in every other wait,
//! signals that reach this child or nobody, [`Pipeline`]s with the status of each stage, and output
//! read with a bound and without a deadlock.
//!
//! ```
//! use std::process::{Command, Stdio};
//! use std::time::Duration;
//! use strait::unix::process::{self, Pipeline};
//! use strait::wait;
//!
//! let mut command = Command::new("cat");
//! let mut child = process::start(command.stdin(Stdio::piped()))?;
//! assert!(wait::any_for(&[&child], Duration::ZERO)?.is_none(), "it runs");
//! drop(child.stdin.take());
//! assert!(child.wait()?.success());
//!
//! let mut sort = Command::new("sort");
//! sort.stdin(Stdio::piped());
//! let mut last = Command::new("tail");
//! last.arg("-n1").stdout(Stdio::piped());
//! let output = Pipeline::new([sort, last]).start()?.communicate(b"b\na\nc\n", 1024)?;
//! assert_eq!(output.stdout.bytes, b"c\n");
//! assert!(output.statuses.success());
//! # Ok::<(), strait::Error>(())
//! ```
//!
//! | Linux | here |
//! | --- | --- |
//! | a child inherits the mask and what is ignored, across exec | differs: nothing is blocked, nothing ignored, SIGPIPE ends it; [`Options::ignore`] and [`Options::block`] say otherwise |
//! | a child that nobody has waited for stays, as a zombie | faithful, also when its [`Child`] is dropped; [`Options::kill_on_drop`] ends it then |
//! | one wait gets the status | faithful; the [`Child`] keeps it, and [`Child::peek`] leaves it |
//! | a process id is reused | differs: signals and waits go by the pidfd, which names one process for ever |
//! | with SIGCHLD ignored the kernel reaps children, and wait fails with ECHILD | differs: starting one is refused |
//!
//! # Traps
//!
//! - std forks here, as a function runs in the child: starting costs more the more memory this
//!   process has mapped.
//! - [`Child::communicate`] reads up to the end of the streams: a grandchild that holds one open
//!   keeps it waiting. [`Child::communicate_for`] bounds that.
//! - Where a filter refuses pidfds, the number is used instead, as long as nobody else waits for
//!   the child.
//!
//! - How processes end that are no children of this one is told by the kernel to their parents;
//!   PIDFD_GET_INFO, which tells it since Linux 6.15, is not used: a wait for their end is
//!   [`wait::Process`](crate::wait::Process).
//!
//! Sources: pidfd_open(2), waitid(2), execve(2), setpgid(2), pipe(7).

mod child;
mod drain;
mod pipeline;

pub use self::child::{Child, Output};
pub use self::drain::Captured;
pub use self::pipeline::{Pipeline, PipelineOutput, Running, Statuses};

use std::process::Command;

use strait_sys::Errno;
use strait_sys::sigaction::{self, Action};
use strait_sys::signal::{Set, Signal};
use strait_sys::spawn::{Group, Signals, Start};

use crate::error::{Error, ErrorKind, Result};

const VERB: &str = "start process";

/// How children are started.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Options {
    signals: Signals,
    group: Option<Group>,
    kill_on_drop: bool,
}

impl Options {
    /// Nothing blocked, nothing ignored, the group of the parent (or what the command says), and
    /// left alone when dropped.
    pub fn new() -> Self {
        Self::default()
    }

    /// It starts with these ignored, as nohup(1) does with HUP, and no others.
    pub fn ignore(mut self, signals: impl IntoIterator<Item = Signal>) -> Self {
        self.signals.ignored = Set::new(signals);
        self
    }

    /// It starts with these blocked, and no others.
    pub fn block(mut self, signals: impl IntoIterator<Item = Signal>) -> Self {
        self.signals.blocked = Set::new(signals);
        self
    }

    /// It leads a process group of its own; the stages of a pipeline share one.
    pub fn new_group(mut self) -> Self {
        self.group = Some(Group::Own);
        self
    }

    /// When its [`Child`] is dropped it is killed and waited for; of a pipeline with a group, the
    /// whole group. One that has become another user's (a set-user-ID program), and so cannot be
    /// killed, runs on and is not waited for.
    pub fn kill_on_drop(mut self) -> Self {
        self.kill_on_drop = true;
        self
    }

    /// Starts the command; it can be started again, with other options.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] and [`ErrorKind::Denied`] if it cannot be run;
    /// [`ErrorKind::Exhausted`] without processes, memory or descriptors;
    /// [`ErrorKind::Unsupported`] while this process ignores SIGCHLD;
    /// [`ErrorKind::InvalidInput`] to ignore KILL or STOP.
    pub fn start(&self, command: &mut Command) -> Result<Child> {
        let program = command.get_program().to_string_lossy().into_owned();
        let fail = |errno| Error::kernel(errno, VERB, program.clone());
        if reaps_itself() {
            return Err(Error::new(ErrorKind::Unsupported, VERB, program).because(
                "this process ignores SIGCHLD, and so the kernel would reap the child and lose \
                 its status: `signal::default(Signal::CHLD)`",
            ));
        }
        let start = Start::prepare(command, self.signals, self.group).map_err(fail)?;
        let child = command.spawn().map_err(|error| {
            let Some(errno) = Errno::from_io_error(&error) else {
                let kind = ErrorKind::InvalidInput;
                return Error::new(kind, VERB, program.clone()).because(error.to_string());
            };
            match errno {
                Errno::NOENT => fail(errno).because("no such program, or no such directory"),
                Errno::AGAIN => fail(errno)
                    .classed(ErrorKind::Exhausted)
                    .because("no more processes for this user, or at all"),
                errno => fail(errno),
            }
        })?;
        Ok(Child::new(child, start.pidfd(), self.kill_on_drop))
    }
}

/// Starts the command with the usual [`Options`].
///
/// # Errors
/// As [`Options::start`].
pub fn start(command: &mut Command) -> Result<Child> {
    Options::new().start(command)
}

/// Whether the kernel reaps the children of this process.
fn reaps_itself() -> bool {
    sigaction::get(Signal::CHLD)
        .is_ok_and(|now| now.action() == Action::Ignore || now.no_child_wait())
}
