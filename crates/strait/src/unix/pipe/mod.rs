//! Unix pipes: bytes, or packets, one way between processes that share a descriptor.
//!
//! Use one between a parent and its children, or to have the kernel move data between descriptors
//! without copying it here ([`splice`], [`tee`]). Between programs that do not know each other use
//! a
//! [FIFO](crate::unix::fifo), a pipe with a name; for both directions a socket.
//!
//! | pipe(2), pipe(7) | here |
//! | --- | --- |
//! | bytes in order; end of file when the last writer has closed | faithful |
//! | a write of at most [`ATOMIC_MAX`] bytes is not mixed with others | faithful; longer ones may be |
//! | packets (O_DIRECT): one write, one read, the rest of a packet too long for the buffer is lost | refused before anything is lost: a read takes room for a whole packet, a packet is 1 to 4,096 bytes |
//! | writing without a reader raises SIGPIPE | [`ErrorKind::PeerGone`](crate::ErrorKind::PeerGone) in a Rust program, which ignores SIGPIPE; where the program has reset it, the signal kills |
//! | O_NONBLOCK belongs to the pipe's end, for everybody who shares it | not used: `try_…` asks for one call not to block (RWF_NOWAIT) |
//! | vmsplice(2) shows the reader later changes of the memory | only memory that never changes: [`Writer::lend`] |
//!
//! Traps. End of file comes only when *every* copy of the write end is closed: here they are
//! close-on-exec, so that only the child that is given one has it. A read end is readable at end of
//! file too, and stays so. A write end counts as writable once 4,096 bytes fit. Capacity counts
//! pages, not bytes: sixteen packets of one byte fill a pipe of 64 KiB. An ordinary user who owns
//! more than `pipe-user-pages-soft` (16,384 pages in all pipes) gets new pipes of 8 KiB: do not
//! count on 64.
//!
//! ```
//! use std::process::Command;
//! use strait::unix::pipe;
//!
//! let (from, to) = pipe::create()?;
//! let mut child = Command::new("echo").arg("hello").stdout(to).spawn()?;
//! let mut line = [0; 64];
//! let len = from.read(&mut line)?;
//! assert_eq!(&line[..len], b"hello\n");
//! assert_eq!(from.read(&mut line)?, 0, "the last writer has closed");
//! assert!(child.wait()?.success());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! Source: pipe(2), pipe(7), splice(2), tee(2), vmsplice(2), readv(2).

mod ends;
pub mod fifo;
mod flow;

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use crate::error::{Error, Result};

pub use self::ends::{Reader, Writer};
pub use self::flow::{splice, tee};

/// Bytes that one write puts into a pipe as a whole (PIPE_BUF), and the most a packet holds.
pub const ATOMIC_MAX: usize = 4096;

/// How a pipe is born.
#[derive(Copy, Clone, Debug, Default)]
#[must_use]
pub struct Options {
    packets: bool,
    capacity: Option<usize>,
}

/// What to make of a pipe before it exists.
pub fn options() -> Options {
    Options::default()
}

/// A pipe for bytes, of the size that the kernel gives (64 KiB).
///
/// # Errors
/// [`ErrorKind::Exhausted`](crate::ErrorKind::Exhausted): no descriptors, or no memory for pipes.
pub fn create() -> Result<(Reader, Writer)> {
    options().create()
}

impl Options {
    /// Each write is a packet, and each read takes one (O_DIRECT).
    pub fn packets(mut self) -> Self {
        self.packets = true;
        self
    }

    /// Holds this many bytes, rounded up to a power of two of pages; 64 KiB if not given.
    pub fn capacity(mut self, bytes: usize) -> Self {
        self.capacity = Some(bytes);
        self
    }

    /// Makes the pipe.
    ///
    /// # Errors
    /// [`ErrorKind::Exhausted`](crate::ErrorKind::Exhausted): no descriptors, or no memory for
    /// pipes; [`ErrorKind::Denied`](crate::ErrorKind::Denied): a capacity above
    /// `/proc/sys/fs/pipe-max-size` (1 MiB), which takes CAP_SYS_RESOURCE.
    pub fn create(self) -> Result<(Reader, Writer)> {
        let mut flags = PipeFlags::CLOEXEC;
        flags.set(PipeFlags::DIRECT, self.packets);
        let (from, to) =
            pipe_with(flags).map_err(|errno| Error::kernel(errno, "create pipe", ""))?;
        if let Some(bytes) = self.capacity {
            set_capacity(&to, bytes, "")?;
        }
        let name = || "".into();
        Ok((
            Reader::new(from, self.packets, name()),
            Writer::new(to, self.packets, name()),
        ))
    }
}

/// Changes how much the pipe holds, and says what it holds now.
fn set_capacity(end: &impl std::os::fd::AsFd, bytes: usize, name: &str) -> Result<usize> {
    fcntl_setpipe_size(end, bytes).map_err(|errno| {
        use strait_sys::Errno;
        let why = match errno {
            Errno::BUSY => "more than that is in it now",
            Errno::PERM => "above /proc/sys/fs/pipe-max-size, which takes CAP_SYS_RESOURCE",
            _ => "",
        };
        Error::kernel(errno, "set capacity of pipe", name).because(why)
    })
}
