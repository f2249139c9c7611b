//! `raw.udp`: UDP over the loopback interface, connected both ways.
//!
//! Only round trips: a stream of datagrams has no backpressure, and loses some.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use rustix::io::{read, write};

use crate::{Carries, Job, Mechanism, Outcome, Site};

/// One socket.
pub(in crate::raw) struct Udp {
    socket: UdpSocket,
}

impl Mechanism for Udp {
    const ID: &'static str = "raw.udp";
    const ABOUT: &'static str = "UDP over loopback";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::RTT];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        site.tell(socket.local_addr()?.to_string().as_bytes())?;
        let other: SocketAddr = String::from_utf8(site.hear()?)?.parse()?;
        socket.connect(other)?;
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
