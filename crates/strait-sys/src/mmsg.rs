//! Many datagrams in one call: `sendmmsg(2)`, `recvmmsg(2)`.

use core::ffi::c_uint;
use core::mem::{MaybeUninit, offset_of};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::null_mut;

use rustix::net::addr::SocketAddrStorage;
use rustix::net::{RecvFlags, SendFlags, SocketAddrAny};

use crate::{Result, last_errno};

/// The most messages in one call.
pub const BATCH_MAX: usize = 64;

/// A message that came.
#[derive(Clone, Debug)]
pub struct Came {
    /// Its length, which may be more than there was room for.
    pub len: usize,
    /// Where it came from; none from unnamed sockets.
    pub from: Option<SocketAddrAny>,
}

/// Sends messages to the connected peer, the first [`BATCH_MAX`] of them or fewer; returns how many
/// went. Never raises SIGPIPE.
///
/// # Errors
///
/// Those of `sendmsg(2)` for the first message; one that a later message meets ends the batch.
pub fn send(socket: BorrowedFd<'_>, messages: &[IoSlice<'_>], flags: SendFlags) -> Result<usize> {
    let mut headers = [EMPTY; BATCH_MAX];
    for (header, message) in headers.iter_mut().zip(messages) {
        // An IoSlice is an iovec (std promises so), and is only read here.
        header.msg_hdr.msg_iov = (&raw const *message).cast_mut().cast();
        header.msg_hdr.msg_iovlen = 1;
    }
    let count = count(messages.len());
    let flags = (flags | SendFlags::NOSIGNAL).bits().cast_signed();
    // SAFETY: the first `count` headers name a slice each, which outlives the call.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, flags) };
    usize::try_from(sent).map_err(|_| last_errno())
}

/// Receives messages into the first [`BATCH_MAX`] of these buffers or fewer, waiting for the first
/// message only, and says what came.
///
/// # Errors
///
/// Those of `recvmsg(2)` for the first message; one that a later message meets is kept for the next
/// call.
pub fn recv(
    socket: BorrowedFd<'_>,
    buffers: &mut [IoSliceMut<'_>],
    flags: RecvFlags,
    mut came: impl FnMut(Came),
) -> Result<usize> {
    let mut names = [const { MaybeUninit::<SocketAddrStorage>::uninit() }; BATCH_MAX];
    let mut headers = [EMPTY; BATCH_MAX];
    let count = count(buffers.len());
    for ((header, buffer), name) in headers.iter_mut().zip(buffers).zip(&mut names) {
        // An IoSliceMut is an iovec (std promises so).
        header.msg_hdr.msg_iov = (&raw mut *buffer).cast();
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_name = name.as_mut_ptr().cast();
        header.msg_hdr.msg_namelen = NAME_LEN;
    }
    let flags = (flags | RecvFlags::CMSG_CLOEXEC).bits().cast_signed() | libc::MSG_WAITFORONE;
    let (fd, at) = (socket.as_raw_fd(), headers.as_mut_ptr());
    // SAFETY: the first `count` headers name a buffer and room for an address each, which outlive
    // the call; nothing else refers to them meanwhile. No time limit.
    let received = unsafe { libc::recvmmsg(fd, at, count, flags, null_mut()) };
    let received = usize::try_from(received).map_err(|_| last_errno())?;
    for (header, name) in headers.iter().zip(names).take(received) {
        let named = header.msg_hdr.msg_namelen;
        let room = offset_of!(libc::sockaddr, sa_data)..=size_of::<SocketAddrStorage>();
        let from = room.contains(&(named as usize)).then(|| {
            // SAFETY: the kernel wrote an address of this length there.
            unsafe { SocketAddrAny::new(name, named) }
        });
        came(Came {
            len: header.msg_len as usize,
            from,
        });
    }
    Ok(received)
}

const NAME_LEN: libc::socklen_t = 128;
const _: () = assert!(size_of::<SocketAddrStorage>() == NAME_LEN as usize);

#[expect(clippy::cast_possible_truncation, reason = "at most 64")]
fn count(len: usize) -> c_uint {
    len.min(BATCH_MAX) as c_uint
}

// SAFETY: a message header is integers and pointers, for which zero is valid.
const EMPTY: libc::mmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };

#[cfg(test)]
mod tests {
    //! A pair of sockets.

    use std::os::fd::AsFd;

    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;
    use crate::Errno;

    #[test]
    fn many_go_and_come_in_one_call() {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let pair = socketpair(AddressFamily::UNIX, SocketType::DGRAM, flags, None);
        let (a, b) = pair.unwrap();
        let messages = [
            IoSlice::new(b"one"),
            IoSlice::new(b""),
            IoSlice::new(b"three"),
        ];
        assert_eq!(send(a.as_fd(), &messages, SendFlags::empty()), Ok(3));
        let mut bytes = [[0; 4]; 8];
        let mut buffers: Vec<_> = bytes.iter_mut().map(|room| IoSliceMut::new(room)).collect();
        let mut lens = Vec::new();
        let received = recv(b.as_fd(), &mut buffers, RecvFlags::TRUNC, |came| {
            lens.push(came.len);
        });
        assert_eq!((received, &*lens), (Ok(3), &[3, 0, 5][..]));
        assert_eq!((&bytes[0][..3], &bytes[2]), (&b"one"[..], b"thre"));
        assert_eq!(send(a.as_fd(), &[], SendFlags::empty()), Ok(0));
        let nothing = recv(b.as_fd(), &mut [], RecvFlags::DONTWAIT, |_| {});
        assert_eq!(nothing, Ok(0));
        let mut one = [0];
        let nothing = recv(
            b.as_fd(),
            &mut [IoSliceMut::new(&mut one)],
            RecvFlags::empty(),
            |_| {},
        );
        assert_eq!(nothing, Err(Errno::AGAIN));
    }
}
