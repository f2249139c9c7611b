//! A header that says what a segment holds, and when it is there.

use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};
use strait_sys::time::Deadline;
use strait_sys::{Errno, futex};

use super::fail;
use super::{Mapping, Segment, View, Write};
use crate::error::{Error, ErrorKind, Result};

/// The bytes that the header of a published segment takes at its beginning: data begins after them.
pub const HEADER: usize = 64;

/// What the first word becomes with the publication. It is 0 before, as all of a new segment is.
const MAGIC: u32 = 0x5374_7231;
const VERSION: usize = 4;

/// Says that what was written is complete, and of this version of its layout. Wakes who waits in
/// [`Segment::attach_published`]. All that was written before is visible to who sees it.
///
/// The first 64 bytes, [`HEADER`], are what this writes: 4 bytes of magic, last, and 4 of version.
/// The version is yours: raise it when the bytes behind the header come to mean something else.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] if the view is shorter than the header; [`ErrorKind::Exists`] if
/// something was published in it before; [`ErrorKind::Broken`] if its memory is missing.
pub fn publish(view: &View<Write>, version: u32) -> Result<()> {
    let fail =
        |kind, why: &str| Err(Error::new(kind, "publish", view.name().to_owned()).because(why));
    if view.len() < HEADER {
        return fail(
            ErrorKind::InvalidInput,
            "it is shorter than a header of 64 bytes",
        );
    }
    let ready = view.word::<u32>(0)?;
    if ready.load(Relaxed) != 0 {
        return fail(ErrorKind::Exists, "something was published in it before");
    }
    view.word::<u32>(VERSION)?.store(version, Relaxed);
    if ready.compare_exchange(0, MAGIC, SeqCst, Relaxed).is_err() {
        return fail(ErrorKind::Exists, "something was published in it meanwhile");
    }
    let woken = futex::wake(ready, u32::MAX);
    woken.map_err(|errno| Error::kernel(errno, "publish", view.name().to_owned()))?;
    Ok(())
}

impl Segment {
    /// Attaches it once its maker has [`publish`]ed this version of what is in it; waits for that
    /// for at most `timeout`. `None`: nothing was published in time, by a maker who lives
    /// ([`Stat::creator`](super::Stat::creator)).
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`], naming who made it, if nothing was published in time and he died;
    /// [`ErrorKind::Layout`] if it is of another version, or another program's; otherwise as
    /// [`attach`](Self::attach).
    pub fn attach_published<M: Mapping>(
        &self,
        version: u32,
        timeout: Duration,
    ) -> Result<Option<View<M>>> {
        let view = self.attach::<M>()?;
        let fail =
            |kind, why: String| Err(Error::new(kind, "attach", fail::subject(self)).because(why));
        if view.len() < HEADER {
            return fail(
                ErrorKind::Layout,
                "it is shorter than a header of 64 bytes".into(),
            );
        }
        let ready = view.word::<u32>(0)?;
        let deadline = Deadline::after(timeout);
        loop {
            match ready.load(Acquire) {
                MAGIC => break,
                0 if deadline.passed() => match self.dead_creator() {
                    Some(creator) => {
                        let why =
                            format!("its creator, process {creator}, died before it published");
                        return fail(ErrorKind::PeerGone, why);
                    }
                    None => return Ok(None),
                },
                0 => match futex::wait(ready, 0, Some(deadline)) {
                    Ok(()) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT) => {}
                    Err(errno) => {
                        return Err(Error::kernel(errno, "attach", fail::subject(self)));
                    }
                },
                other => {
                    let why = format!("it begins with {other:#010x}: another program's segment");
                    return fail(ErrorKind::Layout, why);
                }
            }
        }
        let found = view.word::<u32>(VERSION)?.load(Relaxed);
        if found != version {
            return fail(
                ErrorKind::Layout,
                format!("it is of version {found}, not {version}"),
            );
        }
        Ok(Some(view))
    }

    /// Who made it, if that process has ended.
    fn dead_creator(&self) -> Option<u32> {
        let creator = self.stat().ok()?.creator?;
        let pid = Pid::from_raw(creator.try_into().ok()?)?;
        (test_kill_process(pid) == Err(Errno::SRCH)).then_some(creator)
    }
}
