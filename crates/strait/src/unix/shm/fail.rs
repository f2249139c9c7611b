//! Why a call on a segment failed. Asked only once it has: the kernel is asked again what it meant.

use strait_sys::Errno;
use strait_sys::sysv_shm::{self, Memory, Stat};

use super::Segment;
use crate::error::{Error, ErrorKind};
use crate::unix::ipc::{Key, Kind, facts};

/// What was to be done.
#[derive(Copy, Clone, Debug)]
pub(super) enum Doing {
    /// To attach it, so that it can also be written or not.
    Attach(bool),
    Stat,
    Change,
    Lock,
    Remove,
}

impl Doing {
    fn words(self) -> &'static str {
        match self {
            Self::Attach(_) => "attach",
            Self::Stat => "look at",
            Self::Change => "change",
            Self::Lock => "lock",
            Self::Remove => "remove",
        }
    }
}

/// The segment's name in messages.
pub(super) fn subject(segment: &Segment) -> String {
    Kind::Segment.of_id(segment.key, segment.id())
}

/// The error of a call on `segment`.
#[cold]
pub(super) fn of(segment: &Segment, errno: Errno, doing: Doing) -> Error {
    let there = segment.raw.stat_any().or_else(|_| segment.raw.stat()).ok();
    let (kind, why) = classify(errno, doing, there.as_ref());
    let error = Error::kernel(errno, doing.words(), subject(segment)).because(why);
    match kind {
        Some(kind) => error.with_kind(kind),
        None => error,
    }
}

/// What an errno means here: a kind that is not its usual one, and the reason. `there`: what is
/// known of the segment, if there still is one.
fn classify(errno: Errno, doing: Doing, there: Option<&Stat>) -> (Option<ErrorKind>, String) {
    let perm = there.map(|stat| &stat.perm);
    let why = match (errno, doing) {
        (Errno::IDRM, _) => return (Some(ErrorKind::Removed), Kind::Segment.gone()),
        (Errno::INVAL, _) if there.is_none() => {
            return (Some(ErrorKind::Removed), Kind::Segment.gone());
        }
        (Errno::INVAL, Doing::Change) => "no such user or group here".into(),
        (Errno::ACCESS, Doing::Attach(true)) => {
            facts::not_allowed("read and write permission", perm)
        }
        (Errno::ACCESS, _) => facts::not_allowed("read permission", perm),
        (Errno::NOMEM, Doing::Attach(_)) => "no room in this process for the mapping".into(),
        (Errno::NOMEM, Doing::Lock) => {
            "more than this user may lock in memory (RLIMIT_MEMLOCK)".into()
        }
        (Errno::PERM, Doing::Lock) => {
            let owner = facts::not_owner(perm);
            format!("{owner}, and without CAP_IPC_LOCK only if RLIMIT_MEMLOCK is not 0")
        }
        (Errno::PERM, _) => facts::not_owner(perm),
        _ => String::new(),
    };
    (None, why)
}

/// The error of making a segment.
#[cold]
pub(super) fn of_birth(key: Key, size: usize, memory: Memory, errno: Errno) -> Error {
    let error = Kind::Segment.refused("create", key, errno);
    let limits = sysv_shm::limits().ok();
    let why: &str = match errno {
        Errno::INVAL if size == 0 => "a segment has at least one byte",
        Errno::INVAL if limits.is_some_and(|limits| size as u64 > limits.size) => {
            "more bytes than a segment may have (SHMMAX, sysctl kernel.shmmax)"
        }
        Errno::INVAL if memory.huge.is_some() => "this machine has no huge pages of that size",
        Errno::NOSPC => {
            "there are as many segments or pages as may be (SHMMNI and SHMALL, sysctl \
             kernel.shmmni and kernel.shmall; `ipcs -m` lists them)"
        }
        Errno::NOMEM if memory.huge.is_some() => {
            "not as many huge pages are free (sysctl vm.nr_hugepages)"
        }
        Errno::PERM if memory.huge.is_some() => {
            "huge pages take CAP_IPC_LOCK, or the group of \
             sysctl vm.hugetlb_shm_group"
        }
        _ => return error,
    };
    error.because(why)
}

#[cfg(test)]
mod tests {
    use strait_sys::sysv::Perm;

    use super::*;

    const THERE: Stat = Stat {
        id: 7,
        perm: Perm {
            key: 1,
            uid: 10,
            gid: 20,
            cuid: 30,
            cgid: 40,
            mode: 0o1640,
            seq: 0,
        },
        size: 1,
        attached: 0,
        creator: 0,
        last: 0,
        atime: 0,
        dtime: 0,
        ctime: 0,
    };

    const WRITE: Doing = Doing::Attach(true);
    const READ: Doing = Doing::Attach(false);
    const REMOVED: Option<ErrorKind> = Some(ErrorKind::Removed);

    #[test]
    fn every_errno_of_a_segment_has_its_reason() {
        for (errno, doing, kind, word) in [
            (Errno::IDRM, WRITE, REMOVED, "no shared memory segment has"),
            (Errno::INVAL, Doing::Change, None, "no such user"),
            (Errno::ACCESS, WRITE, None, "read and write permission"),
            (Errno::ACCESS, READ, None, "mode 0640"),
            (Errno::NOMEM, WRITE, None, "mapping"),
            (Errno::NOMEM, Doing::Lock, None, "RLIMIT_MEMLOCK"),
            (Errno::PERM, Doing::Lock, None, "RLIMIT_MEMLOCK"),
            (Errno::PERM, Doing::Remove, None, "uid 30"),
        ] {
            let (found, why) = classify(errno, doing, Some(&THERE));
            assert_eq!(found, kind, "{errno} {doing:?}");
            assert!(why.contains(word), "{why}");
        }
        assert_eq!(classify(Errno::INVAL, Doing::Lock, None).0, REMOVED);
    }

    #[test]
    fn every_errno_of_a_birth_has_its_kind() {
        let usual = Memory::default();
        let huge = Memory {
            huge: Some(21),
            ..usual
        };
        let (wrong, full) = (ErrorKind::InvalidInput, ErrorKind::Exhausted);
        for (size, memory, errno, kind, word) in [
            (0, usual, Errno::INVAL, wrong, "one byte"),
            (usize::MAX, usual, Errno::INVAL, wrong, "SHMMAX"),
            (1, huge, Errno::INVAL, wrong, "huge pages of that size"),
            (1, huge, Errno::NOMEM, full, "nr_hugepages"),
            (1, huge, Errno::PERM, ErrorKind::Denied, "CAP_IPC_LOCK"),
            (1, huge, Errno::NOSPC, full, "SHMMNI"),
            (1, usual, Errno::NOMEM, full, ""),
            (1, usual, Errno::NFILE, full, ""),
            (1, usual, Errno::EXIST, ErrorKind::Exists, ""),
        ] {
            let error = of_birth(Key::new(7), size, memory, errno);
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.why().contains(word), "{error}");
            assert_eq!(error.subject(), "shared memory segment 0x00000007");
        }
    }
}
