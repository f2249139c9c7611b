//! Reference lines through descriptors: counter, pipe, FIFO, sockets.

mod epoll;
mod eventfd;
mod fifo;
mod pipe;
mod session;
mod tcp;
mod udp;
mod unix_dgram;
mod unix_seqpacket;
mod unix_stream;

pub(super) use epoll::Epoll;
pub(super) use eventfd::Eventfd;
pub(super) use fifo::Fifo;
pub(super) use pipe::Pipe;
pub(super) use session::Session;
pub(super) use tcp::Tcp;
pub(super) use udp::Udp;
pub(super) use unix_dgram::UnixDgram;
pub(super) use unix_seqpacket::UnixSeqpacket;
pub(super) use unix_stream::UnixStream;

use std::os::fd::AsFd;

use rustix::io::{read, write};

use crate::{Failure, Outcome};

/// Writes all of `bytes` to a stream.
fn write_all(stream: impl AsFd, mut bytes: &[u8]) -> Outcome<()> {
    while !bytes.is_empty() {
        let len = write(&stream, bytes)?;
        bytes = &bytes[len..];
    }
    Ok(())
}

/// Reads as many bytes as `buffer` has room for.
fn read_all(stream: impl AsFd, buffer: &mut [u8]) -> Outcome<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match read(&stream, &mut buffer[done..])? {
            0 => return Err(Failure::gone("the other side closed")),
            len => done += len,
        }
    }
    Ok(done)
}
