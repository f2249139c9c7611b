//! Where to an async client calls.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use strait_sys::time::Deadline;
use strait_wire::onc::client::Form;
use tokio::net::{TcpStream, ToSocketAddrs, UnixStream};

use super::AsyncClient;
use crate::error::{Error, ErrorKind, Result};
use crate::rpc::onc::client::options::{
    ClientOptions, Target, connected, eager, given, late, nowhere, unresolved,
};
use crate::rpc::onc::client::transport::Socket;

/// Between two attempts to connect where there was no room.
const PACE: Duration = Duration::from_millis(5);

impl ClientOptions {
    /// Calls over TCP, from async tasks. As [`tcp`](Self::tcp).
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// As all of these, outside a tokio runtime with its I/O and time drivers enabled.
    pub async fn tcp_async(self, to: impl ToSocketAddrs) -> Result<AsyncClient> {
        let until = Deadline::after(self.timeout);
        let mut failure = None;
        for address in lookup(to, self.timeout).await? {
            let stream = tokio::time::timeout(self.timeout, TcpStream::connect(address)).await;
            let failed = match stream {
                Ok(Ok(stream)) => {
                    let fd = stream.into_std().map(OwnedFd::from);
                    let fd = fd.map_err(|error| connected(&error, address))?;
                    eager(&fd);
                    let socket = Socket::new(fd, Form::RECORD);
                    return self.secured(socket, address.to_string(), until).await;
                }
                Ok(Err(error)) => connected(&error, address),
                Err(_) => late(address, self.timeout),
            };
            failure = Some(failed);
        }
        Err(failure.unwrap_or_else(|| Error::new(ErrorKind::NotFound, "connect to", "no address")))
    }

    /// Calls over UDP, from async tasks. As [`udp`](Self::udp).
    ///
    /// # Errors
    /// As there.
    pub async fn udp_async(self, to: impl ToSocketAddrs) -> Result<AsyncClient> {
        self.check_clear("UDP")?;
        // Nothing is sent by connecting: it does not wait.
        let (peer, socket) = Target::Udp(lookup(to, self.timeout).await?).connect(self.timeout)?;
        AsyncClient::new(self, socket, peer)
    }

    /// Calls over a local stream socket, from async tasks. As [`local`](Self::local).
    ///
    /// # Errors
    /// As there.
    pub async fn local_async(self, path: impl AsRef<Path>) -> Result<AsyncClient> {
        let path = path.as_ref();
        let shown = path.display().to_string();
        let until = Deadline::after(self.timeout);
        let stream = tokio::time::timeout(self.timeout, connect_local(path)).await;
        let stream = stream.map_err(|_| late(&shown, self.timeout))?;
        let fd = stream.and_then(|stream| stream.into_std().map(OwnedFd::from));
        let fd = fd.map_err(|error| connected(&error, &shown))?;
        let socket = Socket::new(fd, Form::RECORD);
        self.secured(socket, shown, until).await
    }

    /// Calls over a connected stream socket that exists, from async tasks. As
    /// [`stream`](Self::stream).
    ///
    /// # Errors
    /// As there.
    pub async fn stream_async(self, socket: impl Into<OwnedFd>) -> Result<AsyncClient> {
        let (peer, socket) = given(socket.into())?;
        let until = Deadline::after(self.timeout);
        self.secured(socket, peer, until).await
    }

    /// A client over that, within TLS if that is asked for.
    async fn secured(self, socket: Socket, peer: String, until: Deadline) -> Result<AsyncClient> {
        if self.tls.is_none() {
            return AsyncClient::new(self, socket, peer);
        }
        let fd = socket.as_fd().try_clone_to_owned();
        let awaited = Awaited(Some(fd.map_err(|error| connected(&error, &peer))?));
        let (shown, within) = (peer.clone(), self.timeout);
        let failed = |kind| Error::new(kind, "start TLS with", shown);
        let shaking = move || {
            let socket = self.secure(socket, &peer, (until, within));
            (socket, self, peer)
        };
        let (socket, options, peer) = on_thread((until, within), failed, shaking).await?;
        awaited.end();
        AsyncClient::new(options, socket?, peer)
    }
}

/// What a thread for blocking work does for a task, which waits so long for one to be free. What
/// has begun ends in its time by itself, and says what it has waited for.
pub(super) async fn on_thread<T: Send + 'static>(
    (until, within): (Deadline, Duration),
    failed: impl FnOnce(ErrorKind) -> Error,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let has_begun = Arc::new(AtomicBool::new(false));
    let begins = Arc::clone(&has_begun);
    let mut working = tokio::task::spawn_blocking(move || {
        begins.store(true, SeqCst);
        work()
    });
    let done = match tokio::time::timeout(until.left(), &mut working).await {
        Ok(done) => done,
        Err(_) if has_begun.load(SeqCst) => working.await,
        Err(_) => {
            working.abort();
            let why = format!("no thread was free within {within:?}");
            return Err(failed(ErrorKind::TimedOut).because(why));
        }
    };
    done.map_err(|error| failed(ErrorKind::Cancelled).because(error.to_string()))
}

/// Waits while the listener has no room for one more to be accepted.
async fn connect_local(path: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // sleep: of a local socket nothing tells that there is room (`connect(2)`, EAGAIN).
                tokio::time::sleep(PACE).await;
            }
            other => return other,
        }
    }
}

/// A socket whose handshake a task waits for. Dropped before, it ends the handshake, and so the
/// wait of the thread that does it.
struct Awaited(Option<OwnedFd>);

impl Awaited {
    fn end(mut self) {
        self.0 = None;
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if let Some(fd) = &self.0 {
            // The server may be gone: then the thread knows that too.
            let _ = rustix::net::shutdown(fd, rustix::net::Shutdown::Both);
        }
    }
}

/// The addresses of a name, which a thread of tokio's may have to ask others for.
async fn lookup(to: impl ToSocketAddrs, within: Duration) -> Result<Vec<SocketAddr>> {
    let found = tokio::time::timeout(within, tokio::net::lookup_host(to)).await;
    let late = || nowhere().with_kind(ErrorKind::TimedOut);
    let found = found.map_err(|_| late().because(format!("no answer within {within:?}")))?;
    Ok(found.map_err(|error| unresolved(&error))?.collect())
}
