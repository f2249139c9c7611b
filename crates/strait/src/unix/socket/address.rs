//! Where a socket is: paths, abstract names, internet addresses, vsock.

use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::net::{AddressFamily, SocketAddrAny};
use strait_sys::Errno;
use strait_sys::sockaddr::{Name, UNIX_MAX, VSOCK_CID_ANY, VSOCK_PORT_ANY, decode};

use super::failure::fail;
use crate::error::{Error, ErrorKind, Result};
use crate::object::space::claim::Reach;

/// The address of a socket.
///
/// | written | is |
/// | --- | --- |
/// | `/run/x`, `./x`, `unix:x` | a path; one beyond 107 bytes is opened, and reached through that |
/// | `@name` | an abstract name of at most 107 bytes; `\xHH` is any byte, `\\` a backslash |
/// | `tcp:127.0.0.1:80`, `udp:[::1]:53`, `127.0.0.1:80` | an internet address |
/// | `vsock:2:1024`, `vsock:any:1024` | a port of the machine with that context id (2: the host) |
/// | `unnamed` | none: one end of a pair, or a socket that connected without a name |
///
/// What is shown is read back as the same, but for what has no form here: a path that is no UTF-8,
/// or empty, and the flow label of IPv6. Host names are not looked up: that is
/// `std::net::ToSocketAddrs`'s.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Address {
    /// A Unix socket without a name. Bound to, the kernel draws an abstract name of five
    /// hexadecimal digits (autobind).
    Unnamed,
    /// A Unix socket in the file system.
    Path(PathBuf),
    /// A Unix socket with a name of any bytes in the network namespace, without permissions: every
    /// process there may connect, and the first to take a name has it, for each kind of socket.
    Abstract(Vec<u8>),
    /// IPv4 or IPv6.
    Inet(SocketAddr),
    /// A port of a virtual machine or of its host.
    Vsock {
        /// Context id: 2 is the host, 1 this machine by itself, `u32::MAX` any.
        cid: u32,
        /// Port; `u32::MAX` for one of the kernel's choice.
        port: u32,
    },
}

impl Address {
    /// An abstract name.
    #[must_use]
    pub fn abstract_name(name: impl AsRef<[u8]>) -> Self {
        Self::Abstract(name.as_ref().to_vec())
    }

    /// Whether a socket has this path now. Its owner does not notice the question, and nothing is
    /// connected: a datagram socket asks, whom no stream listener hears. (Abstract names are taken
    /// by each kind of socket for itself, so that they cannot be asked in this way.)
    ///
    /// # Errors
    /// [`ErrorKind::Denied`]: no write permission for the path; [`ErrorKind::InvalidInput`]: not a
    /// path.
    pub fn is_bound(&self) -> Result<bool> {
        let verb = "look for socket";
        if !matches!(self, Self::Path(_)) {
            let error = Error::new(ErrorKind::InvalidInput, verb, self.to_string());
            return Err(error.because("only of paths can that be asked"));
        }
        match self.reach().and_then(|reach| reach.is_bound()) {
            Err(Errno::NOENT) => Ok(false),
            other => other.map_err(|errno| fail(errno, verb, self.to_string())),
        }
    }

    pub(super) fn family(&self) -> AddressFamily {
        match self {
            Self::Unnamed | Self::Path(_) | Self::Abstract(_) => AddressFamily::UNIX,
            Self::Inet(SocketAddr::V4(_)) => AddressFamily::INET,
            Self::Inet(SocketAddr::V6(_)) => AddressFamily::INET6,
            Self::Vsock { .. } => AddressFamily::VSOCK,
        }
    }

    /// What came from the kernel; `None` for a family that is not ours.
    pub(crate) fn of(address: &SocketAddrAny) -> Option<Self> {
        Some(match decode(address) {
            Name::Unnamed => Self::Unnamed,
            Name::Path(path) => Self::Path(OsStr::from_bytes(path).into()),
            Name::Abstract(name) => Self::Abstract(name.to_vec()),
            Name::Inet(address) => Self::Inet(address),
            Name::Vsock { cid, port } => Self::Vsock { cid, port },
            Name::Other(_) => return None,
        })
    }

    /// The form in which the kernel finds an existing socket.
    pub(super) fn reach(&self) -> std::result::Result<Reach, Errno> {
        let name = match self {
            Self::Unnamed => Name::Unnamed,
            Self::Path(path) => {
                let bytes = path.as_os_str().as_bytes();
                if bytes.len() > UNIX_MAX {
                    let flags = OFlags::PATH | OFlags::CLOEXEC;
                    return Reach::through(openat(CWD, path, flags, Mode::empty())?);
                }
                Name::Path(bytes)
            }
            Self::Abstract(name) => Name::Abstract(name),
            Self::Inet(address) => Name::Inet(*address),
            Self::Vsock { cid, port } => Name::Vsock {
                cid: *cid,
                port: *port,
            },
        };
        Reach::by_name(&name)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unnamed => f.write_str("unnamed"),
            Self::Path(path) => {
                if !matches!(path.as_os_str().as_bytes(), [b'/' | b'.', ..]) {
                    f.write_str("unix:")?;
                }
                write!(f, "{}", path.display())
            }
            Self::Abstract(name) => {
                f.write_char('@')?;
                for byte in name {
                    match byte {
                        b'\\' => f.write_str("\\\\")?,
                        b'!'..=b'~' => f.write_char(char::from(*byte))?,
                        _ => write!(f, "\\x{byte:02x}")?,
                    }
                }
                Ok(())
            }
            Self::Inet(address) => write!(f, "{address}"),
            Self::Vsock { cid, port } => {
                f.write_str("vsock:")?;
                number(f, *cid, VSOCK_CID_ANY)?;
                f.write_char(':')?;
                number(f, *port, VSOCK_PORT_ANY)
            }
        }
    }
}

fn number(f: &mut fmt::Formatter<'_>, number: u32, any: u32) -> fmt::Result {
    if number == any {
        return f.write_str("any");
    }
    write!(f, "{number}")
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::new(ErrorKind::InvalidInput, "read address", text.to_owned()).because(why)
        };
        let inet = |text: &str| {
            text.parse()
                .map(Self::Inet)
                .map_err(|_| wrong("write ADDRESS:PORT in numbers, IPv6 as in [::1]:80"))
        };
        if text == "unnamed" {
            return Ok(Self::Unnamed);
        }
        if let Some(name) = text.strip_prefix('@') {
            let name = unescape(name).ok_or_else(|| wrong("a byte is written \\xHH"))?;
            if name.len() > UNIX_MAX {
                return Err(wrong("an abstract name has at most 107 bytes"));
            }
            return Ok(Self::Abstract(name));
        }
        match text.split_once(':') {
            _ if text.starts_with(['/', '.']) => Ok(Self::Path(text.into())),
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Path(path.into())),
            Some(("tcp" | "udp", rest)) => inet(rest),
            Some(("vsock", rest)) => {
                let part = |text: &str| match text {
                    "any" => Some(VSOCK_CID_ANY),
                    number => number.parse().ok(),
                };
                let parts = rest.split_once(':');
                parts
                    .and_then(|(cid, port)| Some((part(cid)?, part(port)?)))
                    .map(|(cid, port)| Self::Vsock { cid, port })
                    .ok_or_else(|| wrong("write vsock:CID:PORT"))
            }
            _ if text.contains('/') => Ok(Self::Path(text.into())),
            Some(_) => inet(text),
            None => Err(wrong(&format!(
                "write ./{text} for a path, or @NAME, tcp:HOST:PORT or vsock:CID:PORT"
            ))),
        }
    }
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        match rest {
            [b'\\', behind @ ..] => {
                bytes.push(b'\\');
                rest = behind;
            }
            [b'x', high, low, behind @ ..] => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                bytes.push(u8::try_from(digit(high)? * 16 + digit(low)?).ok()?);
                rest = behind;
            }
            _ => return None,
        }
    }
    Some(bytes)
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(address)
    }
}

impl From<PathBuf> for Address {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

impl From<&Path> for Address {
    fn from(path: &Path) -> Self {
        Self::Path(path.to_owned())
    }
}

#[cfg(test)]
mod tests {
    //! Written and read.

    use proptest::prelude::*;

    use super::*;

    fn any_address() -> impl Strategy<Value = Address> {
        let inet = (any::<std::net::IpAddr>(), any::<u16>(), any::<u32>()).prop_map(
            |(ip, port, scope)| {
                let mut address = SocketAddr::new(ip, port);
                if let SocketAddr::V6(v6) = &mut address {
                    v6.set_scope_id(scope);
                }
                Address::Inet(address)
            },
        );
        prop_oneof![
            Just(Address::Unnamed),
            // Among them those that begin as something else does.
            "(unix:|tcp:|vsock:|@|/|\\.|unnamed)?[^\0]{1,9}"
                .prop_map(|path| Address::Path(path.into())),
            proptest::collection::vec(any::<u8>(), 0..=UNIX_MAX).prop_map(Address::Abstract),
            inet,
            (any::<u32>(), any::<u32>()).prop_map(|(cid, port)| Address::Vsock { cid, port }),
        ]
    }

    proptest! {
        #[test]
        fn every_address_is_read_back(address in any_address()) {
            prop_assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
        }

        #[test]
        fn every_text_is_read_as_something_or_refused(
            text in "(unix:|tcp:|udp:|vsock:|@|/)?[@:/\\\\x0-9a-z.é\\[\\]]{0,12}",
        ) {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
            }
        }

        #[test]
        fn what_the_kernel_says_is_what_it_was_told(address in any_address()) {
            if let Ok(reach) = address.reach() {
                prop_assert_eq!(Address::of(&reach.address), Some(address));
            }
        }
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for address in [
            Address::Unnamed,
            Address::Path("/run/x y".into()),
            Address::Path("x".into()),
            Address::abstract_name(b"a\0\\b \xff"),
            Address::abstract_name(b""),
            Address::Inet("127.0.0.1:80".parse().unwrap()),
            Address::Inet("[::1]:80".parse().unwrap()),
            Address::Vsock { cid: 2, port: 9 },
            Address::Vsock {
                cid: VSOCK_CID_ANY,
                port: VSOCK_PORT_ANY,
            },
        ] {
            assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
        }
        assert_eq!(
            "udp:[::1]:53".parse::<Address>().unwrap().to_string(),
            "[::1]:53"
        );
        let error = "x".parse::<Address>().unwrap_err();
        assert!(error.why().starts_with("write ./x for a path"), "{error}");
        for wrong in [
            "",
            "x",
            "tcp:localhost:80",
            "tcp:1",
            "vsock:1",
            "vsock:a:b",
            "@\\x0",
            "@\\n",
            "unix:",
        ] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
        assert!(format!("@{}", "x".repeat(108)).parse::<Address>().is_err());
    }
}
