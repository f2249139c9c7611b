//! POSIX message queues: messages with a priority, in a queue that is a descriptor.
//!
//! Use one where messages should overtake others by their importance, or where a queue should be
//! handed on, polled and closed like a file. For messages chosen by type use
//! [System V queues](crate::unix::msg).
//!
//! | POSIX | here |
//! | --- | --- |
//! | a name of a slash and up to 255 bytes | faithful; the slash may be left out |
//! | `mq_open` with O_CREAT: made or found? | [`Birth`] says it, and a mode that the umask does not change |
//! | the highest priority first, in it the oldest | faithful |
//! | a buffer of less than the queue's messages: `EMSGSIZE` | [`ErrorKind::TooLong`], and nothing is taken |
//! | `mq_timedsend`, by the wall clock, which jumps | [`Queue::send_for`], by the monotonic clock |
//! | O_NONBLOCK, shared with all who hold the descriptor | not used: [`Queue::try_send`], [`Queue::try_recv`] |
//! | `mq_notify` | not offered: one process at a time may ask, once, by a signal. The queue is a descriptor: [wait](crate::wait) for it |
//!
//! # Traps
//!
//! - The name stays until [`unlink`], across the death of all users, and the queue until its last
//!   descriptor is closed too. `/dev/mqueue` (mq_overview(7)) shows the names where it is
//!   mounted.
//! - Ready is not taken: another receiver may be faster, then [`Queue::try_recv`] finds nothing.
//! - All queues of a user together have a limit, RLIMIT_MSGQUEUE (800 KiB): more is
//!   [`ErrorKind::Exhausted`].
//!
//! Limits, from `/proc/sys/fs/mqueue`: by default 10 messages (`msg_max`, at most 65,536) of 8,192
//! bytes (`msgsize_max`, at most 16 MiB), 256 queues (`queues_max`), and priorities to
//! [`PRIORITY_MAX`].
//!
//! ```
//! use std::process::Command;
//! use std::time::Duration;
//! use strait::unix::mqueue::{self, Queue};
//! use strait::wait;
//!
//! let name = format!("/strait-doc-{}", std::process::id());
//! let jobs = Queue::options().room(4, 64).create(&name)?;
//! jobs.send(1, b"later")?;
//! jobs.send(9, b"at once")?;
//! wait::any(&[&jobs])?;
//! assert_eq!(jobs.recv()?.bytes, b"at once");
//! // Whoever has the descriptor has the queue: here cat(1), which reads how many bytes are in it.
//! let cat = Command::new("cat").stdin(jobs.try_clone()?).output().expect("cat runs");
//! assert!(cat.stdout.starts_with(b"QSIZE:5 "));
//! mqueue::unlink(&name)?;
//! assert_eq!(jobs.recv_for(Duration::from_secs(1))?.map(|job| job.priority), Some(1));
//! # Ok::<(), strait::Error>(())
//! ```
//! Source: mq_overview(7), mq_open(3), mq_send(3), mq_receive(3), mq_unlink(3).

mod limits;

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, fchmod, fstat};
use strait_sys::Errno;
use strait_sys::mqueue::{self, Room};
use strait_sys::time::Deadline;

use crate::error::{Error, ErrorKind, Result};
use crate::object::Birth;
use crate::object::wait::{Member, Waitable};

pub use self::limits::{Limits, limits, list};
pub use strait_sys::mqueue::Access;

/// The highest priority: below `MQ_PRIO_MAX`.
pub const PRIORITY_MAX: u32 = 32_767;
/// What [`Queue::bytes_max`] is called, for messages to people.
pub const MESSAGE_LIMIT: &str = "the queue's mq_msgsize, given when it was made";
/// The longest name, in bytes, without the slash.
pub const NAME_MAX: usize = 255;

/// A queue. Dropping it closes the descriptor; the queue stays while it has a name.
#[derive(Debug)]
pub struct Queue {
    fd: OwnedFd,
    /// Its name, or what it is called where it has none.
    shown: String,
    bytes_max: usize,
}

/// How a queue is made or opened.
#[derive(Clone, Debug)]
#[must_use]
pub struct Options {
    room: Option<Room>,
    mode: u32,
    access: Access,
}

/// A message that was received.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Message {
    /// Its priority: 0 to [`PRIORITY_MAX`].
    pub priority: u32,
    /// What was sent, which may be nothing.
    pub bytes: Vec<u8>,
}

/// What a queue is like at this moment.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stat {
    /// Messages in it.
    pub messages: u32,
    /// The most messages it takes.
    pub messages_max: u32,
    /// The most bytes in a message.
    pub bytes_max: u32,
    /// The owner.
    pub uid: u32,
    /// The owner's group.
    pub gid: u32,
    /// Read (4, to receive) and write (2, to send) for owner, group and others.
    pub mode: u32,
}

fn fail(operation: &'static str, name: &str, errno: Errno) -> Error {
    let error = Error::kernel(errno, operation, format!("POSIX queue {name}"));
    match (errno, operation) {
        (Errno::INVAL, "create") => error.because(
            "more messages, or longer ones, than this user may have \
             (/proc/sys/fs/mqueue/msg_max and msgsize_max), or none",
        ),
        (Errno::INVAL, "send to") => error.because(format!("a priority is at most {PRIORITY_MAX}")),
        (Errno::MFILE, "create") => error.because(
            "too many descriptors, or more bytes in queues than this user may have \
             (`ulimit -q`)",
        ),
        (Errno::NOSPC, "create") => {
            error.because("as many queues as there may be (/proc/sys/fs/mqueue/queues_max)")
        }
        (Errno::NOSYS, _) => error.because("this kernel was built without CONFIG_POSIX_MQUEUE"),
        (Errno::BADF, "send to" | "receive from") => error
            .with_kind(ErrorKind::Denied)
            .because("it was not opened for that"),
        _ => error,
    }
}

/// The name as the kernel takes it: with its slash.
fn checked_name(operation: &'static str, name: &str) -> Result<CString> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let refuse = |why: &str| {
        let subject = format!("POSIX queue {name}");
        Err(Error::new(ErrorKind::InvalidName, operation, subject).because(why))
    };
    match bare {
        "" | "." | ".." => refuse("it has no name"),
        _ if bare.contains('/') => refuse("only the first byte may be a slash"),
        _ if bare.len() > NAME_MAX => refuse("longer than 255 bytes"),
        _ => CString::new(format!("/{bare}")).or_else(|_| refuse("it contains a zero byte")),
    }
}

/// How the name is written in messages.
fn shown(name: &str) -> String {
    format!("/{}", name.strip_prefix('/').unwrap_or(name))
}

impl Options {
    /// This many messages of up to this many bytes each, instead of what the system gives by
    /// default (`/proc/sys/fs/mqueue/msg_default` and `msgsize_default`).
    pub fn room(mut self, messages: u32, bytes_max: u32) -> Self {
        self.room = Some(Room {
            messages,
            len_max: bytes_max,
        });
        self
    }

    /// Read (4, to receive) and write (2, to send) for owner, group and others; 0600 unless said.
    /// The umask does not matter.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Only for sending, or only for receiving, which takes less permission.
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Makes the queue of that name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`]; [`ErrorKind::Exists`]; [`ErrorKind::InvalidInput`] for more room
    /// than this user may have, or a mode with other bits than read and write;
    /// [`ErrorKind::Exhausted`] at the limits named above; [`ErrorKind::Unsupported`] of a kernel
    /// without such queues.
    #[doc(alias = "mq_open")]
    pub fn create(&self, name: &str) -> Result<Queue> {
        let path = checked_name("create", name)?;
        if self.mode & !0o666 != 0 {
            let subject = format!("POSIX queue {}", shown(name));
            let why = format!(
                "mode {:#o} has bits that are neither read nor write",
                self.mode
            );
            return Err(Error::new(ErrorKind::InvalidInput, "create", subject).because(why));
        }
        let mode = Mode::from_bits_retain(self.mode);
        let fd = mqueue::create_for(&path, self.access, self.room, mode)
            // What the umask has taken away.
            .and_then(|fd| fchmod(&fd, mode).map(|()| fd));
        Queue::over(
            fd.map_err(|errno| fail("create", &shown(name), errno))?,
            shown(name),
        )
    }

    /// Makes it, or opens the queue of that name as it is.
    ///
    /// # Errors
    /// As [`create`](Self::create), but for a queue of that name, and as [`open`](Self::open);
    /// [`ErrorKind::Busy`] if it came and went a hundred times meanwhile.
    pub fn create_or_open(&self, name: &str) -> Result<(Queue, Birth)> {
        let found = Birth::settle(|| self.create(name), || self.open(name))?;
        found.ok_or_else(|| {
            let subject = format!("POSIX queue {}", shown(name));
            Error::new(ErrorKind::Busy, "create", subject)
                .because("others make and unlink it all the time")
        })
    }

    /// Opens the queue of that name; room and mode do not matter.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Denied`]; [`ErrorKind::InvalidName`].
    pub fn open(&self, name: &str) -> Result<Queue> {
        let path = checked_name("open", name)?;
        let fd = mqueue::open_for(&path, self.access);
        Queue::over(
            fd.map_err(|errno| fail("open", &shown(name), errno))?,
            shown(name),
        )
    }
}

/// Takes the name away. Those who have the queue open go on; it goes with its last descriptor.
///
/// # Errors
/// [`ErrorKind::NotFound`]; [`ErrorKind::Denied`] for others than its owner;
/// [`ErrorKind::InvalidName`].
#[doc(alias = "mq_unlink")]
pub fn unlink(name: &str) -> Result<()> {
    let path = checked_name("unlink", name)?;
    mqueue::unlink(&path).map_err(|errno| fail("unlink", &shown(name), errno))
}

impl Queue {
    /// Options to make or open a queue: to send and receive, with the default room, mode 0600.
    pub fn options() -> Options {
        Options {
            room: None,
            mode: 0o600,
            access: Access::Both,
        }
    }

    /// Opens the queue of that name, to send and receive.
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open(name: &str) -> Result<Self> {
        Self::options().open(name)
    }

    /// A queue whose descriptor came from elsewhere: inherited, or over a socket.
    ///
    /// # Errors
    /// [`ErrorKind::WrongKind`] if it is no such queue.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        Self::over(fd, "without a name".into())
    }

    fn over(fd: OwnedFd, shown: String) -> Result<Self> {
        match mqueue::attributes(fd.as_fd()) {
            Ok(found) => Ok(Self {
                fd,
                shown,
                bytes_max: usize::try_from(found.room.len_max).unwrap_or(usize::MAX),
            }),
            Err(errno) => Err(fail("open", &shown, errno)
                .with_kind(ErrorKind::WrongKind)
                .because("the descriptor is no POSIX queue")),
        }
    }

    /// The most bytes in a message, and the room that a buffer must have.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Another descriptor of the same open queue, such as a child's standard input.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`]: no more descriptors.
    pub fn try_clone(&self) -> Result<OwnedFd> {
        self.fd.try_clone().map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::MFILE);
            self.fail("duplicate", errno)
        })
    }

    /// Sends a message of this priority, 0 to [`PRIORITY_MAX`]; waits for room.
    ///
    /// # Errors
    /// [`ErrorKind::TooLong`] for more than [`bytes_max`](Self::bytes_max);
    /// [`ErrorKind::InvalidInput`] for a higher priority; [`ErrorKind::Denied`] if it was opened
    /// for receiving only.
    #[doc(alias = "mq_send")]
    #[inline]
    pub fn send(&self, priority: u32, bytes: &[u8]) -> Result<()> {
        loop {
            match mqueue::send(self.fd.as_fd(), bytes, priority) {
                Ok(()) => return Ok(()),
                Err(Errno::INTR) => {}
                // Somebody made the descriptor, which we share, non-blocking.
                Err(Errno::AGAIN) => self.ready(PollFlags::OUT, None)?,
                Err(errno) => return Err(self.not_sent(errno, bytes.len())),
            }
        }
    }

    /// [`send`](Self::send) without waiting; false: there is no room, and nothing was sent.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn try_send(&self, priority: u32, bytes: &[u8]) -> Result<bool> {
        loop {
            match mqueue::try_send(self.fd.as_fd(), bytes, priority) {
                Ok(()) => return Ok(true),
                Err(Errno::AGAIN) => return Ok(false),
                // A full queue is waited for until a moment that has passed, and a signal is first.
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.not_sent(errno, bytes.len())),
            }
        }
    }

    /// [`send`](Self::send) that waits for at most `timeout`; false: nothing was sent.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    #[doc(alias = "mq_timedsend")]
    pub fn send_for(&self, priority: u32, bytes: &[u8], timeout: Duration) -> Result<bool> {
        let sent = self.timed(PollFlags::OUT, timeout, || {
            Ok(self.try_send(priority, bytes)?.then_some(()))
        });
        Ok(sent?.is_some())
    }

    /// Receives a message: the oldest of the highest priority; waits for one.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if it was opened for sending only.
    #[doc(alias = "mq_receive")]
    pub fn recv(&self) -> Result<Message> {
        let mut bytes = vec![0; self.bytes_max];
        let (len, priority) = self.recv_into(&mut bytes)?;
        bytes.truncate(len);
        Ok(Message { priority, bytes })
    }

    /// [`recv`](Self::recv) without waiting; `None`: there is no message.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn try_recv(&self) -> Result<Option<Message>> {
        let mut bytes = vec![0; self.bytes_max];
        let received = self.try_recv_into(&mut bytes)?;
        Ok(received.map(|(len, priority)| {
            bytes.truncate(len);
            Message { priority, bytes }
        }))
    }

    /// [`recv`](Self::recv) that waits for at most `timeout`; `None`: no message came.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    #[doc(alias = "mq_timedreceive")]
    pub fn recv_for(&self, timeout: Duration) -> Result<Option<Message>> {
        self.timed(PollFlags::IN, timeout, || self.try_recv())
    }

    /// Receives a message into `buffer`: its length and its priority; waits for one. Allocates
    /// nothing.
    ///
    /// # Errors
    /// [`ErrorKind::TooLong`] if the buffer has less than [`bytes_max`](Self::bytes_max), whatever
    /// the message has: it stays. Otherwise as [`recv`](Self::recv).
    #[inline]
    pub fn recv_into(&self, buffer: &mut [u8]) -> Result<(usize, u32)> {
        loop {
            match mqueue::recv_priority(self.fd.as_fd(), buffer) {
                Ok(received) => return Ok(received),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.ready(PollFlags::IN, None)?,
                Err(errno) => return Err(self.not_received(errno, buffer.len())),
            }
        }
    }

    /// [`recv_into`](Self::recv_into) without waiting; `None`: there is no message.
    ///
    /// # Errors
    /// As [`recv_into`](Self::recv_into).
    pub fn try_recv_into(&self, buffer: &mut [u8]) -> Result<Option<(usize, u32)>> {
        loop {
            match mqueue::try_recv(self.fd.as_fd(), buffer) {
                Ok(received) => return Ok(Some(received)),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.not_received(errno, buffer.len())),
            }
        }
    }

    /// [`recv_into`](Self::recv_into) that waits for at most `timeout`; `None`: no message came.
    ///
    /// # Errors
    /// As [`recv_into`](Self::recv_into).
    pub fn recv_into_for(
        &self,
        buffer: &mut [u8],
        timeout: Duration,
    ) -> Result<Option<(usize, u32)>> {
        self.timed(PollFlags::IN, timeout, || self.try_recv_into(buffer))
    }

    /// Looks at it; nothing changes.
    ///
    /// # Errors
    /// None that the kernel documents.
    #[doc(alias = "mq_getattr")]
    pub fn stat(&self) -> Result<Stat> {
        let wrong = |errno| self.fail("look at", errno);
        let found = mqueue::attributes(self.fd.as_fd()).map_err(wrong)?;
        let file = fstat(&self.fd).map_err(wrong)?;
        Ok(Stat {
            messages: found.messages,
            messages_max: found.room.messages,
            bytes_max: found.room.len_max,
            uid: file.st_uid,
            gid: file.st_gid,
            mode: file.st_mode & 0o777,
        })
    }

    /// Changes who may read and write it from now on; those who have it open keep it. Its room
    /// cannot be changed.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] for others than its owner; [`ErrorKind::InvalidInput`] for other bits
    /// than read and write.
    pub fn set_mode(&self, mode: u32) -> Result<()> {
        if mode & !0o666 != 0 {
            return Err(self.fail("change", Errno::INVAL).because(format!(
                "mode {mode:#o} has bits that are neither read nor write"
            )));
        }
        fchmod(&self.fd, Mode::from_bits_retain(mode)).map_err(|errno| self.fail("change", errno))
    }

    /// Tries, and waits until it is worth trying again, until the time is up.
    fn timed<T>(
        &self,
        interest: PollFlags,
        timeout: Duration,
        mut attempt: impl FnMut() -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let deadline = Deadline::after(timeout);
        loop {
            if let Some(done) = attempt()? {
                return Ok(Some(done));
            }
            if deadline.passed() {
                return Ok(None);
            }
            self.ready(interest, Some(deadline))?;
        }
    }

    fn ready(&self, interest: PollFlags, deadline: Option<Deadline>) -> Result<()> {
        let left = deadline.map(|deadline| {
            let left = deadline.left();
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        let mut fds = [PollFd::new(&self.fd, interest)];
        match poll(&mut fds, left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(self.fail("wait for", errno)),
        }
    }

    #[cold]
    fn fail(&self, operation: &'static str, errno: Errno) -> Error {
        fail(operation, &self.shown, errno)
    }

    #[cold]
    fn not_sent(&self, errno: Errno, len: usize) -> Error {
        let error = self.fail("send to", errno);
        if errno != Errno::MSGSIZE {
            return error;
        }
        error.because(format!(
            "{len} bytes; the limit is {}: {MESSAGE_LIMIT}",
            self.bytes_max
        ))
    }

    #[cold]
    fn not_received(&self, errno: Errno, len: usize) -> Error {
        let error = self.fail("receive from", errno);
        if errno != Errno::MSGSIZE {
            return error;
        }
        error.because(format!(
            "a buffer of {len} bytes, and its messages have up to {}",
            self.bytes_max
        ))
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Queue> for OwnedFd {
    fn from(queue: Queue) -> Self {
        queue.fd
    }
}

/// Ready when there is a message, which is looked at and not taken.
impl Waitable for Queue {
    fn member(&self) -> Member<'_> {
        Member::descriptor(self.fd.as_fd(), PollFlags::IN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_before_the_kernel_sees_them() {
        let of = |name: &str| checked_name("open", name).map(|name| name.into_bytes());
        assert_eq!(of("jobs").ok(), Some(b"/jobs".to_vec()));
        assert_eq!(of("/jobs").ok(), Some(b"/jobs".to_vec()));
        assert!(of(&"x".repeat(255)).is_ok() && of(&format!("/{}", "x".repeat(255))).is_ok());
        let long = "x".repeat(256);
        for wrong in ["", "/", ".", "/..", "//a", "a/b", "a\0b", &*long] {
            let kind = of(wrong).err().map(|error| error.kind());
            assert_eq!(kind, Some(ErrorKind::InvalidName), "{wrong}");
        }
    }
}
