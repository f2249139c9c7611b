//! Writing and reading several pipes at once, so that no side waits for another: in one thread,
//! with poll(2).

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionbio;
use strait_sys::Errno;
use strait_sys::signal::{self, Change, Set, Signal};
use strait_sys::time::Deadline;

use crate::error::{Error, Result};

/// Read and written at a time: as much as a pipe holds.
const CHUNK: usize = 64 << 10;

/// What came from a stream.
#[derive(Clone, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Captured {
    /// The bytes, up to the limit that was given.
    pub bytes: Vec<u8>,
    /// More came than the limit allowed to keep.
    pub truncated: bool,
}

impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.bytes);
        f.debug_struct("Captured")
            .field("bytes", &text)
            .field("truncated", &self.truncated)
            .finish()
    }
}

impl Captured {
    fn keep(&mut self, bytes: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.bytes.len());
        let kept = &bytes[..bytes.len().min(room)];
        self.bytes.extend_from_slice(kept);
        self.truncated |= kept.len() < bytes.len();
    }
}

/// Writes `input` and reads `outputs` to their ends. `None`: the time ran out.
pub(super) fn exchange(
    mut writer: Option<OwnedFd>,
    input: &[u8],
    mut readers: Vec<Option<OwnedFd>>,
    limit: usize,
    deadline: Option<Deadline>,
) -> Result<Option<Vec<Captured>>> {
    for fd in readers.iter().flatten().chain(&writer) {
        // Ours alone: the other end of a pipe is another open file.
        ioctl_fionbio(fd, true).map_err(fail)?;
    }
    let _no_death = NoPipeSignal::new()?;
    let mut left = input;
    let mut captured = vec![Captured::default(); readers.len()];
    let mut buffer = vec![0; CHUNK];
    loop {
        if left.is_empty() {
            writer = None;
        }
        if writer.is_none() && readers.iter().all(Option::is_none) {
            return Ok(Some(captured));
        }
        // Also of a child that is never silent.
        let late = deadline.is_some_and(Deadline::passed);
        if late || !ready(writer.as_ref(), &readers, deadline)? {
            return Ok(None);
        }
        if let Some(fd) = &writer {
            match write_some(fd, &mut left) {
                Ok(()) | Err(Errno::AGAIN | Errno::INTR) => {}
                // It reads no more, which is its own affair.
                Err(Errno::PIPE) => writer = None,
                Err(errno) => return Err(fail(errno)),
            }
        }
        for (reader, kept) in readers.iter_mut().zip(&mut captured) {
            let Some(fd) = reader else { continue };
            match rustix::io::read(fd.as_fd(), &mut buffer[..]) {
                Ok(0) => *reader = None,
                Ok(count) => kept.keep(&buffer[..count], limit),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return Err(fail(errno)),
            }
        }
    }
}

fn write_some(fd: &OwnedFd, left: &mut &[u8]) -> std::result::Result<(), Errno> {
    let count = rustix::io::write(fd, &left[..left.len().min(CHUNK)])?;
    *left = &left[count..];
    Ok(())
}

/// Waits until one of them can go on; false if the time ran out first.
fn ready(
    writer: Option<&OwnedFd>,
    readers: &[Option<OwnedFd>],
    deadline: Option<Deadline>,
) -> Result<bool> {
    let reading = readers.iter().flatten();
    let mut fds: Vec<_> = reading.map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    fds.extend(writer.map(|fd| PollFd::new(fd, PollFlags::OUT)));
    loop {
        let left = deadline.map(|deadline| {
            let left = deadline.left();
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        match poll(&mut fds, left.as_ref()) {
            Ok(count) => return Ok(count > 0),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(fail(errno)),
        }
    }
}

fn fail(errno: Errno) -> Error {
    Error::kernel(errno, "exchange with child", "")
}

/// A write to a pipe without a reader raises SIGPIPE in this thread, which ends a process that has
/// it at its default: blocked meanwhile, and what was raised here taken back.
struct NoPipeSignal {
    newly: bool,
}

impl NoPipeSignal {
    fn new() -> Result<Self> {
        let set = Set::new([Signal::PIPE]);
        // One that was pending before is not ours to take.
        let pending = signal::pending().map_err(fail)?.contains(Signal::PIPE);
        let before = signal::change_mask(Change::Block, set).map_err(fail)?;
        Ok(Self {
            newly: !pending && !before.contains(Signal::PIPE),
        })
    }
}

impl Drop for NoPipeSignal {
    fn drop(&mut self) {
        if self.newly {
            let set = Set::new([Signal::PIPE]);
            // None is pending where the signal is ignored.
            let _ = signal::take(&set, Some(std::time::Duration::ZERO));
            let _ = signal::change_mask(Change::Unblock, set);
        }
    }
}

#[cfg(test)]
mod tests {
    //! The bound.

    use super::*;

    #[test]
    fn no_more_is_kept_than_the_limit() {
        let mut captured = Captured::default();
        captured.keep(b"abc", 4);
        captured.keep(b"d", 4);
        assert_eq!(
            (&*captured.bytes, captured.truncated),
            (&b"abcd"[..], false)
        );
        captured.keep(b"e", 4);
        assert_eq!((&*captured.bytes, captured.truncated), (&b"abcd"[..], true));
    }
}
