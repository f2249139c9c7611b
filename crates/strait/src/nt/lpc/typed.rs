//! Plain data as requests and replies, in the message form and in Quick.
//!
//! The bytes of a value are its message, and are copied to their place at the other side: nothing
//! is encoded. Which types these are is said by the traits of zerocopy 0.8: numbers and arrays of
//! them, and structs that derive `FromBytes`, `IntoBytes` and `Immutable`. Both sides must be built
//! with the same ones. Whoever needs other types serializes into bytes, in a format of his own.

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::error::{Error, ErrorKind, Result};
use crate::nt::lpc::{Call, Client, Pending, Quick, QuickCall};

const ASK: &str = "call";
pub(super) const READ: &str = "read request";

impl Client {
    /// [`call`](Self::call) with plain data: numbers, arrays of them, and structs that derive the
    /// traits of zerocopy 0.8. For these a program depends on it too: `zerocopy = { version =
    /// "0.8", features = ["derive"] }`.
    ///
    /// ```
    /// use strait::Namespace;
    /// use strait::nt::lpc;
    ///
    /// let space = Namespace::temporary()?;
    /// let port = lpc::Port::options().namespace(&space).create("shop")?;
    /// std::thread::scope(|scope| -> strait::Result<()> {
    ///     // In the server:
    ///     scope.spawn(|| port.serve(|call| {
    ///         let [item, count] = call.read::<[u32; 2]>()?;
    ///         call.reply_with(&(u64::from(item) * u64::from(count)))
    ///     }));
    ///     // In a client:
    ///     let mut shop = lpc::Client::options().namespace(&space).connect("shop")?;
    ///     let price: u64 = shop.ask(&[7_u32, 6])?;
    ///     assert_eq!(price, 42);
    ///     port.close();
    ///     Ok(())
    /// })?;
    /// # Ok::<(), strait::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`call`](Self::call); [`ErrorKind::InvalidInput`] if the reply is not as long as its
    /// type.
    #[inline]
    pub fn ask<Q, R>(&mut self, request: &Q) -> Result<R>
    where
        Q: IntoBytes + Immutable + ?Sized,
        R: FromBytes,
    {
        let read = read(ASK, self.call(request.as_bytes())?);
        read.map_err(|error| error.during(ASK, &*self.name))
    }
}

impl Call<'_> {
    /// The request as plain data: see [`Client::ask`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is not as long as that type.
    #[inline]
    pub fn read<Q: FromBytes>(&self) -> Result<Q> {
        read(READ, self.request()).map_err(|error| error.of_client(self.port()))
    }

    /// Replies with plain data: see [`Client::ask`].
    ///
    /// # Errors
    /// As [`reply`](Self::reply).
    #[inline]
    pub fn reply_with<R: IntoBytes + Immutable + ?Sized>(&mut self, reply: &R) -> Result<()> {
        self.reply(reply.as_bytes())
    }
}

impl Pending {
    /// As [`Call::reply_with`].
    ///
    /// # Errors
    /// As [`Call::reply`].
    pub fn reply_with<R: IntoBytes + Immutable + ?Sized>(self, reply: &R) -> Result<()> {
        self.reply(reply.as_bytes())
    }
}

impl Quick {
    /// [`call`](Self::call) with plain data: see [`Client::ask`]. The reply is received into its
    /// place.
    ///
    /// # Errors
    /// As [`call_into`](Self::call_into); [`ErrorKind::InvalidInput`] if the reply is shorter than
    /// its type.
    #[inline]
    pub fn ask<Q, R>(&mut self, request: &Q) -> Result<R>
    where
        Q: IntoBytes + Immutable + ?Sized,
        R: FromBytes + IntoBytes,
    {
        let mut reply = R::new_zeroed();
        let len = self.call_into(request.as_bytes(), reply.as_mut_bytes())?;
        match check_len(ASK, len, size_of::<R>()) {
            Ok(()) => Ok(reply),
            Err(error) => Err(error.during(ASK, &*self.name)),
        }
    }
}

impl QuickCall<'_> {
    /// The request as plain data: see [`Quick::ask`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is not as long as that type.
    #[inline]
    pub fn read<Q: FromBytes>(&self) -> Result<Q> {
        read(READ, self.request()).map_err(|error| error.of_client(self.port()))
    }

    /// Replies with plain data: see [`Quick::ask`].
    ///
    /// # Errors
    /// As [`reply`](Self::reply).
    #[inline]
    pub fn reply_with<R: IntoBytes + Immutable + ?Sized>(&mut self, reply: &R) -> Result<()> {
        self.reply(reply.as_bytes())
    }
}

#[inline]
fn read<T: FromBytes>(operation: &'static str, bytes: &[u8]) -> Result<T> {
    check_len(operation, bytes.len(), size_of::<T>())?;
    T::read_from_bytes(bytes).map_err(|_| Error::new(ErrorKind::InvalidInput, operation, ""))
}

#[inline]
fn check_len(operation: &'static str, len: usize, size: usize) -> Result<()> {
    if len == size {
        return Ok(());
    }
    Err(wrong_len(operation, len, size))
}

#[cold]
fn wrong_len(operation: &'static str, len: usize, size: usize) -> Error {
    Error::new(ErrorKind::InvalidInput, operation, "").because(format!(
        "the message has {len} bytes, and its type {size}: the sides are built differently"
    ))
}
