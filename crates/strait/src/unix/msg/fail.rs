//! Why a call on a queue failed. Asked only once it has: the kernel is asked again what it meant.

use strait_sys::Errno;
use strait_sys::sysv::Perm;
use strait_sys::sysv_msg;

use super::{MESSAGE_LIMIT, Queue};
use crate::error::{Error, ErrorKind};
use crate::unix::ipc::{Key, Kind, facts};

/// What was to be done.
#[derive(Copy, Clone, Debug)]
pub(super) enum Doing {
    /// To send a text of so many bytes.
    Send(usize),
    /// To receive a text of up to so many bytes.
    Recv(usize),
    Peek,
    Stat,
    Set,
    Remove,
}

impl Doing {
    fn words(self) -> &'static str {
        match self {
            Self::Send(_) => "send message to",
            Self::Recv(_) => "receive message from",
            Self::Peek => "peek into",
            Self::Stat => "look at",
            Self::Set => "change",
            Self::Remove => "remove",
        }
    }
}

/// The queue's name in messages.
pub(super) fn subject(queue: &Queue) -> String {
    Kind::Queue.of_id(queue.key, queue.id())
}

/// A type below 1.
#[cold]
pub(super) fn no_type(queue: &Queue, doing: Doing, kind: i64) -> Error {
    Error::new(ErrorKind::InvalidInput, doing.words(), subject(queue))
        .because(format!("a message's type is 1 or more, not {kind}"))
}

/// The error of a call on `queue`.
#[cold]
pub(super) fn of(queue: &Queue, errno: Errno, doing: Doing) -> Error {
    let there = sysv_msg::Queue::stat_any(queue.id());
    let there = there.ok().filter(|(found, _)| *found == queue.raw);
    let error = |kind, why: String| {
        Error::kernel(errno, doing.words(), subject(queue))
            .with_kind(kind)
            .because(why)
    };
    let plain = |why: String| Error::kernel(errno, doing.words(), subject(queue)).because(why);
    match (errno, doing, there.map(|(_, stat)| stat.perm)) {
        (Errno::IDRM, ..) | (Errno::INVAL, _, None) => {
            error(ErrorKind::Removed, Kind::Queue.gone())
        }
        (Errno::TOOBIG, Doing::Recv(room), _) => error(
            ErrorKind::TooLong,
            format!(
                "the message is longer than {room} bytes, and was left in the queue: give it more \
                 room, or a buffer that cuts"
            ),
        ),
        (Errno::INVAL, Doing::Send(len), _) if len as u64 > text_max() => {
            error(ErrorKind::TooLong, too_long(len, text_max(), MESSAGE_LIMIT))
        }
        (Errno::INVAL, Doing::Set, _) => plain("no such user or group here".into()),
        (Errno::ACCESS, _, perm) => plain(not_allowed(doing, perm.as_ref())),
        (Errno::PERM, _, perm) => plain(not_owner(doing, perm.as_ref())),
        (Errno::NOSYS, Doing::Peek, _) => {
            plain("this kernel was built without CONFIG_CHECKPOINT_RESTORE".into())
        }
        _ => plain(String::new()),
    }
}

/// The longest text of a message; where that is not to be known, the kernel's own default.
fn text_max() -> u64 {
    let known = sysv_msg::info().ok();
    known.map_or(8192, |info| u64::try_from(info.text_max).unwrap_or(0))
}

fn too_long(len: usize, most: u64, limit: &str) -> String {
    format!("{len} bytes; the limit is {most}: {limit}")
}

/// The error of waiting for more room than the queue has.
#[cold]
pub(super) fn never_fits(queue: &Queue, len: usize, most: u64) -> Error {
    let why = too_long(len, most, "the queue's msg_qbytes");
    Error::new(ErrorKind::TooLong, Doing::Send(len).words(), subject(queue)).because(why)
}

fn not_allowed(doing: Doing, perm: Option<&Perm>) -> String {
    let needs = match doing {
        Doing::Send(_) => "write permission",
        _ => "read permission",
    };
    facts::not_allowed(needs, perm)
}

fn not_owner(doing: Doing, perm: Option<&Perm>) -> String {
    let more = match doing {
        Doing::Set => "; and above kernel.msgmnb bytes only with CAP_SYS_RESOURCE",
        _ => "",
    };
    facts::not_owner(perm) + more
}

/// The error of making the queue of a key.
#[cold]
pub(super) fn of_birth(key: Key, errno: Errno) -> Error {
    let error = Kind::Queue.refused("create", key, errno);
    match errno {
        Errno::NOSPC => error.because(
            "there are as many queues as may be (sysctl kernel.msgmni; `ipcs -q` lists them)",
        ),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[test]
    fn each_answer_of_the_kernel_has_its_kind() {
        let queue = Queue::create(Key::PRIVATE, 0o600).unwrap();
        let kind = |errno, doing| {
            let error = of(&queue, errno, doing);
            assert_eq!(error.errno(), Some(errno.raw_os_error()));
            assert_eq!(error.subject(), subject(&queue));
            error.kind()
        };
        let (send, recv) = (Doing::Send(9), Doing::Recv(8));
        let all = [
            send,
            recv,
            Doing::Peek,
            Doing::Stat,
            Doing::Set,
            Doing::Remove,
        ];
        for doing in all {
            assert_eq!(kind(Errno::IDRM, doing), ErrorKind::Removed);
            assert_eq!(kind(Errno::ACCESS, doing), ErrorKind::Denied);
            assert_eq!(kind(Errno::PERM, doing), ErrorKind::Denied);
            assert_eq!(kind(Errno::NOMEM, doing), ErrorKind::Exhausted);
            // It is there: the argument was wrong.
            assert_eq!(kind(Errno::INVAL, doing), ErrorKind::InvalidInput);
        }
        assert_eq!(kind(Errno::TOOBIG, recv), ErrorKind::TooLong);
        assert_eq!(kind(Errno::NOSYS, Doing::Peek), ErrorKind::Unsupported);
        let why = of(&queue, Errno::NOSYS, Doing::Peek);
        assert!(why.why().contains("CONFIG_CHECKPOINT_RESTORE"), "{why}");
        queue.remove().unwrap();
        for doing in all {
            assert_eq!(kind(Errno::INVAL, doing), ErrorKind::Removed);
        }
        let error = of_birth(Key::new(1), Errno::NOSPC);
        assert_eq!(error.kind(), ErrorKind::Exhausted);
    }
}
