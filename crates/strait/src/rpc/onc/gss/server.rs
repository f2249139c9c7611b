//! A server's side of RPCSEC_GSS: from a call as it came to its arguments, and from a reply to what
//! proves it.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strait_wire::onc::auth::{Flavor, OpaqueAuth};
use strait_wire::onc::gss::server::{Contexts, Handle, Unfinished};
use strait_wire::onc::gss::{
    Acceptor, Credential, Fate, Fault, InitArguments, InitResults, Major, Purpose, SecurityContext,
    Service, Step, Unsound, open, seal,
};
use strait_wire::onc::message::{Accepted, AuthStat, Denied, NULL, ReplyBody, ReplyHeader};
use strait_wire::onc::server::{Call, deny, refuse, success};
use strait_wire::time::Time;
use strait_wire::xdr::{Decode, Reader};

use super::{Limits, Proof};

/// Who may call, and all contexts.
pub(in crate::rpc::onc) struct Guard {
    acceptor: Arc<dyn Acceptor>,
    least: Service,
    contexts: Mutex<Contexts>,
    /// Steps that are waiting or being taken, and how many may be: each holds its token.
    steps: AtomicUsize,
    steps_max: usize,
}

/// What a call is.
pub(in crate::rpc::onc) enum Opened<'a> {
    /// To be carried out.
    Call {
        arguments: Cow<'a, [u8]>,
        seal: Seal,
    },
    /// A step on the way to a context; it may take a while.
    Token(Token),
    /// The end of a context: success without results.
    Destroyed(Seal),
    /// AUTH_ERROR, and what the mechanism says.
    Denied(AuthStat, Option<Fault>),
    /// GARBAGE_ARGS; without a seal if there is no context yet.
    Garbage(Option<Seal>),
    /// SYSTEM_ERR: too many steps are being taken.
    Busy,
    /// Nobody is told.
    Dropped,
}

impl Guard {
    pub(in crate::rpc::onc) fn new(
        acceptor: Arc<dyn Acceptor>,
        least: Service,
        limits: Limits,
    ) -> Self {
        Self {
            acceptor,
            least,
            contexts: Mutex::new(Contexts::new(limits)),
            steps: AtomicUsize::new(0),
            steps_max: limits.unfinished,
        }
    }

    fn contexts(&self) -> MutexGuard<'_, Contexts> {
        self.contexts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a call out of its protection.
    pub(in crate::rpc::onc) fn open<'a>(
        self: &Arc<Self>,
        now: Time,
        message: &[u8],
        call: &Call<'a>,
    ) -> Opened<'a> {
        let header = &call.header;
        let credential = match Credential::parse(&header.credential.body) {
            Ok(credential) => credential,
            Err(why) => return Opened::Denied(why, None),
        };
        let is_null = header.procedure.number == NULL;
        match credential.purpose {
            // RFC 2203 section 5.3.3.3: an illegal control procedure.
            Purpose::Init | Purpose::ContinueInit | Purpose::Destroy if !is_null => {
                Opened::Denied(AuthStat::BAD_CREDENTIAL, None)
            }
            Purpose::Init if !credential.handle.is_empty() => {
                Opened::Denied(AuthStat::BAD_CREDENTIAL, None)
            }
            Purpose::Init | Purpose::ContinueInit => self.token(&credential, call.arguments),
            Purpose::Data | Purpose::Destroy => {
                let proven = message.get(..header.credential_end()).unwrap_or_default();
                match self.prove(now, &credential, proven, &header.verifier) {
                    Ok(seal) => self.take_out(&credential, call, seal),
                    Err(not) => not,
                }
            }
        }
    }

    fn token(self: &Arc<Self>, credential: &Credential<'_>, arguments: &[u8]) -> Opened<'static> {
        let mut from = Reader::new(arguments);
        let decoded = InitArguments::decode(&mut from);
        let Ok(arguments) = decoded.and_then(|arguments| from.finish().map(|()| arguments)) else {
            return Opened::Garbage(None);
        };
        if self.steps.fetch_add(1, SeqCst) >= self.steps_max {
            self.steps.fetch_sub(1, SeqCst);
            return Opened::Busy;
        }
        Opened::Token(Token {
            guard: Arc::clone(self),
            purpose: credential.purpose,
            handle: credential.handle.to_vec(),
            token: arguments.token.into_owned(),
        })
    }

    /// Holds the header against its context and its number against the window.
    fn prove(
        &self,
        now: Time,
        credential: &Credential<'_>,
        proven: &[u8],
        verifier: &OpaqueAuth<'_>,
    ) -> Result<Seal, Opened<'static>> {
        let (handle, sequence) = (&*credential.handle, credential.sequence);
        let is_lost = || Opened::Denied(AuthStat::GSS_CREDENTIAL_PROBLEM, None);
        let found = self.contexts().find(now, handle, sequence);
        let context = match found {
            Ok(context) => context,
            Err(None) => return Err(is_lost()),
            Err(Some(fate)) => return Err(by_fate(fate)),
        };
        if verifier.flavor != Flavor::GSS {
            return Err(Opened::Denied(AuthStat::BAD_VERIFIER, None));
        }
        // Not under the lock: it takes its time.
        if let Err(fault) = context.verify(proven, &verifier.body) {
            let why = match fault.major {
                Major::CONTEXT_EXPIRED | Major::CREDENTIALS_EXPIRED => {
                    self.contexts().destroy(handle);
                    AuthStat::GSS_CONTEXT_PROBLEM
                }
                _ => AuthStat::GSS_CREDENTIAL_PROBLEM,
            };
            return Err(Opened::Denied(why, Some(fault)));
        }
        match self.contexts().accept(now, handle, sequence) {
            Some(Fate::New) => Ok(Seal {
                handle: Handle::try_from(handle).unwrap_or_default(),
                context,
                service: credential.service,
                sequence,
            }),
            Some(fate) => Err(by_fate(fate)),
            None => Err(is_lost()),
        }
    }

    /// The call is the other side's own.
    fn take_out<'a>(&self, credential: &Credential<'_>, call: &Call<'a>, seal: Seal) -> Opened<'a> {
        if credential.purpose == Purpose::Destroy {
            self.contexts().destroy(&credential.handle);
            return Opened::Destroyed(seal);
        }
        if credential.service < self.least && call.header.procedure.number != NULL {
            return Opened::Denied(AuthStat::TOO_WEAK, None);
        }
        let opened = open(&*seal.context, seal.service, seal.sequence, call.arguments);
        match opened {
            Ok(arguments) => Opened::Call { arguments, seal },
            Err(_) => Opened::Garbage(Some(seal)),
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("least", &self.least)
            .field("contexts", &*self.contexts())
            .finish_non_exhaustive()
    }
}

/// What becomes of a call whose number is not new.
fn by_fate(fate: Fate) -> Opened<'static> {
    match fate {
        Fate::Exhausted => Opened::Denied(AuthStat::GSS_CONTEXT_PROBLEM, None),
        _ => Opened::Dropped,
    }
}

/// A token that has come. What it takes may be slow: files are read, and written.
pub(in crate::rpc::onc) struct Token {
    guard: Arc<Guard>,
    purpose: Purpose,
    handle: Vec<u8>,
    token: Vec<u8>,
}

impl Drop for Token {
    fn drop(&mut self) {
        self.guard.steps.fetch_sub(1, SeqCst);
    }
}

/// What is said of a token.
pub(in crate::rpc::onc) struct Answer {
    pub(in crate::rpc::onc) results: InitResults<'static>,
    pub(in crate::rpc::onc) verifier: OpaqueAuth<'static>,
    /// Why there is no context.
    pub(in crate::rpc::onc) fault: Option<Fault>,
}

impl Token {
    /// Takes the step. `handle`: for a new context, drawn at random.
    pub(in crate::rpc::onc) fn answer(self, now: impl Fn() -> Time, handle: Handle) -> Answer {
        self.step(now, handle).unwrap_or_else(|fault| Answer {
            results: InitResults {
                handle: Cow::default(),
                major: fault.major,
                minor: fault.minor,
                window: 0,
                token: Cow::default(),
            },
            verifier: OpaqueAuth::NONE,
            fault: Some(fault),
        })
    }

    fn step(self, now: impl Fn() -> Time, new: Handle) -> Result<Answer, Fault> {
        let guard = &self.guard;
        let (handle, mut unfinished) = if self.purpose == Purpose::Init {
            (new, Unfinished::new(guard.acceptor.begin()?))
        } else {
            // RFC 2203 section 5.2.3.2: AUTH_ERROR has no word for it here.
            let lost = || Fault::new(Major::NO_CONTEXT, "no context of that handle is being made");
            let handle = Handle::try_from(&*self.handle).map_err(|_| lost())?;
            let taken = guard.contexts().take(now(), &handle);
            (handle, taken.ok_or_else(lost)?)
        };
        let step = unfinished.negotiation.step(&self.token)?;
        let window = guard.contexts().window();
        let (major, token, verifier) = match step {
            Step::Continue(token) => {
                guard.contexts().put(now(), handle, unfinished);
                (Major::CONTINUE_NEEDED, token, OpaqueAuth::NONE)
            }
            Step::Done { token, context } => {
                let body = context.mic(&window.to_be_bytes())?.into();
                guard.contexts().establish(now(), handle, context);
                let flavor = Flavor::GSS;
                let verifier = OpaqueAuth { flavor, body };
                (Major::COMPLETE, token.unwrap_or_default(), verifier)
            }
        };
        Ok(Answer {
            results: InitResults {
                handle: handle.to_vec().into(),
                major,
                minor: 0,
                window,
                token: token.into(),
            },
            verifier,
            fault: None,
        })
    }
}

/// How the reply to a call is protected.
#[derive(Clone)]
pub(in crate::rpc::onc) struct Seal {
    handle: Handle,
    context: Arc<dyn SecurityContext>,
    service: Service,
    sequence: u32,
}

impl Seal {
    /// What the context is called that has proven the call.
    pub(in crate::rpc::onc) const fn handle(&self) -> Handle {
        self.handle
    }

    /// What the one who answers is told.
    pub(in crate::rpc::onc) fn proof(&self) -> Proof {
        Proof {
            context: Arc::clone(&self.context),
            service: self.service,
        }
    }

    /// The reply that `plain` is after its first `lead` bytes, under protection. A denial has none.
    /// An empty one: the results cannot be protected, and nothing is sent.
    ///
    /// # Errors
    /// The mechanism fails: what is sent nevertheless, and why.
    pub(in crate::rpc::onc) fn apply(
        &self,
        lead: usize,
        plain: Vec<u8>,
    ) -> Result<Vec<u8>, (Vec<u8>, Unsound)> {
        let message = plain.get(lead..).unwrap_or_default();
        let mut from = Reader::new(message);
        let Ok(header) = ReplyHeader::decode(&mut from) else {
            return Ok(plain);
        };
        let xid = header.xid;
        let ReplyBody::Accepted { status, .. } = header.body else {
            return Ok(plain);
        };
        let mut out = plain[..lead].to_vec();
        // RFC 2203 section 5.3.3.4.1.
        let unsigned = |mut out: Vec<u8>, why| {
            out.truncate(lead);
            deny(&mut out, xid, Denied::Auth(AuthStat::GSS_CONTEXT_PROBLEM));
            Err((out, why))
        };
        let verifier = match self.context.mic(&self.sequence.to_be_bytes()) {
            Ok(mic) => OpaqueAuth {
                flavor: Flavor::GSS,
                body: mic.into(),
            },
            Err(fault) => return unsigned(out, fault.into()),
        };
        if status != Accepted::Success {
            return match refuse(&mut out, xid, &verifier, status) {
                Ok(()) => Ok(out),
                Err(error) => unsigned(out, error.into()),
            };
        }
        if let Err(unsent) = success(&mut out, xid, &verifier, |_| Ok(())) {
            let fault = Fault::new(Major::FAILURE, unsent.to_string());
            return unsigned(out, fault.into());
        }
        // RFC 2203 section 5.3.3.4.4: no reply.
        let sealed = seal(
            &*self.context,
            self.service,
            self.sequence,
            from.rest(),
            &mut out,
        );
        sealed.map(|()| out).map_err(|why| (Vec::new(), why))
    }
}
