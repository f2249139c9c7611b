//! RPCSEC_GSS: what stands in credentials and under protection.

use strait_wire::onc::auth::BODY_MAX;
use strait_wire::onc::gss::{
    Credential, Fault, InitArguments, InitResults, Major, Purpose, SecurityContext, Service, open,
    seal,
};
use strait_wire::onc::server::Call;
use strait_wire::xdr;

use crate::wire::same;

/// A mechanism that hides nothing, whose checksum is the last byte.
struct Open;

impl SecurityContext for Open {
    fn mic(&self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        Ok(message.last().copied().into_iter().collect())
    }

    fn verify(&self, message: &[u8], mic: &[u8]) -> Result<(), Fault> {
        match self.mic(message)? == mic {
            true => Ok(()),
            false => Err(Fault::new(Major::BAD_MIC, "")),
        }
    }

    fn wrap(&self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        Ok(message.to_vec())
    }

    fn unwrap(&self, wrapped: &[u8]) -> Result<Vec<u8>, Fault> {
        Ok(wrapped.to_vec())
    }

    fn peer(&self) -> &'static str {
        "nobody"
    }
}

/// A call with that credential comes to a server: what is read is written as the same bytes.
pub(crate) fn call(call: &Call<'_>) {
    let body = &*call.header.credential.body;
    let Ok(credential) = Credential::parse(body) else {
        return;
    };
    let encoded = xdr::to_vec(&credential).expect("it was read");
    match credential.purpose {
        // The service means nothing there.
        Purpose::Init | Purpose::ContinueInit => assert_eq!(encoded.len(), body.len()),
        Purpose::Data | Purpose::Destroy => assert_eq!(encoded, body),
    }
    assert!(encoded.len() <= BODY_MAX as usize);
    let _ = same::<InitArguments<'_>>(call.arguments);
    let _ = same::<InitResults<'_>>(call.arguments);
    let sequence = credential.sequence;
    for service in [Service::None, Service::Integrity, Service::Privacy] {
        let Ok(plain) = open(&Open, service, sequence, call.arguments) else {
            continue;
        };
        let mut sealed = Vec::new();
        seal(&Open, service, sequence, &plain, &mut sealed).expect("it was opened");
        assert_eq!(sealed, call.arguments);
    }
}
