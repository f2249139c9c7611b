//! What `strait port serve` runs: a command for each request, in a process group of its own, which
//! is ended once nobody waits for its reply, its time is over, or the server ends.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::ErrorKind::{Interrupted, WouldBlock};
use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::ioctl_fionbio;
use strait::nt::lpc::{Call, Pending};
use strait::unix::process::{Child, Options};
use strait::wait::{self, Waitable};
use strait_sys::signal::Signal;

use crate::child::{self, Group};
use crate::failure::Failure;

use super::LOOK;

/// Requests that wait for a worker.
const QUEUE_MAX: usize = 1024;
/// Bytes of these, beside the first.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// From SIGTERM to SIGKILL, and from there to its being left alone.
const GRACE: Duration = Duration::from_secs(1);

/// What is asked, and who asks.
#[derive(Debug)]
pub(super) struct Job {
    /// `None` for a datagram.
    pending: Option<Pending>,
    request: Vec<u8>,
    client: [(&'static str, u32); 3],
}

/// A command that runs.
#[derive(Debug)]
struct Running {
    group: Group,
    begun: Instant,
    pending: Option<Pending>,
    /// Since when it is to end, and why.
    ending: Option<(Instant, &'static str)>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Job>,
    running: Vec<Running>,
    /// Requests that workers have taken: those of the commands that run, and of some that begin.
    taken: usize,
    closed: bool,
}

/// The requests of a port and the commands that answer them.
#[derive(Debug)]
pub(super) struct Jobs<'a> {
    pub(super) command: &'a [OsString],
    pub(super) reply_max: usize,
    pub(super) time_max: Option<Duration>,
    state: Mutex<State>,
    changed: Condvar,
}

impl Job {
    pub(super) fn of(call: &mut Call<'_>) -> strait::Result<Self> {
        let client = call.client();
        Ok(Self {
            client: [
                ("STRAIT_CLIENT_PID", client.pid),
                ("STRAIT_CLIENT_UID", client.uid),
                ("STRAIT_CLIENT_GID", client.gid),
            ],
            request: call.request().to_vec(),
            pending: call.wants_reply().then(|| call.defer()).transpose()?,
        })
    }
}

fn is_awaited(pending: Option<&Pending>) -> bool {
    pending.is_none_or(Pending::is_awaited)
}

impl Running {
    fn is_of(&self, child: &Child) -> bool {
        self.group.is_of(child.id())
    }

    /// Asks it to end, and has it ended if it does not.
    fn end(&mut self, why: &'static str) {
        match self.ending {
            None => {
                self.ending = Some((Instant::now(), why));
                self.group.signal(Signal::TERM);
            }
            Some((since, _)) if since.elapsed() >= GRACE => self.group.signal(Signal::KILL),
            Some(_) => {}
        }
    }
}

impl<'a> Jobs<'a> {
    pub(super) fn new(command: &'a [OsString], reply_max: usize) -> Self {
        Self {
            command,
            reply_max,
            time_max: None,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, job: Job) {
        let mut state = self.lock();
        let waiting: usize = state.queue.iter().map(|job| job.request.len()).sum();
        let is_full = state.queue.len() >= QUEUE_MAX
            || (!state.queue.is_empty() && waiting + job.request.len() > QUEUE_BYTES_MAX);
        if is_full {
            drop(state);
            if let Some(pending) = job.pending {
                let _ = pending.refuse("too many requests wait already");
            }
            return;
        }
        state.queue.push_back(job);
        self.changed.notify_all();
    }

    /// Whether something waits or runs, of which [`look`](Self::look) may have to end some.
    pub(super) fn is_busy(&self) -> bool {
        let state = self.lock();
        !state.queue.is_empty() || state.taken > 0
    }

    /// Ends what nobody waits for, and what takes too long.
    pub(super) fn look(&self) {
        let mut state = self.lock();
        state.queue.retain(|job| is_awaited(job.pending.as_ref()));
        for running in &mut state.running {
            let is_late = self
                .time_max
                .is_some_and(|most| running.begun.elapsed() >= most);
            if is_late {
                running.end("it took too long (--time-max)");
            } else if running.ending.is_some() || !is_awaited(running.pending.as_ref()) {
                running.end("its caller waits no longer");
            }
        }
    }

    /// No more of them; what runs ends. Returns once it has.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.queue.clear();
        self.changed.notify_all();
        while state.taken > 0 {
            for running in &mut state.running {
                running.end("the server ends");
            }
            let waited = self.changed.wait_timeout(state, GRACE);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Answers requests until they are [closed](Self::close).
    pub(super) fn work(&self, note: impl Fn(&str)) {
        loop {
            let mut state = self.lock();
            let job = loop {
                if state.closed {
                    return;
                }
                match state.queue.pop_front() {
                    Some(job) => break job,
                    None => {
                        let waited = self.changed.wait(state);
                        state = waited.unwrap_or_else(PoisonError::into_inner);
                    }
                }
            };
            state.taken += 1;
            drop(state);
            let (pending, answered) = self.answer(job);
            self.lock().taken -= 1;
            self.changed.notify_all();
            // Who waits no longer needs neither.
            match (answered, pending) {
                (Ok(reply), Some(pending)) => drop(pending.reply(&reply)),
                (Ok(_), None) => {}
                (Err(failure), pending) => {
                    note(&failure.message);
                    if let Some(pending) = pending {
                        let _ = pending.refuse(&failure.message);
                    }
                }
            }
        }
    }

    /// What the command says to the request, and who waits for it.
    fn answer(&self, job: Job) -> (Option<Pending>, Result<Vec<u8>, Failure>) {
        let started = child::command(self.command).and_then(|mut command| {
            let client = job.client.map(|(key, id)| (key, id.to_string()));
            command
                .envs(client)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped());
            let started = Options::new().new_group().start(&mut command);
            started.map_err(Failure::of)
        });
        let mut child = match started {
            Ok(child) => child,
            Err(failure) => return (job.pending, Err(failure)),
        };
        let Some(group) = Group::of(&child) else {
            return (job.pending, Err(Failure::new("the command has no number")));
        };
        let mut state = self.lock();
        state.running.push(Running {
            group,
            begun: Instant::now(),
            pending: job.pending,
            ending: None,
        });
        // Whoever closes ends it.
        self.changed.notify_all();
        drop(state);
        let said = self.exchange(&mut child, &job.request);
        // It is reaped only below: until then its number is nobody else's.
        let ended = loop {
            match wait::any_for(&[&child], LOOK) {
                Ok(None) if !self.is_lost(&child) => {}
                ended => break ended.map_err(Failure::of),
            }
        };
        let mut state = self.lock();
        let at = state.running.iter().position(|one| one.is_of(&child));
        let ran = at.map(|at| state.running.swap_remove(at));
        drop(state);
        let status = child.try_wait().map_err(Failure::of);
        let (pending, ending) = ran.map_or((None, None), |ran| (ran.pending, ran.ending));
        let shown = self.command[0].to_string_lossy();
        let reply = said.and_then(|said| {
            ended?;
            let status = status?;
            match (ending, status) {
                (Some((_, why)), _) => Err(Failure::new(format!("{shown} was ended: {why}"))),
                (None, Some(status)) if status.success() => Ok(said),
                (None, Some(status)) => Err(Failure::new(format!("{shown}: {status}"))),
                (None, None) => Err(Failure::new(format!("{shown} does not end"))),
            }
        });
        (pending, reply)
    }

    /// Whether it was killed, and something of it goes on: it left its group, or is another user's.
    fn is_lost(&self, child: &Child) -> bool {
        let state = self.lock();
        let running = state.running.iter().find(|one| one.is_of(child));
        let ending = running.and_then(|running| running.ending);
        ending.is_some_and(|(since, _)| since.elapsed() >= GRACE * 2)
    }

    /// Gives the command the request and reads what it says, to its end.
    fn exchange(&self, child: &mut Child, request: &[u8]) -> Result<Vec<u8>, Failure> {
        let said = self.converse(child, request);
        if said.is_err()
            && let Some(group) = Group::of(child)
        {
            // Nothing that it does now is of use.
            group.signal(Signal::KILL);
        }
        said
    }

    fn converse(&self, child: &mut Child, request: &[u8]) -> Result<Vec<u8>, Failure> {
        let Some(mut stdout) = child.stdout.take() else {
            return Ok(Vec::new());
        };
        let (mut stdin, mut left) = (child.stdin.take(), request);
        let calm = |result: std::io::Result<()>| {
            result.map_err(|error| Failure::io("the command's pipes", &error))
        };
        calm(ioctl_fionbio(&stdout, true).map_err(Into::into))?;
        if let Some(stdin) = &stdin {
            calm(ioctl_fionbio(stdin, true).map_err(Into::into))?;
        }
        let (mut reply, mut chunk) = (Vec::new(), [0; 16 << 10]);
        let mut looked = Instant::now();
        loop {
            // Whatever it says meanwhile.
            if looked.elapsed() >= LOOK {
                if self.is_lost(child) {
                    return Ok(reply);
                }
                looked = Instant::now();
            }
            // It need not read it.
            while let Some(pipe) = &mut stdin {
                match pipe.write(left) {
                    Ok(len) if len < left.len() => left = &left[len..],
                    Err(error) if error.kind() == WouldBlock => break,
                    Err(error) if error.kind() == Interrupted => {}
                    Ok(_) | Err(_) => stdin = None,
                }
            }
            match stdout.read(&mut chunk) {
                Ok(0) => return Ok(reply),
                Ok(len) => reply.extend_from_slice(&chunk[..len]),
                Err(error) if error.kind() == Interrupted => {}
                Err(error) if error.kind() == WouldBlock => {
                    let readable = wait::readable(&stdout);
                    let writable = stdin.as_ref().map(wait::writable);
                    let mut members: Vec<&dyn Waitable> = vec![&readable];
                    members.extend(writable.as_ref().map(|pipe| pipe as &dyn Waitable));
                    wait::any_for(&members, LOOK).map_err(Failure::of)?;
                }
                Err(error) => return Err(Failure::io("its reply", &error)),
            }
            if reply.len() > self.reply_max {
                return Err(Failure::new(format!(
                    "{}: its reply is longer than {} bytes (--message-max)",
                    self.command[0].to_string_lossy(),
                    self.reply_max
                )));
            }
        }
    }
}
