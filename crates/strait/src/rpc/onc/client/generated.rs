//! The clients as code made from `.x` files sees them.

use std::time::Duration;

use strait_wire::onc::message::Procedure;
use strait_wire::xdr::{self, Reader, Writer};

use super::{AsyncClient, Client, Coded};
use crate::error::Result;
use crate::rpc::onc::{AsyncCall, Call};

impl Call for Client {
    fn call<R>(
        &self,
        procedure: Procedure,
        arguments: impl Fn(&mut Writer<'_>) -> Coded,
        results: impl FnOnce(&mut Reader<'_>) -> std::result::Result<R, xdr::Error>,
    ) -> Result<R> {
        self.call(procedure, arguments, results)
    }

    fn call_oneway(
        &self,
        procedure: Procedure,
        arguments: impl Fn(&mut Writer<'_>) -> Coded,
    ) -> Result<()> {
        self.call_oneway(procedure, arguments)
    }

    fn within(&self, limit: Duration) -> Self {
        self.within(limit)
    }
}

impl AsyncCall for AsyncClient {
    async fn call<R: Send>(
        &self,
        procedure: Procedure,
        arguments: impl Fn(&mut Writer<'_>) -> Coded + Send,
        results: impl FnOnce(&mut Reader<'_>) -> std::result::Result<R, xdr::Error> + Send,
    ) -> Result<R> {
        self.call(procedure, arguments, results).await
    }

    async fn call_oneway(
        &self,
        procedure: Procedure,
        arguments: impl Fn(&mut Writer<'_>) -> Coded + Send,
    ) -> Result<()> {
        self.call_oneway(procedure, arguments).await
    }

    fn within(&self, limit: Duration) -> Self {
        self.within(limit)
    }
}
