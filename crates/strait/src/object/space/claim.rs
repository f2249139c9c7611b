//! A socket's file: made with its mode, reclaimed when it is stale, removed with its owner.
//!
//! All of Strait's sockets that take, reclaim or leave a path do so under a lock (flock) on its
//! directory, which the kernel lets go of however the process ends. Whether a socket's file is
//! stale is asked by connecting a *datagram* socket to exactly that file: ECONNREFUSED says that no
//! socket is bound to it; EPROTOTYPE says that one is, and it never hears of the question. So no
//! live listener is displaced, also not between its bind and its listen.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Stat, fchmod, flock, fstat, openat,
    statat, unlinkat,
};
use rustix::net::{
    AddressFamily, SocketAddrAny, SocketFlags, SocketType, bind, connect, socket_with,
};
use strait_sys::Errno;
use strait_sys::sockaddr::{Name, UNIX_MAX};
use strait_sys::time::Deadline;

use crate::error::{Error, ErrorKind, Result};

/// Longest wait for the lock of a directory, which is held for some system calls only.
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
        let verb = "bind socket";
        let shown = || path.display().to_string();
        let failed = |errno| fail(errno, verb, shown());
        let Some(name) = path.file_name() else {
            return Err(failed(Errno::INVAL).because("the path has no file name"));
        };
        let above = match path.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            _ => Path::new("."),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, above, flags, Mode::empty()).map_err(failed)?;
        let lock = Lock::take(directory.as_fd()).map_err(|errno| match errno {
            Errno::AGAIN => Error::new(ErrorKind::Busy, verb, shown())
                .because("another process holds the lock of the directory, for seconds already"),
            errno => failed(errno),
        })?;
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
            remove_stale(directory.as_fd(), path)?;
            bind(socket, &address).map_err(failed)?;
        }
        let found = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        if found.st_mode & 0o777 != mode.bits() {
            set_mode(directory.as_fd(), path, (mode, identity(&found))).map_err(failed)?;
        }
        drop(lock);
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
        // Without the lock the file stays, stale, and the next one reclaims it.
        let Ok(_lock) = Lock::take(self.directory.as_fd()) else {
            return;
        };
        // The socket is open still, so that nobody else's file has its number.
        let found = statat(&self.directory, &*self.name, AtFlags::SYMLINK_NOFOLLOW);
        if found.is_ok_and(|found| identity(&found) == self.file) {
            let _ = unlinkat(&self.directory, &*self.name, AtFlags::empty());
        }
    }
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// The lock of a directory.
struct Lock<'a>(BorrowedFd<'a>);

impl<'a> Lock<'a> {
    fn take(directory: BorrowedFd<'a>) -> std::result::Result<Self, Errno> {
        let end = Deadline::after(LOCK_MAX);
        loop {
            match flock(directory, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self(directory)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if !end.passed() => {
                    // sleep: a lock of a directory tells nobody when it is free
                    std::thread::sleep(PACE);
                }
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // Explicitly: a child that was forked meanwhile shares the description.
        let _ = flock(self.0, FlockOperation::Unlock);
    }
}

/// Removes the file of a socket that nobody has any more. Everything else is refused and stays.
fn remove_stale(directory: BorrowedFd<'_>, path: &Path) -> Result<()> {
    let verb = "bind socket";
    let refuse =
        |kind, why: &str| Err(Error::new(kind, verb, path.display().to_string()).because(why));
    let failed = |errno| fail(errno, verb, path.display().to_string());
    let name = path.file_name().unwrap_or_default();
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match openat(directory, name, flags, Mode::empty()) {
        // Its owner has just removed it.
        Err(Errno::NOENT) => return Ok(()),
        other => other.map_err(failed)?,
    };
    let found = fstat(&file).map_err(failed)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
        return refuse(
            ErrorKind::WrongKind,
            "what is there is no socket, and stays",
        );
    }
    // Held open to the end: nobody else's file gets its number meanwhile.
    let reach = Reach::through(file).map_err(failed)?;
    match reach.is_bound() {
        Ok(true) => return refuse(ErrorKind::Exists, "another socket has this path, and lives"),
        Ok(false) => {}
        Err(errno) => return Err(failed(errno).because("whether its socket lives cannot be asked")),
    }
    let now = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
    if identity(&now) != identity(&found) {
        return refuse(ErrorKind::Exists, "another program is taking this path");
    }
    unlinkat(directory, name, AtFlags::empty()).map_err(failed)
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
