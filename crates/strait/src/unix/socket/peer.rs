//! Who is at the other end, as the kernel vouches for it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::process::Pid;
use strait_sys::{Errno, pass, pidfd, sockopt};

use super::failure::fail;
use super::{Kind, Socket};
use crate::error::Result;
use crate::object::wait::{Member, Waitable};

/// A process with its user and group, checked or supplied by the kernel.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Credentials {
    /// Its id; 0 for a process outside of this pid namespace. The number may be another's by the
    /// time it is used: see [`PeerProcess`].
    pub pid: u32,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}

impl From<pass::Sender> for Credentials {
    fn from(pass::Sender { pid, uid, gid }: pass::Sender) -> Self {
        Self { pid, uid, gid }
    }
}

/// A process as a descriptor, which stays its own: ready in a wait when the process has exited.
#[derive(Debug)]
pub struct PeerProcess {
    fd: OwnedFd,
    exact: bool,
}

impl PeerProcess {
    pub(super) fn exact(fd: OwnedFd) -> Self {
        Self { fd, exact: true }
    }

    /// Whether the kernel named the process itself. Otherwise (before Linux 6.5) it was looked up
    /// by its id, which may have been given to another process by then.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.exact
    }
}

impl AsFd for PeerProcess {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Waitable for PeerProcess {
    fn member(&self) -> Member<'_> {
        Member::descriptor(self.as_fd(), PollFlags::IN)
    }
}

impl<K: Kind> Socket<K> {
    /// Who connected, listened, or made the pair: as it was at that time (SO_PEERCRED). Unix
    /// sockets only.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if there is no peer;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) on other sockets.
    pub fn peer(&self) -> Result<Credentials> {
        let verb = "ask for the peer of";
        let peer = sockopt::peer_credentials(self.as_fd())
            .map_err(|errno| fail(errno, verb, self.shown()))?;
        if peer.uid == u32::MAX && peer.pid == 0 {
            return Err(fail(Errno::NOTCONN, verb, self.shown()));
        }
        Ok(peer.into())
    }

    /// The same process as a descriptor (SO_PEERPIDFD), or where the kernel has none, the process
    /// that has its id now.
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`](crate::ErrorKind::PeerGone) if it has exited and was waited for,
    /// before Linux 6.16; from then on it is a descriptor that is ready.
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if there is no peer.
    pub fn peer_process(&self) -> Result<PeerProcess> {
        let verb = "open the peer of";
        match sockopt::peer_pidfd(self.as_fd()) {
            Ok(fd) => return Ok(PeerProcess { fd, exact: true }),
            Err(Errno::NOPROTOOPT) => {}
            // The kernel has no process to name any more.
            Err(Errno::INVAL) => return Err(fail(Errno::SRCH, verb, self.shown())),
            Err(Errno::NODATA) => return Err(fail(Errno::NOTCONN, verb, self.shown())),
            Err(errno) => return Err(fail(errno, verb, self.shown())),
        }
        let pid = i32::try_from(self.peer()?.pid).unwrap_or(0);
        let found = Pid::from_raw(pid).ok_or(Errno::SRCH).and_then(pidfd::open);
        let fd = found.map_err(|errno| fail(errno, verb, self.shown()))?;
        Ok(PeerProcess { fd, exact: false })
    }

    /// Its supplementary groups at that time (SO_PEERGROUPS).
    ///
    /// # Errors
    /// As for [`peer`](Self::peer).
    pub fn peer_groups(&self) -> Result<Vec<u32>> {
        sockopt::peer_groups(self.as_fd()).map_err(|errno| {
            let errno = if errno == Errno::NODATA {
                Errno::NOTCONN
            } else {
                errno
            };
            fail(errno, "ask for the groups of the peer of", self.shown())
        })
    }

    /// Its security label at that time (SO_PEERSEC); `None` where no security module labels
    /// sockets.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn peer_label(&self) -> Result<Option<Vec<u8>>> {
        match sockopt::peer_security(self.as_fd()) {
            Ok(mut label) => {
                if label.last() == Some(&0) {
                    label.pop();
                }
                Ok(Some(label))
            }
            Err(Errno::NOPROTOOPT) => Ok(None),
            Err(errno) => Err(fail(
                errno,
                "ask for the label of the peer of",
                self.shown(),
            )),
        }
    }
}
