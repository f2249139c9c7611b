//! RPC with TLS (RFC 9289): calls that nobody between can read or change, to a server that is who
//! it says.
//!
//! Use it between machines, over TCP. Within a machine a local socket or a channel says who calls,
//! and costs less. It needs the feature `tls`.
//!
//! A client asks with procedure 0 and AUTH_TLS, a server that speaks TLS says `STARTTLS`, and from
//! then on all is TLS 1.3, with ALPN `sunrpc` on both sides. The port is the one of clear text.
//!
//! ```no_run
//! use strait::rpc::onc::tls::{Identity, Roots};
//! use strait::rpc::onc::{Client, Server, Tls, TlsServer};
//!
//! // The server: its certificate, its issuers' and its key, as PEM.
//! let identity = Identity::files("server.pem", "server.key")?;
//! let tls = TlsServer::new(identity)?.require_tls();
//! let server = Server::with(Server::options().tls(tls));
//!
//! // The client: which name the certificate must have, and whose word that is.
//! let tls = Tls::required("files.example", &Roots::file("roots.pem")?)?;
//! let options = Client::options().tls(tls, (0x2000_0001, 1));
//! let client = options.tcp("files.example:2049")?;
//! client.null(0x2000_0001, 1)?;
//! # Ok::<(), strait::Error>(())
//! ```
//!
//! With [`TlsServer::require_certificates`] the server knows its clients too:
//! [`Caller::Tls`](super::Caller::Tls) has the certificate that was verified, and what name in it
//! may call what is the handler's to say. It names a machine: who of its users calls is still what
//! AUTH_SYS says, now in the words of a machine that is known (RFC 9289 section 4.2).
//!
//! # Never back to clear text
//!
//! Once TLS was asked for with [`Tls::required`], no call leaves in clear text: not where the
//! server offers none, not after a failed handshake, not by
//! [`Client::reconnect`](super::Client::reconnect). What is received in clear text behind the
//! question or its answer, where somebody between may have put it, ends the connection on either
//! side. [`Tls::if_offered`] is for those who cannot require it yet.
//!
//! # Errors
//!
//! Of connecting, and of the first call where the server refuses this side's certificate, which it
//! may say only then:
//!
//! | kind | what has happened | whose fault |
//! | --- | --- | --- |
//! | `Unsupported` | the server offers no TLS, or none with version 1.3 and ALPN `sunrpc` | nobody's |
//! | `Denied` | its certificate has expired, has another name, or is of an unknown issuer | the server's, or somebody is between |
//! | `Denied` | it wants a certificate of this side, or another one | the client's |
//! | `Broken` | what it sends is not TLS, or was said in clear text behind `STARTTLS` | the server's, or somebody is between |
//! | `PeerGone`, `TimedOut` | in the middle of the handshake | |
//!
//! # Bounds
//!
//! A handshake is a call that is coming: it ends within
//! [`Limits::record_time`](super::Limits::record_time), and takes 8 KiB of
//! [`Limits::records_memory`](super::Limits::records_memory) from its first byte on, as a small
//! call does. A client that has sent more than 4 KiB of one, as with several certificates, takes
//! 80 KiB, for which many at once wait; those that stand still then make way. All other limits are
//! as without TLS. A connection within TLS keeps a few KiB more than one without; what has come of
//! a record of TLS that is not whole, at most 18 KiB, is counted nowhere, and is bounded in time by
//! [`Limits::idle`](super::Limits::idle) alone.
//!
//! A peer that sends more than 64 KiB of TLS's own messages and nothing within it, such as tickets
//! for sessions to come, is given up: nobody who waits for it would come to look at the time.
//!
//! # Faithful, and not
//!
//! | | |
//! | --- | --- |
//! | AUTH_TLS, STARTTLS, TLS 1.3, ALPN, certificates with names and IP addresses | RFC 9289, RFC 9525 |
//! | AUTH_TLS with another procedure than 0, or within TLS | AUTH_BADCRED: RFC 9289 section 4.1 |
//! | AUTH_TLS to a server without TLS, and over anything but TCP | AUTH_REJECTEDCRED |
//! | AUTH_SHORT that was handed out before TLS, within it | AUTH_REJECTEDCRED |
//! | a common name | not looked at |
//! | calls in progress while TLS is asked for | the connection is closed |
//! | UDP (DTLS), pre-shared keys, resumption, 0-RTT, the purposes of RFC 9289 section 5.2.1.1 | not there |
//! | revocation of certificates | not looked at |
//!
//! RFC 9289; RFC 8446; RFC 7301.

mod client;
mod identity;
mod server;
mod session;
mod words;

use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;

pub use self::client::Tls;
pub use self::identity::{Identity, Roots};
pub use self::server::TlsServer;

pub(super) use self::client::{Line, Wanted};
pub(super) use self::server::{Asked, HANDSHAKE_MEMORY, Secure, Shaken, asked, dropped};

/// RFC 9289 section 5: version 1.3 at least.
const VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
