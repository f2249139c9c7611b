//! Who calls: credentials and verifiers. RFC 5531 sections 8.2, 9 and appendix A.
//!
//! AUTH_SYS is what the caller says of itself: it proves nothing, unless the transport does
//! (a local socket, TLS).

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

use crate::xdr::{Decode, Encode, Error, Reader, What, Writer};

/// The longest body of a credential or verifier, in bytes. RFC 5531 section 8.2.
pub const BODY_MAX: u32 = 400;
/// The longest machine name of AUTH_SYS, in bytes. RFC 5531 appendix A.
pub const MACHINE_NAME_MAX: u32 = 255;
/// Groups besides the first that AUTH_SYS names. RFC 5531 appendix A.
pub const GIDS_MAX: u32 = 16;

/// The body of the verifier by which a server says that it speaks TLS. RFC 9289 section 4.1.
pub const STARTTLS: &[u8; 8] = b"STARTTLS";

/// What kind of credential or verifier a body is.
#[derive(Copy, Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Flavor(pub u32);

impl Flavor {
    /// AUTH_NONE: nobody in particular.
    pub const NONE: Self = Self(0);
    /// AUTH_SYS, once AUTH_UNIX: user and groups, as the caller says them.
    pub const SYS: Self = Self(1);
    /// AUTH_SHORT: what the server has handed out in place of a longer credential.
    pub const SHORT: Self = Self(2);
    /// AUTH_DH: broken, and not spoken here.
    pub const DH: Self = Self(3);
    /// RPCSEC_GSS. RFC 2203.
    pub const GSS: Self = Self(6);
    /// AUTH_TLS: the question whether the server speaks TLS. RFC 9289.
    pub const TLS: Self = Self(7);
}

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::NONE => "AUTH_NONE",
            Self::SYS => "AUTH_SYS",
            Self::SHORT => "AUTH_SHORT",
            Self::DH => "AUTH_DH",
            Self::GSS => "RPCSEC_GSS",
            Self::TLS => "AUTH_TLS",
            Self(number) => return write!(f, "flavor {number}"),
        })
    }
}

/// A credential or verifier: `opaque_auth`. The default is AUTH_NONE.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct OpaqueAuth<'a> {
    /// What the body is.
    pub flavor: Flavor,
    /// At most [`BODY_MAX`] bytes.
    pub body: Cow<'a, [u8]>,
}

impl<'a> OpaqueAuth<'a> {
    /// AUTH_NONE.
    pub const NONE: Self = Self {
        flavor: Flavor::NONE,
        body: Cow::Borrowed(&[]),
    };
    /// The credential that asks for TLS, with procedure 0.
    pub const TLS: Self = Self {
        flavor: Flavor::TLS,
        body: Cow::Borrowed(&[]),
    };
    /// The verifier that grants it.
    pub const STARTTLS: Self = Self {
        flavor: Flavor::NONE,
        body: Cow::Borrowed(STARTTLS),
    };

    /// AUTH_SYS.
    ///
    /// # Errors
    ///
    /// [`What::TooLong`] for a machine name above [`MACHINE_NAME_MAX`].
    pub fn sys(sys: &AuthSys<'_>) -> Result<OpaqueAuth<'static>, Error> {
        Ok(OpaqueAuth {
            flavor: Flavor::SYS,
            body: crate::xdr::to_vec(sys)?.into(),
        })
    }

    /// AUTH_SHORT: a credential that a server has handed out.
    #[must_use]
    pub fn short(body: impl Into<Cow<'a, [u8]>>) -> Self {
        Self {
            flavor: Flavor::SHORT,
            body: body.into(),
        }
    }

    /// The verifier of a reply that hands out `credential`: it holds that as an `opaque_auth`,
    /// which the client may send from now on in place of its own. RFC 5531 appendix A.
    ///
    /// # Errors
    ///
    /// [`What::TooLong`] for a body above [`BODY_MAX`].
    pub fn handing_out(credential: &OpaqueAuth<'_>) -> Result<OpaqueAuth<'static>, Error> {
        Ok(OpaqueAuth::short(crate::xdr::to_vec(credential)?))
    }

    /// What a verifier hands out; `None` if it is none that does.
    #[must_use]
    pub fn handed_out(&self) -> Option<OpaqueAuth<'_>> {
        if self.flavor != Flavor::SHORT {
            return None;
        }
        let mut from = Reader::new(&self.body);
        let credential = OpaqueAuth::decode(&mut from).ok()?;
        let is_whole = from.finish().is_ok() && credential.flavor == Flavor::SHORT;
        is_whole.then_some(credential)
    }

    /// The same, with a body of its own.
    #[must_use]
    pub fn into_owned(self) -> OpaqueAuth<'static> {
        OpaqueAuth {
            flavor: self.flavor,
            body: self.body.into_owned().into(),
        }
    }

    /// Bytes that it takes in a message.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        8 + self.body.len().next_multiple_of(crate::xdr::UNIT)
    }
}

impl Encode for OpaqueAuth<'_> {
    fn encode(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        to.unsigned(self.flavor.0);
        to.opaque(&self.body, BODY_MAX)
    }
}

impl<'a> Decode<'a> for OpaqueAuth<'a> {
    fn decode(from: &mut Reader<'a>) -> Result<Self, Error> {
        Ok(Self {
            flavor: Flavor(from.unsigned()?),
            body: from.opaque(BODY_MAX)?.into(),
        })
    }
}

/// The body of AUTH_SYS: `authsys_parms`.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct AuthSys<'a> {
    /// Anything the caller likes.
    pub stamp: u32,
    /// The caller's machine, at most [`MACHINE_NAME_MAX`] bytes in whatever encoding.
    pub machine_name: Cow<'a, [u8]>,
    /// The effective user.
    pub uid: u32,
    /// The effective group.
    pub gid: u32,
    /// The other groups.
    pub gids: Gids,
}

impl AuthSys<'_> {
    /// The same, with a machine name of its own.
    #[must_use]
    pub fn into_owned(self) -> AuthSys<'static> {
        AuthSys {
            machine_name: self.machine_name.into_owned().into(),
            ..self
        }
    }
}

impl Encode for AuthSys<'_> {
    fn encode(&self, to: &mut Writer<'_>) -> Result<(), Error> {
        to.unsigned(self.stamp);
        to.string_bytes(&self.machine_name, MACHINE_NAME_MAX)?;
        to.unsigned(self.uid);
        to.unsigned(self.gid);
        to.numbers(&self.gids, GIDS_MAX)
    }
}

impl<'a> Decode<'a> for AuthSys<'a> {
    fn decode(from: &mut Reader<'a>) -> Result<Self, Error> {
        Ok(Self {
            stamp: from.unsigned()?,
            machine_name: from.string_bytes(MACHINE_NAME_MAX)?.into(),
            uid: from.unsigned()?,
            gid: from.unsigned()?,
            gids: Gids::decode(from)?,
        })
    }
}

/// At most [`GIDS_MAX`] groups, in no memory of their own.
#[derive(Copy, Clone, Default, Eq, Hash, PartialEq)]
pub struct Gids {
    len: usize,
    /// Zero from `len` on.
    all: [u32; GIDS_MAX as usize],
}

impl Gids {
    /// These groups; `None` if they are too many.
    #[must_use]
    pub fn new(gids: &[u32]) -> Option<Self> {
        let mut new = Self::default();
        new.all.get_mut(..gids.len())?.copy_from_slice(gids);
        new.len = gids.len();
        Some(new)
    }

    /// The first of these groups, as many as there is room for: what a caller with more of them
    /// sends, as everybody does.
    #[must_use]
    pub fn first_of(gids: &[u32]) -> Self {
        let fit = gids.len().min(GIDS_MAX as usize);
        Self::new(&gids[..fit]).unwrap_or_default()
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, Error> {
        let at = from.position();
        let count = from.unsigned()?;
        let what = What::TooLong {
            len: count.into(),
            max: GIDS_MAX,
        };
        let mut gids = Self::default();
        let slots = gids.all.get_mut(..count as usize);
        for gid in slots.ok_or(Error { at, what })? {
            *gid = from.unsigned()?;
        }
        gids.len = count as usize;
        Ok(gids)
    }
}

impl Deref for Gids {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        &self.all[..self.len]
    }
}

impl fmt::Debug for Gids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self[..].fmt(f)
    }
}

impl From<Gids> for Vec<u32> {
    fn from(gids: Gids) -> Self {
        gids.to_vec()
    }
}
