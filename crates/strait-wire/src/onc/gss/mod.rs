//! RPCSEC_GSS, version 1: calls whose caller, arguments and results a security mechanism proves.
//! RFC 2203.
//!
//! What is here is the protocol. What signs and encrypts is a [`SecurityContext`], which a
//! mechanism (Kerberos 5, say) makes from the tokens that both sides exchange by calls of
//! procedure 0: RPCSEC_GSS_INIT, then RPCSEC_GSS_CONTINUE_INIT as often as it takes.
//!
//! - [`Credential`]: what the credential of each call says.
//! - [`Major`], [`Fault`]: what a mechanism says when it fails.
//! - [`Negotiation`], [`Initiator`], [`Acceptor`], [`SecurityContext`]: the mechanism.
//! - [`seal`], [`open`]: arguments and results, as each [`Service`] protects them.
//! - [`Window`]: numbers that were seen, so that nothing is done twice.
//! - [`client`], [`server`]: contexts, from the first token to their end.

use alloc::borrow::Cow;

use super::auth::BODY_MAX;
use super::message::AuthStat;
use crate::xdr::{Decode, Encode, Error, Reader, What, Writer};

mod body;
pub mod client;
mod mechanism;
pub mod server;
#[cfg(test)]
mod tests;
mod window;

pub use body::{Unsound, open, seal};
pub use mechanism::{Acceptor, Fault, Initiator, Major, Negotiation, SecurityContext, Step};
pub use window::{Fate, WINDOW, WINDOW_MAX, Window};

/// The version of the protocol.
pub const VERSION: u32 = 1;
/// The highest number of a call: MAXSEQ.
pub const SEQUENCE_MAX: u32 = 0x8000_0000;
/// The longest handle, in bytes: what the body of a credential has room for.
pub const HANDLE_MAX: u32 = BODY_MAX - 20;
/// The longest token of a mechanism that is taken, in bytes: a ticket of Kerberos with all that
/// Windows puts into it has less.
pub const TOKEN_MAX: u32 = 64 << 10;
/// The longest checksum, in bytes: what a verifier has room for.
pub const MIC_MAX: u32 = BODY_MAX;
/// Tokens that one side takes before a context is given up.
pub const STEPS_MAX: u32 = 16;

/// What a call is for: `rpc_gss_proc_t`.
#[derive(Copy, Clone, Debug, Eq, Hash, PartialEq)]
pub enum Purpose {
    /// RPCSEC_GSS_DATA: to be carried out.
    Data,
    /// RPCSEC_GSS_INIT: the first token of a new context.
    Init,
    /// RPCSEC_GSS_CONTINUE_INIT: a further one.
    ContinueInit,
    /// RPCSEC_GSS_DESTROY: the context is not used any more.
    Destroy,
}

impl Purpose {
    const ALL: [Self; 4] = [Self::Data, Self::Init, Self::ContinueInit, Self::Destroy];

    const fn is_creation(self) -> bool {
        matches!(self, Self::Init | Self::ContinueInit)
    }
}

/// What is protected besides the header, which always is: `rpc_gss_service_t`. A later one protects
/// more.
#[derive(Copy, Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Service {
    /// Who calls is proven, and nothing else: `krb5`.
    #[default]
    None,
    /// Nobody can change arguments and results unseen: `krb5i`.
    Integrity,
    /// And nobody else can read them: `krb5p`.
    Privacy,
}

impl Service {
    const ALL: [Self; 3] = [Self::None, Self::Integrity, Self::Privacy];

    const fn number(self) -> u32 {
        self as u32 + 1
    }
}

/// The body of a credential: `rpc_gss_cred_t`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Credential<'a> {
    /// What the call is for.
    pub purpose: Purpose,
    /// The number of the call within its context; means nothing while that is being made.
    pub sequence: u32,
    /// How the call is protected; means nothing while the context is being made.
    pub service: Service,
    /// The context, as its server calls it: at most [`HANDLE_MAX`] bytes, none with
    /// [`Purpose::Init`].
    pub handle: Cow<'a, [u8]>,
}

impl<'a> Credential<'a> {
    /// Takes the body of a credential apart.
    ///
    /// # Errors
    ///
    /// What the caller is told: [`AuthStat::REJECTED_CREDENTIAL`] if it asks for a context in
    /// another version, otherwise [`AuthStat::BAD_CREDENTIAL`].
    pub fn parse(body: &'a [u8]) -> Result<Self, AuthStat> {
        let mut from = Reader::new(body);
        let parsed = Self::decode(&mut from).and_then(|parsed| from.finish().map(|()| parsed));
        parsed.map_err(|_| {
            let mut from = Reader::new(body);
            let version = from.unsigned();
            let creation = from.unsigned().map(|number| number == 1 || number == 2);
            match (version, creation) {
                (Ok(version), Ok(true)) if version != VERSION => AuthStat::REJECTED_CREDENTIAL,
                _ => AuthStat::BAD_CREDENTIAL,
            }
        })
    }

    /// The body as it is sent.
    ///
    /// # Errors
    ///
    /// [`What::TooLong`] for a handle above [`HANDLE_MAX`].
    pub fn to_auth(&self) -> Result<super::auth::OpaqueAuth<'static>, Error> {
        Ok(super::auth::OpaqueAuth {
            flavor: super::auth::Flavor::GSS,
            body: crate::xdr::to_vec(self)?.into(),
        })
    }
}

impl Encode for Credential<'_> {
    fn encode(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        to.unsigned(VERSION);
        to.unsigned(self.purpose as u32);
        to.unsigned(self.sequence);
        to.unsigned(self.service.number());
        to.opaque(&self.handle, HANDLE_MAX)
    }
}

impl<'a> Decode<'a> for Credential<'a> {
    fn decode(from: &mut Reader<'a>) -> Result<Self, Error> {
        choice(from, |word| (word == VERSION).then_some(()))?;
        let purpose = choice(from, |word| Purpose::ALL.get(word as usize).copied())?;
        let sequence = from.unsigned()?;
        let service = choice(from, |word| {
            let service = Service::ALL.into_iter().find(|each| each.number() == word);
            // RFC 2203 section 5.2.2: while a context is being made it means nothing.
            service.or(purpose.is_creation().then_some(Service::None))
        })?;
        let handle = from.opaque(HANDLE_MAX)?.into();
        Ok(Self {
            purpose,
            sequence,
            service,
            handle,
        })
    }
}

/// A word that chooses something.
fn choice<T>(from: &mut Reader<'_>, choose: impl FnOnce(u32) -> Option<T>) -> Result<T, Error> {
    let at = from.position();
    let word = from.unsigned()?;
    let what = What::Arm(word.into());
    choose(word).ok_or(Error { at, what })
}

/// The arguments of a call that makes a context: `rpc_gss_init_arg`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InitArguments<'a> {
    /// The mechanism's token, of at most [`TOKEN_MAX`] bytes.
    pub token: Cow<'a, [u8]>,
}

impl Encode for InitArguments<'_> {
    fn encode(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        to.opaque(&self.token, TOKEN_MAX)
    }
}

impl<'a> Decode<'a> for InitArguments<'a> {
    fn decode(from: &mut Reader<'a>) -> Result<Self, Error> {
        let token = from.opaque(TOKEN_MAX)?.into();
        Ok(Self { token })
    }
}

/// Its results: `rpc_gss_init_res`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InitResults<'a> {
    /// What the server calls the context; nothing if there is none.
    pub handle: Cow<'a, [u8]>,
    /// What became of it.
    pub major: Major,
    /// What the mechanism says besides.
    pub minor: u32,
    /// How many calls may be under way at once.
    pub window: u32,
    /// The mechanism's token, if it has one.
    pub token: Cow<'a, [u8]>,
}

impl Encode for InitResults<'_> {
    fn encode(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        to.opaque(&self.handle, HANDLE_MAX)?;
        to.unsigned(self.major.0);
        to.unsigned(self.minor);
        to.unsigned(self.window);
        to.opaque(&self.token, TOKEN_MAX)
    }
}

impl<'a> Decode<'a> for InitResults<'a> {
    fn decode(from: &mut Reader<'a>) -> Result<Self, Error> {
        Ok(Self {
            handle: from.opaque(HANDLE_MAX)?.into(),
            major: Major(from.unsigned()?),
            minor: from.unsigned()?,
            window: from.unsigned()?,
            token: from.opaque(TOKEN_MAX)?.into(),
        })
    }
}
