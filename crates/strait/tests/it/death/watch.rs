//! What the tests of waits and of death share: a ledger that outlives its writers, and looking at
//! processes without hanging on them.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use strait_sys::futex;
use strait_sys::map::{Access, Map};
use strait_sys::time::Deadline;

use crate::peer::Peer;

pub(crate) use crate::world::GUARD as STUCK;

const WORDS: usize = 4096;

/// Numbers that several processes write and that a killed one leaves behind.
pub(crate) struct Ledger(Map);

impl Ledger {
    /// The ledger that lies in that directory, made if there is none.
    pub(crate) fn of(directory: &Path) -> Self {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join(".ledger"))
            .unwrap();
        if file.metadata().unwrap().len() == 0 {
            file.write_all_at(&vec![0; WORDS * 8], 0).unwrap();
        }
        Self(Map::shared(file.as_fd(), 0, WORDS * 8, Access::Write).unwrap())
    }

    pub(crate) fn get(&self, at: usize) -> u64 {
        let word = self.0.word::<u64>(at * 8).unwrap();
        word.load(Ordering::SeqCst)
    }

    pub(crate) fn put(&self, at: usize, value: u64) {
        let word = self.0.word::<u64>(at * 8).unwrap();
        word.store(value, Ordering::SeqCst);
    }

    /// Adds, and wakes those who [`await_change`](Self::await_change) of that word.
    pub(crate) fn add(&self, at: usize, value: u64) -> u64 {
        let word = self.0.word::<u64>(at * 8).unwrap();
        let before = word.fetch_add(value, Ordering::SeqCst);
        let _ = futex::wake(word.low(), u32::MAX);
        before
    }

    /// The word's value once it is not `old` any more; `None` if it stays so for too long.
    pub(crate) fn await_change(&self, at: usize, old: u64, limit: Duration) -> Option<u64> {
        let word = self.0.word::<u64>(at * 8).unwrap();
        let end = Deadline::after(limit);
        loop {
            let value = word.load(Ordering::SeqCst);
            if value != old || end.passed() {
                return (value != old).then_some(value);
            }
            let low = u32::try_from(old & 0xffff_ffff).unwrap();
            let _ = futex::wait(word.low(), low, Some(end));
        }
    }
}

/// The next line of a peer, if it comes in time.
pub(crate) fn hear_within(peer: &mut Peer, limit: Duration) -> Option<String> {
    let end = Instant::now() + limit;
    loop {
        if peer.output.buffer().contains(&b'\n') || readable(peer, end)? {
            let mut line = String::new();
            if std::io::BufRead::read_line(&mut peer.output, &mut line).ok()? == 0 {
                return None;
            }
            if let Some(at) = line.find('@') {
                return Some(line[at + 1..].trim_end().to_owned());
            }
        }
    }
}

fn readable(peer: &Peer, end: Instant) -> Option<bool> {
    let left = end.checked_duration_since(Instant::now())?;
    let left = Timespec::try_from(left).ok()?;
    let output = peer.output.get_ref();
    let mut fds = [PollFd::new(output, PollFlags::IN)];
    Some(matches!(poll(&mut fds, Some(&left)), Ok(1..)))
}

/// How a process stands.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    Stopped,
    Killed,
    Exited,
}

pub(crate) fn pid_of(peer: &Peer) -> Pid {
    Pid::from_child(&peer.child)
}

/// Waits until a process stops or ends. It counts as waited for afterwards.
pub(crate) fn fate(pid: Pid) -> Fate {
    loop {
        match waitpid(Some(pid), WaitOptions::UNTRACED) {
            Ok(Some((_, status))) if status.stopped() => return Fate::Stopped,
            Ok(Some((_, status))) if status.signaled() => return Fate::Killed,
            Ok(_) => return Fate::Exited,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => panic!("waitpid: {errno}"),
        }
    }
}

/// Lets a stopped process go on.
pub(crate) fn go_on(pid: Pid) {
    kill_process(pid, Signal::CONT).unwrap();
}

/// Returns once that thread sleeps in the kernel; where there is no /proc, at once. No test may
/// depend on it: it makes the case of interest likely, not certain.
pub(crate) fn let_sleep(pid: u32, tid: i32) {
    let path = format!("/proc/{pid}/task/{tid}/stat");
    let end = Instant::now() + Duration::from_millis(200);
    let mut seen = 0;
    while seen < 3 && Instant::now() < end {
        let Ok(stat) = std::fs::read_to_string(&path) else {
            return;
        };
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
        seen = if state == Some(b'S') { seen + 1 } else { 0 };
        std::thread::yield_now();
    }
}

/// Tells a process that nobody wakes from one that waits for a processor. On a busy machine time
/// alone does not: a dozen processes each lose theirs for seconds.
pub(crate) struct Patience {
    pid: Pid,
    limit: Duration,
    begin: Instant,
    /// When it was found asleep as it still is, and how often it had slept by then.
    asleep: Option<(Instant, u64)>,
}

impl Patience {
    /// A process that sleeps for `limit` and is not once woken is stuck; so is one that has ended,
    /// and any after ten times that.
    pub(crate) fn with(pid: Pid, limit: Duration) -> Self {
        let mut patience = Self {
            pid,
            limit,
            begin: Instant::now(),
            asleep: None,
        };
        patience.is_over();
        patience
    }

    pub(crate) fn is_over(&mut self) -> bool {
        let standing = standing(self.pid);
        let sleeps = match standing {
            Standing::Asleep(sleeps) => Some(sleeps),
            Standing::Awake => None,
            Standing::Ended => return true,
            Standing::Unknown => return self.begin.elapsed() > self.limit,
        };
        if self.asleep.map(|(_, sleeps)| sleeps) != sleeps {
            self.asleep = sleeps.map(|sleeps| (Instant::now(), sleeps));
        }
        let is_forgotten = |(since, _): (Instant, u64)| since.elapsed() > self.limit;
        self.asleep.is_some_and(is_forgotten) || self.begin.elapsed() > 10 * self.limit
    }
}

#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Standing {
    /// All its threads sleep, but for hidden ones. So often they have gone to sleep.
    Asleep(u64),
    Awake,
    Ended,
    /// There is no /proc.
    Unknown,
}

fn standing(pid: Pid) -> Standing {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())) else {
        return Standing::Unknown;
    };
    let mut sleeps = 0;
    for task in tasks.flatten() {
        let Ok(status) = std::fs::read_to_string(task.path().join("status")) else {
            continue;
        };
        let field = |name: &str| {
            let mut lines = status.lines();
            lines.find_map(|line| Some(line.strip_prefix(name)?.trim_start()))
        };
        if field("Name:").is_some_and(|name| name.starts_with("strait-")) {
            continue;
        }
        match field("State:").and_then(|state| state.bytes().next()) {
            Some(b'S') => {}
            Some(b'Z' | b'X') => return Standing::Ended,
            _ => return Standing::Awake,
        }
        let count = field("voluntary_ctxt_switches:").and_then(|count| count.parse::<u64>().ok());
        sleeps += count.unwrap_or(0);
    }
    Standing::Asleep(sleeps)
}

/// The number in that variable of the environment, or what a test takes by default.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(default, |value| {
        value.parse().unwrap_or_else(|_| panic!("{name}={value}"))
    })
}
