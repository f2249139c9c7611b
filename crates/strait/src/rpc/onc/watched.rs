//! A descriptor in tokio's set, which asks for room only while somebody waits for it.
//!
//! Of a local stream socket the kernel tells of room whenever the peer has read something, also
//! where it was never full (`unix_write_space` in Linux's `net/unix/af_unix.c`): who always asks is
//! woken a second time for each message. TCP tells of room only where there was none.

use std::io;
use std::os::fd::AsRawFd;
use std::task::{Context as Poller, Poll, ready};

use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

#[derive(Debug)]
pub(super) struct Watched<T: AsRawFd> {
    /// `None` once it could not be put back into the set.
    fd: Option<AsyncFd<T>>,
    asks_for_room: bool,
}

impl<T: AsRawFd> Watched<T> {
    /// It owns the descriptor that it names, and never blocks.
    pub(super) fn new(it: T) -> io::Result<Self> {
        Ok(Self {
            fd: Some(enter(it, false)?),
            asks_for_room: false,
        })
    }

    pub(super) fn fd(&self) -> io::Result<&AsyncFd<T>> {
        self.fd.as_ref().ok_or_else(gone)
    }

    /// Whether to ask for room. Whoever waits for something meanwhile is told of it no more.
    pub(super) fn ask_for_room(&mut self, asks: bool) -> io::Result<()> {
        if asks != self.asks_for_room {
            let it = self.fd.take().ok_or_else(gone)?.into_inner();
            self.fd = Some(enter(it, asks)?);
            self.asks_for_room = asks;
        }
        Ok(())
    }

    pub(super) fn poll_read_ready(&self, poller: &mut Poller<'_>) -> Poll<io::Result<()>> {
        ready!(self.fd()?.poll_read_ready(poller))?.retain_ready();
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_read(
        &self,
        poller: &mut Poller<'_>,
        room: &mut [u8],
        read: impl Fn(&T, &mut [u8]) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let fd = self.fd()?;
        loop {
            let mut ready = ready!(fd.poll_read_ready(poller))?;
            match read(fd.get_ref(), room) {
                Ok(len) => {
                    // What fills less than the room was all: what comes then is told anew.
                    if 0 < len && len < room.len() {
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(len));
                }
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(errno) => return Poll::Ready(Err(errno.into())),
            }
        }
    }

    /// Writes so much; where there is not room for all, asks for it until all has gone.
    pub(super) fn poll_write(
        &mut self,
        poller: &mut Poller<'_>,
        total: usize,
        write: impl Fn(&T) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match write(self.fd()?.get_ref()) {
                Ok(len) => {
                    if len == total {
                        self.ask_for_room(false)?;
                    }
                    return Poll::Ready(Ok(len));
                }
                Err(Errno::AGAIN) => {
                    self.ask_for_room(true)?;
                    ready!(self.fd()?.poll_write_ready(poller))?.clear_ready();
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Poll::Ready(Err(errno.into())),
            }
        }
    }
}

fn enter<T: AsRawFd>(it: T, asks_for_room: bool) -> io::Result<AsyncFd<T>> {
    let mut interest = Interest::READABLE | Interest::ERROR;
    if asks_for_room {
        interest |= Interest::WRITABLE;
    }
    #[expect(
        deprecated,
        reason = "its successor is unsafe for the sake of types that lie about their descriptor; \
                  what is watched here owns the one that it names"
    )]
    AsyncFd::with_interest(it, interest)
}

#[cold]
fn gone() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Room is waited for and found, and what comes meanwhile is read: also what came before the
    /// descriptor was put into the set anew.
    #[test]
    fn both_directions_go_on_where_one_was_full() {
        let (here, mut there) = UnixStream::pair().unwrap();
        here.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        runtime.unwrap().block_on(async {
            let mut watched = Watched::new(OwnedFd::from(here)).unwrap();
            let mut word = [0; 8];
            let receive = |fd: &OwnedFd, room: &mut [u8]| rustix::io::read(fd, room);
            for _ in 0..3 {
                let total = 1 << 20;
                let all = vec![7; total];
                // It is full, and a word has come.
                let first = poll_fn(|poller| {
                    watched.poll_write(poller, total, |fd| rustix::io::write(fd, &all))
                });
                let mut sent = first.await.unwrap();
                assert!(sent < total, "{sent} bytes were taken at once");
                there.write_all(b"a word").unwrap();
                let mut reader = there.try_clone().unwrap();
                let reader = std::thread::spawn(move || {
                    let mut got = vec![0; total];
                    reader.read_exact(&mut got).unwrap();
                    got
                });
                while sent < total {
                    let rest = &all[sent..];
                    let write = |fd: &OwnedFd| rustix::io::write(fd, rest);
                    let more = poll_fn(|poller| watched.poll_write(poller, rest.len(), write));
                    sent += more.await.unwrap();
                }
                let read = poll_fn(|poller| watched.poll_read(poller, &mut word, receive));
                assert_eq!(read.await.unwrap(), 6);
                assert!(!watched.asks_for_room, "all has gone");
                assert_eq!(reader.join().unwrap(), all);
            }
            drop(there);
            let end = poll_fn(|poller| watched.poll_read(poller, &mut word, receive));
            assert_eq!(end.await.unwrap(), 0);
        });
    }
}
