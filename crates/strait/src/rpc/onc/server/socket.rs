//! The sockets that connections and listeners are made of.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll, ready};

use rustix::net::AddressFamily;
use rustix::net::sockopt::{socket_domain, socket_type};
use strait_sys::sockopt::peer_credentials;
use strait_wire::onc::rpcbind::Uaddr;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::error::{Error, ErrorKind, Result};
use crate::rpc::onc::Caller;
use crate::rpc::onc::tls::{Secure, TlsServer};
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
    Local(UnixStream),
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
        rustix::io::ioctl_fionbio(&fd, true).map_err(|errno| failed(errno.into()))?;
        let stream = match domain {
            AddressFamily::UNIX => UnixStream::from_std(fd.into()).map(Stream::Local),
            AddressFamily::INET | AddressFamily::INET6 => {
                TcpStream::from_std(fd.into()).map(Stream::Tcp)
            }
            _ => return Err(wrong()),
        };
        let socket = Self::from(stream.map_err(failed)?);
        let caller = socket.caller().map_err(|_| wrong())?;
        Ok((socket, caller))
    }

    /// Who is at the other end.
    pub(super) fn caller(&self) -> io::Result<Caller> {
        match &self.stream {
            Stream::Tcp(socket) => {
                socket.set_nodelay(true)?;
                socket.peer_addr().map(Caller::Tcp)
            }
            Stream::Local(socket) => {
                let peer = peer_credentials(socket.as_fd())?;
                if peer.uid == u32::MAX {
                    return Err(io::ErrorKind::NotConnected.into());
                }
                Ok(Caller::Local {
                    pid: peer.pid,
                    uid: peer.uid,
                    gid: peer.gid,
                })
            }
        }
    }

    pub(super) fn reached(&self) -> Option<SocketAddr> {
        match &self.stream {
            Stream::Tcp(socket) => socket.local_addr().ok(),
            Stream::Local(_) => None,
        }
    }

    /// Whether TLS may be asked for here.
    pub(super) fn is_clear(&self) -> bool {
        self.tls.is_none() && matches!(self.stream, Stream::Tcp(_))
    }

    /// What comes from now on is TLS.
    pub(super) fn start_tls(&mut self, server: &TlsServer) {
        self.tls = Secure::begin(server);
    }

    /// Until something of the handshake has come.
    pub(super) fn poll_come(&self, poller: &mut Poller<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_read_ready(poller)
    }

    /// Until the handshake is done: the client's certificate, if it has shown one.
    pub(super) fn poll_shake(
        &mut self,
        poller: &mut Poller<'_>,
    ) -> Poll<io::Result<Option<Arc<[u8]>>>> {
        match &mut self.tls {
            Some(tls) => tls.poll_shake(&self.stream, poller),
            None => Poll::Ready(Ok(None)),
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
            Stream::Local(socket) => Pin::new(socket).poll_read(poller, room),
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
            (Stream::Local(socket), [one]) => Pin::new(socket).poll_write(poller, one),
            (Stream::Tcp(socket), _) => Pin::new(socket).poll_write_vectored(poller, slices),
            (Stream::Local(socket), _) => Pin::new(socket).poll_write_vectored(poller, slices),
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
            Stream::Local(socket) => socket.as_fd(),
        };
        // The client may be gone: then there is nobody to tell.
        let _ = rustix::net::shutdown(fd, rustix::net::Shutdown::Write);
        let mut left = [0; 4096];
        for _ in 0..max / left.len() {
            match rustix::net::recv(fd, &mut left[..], rustix::net::RecvFlags::DONTWAIT) {
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
        }
    }
}

/// For what stands between records and bytes.
#[cfg(feature = "tls")]
impl Stream {
    pub(in crate::rpc::onc) fn poll_write_ready(
        &self,
        poller: &mut Poller<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => socket.poll_write_ready(poller),
            Self::Local(socket) => socket.poll_write_ready(poller),
        }
    }

    pub(in crate::rpc::onc) fn try_read(&self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_read(room),
            Self::Local(socket) => socket.try_read(room),
        }
    }

    pub(in crate::rpc::onc) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_write_vectored(slices),
            Self::Local(socket) => socket.try_write_vectored(slices),
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
                listener.accept().await.map(|(it, _)| Stream::Local(it))
            }
        };
        accepted.map(Socket::from)
    }
}
