//! Standard input and output on one side, a connection on the other, until both ways are over.
//!
//! The way out is over at the end of standard input, which the peer then reads as the end; or when
//! the peer has gone altogether. The way in is over when the peer ends its side, or nobody reads
//! standard output any more. Each way has a thread, so that two sides that only write do not wait
//! for each other.

use std::fs::File;
use std::io::{ErrorKind as IoKind, Read, Stdin, Write};
use std::os::fd::AsFd;
use std::sync::mpsc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use strait::unix::socket::{Half, Kind, Packets, Socket, Stream};
use strait::{Error, ErrorKind};

use crate::failure::Failure;

/// What is copied at a time, and the longest packet.
const CHUNK: usize = 64 << 10;

/// A socket that carries a chunk, as bytes or as a packet.
pub(super) trait Carrier: Send + Sync + 'static {
    fn put(&self, chunk: &[u8]) -> Result<(), Error>;

    /// The next chunk; `None` at the end.
    fn take(&self, buffer: &mut [u8]) -> Result<Option<usize>, Failure>;

    fn close(&self, half: Half);

    /// Waits for input; false if the peer went first.
    fn input_is_ready(&self, input: &Stdin) -> bool;
}

impl Carrier for Stream {
    fn put(&self, chunk: &[u8]) -> Result<(), Error> {
        self.write_all(chunk)
    }

    fn take(&self, buffer: &mut [u8]) -> Result<Option<usize>, Failure> {
        let len = self.read(buffer).map_err(Failure::of)?;
        Ok((len > 0).then_some(len))
    }

    fn close(&self, half: Half) {
        close(self, half);
    }

    fn input_is_ready(&self, input: &Stdin) -> bool {
        input_is_ready(self, input)
    }
}

impl Carrier for Socket<Packets> {
    fn put(&self, chunk: &[u8]) -> Result<(), Error> {
        self.send(chunk)
    }

    fn take(&self, buffer: &mut [u8]) -> Result<Option<usize>, Failure> {
        let came = self.recv(buffer).map_err(Failure::of)?;
        if came.lost > 0 {
            let why = format!("a packet was {} bytes longer than {CHUNK}", came.lost);
            return Err(Failure::new(why));
        }
        Ok((!came.end).then_some(came.len))
    }

    fn close(&self, half: Half) {
        close(self, half);
    }

    fn input_is_ready(&self, input: &Stdin) -> bool {
        input_is_ready(self, input)
    }
}

fn close<K: Kind>(socket: &Socket<K>, half: Half) {
    // The peer may have gone: then it is closed already.
    let _ = socket.shutdown(half);
}

fn input_is_ready<K: Kind>(socket: &Socket<K>, input: &Stdin) -> bool {
    loop {
        // Of the socket only what is told unasked: that both ways are closed, or an error.
        let mut fds = [
            PollFd::from_borrowed_fd(input.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::empty()),
        ];
        if poll(&mut fds, None).is_ok() {
            return !fds[0].revents().is_empty();
        }
    }
}

/// What the task comes to. `None`: the time ran out first, and it goes on until this program ends,
/// which is to be at once.
pub(super) fn in_time<T: Send + 'static>(
    time: Option<Duration>,
    task: impl FnOnce() -> T + Send + 'static,
) -> Result<Option<T>, Failure> {
    let Some(time) = time else {
        return Ok(Some(task()));
    };
    let (done, result) = mpsc::channel();
    let started = std::thread::Builder::new().spawn(move || done.send(task()));
    started.map_err(|error| Failure::io("start a thread", &error))?;
    Ok(result.recv_timeout(time).ok())
}

/// Relays until both ways are over.
pub(super) fn relay(socket: &impl Carrier) -> Result<(), Failure> {
    std::thread::scope(|scope| {
        let out = scope.spawn(|| {
            let sent = send(socket);
            socket.close(Half::Sending);
            sent
        });
        let received = receive(socket);
        if !matches!(received, Ok(End::Peer)) {
            // Nothing more is wanted: the peer is told, and the other way ends.
            socket.close(Half::Both);
        }
        let sent = out.join().unwrap_or(Ok(()));
        match received? {
            End::Output => Ok(()),
            End::Peer => sent,
            End::Lost(failure) => Err(failure),
        }
    })
}

/// Only the way in: nothing is sent but the end.
pub(super) fn take_all(socket: &impl Carrier) -> Result<End, Failure> {
    socket.close(Half::Sending);
    copy_in(socket)
}

fn send(socket: &impl Carrier) -> Result<(), Failure> {
    let mut input = std::io::stdin();
    let mut buffer = vec![0; CHUNK];
    while socket.input_is_ready(&input) {
        let len = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) if error.kind() == IoKind::Interrupted => continue,
            Err(error) => return Err(Failure::io("read standard input", &error)),
        };
        socket.put(&buffer[..len]).map_err(|error| {
            let why = match error.kind() {
                ErrorKind::PeerGone => " (not all of standard input was sent)",
                _ => "",
            };
            let mut failure = Failure::of(error);
            failure.message.push_str(why);
            failure
        })?;
    }
    Ok(())
}

/// Why the way in is over.
pub(super) enum End {
    /// The peer has ended it.
    Peer,
    /// The peer has broken it.
    Lost(Failure),
    /// Nobody reads standard output.
    Output,
}

fn receive(socket: &impl Carrier) -> Result<End, Failure> {
    let end = copy_in(socket)?;
    // Whoever reads standard output reads the end too, though the other way may go on.
    let null = File::options().write(true).open("/dev/null");
    let ended = null.and_then(|null| Ok(rustix::stdio::dup2_stdout(null)?));
    ended.map_err(|error| Failure::io("close standard output", &error))?;
    Ok(end)
}

fn copy_in(socket: &impl Carrier) -> Result<End, Failure> {
    // Not under the lock of standard output: the program may end, in time, while this writes.
    let output = std::io::stdout().as_fd().try_clone_to_owned();
    let output = output.map_err(|error| Failure::io("write standard output", &error))?;
    let mut output = File::from(output);
    let mut buffer = vec![0; CHUNK];
    loop {
        let len = match socket.take(&mut buffer) {
            Ok(Some(len)) => len,
            Ok(None) => return Ok(End::Peer),
            Err(failure) => return Ok(End::Lost(failure)),
        };
        match output.write_all(&buffer[..len]) {
            Ok(()) => {}
            Err(error) if error.kind() == IoKind::BrokenPipe => return Ok(End::Output),
            Err(error) => return Err(Failure::io("write standard output", &error)),
        }
    }
}
