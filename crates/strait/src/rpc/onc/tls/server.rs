//! The server's side: the answer to the question for TLS, the handshake, and what then stands
//! between records and the socket.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::task::{Context as Poller, Poll, ready};

use rustls::server::{
    Acceptor, ClientHello, NoServerSessionStorage, ServerConfig, WebPkiClientVerifier,
};
use strait_wire::onc::auth::{Flavor, OpaqueAuth};
use strait_wire::onc::message::{AuthStat, Denied};
use strait_wire::onc::record;
use strait_wire::onc::server::{self as wire, Answer, Caps, parse_call};
use strait_wire::xdr::Padding;

use super::client::unfit;
use super::identity::{Identity, Roots};
use super::session::{ALPN, Session, Trouble};
use super::words::words;
use crate::error::{Error, ErrorKind, Result};
use crate::rpc::onc::server::event::Dropped;
use crate::rpc::onc::server::shared::{Counts, Shared};
use crate::rpc::onc::server::socket::Stream;

/// A handshake takes at most so much memory: rustls keeps up to 64 KiB of it that is not whole.
pub(in crate::rpc::onc) const HANDSHAKE_MEMORY: usize = 80 << 10;
/// Bytes that are read of one before it is given that: most have fewer, and rustls keeps room for
/// as many again, which together is what every connection has without asking.
const HANDSHAKE_SHORT: usize = 4 << 10;
/// The alert no_application_protocol, in clear text as before any key. RFC 8446 section 6.
const NO_PROTOCOL: [u8; 7] = [21, 3, 3, 0, 2, 2, 120];
/// Where the flavor of a call's credential stands.
const FLAVOR_AT: usize = 24;

/// How a server speaks TLS: [`ServerOptions::tls`](crate::rpc::onc::ServerOptions::tls).
#[derive(Clone)]
pub struct TlsServer {
    identity: Identity,
    config: Arc<ServerConfig>,
    is_required: bool,
}

/// Who must show a certificate.
enum Clients<'a> {
    Nobody,
    WhoLikes(&'a Roots),
    All(&'a Roots),
}

impl TlsServer {
    /// Speaks TLS to clients that ask for it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`]: the key is another certificate's, or of a kind that is not
    /// known.
    pub fn new(identity: Identity) -> Result<Self> {
        let config = Arc::new(config(&identity, &Clients::Nobody)?);
        Ok(Self {
            identity,
            config,
            is_required: false,
        })
    }

    /// Over TLS only clients are served that show a certificate issued by one of `roots`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`]: there are no roots.
    pub fn require_certificates(self, roots: &Roots) -> Result<Self> {
        self.of(&Clients::All(roots))
    }

    /// Asks clients for a certificate. Who shows none is served, and who shows one that was not
    /// issued by one of `roots` is not.
    ///
    /// # Errors
    /// As for [`require_certificates`](Self::require_certificates).
    pub fn ask_certificates(self, roots: &Roots) -> Result<Self> {
        self.of(&Clients::WhoLikes(roots))
    }

    fn of(self, clients: &Clients<'_>) -> Result<Self> {
        let config = Arc::new(config(&self.identity, clients)?);
        Ok(Self { config, ..self })
    }

    /// Calls over TCP without TLS, and all calls over UDP, are AUTH_TOOWEAK. Local sockets and
    /// channels, where the kernel says who calls, do without.
    #[must_use]
    pub fn require_tls(self) -> Self {
        Self {
            is_required: true,
            ..self
        }
    }

    pub(in crate::rpc::onc) fn is_required(&self) -> bool {
        self.is_required
    }
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer")
            .field("identity", &self.identity)
            .field("is_required", &self.is_required)
            .finish_non_exhaustive()
    }
}

fn config(identity: &Identity, clients: &Clients<'_>) -> Result<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(super::provider());
    let builder = builder.with_protocol_versions(super::VERSIONS);
    let builder = builder.map_err(|error| unfit(&error))?;
    let verifier = |roots: &Roots| {
        let roots = Arc::new(roots.0.clone());
        WebPkiClientVerifier::builder_with_provider(roots, super::provider())
    };
    let verifier = match clients {
        Clients::Nobody => None,
        Clients::WhoLikes(roots) => Some(verifier(roots).allow_unauthenticated().build()),
        Clients::All(roots) => Some(verifier(roots).build()),
    };
    let builder = match verifier.transpose() {
        Ok(None) => builder.with_no_client_auth(),
        Ok(Some(verifier)) => builder.with_client_cert_verifier(verifier),
        Err(error) => {
            let error = error.to_string();
            return Err(Error::new(ErrorKind::InvalidInput, "use", "roots").because(error));
        }
    };
    let Identity { chain, key } = identity.clone();
    let config = builder.with_single_cert(chain, key);
    let mut config = config.map_err(|error| unfit(&error))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Nothing is resumed: a session lasts as long as a connection.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// What is said to the question for TLS, as a record.
pub(in crate::rpc::onc) enum Asked {
    /// The handshake follows.
    Granted(Vec<u8>),
    TurnedAway(Vec<u8>),
}

/// Answers a message that asks for TLS, perhaps `within` it; `None`: it does not.
pub(in crate::rpc::onc) fn asked(shared: &Shared, message: &[u8], within: bool) -> Option<Asked> {
    let flavor = message.get(FLAVOR_AT..).and_then(|rest| rest.first_chunk());
    if flavor != Some(&Flavor::TLS.0.to_be_bytes()) {
        return None;
    }
    let caps = Caps {
        flavors: &[Flavor::TLS],
        padding: Padding::Strict,
    };
    let mut out = Vec::new();
    let mark = record::begin(&mut out);
    let granted = match parse_call(message, &caps) {
        Ok(call) => {
            let (xid, procedure) = (call.header.xid, call.header.procedure);
            let found = shared.programs.find(procedure.program, procedure.version);
            // RFC 9289 section 4.1.
            if within {
                wire::deny(&mut out, xid, Denied::Auth(AuthStat::BAD_CREDENTIAL));
                false
            } else if call.header.verifier != OpaqueAuth::NONE {
                wire::deny(&mut out, xid, Denied::Auth(AuthStat::BAD_VERIFIER));
                false
            } else if let Err(status) = found {
                wire::refuse(&mut out, xid, &OpaqueAuth::NONE, status).ok()?;
                false
            } else {
                wire::success(&mut out, xid, &OpaqueAuth::STARTTLS, |_| Ok(())).ok()?;
                true
            }
        }
        Err(Answer::Reply { message, .. }) => {
            out.extend_from_slice(&message);
            false
        }
        Err(Answer::Drop(_)) => return None,
    };
    mark.end(&mut out).ok()?;
    Counts::add(&shared.counts.calls);
    if granted {
        return Some(Asked::Granted(out));
    }
    Counts::add(&shared.counts.refused);
    Some(Asked::TurnedAway(out))
}

/// TLS over a connection, from the handshake on.
pub(in crate::rpc::onc) struct Secure {
    config: Arc<ServerConfig>,
    stage: Stage,
    /// Bytes of the handshake that may still be read.
    left: usize,
}

/// How far a handshake has come.
pub(in crate::rpc::onc) enum Shaken {
    /// It is done; the client's certificate, if it has shown one.
    Done(Option<Arc<[u8]>>),
    /// It is longer than most, and waits for [`make_room`](Secure::make_room).
    Long,
}

enum Stage {
    /// Until the client's first message is whole.
    Hello(Acceptor),
    Within(Session),
}

/// A stream's bytes, as far as they are there.
struct Now<'a>(&'a Stream);

impl Read for Now<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(room)
    }
}

/// The same, up to so many of them.
struct AtMost<'a> {
    now: Now<'a>,
    left: &'a mut usize,
}

impl Read for AtMost<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let len = room.len().min(*self.left);
        if len == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let read = self.now.read(&mut room[..len])?;
        *self.left -= read;
        Ok(read)
    }
}

impl Write for AtMost<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.now.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.now.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for Now<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Secure {
    /// Before the handshake. Always there: without the feature there is no such value to be given.
    pub(in crate::rpc::onc) fn begin(server: &TlsServer) -> Option<Box<Self>> {
        Some(Box::new(Self {
            config: Arc::clone(&server.config),
            stage: Stage::Hello(Acceptor::default()),
            left: HANDSHAKE_SHORT,
        }))
    }

    /// The handshake may be as long as rustls takes it.
    pub(in crate::rpc::onc) fn make_room(&mut self) {
        self.left = usize::MAX;
    }

    /// Until the handshake is done, or needs room.
    pub(in crate::rpc::onc) fn poll_shake(
        &mut self,
        stream: &Stream,
        poller: &mut Poller<'_>,
    ) -> Poll<io::Result<Shaken>> {
        loop {
            let (now, left) = (Now(stream), &mut self.left);
            let mut some = AtMost { now, left };
            let (trouble, wants_room) = match &mut self.stage {
                Stage::Hello(acceptor) => match hello(acceptor, &self.config, &mut some) {
                    Ok(Some(session)) => {
                        self.stage = Stage::Within(session);
                        continue;
                    }
                    Ok(None) => continue,
                    Err(trouble) => (trouble, false),
                },
                Stage::Within(session) => match session.shake(&mut some) {
                    Ok(()) => return Poll::Ready(Ok(Shaken::Done(session.certificate()))),
                    Err(trouble) => (trouble, session.wants_room()),
                },
            };
            match trouble {
                Trouble::Io(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.left == 0 && !wants_room {
                        return Poll::Ready(Ok(Shaken::Long));
                    }
                    ready!(match wants_room {
                        true => stream.poll_write_ready(poller),
                        false => stream.poll_read_ready(poller),
                    })?;
                }
                Trouble::Io(error) => {
                    let why = match error.kind() {
                        io::ErrorKind::UnexpectedEof => "the client has closed it".to_owned(),
                        kind => kind.to_string(),
                    };
                    return Poll::Ready(Err(said(format!("the handshake was cut: {why}"))));
                }
                trouble => return Poll::Ready(Err(trouble.into())),
            }
        }
    }

    fn session(&mut self) -> io::Result<&mut Session> {
        match &mut self.stage {
            Stage::Within(session) => Ok(session),
            Stage::Hello(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Until there is something to be read, or the end.
    pub(in crate::rpc::onc) fn poll_read_ready(
        &mut self,
        stream: &Stream,
        poller: &mut Poller<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.session()?.fill(&mut Now(stream)) {
                Err(Trouble::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(stream.poll_read_ready(poller))?;
                }
                filled => return Poll::Ready(filled.map_err(Into::into)),
            }
        }
    }

    /// After that.
    pub(in crate::rpc::onc) fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.session()?.take(room)
    }

    pub(in crate::rpc::onc) fn poll_write(
        &mut self,
        stream: &Stream,
        poller: &mut Poller<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.session()?.write(&mut Now(stream), slices) {
                Err(Trouble::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(stream.poll_write_ready(poller))?;
                }
                written => return Poll::Ready(written.map_err(Into::into)),
            }
        }
    }

    pub(in crate::rpc::onc) fn close(&mut self, stream: &Stream) {
        if let Stage::Within(session) = &mut self.stage {
            session.close(&mut Now(stream));
        }
    }
}

impl fmt::Debug for Secure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secure").finish_non_exhaustive()
    }
}

/// Takes the client's first message; the session once that is whole.
fn hello(
    acceptor: &mut Acceptor,
    config: &Arc<ServerConfig>,
    stream: &mut (impl Read + Write),
) -> std::result::Result<Option<Session>, Trouble> {
    if acceptor.read_tls(stream)? == 0 {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    let begun = match acceptor.accept() {
        Ok(None) => return Ok(None),
        Ok(Some(accepted)) if !names_rpc(&accepted.client_hello()) => {
            // Who does not take it is told by the end of the connection.
            let _ = stream.write_all(&NO_PROTOCOL);
            return Err(Trouble::Tls(rustls::Error::NoApplicationProtocol));
        }
        Ok(Some(accepted)) => accepted.into_connection(Arc::clone(config)),
        Err(failed) => Err(failed),
    };
    match begun {
        Ok(connection) => Ok(Some(Session::server(connection))),
        Err((error, mut alert)) => {
            let _ = alert.write_all(stream);
            Err(Trouble::Tls(error))
        }
    }
}

fn names_rpc(hello: &ClientHello<'_>) -> bool {
    let mut named = hello.alpn().into_iter().flatten();
    named.any(|protocol| protocol == ALPN)
}

/// What TLS has against a client, on its way through what reads and writes.
#[derive(Debug)]
struct Said(String);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Said {}

fn said(why: String) -> io::Error {
    io::Error::other(Said(why))
}

impl From<Trouble> for io::Error {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Io(error) => error,
            Trouble::Tls(error) => said(words(&error, "client").1),
        }
    }
}

/// Why a connection ends that has failed with that.
pub(in crate::rpc::onc) fn dropped(error: &io::Error) -> Dropped {
    let said = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Said>());
    match said {
        Some(Said(why)) => Dropped::Tls(why.clone()),
        None => Dropped::Failed(error.kind()),
    }
}
