//! Why a call on a queue failed. Asked only once it has: the kernel is asked again what it meant.

use strait_sys::Errno;
use strait_sys::sysv::Perm;
use strait_sys::sysv_msg;

use super::Queue;
use crate::error::{Error, ErrorKind};
use crate::unix::ipc::{Key, facts};

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
    match queue.key.is_private() {
        true => format!("private queue (id {})", queue.id()),
        false => format!("queue {} (id {})", queue.key, queue.id()),
    }
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
        (Errno::IDRM, ..) | (Errno::INVAL, _, None) => error(ErrorKind::Removed, gone()),
        (Errno::TOOBIG, Doing::Recv(room), _) => error(
            ErrorKind::TooLong,
            format!(
                "the message is longer than {room} bytes, and was left in the queue: give it more \
                 room, or a buffer that cuts"
            ),
        ),
        (Errno::INVAL, Doing::Send(len), _) => plain(too_long(len)),
        (Errno::INVAL, Doing::Set, _) => plain("no such user or group here".into()),
        (Errno::ACCESS, _, perm) => plain(not_allowed(doing, perm.as_ref())),
        (Errno::PERM, _, perm) => plain(not_owner(doing, perm.as_ref())),
        (Errno::NOSYS, Doing::Peek, _) => {
            plain("this kernel was built without CONFIG_CHECKPOINT_RESTORE".into())
        }
        _ => plain(String::new()),
    }
}

fn gone() -> String {
    "no queue has that id any more; one made anew with the same key has another".into()
}

fn too_long(len: usize) -> String {
    match sysv_msg::info() {
        Ok(info) => format!(
            "{len} bytes, and a message has at most {} (sysctl kernel.msgmax)",
            info.text_max
        ),
        Err(_) => format!("{len} bytes are more than a message has (sysctl kernel.msgmax)"),
    }
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

/// The error of finding or making the queue of a key.
#[cold]
pub(super) fn of_key(operation: &'static str, key: Key, errno: Errno) -> Error {
    let error = Error::kernel(errno, operation, format!("queue {key}"));
    match errno {
        Errno::NOSPC => error.because(
            "there are as many queues as may be (sysctl kernel.msgmni; `ipcs -q` lists them)",
        ),
        Errno::NOSYS => error.because("this kernel was built without CONFIG_SYSVIPC"),
        Errno::ACCESS => error.because("its owner does not let this user use it"),
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
        let error = of_key("create", Key::new(1), Errno::NOSPC);
        assert_eq!(error.kind(), ErrorKind::Exhausted);
    }
}
