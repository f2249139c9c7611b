//! Messages, the buffers they are received into, and which of them a receiver wants.

use std::fmt;

use strait_sys::sysv_msg::{Flags, TYPE_LEN};
use zerocopy::FromBytes;

use crate::error::{Error, ErrorKind, Result};

/// Which message a receiver wants. Every type is 1 or more: what is not is refused before the
/// kernel is asked, which would give it another meaning.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Select {
    /// The oldest.
    Any,
    /// The oldest of this type.
    Type(i64),
    /// The oldest of the lowest type there is, up to this one.
    Lowest(i64),
    /// The oldest of any other type (`MSG_EXCEPT`; Linux only).
    Except(i64),
}

impl Select {
    /// What `msgrcv(2)` means by this `msgtyp`: 0 any, above 0 that type, below 0 the lowest up to
    /// its absolute value.
    #[must_use]
    pub const fn from_msgtyp(number: i64) -> Self {
        match number {
            0 => Self::Any,
            // The kernel takes the one number without a counterpart for the highest type.
            i64::MIN => Self::Lowest(i64::MAX),
            number if number < 0 => Self::Lowest(-number),
            _ => Self::Type(number),
        }
    }

    /// As the kernel takes it; the type itself if it is none.
    #[inline]
    pub(super) const fn raw(self) -> std::result::Result<(i64, Flags), i64> {
        match self {
            Self::Any => Ok((0, Flags::NONE)),
            Self::Type(kind) if kind > 0 => Ok((kind, Flags::NONE)),
            Self::Lowest(kind) if kind > 0 => Ok((-kind, Flags::NONE)),
            Self::Except(kind) if kind > 0 => Ok((kind, Flags::EXCEPT)),
            Self::Type(kind) | Self::Lowest(kind) | Self::Except(kind) => Err(kind),
        }
    }
}

impl fmt::Display for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any type"),
            Self::Type(kind) => write!(f, "type {kind}"),
            Self::Lowest(kind) => write!(f, "the lowest type up to {kind}"),
            Self::Except(kind) => write!(f, "any type but {kind}"),
        }
    }
}

/// A message that was received, or looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Message {
    /// Its type: 1 or more.
    #[doc(alias = "mtype")]
    pub kind: i64,
    /// Its text, which may be empty.
    #[doc(alias = "mtext")]
    pub bytes: Vec<u8>,
}

impl Message {
    /// Its text as a value of plain data. The message stays with the caller if that cannot be.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the text is not exactly as long as a `T`: the sender means
    /// something else by it.
    pub fn value<T: FromBytes>(&self) -> Result<T> {
        value(self.kind, &self.bytes)
    }
}

/// Room for one message at a time, used again and again: receiving into it allocates nothing.
#[derive(Clone)]
pub struct Buffer {
    /// Type and text as the kernel writes them, and room after the text.
    bytes: Box<[u8]>,
    len: usize,
    cuts: bool,
}

impl Buffer {
    /// Room for texts of up to `len_max` bytes.
    #[must_use]
    pub fn new(len_max: usize) -> Self {
        Self {
            bytes: vec![0; TYPE_LEN + len_max].into(),
            len: 0,
            cuts: false,
        }
    }

    /// Longer texts are cut off at its length, and their rest is lost (`MSG_NOERROR`). The kernel
    /// does not say so: a text as long as the buffer may have been cut. Without this, a longer
    /// message stays in the queue.
    #[must_use]
    pub fn cutting(mut self) -> Self {
        self.cuts = true;
        self
    }

    /// The longest text it takes, in bytes.
    #[must_use]
    pub fn len_max(&self) -> usize {
        self.bytes.len() - TYPE_LEN
    }

    /// The type of the message in it; 0 while there is none.
    #[must_use]
    pub fn kind(&self) -> i64 {
        let kind = self.bytes.first_chunk();
        kind.map_or(0, |bytes| i64::from_ne_bytes(*bytes))
    }

    /// The text of the message in it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[TYPE_LEN..][..self.len]
    }

    /// The text as a value of plain data.
    ///
    /// # Errors
    /// As [`Message::value`].
    pub fn value<T: FromBytes>(&self) -> Result<T> {
        value(self.kind(), self.bytes())
    }

    #[inline]
    pub(super) fn room(&mut self) -> (&mut [u8], Flags) {
        let flags = if self.cuts {
            Flags::NOERROR
        } else {
            Flags::NONE
        };
        (&mut self.bytes, flags)
    }

    /// What it holds now is a message without text.
    pub(super) fn empty(&mut self, kind: i64) {
        self.bytes[..TYPE_LEN].copy_from_slice(&kind.to_ne_bytes());
        self.len = 0;
    }

    #[inline]
    pub(super) fn filled(&mut self, len: usize) {
        self.len = len.min(self.len_max());
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("kind", &self.kind())
            .field("len", &self.len)
            .field("len_max", &self.len_max())
            .finish_non_exhaustive()
    }
}

fn value<T: FromBytes>(kind: i64, bytes: &[u8]) -> Result<T> {
    T::read_from_bytes(bytes).map_err(|_| {
        let subject = format!("message of type {kind}");
        let why = format!(
            "{} bytes of text, and a {} has {}",
            bytes.len(),
            std::any::type_name::<T>(),
            size_of::<T>()
        );
        Error::new(ErrorKind::InvalidInput, "read value of", subject).because(why)
    })
}
