//! Why a call on a set failed. Asked only once it has: the kernel is asked again what it meant.

use strait_sys::Errno;
use strait_sys::sysv_sem::{self, Stat};

use super::Set;
use crate::error::{Error, ErrorKind};
use crate::unix::ipc::{Key, Kind, facts};

/// What was to be done.
#[derive(Copy, Clone, Debug)]
pub(super) enum Doing {
    /// So many operations.
    Op(usize),
    Read,
    Set,
    Stat,
    Change,
    Remove,
}

impl Doing {
    fn words(self) -> &'static str {
        match self {
            Self::Op(_) => "operate on",
            Self::Read => "read",
            Self::Set => "set values of",
            Self::Stat => "look at",
            Self::Change => "change",
            Self::Remove => "remove",
        }
    }

    fn needs(self) -> &'static str {
        match self {
            Self::Op(_) => "write permission to change values, and read permission to wait for 0",
            Self::Set => "write permission",
            _ => "read permission",
        }
    }
}

/// The set's name in messages.
pub(super) fn subject(set: &Set) -> String {
    Kind::Set.of_id(set.key, set.id())
}

/// An argument that the kernel was not asked about.
#[cold]
pub(super) fn invalid(set: &Set, doing: Doing, why: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, doing.words(), subject(set)).because(why)
}

/// The error of a call on `set`.
#[cold]
pub(super) fn of(set: &Set, errno: Errno, doing: Doing) -> Error {
    let there = set.raw.stat_any().or_else(|_| set.raw.stat()).ok();
    classify(errno, doing, there.as_ref()).into_error(errno, doing.words(), subject(set))
}

/// A kind that is not the errno's usual one, and the reason.
pub(super) struct Reason(Option<ErrorKind>, String);

impl Reason {
    fn into_error(self, errno: Errno, operation: &'static str, subject: String) -> Error {
        let error = Error::kernel(errno, operation, subject).because(self.1);
        match self.0 {
            Some(kind) => error.with_kind(kind),
            None => error,
        }
    }
}

/// What an errno means here. `there`: what is known of the set, if there still is one.
fn classify(errno: Errno, doing: Doing, there: Option<&Stat>) -> Reason {
    let perm = there.map(|stat| &stat.perm);
    let plain = |why: String| Reason(None, why);
    let kind = |kind, why: String| Reason(Some(kind), why);
    match (errno, doing) {
        // FAULT: more values than the set had, so that it is another one by now.
        (Errno::IDRM | Errno::FAULT, _) => kind(ErrorKind::Removed, Kind::Set.gone()),
        (Errno::INVAL, _) if there.is_none() => kind(ErrorKind::Removed, Kind::Set.gone()),
        (Errno::FBIG, _) | (Errno::INVAL, Doing::Read | Doing::Set) => {
            let count = there.map_or(0, |stat| stat.count);
            let why = format!("no such semaphore: it has {count}, counted from 0");
            kind(ErrorKind::InvalidInput, why)
        }
        (Errno::INVAL, Doing::Change) => plain("no such user or group here".into()),
        (Errno::TOOBIG, Doing::Op(count)) => kind(ErrorKind::InvalidInput, too_many(count)),
        (Errno::RANGE, _) => kind(
            ErrorKind::LimitExceeded,
            "a value would pass 32,767, and nothing was changed".into(),
        ),
        (Errno::AGAIN, _) => kind(
            ErrorKind::Busy,
            "one that does not wait would have to, and nothing was changed".into(),
        ),
        (Errno::ACCESS, _) => plain(facts::not_allowed(doing.needs(), perm)),
        (Errno::PERM, _) => plain(facts::not_owner(perm)),
        (Errno::NOSPC | Errno::NOMEM, Doing::Op(_)) => plain("no room to note what to undo".into()),
        _ => plain(String::new()),
    }
}

fn too_many(count: usize) -> String {
    match sysv_sem::limits() {
        Ok(limits) => format!(
            "{count} operations, and one call takes at most {} (SEMOPM, sysctl kernel.sem)",
            limits.ops
        ),
        Err(_) => format!("{count} operations are more than one call takes"),
    }
}

/// The error of making the set of a key, with so many semaphores.
#[cold]
pub(super) fn of_birth(key: Key, count: usize, errno: Errno) -> Error {
    let error = Kind::Set.refused("create", key, errno);
    match errno {
        Errno::NOSPC => error.because(
            "there are as many sets or semaphores as may be (SEMMNI and SEMMNS, sysctl kernel.sem; \
             `ipcs -s` lists them)",
        ),
        Errno::INVAL => {
            let most = sysv_sem::limits().map_or(32_000, |limits| limits.per_set);
            error.because(format!(
                "{count} semaphores: a set has 1 to {most} (SEMMSL)"
            ))
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use strait_sys::sysv::Perm;

    use super::*;

    const PERM: Perm = Perm {
        key: 1,
        uid: 10,
        gid: 20,
        cuid: 30,
        cgid: 40,
        mode: 0o640,
        seq: 0,
    };

    const THERE: Stat = Stat {
        id: 7,
        perm: PERM,
        count: 3,
        otime: 0,
        ctime: 0,
    };

    type Case = (Errno, Doing, ErrorKind, &'static str);

    const OP: Doing = Doing::Op(501);

    const CASES: &[Case] = &[
        (Errno::IDRM, OP, ErrorKind::Removed, "no semaphore set has"),
        (
            Errno::FAULT,
            Doing::Read,
            ErrorKind::Removed,
            "no semaphore set",
        ),
        (Errno::FBIG, OP, ErrorKind::InvalidInput, "it has 3"),
        (Errno::INVAL, Doing::Read, ErrorKind::InvalidInput, "has 3"),
        (Errno::INVAL, Doing::Change, ErrorKind::InvalidInput, "user"),
        (Errno::TOOBIG, OP, ErrorKind::InvalidInput, "501 operations"),
        (Errno::RANGE, OP, ErrorKind::LimitExceeded, "32,767"),
        (Errno::RANGE, Doing::Set, ErrorKind::LimitExceeded, "32,767"),
        (Errno::AGAIN, OP, ErrorKind::Busy, "nothing was changed"),
        (Errno::ACCESS, OP, ErrorKind::Denied, "write permission"),
        (Errno::ACCESS, Doing::Stat, ErrorKind::Denied, "mode 0640"),
        (Errno::PERM, Doing::Remove, ErrorKind::Denied, "(uid 30)"),
        (Errno::NOSPC, OP, ErrorKind::Exhausted, "undo"),
        (Errno::NOMEM, OP, ErrorKind::Exhausted, "undo"),
    ];

    #[test]
    fn every_errno_has_its_kind() {
        let check = |case: &Case, there| {
            let (errno, doing, kind, word) = *case;
            let reason = classify(errno, doing, there);
            let error = reason.into_error(errno, doing.words(), "it".into());
            assert_eq!(error.kind(), kind, "{errno} {doing:?}");
            assert!(error.to_string().contains(word), "{error}");
            assert_eq!(error.errno(), Some(errno.raw_os_error()));
        };
        for case in CASES {
            check(case, Some(&THERE));
        }
        // Without a set of that id, the same errno says something else.
        let gone = (Errno::INVAL, OP, ErrorKind::Removed, "no semaphore set has");
        check(&gone, None);
    }
}
