//! A client's context: made by tokens, and then used for calls.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::{
    Credential, Fault, InitArguments, InitResults, Initiator, Major, Negotiation, Purpose,
    SEQUENCE_MAX, STEPS_MAX, SecurityContext, Service, Step, Unsound, open, seal,
};
use crate::onc::auth::{Flavor, OpaqueAuth};
use crate::onc::message::{Accepted, CallHeader, NULL, Procedure, ReplyBody, ReplyHeader, Xid};
use crate::xdr::{Decode, Encode, Error, Reader, Writer};

/// Why there is no context.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Refused {
    /// The mechanism on this side says so.
    Here(Fault),
    /// The server says so.
    There {
        /// In the words of GSS-API.
        major: Major,
        /// In the mechanism's own.
        minor: u32,
    },
    /// What the server says cannot be decoded.
    Malformed(Error),
    /// The server is done and this side is not, or the other way round, or it goes on for ever.
    OutOfStep,
    /// The server does not prove that it is the other side of the context.
    Unproven(Unsound),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(fault) => fault.fmt(f),
            Self::There { major, minor } => {
                write!(f, "the server says {major}, minor status {minor}")
            }
            Self::Malformed(error) => write!(f, "the server's answer is not well formed {error}"),
            Self::OutOfStep => f.write_str("the server is not in step with the mechanism"),
            Self::Unproven(why) => write!(f, "the server does not prove who it is: {why}"),
        }
    }
}

impl core::error::Error for Refused {}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Here(fault)
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Malformed(error)
    }
}

/// How far a context has come.
#[derive(Debug)]
pub enum Progress {
    /// This token is to be sent, with [`Setup::credential`].
    Send(Setup, Vec<u8>),
    /// It is there.
    Ready(Context),
}

/// A context that is being made. Its calls are of procedure 0, with AUTH_NONE as verifier.
pub struct Setup {
    negotiation: Box<dyn Negotiation>,
    service: Service,
    handle: Vec<u8>,
    /// This side is done.
    context: Option<Arc<dyn SecurityContext>>,
    steps: u32,
}

impl Setup {
    /// Begins, and gives the first token. `service`: that of the calls to come. It means nothing
    /// here (RFC 2203 section 5.2.2), but a server of libtirpc protects its replies by it.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    pub fn begin(initiator: &dyn Initiator, service: Service) -> Result<(Self, Vec<u8>), Refused> {
        let mut setup = Self {
            negotiation: initiator.begin()?,
            service,
            handle: Vec::new(),
            context: None,
            steps: 0,
        };
        let token = setup.step(&[])?.ok_or(Refused::OutOfStep)?;
        Ok((setup, token))
    }

    /// What this side's token is to be sent with.
    ///
    /// # Errors
    ///
    /// Never: a handle that does not fit has not been taken.
    pub fn credential(&self) -> Result<OpaqueAuth<'static>, Error> {
        let purpose = match self.handle.is_empty() {
            true => Purpose::Init,
            false => Purpose::ContinueInit,
        };
        let credential = Credential {
            purpose,
            sequence: 0,
            service: self.service,
            handle: (&*self.handle).into(),
        };
        credential.to_auth()
    }

    /// Writes the token as arguments.
    ///
    /// # Errors
    ///
    /// If it is longer than [`TOKEN_MAX`](super::TOKEN_MAX).
    pub fn arguments(token: &[u8], to: &mut Writer<'_>) -> Result<(), Error> {
        let token = token.into();
        InitArguments { token }.encode(to)
    }

    /// Takes the server's answer: the verifier and the results of a call that succeeded.
    ///
    /// # Errors
    ///
    /// [`Refused`]: there will be no context.
    pub fn receive(
        mut self,
        verifier: &OpaqueAuth<'_>,
        results: &[u8],
    ) -> Result<Progress, Refused> {
        let mut from = Reader::new(results);
        let answer = InitResults::decode(&mut from)?;
        from.finish()?;
        let is_known = !self.handle.is_empty();
        match answer.major {
            Major::COMPLETE | Major::CONTINUE_NEEDED => {}
            major => {
                let minor = answer.minor;
                return Err(Refused::There { major, minor });
            }
        }
        if answer.handle.is_empty() || (is_known && *answer.handle != *self.handle) {
            return Err(Refused::OutOfStep);
        }
        self.handle = answer.handle.into_owned();
        if answer.major == Major::CONTINUE_NEEDED {
            let token = self.step(&answer.token)?.ok_or(Refused::OutOfStep)?;
            return Ok(Progress::Send(self, token));
        }
        if self.context.is_none() && self.step(&answer.token)?.is_some() {
            return Err(Refused::OutOfStep);
        }
        let context = self.context.ok_or(Refused::OutOfStep)?;
        // RFC 2203 section 5.2.3.1: so the window is the one that the server has said.
        prove(&*context, verifier, answer.window).map_err(Refused::Unproven)?;
        if answer.window == 0 {
            return Err(Refused::OutOfStep);
        }
        Ok(Progress::Ready(Context {
            mechanism: context,
            handle: self.handle,
            window: answer.window,
            next: AtomicU32::new(1),
        }))
    }

    /// What is to be sent, if anything is.
    fn step(&mut self, token: &[u8]) -> Result<Option<Vec<u8>>, Refused> {
        self.steps += 1;
        if self.context.is_some() || self.steps > STEPS_MAX {
            return Err(Refused::OutOfStep);
        }
        match self.negotiation.step(token)? {
            Step::Continue(token) => Ok(Some(token)),
            Step::Done { token, context } => {
                self.context = Some(context);
                Ok(token)
            }
        }
    }
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup")
            .field("handle", &self.handle)
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

/// Whether `verifier` is the other side's checksum of that number.
fn prove(
    context: &dyn SecurityContext,
    verifier: &OpaqueAuth<'_>,
    number: u32,
) -> Result<(), Unsound> {
    if verifier.flavor != Flavor::GSS {
        return Err(Unsound::Unsigned);
    }
    Ok(context.verify(&number.to_be_bytes(), &verifier.body)?)
}

/// Why a call cannot be sealed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unsealed {
    /// The context has no number left: it is to be made anew.
    Exhausted,
    /// The mechanism fails.
    Fault(Fault),
    /// The call cannot be encoded.
    Encode(Error),
}

impl fmt::Display for Unsealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exhausted => f.write_str("the context has no number left"),
            Self::Fault(fault) => fault.fmt(f),
            Self::Encode(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Unsealed {}

impl From<Unsound> for Unsealed {
    fn from(unsound: Unsound) -> Self {
        match unsound {
            Unsound::Fault(fault) => Self::Fault(fault),
            Unsound::Unprotected(error) => Self::Encode(error),
            // Not said of what this side writes.
            other => Self::Fault(Fault::new(Major::FAILURE, alloc::format!("{other}"))),
        }
    }
}

impl From<Error> for Unsealed {
    fn from(error: Error) -> Self {
        Self::Encode(error)
    }
}

/// A context, which any number of threads make calls with.
pub struct Context {
    mechanism: Arc<dyn SecurityContext>,
    handle: Vec<u8>,
    window: u32,
    next: AtomicU32,
}

impl Context {
    /// Calls that may be under way at once: of those that come further behind, the server drops
    /// what it has not seen.
    #[must_use]
    pub const fn window(&self) -> u32 {
        self.window
    }

    /// Who the server is.
    #[must_use]
    pub fn peer(&self) -> &str {
        self.mechanism.peer()
    }

    #[cfg(test)]
    pub(super) fn skip_to(&self, sequence: u32) {
        self.next.store(sequence, Relaxed);
    }

    /// Appends a call, as `service` protects it; what is returned is its number in this context.
    /// Each sending takes a new one, also of the same call again.
    ///
    /// # Errors
    ///
    /// [`Unsealed`]; what has been appended is then to be dropped.
    pub fn call(
        &self,
        (xid, procedure): (Xid, Procedure),
        service: Service,
        arguments: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<u32, Unsealed> {
        self.message(Purpose::Data, (xid, procedure), service, arguments, out)
    }

    /// Appends the call that ends the context at the server.
    ///
    /// # Errors
    ///
    /// As for [`call`](Self::call).
    pub fn destroy(
        &self,
        xid: Xid,
        (program, version): (u32, u32),
        out: &mut Vec<u8>,
    ) -> Result<u32, Unsealed> {
        let procedure = Procedure {
            program,
            version,
            number: NULL,
        };
        let (purpose, service) = (Purpose::Destroy, Service::None);
        self.message(purpose, (xid, procedure), service, &[], out)
    }

    fn message(
        &self,
        purpose: Purpose,
        (xid, procedure): (Xid, Procedure),
        service: Service,
        arguments: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<u32, Unsealed> {
        let take = |next: u32| (next <= SEQUENCE_MAX).then(|| next + 1);
        let taken = self.next.fetch_update(Relaxed, Relaxed, take);
        let sequence = taken.map_err(|_| Unsealed::Exhausted)?;
        let credential = Credential {
            purpose,
            sequence,
            service,
            handle: (&*self.handle).into(),
        };
        let header = CallHeader {
            xid,
            procedure,
            credential: credential.to_auth()?,
            verifier: OpaqueAuth::NONE,
        };
        let start = out.len();
        header.encode_to_credential(&mut Writer::new(out))?;
        let mic = self.mechanism.mic(&out[start..]);
        let verifier = OpaqueAuth {
            flavor: Flavor::GSS,
            body: mic.map_err(Unsealed::Fault)?.into(),
        };
        verifier.encode(&mut Writer::new(out))?;
        seal(&*self.mechanism, service, sequence, arguments, out)?;
        Ok(sequence)
    }

    /// Holds a reply against the numbers that its call was sent with, and takes the results out of
    /// their protection; `None` if there are none, as the server refuses. A denial has no proof and
    /// is taken at its word: who can forge one can cut the connection as well.
    ///
    /// # Errors
    ///
    /// [`Unsound`]: it is not the other side of the context that says so.
    pub fn open<'a>(
        &self,
        sequences: &[u32],
        service: Service,
        header: &ReplyHeader<'_>,
        rest: &'a [u8],
    ) -> Result<Option<Cow<'a, [u8]>>, Unsound> {
        let ReplyBody::Accepted { verifier, status } = &header.body else {
            return Ok(None);
        };
        let mut proven = Err(Unsound::Unsigned);
        for sequence in sequences.iter().rev() {
            proven = prove(&*self.mechanism, verifier, *sequence).map(|()| *sequence);
            if proven.is_ok() {
                break;
            }
        }
        let sequence = proven?;
        if *status != Accepted::Success {
            return Ok(None);
        }
        open(&*self.mechanism, service, sequence, rest).map(Some)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("peer", &self.peer())
            .field("handle", &self.handle)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}
