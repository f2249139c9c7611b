//! A child: its streams, its status, and signals that reach it or nobody.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{ChildStderr, ChildStdin, ChildStdout, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions, WaitIdStatus, waitid};
use strait_sys::Errno;
use strait_sys::signal::Signal;
use strait_sys::sigsend::{self, Scope, Target};
use strait_sys::time::Deadline;

use super::drain::{self, Captured};
use super::reaps_itself;
use crate::error::{Error, ErrorKind, Result};
use crate::object::wait::{self, Member, Process, Waitable};

/// A child of this process.
///
/// Dropped, it runs on, unless it was started with
/// [`kill_on_drop`](super::Options::kill_on_drop).
#[derive(Debug)]
pub struct Child {
    /// Its standard input, if the command says it is piped.
    pub stdin: Option<ChildStdin>,
    /// Its standard output, likewise.
    pub stdout: Option<ChildStdout>,
    /// Its standard error, likewise.
    pub stderr: Option<ChildStderr>,
    pid: Pid,
    process: Process,
    status: Option<ExitStatus>,
    kill_on_drop: bool,
}

/// What a child wrote, and how it ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Output {
    /// How it ended: the code, or the signal, and whether it dumped core.
    pub status: ExitStatus,
    /// Its standard output, if that was piped.
    pub stdout: Captured,
    /// Its standard error, likewise.
    pub stderr: Captured,
}

impl Child {
    pub(super) fn new(
        mut child: std::process::Child,
        pidfd: Option<OwnedFd>,
        kill_on_drop: bool,
    ) -> Self {
        let pid = Pid::from_child(&child);
        Self {
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            pid,
            process: Process::known(pid, pidfd),
            status: None,
            kill_on_drop,
        }
    }

    /// Its process id: another's, maybe, once it was waited for.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Its pidfd; `None` where the kernel refused one.
    #[must_use]
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.process.pidfd()
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    pub(super) fn is_collected(&self) -> bool {
        self.status.is_some()
    }

    /// Waits for its end and collects its status, which says the exit code, or the signal and
    /// whether it dumped core ([`ExitStatusExt`]). Closes its standard input first.
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`] if somebody else has collected it: another wait of this process, or
    /// the kernel because SIGCHLD is ignored.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        drop(self.stdin.take());
        loop {
            if let Some(status) = self.collect(WaitIdOptions::empty())? {
                return Ok(status);
            }
        }
    }

    /// [`wait`](Self::wait) for at most `timeout`. `None`: it runs on.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_for(&mut self, timeout: Duration) -> Result<Option<ExitStatus>> {
        drop(self.stdin.take());
        self.wait_until(Some(Deadline::after(timeout)))
    }

    pub(super) fn wait_until(&mut self, deadline: Option<Deadline>) -> Result<Option<ExitStatus>> {
        if let Some(status) = self.try_wait()? {
            return Ok(Some(status));
        }
        match deadline {
            None => self.wait().map(Some),
            Some(_) if wait::any_until(&[&self.process], deadline)?.is_none() => Ok(None),
            Some(_) => self.try_wait(),
        }
    }

    /// Collects its status if it has ended.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        self.collect(WaitIdOptions::NOHANG)
    }

    fn collect(&mut self, options: WaitIdOptions) -> Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.ask(options)?;
        }
        Ok(self.status)
    }

    /// Its status if it has ended, and leaves it to be collected (WNOWAIT).
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn peek(&self) -> Result<Option<ExitStatus>> {
        match self.status {
            Some(status) => Ok(Some(status)),
            None => self.ask(WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT),
        }
    }

    fn ask(&self, options: WaitIdOptions) -> Result<Option<ExitStatus>> {
        let id = || match self.pidfd() {
            Some(pidfd) => WaitId::PidFd(pidfd),
            None => WaitId::Pid(self.pid),
        };
        loop {
            match waitid(id(), options | WaitIdOptions::EXITED) {
                Ok(status) => return Ok(status.as_ref().map(status_of)),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.lost(errno)),
            }
        }
    }

    fn lost(&self, errno: Errno) -> Error {
        let error = Error::kernel(errno, "wait for process", self.id().to_string());
        match errno {
            Errno::CHILD if reaps_itself() => error.classed(ErrorKind::PeerGone).because(
                "this process ignores SIGCHLD, and so the kernel has reaped it: the status is lost",
            ),
            Errno::CHILD => error
                .classed(ErrorKind::PeerGone)
                .because("another wait in this process has collected its status"),
            _ => error,
        }
    }

    /// Sends it a signal. It reaches this child or nobody.
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`] once it was waited for; [`ErrorKind::Denied`] if it has become
    /// another user.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let sent = match self.pidfd() {
            Some(pidfd) => sigsend::pidfd(pidfd, Some(signal), None, Scope::Descriptor),
            // Nobody's number but its own, until it is waited for.
            None if self.status.is_none() => sigsend::kill(Target::Process(self.pid), Some(signal)),
            None => Err(Errno::SRCH),
        };
        sent.map_err(|errno| Error::kernel(errno, "signal process", self.id().to_string()))
    }

    /// Sends it SIGKILL.
    ///
    /// # Errors
    /// As [`signal`](Self::signal).
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)
    }

    /// It may be gone, or somebody else's to wait for; or another user's by now, whom no signal of
    /// this process reaches: then nobody can say how long it would take.
    pub(super) fn kill_and_wait(&mut self) {
        if self.status.is_none() && self.kill().is_ok() {
            let _ = self.wait();
        }
    }

    /// Writes `input` to its standard input and closes it, reads its standard output and error to
    /// their ends, all at once, and waits for it. Streams that are not piped are left alone.
    ///
    /// The first `limit` bytes of each stream are kept; what comes after is read and dropped, so
    /// that the child never blocks on it.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and what poll(2), read(2) and write(2) answer. A child that does
    /// not read its input is no error.
    pub fn communicate(&mut self, input: &[u8], limit: usize) -> Result<Output> {
        loop {
            if let Some(output) = self.exchange(input, limit, None)? {
                return Ok(output);
            }
        }
    }

    /// [`communicate`](Self::communicate) for at most `timeout`. `None`: it was not done; its
    /// streams are closed, and what was read is lost.
    ///
    /// # Errors
    /// As [`communicate`](Self::communicate).
    pub fn communicate_for(
        &mut self,
        input: &[u8],
        limit: usize,
        timeout: Duration,
    ) -> Result<Option<Output>> {
        self.exchange(input, limit, Some(Deadline::after(timeout)))
    }

    fn exchange(
        &mut self,
        input: &[u8],
        limit: usize,
        deadline: Option<Deadline>,
    ) -> Result<Option<Output>> {
        let stdin = self.stdin.take().map(OwnedFd::from);
        let stdout = self.stdout.take().map(OwnedFd::from);
        let stderr = self.stderr.take().map(OwnedFd::from);
        let outputs = vec![stdout, stderr];
        let Some(captured) = drain::exchange(stdin, input, outputs, limit, deadline)? else {
            return Ok(None);
        };
        let Some(status) = self.wait_until(deadline)? else {
            return Ok(None);
        };
        let mut captured = captured.into_iter();
        Ok(Some(Output {
            status,
            stdout: captured.next().unwrap_or_default(),
            stderr: captured.next().unwrap_or_default(),
        }))
    }
}

/// The status of wait(2), made of waitid's.
fn status_of(status: &WaitIdStatus) -> ExitStatus {
    let core = if status.dumped() { 0x80 } else { 0 };
    ExitStatus::from_raw(match status.exit_status() {
        Some(code) => (code & 0xff) << 8,
        None => status.terminating_signal().unwrap_or(0) | core,
    })
}

/// Ready when it has ended. A wait leaves its status: [`Child::try_wait`] collects it.
impl Waitable for Child {
    fn member(&self) -> Member<'_> {
        self.process.member()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.kill_on_drop && self.status.is_none() {
            self.kill_and_wait();
        }
    }
}
