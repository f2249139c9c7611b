//! Which queues there are, and how many there may be.

use std::path::Path;

use rustix::process::{Resource, getrlimit};
use strait_sys::Errno;

use crate::error::{Error, ErrorKind, Result};

/// Where the kernel shows the queues of this IPC namespace, if somebody mounted it.
const SHOWN: &str = "/dev/mqueue";

/// The names of all queues of this IPC namespace, from `/dev/mqueue`.
///
/// # Errors
/// [`ErrorKind::Unsupported`] where that is not mounted: the kernel has no other list.
pub fn list() -> Result<Vec<String>> {
    // A directory that nobody mounted anything on is not one of queues.
    let mounted = rustix::fs::statfs(SHOWN).is_ok_and(|stat| stat.f_type == MQUEUE_MAGIC);
    if !mounted {
        let why = "the kernel lists them only there: `mkdir -p /dev/mqueue && mount -t mqueue \
                   none /dev/mqueue`";
        return Err(Error::new(ErrorKind::Unsupported, "list POSIX queues in", SHOWN).because(why));
    }
    let entries = Path::new(SHOWN).read_dir().map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        Error::kernel(errno, "list POSIX queues in", SHOWN)
    })?;
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut names: Vec<_> = names
        .map(|name| format!("/{}", name.to_string_lossy()))
        .collect();
    names.sort();
    Ok(names)
}

/// `MQUEUE_MAGIC` of the kernel's `ipc/mqueue.c`.
const MQUEUE_MAGIC: i64 = 0x1980_0202;

/// The limits of this IPC namespace (`/proc/sys/fs/mqueue`), and of this user.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// The most queues (`queues_max`; 256 unless changed).
    pub queues: u64,
    /// The most messages that an ordinary user's new queue takes (`msg_max`; 10 unless changed).
    pub messages: u64,
    /// The most bytes in a message of such a queue (`msgsize_max`; 8,192 unless changed).
    pub bytes: u64,
    /// The most bytes of all queues of one user, with some for each message (RLIMIT_MSGQUEUE;
    /// 819,200 unless changed). `None`: as many as there is memory for.
    #[doc(alias = "RLIMIT_MSGQUEUE")]
    pub user_bytes: Option<u64>,
}

/// The limits of this IPC namespace, and of this user.
///
/// # Errors
/// [`ErrorKind::Unsupported`] of a kernel without such queues; as open(2) has it if there is no
/// `/proc`.
pub fn limits() -> Result<Limits> {
    let read = |name: &str| {
        let path = format!("/proc/sys/fs/mqueue/{name}");
        let wrong = |errno| Error::kernel(errno, "read", path.clone());
        let text = std::fs::read_to_string(&path).map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            match (errno, Path::new("/proc/sys/fs").exists()) {
                (Errno::NOENT, true) => wrong(errno)
                    .with_kind(ErrorKind::Unsupported)
                    .because("this kernel was built without CONFIG_POSIX_MQUEUE"),
                _ => wrong(errno),
            }
        })?;
        text.trim().parse().map_err(|_| wrong(Errno::INVAL))
    };
    Ok(Limits {
        queues: read("queues_max")?,
        messages: read("msg_max")?,
        bytes: read("msgsize_max")?,
        user_bytes: getrlimit(Resource::Msgqueue).current,
    })
}
