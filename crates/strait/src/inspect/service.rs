//! Pipes and ports: names that lead to a listening socket, and whose that is.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{self, AtFlags, FileType};
use rustix::net::{AddressFamily, SocketType, socket};

use super::holders::Id;
use super::{Holder, Life};
use crate::object::Namespace;
use crate::object::space::socket::{self, Calling};

/// Flag of a socket that listens in `/proc/net/unix` (`__SO_ACCEPTCON`).
const LISTENS: u32 = 1 << 16;

/// A name under which an NT pipe or an LPC port is served.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Service {
    /// What is served.
    pub kind: ServiceKind,
    /// The name; a `#` and a hash for one that is too long to be told.
    pub name: String,
    /// Which of the namespaces looked at it belongs to.
    pub namespace: usize,
    /// [`Life::Held`] while somebody listens there, and [`Life::Leftover`] after a server that was
    /// killed: the name counts as free.
    pub life: Life,
    /// Owner of the name's file.
    pub uid: u32,
    /// Group of the file.
    pub gid: u32,
    /// Permission bits of the file: who may write it may connect.
    pub mode: u32,
    /// The processes that serve it, as far as they could be seen: those of this network namespace
    /// whose socket has the path by which the namespace is known here.
    pub holders: Vec<Holder>,
}

/// What is served under a name.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ServiceKind {
    /// An NT named pipe.
    Pipe,
    /// An LPC port.
    Port,
}

impl ServiceKind {
    /// Its word, as the command has it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pipe => "pipe",
            Self::Port => "port",
        }
    }
}

impl fmt::Display for ServiceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The service in that entry of the namespace of that number. `None`: it is something else.
pub(super) fn look(space: &Namespace, namespace: usize, entry: &str) -> Option<Service> {
    let (calling, name) = socket::understand(entry)?;
    let stat = fs::statat(space.fd(), entry, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return None;
    }
    Some(Service {
        kind: match calling {
            Calling::Pipe => ServiceKind::Pipe,
            Calling::Port => ServiceKind::Port,
        },
        name,
        namespace,
        life: match socket::is_alive(space, entry) {
            true => Life::Held,
            false => Life::Leftover,
        },
        uid: stat.st_uid,
        gid: stat.st_gid,
        mode: stat.st_mode & 0o7777,
        holders: Vec::new(),
    })
}

/// The listening sockets that have these paths, each with the number of its path.
pub(super) fn sockets<'a>(paths: impl Iterator<Item = &'a Path> + Clone) -> Vec<(usize, Id)> {
    if paths.clone().next().is_none() {
        return Vec::new();
    }
    // Sockets are files of one file system; any of them tells which.
    let any: Option<OwnedFd> = socket(AddressFamily::UNIX, SocketType::DGRAM, None).ok();
    let Some(any) = any.and_then(|any| fs::fstat(any).ok()) else {
        return Vec::new();
    };
    let text = std::fs::read("/proc/net/unix").unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let listening = text.lines().skip(1).filter_map(listening);
    let found = listening.filter_map(|(inode, path)| {
        let at = paths.clone().position(|known| known == Path::new(path))?;
        Some((at, Id::of(&any).with_inode(inode)))
    });
    found.collect()
}

/// Inode and path of a line of `/proc/net/unix` (`proc_pid_net(5)`), if the socket listens.
fn listening(line: &str) -> Option<(u64, &str)> {
    let mut rest = line;
    let mut next = || {
        let (column, after) = rest.trim_start().split_once(' ')?;
        rest = after;
        Some(column)
    };
    let flags = u32::from_str_radix(next_after(&mut next, 3)?, 16).ok()?;
    let inode = next_after(&mut next, 2)?.parse().ok()?;
    (flags & LISTENS != 0).then_some((inode, rest))
}

/// The column behind so many others.
fn next_after<'a>(next: &mut impl FnMut() -> Option<&'a str>, skipped: usize) -> Option<&'a str> {
    for _ in 0..skipped {
        next()?;
    }
    next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_table() {
        let line = "ffff8881: 00000002 00000000 00010000 0005 01 31337 /run/user/0/a b";
        assert_eq!(listening(line), Some((31_337, "/run/user/0/a b")));
        let connected = "ffff8881: 00000002 00000000 00000000 0005 03 31337 /run/a";
        assert_eq!(listening(connected), None);
        assert_eq!(
            listening("ffff8881: 00000002 00000000 00010000 0005 01 31337"),
            None
        );
        assert_eq!(listening(""), None);
    }
}
