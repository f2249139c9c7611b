//! Bytes and messages, without what can travel beside them.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFlags, poll};
use rustix::io::ioctl_fionread;
use rustix::net::{
    RecvFlags, ReturnFlags, SendFlags, SocketType, connect, recv, recvfrom, send, sendto,
};
use strait_sys::pass;
use strait_sys::time::Deadline;

use super::failure::{Patience, attempt, fail, retry};
use super::{Address, Bytes, Datagrams, Kind, Messages, Socket};
use crate::error::{Error, ErrorKind, Result};

/// How a message came.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Arrival {
    /// Bytes of it in the buffer.
    pub len: usize,
    /// There was no message: the peer has closed, or shut down its sending half.
    pub end: bool,
    /// Bytes of it that did not fit the buffer, and are lost.
    pub lost: usize,
}

pub(super) fn receive_flags(dont_wait: bool) -> RecvFlags {
    if dont_wait {
        return RecvFlags::DONTWAIT;
    }
    RecvFlags::empty()
}

pub(super) fn send_flags(dont_wait: bool) -> SendFlags {
    if dont_wait {
        return SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    }
    SendFlags::NOSIGNAL
}

/// The result of a call with [`Patience::Forever`].
pub(super) fn whole<T>(done: Option<T>) -> T {
    done.expect("without end it ends with an answer")
}

pub(super) fn until(timeout: Duration) -> Patience {
    Patience::Until(Deadline::after(timeout))
}

// ---- bytes ---------------------------------------------------------------------------------

impl Socket<Bytes> {
    /// Reads what is there, waiting for the first byte; 0: the peer has closed or shut down its
    /// sending half. Descriptors that came with the bytes are closed: see
    /// [`recv_message`](Self::recv_message).
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`], once: the peer closed without reading all that was written to it.
    /// What a Unix peer had sent before can be read after that.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        self.read_until(buffer, Patience::Forever).map(whole)
    }

    /// Reads what is there; `None` if nothing is.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn try_read(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.read_until(buffer, Patience::Never)
    }

    /// Reads what comes within that time; `None` if nothing did.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn read_for(&self, buffer: &mut [u8], timeout: Duration) -> Result<Option<usize>> {
        self.read_until(buffer, until(timeout))
    }

    fn read_until(&self, buffer: &mut [u8], patience: Patience) -> Result<Option<usize>> {
        attempt(self.as_fd(), PollFlags::IN, patience, |dont_wait| {
            recv(self, &mut *buffer, receive_flags(dont_wait)).map(|(len, _)| len)
        })
        .map_err(|errno| fail(errno, "read from", self.shown()))
    }

    /// Looks at what [`read`](Self::read) would give, and takes nothing; waits for the first byte.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn peek(&self, buffer: &mut [u8]) -> Result<usize> {
        attempt(self.as_fd(), PollFlags::IN, Patience::Forever, |_| {
            recv(self, &mut *buffer, RecvFlags::PEEK).map(|(len, _)| len)
        })
        .map(whole)
        .map_err(|errno| fail(errno, "peek at", self.shown()))
    }

    /// Fills the buffer.
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`]: the peer closed before that; what came is in the buffer.
    pub fn read_exact(&self, mut buffer: &mut [u8]) -> Result<()> {
        while !buffer.is_empty() {
            let len = self.read(buffer)?;
            if len == 0 {
                let why = format!("the peer has closed, {} bytes before the end", buffer.len());
                return Err(Error::new(ErrorKind::PeerGone, "read from", self.shown()).because(why));
            }
            buffer = &mut buffer[len..];
        }
        Ok(())
    }

    /// Writes at least one byte, waiting for room, and returns how many. Never raises SIGPIPE.
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`]: the peer has closed.
    pub fn write(&self, bytes: &[u8]) -> Result<usize> {
        self.write_until(bytes, Patience::Forever).map(whole)
    }

    /// Writes what there is room for; `None` if there is none.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub fn try_write(&self, bytes: &[u8]) -> Result<Option<usize>> {
        self.write_until(bytes, Patience::Never)
    }

    /// Writes what there is room for within that time; `None` if there was none.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub fn write_for(&self, bytes: &[u8], timeout: Duration) -> Result<Option<usize>> {
        self.write_until(bytes, until(timeout))
    }

    fn write_until(&self, bytes: &[u8], patience: Patience) -> Result<Option<usize>> {
        attempt(self.as_fd(), PollFlags::OUT, patience, |dont_wait| {
            send(self, bytes, send_flags(dont_wait))
        })
        .map_err(|errno| fail(errno, "write to", self.shown()))
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// As for [`write`](Self::write); some of it may have been written.
    pub fn write_all(&self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            bytes = &bytes[self.write(bytes)?..];
        }
        Ok(())
    }
}

impl io::Read for &Socket<Bytes> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(Socket::read(self, buffer)?)
    }
}

impl io::Write for &Socket<Bytes> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(Socket::write(self, bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Read for Socket<Bytes> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(Self::read(self, buffer)?)
    }
}

impl io::Write for Socket<Bytes> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(Self::write(self, bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// ---- messages ------------------------------------------------------------------------------

impl<K: Messages> Socket<K> {
    /// Sends one message to the connected peer, whole or not at all; waits for room. Never raises
    /// SIGPIPE.
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`]: the peer has closed; [`ErrorKind::InvalidInput`]: longer than the
    /// send buffer or the protocol allows, or not connected.
    pub fn send(&self, message: &[u8]) -> Result<()> {
        self.send_until(message, Patience::Forever).map(whole)
    }

    /// Sends one message; `None` if there is no room for it.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub fn try_send(&self, message: &[u8]) -> Result<Option<()>> {
        self.send_until(message, Patience::Never)
    }

    /// Sends one message; `None` if there was no room for it within that time.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub fn send_for(&self, message: &[u8], timeout: Duration) -> Result<Option<()>> {
        self.send_until(message, until(timeout))
    }

    fn send_until(&self, message: &[u8], patience: Patience) -> Result<Option<()>> {
        attempt(self.as_fd(), PollFlags::OUT, patience, |dont_wait| {
            send(self, message, send_flags(dont_wait)).map(drop)
        })
        .map_err(|errno| fail(errno, "send to", self.shown()))
    }

    /// Receives one message, waiting for it. Descriptors that came with it are closed: see
    /// [`recv_message`](Self::recv_message).
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`], once: the peer closed without receiving all that was sent to it.
    /// What it had sent before can be received after that.
    ///
    /// # Differences
    /// A seqpacket socket gives 0 bytes for an empty message as for its end. Here they differ;
    /// but empty messages after which nothing follows but the close may be taken for it, unless
    /// [`PassCredentials`](super::PassCredentials) is set, with which they never are.
    pub fn recv(&self, buffer: &mut [u8]) -> Result<Arrival> {
        self.recv_until(buffer, Patience::Forever).map(whole)
    }

    /// Receives a message that is there; `None` if none is.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn try_recv(&self, buffer: &mut [u8]) -> Result<Option<Arrival>> {
        self.recv_until(buffer, Patience::Never)
    }

    /// Receives a message within that time; `None` if none came.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn recv_for(&self, buffer: &mut [u8], timeout: Duration) -> Result<Option<Arrival>> {
        self.recv_until(buffer, until(timeout))
    }

    /// Looks at the message that [`recv`](Self::recv) would give, and takes nothing; waits for it.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn peek(&self, buffer: &mut [u8]) -> Result<Arrival> {
        self.receive(buffer, Patience::Forever, RecvFlags::PEEK)
            .map(whole)
    }

    fn recv_until(&self, buffer: &mut [u8], patience: Patience) -> Result<Option<Arrival>> {
        self.receive(buffer, patience, RecvFlags::empty())
    }

    fn receive(
        &self,
        buffer: &mut [u8],
        patience: Patience,
        flags: RecvFlags,
    ) -> Result<Option<Arrival>> {
        let room = buffer.len();
        let received = attempt(self.as_fd(), PollFlags::IN, patience, |dont_wait| {
            let flags = flags | RecvFlags::TRUNC | receive_flags(dont_wait);
            pass::receive_bytes(self.as_fd(), buffer, flags)
        });
        let received = received.map_err(|errno| fail(errno, "receive from", self.shown()))?;
        Ok(received.map(|received| self.arrival(received, room)))
    }
}

impl<K: Kind> Socket<K> {
    /// `room` is the buffer's.
    pub(super) fn arrival(&self, received: pass::Received, room: usize) -> Arrival {
        let end = received.len == 0
            && match K::TYPE {
                SocketType::STREAM => room > 0,
                _ => self.is_end(received.flags),
            };
        Arrival {
            len: received.len.min(room),
            end,
            lost: received.len.saturating_sub(room),
        }
    }

    /// Whether no bytes mean the end. Something beside the bytes comes with a message only; and
    /// while the peer is there, or something is queued, it is not the end.
    #[cold]
    fn is_end(&self, flags: ReturnFlags) -> bool {
        if flags.contains(ReturnFlags::CTRUNC) {
            return false;
        }
        let hung_up = PollFlags::RDHUP | PollFlags::HUP;
        let mut fds = [rustix::event::PollFd::new(self, PollFlags::RDHUP)];
        let now = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let polled = poll(&mut fds, Some(&now));
        let gone = polled.is_ok() && fds[0].revents().intersects(hung_up);
        gone && ioctl_fionread(self).is_ok_and(|queued| queued == 0)
    }
}

impl Socket<Datagrams> {
    /// A socket with that address, with the usual options.
    ///
    /// # Errors
    /// As for [`Options::bind`](super::Options::bind).
    pub fn bind(at: &Address) -> Result<Self> {
        Self::options().bind(at)
    }

    /// Connects it: it then sends to that address, and receives from there only. Again to change
    /// that.
    ///
    /// # Errors
    /// As for [`Options::connect`](super::Options::connect).
    pub fn connect_to(&self, to: &Address) -> Result<()> {
        let connected = to.reach().and_then(|reach| connect(self, &reach.address));
        connected.map_err(|errno| fail(errno, "connect socket to", to.to_string()))
    }

    /// Sends one message to an address; waits for room in the queue of its socket.
    ///
    /// # Errors
    /// As for [`send`](Self::send); [`ErrorKind::PeerGone`] also where nobody has the address;
    /// [`ErrorKind::NotFound`]: no such path.
    pub fn send_to(&self, message: &[u8], to: &Address) -> Result<()> {
        self.send_to_until(message, to, Patience::Forever)
            .map(whole)
    }

    /// Sends one message to an address; `None` if its queue is full: by default it holds 11
    /// messages (/proc/sys/net/unix/max_dgram_qlen, and one).
    ///
    /// # Errors
    /// As for [`send_to`](Self::send_to).
    pub fn try_send_to(&self, message: &[u8], to: &Address) -> Result<Option<()>> {
        self.send_to_until(message, to, Patience::Never)
    }

    /// Sends one message to an address; `None` if its queue was full all that time. A queue that is
    /// not this socket's peer's announces nothing: it is tried every millisecond.
    ///
    /// # Errors
    /// As for [`send_to`](Self::send_to).
    pub fn send_to_for(
        &self,
        message: &[u8],
        to: &Address,
        timeout: Duration,
    ) -> Result<Option<()>> {
        self.send_to_until(message, to, until(timeout))
    }

    fn send_to_until(
        &self,
        message: &[u8],
        to: &Address,
        patience: Patience,
    ) -> Result<Option<()>> {
        let failed = |errno| fail(errno, "send to", to.to_string());
        let reach = to.reach().map_err(failed)?;
        retry(patience, |dont_wait| {
            sendto(self, message, send_flags(dont_wait), &reach.address).map(drop)
        })
        .map_err(failed)
    }

    /// Receives one message and where it came from, which is [`Address::Unnamed`] for a Unix socket
    /// without a name.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn recv_from(&self, buffer: &mut [u8]) -> Result<(Arrival, Address)> {
        self.recv_from_until(buffer, Patience::Forever).map(whole)
    }

    /// Receives a message that is there; `None` if none is.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn try_recv_from(&self, buffer: &mut [u8]) -> Result<Option<(Arrival, Address)>> {
        self.recv_from_until(buffer, Patience::Never)
    }

    /// Receives a message within that time; `None` if none came.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn recv_from_for(
        &self,
        buffer: &mut [u8],
        timeout: Duration,
    ) -> Result<Option<(Arrival, Address)>> {
        self.recv_from_until(buffer, until(timeout))
    }

    fn recv_from_until(
        &self,
        buffer: &mut [u8],
        patience: Patience,
    ) -> Result<Option<(Arrival, Address)>> {
        let received = attempt(self.as_fd(), PollFlags::IN, patience, |dont_wait| {
            recvfrom(
                self,
                &mut *buffer,
                receive_flags(dont_wait) | RecvFlags::TRUNC,
            )
        });
        let received = received.map_err(|errno| fail(errno, "receive from", self.shown()))?;
        Ok(received.map(|(len, whole, from)| {
            let arrival = Arrival {
                len,
                end: false,
                lost: whole - len,
            };
            let from = from.as_ref().and_then(Address::of);
            (arrival, from.unwrap_or(Address::Unnamed))
        }))
    }
}

impl<K: Kind> Socket<K> {
    /// Bytes that could be read at once; of the first datagram, on UDP (SIOCINQ).
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn unread(&self) -> Result<usize> {
        let bytes = ioctl_fionread(self)
            .map_err(|errno| fail(errno, "ask for what is queued in", self.shown()))?;
        Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    /// Bytes that were sent and are not yet taken: by a local peer with what the kernel needs for
    /// them, or acknowledged by a distant one (SIOCOUTQ).
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn unsent(&self) -> Result<usize> {
        strait_sys::sockopt::unsent(self.as_fd())
            .map_err(|errno| fail(errno, "ask for what was sent through", self.shown()))
    }
}
