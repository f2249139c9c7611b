//! Plain channels by path: a socket's file that clients connect to.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, accept_with, connect, listen, socket_with,
};
use strait_sys::Errno;
use strait_sys::sockaddr::{Name, UNIX_MAX};
use strait_sys::time::Deadline;

use crate::channel::connect::{establish_accepting, establish_connecting, greet, insist};
use crate::channel::{Channel, Options, PLAIN};
use crate::error::{Error, ErrorKind, Result};
use crate::object::space::claim::{Claim, Reach};
use crate::object::wait::{Member, Waitable};

/// How long a client may take from connecting to its greeting.
const GREETING_MAX: Duration = Duration::from_secs(5);
/// Clients that have connected and not greeted; of more, the oldest is dropped.
const PENDING_MAX: usize = 128;
const BACKLOG: i32 = 1024;
const LISTEN: &str = "listen for channels";

/// A path under which channels are accepted.
///
/// A stale file of a listener that was killed is reclaimed; the file goes with the listener. A
/// client that connects and says nothing delays nobody.
#[derive(Debug)]
pub struct Listener {
    /// Before the socket.
    claim: Claim,
    socket: OwnedFd,
    pending: Vec<(OwnedFd, Deadline)>,
    options: Options,
}

fn socket() -> std::result::Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

impl Listener {
    /// Listens under `path`. `mode`: who may connect, by the bits for writing; 0o600 is the
    /// caller's own user.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] if somebody listens there; [`ErrorKind::WrongKind`] if what is there
    /// is no socket; what the kernel answers.
    pub fn bind(path: impl AsRef<Path>, mode: u32, options: &Options) -> Result<Self> {
        let path = path.as_ref();
        options.shape()?;
        let fail = |errno| Error::kernel(errno, LISTEN, path.display().to_string());
        let socket = socket().map_err(fail)?;
        let claim = Claim::bind(socket.as_fd(), path, mode)?;
        listen(&socket, BACKLOG).map_err(fail)?;
        Ok(Self {
            claim,
            socket,
            pending: Vec::new(),
            options: options.clone(),
        })
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.claim.path()
    }

    /// Accepts the next channel; blocks until there is one. A client that does not speak the
    /// protocol is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`] without descriptors or memory.
    pub fn accept(&mut self) -> Result<Channel> {
        loop {
            if let Some(channel) = self.accept_until(None)? {
                return Ok(channel);
            }
        }
    }

    /// [`accept`](Self::accept) for at most `timeout`.
    ///
    /// # Errors
    /// As for [`accept`](Self::accept).
    pub fn accept_for(&mut self, timeout: Duration) -> Result<Option<Channel>> {
        self.accept_until(Some(Deadline::after(timeout)))
    }

    fn accept_until(&mut self, until: Option<Deadline>) -> Result<Option<Channel>> {
        loop {
            let ready = self.wait(until)?;
            for index in ready.into_iter().rev() {
                let (socket, _) = self.pending.remove(index);
                let accepted =
                    establish_accepting(socket, &self.options, PLAIN, |_| Ok(Vec::new()));
                match accepted {
                    Ok((channel, _)) => return Ok(Some(channel)),
                    Err(error) if is_exhausted(&error) => return Err(error),
                    // Its own fault, and its own loss.
                    Err(_) => {}
                }
            }
            self.pending.retain(|(_, until)| !until.passed());
            self.take_new()?;
            if until.is_some_and(Deadline::passed) {
                return Ok(None);
            }
        }
    }

    /// Which pending clients have spoken, or gone.
    fn wait(&self, until: Option<Deadline>) -> Result<Vec<usize>> {
        let next = self
            .pending
            .iter()
            .map(|(_, until)| *until)
            .chain(until)
            .min();
        let timeout = next.map(|next| {
            let left = next.left();
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        let mut fds = vec![PollFd::new(&self.socket, PollFlags::IN)];
        fds.extend(
            self.pending
                .iter()
                .map(|(fd, _)| PollFd::new(fd, PollFlags::IN)),
        );
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::kernel(errno, LISTEN, self.shown())),
        }
        let spoke = |fd: &PollFd<'_>| !fd.revents().is_empty();
        Ok((0..self.pending.len())
            .filter(|index| spoke(&fds[index + 1]))
            .collect())
    }

    fn take_new(&mut self) -> Result<()> {
        loop {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            match accept_with(&self.socket, flags) {
                Ok(socket) => {
                    if self.pending.len() == PENDING_MAX {
                        self.pending.remove(0);
                    }
                    self.pending.push((socket, Deadline::after(GREETING_MAX)));
                    if self.pending.len() == PENDING_MAX {
                        // They may have spoken by now: nobody makes way who was not listened to.
                        return Ok(());
                    }
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(errno) => return Err(Error::kernel(errno, LISTEN, self.shown())),
            }
        }
    }

    fn shown(&self) -> String {
        self.path().display().to_string()
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Ready when a client has connected. It may not have spoken yet.
impl Waitable for Listener {
    fn member(&self) -> Member<'_> {
        Member::descriptor(self.socket.as_fd(), PollFlags::IN)
    }
}

impl Channel {
    /// A channel to whoever [listens](Listener) under `path`. Where the listener hangs up before it
    /// has read what this side wants, as on one of a crowd or one that was stopped for long, it is
    /// asked again, for a few seconds.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if nobody listens there; [`ErrorKind::Denied`];
    /// [`ErrorKind::Busy`] if too many wait to be accepted; those of [`Channel::connect`].
    pub fn open(path: impl AsRef<Path>, options: &Options) -> Result<Self> {
        let path = path.as_ref();
        let fail = |errno: Errno| {
            let error = Error::kernel(errno, "open channel", path.display().to_string());
            match errno {
                Errno::CONNREFUSED => error
                    .with_kind(ErrorKind::NotFound)
                    .because("whoever listened there has ended"),
                Errno::AGAIN => error
                    .with_kind(ErrorKind::Busy)
                    .because("too many are waiting to be accepted"),
                Errno::PROTOTYPE => error
                    .with_kind(ErrorKind::WrongKind)
                    .because("what listens there is a socket of another kind"),
                _ => error,
            }
        };
        insist(None, || {
            Self::open_once(&reach(path).map_err(fail)?, options, fail)
        })
    }

    fn open_once(reach: &Reach, options: &Options, fail: impl Fn(Errno) -> Error) -> Result<Self> {
        let socket = socket().map_err(&fail)?;
        while let Err(errno) = connect(&socket, &reach.address) {
            if errno != Errno::INTR {
                return Err(fail(errno));
            }
        }
        let greeting = greet(&socket, options, PLAIN, &[])?;
        Ok(establish_connecting(socket, options, greeting, None)?.0)
    }
}

/// Whether this process has no room for a client. Descriptors on their way are counted by user: the
/// client has been told.
fn is_exhausted(error: &Error) -> bool {
    let by_user = Some(Errno::TOOMANYREFS.raw_os_error());
    error.kind() == ErrorKind::Exhausted && error.errno() != by_user
}

fn reach(path: &Path) -> std::result::Result<Reach, Errno> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() <= UNIX_MAX {
        return Reach::by_name(&Name::Path(bytes));
    }
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    let mode = rustix::fs::Mode::empty();
    let file = rustix::fs::openat(rustix::fs::CWD, PathBuf::from(path), flags, mode)?;
    Reach::through(file)
}
