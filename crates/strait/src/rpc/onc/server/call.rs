//! A call from its message to its reply, whatever carries them.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll, Waker};

use strait_wire::onc::auth::{Flavor, OpaqueAuth};
use strait_wire::onc::message::{Accepted, AuthStat, Denied, NULL, Procedure, Xid};
use strait_wire::onc::record::{MARK_LEN, mark};
use strait_wire::onc::server::{self as wire, Ignored, Key, Unsent, Verdict, parse_call};

use super::event::Event;
use super::lock;
use super::shared::{Cache, Counts, Shared};
use crate::rpc::onc::{Answer, Caller, Context, Refusal};

/// Bytes of a reply's header without a verifier's body.
const HEADER_LEN: usize = 24;
/// Room for small results, so that most replies are allocated once.
const REPLY_ROOM: usize = 128;

/// Where a message comes from, and what becomes of its reply.
pub(super) struct Origin<'a> {
    pub(super) caller: &'a Caller,
    pub(super) reached: Option<SocketAddr>,
    pub(super) form: Form,
    /// The connection, if it is one.
    pub(super) connection: Option<u64>,
    /// Where repeated calls are known by, and the address they are known by.
    pub(super) cache: Option<(&'a Arc<Cache>, SocketAddr)>,
}

/// How a reply is carried.
#[derive(Copy, Clone, Debug)]
pub(super) struct Form {
    /// Bytes before the reply: a record's mark, or none.
    pub(super) lead: usize,
    /// The longest reply.
    pub(super) max: usize,
}

/// What becomes of a message.
pub(super) enum Outcome {
    /// This is sent at once.
    Reply(Vec<u8>),
    /// This is to be run, and ends with the reply.
    Later(Later),
    /// Nothing is sent: the same call is in progress, or too many are.
    Repeated,
    /// It is no call.
    Ignored(Ignored),
}

/// Takes a message apart, and does what it asks for as far as that can be done at once.
pub(super) fn begin(shared: &Arc<Shared>, origin: &Origin<'_>, message: &[u8]) -> Outcome {
    let form = origin.form;
    let call = match parse_call(message, &shared.caps()) {
        Ok(call) => call,
        Err(wire::Answer::Reply { denied, message }) => {
            Counts::add(&shared.counts.refused);
            let xid = message.first_chunk().copied().map(u32::from_be_bytes);
            return Outcome::Reply(form.deny(Xid(xid.unwrap_or(0)), denied));
        }
        Err(wire::Answer::Drop(why)) => {
            Counts::add(&shared.counts.ignored);
            return Outcome::Ignored(why);
        }
    };
    Counts::add(&shared.counts.calls);
    let (xid, procedure) = (call.header.xid, call.header.procedure);
    let is_null = procedure.number == NULL;
    let denied = |why| {
        Counts::add(&shared.counts.refused);
        Outcome::Reply(form.deny(xid, Denied::Auth(why)))
    };
    let Some((credential, verifier)) = known(shared, origin.connection, call.header.credential)
    else {
        return denied(AuthStat::REJECTED_CREDENTIAL);
    };
    let required = shared.options.required;
    if !is_null && required.is_some_and(|required| required != credential.flavor) {
        return denied(AuthStat::TOO_WEAK);
    }
    let program = match shared.programs.find(procedure.program, procedure.version) {
        Ok(_) if is_null => return Outcome::Reply(form.end(form.begin(xid, &verifier))),
        Ok(program) => Arc::clone(program),
        Err(status) => {
            Counts::add(&shared.counts.refused);
            return Outcome::Reply(form.refuse(xid, status));
        }
    };
    let remembered = match remember(shared, origin, (xid, procedure), message) {
        ControlFlow::Continue(remembered) => remembered,
        ControlFlow::Break(outcome) => return outcome,
    };
    let task = Task {
        shared: Arc::clone(shared),
        caller: origin.caller.clone(),
        procedure,
        xid,
        form,
        remembered,
    };
    let context = Context {
        caller: task.caller.clone(),
        reached: origin.reached,
        xid,
        procedure,
        credential,
    };
    let (arguments, reply) = (call.arguments, form.begin(xid, &verifier));
    let begun = catch_unwind(AssertUnwindSafe(|| {
        program.dispatch(context, procedure.number, arguments, reply)
    }));
    match begun {
        Ok(Ok(answer)) => Later { answer, task }.at_once(),
        Ok(Err(refusal)) => Outcome::Reply(task.finish(Err(refusal))),
        Err(_) => Outcome::Reply(task.panicked()),
    }
}

/// A call in a table of those that have come.
type Remembered = (Arc<Cache>, Key<SocketAddr>);

/// Puts a call into the table of its origin, if there is one; what becomes of one that is there
/// already.
fn remember(
    shared: &Shared,
    origin: &Origin<'_>,
    (xid, procedure): (Xid, Procedure),
    message: &[u8],
) -> ControlFlow<Outcome, Option<Remembered>> {
    let Some((cache, address)) = origin.cache else {
        return ControlFlow::Continue(None);
    };
    let key = Key::new(address, xid, procedure, message);
    let outcome = match lock(cache).begin(shared.time(), key) {
        Verdict::New => return ControlFlow::Continue(Some((Arc::clone(cache), key))),
        Verdict::Done(reply) => Outcome::Reply(reply.to_vec()),
        Verdict::InProgress | Verdict::Full => Outcome::Repeated,
    };
    Counts::add(&shared.counts.repeated);
    ControlFlow::Break(outcome)
}

/// The credential that a caller means, and the verifier that answers it; `None`: he says what was
/// not handed out to him, or is forgotten.
fn known(
    shared: &Shared,
    connection: Option<u64>,
    said: OpaqueAuth<'_>,
) -> Option<(OpaqueAuth<'static>, OpaqueAuth<'static>)> {
    let none = OpaqueAuth::NONE;
    let Some((shorts, connection)) = shared.shorts.as_ref().zip(connection) else {
        // Nothing is handed out there.
        return (said.flavor != Flavor::SHORT || shared.shorts.is_none())
            .then(|| (said.into_owned(), none));
    };
    let now = shared.time();
    match said.flavor {
        Flavor::SHORT => {
            let body = lock(shorts).find(now, connection, &said.body)?.to_vec();
            Counts::add(&shared.counts.short);
            let flavor = Flavor::SYS;
            let body = body.into();
            Some((OpaqueAuth { flavor, body }, none))
        }
        Flavor::SYS => {
            let short = lock(shorts).hand_out(now, connection, &said.body);
            let short = short.map(|body| OpaqueAuth::short(body.to_vec()));
            let verifier = short.and_then(|short| OpaqueAuth::handing_out(&short).ok());
            Some((said.into_owned(), verifier.unwrap_or(none)))
        }
        _ => Some((said.into_owned(), none)),
    }
}

/// A call in progress.
pub(super) struct Later {
    answer: Answer,
    task: Task,
}

impl Later {
    /// Many handlers end without waiting for anything, and need no task of their own.
    fn at_once(mut self) -> Outcome {
        // A handler that waits is polled again by its own task, and tells that task's waker.
        match self.step(&mut Poller::from_waker(Waker::noop())) {
            Poll::Ready(reply) => Outcome::Reply(reply),
            Poll::Pending => Outcome::Later(self),
        }
    }

    fn step(&mut self, poller: &mut Poller<'_>) -> Poll<Vec<u8>> {
        let answer = self.answer.as_mut();
        match catch_unwind(AssertUnwindSafe(|| answer.poll(poller))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(result)) => Poll::Ready(self.task.finish(result)),
            Err(_) => Poll::Ready(self.task.panicked()),
        }
    }
}

impl Future for Later {
    type Output = Vec<u8>;

    fn poll(mut self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<Vec<u8>> {
        self.step(poller)
    }
}

/// What is known of a call until it is answered.
struct Task {
    shared: Arc<Shared>,
    caller: Caller,
    procedure: Procedure,
    xid: Xid,
    form: Form,
    remembered: Option<Remembered>,
}

impl Task {
    fn finish(&self, result: Result<Vec<u8>, Refusal>) -> Vec<u8> {
        let reply = match result {
            Ok(reply) => self.fit(reply),
            Err(refusal) => {
                Counts::add(&self.shared.counts.refused);
                self.form.turn_away(self.xid, refusal)
            }
        };
        if let Some((cache, key)) = &self.remembered {
            lock(cache).finish(self.shared.time(), *key, &reply);
        }
        reply
    }

    /// The reply, or what is said if it is longer than may be sent, or not even a header.
    fn fit(&self, reply: Vec<u8>) -> Vec<u8> {
        let Form { lead, max } = self.form;
        let len = reply.len().saturating_sub(lead);
        if len >= HEADER_LEN && len <= max {
            return self.form.end(reply);
        }
        Counts::add(&self.shared.counts.refused);
        if len > max {
            self.shared.tell(|| Event::Unsent {
                procedure: self.procedure,
                caller: self.caller.clone(),
                why: Unsent::TooLong { len, max },
            });
        }
        self.form.refuse(self.xid, Accepted::SystemError)
    }

    fn panicked(&self) -> Vec<u8> {
        Counts::add(&self.shared.counts.panicked);
        self.shared.tell(|| Event::Panicked {
            procedure: self.procedure,
            caller: self.caller.clone(),
        });
        self.finish(Err(Refusal::SystemError))
    }
}

impl Form {
    fn room(self) -> Vec<u8> {
        let mut reply = Vec::with_capacity(REPLY_ROOM);
        reply.resize(self.lead, 0);
        reply
    }

    /// A reply up to its results.
    fn begin(self, xid: Xid, verifier: &OpaqueAuth<'_>) -> Vec<u8> {
        let mut reply = self.room();
        let written = wire::success(&mut reply, xid, verifier, |_| Ok(()));
        debug_assert!(written.is_ok(), "a verifier of this side's is short");
        reply
    }

    /// A reply that is complete but for its mark.
    fn end(self, mut reply: Vec<u8>) -> Vec<u8> {
        let len = reply.len().saturating_sub(self.lead);
        if self.lead == MARK_LEN
            && let (Ok(mark), Some(room)) = (mark(len), reply.first_chunk_mut())
        {
            *room = mark;
        }
        reply
    }

    fn refuse(self, xid: Xid, status: Accepted) -> Vec<u8> {
        let mut reply = self.room();
        let written = wire::refuse(&mut reply, xid, &OpaqueAuth::NONE, status);
        debug_assert!(
            written.is_ok(),
            "a header without a verifier has no bound to break"
        );
        self.end(reply)
    }

    fn deny(self, xid: Xid, denied: Denied) -> Vec<u8> {
        let mut reply = self.room();
        wire::deny(&mut reply, xid, denied);
        self.end(reply)
    }

    fn turn_away(self, xid: Xid, refusal: Refusal) -> Vec<u8> {
        match refusal {
            Refusal::ProgramUnavailable => self.refuse(xid, Accepted::ProgramUnavailable),
            Refusal::ProgramMismatch { low, high } => {
                self.refuse(xid, Accepted::ProgramMismatch { low, high })
            }
            Refusal::ProcedureUnavailable => self.refuse(xid, Accepted::ProcedureUnavailable),
            Refusal::GarbageArguments => self.refuse(xid, Accepted::GarbageArguments),
            Refusal::SystemError => self.refuse(xid, Accepted::SystemError),
            Refusal::Auth(why) => self.deny(xid, Denied::Auth(why)),
            // Nothing is sent of nothing.
            Refusal::Silence => Vec::new(),
        }
    }
}
