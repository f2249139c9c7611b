//! What went wrong: a kind to match on, the operation, its subject, the reason, and the kernel's
//! code.
//!
//! Running out of time and finding a mutant abandoned are results, not errors. The NTSTATUS and
//! Win32 codes of an error are given by [`crate::nt::status`].

use std::fmt;

use strait_sys::Errno;
use strait_sys::signal::NotASignal;

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// The kinds of failure a caller may want to tell apart.
#[derive(Copy, Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No object of that name.
    NotFound,
    /// The name is taken.
    Exists,
    /// The name belongs to an object of another kind.
    WrongKind,
    /// The kernel, or the rights of this handle, forbid it.
    Denied,
    /// Not a name that the mechanism allows.
    InvalidName,
    /// The name leads through a directory that does not exist.
    PathNotFound,
    /// An argument is outside its documented range.
    InvalidInput,
    /// A semaphore or a mutant would pass its limit; nothing was changed.
    LimitExceeded,
    /// The calling thread does not own the mutant.
    NotOwner,
    /// Somebody uses it in a way that forbids this now, such as holding the name in transition.
    Busy,
    /// A peer damaged the shared memory: it was truncated, or never settles.
    Broken,
    /// The file is no object of this layout.
    Layout,
    /// Out of descriptors, memory, space in the file system, or record slots.
    Exhausted,
    /// This kernel or this kind of object cannot do it.
    Unsupported,
    /// The other process is gone.
    PeerGone,
    /// The other side said no.
    Refused,
    /// It did not happen in the time that was given for it.
    TimedOut,
    /// The object was removed for everybody, perhaps while this call waited for it.
    Removed,
    /// Its state does not allow this now: a pipe without a client, for one.
    WrongState,
    /// It was cancelled before it had happened.
    Cancelled,
    /// A message is longer than the room for it; nothing was lost.
    TooLong,
    /// Any other answer of the kernel: see [`Error::errno`].
    Kernel,
}

/// An error: what failed on what, why, and whose fault it was.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    subject: String,
    why: String,
    errno: Option<Errno>,
    /// The NTSTATUS, where it says more than the kind does.
    status: Option<u32>,
    /// The server of whose clients one is the reason.
    client_of: Option<u64>,
    /// Who is at the other end, where the subject names more than that.
    #[cfg(feature = "net")]
    peer: Option<String>,
    /// What an outer protocol says of it.
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(
        kind: ErrorKind,
        operation: &'static str,
        subject: impl Into<String>,
    ) -> Self {
        Self(Box::new(Inner {
            kind,
            operation,
            subject: subject.into(),
            why: String::new(),
            errno: None,
            status: None,
            client_of: None,
            #[cfg(feature = "net")]
            peer: None,
            source: None,
        }))
    }

    /// An error whose kind follows from the kernel's answer.
    pub(crate) fn kernel(
        errno: Errno,
        operation: &'static str,
        subject: impl Into<String>,
    ) -> Self {
        let mut error = Self::new(kind_of(errno), operation, subject);
        error.0.errno = Some(errno);
        error
    }

    /// Another kind than the kernel's answer suggests.
    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    pub(crate) fn because(mut self, why: impl Into<String>) -> Self {
        self.0.why = why.into();
        self
    }

    /// The same, of a kind that the mechanism's own table names.
    pub(crate) fn classed(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    pub(crate) fn with_status(mut self, status: u32) -> Self {
        self.0.status = Some(status);
        self
    }

    pub(crate) fn status(&self) -> Option<u32> {
        self.0.status
    }

    /// What it was in the words of a protocol, which are the reason too.
    #[cfg(feature = "net")]
    pub(crate) fn caused(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        if self.0.why.is_empty() {
            self.0.why = source.to_string();
        }
        self.0.source = Some(Box::new(source));
        self
    }

    /// The other end, which the subject names among other things.
    #[cfg(feature = "net")]
    pub(crate) fn with_peer(mut self, peer: impl Into<String>) -> Self {
        self.0.peer = Some(peer.into());
        self
    }

    #[cfg(feature = "net")]
    pub(crate) fn peer(&self) -> Option<&str> {
        self.0.peer.as_deref()
    }

    /// The bytes, the choice or the end of a client of that server made it fail: the server need
    /// not mind.
    pub(crate) fn of_client(mut self, server: u64) -> Self {
        self.0.client_of = Some(server);
        self
    }

    pub(crate) fn is_of_client(&self, server: u64) -> bool {
        self.0.client_of == Some(server)
    }

    /// The same failure, told from the caller's side: its operation and its subject.
    pub(crate) fn during(mut self, operation: &'static str, subject: impl Into<String>) -> Self {
        self.0.operation = operation;
        self.0.subject = subject.into();
        self
    }

    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The operation that failed, such as `open event`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// What it failed on, such as `Local\build-done`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// Why it failed, beyond what its kind says; empty if there is no more to say.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.0.why
    }

    /// The kernel's answer, where the kernel gave one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.0.errno.map(Errno::raw_os_error)
    }
}

fn kind_of(errno: Errno) -> ErrorKind {
    match errno {
        Errno::NOENT => ErrorKind::NotFound,
        Errno::EXIST => ErrorKind::Exists,
        Errno::ACCESS | Errno::PERM | Errno::ROFS => ErrorKind::Denied,
        Errno::INVAL => ErrorKind::InvalidInput,
        Errno::MFILE
        | Errno::NFILE
        | Errno::NOMEM
        | Errno::NOSPC
        | Errno::DQUOT
        | Errno::NOLCK
        | Errno::TOOMANYREFS => ErrorKind::Exhausted,
        Errno::BUSY => ErrorKind::Busy,
        Errno::NOSYS | Errno::OPNOTSUPP => ErrorKind::Unsupported,
        Errno::PIPE | Errno::CONNRESET | Errno::SRCH => ErrorKind::PeerGone,
        Errno::IDRM => ErrorKind::Removed,
        Errno::MSGSIZE => ErrorKind::TooLong,
        _ => ErrorKind::Kernel,
    }
}

impl ErrorKind {
    fn words(self) -> &'static str {
        match self {
            Self::NotFound => "no such object",
            Self::Exists => "the name is taken",
            Self::WrongKind => "the name belongs to an object of another kind",
            Self::Denied => "denied",
            Self::InvalidName => "not a valid name",
            Self::PathNotFound => "no such directory in the name",
            Self::InvalidInput => "invalid argument",
            Self::LimitExceeded => "beyond its limit",
            Self::NotOwner => "the calling thread does not own it",
            Self::Busy => "busy",
            Self::Broken => "broken by a peer",
            Self::Layout => "not an object of this layout",
            Self::Exhausted => "out of resources",
            Self::Unsupported => "not supported here",
            Self::PeerGone => "the other process is gone",
            Self::Refused => "refused",
            Self::TimedOut => "the time ran out",
            Self::Removed => "it was removed",
            Self::WrongState => "not in this state",
            Self::Cancelled => "cancelled",
            Self::TooLong => "too long",
            Self::Kernel => "refused by the kernel",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            kind,
            operation,
            subject,
            why,
            errno,
            ..
        } = &*self.0;
        write!(f, "{operation}")?;
        if !subject.is_empty() {
            write!(f, " {subject}")?;
        }
        write!(f, ": {}", kind.words())?;
        match (why.is_empty(), errno) {
            (false, Some(errno)) => write!(f, " ({why}; {errno})"),
            (false, None) => write!(f, " ({why})"),
            (true, Some(errno)) => write!(f, " ({errno})"),
            (true, None) => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.0.source.as_deref()?;
        Some(source)
    }
}

impl From<NotASignal> for Error {
    fn from(wrong: NotASignal) -> Self {
        Self::new(ErrorKind::InvalidInput, "name signal", "").because(wrong.to_string())
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::NotFound | ErrorKind::PathNotFound => std::io::ErrorKind::NotFound,
            ErrorKind::Exists => std::io::ErrorKind::AlreadyExists,
            ErrorKind::Denied => std::io::ErrorKind::PermissionDenied,
            ErrorKind::InvalidInput | ErrorKind::InvalidName => std::io::ErrorKind::InvalidInput,
            ErrorKind::Unsupported => std::io::ErrorKind::Unsupported,
            ErrorKind::Broken | ErrorKind::Layout => std::io::ErrorKind::InvalidData,
            _ => std::io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
