//! The two ends of a pipe or a FIFO.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Stdio;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat};
use rustix::io::{ReadWriteFlags, ioctl_fionread, preadv2, pwritev2, read, write};
use rustix::pipe::fcntl_getpipe_size;
use strait_sys::time::Deadline;
use strait_sys::{Errno, vmsplice};

use super::{ATOMIC_MAX, set_capacity};
use crate::error::{Error, ErrorKind, Result};
use crate::object::wait::{Member, Waitable};

/// No offset: a pipe has none.
const STREAM: u64 = u64::MAX;

/// The end that is read from. Closed when dropped; close-on-exec.
#[derive(Debug)]
pub struct Reader {
    fd: OwnedFd,
    packets: bool,
    /// The path of a FIFO.
    name: Box<str>,
}

/// The end that is written to. Closed when dropped; close-on-exec.
#[derive(Debug)]
pub struct Writer {
    fd: OwnedFd,
    packets: bool,
    name: Box<str>,
}

impl Reader {
    pub(super) fn new(fd: OwnedFd, packets: bool, name: Box<str>) -> Self {
        Self { fd, packets, name }
    }

    #[cold]
    fn fail(&self, errno: Errno) -> Error {
        Error::kernel(errno, "read pipe", &*self.name)
    }

    /// Reads what is there into `buffer`, and waits for something to come. 0: end of file, which is
    /// when the last writer has closed. A packet is read whole: it takes [`ATOMIC_MAX`] bytes of
    /// room.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`]: an empty buffer, or one without room for a whole packet.
    #[inline]
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        self.check(buffer)?;
        match read(&self.fd, &mut *buffer) {
            Ok(len) => Ok(len),
            Err(errno) => self.read_again(errno, buffer),
        }
    }

    /// Goes on after an interruption, or fails. Out of line, so that [`read`](Self::read) can be in
    /// line: predictors lose track in the kernel, and a return behind a system call is slow.
    #[cold]
    #[inline(never)]
    fn read_again(&self, mut errno: Errno, buffer: &mut [u8]) -> Result<usize> {
        while errno == Errno::INTR {
            match read(&self.fd, &mut *buffer) {
                Ok(len) => return Ok(len),
                Err(next) => errno = next,
            }
        }
        Err(self.fail(errno))
    }

    /// [`read`](Self::read), but returns `None` rather than wait.
    ///
    /// Before Linux 6.4 it looks first and then reads: with several readers it may wait.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn try_read(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.check(buffer)?;
        loop {
            let done = preadv2(
                &self.fd,
                &mut [IoSliceMut::new(buffer)],
                STREAM,
                ReadWriteFlags::NOWAIT,
            );
            match done {
                Ok(len) => return Ok(Some(len)),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                    if !ready(
                        &self.fd,
                        PollFlags::IN,
                        Some(Deadline::after(Duration::ZERO)),
                    )
                    .map_err(|errno| self.fail(errno))?
                    {
                        return Ok(None);
                    }
                    return self.read(buffer).map(Some);
                }
                Err(errno) => return Err(self.fail(errno)),
            }
        }
    }

    /// [`read`](Self::read) that waits for at most `timeout`. `None`: the time ran out.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_for(&self, buffer: &mut [u8], timeout: Duration) -> Result<Option<usize>> {
        let deadline = Deadline::after(timeout);
        loop {
            if let Some(len) = self.try_read(buffer)? {
                return Ok(Some(len));
            }
            let awoke = ready(&self.fd, PollFlags::IN, Some(deadline));
            if !awoke.map_err(|errno| self.fail(errno))? {
                return Ok(None);
            }
        }
    }

    #[inline]
    fn check(&self, buffer: &[u8]) -> Result<()> {
        let needed = if self.packets { ATOMIC_MAX } else { 1 };
        if buffer.len() < needed {
            return Err(self.no_room());
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn no_room(&self) -> Error {
        let error = Error::new(ErrorKind::InvalidInput, "read pipe", &*self.name);
        if self.packets {
            error.because("a packet may have 4,096 bytes, and what finds no room would be lost")
        } else {
            error.because("an empty buffer cannot be told from the end of file")
        }
    }

    /// How many bytes are in the pipe now (FIONREAD).
    ///
    /// # Errors
    /// None that Linux documents for a pipe.
    pub fn available(&self) -> Result<usize> {
        let bytes = ioctl_fionread(&self.fd).map_err(|errno| self.fail(errno))?;
        Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    /// How many bytes the pipe holds at most.
    ///
    /// # Errors
    /// None that Linux documents for a pipe.
    pub fn capacity(&self) -> Result<usize> {
        fcntl_getpipe_size(&self.fd).map_err(|errno| self.fail(errno))
    }

    /// Whether each read takes one packet.
    #[must_use]
    pub fn takes_packets(&self) -> bool {
        self.packets
    }

    /// Takes packets from now on. Of a FIFO, where the writer decides: the reader must know.
    #[must_use]
    pub fn into_packets(mut self) -> Self {
        self.packets = true;
        self
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Writer {
    pub(super) fn new(fd: OwnedFd, packets: bool, name: Box<str>) -> Self {
        Self { fd, packets, name }
    }

    #[cold]
    fn fail(&self, errno: Errno) -> Error {
        let error = Error::kernel(errno, "write pipe", &*self.name);
        match errno {
            Errno::PIPE => error.because("nobody has its read end open"),
            _ => error,
        }
    }

    /// Writes, waiting for room, and returns how much was written: all, unless a signal was handled
    /// meanwhile. Up to [`ATOMIC_MAX`] bytes are written as a whole and are not mixed with others'.
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`]: nobody has the read end open; [`ErrorKind::InvalidInput`]: no
    /// packet of 1 to 4,096 bytes.
    #[inline]
    pub fn write(&self, bytes: &[u8]) -> Result<usize> {
        self.check(bytes)?;
        match write(&self.fd, bytes) {
            Ok(len) => Ok(len),
            Err(errno) => self.write_again(errno, bytes),
        }
    }

    /// As [`Reader::read_again`].
    #[cold]
    #[inline(never)]
    fn write_again(&self, mut errno: Errno, bytes: &[u8]) -> Result<usize> {
        while errno == Errno::INTR {
            match write(&self.fd, bytes) {
                Ok(len) => return Ok(len),
                Err(next) => errno = next,
            }
        }
        Err(self.fail(errno))
    }

    /// [`write`](Self::write) until everything is written. What others write may come between its
    /// parts if it is longer than [`ATOMIC_MAX`].
    ///
    /// # Errors
    /// As [`write`](Self::write); then an unknown part was written.
    #[inline]
    pub fn write_all(&self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let written = self.write(bytes)?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// [`write`](Self::write), but never waits: `None` if there is no room. Up to [`ATOMIC_MAX`]
    /// bytes go whole or not at all; of more, as much as there is room for.
    ///
    /// Before Linux 6.4 it looks first and then writes at most [`ATOMIC_MAX`] bytes: with several
    /// writers it may wait.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn try_write(&self, bytes: &[u8]) -> Result<Option<usize>> {
        self.check(bytes)?;
        loop {
            let done = pwritev2(
                &self.fd,
                &[IoSlice::new(bytes)],
                STREAM,
                ReadWriteFlags::NOWAIT,
            );
            match done {
                Ok(len) => return Ok(Some(len)),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                    if !ready(
                        &self.fd,
                        PollFlags::OUT,
                        Some(Deadline::after(Duration::ZERO)),
                    )
                    .map_err(|errno| self.fail(errno))?
                    {
                        return Ok(None);
                    }
                    return self.write(&bytes[..bytes.len().min(ATOMIC_MAX)]).map(Some);
                }
                Err(errno) => return Err(self.fail(errno)),
            }
        }
    }

    /// [`write`](Self::write) that waits for at most `timeout` for room. `None`: the time ran out
    /// and nothing was written. What does not fit when there is room is left to the caller.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_for(&self, bytes: &[u8], timeout: Duration) -> Result<Option<usize>> {
        let deadline = Deadline::after(timeout);
        loop {
            if let Some(len) = self.try_write(bytes)? {
                return Ok(Some(len));
            }
            let awoke = ready(&self.fd, PollFlags::OUT, Some(deadline));
            if !awoke.map_err(|errno| self.fail(errno))? {
                return Ok(None);
            }
        }
    }

    /// Has the pipe refer to `bytes` where they lie, without copying them (vmsplice(2)), and
    /// returns how many it took. Only for memory that never changes: the reader sees it as it is
    /// when it reads, not as it was.
    ///
    /// # Errors
    /// As [`write`](Self::write); [`ErrorKind::InvalidInput`] where packets are written: the kernel
    /// would let a read run across the end of this one.
    pub fn lend(&self, bytes: &'static [u8]) -> Result<usize> {
        if self.packets {
            let error = Error::new(ErrorKind::InvalidInput, "write pipe", &*self.name);
            return Err(error.because("what is lent is no packet: it has no end for the reader"));
        }
        loop {
            match vmsplice::lend(self.fd.as_fd(), bytes) {
                Err(Errno::INTR) => {}
                done => return done.map_err(|errno| self.fail(errno)),
            }
        }
    }

    #[inline]
    fn check(&self, bytes: &[u8]) -> Result<()> {
        if self.packets && !(1..=ATOMIC_MAX).contains(&bytes.len()) {
            return Err(self.no_packet(bytes.len()));
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn no_packet(&self, len: usize) -> Error {
        let error = Error::new(ErrorKind::InvalidInput, "write pipe", &*self.name);
        if len == 0 {
            error.because("the kernel sends no packet without bytes")
        } else {
            error.because(format!(
                "{len} bytes would arrive as several packets of 4,096"
            ))
        }
    }

    /// How many bytes the pipe holds at most.
    ///
    /// # Errors
    /// None that Linux documents for a pipe.
    pub fn capacity(&self) -> Result<usize> {
        fcntl_getpipe_size(&self.fd).map_err(|errno| self.fail(errno))
    }

    /// Has the pipe hold this many bytes, rounded up to a power of two of pages, and returns what
    /// it holds now.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`]: more than that is in it; [`ErrorKind::Denied`]: above
    /// `/proc/sys/fs/pipe-max-size` (1 MiB), which takes CAP_SYS_RESOURCE.
    pub fn set_capacity(&self, bytes: usize) -> Result<usize> {
        set_capacity(&self.fd, bytes, &self.name)
    }

    /// Writes packets from now on (O_DIRECT), as does everybody who shares this end.
    ///
    /// # Errors
    /// None that Linux documents for a pipe.
    pub fn into_packets(mut self) -> Result<Self> {
        fcntl_getfl(&self.fd)
            .and_then(|flags| fcntl_setfl(&self.fd, flags | OFlags::DIRECT))
            .map_err(|errno| self.fail(errno))?;
        self.packets = true;
        Ok(self)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// Waits until `fd` may be ready. False: the deadline passed.
pub(super) fn ready(
    fd: &impl AsFd,
    interest: PollFlags,
    deadline: Option<Deadline>,
) -> std::result::Result<bool, Errno> {
    loop {
        let left = deadline.map(|deadline| {
            let left = deadline.left();
            Timespec::try_from(left).unwrap_or(Timespec {
                tv_sec: i64::MAX,
                tv_nsec: 0,
            })
        });
        match poll(&mut [PollFd::new(fd, interest)], left.as_ref()) {
            Ok(0) if deadline.is_some_and(Deadline::passed) => return Ok(false),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(errno),
        }
    }
}

// ---- as descriptors ------------------------------------------------------------------------

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsFd for Writer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Reader> for OwnedFd {
    fn from(end: Reader) -> Self {
        end.fd
    }
}

impl From<Writer> for OwnedFd {
    fn from(end: Writer) -> Self {
        end.fd
    }
}

impl From<Reader> for Stdio {
    fn from(end: Reader) -> Self {
        end.fd.into()
    }
}

impl From<Writer> for Stdio {
    fn from(end: Writer) -> Self {
        end.fd.into()
    }
}

/// What a descriptor is, if it is that end of a pipe or FIFO.
fn adopt(fd: &OwnedFd, end: OFlags, verb: &'static str) -> Result<bool> {
    let fail = |errno| Error::kernel(errno, verb, "");
    let stat = fstat(fd).map_err(fail)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Fifo {
        return Err(Error::new(ErrorKind::WrongKind, verb, "").because("it is no pipe"));
    }
    let flags = fcntl_getfl(fd).map_err(fail)?;
    let access = flags & OFlags::RWMODE;
    if access != end && access != OFlags::RDWR {
        return Err(Error::new(ErrorKind::WrongKind, verb, "").because("it is the other end"));
    }
    if flags.contains(OFlags::NONBLOCK) {
        // Whoever shares it expects it to stay; a wait here would be an error.
        return Err(Error::new(ErrorKind::InvalidInput, verb, "")
            .because("it does not block (O_NONBLOCK), which a pipe here must"));
    }
    Ok(flags.contains(OFlags::DIRECT))
}

/// A descriptor that was inherited or received.
///
/// # Errors
/// [`ErrorKind::WrongKind`] if it is no pipe's read end; [`ErrorKind::InvalidInput`] if O_NONBLOCK
/// is set on it.
impl TryFrom<OwnedFd> for Reader {
    type Error = Error;

    fn try_from(fd: OwnedFd) -> Result<Self> {
        let packets = adopt(&fd, OFlags::RDONLY, "adopt read end")?;
        Ok(Self::new(fd, packets, "".into()))
    }
}

/// A descriptor that was inherited or received.
///
/// # Errors
/// [`ErrorKind::WrongKind`] if it is no pipe's write end; [`ErrorKind::InvalidInput`] if O_NONBLOCK
/// is set on it.
impl TryFrom<OwnedFd> for Writer {
    type Error = Error;

    fn try_from(fd: OwnedFd) -> Result<Self> {
        let packets = adopt(&fd, OFlags::WRONLY, "adopt write end")?;
        Ok(Self::new(fd, packets, "".into()))
    }
}

impl io::Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        Ok(Self::read(self, buffer)?)
    }
}

impl io::Read for &Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        Ok(Reader::read(self, buffer)?)
    }
}

impl io::Write for &Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(Writer::write(self, bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(Self::write(self, bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Ready when a read would not wait: something is there, or the last writer has closed.
impl Waitable for Reader {
    fn member(&self) -> Member<'_> {
        Member::descriptor(self.fd.as_fd(), PollFlags::IN)
    }
}

/// Ready when 4,096 bytes fit, or nobody reads.
impl Waitable for Writer {
    fn member(&self) -> Member<'_> {
        Member::descriptor(self.fd.as_fd(), PollFlags::OUT)
    }
}
