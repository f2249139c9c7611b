//! What the kernel says of every object of System V, put into words; and what its owner may change.

use std::fmt;
use std::time::{Duration, SystemTime};

use rustix::fs::Mode;
use strait_sys::sysv::Perm;

use super::Key;
use crate::error::{Error, ErrorKind, Result};

/// What the owner of a System V object changes; what is not said stays.
#[derive(Copy, Clone, Default, Eq, PartialEq)]
#[must_use]
pub struct Change {
    uid: Option<u32>,
    gid: Option<u32>,
    mode: Option<u32>,
}

impl Change {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another owner, by the number. The creator keeps an owner's powers.
    pub fn owner(mut self, uid: u32) -> Self {
        self.uid = Some(uid);
        self
    }

    /// Another group, by its number.
    pub fn group(mut self, gid: u32) -> Self {
        self.gid = Some(gid);
        self
    }

    /// Read (4) and write (2) for owner, group and others.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Owner, group and mode of an object that has these now: the kernel sets all or nothing.
    pub(in crate::unix) fn over(
        self,
        now: &Perm,
        subject: impl FnOnce() -> String,
    ) -> Result<(u32, u32, Mode)> {
        let mode = match self.mode {
            Some(mode) => checked_mode("change", subject, mode)?,
            None => Mode::from_raw_mode((now.mode & 0o777).into()),
        };
        Ok((
            self.uid.unwrap_or(now.uid),
            self.gid.unwrap_or(now.gid),
            mode,
        ))
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change")
            .field("uid", &self.uid)
            .field("gid", &self.gid)
            .field("mode", &self.mode.map(Octal))
            .finish()
    }
}

struct Octal(u32);

impl fmt::Debug for Octal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#o}", self.0)
    }
}

/// The key of an object that was found by its id: of one that this user may not look at, it is not
/// for this user to know.
pub(in crate::unix) fn key_of(perm: Result<Perm>) -> Result<Key> {
    match perm {
        Ok(perm) => Ok(Key::new(perm.key.cast_unsigned())),
        Err(error) if error.kind() == ErrorKind::Denied => Ok(Key::PRIVATE),
        Err(error) => Err(error),
    }
}

/// A mode of read and write bits alone.
pub(in crate::unix) fn checked_mode(
    operation: &'static str,
    subject: impl FnOnce() -> String,
    mode: u32,
) -> Result<Mode> {
    if mode & !0o666 == 0 {
        return Ok(Mode::from_raw_mode(mode));
    }
    Err(
        Error::new(ErrorKind::InvalidInput, operation, subject()).because(format!(
            "mode {mode:#o} has bits that are neither read nor write"
        )),
    )
}

/// A process that the kernel names; 0 is none.
pub(in crate::unix) fn pid(number: i32) -> Option<u32> {
    u32::try_from(number).ok().filter(|pid| *pid != 0)
}

/// A time that the kernel gives in whole seconds, 64 bits of them; 0 is never.
pub(in crate::unix) fn time(seconds: i64) -> Option<SystemTime> {
    let seconds = u64::try_from(seconds).ok().filter(|s| *s != 0)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Why permission was missing, for which `needs` would have helped.
pub(in crate::unix) fn not_allowed(needs: &str, perm: Option<&Perm>) -> String {
    match perm {
        Some(perm) => format!(
            "it takes {needs}; it is uid {}'s, group {}, mode {:04o}",
            perm.uid,
            perm.gid,
            perm.mode & 0o777
        ),
        None => format!("it takes {needs}"),
    }
}

/// Why something only its owner may do was refused.
pub(in crate::unix) fn not_owner(perm: Option<&Perm>) -> String {
    match perm {
        Some(perm) => format!(
            "only its owner (uid {}), its creator (uid {}) and CAP_SYS_ADMIN may",
            perm.uid, perm.cuid
        ),
        None => "only its owner, its creator and CAP_SYS_ADMIN may".into(),
    }
}
