//! One object's file, read without a lock and without a trace.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use strait_sys::Errno;
use strait_sys::ofd_lock::{self, Lock};

use super::holders::Id;
use super::{Life, Seen, state};
use crate::object::commit::domain::look::Table;
use crate::object::layout::{CORE, CORE_SPACING, Header, PAGE};

/// How a reason begins that the kernel gave: no permission.
pub(super) const DENIED: &str = "denied";
/// Looks at a state that keeps changing before the last one counts.
const LOOKS: u32 = 16;

/// What was found in an object's file.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) header: Header,
    pub(super) life: Life,
    /// The bytes before a section's data.
    pub(super) bytes: Vec<u8>,
    /// What follows them in a section over a file: which file.
    pub(super) backing: Vec<u8>,
    stat: Stat,
}

/// Looks at the object in that directory entry. `Ok(None)`: there is none any more.
pub(super) fn look(
    directory: BorrowedFd<'_>,
    entry: &str,
) -> std::result::Result<Option<Found>, String> {
    // Before it is opened: opening a FIFO or a device is not just a look.
    let stat = match fs::statat(directory, entry, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(None),
        other => other.map_err(refusal)?,
    };
    regular(&stat)?;
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = match fs::openat(directory, entry, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::ACCESS | Errno::PERM) => {
            return Err(format!(
                "{DENIED}: it is uid {}'s, mode {:04o}",
                stat.st_uid,
                stat.st_mode & 0o7777
            ));
        }
        other => other.map_err(refusal)?,
    };
    read(&file).map(Some)
}

fn refusal(errno: Errno) -> String {
    match errno {
        Errno::ACCESS | Errno::PERM => format!("{DENIED} ({errno})"),
        errno => format!("cannot be looked at ({errno})"),
    }
}

fn regular(stat: &Stat) -> std::result::Result<(), String> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        FileType::Symlink => Err("not an object: a symbolic link".into()),
        FileType::Directory => Err("not an object: a directory".into()),
        FileType::Fifo => Err("not an object: a FIFO".into()),
        FileType::Socket => Err("not an object: a socket".into()),
        _ => Err("not an object: no regular file".into()),
    }
}

/// Reads an object's file.
pub(super) fn read(file: &OwnedFd) -> std::result::Result<Found, String> {
    let stat = fs::fstat(file).map_err(refusal)?;
    regular(&stat)?;
    let mut bytes = vec![0; PAGE];
    fill(file, &mut bytes, 0)?;
    let needed = Header::needed(&bytes);
    if needed > PAGE {
        bytes.resize(needed, 0);
        fill(file, &mut bytes, 0)?;
    }
    // One read may catch the state in the midst of a change: until two agree.
    for _ in 0..LOOKS {
        let mut again = vec![0; CORE_SPACING * 2];
        fill(file, &mut again, CORE as u64)?;
        let first = &mut bytes[CORE..CORE + CORE_SPACING * 2];
        if first == again {
            break;
        }
        fill(file, &mut bytes, 0)?;
    }
    let len = u64::try_from(stat.st_size).unwrap_or(0);
    let header = Header::decode(&bytes, len).map_err(|error| match error.why() {
        "" => "not an object".into(),
        why => format!("not an object: {why}"),
    })?;
    let life = match ofd_lock::probe(file.as_fd(), Lock::Write, 0, 1).map_err(refusal)? {
        Some(Lock::Read) => Life::Held,
        Some(Lock::Write) => Life::Transition,
        None if header.permanent => Life::Permanent,
        None => Life::Leftover,
    };
    let mut backing = Vec::new();
    if state::over_file(&header) {
        backing.resize(usize::try_from(header.data_len).unwrap_or(0).min(PAGE), 0);
        fill(file, &mut backing, header.data_offset() as u64)?;
    }
    Ok(Found {
        header,
        life,
        bytes,
        backing,
        stat,
    })
}

fn fill(file: &OwnedFd, bytes: &mut [u8], at: u64) -> std::result::Result<(), String> {
    let mut done = 0;
    while done < bytes.len() {
        match rustix::io::pread(file, &mut bytes[done..], at + done as u64).map_err(refusal)? {
            0 => return Err("not an object: shorter than a header".into()),
            read => done += read,
        }
    }
    Ok(())
}

impl Found {
    pub(super) fn id(&self) -> Id {
        Id::of(&self.stat)
    }

    /// What to tell of it. An unnamed object has no lock: it lives by its descriptors.
    pub(super) fn seen(&self, table: Option<&Table>, full_name: String) -> Seen {
        let named = !self.header.name.is_empty();
        Seen {
            kind: self.header.kind,
            name: None,
            full_name,
            namespace: None,
            state: state::state(self, table),
            size: u64::try_from(self.stat.st_size).unwrap_or(0),
            permanent: named && self.header.permanent,
            life: if named { self.life } else { Life::Held },
            uid: self.stat.st_uid,
            gid: self.stat.st_gid,
            mode: self.stat.st_mode & 0o7777,
            holders: Vec::new(),
        }
    }

    /// A number of 32 bits before the data.
    pub(super) fn half(&self, at: usize) -> u32 {
        let bytes = self.bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
        bytes.map_or(0, u32::from_le_bytes)
    }

    /// A number of 64 bits before the data.
    pub(super) fn number(&self, at: usize) -> u64 {
        let bytes = self.bytes.get(at..at + 8).and_then(|b| b.try_into().ok());
        bytes.map_or(0, u64::from_le_bytes)
    }
}
