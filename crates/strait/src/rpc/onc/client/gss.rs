//! Calls under RPCSEC_GSS: the context of a client, and the calls that are in flight with it.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strait_sys::time::Deadline;
use strait_wire::onc::client::{Draft, Form, Order, Refused};
use strait_wire::onc::gss::client::{Context, Progress, Setup, Unsealed};
use strait_wire::onc::gss::{Initiator, Major, Service, Unsound};
use strait_wire::onc::message::{AuthStat, Denied, NULL, Procedure, ReplyBody, ReplyHeader, Xid};
use strait_wire::xdr::{Decode, Reader, Writer};

use super::calls::{Calls, Waiter};
use super::connection::{Connection, Taken, Turn};
use super::failure::Failure;
use super::pending::Begun;
use super::{Client, ClientOptions, Coded, is_forgotten};

/// Numbers that are remembered of a call that is sent again and again: those of its last sendings.
const SENDINGS: usize = 8;

/// Attempts to make a context by datagrams, which anybody can send: a wrong answer to a token ends
/// what the mechanism has begun.
pub(super) const ATTEMPTS: u32 = 4;

/// How calls are proven.
#[derive(Clone)]
pub(super) struct Terms {
    initiator: Arc<dyn Initiator>,
    service: Service,
}

impl Terms {
    /// The first step of a context.
    pub(super) fn begin(&self) -> Result<(Setup, Vec<u8>), Failure> {
        let begun = Setup::begin(&*self.initiator, self.service);
        begun.map_err(Failure::Context)
    }
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

impl ClientOptions {
    /// Calls with RPCSEC_GSS, as whom this mechanism proves, and protects them like that, in place
    /// of any [`credential`](Self::credential): see [`gss`](crate::rpc::onc::gss).
    ///
    /// The context is made before the first call, within that call's time. When the server does not
    /// know it any more a new one is made, and the call made again, once. The server is told when
    /// the client goes.
    pub fn gss(mut self, initiator: impl Initiator + 'static, service: Service) -> Self {
        let initiator: Arc<dyn Initiator> = Arc::new(initiator);
        self.gss = Some(Terms { initiator, service });
        self
    }
}

/// The context of a client, which outlives connections.
pub(super) struct Session {
    terms: Terms,
    present: Mutex<Option<Present>>,
    /// Held by a thread, or by a task, until the call that takes the context's next number has been
    /// sent: so numbers go as they grow, and none falls behind the server's window. The context is
    /// made within that time too.
    order: Turn,
    pub(super) tasks: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Present {
    context: Arc<Context>,
    /// The program by whose calls it was made, and its version.
    program: (u32, u32),
}

impl Session {
    pub(super) const fn new(terms: Terms) -> Self {
        Self {
            terms,
            present: Mutex::new(None),
            order: Turn::new(),
            tasks: tokio::sync::Mutex::const_new(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Present>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn terms(&self) -> Terms {
        self.terms.clone()
    }

    pub(super) fn context(&self) -> Option<Arc<Context>> {
        let present = self.lock();
        present.as_ref().map(|present| present.context.clone())
    }

    /// A context that was made by calls of that program.
    pub(super) fn keep(&self, context: Context, program: (u32, u32)) -> Arc<Context> {
        let context = Arc::new(context);
        *self.lock() = Some(Present {
            context: context.clone(),
            program,
        });
        context
    }

    /// The context is of no use any more.
    pub(super) fn forget(&self, context: &Arc<Context>) {
        let is_it = |present: &mut Present| Arc::ptr_eq(&present.context, context);
        self.lock().take_if(is_it);
    }

    /// Appends a call under a number that was reserved.
    pub(super) fn seal(
        &self,
        context: &Arc<Context>,
        (xid, procedure): (Xid, Procedure),
        form: Form,
        arguments: &Arc<[u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(Draft, Sealed), Failure> {
        let (start, mut sequence) = (out.len(), 0);
        let service = self.terms.service;
        let draft = form.frame(out, |out| {
            let sealed = context.call((xid, procedure), service, arguments, out);
            sequence = sealed.map_err(Failure::Unsealed)?;
            Ok(())
        });
        let draft = draft.inspect_err(|_: &Failure| out.truncate(start))?;
        let sealed = Sealed {
            context: context.clone(),
            service,
            procedure,
            arguments: arguments.clone(),
            sequences: vec![sequence],
        };
        Ok((draft, sealed))
    }
}

/// A call in flight.
#[derive(Clone, Debug)]
pub(super) struct Sealed {
    pub(super) context: Arc<Context>,
    service: Service,
    procedure: Procedure,
    arguments: Arc<[u8]>,
    /// Those that it was sent with.
    sequences: Vec<u32>,
}

/// The calls in flight whose replies are not read as others are.
#[derive(Debug, Default)]
pub(super) struct Book {
    kept: BTreeMap<Xid, Kept>,
    /// Who waits for room in the server's window.
    waiter: Option<Waiter>,
}

#[derive(Debug)]
enum Kept {
    /// A step on the way to a context: its whole reply is wanted.
    Step,
    Call(Sealed),
}

impl Book {
    pub(super) fn remove(&mut self, xid: Xid) {
        if self.kept.remove(&xid).is_some() {
            self.wake();
        }
    }

    pub(super) fn clear(&mut self) {
        self.kept.clear();
        self.wake();
    }

    /// Whether fewer calls than that are in flight.
    pub(super) fn has_room(&self, max: u32) -> bool {
        self.kept.len() < max as usize
    }

    /// `waiter` is woken when there is one fewer, or he is to read.
    pub(super) fn wait(&mut self, waiter: Waiter) {
        self.waiter = Some(waiter);
    }

    pub(super) fn wake(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            waiter.wake();
        }
    }

    /// What a reply brings the one who waits for it, or why it is none; `None`: it is to be read as
    /// others are.
    pub(super) fn open(&self, message: &[u8]) -> Option<Result<Vec<u8>, Unsound>> {
        let first = message.first_chunk().filter(|_| !self.kept.is_empty())?;
        let kept = self.kept.get(&Xid(u32::from_be_bytes(*first)))?;
        let mut from = Reader::new(message);
        let header = ReplyHeader::decode(&mut from).ok()?;
        match kept {
            Kept::Step => Some(Ok(message.to_vec())),
            Kept::Call(call) => {
                let opened = call
                    .context
                    .open(&call.sequences, call.service, &header, from.rest());
                Some(opened.map(|results| results.unwrap_or_default().into_owned()))
            }
        }
    }

    /// The call as it is sent again, with a number of its own; empty if it cannot be. `None`: as it
    /// was sent before.
    pub(super) fn again(&mut self, xid: Xid) -> Option<Vec<u8>> {
        let Some(Kept::Call(call)) = self.kept.get_mut(&xid) else {
            return None;
        };
        let mut out = Vec::new();
        let (context, procedure) = (&call.context, call.procedure);
        let sealed = context.call((xid, procedure), call.service, &call.arguments, &mut out);
        let Ok(sequence) = sealed else {
            return Some(Vec::new());
        };
        if call.sequences.len() == SENDINGS {
            call.sequences.remove(0);
        }
        call.sequences.push(sequence);
        Some(out)
    }
}

impl Calls {
    /// Begins a call whose whole reply is wanted.
    pub(super) fn launch_step(&mut self, draft: &Draft, out: &mut [u8]) -> Result<Xid, Failure> {
        let xid = self.launch(draft, out)?;
        self.book.kept.insert(xid, Kept::Step);
        Ok(xid)
    }

    /// Begins a call under a number that was reserved.
    pub(super) fn launch_sealed(
        &mut self,
        xid: Xid,
        draft: &Draft,
        out: &mut [u8],
        sealed: Sealed,
    ) -> Result<(), Failure> {
        self.launch_as(xid, draft, out)?;
        self.book.kept.insert(xid, Kept::Call(sealed));
        Ok(())
    }
}

/// Whether the server does not know the context any more. RFC 2203 section 5.3.3.3.
pub(super) fn is_lost<T>(outcome: &Result<T, Failure>) -> bool {
    let Err(Failure::Refused(Refused::Denied(Denied::Auth(why)))) = outcome else {
        return false;
    };
    [
        AuthStat::GSS_CREDENTIAL_PROBLEM,
        AuthStat::GSS_CONTEXT_PROBLEM,
    ]
    .contains(why)
}

/// Whether a context is used up.
pub(super) fn is_over(failure: &Failure) -> bool {
    match failure {
        Failure::Unsealed(Unsealed::Exhausted) => true,
        Failure::Unsealed(Unsealed::Fault(fault)) => fault.major == Major::CONTEXT_EXPIRED,
        _ => false,
    }
}

/// Whether the answer to a token was perhaps not the server's, and another attempt is left.
pub(super) fn may_be_forged(failure: &Failure, form: Form, attempts: &mut u32) -> bool {
    let may_be = matches!(failure, Failure::Context(_)) && form == Form::DATAGRAM;
    *attempts -= u32::from(may_be);
    may_be && *attempts > 0
}

/// The next step: what is to be sent, or the context.
pub(super) fn next(setup: Setup, reply: &[u8]) -> Result<Progress, Failure> {
    let mut from = Reader::new(reply);
    let header = ReplyHeader::decode(&mut from).map_err(Failure::Malformed)?;
    let ReplyBody::Accepted { verifier, .. } = &header.body else {
        return Err(Failure::Malformed(
            from.error(strait_wire::xdr::What::Hollow),
        ));
    };
    let next = setup.receive(verifier, from.rest());
    next.map_err(Failure::Context)
}

/// The call that carries a token.
pub(super) fn step(
    setup: &Setup,
    token: &[u8],
    (program, version): (u32, u32),
    form: Form,
    out: &mut Vec<u8>,
) -> Result<Draft, Failure> {
    let procedure = Procedure {
        program,
        version,
        number: NULL,
    };
    let credential = setup.credential().map_err(Failure::Malformed)?;
    let order = Order::new(procedure).credential(credential);
    let draft = form.draft(&order, out, |to| Setup::arguments(token, to));
    draft.map_err(Failure::Draft)
}

/// The arguments of a call, which are needed again if it is made again.
pub(super) fn encoded(
    arguments: impl FnOnce(&mut Writer<'_>) -> Coded,
) -> Result<Arc<[u8]>, Failure> {
    let mut plain = Vec::new();
    arguments(&mut Writer::new(&mut plain))
        .map_err(|error| Failure::Draft(strait_wire::onc::client::Error::Encode(error)))?;
    Ok(plain.into())
}

impl Client {
    /// Makes a call: `out` is empty before and after.
    pub(super) fn launch_sealed(
        &self,
        session: &Session,
        (connection, procedure): (&Arc<Connection>, Procedure),
        out: &mut Vec<u8>,
        arguments: impl FnOnce(&mut Writer<'_>) -> Coded,
    ) -> Result<Begun, Failure> {
        let arguments = encoded(arguments)?;
        let until = Deadline::after(self.timeout);
        let _order = self.order(session, until)?;
        let to = (&**connection, procedure);
        let (draft, xid, sealed) = self.seal(session, to, until, &arguments, out)?;
        let context = sealed.context.clone();
        let launched = connection.calls(|calls| calls.launch_sealed(xid, &draft, out, sealed));
        let sent = launched.and_then(|()| connection.send(out, until, Some(xid)));
        out.clear();
        sent.inspect_err(|_| connection.forget(xid))?;
        Ok(Begun {
            connection: connection.clone(),
            xid,
            until,
            within: self.timeout,
            arguments: Some(arguments),
            context: Some(context),
        })
    }

    /// Waits for the turn to take a number.
    fn order<'a>(&self, session: &'a Session, until: Deadline) -> Result<Taken<'a>, Failure> {
        let (within, window) = (self.timeout, None);
        let order = session.order.take(until);
        order.map_err(|_| Failure::Full { within, window })
    }

    /// Makes a call that nobody waits for: `out` is empty before and after.
    pub(super) fn post_sealed(
        &self,
        session: &Session,
        (connection, procedure): (&Connection, Procedure),
        out: &mut Vec<u8>,
        arguments: impl FnOnce(&mut Writer<'_>) -> Coded,
    ) -> Result<(), Failure> {
        let arguments = encoded(arguments)?;
        let until = Deadline::after(self.timeout);
        let _order = self.order(session, until)?;
        let to = (connection, procedure);
        self.seal(session, to, until, &arguments, out)?;
        let sent = connection.send(out, until, None);
        out.clear();
        sent
    }

    /// Appends a call, with a new context if the present one is over, once there is room for it in
    /// the server's window.
    fn seal(
        &self,
        session: &Session,
        (connection, procedure): (&Connection, Procedure),
        until: Deadline,
        arguments: &Arc<[u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(Draft, Xid, Sealed), Failure> {
        let mut is_again = false;
        loop {
            let program = (procedure.program, procedure.version);
            let context = self.context(session, connection, program, until)?;
            if !connection.wait_for_window(context.window(), until)? {
                let (within, window) = (self.timeout, Some(context.window()));
                return Err(Failure::Full { within, window });
            }
            let xid = connection.calls(Calls::reserve);
            let call = (xid, procedure);
            match session.seal(&context, call, connection.form(), arguments, out) {
                Ok((draft, sealed)) => return Ok((draft, xid, sealed)),
                Err(failure) if !is_again && is_over(&failure) => {
                    is_again = true;
                    session.forget(&context);
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// The context, which is made if there is none.
    fn context(
        &self,
        session: &Session,
        connection: &Connection,
        program: (u32, u32),
        until: Deadline,
    ) -> Result<Arc<Context>, Failure> {
        if let Some(context) = session.context() {
            return Ok(context);
        }
        let mut attempts = ATTEMPTS;
        loop {
            let begun = session.terms.begin()?;
            match self.make(begun, connection, program, until) {
                Ok(context) => return Ok(session.keep(context, program)),
                Err(failure) if may_be_forged(&failure, connection.form(), &mut attempts) => {}
                Err(failure) => return Err(failure),
            }
        }
    }

    fn make(
        &self,
        (mut setup, mut token): (Setup, Vec<u8>),
        connection: &Connection,
        program: (u32, u32),
        until: Deadline,
    ) -> Result<Context, Failure> {
        loop {
            let mut out = connection.buffer();
            let draft = step(&setup, &token, program, connection.form(), &mut out)?;
            let xid = connection.calls(|calls| calls.launch_step(&draft, &mut out))?;
            let sent = connection.send(&out, until, Some(xid));
            connection.reuse(out);
            sent.inspect_err(|_| connection.forget(xid))?;
            let reply = connection.wait(xid, until, self.timeout)?;
            match next(setup, reply.bytes())? {
                Progress::Send(further, answer) => (setup, token) = (further, answer),
                Progress::Ready(context) => return Ok(context),
            }
        }
    }

    /// Whether the call is to be made again: the server does not know what it was made with.
    pub(super) fn is_worth_another<T>(&self, begun: &Begun, outcome: &Result<T, Failure>) -> bool {
        let (Some(session), Some(context)) = (&self.shared.session, &begun.context) else {
            return is_forgotten(outcome);
        };
        let is_lost = is_lost(outcome);
        if is_lost {
            session.forget(context);
        }
        is_lost
    }
}

impl Session {
    /// What tells the server that the context is not used any more.
    pub(super) fn farewell(&self, calls: &mut Calls, form: Form) -> Option<Vec<u8>> {
        let present = self.lock().take()?;
        if calls.is_closed() {
            return None;
        }
        let (xid, mut out) = (calls.reserve(), Vec::new());
        let framing = || {
            form.frame(&mut out, |out| {
                let destroyed = present.context.destroy(xid, present.program, out);
                destroyed.map(drop).map_err(Failure::Unsealed)
            })
        };
        // A client may go while its mechanism panics: a second panic would end the process.
        let framed = catch_unwind(AssertUnwindSafe(framing));
        framed.ok()?.ok().map(|_| out)
    }

    /// Tells it, if that can be done at once.
    pub(super) fn end(&self, connection: &Connection) {
        let form = connection.form();
        if connection.can_block() {
            return;
        }
        if let Some(message) = connection.calls(|calls| self.farewell(calls, form)) {
            // One that is not sent is forgotten by the server in its own time.
            let _ = connection.send(&message, Deadline::from_ns(0), None);
        }
    }
}
