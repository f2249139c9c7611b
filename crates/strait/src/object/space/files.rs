//! The system calls behind names: what [`life`](super::life) asks of a directory of files.
//!
//! A trait, so that the models of the protocol run over a simulated directory.

use std::fmt::Debug;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{self, AtFlags, FallocateFlags, FileType, Mode, OFlags, Stat};
use strait_sys::Errno;
use strait_sys::ofd_lock::{self, Lock};
use strait_sys::time::Deadline;

use crate::error::{Error, ErrorKind, Result};
use crate::object::commit::domain::link;
use crate::object::layout::{Header, PAGE, PERMANENT};
use crate::object::space::Namespace;
use crate::object::space::secure::Security;

/// How long another process may keep a name in transition.
const TRANSITION: Duration = Duration::from_millis(100);

/// What the kernel answers.
pub(crate) type Answer<T> = std::result::Result<T, Errno>;

/// Whether a handle may be had for reading only.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Mapping {
    Look,
    Write,
}

/// What is known of a file.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) len: u64,
    pub(crate) uid: u32,
    pub(crate) mode: u32,
    pub(crate) is_regular: bool,
}

/// A directory in which names are files. A `File` is an open description; it is closed by drop.
pub(crate) trait Files {
    type File: Debug;

    fn open(&self, key: &str, mapping: Mapping) -> Answer<Self::File>;
    /// Of an open file.
    fn facts(&self, file: &Self::File) -> Answer<Facts>;
    /// Of what stands under the name.
    fn named(&self, key: &str) -> Answer<Facts>;
    /// The lock of another description that would keep a write lock away.
    fn probe(&self, file: &Self::File) -> Answer<Option<Lock>>;
    /// Takes or changes the description's lock; false if another's is in the way.
    fn lock(&self, file: &Self::File, lock: Lock) -> Answer<bool>;
    /// A file without a name.
    fn make(&self, security: Security) -> Answer<Self::File>;
    /// Gives it a name, if that is free.
    fn link(&self, file: &Self::File, key: &str) -> Answer<()>;
    fn unlink(&self, key: &str) -> Answer<()>;
    fn is_permanent(&self, file: &Self::File) -> bool;
    /// Checks that it is an object of this layout, and nothing more.
    fn recognise(&self, file: &Self::File) -> Result<()>;
    fn header(&self, file: &Self::File, len: u64) -> Result<Header>;
    /// Writes the header and allocates every page.
    fn fill(&self, file: &Self::File, header: &Header, data: &[u8]) -> Result<()>;
    /// Lets some time pass for whoever has the name in transition; false if it had enough.
    fn wait_out(&self, since: &mut Option<Deadline>) -> bool;
}

impl Files for Namespace {
    type File = OwnedFd;

    fn open(&self, key: &str, mapping: Mapping) -> Answer<OwnedFd> {
        let access = if mapping == Mapping::Write {
            OFlags::RDWR
        } else {
            OFlags::RDONLY
        };
        // O_NONBLOCK: a lease or a FIFO must not hold us up.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        fs::openat(self.fd(), key, access | flags, Mode::empty())
    }

    fn facts(&self, file: &OwnedFd) -> Answer<Facts> {
        fs::fstat(file).map(Facts::of)
    }

    fn named(&self, key: &str) -> Answer<Facts> {
        fs::statat(self.fd(), key, AtFlags::SYMLINK_NOFOLLOW).map(Facts::of)
    }

    fn probe(&self, file: &OwnedFd) -> Answer<Option<Lock>> {
        ofd_lock::probe(file.as_fd(), Lock::Write, 0, 1)
    }

    fn lock(&self, file: &OwnedFd, lock: Lock) -> Answer<bool> {
        ofd_lock::try_lock(file.as_fd(), lock, 0, 1)
    }

    fn make(&self, security: Security) -> Answer<OwnedFd> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = fs::openat(self.fd(), ".", flags, Mode::RUSR | Mode::WUSR)?;
        if let Some((owner, group)) = security.owner_group() {
            fs::fchown(&file, owner, group)?;
        }
        fs::fchmod(&file, security.bits())?;
        Ok(file)
    }

    fn link(&self, file: &OwnedFd, key: &str) -> Answer<()> {
        link(file, self.fd(), key)
    }

    fn unlink(&self, key: &str) -> Answer<()> {
        fs::unlinkat(self.fd(), key, AtFlags::empty())
    }

    fn is_permanent(&self, file: &OwnedFd) -> bool {
        let mut word = [0; 4];
        let read = rustix::io::pread(file, &mut word, PERMANENT as u64);
        read == Ok(4) && u32::from_le_bytes(word) != 0
    }

    fn recognise(&self, file: &OwnedFd) -> Result<()> {
        let mut bytes = [0; 16];
        let read = rustix::io::pread(file, &mut bytes, 0).map_err(kernel)?;
        if read < bytes.len() {
            return Err(foreign("shorter than a header"));
        }
        Header::recognise(&bytes)
    }

    fn header(&self, file: &OwnedFd, len: u64) -> Result<Header> {
        read_header(file, len)
    }

    fn fill(&self, file: &OwnedFd, header: &Header, data: &[u8]) -> Result<()> {
        let fail = |errno: Errno| {
            let error = Error::kernel(errno, "create", "");
            if errno == Errno::NOSPC {
                error.because("the file system is full")
            } else {
                error
            }
        };
        // A full tmpfs is an error now, not a SIGBUS later.
        fs::ftruncate(file, header.file_len()).map_err(fail)?;
        fs::fallocate(file, FallocateFlags::empty(), 0, header.file_len()).map_err(fail)?;
        write_all(file, 0, &header.encode()).map_err(fail)?;
        write_all(file, header.data_offset() as u64, data).map_err(fail)
    }

    fn wait_out(&self, since: &mut Option<Deadline>) -> bool {
        let deadline = *since.get_or_insert_with(|| Deadline::after(TRANSITION));
        if deadline.passed() {
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
        true
    }
}

impl Facts {
    fn of(stat: Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            len: u64::try_from(stat.st_size).unwrap_or(0),
            uid: stat.st_uid,
            mode: stat.st_mode,
            is_regular: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
        }
    }
}

/// What stands under the name is none of ours.
pub(crate) fn foreign(why: &str) -> Error {
    Error::new(ErrorKind::Layout, "open", "").because(why)
}

/// The kernel's answer to an open.
pub(crate) fn kernel(errno: Errno) -> Error {
    let error = Error::kernel(errno, "open", "");
    match errno {
        Errno::LOOP => foreign("a symbolic link stands at its place"),
        Errno::NXIO | Errno::ISDIR | Errno::NODEV => foreign("not a regular file"),
        Errno::AGAIN => Error::new(ErrorKind::Busy, "open", "").because("the file is leased"),
        _ => error,
    }
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

pub(crate) fn write_all(file: &OwnedFd, at: u64, bytes: &[u8]) -> Answer<()> {
    let mut done = 0;
    while done < bytes.len() {
        done += rustix::io::pwrite(file, &bytes[done..], at + done as u64)?;
    }
    Ok(())
}
