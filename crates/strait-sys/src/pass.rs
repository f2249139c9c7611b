//! Sending descriptors and credentials over a Unix socket, and receiving whatever comes.
//!
//! What arrives is close-on-exec and owned from the first moment, whatever becomes of the message:
//! [`receive`] hands it all out and says what is missing; [`recv`] is for exact messages, where a
//! peer can neither make us leak nor make us take half for a whole. A received descriptor proves
//! nothing about what it is: see [`memfd::is_shmem`](crate::memfd::is_shmem).
//!
//! `unix(7)` under "Ancillary messages", `cmsg(3)`, `udp(7)`.

use core::ffi::c_int;
use core::mem::{MaybeUninit, offset_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::IoSlice;
use rustix::net::addr::SocketAddrStorage;
use rustix::net::{
    RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrAny,
    UCred, sendmsg, sendmsg_addr,
};

use crate::{Errno, Result, checked};

/// The most descriptors one [`send`] or [`recv`] carries.
pub const FDS_MAX: usize = 8;
/// The most descriptors the kernel takes in one message (`SCM_MAX_FD`).
pub const RIGHTS_MAX: usize = 253;

/// SCM_PIDFD of `linux/socket.h`: comes unasked where SO_PASSPIDFD is set.
const SCM_PIDFD: c_int = 4;

/// Room beside descriptors: for the credentials, the pidfd, the label and the segment length that
/// socket options add.
const EXTRA_LEN: usize = 160;
/// Room for the most that a message may bring, in bytes; a multiple of 8.
const CONTROL_LEN: usize = EXTRA_LEN + 16 + RIGHTS_MAX * 4 + 4;

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
    let mut beside = Beside::default();
    let received = receive(socket, bytes, RecvFlags::empty(), FDS_MAX, &mut beside)?;
    let fds = beside.fds;
    if fds.len() > fds_max || received.flags.contains(ReturnFlags::TRUNC) {
        return Err(Errno::MSGSIZE);
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(if received.more_fds || fds.len() == FDS_MAX {
            Errno::MSGSIZE
        } else {
            // There was room in the buffer for what a message may carry.
            Errno::MFILE
        });
    }
    Ok((received.len, fds))
}

/// Who sent a message, as the kernel vouches for it.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Sender {
    /// 0 for a process outside of this pid namespace.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// What came beside the bytes of a message. Closed with the value, unless taken out.
#[derive(Debug, Default)]
pub struct Beside {
    /// The descriptors that were sent.
    pub fds: Vec<OwnedFd>,
    /// The sender, where `SO_PASSCRED` is set.
    pub sender: Option<Sender>,
    /// The sender as a pidfd, where `SO_PASSPIDFD` is set.
    pub pidfd: Option<OwnedFd>,
    /// The length of the datagrams that were joined into one, where `UDP_GRO` is set.
    pub segment: Option<u32>,
    /// The address it came from; none on connected streams and from unnamed sockets.
    pub from: Option<SocketAddrAny>,
}

/// How a message came.
#[derive(Copy, Clone, Debug)]
pub struct Received {
    /// Bytes: at most those asked for, or with `MSG_TRUNC` the message's own length.
    pub len: usize,
    /// TRUNC, CTRUNC and EOR.
    pub flags: ReturnFlags,
    /// More descriptors than were asked for came, and were closed.
    pub more_fds: bool,
}

/// Sends bytes, with the first of them descriptors and, if given, who we are; to the connected peer
/// or to an address. Returns how many bytes the socket took. Never raises SIGPIPE.
///
/// # Errors
///
/// As for [`send`]. `EINVAL`: more than [`RIGHTS_MAX`] descriptors. `EPERM`: credentials that are
/// not ours, or the peer refuses descriptors (`SO_PASSRIGHTS`).
pub fn send_message(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    (fds, sender): (&[BorrowedFd<'_>], Option<UCred>),
    to: Option<&SocketAddrAny>,
    flags: SendFlags,
) -> Result<usize> {
    if fds.len() > RIGHTS_MAX {
        return Err(Errno::INVAL);
    }
    let mut space =
        [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(RIGHTS_MAX), ScmCredentials(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::INVAL);
    }
    if let Some(sender) = sender
        && !control.push(SendAncillaryMessage::ScmCredentials(sender))
    {
        return Err(Errno::INVAL);
    }
    let slices = [IoSlice::new(bytes)];
    let flags = flags | SendFlags::NOSIGNAL;
    match to {
        None => sendmsg(socket, &slices, &mut control, flags),
        Some(to) => sendmsg_addr(socket, to, &slices, &mut control, flags),
    }
}

/// Receives bytes and nothing beside them: descriptors that came are closed by the kernel, which
/// says so by CTRUNC.
///
/// # Errors
///
/// `EAGAIN`, `ECONNRESET`, `EINTR`: as for [`recv`].
pub fn receive_bytes(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    flags: RecvFlags,
) -> Result<Received> {
    let mut slice = slice_of(bytes);
    let mut message = header(&mut slice);
    let len = recvmsg(socket, &mut message, flags)?;
    Ok(Received {
        len,
        flags: returned(&message),
        more_fds: false,
    })
}

/// Receives bytes and what came beside them, at most `fds_max` descriptors. CTRUNC says that
/// something beside the bytes is missing: more descriptors came than were asked for, or this
/// process had no room for them. What did come is in `beside` whatever else is wrong.
///
/// # Errors
///
/// `EINVAL`: `fds_max` is above [`RIGHTS_MAX`]. `EAGAIN`, `ECONNRESET`, `EINTR`: as for [`recv`].
pub fn receive(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    flags: RecvFlags,
    fds_max: usize,
    beside: &mut Beside,
) -> Result<Received> {
    beside.fds.clear();
    (beside.sender, beside.pidfd, beside.segment) = (None, None, None);
    beside.from = None;
    if fds_max > RIGHTS_MAX {
        return Err(Errno::INVAL);
    }
    let mut control = Control([0; CONTROL_LEN]);
    let mut from = MaybeUninit::<SocketAddrStorage>::uninit();
    let mut slice = slice_of(bytes);
    let mut message = header(&mut slice);
    message.msg_control = control.0.as_mut_ptr().cast();
    // Descriptors that nobody wants are then not opened, but for a few that fit the extra room.
    message.msg_controllen = CONTROL_LEN.min(EXTRA_LEN + 16 + fds_max.next_multiple_of(2) * 4);
    message.msg_name = from.as_mut_ptr().cast();
    message.msg_namelen = c_len(size_of::<SocketAddrStorage>());
    let len = recvmsg(socket, &mut message, flags)?;
    // Before any return: what came is ours to close.
    take_beside(
        control.0.get(..message.msg_controllen).unwrap_or_default(),
        beside,
    );
    let more_fds = beside.fds.len() > fds_max;
    beside.fds.truncate(fds_max);
    let named = message.msg_namelen;
    let room = offset_of!(libc::sockaddr, sa_data)..=size_of::<SocketAddrStorage>();
    if room.contains(&(named as usize)) {
        // SAFETY: the kernel wrote an address of this length there.
        beside.from = Some(unsafe { SocketAddrAny::new(from, named) });
    }
    let mut flags = returned(&message);
    flags.set(
        ReturnFlags::CTRUNC,
        more_fds || flags.contains(ReturnFlags::CTRUNC),
    );
    Ok(Received {
        len,
        flags,
        more_fds,
    })
}

/// Aligned as the kernel's control messages are.
#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

pub(crate) fn slice_of(bytes: &mut [u8]) -> libc::iovec {
    libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    }
}

/// A message header with one slice, which must outlive it.
pub(crate) fn header(slice: &mut libc::iovec) -> libc::msghdr {
    // SAFETY: a message header is integers and pointers, for which zero is valid.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = slice;
    message.msg_iovlen = 1;
    message
}

/// The callers' headers name buffers of theirs, which outlive this call.
pub(crate) fn recvmsg(
    socket: BorrowedFd<'_>,
    message: &mut libc::msghdr,
    flags: RecvFlags,
) -> Result<usize> {
    let flags = (flags | RecvFlags::CMSG_CLOEXEC).bits().cast_signed();
    // SAFETY: the header names buffers that may be written for the lengths it says.
    let received = unsafe { libc::recvmsg(socket.as_raw_fd(), message, flags) };
    usize::try_from(checked(c_long_of(received))?).map_err(|_| Errno::IO)
}

fn returned(message: &libc::msghdr) -> ReturnFlags {
    ReturnFlags::from_bits_retain(message.msg_flags.cast_unsigned())
}

const fn c_long_of(len: isize) -> core::ffi::c_long {
    len as core::ffi::c_long
}

fn c_len(len: usize) -> libc::socklen_t {
    libc::socklen_t::try_from(len).expect("a size of a few hundred bytes")
}

/// Everything beside the bytes; each descriptor has its owner before the next is looked at.
fn take_beside(control: &[u8], beside: &mut Beside) {
    let owned = |number: RawFd| {
        // SAFETY: the kernel opened it for us just now; nobody else knows of it.
        (number >= 0).then(|| unsafe { OwnedFd::from_raw_fd(number) })
    };
    for Message { level, kind, data } in messages(control) {
        let (numbers, _) = data.as_chunks::<4>();
        let mut numbers = numbers.iter().copied().map(c_int::from_ne_bytes);
        match (level, kind) {
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                beside.fds.reserve(numbers.len());
                beside.fds.extend(numbers.filter_map(owned));
            }
            (libc::SOL_SOCKET, SCM_PIDFD) => {
                beside.pidfd = numbers.next().and_then(owned).or(beside.pidfd.take());
            }
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => {
                let mut number = || numbers.next().map(c_int::cast_unsigned);
                if let (Some(pid), Some(uid), Some(gid)) = (number(), number(), number()) {
                    beside.sender = Some(Sender { pid, uid, gid });
                }
            }
            (libc::SOL_UDP, libc::UDP_GRO) => {
                beside.segment = numbers.next().and_then(|len| u32::try_from(len).ok());
            }
            _ => {}
        }
    }
}

/// One control message.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Message<'a> {
    /// Its protocol, such as `SOL_SOCKET`.
    pub level: c_int,
    /// What it is, in the numbers of that protocol.
    pub kind: c_int,
    /// What it says.
    pub data: &'a [u8],
}

/// The control messages in a buffer as recvmsg(2) fills it, up to the first that does not lie
/// wholly in it.
pub fn messages(control: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = control;
    core::iter::from_fn(move || {
        let word = |at: usize| rest.get(at..)?.first_chunk();
        let len = usize::from_ne_bytes(*rest.first_chunk()?);
        let level = c_int::from_ne_bytes(*word(offset_of!(libc::cmsghdr, cmsg_level))?);
        let kind = c_int::from_ne_bytes(*word(offset_of!(libc::cmsghdr, cmsg_type))?);
        let data = rest.get(size_of::<libc::cmsghdr>()..len)?;
        // The last may end before the padding that stands between two.
        let next = len.checked_next_multiple_of(size_of::<usize>())?;
        rest = rest.get(next..).unwrap_or_default();
        Some(Message { level, kind, data })
    })
}
