//! What code made from a `.x` file calls: connections of both kinds, the ends of a dispatcher.

use std::time::Duration;

use strait_wire::onc::message::Procedure;
use strait_wire::xdr;

use super::{Context, Refusal};
use crate::Error;

/// A connection that calls are made over, each of which waits for its reply: what a generated
/// `Client` is over.
pub trait Call: Sized {
    /// Makes a call, and reads what it gives.
    ///
    /// # Errors
    /// The arguments cannot be written, the call cannot be made, its time is over, or the answer is
    /// anything but success.
    fn call<R>(
        &self,
        procedure: Procedure,
        arguments: impl Fn(&mut xdr::Writer<'_>) -> Result<(), xdr::Error>,
        results: impl FnOnce(&mut xdr::Reader<'_>) -> Result<R, xdr::Error>,
    ) -> Result<R, Error>;

    /// Sends a call and waits for no reply. RFC 5531 section 8.4.1.
    ///
    /// # Errors
    /// The arguments cannot be written, or the call cannot be sent.
    fn call_oneway(
        &self,
        procedure: Procedure,
        arguments: impl Fn(&mut xdr::Writer<'_>) -> Result<(), xdr::Error>,
    ) -> Result<(), Error>;

    /// The same connection; each call through it may take so long.
    #[must_use]
    fn within(&self, limit: Duration) -> Self;
}

/// The same for tasks: what a generated `AsyncClient` is over.
pub trait AsyncCall: Sized {
    /// As [`Call::call`].
    ///
    /// # Errors
    /// As there.
    fn call<R: Send>(
        &self,
        procedure: Procedure,
        arguments: impl Fn(&mut xdr::Writer<'_>) -> Result<(), xdr::Error> + Send,
        results: impl FnOnce(&mut xdr::Reader<'_>) -> Result<R, xdr::Error> + Send,
    ) -> impl Future<Output = Result<R, Error>> + Send;

    /// As [`Call::call_oneway`].
    ///
    /// # Errors
    /// As there.
    fn call_oneway(
        &self,
        procedure: Procedure,
        arguments: impl Fn(&mut xdr::Writer<'_>) -> Result<(), xdr::Error> + Send,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// As [`Call::within`].
    #[must_use]
    fn within(&self, limit: Duration) -> Self;
}

/// The arguments of this call: all of `args`. They may be lent from that.
///
/// # Errors
/// [`Refusal::GarbageArguments`]: they cannot be read, or something follows them.
pub fn arguments<'a, T>(
    call: &Context,
    args: &'a [u8],
    decode: impl FnOnce(&mut xdr::Reader<'a>) -> Result<T, xdr::Error>,
) -> Result<T, Refusal> {
    let mut from = xdr::Reader::with_limits(args, call.xdr);
    let value = decode(&mut from).map_err(|_| Refusal::GarbageArguments)?;
    from.finish().map_err(|_| Refusal::GarbageArguments)?;
    Ok(value)
}

/// The reply with results appended.
///
/// # Errors
/// [`Refusal::SystemError`]: they break a bound of their type, which is this side's fault.
pub fn results(
    mut reply: Vec<u8>,
    encode: impl FnOnce(&mut xdr::Writer<'_>) -> Result<(), xdr::Error>,
) -> Result<Vec<u8>, Refusal> {
    encode(&mut xdr::Writer::new(&mut reply)).map_err(|_| Refusal::SystemError)?;
    Ok(reply)
}
