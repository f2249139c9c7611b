//! Sending descriptors over a Unix socket.
//!
//! What arrives is close-on-exec and owned from the first moment. A message whose descriptors did
//! not all arrive, because there were too many or this process has no room for them, is an error,
//! and those that came are closed: a peer can neither make us leak nor make us take half for a
//! whole. A received descriptor proves nothing about what it is: see
//! [`memfd::is_shmem`](crate::memfd::is_shmem).
//!
//! `unix(7)` under SCM_RIGHTS, `cmsg(3)`.

use core::ffi::c_int;
use core::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::IoSlice;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::{Errno, Result, checked};

/// The most descriptors one message carries.
pub const FDS_MAX: usize = 8;

/// SCM_PIDFD of `linux/socket.h`: comes unasked where SO_PASSPIDFD is set.
const SCM_PIDFD: c_int = 4;

/// Room for the descriptors, and for the credentials, times and pidfd that socket options may add;
/// not for many more descriptors, which the kernel then never opens for us.
const CONTROL_LEN: usize = 160;

/// Sends bytes, and with the first of them at most [`FDS_MAX`] descriptors; returns how many bytes
/// the socket took. Never raises SIGPIPE.
///
/// # Errors
///
/// `EINVAL`: too many descriptors, or no bytes to carry them. `EAGAIN`: the socket does not block
/// and is full. `EPIPE`, `ECONNRESET`: the peer is gone. `ETOOMANYREFS`: too many descriptors of
/// this user are on their way. `EINTR`: a signal came before anything was sent.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize> {
    if fds.len() > FDS_MAX || (bytes.is_empty() && !fds.is_empty()) {
        return Err(Errno::INVAL);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::INVAL);
    }
    sendmsg(
        socket,
        &[IoSlice::new(bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    )
}

/// Receives bytes and at most `fds_max` descriptors; no bytes means that the peer has closed.
///
/// # Errors
///
/// `EMSGSIZE`: more descriptors than `fds_max`, or more bytes in a message than fit; the message is
/// lost. `EMFILE`: this process had no room for the descriptors; likewise. `EINVAL`: `fds_max` is
/// above [`FDS_MAX`]. `EAGAIN`: the socket does not block and has nothing. `ECONNRESET`: the peer
/// is gone, and had not read all. `EINTR`: a signal came first.
pub fn recv(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    fds_max: usize,
) -> Result<(usize, Vec<OwnedFd>)> {
    if fds_max > FDS_MAX {
        return Err(Errno::INVAL);
    }
    let mut control = Control([0; CONTROL_LEN]);
    let mut slice = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: a message header is integers and pointers, for which zero is valid.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut slice;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = CONTROL_LEN;
    // SAFETY: the header names `bytes` and `control`, which may be written.
    let received =
        unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
    let received = checked(c_long_of(received))?;
    // Before any return: what came is ours to close.
    let (fds, others) = take_fds(&message);
    drop(others);
    if fds.len() > fds_max || message.msg_flags & libc::MSG_TRUNC != 0 {
        return Err(Errno::MSGSIZE);
    }
    if message.msg_flags & libc::MSG_CTRUNC != 0 {
        // There was room in the buffer for what a message may carry.
        return Err(if fds.len() < FDS_MAX {
            Errno::MFILE
        } else {
            Errno::MSGSIZE
        });
    }
    let received = usize::try_from(received).map_err(|_| Errno::IO)?;
    Ok((received, fds))
}

/// Aligned as the kernel's control messages are.
#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

const fn c_long_of(len: isize) -> core::ffi::c_long {
    len as core::ffi::c_long
}

/// The descriptors that were sent, and those that the kernel added.
fn take_fds(message: &libc::msghdr) -> (Vec<OwnedFd>, Vec<OwnedFd>) {
    let mut sent = Vec::with_capacity(FDS_MAX);
    let mut added = Vec::new();
    // SAFETY: the kernel filled the header and the control buffer it names.
    let mut at = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: null at the end, or a header within the buffer.
    while let Some(header) = unsafe { at.as_ref() } {
        let fds = match (header.cmsg_level, header.cmsg_type) {
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => Some(&mut sent),
            (libc::SOL_SOCKET, SCM_PIDFD) => Some(&mut added),
            _ => None,
        };
        if let Some(fds) = fds {
            // SAFETY: `at` is a header within the buffer.
            let data = unsafe { libc::CMSG_DATA(at) }.cast::<RawFd>();
            // SAFETY: a sum of lengths.
            let head = unsafe { libc::CMSG_LEN(0) } as usize;
            let count = header.cmsg_len.saturating_sub(head) / size_of::<RawFd>();
            for index in 0..count {
                // SAFETY: the kernel wrote `count` numbers behind the header.
                let number = unsafe { data.wrapping_add(index).read_unaligned() };
                if number >= 0 {
                    // SAFETY: the kernel opened it for us just now; nobody else knows of it.
                    fds.push(unsafe { OwnedFd::from_raw_fd(number) });
                }
            }
        }
        // SAFETY: `at` is a header within the buffer that `message` names.
        at = unsafe { libc::CMSG_NXTHDR(message, at) };
    }
    (sent, added)
}
