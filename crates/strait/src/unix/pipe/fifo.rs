//! FIFOs: pipes with a name in the file system, for processes that know nothing of each other.
//!
//! Use one to take lines from any program that can write to a file, a shell's `echo` included. For
//! both directions, or to know who speaks, use a [socket](crate::unix::socket). What is in a FIFO
//! is in memory: it vanishes when the last end is closed. The name stays until it is removed; who
//! has it open keeps the old pipe, and who opens the name next gets another.
//!
//! | fifo(7), mkfifo(3) | here |
//! | --- | --- |
//! | the mode is masked by the process's umask | it is the mode asked for |
//! | opening waits for the other end, as long as it takes | faithful, with a time limit besides: [`Fifo::reader_for`], [`Fifo::writer_for`] |
//! | opening follows a symbolic link, and opens a file of any kind | refused: [`ErrorKind::WrongKind`]; the end is that of the very file that was checked |
//! | a reader sees the end of file when the last writer goes, though others may come | faithful; [`Fifo::endless_reader`] waits for the next one |
//! | opened for reading and writing, as Linux has it, it never blocks | only inside [`Fifo::endless_reader`] |
//!
//! Traps. Several readers share what comes, they do not each get all of it. Several writers are not
//! mixed up to [`ATOMIC_MAX`](super::ATOMIC_MAX) bytes a write: put the length of a message into it
//! and stay below. After the last writer has gone the read end stays readable (end of file): in a
//! loop of waits open it anew, or have an endless one. In a directory like /tmp another user may
//! have made the FIFO: look at [`Fifo::owner`]. The kernel's `fs.protected_fifos` does not help: it
//! guards those who open with O_CREAT, which would make a regular file where there is no FIFO, and
//! which nothing here does. On a network file system a FIFO joins processes of one machine only.
//!
//! ```
//! use std::process::Command;
//! use std::time::Duration;
//! use strait::unix::fifo::Fifo;
//!
//! let path = std::env::temp_dir().join(format!("orders-{}", std::process::id()));
//! let orders = Fifo::create(&path, 0o600)?;
//! let mut shell = Command::new("sh");
//! let mut child = shell.arg("-c").arg("echo two coffees > \"$0\"").arg(&path).spawn()?;
//! let from = orders.reader_for(Duration::from_secs(10))?.expect("somebody opens it to write");
//! let mut line = [0; 64];
//! let len = from.read(&mut line)?;
//! assert_eq!(&line[..len], b"two coffees\n");
//! child.wait()?;
//! std::fs::remove_file(path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! Source: fifo(7), mkfifo(3), open(2), inotify(7).

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, WatchFlags};
use rustix::fs::{
    CWD, FileType, Mode, OFlags, Stat, chmod, fcntl_getfl, fcntl_setfl, fstat, mkfifoat, open,
};
use rustix::io::ioctl_fionread;
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with};
use rustix::process::geteuid;
use strait_sys::time::Deadline;
use strait_sys::{Errno, umask};

use super::{Reader, Writer};
use crate::error::{Error, ErrorKind, Result};
use crate::object::Birth;

/// How often one who waits for the other end looks where the kernel does not tell (no inotify).
const LOOK: Duration = Duration::from_millis(5);
/// How often he looks all the same: an opening that failed half way tells nothing.
const LOOK_ANYWAY: Duration = Duration::from_millis(250);

/// A FIFO that was found and checked: ends opened through it are of this file, whatever becomes of
/// its name. It holds neither end.
#[derive(Debug)]
pub struct Fifo {
    /// Opened with O_PATH.
    file: OwnedFd,
    path: PathBuf,
    name: Box<str>,
    owner: u32,
    mode: u16,
}

impl Fifo {
    /// Makes a FIFO with just that mode (nine bits, as 0o600), whatever the umask.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`]: there is a file of that name, or a symbolic link;
    /// [`ErrorKind::NotFound`], [`ErrorKind::Denied`]: its directory is missing, or not writable;
    /// [`ErrorKind::InvalidInput`]: bits beyond 0o777.
    #[doc(alias = "mkfifo")]
    pub fn create(path: impl AsRef<Path>, mode: u32) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display().to_string();
        if mode & !0o777 != 0 {
            let why = format!("{mode:#o} has bits beyond 0o777");
            return Err(Error::new(ErrorKind::InvalidInput, "create FIFO", name).because(why));
        }
        let fail = |errno| Error::kernel(errno, "create FIFO", &*name);
        let bits = Mode::from_raw_mode(mode);
        let make = || mkfifoat(CWD, path, bits);
        match umask::unmasked(make) {
            // A filter forbids unshare(2), as containers' do.
            Err(Errno::PERM | Errno::NOSYS) => make().map_err(fail)?,
            made => return made.map_err(fail).and_then(|()| Self::open(path)),
        }
        let mut made = Self::open(path)?;
        // What the umask has taken away. Of the very file, unless that is another user's by now.
        if u32::from(made.mode) != mode && made.owner == geteuid().as_raw() {
            chmod(format!("/proc/self/fd/{}", made.file.as_raw_fd()), bits).map_err(fail)?;
            made.mode = u16::try_from(mode).unwrap_or(made.mode);
        }
        Ok(made)
    }

    /// [`create`](Self::create), or [`open`](Self::open) if there is one.
    ///
    /// # Errors
    /// As these, but for [`ErrorKind::Exists`]; [`ErrorKind::Busy`] if it came and went a hundred
    /// times meanwhile.
    pub fn create_or_open(path: impl AsRef<Path>, mode: u32) -> Result<(Self, Birth)> {
        let path = path.as_ref();
        let found = Birth::settle(|| Self::create(path, mode), || Self::open(path))?;
        found.ok_or_else(|| {
            Error::new(ErrorKind::Busy, "create FIFO", path.display().to_string())
                .because("others make and remove it all the time")
        })
    }

    /// Finds a FIFO. Neither end is opened by this, and no opener of the other end is let go on.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::WrongKind`]: a file of another kind, or a symbolic
    /// link.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let fail = |errno| Error::kernel(errno, "open FIFO", &*name);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = open(path, flags, Mode::empty()).map_err(fail)?;
        let Stat {
            st_mode, st_uid, ..
        } = fstat(&file).map_err(fail)?;
        let found = match FileType::from_raw_mode(st_mode) {
            FileType::Fifo => None,
            FileType::Symlink => Some("a symbolic link: name what it leads to"),
            FileType::RegularFile => Some("a regular file"),
            FileType::Directory => Some("a directory"),
            FileType::Socket => Some("a socket"),
            _ => Some("a device"),
        };
        if let Some(found) = found {
            let why = format!("it is {found}");
            return Err(Error::new(ErrorKind::WrongKind, "open FIFO", name).because(why));
        }
        Ok(Self {
            file,
            path: path.to_owned(),
            name: name.into(),
            owner: st_uid,
            mode: u16::try_from(st_mode & 0o7777).unwrap_or(0),
        })
    }

    /// The user it belonged to when it was found.
    #[must_use]
    pub fn owner(&self) -> u32 {
        self.owner
    }

    /// Its mode when it was found, as 0o600.
    #[must_use]
    pub fn mode(&self) -> u16 {
        self.mode
    }

    fn end(&self, flags: OFlags) -> std::result::Result<OwnedFd, Errno> {
        // Through the descriptor: the name may be another file's by now.
        let itself = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match open(itself, flags, Mode::empty()) {
            Err(Errno::NOENT) => self.end_without_proc(flags),
            opened => opened,
        }
    }

    /// By the name: refused if that is another file's by now.
    fn end_without_proc(&self, flags: OFlags) -> std::result::Result<OwnedFd, Errno> {
        let fd = open(&self.path, flags | OFlags::NOFOLLOW, Mode::empty())?;
        let (found, meant) = (fstat(&fd)?, fstat(&self.file)?);
        if (found.st_dev, found.st_ino) != (meant.st_dev, meant.st_ino) {
            return Err(Errno::NOENT);
        }
        Ok(fd)
    }

    #[cold]
    fn fail(&self, errno: Errno, verb: &'static str) -> Error {
        let error = Error::kernel(errno, verb, &*self.name);
        match errno {
            Errno::NOENT => {
                error.because("its name is another file's by now, and there is no /proc")
            }
            _ => error,
        }
    }

    /// The read end, at once. Without a writer it is at the end of file until the first one comes.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`]: not readable for this user.
    pub fn reader_now(&self) -> Result<Reader> {
        let fd = self.end(OFlags::RDONLY);
        self.reader_of(fd.map_err(|errno| self.fail(errno, "open FIFO to read"))?)
    }

    fn reader_of(&self, fd: OwnedFd) -> Result<Reader> {
        let packets = blocking(&fd).map_err(|errno| self.fail(errno, "open FIFO to read"))?;
        Ok(Reader::new(fd, packets, self.name.clone()))
    }

    /// The read end, once there is a writer or something to read.
    ///
    /// # Errors
    /// As [`reader_now`](Self::reader_now).
    pub fn reader(&self) -> Result<Reader> {
        loop {
            if let Some(reader) = self.reader_until(None)? {
                return Ok(reader);
            }
        }
    }

    /// [`reader`](Self::reader), but waits for at most `timeout`. `None`: nobody came. A writer
    /// that opens while this waits is let go on; one that came and went counts as having come.
    ///
    /// # Errors
    /// As [`reader_now`](Self::reader_now).
    pub fn reader_for(&self, timeout: Duration) -> Result<Option<Reader>> {
        self.reader_until(Some(Deadline::after(timeout)))
    }

    fn reader_until(&self, deadline: Option<Deadline>) -> Result<Option<Reader>> {
        let fail = |errno| self.fail(errno, "open FIFO to read");
        // Watching begins before the look: who opens in between is told.
        let watch = Watch::of(&self.file);
        let fd = self.end(OFlags::RDONLY).map_err(fail)?;
        let (_rest, scratch) = pipe_with(PipeFlags::CLOEXEC).map_err(fail)?;
        loop {
            if has_writer(&fd, &scratch).map_err(fail)? {
                return self.reader_of(fd).map(Some);
            }
            if deadline.is_some_and(Deadline::passed) {
                return Ok(None);
            }
            watch.wait(&fd, deadline).map_err(fail)?;
        }
    }

    /// A read end that never sees the end of file: it waits for the next writer instead. It is a
    /// writer itself (the kernel's O_RDWR), so that writers find a reader as long as it is open,
    /// and so that writing takes permission too.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`]: not readable and writable for this user.
    pub fn endless_reader(&self) -> Result<Reader> {
        let fd = self.end(OFlags::RDWR);
        self.reader_of(fd.map_err(|errno| self.fail(errno, "open FIFO to read"))?)
    }

    /// The write end, if there is a reader now.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`]: not writable for this user.
    pub fn try_writer(&self) -> Result<Option<Writer>> {
        let fail = |errno| self.fail(errno, "open FIFO to write");
        match self.end(OFlags::WRONLY) {
            Ok(fd) => {
                let packets = blocking(&fd).map_err(fail)?;
                Ok(Some(Writer::new(fd, packets, self.name.clone())))
            }
            Err(Errno::NXIO) => Ok(None),
            Err(errno) => Err(fail(errno)),
        }
    }

    /// The write end, once there is a reader.
    ///
    /// # Errors
    /// As [`try_writer`](Self::try_writer).
    pub fn writer(&self) -> Result<Writer> {
        loop {
            if let Some(writer) = self.writer_until(None)? {
                return Ok(writer);
            }
        }
    }

    /// [`writer`](Self::writer), but waits for at most `timeout`. `None`: nobody came.
    ///
    /// # Errors
    /// As [`try_writer`](Self::try_writer).
    pub fn writer_for(&self, timeout: Duration) -> Result<Option<Writer>> {
        self.writer_until(Some(Deadline::after(timeout)))
    }

    fn writer_until(&self, deadline: Option<Deadline>) -> Result<Option<Writer>> {
        let watch = Watch::of(&self.file);
        loop {
            if let Some(writer) = self.try_writer()? {
                return Ok(Some(writer));
            }
            if deadline.is_some_and(Deadline::passed) {
                return Ok(None);
            }
            watch
                .wait_alone(deadline)
                .map_err(|errno| self.fail(errno, "open FIFO to write"))?;
        }
    }
}

/// Has an end that was opened not to wait wait from now on; says whether it takes packets.
fn blocking(fd: &OwnedFd) -> std::result::Result<bool, Errno> {
    let flags = fcntl_getfl(fd)?;
    fcntl_setfl(fd, flags - OFlags::NONBLOCK)?;
    Ok(flags.contains(OFlags::DIRECT))
}

/// Whether there is a writer, or was one since `fd` was opened. Nothing is taken: tee(2) copies at
/// most a byte elsewhere, and tells an empty pipe with writers from one without.
fn has_writer(fd: &OwnedFd, scratch: &OwnedFd) -> std::result::Result<bool, Errno> {
    if ioctl_fionread(fd)? > 0 {
        return Ok(true);
    }
    match rustix::pipe::tee(fd, scratch, 1, SpliceFlags::NONBLOCK) {
        Ok(0) => {}
        Ok(_) | Err(Errno::AGAIN) => return Ok(true),
        Err(errno) => return Err(errno),
    }
    // Hung up is only who once had a writer.
    let mut hung_up = [PollFd::new(fd, PollFlags::IN)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut hung_up, Some(&now)).map(|count| count > 0)
}

/// Tells when somebody opens the file.
struct Watch(Option<OwnedFd>);

impl Watch {
    /// Where the kernel refuses (a filter, the limit of instances), waiting is by looking.
    fn of(file: &OwnedFd) -> Self {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let watch = inotify::init(flags).and_then(|watch| {
            let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
            inotify::add_watch(&watch, itself, WatchFlags::OPEN).map(|_| watch)
        });
        Self(watch.ok())
    }

    /// Waits until somebody has opened it, or it is time to look.
    fn wait_alone(&self, deadline: Option<Deadline>) -> std::result::Result<(), Errno> {
        self.wait_with(&[], deadline)
    }

    /// The same, or until `end` has something to say.
    fn wait(&self, end: &OwnedFd, deadline: Option<Deadline>) -> std::result::Result<(), Errno> {
        self.wait_with(&[PollFd::new(end, PollFlags::IN)], deadline)
    }

    fn wait_with(
        &self,
        more: &[PollFd<'_>],
        deadline: Option<Deadline>,
    ) -> std::result::Result<(), Errno> {
        let pace = if self.0.is_some() { LOOK_ANYWAY } else { LOOK };
        let left = deadline.map_or(pace, |deadline| deadline.left().min(pace));
        let left = Timespec::try_from(left).map_err(|_| Errno::INVAL)?;
        let mut fds = more.to_vec();
        fds.extend(self.0.iter().map(|watch| PollFd::new(watch, PollFlags::IN)));
        match poll(&mut fds, Some(&left)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        if let Some(watch) = &self.0 {
            // What it says does not matter, only that it is quiet again.
            let mut events = [0; 1024];
            while rustix::io::read(watch, &mut events).is_ok_and(|len| len > 0) {}
        }
        Ok(())
    }
}
