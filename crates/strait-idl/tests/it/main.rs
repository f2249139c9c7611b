//! The compiler of `.x` files: what it makes compiles, runs and stays as it is; what it refuses it
//! explains; what it has never seen does not break it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod golden;
mod lent;
mod peers;
mod refused;
mod rpc;
mod values;
mod wild;

/// Stands for `strait::rpc::onc`, of which generated code uses no more than this.
mod onc {
    use std::pin::Pin;
    use std::sync::Arc;
    use std::time::Duration;

    pub(crate) use strait_wire::onc::message::Procedure;
    pub(crate) use strait_wire::xdr;

    #[derive(Debug, PartialEq, Eq)]
    pub(crate) enum Error {
        Refused(Refusal),
        Codec(xdr::Error),
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Refusal {
        ProcedureUnavailable,
        GarbageArguments,
        SystemError,
    }

    /// What a server knows of a caller.
    #[derive(Debug)]
    pub(crate) struct Context;

    pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Vec<u8>, Refusal>> + Send>>;

    pub(crate) trait Program: Send + Sync + 'static {
        fn program(&self) -> u32;
        fn version(&self) -> u32;
        fn dispatch(
            self: Arc<Self>,
            context: Context,
            procedure: u32,
            args: &[u8],
            reply: Vec<u8>,
        ) -> Result<Answer, Refusal>;
    }

    pub(crate) trait Call: Sized {
        fn call<R>(
            &self,
            procedure: Procedure,
            arguments: impl Fn(&mut xdr::Writer<'_>) -> Result<(), xdr::Error>,
            results: impl FnOnce(&mut xdr::Reader<'_>) -> Result<R, xdr::Error>,
        ) -> Result<R, Error>;
        fn call_oneway(
            &self,
            procedure: Procedure,
            arguments: impl Fn(&mut xdr::Writer<'_>) -> Result<(), xdr::Error>,
        ) -> Result<(), Error>;
        fn within(&self, limit: Duration) -> Self;
    }

    pub(crate) trait AsyncCall: Sized {
        fn call<R: Send>(
            &self,
            procedure: Procedure,
            arguments: impl Fn(&mut xdr::Writer<'_>) -> Result<(), xdr::Error> + Send,
            results: impl FnOnce(&mut xdr::Reader<'_>) -> Result<R, xdr::Error> + Send,
        ) -> impl Future<Output = Result<R, Error>> + Send;
        fn call_oneway(
            &self,
            procedure: Procedure,
            arguments: impl Fn(&mut xdr::Writer<'_>) -> Result<(), xdr::Error> + Send,
        ) -> impl Future<Output = Result<(), Error>> + Send;
        fn within(&self, limit: Duration) -> Self;
    }

    pub(crate) fn arguments<'a, T>(
        _: &Context,
        args: &'a [u8],
        decode: impl FnOnce(&mut xdr::Reader<'a>) -> Result<T, xdr::Error>,
    ) -> Result<T, Refusal> {
        let mut from = xdr::Reader::new(args);
        let value = decode(&mut from).map_err(|_| Refusal::GarbageArguments)?;
        from.finish().map_err(|_| Refusal::GarbageArguments)?;
        Ok(value)
    }

    pub(crate) fn results(
        mut reply: Vec<u8>,
        encode: impl FnOnce(&mut xdr::Writer<'_>) -> Result<(), xdr::Error>,
    ) -> Result<Vec<u8>, Refusal> {
        encode(&mut xdr::Writer::new(&mut reply)).map_err(|_| Refusal::SystemError)?;
        Ok(reply)
    }

    pub(crate) use crate::rpc::{AsyncClient, Client};
}

/// The golden output, compiled.
macro_rules! golden {
    ($($name:ident)*) => {$(
        #[allow(dead_code, unreachable_pub, reason = "not every test uses all of it")]
        mod $name {
            include!(concat!("../golden/", stringify!($name), ".rs.txt"));
        }
    )*};
}

golden!(borrowed kv types unions lists programs dialect names);
