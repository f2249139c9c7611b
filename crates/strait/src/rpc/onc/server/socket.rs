//! The sockets that connections and listeners are made of.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context as Poller, Poll, ready};

use rustix::fs::{self, OFlags};
use rustix::net::sockopt::{socket_domain, socket_type};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, getpeername, recv, sendmsg,
};
use strait_sys::Errno;
use strait_sys::sockopt::peer_credentials;
use strait_wire::onc::rpcbind::Uaddr;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener};

use crate::error::{Error, ErrorKind, Result};
use crate::rpc::onc::Caller;
use crate::rpc::onc::tls::{Secure, Shaken, TlsServer};
use crate::rpc::onc::watched::Watched;
use crate::unix::socket::{Bytes, Listener as Claimed};

/// A connected stream, and TLS where it was asked for.
#[derive(Debug)]
pub(super) struct Socket {
    stream: Stream,
    tls: Option<Box<Secure>>,
}

/// What carries bytes.
#[derive(Debug)]
pub(in crate::rpc::onc) enum Stream {
    Tcp(TcpStream),
    Local(Watched<OwnedFd>),
    Pipes {
        read: Watched<OwnedFd>,
        write: Watched<OwnedFd>,
    },
}

impl From<Stream> for Socket {
    fn from(stream: Stream) -> Self {
        Self { stream, tls: None }
    }
}

impl Socket {
    /// A descriptor that came from elsewhere, if it is a connected stream; and who is there.
    pub(super) fn from_descriptor(fd: OwnedFd) -> Result<(Self, Caller)> {
        let operation = "serve descriptor";
        let failed = |error: io::Error| super::failed(&error, operation, "");
        let wrong = || {
            let error = Error::new(ErrorKind::WrongKind, operation, "");
            error.because("it is no connected socket of TCP or of this machine")
        };
        let domain = socket_domain(&fd).map_err(|_| wrong())?;
        if !socket_type(&fd).is_ok_and(|kind| kind == rustix::net::SocketType::STREAM) {
            return Err(wrong());
        }
        // One of this machine that listens has credentials too, its own.
        getpeername(&fd).map_err(|_| wrong())?;
        rustix::io::ioctl_fionbio(&fd, true).map_err(|errno| failed(errno.into()))?;
        let stream = match domain {
            AddressFamily::UNIX => Watched::new(fd).map(Stream::Local),
            AddressFamily::INET | AddressFamily::INET6 => {
                TcpStream::from_std(fd.into()).map(Stream::Tcp)
            }
            _ => return Err(wrong()),
        };
        let socket = Self::from(stream.map_err(failed)?);
        let caller = socket.caller().map_err(|_| wrong())?;
        Ok((socket, caller))
    }

    /// The end of one pipe to read from and that of another to write to.
    pub(super) fn from_pipes(read: OwnedFd, write: OwnedFd) -> Result<(Self, Caller)> {
        let operation = "serve pipes";
        let failed = |errno: Errno| Error::kernel(errno, operation, "");
        for (end, needed, what) in [
            (
                &read,
                OFlags::RDONLY,
                "the first is no end of a pipe to read from",
            ),
            (
                &write,
                OFlags::WRONLY,
                "the second is no end of a pipe to write to",
            ),
        ] {
            let mode = fs::fstat(end).map_err(failed)?.st_mode;
            let access = fs::fcntl_getfl(end).map_err(failed)? & OFlags::RWMODE;
            let is_fifo = fs::FileType::from_raw_mode(mode) == fs::FileType::Fifo;
            if !is_fifo || (access != needed && access != OFlags::RDWR) {
                return Err(Error::new(ErrorKind::WrongKind, operation, "").because(what));
            }
            rustix::io::ioctl_fionbio(end, true).map_err(failed)?;
        }
        let watched = |end| Watched::new(end).map_err(|error| super::failed(&error, operation, ""));
        let (read, write) = (watched(read)?, watched(write)?);
        let socket = Self::from(Stream::Pipes { read, write });
        Ok((socket, Caller::Pipe))
    }

    /// Who is at the other end.
    pub(super) fn caller(&self) -> io::Result<Caller> {
        match &self.stream {
            Stream::Tcp(socket) => {
                socket.set_nodelay(true)?;
                socket.peer_addr().map(Caller::Tcp)
            }
            Stream::Local(socket) => {
                let peer = peer_credentials(socket.fd()?.get_ref().as_fd())?;
                if peer.uid == u32::MAX {
                    return Err(io::ErrorKind::NotConnected.into());
                }
                Ok(Caller::Local {
                    pid: peer.pid,
                    uid: peer.uid,
                    gid: peer.gid,
                })
            }
            Stream::Pipes { .. } => Ok(Caller::Pipe),
        }
    }

    pub(super) fn reached(&self) -> Option<SocketAddr> {
        match &self.stream {
            Stream::Tcp(socket) => socket.local_addr().ok(),
            Stream::Local(_) | Stream::Pipes { .. } => None,
        }
    }

    /// Whether TLS may be asked for here.
    pub(super) fn is_clear(&self) -> bool {
        self.tls.is_none() && matches!(self.stream, Stream::Tcp(_))
    }

    pub(super) fn is_within_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// What comes from now on is TLS.
    pub(super) fn start_tls(&mut self, server: &TlsServer) {
        self.tls = Secure::begin(server);
    }

    /// Until something of the handshake has come.
    pub(super) fn poll_come(&self, poller: &mut Poller<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_read_ready(poller)
    }

    /// Until the handshake is done, or needs room.
    pub(super) fn poll_shake(&mut self, poller: &mut Poller<'_>) -> Poll<io::Result<Shaken>> {
        match &mut self.tls {
            Some(tls) => tls.poll_shake(&self.stream, poller),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// The handshake may be as long as it likes.
    pub(super) fn make_room_to_shake(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.make_room();
        }
    }

    pub(super) fn poll_read_ready(&mut self, poller: &mut Poller<'_>) -> Poll<io::Result<()>> {
        match &mut self.tls {
            Some(tls) => tls.poll_read_ready(&self.stream, poller),
            None => self.stream.poll_read_ready(poller),
        }
    }

    pub(super) fn poll_read(
        &mut self,
        poller: &mut Poller<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(tls) = &mut self.tls {
            ready!(tls.poll_read_ready(&self.stream, poller))?;
            let len = tls.read(room.initialize_unfilled())?;
            room.advance(len);
            return Poll::Ready(Ok(()));
        }
        match &mut self.stream {
            Stream::Tcp(socket) => Pin::new(socket).poll_read(poller, room),
            Stream::Local(socket) => {
                let free = room.initialize_unfilled();
                let len = ready!(socket.poll_read(poller, free, receive))?;
                room.advance(len);
                Poll::Ready(Ok(()))
            }
            Stream::Pipes { read, .. } => {
                let free = room.initialize_unfilled();
                let take = |fd: &OwnedFd, room: &mut [u8]| rustix::io::read(fd, room);
                let len = ready!(read.poll_read(poller, free, take))?;
                room.advance(len);
                Poll::Ready(Ok(()))
            }
        }
    }

    pub(super) fn poll_write(
        &mut self,
        poller: &mut Poller<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(tls) = &mut self.tls {
            return tls.poll_write(&self.stream, poller, slices);
        }
        match (&mut self.stream, slices) {
            (Stream::Tcp(socket), [one]) => Pin::new(socket).poll_write(poller, one),
            (Stream::Tcp(socket), _) => Pin::new(socket).poll_write_vectored(poller, slices),
            (Stream::Local(socket), _) => {
                let total = slices.iter().map(|slice| slice.len()).sum();
                socket.poll_write(poller, total, |fd| send(fd, slices))
            }
            (Stream::Pipes { write, .. }, _) => {
                let total = slices.iter().map(|slice| slice.len()).sum();
                write.poll_write(poller, total, |fd| rustix::io::writev(fd, slices))
            }
        }
    }

    /// Says that nothing more comes, where TLS can.
    pub(super) fn close(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.close(&self.stream);
        }
    }

    /// Says that nothing more comes, and reads what has come, up to `max` bytes.
    pub(super) fn finish(&mut self, max: usize) {
        self.close();
        let fd = match &self.stream {
            Stream::Tcp(socket) => socket.as_fd(),
            Stream::Local(socket) => match socket.fd() {
                Ok(fd) => fd.get_ref().as_fd(),
                Err(_) => return,
            },
            // What is left in a pipe that is closed is in nobody's way.
            Stream::Pipes { .. } => return,
        };
        // The client may be gone: then there is nobody to tell.
        let _ = rustix::net::shutdown(fd, rustix::net::Shutdown::Write);
        let mut left = [0; 4096];
        for _ in 0..max / left.len() {
            match recv(fd, &mut left[..], RecvFlags::DONTWAIT) {
                Ok((_, len)) if len > 0 => {}
                _ => break,
            }
        }
    }
}

impl Stream {
    pub(in crate::rpc::onc) fn poll_read_ready(
        &self,
        poller: &mut Poller<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => socket.poll_read_ready(poller),
            Self::Local(socket) => socket.poll_read_ready(poller),
            Self::Pipes { read, .. } => read.poll_read_ready(poller),
        }
    }
}

/// For what stands between records and bytes of TCP.
#[cfg(feature = "tls")]
impl Stream {
    pub(in crate::rpc::onc) fn poll_write_ready(
        &self,
        poller: &mut Poller<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => socket.poll_write_ready(poller),
            _ => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    pub(in crate::rpc::onc) fn try_read(&self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_read(room),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    pub(in crate::rpc::onc) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_write_vectored(slices),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// A socket that connections come from.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    /// The file of the path goes with the claim.
    Local {
        listener: UnixListener,
        _claim: Claimed<Bytes>,
    },
}

impl Listener {
    pub(super) fn tcp(listener: &Claimed<Bytes>) -> io::Result<Self> {
        let fd = listener.as_fd().try_clone_to_owned()?;
        Ok(Self::Tcp(TcpListener::from_std(fd.into())?))
    }

    pub(super) fn local(listener: Claimed<Bytes>) -> io::Result<Self> {
        let fd = listener.as_fd().try_clone_to_owned()?;
        Ok(Self::Local {
            listener: UnixListener::from_std(fd.into())?,
            _claim: listener,
        })
    }

    /// As a registry is told it; `None` for what it could not be told.
    pub(super) fn place(&self) -> Option<Uaddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok().map(Uaddr::Inet),
            Self::Local { listener, .. } => {
                let address = listener.local_addr().ok()?;
                let path = std::path::absolute(address.as_pathname()?).ok()?;
                Some(Uaddr::Local(path.to_str()?.to_owned()))
            }
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Socket> {
        let accepted = match self {
            Self::Tcp(listener) => listener.accept().await.map(|(it, _)| Stream::Tcp(it)),
            Self::Local { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                Watched::new(stream.into_std()?.into()).map(Stream::Local)
            }
        };
        accepted.map(Socket::from)
    }
}

fn receive(fd: &OwnedFd, room: &mut [u8]) -> rustix::io::Result<usize> {
    recv(fd, room, RecvFlags::DONTWAIT).map(|(len, _)| len)
}

fn send(fd: &OwnedFd, slices: &[IoSlice<'_>]) -> rustix::io::Result<usize> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    if let [one] = slices {
        return rustix::net::send(fd, one, flags);
    }
    let mut none = SendAncillaryBuffer::default();
    sendmsg(fd, slices, &mut none, flags)
}
