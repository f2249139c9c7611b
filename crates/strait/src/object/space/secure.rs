//! Who may open an object: owner, group and mode of its file, which the kernel checks.

use rustix::fs::{Gid, Mode, Uid};

/// Owner, group and permission bits for a new object, or for what an existing one must grant.
///
/// The default is the caller alone (mode 0600). NT's access control lists become these three;
/// read permission is [`Rights::LOOK`](crate::object::Rights::LOOK), write permission everything.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct Security {
    mode: u32,
    group: Option<u32>,
    owner: Option<u32>,
}

impl Default for Security {
    fn default() -> Self {
        Self {
            mode: 0o600,
            group: None,
            owner: None,
        }
    }
}

impl Security {
    /// The caller alone.
    pub fn private() -> Self {
        Self::default()
    }

    /// The permission bits, as chmod(2) takes them; the umask does not apply.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode & 0o666;
        self
    }

    /// The group of the file.
    pub fn group(mut self, gid: u32) -> Self {
        self.group = Some(gid);
        self
    }

    /// The owner of the file (only root can give files away).
    pub fn owner(mut self, uid: u32) -> Self {
        self.owner = Some(uid);
        self
    }

    pub(crate) fn bits(self) -> Mode {
        Mode::from_raw_mode(self.mode)
    }

    pub(crate) fn owner_group(self) -> Option<(Option<Uid>, Option<Gid>)> {
        (self.owner.is_some() || self.group.is_some())
            .then(|| (self.owner.map(Uid::from_raw), self.group.map(Gid::from_raw)))
    }

    /// Whether a file of this owner and mode is what was asked for.
    pub(crate) fn satisfied_by(self, uid: u32, mode: u32) -> bool {
        let wanted = self
            .owner
            .unwrap_or_else(|| rustix::process::geteuid().as_raw());
        uid == wanted && mode & 0o777 == self.mode
    }
}
