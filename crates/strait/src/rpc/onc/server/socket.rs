//! The sockets that connections and listeners are made of.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context as Poller, Poll};

use rustix::net::AddressFamily;
use rustix::net::sockopt::{socket_domain, socket_type};
use strait_sys::sockopt::peer_credentials;
use strait_wire::onc::rpcbind::Uaddr;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::error::{Error, ErrorKind, Result};
use crate::rpc::onc::Caller;
use crate::unix::socket::{Bytes, Listener as Claimed};

/// A connected stream.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Local(UnixStream),
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
        let socket = match domain {
            AddressFamily::UNIX => UnixStream::from_std(fd.into()).map(Self::Local),
            AddressFamily::INET | AddressFamily::INET6 => {
                TcpStream::from_std(fd.into()).map(Self::Tcp)
            }
            _ => return Err(wrong()),
        };
        let socket = socket.map_err(failed)?;
        let caller = socket.caller().map_err(|_| wrong())?;
        Ok((socket, caller))
    }

    /// Who is at the other end.
    pub(super) fn caller(&self) -> io::Result<Caller> {
        match self {
            Self::Tcp(socket) => {
                socket.set_nodelay(true)?;
                socket.peer_addr().map(Caller::Tcp)
            }
            Self::Local(socket) => {
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
        match self {
            Self::Tcp(socket) => socket.local_addr().ok(),
            Self::Local(_) => None,
        }
    }

    pub(super) fn poll_read_ready(&self, poller: &mut Poller<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => socket.poll_read_ready(poller),
            Self::Local(socket) => socket.poll_read_ready(poller),
        }
    }

    pub(super) fn poll_read(
        &mut self,
        poller: &mut Poller<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_read(poller, room),
            Self::Local(socket) => Pin::new(socket).poll_read(poller, room),
        }
    }

    pub(super) fn poll_write(
        &mut self,
        poller: &mut Poller<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match (self, slices) {
            (Self::Tcp(socket), [one]) => Pin::new(socket).poll_write(poller, one),
            (Self::Local(socket), [one]) => Pin::new(socket).poll_write(poller, one),
            (Self::Tcp(socket), _) => Pin::new(socket).poll_write_vectored(poller, slices),
            (Self::Local(socket), _) => Pin::new(socket).poll_write_vectored(poller, slices),
        }
    }

    /// Says that nothing more comes, and reads what has come, up to `max` bytes.
    pub(super) fn finish(&self, max: usize) {
        let fd = match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Local(socket) => socket.as_fd(),
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
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(it, _)| Socket::Tcp(it)),
            Self::Local { listener, .. } => {
                listener.accept().await.map(|(it, _)| Socket::Local(it))
            }
        }
    }
}
