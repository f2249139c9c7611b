//! Options of sockets, each a type of its own with its unit.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::net::AddressFamily;
use rustix::net::sockopt as rx;
use strait_sys::Errno;
use strait_sys::sockopt::{self, IntOption};

use super::failure::fail;
use super::{Kind, Listener, Socket};
use crate::error::Result;

/// An option. Implemented here only.
pub trait SocketOption: Sized {
    #[doc(hidden)]
    const NAME: &'static str;

    #[doc(hidden)]
    fn put(&self, socket: BorrowedFd<'_>) -> std::result::Result<(), Errno>;

    #[doc(hidden)]
    fn ask(socket: BorrowedFd<'_>) -> std::result::Result<Self, Errno>;
}

impl<K: Kind> Socket<K> {
    /// Sets an option: `socket.set(NoDelay(true))?`.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) where this kernel or this kind of
    /// socket does not know it; [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a
    /// value outside its range.
    pub fn set<O: SocketOption>(&self, option: O) -> Result<()> {
        put(self.as_fd(), &option).map_err(|errno| fail(errno, O::NAME, self.shown()))
    }

    /// The value of an option: `let NoDelay(on) = socket.option()?`.
    ///
    /// # Errors
    /// As for [`set`](Self::set).
    pub fn option<O: SocketOption>(&self) -> Result<O> {
        O::ask(self.as_fd()).map_err(|errno| fail(errno, O::NAME, self.shown()))
    }
}

impl<K: Kind> Listener<K> {
    /// Sets an option; sockets that are accepted from then on mostly inherit it.
    ///
    /// # Errors
    /// As for [`Socket::set`].
    pub fn set<O: SocketOption>(&self, option: O) -> Result<()> {
        put(self.as_fd(), &option).map_err(|errno| fail(errno, O::NAME, self.shown()))
    }
}

fn put<O: SocketOption>(socket: BorrowedFd<'_>, option: &O) -> std::result::Result<(), Errno> {
    match option.put(socket) {
        // So says the kernel of an option of another family.
        Err(Errno::OPNOTSUPP) => Err(Errno::NOPROTOOPT),
        other => other,
    }
}

/// How an option's value becomes the kernel's int.
trait Value: Sized {
    fn to_int(&self, unit: Duration) -> std::result::Result<i32, Errno>;
    fn from_int(value: i32, unit: Duration) -> Self;
}

impl Value for bool {
    fn to_int(&self, _: Duration) -> std::result::Result<i32, Errno> {
        Ok(i32::from(*self))
    }

    fn from_int(value: i32, _: Duration) -> Self {
        value != 0
    }
}

impl Value for u32 {
    fn to_int(&self, _: Duration) -> std::result::Result<i32, Errno> {
        i32::try_from(*self).map_err(|_| Errno::INVAL)
    }

    fn from_int(value: i32, _: Duration) -> Self {
        Self::try_from(value).unwrap_or(0)
    }
}

/// Whole units, rounded up.
impl Value for Duration {
    fn to_int(&self, unit: Duration) -> std::result::Result<i32, Errno> {
        let units = self.as_nanos().div_ceil(unit.as_nanos());
        i32::try_from(units).map_err(|_| Errno::INVAL)
    }

    fn from_int(value: i32, unit: Duration) -> Self {
        unit * u32::try_from(value).unwrap_or(0)
    }
}

/// `None` is -1: off.
impl Value for Option<u32> {
    fn to_int(&self, unit: Duration) -> std::result::Result<i32, Errno> {
        self.map_or(Ok(-1), |value| value.to_int(unit))
    }

    fn from_int(value: i32, _: Duration) -> Self {
        u32::try_from(value).ok()
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

macro_rules! ints {
    ($($(#[$doc:meta])* $name:ident($value:ty), $option:ident, $unit:expr, $words:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Copy, Clone, Debug, Eq, PartialEq)]
        pub struct $name(pub $value);

        impl SocketOption for $name {
            const NAME: &'static str = concat!("set ", $words, " of");

            fn put(&self, socket: BorrowedFd<'_>) -> std::result::Result<(), Errno> {
                sockopt::set(socket, IntOption::$option, self.0.to_int($unit)?)
            }

            fn ask(socket: BorrowedFd<'_>) -> std::result::Result<Self, Errno> {
                let value = sockopt::get(socket, IntOption::$option)?;
                Ok(Self(Value::from_int(value, $unit)))
            }
        }
    )*};
}

ints! {
    /// Each message that arrives says who sent it ([`Received::sender`](super::Received::sender)).
    /// An unnamed socket with this is given an abstract name when it connects or sends
    /// (SO_PASSCRED).
    PassCredentials(bool), PASS_CREDENTIALS, SECOND, "SO_PASSCRED";
    /// Each message that arrives brings its sender as a descriptor
    /// ([`Received::process`](super::Received::process); SO_PASSPIDFD, Linux 6.5).
    PassProcess(bool), PASS_PIDFD, SECOND, "SO_PASSPIDFD";
    /// Whether peers may send descriptors; where not, their sending fails with EPERM
    /// (SO_PASSRIGHTS, Linux 6.16).
    PassRights(bool), PASS_RIGHTS, SECOND, "SO_PASSRIGHTS";
    /// From which byte of what is queued a peek looks, and moves on; off at first
    /// (SO_PEEK_OFF).
    PeekOffset(Option<u32>), PEEK_OFFSET, SECOND, "SO_PEEK_OFF";
    /// Probes of an idle TCP connection (SO_KEEPALIVE).
    KeepAlive(bool), KEEP_ALIVE, SECOND, "SO_KEEPALIVE";
    /// Idle time before the first probe, in whole seconds, 1 to 32,767 (TCP_KEEPIDLE).
    KeepIdle(Duration), KEEP_IDLE, SECOND, "TCP_KEEPIDLE";
    /// Time between probes, in whole seconds, 1 to 32,767 (TCP_KEEPINTVL).
    KeepInterval(Duration), KEEP_INTERVAL, SECOND, "TCP_KEEPINTVL";
    /// Probes without an answer before the connection ends, 1 to 127 (TCP_KEEPCNT).
    KeepCount(u32), KEEP_COUNT, SECOND, "TCP_KEEPCNT";
    /// Small writes leave at once instead of waiting for more (TCP_NODELAY).
    NoDelay(bool), NO_DELAY, SECOND, "TCP_NODELAY";
    /// Nothing but full segments leaves, for at most 200 ms (TCP_CORK).
    Cork(bool), CORK, SECOND, "TCP_CORK";
    /// How long sent bytes may stay unacknowledged, in milliseconds; zero for the system's own
    /// (TCP_USER_TIMEOUT).
    UserTimeout(Duration), USER_TIMEOUT, MILLISECOND, "TCP_USER_TIMEOUT";
    /// IPv6 only, not IPv4 as well (IPV6_V6ONLY). Must be set before binding: see
    /// [`Options::v6_only`](super::Options::v6_only).
    V6Only(bool), V6_ONLY, SECOND, "IPV6_V6ONLY";
    /// May send to broadcast addresses (SO_BROADCAST).
    Broadcast(bool), BROADCAST, SECOND, "SO_BROADCAST";
    /// Bytes of send buffer; the kernel doubles what is set, and limits it to
    /// /proc/sys/net/core/wmem_max (SO_SNDBUF).
    SendBuffer(u32), SEND_BUFFER, SECOND, "SO_SNDBUF";
    /// Bytes of receive buffer; the kernel doubles what is set, and limits it to
    /// /proc/sys/net/core/rmem_max (SO_RCVBUF).
    ReceiveBuffer(u32), RECEIVE_BUFFER, SECOND, "SO_RCVBUF";
    /// Each UDP message that is sent is cut into datagrams of so many bytes, at most 64
    /// (UDP_SEGMENT); 0 is off.
    Segment(u32), UDP_SEGMENT, SECOND, "UDP_SEGMENT";
    /// UDP datagrams of one sender may arrive joined;
    /// [`Received::segment`](super::Received::segment) says where to cut (UDP_GRO).
    Coalesce(bool), UDP_GRO, SECOND, "UDP_GRO";
}

/// Closing waits until what was written is acknowledged, for so long, in whole seconds;
/// `Some(ZERO)` resets the connection instead; `None`, as sockets are born, sends it in the
/// background (SO_LINGER).
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Linger(pub Option<Duration>);

impl SocketOption for Linger {
    const NAME: &'static str = "set SO_LINGER of";

    fn put(&self, socket: BorrowedFd<'_>) -> std::result::Result<(), Errno> {
        rx::set_socket_linger(socket, self.0)
    }

    fn ask(socket: BorrowedFd<'_>) -> std::result::Result<Self, Errno> {
        rx::socket_linger(socket).map(Self)
    }
}

/// One option that IPv4 and IPv6 have each under a number of its own.
macro_rules! of_family {
    ($($(#[$doc:meta])* $name:ident($value:ty), $v4:ident, $v6:ident, $words:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Copy, Clone, Debug, Eq, PartialEq)]
        pub struct $name(pub $value);

        impl SocketOption for $name {
            const NAME: &'static str = concat!("set ", $words, " of");

            fn put(&self, socket: BorrowedFd<'_>) -> std::result::Result<(), Errno> {
                let option = family(socket, IntOption::$v4, IntOption::$v6)?;
                sockopt::set(socket, option, self.0.to_int(SECOND)?)
            }

            fn ask(socket: BorrowedFd<'_>) -> std::result::Result<Self, Errno> {
                let option = family(socket, IntOption::$v4, IntOption::$v6)?;
                Ok(Self(Value::from_int(sockopt::get(socket, option)?, SECOND)))
            }
        }
    )*};
}

of_family! {
    /// What this socket multicasts is also received on this machine; on at first.
    MulticastLoop(bool), MULTICAST_LOOP, MULTICAST_LOOP_V6, "multicast loop";
    /// How many routers a multicast may pass, 0 to 255; 1 at first: it stays in its network.
    MulticastTtl(u32), MULTICAST_TTL, MULTICAST_HOPS, "multicast TTL";
}

fn family(
    socket: BorrowedFd<'_>,
    v4: IntOption,
    v6: IntOption,
) -> std::result::Result<IntOption, Errno> {
    match rx::socket_domain(socket)? {
        AddressFamily::INET => Ok(v4),
        AddressFamily::INET6 => Ok(v6),
        _ => Err(Errno::NOPROTOOPT),
    }
}
