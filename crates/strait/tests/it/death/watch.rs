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
use strait_sys::map::{Access, Map};

use crate::peer::Peer;

/// A hang guard: nothing that is tested takes this long unless it is stuck.
pub(crate) const STUCK: Duration = Duration::from_secs(20);

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

    pub(crate) fn add(&self, at: usize, value: u64) -> u64 {
        let word = self.0.word::<u64>(at * 8).unwrap();
        word.fetch_add(value, Ordering::SeqCst)
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

/// Random numbers from a seed (xorshift64*): a failure is repeated by its seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

/// The number in that variable of the environment, or what a test takes by default.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(default, |value| {
        value.parse().unwrap_or_else(|_| panic!("{name}={value}"))
    })
}
