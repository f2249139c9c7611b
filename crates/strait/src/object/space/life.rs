//! Names that live exactly as long as a handle, without a daemon.
//!
//! An object is a file; a handle is an open file description that holds a shared lock on byte 0 of
//! it. The kernel drops the lock when the last descriptor of the description is closed, however
//! that comes about, so a file without a lock is a leftover, and its name is free.
//!
//! The descriptions' locks (`F_OFD_SETLK`) and not flock(2)'s: those lose the lock on a failed
//! upgrade, let readers lock exclusively, and cannot be queried. Never is a handle's own
//! description upgraded or unlocked: fork, dup and `SCM_RIGHTS` share it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{self, AtFlags, FallocateFlags, FileType, Mode, OFlags, Stat};
use strait_sys::ofd_lock::{self, Lock};
use strait_sys::time::Deadline;
use strait_sys::{Errno, kill};

use crate::error::{Error, ErrorKind, Result};
use crate::object::commit::domain::link;
use crate::object::kind::Birth;
use crate::object::layout::{Header, PAGE};
use crate::object::space::Namespace;
use crate::object::space::secure::Security;

/// How long another process may keep a name in transition.
const TRANSITION: Duration = Duration::from_millis(100);
/// Rounds of the protocol before it gives up; each means that another process changed the name.
const ROUNDS: u32 = 10_000;

/// A locked description of an object's file, and what was found in it.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) file: OwnedFd,
    pub(crate) inode: u64,
    pub(crate) header: Header,
    pub(crate) birth: Birth,
}

/// Whether a handle may be had for reading only.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Mapping {
    Look,
    Write,
}

/// What was found under a name.
enum Found {
    Nothing,
    Live(OwnedFd, Stat),
    Leftover(OwnedFd, Stat),
    Transition,
}

fn open_file(
    directory: BorrowedFd<'_>,
    key: &str,
    mapping: Mapping,
) -> std::result::Result<OwnedFd, Errno> {
    let access = if mapping == Mapping::Write {
        OFlags::RDWR
    } else {
        OFlags::RDONLY
    };
    // O_NONBLOCK: a lease or a FIFO must not hold us up.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    fs::openat(directory, key, access | flags, Mode::empty())
}

fn is_mine(directory: BorrowedFd<'_>, key: &str, inode: u64) -> bool {
    fs::statat(directory, key, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| stat.st_ino == inode)
}

fn permanent(file: &OwnedFd) -> bool {
    let mut word = [0; 4];
    let at = crate::object::layout::PERMANENT as u64;
    matches!(rustix::io::pread(file, &mut word, at), Ok(4)) && u32::from_le_bytes(word) != 0
}

fn foreign(why: &str) -> Error {
    Error::new(ErrorKind::Layout, "open", "").because(why)
}

fn kernel(errno: Errno) -> Error {
    let error = Error::kernel(errno, "open", "");
    match errno {
        Errno::LOOP => foreign("a symbolic link stands at its place"),
        Errno::NXIO | Errno::ISDIR | Errno::NODEV => foreign("not a regular file"),
        Errno::AGAIN => Error::new(ErrorKind::Busy, "open", "").because("the file is leased"),
        _ => error,
    }
}

/// Denied, and by whom: the one to ask, or to blame.
fn whose(directory: BorrowedFd<'_>, key: &str, errno: Errno) -> Error {
    match fs::statat(directory, key, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => kernel(errno).because(format!("it belongs to uid {}", stat.st_uid)),
        Err(_) => kernel(errno),
    }
}

fn look_up(directory: BorrowedFd<'_>, key: &str, mapping: Mapping) -> Result<Found> {
    let file = match open_file(directory, key, mapping) {
        Err(Errno::NOENT) => return Ok(Found::Nothing),
        Err(errno @ (Errno::ACCESS | Errno::PERM)) => return Err(whose(directory, key, errno)),
        other => other.map_err(kernel)?,
    };
    let stat = fs::fstat(&file).map_err(kernel)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(foreign("not a regular file"));
    }
    kill::point("name.opened");
    let found = match ofd_lock::probe(file.as_fd(), Lock::Write, 0, 1).map_err(kernel)? {
        Some(Lock::Read) => Found::Live(file, stat),
        Some(Lock::Write) => Found::Transition,
        None if permanent(&file) || kill::sabotaged("name.leftover") => Found::Live(file, stat),
        None => Found::Leftover(file, stat),
    };
    Ok(found)
}

/// Reads and checks the header of an open file.
pub(crate) fn read_header(file: &OwnedFd, len: u64) -> Result<Header> {
    let mut bytes = vec![0; PAGE];
    read_exact(file, &mut bytes)?;
    // Before its numbers are believed.
    Header::recognise(&bytes)?;
    let needed = Header::needed(&bytes);
    if needed > PAGE {
        bytes.resize(needed, 0);
        read_exact(file, &mut bytes)?;
    }
    Header::decode(&bytes, len)
}

fn read_exact(file: &OwnedFd, bytes: &mut [u8]) -> Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match rustix::io::pread(file, &mut bytes[done..], done as u64).map_err(kernel)? {
            0 => return Err(foreign("shorter than a header")),
            read => done += read,
        }
    }
    Ok(())
}

/// Opens the object of that key if one lives. `Ok(None)`: none does.
pub(crate) fn open(space: &Namespace, key: &str, mapping: Mapping) -> Result<Option<Held>> {
    let mut transition = None;
    for _ in 0..ROUNDS {
        match look_up(space.fd(), key, mapping)? {
            Found::Nothing => return Ok(None),
            Found::Live(file, stat) => {
                if let Some(held) = join(space, key, file, &stat)? {
                    return Ok(Some(held));
                }
            }
            Found::Leftover(file, stat) => {
                if mapping == Mapping::Look || !remove(space, key, &file, &stat)? {
                    return Ok(None);
                }
            }
            Found::Transition => wait_out(&mut transition)?,
        }
    }
    Err(Error::new(ErrorKind::Busy, "open", "").because("the name keeps changing"))
}

/// Step 3 and 4: lock, and look whether the name is still this file's. `None`: start again.
fn join(space: &Namespace, key: &str, file: OwnedFd, stat: &Stat) -> Result<Option<Held>> {
    if !ofd_lock::try_lock(file.as_fd(), Lock::Read, 0, 1).map_err(kernel)? {
        return Ok(None);
    }
    kill::point("name.joined");
    if !is_mine(space.fd(), key, stat.st_ino) {
        return Ok(None);
    }
    let header = read_header(&file, u64::try_from(stat.st_size).unwrap_or(0))?;
    Ok(Some(Held {
        file,
        inode: stat.st_ino,
        header,
        birth: Birth::Opened,
    }))
}

/// Step 5: owns the leftover alone, then removes it. False: it may not be removed.
fn remove(space: &Namespace, key: &str, file: &OwnedFd, stat: &Stat) -> Result<bool> {
    if !ofd_lock::try_lock(file.as_fd(), Lock::Write, 0, 1).map_err(kernel)? {
        return Ok(true);
    }
    kill::point("name.reaping");
    Header::recognise(&first_bytes(file)?)?;
    if !is_mine(space.fd(), key, stat.st_ino) || permanent(file) {
        return Ok(true);
    }
    match fs::unlinkat(space.fd(), key, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {
            kill::point("name.reaped");
            Ok(true)
        }
        Err(Errno::PERM | Errno::ACCESS) => Ok(false),
        Err(errno) => Err(kernel(errno)),
    }
}

/// Only what is known to be a leftover of ours is ever removed.
fn first_bytes(file: &OwnedFd) -> Result<[u8; 16]> {
    let mut bytes = [0; 16];
    let read = rustix::io::pread(file, &mut bytes, 0).map_err(kernel)?;
    if read == bytes.len() {
        Ok(bytes)
    } else {
        Err(foreign("shorter than a header"))
    }
}

fn wait_out(since: &mut Option<Deadline>) -> Result<()> {
    let deadline = *since.get_or_insert_with(|| Deadline::after(TRANSITION));
    if deadline.passed() {
        return Err(Error::new(ErrorKind::Busy, "open", "")
            .because("another process keeps the name in transition"));
    }
    std::thread::sleep(Duration::from_micros(200));
    Ok(())
}

/// Makes the object, or joins the one that lives under that key.
pub(crate) fn create_or_open(
    space: &Namespace,
    key: &str,
    header: &Header,
    data: &[u8],
    security: Security,
) -> Result<Held> {
    let mut transition = None;
    for _ in 0..ROUNDS {
        match look_up(space.fd(), key, Mapping::Write)? {
            Found::Nothing => {
                if let Some(held) = give_birth(space, key, header, data, security)? {
                    return Ok(held);
                }
            }
            Found::Live(file, stat) => {
                if let Some(held) = join(space, key, file, &stat)? {
                    return Ok(held);
                }
            }
            Found::Leftover(file, stat) => {
                if !remove(space, key, &file, &stat)? {
                    return reborn(space, key, (file, &stat), header, security);
                }
            }
            Found::Transition => wait_out(&mut transition)?,
        }
    }
    Err(Error::new(ErrorKind::Busy, "create", "").because("the name keeps changing"))
}

/// Step 6: everything is written and locked before the name exists. `None`: another was faster.
fn give_birth(
    space: &Namespace,
    key: &str,
    header: &Header,
    data: &[u8],
    security: Security,
) -> Result<Option<Held>> {
    let fail = |errno| Error::kernel(errno, "create", "");
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = fs::openat(space.fd(), ".", flags, Mode::RUSR | Mode::WUSR).map_err(fail)?;
    if let Some((owner, group)) = security.owner_group() {
        fs::fchown(&file, owner, group).map_err(fail)?;
    }
    fs::fchmod(&file, security.bits()).map_err(fail)?;
    fill(&file, header, data)?;
    if !ofd_lock::try_lock(file.as_fd(), Lock::Read, 0, 1).map_err(fail)? {
        return Ok(None);
    }
    kill::point("name.born");
    match link(&file, space.fd(), key) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Ok(None),
        Err(errno) => return Err(fail(errno)),
    }
    kill::point("name.linked");
    let inode = fs::fstat(&file).map_err(fail)?.st_ino;
    Ok(Some(Held {
        file,
        inode,
        header: header.clone(),
        birth: Birth::Created,
    }))
}

/// Writes the header and allocates every page: a full tmpfs is an error now, not a SIGBUS later.
fn fill(file: &OwnedFd, header: &Header, data: &[u8]) -> Result<()> {
    let fail = |errno: Errno| {
        let error = Error::kernel(errno, "create", "");
        if errno == Errno::NOSPC {
            error.because("the file system is full")
        } else {
            error
        }
    };
    fs::ftruncate(file, header.file_len()).map_err(fail)?;
    fs::fallocate(file, FallocateFlags::empty(), 0, header.file_len()).map_err(fail)?;
    write_all(file, 0, &header.encode()).map_err(fail)?;
    write_all(file, header.data_offset() as u64, data).map_err(fail)
}

pub(crate) fn write_all(file: &OwnedFd, at: u64, bytes: &[u8]) -> std::result::Result<(), Errno> {
    let mut done = 0;
    while done < bytes.len() {
        done += rustix::io::pwrite(file, &bytes[done..], at + done as u64)?;
    }
    Ok(())
}

/// A leftover that only its dead owner, or root, may remove (a sticky directory): the same file is
/// given new content under the write lock, and lives on.
fn reborn(
    space: &Namespace,
    key: &str,
    (file, stat): (OwnedFd, &Stat),
    header: &Header,
    security: Security,
) -> Result<Held> {
    let denied = |why: String| Error::new(ErrorKind::Denied, "create", "").because(why);
    if header.kind == crate::object::kind::Kind::Section {
        return Err(denied(format!(
            "a leftover section of uid {} stands there",
            stat.st_uid
        )));
    }
    if !security.satisfied_by(stat.st_uid, stat.st_mode) {
        return Err(denied(format!(
            "a leftover of uid {} stands there",
            stat.st_uid
        )));
    }
    let mut header = header.clone();
    kill::point("name.reborn");
    let old = read_header(&file, u64::try_from(stat.st_size).unwrap_or(0));
    header.generation = old.map_or(0, |old| old.generation).wrapping_add(1);
    fill(&file, &header, &[])?;
    kill::point("name.filled");
    if !is_mine(space.fd(), key, stat.st_ino) {
        return Err(Error::new(ErrorKind::Busy, "create", "").because("the name was replaced"));
    }
    // From the write lock to the read lock on one description: nobody can come between.
    ofd_lock::try_lock(file.as_fd(), Lock::Read, 0, 1)
        .map_err(|errno| Error::kernel(errno, "create", ""))?;
    Ok(Held {
        file,
        inode: stat.st_ino,
        header,
        birth: Birth::Created,
    })
}

/// Closes a handle; the last one takes the name along. The handle's own description is never
/// touched: a forked child may share it.
pub(crate) fn close(space: &Namespace, key: &str, inode: u64, file: OwnedFd) {
    let fresh = open_unlocked(space, key, inode, Mapping::Write);
    kill::point("name.closing");
    drop(file);
    let Some(fresh) = fresh else { return };
    if !matches!(
        ofd_lock::try_lock(fresh.as_fd(), Lock::Write, 0, 1),
        Ok(true)
    ) {
        return;
    }
    kill::point("name.last");
    if is_mine(space.fd(), key, inode) && !permanent(&fresh) {
        // Not permitted: the leftover counts as absent.
        let _ = fs::unlinkat(space.fd(), key, AtFlags::empty());
    }
}

/// Removes the file if nobody holds it and it is not permanent.
pub(crate) fn reap(space: &Namespace, key: &str) -> bool {
    let Ok(Found::Leftover(file, stat)) = look_up(space.fd(), key, Mapping::Write) else {
        return false;
    };
    remove(space, key, &file, &stat).unwrap_or(false) && !is_mine(space.fd(), key, stat.st_ino)
}

/// Holds an object by a description that came from elsewhere; false if its name is another's.
pub(crate) fn hold(space: &Namespace, key: &str, file: &OwnedFd) -> Result<bool> {
    if !ofd_lock::try_lock(file.as_fd(), Lock::Read, 0, 1).map_err(kernel)? {
        return Ok(false);
    }
    let stat = fs::fstat(file).map_err(kernel)?;
    let named = fs::statat(space.fd(), key, AtFlags::SYMLINK_NOFOLLOW);
    Ok(named.is_ok_and(|named| (named.st_dev, named.st_ino) == (stat.st_dev, stat.st_ino)))
}

/// A description without a lock. `None` if the name is another's by now.
pub(crate) fn open_unlocked(
    space: &Namespace,
    key: &str,
    inode: u64,
    mapping: Mapping,
) -> Option<OwnedFd> {
    let file = open_file(space.fd(), key, mapping).ok();
    file.filter(|file| fs::fstat(file).is_ok_and(|stat| stat.st_ino == inode))
}

/// A freshly opened, locked description of the same object: what a transfer carries.
pub(crate) fn reopen(
    space: &Namespace,
    key: &str,
    inode: u64,
    mapping: Mapping,
) -> Result<OwnedFd> {
    let gone = || Error::new(ErrorKind::NotFound, "duplicate", "").because("its name was removed");
    let file = open_file(space.fd(), key, mapping).map_err(kernel)?;
    if !ofd_lock::try_lock(file.as_fd(), Lock::Read, 0, 1).map_err(kernel)? {
        return Err(gone());
    }
    kill::point("name.reopened");
    let stat = fs::fstat(&file).map_err(kernel)?;
    if stat.st_ino == inode {
        Ok(file)
    } else {
        Err(gone())
    }
}
