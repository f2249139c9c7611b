//! Datagrams with the address that they were sent to, and answers that come from there:
//! `IP_PKTINFO` of `ip(7)`, `IPV6_PKTINFO` of `ipv6(7)` and RFC 3542 section 6.
//!
//! A machine has several addresses. A socket bound to none of them answers from whichever the
//! route suggests, and a client that asked another one drops that.

use core::ffi::{c_int, c_long};
use core::mem::{MaybeUninit, offset_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::net::addr::SocketAddrStorage;
use rustix::net::{RecvFlags, SocketAddrAny};

use crate::pass::{header, messages, recvmsg, slice_of};
use crate::sockaddr::{Name, decode};
use crate::sockopt::{self, IntOption};
use crate::{Errno, Result, checked};

/// Room for both kinds, each with a header, in bytes.
const CONTROL_LEN: usize = 128;
const HEADER_LEN: usize = size_of::<libc::cmsghdr>();

/// An address of this machine, and the network interface that has it.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Local {
    /// The address; of IPv4 behind an IPv6 socket in its mapped form.
    pub address: IpAddr,
    /// The interface's index; 0 for whichever the route names.
    pub interface: u32,
}

/// A datagram that came.
#[derive(Copy, Clone, Debug)]
pub struct Came {
    /// Bytes in the buffer.
    pub len: usize,
    /// The datagram was longer than the buffer.
    pub is_cut: bool,
    /// Who sent it.
    pub from: SocketAddr,
    /// Where it was sent to, if the kernel said so; of one to many (by broadcast), the address to
    /// answer from.
    pub to: Option<Local>,
}

/// Asks the kernel to tell of each datagram where it was sent to.
///
/// # Errors
///
/// `ENOPROTOOPT`: not a socket of IPv4 or IPv6.
pub fn ask(socket: BorrowedFd<'_>, local: &SocketAddr) -> Result<()> {
    if local.is_ipv4() {
        return sockopt::set(socket, IntOption::PACKET_INFO, 1);
    }
    sockopt::set(socket, IntOption::PACKET_INFO_V6, 1)?;
    // Of IPv4 the kernel then says too which address to answer from. A socket that takes none of it
    // may refuse, and without the answer to a broadcast comes from whichever the route suggests.
    let _ = sockopt::set(socket, IntOption::PACKET_INFO, 1);
    Ok(())
}

/// Receives a datagram.
///
/// # Errors
///
/// `EAGAIN`: the socket does not block and has nothing. `EINTR`. `EAFNOSUPPORT`: it has no
/// internet address.
pub fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> Result<Came> {
    let mut control = Control([0; CONTROL_LEN]);
    let mut from = MaybeUninit::<SocketAddrStorage>::uninit();
    let mut slice = slice_of(bytes);
    let mut message = header(&mut slice);
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL_LEN;
    message.msg_name = from.as_mut_ptr().cast();
    message.msg_namelen = ADDRESS_LEN;
    let len = recvmsg(socket, &mut message, RecvFlags::empty())?;
    let named = message.msg_namelen;
    let room = offset_of!(libc::sockaddr, sa_data)..=size_of::<SocketAddrStorage>();
    if !room.contains(&(named as usize)) {
        return Err(Errno::AFNOSUPPORT);
    }
    // SAFETY: the kernel wrote an address of this length there.
    let from = unsafe { SocketAddrAny::new(from, named) };
    let Name::Inet(from) = decode(&from) else {
        return Err(Errno::AFNOSUPPORT);
    };
    let control = control.0.get(..message.msg_controllen);
    Ok(Came {
        len,
        is_cut: message.msg_flags & libc::MSG_TRUNC != 0,
        from,
        to: local_of(control.unwrap_or_default()),
    })
}

/// Sends a datagram, from that address if one is given. Never raises SIGPIPE.
///
/// # Errors
///
/// `EMSGSIZE`: longer than the protocol carries. `EAGAIN`: the socket does not block and is full.
/// `EINVAL`, `EADDRNOTAVAIL`: this machine no longer has that address. Others as the route has
/// them: `ENETUNREACH`, `EHOSTUNREACH`, `EPERM`.
pub fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    to: SocketAddr,
    from: Option<Local>,
) -> Result<usize> {
    let to = Name::Inet(to).encode()?;
    let mut control = Control([0; CONTROL_LEN]);
    let control_len = from.map_or(0, |from| put(&mut control, from));
    let mut slice = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let mut message = header(&mut slice);
    message.msg_name = to.as_ptr().cast_mut().cast();
    message.msg_namelen = to.addr_len();
    if control_len > 0 {
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = control_len;
    }
    // SAFETY: the header names an address, bytes and a control message, which outlive the call and
    // are only read.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
    usize::try_from(checked(sent as c_long)?).map_err(|_| Errno::IO)
}

/// Aligned as the kernel's control messages are.
#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

const ADDRESS_LEN: libc::socklen_t = 128;
const _: () = assert!(size_of::<SocketAddrStorage>() == ADDRESS_LEN as usize);

fn local_of(control: &[u8]) -> Option<Local> {
    let mut said = locals_of(control);
    let first = said.next()?;
    let Some(second) = said.next() else {
        return Some(first);
    };
    // Of IPv4 behind an IPv6 socket: the address in the header, which may be that of all hosts, and
    // the one to answer from.
    let both = [first, second];
    let four = both.into_iter().find_map(|local| match local.address {
        IpAddr::V4(four) => Some((four, local.interface)),
        IpAddr::V6(_) => None,
    });
    four.map_or(Some(first), |(four, interface)| {
        Some(Local {
            address: four.to_ipv6_mapped().into(),
            interface,
        })
    })
}

fn locals_of(control: &[u8]) -> impl Iterator<Item = Local> {
    messages(control).filter_map(|message| match (message.level, message.kind) {
        // struct in_pktinfo: the interface, the address to answer from, the address in the header
        // (which may be that of all hosts).
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            let (words, _) = message.data.as_chunks::<4>();
            Some(Local {
                address: Ipv4Addr::from(*words.get(1)?).into(),
                interface: u32::from_ne_bytes(*words.first()?),
            })
        }
        // struct in6_pktinfo: the address, the interface.
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            let (address, rest) = message.data.split_first_chunk::<16>()?;
            Some(Local {
                address: Ipv6Addr::from(*address).into(),
                interface: u32::from_ne_bytes(*rest.first_chunk()?),
            })
        }
        _ => None,
    })
}

/// Writes the control message, and says how long it is.
fn put(control: &mut Control, from: Local) -> usize {
    let interface = from.interface.to_ne_bytes();
    let mut data = [0; 20];
    let (level, kind, len) = match from.address {
        IpAddr::V4(address) => {
            data[..4].copy_from_slice(&interface);
            data[4..8].copy_from_slice(&address.octets());
            (libc::IPPROTO_IP, libc::IP_PKTINFO, 12)
        }
        IpAddr::V6(address) => {
            data[..16].copy_from_slice(&address.octets());
            data[16..].copy_from_slice(&interface);
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, 20)
        }
    };
    let mut word = |at: usize, bytes: &[u8]| {
        control.0[at..at + bytes.len()].copy_from_slice(bytes);
    };
    word(0, &(HEADER_LEN + len).to_ne_bytes());
    word(
        offset_of!(libc::cmsghdr, cmsg_level),
        &c_int::to_ne_bytes(level),
    );
    word(
        offset_of!(libc::cmsghdr, cmsg_type),
        &c_int::to_ne_bytes(kind),
    );
    word(HEADER_LEN, &data[..len]);
    HEADER_LEN + len.next_multiple_of(size_of::<usize>())
}

#[cfg(test)]
mod tests {
    //! Addresses of the loopback interface: a whole network of them in IPv4.

    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    /// A socket of all addresses answers a datagram that was sent to all hosts, from an address.
    #[test]
    fn a_broadcast_is_answered_from_an_address_of_this_machine() {
        for all in ["0.0.0.0:0", "[::]:0"] {
            let Ok(server) = UdpSocket::bind(all) else {
                eprintln!("skipped {all}: no such protocol here");
                continue;
            };
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            client.set_broadcast(true).unwrap();
            let local = server.local_addr().unwrap();
            ask(server.as_fd(), &local).unwrap();
            let everybody = ("127.255.255.255", local.port());
            client.send_to(b"question", everybody).unwrap();
            let came = receive(server.as_fd(), &mut [0; 16]).unwrap();
            let to = came.to.unwrap().address;
            assert_eq!(to.to_canonical(), Ipv4Addr::LOCALHOST, "{all}");
            assert_eq!(to.is_ipv6(), local.is_ipv6(), "as the socket has it");
            send(server.as_fd(), b"answer", came.from, came.to).unwrap();
            let (len, from) = client.recv_from(&mut [0; 16]).unwrap();
            assert_eq!((len, from), (6, (Ipv4Addr::LOCALHOST, local.port()).into()));
        }
    }

    /// A socket of all addresses answers from the one that was asked.
    fn answers_from(all: &str, asked: &str) {
        let Ok(server) = UdpSocket::bind(all) else {
            return eprintln!("skipped {all}: no such protocol here");
        };
        let client = UdpSocket::bind(SocketAddr::new(asked.parse().unwrap(), 0)).unwrap();
        let local = server.local_addr().unwrap();
        ask(server.as_fd(), &local).unwrap();
        let asked = SocketAddr::new(asked.parse().unwrap(), local.port());
        client.send_to(b"question", asked).unwrap();
        let mut bytes = [0; 4];
        let came = receive(server.as_fd(), &mut bytes).unwrap();
        assert_eq!((came.len, came.is_cut, &bytes), (4, true, b"ques"));
        assert_eq!(came.to.unwrap().address.to_canonical(), asked.ip());
        send(server.as_fd(), b"answer", came.from, came.to).unwrap();
        let (len, from) = client.recv_from(&mut [0; 16]).unwrap();
        assert_eq!((len, from), (6, asked));
    }

    #[test]
    fn an_answer_comes_from_the_address_that_was_asked() {
        answers_from("0.0.0.0:0", "127.0.0.1");
        answers_from("0.0.0.0:0", "127.7.7.7");
        answers_from("[::]:0", "::1");
        answers_from("[::]:0", "127.7.7.7");
    }
}
