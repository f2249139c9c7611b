//! The client's side: the question for TLS, the handshake, and what then stands between messages
//! and the socket.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::client::{ClientConfig, Resumption};
use rustls::pki_types::ServerName;
use strait_sys::Errno;
use strait_sys::time::Deadline;
use strait_wire::onc::auth::OpaqueAuth;
use strait_wire::onc::client::{self as machine, Form, Order, Received};
use strait_wire::onc::message::{NULL, Procedure, ReplyBody, Xid};
use strait_wire::time::Time;

use super::identity::{Identity, Roots};
use super::session::{ALPN, Bytes, Session, Trouble};
use super::words::{no_protocol, words};
use crate::error::{Error, ErrorKind, Result};
use crate::rpc::onc::client::failure::End;
use crate::rpc::onc::client::inbox::Inbox;
use crate::rpc::onc::client::transport::{Readiness, Socket, Transport};

const OPERATION: &str = "start TLS with";
/// The longest reply to the question, in bytes: it has a header and no results.
const REPLY_MAX: usize = 1 << 10;

/// Whom a client calls over TLS: [`ClientOptions::tls`](crate::rpc::onc::ClientOptions::tls).
#[derive(Clone)]
pub struct Tls {
    name: ServerName<'static>,
    roots: Roots,
    config: Arc<ClientConfig>,
    is_required: bool,
}

impl Tls {
    /// Calls go over TLS or not at all, to a server that shows a certificate of `name`, a DNS name
    /// or an IP address among its subject alternative names, issued by one of `roots`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`]: `name` is neither.
    pub fn required(name: &str, roots: &Roots) -> Result<Self> {
        let parsed = ServerName::try_from(name.to_owned()).map_err(|_| {
            Error::new(ErrorKind::InvalidName, "verify the name", name)
                .because("it is neither a DNS name nor an IP address")
        })?;
        Ok(Self {
            name: parsed,
            roots: roots.clone(),
            config: Arc::new(config(roots, None).map_err(|error| unfit(&error))?),
            is_required: true,
        })
    }

    /// The same with a server that offers TLS, and clear text with one that does not: RFC 9289
    /// section 4.1 has that as opportunistic. It protects from those who only listen, and from
    /// nobody who can change a byte, as that byte can be the offer. Which it has become is told by
    /// [`Client::is_encrypted`](crate::rpc::onc::Client::is_encrypted).
    ///
    /// A server that offers TLS and then fails in it, by its certificate or otherwise, is not
    /// called in clear text either.
    ///
    /// # Errors
    /// As for [`required`](Self::required).
    pub fn if_offered(name: &str, roots: &Roots) -> Result<Self> {
        let required = Self::required(name, roots)?;
        Ok(Self {
            is_required: false,
            ..required
        })
    }

    /// Shows this certificate to a server that asks for one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`]: the key is another certificate's, or of a kind that is not
    /// known.
    pub fn identity(self, identity: &Identity) -> Result<Self> {
        let config = config(&self.roots, Some(identity));
        let config = Arc::new(config.map_err(|error| unfit(&error))?);
        Ok(Self { config, ..self })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("name", &self.name)
            .field("is_required", &self.is_required)
            .finish_non_exhaustive()
    }
}

pub(super) fn unfit(error: &rustls::Error) -> Error {
    let why = match error {
        rustls::Error::InconsistentKeys(_) => "the key is not that of the certificate".to_owned(),
        error => error.to_string(),
    };
    Error::new(ErrorKind::InvalidInput, "use", "certificate and key").because(why)
}

fn config(
    roots: &Roots,
    identity: Option<&Identity>,
) -> std::result::Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(super::provider())
        .with_protocol_versions(super::VERSIONS)?
        .with_root_certificates(roots.0.clone());
    let mut config = match identity {
        Some(Identity { chain, key }) => {
            builder.with_client_auth_cert(chain.clone(), key.clone_key())?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// TLS as a client's options have it: with whom, and the program that is asked for it.
#[derive(Clone, Debug)]
pub(in crate::rpc::onc) struct Wanted {
    tls: Tls,
    of: (u32, u32),
}

/// What the server has answered.
enum Offer {
    Made,
    /// And why not.
    None(String),
}

/// A socket on its way to TLS.
struct Start<'a> {
    socket: Socket,
    peer: &'a str,
    until: Deadline,
    within: Duration,
}

impl Wanted {
    pub(in crate::rpc::onc) fn new(tls: Tls, of: (u32, u32)) -> Self {
        Self { tls, of }
    }

    /// Asks for TLS, and does its handshake, until then, which is the end of that time.
    pub(in crate::rpc::onc) fn start(
        &self,
        socket: Socket,
        peer: &str,
        (until, within): (Deadline, Duration),
    ) -> Result<Socket> {
        let start = Start {
            socket,
            peer,
            until,
            within,
        };
        match start.ask(self.of)? {
            Offer::Made => start.shake(&self.tls),
            Offer::None(_) if !self.tls.is_required => Ok(start.socket),
            Offer::None(why) => Err(start
                .error(ErrorKind::Unsupported)
                .because(format!("{why}; no call was made in clear text"))),
        }
    }

    /// The same, of what cannot carry TLS.
    pub(in crate::rpc::onc) fn nowhere(what: &str) -> Error {
        Error::new(ErrorKind::Unsupported, OPERATION, what)
            .because("TLS goes over TCP and other stream sockets only")
    }
}

impl Start<'_> {
    fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, OPERATION, self.peer)
    }

    fn kernel(&self, errno: Errno) -> Error {
        let End { kind, why, .. } = End::kernel(errno);
        Error::kernel(errno, OPERATION, self.peer)
            .with_kind(kind)
            .because(why)
    }

    fn late(&self, what: &str) -> Error {
        let why = format!("{what} within {:?}", self.within);
        self.error(ErrorKind::TimedOut).because(why)
    }

    /// RFC 9289 section 4.1: procedure 0 with AUTH_TLS, whose verifier says STARTTLS.
    fn ask(&self, (program, version): (u32, u32)) -> Result<Offer> {
        let procedure = Procedure {
            program,
            version,
            number: NULL,
        };
        let mut machine = machine::Client::stream(Xid((crate::rpc::onc::random() >> 32) as u32));
        let order = Order::new(procedure).credential(OpaqueAuth::TLS);
        let mut out = Vec::new();
        let called = machine.call(Time::default(), &order, &mut out, |_| Ok(()));
        called.map_err(|error| self.error(ErrorKind::InvalidInput).caused(error))?;
        self.send(&out)?;
        let mut inbox = Inbox::new(Form::RECORD, REPLY_MAX);
        self.receive(&mut inbox)?;
        // Whatever follows in clear text was not said within TLS.
        if !inbox.is_drained() {
            let why = "the server sends more in clear text behind its word for TLS, or somebody \
                       between does; the connection is given up";
            return Err(self.error(ErrorKind::Broken).because(why));
        }
        let broken = |why: &str| self.error(ErrorKind::Broken).because(why);
        let Received::Answer(answer) = machine.receive(inbox.message()) else {
            return Err(broken("the server's answer is no reply to the question"));
        };
        let refused = answer.results().err();
        match answer.header.body {
            ReplyBody::Accepted { verifier, .. }
                if refused.is_none() && verifier == OpaqueAuth::STARTTLS =>
            {
                Ok(Offer::Made)
            }
            _ => Ok(Offer::None(match refused {
                Some(refused) => format!("the server offers no TLS: {refused}"),
                None => "the server offers no TLS: its answer is without STARTTLS".to_owned(),
            })),
        }
    }

    fn send(&self, bytes: &[u8]) -> Result<()> {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.socket.try_send(&bytes[sent..]) {
                Ok(len) => sent += len,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if self.until.passed() => {
                    return Err(self.late("the server takes no bytes"));
                }
                Err(Errno::AGAIN) => self.wait(Readiness::Room)?,
                Err(errno) => return Err(self.kernel(errno)),
            }
        }
        Ok(())
    }

    fn wait(&self, readiness: Readiness) -> Result<()> {
        let waited = self.socket.wait(readiness, self.until);
        waited.map_err(|errno| self.kernel(errno))
    }

    /// One record.
    fn receive(&self, inbox: &mut Inbox) -> Result<()> {
        loop {
            match inbox.next() {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => {
                    let End { kind, why, .. } = End::record(error);
                    return Err(self.error(kind).because(why));
                }
            }
            match self.socket.receive(inbox, self.until) {
                Ok(Some(0)) => {
                    let why = "the server has closed the connection in place of an answer";
                    return Err(self.error(ErrorKind::PeerGone).because(why));
                }
                Ok(Some(len)) => inbox.filled(len),
                Ok(None) => return Err(self.late("no answer to the question for TLS")),
                Err(errno) => return Err(self.kernel(errno)),
            }
        }
    }

    fn shake(self, tls: &Tls) -> Result<Socket> {
        let (config, name) = (Arc::clone(&tls.config), tls.name.clone());
        let session = Session::client(config, name);
        let mut session = session.map_err(|error| self.failed(&error))?;
        loop {
            let mut bytes = Bytes(self.socket.as_fd());
            match session.shake(&mut bytes) {
                Ok(()) => break,
                Err(Trouble::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.until.passed() {
                        return Err(self.late("the handshake was not finished"));
                    }
                    self.wait(match session.wants_room() {
                        true => Readiness::Room,
                        false => Readiness::Data,
                    })?;
                }
                Err(Trouble::Io(error)) => {
                    let last = session.last_words(&mut bytes);
                    return Err(last.map_or_else(|| self.cut(&error), |last| self.failed(&last)));
                }
                Err(Trouble::Tls(error)) => return Err(self.failed(&error)),
            }
        }
        if !session.is_rpc() {
            session.close(&mut Bytes(self.socket.as_fd()));
            let why = no_protocol("server");
            return Err(self.error(ErrorKind::Unsupported).because(why));
        }
        Ok(self.socket.within(Line::new(session)))
    }

    fn failed(&self, error: &rustls::Error) -> Error {
        let (kind, why) = words(error, "server");
        self.error(kind).because(why)
    }

    fn cut(&self, error: &io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => self
                .error(ErrorKind::PeerGone)
                .because("the server has closed the connection in the middle of the handshake"),
            _ => self.kernel(Errno::from_io_error(error).unwrap_or(Errno::IO)),
        }
    }
}

/// TLS over a connected socket, for one who reads and one who writes at a time.
pub(in crate::rpc::onc) struct Line(Mutex<State>);

struct State {
    session: Session,
    /// What TLS has against the server.
    why: Option<End>,
}

impl Line {
    fn new(session: Session) -> Self {
        Self(Mutex::new(State { session, why: None }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::rpc::onc) fn try_send(
        &self,
        fd: BorrowedFd<'_>,
        bytes: &[u8],
    ) -> std::result::Result<usize, Errno> {
        let mut state = self.state();
        let sent = state.session.write(&mut Bytes(fd), &[IoSlice::new(bytes)]);
        sent.map_err(|trouble| {
            if let Trouble::Io(error) = &trouble
                && error.kind() != io::ErrorKind::WouldBlock
                && let Some(error) = state.session.last_words(&mut Bytes(fd))
            {
                return state.errno(Trouble::Tls(error));
            }
            state.errno(trouble)
        })
    }

    pub(in crate::rpc::onc) fn is_within_message(&self) -> bool {
        self.state().session.is_within_write()
    }

    /// What is there; `AGAIN`: nothing.
    pub(in crate::rpc::onc) fn try_receive(
        &self,
        fd: BorrowedFd<'_>,
        room: &mut [u8],
    ) -> std::result::Result<usize, Errno> {
        let mut state = self.state();
        let filled = state.session.fill(&mut Bytes(fd));
        let read = filled.and_then(|()| state.session.take(room).map_err(Trouble::Io));
        read.map_err(|trouble| state.errno(trouble))
    }

    /// Why it has ended, where the socket says that.
    pub(in crate::rpc::onc) fn end(&self, errno: Errno) -> End {
        let known = self.state().why.clone();
        known.unwrap_or_else(|| End::kernel(errno))
    }

    pub(in crate::rpc::onc) fn close(&self, fd: BorrowedFd<'_>) {
        self.state().session.close(&mut Bytes(fd));
    }
}

impl State {
    fn errno(&mut self, trouble: Trouble) -> Errno {
        match trouble {
            Trouble::Io(error) => Errno::from_io_error(&error).unwrap_or(Errno::IO),
            Trouble::Tls(error) => {
                let (kind, why) = words(&error, "server");
                self.why = Some(End::new(kind, why));
                Errno::PROTO
            }
        }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}
