//! The types of Rust that are types of XDR.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{Decode, Encode, Error, Reader, Writer, reader};

/// `quadruple`: a floating-point number of 128 bits, as its bytes, most significant first.
#[derive(Copy, Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Quadruple(pub [u8; 16]);

/// A number of fixed size; arrays of them are read and written in one pass.
pub trait Number: Copy + sealed::Sealed {
    /// Bytes that it takes.
    const LEN: usize;

    #[doc(hidden)]
    fn take(from: &mut Reader<'_>) -> Result<Self, Error>;
    #[doc(hidden)]
    fn all(bytes: &[u8]) -> Vec<Self>;
    #[doc(hidden)]
    fn put(self, to: &mut Vec<u8>);
    #[doc(hidden)]
    fn put_all(numbers: &[Self], to: &mut Vec<u8>);
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! numbers {
    ($($number:ty: $from:expr, $to:expr;)*) => {$(
        impl sealed::Sealed for $number {}

        impl Number for $number {
            const LEN: usize = size_of::<$number>();

            #[inline]
            fn take(from: &mut Reader<'_>) -> Result<Self, Error> {
                reader::take(from).map(|bytes| $from(*bytes))
            }

            #[inline]
            fn all(bytes: &[u8]) -> Vec<Self> {
                let (chunks, _) = bytes.as_chunks();
                chunks.iter().map(|chunk| $from(*chunk)).collect()
            }

            #[inline]
            fn put(self, to: &mut Vec<u8>) {
                to.extend_from_slice(&$to(self));
            }

            #[inline]
            fn put_all(numbers: &[Self], to: &mut Vec<u8>) {
                // Room first, then a loop over chunks that exist: it needs no check of its own.
                let start = to.len();
                to.resize(start + numbers.len() * Self::LEN, 0);
                let (chunks, _) = to[start..].as_chunks_mut();
                for (chunk, number) in chunks.iter_mut().zip(numbers) {
                    *chunk = $to(*number);
                }
            }
        }

        impl Encode for $number {
            #[inline]
            fn encode(&self, to: &mut Writer<'_>) -> Result<(), Error> {
                to.number(*self);
                Ok(())
            }
        }

        impl<'a> Decode<'a> for $number {
            #[inline]
            fn decode(from: &mut Reader<'a>) -> Result<Self, Error> {
                from.number()
            }
        }
    )*};
}

numbers! {
    i32: Self::from_be_bytes, Self::to_be_bytes;
    u32: Self::from_be_bytes, Self::to_be_bytes;
    i64: Self::from_be_bytes, Self::to_be_bytes;
    u64: Self::from_be_bytes, Self::to_be_bytes;
    f32: Self::from_be_bytes, Self::to_be_bytes;
    f64: Self::from_be_bytes, Self::to_be_bytes;
    Quadruple: Self, |quadruple: Self| quadruple.0;
}

/// `void`.
impl Encode for () {
    #[inline]
    fn encode(&self, _: &mut Writer<'_>) -> Result<(), Error> {
        Ok(())
    }
}

/// `void`.
impl<'a> Decode<'a> for () {
    #[inline]
    fn decode(_: &mut Reader<'a>) -> Result<Self, Error> {
        Ok(())
    }
}

impl Encode for bool {
    #[inline]
    fn encode(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        to.boolean(*self);
        Ok(())
    }
}

impl<'a> Decode<'a> for bool {
    #[inline]
    fn decode(from: &mut Reader<'a>) -> Result<Self, Error> {
        from.boolean()
    }
}

impl<T: Encode + ?Sized> Encode for &T {
    #[inline]
    fn encode(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        (**self).encode(to)
    }
}

impl<T: Encode + ?Sized> Encode for Box<T> {
    #[inline]
    fn encode(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        (**self).encode(to)
    }
}

impl<'a, T: Decode<'a>> Decode<'a> for Box<T> {
    #[inline]
    fn decode(from: &mut Reader<'a>) -> Result<Self, Error> {
        T::decode(from).map(Self::new)
    }
}

/// Optional data, `T *x`.
impl<T: Encode> Encode for Option<T> {
    #[inline]
    fn encode(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        to.optional(self.as_ref(), |to, value| value.encode(to))
    }
}

/// Optional data, `T *x`.
impl<'a, T: Decode<'a>> Decode<'a> for Option<T> {
    #[inline]
    fn decode(from: &mut Reader<'a>) -> Result<Self, Error> {
        from.optional(T::decode)
    }
}
