//! `rival.interprocess`: its local sockets.

use std::io::{Read, Write};

use interprocess::local_socket::prelude::*;
use interprocess::local_socket::{GenericFilePath, ListenerOptions, Stream};

use crate::{Carries, Job, Mechanism, Outcome, Side, Site};

/// A connected stream.
pub(super) struct LocalSocket(Stream);

impl Mechanism for LocalSocket {
    const ID: &'static str = "rival.interprocess";
    const ABOUT: &'static str = "interprocess, local socket";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::RTT, Job::ONEWAY, Job::BANDWIDTH];
    const YARDSTICK: bool = true;

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        let path = site.place()?.join("socket");
        let name = path.to_fs_name::<GenericFilePath>()?;
        if site.side() == Side::Near {
            let listener = ListenerOptions::new().name(name).create_sync()?;
            site.tell(&[0])?;
            return Ok(Self(listener.accept()?));
        }
        site.hear()?;
        Ok(Self(Stream::connect(name)?))
    }

    fn send(&mut self, message: &[u8]) -> Outcome<()> {
        Ok(self.0.write_all(message)?)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        self.0.read_exact(buffer)?;
        Ok(buffer.len())
    }
}
