//! Calls that come as datagrams: one task for each socket receives, and answers what ends at once.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use strait_sys::Errno;
use strait_sys::pktinfo::{self, Came, Local};
use strait_wire::onc::DATAGRAM_MAX;
use strait_wire::onc::server::Duplicates;
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::call::{Form, Origin, Outcome, begin};
use super::event::Event;
use super::options::Whom;
use super::peer::Ticket;
use super::shared::{Cache, Counts, Shared};
use crate::rpc::onc::Caller;

/// Longer than any datagram.
const BUFFER: usize = 64 << 10;
/// After the kernel said that it cannot receive.
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug)]
struct Post {
    socket: UdpSocket,
    port: u16,
    cache: Arc<Cache>,
}

pub(super) async fn serve(socket: UdpSocket, port: u16, shared: Arc<Shared>) {
    let duplicates = Duplicates::new(shared.options.limits.duplicates);
    let post = Arc::new(Post {
        socket,
        port,
        cache: Arc::new(Mutex::new(duplicates)),
    });
    let mut buffer = vec![0; BUFFER];
    loop {
        match post.receive(&mut buffer).await {
            Ok(came) if came.is_cut => {}
            Ok(came) => post.answer(&shared, &came, &buffer[..came.len]).await,
            Err(error) => {
                shared.tell(|| Event::Datagram { error });
                // sleep: an error that stays would keep a processor busy.
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Post {
    async fn receive(&self, buffer: &mut [u8]) -> io::Result<Came> {
        let receive = || Ok(pktinfo::receive(self.socket.as_fd(), buffer)?);
        self.socket.async_io(Interest::READABLE, receive).await
    }

    /// From the address that was asked.
    async fn send(&self, reply: &[u8], to: SocketAddr, from: Option<Local>) -> io::Result<()> {
        if reply.is_empty() {
            return Ok(());
        }
        let send = || Ok(pktinfo::send(self.socket.as_fd(), reply, to, from)?);
        self.socket.async_io(Interest::WRITABLE, send).await?;
        Ok(())
    }

    async fn answer(self: &Arc<Self>, shared: &Arc<Shared>, came: &Came, message: &[u8]) {
        let (to, from) = (came.from, came.to);
        // Half of what may be done, so that strangers who need no connection leave some to others.
        if !shared
            .calls
            .is_below(shared.options.limits.calls_max.div_ceil(2))
        {
            return Counts::add(&shared.counts.ignored);
        }
        let caller = Caller::Udp(to);
        let origin = Origin {
            caller: &caller,
            reached: from.map(|local| SocketAddr::new(local.address.to_canonical(), self.port)),
            form: Form {
                lead: 0,
                max: reply_max(shared.options.reply_factor, to, message.len()),
            },
            connection: None,
            cache: Some((&self.cache, to)),
        };
        match begin(shared, &origin, message) {
            Outcome::Reply(reply) => told(shared, self.send(&reply, to, from).await),
            Outcome::Later(later) => {
                let ticket = Ticket::new(shared, None);
                let (post, served) = (Arc::clone(self), Arc::clone(shared));
                shared.spawn(async move {
                    let reply = later.await;
                    told(&served, post.send(&reply, to, from).await);
                    drop(ticket);
                });
            }
            Outcome::Repeated => {}
            Outcome::Ignored(why) => shared.tell(|| Event::Ignored { caller, why }),
        }
    }
}

/// The longest reply to a call of `len` bytes from there.
fn reply_max(factor: Option<(usize, Whom)>, caller: SocketAddr, len: usize) -> usize {
    match factor {
        Some((_, Whom::Strangers)) if caller.ip().to_canonical().is_loopback() => DATAGRAM_MAX,
        Some((factor, _)) => len.saturating_mul(factor).min(DATAGRAM_MAX),
        None => DATAGRAM_MAX,
    }
}

fn told(shared: &Shared, sent: io::Result<()>) {
    if let Err(error) = sent {
        // What an earlier reply met at its destination (ICMP) is told by the next call.
        if Errno::from_io_error(&error) != Some(Errno::CONNREFUSED) {
            shared.tell(|| Event::Datagram { error });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_get_short_replies() {
        let max = |factor, caller: &str, len| reply_max(factor, caller.parse().unwrap(), len);
        let strangers = Some((3, Whom::Strangers));
        assert_eq!(max(strangers, "192.0.2.1:9", 40), 120);
        assert_eq!(max(strangers, "192.0.2.1:9", 60_000), DATAGRAM_MAX);
        assert_eq!(max(strangers, "127.0.0.1:9", 40), DATAGRAM_MAX);
        assert_eq!(max(strangers, "[::ffff:127.0.0.1]:9", 40), DATAGRAM_MAX);
        assert_eq!(max(Some((3, Whom::Everybody)), "[::1]:9", 40), 120);
        assert_eq!(max(None, "192.0.2.1:9", 40), DATAGRAM_MAX);
    }
}
