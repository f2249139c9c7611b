//! `raw.unix.stream`: a connected pair of Unix stream sockets; and connecting one.

use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::{read_all, write_all};
use crate::{Carries, Failure, Job, Mechanism, Outcome, Side, Site};

/// One socket; for connecting also an address, and on far's side the listener.
pub(in crate::raw) struct UnixStream {
    socket: OwnedFd,
    address: SocketAddr,
    listener: Option<UnixListener>,
}

impl Mechanism for UnixStream {
    const ID: &'static str = "raw.unix.stream";
    const ABOUT: &'static str = "Unix stream socket";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::ONEWAY, Job::BANDWIDTH, Job::CONNECT];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        if site.side() == Side::Near {
            let (socket, theirs) = socketpair(
                AddressFamily::UNIX,
                SocketType::STREAM,
                SocketFlags::CLOEXEC,
                None,
            )?;
            site.give(&[theirs.as_fd()])?;
            let address = SocketAddr::from_abstract_name(site.hear()?)?;
            return Ok(Self {
                socket,
                address,
                listener: None,
            });
        }
        let [socket] = site.take()?;
        // An abstract name: nothing to remove.
        let name = format!("strait-bench-{}-{}", std::process::id(), site.key());
        let address = SocketAddr::from_abstract_name(&name)?;
        let listener = Some(UnixListener::bind_addr(&address)?);
        site.tell(name.as_bytes())?;
        Ok(Self {
            socket,
            address,
            listener,
        })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        write_all(&self.socket, message)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        read_all(&self.socket, buffer)
    }

    /// Connects, and waits for the byte which says that it was accepted.
    fn connect(&mut self) -> Outcome<()> {
        let socket = std::os::unix::net::UnixStream::connect_addr(&self.address)?;
        read_all(&socket, &mut [0]).map(drop)
    }

    fn accept(&mut self) -> Outcome<()> {
        let listener = self
            .listener
            .as_ref()
            .ok_or_else(|| Failure::new("nobody listens"))?;
        write_all(listener.accept()?.0, &[0])
    }
}
