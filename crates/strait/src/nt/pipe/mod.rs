//! NT pipes: anonymous ones for bytes from one end to another, and named ones, which a server
//! offers under a name to any number of clients, for bytes or for messages, both ways.
//!
//! Use [`anonymous`] between a program and what it starts, a [`Server`] and [`Client`]s where a
//! name is to be found; for requests with replies a port ([`lpc`](crate::nt::lpc)) is less work,
//! and with a program that is not Strait's speak by `unix::pipe` or a socket. On Linux a connection
//! is a [channel](crate::channel): reads and writes are copies in shared memory, and make no system
//! call while the other side is awake. A name is a socket in a [`Namespace`]; a thread of the
//! server's (`strait-doorman`) answers clients whatever the server is doing, so that NT's states
//! hold: a client may come, write and go before the server [connects](Session::connect).
//!
//! ```
//! use strait::nt::pipe::{self, ReadMode, Timeout};
//!
//! # let space = strait::Namespace::temporary()?;
//! # let server = pipe::Server::options(r"\\.\pipe\upper").namespace(&space).message().create()?;
//! # let client = pipe::Client::options(r"\\.\pipe\upper").namespace(&space);
//! # #[cfg(any())]
//! // One process.
//! let server = pipe::Server::options(r"\\.\pipe\upper").message().create()?;
//! let serving = std::thread::spawn(move || -> strait::Result<()> {
//!     let session = server.connect()?;
//!     println!("from process {}", session.client()?.pid);
//!     let mut request = [0; 512];
//!     let part = session.read(&mut request)?;
//!     session.write(&request[..part.len].to_ascii_uppercase())?;
//!     session.flush()
//! });
//! // Another.
//! # #[cfg(any())]
//! let client = pipe::Client::options(r"\\.\pipe\upper");
//! let mut reply = [0; 512];
//! let part = client.call(b"quietly", &mut reply, Timeout::Forever)?;
//! assert_eq!(&reply[..part.len], b"QUIETLY");
//! serving.join().unwrap()?;
//! # Ok::<(), strait::Error>(())
//! ```
//!
//! | NT | here |
//! | --- | --- |
//! | states, and what each call says in each of them | faithful, with NTSTATUS and Win32 code ([`Error::win32`](crate::Error::win32)) |
//! | messages: whole, of any length, read in parts by anybody; without bytes; as bytes | faithful; a call that does not wait may get a part of one that is still being written |
//! | quotas: a write ends when what is beyond has been read; a pending read counts | faithful in bytes; a write also takes 8 bytes and rounding of a ring of four times the quota, 32 KiB at least, and waits when that is full: thousands of tiny messages reach that before the quota |
//! | writes that wait go in order | differs: what is small does not overtake, but threads that wait for the same handle are not queued in order |
//! | a write that is cancelled takes back what was not read | differs: it stays, but for a message that is not whole in the ring |
//! | an inherited or duplicated handle is at the same end, which closes with the last of them | faithful ([`Pass`](crate::Pass), [`HandleSocket`](crate::HandleSocket)), also for who is killed; read mode and waiting are each process's own, a pending read of several counts for no quota, what a killed reader had begun to take of a message is dropped, and a [`Session`] elsewhere waits for no further client |
//! | a flush waits beside writes | differs: writes to the same handle wait for it |
//! | a peek waits for a read of the same synchronous handle | differs: it says that nothing is there |
//! | instances of one name in several processes | refused (50): all are one process's |
//! | pipes of other machines, `\\server\pipe\…` | refused (50) |
//! | a [`Server`] is an instance | differs: it keeps one instance listening and makes further ones; [`Server::instance`] hands them out for NT's own way |
//! | names: any characters, case does not count | faithful; case as Unicode has it, not as NTFS |
//! | security descriptors | owner, group and mode of the socket: who may write it may connect |
//! | impersonation by a level of the client's | faithful for identification and impersonation; anonymous and delegation are not had |
//! | completion routines | not had: they belong to the C interface |
//! | an operation goes with its thread (CancelIo) | differs: with its handle |
//! | the client's session id and computer name | not had |
//! | both ways end together | a side can also end its own alone: [`Client::shutdown_write`], and [`Client::wait_closed`] for the other end; who is killed is told from who closes ([`Client::is_abandoned`]) |
//! | handles are files to the C library | [`Client`], [`Session`], [`Reader`] and [`Writer`] are [`std::io::Read`] and [`std::io::Write`] |
//!
//! # Limits
//!
//! Quotas of 1 byte to [`QUOTA_MAX`]; 254 instances, or any number; 4,096 clients that wait to be
//! let in; names of 65,532 bytes of UTF-16, of which a process that a handle is passed to learns
//! the first 152 bytes.
//!
//! # Traps
//!
//! - A client reads bytes until it [says](Client::set_read_mode) that it reads messages, as on NT.
//! - A session that goes takes along what its client has written and nobody has read; what it has
//!   written itself can still be read. [`Session::flush`] before [`Session::disconnect`].
//! - Both sides that write more than the quota before they read wait for each other for ever.
//! - A `Command` holds what was passed with it: drop it, else the pipe does not end.
//! - An end is passed while no call waits with it, and nothing lies given back by a dropped read.
//! - Servers and sessions do not survive a fork without exec: the doorman is not in the child.
//! - While a thread acts as a client, its new threads do too.
//!
//! Source: Windows SDK, CreateNamedPipe, ConnectNamedPipe, TransactNamedPipe; [MS-FSCC] 2.4.

/// What a handle of a named pipe can do, on either side.
macro_rules! end_methods {
    ($type:ident) => {
        impl $type {
            /// Reads: the next message, or bytes, as the read mode says. Waits while there is
            /// nothing.
            ///
            /// A message that is longer than `buffer` is read in part (`more`; ERROR_MORE_DATA):
            /// its rest is what the next read gets, on whichever thread.
            ///
            /// # Errors
            /// [`ErrorKind::PeerGone`](crate::ErrorKind::PeerGone): 109 once the other end is
            /// closed and everything it wrote has been read, 233 if the pipe was disconnected.
            /// [`ErrorKind::WrongState`](crate::ErrorKind::WrongState) (536) while no client has
            /// come; [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut) (232) if there is nothing
            /// and calls do not wait; [`ErrorKind::Denied`](crate::ErrorKind::Denied) (5) if the
            /// pipe does not go that way.
            #[doc(alias = "ReadFile")]
            #[inline]
            pub fn read(&self, buffer: &mut [u8]) -> crate::Result<crate::channel::Part> {
                self.end("read from pipe")?.read(buffer)
            }

            /// Writes everything, as one message to a message pipe; waits while more than the quota
            /// lies unread. The bytes written: all, but where calls do not wait.
            ///
            /// # Errors
            /// [`ErrorKind::PeerGone`](crate::ErrorKind::PeerGone): 232 if the other end is closed,
            /// 109 if it closed while the call waited, 233 if the pipe was disconnected. Otherwise
            /// as for [`read`](Self::read).
            #[doc(alias = "WriteFile")]
            #[inline]
            pub fn write(&self, data: &[u8]) -> crate::Result<usize> {
                self.end("write to pipe")?.write(data)
            }

            /// Looks at what is there, and takes nothing. Never waits.
            ///
            /// # Errors
            /// [`ErrorKind::WrongState`](crate::ErrorKind::WrongState) (230) for a server without a
            /// client. Otherwise as for [`read`](Self::read).
            #[doc(alias = "PeekNamedPipe")]
            pub fn peek(&self, buffer: &mut [u8]) -> crate::Result<crate::nt::pipe::Peeked> {
                self.end_to_peek()?.peek(buffer)
            }

            /// Writes a message and reads the next one, with nobody's read in between.
            ///
            /// # Errors
            /// [`ErrorKind::WrongState`](crate::ErrorKind::WrongState) (230) unless the pipe goes
            /// both ways and is read by messages; [`ErrorKind::Busy`](crate::ErrorKind::Busy) (231)
            /// if something is there to be read already. Otherwise as for [`read`](Self::read) and
            /// [`write`](Self::write).
            #[doc(alias = "TransactNamedPipe")]
            pub fn transact(
                &self,
                request: &[u8],
                reply: &mut [u8],
            ) -> crate::Result<crate::channel::Part> {
                self.end("transact on pipe")?.transact(request, reply)
            }

            /// Waits until the other end has read everything.
            ///
            /// # Errors
            /// As for [`read`](Self::read).
            #[doc(alias = "FlushFileBuffers")]
            pub fn flush(&self) -> crate::Result<()> {
                self.end("flush pipe")?.flush_until(&|| false)
            }

            /// Whether the other end has read everything; `false` while a write waits.
            ///
            /// # Errors
            /// As for [`write`](Self::write), without a connection.
            pub fn is_flushed(&self) -> crate::Result<bool> {
                Ok(self.end("look at pipe")?.is_flushed())
            }

            /// Says that nothing more is written with this end, by whoever holds it: the other end
            /// reads what there is, then finds the end (109), and may write on. NT has no such
            /// call: there both ways end with the handle.
            ///
            /// # Errors
            /// As for [`write`](Self::write). Writes fail from then on:
            /// [`ErrorKind::WrongState`](crate::ErrorKind::WrongState) (232).
            pub fn shutdown_write(&self) -> crate::Result<()> {
                self.end("shut down pipe")?.shut()
            }

            /// Waits until the other end is closed both ways, not only for
            /// [writing](Self::shutdown_write). Reads of this handle wait meanwhile: for who has
            /// read to the end.
            ///
            /// # Errors
            /// As for [`read`](Self::read), without a connection.
            pub fn wait_closed(&self) -> crate::Result<()> {
                self.end("wait for the end of pipe")?.await_end()
            }

            /// Whether the process at the other end is gone without having closed it, as one that
            /// was killed: what it sent may not be whole. To a read that is an end like any other
            /// (109).
            ///
            /// # Errors
            /// As for [`read`](Self::read), without a connection.
            pub fn is_abandoned(&self) -> crate::Result<bool> {
                Ok(self.end("look at pipe")?.is_abandoned())
            }

            /// [`read`](Self::read) into `buffer`, as an operation.
            ///
            /// # Errors
            /// As for [`read`](Self::read), if it fails at once.
            pub fn read_overlapped(
                &self,
                buffer: Vec<u8>,
            ) -> crate::Result<crate::nt::pipe::Operation> {
                self.end("read from pipe")?.read_overlapped(buffer)
            }

            /// [`write`](Self::write) as an operation.
            ///
            /// # Errors
            /// As for [`write`](Self::write), if it fails at once.
            pub fn write_overlapped(
                &self,
                data: Vec<u8>,
            ) -> crate::Result<crate::nt::pipe::Operation> {
                self.end("write to pipe")?.write_overlapped(data)
            }

            /// [`flush`](Self::flush) as an operation: it ends when what was written is read, or is
            /// cancelled.
            ///
            /// # Errors
            /// As for [`flush`](Self::flush), if it fails at once.
            pub fn flush_overlapped(&self) -> crate::Result<crate::nt::pipe::Operation> {
                self.end("flush pipe")?.flush_overlapped()
            }

            /// Cancels the operations of this connection; how many that were. NT: CancelIoEx.
            ///
            /// # Errors
            /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) (1168) if there are none.
            pub fn cancel_all(&self) -> crate::Result<usize> {
                self.end("cancel pipe operations")?.cancel_all()
            }

            /// Has the ends of the operations that begin from now on told to a queue.
            pub fn associate(
                &self,
                queue: &crate::nt::pipe::Completions,
                key: usize,
                immediate: crate::nt::pipe::Immediate,
            ) {
                let port = crate::nt::pipe::completion::Port::new(queue, key, immediate);
                self.mode().set_port(port);
            }

            /// Something to wait for with others: ready when a read would not wait.
            ///
            /// # Errors
            /// As for [`read`](Self::read), without a connection.
            pub fn readable(&self) -> crate::Result<crate::nt::pipe::Readable> {
                let end = self.end("wait for pipe")?;
                Ok(crate::nt::pipe::Readable(end.arrivals.clone()))
            }

            /// How reads see it from now on.
            ///
            /// # Errors
            /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) (87) for messages from a
            /// pipe of bytes.
            #[doc(alias = "SetNamedPipeHandleState")]
            pub fn set_read_mode(&self, mode: crate::nt::pipe::ReadMode) -> crate::Result<()> {
                self.end("set read mode of pipe")?.set_read_mode(mode)
            }

            /// How reads see it.
            #[must_use]
            pub fn read_mode(&self) -> crate::nt::pipe::ReadMode {
                self.mode().read()
            }

            /// Has calls on this handle wait, as they do from the start, or not (PIPE_NOWAIT).
            pub fn set_waiting(&self, waiting: crate::nt::pipe::Waiting) {
                self.mode()
                    .set_nowait(waiting == crate::nt::pipe::Waiting::Never);
            }

            /// Bytes that can be written without waiting.
            ///
            /// # Errors
            /// As for [`write`](Self::write), without a connection.
            pub fn writable(&self) -> crate::Result<u64> {
                Ok(self.end("look at pipe")?.writable())
            }
        }

        /// The end of the other side is that of the stream; messages are read as bytes, and those
        /// without bytes are passed over. A pipe that was disconnected is an error.
        impl std::io::Read for &$type {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                crate::nt::pipe::read_stream(buffer, |buffer| Ok($type::read(self, buffer)?.len))
            }
        }

        impl std::io::Read for $type {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                std::io::Read::read(&mut &*self, buffer)
            }
        }

        /// Each write is a message to a pipe of messages.
        impl std::io::Write for &$type {
            fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
                Ok($type::write(self, data)?)
            }

            /// Does nothing: what was written is there to be read. The method of the type waits
            /// for the reader.
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        impl std::io::Write for $type {
            fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
                Ok(Self::write(self, data)?)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
    };
}

mod anonymous;
mod client;
mod completion;
mod doorman;
mod end;
mod fault;
mod greeting;
mod operation;
mod server;
mod session;

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::nt::status::NtStatus;
use crate::object::Namespace;
use crate::object::space::socket::{self, Calling};
use crate::object::wait::source::Source;
use crate::object::wait::{Member, Waitable};

pub use self::anonymous::{Reader, Writer, anonymous};
pub use self::client::{Client, ClientOptions, Timeout, call, wait_for, wait_for_in};
pub use self::completion::{Completion, Completions, Immediate};
pub use self::end::{Peeked, ReadMode};
pub use self::greeting::Access;
pub use self::operation::{Completed, Operation};
pub use self::server::{Server, ServerOptions, UNLIMITED};
pub use self::session::{Connection, Session, SessionState};
pub use crate::channel::{Identity, Impersonation, Part};

/// Quota of a pipe whose creator does not say, in bytes.
const QUOTA: u64 = 4096;
/// Largest quota, in bytes.
pub const QUOTA_MAX: u64 = 16 << 20;
/// How long clients wait for an instance where nobody says.
const TIMEOUT: Duration = Duration::from_millis(50);

/// Whether calls on a handle wait.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub enum Waiting {
    /// They do.
    #[default]
    Blocking,
    /// They fail, or do nothing, where they would. NT: PIPE_NOWAIT.
    Never,
}

/// Ready when a read of a pipe would not wait. Nothing is taken.
#[derive(Clone, Debug)]
pub struct Readable(Arc<dyn Source>);

impl Waitable for Readable {
    fn member(&self) -> Member<'_> {
        Member::source(&self.0)
    }
}

/// The names in a namespace under which somebody serves a pipe, in lower case. One that is too long
/// to be told is a `#` and a hash.
///
/// # Errors
/// What the kernel answers when the directory is read.
pub fn names(space: &Namespace) -> Result<Vec<String>> {
    let names = socket::names(space, Calling::Pipe)?;
    Ok(names
        .iter()
        .map(|name| format!(r"\\.\pipe\{name}"))
        .collect())
}

/// A read of a stream: the end of the other side is its end.
fn read_stream(
    buffer: &mut [u8],
    read: impl Fn(&mut [u8]) -> Result<usize>,
) -> std::io::Result<usize> {
    if buffer.is_empty() {
        return Ok(0);
    }
    loop {
        match read(buffer) {
            // A message without bytes is no end.
            Ok(0) => {}
            Err(error) if is_over(&error) => return Ok(0),
            read => return Ok(read?),
        }
    }
}

/// Whether everything was read, and the other end is closed.
fn is_over(error: &Error) -> bool {
    error.nt_status() == NtStatus::PIPE_BROKEN
}
