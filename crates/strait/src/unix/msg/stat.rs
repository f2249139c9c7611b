//! What the kernel says of queues, of all of them, and of their limits; and what may be changed.

use std::time::SystemTime;

use strait_sys::Errno;
use strait_sys::sysv_msg::{self, Info};

use super::Queue;
use super::fail::{self, Doing};
use crate::error::{Error, Result};
use crate::unix::ipc::{Change, Key, Kind, Permissions, facts};

/// What a queue is like at this moment.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stat {
    /// Its id.
    #[doc(alias = "msqid")]
    pub id: i32,
    /// Its key.
    pub key: Key,
    /// Whose it is, and who may use it.
    pub permissions: Permissions,
    /// Messages in it.
    #[doc(alias = "msg_qnum")]
    pub messages: u64,
    /// Bytes of text in it.
    #[doc(alias = "msg_cbytes")]
    pub bytes: u64,
    /// The most bytes of text it takes, and the most messages. Unknown only in a
    /// [`list`](super::list) read from `/proc`, for a queue that this user may not read.
    #[doc(alias = "msg_qbytes")]
    pub bytes_max: Option<u64>,
    /// The process that sent last. Its number may be another's by now.
    #[doc(alias = "msg_lspid")]
    pub last_sender: Option<u32>,
    /// The process that received last.
    #[doc(alias = "msg_lrpid")]
    pub last_receiver: Option<u32>,
    /// When the last message was sent, in whole seconds.
    #[doc(alias = "msg_stime")]
    pub sent: Option<SystemTime>,
    /// When the last message was received, in whole seconds.
    #[doc(alias = "msg_rtime")]
    pub received: Option<SystemTime>,
    /// When it was made, or last changed.
    #[doc(alias = "msg_ctime")]
    pub changed: Option<SystemTime>,
}

impl Stat {
    fn new(id: i32, stat: &sysv_msg::Stat) -> Self {
        Self {
            id,
            key: Key::new(stat.perm.key.cast_unsigned()),
            permissions: Permissions::from(stat.perm),
            messages: stat.messages,
            bytes: stat.bytes,
            bytes_max: Some(stat.bytes_max),
            last_sender: facts::pid(stat.last_sender),
            last_receiver: facts::pid(stat.last_receiver),
            sent: facts::time(stat.sent_s),
            received: facts::time(stat.received_s),
            changed: facts::time(stat.changed_s),
        }
    }
}

/// The limits of this IPC namespace.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// The longest text of a message, in bytes (sysctl `kernel.msgmax`; 8,192 unless changed).
    #[doc(alias = "msgmax")]
    pub message_bytes: u64,
    /// The bytes that a new queue takes, and that an ordinary user may give one (`kernel.msgmnb`;
    /// 16,384 unless changed).
    #[doc(alias = "msgmnb")]
    pub queue_bytes: u64,
    /// The most queues (`kernel.msgmni`; 32,000 unless changed).
    #[doc(alias = "msgmni")]
    pub queues: u64,
}

/// The limits of this IPC namespace.
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) of a kernel without System V IPC.
pub fn limits() -> Result<Limits> {
    let info = sysv_msg::info().map_err(|errno| Kind::Queue.of_all("read limits of", errno))?;
    Ok(Limits {
        message_bytes: count(info.text_max),
        queue_bytes: count(info.bytes_max),
        queues: count(info.queues_max),
    })
}

/// What is in use in this IPC namespace.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Usage {
    /// Queues.
    pub queues: u64,
    /// Messages in all of them.
    pub messages: u64,
    /// Bytes of text in all of them.
    pub bytes: u64,
}

/// What is in use in this IPC namespace.
///
/// # Errors
/// As [`limits`].
pub fn usage() -> Result<Usage> {
    let info = sysv_msg::info().map_err(|errno| Kind::Queue.of_all("count", errno))?;
    Ok(Usage {
        queues: count(info.queues),
        messages: count(info.messages),
        bytes: count(info.bytes),
    })
}

/// The kernel counts in an `int`.
fn count(number: i32) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// All queues of this IPC namespace, also those that this user may not use, by index.
///
/// Where the kernel does not let everybody look at every queue, what is missing is taken from
/// `/proc/sysvipc/msg`.
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) of a kernel without System V IPC.
pub fn list() -> Result<Vec<Stat>> {
    let info = sysv_msg::info();
    if let Ok(Info {
        index_max, queues, ..
    }) = info
    {
        let found: Vec<Stat> = (0..=index_max)
            .filter_map(|index| sysv_msg::Queue::stat_any(index).ok())
            .map(|(queue, stat)| Stat::new(queue.id(), &stat))
            .collect();
        if !found.is_empty() || queues == 0 {
            return Ok(found);
        }
    }
    let listed = std::fs::read_to_string("/proc/sysvipc/msg").map_err(|error| match info {
        Err(errno) => Kind::Queue.of_all("list", errno),
        Ok(_) => {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            Error::kernel(errno, "list", "/proc/sysvipc/msg")
        }
    })?;
    let rows = listed.lines().skip(1).filter_map(row);
    Ok(rows
        .map(|row| match sysv_msg::Queue::from_id(row.id).stat() {
            Ok(stat) => Stat::new(row.id, &stat),
            Err(_) => row,
        })
        .collect())
}

/// A row of `/proc/sysvipc/msg`: key, msqid, perms (octal), cbytes, qnum, lspid, lrpid, uid, gid,
/// cuid, cgid, stime, rtime, ctime.
pub(crate) fn row(line: &str) -> Option<Stat> {
    let mut fields = line.split_whitespace();
    let key: i32 = fields.next()?.parse().ok()?;
    let id = fields.next()?.parse().ok()?;
    let mode = u16::from_str_radix(fields.next()?, 8).ok()?;
    let numbers: Vec<i64> = fields.map_while(|field| field.parse().ok()).collect();
    let [
        bytes,
        messages,
        sender,
        receiver,
        uid,
        gid,
        cuid,
        cgid,
        sent,
        received,
        changed,
    ] = *numbers.first_chunk()?;
    let perm = strait_sys::sysv::Perm {
        key,
        uid: u32::try_from(uid).ok()?,
        gid: u32::try_from(gid).ok()?,
        cuid: u32::try_from(cuid).ok()?,
        cgid: u32::try_from(cgid).ok()?,
        mode,
        seq: 0,
    };
    Some(Stat {
        id,
        key: Key::new(key.cast_unsigned()),
        permissions: Permissions::from(perm),
        messages: u64::try_from(messages).ok()?,
        bytes: u64::try_from(bytes).ok()?,
        bytes_max: None,
        last_sender: facts::pid(i32::try_from(sender).ok()?),
        last_receiver: facts::pid(i32::try_from(receiver).ok()?),
        sent: facts::time(sent),
        received: facts::time(received),
        changed: facts::time(changed),
    })
}

impl Queue {
    /// Looks at it. Takes read permission only on kernels that hide queues from those without
    /// (Linux before 4.17, or a seccomp filter).
    ///
    /// # Errors
    /// [`ErrorKind::Removed`](crate::ErrorKind::Removed);
    /// [`ErrorKind::Denied`](crate::ErrorKind::Denied), as above.
    pub fn stat(&self) -> Result<Stat> {
        let stat = self
            .look()
            .map_err(|errno| fail::of(self, errno, Doing::Stat))?;
        Ok(Stat::new(self.id(), &stat))
    }

    pub(super) fn look(&self) -> std::result::Result<sysv_msg::Stat, Errno> {
        match self.raw.stat() {
            // By its index, which an id contains, everybody may look.
            Err(Errno::ACCESS) => match sysv_msg::Queue::stat_any(self.id()) {
                Ok((found, stat)) if found == self.raw => Ok(stat),
                Ok(_) => Err(Errno::INVAL),
                Err(_) => Err(Errno::ACCESS),
            },
            other => other,
        }
    }

    /// Changes owner, group and mode. Of two that do so at once, the later one also undoes what the
    /// earlier one changed and it did not mean to: the kernel sets all or nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`](crate::ErrorKind::Denied) for others than owner, creator and
    /// CAP_SYS_ADMIN; [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a user or
    /// group that there is not, and a mode with other bits than read and write;
    /// [`ErrorKind::Removed`](crate::ErrorKind::Removed).
    #[doc(alias = "IPC_SET")]
    pub fn set(&self, change: Change) -> Result<()> {
        let wrong = |errno| fail::of(self, errno, Doing::Set);
        let now = self.look().map_err(wrong)?;
        let owner = change.over(&now.perm, || fail::subject(self))?;
        self.raw.set(owner, now.bytes_max).map_err(wrong)
    }

    /// Changes the most bytes of text, and the most messages, that it takes. One that holds more
    /// already keeps it.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`](crate::ErrorKind::Denied) as for [`set`](Self::set), and for more than
    /// [`Limits::queue_bytes`] without CAP_SYS_RESOURCE;
    /// [`ErrorKind::Removed`](crate::ErrorKind::Removed).
    #[doc(alias = "msg_qbytes")]
    pub fn set_bytes_max(&self, bytes: u64) -> Result<()> {
        let wrong = |errno| fail::of(self, errno, Doing::Set);
        let now = self.look().map_err(wrong)?;
        let owner = Change::new().over(&now.perm, || fail::subject(self))?;
        self.raw.set(owner, bytes).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_proc_is_read() {
        let line = "     20736      32769   620                   12          2  4121  4130  1000  \
                    1001     0     5 1700000000          0 1700000001";
        let stat = row(line).expect("a row");
        assert_eq!((stat.id, stat.key.number()), (32769, 0x5100));
        assert_eq!((stat.messages, stat.bytes, stat.bytes_max), (2, 12, None));
        assert_eq!(
            (stat.last_sender, stat.last_receiver),
            (Some(4121), Some(4130))
        );
        let permissions = stat.permissions;
        assert_eq!(
            (permissions.uid, permissions.gid, permissions.mode),
            (1000, 1001, 0o620)
        );
        assert_eq!((permissions.creator_uid, permissions.creator_gid), (0, 5));
        assert!(stat.sent.is_some() && stat.received.is_none());
        for wrong in ["", "a b c", "1 2 9", "1 2 600 1 2 3"] {
            assert!(row(wrong).is_none(), "{wrong}");
        }
    }
}
