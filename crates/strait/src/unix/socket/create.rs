//! How sockets come to be: connected, listening, bound.

use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::ioctl_fionbio;
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_error};
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, accept_with, bind, connect, getpeername, getsockname,
    listen, socket_with,
};
use strait_sys::Errno;
use strait_sys::sockopt::{self, IntOption};
use strait_sys::time::Deadline;

use super::failure::{Patience, attempt, fail, rest, wait};
use super::{Address, Connected, Datagrams, Kind, Socket, shown};
use crate::error::Result;
use crate::object::space::claim::Claim;
use crate::object::wait::{Member, Waitable};

/// Connections that wait to be accepted, unless asked otherwise: the kernel allows no more than
/// /proc/sys/net/core/somaxconn, 4096 by default.
const BACKLOG: u32 = 128;

/// What must be said before a socket has its address.
#[derive(Clone, Debug)]
#[must_use]
pub struct Options<K> {
    mode: u32,
    backlog: u32,
    reuse_address: Option<bool>,
    reuse_port: bool,
    v6_only: Option<bool>,
    device: Option<String>,
    local: Option<Address>,
    kind: PhantomData<K>,
}

impl<K: Kind> Default for Options<K> {
    fn default() -> Self {
        Self {
            mode: 0o600,
            backlog: BACKLOG,
            reuse_address: None,
            reuse_port: false,
            v6_only: None,
            device: None,
            local: None,
            kind: PhantomData,
        }
    }
}

impl<K: Kind> Options<K> {
    /// Permission bits of the file of a path, whatever the umask is; 0600 unless said. To connect
    /// takes the write bit.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// How many connections may wait to be accepted; 128 unless said.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Takes an internet address though connections of an earlier listener linger there, or for
    /// datagrams though other such sockets have it (SO_REUSEADDR). Listeners do so unless said.
    pub fn reuse_address(mut self, yes: Reuse) -> Self {
        self.reuse_address = Some(yes == Reuse::Yes);
        self
    }

    /// Shares a port with other sockets of this user that say so too; the kernel spreads what comes
    /// over them (SO_REUSEPORT).
    pub fn reuse_port(mut self) -> Self {
        self.reuse_port = true;
        self
    }

    /// An IPv6 address without IPv4 behind it (IPV6_V6ONLY).
    pub fn v6_only(mut self) -> Self {
        self.v6_only = Some(true);
        self
    }

    /// An IPv6 address with IPv4 behind it, whatever the system's default is.
    pub fn dual_stack(mut self) -> Self {
        self.v6_only = Some(false);
        self
    }

    /// Only through that network device, of at most 15 bytes (SO_BINDTODEVICE).
    pub fn device(mut self, name: impl Into<String>) -> Self {
        self.device = Some(name.into());
        self
    }

    /// The own address of a socket that connects; else it has none, or one of the kernel's choice.
    pub fn local(mut self, address: Address) -> Self {
        self.local = Some(address);
        self
    }

    /// Connects, for as long as it takes. A signal does not end it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound): no such path;
    /// [`ErrorKind::PeerGone`](crate::ErrorKind::PeerGone): nobody listens there;
    /// [`ErrorKind::WrongKind`](crate::ErrorKind::WrongKind): a socket of another kind does;
    /// [`ErrorKind::Denied`](crate::ErrorKind::Denied): no write permission for the path.
    pub fn connect(&self, to: &Address) -> Result<Socket<K>> {
        loop {
            if let Some(socket) = self.connect_until(to, Patience::Forever)? {
                return Ok(socket);
            }
        }
    }

    /// Connects within that time, or gives up: `None`. A Unix listener whose backlog is full keeps
    /// it waiting, as does an internet host that is silent.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    pub fn connect_for(&self, to: &Address, timeout: Duration) -> Result<Option<Socket<K>>> {
        self.connect_until(to, Patience::Until(Deadline::after(timeout)))
    }

    fn connect_until(&self, to: &Address, patience: Patience) -> Result<Option<Socket<K>>> {
        let failed = |errno| fail(errno, "connect socket to", to.to_string());
        let fd = self.fresh(to.family()).map_err(failed)?;
        let claim = match &self.local {
            Some(local) => self.take(fd.as_fd(), local)?,
            None => None,
        };
        let reach = to.reach().map_err(failed)?;
        let begun = |fd: &OwnedFd| connect(fd, &reach.address);
        let connected = if to.family() == AddressFamily::UNIX {
            connect_unix(&fd, patience, begun)
        } else {
            connect_far(&fd, patience, begun)
        };
        if !connected.map_err(failed)? {
            return Ok(None);
        }
        Ok(Some(Socket::of(fd, claim)))
    }

    fn fresh(&self, family: AddressFamily) -> std::result::Result<OwnedFd, Errno> {
        let fd = socket_with(family, K::TYPE, SocketFlags::CLOEXEC, None)?;
        let yes = |option| sockopt::set(fd.as_fd(), option, 1);
        if self.reuse_port {
            yes(IntOption::REUSE_PORT)?;
        }
        if self.reuse_address == Some(true) {
            yes(IntOption::REUSE_ADDRESS)?;
        }
        if let Some(only) = self.v6_only
            && family == AddressFamily::INET6
        {
            sockopt::set(fd.as_fd(), IntOption::V6_ONLY, i32::from(only))?;
        }
        if let Some(device) = &self.device {
            sockopt::bind_to_device(fd.as_fd(), device.as_bytes())?;
        }
        Ok(fd)
    }

    /// Gives the socket its address.
    fn take(&self, fd: BorrowedFd<'_>, at: &Address) -> Result<Option<Claim>> {
        if let Address::Path(path) = at {
            return Claim::bind(fd, path, self.mode).map(Some);
        }
        let taken = at.reach().and_then(|reach| bind(fd, &reach.address));
        taken.map_err(|errno| fail(errno, "bind socket", at.to_string()))?;
        Ok(None)
    }
}

/// Whether to do so.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Reuse {
    /// Yes.
    Yes,
    /// No.
    No,
}

/// A full backlog makes this call sleep, for which only the socket's own timeout has an end: nobody
/// else has this socket yet.
fn connect_unix(
    fd: &OwnedFd,
    patience: Patience,
    begun: impl Fn(&OwnedFd) -> std::result::Result<(), Errno>,
) -> std::result::Result<bool, Errno> {
    loop {
        if let Patience::Until(deadline) = patience {
            // Zero would be without end; and beyond years the kernel counts it as that.
            let left = deadline.left().clamp(Duration::from_millis(1), YEARS);
            set_socket_timeout(fd, Timeout::Send, Some(left))?;
        }
        match begun(fd) {
            Ok(()) => break,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if rest(patience) => {}
            Err(Errno::AGAIN) => return Ok(false),
            Err(errno) => return Err(errno),
        }
    }
    if matches!(patience, Patience::Until(_)) {
        set_socket_timeout(fd, Timeout::Send, None)?;
    }
    Ok(true)
}

const YEARS: Duration = Duration::from_secs(1 << 30);

/// Begun without blocking, so that no signal leaves it half done, and waited for.
fn connect_far(
    fd: &OwnedFd,
    patience: Patience,
    begun: impl Fn(&OwnedFd) -> std::result::Result<(), Errno>,
) -> std::result::Result<bool, Errno> {
    ioctl_fionbio(fd, true)?;
    match begun(fd) {
        Ok(()) => {}
        Err(Errno::INPROGRESS | Errno::INTR) => loop {
            if !wait(fd.as_fd(), PollFlags::OUT, patience)? {
                return Ok(false);
            }
            socket_error(fd)??;
            if !matches!(getpeername(fd), Err(Errno::NOTCONN)) {
                break;
            }
        },
        Err(errno) => return Err(errno),
    }
    ioctl_fionbio(fd, false)?;
    Ok(true)
}

impl<K: Connected> Options<K> {
    /// Listens there. A path whose socket is gone (its process was killed) is reclaimed; anything
    /// else that is there is refused and stays. The file goes with the listener.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`](crate::ErrorKind::Exists): another socket has the address;
    /// [`ErrorKind::WrongKind`](crate::ErrorKind::WrongKind): the path is no socket;
    /// [`ErrorKind::Denied`](crate::ErrorKind::Denied): no permission for the directory, or to ask
    /// whether a stale socket's owner lives; [`ErrorKind::Busy`](crate::ErrorKind::Busy): the
    /// path is stale, and the lock for removing it was not to be had for 5 s.
    pub fn listen(&self, at: &Address) -> Result<Listener<K>> {
        let failed = |errno| fail(errno, "listen at", at.to_string());
        let fd = self.fresh(at.family()).map_err(failed)?;
        let inet = matches!(at, Address::Inet(_));
        if inet && K::TYPE == SocketType::STREAM && self.reuse_address.is_none() {
            sockopt::set(fd.as_fd(), IntOption::REUSE_ADDRESS, 1).map_err(failed)?;
        }
        // Between a wait and the accept another process may take the connection.
        ioctl_fionbio(&fd, true).map_err(failed)?;
        let claim = self.take(fd.as_fd(), at)?;
        let backlog = i32::try_from(self.backlog).unwrap_or(i32::MAX);
        listen(&fd, backlog).map_err(failed)?;
        Ok(Listener {
            claim,
            fd,
            kind: PhantomData,
        })
    }
}

impl Options<Datagrams> {
    /// A socket with that address, which receives whatever is sent there. Paths are reclaimed and
    /// removed as by [`listen`](Options::listen).
    ///
    /// # Errors
    /// As for [`listen`](Options::listen).
    pub fn bind(&self, at: &Address) -> Result<Socket<Datagrams>> {
        let fd = self.fresh(at.family());
        let fd = fd.map_err(|errno| fail(errno, "bind socket", at.to_string()))?;
        let claim = self.take(fd.as_fd(), at)?;
        Ok(Socket::of(fd, claim))
    }
}

/// A socket that is connected to, of streams or of packets. In a wait it is ready when there is a
/// connection to accept; that is taken by accepting it.
#[derive(Debug)]
pub struct Listener<K> {
    /// Goes first: the file is removed while the socket is alive.
    claim: Option<Claim>,
    fd: OwnedFd,
    kind: PhantomData<K>,
}

impl<K: Connected> Listener<K> {
    /// Listens there, with the usual options.
    ///
    /// # Errors
    /// As for [`Options::listen`].
    pub fn listen(at: &Address) -> Result<Self> {
        Options::default().listen(at)
    }

    /// Accepts a connection, for as long as it takes.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`](crate::ErrorKind::Exhausted) without a free descriptor: the
    /// connection waits on.
    pub fn accept(&self) -> Result<Socket<K>> {
        loop {
            if let Some(socket) = self.accept_until(Patience::Forever)? {
                return Ok(socket);
            }
        }
    }

    /// Accepts a connection that is there; else `None`.
    ///
    /// # Errors
    /// As for [`accept`](Self::accept).
    pub fn try_accept(&self) -> Result<Option<Socket<K>>> {
        self.accept_until(Patience::Never)
    }

    /// Accepts a connection within that time; `None` if none came.
    ///
    /// # Errors
    /// As for [`accept`](Self::accept).
    pub fn accept_for(&self, timeout: Duration) -> Result<Option<Socket<K>>> {
        self.accept_until(Patience::Until(Deadline::after(timeout)))
    }

    fn accept_until(&self, patience: Patience) -> Result<Option<Socket<K>>> {
        let accepted = attempt(self.fd.as_fd(), PollFlags::IN, patience, |_| {
            match accept_with(&self.fd, SocketFlags::CLOEXEC) {
                // It closed before it was accepted: the next one.
                Err(Errno::CONNABORTED | Errno::PROTO) => Err(Errno::INTR),
                other => other,
            }
        });
        let fd = accepted.map_err(|errno| fail(errno, "accept at", self.shown()))?;
        Ok(fd.map(|fd| Socket::of(fd, None)))
    }
}

impl<K: Kind> Listener<K> {
    /// Where it listens: with the port, or the name, that the kernel chose.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for an address of a family that
    /// is not known here.
    pub fn local_address(&self) -> Result<Address> {
        super::local_address(self.fd.as_fd(), self.claim.as_ref())
    }

    pub(super) fn shown(&self) -> String {
        shown(K::WORD, getsockname(&self.fd).ok())
    }
}

impl<K> AsFd for Listener<K> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl<K> Waitable for Listener<K> {
    fn member(&self) -> Member<'_> {
        Member::descriptor(self.fd.as_fd(), PollFlags::IN)
    }
}
