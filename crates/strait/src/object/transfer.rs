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

/// Most descriptors that one value goes by, and most bytes that say what they are: a byte counts
/// them.
pub(crate) const FILES_MAX: usize = 6;
pub(crate) const NOTE_MAX: usize = 240;

/// What goes to another process for a value: descriptors, and a few bytes that say what they are.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Parcel {
    pub(crate) files: Vec<OwnedFd>,
    pub(crate) note: Vec<u8>,
    /// Where the value belongs, for those who are told by their environment.
    pub(crate) space: Option<PathBuf>,
}

/// A borrowed handle to an object.
#[doc(hidden)]
#[derive(Debug)]
pub struct RawRef<'a>(pub(crate) &'a Handle);

/// A value that can go to another process: a handle, or the end of a channel. Implemented here
/// only.
pub trait Transferable: Sized {
    #[doc(hidden)]
    fn pack(&self, verb: &'static str) -> Result<Parcel>;

    /// The handle, where it is one to an object.
    #[doc(hidden)]
    fn raw(&self) -> Option<RawRef<'_>> {
        None
    }

    #[doc(hidden)]
    fn unpack(parcel: Parcel, spaces: &[Namespace]) -> Result<Self>;
}

impl Parcel {
    /// A handle of its own to the same object.
    pub(crate) fn of_handle(handle: &Handle, verb: &'static str) -> Result<Self> {
        let file = handle.fresh_description(handle.rights)?;
        let file = file.ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, verb, handle.full_name())
                .because("a private object cannot leave its process: create it `.shared()`")
        })?;
        let mut note = MAGIC.to_vec();
        note.extend([handle.rights.bits(), 0, 0, 0, 0, 0, 0, 0]);
        Ok(Self {
            files: vec![file],
            note,
            space: handle.space().map(|space| space.path().to_owned()),
        })
    }

    /// The handle to an object of that kind that a peer says this is.
    pub(crate) fn into_handle(self, kind: Kind, spaces: &[Namespace]) -> Result<Handle> {
        let wrong = |why: &str| Error::new(ErrorKind::Layout, "receive handle", "").because(why);
        let Ok([file]) = <[OwnedFd; 1]>::try_from(self.files) else {
            return Err(wrong("a handle comes as one descriptor"));
        };
        let rights = match self.note.strip_prefix(MAGIC) {
            Some([rights, 0, 0, 0, 0, 0, 0, 0]) => Rights::from_bits(*rights),
            _ => return Err(wrong("not the message of a handle")),
        };
        let rights = rights.ok_or_else(|| wrong("unknown rights"))?;
        let handle = Handle::received(file, rights, spaces)?;
        if handle.kind == kind {
            return Ok(handle);
        }
        Err(
            Error::new(ErrorKind::WrongKind, "receive handle", handle.full_name()).because(
                format!("it is a handle to a {}, not to a {kind}", handle.kind),
            ),
        )
    }
}

const FILE_MAGIC: &[u8; 8] = b"STRAITF1";

/// Any descriptor: what it is, the receiver must find out.
impl Transferable for OwnedFd {
    fn pack(&self, verb: &'static str) -> Result<Parcel> {
        let file = rustix::io::fcntl_dupfd_cloexec(self, 3)
            .map_err(|errno| Error::kernel(errno, verb, ""))?;
        Ok(Parcel {
            files: vec![file],
            note: FILE_MAGIC.to_vec(),
            space: None,
        })
    }

    fn unpack(parcel: Parcel, _: &[Namespace]) -> Result<Self> {
        match <[Self; 1]>::try_from(parcel.files) {
            Ok([file]) if parcel.note == FILE_MAGIC => Ok(file),
            _ => Err(Error::new(ErrorKind::WrongKind, "receive descriptor", "")
                .because("it is no plain descriptor")),
        }
    }
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
        let parcel = handle.pack("pass handle")?;
        let numbers: Vec<_> = parcel
            .files
            .iter()
            .map(|file| file.as_raw_fd().to_string())
            .collect();
        let note: String = parcel
            .note
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let space = parcel.space.as_deref().map(name::escape_path);
        given.push(format!(
            "{escaped}={},{note},{}",
            numbers.join("+"),
            space.unwrap_or_default()
        ));
        for file in parcel.files {
            spawn::keep_open(self, file)
                .map_err(|errno| Error::kernel(errno, "pass handle", name.to_owned()))?;
        }
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
    let passed = passed(&given, name)?;
    let take = |number: &i32| {
        spawn::take_inherited(*number).map_err(|errno| match errno {
            strait_sys::Errno::BADF => Error::new(ErrorKind::NotFound, verb, name.to_owned())
                .because("it was taken, or is not open"),
            errno => Error::kernel(errno, verb, name.to_owned()),
        })
    };
    let files = passed.numbers.iter().map(take).collect::<Result<_>>()?;
    let space = passed.space.as_deref().map(known_space).transpose()?;
    let parcel = Parcel {
        files,
        note: passed.note,
        space: None,
    };
    T::unpack(parcel, space.as_slice()).map_err(|error| error.during(verb, name))
}

/// What the environment says was passed under a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Passed {
    /// The numbers of its descriptors.
    pub(crate) numbers: Vec<i32>,
    /// What they are.
    pub(crate) note: Vec<u8>,
    /// The directory of the namespace it belongs to.
    pub(crate) space: Option<PathBuf>,
}

pub(crate) fn passed(given: &str, name: &str) -> Result<Passed> {
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
    match read_passed(entry) {
        Some(passed) => Ok(passed),
        None => wrong(
            ErrorKind::Layout,
            "the environment's entry for it is malformed",
        ),
    }
}

fn read_passed(entry: &str) -> Option<Passed> {
    let mut fields = entry.splitn(3, ',');
    let numbers = fields.next()?.split('+').map(|number| number.parse().ok());
    let numbers: Vec<i32> = numbers.collect::<Option<_>>()?;
    let (pairs, []) = fields.next()?.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok();
    let note: Vec<u8> = pairs.iter().map(byte).collect::<Option<_>>()?;
    let space = fields.next()?;
    if numbers.len() > FILES_MAX || note.len() > NOTE_MAX {
        return None;
    }
    let space = (!space.is_empty()).then(|| name::unescape_path(space));
    Some(Passed {
        numbers,
        note,
        space: match space {
            Some(space) => Some(space?),
            None => None,
        },
    })
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
    /// Sends a handle of its own; this one stays. The message of one to an object is 16 bytes and a
    /// descriptor.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a private object; what sendmsg(2) answers.
    fn send_handle<T: Transferable>(&self, handle: &T) -> Result<()> {
        let verb = "send handle";
        let parcel = handle.pack(verb)?;
        let files: Vec<_> = parcel.files.iter().map(AsFd::as_fd).collect();
        let sent = pass::send(self.as_fd(), &parcel.note, &files)
            .map_err(|errno| Error::kernel(errno, verb, ""))?;
        if sent == parcel.note.len() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::PeerGone, verb, "").because("cut short"))
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
        let mut note = [0; NOTE_MAX];
        let (len, files) =
            pass::recv(self.as_fd(), &mut note, FILES_MAX).map_err(|errno| match errno {
                strait_sys::Errno::MSGSIZE => wrong("more than the message of a handle"),
                errno => Error::kernel(errno, verb, ""),
            })?;
        if len == 0 {
            return Err(Error::new(ErrorKind::PeerGone, verb, ""));
        }
        if files.is_empty() {
            return Err(wrong("no descriptor came with it"));
        }
        let parcel = Parcel {
            files,
            note: note[..len].to_vec(),
            space: None,
        };
        T::unpack(parcel, &with_own(spaces)).map_err(|error| {
            let subject = error.subject().to_owned();
            error.during(verb, subject)
        })
    }
}

/// These namespaces, the user's own and the machine's.
pub(crate) fn with_own(spaces: &[Namespace]) -> Vec<Namespace> {
    let own = [Namespace::local(), Namespace::global()];
    spaces
        .iter()
        .cloned()
        .chain(own.into_iter().flatten())
        .collect()
}

impl HandleSocket for std::os::unix::net::UnixStream {}
impl HandleSocket for std::os::unix::net::UnixDatagram {}
impl HandleSocket for OwnedFd {}
