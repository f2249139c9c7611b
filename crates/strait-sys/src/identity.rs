//! Another user's identity, for one thread (credentials(7)).
//!
//! The C library changes every thread of a process together, as POSIX wants it; the kernel's own
//! calls, used here, change the calling thread alone. Effective ids and supplementary groups are
//! taken on, which is what decides over access to files and objects; real and saved ids stay, so
//! that they can be put back.

use std::cell::Cell;
use std::marker::PhantomData;

use rustix::process::{Gid, Uid, getegid, geteuid, getgroups};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::{Errno, Result};

thread_local! {
    static IS_ASSUMED: Cell<bool> = const { Cell::new(false) };
}

/// The calling thread acts as somebody else while this lives.
#[derive(Debug)]
#[must_use = "the thread's own identity is put back when this is dropped"]
pub struct Assumed {
    own: Option<Own>,
    /// It belongs to its thread.
    thread: PhantomData<*const ()>,
}

/// What the thread was before.
#[derive(Debug)]
struct Own {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

/// Takes on effective ids and groups, for the calling thread alone. Needs CAP_SETUID and
/// CAP_SETGID, unless they are the thread's own.
///
/// Files are then opened with the rights of that user. A thread whose effective user was root has
/// no capabilities meanwhile; one that has them without being root keeps them.
///
/// # Errors
///
/// `EPERM`: without the capabilities. `EBUSY`: the thread acts as somebody else already. `EINVAL`:
/// an id that does not exist in this user namespace, or -1.
pub fn assume(uid: u32, gid: u32, groups: &[u32]) -> Result<Assumed> {
    if uid == u32::MAX || gid == u32::MAX || groups.contains(&u32::MAX) {
        return Err(Errno::INVAL);
    }
    if IS_ASSUMED.get() {
        return Err(Errno::BUSY);
    }
    let own = Own {
        uid: geteuid(),
        gid: getegid(),
        groups: getgroups()?,
    };
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    let mut groups: Vec<Gid> = groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    groups.sort_by_key(|gid| gid.as_raw());
    let mut present = own.groups.clone();
    present.sort_by_key(|gid| gid.as_raw());
    let thread = PhantomData;
    if (own.uid, own.gid, &present) == (uid, gid, &groups) {
        return Ok(Assumed { own: None, thread });
    }
    set_thread_groups(&groups)?;
    // From here on a failure puts back what was changed.
    let assumed = Assumed {
        own: Some(own),
        thread,
    };
    IS_ASSUMED.set(true);
    set_thread_res_gid(None, Some(gid), None)?;
    // Last: with it the capabilities may go.
    set_thread_res_uid(None, Some(uid), None)?;
    Ok(assumed)
}

impl Drop for Assumed {
    fn drop(&mut self) {
        let Some(own) = &self.own else {
            return;
        };
        // First: with it the capabilities come back.
        let restored = set_thread_res_uid(None, Some(own.uid), None)
            .and_then(|()| set_thread_res_gid(None, Some(own.gid), None))
            .and_then(|()| set_thread_groups(&own.groups));
        if restored.is_err() {
            // Whatever this thread did next, it would do as somebody else.
            std::process::abort();
        }
        IS_ASSUMED.set(false);
    }
}
