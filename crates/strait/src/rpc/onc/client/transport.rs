//! What carries messages: sockets, and whatever can be read and written.

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_domain};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, recv, send};
use strait_sys::Errno;
use strait_sys::time::Deadline;
use strait_wire::onc::client::Form;

use super::failure::End;
use super::inbox::Inbox;
use crate::rpc::onc::tls::Line;

/// One connection, of whatever kind.
pub(in crate::rpc::onc) trait Transport: Send + Sync {
    /// What calls look like on it.
    fn form(&self) -> Form;

    /// Sends some of a record, or a whole message. `AGAIN`: not yet, as there is no room.
    fn try_send(&self, bytes: &[u8]) -> Result<usize, Errno>;

    /// Receives some bytes, or a whole message, until then; `None`: nothing has come. 0 bytes are
    /// the end of a stream.
    fn receive(&self, inbox: &mut Inbox, until: Deadline) -> Result<Option<usize>, Errno>;

    /// Waits until there is something to receive (if `receiving`) or room to send, or until then.
    fn wait_for_room(&self, receiving: bool, until: Deadline) -> Result<(), Errno>;

    /// Receives what is there.
    fn try_receive(&self, inbox: &mut Inbox) -> Result<Option<usize>, Errno> {
        self.receive(inbox, Deadline::from_ns(0))
    }

    /// Whether sending may block, whatever it is told.
    fn can_block(&self) -> bool {
        false
    }

    /// Whether a message was begun that the next [`try_send`](Self::try_send) goes on with.
    fn is_within_message(&self) -> bool {
        false
    }

    /// Why the connection has ended, where one of these says so.
    fn end(&self, errno: Errno) -> End {
        End::kernel(errno)
    }

    /// Whether nobody between can read.
    fn is_encrypted(&self) -> bool {
        false
    }
}

/// Waits shorter than this are not entrusted to the socket's own timeout, which the kernel keeps
/// in ticks of up to 10 ms.
const TICKS: Duration = Duration::from_millis(50);

/// A connected socket. It may be non-blocking, and stays what it is.
#[derive(Debug)]
pub(in crate::rpc::onc) struct Socket {
    fd: OwnedFd,
    form: Form,
    is_local: bool,
    /// SO_RCVTIMEO, in nanoseconds; 0 if none is set. Only who reads changes it.
    timeout: AtomicU64,
    tls: Option<Line>,
}

/// What a socket is waited for.
#[derive(Copy, Clone, Debug)]
pub(in crate::rpc::onc) enum Readiness {
    Data,
    Room,
    Either,
}

impl Socket {
    pub(super) fn new(fd: OwnedFd, form: Form) -> Self {
        let domain = socket_domain(&fd);
        Self {
            fd,
            form,
            is_local: domain == Ok(AddressFamily::UNIX),
            timeout: AtomicU64::new(0),
            tls: None,
        }
    }

    /// The same within TLS.
    #[cfg(feature = "tls")]
    pub(in crate::rpc::onc) fn within(mut self, line: Line) -> Self {
        self.tls = Some(line);
        self
    }

    /// Waits until then at most; a signal ends the wait early.
    pub(in crate::rpc::onc) fn wait(
        &self,
        readiness: Readiness,
        until: Deadline,
    ) -> Result<(), Errno> {
        let flags = match readiness {
            Readiness::Data => PollFlags::IN,
            Readiness::Room => PollFlags::OUT,
            Readiness::Either => PollFlags::IN | PollFlags::OUT,
        };
        wait(self.fd.as_fd(), flags, until.left())
    }

    /// [`receive`](Transport::receive) within TLS.
    fn receive_within(
        &self,
        line: &Line,
        inbox: &mut Inbox,
        until: Deadline,
    ) -> Result<Option<usize>, Errno> {
        loop {
            match line.try_receive(self.fd.as_fd(), inbox.room()) {
                Ok(len) => return Ok(Some(len)),
                Err(Errno::AGAIN) if until.passed() => return Ok(None),
                Err(Errno::AGAIN) => self.wait(Readiness::Data, until)?,
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Makes the socket's own timeout end the next call in time, though perhaps too early: that
    /// costs a poll, while setting it anew for each call would cost every call.
    fn limit(&self, left: Duration) -> Result<(), Errno> {
        let set = Duration::from_nanos(self.timeout.load(Relaxed));
        if !set.is_zero() && set <= left && left / 4 <= set {
            return Ok(());
        }
        // Less than what is left: the next call with the same limit has about as much.
        let new = left.min(LONG) / 8 * 7;
        set_socket_timeout(&self.fd, Timeout::Recv, Some(new))?;
        let nanos = u64::try_from(new.as_nanos()).unwrap_or(u64::MAX);
        self.timeout.store(nanos, Relaxed);
        Ok(())
    }
}

/// The longest timeout that is set on a socket.
const LONG: Duration = Duration::from_secs(100 * 24 * 3600);

impl Transport for Socket {
    fn form(&self) -> Form {
        self.form
    }

    fn try_send(&self, bytes: &[u8]) -> Result<usize, Errno> {
        if let Some(line) = &self.tls {
            return line.try_send(self.fd.as_fd(), bytes);
        }
        send(&self.fd, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
    }

    fn receive(&self, inbox: &mut Inbox, until: Deadline) -> Result<Option<usize>, Errno> {
        if let Some(line) = &self.tls {
            return self.receive_within(line, inbox, until);
        }
        let room = inbox.room();
        let mut left = until.left();
        let mut flags = RecvFlags::DONTWAIT;
        if self.is_local {
            // A reader that sleeps in `recv` is woken also when the peer has read, as that makes
            // room (`unix_write_space` in Linux's net/unix/af_unix.c); one that polls is not.
            if !left.is_zero() {
                wait(self.fd.as_fd(), PollFlags::IN, left)?;
            }
        } else if left >= TICKS {
            self.limit(left)?;
            flags = RecvFlags::empty();
        }
        loop {
            match recv(&self.fd, &mut *room, flags) {
                Ok((len, _)) => return Ok(Some(len)),
                // The socket's own timeout begins anew after each signal.
                Err(Errno::AGAIN | Errno::INTR) => {
                    flags = RecvFlags::DONTWAIT;
                    left = until.left();
                    if left.is_zero() {
                        return Ok(None);
                    }
                    wait(self.fd.as_fd(), PollFlags::IN, left)?;
                }
                Err(errno) => return Err(errno),
            }
        }
    }

    fn wait_for_room(&self, receiving: bool, until: Deadline) -> Result<(), Errno> {
        let readiness = match receiving {
            true => Readiness::Either,
            false => Readiness::Room,
        };
        self.wait(readiness, until)
    }

    fn is_within_message(&self) -> bool {
        self.tls.as_ref().is_some_and(Line::is_within_message)
    }

    fn end(&self, errno: Errno) -> End {
        match &self.tls {
            Some(line) => line.end(errno),
            None => End::kernel(errno),
        }
    }

    fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(line) = &self.tls {
            line.close(self.fd.as_fd());
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Waits at most so long; a signal ends the wait early.
fn wait(fd: BorrowedFd<'_>, flags: PollFlags, left: Duration) -> Result<(), Errno> {
    let timeout = Timespec::try_from(left.min(LONG)).ok();
    match poll(&mut [PollFd::from_borrowed_fd(fd, flags)], timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Two halves of something else, which block as they like.
pub(super) struct Halves<R, W> {
    pub(super) read: Mutex<R>,
    pub(super) write: Mutex<W>,
}

impl<R: Read + Send, W: Write + Send> Transport for Halves<R, W> {
    fn form(&self) -> Form {
        Form::RECORD
    }

    fn can_block(&self) -> bool {
        true
    }

    fn try_send(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let mut write = self.write.lock().unwrap_or_else(PoisonError::into_inner);
        let written = write.write_all(bytes).and_then(|()| write.flush());
        // How much has gone is not known, so that nothing can follow: never `AGAIN`.
        written.map_err(|error| match code(&error) {
            Errno::AGAIN | Errno::INTR => Errno::IO,
            errno => errno,
        })?;
        Ok(bytes.len())
    }

    fn receive(&self, inbox: &mut Inbox, until: Deadline) -> Result<Option<usize>, Errno> {
        let room = inbox.room();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if until.passed() {
                return Ok(None);
            }
            match read.read(room).map_err(|error| code(&error)) {
                Ok(len) => return Ok(Some(len)),
                // They have a timeout of their own.
                Err(Errno::INTR | Errno::AGAIN | Errno::TIMEDOUT) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    fn wait_for_room(&self, _: bool, _: Deadline) -> Result<(), Errno> {
        Ok(())
    }
}

fn code(error: &std::io::Error) -> Errno {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::WouldBlock => Errno::AGAIN,
        ErrorKind::TimedOut => Errno::TIMEDOUT,
        ErrorKind::Interrupted => Errno::INTR,
        ErrorKind::BrokenPipe | ErrorKind::WriteZero => Errno::PIPE,
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => Errno::CONNRESET,
        _ => Errno::from_io_error(error).unwrap_or(Errno::IO),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc;

    use strait_sys::thread::Interruptible;

    use super::*;

    #[test]
    fn a_wait_ends_in_time_however_many_signals_come() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // Nobody says anything there.
        let here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = Socket::new(here.into(), Form::RECORD);
        let (tell, told) = mpsc::channel();
        let waiting = Interruptible::spawn("waits", move |_| {
            let mut inbox = Inbox::new(Form::RECORD, 4096);
            let until = Deadline::after(Duration::from_millis(300));
            let _ = tell.send(socket.receive(&mut inbox, until));
        });
        // Who ends it interrupts it again and again until it has ended.
        std::thread::spawn(move || drop(waiting));
        let ended = told.recv_timeout(Duration::from_secs(20));
        assert_eq!(ended, Ok(Ok(None)), "without end, or with something");
    }
}
