//! Views of shared memory: atomic words and bounded copies, never a reference, as others may be
//! writing at any moment. Sections and System V segments are seen through them.

use std::marker::PhantomData;

use strait_sys::cell::{ReadOnly, ReadWrite, Scalar, Word};
use strait_sys::map::{Access, Map};

use crate::error::{Error, ErrorKind, Result};
use crate::object::kind::Rights;

/// Views that read.
#[derive(Debug)]
pub enum Read {}

/// Views that read and write.
#[derive(Debug)]
pub enum Write {}

/// How a view is mapped: [`Read`] or [`Write`].
pub trait Mapping: sealed::Sealed {
    /// What a [`Word`] of such a view can do.
    type Mode: strait_sys::cell::Mode;

    #[doc(hidden)]
    const RIGHTS: Rights;
    #[doc(hidden)]
    const ACCESS: Access;

    #[doc(hidden)]
    fn word<T: Scalar>(map: &Map, offset: usize) -> Option<Word<'_, T, Self::Mode>>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Read {}
    impl Sealed for super::Write {}
}

impl Mapping for Read {
    type Mode = ReadOnly;
    const RIGHTS: Rights = Rights::LOOK;
    const ACCESS: Access = Access::Read;

    fn word<T: Scalar>(map: &Map, offset: usize) -> Option<Word<'_, T, ReadOnly>> {
        map.look(offset)
    }
}

impl Mapping for Write {
    type Mode = ReadWrite;
    const RIGHTS: Rights = Rights::MODIFY;
    const ACCESS: Access = Access::Write;

    fn word<T: Scalar>(map: &Map, offset: usize) -> Option<Word<'_, T, ReadWrite>> {
        map.word(offset)
    }
}

/// Mapped shared memory. It keeps the memory, not the name, until it is dropped.
#[derive(Debug)]
pub struct View<M> {
    map: Map,
    name: String,
    /// Why pages of it may be missing.
    missing: &'static str,
    _mapping: PhantomData<fn() -> M>,
}

impl<M: Mapping> View<M> {
    pub(crate) fn new(map: Map, name: String, missing: &'static str) -> Self {
        Self {
            map,
            name,
            missing,
            _mapping: PhantomData,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Never: a view has at least one byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.len() == 0
    }

    fn check<T>(&self, found: Option<T>, offset: usize, len: usize) -> Result<T> {
        if self.map.is_broken() {
            return Err(
                Error::new(ErrorKind::Broken, "access view", self.name.clone())
                    .because(self.missing),
            );
        }
        found.ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, "access view", self.name.clone()).because(format!(
                "{len} bytes at {offset} of {}, or misaligned",
                self.map.len()
            ))
        })
    }

    /// An atomic number in the memory.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is misaligned or out of the view; [`ErrorKind::Broken`]
    /// once a page was found missing (a load that meets it gives 0).
    pub fn word<T: Scalar>(&self, offset: usize) -> Result<Word<'_, T, M::Mode>> {
        self.check(M::word(&self.map, offset), offset, size_of::<T>())
    }

    /// Copies out of the memory. A peer may write meanwhile: then old and new bytes are mixed.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is out of the view; [`ErrorKind::Broken`] if a
    /// page of it is missing.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        let len = bytes.len();
        let read = self.map.read(offset, bytes);
        self.check(read.then_some(()), offset, len)
    }
}

impl View<Write> {
    /// Copies into the memory.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        let written = self.map.write(offset, bytes);
        self.check(written.then_some(()), offset, bytes.len())
    }
}
