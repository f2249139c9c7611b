//! Who is at the other end of a session, and acting as him.

use std::os::fd::AsFd;

use strait_sys::identity::{Assumed, assume};
use strait_sys::{Errno, sockopt};

use crate::channel::link::Link;
use crate::error::{Error, ErrorKind, Result};

/// Who is at the other end, as the kernel said: a client when it connected, a server when it began
/// to listen.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Identity {
    /// The process; 0 if it is outside of this PID namespace.
    pub pid: u32,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
    /// Its other groups.
    pub groups: Vec<u32>,
}

impl Identity {
    pub(crate) fn of(link: &Link) -> Self {
        let peer = &link.peer;
        Self {
            pid: peer.pid,
            uid: peer.uid,
            gid: peer.gid,
            // None where the kernel does not tell.
            groups: sockopt::peer_groups(link.socket.as_fd()).unwrap_or_default(),
        }
    }
}

/// The calling thread acts as the client while this lives. It does not leave its thread.
#[derive(Debug)]
#[must_use = "the thread is itself again when this is dropped"]
pub struct Impersonation {
    _assumed: Assumed,
}

impl Impersonation {
    /// # Errors
    /// [`ErrorKind::Denied`] without the capabilities; [`ErrorKind::Busy`].
    pub(crate) fn of(link: &Link, verb: &'static str, subject: &str) -> Result<Self> {
        let client = Identity::of(link);
        assume(client.uid, client.gid, &client.groups)
            .map(|assumed| Self { _assumed: assumed })
            .map_err(|errno| {
                let error = Error::kernel(errno, verb, subject);
                match errno {
                    Errno::PERM => {
                        error.because("to act as another user needs CAP_SETUID and CAP_SETGID")
                    }
                    Errno::BUSY => error
                        .with_kind(ErrorKind::Busy)
                        .because("this thread acts as somebody else already"),
                    _ => error,
                }
            })
    }

    /// The thread is itself again. NT: RevertToSelf.
    pub fn revert(self) {}
}
