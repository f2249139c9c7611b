//! Names of pipes, and what is said before a connection begins.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::nt::pipe::QUOTA_MAX;
use crate::object::Namespace;
use crate::object::space::name::Name;
use crate::object::space::socket::{Calling, Place};

/// The role of a pipe's channels.
pub(super) const ROLE: u32 = 0x4550_4950;

/// A pipe's name, checked.
#[derive(Clone, Debug)]
pub(super) struct PipeName {
    pub(super) space: Namespace,
    pub(super) name: Name,
    /// As it was written.
    pub(super) shown: Arc<str>,
}

const PREFIX: &str = r"\\.\pipe\";

impl PipeName {
    pub(super) fn parse(text: &str, space: Option<&Namespace>, verb: &'static str) -> Result<Self> {
        let invalid = |why: &str| Err(Error::new(ErrorKind::InvalidName, verb, text).because(why));
        let head = text.get(..PREFIX.len());
        if !head.is_some_and(|head| head.eq_ignore_ascii_case(PREFIX)) {
            let host = text
                .strip_prefix(r"\\")
                .and_then(|rest| rest.split_once('\\'));
            let is_remote = host.is_some_and(|(host, rest)| {
                !matches!(host, "." | "?" | "") && rest.to_ascii_lowercase().starts_with(r"pipe\")
            });
            if is_remote {
                return Err(Error::new(ErrorKind::Unsupported, verb, text)
                    .because(r"pipes of other machines are not reached: use \\.\pipe\"));
            }
            return invalid(r"the name of a pipe begins with \\.\pipe\");
        }
        let name = &text[PREFIX.len()..];
        if name.is_empty() {
            return invalid(r"there is nothing after \\.\pipe\");
        }
        Ok(Self {
            space: space.cloned().map_or_else(Namespace::local, Ok)?,
            name: Name::of_pipe(name.as_bytes()).map_err(|error| error.during(verb, text))?,
            shown: text.into(),
        })
    }

    pub(super) fn place(&self) -> Place<'_> {
        Place {
            space: &self.space,
            calling: Calling::Pipe,
            name: &self.name,
        }
    }
}

/// Which way a pipe carries data, seen from the server; the same for what a handle asks for.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub enum Access {
    /// Both ways.
    #[default]
    Duplex,
    /// From the client to the server.
    Inbound,
    /// From the server to the client.
    Outbound,
}

impl Access {
    pub(super) fn server_reads(self) -> bool {
        self != Self::Outbound
    }

    pub(super) fn server_writes(self) -> bool {
        self != Self::Inbound
    }

    fn encode(self) -> u8 {
        u8::from(self.server_reads()) | u8::from(self.server_writes()) << 1
    }

    fn decode(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Inbound),
            2 => Some(Self::Outbound),
            3 => Some(Self::Duplex),
            _ => None,
        }
    }
}

/// Bytes of the ring for a quota: small messages take more of it than they have bytes.
pub(super) fn capacity(quota: u64) -> usize {
    let bytes = quota.clamp(8 << 10, QUOTA_MAX) * 4;
    usize::try_from(bytes.next_power_of_two()).unwrap_or(usize::MAX)
}

/// What a client asks for. It goes with the channel's hello.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) struct Asked {
    /// What the client does, in the server's terms.
    pub(super) access: Access,
    /// The server may act as the client.
    pub(super) impersonation: bool,
    /// Bytes of the ring that the client brings.
    pub(super) capacity: u64,
}

const VERSION: u8 = 1;

impl Asked {
    pub(super) fn encode(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[0] = VERSION;
        bytes[1] = self.access.encode();
        bytes[2] = self.impersonation.into();
        bytes[8..].copy_from_slice(&self.capacity.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 16] = bytes.try_into().ok()?;
        let (head, capacity) = bytes.split_first_chunk::<8>()?;
        let [VERSION, access, impersonation @ (0 | 1), 0, 0, 0, 0, 0] = *head else {
            return None;
        };
        Some(Self {
            access: Access::decode(access)?,
            impersonation: impersonation == 1,
            capacity: u64::from_le_bytes(capacity.try_into().ok()?),
        })
    }
}

/// What a pipe is. It goes with the channel's welcome.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) struct Nature {
    pub(super) message: bool,
    pub(super) access: Access,
    /// Instances there may be; 255 for any number.
    pub(super) max: u8,
    /// Bytes that may lie unread on the way to the server, and to the client.
    pub(super) quota_in: u64,
    pub(super) quota_out: u64,
}

impl Nature {
    pub(super) fn encode(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..4].copy_from_slice(&[VERSION, self.message.into(), self.access.encode(), self.max]);
        bytes[8..16].copy_from_slice(&self.quota_in.to_le_bytes());
        bytes[16..].copy_from_slice(&self.quota_out.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 24] = bytes.try_into().ok()?;
        let (head, quotas) = bytes.split_first_chunk::<8>()?;
        let [VERSION, message @ (0 | 1), access, max, 0, 0, 0, 0] = *head else {
            return None;
        };
        let (quota_in, quota_out) = quotas.split_at(8);
        let nature = Self {
            message: message == 1,
            access: Access::decode(access)?,
            max,
            quota_in: u64::from_le_bytes(quota_in.try_into().ok()?),
            quota_out: u64::from_le_bytes(quota_out.try_into().ok()?),
        };
        let fits = nature.quota_in <= QUOTA_MAX && nature.quota_out <= QUOTA_MAX;
        (fits && max != 0).then_some(nature)
    }
}

/// A refusal that asks for another hello, with a ring of two to that many bytes.
pub(super) const GROW: u32 = 0xE000_5000;

pub(super) fn grow(capacity: u64) -> u32 {
    GROW | capacity.trailing_zeros()
}

/// The ring that a refusal asks for, if it does and that is not more than any pipe needs.
pub(super) fn asked_to_grow(code: u32) -> Option<usize> {
    let bytes = 1usize.checked_shl(code & 0xff)?;
    (code & !0xff == GROW && bytes <= capacity(QUOTA_MAX)).then_some(bytes)
}

/// What somebody says who waits for an instance to listen.
pub(super) const WAIT: &[u8; 8] = b"STRAITPW";
/// The question whether one listens, and how long a wait is right if not.
pub(super) const WAIT_DEFAULT: &[u8; 8] = b"STRAITPD";

/// What he hears.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Heard {
    /// An instance listens.
    Listens,
    /// None does; the server thinks so long a wait right.
    WaitFor(Duration),
}

impl Heard {
    pub(super) fn encode(self) -> [u8; 8] {
        let millis = match self {
            Self::Listens => u64::MAX,
            Self::WaitFor(time) => u64::try_from(time.as_millis()).unwrap_or(u64::MAX - 1),
        };
        millis.to_le_bytes()
    }

    pub(super) fn decode(bytes: [u8; 8]) -> Self {
        match u64::from_le_bytes(bytes) {
            u64::MAX => Self::Listens,
            millis => Self::WaitFor(Duration::from_millis(millis)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_said_is_understood() {
        let asked = Asked {
            access: Access::Inbound,
            impersonation: true,
            capacity: 1 << 15,
        };
        assert_eq!(Asked::decode(&asked.encode()), Some(asked));
        let nature = Nature {
            message: true,
            access: Access::Outbound,
            max: 7,
            quota_in: 1,
            quota_out: QUOTA_MAX,
        };
        assert_eq!(Nature::decode(&nature.encode()), Some(nature));
        for heard in [Heard::Listens, Heard::WaitFor(Duration::from_millis(50))] {
            assert_eq!(Heard::decode(heard.encode()), heard);
        }
        assert_eq!(asked_to_grow(grow(1 << 20)), Some(1 << 20));
        assert_eq!(asked_to_grow(grow(1 << 40)), None);
        assert_eq!(asked_to_grow(0xC000_00AE), None);
    }

    proptest! {
        #[test]
        fn what_is_understood_is_what_was_said(bytes in prop::collection::vec(any::<u8>(), 0..32)) {
            if let Some(asked) = Asked::decode(&bytes) {
                prop_assert_eq!(&asked.encode()[..], &bytes[..]);
            }
            if let Some(nature) = Nature::decode(&bytes) {
                prop_assert_eq!(&nature.encode()[..], &bytes[..]);
            }
        }
    }
}
