//! Anonymous pipes: bytes from a writer to a reader.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use strait_sys::time::Deadline;

use crate::channel::connect::{establish_accepting, establish_connecting, greet};
use crate::channel::{Channel, Options};
use crate::error::Result;
use crate::nt::pipe::completion::{Completions, Immediate, Port};
use crate::nt::pipe::end::{End, Facts, Peeked};
use crate::nt::pipe::fault::fault;
use crate::nt::pipe::greeting::{ROLE, capacity};
use crate::nt::pipe::operation::Operation;
use crate::nt::pipe::{QUOTA, QUOTA_MAX, read_stream};
use crate::nt::status::NtStatus;
use crate::object::wait::{Member, Waitable};

/// A pipe without a name: its two ends. `quota`: bytes that may lie unread until writes wait; 4,096
/// for 0.
///
/// A child gets an end by [`Pass`](crate::Pass), and takes it by [`inherited`](crate::inherited):
///
/// ```no_run
/// use std::process::Command;
/// use strait::{Pass, nt::pipe};
///
/// let (reader, writer) = pipe::anonymous(0)?;
/// // There: let writer: pipe::Writer = strait::inherited("log")?;
/// let mut child = Command::new("worker").pass("log", &writer)?.spawn()?;
/// // The child's is the last.
/// drop(writer);
/// let log = std::io::read_to_string(reader)?;
/// child.wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for more than [`QUOTA_MAX`];
/// [`ErrorKind::Exhausted`](crate::ErrorKind::Exhausted).
#[doc(alias = "CreatePipe")]
pub fn anonymous(quota: usize) -> Result<(Reader, Writer)> {
    const CREATE: &str = "create pipe";
    let quota = if quota == 0 { QUOTA } else { quota as u64 };
    if quota > QUOTA_MAX {
        return Err(fault(NtStatus::INVALID_PARAMETER, CREATE, "")
            .because(format!("a quota is at most {QUOTA_MAX} bytes")));
    }
    let there = Options::new().capacity(capacity(quota));
    // Nothing goes back.
    let back = Options::new().capacity(BACK);
    let (writer, reader) = Channel::pair_of(&there, &back, ROLE)?;
    Ok((Reader::over(reader)?, Writer::over(writer, quota)?))
}

/// Bytes of the ring that nothing is sent through.
const BACK: usize = 4096;

fn end(channel: Channel, reads: bool, quota: u64) -> Result<Arc<End>> {
    let facts = Facts {
        message: false,
        reads,
        writes: !reads,
        quota,
        // The read end is the server's.
        server: reads,
    };
    End::new(channel, facts, Arc::default(), "(anonymous)".into())
}

/// The reading end of an anonymous pipe.
#[derive(Debug)]
pub struct Reader {
    pub(super) end: Arc<End>,
}

/// The writing end of an anonymous pipe.
#[derive(Debug)]
pub struct Writer {
    pub(super) end: Arc<End>,
}

impl Reader {
    fn over(channel: Channel) -> Result<Self> {
        let end = end(channel, true, 0)?;
        Ok(Self { end })
    }

    /// The reader of the [`Writer::connect`] at the other end of a Unix socket of packets.
    #[doc(hidden)]
    pub fn accept(socket: OwnedFd) -> Result<Self> {
        let options = Options::new().capacity(BACK);
        let accepted = establish_accepting(socket, &options, ROLE, |_| Ok(Vec::new()))?;
        Self::over(accepted.0)
    }

    /// Reads what is there, up to the length of `buffer`; waits while there is nothing.
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`](crate::ErrorKind::PeerGone) (109) once the writer is closed and
    /// everything it wrote has been read. By [`std::io::Read`] that is an end, 0 bytes; also if the
    /// writer was killed: [`is_abandoned`](Self::is_abandoned) tells.
    #[inline]
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        Ok(self.end.read(buffer)?.len)
    }

    /// Whether the writer's process is gone without having closed its end, as one that was killed:
    /// what it wrote may not be whole.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.end.is_abandoned()
    }

    /// Looks at what is there, and takes nothing.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn peek(&self, buffer: &mut [u8]) -> Result<Peeked> {
        self.end.peek(buffer)
    }

    /// [`read`](Self::read) into `buffer` as an operation.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn read_overlapped(&self, buffer: Vec<u8>) -> Result<Operation> {
        self.end.read_overlapped(buffer)
    }

    /// Has the ends of operations told to a queue.
    pub fn associate(&self, queue: &Completions, key: usize, immediate: Immediate) {
        self.end.mode.set_port(Port::new(queue, key, immediate));
    }
}

impl Writer {
    fn over(channel: Channel, quota: u64) -> Result<Self> {
        let end = end(channel, false, quota)?;
        Ok(Self { end })
    }

    /// The writer for a [`Reader::accept`] in another process, at the other end of a Unix socket of
    /// packets.
    #[doc(hidden)]
    pub fn connect(socket: OwnedFd, quota: usize) -> Result<Self> {
        let quota = quota as u64;
        let options = Options::new().capacity(capacity(quota));
        let greeting = greet(&socket, &options, ROLE, &[])?;
        let until = Some(Deadline::after(Duration::from_secs(10)));
        let connected = establish_connecting(socket, &options, greeting, until)?;
        Self::over(connected.0, quota)
    }

    /// Writes everything; waits while more than the quota lies unread.
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`](crate::ErrorKind::PeerGone) if the reader is closed: 232, or 109 if
    /// that happened while the call waited.
    #[inline]
    pub fn write(&self, data: &[u8]) -> Result<usize> {
        self.end.write(data)
    }

    /// Waits until everything has been read.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub fn flush(&self) -> Result<()> {
        self.end.flush_until(&|| false)
    }

    /// [`write`](Self::write) as an operation.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub fn write_overlapped(&self, data: Vec<u8>) -> Result<Operation> {
        self.end.write_overlapped(data)
    }

    /// Has the ends of operations told to a queue.
    pub fn associate(&self, queue: &Completions, key: usize, immediate: Immediate) {
        self.end.mode.set_port(Port::new(queue, key, immediate));
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.end.close();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end.close();
    }
}

/// Ready when a read would not wait. Nothing is taken.
impl Waitable for Reader {
    fn member(&self) -> Member<'_> {
        Member::source(&self.end.arrivals)
    }
}

impl io::Read for &Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_stream(buffer, |buffer| Reader::read(self, buffer))
    }
}

impl io::Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut &*self, buffer)
    }
}

impl io::Write for &Writer {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        Ok(Writer::write(self, data)?)
    }

    /// Does nothing: what was written is there to be read. [`Writer::flush`] waits for the reader.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Write for Writer {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        Ok(Self::write(self, data)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
