//! RPCSEC_GSS: calls whose caller is proven, and whose arguments and results nobody changes
//! ([`Service::Integrity`]) or reads ([`Service::Privacy`]). RFC 2203.
//!
//! What proves it is a mechanism of GSS-API. Kerberos 5 is the one that others speak: `krb5`, with
//! the feature of that name, which takes libkrb5 and, to build, libclang. Any other is four traits:
//! [`Initiator`] for [`ClientOptions::gss`](super::ClientOptions::gss), [`Acceptor`] for
//! [`ServerOptions::gss`](super::ServerOptions::gss).
//!
//! A client makes a context by itself before its first call, and a new one, once for a call, when
//! the server does not know it any more. A reply that does not prove itself is an error: over UDP
//! it is dropped, and the true one may yet come. The one who answers finds who calls in
//! [`Context::gss`](super::Context::gss).
//!
//! ```
//! use std::sync::Arc;
//! use strait::rpc::onc::gss::{
//!     Acceptor, Fault, Initiator, Major, Negotiation, SecurityContext, Service, Step,
//! };
//! use strait::rpc::onc::{Answer, Client, Context, Program, Refusal, Server, xdr};
//!
//! /// A mechanism that proves nothing, but shows what one is made of. Its context is made by one
//! /// token, the name of the client, and an empty answer.
//! struct Naive(&'static str);
//!
//! impl SecurityContext for Naive {
//!     fn mic(&self, message: &[u8]) -> Result<Vec<u8>, Fault> {
//!         Ok(vec![message.iter().fold(0, |sum, byte| sum ^ byte)])
//!     }
//!     fn verify(&self, message: &[u8], mic: &[u8]) -> Result<(), Fault> {
//!         match self.mic(message)? == mic {
//!             true => Ok(()),
//!             false => Err(Fault::new(Major::BAD_MIC, "not the sum of the message")),
//!         }
//!     }
//!     fn wrap(&self, message: &[u8]) -> Result<Vec<u8>, Fault> {
//!         Ok(message.iter().map(|byte| !byte).collect())
//!     }
//!     fn unwrap(&self, wrapped: &[u8]) -> Result<Vec<u8>, Fault> {
//!         self.wrap(wrapped)
//!     }
//!     fn peer(&self) -> &str {
//!         self.0
//!     }
//! }
//!
//! impl Negotiation for Naive {
//!     fn step(&mut self, token: &[u8]) -> Result<Step, Fault> {
//!         let context = Arc::new(Naive(if token == b"ada" { "ada" } else { "the server" }));
//!         let token = token.is_empty().then(|| b"ada".to_vec());
//!         Ok(Step::Done { token, context })
//!     }
//! }
//!
//! impl Initiator for Naive {
//!     fn begin(&self) -> Result<Box<dyn Negotiation>, Fault> {
//!         Ok(Box::new(Naive("")))
//!     }
//! }
//!
//! impl Acceptor for Naive {
//!     fn begin(&self) -> Result<Box<dyn Negotiation>, Fault> {
//!         Ok(Box::new(Naive("")))
//!     }
//! }
//!
//! /// Says who calls.
//! struct Who;
//!
//! impl Program for Who {
//!     fn program(&self) -> u32 {
//!         0x2000_0001
//!     }
//!     fn version(&self) -> u32 {
//!         1
//!     }
//!     fn dispatch(
//!         self: Arc<Self>,
//!         context: Context,
//!         _: u32,
//!         _: &[u8],
//!         mut reply: Vec<u8>,
//!     ) -> Result<Answer, Refusal> {
//!         let proof = context.gss.ok_or(Refusal::SystemError)?;
//!         let to = &mut xdr::Writer::new(&mut reply);
//!         to.string(proof.principal(), 255).map_err(|_| Refusal::SystemError)?;
//!         Ok(Box::pin(std::future::ready(Ok(reply))))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let options = Server::options().gss(Naive("")).gss_at_least(Service::Integrity);
//! let mut server = Server::with(options);
//! server.add(Who);
//! let address = server.tcp("127.0.0.1:0".parse()?).await?;
//! let running = server.start();
//!
//! let who = strait::rpc::onc::Procedure { program: 0x2000_0001, version: 1, number: 1 };
//! let name = tokio::task::spawn_blocking(move || {
//!     let client = Client::options().gss(Naive(""), Service::Privacy).tcp(address)?;
//!     client.call(who, |_| Ok(()), |from| from.string(255).map(str::to_owned))
//! });
//! assert_eq!(name.await??, "ada");
//! # drop(running);
//! # Ok(())
//! # }
//! ```
//!
//! # Traps
//!
//! - The program, its version and the procedure can be read and not changed, with any service.
//! - Who calls is known; whether he may is the service's to say: [`Context::gss`] with
//!   [`Refusal::Auth`](super::Refusal::Auth). [`ServerOptions::require`] with
//!   [`Flavor::GSS`](super::auth::Flavor::GSS) turns away who proves nothing.
//! - No more calls of a client are in flight than its context's window has room for, 128 with our
//!   servers: who calls beyond that waits, for as long as a call may take. Each call leaves by
//!   itself, also one of a batch.
//! - Of too many contexts those go of whoever has most, the idlest first, and are made again. Who
//!   can prove many names can make those of others go.
//! - A denial (AUTH_ERROR) has no proof. Who can forge one makes calls fail, as cutting the wire
//!   does; and if it says that the context is lost, the call is made again in a new one, though it
//!   may have been carried out (RFC 2203 section 5.3.3.3 has it so).
//! - Nor has the answer to a token, before there is a context. Over UDP, where anybody can send
//!   one, a context that fails by it is begun anew, three times.
//!
//! # Faithful, and not
//!
//! Tests have Kerberos 5 with MIT's KDC, and libtirpc as client and as server.
//!
//! | | |
//! | --- | --- |
//! | version 1; INIT, CONTINUE_INIT, DATA, DESTROY; none, integrity, privacy | RFC 2203 |
//! | quality of protection | the mechanism's usual one, always |
//! | tokens above 64 KiB, more than 16 of them | refused |
//! | version 2 (channel bindings, RFC 5403), version 3 (RFC 7861) | AUTH_REJECTEDCRED |
//!
//! [`ServerOptions::require`]: super::ServerOptions::require
//! [`Context::gss`]: super::Context::gss

use std::fmt;
use std::sync::Arc;

pub use strait_wire::onc::gss::server::Limits;
pub use strait_wire::onc::gss::{
    Acceptor, Fault, Initiator, Major, Negotiation, SecurityContext, Service, Step,
};

#[cfg(feature = "krb5")]
pub mod krb5;
pub(super) mod server;

/// Who calls, as a mechanism has proven it.
#[derive(Clone)]
pub struct Proof {
    context: Arc<dyn SecurityContext>,
    service: Service,
}

impl Proof {
    /// The caller: with Kerberos, a principal such as `ada@EXAMPLE.ORG`.
    #[must_use]
    pub fn principal(&self) -> &str {
        self.context.peer()
    }

    /// How the call was protected, and its reply will be.
    #[must_use]
    pub const fn service(&self) -> Service {
        self.service
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof")
            .field("principal", &self.principal())
            .field("service", &self.service)
            .finish()
    }
}
