//! A socket's file: made with its mode, reclaimed when it is stale, removed with its owner.
//!
//! To bind is one step of the kernel's, and needs no lock. All of Strait's sockets that find a
//! stale file at their path remove it under a lock (flock) of a file in the same directory,
//! [`LOCK`], which those may open who may write the directory, and which the kernel lets go of
//! however the process ends. Whether a socket's file is stale is asked by connecting a *datagram*
//! socket to exactly that file: ECONNREFUSED says that no socket is bound to it; EPROTOTYPE says
//! that one is, and it never hears of the question. So no live listener is displaced, also not
//! between its bind and its listen; and no lock is needed by an owner, whose socket lives, to
//! remove its own file.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Gid, Mode, OFlags, Stat, fchmod, fchown, flock, fstat,
    openat, statat, unlinkat,
};
use rustix::net::{
    AddressFamily, SocketAddrAny, SocketFlags, SocketType, bind, connect, socket_with,
};
use strait_sys::sockaddr::{Name, UNIX_MAX};
use strait_sys::time::Deadline;
use strait_sys::{Errno, kill};

use crate::error::{Error, ErrorKind, Result};

/// The file that is locked by who removes a stale file of its directory. It goes with the lock.
const LOCK: &str = ".strait.lock";
/// Longest wait for that lock, which is held for some system calls only.
const LOCK_MAX: Duration = Duration::from_secs(5);
const PACE: Duration = Duration::from_millis(1);

fn fail(errno: Errno, operation: &'static str, subject: impl Into<String>) -> Error {
    let error = Error::kernel(errno, operation, subject);
    match errno {
        Errno::ADDRINUSE => error
            .classed(ErrorKind::Exists)
            .because("another socket has this address"),
        Errno::NAMETOOLONG => error
            .classed(ErrorKind::InvalidInput)
            .because("a name of a socket has at most 107 bytes"),
        _ => error,
    }
}

/// An address in the kernel's form, and the descriptor it leads through, if any.
#[derive(Debug)]
pub(crate) struct Reach {
    pub(crate) address: SocketAddrAny,
    _file: Option<OwnedFd>,
}

impl Reach {
    /// Exactly the file that was opened, however long its path is and whatever has become of it.
    pub(crate) fn through(file: OwnedFd) -> std::result::Result<Self, Errno> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        Ok(Self {
            address: Name::Path(path.as_bytes()).encode()?,
            _file: Some(file),
        })
    }

    /// What the name says.
    pub(crate) fn by_name(name: &Name<'_>) -> std::result::Result<Self, Errno> {
        Ok(Self {
            address: name.encode()?,
            _file: None,
        })
    }

    /// Whether a socket is bound to this very Unix address.
    pub(crate) fn is_bound(&self) -> std::result::Result<bool, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let probe = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        match connect(&probe, &self.address) {
            // EPERM: a datagram socket that is connected to somebody else.
            Ok(()) | Err(Errno::PROTOTYPE | Errno::PERM) => Ok(true),
            Err(Errno::CONNREFUSED) => Ok(false),
            Err(errno) => Err(errno),
        }
    }
}

/// The operation of errors.
const BIND: &str = "bind socket";

/// A path that a socket of this process is bound to. Dropped before the socket, it removes the file
/// if that is still the socket's own.
#[derive(Debug)]
pub(crate) struct Claim {
    directory: OwnedFd,
    name: OsString,
    path: PathBuf,
    file: (u64, u64),
    /// A forked child holds a copy of this, but not the path.
    owner: u32,
}

impl Claim {
    /// Binds the socket to the path, whose file has that mode from the moment it exists.
    pub(crate) fn bind(socket: BorrowedFd<'_>, path: &Path, mode: u32) -> Result<Self> {
        let failed = |errno| fail(errno, BIND, path.display().to_string());
        let Some(name) = path.file_name() else {
            return Err(failed(Errno::INVAL).because("the path has no file name"));
        };
        let above = match path.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            _ => Path::new("."),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, above, flags, Mode::empty()).map_err(failed)?;
        // A socket's file gets the mode of the socket, less the umask: at first too little.
        let mode = Mode::from_bits_truncate(mode & 0o777);
        fchmod(socket, mode).map_err(failed)?;
        let through = format!("/proc/self/fd/{}/", directory.as_raw_fd());
        let at = if path.as_os_str().len() <= UNIX_MAX {
            path.as_os_str().as_bytes().to_vec()
        } else {
            [through.as_bytes(), name.as_bytes()].concat()
        };
        let address = Name::Path(&at).encode().map_err(failed)?;
        if let Err(errno) = bind(socket, &address) {
            if errno != Errno::ADDRINUSE {
                return Err(failed(errno));
            }
            reclaim(directory.as_fd(), path, || bind(socket, &address))?;
        }
        let found = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        if found.st_mode & 0o777 != mode.bits() {
            set_mode(directory.as_fd(), path, (mode, identity(&found))).map_err(failed)?;
        }
        Ok(Self {
            directory,
            name: name.to_owned(),
            path: path.to_owned(),
            file: identity(&found),
            owner: std::process::id(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.owner != std::process::id() {
            return;
        }
        // The socket is open still: nobody else's file has its number, and nobody takes it for
        // stale.
        let found = statat(&self.directory, &*self.name, AtFlags::SYMLINK_NOFOLLOW);
        if found.is_ok_and(|found| identity(&found) == self.file) {
            let _ = unlinkat(&self.directory, &*self.name, AtFlags::empty());
        }
    }
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// The right to remove stale files of a directory.
struct Lock<'a> {
    directory: BorrowedFd<'a>,
    file: OwnedFd,
}

impl<'a> Lock<'a> {
    fn take(directory: BorrowedFd<'a>) -> std::result::Result<Self, Errno> {
        let end = Deadline::after(LOCK_MAX);
        loop {
            match Self::try_take(directory) {
                Ok(Some(lock)) => return Ok(lock),
                Ok(None) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if !end.passed() => rest(),
                // Its maker may not have given it its mode yet.
                Err(Errno::ACCESS) if there(directory).is_ok() && !end.passed() => rest(),
                Err(errno) => return Err(errno),
            }
        }
    }

    /// `None`: the file went or came meanwhile.
    fn try_take(directory: BorrowedFd<'a>) -> std::result::Result<Option<Self>, Errno> {
        // Not O_CREAT alone: sysctl fs.protected_regular forbids that for files of others.
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(directory, LOCK, flags, Mode::empty()) {
            Err(Errno::NOENT) => match Self::make(directory, flags) {
                Err(Errno::EXIST) => return Ok(None),
                made => made?,
            },
            found => found?,
        };
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let there = statat(directory, LOCK, AtFlags::SYMLINK_NOFOLLOW);
        let is_ours = there
            .is_ok_and(|there| fstat(&file).is_ok_and(|file| identity(&file) == identity(&there)));
        Ok(is_ours.then_some(Self { directory, file }))
    }

    /// A file for those who may write the directory.
    fn make(directory: BorrowedFd<'_>, flags: OFlags) -> std::result::Result<OwnedFd, Errno> {
        let exclusive = flags | OFlags::CREATE | OFlags::EXCL;
        let file = openat(directory, LOCK, exclusive, Mode::RUSR | Mode::WUSR)?;
        let above = fstat(directory)?;
        // To write is to read and write here.
        let mut mode = 0o600 | ((above.st_mode & 0o022) * 3);
        if fstat(&file)?.st_gid != above.st_gid
            && fchown(&file, None, Some(Gid::from_raw(above.st_gid))).is_err()
        {
            // The group's members cannot be let in, and no other group shall be.
            mode &= !0o060;
        }
        fchmod(&file, Mode::from_bits_truncate(mode))?;
        Ok(file)
    }
}

/// A moment's rest before the next attempt.
fn rest() {
    // sleep: a lock tells nobody when it is free
    std::thread::sleep(PACE);
}

/// The lock's file under its name.
fn there(directory: BorrowedFd<'_>) -> std::result::Result<Stat, Errno> {
    statat(directory, LOCK, AtFlags::SYMLINK_NOFOLLOW)
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // First: who waits for its lock then sees that it is not the one. In a sticky directory the
        // file of another user stays.
        let _ = unlinkat(self.directory, LOCK, AtFlags::empty());
        // Explicitly: a child that was forked meanwhile shares the description.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// Removes the file of a socket that nobody has any more, and binds. Everything else is refused and
/// stays.
fn reclaim(
    directory: BorrowedFd<'_>,
    path: &Path,
    bind: impl FnOnce() -> std::result::Result<(), Errno>,
) -> Result<()> {
    let failed = |errno| fail(errno, BIND, path.display().to_string());
    // What lives is refused without the lock.
    stale(directory, path)?;
    let _lock = Lock::take(directory).map_err(|errno| match errno {
        Errno::AGAIN => Error::new(ErrorKind::Busy, BIND, path.display().to_string()).because(
            format!("another process holds the lock of {LOCK} beside it, for seconds already"),
        ),
        errno => failed(errno).because(format!(
            "the socket's file is stale; who removes it must be able to write {LOCK} beside it"
        )),
    })?;
    kill::point("socket.reclaim.locked");
    unlink_stale(directory, path)?;
    bind().map_err(failed)
}

/// Removes the file if it is that of a socket that nobody has any more, and nobody holds the lock:
/// a collector waits for no one, who may be hostile. Whether it did.
pub(crate) fn remove_stale(directory: BorrowedFd<'_>, path: &Path) -> bool {
    // What lives is left alone without the lock.
    if !matches!(stale(directory, path), Ok(Some(_))) {
        return false;
    }
    let lock = Lock::try_take(directory).ok().flatten();
    lock.is_some_and(|_lock| unlink_stale(directory, path).unwrap_or(false))
}

/// Under the lock. Whether there was one.
fn unlink_stale(directory: BorrowedFd<'_>, path: &Path) -> Result<bool> {
    let failed = |errno| fail(errno, BIND, path.display().to_string());
    let Some((_file, found)) = stale(directory, path)? else {
        return Ok(false);
    };
    let name = path.file_name().unwrap_or_default();
    let now = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
    if identity(&now) != identity(&found) {
        let error = Error::new(ErrorKind::Exists, BIND, path.display().to_string());
        return Err(error.because("another program is taking this path"));
    }
    unlinkat(directory, name, AtFlags::empty()).map_err(failed)?;
    kill::point("socket.reclaim.removed");
    Ok(true)
}

/// The file of a socket that nobody has any more; held open, so that nobody else's gets its number.
/// `None`: its owner has just removed it.
fn stale(directory: BorrowedFd<'_>, path: &Path) -> Result<Option<(OwnedFd, Stat)>> {
    let refuse =
        |kind, why: &str| Err(Error::new(kind, BIND, path.display().to_string()).because(why));
    let failed = |errno| fail(errno, BIND, path.display().to_string());
    let name = path.file_name().unwrap_or_default();
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match openat(directory, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        other => other.map_err(failed)?,
    };
    let found = fstat(&file).map_err(failed)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
        return refuse(
            ErrorKind::WrongKind,
            "what is there is no socket, and stays",
        );
    }
    let held = file
        .try_clone()
        .map_err(|error| failed(Errno::from_io_error(&error).unwrap_or(Errno::MFILE)))?;
    let reach = Reach::through(file).map_err(failed)?;
    match reach.is_bound() {
        Ok(true) => refuse(ErrorKind::Exists, "another socket has this path, and lives"),
        Ok(false) => Ok(Some((held, found))),
        Err(errno) => Err(failed(errno).because("whether its socket lives cannot be asked")),
    }
}

/// Gives our new file the bits that the umask took: through the file itself, not through its name.
fn set_mode(
    directory: BorrowedFd<'_>,
    path: &Path,
    (mode, own): (Mode, (u64, u64)),
) -> std::result::Result<(), Errno> {
    let name = path.file_name().unwrap_or_default();
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(directory, name, flags, Mode::empty())?;
    let found = fstat(&file)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::Socket || identity(&found) != own {
        return Err(Errno::STALE);
    }
    rustix::fs::chmod(format!("/proc/self/fd/{}", file.as_raw_fd()), mode)
}
