//! Kerberos 5 (RFC 4121), by way of libgssapi_krb5.
//!
//! Needs the feature `krb5`, and to build `libkrb5-dev` and `libclang-dev` (Debian's names). Where
//! tickets and keys are, the library's environment says: `KRB5CCNAME` for an [`Initiator`],
//! `KRB5_KTNAME` for an [`Acceptor`], `KRB5_CONFIG`.
//!
//! ```no_run
//! use strait::rpc::onc::gss::{Service, krb5};
//! use strait::rpc::onc::{Client, Server};
//!
//! // With a ticket of kinit, in either direction. The server's keys are in a keytab.
//! let initiator = krb5::Initiator::new("nfs@server.example.org")?;
//! let client = Client::options().gss(initiator, Service::Privacy).tcp("server.example.org:2049")?;
//!
//! let acceptor = krb5::Acceptor::new(Some("nfs@server.example.org"))?;
//! let server = Server::with(Server::options().gss(acceptor));
//! # Ok::<(), strait::Error>(())
//! ```
//!
//! # Traps
//!
//! - A first call may ask the KDC for a ticket, which is not bounded by the call's time.
//! - The library serves a context to one thread at a time: threads that call with one client take
//!   turns in it.
//! - Keys of DES, triple DES and RC4 do not encrypt here: their messages do not say whether they
//!   are encrypted in the way that RFC 4121 has it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use libgssapi::context::{ClientCtx, CtxFlags, SecurityContext as Library, ServerCtx};
use libgssapi::credential::{Cred, CredUsage};
use libgssapi::name::Name;
use libgssapi::oid::{GSS_MECH_KRB5, GSS_NT_HOSTBASED_SERVICE, GSS_NT_KRB5_PRINCIPAL, OidSet};

use super::{Fault, Major, Negotiation, SecurityContext, Step};
use crate::error::{Error, ErrorKind, Result};

fn fault(error: libgssapi::error::Error) -> Fault {
    Fault {
        major: Major(error.major.bits()),
        minor: error.minor,
        text: error.to_string(),
    }
}

fn failed(operation: &'static str, subject: &str, error: libgssapi::error::Error) -> Error {
    Error::new(ErrorKind::Denied, operation, subject).caused(fault(error))
}

/// `service@host`, or a principal: `service/host@REALM`.
fn name(of: &str) -> Result<Name> {
    let kind = match of.contains('/') {
        true => GSS_NT_KRB5_PRINCIPAL,
        false => GSS_NT_HOSTBASED_SERVICE,
    };
    let name = Name::new(of.as_bytes(), Some(kind));
    name.map_err(|error| failed("take as a name of Kerberos", of, error))
}

/// A client who has a ticket, or can have one.
pub struct Initiator {
    target: Name,
    shown: String,
}

impl Initiator {
    /// Calls that server: `service@host`, or a principal with a slash.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`]: it is no name. That there is no ticket is found by the first call.
    pub fn new(server: &str) -> Result<Self> {
        let (target, shown) = (name(server)?, server.to_owned());
        Ok(Self { target, shown })
    }
}

impl fmt::Debug for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Initiator").field(&self.shown).finish()
    }
}

impl super::Initiator for Initiator {
    fn begin(&self) -> std::result::Result<Box<dyn Negotiation>, Fault> {
        // Neither replays nor order are looked after: RFC 2203 section 5.2.2.
        let flags =
            CtxFlags::GSS_C_MUTUAL_FLAG | CtxFlags::GSS_C_INTEG_FLAG | CtxFlags::GSS_C_CONF_FLAG;
        let target = self.target.duplicate().map_err(fault)?;
        let context = ClientCtx::new(None, target, flags, Some(GSS_MECH_KRB5));
        let peer = self.shown.clone();
        Ok(Box::new(Initiating(Some((context, peer)))))
    }
}

/// A server whose keys are in a keytab.
pub struct Acceptor {
    credential: Cred,
    shown: String,
}

impl Acceptor {
    /// Is called by that name (as [`Initiator::new`] has it), or by any of the keytab.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`]: no key of that name can be read.
    pub fn new(server: Option<&str>) -> Result<Self> {
        let shown = server.unwrap_or("any name of the keytab").to_owned();
        let operation = "take the key of";
        let name = server.map(name).transpose()?;
        let mechanisms = OidSet::singleton(GSS_MECH_KRB5);
        let mechanisms = mechanisms.map_err(|error| failed(operation, &shown, error))?;
        let usage = CredUsage::Accept;
        let credential = Cred::acquire(name.as_ref(), None, usage, Some(&mechanisms));
        let credential = credential.map_err(|error| failed(operation, &shown, error))?;
        Ok(Self { credential, shown })
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Acceptor").field(&self.shown).finish()
    }
}

impl super::Acceptor for Acceptor {
    fn begin(&self) -> std::result::Result<Box<dyn Negotiation>, Fault> {
        let context = ServerCtx::new(Some(self.credential.clone()));
        Ok(Box::new(Accepting(Some(context))))
    }
}

fn over() -> Fault {
    Fault::new(Major::NO_CONTEXT, "the context is made, or has failed")
}

/// There until it is made.
struct Initiating(Option<(ClientCtx, String)>);

impl Negotiation for Initiating {
    fn step(&mut self, token: &[u8]) -> std::result::Result<Step, Fault> {
        let (mut context, peer) = self.0.take().ok_or_else(over)?;
        let token = Some(token).filter(|token| !token.is_empty());
        let answer = context.step(token, None).map_err(fault)?;
        let answer = answer.map(|answer| answer.to_vec());
        if !context.is_complete() {
            self.0 = Some((context, peer));
            return Ok(Step::Continue(answer.unwrap_or_default()));
        }
        let flags = context.flags().map_err(fault)?;
        if !flags.contains(CtxFlags::GSS_C_MUTUAL_FLAG) {
            let why = "the server does not prove who it is";
            return Err(Fault::new(Major::FAILURE, why));
        }
        Ok(Step::Done {
            token: answer,
            context: Arc::new(Established {
                context: Mutex::new(context),
                peer,
            }),
        })
    }
}

/// There until it is made.
struct Accepting(Option<ServerCtx>);

impl Negotiation for Accepting {
    fn step(&mut self, token: &[u8]) -> std::result::Result<Step, Fault> {
        let mut context = self.0.take().ok_or_else(over)?;
        let answer = context.step(token, None).map_err(fault)?;
        let answer = answer.map(|answer| answer.to_vec());
        if !context.is_complete() {
            self.0 = Some(context);
            return Ok(Step::Continue(answer.unwrap_or_default()));
        }
        let peer = context.source_name().and_then(|name| name.display_name());
        let peer = String::from_utf8(peer.map_err(fault)?.to_vec());
        let peer =
            peer.map_err(|_| Fault::new(Major::BAD_NAME, "the caller's name is no UTF-8"))?;
        Ok(Step::Done {
            token: answer,
            context: Arc::new(Established {
                context: Mutex::new(context),
                peer,
            }),
        })
    }
}

/// RFC 4121 section 4.2.6.2: a Wrap token, and in its flags that it is sealed. The library makes
/// and takes others too, and does not say.
fn check_sealed(wrapped: &[u8]) -> std::result::Result<(), Fault> {
    match wrapped {
        [5, 4, flags, ..] if flags & 2 != 0 => Ok(()),
        _ => Err(Fault::new(Major::DEFECTIVE_TOKEN, "it is not encrypted")),
    }
}

/// A context of either side.
struct Established<C> {
    context: Mutex<C>,
    peer: String,
}

impl<C> Established<C> {
    fn with<T>(
        &self,
        ask: impl FnOnce(&mut C) -> std::result::Result<T, libgssapi::error::Error>,
    ) -> std::result::Result<T, Fault> {
        let mut context = self.context.lock().unwrap_or_else(PoisonError::into_inner);
        ask(&mut context).map_err(fault)
    }
}

impl<C: Library + Send> SecurityContext for Established<C> {
    fn mic(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Fault> {
        self.with(|context| Ok(context.get_mic(message)?.to_vec()))
    }

    fn verify(&self, message: &[u8], mic: &[u8]) -> std::result::Result<(), Fault> {
        self.with(|context| context.verify_mic(message, mic))
    }

    fn wrap(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Fault> {
        let wrapped = self.with(|context| Ok(context.wrap(true, message)?.to_vec()))?;
        check_sealed(&wrapped)?;
        Ok(wrapped)
    }

    fn unwrap(&self, wrapped: &[u8]) -> std::result::Result<Vec<u8>, Fault> {
        check_sealed(wrapped)?;
        self.with(|context| Ok(context.unwrap(wrapped)?.to_vec()))
    }

    fn peer(&self) -> &str {
        &self.peer
    }
}
