//! The NTSTATUS and Win32 codes of every error, so that an interface with the Win32 names can be
//! laid over this library without a second implementation.
//!
//! Source: [MS-ERREF] 2.2 and 2.3; RtlNtStatusToDosError as observed.

use std::fmt;

use crate::error::{Error, ErrorKind};

/// An NTSTATUS.
#[derive(Copy, Clone, Eq, Hash, PartialEq)]
pub struct NtStatus(pub u32);

macro_rules! statuses {
    ($($name:ident = $value:literal => $win32:literal,)*) => {
        impl NtStatus {
            $(#[doc = concat!("STATUS_", stringify!($name), ", Win32 ", stringify!($win32), ".")]
            pub const $name: Self = Self($value);)*

            /// Every status known here, with its Win32 code.
            pub const TABLE: &[(Self, &'static str, u32)] =
                &[$((Self::$name, stringify!($name), $win32),)*];
        }
    };
}

statuses! {
    SUCCESS = 0 => 0,
    PENDING = 0x0000_0103 => 997,
    OBJECT_NAME_EXISTS = 0x4000_0000 => 183,
    BUFFER_OVERFLOW = 0x8000_0005 => 234,
    UNSUCCESSFUL = 0xC000_0001 => 31,
    INVALID_HANDLE = 0xC000_0008 => 6,
    INVALID_PARAMETER = 0xC000_000D => 87,
    NO_MEMORY = 0xC000_0017 => 8,
    INVALID_VIEW_SIZE = 0xC000_001F => 5,
    ACCESS_DENIED = 0xC000_0022 => 5,
    BUFFER_TOO_SMALL = 0xC000_0023 => 122,
    OBJECT_TYPE_MISMATCH = 0xC000_0024 => 6,
    OBJECT_NAME_INVALID = 0xC000_0033 => 123,
    OBJECT_NAME_NOT_FOUND = 0xC000_0034 => 2,
    OBJECT_NAME_COLLISION = 0xC000_0035 => 183,
    OBJECT_PATH_NOT_FOUND = 0xC000_003A => 3,
    PORT_MESSAGE_TOO_LONG = 0xC000_002F => 317,
    PORT_DISCONNECTED = 0xC000_0037 => 6,
    PORT_CONNECTION_REFUSED = 0xC000_0041 => 5,
    INVALID_PORT_HANDLE = 0xC000_0042 => 6,
    MUTANT_NOT_OWNED = 0xC000_0046 => 288,
    SEMAPHORE_LIMIT_EXCEEDED = 0xC000_0047 => 298,
    PRIVILEGE_NOT_HELD = 0xC000_0061 => 1314,
    DELETE_PENDING = 0xC000_0056 => 5,
    BAD_IMPERSONATION_LEVEL = 0xC000_00A5 => 1346,
    INSTANCE_NOT_AVAILABLE = 0xC000_00AB => 231,
    PIPE_NOT_AVAILABLE = 0xC000_00AC => 231,
    INVALID_PIPE_STATE = 0xC000_00AD => 230,
    PIPE_BUSY = 0xC000_00AE => 231,
    ILLEGAL_FUNCTION = 0xC000_00AF => 1,
    PIPE_CLOSING = 0xC000_00B1 => 232,
    PIPE_CONNECTED = 0xC000_00B2 => 535,
    PIPE_LISTENING = 0xC000_00B3 => 536,
    INVALID_READ_MODE = 0xC000_00B4 => 230,
    PIPE_EMPTY = 0xC000_00D9 => 232,
    CANNOT_IMPERSONATE = 0xC000_010D => 1368,
    CANCELLED = 0xC000_0120 => 995,
    PIPE_BROKEN = 0xC000_014B => 109,
    NOT_FOUND = 0xC000_0225 => 1168,
    INSUFFICIENT_RESOURCES = 0xC000_009A => 1450,
    NOT_SUPPORTED = 0xC000_00BB => 50,
    PIPE_DISCONNECTED = 0xC000_00B0 => 233,
    IO_TIMEOUT = 0xC000_00B5 => 121,
    MUTANT_LIMIT_EXCEEDED = 0xC000_0191 => 587,
    FILE_CORRUPT_ERROR = 0xC000_0102 => 1392,
    SHARING_VIOLATION = 0xC000_0043 => 32,
    REPLY_MESSAGE_MISMATCH = 0xC000_021F => 317,
    MAPPED_ALIGNMENT = 0xC000_0220 => 1132,
    LPC_REPLY_LOST = 0xC000_0253 => 1359,
    SERVER_SID_MISMATCH = 0xC000_02A0 => 317,
}

impl NtStatus {
    /// The Win32 code; 317 (ERROR_MR_MID_NOT_FOUND) for one that is not in the table, as NT does.
    #[must_use]
    pub fn win32(self) -> u32 {
        Self::TABLE
            .iter()
            .find(|(known, ..)| *known == self)
            .map_or(317, |(.., win32)| *win32)
    }
}

impl fmt::Debug for NtStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::TABLE.iter().find(|(known, ..)| known == self) {
            Some((_, name, _)) => write!(f, "STATUS_{name}"),
            None => write!(f, "NtStatus({:#010x})", self.0),
        }
    }
}

impl Error {
    /// The NTSTATUS that NT would give.
    #[must_use]
    pub fn nt_status(&self) -> NtStatus {
        if let Some(status) = self.status() {
            return NtStatus(status);
        }
        match self.kind() {
            ErrorKind::NotFound => NtStatus::OBJECT_NAME_NOT_FOUND,
            ErrorKind::Exists => NtStatus::OBJECT_NAME_COLLISION,
            ErrorKind::WrongKind => NtStatus::OBJECT_TYPE_MISMATCH,
            ErrorKind::Denied => NtStatus::ACCESS_DENIED,
            ErrorKind::InvalidName => NtStatus::OBJECT_NAME_INVALID,
            ErrorKind::PathNotFound => NtStatus::OBJECT_PATH_NOT_FOUND,
            ErrorKind::InvalidInput => NtStatus::INVALID_PARAMETER,
            ErrorKind::LimitExceeded if self.operation() == "acquire mutant" => {
                NtStatus::MUTANT_LIMIT_EXCEEDED
            }
            ErrorKind::LimitExceeded => NtStatus::SEMAPHORE_LIMIT_EXCEEDED,
            ErrorKind::NotOwner => NtStatus::MUTANT_NOT_OWNED,
            ErrorKind::Busy => NtStatus::SHARING_VIOLATION,
            ErrorKind::Broken | ErrorKind::Layout => NtStatus::FILE_CORRUPT_ERROR,
            ErrorKind::Exhausted => NtStatus::INSUFFICIENT_RESOURCES,
            ErrorKind::Unsupported => NtStatus::NOT_SUPPORTED,
            ErrorKind::PeerGone => NtStatus::PIPE_DISCONNECTED,
            ErrorKind::Refused => NtStatus::PORT_CONNECTION_REFUSED,
            ErrorKind::TimedOut => NtStatus::IO_TIMEOUT,
            ErrorKind::Removed => NtStatus::DELETE_PENDING,
            ErrorKind::WrongState => NtStatus::INVALID_PIPE_STATE,
            ErrorKind::Cancelled => NtStatus::CANCELLED,
            ErrorKind::TooLong => NtStatus::BUFFER_TOO_SMALL,
            ErrorKind::Kernel => NtStatus::UNSUCCESSFUL,
        }
    }

    /// The code that GetLastError would give.
    #[must_use]
    pub fn win32(&self) -> u32 {
        self.nt_status().win32()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_ms_erref() {
        let code = |kind| Error::new(kind, "x", "y").win32();
        assert_eq!(code(ErrorKind::NotFound), 2);
        assert_eq!(code(ErrorKind::Exists), 183);
        assert_eq!(code(ErrorKind::WrongKind), 6);
        assert_eq!(code(ErrorKind::Denied), 5);
        assert_eq!(code(ErrorKind::PathNotFound), 3);
        assert_eq!(code(ErrorKind::InvalidInput), 87);
        assert_eq!(code(ErrorKind::LimitExceeded), 298);
        assert_eq!(code(ErrorKind::NotOwner), 288);
        assert_eq!(NtStatus(0xdead_beef).win32(), 317);
    }
}
