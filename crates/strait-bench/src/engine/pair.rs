//! The supervisor of one row: starts the two sides, listens to both, ends both.
//!
//! It touches no mechanism itself, so nothing that hangs, dies or lies in one can stop it.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::protocol::{Measured, Plan, Said};
use super::role::FLAG;
use super::{litter, load};
use crate::{Failure, Outcome, Side};

/// How long a side that failed leaves the other to say what it knows.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// How long a side may take to end once the figures are in.
const ENDING: Duration = Duration::from_millis(500);
/// In a silence the time does not count that the sides wait for a processor, which on a busy
/// machine is most of it: up to so many silences more.
const STARVED_MAX: u32 = 5;
/// A silence is so many looks.
const LOOKS: u32 = 8;
/// The longest line a side may say.
const LINE_MAX: usize = 16 << 20;

/// Runs one row in two new processes. `silence` is how long near may say nothing.
pub(crate) fn run(plan: &Plan, silence: Duration) -> Outcome<Measured> {
    let result = Pair::start(plan).and_then(|mut pair| {
        let result = pair.listen(silence);
        pair.end(if result.is_ok() {
            ENDING
        } else {
            Duration::ZERO
        });
        result
    });
    litter::sweep(plan.key, plan.candidates.len(), &plan.place);
    result
}

/// The two processes; dropping it kills them.
struct Pair {
    near: Half,
    far: Half,
}

struct Half {
    side: Side,
    child: Child,
    control: UnixStream,
    heard: Vec<u8>,
    open: bool,
    /// Whether it has said anything.
    spoke: bool,
}

impl Pair {
    fn start(plan: &Plan) -> Outcome<Self> {
        let (near_link, far_link) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let mut pair = Self {
            near: Half::start(Side::Near, plan, near_link)?,
            far: Half::start(Side::Far, plan, far_link)?,
        };
        let pids = [pair.near.child.id(), pair.far.child.id()];
        for half in [&mut pair.near, &mut pair.far] {
            let plan = Plan {
                side: half.side,
                pair: pids,
                ..plan.clone()
            };
            let mut line = serde_json::to_string(&plan)?;
            line.push('\n');
            half.control.write_all(line.as_bytes())?;
            half.control.set_nonblocking(true)?;
        }
        Ok(pair)
    }

    /// Waits for near's figures, or for whatever comes instead.
    fn listen(&mut self, silence: Duration) -> Outcome<Measured> {
        let look = silence / LOOKS;
        let mut silent = Duration::ZERO;
        loop {
            let begin = Instant::now();
            self.wait_until(begin + look)?;
            // The rest of it the whole machine stood still, as virtual ones do.
            silent += begin.elapsed().min(look);
            for said in self.near.hear()? {
                match said {
                    Said::Alive => silent = Duration::ZERO,
                    Said::Measured(measured) => return Ok(measured),
                    Said::Failed(failure) => return Err(self.last_words(failure.at("near"))),
                }
            }
            for said in self.far.hear()? {
                if let Said::Failed(failure) = said {
                    return Err(self.last_words(failure.at("far")));
                }
            }
            if !self.near.open || !self.far.open {
                return Err(self.last_words(Failure::gone("a side ended without a word")));
            }
            // What they starved is asked late: to ask would disturb what is measured.
            if silent >= silence && silent >= silence + self.starved().min(silence * STARVED_MAX) {
                return Err(Failure::gone(format!(
                    "hung: nothing heard for {:.1} s",
                    silence.as_secs_f64()
                )));
            }
        }
    }

    /// How long the two sides have waited for a processor.
    fn starved(&self) -> Duration {
        let halves = [&self.near, &self.far];
        halves
            .map(|half| load::starved(half.child.id()))
            .iter()
            .sum()
    }

    /// The best reason for a failure: the other side may know a better one.
    fn last_words(&mut self, mut failure: Failure) -> Failure {
        let deadline = Instant::now() + LAST_WORDS;
        while Instant::now() < deadline && (self.near.open || self.far.open) {
            if !matches!(self.wait_until(deadline), Ok(true)) {
                break;
            }
            for half in [&mut self.near, &mut self.far] {
                let place = half.name();
                for said in half.hear().unwrap_or_default() {
                    if let Said::Failed(other) = said {
                        failure = failure.or_better(other.at(place));
                    }
                }
            }
        }
        for half in [&mut self.near, &mut self.far] {
            if !half.open {
                failure = failure.or_better(half.death());
            }
        }
        failure
    }

    /// Whether a side has something to say before the deadline.
    fn wait_until(&self, deadline: Instant) -> Outcome<bool> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left)?;
            let halves = [&self.near, &self.far];
            let mut fds: Vec<PollFd<'_>> = halves
                .into_iter()
                .filter(|half| half.open)
                .map(|half| PollFd::from_borrowed_fd(half.control.as_fd(), PollFlags::IN))
                .collect();
            match poll(&mut fds, Some(&left)) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Ends both: leaves them `grace` to end by themselves.
    fn end(&mut self, grace: Duration) {
        let deadline = Instant::now() + grace;
        for half in [&mut self.near, &mut self.far] {
            while Instant::now() < deadline && matches!(half.child.try_wait(), Ok(None)) {
                thread::sleep(Duration::from_micros(200));
            }
        }
    }
}

impl Half {
    fn start(side: Side, plan: &Plan, link: OwnedFd) -> Outcome<Self> {
        let (control, theirs) = UnixStream::pair()?;
        let name = if side == Side::Near { "near" } else { "far" };
        let subject = plan.candidates.get(1).map_or("", |one| one.id.as_str());
        // The file that runs now, even if another has taken its name meanwhile.
        let child = Command::new("/proc/self/exe")
            .arg0("strait-bench")
            .args([FLAG, name, subject])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(link))
            .stderr(Stdio::null())
            // An interrupt from the terminal is for the supervisor; the sides end with it.
            .process_group(0)
            .spawn()
            .map_err(|error| Failure::new(format!("start the {name} side: {error}")))?;
        Ok(Self {
            side,
            child,
            control,
            heard: Vec::new(),
            open: true,
            spoke: false,
        })
    }

    fn name(&self) -> &'static str {
        if self.side == Side::Near {
            "near"
        } else {
            "far"
        }
    }

    /// Everything it has said since.
    fn hear(&mut self) -> Outcome<Vec<Said>> {
        let mut bytes = [0; 16 << 10];
        while self.open {
            match self.control.read(&mut bytes) {
                Ok(0) => self.open = false,
                Ok(len) => {
                    self.heard.extend_from_slice(&bytes[..len]);
                    self.spoke = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => self.open = false,
                Err(error) => return Err(error.into()),
            }
            if self.heard.len() > LINE_MAX {
                return Err(Failure::new(format!(
                    "the {} side says too much",
                    self.name()
                )));
            }
        }
        let mut said = Vec::new();
        while let Some(end) = self.heard.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.heard.drain(..=end).collect();
            said.push(serde_json::from_slice(&line)?);
        }
        Ok(said)
    }

    /// How it ended: a cause if a signal killed it, and else a consequence of something else.
    fn death(&mut self) -> Failure {
        let deadline = Instant::now() + LAST_WORDS;
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(1)),
                _ => break None,
            }
        };
        let name = self.name();
        match status {
            Some(status) if status.signal().is_some() => {
                Failure::check(format!("the {name} side died ({status})"))
            }
            Some(status) if !self.spoke => Failure::gone(format!(
                "the {name} side ended without a word ({status}); does `main` call `peer_main`?"
            )),
            _ => Failure::gone(format!("the {name} side ended")),
        }
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        // Both are no-ops for a child that has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
