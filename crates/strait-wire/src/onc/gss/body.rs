//! Arguments and results under protection: RFC 2203 section 5.3.2.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use super::{Fault, MIC_MAX, SecurityContext, Service};
use crate::xdr::{Error, Reader, UNIT, Writer};

/// Why arguments or results are not what the other side has sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unsound {
    /// They are not under the protection that was asked for.
    Unprotected(Error),
    /// The mechanism says so.
    Fault(Fault),
    /// They belong to another call.
    Sequence {
        /// That of the call.
        expected: u32,
        /// The one in the body.
        found: u32,
    },
    /// The verifier is no checksum at all.
    Unsigned,
}

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unprotected(error) => write!(f, "not under the protection asked for: {error}"),
            Self::Fault(fault) => fault.fmt(f),
            Self::Sequence { expected, found } => {
                write!(
                    f,
                    "of call {found} of the context, and not of call {expected}"
                )
            }
            Self::Unsigned => f.write_str("the verifier is none of RPCSEC_GSS"),
        }
    }
}

impl core::error::Error for Unsound {}

impl From<Fault> for Unsound {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Error> for Unsound {
    fn from(error: Error) -> Self {
        Self::Unprotected(error)
    }
}

/// Appends arguments or results, `plain`, as `service` protects them.
///
/// # Errors
///
/// [`Unsound`]: the mechanism fails, or they are longer than XDR can say. What has been appended is
/// then to be dropped.
pub fn seal(
    context: &dyn SecurityContext,
    service: Service,
    sequence: u32,
    plain: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Unsound> {
    if service == Service::None {
        out.extend_from_slice(plain);
        return Ok(());
    }
    let data = [&sequence.to_be_bytes(), plain].concat();
    if service == Service::Privacy {
        let wrapped = context.wrap(&data)?;
        Writer::new(out).opaque(&wrapped, u32::MAX)?;
        return Ok(());
    }
    let mic = context.mic(&data)?;
    let mut to = Writer::new(out);
    to.opaque(&data, u32::MAX)?;
    to.opaque(&mic, MIC_MAX)?;
    Ok(())
}

/// The arguments or results in a body that `service` protects, of the call with that number.
///
/// # Errors
///
/// [`Unsound`]: whatever the other side has sent, it is not this.
pub fn open<'a>(
    context: &dyn SecurityContext,
    service: Service,
    sequence: u32,
    body: &'a [u8],
) -> Result<Cow<'a, [u8]>, Unsound> {
    let mut from = Reader::new(body);
    let data: Cow<'a, [u8]> = match service {
        Service::None => return Ok(body.into()),
        Service::Integrity => {
            let data = from.opaque(u32::MAX)?;
            let mic = from.opaque(MIC_MAX)?;
            from.finish()?;
            context.verify(data, mic)?;
            data.into()
        }
        Service::Privacy => {
            let wrapped = from.opaque(u32::MAX)?;
            from.finish()?;
            context.unwrap(wrapped)?.into()
        }
    };
    let found = Reader::new(&data).unsigned()?;
    if found != sequence {
        let expected = sequence;
        return Err(Unsound::Sequence { expected, found });
    }
    Ok(match data {
        Cow::Borrowed(data) => data[UNIT..].into(),
        Cow::Owned(mut data) => {
            data.drain(..UNIT);
            data.into()
        }
    })
}
