//! Who is at the other end, and acting as him.

use std::os::fd::AsFd;

use strait_sys::identity::{Assumed, assume};
use strait_sys::{Errno, sockopt};

use crate::error::{Error, ErrorKind, Result};
use crate::nt::pipe::end::End;
use crate::nt::status::NtStatus;

/// Who is at the other end, as the kernel said: the client when it opened the pipe, the server when
/// it made it.
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
    pub(super) fn of(end: &End) -> Self {
        let peer = end.peer();
        Self {
            pid: peer.pid,
            uid: peer.uid,
            gid: peer.gid,
            // None where the kernel does not tell.
            groups: sockopt::peer_groups(end.link.socket.as_fd()).unwrap_or_default(),
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
    pub(super) fn of(end: &End, verb: &'static str) -> Result<Self> {
        let client = Identity::of(end);
        match assume(client.uid, client.gid, &client.groups) {
            Ok(assumed) => Ok(Self { _assumed: assumed }),
            Err(Errno::PERM) => Err(end.fault(NtStatus::PRIVILEGE_NOT_HELD, verb)),
            Err(Errno::BUSY) => Err(Error::new(ErrorKind::Busy, verb, &*end.name)
                .because("this thread acts as somebody else already")),
            Err(errno) => Err(Error::kernel(errno, verb, &*end.name)),
        }
    }

    /// The thread is itself again. NT: RevertToSelf.
    pub fn revert(self) {}
}
