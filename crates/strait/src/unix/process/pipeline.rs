//! Pipelines: children in a row, each reading what the one before writes.

use std::os::fd::OwnedFd;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use strait_sys::Errno;
use strait_sys::signal::Signal;
use strait_sys::sigsend::{self, Scope, Target};
use strait_sys::spawn::Group;
use strait_sys::time::Deadline;

use super::child::Child;
use super::drain::{self, Captured};
use super::{Options, VERB};
use crate::error::{Error, ErrorKind, Result};

/// A pipeline that is yet to start.
#[derive(Debug)]
#[must_use]
pub struct Pipeline {
    stages: Vec<Command>,
    options: Options,
}

/// A pipeline that was started.
#[derive(Debug)]
pub struct Running {
    children: Vec<Child>,
    group: bool,
    kill_on_drop: bool,
}

/// How the stages of a pipeline ended, in their order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Statuses(Vec<ExitStatus>);

/// What a pipeline wrote, and how it ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PipelineOutput {
    /// How each stage ended.
    pub statuses: Statuses,
    /// The standard output of the last stage, if that was piped.
    pub stdout: Captured,
    /// The standard error of each stage, if that was piped.
    pub stderr: Vec<Captured>,
}

impl Pipeline {
    /// These commands in a row. The first one's input, the last one's output and the standard error
    /// of each are as the commands say.
    pub fn new(stages: impl IntoIterator<Item = Command>) -> Self {
        Self {
            stages: stages.into_iter().collect(),
            options: Options::new(),
        }
    }

    /// How its stages are started. With [`Options::new_group`] they share a process group, which
    /// the first leads.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Starts every stage. This process keeps no end of the pipes between them.
    ///
    /// # Errors
    /// As [`Options::start`]: the stages before the one that failed are killed and waited for.
    /// [`ErrorKind::InvalidInput`] without a stage.
    pub fn start(self) -> Result<Running> {
        if self.stages.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, VERB, "")
                .because("a pipeline needs at least one stage"));
        }
        let mut options = self.options.clone();
        let count = self.stages.len();
        let mut running = Running {
            children: Vec::with_capacity(count),
            group: options.group == Some(Group::Own),
            // Until all of it stands.
            kill_on_drop: true,
        };
        let mut from: Option<OwnedFd> = None;
        for (index, mut command) in self.stages.into_iter().enumerate() {
            if let Some(from) = from.take() {
                command.stdin(Stdio::from(from));
            }
            if index + 1 < count {
                let (reader, writer) = std::io::pipe().map_err(|error| {
                    let errno = Errno::from_io_error(&error).unwrap_or(Errno::MFILE);
                    Error::kernel(errno, VERB, command.get_program().to_string_lossy())
                })?;
                command.stdout(Stdio::from(OwnedFd::from(writer)));
                from = Some(reader.into());
            }
            // The command goes at the end of this turn, and with it our ends of its pipes.
            running.children.push(options.start(&mut command)?);
            if running.group && index == 0 {
                // The leader is not waited for before all stand: its number stays its own.
                options.group = Some(Group::Of(running.children[0].pid()));
            }
        }
        running.kill_on_drop = options.kill_on_drop;
        Ok(running)
    }
}

impl Running {
    /// Its stages, in order.
    pub fn children(&mut self) -> &mut [Child] {
        &mut self.children
    }

    /// Waits for the end of every stage. Closes the first one's standard input first.
    ///
    /// # Errors
    /// As [`Child::wait`].
    pub fn wait(&mut self) -> Result<Statuses> {
        loop {
            if let Some(statuses) = self.wait_until(None)? {
                return Ok(statuses);
            }
        }
    }

    /// [`wait`](Self::wait) for at most `timeout`. `None`: some stage runs on.
    ///
    /// # Errors
    /// As [`Child::wait`].
    pub fn wait_for(&mut self, timeout: Duration) -> Result<Option<Statuses>> {
        self.wait_until(Some(Deadline::after(timeout)))
    }

    fn wait_until(&mut self, deadline: Option<Deadline>) -> Result<Option<Statuses>> {
        for child in &mut self.children {
            drop(child.stdin.take());
        }
        let mut statuses = Vec::with_capacity(self.children.len());
        // The leader last: as long as it is not collected, its group is no other's.
        for child in self.children.iter_mut().rev() {
            match child.wait_until(deadline)? {
                Some(status) => statuses.push(status),
                None => return Ok(None),
            }
        }
        statuses.reverse();
        Ok(Some(Statuses(statuses)))
    }

    /// Sends a signal to every stage; with a group of their own, also to what they started in it.
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`] if all have ended and were waited for.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        match (self.group, self.children.first()) {
            (true, Some(leader)) => signal_group(leader, signal).or_else(|errno| match errno {
                Errno::INVAL => self.signal_each(signal),
                errno => Err(Error::kernel(
                    errno,
                    "signal pipeline",
                    format!("process group {}", leader.id()),
                )),
            }),
            _ => self.signal_each(signal),
        }
    }

    fn signal_each(&self, signal: Signal) -> Result<()> {
        let mut result = None;
        for child in &self.children {
            match (child.signal(signal), &result) {
                (Ok(()), _) => result = Some(Ok(())),
                (Err(error), None) => result = Some(Err(error)),
                (Err(_), Some(_)) => {}
            }
        }
        result.unwrap_or(Ok(()))
    }

    /// Sends SIGKILL to every stage, as [`signal`](Self::signal) does.
    ///
    /// # Errors
    /// As [`signal`](Self::signal).
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)
    }

    /// Writes `input` to the first stage, reads the output of the last and the standard error of
    /// all, all at once, and waits for every stage; as [`Child::communicate`], with `limit` for
    /// each stream.
    ///
    /// # Errors
    /// As [`Child::communicate`].
    pub fn communicate(&mut self, input: &[u8], limit: usize) -> Result<PipelineOutput> {
        loop {
            if let Some(output) = self.exchange(input, limit, None)? {
                return Ok(output);
            }
        }
    }

    /// [`communicate`](Self::communicate) for at most `timeout`. `None`: it was not done; the
    /// streams are closed, and what was read is lost.
    ///
    /// # Errors
    /// As [`Child::communicate`].
    pub fn communicate_for(
        &mut self,
        input: &[u8],
        limit: usize,
        timeout: Duration,
    ) -> Result<Option<PipelineOutput>> {
        self.exchange(input, limit, Some(Deadline::after(timeout)))
    }

    fn exchange(
        &mut self,
        input: &[u8],
        limit: usize,
        deadline: Option<Deadline>,
    ) -> Result<Option<PipelineOutput>> {
        let children = &mut self.children;
        let first = children.first_mut().and_then(|child| child.stdin.take());
        let last = children.last_mut().and_then(|child| child.stdout.take());
        let mut outputs = vec![last.map(OwnedFd::from)];
        let errors = children.iter_mut().map(|child| child.stderr.take());
        outputs.extend(errors.map(|stream| stream.map(OwnedFd::from)));
        let first = first.map(OwnedFd::from);
        let Some(captured) = drain::exchange(first, input, outputs, limit, deadline)? else {
            return Ok(None);
        };
        let mut captured = captured.into_iter();
        let stdout = captured.next().unwrap_or_default();
        Ok(self.wait_until(deadline)?.map(|statuses| PipelineOutput {
            statuses,
            stdout,
            stderr: captured.collect(),
        }))
    }
}

/// The leader's group, by its pidfd where the kernel can (Linux 6.9); else by its number as long as
/// that cannot be another's. `EINVAL`: neither.
fn signal_group(leader: &Child, signal: Signal) -> std::result::Result<(), Errno> {
    let by_pidfd = match leader.pidfd() {
        Some(pidfd) => sigsend::pidfd(pidfd, Some(signal), None, Scope::ProcessGroup),
        None => Err(Errno::INVAL),
    };
    match by_pidfd {
        Err(Errno::INVAL) if !leader.is_collected() => {
            sigsend::kill(Target::Group(leader.pid()), Some(signal))
        }
        other => other,
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.kill_on_drop {
            // Those that have ended need no signal.
            let _ = self.kill();
            for child in self.children.iter_mut().rev() {
                child.kill_and_wait();
            }
        }
    }
}

impl Statuses {
    /// The status of each stage, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[ExitStatus] {
        &self.0
    }

    /// Whether every stage ended with 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.0.iter().all(ExitStatus::success)
    }

    /// The status of the pipeline as shells have it under `pipefail`: that of the last stage that
    /// failed, or 0.
    #[must_use]
    pub fn pipefail(&self) -> ExitStatus {
        let failed = self.0.iter().rev().find(|status| !status.success());
        failed.copied().unwrap_or_default()
    }
}
