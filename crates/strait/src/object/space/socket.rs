//! Names that lead to a listening socket: those of pipes and ports.
//!
//! A pipe or a port has its own space of names, beside that of the objects. Its file is a socket:
//! bound with its mode from the first moment, reclaimed when nobody listens any more, removed with
//! its listener. After SIGKILL the name is free once the process has exited; its file stays until
//! the name is taken again, or [`Namespace::collect`] runs.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, listen, socket_with};
use strait_sys::{Errno, sockopt};

use crate::error::{Error, ErrorKind, Result};
use crate::object::space::claim::{Claim, Reach, remove_stale};
use crate::object::space::name::Name;
use crate::object::space::{Namespace, Scope};

/// Connections that wait to be accepted, at most; the kernel may allow fewer.
const BACKLOG: i32 = 4096;
/// A name that is longer, escaped, becomes a hash: the kernel takes paths of 107 bytes.
const PLAIN_MAX: usize = 80;

/// A space of names that lead to sockets.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Calling {
    /// NT named pipes: case does not count.
    Pipe,
    /// LPC ports.
    Port,
}

impl fmt::Display for Calling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pipe => "pipe",
            Self::Port => "port",
        })
    }
}

impl Calling {
    /// What its files' names begin with. Those of objects begin with other letters.
    fn letter(self) -> char {
        match self {
            Self::Pipe => 'p',
            Self::Port => 'l',
        }
    }

    /// The file's name.
    fn key(self, name: &Name) -> String {
        let name = match self {
            Self::Pipe => fold(name),
            Self::Port => name.clone(),
        };
        let letter = self.letter();
        let key = name.key();
        // An escaped name begins with an `o`, and a hash with an `h`.
        if key.len() <= PLAIN_MAX {
            format!("{letter}{key}")
        } else {
            format!("{letter}{}", name.hash())
        }
    }

    /// The name that a file's stands for; a hash tells none.
    fn name_of(self, entry: &str) -> Option<String> {
        let key = entry.strip_prefix(self.letter())?;
        if let Some(escaped) = key.strip_prefix('o') {
            let bytes = super::name::unescape_path(escaped)?;
            return Some(bytes.to_string_lossy().into_owned());
        }
        key.strip_prefix('h').map(|hash| format!("#{hash}"))
    }
}

/// Case does not count in it: ASCII and what Unicode folds to one letter.
fn fold(name: &Name) -> Name {
    let folded = match std::str::from_utf8(name.as_bytes()) {
        Ok(text) => text.to_uppercase().to_lowercase().into_bytes(),
        Err(_) => name.as_bytes().to_ascii_lowercase(),
    };
    Name::of_pipe(&folded).unwrap_or_else(|_| name.clone())
}

/// A name that this process listens under.
#[derive(Debug)]
pub(crate) struct Listening {
    /// Before the socket: see [`Claim`].
    _claim: Claim,
    pub(crate) socket: OwnedFd,
}

/// A name with its namespace and space, as messages show it.
pub(crate) struct Place<'a> {
    pub(crate) space: &'a Namespace,
    pub(crate) calling: Calling,
    pub(crate) name: &'a Name,
}

impl Place<'_> {
    pub(crate) fn path(&self) -> PathBuf {
        self.space.path().join(self.calling.key(self.name))
    }

    pub(crate) fn shown(&self) -> String {
        self.space.full_name(self.name)
    }

    /// Takes the name and listens under it. `mode`: who may connect, by the bits for writing.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] while somebody listens under the name; what the kernel answers.
    pub(crate) fn listen(&self, mode: u32) -> Result<Listening> {
        let verb = match self.calling {
            Calling::Pipe => "create pipe",
            Calling::Port => "create port",
        };
        let fail = |errno| Error::kernel(errno, verb, self.shown());
        // Whatever makes names makes the directory a namespace first.
        self.space.domain_to_join()?;
        let socket = socket().map_err(fail)?;
        let claim = Claim::bind(socket.as_fd(), &self.path(), mode)
            .map_err(|error| error.during(verb, self.shown()))?;
        listen(&socket, BACKLOG).map_err(fail)?;
        Ok(Listening {
            _claim: claim,
            socket,
        })
    }

    /// A socket connected to whoever listens under the name.
    ///
    /// In the machine's namespace, where anybody may make names, the listener must be the owner of
    /// the file.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if nobody listens; [`ErrorKind::Busy`] if its backlog is full;
    /// [`ErrorKind::Denied`].
    pub(crate) fn connect(&self) -> Result<OwnedFd> {
        let verb = match self.calling {
            Calling::Pipe => "open pipe",
            Calling::Port => "connect to port",
        };
        let fail = |errno: Errno| {
            let error = Error::kernel(errno, verb, self.shown());
            match errno {
                Errno::CONNREFUSED | Errno::NOENT => error
                    .with_kind(ErrorKind::NotFound)
                    .because(format!("no {} of that name", self.calling)),
                Errno::AGAIN => error
                    .with_kind(ErrorKind::Busy)
                    .because("too many are waiting to be accepted"),
                Errno::LOOP | Errno::PROTOTYPE | Errno::NOTSOCK => error
                    .with_kind(ErrorKind::Layout)
                    .because("what is there was made by something else"),
                _ => error,
            }
        };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let key = self.calling.key(self.name);
        let file = openat(self.space.fd(), &*key, flags, Mode::empty()).map_err(fail)?;
        let found = fstat(&file).map_err(fail)?;
        if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
            return Err(fail(Errno::NOTSOCK));
        }
        let reach = Reach::through(file).map_err(fail)?;
        let socket = socket().map_err(fail)?;
        loop {
            match connect(&socket, &reach.address) {
                Ok(()) => break,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(fail(errno)),
            }
        }
        if self.space.scope() == Scope::Global {
            let peer = sockopt::peer_credentials(socket.as_fd()).map_err(fail)?;
            if peer.uid != found.st_uid {
                return Err(
                    Error::new(ErrorKind::Denied, verb, self.shown()).because(format!(
                        "uid {} listens there, but the name is uid {}'s",
                        peer.uid, found.st_uid
                    )),
                );
            }
        }
        Ok(socket)
    }
}

fn socket() -> std::result::Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

/// A directory entry that is a pipe's or a port's.
pub(crate) fn is_key(entry: &str) -> bool {
    let of = |calling: Calling| entry.starts_with(calling.letter());
    entry.len() > 1 && (of(Calling::Pipe) || of(Calling::Port))
}

/// What space of names a directory entry belongs to, and the name that it stands for.
pub(crate) fn understand(entry: &str) -> Option<(Calling, String)> {
    [Calling::Pipe, Calling::Port]
        .into_iter()
        .find_map(|calling| Some((calling, calling.name_of(entry)?)))
}

/// Removes the file if nobody listens there any more. Whether it did.
pub(crate) fn reap(space: &Namespace, entry: &str) -> bool {
    remove_stale(space.fd(), &space.path().join(entry))
}

pub(crate) fn is_alive(space: &Namespace, key: &str) -> bool {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let reach = openat(space.fd(), key, flags, Mode::empty()).and_then(Reach::through);
    reach.and_then(|reach| reach.is_bound()).unwrap_or(false)
}

/// The names in a space under which somebody listens.
pub(crate) fn names(space: &Namespace, calling: Calling) -> Result<Vec<String>> {
    let mut names: Vec<String> = space
        .entries()?
        .iter()
        .filter_map(|entry| Some((entry, calling.name_of(entry)?)))
        .filter(|(entry, _)| is_alive(space, entry))
        .map(|(_, name)| name)
        .collect();
    names.sort();
    Ok(names)
}
