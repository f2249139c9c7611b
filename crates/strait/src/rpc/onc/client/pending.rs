//! Calls that have begun, and calls gathered for one write.

use std::sync::Arc;
use std::time::Duration;

use strait_sys::time::Deadline;
use strait_wire::onc::gss::client::Context;
use strait_wire::onc::message::{Procedure, Xid};
use strait_wire::xdr::{self, Reader, Writer};

use super::connection::{Connection, Results};
use super::failure::Failure;
use super::{Client, Saying};
use crate::error::Result;

/// How results are decoded: a function, or a closure that captures nothing.
pub type Decoder<R> = fn(&mut Reader<'_>) -> std::result::Result<R, xdr::Error>;

/// A call in flight.
pub(super) struct Begun {
    pub(super) connection: Arc<Connection>,
    pub(super) xid: Xid,
    pub(super) until: Deadline,
    pub(super) within: Duration,
    /// The arguments, where an AUTH_SHORT was sent that the server may not know any more, or a
    /// context.
    pub(super) arguments: Option<Arc<[u8]>>,
    /// That of RPCSEC_GSS.
    pub(super) context: Option<Arc<Context>>,
}

impl Begun {
    /// Nobody waits for it yet.
    pub(super) fn leave(&self) {
        self.connection.calls(|calls| calls.leave(self.xid));
    }

    pub(super) fn wait(&self) -> std::result::Result<Results, Failure> {
        self.connection.wait(self.xid, self.until, self.within)
    }
}

/// A call that has begun: [`Client::begin`]. Its time runs from then. Dropped, the call is
/// forgotten: the server may carry it out, and its reply is dropped.
///
/// Nobody reads while nobody waits: replies stay in the socket, and over UDP no call is sent again.
#[must_use = "dropped, the call is forgotten"]
pub struct Pending<R> {
    client: Client,
    procedure: Procedure,
    results: Decoder<R>,
    /// There until it is waited for.
    begun: Option<Begun>,
}

impl<R> Pending<R> {
    pub(super) fn new(
        client: Client,
        procedure: Procedure,
        results: Decoder<R>,
        begun: Begun,
    ) -> Self {
        Self {
            client,
            procedure,
            results,
            begun: Some(begun),
        }
    }

    /// Waits for the reply. A call whose time has run out is looked for once more in what has come.
    ///
    /// # Errors
    /// As for [`Client::call`].
    ///
    /// # Panics
    /// Never: what it takes is there until then.
    pub fn wait(mut self) -> Result<R> {
        let begun = self.begun.take().expect("only this takes it");
        self.client.finish(self.procedure, begun, self.results)
    }
}

impl<R> Drop for Pending<R> {
    fn drop(&mut self) {
        if let Some(begun) = self.begun.take() {
            begun.connection.forget(begun.xid);
        }
    }
}

impl<R> std::fmt::Debug for Pending<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending")
            .field("procedure", &self.procedure)
            .field("at", &self.client.peer())
            .finish_non_exhaustive()
    }
}

/// Calls are gathered up to this many bytes before they are sent.
pub const BATCH_MAX: usize = 64 << 10;

/// Calls that leave together: [`Client::batch`].
pub struct Batch<'a> {
    pub(super) client: &'a Client,
    pub(super) connection: Arc<Connection>,
    pub(super) out: Vec<u8>,
    /// The last call gathered, for errors.
    pub(super) last: Procedure,
}

impl Batch<'_> {
    /// Adds a call that nobody waits for, as [`Client::call_oneway`].
    ///
    /// # Errors
    /// As there.
    pub fn call_oneway(
        &mut self,
        procedure: Procedure,
        arguments: impl FnOnce(&mut Writer<'_>) -> std::result::Result<(), xdr::Error>,
    ) -> Result<()> {
        self.last = procedure;
        let added = self
            .client
            .post(&self.connection, procedure, &mut self.out, arguments);
        added.map_err(|failure| self.client.error(failure, procedure))?;
        self.flush_if(BATCH_MAX)
    }

    /// Adds a call that is to be answered, as [`Client::begin`]. It is not sent, and waited for in
    /// vain, before the batch is.
    ///
    /// # Errors
    /// As there.
    pub fn begin<R>(
        &mut self,
        procedure: Procedure,
        arguments: impl FnOnce(&mut Writer<'_>) -> std::result::Result<(), xdr::Error>,
        results: Decoder<R>,
    ) -> Result<Pending<R>> {
        self.last = procedure;
        let client = self.client;
        let begun = client
            .launch(
                &self.connection,
                (procedure, Saying::Short),
                &mut self.out,
                arguments,
            )
            .map_err(|failure| client.error(failure, procedure))?;
        begun.leave();
        let pending = Pending::new(client.clone(), procedure, results, begun);
        self.flush_if(BATCH_MAX)?;
        Ok(pending)
    }

    /// Sends what has been gathered.
    ///
    /// # Errors
    /// As for [`Client::call_oneway`].
    pub fn flush(&mut self) -> Result<()> {
        self.flush_if(1)
    }

    fn flush_if(&mut self, len: usize) -> Result<()> {
        let can_grow = self.out.is_empty() || !self.connection.is_one_by_one();
        if can_grow && self.out.len() < len {
            return Ok(());
        }
        let until = Deadline::after(self.client.timeout);
        let sent = self.connection.send(&self.out, until, None);
        self.out.clear();
        sent.map_err(|failure| self.client.error(failure, self.last))
    }
}

impl std::fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.out.len())
            .finish_non_exhaustive()
    }
}
