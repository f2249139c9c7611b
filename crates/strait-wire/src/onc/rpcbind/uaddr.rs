//! Universal addresses: RFC 5665 section 5.2.3.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use super::{Netid, UADDR_MAX};

/// The longest path of a local socket, in bytes: `sun_path` without its end.
pub const PATH_MAX: usize = 107;

/// Where a program listens.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Uaddr {
    /// `h1.h2.h3.h4.p1.p2`, or the text of an IPv6 address and `.p1.p2`.
    Inet(SocketAddr),
    /// A path.
    Local(String),
}

/// A text that is no universal address of that transport.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct BadAddress {
    /// The transport.
    pub netid: Netid,
}

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a universal address of {}", self.netid)
    }
}

impl core::error::Error for BadAddress {}

impl Uaddr {
    /// Parses an address of `netid`: numbers without signs and leading zeros, and nothing else.
    ///
    /// # Errors
    ///
    /// [`BadAddress`] for everything else, an IPv6 address with a zone too: a zone is a number of
    /// the machine that wrote it.
    pub fn parse(netid: Netid, text: &str) -> Result<Self, BadAddress> {
        let parsed = match netid {
            _ if text.len() > UADDR_MAX as usize => None,
            Netid::Local => path(text),
            Netid::Tcp | Netid::Udp => inet(text).filter(SocketAddr::is_ipv4).map(Self::Inet),
            Netid::Tcp6 | Netid::Udp6 => inet(text).filter(SocketAddr::is_ipv6).map(Self::Inet),
        };
        parsed.ok_or(BadAddress { netid })
    }

    /// The port; `None` for a path.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        match self {
            Self::Inet(address) => Some(address.port()),
            Self::Local(_) => None,
        }
    }

    /// The address for a caller who has reached the registry at `reached`: in place of "any", that.
    /// Where the families differ it stays "any".
    #[must_use]
    pub fn seen_from(self, reached: IpAddr) -> Self {
        match self {
            Self::Inet(address)
                if address.ip().is_unspecified() && address.is_ipv4() == reached.is_ipv4() =>
            {
                Self::Inet(SocketAddr::new(reached, address.port()))
            }
            other => other,
        }
    }
}

impl fmt::Display for Uaddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => {
                let [high, low] = address.port().to_be_bytes();
                write!(f, "{}.{high}.{low}", address.ip())
            }
            Self::Local(path) => f.write_str(path),
        }
    }
}

fn inet(text: &str) -> Option<SocketAddr> {
    let (text, low) = text.rsplit_once('.')?;
    let (host, high) = text.rsplit_once('.')?;
    let port = u16::from_be_bytes([octet(high)?, octet(low)?]);
    Some(SocketAddr::new(host.parse().ok()?, port))
}

fn octet(text: &str) -> Option<u8> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    text.parse().ok().filter(|_| digits && canonical)
}

fn path(text: &str) -> Option<Uaddr> {
    let sound = text.starts_with('/') && text.len() <= PATH_MAX && !text.contains('\0');
    sound.then(|| Uaddr::Local(text.to_owned()))
}
