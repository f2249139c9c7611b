//! `raw.tcp`: a TCP connection over the loopback interface, without delay.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use super::{read_all, write_all};
use crate::{Carries, Failure, Job, Mechanism, Outcome, Side, Site};

/// One connection.
pub(in crate::raw) struct Tcp {
    socket: TcpStream,
}

impl Mechanism for Tcp {
    const ID: &'static str = "raw.tcp";
    const ABOUT: &'static str = "TCP over loopback, TCP_NODELAY";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::ONEWAY, Job::BANDWIDTH];

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let socket = if site.side() == Side::Near {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            site.tell(listener.local_addr()?.to_string().as_bytes())?;
            let caller = String::from_utf8(site.hear()?)?;
            let (socket, from) = listener.accept()?;
            // Anybody may connect to a port of this machine; it must be the other side.
            if from.to_string() != caller {
                return Err(Failure::new(format!("{from} connected instead of far")));
            }
            socket
        } else {
            let address: SocketAddr = String::from_utf8(site.hear()?)?.parse()?;
            let socket = TcpStream::connect(address)?;
            site.tell(socket.local_addr()?.to_string().as_bytes())?;
            socket
        };
        socket.set_nodelay(true)?;
        Ok(Self { socket })
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        write_all(&self.socket, message)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        read_all(&self.socket, buffer)
    }
}
