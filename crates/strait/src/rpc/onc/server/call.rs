//! A call from its message to its reply, whatever carries them.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll, Waker};

use strait_wire::onc::auth::{Flavor, OpaqueAuth};
use strait_wire::onc::gss::Unsound;
use strait_wire::onc::gss::server::Handle;
use strait_wire::onc::message::{Accepted, AuthStat, Denied, NULL, Procedure, Xid};
use strait_wire::onc::record::{MARK_LEN, mark};
use strait_wire::onc::server::{self as wire, Ignored, Key, Unsent, Verdict, parse_call};
use strait_wire::xdr::Encode;

use super::event::Event;
use super::shared::{Cache, Counts, Shared, Whose, whose};
use super::{contained, lock};
use crate::rpc::onc::gss::server::{Opened, Seal, Token};
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
    Later(Box<Later>),
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
    let denied = |why| {
        Counts::add(&shared.counts.refused);
        Outcome::Reply(form.deny(xid, Denied::Auth(why)))
    };
    let credential = call.header.credential.clone();
    let Some(known) = known(shared, origin.connection, credential) else {
        return denied(AuthStat::REJECTED_CREDENTIAL);
    };
    if shared.is_too_weak(origin.caller, procedure, known.0.flavor) {
        return denied(AuthStat::TOO_WEAK);
    }
    match admit(shared, origin, message, &call) {
        Ok(admitted) => carry_out(shared, origin, (message, call), (admitted, known)),
        Err(outcome) => outcome,
    }
}

/// Does what a call asks for that may be done as far as RPCSEC_GSS goes.
fn carry_out(
    shared: &Arc<Shared>,
    origin: &Origin<'_>,
    (message, call): (&[u8], wire::Call<'_>),
    (admitted, known): (Admitted<'_>, Known),
) -> Outcome {
    let (xid, procedure, form) = (call.header.xid, call.header.procedure, origin.form);
    let is_null = procedure.number == NULL && admitted.token.is_none();
    let (seal, (credential, verifier)) = (admitted.seal, known);
    let who = (origin.caller, procedure);
    let sealed = |plain| Outcome::Reply(sealed(shared, who, seal.as_ref(), form, plain));
    let program = match shared.programs.find(procedure.program, procedure.version) {
        Ok(_) if is_null => return sealed(form.end(form.begin(xid, &verifier))),
        Ok(program) => Arc::clone(program),
        Err(status) => {
            Counts::add(&shared.counts.refused);
            return sealed(form.refuse(xid, status));
        }
    };
    // Sent again under RPCSEC_GSS a call has another number and another proof.
    let at_length = said_at_length(shared, origin, &credential, call.arguments);
    let same = match &seal {
        Some(seal) => (Some(seal.handle()), &*admitted.arguments),
        None => (None, at_length.as_deref().unwrap_or(message)),
    };
    let remembered = match remember(shared, origin, (xid, procedure), same) {
        Ok(remembered) => remembered,
        Err(Some(reply)) => return sealed(reply),
        Err(None) => return Outcome::Repeated,
    };
    let task = Task {
        shared: Arc::clone(shared),
        caller: origin.caller.clone(),
        procedure,
        xid,
        form,
        remembered,
        seal,
    };
    if let Some(token) = admitted.token {
        let who = (task.caller.clone(), form, xid);
        let answer = Box::pin(answer_token(token, Arc::clone(shared), who));
        return Later { answer, task }.at_once();
    }
    let context = Context {
        caller: task.caller.clone(),
        reached: origin.reached,
        xid,
        procedure,
        credential,
        gss: task.seal.as_ref().map(Seal::proof),
        xdr: shared.options.xdr,
    };
    let reply = form.begin(xid, &verifier);
    let begun = caught(shared, who, || {
        program.dispatch(context, procedure.number, &admitted.arguments, reply)
    });
    match begun {
        Some(Ok(answer)) => Later { answer, task }.at_once(),
        Some(Err(refusal)) => Outcome::Reply(task.finish(Err(refusal))),
        None => Outcome::Reply(task.panicked()),
    }
}

/// Of a call whose caller is said short, or may be when it comes again: what both have.
fn said_at_length(
    shared: &Shared,
    origin: &Origin<'_>,
    credential: &OpaqueAuth<'_>,
    arguments: &[u8],
) -> Option<Vec<u8>> {
    let may_be_short = shared.shorts.is_some() && origin.connection.is_some();
    let is_same = may_be_short && origin.cache.is_some() && credential.flavor == Flavor::SYS;
    is_same.then(|| [&*credential.body, arguments].concat())
}

/// A call in a table of those that have come.
type Remembered = (Arc<Cache>, Key<IpAddr, Whose>);

/// Puts a call into the table of its origin, if there is one.
///
/// # Errors
/// What was answered to one that is there already, or that it is to be dropped.
fn remember(
    shared: &Shared,
    origin: &Origin<'_>,
    (xid, procedure): (Xid, Procedure),
    (context, message): (Option<Handle>, &[u8]),
) -> Result<Option<Remembered>, Option<Vec<u8>>> {
    let Some((cache, address)) = origin.cache else {
        return Ok(None);
    };
    let key = Key::new(whose(address, context), xid, procedure, message);
    let answered = match lock(cache).begin(shared.time(), key) {
        Verdict::New => return Ok(Some((Arc::clone(cache), key))),
        Verdict::Done(reply) => Some(reply.to_vec()),
        Verdict::InProgress | Verdict::Full => None,
    };
    Counts::add(&shared.counts.repeated);
    Err(answered)
}

/// A call that may be carried out as far as RPCSEC_GSS goes.
struct Admitted<'a> {
    arguments: Cow<'a, [u8]>,
    /// It is a step on the way to a context.
    token: Option<Token>,
    seal: Option<Seal>,
}

/// Takes a call out of its protection, if it has one.
fn admit<'a>(
    shared: &Shared,
    origin: &Origin<'_>,
    message: &[u8],
    call: &wire::Call<'a>,
) -> Result<Admitted<'a>, Outcome> {
    let guard = shared.guard.as_ref();
    let Some(guard) = guard.filter(|_| call.header.credential.flavor == Flavor::GSS) else {
        return Ok(Admitted {
            arguments: call.arguments.into(),
            token: None,
            seal: None,
        });
    };
    let (form, xid, procedure) = (origin.form, call.header.xid, call.header.procedure);
    let who = (origin.caller, procedure);
    let opened = caught(shared, who, || guard.open(shared.time(), message, call));
    let (plain, seal) = match opened.unwrap_or(Opened::Busy) {
        Opened::Call { arguments, seal } => {
            return Ok(Admitted {
                arguments,
                token: None,
                seal: Some(seal),
            });
        }
        Opened::Token(token) => {
            return Ok(Admitted {
                arguments: Cow::default(),
                token: Some(token),
                seal: None,
            });
        }
        Opened::Dropped => {
            Counts::add(&shared.counts.repeated);
            return Err(Outcome::Repeated);
        }
        Opened::Destroyed(seal) => (form.end(form.begin(xid, &OpaqueAuth::NONE)), Some(seal)),
        Opened::Garbage(seal) => {
            Counts::add(&shared.counts.refused);
            (form.refuse(xid, Accepted::GarbageArguments), seal)
        }
        Opened::Busy => {
            Counts::add(&shared.counts.refused);
            (form.refuse(xid, Accepted::SystemError), None)
        }
        Opened::Denied(why, fault) => {
            Counts::add(&shared.counts.refused);
            if let Some(fault) = fault {
                unproven(shared, origin.caller, fault.into());
            }
            (form.deny(xid, Denied::Auth(why)), None)
        }
    };
    let reply = sealed(shared, who, seal.as_ref(), form, plain);
    Err(Outcome::Reply(reply))
}

/// `None`: what others have written has panicked, which is told, and ends nothing else.
fn caught<T>(
    shared: &Shared,
    (caller, procedure): (&Caller, Procedure),
    work: impl FnOnce() -> T,
) -> Option<T> {
    let done = contained(work);
    if done.is_none() {
        Counts::add(&shared.counts.panicked);
        let caller = caller.clone();
        shared.tell(|| Event::Panicked { procedure, caller });
    }
    done
}

/// The reply as its caller can prove it. If it is too long with that, SYSTEM_ERR is.
fn sealed(
    shared: &Shared,
    (caller, procedure): (&Caller, Procedure),
    seal: Option<&Seal>,
    form: Form,
    plain: Vec<u8>,
) -> Vec<u8> {
    let Some(seal) = seal.filter(|_| !plain.is_empty()) else {
        return plain;
    };
    let xid = plain.get(form.lead..).and_then(|reply| reply.first_chunk());
    let xid = Xid(xid.copied().map_or(0, u32::from_be_bytes));
    // A reply that cannot be sealed is none.
    let apply = |plain| {
        let applied = caught(shared, (caller, procedure), || seal.apply(form.lead, plain));
        applied.map_or_else(Vec::new, |applied| {
            applied.unwrap_or_else(|(reply, why)| {
                unproven(shared, caller, why);
                reply
            })
        })
    };
    let mut reply = apply(plain);
    let (len, max) = (reply.len().saturating_sub(form.lead), form.max);
    if len > max {
        let (caller, why) = (caller.clone(), Unsent::TooLong { len, max });
        shared.tell(|| Event::Unsent {
            procedure,
            caller,
            why,
        });
        reply = apply(form.refuse(xid, Accepted::SystemError));
    }
    form.end(reply)
}

fn unproven(shared: &Shared, caller: &Caller, why: Unsound) {
    let caller = caller.clone();
    shared.tell(|| Event::Gss { caller, why });
}

/// Takes a step on the way to a context. A mechanism reads files and may write them: not in a task.
async fn answer_token(
    token: Token,
    shared: Arc<Shared>,
    (caller, form, xid): (Caller, Form, Xid),
) -> Result<Vec<u8>, Refusal> {
    let mut handle = Handle::default();
    let drawn = rustix::rand::getrandom(&mut handle, rustix::rand::GetRandomFlags::empty());
    if drawn != Ok(handle.len()) {
        return Err(Refusal::SystemError);
    }
    let clock = Arc::clone(&shared);
    let step = move || token.answer(|| clock.time(), handle);
    let answer = match tokio::task::spawn_blocking(step).await {
        Ok(answer) => answer,
        // As a handler's: who polls this one tells.
        Err(ended) if ended.is_panic() => resume_unwind(ended.into_panic()),
        Err(_) => return Err(Refusal::SystemError),
    };
    if let Some(fault) = answer.fault {
        unproven(&shared, &caller, fault.into());
    }
    let mut reply = form.room();
    let results = answer.results;
    wire::success(&mut reply, xid, &answer.verifier, |to| results.encode(to))
        .map_err(|_| Refusal::SystemError)?;
    Ok(reply)
}

/// The credential that a caller means, and the verifier that answers it.
type Known = (OpaqueAuth<'static>, OpaqueAuth<'static>);

/// What a credential means; `None`: he says what was not handed out to him, or is forgotten.
fn known(shared: &Shared, connection: Option<u64>, said: OpaqueAuth<'_>) -> Option<Known> {
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
            Poll::Pending => Outcome::Later(Box::new(self)),
        }
    }

    fn step(&mut self, poller: &mut Poller<'_>) -> Poll<Vec<u8>> {
        let (answer, task) = (self.answer.as_mut(), &self.task);
        let who = (&task.caller, task.procedure);
        let result = match caught(&task.shared, who, || answer.poll(poller)) {
            Some(Poll::Pending) => return Poll::Pending,
            Some(Poll::Ready(result)) => Some(result),
            None => None,
        };
        // What the handler leaves behind may panic too, and what was said is said.
        let answer = std::mem::replace(&mut self.answer, Box::pin(std::future::pending()));
        let _ = contained(|| drop(answer));
        Poll::Ready(match result {
            Some(result) => self.task.finish(result),
            None => self.task.panicked(),
        })
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
    seal: Option<Seal>,
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
        let (who, seal) = ((&self.caller, self.procedure), self.seal.as_ref());
        sealed(&self.shared, who, seal, self.form, reply)
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
