//! Pipes.

/// What a handle of a named pipe can do, on either side.
macro_rules! end_methods {
    ($type:ident) => {
        impl $type {
            /// Reads: the next message, or bytes, as the read mode says. Waits while there is nothing.
            ///
            /// A message that is longer than `buffer` is read in part (`more`; ERROR_MORE_DATA):
            /// its rest is what the next read gets, on whichever thread.
            ///
            /// # Errors
            /// [`ErrorKind::PeerGone`](crate::ErrorKind::PeerGone): 109 once the other end is closed
            /// and everything it wrote has been read, 233 if the pipe was disconnected.
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
    };
}

mod anonymous;
mod client;
mod completion;
mod doorman;
mod end;
mod fault;
mod greeting;
mod identity;
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
pub use self::identity::{Identity, Impersonation};
pub use self::operation::{Completed, Operation};
pub use self::server::{Server, ServerOptions, UNLIMITED};
pub use self::session::{Connection, Session, SessionState};
pub use crate::channel::Part;

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

/// Whether everything was read, and the other end is closed.
fn is_over(error: &Error) -> bool {
    error.nt_status() == NtStatus::PIPE_BROKEN
}
