//! Who holds an object: one walk over `/proc/PID/fd`.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat, Statx, StatxFlags};
use strait_sys::Errno;

use super::file::{self, Found};
use super::{Holder, Sight, Stranger};
use crate::object::layout::PAGE;

/// Descriptors of one process that are looked at; one with more counts as not readable.
const DESCRIPTORS_MAX: usize = 1 << 17;
/// What the kernel calls the memory of an unnamed object.
const UNNAMED: &str = "/memfd:strait (deleted)";
/// `PF_KTHREAD` of linux/sched.h: a thread of the kernel, which has no descriptors.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// A file, by device and inode.
#[derive(Copy, Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Id {
    major: u32,
    minor: u32,
    inode: u64,
}

impl Id {
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            major: fs::major(stat.st_dev),
            minor: fs::minor(stat.st_dev),
            inode: stat.st_ino,
        }
    }

    /// Another file of the same file system.
    pub(super) fn with_inode(self, inode: u64) -> Self {
        Self { inode, ..self }
    }

    fn of_statx(stat: &Statx) -> Self {
        Self {
            major: stat.stx_dev_major,
            minor: stat.stx_dev_minor,
            inode: stat.stx_ino,
        }
    }
}

/// What becomes of unnamed objects that are met.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Unnamed {
    Found,
    Ignored,
}

/// What the walk found.
#[derive(Debug, Default)]
pub(super) struct Census {
    pub(super) holders: HashMap<Id, Vec<Holder>>,
    pub(super) unnamed: Vec<(Id, Found)>,
    pub(super) strangers: Vec<Stranger>,
    pub(super) sight: Sight,
}

/// Why a process was not looked into.
enum Unseen {
    Gone,
    Forbidden,
}

/// Looks for holders of these files, and for unnamed objects.
pub(super) fn census(wanted: &HashSet<Id>, unnamed: Unnamed) -> Census {
    let mut walk = Walk {
        census: Census::default(),
        wanted,
        unnamed,
        met: HashSet::new(),
    };
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let proc = fs::open("/proc", flags, Mode::empty());
    let is_proc = fs::statat(fs::CWD, "/proc/self/fd", AtFlags::empty()).is_ok();
    let pids = match proc.and_then(fs::Dir::new) {
        Ok(pids) if is_proc => pids,
        Ok(_) => return blind("/proc is not mounted"),
        Err(errno) => return blind(&format!("/proc cannot be read ({errno})")),
    };
    for entry in pids.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok())
        else {
            continue;
        };
        if let Err(Unseen::Forbidden) = walk.process(pid)
            && !is_kernel_thread(pid)
        {
            walk.census.sight.unreadable += 1;
        }
    }
    let mut census = walk.census;
    for holders in census.holders.values_mut() {
        holders.sort_by_key(|holder| holder.pid);
    }
    census
}

fn blind(why: &str) -> Census {
    let mut census = Census::default();
    census.sight.blind = Some(why.to_owned());
    census
}

struct Walk<'a> {
    census: Census,
    wanted: &'a HashSet<Id>,
    unnamed: Unnamed,
    /// Unnamed files that were met, objects or not.
    met: HashSet<Id>,
}

impl Walk<'_> {
    fn process(&mut self, pid: u32) -> Result<(), Unseen> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let path = format!("/proc/{pid}/fd");
        let directory = fs::open(path, flags, Mode::empty()).map_err(unseen)?;
        let entries = fs::Dir::read_from(&directory).map_err(unseen)?;
        let mut counts: HashMap<Id, usize> = HashMap::new();
        let mut looked_at = 0;
        for entry in entries {
            let entry = entry.map_err(unseen)?;
            let Ok(number) = entry.file_name().to_str() else {
                continue;
            };
            if number.starts_with('.') {
                continue;
            }
            looked_at += 1;
            if looked_at > DESCRIPTORS_MAX {
                return Err(Unseen::Forbidden);
            }
            let Some(stat) = stat(&directory, number) else {
                continue;
            };
            let id = Id::of_statx(&stat);
            let file = FileType::from_raw_mode(stat.stx_mode.into()) == FileType::RegularFile;
            if self.wanted.contains(&id) {
                *counts.entry(id).or_default() += 1;
            } else if file && stat.stx_nlink == 0 && stat.stx_size >= PAGE as u64 {
                if !self.met.contains(&id) {
                    self.nameless(&directory, number, pid);
                }
                if self.met.contains(&id) {
                    *counts.entry(id).or_default() += 1;
                }
            }
        }
        if counts.is_empty() {
            return Ok(());
        }
        let command = command(pid);
        for (id, handles) in counts {
            let holders = self.census.holders.entry(id).or_default();
            holders.push(Holder {
                pid,
                command: command.clone(),
                handles,
            });
        }
        Ok(())
    }

    /// Looks at a file without a name, which may be an unnamed object.
    fn nameless(&mut self, directory: &OwnedFd, number: &str, pid: u32) {
        if self.unnamed == Unnamed::Ignored {
            return;
        }
        // Pinned first: the number may be another file's by the next call, and opening a FIFO
        // would not be just a look.
        let pin = fs::openat(
            directory,
            number,
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
        );
        let Ok(pin) = pin else { return };
        let pinned = format!("/proc/self/fd/{}", pin.as_raw_fd());
        let text = fs::readlink(&*pinned, Vec::new());
        if text.is_ok_and(|text| text.as_bytes() != UNNAMED.as_bytes()) {
            return;
        }
        let Ok(stat) = fs::fstat(&pin) else { return };
        let id = Id::of(&stat);
        if !self.met.insert(id) {
            return;
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let found = match fs::open(&*pinned, flags, Mode::empty()) {
            Ok(file) => file::read(&file),
            Err(errno) => Err(format!("{} (uid {}'s; {errno})", file::DENIED, stat.st_uid)),
        };
        match found {
            Ok(found) if found.header.name.is_empty() => self.census.unnamed.push((id, found)),
            Ok(_) => {
                self.met.remove(&id);
            }
            Err(why) => self.census.strangers.push(Stranger {
                path: PathBuf::from(format!("/proc/{pid}/fd/{number}")),
                why,
            }),
        }
    }
}

/// What a descriptor refers to, by what the kernel knows already: a network file system whose
/// server is gone must not hold us up.
fn stat(directory: &OwnedFd, number: &str) -> Option<Statx> {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let wanted = StatxFlags::TYPE | StatxFlags::NLINK | StatxFlags::INO | StatxFlags::SIZE;
    fs::statx(directory, number, flags, wanted).ok()
}

fn unseen(errno: Errno) -> Unseen {
    match errno {
        Errno::NOENT | Errno::SRCH => Unseen::Gone,
        _ => Unseen::Forbidden,
    }
}

fn is_kernel_thread(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the command: state, parent, group, session, terminal, its group, flags.
    let flags = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_ascii_whitespace().nth(6))
        .and_then(|flags| flags.parse::<u64>().ok());
    flags.is_some_and(|flags| flags & KERNEL_THREAD != 0)
}

fn command(pid: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    match text.trim_end_matches('\n') {
        "" => "?".into(),
        text => text.escape_debug().to_string(),
    }
}
