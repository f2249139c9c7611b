//! `raw.unix.dgram`: a connected pair of Unix sockets that carry datagrams.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::{read, write};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::{Carries, Job, Mechanism, Outcome, Side, Site};

/// One socket.
pub(in crate::raw) struct UnixDgram {
    socket: OwnedFd,
}

impl Mechanism for UnixDgram {
    const ID: &'static str = "raw.unix.dgram";
    const ABOUT: &'static str = "Unix datagram socket";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::ONEWAY, Job::BANDWIDTH];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        if site.side() == Side::Far {
            let [socket] = site.take()?;
            return Ok(Self { socket });
        }
        let flags = SocketFlags::CLOEXEC;
        let (socket, theirs) = socketpair(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        site.give(&[theirs.as_fd()])?;
        Ok(Self { socket })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        write(&self.socket, message)?;
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        Ok(read(&self.socket, buffer)?)
    }
}
