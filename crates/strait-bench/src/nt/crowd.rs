//! A crowd: named objects that other processes hold, for rows that work among many names.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::Range;
use std::path::Path;
use std::process::{self, Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use strait::Namespace;
use strait::nt::SemaphoreOptions;

use crate::{Failure, Outcome};

/// The argument that makes a program a holder: a namespace, the first index, and the one past the
/// last follow.
pub(crate) const FLAG: &str = "--strait-bench-holder";
/// As few processes as hold a crowd, and as many.
const HOLDERS_MIN: usize = 4;
const HOLDERS_MAX: usize = 64;
/// Most objects that one process holds: each takes a map, of which Linux allows 65,530.
const MAPS_MAX: usize = 60_000;
/// Descriptors that a process needs for itself.
const SPARE: usize = 64;
/// Memory for an object: a page, the kernel's records of the file, its holder's handle.
const OBJECT_KIB: u64 = 8;
/// What a holder says when all of its objects are there.
const HELD: &str = "held";

/// Semaphore `index` of a namespace. Its count is its index, so that each one can be told.
pub(super) fn member(space: &Namespace, index: u32) -> SemaphoreOptions {
    space.semaphore(format!("crowd-{index}"), index, i32::MAX.unsigned_abs())
}

/// The holders. They end with it, or with the process that gathered them.
pub(super) struct Crowd(Vec<Holder>);

struct Holder {
    child: Child,
    /// Its end is the end of the holder.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Crowd {
    /// Has [`member`]s 0 to `count` of the namespace in `place` made by as many processes as their
    /// limits demand, but by 4 at least, and waits until all are there.
    pub(super) fn gather(place: &Path, count: usize) -> Outcome<Self> {
        let limit = getrlimit(Resource::Nofile).maximum;
        let limit = limit.map_or(usize::MAX, |most| {
            usize::try_from(most).unwrap_or(usize::MAX)
        });
        let most = limit.saturating_sub(SPARE).clamp(1, MAPS_MAX);
        let holders = count.div_ceil(most).max(HOLDERS_MIN);
        if holders > HOLDERS_MAX {
            let why = format!("{limit} descriptors a process are too few for {count} objects");
            return Err(Failure::new(why));
        }
        let (room, need) = (room_kib(place)?, count as u64 * OBJECT_KIB);
        if room < need {
            let why = format!("{count} objects need {need} KiB of memory, and there are {room}");
            return Err(Failure::new(why));
        }
        let each = count.div_ceil(holders);
        let starts = (0..count).step_by(each);
        let ranges = starts.map(|start| start..count.min(start + each));
        let holders = ranges.map(|range| Holder::start(place, range));
        let mut crowd = Self(holders.collect::<Outcome<_>>()?);
        for holder in &mut crowd.0 {
            let mut said = String::new();
            holder.output.read_line(&mut said)?;
            if said.trim_end() != HELD {
                return Err(Failure::new(format!("a holder ended: {}", said.trim_end())));
            }
        }
        Ok(crowd)
    }
}

impl Holder {
    fn start(place: &Path, range: Range<usize>) -> Outcome<Self> {
        let mut child = Command::new("/proc/self/exe")
            .arg(FLAG)
            .arg(place)
            .args([range.start, range.end].map(|index| index.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let missing = || Failure::new("a holder without a pipe");
        Ok(Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().ok_or_else(missing)?),
            child,
        })
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for holder in &mut self.0 {
            holder.input = None;
        }
        for holder in &mut self.0 {
            let _ = holder.child.wait();
        }
    }
}

/// What the file system of `place` and the machine have left.
fn room_kib(place: &Path) -> Outcome<u64> {
    let files = rustix::fs::statvfs(place)?;
    let files = files.f_bavail.saturating_mul(files.f_frsize) / 1024;
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let mut lines = memory.lines();
    let memory = lines.find_map(|line| line.strip_prefix("MemAvailable:"));
    let memory = memory.and_then(|text| text.split_whitespace().next()?.parse().ok());
    Ok(files.min(memory.unwrap_or(u64::MAX)))
}

/// The work of a holder: its arguments without the flag. Returns only if it cannot be done.
pub(crate) fn hold(arguments: &[OsString]) -> Outcome<()> {
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        // The handles go with the process, and the files with the row.
        process::exit(0);
    });
    let [place, start, end] = arguments else {
        return Err(Failure::new("a holder takes a directory and a range"));
    };
    let index = |text: &OsString| text.to_string_lossy().parse::<u32>();
    let result = make(Path::new(place), index(start)?..index(end)?);
    let said = match &result {
        Ok(_) => HELD.to_owned(),
        Err(failure) => failure.to_string(),
    };
    writeln!(io::stdout(), "{said}")?;
    let _held = result?;
    loop {
        thread::park();
    }
}

fn make(place: &Path, range: Range<u32>) -> Outcome<Vec<strait::nt::Semaphore>> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )?;
    let space = Namespace::directory(place)?;
    let made = range.map(|index| Ok(member(&space, index).create()?));
    made.collect()
}
