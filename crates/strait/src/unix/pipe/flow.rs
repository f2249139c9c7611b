//! Moving what is in pipes without copying it into this process.

use std::os::fd::AsFd;

use rustix::pipe::SpliceFlags;
use strait_sys::Errno;

use super::{Reader, Writer};
use crate::error::{Error, Result};

/// Moves up to `len` bytes from one descriptor to another, of which one must be a pipe, and returns
/// how many: 0 at the end of file. Waits as both ends have it: with O_NONBLOCK set on what is no
/// pipe, [`ErrorKind::Kernel`](crate::ErrorKind::Kernel) and EAGAIN. A file's position moves.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput): neither is a pipe, both ends are of
/// the same pipe, or the file is open for appending or cannot do it;
/// [`ErrorKind::PeerGone`](crate::ErrorKind::PeerGone): nobody reads.
pub fn splice(from: &impl AsFd, to: &impl AsFd, len: usize) -> Result<usize> {
    let none = SpliceFlags::empty();
    again(|| rustix::pipe::splice(from, None, to, None, len, none)).map_err(|errno| {
        let error = Error::kernel(errno, "splice", "");
        match errno {
            Errno::INVAL => error.because(
                "one end must be a pipe, not both the same one, and a file not open for appending",
            ),
            Errno::BADF => error.because("one end is not open in its direction"),
            Errno::PIPE => error.because("nobody has the read end open"),
            _ => error,
        }
    })
}

/// Copies up to `len` bytes from one pipe into another, where they are added, and returns how many;
/// `from` still has them. Waits for something to come and for room; 0 at the end of file.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput): both ends are of the same pipe;
/// [`ErrorKind::PeerGone`](crate::ErrorKind::PeerGone): nobody reads `to`.
pub fn tee(from: &Reader, to: &Writer, len: usize) -> Result<usize> {
    again(|| rustix::pipe::tee(from, to, len, SpliceFlags::empty())).map_err(|errno| {
        let subject = [from.name(), to.name()].concat();
        let error = Error::kernel(errno, "tee", subject);
        match errno {
            Errno::INVAL => error.because("both are ends of the same pipe"),
            Errno::PIPE => error.because("nobody has the read end open"),
            _ => error,
        }
    })
}

fn again(
    mut call: impl FnMut() -> std::result::Result<usize, Errno>,
) -> std::result::Result<usize, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}
