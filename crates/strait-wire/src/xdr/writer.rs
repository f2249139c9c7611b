//! Writing: a cursor at the end of a vector.

use alloc::vec::Vec;

use super::{DEPTH_MAX, Error, Number, Quadruple, UNIT, What, padding};

/// Appends values to a vector.
///
/// What it refuses could not be read back: lengths above the bound of their type, nesting below
/// [`DEPTH_MAX`]. After an error the vector ends in the part that was already written.
#[derive(Debug)]
pub struct Writer<'v> {
    to: &'v mut Vec<u8>,
    /// Where the vector ended before.
    start: usize,
    depth: u32,
}

impl<'v> Writer<'v> {
    /// Appends to `to`, whose present bytes stay as they are.
    #[must_use]
    pub const fn new(to: &'v mut Vec<u8>) -> Self {
        let start = to.len();
        let depth = DEPTH_MAX;
        Self { to, start, depth }
    }

    /// Bytes written.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.to.len() - self.start
    }

    /// Makes room for `len` bytes more, so that they are written without growing again.
    pub fn reserve(&mut self, len: usize) {
        self.to.reserve(len);
    }

    /// An error at the present position.
    #[must_use]
    pub const fn error(&self, what: What) -> Error {
        Error {
            at: self.position(),
            what,
        }
    }

    /// The count of what varies in length, if `max` allows it.
    #[inline]
    fn count(&self, len: usize, max: u32) -> Result<u32, Error> {
        match u32::try_from(len) {
            Ok(count) if count <= max => Ok(count),
            _ => {
                let len = len as u64;
                Err(self.error(What::TooLong { len, max }))
            }
        }
    }

    #[inline]
    fn pad(&mut self, len: usize) {
        self.to.extend_from_slice(&[0; UNIT][..padding(len)]);
    }
}

/// One value.
impl Writer<'_> {
    /// `int`.
    #[inline]
    pub fn int(&mut self, value: i32) {
        self.number(value);
    }

    /// `unsigned int`.
    #[inline]
    pub fn unsigned(&mut self, value: u32) {
        self.number(value);
    }

    /// `hyper`.
    #[inline]
    pub fn hyper(&mut self, value: i64) {
        self.number(value);
    }

    /// `unsigned hyper`.
    #[inline]
    pub fn unsigned_hyper(&mut self, value: u64) {
        self.number(value);
    }

    /// `float`.
    #[inline]
    pub fn float(&mut self, value: f32) {
        self.number(value);
    }

    /// `double`.
    #[inline]
    pub fn double(&mut self, value: f64) {
        self.number(value);
    }

    /// `quadruple`.
    #[inline]
    pub fn quadruple(&mut self, value: Quadruple) {
        self.number(value);
    }

    /// A number of any of these types.
    #[inline]
    pub fn number<T: Number>(&mut self, value: T) {
        value.put(self.to);
    }

    /// `bool`.
    #[inline]
    pub fn boolean(&mut self, value: bool) {
        self.unsigned(value.into());
    }

    /// `opaque x[bytes.len()]`.
    #[inline]
    pub fn opaque_fixed(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len() + padding(bytes.len()));
        self.to.extend_from_slice(bytes);
        self.pad(bytes.len());
    }

    /// `opaque x<max>`.
    ///
    /// # Errors
    ///
    /// [`What::TooLong`].
    #[inline]
    pub fn opaque(&mut self, bytes: &[u8], max: u32) -> Result<(), Error> {
        let count = self.count(bytes.len(), max)?;
        self.reserve(UNIT + bytes.len() + padding(bytes.len()));
        self.unsigned(count);
        self.to.extend_from_slice(bytes);
        self.pad(bytes.len());
        Ok(())
    }

    /// `string x<max>`. The bound counts bytes.
    ///
    /// # Errors
    ///
    /// [`What::TooLong`].
    #[inline]
    pub fn string(&mut self, text: &str, max: u32) -> Result<(), Error> {
        self.opaque(text.as_bytes(), max)
    }

    /// `string x<max>` in whatever encoding.
    ///
    /// # Errors
    ///
    /// [`What::TooLong`].
    #[inline]
    pub fn string_bytes(&mut self, bytes: &[u8], max: u32) -> Result<(), Error> {
        self.opaque(bytes, max)
    }
}

/// Values of values.
impl Writer<'_> {
    /// `T x<max>`.
    ///
    /// # Errors
    ///
    /// Those of `element`; [`What::TooLong`]; [`What::Hollow`] if the elements take fewer than four
    /// bytes each, so that no reader could hold their count against its input.
    pub fn array<T>(
        &mut self,
        elements: &[T],
        max: u32,
        mut element: impl FnMut(&mut Self, &T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let count = self.count(elements.len(), max)?;
        self.reserve(UNIT + elements.len().saturating_mul(UNIT));
        self.unsigned(count);
        let before = self.to.len();
        for each in elements {
            element(self, each)?;
        }
        if (self.to.len() - before) / UNIT < elements.len() {
            return Err(self.error(What::Hollow));
        }
        Ok(())
    }

    /// `T x[N]`.
    ///
    /// # Errors
    ///
    /// Those of `element`.
    pub fn array_fixed<T, const N: usize>(
        &mut self,
        elements: &[T; N],
        mut element: impl FnMut(&mut Self, &T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        elements.iter().try_for_each(|each| element(self, each))
    }

    /// `T x<max>` of numbers, in one pass.
    ///
    /// # Errors
    ///
    /// [`What::TooLong`].
    #[inline]
    pub fn numbers<T: Number>(&mut self, numbers: &[T], max: u32) -> Result<(), Error> {
        let count = self.count(numbers.len(), max)?;
        self.reserve(UNIT + size_of_val(numbers));
        self.unsigned(count);
        T::put_all(numbers, self.to);
        Ok(())
    }

    /// `T *x`.
    ///
    /// # Errors
    ///
    /// Those of `each`.
    #[inline]
    pub fn optional<T: ?Sized>(
        &mut self,
        value: Option<&T>,
        each: impl FnOnce(&mut Self, &T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.boolean(value.is_some());
        match value {
            Some(value) => each(self, value),
            None => Ok(()),
        }
    }

    /// A list, `struct T { …; T *next; } *x`, written in a loop: `node` writes what stands before
    /// `next`.
    ///
    /// # Errors
    ///
    /// Those of `node`.
    pub fn list<T>(
        &mut self,
        nodes: impl IntoIterator<Item = T>,
        mut node: impl FnMut(&mut Self, T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for each in nodes {
            self.boolean(true);
            node(self, each)?;
        }
        self.boolean(false);
        Ok(())
    }

    /// One level further down: what writes a type that can contain itself goes through here.
    ///
    /// # Errors
    ///
    /// Those of `value`; [`What::TooDeep`] below [`DEPTH_MAX`] levels.
    #[inline]
    pub fn nested<T>(
        &mut self,
        value: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Some(depth) = self.depth.checked_sub(1) else {
            let max = DEPTH_MAX;
            return Err(self.error(What::TooDeep { max }));
        };
        self.depth = depth;
        let value = value(self);
        self.depth = depth + 1;
        value
    }
}
