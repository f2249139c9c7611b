//! Who else used the CPUs: foreign load and involuntary context switches, from /proc.
//!
//! Where /proc cannot be read nothing is discarded; the survey then says so.

use std::fs;
use std::time::Duration;

use strait_sys::time::monotonic_ns;

/// Foreign load above this share of one CPU discards what was measured meanwhile.
const FOREIGN_MAX: f64 = 0.4;
/// The clock tick in which /proc counts: USER_HZ, 100 on every Linux that Rust runs on.
const TICK_NS: u64 = 10_000_000;

/// CPU time taken by everybody and by the pair, at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    at_ns: u64,
    all: u64,
    pair: u64,
}

impl Load {
    /// The load so far, the pair's with the programs that it has started; `None` without /proc.
    pub(crate) fn now(pair: [u32; 2]) -> Option<Self> {
        let all = busy_ticks(&fs::read_to_string("/proc/stat").ok()?)?;
        let mut own = 0;
        for pid in pair {
            own += process_ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            for child in children.unwrap_or_default().split_whitespace() {
                let stat = fs::read_to_string(format!("/proc/{child}/stat"));
                own += stat.ok().and_then(|stat| process_ticks(&stat)).unwrap_or(0);
            }
        }
        Some(Self {
            at_ns: monotonic_ns(),
            all,
            pair: own,
        })
    }

    /// Whether others took more than 40% of a CPU since `self`.
    pub(crate) fn foreign(self, now: Self) -> bool {
        // One tick of rounding on each side of each count.
        const ROUNDING: u64 = 3;
        let all = now.all.saturating_sub(self.all);
        let pair = now.pair.saturating_sub(self.pair);
        let foreign = all.saturating_sub(pair).saturating_sub(ROUNDING) * TICK_NS;
        let time = Duration::from_nanos(now.at_ns.saturating_sub(self.at_ns));
        Duration::from_nanos(foreign) > time.mul_f64(FOREIGN_MAX)
    }
}

/// How long the threads of a process that still run were ready to, and had no processor; zero where
/// the kernel does not count it (`/proc/PID/schedstat`).
pub(crate) fn starved(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let stats = tasks.into_iter().flatten().flatten();
    let waits = stats.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    Duration::from_nanos(waits.sum())
}

/// Ticks that all CPUs were busy, from the text of /proc/stat.
fn busy_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .map_while(|word| word.parse().ok())
        .collect();
    // user, nice, system, idle, iowait, irq, softirq.
    Some(
        [0, 1, 2, 5, 6]
            .iter()
            .filter_map(|&index| ticks.get(index))
            .sum(),
    )
}

/// Ticks that a process was on a CPU, from the text of its stat file.
fn process_ticks(stat: &str) -> Option<u64> {
    // The name in brackets may hold anything; fields 14 and 15 of the whole are utime and stime.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// How often the calling thread was taken off its CPU against its will; 0 without /proc.
pub(crate) fn involuntary_switches() -> u64 {
    fs::read_to_string("/proc/thread-self/status")
        .ok()
        .and_then(|status| {
            let (_, rest) = status.split_once("nonvoluntary_ctxt_switches:")?;
            rest.split_whitespace().next()?.parse().ok()
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    //! The kernel's texts are read as they are written.

    use super::*;

    #[test]
    fn proc_texts_are_understood() {
        let stat = "cpu  10 1 20 900 5 2 3 7 0 0\ncpu0 1 1 1 1\n";
        assert_eq!(busy_ticks(stat), Some(36));
        let own = "12 (a ) b) S 1 2 3 4 5 6 7 8 9 10 30 12 0 0 20 0 1 0";
        assert_eq!(process_ticks(own), Some(42));
        assert_eq!(busy_ticks("nonsense"), None);
        assert_eq!(process_ticks("1 (x) S"), None);
    }

    #[test]
    fn foreign_load_is_what_the_pair_did_not_use() {
        let before = Load {
            at_ns: 0,
            all: 0,
            pair: 0,
        };
        let second = 1_000_000_000;
        let busy = Load {
            at_ns: second,
            all: 150,
            pair: 100,
        };
        assert!(before.foreign(busy), "47 of 100 ticks");
        let quiet = Load {
            at_ns: second,
            all: 130,
            pair: 100,
        };
        assert!(!before.foreign(quiet), "27 of 100 ticks");
    }
}
