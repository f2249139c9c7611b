//! XDR, the external data representation: RFC 4506.
//!
//! Everything is a multiple of four bytes, big-endian, without tags: both sides know the type. A
//! [`Writer`] appends to a vector, a [`Reader`] takes from a slice and lends opaque data and
//! strings out of it without a copy. The compiler of `.x` files writes [`Encode`] and [`Decode`]
//! for the types of an interface; by hand they look the same.
//!
//! | RFC 4506 | here |
//! | --- | --- |
//! | `int`, `unsigned int`, `hyper`, `unsigned hyper`, `float`, `double` | `i32`, `u32`, `i64`, `u64`, `f32`, `f64`, bit for bit |
//! | `quadruple` | [`Quadruple`]: its 16 bytes, since Rust has no such number |
//! | `bool` | `bool`; a word other than 0 and 1 is an error |
//! | `string` | text in UTF-8, or bytes by [`Reader::string_bytes`]: the RFC says ASCII, and senders differ |
//! | padding | written as zero; what else was sent is an error unless [`Padding::Lenient`] |
//! | elements that take no bytes | fixed in number only: a counted array of them is refused both ways, as its count could not be held against the input |
//!
//! What was read is written back as the same bytes, and what was written is read back as the same
//! value. No input panics, recurses deeper than [`Limits::depth`], or makes a reader allocate more
//! than a fixed multiple of its own length.
//!
//! ```
//! use strait_wire::xdr::{self, Decode, Encode, Error, Reader, Writer};
//!
//! /// `struct Entry { string key<64>; opaque value<>; };`
//! #[derive(Debug, PartialEq)]
//! struct Entry<'a> {
//!     key: &'a str,
//!     value: &'a [u8],
//! }
//!
//! impl Encode for Entry<'_> {
//!     fn encode(&self, to: &mut Writer<'_>) -> Result<(), Error> {
//!         to.string(self.key, 64)?;
//!         to.opaque(self.value, u32::MAX)
//!     }
//! }
//!
//! impl<'a> Decode<'a> for Entry<'a> {
//!     fn decode(from: &mut Reader<'a>) -> Result<Self, Error> {
//!         let key = from.string(64)?;
//!         let value = from.opaque(u32::MAX)?;
//!         Ok(Self { key, value })
//!     }
//! }
//!
//! let entry = Entry { key: "a", value: b"12345" };
//! let bytes = xdr::to_vec(&entry)?;
//! assert_eq!(bytes, b"\0\0\0\x01a\0\0\0\0\0\0\x0512345\0\0\0");
//! assert_eq!(xdr::from_slice::<Entry>(&bytes)?, entry);
//! # Ok::<(), Error>(())
//! ```

mod error;
mod reader;
#[cfg(test)]
mod tests;
mod value;
mod writer;

use alloc::vec::Vec;

pub use alloc::borrow::Cow;
pub use error::{Error, What};
pub use reader::Reader;
pub use value::{Number, Quadruple};
pub use writer::Writer;

/// Levels of nesting that are read and written unless [`Limits`] say otherwise.
pub const DEPTH_MAX: u32 = 200;

/// All XDR takes a multiple of this many bytes. RFC 4506 section 3.
pub const UNIT: usize = 4;

/// How much a [`Reader`] puts up with.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Levels of [`Reader::nested`] within one another.
    pub depth: u32,
    /// What padding may hold.
    pub padding: Padding,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: DEPTH_MAX,
            padding: Padding::Strict,
        }
    }
}

/// What the bytes may hold that fill a value up to a multiple of four.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub enum Padding {
    /// Zero, as RFC 4506 section 3 has it.
    #[default]
    Strict,
    /// Anything: some senders leave there what was in the buffer.
    Lenient,
}

/// A value that can be written.
pub trait Encode {
    /// Appends the value.
    ///
    /// # Errors
    ///
    /// Where the value breaks a bound of its type; the vector then ends in what was written so far.
    fn encode(&self, to: &mut Writer<'_>) -> Result<(), Error>;
}

/// A value that can be read, and may borrow from what it is read from.
pub trait Decode<'a>: Sized {
    /// Takes the value from the front of what is left.
    ///
    /// # Errors
    ///
    /// Where the bytes are not such a value.
    fn decode(from: &mut Reader<'a>) -> Result<Self, Error>;
}

/// A value that can be read, and keeps nothing of what it is read from.
pub trait DecodeOwned: for<'a> Decode<'a> {}

impl<T: for<'a> Decode<'a>> DecodeOwned for T {}

/// The bytes of one value.
///
/// # Errors
///
/// Those of [`Encode::encode`].
pub fn to_vec(value: &(impl Encode + ?Sized)) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    value.encode(&mut Writer::new(&mut bytes))?;
    Ok(bytes)
}

/// The one value that all of `bytes` are.
///
/// # Errors
///
/// Those of [`Decode::decode`], and [`What::Trailing`] if something follows.
pub fn from_slice<'a, T: Decode<'a>>(bytes: &'a [u8]) -> Result<T, Error> {
    let mut reader = Reader::new(bytes);
    let value = T::decode(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

/// The bytes that fill `len` up to a multiple of [`UNIT`].
pub(crate) const fn padding(len: usize) -> usize {
    len.wrapping_neg() % UNIT
}
