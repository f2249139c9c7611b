//! `raw.unix.session`: connecting a Unix socket, and exchanging memory over it.

use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use rustix::fs::Mode;
use strait_sys::map::{Access, Map};
use strait_sys::{memfd, pass};

use crate::{Carries, Failure, Job, Mechanism, Outcome, Side, Site};

/// Bytes of a side's memory: what a channel has by default.
const LEN: usize = (32 << 10) + crate::raw::PAGE;

/// Where far listens.
pub(in crate::raw) struct Session {
    address: SocketAddr,
    listener: Option<UnixListener>,
}

/// Makes memory and gives it to the other side, for the other side's.
fn exchange(socket: &UnixStream) -> Outcome<()> {
    let own = memfd::create(c"strait-bench", LEN as u64, Mode::RUSR | Mode::WUSR)?;
    let _own = Map::shared(own.as_fd(), 0, LEN, Access::Write)?;
    pass::send(socket.as_fd(), &[0], &[own.as_fd()])?;
    let (_, files) = pass::recv(socket.as_fd(), &mut [0], 1)?;
    let [theirs] = &files[..] else {
        return Err(Failure::check("no memory came"));
    };
    Map::shared(theirs.as_fd(), 0, LEN, Access::Read)?;
    Ok(())
}

impl Mechanism for Session {
    const ID: &'static str = "raw.unix.session";
    const ABOUT: &'static str = "Unix connect, and a memfd each, made, sent and mapped";
    const CARRIES: Carries = Carries::Bytes;
    const MEASURES: &'static [Job] = &[Job::CONNECT];
    const YARDSTICK: bool = true;

    fn open(site: &mut Site<'_>) -> Outcome<Self> {
        if site.side() == Side::Near {
            let address = SocketAddr::from_abstract_name(site.hear()?)?;
            return Ok(Self {
                address,
                listener: None,
            });
        }
        // An abstract name: nothing to remove.
        let name = format!("strait-bench-session-{}-{}", std::process::id(), site.key());
        let address = SocketAddr::from_abstract_name(&name)?;
        let listener = Some(UnixListener::bind_addr(&address)?);
        site.tell(name.as_bytes())?;
        Ok(Self { address, listener })
    }

    fn connect(&mut self) -> Outcome<()> {
        exchange(&UnixStream::connect_addr(&self.address)?)
    }

    fn accept(&mut self) -> Outcome<()> {
        let listener = self.listener.as_ref();
        let listener = listener.ok_or_else(|| Failure::new("nobody listens"))?;
        exchange(&listener.accept()?.0)
    }
}
