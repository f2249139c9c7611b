//! Calls of tasks under RPCSEC_GSS. A mechanism may read files and ask its KDC: a context is made
//! on threads that may block.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use strait_wire::onc::client::Draft;
use strait_wire::onc::gss::client::{Context, Progress, Setup};
use strait_wire::onc::message::{Procedure, Xid};
use strait_wire::xdr::Writer;

use super::{AsyncClient, Handle};
use crate::error::ErrorKind;
use crate::rpc::onc::client::Coded;
use crate::rpc::onc::client::calls::{Calls, Waiter};
use crate::rpc::onc::client::failure::{End, Failure};
use crate::rpc::onc::client::gss::{
    ATTEMPTS, Sealed, Session, encoded, is_lost, is_over, may_be_forged, next, step,
};

type Outcome<T> = Result<T, Failure>;

impl AsyncClient {
    /// Makes a call and waits for its results.
    pub(super) async fn exchange_sealed(
        &self,
        session: &Session,
        procedure: Procedure,
        arguments: impl FnOnce(&mut Writer<'_>) -> Coded,
    ) -> Outcome<Vec<u8>> {
        let arguments = encoded(arguments)?;
        let mut is_again = false;
        let link = &self.handle.link;
        loop {
            let order = session.tasks.lock().await;
            let (draft, xid, sealed, out) = self.seal(session, procedure, &arguments).await?;
            let context = sealed.context.clone();
            let launch = |calls: &mut Calls, out: &mut [u8]| {
                let launched = calls.launch_sealed(xid, &draft, out, sealed);
                launched.map(|()| xid)
            };
            let call = link.begin(out, launch).await?;
            drop(order);
            let outcome = call.outcome().await;
            if is_again || !is_lost(&outcome) {
                return outcome;
            }
            session.forget(&context);
            is_again = true;
        }
    }

    /// Makes a call that nobody waits for.
    pub(super) async fn post_sealed(
        &self,
        session: &Session,
        procedure: Procedure,
        arguments: impl FnOnce(&mut Writer<'_>) -> Coded,
    ) -> Outcome<()> {
        let arguments = encoded(arguments)?;
        self.post_encoded(session, procedure, &arguments).await
    }

    /// The same with arguments that are encoded.
    pub(super) async fn post_encoded(
        &self,
        session: &Session,
        procedure: Procedure,
        arguments: &Arc<[u8]>,
    ) -> Outcome<()> {
        let _order = session.tasks.lock().await;
        let (_, _, _, out) = self.seal(session, procedure, arguments).await?;
        let link = &self.handle.link;
        link.post(out, |calls, _| calls.check_open()).await
    }

    /// Encodes a call, with a new context if the present one is over, once there is room for it in
    /// the server's window. Whoever asks holds the order.
    async fn seal(
        &self,
        session: &Session,
        procedure: Procedure,
        arguments: &Arc<[u8]>,
    ) -> Outcome<(Draft, Xid, Sealed, Vec<u8>)> {
        let link = &self.handle.link;
        let mut is_again = false;
        loop {
            let program = (procedure.program, procedure.version);
            let context = self.context(session, program).await?;
            poll_fn(|poller| {
                let calls = &mut link.state().calls;
                if calls.is_closed() || calls.book.has_room(context.window()) {
                    return Poll::Ready(calls.check_open());
                }
                calls.book.wait(Waiter::Task(poller.waker().clone()));
                Poll::Pending
            })
            .await?;
            let xid = link.state().calls.reserve();
            let (call, form) = ((xid, procedure), link.transport.form());
            let mut out = Vec::new();
            match session.seal(&context, call, form, arguments, &mut out) {
                Ok((draft, sealed)) => return Ok((draft, xid, sealed, out)),
                Err(failure) if !is_again && is_over(&failure) => {
                    is_again = true;
                    session.forget(&context);
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// The context, which is made if there is none.
    async fn context(&self, session: &Session, program: (u32, u32)) -> Outcome<Arc<Context>> {
        if let Some(context) = session.context() {
            return Ok(context);
        }
        let mut attempts = ATTEMPTS;
        loop {
            let terms = session.terms();
            let begun = apart(move || terms.begin()).await?;
            match self.make(begun, program).await {
                Ok(context) => return Ok(session.keep(context, program)),
                Err(failure)
                    if may_be_forged(
                        &failure,
                        self.handle.link.transport.form(),
                        &mut attempts,
                    ) => {}
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn make(
        &self,
        (mut setup, mut token): (Setup, Vec<u8>),
        program: (u32, u32),
    ) -> Outcome<Context> {
        let link = &self.handle.link;
        loop {
            let mut out = Vec::new();
            let draft = step(&setup, &token, program, link.transport.form(), &mut out)?;
            let launch = |calls: &mut Calls, out: &mut [u8]| calls.launch_step(&draft, out);
            let reply = link.begin(out, launch).await?.outcome().await?;
            match apart(move || next(setup, &reply)).await? {
                Progress::Send(further, answer) => (setup, token) = (further, answer),
                Progress::Ready(context) => return Ok(context),
            }
        }
    }
}

/// Runs on a thread that may block.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Outcome<T> + Send + 'static,
) -> Outcome<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| {
        let why = "the mechanism has panicked, or its runtime has ended";
        Err(Failure::Ended(End::new(ErrorKind::Cancelled, why)))
    })
}

impl Handle {
    /// Tells the server that the context is not used any more.
    pub(super) fn end_session(&self) {
        let Some(session) = &self.session else {
            return;
        };
        let (mut state, transport) = (self.link.state(), &*self.link.transport);
        if let Some(message) = session.farewell(&mut state.calls, transport.form()) {
            // After whatever waits to be sent, which is not to be joined with a datagram.
            state.push(message, false);
            state.send(transport);
        }
    }
}
