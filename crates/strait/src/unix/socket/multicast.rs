//! Groups of receivers of one datagram, on IPv4 and IPv6.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;

use rustix::net::netdevice::name_to_index;
use rustix::net::sockopt as rx;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use strait_sys::Errno;
use strait_sys::sockopt::{self, IntOption};

use super::failure::fail;
use super::{Datagrams, Socket};
use crate::error::Result;

/// A network interface, by its index.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Interface(pub u32);

impl Interface {
    /// The one that the routes lead to.
    pub const ANY: Self = Self(0);

    /// The interface of that name, such as `lo`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput): there is none.
    pub fn named(name: &str) -> Result<Self> {
        let index = || {
            let flags = SocketFlags::CLOEXEC;
            let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
            name_to_index(&socket, name)
        };
        let index = index().map_err(|errno| fail(errno, "find interface", name))?;
        Ok(Self(index))
    }
}

impl Socket<Datagrams> {
    /// Receives what is sent to that group, through that interface; and from now on no group of
    /// that family that it did not join itself. (Left alone, Linux gives a socket that is bound to
    /// every address also what others on this machine have joined: IP_MULTICAST_ALL.)
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput): no multicast address, not of
    /// this socket's family, or no such interface;
    /// [`ErrorKind::Exhausted`](crate::ErrorKind::Exhausted): in more groups than
    /// /proc/sys/net/ipv4/igmp_max_memberships, 20 by default.
    pub fn join(&self, group: IpAddr, interface: Interface) -> Result<()> {
        let others = match group {
            IpAddr::V4(_) => IntOption::MULTICAST_ALL,
            IpAddr::V6(_) => IntOption::MULTICAST_ALL_V6,
        };
        let joined = sockopt::set(self.as_fd(), others, 0).and_then(|()| match group {
            IpAddr::V4(group) => rx::set_ip_add_membership_with_ifindex(
                self,
                &group,
                &Ipv4Addr::UNSPECIFIED,
                interface.0,
            ),
            IpAddr::V6(group) => rx::set_ipv6_add_membership(self, &group, interface.0),
        });
        joined.map_err(|errno| fail(errno, "join multicast group", group.to_string()))
    }

    /// Leaves the group again. All are left when the socket closes.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput): it is not in that group.
    pub fn leave(&self, group: IpAddr, interface: Interface) -> Result<()> {
        match group {
            IpAddr::V4(group) => rx::set_ip_drop_membership_with_ifindex(
                self,
                &group,
                &Ipv4Addr::UNSPECIFIED,
                interface.0,
            ),
            IpAddr::V6(group) => rx::set_ipv6_drop_membership(self, &group, interface.0),
        }
        .map_err(|errno| fail(errno, "leave multicast group", group.to_string()))
    }

    /// The interface through which this socket multicasts.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput): no such interface;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported): not an internet socket.
    pub fn multicast_through(&self, interface: Interface) -> Result<()> {
        let done = match rx::socket_domain(self) {
            Ok(AddressFamily::INET) => rx::set_ip_multicast_if_with_ifindex(
                self,
                &Ipv4Addr::UNSPECIFIED,
                &Ipv4Addr::UNSPECIFIED,
                interface.0,
            ),
            Ok(AddressFamily::INET6) => rx::set_ipv6_multicast_if(self, interface.0),
            Ok(_) => Err(Errno::NOPROTOOPT),
            Err(errno) => Err(errno),
        };
        done.map_err(|errno| fail(errno, "choose multicast interface of", self.shown()))
    }
}
