//! Transports by name.

use core::fmt;

/// A transport that is served here. RFC 5665 section 5.1; `local` is the systems' own.
#[derive(Copy, Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Netid {
    /// UDP over IPv4.
    Udp,
    /// TCP over IPv4.
    Tcp,
    /// UDP over IPv6.
    Udp6,
    /// TCP over IPv6.
    Tcp6,
    /// A Unix stream socket.
    Local,
}

impl Netid {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Udp, Self::Tcp, Self::Udp6, Self::Tcp6, Self::Local];

    /// The transport of that name; `None` for junk. `unix` is another name of `local`.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "unix" => Some(Self::Local),
            _ => Self::ALL.into_iter().find(|netid| netid.name() == name),
        }
    }

    /// The transport that version 2 means: it knows IPv4 only.
    #[must_use]
    pub const fn of_protocol(protocol: u32) -> Option<Self> {
        match protocol {
            6 => Some(Self::Tcp),
            17 => Some(Self::Udp),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Udp6 => "udp6",
            Self::Tcp6 => "tcp6",
            Self::Local => "local",
        }
    }

    /// The protocol's number in IP, as version 2 and `r_nc_proto` mean it; `None` for local ones.
    #[must_use]
    pub const fn protocol(self) -> Option<u32> {
        match self {
            Self::Tcp | Self::Tcp6 => Some(6),
            Self::Udp | Self::Udp6 => Some(17),
            Self::Local => None,
        }
    }

    /// `r_nc_semantics`: datagrams 1, a stream with orderly release 3.
    #[must_use]
    pub const fn semantics(self) -> u32 {
        match self {
            Self::Udp | Self::Udp6 => 1,
            Self::Tcp | Self::Tcp6 | Self::Local => 3,
        }
    }

    /// `r_nc_protofmly`.
    #[must_use]
    pub const fn family_name(self) -> &'static str {
        match self {
            Self::Udp | Self::Tcp => "inet",
            Self::Udp6 | Self::Tcp6 => "inet6",
            Self::Local => "loopback",
        }
    }

    /// `r_nc_proto`.
    #[must_use]
    pub const fn protocol_name(self) -> &'static str {
        match self {
            Self::Udp | Self::Udp6 => "udp",
            Self::Tcp | Self::Tcp6 => "tcp",
            Self::Local => "-",
        }
    }
}

impl fmt::Display for Netid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
