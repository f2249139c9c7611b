//! What the verbs of System V objects share beside keys: whose an object is, and when.

use std::time::SystemTime;

use clap::Args;
use serde_json::{Value, json};
use strait::unix::ipc::{Change, Permissions};

use crate::value;

/// A new owner, group or mode; what is not given stays.
#[derive(Args, Debug)]
pub(crate) struct Owned {
    /// Another owner, by number
    #[arg(long, value_name = "UID")]
    owner: Option<u32>,
    /// Another group, by name or number
    #[arg(long, value_parser = value::group)]
    group: Option<u32>,
    /// Permission bits in octal: read to look, write to change
    #[arg(long, value_name = "OCTAL", value_parser = value::mode)]
    mode: Option<u32>,
}

impl Owned {
    /// What changes; `None`: nothing was given.
    pub(crate) fn change(&self) -> Option<Change> {
        let mut change = Change::new();
        if let Some(uid) = self.owner {
            change = change.owner(uid);
        }
        if let Some(gid) = self.group {
            change = change.group(gid);
        }
        if let Some(mode) = self.mode {
            change = change.mode(mode);
        }
        Some(change).filter(|change| *change != Change::new())
    }
}

/// Whose it is, in words.
pub(crate) fn access(permissions: &Permissions) -> String {
    let Permissions { uid, gid, mode, .. } = permissions;
    format!("uid {uid}, gid {gid}, mode {mode:04o}")
}

/// Who made it.
pub(crate) fn creator(permissions: &Permissions) -> String {
    let (uid, gid) = (permissions.creator_uid, permissions.creator_gid);
    format!("uid {uid}, gid {gid}")
}

/// The same for machines.
pub(crate) fn json(permissions: &Permissions) -> Value {
    json!({
        "uid": permissions.uid,
        "gid": permissions.gid,
        "creator_uid": permissions.creator_uid,
        "creator_gid": permissions.creator_gid,
        "mode": format!("{:04o}", permissions.mode),
    })
}

/// A moment, by how long ago it was.
pub(crate) fn when(moment: Option<SystemTime>) -> String {
    let Some(moment) = moment else {
        return "never".into();
    };
    // A clock that was set back makes it now.
    let ago = SystemTime::now().duration_since(moment).unwrap_or_default();
    format!("{} s ago", ago.as_secs())
}

/// A moment in seconds since 1970.
pub(crate) fn seconds(moment: Option<SystemTime>) -> Option<u64> {
    let since = moment?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(since.as_secs())
}

/// A process, or that there is none.
pub(crate) fn process(pid: Option<u32>) -> String {
    pid.map_or_else(|| "none".into(), |pid| pid.to_string())
}
