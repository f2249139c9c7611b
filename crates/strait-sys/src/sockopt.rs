//! Socket options that rustix lacks, and what a socket says of its peer and its queues.
//!
//! `socket(7)`, `unix(7)`, `tcp(7)`, `udp(7)`, `ipv6(7)`.

use core::ffi::{c_int, c_long, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::pass::Sender;
use crate::{Errno, Result, checked};

/// Most supplementary groups of a process (`NGROUPS_MAX`).
const GROUPS_MAX: usize = 65_536;
/// Longest security label that is asked for, in bytes.
const LABEL_MAX: usize = 4096;
/// `SO_PASSPIDFD` and `SO_PEERPIDFD` of `asm-generic/socket.h` (Linux 6.5).
const SO_PASSPIDFD: c_int = 76;
const SO_PEERPIDFD: c_int = 77;
/// `IPV6_MULTICAST_ALL` of `linux/in6.h` (Linux 4.20).
const IPV6_MULTICAST_ALL: c_int = 29;
/// `SO_PASSRIGHTS` (Linux 6.16).
const SO_PASSRIGHTS: c_int = 83;

/// An option whose value is one int.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct IntOption {
    level: c_int,
    name: c_int,
}

impl IntOption {
    const fn new(level: c_int, name: c_int) -> Self {
        Self { level, name }
    }

    const fn socket(name: c_int) -> Self {
        Self::new(libc::SOL_SOCKET, name)
    }

    const fn tcp(name: c_int) -> Self {
        Self::new(libc::IPPROTO_TCP, name)
    }

    /// `SO_PASSCRED`.
    pub const PASS_CREDENTIALS: Self = Self::socket(libc::SO_PASSCRED);
    /// `SO_PASSPIDFD`.
    pub const PASS_PIDFD: Self = Self::socket(SO_PASSPIDFD);
    /// `SO_PASSRIGHTS`.
    pub const PASS_RIGHTS: Self = Self::socket(SO_PASSRIGHTS);
    /// `SO_PEEK_OFF`.
    pub const PEEK_OFFSET: Self = Self::socket(libc::SO_PEEK_OFF);
    /// `SO_REUSEADDR`.
    pub const REUSE_ADDRESS: Self = Self::socket(libc::SO_REUSEADDR);
    /// `SO_REUSEPORT`.
    pub const REUSE_PORT: Self = Self::socket(libc::SO_REUSEPORT);
    /// `SO_KEEPALIVE`.
    pub const KEEP_ALIVE: Self = Self::socket(libc::SO_KEEPALIVE);
    /// `SO_BROADCAST`.
    pub const BROADCAST: Self = Self::socket(libc::SO_BROADCAST);
    /// `SO_SNDBUF`; the kernel doubles what is set.
    pub const SEND_BUFFER: Self = Self::socket(libc::SO_SNDBUF);
    /// `SO_RCVBUF`; the kernel doubles what is set.
    pub const RECEIVE_BUFFER: Self = Self::socket(libc::SO_RCVBUF);
    /// `TCP_NODELAY`.
    pub const NO_DELAY: Self = Self::tcp(libc::TCP_NODELAY);
    /// `TCP_CORK`.
    pub const CORK: Self = Self::tcp(libc::TCP_CORK);
    /// `TCP_USER_TIMEOUT`, in milliseconds.
    pub const USER_TIMEOUT: Self = Self::tcp(libc::TCP_USER_TIMEOUT);
    /// `TCP_KEEPIDLE`, in seconds.
    pub const KEEP_IDLE: Self = Self::tcp(libc::TCP_KEEPIDLE);
    /// `TCP_KEEPINTVL`, in seconds.
    pub const KEEP_INTERVAL: Self = Self::tcp(libc::TCP_KEEPINTVL);
    /// `TCP_KEEPCNT`.
    pub const KEEP_COUNT: Self = Self::tcp(libc::TCP_KEEPCNT);
    /// `IPV6_V6ONLY`.
    pub const V6_ONLY: Self = Self::new(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY);
    /// `IP_MULTICAST_LOOP`.
    pub const MULTICAST_LOOP: Self = Self::new(libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP);
    /// `IP_MULTICAST_TTL`.
    pub const MULTICAST_TTL: Self = Self::new(libc::IPPROTO_IP, libc::IP_MULTICAST_TTL);
    /// `IPV6_MULTICAST_LOOP`.
    pub const MULTICAST_LOOP_V6: Self = Self::new(libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP);
    /// `IPV6_MULTICAST_HOPS`.
    pub const MULTICAST_HOPS: Self = Self::new(libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS);
    /// `IP_MULTICAST_ALL`.
    pub const MULTICAST_ALL: Self = Self::new(libc::IPPROTO_IP, libc::IP_MULTICAST_ALL);
    /// `IPV6_MULTICAST_ALL`.
    pub const MULTICAST_ALL_V6: Self = Self::new(libc::IPPROTO_IPV6, IPV6_MULTICAST_ALL);
    /// `IP_PKTINFO`.
    pub const PACKET_INFO: Self = Self::new(libc::IPPROTO_IP, libc::IP_PKTINFO);
    /// `IPV6_RECVPKTINFO`.
    pub const PACKET_INFO_V6: Self = Self::new(libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO);
    /// `UDP_SEGMENT`, in bytes.
    pub const UDP_SEGMENT: Self = Self::new(libc::SOL_UDP, libc::UDP_SEGMENT);
    /// `UDP_GRO`.
    pub const UDP_GRO: Self = Self::new(libc::SOL_UDP, libc::UDP_GRO);
}

/// Sets the option.
///
/// # Errors
///
/// `ENOPROTOOPT`, `EOPNOTSUPP`: not for this kind of socket, or not known to this kernel.
/// `EINVAL`: not a value for it. `EPERM`, `EACCES`: not for this user.
pub fn set(socket: BorrowedFd<'_>, option: IntOption, value: i32) -> Result<()> {
    set_bytes(socket, option.level, option.name, &value.to_ne_bytes())
}

/// The option's value.
///
/// # Errors
///
/// As for [`set`].
pub fn get(socket: BorrowedFd<'_>, option: IntOption) -> Result<i32> {
    let mut value = [0; 4];
    get_bytes(socket, option.level, option.name, &mut value)?;
    Ok(i32::from_ne_bytes(value))
}

/// Ties the socket to a network device (`SO_BINDTODEVICE`); an empty name unties it.
///
/// # Errors
///
/// `ENODEV`: no such device. `EINVAL`: longer than 15 bytes. `EPERM`: not for this user.
pub fn bind_to_device(socket: BorrowedFd<'_>, device: &[u8]) -> Result<()> {
    if device.len() >= libc::IFNAMSIZ {
        return Err(Errno::INVAL);
    }
    set_bytes(socket, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, device)
}

/// Who connected, listened or made the pair (`SO_PEERCRED`), as it was then. The process id is 0
/// for one outside of this pid namespace, the ids -1 where there is no peer.
///
/// # Errors
///
/// `ENOPROTOOPT`: not a Unix socket.
pub fn peer_credentials(socket: BorrowedFd<'_>) -> Result<Sender> {
    let mut bytes = [0; 12];
    get_bytes(socket, libc::SOL_SOCKET, libc::SO_PEERCRED, &mut bytes)?;
    let (words, _) = bytes.as_chunks::<4>();
    let [pid, uid, gid] = [words[0], words[1], words[2]].map(u32::from_ne_bytes);
    Ok(Sender { pid, uid, gid })
}

/// A descriptor for the process that connected, listened or made the pair (`SO_PEERPIDFD`).
///
/// # Errors
///
/// `ENOPROTOOPT`: before Linux 6.5. `ENODATA`: no peer. `ESRCH`, `EINVAL`: it has exited.
pub fn peer_pidfd(socket: BorrowedFd<'_>) -> Result<OwnedFd> {
    let mut number = [0; 4];
    get_bytes(socket, libc::SOL_SOCKET, SO_PEERPIDFD, &mut number)?;
    let number = i32::from_ne_bytes(number);
    if number < 0 {
        return Err(Errno::SRCH);
    }
    // SAFETY: the kernel opened it for us just now; nobody else knows of it. It is close-on-exec.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The peer's supplementary groups when it connected, listened or made the pair (`SO_PEERGROUPS`).
///
/// # Errors
///
/// `ENODATA`: no peer.
pub fn peer_groups(socket: BorrowedFd<'_>) -> Result<Vec<u32>> {
    let bytes = sized(socket, libc::SO_PEERGROUPS, GROUPS_MAX * 4)?;
    let (groups, _) = bytes.as_chunks::<4>();
    Ok(groups.iter().copied().map(u32::from_ne_bytes).collect())
}

/// The peer's security label (`SO_PEERSEC`), a closing NUL included where the module adds one.
///
/// # Errors
///
/// `ENOPROTOOPT`: this kernel has no security module that labels sockets.
pub fn peer_security(socket: BorrowedFd<'_>) -> Result<Vec<u8>> {
    sized(socket, libc::SO_PEERSEC, LABEL_MAX)
}

/// Bytes that were sent and not yet taken: by the peer on a Unix socket, acknowledged on TCP
/// (`SIOCOUTQ`).
///
/// # Errors
///
/// `EINVAL`, `ENOTTY`, `EOPNOTSUPP`: not this kind of socket.
pub fn unsent(socket: BorrowedFd<'_>) -> Result<usize> {
    let mut bytes: c_int = 0;
    // SAFETY: SIOCOUTQ (which is TIOCOUTQ) writes one int there.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    checked(c_long::from(result))?;
    usize::try_from(bytes).map_err(|_| Errno::IO)
}

/// An option of `SOL_SOCKET` whose length only the kernel knows: `ERANGE` tells it.
fn sized(socket: BorrowedFd<'_>, name: c_int, max: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; 256];
    loop {
        match get_bytes(socket, libc::SOL_SOCKET, name, &mut bytes) {
            Ok(len) => {
                bytes.truncate(len);
                return Ok(bytes);
            }
            Err(Errno::RANGE) if bytes.len() < max => bytes.resize(bytes.len() * 4, 0),
            Err(errno) => return Err(errno),
        }
    }
}

/// Only for options without pointers in their value.
fn set_bytes(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: &[u8]) -> Result<()> {
    let len = libc::socklen_t::try_from(value.len()).map_err(|_| Errno::INVAL)?;
    let at = value.as_ptr().cast::<c_void>();
    // SAFETY: `value` may be read for `len` bytes, and holds no pointer.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, at, len) };
    checked(c_long::from(result)).map(drop)
}

/// How many bytes of `value` were written.
fn get_bytes(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: &mut [u8]) -> Result<usize> {
    let mut len = libc::socklen_t::try_from(value.len()).map_err(|_| Errno::INVAL)?;
    let at = value.as_mut_ptr().cast::<c_void>();
    // SAFETY: `value` may be written for `len` bytes.
    let result = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, at, &raw mut len) };
    checked(c_long::from(result))?;
    Ok(value.len().min(len as usize))
}

#[cfg(test)]
mod tests {
    //! A pair, looked at from one end.

    use std::os::fd::AsFd;

    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    fn pair(kind: SocketType) -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap()
    }

    #[test]
    fn ints_are_set_and_read_back() {
        let (a, _b) = pair(SocketType::STREAM);
        assert_eq!(get(a.as_fd(), IntOption::PASS_CREDENTIALS), Ok(0));
        set(a.as_fd(), IntOption::PASS_CREDENTIALS, 1).unwrap();
        assert_eq!(get(a.as_fd(), IntOption::PASS_CREDENTIALS), Ok(1));
        assert!(set(a.as_fd(), IntOption::NO_DELAY, 1).is_err(), "not TCP");
        assert_eq!(bind_to_device(a.as_fd(), &[b'x'; 16]), Err(Errno::INVAL));
    }

    #[test]
    fn the_peer_and_the_queues_are_told() {
        let (a, b) = pair(SocketType::STREAM);
        match peer_pidfd(a.as_fd()) {
            Ok(fd) => assert!(!crate::pidfd::exited(fd.as_fd()), "it is this process"),
            Err(errno) => assert_eq!(errno, Errno::NOPROTOOPT),
        }
        assert!(peer_groups(a.as_fd()).is_ok());
        let peer = peer_credentials(a.as_fd()).unwrap();
        assert_eq!(peer.pid, std::process::id());
        if let Err(errno) = peer_security(a.as_fd()) {
            assert_eq!(errno, Errno::NOPROTOOPT);
        }
        assert_eq!(unsent(a.as_fd()), Ok(0));
        rustix::net::send(&a, b"four", rustix::net::SendFlags::NOSIGNAL).unwrap();
        assert!(unsent(a.as_fd()).unwrap() > 0);
        assert_eq!(rustix::io::ioctl_fionread(&b), Ok(4));
    }
}
