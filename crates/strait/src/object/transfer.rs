//! How a handle reaches another process: inherited, passed at creation, sent, or duplicated.
//!
//! Each way hands over a freshly opened, locked description, never a dup of one: the object lives
//! while the description is in flight. Rights only shrink. What arrives is checked before it is
//! believed: a memfd sealed in size, or a file of a namespace that this process has opened.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::Command;

use strait_sys::{pass, spawn};

use crate::error::{Error, ErrorKind, Result};
use crate::object::handle::Handle;
use crate::object::kind::{Kind, Rights};
use crate::object::space::{Namespace, name};

/// Names, descriptors, rights and namespaces of what a process was given at its creation.
const ENVIRONMENT: &str = "STRAIT_HANDLES";
const MAGIC: &[u8; 8] = b"STRAITH1";

/// A handle on its way between the kinds and transfer.
#[doc(hidden)]
#[derive(Debug)]
pub struct Raw(pub(crate) Handle);

/// A borrowed [`Raw`].
#[doc(hidden)]
#[derive(Debug)]
pub struct RawRef<'a>(pub(crate) &'a Handle);

/// A typed handle that can go to another process. Implemented here only.
pub trait Transferable: Sized {
    /// Its kind.
    const KIND: Kind;

    #[doc(hidden)]
    fn raw(&self) -> RawRef<'_>;

    #[doc(hidden)]
    fn from_handle(raw: Raw) -> Result<Self>;
}

fn fresh<T: Transferable>(handle: &T, verb: &'static str) -> Result<OwnedFd> {
    let raw = handle.raw().0;
    raw.fresh_description(raw.rights)?.ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, verb, raw.full_name())
            .because("a private object cannot leave its process: create it `.shared()`")
    })
}

fn typed<T: Transferable>(handle: Handle, verb: &'static str) -> Result<T> {
    if handle.kind != T::KIND {
        return Err(
            Error::new(ErrorKind::WrongKind, verb, handle.full_name()).because(format!(
                "it is a handle to a {}, not to a {}",
                handle.kind,
                T::KIND
            )),
        );
    }
    T::from_handle(Raw(handle))
}

// ---- passed at creation --------------------------------------------------------------------

/// Passing handles to a child at its creation.
pub trait Pass {
    /// Gives the child a handle of its own under that name; it takes it with [`inherited`]. The
    /// object lives at least as long as this command.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a private object; [`ErrorKind::InvalidInput`] if the name is
    /// empty, or passed already; what opening a description answers.
    fn pass<T: Transferable>(&mut self, name: &str, handle: &T) -> Result<&mut Self>;
}

impl Pass for Command {
    fn pass<T: Transferable>(&mut self, name: &str, handle: &T) -> Result<&mut Self> {
        let fail = |why: &str| {
            Err(Error::new(ErrorKind::InvalidInput, "pass handle", name.to_owned()).because(why))
        };
        if name.is_empty() {
            return fail("the name is empty");
        }
        let mut given: Vec<String> = self
            .get_envs()
            .find(|(key, _)| *key == ENVIRONMENT)
            .and_then(|(_, value)| value?.to_str().map(str::to_owned))
            .map(|value| value.split(';').map(str::to_owned).collect())
            .unwrap_or_default();
        let escaped = name::escape(name.as_bytes());
        if given
            .iter()
            .any(|entry| entry.split('=').next() == Some(&*escaped))
        {
            return fail("a handle of that name is passed already");
        }
        let raw = handle.raw().0;
        let file = fresh(handle, "pass handle")?;
        let space = raw
            .space()
            .map_or_else(String::new, |space| name::escape_path(space.path()));
        given.push(format!(
            "{escaped}={},{},{space}",
            file.as_raw_fd(),
            raw.rights.bits()
        ));
        spawn::keep_open(self, file)
            .map_err(|errno| Error::kernel(errno, "pass handle", name.to_owned()))?;
        self.env(ENVIRONMENT, given.join(";"));
        Ok(self)
    }
}

/// Takes the handle that the parent passed under that name. Once: it is then this value's.
///
/// # Errors
/// [`ErrorKind::NotFound`] if none was passed, or it was taken; [`ErrorKind::WrongKind`];
/// [`ErrorKind::Layout`] if what is there is no such handle.
pub fn inherited<T: Transferable>(name: &str) -> Result<T> {
    let verb = "take inherited handle";
    let given = std::env::var(ENVIRONMENT).unwrap_or_default();
    let (fd, rights, path) = passed(&given, name)?;
    let file = spawn::take_inherited(fd).map_err(|errno| match errno {
        strait_sys::Errno::BADF => Error::new(ErrorKind::NotFound, verb, name.to_owned())
            .because("it was taken, or is not open"),
        errno => Error::kernel(errno, verb, name.to_owned()),
    })?;
    let spaces = [known_space(&path)?];
    Handle::received(file, rights, &spaces)
        .and_then(|handle| typed(handle, verb))
        .map_err(|error| error.during(verb, name))
}

/// What the environment says was passed under that name: number, rights, and the namespace's path.
pub(crate) fn passed(given: &str, name: &str) -> Result<(i32, Rights, PathBuf)> {
    let wrong = |kind, why: &str| {
        Err(Error::new(kind, "take inherited handle", name.to_owned()).because(why))
    };
    let escaped = name::escape(name.as_bytes());
    let entry = given
        .split(';')
        .find_map(|entry| entry.split_once('=').filter(|(key, _)| *key == escaped));
    let Some((_, entry)) = entry else {
        return wrong(ErrorKind::NotFound, "the parent passed none of that name");
    };
    let read = || {
        let mut fields = entry.splitn(3, ',');
        let fd = fields.next()?.parse().ok()?;
        let rights = Rights::from_bits(fields.next()?.parse().ok()?)?;
        Some((fd, rights, name::unescape_path(fields.next()?)?))
    };
    match read() {
        Some(read) => Ok(read),
        None => wrong(
            ErrorKind::Layout,
            "the environment's entry for it is malformed",
        ),
    }
}

/// A duplicate of the descriptor that the parent left open under that number, such as a shell's
/// `3<file` or standard input. The number itself is left alone: it may have an owner already.
///
/// # Errors
/// [`ErrorKind::NotFound`] if it is not open, or this process opened it itself;
/// [`ErrorKind::Exhausted`] if there are no descriptors left.
pub fn inherited_descriptor(number: i32) -> Result<OwnedFd> {
    spawn::duplicate_inherited(number).map_err(|errno| {
        let verb = "duplicate inherited descriptor";
        match errno {
            strait_sys::Errno::BADF => Error::new(ErrorKind::NotFound, verb, number.to_string())
                .because("the parent left none of that number"),
            errno => Error::kernel(errno, verb, number.to_string()),
        }
    })
}

fn known_space(path: &std::path::Path) -> Result<Namespace> {
    for known in [Namespace::local(), Namespace::global()]
        .into_iter()
        .flatten()
    {
        if known.path() == path {
            return Ok(known);
        }
    }
    Namespace::directory(path)
}

// ---- sent over a socket --------------------------------------------------------------------

/// Sending and receiving handles over a Unix socket.
pub trait HandleSocket: AsFd {
    /// Sends a handle of its own; this one stays. The message is 16 bytes and a descriptor.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a private object; what sendmsg(2) answers.
    fn send_handle<T: Transferable>(&self, handle: &T) -> Result<()> {
        let file = fresh(handle, "send handle")?;
        let raw = handle.raw().0;
        let mut message = [0; 16];
        message[..8].copy_from_slice(MAGIC);
        message[8] = raw.rights.bits();
        let sent = pass::send(self.as_fd(), &message, &[file.as_fd()])
            .map_err(|errno| Error::kernel(errno, "send handle", raw.full_name()))?;
        if sent == message.len() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::PeerGone, "send handle", raw.full_name()).because("cut short"))
    }

    /// Receives a handle of that kind. It must belong to the user's own namespace, to the
    /// machine's, or to one of `spaces`.
    ///
    /// # Errors
    /// [`ErrorKind::WrongKind`]; [`ErrorKind::Layout`] for a descriptor that is no handle;
    /// [`ErrorKind::NotFound`] for one of another namespace; [`ErrorKind::PeerGone`]. The
    /// descriptor is closed then.
    fn receive_handle<T: Transferable>(&self, spaces: &[Namespace]) -> Result<T> {
        let verb = "receive handle";
        let wrong = |why: &str| Error::new(ErrorKind::Layout, verb, "").because(why);
        let mut message = [0; 16];
        let (len, files) =
            pass::recv(self.as_fd(), &mut message, 1).map_err(|errno| match errno {
                strait_sys::Errno::MSGSIZE => wrong("more than the message of a handle"),
                errno => Error::kernel(errno, verb, ""),
            })?;
        if len == 0 {
            return Err(Error::new(ErrorKind::PeerGone, verb, ""));
        }
        let file = files
            .into_iter()
            .next()
            .ok_or_else(|| wrong("no descriptor came with it"))?;
        let rights = Rights::from_bits(message[8]).ok_or_else(|| wrong("unknown rights"))?;
        if len != message.len() || &message[..8] != MAGIC || message[9..] != [0; 7] {
            return Err(wrong("not the message of a handle"));
        }
        let mut known = spaces.to_vec();
        known.extend(
            [Namespace::local(), Namespace::global()]
                .into_iter()
                .flatten(),
        );
        Handle::received(file, rights, &known)
            .and_then(|handle| typed(handle, verb))
            .map_err(|error| {
                let subject = error.subject().to_owned();
                error.during(verb, subject)
            })
    }
}

impl HandleSocket for std::os::unix::net::UnixStream {}
impl HandleSocket for std::os::unix::net::UnixDatagram {}
impl HandleSocket for OwnedFd {}
