//! Names that live exactly as long as a handle, without a daemon.
//!
//! An object is a file; a handle is an open file description that holds a shared lock on byte 0 of
//! it. The kernel drops the lock when the last descriptor of the description is closed, however
//! that comes about, so a file without a lock is a leftover, and its name is free.
//!
//! The descriptions' locks (`F_OFD_SETLK`) and not flock(2)'s: those lose the lock on a failed
//! upgrade, let readers lock exclusively, and cannot be queried. Never is a handle's own
//! description upgraded or unlocked: fork, dup and `SCM_RIGHTS` share it.

use std::os::fd::OwnedFd;

use strait_sys::ofd_lock::Lock;
use strait_sys::time::Deadline;
use strait_sys::{Errno, kill};

use crate::error::{Error, ErrorKind, Result};
use crate::object::flaw;
use crate::object::kind::{Birth, Kind};
use crate::object::layout::Header;
use crate::object::space::files::{Facts, Files, foreign, kernel};
use crate::object::space::secure::Security;

pub(crate) use crate::object::space::files::Mapping;

/// Rounds of the protocol before it gives up; each means that another process changed the name.
const ROUNDS: u32 = 10_000;

/// A locked description of an object's file, and what was found in it.
#[derive(Debug)]
pub(crate) struct Held<F = OwnedFd> {
    pub(crate) file: F,
    pub(crate) inode: u64,
    pub(crate) header: Header,
    pub(crate) birth: Birth,
}

/// What was found under a name.
enum Found<F> {
    Nothing,
    Live(F, Facts),
    Leftover(F, Facts),
    Transition,
}

fn is_mine(space: &impl Files, key: &str, inode: u64) -> bool {
    space.named(key).is_ok_and(|named| named.inode == inode)
}

/// Denied, and by whom: the one to ask, or to blame.
fn whose(space: &impl Files, key: &str, errno: Errno) -> Error {
    match space.named(key) {
        Ok(named) => kernel(errno).because(format!("it belongs to uid {}", named.uid)),
        Err(_) => kernel(errno),
    }
}

fn look_up<S: Files>(space: &S, key: &str, mapping: Mapping) -> Result<Found<S::File>> {
    let file = match space.open(key, mapping) {
        Err(Errno::NOENT) => return Ok(Found::Nothing),
        Err(errno @ (Errno::ACCESS | Errno::PERM)) => return Err(whose(space, key, errno)),
        other => other.map_err(kernel)?,
    };
    let facts = space.facts(&file).map_err(kernel)?;
    if !facts.is_regular {
        return Err(foreign("not a regular file"));
    }
    kill::point("name.opened");
    let found = match space.probe(&file).map_err(kernel)? {
        Some(Lock::Read) => Found::Live(file, facts),
        Some(Lock::Write) => Found::Transition,
        None if space.is_permanent(&file) || flaw("name.leftover") => Found::Live(file, facts),
        None => Found::Leftover(file, facts),
    };
    Ok(found)
}

/// Opens the object of that key if one lives. `Ok(None)`: none does.
pub(crate) fn open<S: Files>(
    space: &S,
    key: &str,
    mapping: Mapping,
) -> Result<Option<Held<S::File>>> {
    let mut transition = None;
    for _ in 0..ROUNDS {
        match look_up(space, key, mapping)? {
            Found::Nothing => return Ok(None),
            Found::Live(file, facts) => {
                if let Some(held) = join(space, key, file, &facts)? {
                    return Ok(Some(held));
                }
            }
            Found::Leftover(file, facts) => {
                if mapping == Mapping::Look || !remove(space, key, &file, &facts)? {
                    return Ok(None);
                }
            }
            Found::Transition => wait_out(space, &mut transition)?,
        }
    }
    Err(Error::new(ErrorKind::Busy, "open", "").because("the name keeps changing"))
}

/// Step 3 and 4: lock, and look whether the name is still this file's. `None`: start again.
fn join<S: Files>(
    space: &S,
    key: &str,
    file: S::File,
    facts: &Facts,
) -> Result<Option<Held<S::File>>> {
    if !space.lock(&file, Lock::Read).map_err(kernel)? {
        return Ok(None);
    }
    kill::point("name.joined");
    if !is_mine(space, key, facts.inode) && !flaw("join: whosever name it is") {
        return Ok(None);
    }
    let header = space.header(&file, facts.len)?;
    Ok(Some(Held {
        file,
        inode: facts.inode,
        header,
        birth: Birth::Opened,
    }))
}

/// Step 5: owns the leftover alone, then removes it. False: it may not be removed.
fn remove<S: Files>(space: &S, key: &str, file: &S::File, facts: &Facts) -> Result<bool> {
    let alone = flaw("remove: not alone") || space.lock(file, Lock::Write).map_err(kernel)?;
    if !alone {
        return Ok(true);
    }
    kill::point("name.reaping");
    space.recognise(file)?;
    if !flaw("remove: whosever name it is")
        && (!is_mine(space, key, facts.inode) || space.is_permanent(file))
    {
        return Ok(true);
    }
    match space.unlink(key) {
        Ok(()) | Err(Errno::NOENT) => {
            kill::point("name.reaped");
            Ok(true)
        }
        Err(Errno::PERM | Errno::ACCESS) => Ok(false),
        Err(errno) => Err(kernel(errno)),
    }
}

fn wait_out(space: &impl Files, since: &mut Option<Deadline>) -> Result<()> {
    if space.wait_out(since) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Busy, "open", "")
        .because("another process keeps the name in transition"))
}

/// Makes the object, or joins the one that lives under that key.
pub(crate) fn create_or_open<S: Files>(
    space: &S,
    key: &str,
    header: &Header,
    data: &[u8],
    security: Security,
) -> Result<Held<S::File>> {
    let mut transition = None;
    for _ in 0..ROUNDS {
        match look_up(space, key, Mapping::Write)? {
            Found::Nothing => {
                if let Some(held) = give_birth(space, key, header, data, security)? {
                    return Ok(held);
                }
            }
            Found::Live(file, facts) => {
                if let Some(held) = join(space, key, file, &facts)? {
                    return Ok(held);
                }
            }
            Found::Leftover(file, facts) => {
                if !remove(space, key, &file, &facts)? {
                    return reborn(space, key, (file, &facts), header, security);
                }
            }
            Found::Transition => wait_out(space, &mut transition)?,
        }
    }
    Err(Error::new(ErrorKind::Busy, "create", "").because("the name keeps changing"))
}

/// Step 6: everything is written and locked before the name exists. `None`: another was faster.
fn give_birth<S: Files>(
    space: &S,
    key: &str,
    header: &Header,
    data: &[u8],
    security: Security,
) -> Result<Option<Held<S::File>>> {
    let fail = |errno| Error::kernel(errno, "create", "");
    let file = space.make(security).map_err(fail)?;
    space.fill(&file, header, data)?;
    let locked = flaw("birth: named before it is held");
    if !locked && !space.lock(&file, Lock::Read).map_err(fail)? {
        return Ok(None);
    }
    kill::point("name.born");
    match space.link(&file, key) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Ok(None),
        Err(errno) => return Err(fail(errno)),
    }
    kill::point("name.linked");
    if locked {
        space.lock(&file, Lock::Read).map_err(fail)?;
    }
    let inode = space.facts(&file).map_err(fail)?.inode;
    Ok(Some(Held {
        file,
        inode,
        header: header.clone(),
        birth: Birth::Created,
    }))
}

/// A leftover that only its dead owner, or root, may remove (a sticky directory): the same file is
/// given new content under the write lock, and lives on.
fn reborn<S: Files>(
    space: &S,
    key: &str,
    (file, facts): (S::File, &Facts),
    header: &Header,
    security: Security,
) -> Result<Held<S::File>> {
    let denied = |why: String| Error::new(ErrorKind::Denied, "create", "").because(why);
    if header.kind == Kind::Section {
        return Err(denied(format!(
            "a leftover section of uid {} stands there",
            facts.uid
        )));
    }
    if !security.satisfied_by(facts.uid, facts.mode) {
        return Err(denied(format!(
            "a leftover of uid {} stands there",
            facts.uid
        )));
    }
    kill::point("name.reborn");
    let old = space.header(&file, facts.len)?;
    if old.kind == Kind::Section {
        // Views of it may be mapped still: they hold no lock.
        return Err(denied(format!(
            "a leftover section of uid {} stands there",
            facts.uid
        )));
    }
    space.fill(&file, header, &[])?;
    kill::point("name.filled");
    if !is_mine(space, key, facts.inode) {
        return Err(Error::new(ErrorKind::Busy, "create", "").because("the name was replaced"));
    }
    // From the write lock to the read lock on one description: nobody can come between.
    space
        .lock(&file, Lock::Read)
        .map_err(|errno| Error::kernel(errno, "create", ""))?;
    Ok(Held {
        file,
        inode: facts.inode,
        header: header.clone(),
        birth: Birth::Created,
    })
}

/// Closes a handle; the last one takes the name along. The handle's own description is never
/// touched: a forked child may share it.
pub(crate) fn close<S: Files>(space: &S, key: &str, inode: u64, file: S::File) {
    if flaw("close: upgrade the handle's own description") {
        if space.lock(&file, Lock::Write) == Ok(true) && is_mine(space, key, inode) {
            let _ = space.unlink(key);
        }
        return;
    }
    let fresh = open_unlocked(space, key, inode, Mapping::Write);
    kill::point("name.closing");
    drop(file);
    let Some(fresh) = fresh else { return };
    if space.lock(&fresh, Lock::Write) != Ok(true) {
        return;
    }
    kill::point("name.last");
    if is_mine(space, key, inode) && !space.is_permanent(&fresh) {
        // Not permitted: the leftover counts as absent.
        let _ = space.unlink(key);
    }
}

/// Removes the file if nobody holds it and it is not permanent.
pub(crate) fn reap(space: &impl Files, key: &str) -> bool {
    let Ok(Found::Leftover(file, facts)) = look_up(space, key, Mapping::Write) else {
        return false;
    };
    remove(space, key, &file, &facts).unwrap_or(false) && !is_mine(space, key, facts.inode)
}

/// Holds an object by a description that came from elsewhere; false if its name is another's.
pub(crate) fn hold<S: Files>(space: &S, key: &str, file: &S::File) -> Result<bool> {
    if !space.lock(file, Lock::Read).map_err(kernel)? {
        return Ok(false);
    }
    let facts = space.facts(file).map_err(kernel)?;
    let same = |named: Facts| (named.device, named.inode) == (facts.device, facts.inode);
    Ok(space.named(key).is_ok_and(same))
}

/// A description without a lock. `None` if the name is another's by now.
pub(crate) fn open_unlocked<S: Files>(
    space: &S,
    key: &str,
    inode: u64,
    mapping: Mapping,
) -> Option<S::File> {
    let file = space.open(key, mapping).ok();
    file.filter(|file| space.facts(file).is_ok_and(|facts| facts.inode == inode))
}

/// A freshly opened, locked description of the same object: what a transfer carries.
pub(crate) fn reopen<S: Files>(
    space: &S,
    key: &str,
    inode: u64,
    mapping: Mapping,
) -> Result<S::File> {
    let gone = || Error::new(ErrorKind::NotFound, "duplicate", "").because("its name was removed");
    let file = space.open(key, mapping).map_err(kernel)?;
    if !space.lock(&file, Lock::Read).map_err(kernel)? {
        return Err(gone());
    }
    kill::point("name.reopened");
    let facts = space.facts(&file).map_err(kernel)?;
    if facts.inode == inode {
        Ok(file)
    } else {
        Err(gone())
    }
}

#[cfg(test)]
mod tests;
