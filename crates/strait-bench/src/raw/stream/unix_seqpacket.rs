//! `raw.unix.seqpacket`: a connected pair of Unix sockets that keep message boundaries.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::{read, write};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::{Carries, Job, Mechanism, Outcome, Side, Site};

/// One socket.
pub(in crate::raw) struct UnixSeqpacket {
    socket: OwnedFd,
}

impl Mechanism for UnixSeqpacket {
    const ID: &'static str = "raw.unix.seqpacket";
    const ABOUT: &'static str = "Unix seqpacket socket";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::ONEWAY, Job::BANDWIDTH];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        if site.side() == Side::Far {
            let [socket] = site.take()?;
            return Ok(Self { socket });
        }
        let (socket, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        site.give(&[theirs.as_fd()])?;
        Ok(Self { socket })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        // A message goes whole or not at all.
        write(&self.socket, message)?;
        Ok(())
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        Ok(read(&self.socket, buffer)?)
    }
}
