//! Commands that answer calls: each in a process group of its own, ended when its time is over or
//! the server ends.

use std::ffi::OsString;
use std::process::Stdio;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use strait::unix::process::{Child, Options};
use strait_sys::signal::Signal;

use crate::child::{self, Group};
use crate::failure::Failure;

/// The longest output of a command, in bytes.
const OUTPUT_MAX: usize = 64 << 20;
/// From SIGTERM to SIGKILL.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// A command, and what runs of it.
#[derive(Debug)]
pub(super) struct Jobs {
    command: Vec<OsString>,
    time_max: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    running: Vec<Group>,
    closed: bool,
}

impl Jobs {
    pub(super) fn new(command: Vec<OsString>, time_max: Duration) -> Self {
        Self {
            command,
            time_max,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// The command in messages.
    pub(super) fn shown(&self) -> String {
        let program = self.command.first();
        program.map_or_else(String::new, |word| word.to_string_lossy().into_owned())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs it with that input. What it said.
    pub(super) fn run(
        &self,
        environment: &[(&'static str, String)],
        input: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let mut command = child::command(&self.command)?;
        command
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        // One that is begun when all are ended is not begun.
        let mut state = self.lock();
        if state.closed {
            return Err(Failure::new("the server ends"));
        }
        let started = Options::new().new_group().start(&mut command);
        let mut child = started.map_err(Failure::of)?;
        let leader = child.id();
        state.running.extend(Group::of(&child));
        drop(state);
        let said = child.communicate_for(input, OUTPUT_MAX, self.time_max);
        if !matches!(said, Ok(Some(_))) {
            end(&mut child);
        }
        let mut state = self.lock();
        state.running.retain(|group| !group.is_of(leader));
        let is_closed = state.closed;
        self.changed.notify_all();
        drop(state);
        let shown = self.shown();
        let Some(output) = said.map_err(Failure::of)? else {
            let most = self.time_max;
            return Err(Failure::new(format!(
                "{shown} was ended: it took longer than {most:?} (--time-max)"
            )));
        };
        if is_closed {
            return Err(Failure::new(format!("{shown} was ended: the server ends")));
        }
        if !output.status.success() {
            return Err(Failure::new(format!("{shown}: {}", output.status)));
        }
        if output.stdout.truncated {
            return Err(Failure::new(format!(
                "{shown} printed more than {OUTPUT_MAX} bytes"
            )));
        }
        Ok(output.stdout.bytes)
    }

    /// No more of them; what runs ends. Returns once it has, or cannot be ended.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        for signal in [Signal::TERM, Signal::KILL] {
            state.running.iter().for_each(|group| group.signal(signal));
            let end = Instant::now() + GRACE;
            while !state.running.is_empty() {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                let waited = self.changed.wait_timeout(state, left);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}

/// Ends a command that was not waited for.
fn end(child: &mut Child) {
    let Some(group) = Group::of(child) else {
        return;
    };
    group.signal(Signal::TERM);
    if !matches!(child.wait_for(GRACE), Ok(Some(_))) {
        group.signal(Signal::KILL);
        // It may be another user's by now.
        let _ = child.wait_for(GRACE);
    }
}
