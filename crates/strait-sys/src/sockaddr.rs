//! Socket addresses as the kernel reads and writes them: paths, abstract names, internet, vsock.
//!
//! What rustix decodes is left to rustix; added are vsock, which it lacks, and a reading of Unix
//! addresses that believes no peer: a path of 108 bytes has no NUL, and an abstract name holds any
//! bytes. `unix(7)` under "Address format", `ip(7)`, `vsock(7)`.

use std::net::SocketAddr;

use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix};

use crate::{Errno, Result};

/// The longest path or abstract name in an address, in bytes: a NUL takes the last of 108.
pub const UNIX_MAX: usize = 107;

/// `VMADDR_CID_ANY`: any of this machine's context ids.
pub const VSOCK_CID_ANY: u32 = u32::MAX;
/// `VMADDR_CID_LOCAL`: this machine by itself; takes the module `vsock_loopback`.
pub const VSOCK_CID_LOCAL: u32 = 1;
/// `VMADDR_PORT_ANY`: a port of the kernel's choice.
pub const VSOCK_PORT_ANY: u32 = u32::MAX;

/// What an address says.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Name<'a> {
    /// A Unix socket without a name.
    Unnamed,
    /// A Unix socket in the file system.
    Path(&'a [u8]),
    /// A Unix socket with a name of any bytes, the first NUL not counted.
    Abstract(&'a [u8]),
    /// IPv4 or IPv6.
    Inet(SocketAddr),
    /// A port of a virtual machine or its host.
    Vsock {
        /// Which machine.
        cid: u32,
        /// Which of its ports.
        port: u32,
    },
    /// Another family, by its number.
    Other(u16),
}

impl Name<'_> {
    /// The form the kernel takes.
    ///
    /// # Errors
    ///
    /// `ENAMETOOLONG`: above [`UNIX_MAX`]. `EINVAL`: an empty path, a NUL in it, or
    /// [`Name::Other`].
    pub fn encode(self) -> Result<SocketAddrAny> {
        match self {
            Name::Unnamed => Ok(SocketAddrUnix::new_unnamed().into()),
            Name::Path([]) => Err(Errno::INVAL),
            Name::Path(path) if path.len() > UNIX_MAX => Err(Errno::NAMETOOLONG),
            Name::Path(path) => Ok(SocketAddrUnix::new(path)?.into()),
            Name::Abstract(name) => Ok(SocketAddrUnix::new_abstract_name(name)?.into()),
            Name::Inet(address) => Ok(address.into()),
            Name::Vsock { cid, port } => Ok(Vm { cid, port }.as_any()),
            Name::Other(_) => Err(Errno::INVAL),
        }
    }
}

/// An address as bytes, in the kernel's form.
#[must_use]
pub fn bytes(address: &SocketAddrAny) -> &[u8] {
    // SAFETY: the type promises that so many bytes from there are initialised.
    unsafe {
        core::slice::from_raw_parts(address.as_ptr().cast::<u8>(), address.addr_len() as usize)
    }
}

/// Reads an address that came from the kernel.
#[must_use]
pub fn decode(address: &SocketAddrAny) -> Name<'_> {
    let family = address.address_family();
    let bytes = bytes(address);
    let rest = bytes.get(2..).unwrap_or(&[]);
    match family {
        AddressFamily::UNIX => match rest {
            [] => Name::Unnamed,
            [0, name @ ..] => Name::Abstract(name),
            path => Name::Path(path.split(|byte| *byte == 0).next().unwrap_or(path)),
        },
        // Of a shorter one rustix makes a panic.
        AddressFamily::INET if bytes.len() < size_of::<libc::sockaddr_in>() => {
            Name::Other(family.as_raw())
        }
        AddressFamily::INET6 if bytes.len() < size_of::<libc::sockaddr_in6>() => {
            Name::Other(family.as_raw())
        }
        AddressFamily::INET | AddressFamily::INET6 => {
            SocketAddr::try_from(address.clone()).map_or(Name::Other(family.as_raw()), Name::Inet)
        }
        AddressFamily::VSOCK => {
            // struct sockaddr_vm: family, two reserved bytes, port, cid.
            let word = |at: usize| {
                rest.get(at..at + 4)?
                    .try_into()
                    .ok()
                    .map(u32::from_ne_bytes)
            };
            match (word(6), word(2)) {
                (Some(cid), Some(port)) => Name::Vsock { cid, port },
                _ => Name::Other(family.as_raw()),
            }
        }
        other => Name::Other(other.as_raw()),
    }
}

/// An address of these bytes, of which at most 128 count; those that are missing are 0.
#[must_use]
pub fn of_bytes(bytes: &[u8]) -> SocketAddrAny {
    use core::mem::MaybeUninit;
    use rustix::net::addr::SocketAddrStorage;

    let mut room = MaybeUninit::<SocketAddrStorage>::zeroed();
    let bytes = &bytes[..bytes.len().min(size_of::<SocketAddrStorage>())];
    // SAFETY: so many bytes fit there.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), room.as_mut_ptr().cast(), bytes.len()) }
    // Of less than a family rustix makes a panic.
    let len = SocketAddrLen::try_from(bytes.len()).map_or(2, |len| len.max(2));
    // SAFETY: all bytes are initialised, and any content is an address of its family.
    unsafe { SocketAddrAny::new(room, len) }
}

/// An address of `AF_VSOCK`.
struct Vm {
    cid: u32,
    port: u32,
}

// SAFETY: the closure gets a whole `sockaddr_vm` that lives through the call.
unsafe impl SocketAddrArg for Vm {
    unsafe fn with_sockaddr<R>(
        &self,
        f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R,
    ) -> R {
        let raw = libc::sockaddr_vm {
            svm_family: AddressFamily::VSOCK.as_raw(),
            svm_reserved1: 0,
            svm_port: self.port,
            svm_cid: self.cid,
            svm_zero: [0; 4],
        };
        let len = SocketAddrLen::try_from(size_of_val(&raw)).expect("16 bytes");
        f((&raw const raw).cast(), len)
    }
}

#[cfg(test)]
mod tests {
    //! There and back.

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_comes_is_read(
            family in prop_oneof![Just(1_u16), Just(2), Just(10), Just(40), any::<u16>()],
            rest in proptest::collection::vec(prop_oneof![Just(0), any::<u8>()], 0..=126),
        ) {
            let bytes = [&family.to_ne_bytes()[..], &rest].concat();
            match decode(&of_bytes(&bytes)) {
                Name::Unnamed => prop_assert_eq!((family, rest.len()), (1, 0)),
                Name::Path(path) => {
                    prop_assert!(family == 1 && rest.starts_with(path) && !path.contains(&0));
                }
                Name::Abstract(name) => prop_assert_eq!((family, name), (1, &rest[1..])),
                Name::Inet(address) => {
                    prop_assert_eq!(family, if address.is_ipv4() { 2 } else { 10 });
                    prop_assert_eq!(address.port().to_be_bytes(), [rest[0], rest[1]]);
                }
                Name::Vsock { port, .. } => {
                    prop_assert_eq!((family, &port.to_ne_bytes()[..]), (40, &rest[2..6]));
                }
                Name::Other(other) => prop_assert_eq!(other, family),
            }
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let longest = [b'x'; UNIX_MAX];
        for name in [
            Name::Unnamed,
            Name::Path(b"/run/x"),
            Name::Path(&longest),
            Name::Abstract(b""),
            Name::Abstract(b"a\0b\0"),
            Name::Abstract(&longest),
            Name::Inet("127.0.0.1:80".parse().unwrap()),
            Name::Inet("[fe80::1%3]:80".parse().unwrap()),
            Name::Vsock { cid: 3, port: 1024 },
        ] {
            assert_eq!(decode(&name.encode().unwrap()), name);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let long = [b'x'; UNIX_MAX + 1];
        assert_eq!(Name::Path(&long).encode().err(), Some(Errno::NAMETOOLONG));
        assert!(Name::Abstract(&long).encode().is_err());
        assert_eq!(Name::Path(b"").encode().err(), Some(Errno::INVAL));
        assert_eq!(Name::Path(b"a\0b").encode().err(), Some(Errno::INVAL));
        assert_eq!(Name::Other(9).encode().err(), Some(Errno::INVAL));
    }
}
