//! Reading: a cursor over a slice.

use alloc::vec::Vec;
use core::str;

use super::{Error, Limits, Number, Padding, Quadruple, UNIT, What, padding};

/// Takes values from the front of a slice.
///
/// After an error the position is unspecified: the rest cannot be read in any sensible way.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Length of the whole input.
    len: usize,
    limits: Limits,
    /// Levels that may still be entered.
    depth: u32,
}

impl<'a> Reader<'a> {
    /// Reads `input` within the default [`Limits`].
    #[must_use]
    pub fn new(input: &'a [u8]) -> Self {
        Self::with_limits(input, Limits::default())
    }

    /// Reads `input` within `limits`.
    #[must_use]
    pub const fn with_limits(input: &'a [u8], limits: Limits) -> Self {
        Self {
            rest: input,
            len: input.len(),
            limits,
            depth: limits.depth,
        }
    }

    /// Bytes not yet read.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The bytes not yet read, all of them; they stay unread.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Bytes already read.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.len - self.rest.len()
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// [`What::Trailing`] if anything is left.
    pub fn finish(self) -> Result<(), Error> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(self.error(What::Trailing { left })),
        }
    }

    /// An error at the present position.
    #[must_use]
    pub const fn error(&self, what: What) -> Error {
        Error {
            at: self.position(),
            what,
        }
    }

    #[cold]
    fn short(&self, need: u64) -> Error {
        let left = self.remaining();
        self.error(What::Short { need, left })
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], Error> {
        let Some((taken, rest)) = self.rest.split_first_chunk() else {
            return Err(self.short(N as u64));
        };
        self.rest = rest;
        Ok(taken)
    }

    /// `len` bytes and their padding.
    #[inline]
    fn take_padded(&mut self, len: usize) -> Result<&'a [u8], Error> {
        // The sum is taken in 64 bits: near 4 GiB it does not fit a usize of 32.
        let need = (len as u64).saturating_add(padding(len) as u64);
        if need > self.rest.len() as u64 {
            return Err(self.short(need));
        }
        let (taken, rest) = self.rest.split_at(len);
        let (pad, rest) = rest.split_at(padding(len));
        if self.limits.padding == Padding::Strict
            && let Some(i) = pad.iter().position(|byte| *byte != 0)
        {
            let at = self.position() + len + i;
            let what = What::Padding;
            return Err(Error { at, what });
        }
        self.rest = rest;
        Ok(taken)
    }

    /// The count in front of what varies in length, held against `max`.
    #[inline]
    fn count(&mut self, max: u32) -> Result<u32, Error> {
        let at = self.position();
        let count = self.unsigned()?;
        if count > max {
            let len = count.into();
            let what = What::TooLong { len, max };
            return Err(Error { at, what });
        }
        Ok(count)
    }

    /// The number of elements of an array, held against `max` and against what is left, of which an
    /// element takes at least `element` bytes.
    #[inline]
    fn count_of(&mut self, max: u32, element: usize) -> Result<usize, Error> {
        let count = self.count(max)?;
        let need = u64::from(count) * element as u64;
        if need > self.rest.len() as u64 {
            return Err(self.short(need));
        }
        Ok(count as usize)
    }
}

/// One value. Each of these fails with [`What::Short`] where the input ends within the value.
impl<'a> Reader<'a> {
    /// `int`.
    ///
    /// # Errors
    ///
    /// [`What::Short`].
    #[inline]
    pub fn int(&mut self) -> Result<i32, Error> {
        self.number()
    }

    /// `unsigned int`.
    ///
    /// # Errors
    ///
    /// [`What::Short`].
    #[inline]
    pub fn unsigned(&mut self) -> Result<u32, Error> {
        self.number()
    }

    /// `hyper`.
    ///
    /// # Errors
    ///
    /// [`What::Short`].
    #[inline]
    pub fn hyper(&mut self) -> Result<i64, Error> {
        self.number()
    }

    /// `unsigned hyper`.
    ///
    /// # Errors
    ///
    /// [`What::Short`].
    #[inline]
    pub fn unsigned_hyper(&mut self) -> Result<u64, Error> {
        self.number()
    }

    /// `float`.
    ///
    /// # Errors
    ///
    /// [`What::Short`].
    #[inline]
    pub fn float(&mut self) -> Result<f32, Error> {
        self.number()
    }

    /// `double`.
    ///
    /// # Errors
    ///
    /// [`What::Short`].
    #[inline]
    pub fn double(&mut self) -> Result<f64, Error> {
        self.number()
    }

    /// `quadruple`.
    ///
    /// # Errors
    ///
    /// [`What::Short`].
    #[inline]
    pub fn quadruple(&mut self) -> Result<Quadruple, Error> {
        self.number()
    }

    /// A number of any of these types.
    ///
    /// # Errors
    ///
    /// [`What::Short`].
    #[inline]
    pub fn number<T: Number>(&mut self) -> Result<T, Error> {
        T::take(self)
    }

    /// `bool`.
    ///
    /// # Errors
    ///
    /// [`What::Bool`] for a word other than 0 and 1, [`What::Short`].
    #[inline]
    pub fn boolean(&mut self) -> Result<bool, Error> {
        let at = self.position();
        match self.unsigned()? {
            0 => Ok(false),
            1 => Ok(true),
            word => Err(Error {
                at,
                what: What::Bool(word),
            }),
        }
    }

    /// `opaque x[len]`, lent from the input.
    ///
    /// # Errors
    ///
    /// [`What::Short`], [`What::Padding`].
    #[inline]
    pub fn opaque_fixed(&mut self, len: usize) -> Result<&'a [u8], Error> {
        self.take_padded(len)
    }

    /// `opaque x[N]`, copied.
    ///
    /// # Errors
    ///
    /// [`What::Short`], [`What::Padding`].
    #[inline]
    pub fn opaque_array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.take_padded(N)?);
        Ok(array)
    }

    /// `opaque x<max>`, lent from the input.
    ///
    /// # Errors
    ///
    /// [`What::TooLong`], [`What::Short`], [`What::Padding`].
    #[inline]
    pub fn opaque(&mut self, max: u32) -> Result<&'a [u8], Error> {
        let len = self.count(max)?;
        self.take_padded(len as usize)
    }

    /// `string x<max>`, lent from the input. The bound counts bytes.
    ///
    /// # Errors
    ///
    /// [`What::Utf8`], [`What::TooLong`], [`What::Short`], [`What::Padding`].
    #[inline]
    pub fn string(&mut self, max: u32) -> Result<&'a str, Error> {
        let at = self.position() + UNIT;
        let bytes = self.opaque(max)?;
        str::from_utf8(bytes).map_err(|error| Error {
            at: at + error.valid_up_to(),
            what: What::Utf8,
        })
    }

    /// `string x<max>` in whatever encoding it was sent, lent from the input.
    ///
    /// # Errors
    ///
    /// [`What::TooLong`], [`What::Short`], [`What::Padding`].
    #[inline]
    pub fn string_bytes(&mut self, max: u32) -> Result<&'a [u8], Error> {
        self.opaque(max)
    }
}

/// Values of values.
impl<'a> Reader<'a> {
    /// `T x<max>`. Memory is taken for what was read, not for what the count claims.
    ///
    /// # Errors
    ///
    /// Those of `element`; [`What::TooLong`]; [`What::Short`] also where the rest cannot hold that
    /// many elements of four bytes; [`What::Hollow`] if they take fewer than that.
    pub fn array<T>(
        &mut self,
        max: u32,
        mut element: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let count = self.count_of(max, UNIT)?;
        // An element may take far more memory than bytes of the input: no more at first than those.
        let fit = self.rest.len() / size_of::<T>().max(1);
        let mut elements = Vec::with_capacity(count.min(fit));
        let before = self.remaining();
        for _ in 0..count {
            elements.push(element(self)?);
        }
        if (before - self.remaining()) / UNIT < count {
            return Err(self.error(What::Hollow));
        }
        Ok(elements)
    }

    /// `T x[N]`.
    ///
    /// # Errors
    ///
    /// Those of `element`.
    #[expect(clippy::missing_panics_doc, reason = "each slot has been filled")]
    pub fn array_fixed<T, const N: usize>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<[T; N], Error> {
        let mut slots = [const { None }; N];
        for slot in &mut slots {
            *slot = Some(element(self)?);
        }
        Ok(slots.map(|slot| slot.expect("each slot has been filled")))
    }

    /// `T x<max>` of numbers, in one pass over the input.
    ///
    /// # Errors
    ///
    /// [`What::TooLong`], [`What::Short`].
    #[inline]
    pub fn numbers<T: Number>(&mut self, max: u32) -> Result<Vec<T>, Error> {
        let count = self.count_of(max, T::LEN)?;
        let (taken, rest) = self.rest.split_at(count * T::LEN);
        self.rest = rest;
        Ok(T::all(taken))
    }

    /// `T *x`.
    ///
    /// # Errors
    ///
    /// Those of `value`; [`What::Bool`].
    #[inline]
    pub fn optional<T>(
        &mut self,
        value: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        match self.boolean()? {
            true => value(self).map(Some),
            false => Ok(None),
        }
    }

    /// A list, `struct T { …; T *next; } *x`, read in a loop: `node` reads what stands before
    /// `next`.
    ///
    /// # Errors
    ///
    /// Those of `node`; [`What::Bool`].
    pub fn list<T>(
        &mut self,
        mut node: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut nodes = Vec::new();
        while self.boolean()? {
            nodes.push(node(self)?);
        }
        Ok(nodes)
    }

    /// One level further down: what reads a type that can contain itself goes through here.
    ///
    /// # Errors
    ///
    /// Those of `value`; [`What::TooDeep`] below [`Limits::depth`] levels.
    #[inline]
    pub fn nested<T>(
        &mut self,
        value: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Some(depth) = self.depth.checked_sub(1) else {
            let max = self.limits.depth;
            return Err(self.error(What::TooDeep { max }));
        };
        self.depth = depth;
        let value = value(self);
        self.depth = depth + 1;
        value
    }
}

/// A number's way out of the input, where only [`Number`] can call it.
pub(super) fn take<'a, const N: usize>(reader: &mut Reader<'a>) -> Result<&'a [u8; N], Error> {
    reader.take()
}
