//! What a mechanism is to this protocol: what GSS-API (RFC 2743) is to it, as traits.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// The status that a mechanism ends with: `GSS_S_…`, as RFC 2203 appendix A numbers them.
#[derive(Copy, Clone, Debug, Eq, Hash, PartialEq)]
pub struct Major(pub u32);

named! { Major, "RFC 2203":
    /// It is done.
    COMPLETE = 0 "GSS_S_COMPLETE";
    /// The other side has to send a token.
    CONTINUE_NEEDED = 1 "GSS_S_CONTINUE_NEEDED";
    /// The token has come before.
    DUPLICATE_TOKEN = 2 "GSS_S_DUPLICATE_TOKEN";
    /// The token is too old to be known.
    OLD_TOKEN = 4 "GSS_S_OLD_TOKEN";
    /// A later token has come before.
    UNSEQ_TOKEN = 8 "GSS_S_UNSEQ_TOKEN";
    /// An expected token has not come.
    GAP_TOKEN = 0x10 "GSS_S_GAP_TOKEN";
    /// There is no such mechanism.
    BAD_MECH = 0x1_0000 "GSS_S_BAD_MECH";
    /// A name is not well formed.
    BAD_NAME = 0x2_0000 "GSS_S_BAD_NAME";
    /// A name is of no kind that is known.
    BAD_NAMETYPE = 0x3_0000 "GSS_S_BAD_NAMETYPE";
    /// The channel is another one.
    BAD_BINDINGS = 0x4_0000 "GSS_S_BAD_BINDINGS";
    /// There is no such status.
    BAD_STATUS = 0x5_0000 "GSS_S_BAD_STATUS";
    /// A checksum is wrong.
    BAD_MIC = 0x6_0000 "GSS_S_BAD_MIC";
    /// There are no credentials, or they cannot be reached.
    NO_CRED = 0x7_0000 "GSS_S_NO_CRED";
    /// There is no context.
    NO_CONTEXT = 0x8_0000 "GSS_S_NO_CONTEXT";
    /// A token is not well formed.
    DEFECTIVE_TOKEN = 0x9_0000 "GSS_S_DEFECTIVE_TOKEN";
    /// A credential is not well formed.
    DEFECTIVE_CREDENTIAL = 0xa_0000 "GSS_S_DEFECTIVE_CREDENTIAL";
    /// The credentials have expired.
    CREDENTIALS_EXPIRED = 0xb_0000 "GSS_S_CREDENTIALS_EXPIRED";
    /// The context has expired.
    CONTEXT_EXPIRED = 0xc_0000 "GSS_S_CONTEXT_EXPIRED";
    /// For another reason, which the minor status tells.
    FAILURE = 0xd_0000 "GSS_S_FAILURE";
    /// There is no such quality of protection.
    BAD_QOP = 0xe_0000 "GSS_S_BAD_QOP";
    /// Local policy is against it.
    UNAUTHORIZED = 0xf_0000 "GSS_S_UNAUTHORIZED";
    /// The mechanism does not have that.
    UNAVAILABLE = 0x10_0000 "GSS_S_UNAVAILABLE";
    /// It is there already.
    DUPLICATE_ELEMENT = 0x11_0000 "GSS_S_DUPLICATE_ELEMENT";
    /// The name is not one of the mechanism's.
    NAME_NOT_MN = 0x12_0000 "GSS_S_NAME_NOT_MN";
    /// An argument could not be read.
    CALL_INACCESSIBLE_READ = 0x100_0000 "GSS_S_CALL_INACCESSIBLE_READ";
    /// A result could not be written.
    CALL_INACCESSIBLE_WRITE = 0x200_0000 "GSS_S_CALL_INACCESSIBLE_WRITE";
    /// An argument is not well formed.
    CALL_BAD_STRUCTURE = 0x300_0000 "GSS_S_CALL_BAD_STRUCTURE";
}

impl fmt::Display for Major {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "major status {:#x}", self.0),
        }
    }
}

/// Why a mechanism fails.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// In the words of GSS-API.
    pub major: Major,
    /// In the mechanism's own.
    pub minor: u32,
    /// For people; may be empty. The other side is not told.
    pub text: String,
}

impl Fault {
    /// One that only GSS-API has a word for.
    #[must_use]
    pub fn new(major: Major, text: impl Into<String>) -> Self {
        Self {
            major,
            minor: 0,
            text: text.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.major.fmt(f)?;
        if self.minor != 0 {
            write!(f, ", minor status {}", self.minor)?;
        }
        if !self.text.is_empty() {
            write!(f, ": {}", self.text)?;
        }
        Ok(())
    }
}

impl core::error::Error for Fault {}

/// What a token has brought.
pub enum Step {
    /// This is for the other side, whose token is then waited for.
    Continue(Vec<u8>),
    /// The context is there; this is for the other side, if it needs one more.
    Done {
        /// The last token, if there is one.
        token: Option<Vec<u8>>,
        /// What it was for.
        context: Arc<dyn SecurityContext>,
    },
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Continue(_) => "Continue",
            Self::Done { .. } => "Done",
        })
    }
}

/// A context that is being made.
pub trait Negotiation: Send {
    /// Takes the other side's token: an empty one at the beginning of the side that begins.
    ///
    /// # Errors
    ///
    /// [`Fault`]: there will be no context.
    fn step(&mut self, token: &[u8]) -> Result<Step, Fault>;
}

/// A client's side of a mechanism: who it is, and to whom.
pub trait Initiator: Send + Sync {
    /// Begins a context.
    ///
    /// # Errors
    ///
    /// [`Fault`]: there are no credentials, say.
    fn begin(&self) -> Result<Box<dyn Negotiation>, Fault>;
}

/// A server's side of a mechanism.
pub trait Acceptor: Send + Sync {
    /// Begins a context for somebody whose first token has come.
    ///
    /// # Errors
    ///
    /// [`Fault`]: there are no credentials, say.
    fn begin(&self) -> Result<Box<dyn Negotiation>, Fault>;
}

/// What two sides share that have proven who they are. Any number of threads use it at once, in
/// whatever order: neither replays nor gaps are a mechanism's business here (RFC 2203 section
/// 5.2.2).
pub trait SecurityContext: Send + Sync {
    /// The checksum of a message: `GSS_GetMIC`.
    ///
    /// # Errors
    ///
    /// [`Major::CONTEXT_EXPIRED`], or as the mechanism says.
    fn mic(&self, message: &[u8]) -> Result<Vec<u8>, Fault>;

    /// Whether the other side has made that checksum of this message: `GSS_VerifyMIC`. One that
    /// this side has made is not the other side's.
    ///
    /// # Errors
    ///
    /// [`Major::BAD_MIC`], [`Major::DEFECTIVE_TOKEN`], [`Major::CONTEXT_EXPIRED`].
    fn verify(&self, message: &[u8], mic: &[u8]) -> Result<(), Fault>;

    /// The message so that only the other side can read it, and nobody change it: `GSS_Wrap` with
    /// confidentiality.
    ///
    /// # Errors
    ///
    /// As for [`mic`](Self::mic).
    fn wrap(&self, message: &[u8]) -> Result<Vec<u8>, Fault>;

    /// The other side's message that is in that: `GSS_Unwrap`. One that was not encrypted is an
    /// error.
    ///
    /// # Errors
    ///
    /// As for [`verify`](Self::verify).
    fn unwrap(&self, wrapped: &[u8]) -> Result<Vec<u8>, Fault>;

    /// Who the other side is, as the mechanism names it: a principal.
    fn peer(&self) -> &str;
}
