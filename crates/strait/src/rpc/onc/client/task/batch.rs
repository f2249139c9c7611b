//! Calls without an answer that leave together.

use std::fmt;
use std::sync::Arc;

use strait_wire::onc::client::{Draft, Form};
use strait_wire::onc::message::Procedure;
use strait_wire::xdr::Writer;

use super::super::gss::encoded;
use super::super::{BATCH_MAX, Coded};
use super::AsyncClient;
use crate::error::Result;

/// Calls that leave together: [`AsyncClient::batch`].
pub struct AsyncBatch<'a> {
    client: &'a AsyncClient,
    /// What is full, and last what is not.
    parts: Vec<Part>,
    /// With RPCSEC_GSS: calls that are sealed as they are sent.
    plain: Vec<(Procedure, Arc<[u8]>)>,
    /// The last call gathered, for errors.
    last: Procedure,
}

/// Calls for one write.
#[derive(Default)]
struct Part {
    out: Vec<u8>,
    drafts: Vec<Draft>,
}

impl AsyncClient {
    /// Gathers calls that nobody waits for, and sends them in one write, or in one each
    /// [`BATCH_MAX`] bytes (RFC 5531 section 8.4.1). Over UDP and channels each is a message still.
    /// Calls with an answer need no batch: those of many tasks leave together when the connection
    /// is busy.
    ///
    /// `gather` runs at the first poll, and all it gathers is kept until it has been sent, or waits
    /// to be, after others: it returns then. Dropped before, none or some are sent.
    ///
    /// # Errors
    /// Those of `gather`, after which what was gathered is sent nevertheless; or as for
    /// [`call_oneway`](Self::call_oneway).
    pub async fn batch<T>(
        &self,
        gather: impl FnOnce(&mut AsyncBatch<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut batch = AsyncBatch {
            client: self,
            parts: Vec::new(),
            plain: Vec::new(),
            last: Procedure::default(),
        };
        let gathered = gather(&mut batch);
        let AsyncBatch {
            parts, plain, last, ..
        } = batch;
        let link = &self.handle.link;
        let post = async {
            for Part { out, drafts } in parts {
                let launch = |calls: &mut super::Calls, out: &mut [u8]| {
                    let mut drafts = drafts.iter();
                    drafts.try_for_each(|draft| calls.launch_oneway(draft, out))
                };
                link.post(out, launch).await?;
            }
            if let Some(session) = &self.handle.session {
                for (procedure, arguments) in &plain {
                    self.post_encoded(session, *procedure, arguments).await?;
                }
            }
            Ok(())
        };
        let posted = self.timed(post).await;
        let gathered = gathered?;
        posted.map_err(|failure| failure.error(last, &self.handle.peer))?;
        Ok(gathered)
    }
}

impl AsyncBatch<'_> {
    /// Adds a call that nobody waits for, as [`AsyncClient::call_oneway`].
    ///
    /// # Errors
    /// As there, of what happens before it is sent.
    pub fn call_oneway(
        &mut self,
        procedure: Procedure,
        arguments: impl FnOnce(&mut Writer<'_>) -> Coded,
    ) -> Result<()> {
        self.last = procedure;
        if self.client.handle.session.is_some() {
            let plain = encoded(arguments);
            let plain = plain.map(|plain| self.plain.push((procedure, plain)));
            return plain.map_err(|failure| failure.error(procedure, &self.client.handle.peer));
        }
        let can_join = self.client.handle.link.transport.form() == Form::RECORD;
        let is_open = |part: &Part| can_join && part.out.len() < BATCH_MAX;
        let mut part = match self.parts.pop() {
            Some(part) if is_open(&part) => part,
            full => {
                self.parts.extend(full);
                Part::default()
            }
        };
        let drafted = self
            .client
            .draft_into(&mut part.out, procedure, None, arguments);
        let drafted = drafted.map(|draft| part.drafts.push(draft));
        if !part.drafts.is_empty() {
            self.parts.push(part);
        }
        drafted.map_err(|failure| failure.error(procedure, &self.client.handle.peer))
    }
}

impl fmt::Debug for AsyncBatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len: usize = self.parts.iter().map(|part| part.out.len()).sum();
        f.debug_struct("AsyncBatch")
            .field("len", &len)
            .finish_non_exhaustive()
    }
}
