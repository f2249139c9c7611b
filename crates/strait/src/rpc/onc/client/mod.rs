//! Clients: [`Client`] for threads, [`AsyncClient`] for async tasks.
//!
//! Both are one connection, over which any number of callers call at once: replies come in any
//! order, and each finds its call. Code made from a `.x` file calls over them; by hand a call is a
//! [`Procedure`], a closure that writes its arguments and one that reads its results.
//!
//! ```no_run
//! use std::time::Duration;
//! use strait::rpc::onc::{Client, Procedure};
//!
//! let client = Client::options().timeout(Duration::from_secs(5)).sys().tcp("localhost:2049")?;
//! client.null(100_003, 3)?;
//!
//! // int DOUBLE(int) = 1;
//! let double = Procedure { program: 0x2000_0001, version: 1, number: 1 };
//! let answer = client.call(double, |to| Ok(to.int(21)), |from| from.int())?;
//! assert_eq!(answer, 42);
//!
//! // Many in flight from one thread; and calls without an answer, in one write.
//! let begun = (0..32).map(|n| client.begin(double, move |to| Ok(to.int(n)), |from| from.int()));
//! let begun = begun.collect::<strait::Result<Vec<_>>>()?;
//! for call in begun {
//!     call.wait()?;
//! }
//! client.batch(|batch| batch.call_oneway(double, |to| Ok(to.int(1))))?;
//! # Ok::<(), strait::Error>(())
//! ```
//!
//! Over any stream that exists; here the server is the other end of a pair:
//!
//! ```
//! use std::io::{Read, Write};
//! use std::os::unix::net::UnixStream;
//! use strait::rpc::onc::Client;
//!
//! let (here, mut there) = UnixStream::pair().unwrap();
//! let server = std::thread::spawn(move || {
//!     let mut call = [0; 44];
//!     there.read_exact(&mut call).unwrap();
//!     // A record of 24 bytes, the number of the call, and success without results.
//!     let mut reply = [0; 28];
//!     reply[..4].copy_from_slice(&0x8000_0018_u32.to_be_bytes());
//!     reply[4..8].copy_from_slice(&call[4..8]);
//!     reply[11] = 1;
//!     there.write_all(&reply).unwrap();
//! });
//! Client::options().stream(here)?.null(100_003, 3)?;
//! server.join().unwrap();
//! # Ok::<(), strait::Error>(())
//! ```
//!
//! # How it works
//!
//! There is no thread behind a [`Client`]: of those who wait for replies one reads for all, and
//! hands the turn on when his own has come. Over a socket a call is one system call to send (mark,
//! header and arguments in one buffer) and one to receive, and results are decoded where they were
//! read into. While a large call finds no room, replies are read, so that a server that answers
//! before it reads on is not stood off. Over a [channel](ClientOptions::channel) a call is one
//! message, copied into memory that the server reads, without a system call while both are awake.
//! An [`AsyncClient`] has one task that reads.
//!
//! After a call's time has run out the connection goes on: the reply is dropped when it comes. If a
//! part of the call was sent by then, nothing can follow it, and each call says so until
//! [`Client::reconnect`]. When the server closes, dies or sends what is no record, every call in
//! flight ends with that, and so does each that follows: a call that was not answered may have been
//! carried out, and only the caller knows whether it may be made again, so that nothing is
//! repeated or connected anew unasked. Over UDP a call is sent again, with the same number, until
//! it is answered: a server without a cache of duplicates carries it out as often.
//!
//! A server that hands out a shorter credential (AUTH_SHORT) in place of AUTH_SYS is sent that, and
//! the full one again, once, when it does not know it any more. Calls without an answer always
//! carry the full one.
//!
//! # Errors
//!
//! [`status`](super::status) gives the exact status of those that the server said.
//!
//! | kind | what has happened | whose fault |
//! | --- | --- | --- |
//! | `Unsupported` | PROG_UNAVAIL, PROG_MISMATCH, PROC_UNAVAIL, RPC_MISMATCH: it is not to be had there | nobody's |
//! | `Denied` | AUTH_ERROR; RPCSEC_GSS: no context | the caller's |
//! | `Refused` | GARBAGE_ARGS: the two do not have the same interface | either's |
//! | `Refused` | SYSTEM_ERR | the server's |
//! | `Refused` | ECONNREFUSED: nobody listens there, over UDP as soon as its machine says so, also of a server that has carried the call out and is gone | nobody's |
//! | `TimedOut` | no reply in time; or the server takes no bytes | |
//! | `PeerGone` | the connection has ended | the server's, or the network's |
//! | `Broken` | the reply cannot be decoded, or is longer than [`ClientOptions::record_max`] | the server's |
//! | `Broken` | RPCSEC_GSS: the reply does not prove itself | whoever sent it |
//! | `Broken` | the connection was left with a part of a call | |
//! | `InvalidInput` | an argument breaks the bound of its type | the caller's |
//! | `TooLong` | the call does not fit a datagram (65,507 bytes) or a record (2 GiB) | the caller's |
//! | `LimitExceeded` | [`ClientOptions::in_flight_max`], [`ClientOptions::uncollected_max`] | the caller's |
//! | `Cancelled` | the runtime of an [`AsyncClient`]'s task has ended | the caller's |
//!
//! # Faithful, and not
//!
//! | | |
//! | --- | --- |
//! | messages, records, AUTH_NONE, AUTH_SYS, AUTH_SHORT, batching | RFC 5531 |
//! | timeout 25 s | libtirpc |
//! | results followed by bytes that are not theirs | an error, where libtirpc takes them |
//! | calls that come from the server | dropped |
//! | verifiers of replies to AUTH_NONE and AUTH_SYS | not looked at, but for AUTH_SHORT |
//! | RPCSEC_GSS | RFC 2203: see [`gss`](super::gss) |
//!
//! RFC 5531 sections 8, 9, 11 and appendix A; RFC 4506.

mod calls;
mod channel;
mod connection;
pub(super) mod failure;
mod generated;
mod gss;
pub(super) mod inbox;
pub(super) mod options;
mod pending;
mod task;
pub(super) mod transport;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strait_sys::time::Deadline;
use strait_wire::onc::auth::{Flavor, OpaqueAuth};
use strait_wire::onc::client::{Draft, Order, Refused};
use strait_wire::onc::message::{AuthStat, Denied, NULL, Procedure};
use strait_wire::xdr::{self, Reader, Writer};

use self::connection::Connection;
use self::failure::Failure;
use self::gss::Session;
use self::options::Target;
use self::pending::Begun;
use self::transport::Transport;
use crate::error::{Error, Result};

pub use self::options::{ClientOptions, TIMEOUT, UNCOLLECTED_MAX};
pub use self::pending::{BATCH_MAX, Batch, Decoder, Pending};
pub use self::task::{AsyncBatch, AsyncClient};

/// A client for threads: one connection, over which any number of them call at once. A clone has
/// the same connection.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    timeout: Duration,
}

struct Shared {
    options: ClientOptions,
    target: Target,
    link: Mutex<Link>,
    /// Held while somebody connects anew.
    connecting: Mutex<()>,
    /// With RPCSEC_GSS.
    session: Option<Session>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        let link = self.link.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = &self.session {
            session.end(&link.connection);
        }
    }
}

/// The present connection.
#[derive(Clone)]
struct Link {
    peer: Arc<str>,
    connection: Arc<Connection>,
}

type Coded = std::result::Result<(), xdr::Error>;

impl Client {
    /// How to call, and then where to.
    pub fn options() -> ClientOptions {
        ClientOptions::default()
    }

    fn connect(options: ClientOptions, target: Target) -> Result<Self> {
        let (peer, transport) = target.open(&options, options.timeout)?;
        let connection = options.connection(transport);
        Ok(Self::new(options, target, peer, connection))
    }

    fn over(options: ClientOptions, target: Target, transport: Box<dyn Transport>) -> Self {
        let connection = options.connection(transport);
        let peer = target.to_string();
        Self::new(options, target, peer, connection)
    }

    fn new(options: ClientOptions, target: Target, peer: String, connection: Connection) -> Self {
        let link = Link {
            peer: peer.into(),
            connection: Arc::new(connection),
        };
        let timeout = options.timeout;
        let session = options.gss.clone().map(Session::new);
        let shared = Shared {
            options,
            target,
            link: Mutex::new(link),
            connecting: Mutex::default(),
            session,
        };
        Self {
            shared: Arc::new(shared),
            timeout,
        }
    }

    /// The same client, whose calls may take so long in place of [`ClientOptions::timeout`].
    pub fn within(&self, timeout: Duration) -> Self {
        let shared = self.shared.clone();
        Self { shared, timeout }
    }

    /// Calls a procedure: `arguments` writes its arguments, and `results` reads its results, all of
    /// them.
    ///
    /// # Errors
    /// Those in the table of [the module](crate::rpc::onc::client#errors).
    pub fn call<R>(
        &self,
        procedure: Procedure,
        arguments: impl FnOnce(&mut Writer<'_>) -> Coded,
        results: impl FnOnce(&mut Reader<'_>) -> std::result::Result<R, xdr::Error>,
    ) -> Result<R> {
        let begun = self
            .start(procedure, Saying::Short, arguments)
            .map_err(|failure| self.error(failure, procedure))?;
        self.finish(procedure, begun, results)
    }

    /// Calls a procedure that is not answered, or whose answer nobody waits for: the call was sent,
    /// and that is all that is known. Several at once: [`batch`](Self::batch).
    ///
    /// # Errors
    /// As for [`call`](Self::call), of what happens before the reply.
    pub fn call_oneway(
        &self,
        procedure: Procedure,
        arguments: impl FnOnce(&mut Writer<'_>) -> Coded,
    ) -> Result<()> {
        self.batch(|batch| batch.call_oneway(procedure, arguments))
    }

    /// Calls procedure 0, which every program has: whether it is there.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    pub fn null(&self, program: u32, version: u32) -> Result<()> {
        let procedure = Procedure {
            program,
            version,
            number: NULL,
        };
        self.call(procedure, |_| Ok(()), |_| Ok(()))
    }

    /// Begins a call, and does not wait: many may be in flight from one thread.
    ///
    /// # Errors
    /// As for [`call`](Self::call), of what happens before the reply.
    pub fn begin<R>(
        &self,
        procedure: Procedure,
        arguments: impl FnOnce(&mut Writer<'_>) -> Coded,
        results: Decoder<R>,
    ) -> Result<Pending<R>> {
        let begun = self
            .start(procedure, Saying::Short, arguments)
            .map_err(|failure| self.error(failure, procedure))?;
        begun.leave();
        Ok(Pending::new(self.clone(), procedure, results, begun))
    }

    /// Gathers calls and sends them in one write, or in one each [`BATCH_MAX`] bytes (RFC 5531
    /// section 8.4.1). Over UDP each is a datagram still, and with RPCSEC_GSS each leaves at once.
    ///
    /// # Errors
    /// Those of `gather`, after which what was gathered is sent nevertheless; or as for
    /// [`call_oneway`](Self::call_oneway).
    pub fn batch<T>(&self, gather: impl FnOnce(&mut Batch<'_>) -> Result<T>) -> Result<T> {
        let connection = self.link().connection;
        let out = connection.buffer();
        let mut batch = Batch {
            client: self,
            connection,
            out,
            last: Procedure::default(),
        };
        let gathered = gather(&mut batch);
        let sent = batch.flush();
        batch.connection.reuse(std::mem::take(&mut batch.out));
        let gathered = gathered?;
        sent.map(|()| gathered)
    }

    /// Connects anew if the connection is gone or broken, for all clones; does nothing otherwise.
    ///
    /// It is never done unasked: a call whose reply did not come may have been carried out, and
    /// only the caller knows whether it may be made again.
    ///
    /// # Errors
    /// As for connecting; [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a stream
    /// that was given.
    pub fn reconnect(&self) -> Result<()> {
        // Of several who ask one connects, and the others find it done.
        let connecting = self.shared.connecting.lock();
        let _connecting = connecting.unwrap_or_else(PoisonError::into_inner);
        if !self.link().connection.calls(|calls| calls.is_closed()) {
            return Ok(());
        }
        let options = &self.shared.options;
        let (peer, transport) = self.shared.target.open(options, self.timeout)?;
        *self.lock() = Link {
            peer: peer.into(),
            connection: Arc::new(options.connection(transport)),
        };
        Ok(())
    }

    /// What it is connected to.
    #[must_use]
    pub fn peer(&self) -> String {
        self.link().peer.to_string()
    }

    /// Whether calls go within TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.link().connection.is_encrypted()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Link> {
        let link = self.shared.link.lock();
        link.unwrap_or_else(PoisonError::into_inner)
    }

    fn link(&self) -> Link {
        self.lock().clone()
    }

    #[cold]
    fn error(&self, failure: Failure, procedure: Procedure) -> Error {
        failure.error(procedure, &self.link().peer)
    }

    /// Sends a call.
    fn start(
        &self,
        procedure: Procedure,
        saying: Saying,
        arguments: impl FnOnce(&mut Writer<'_>) -> Coded,
    ) -> std::result::Result<Begun, Failure> {
        let connection = self.lock().connection.clone();
        let mut out = connection.buffer();
        let begun = self.launch(&connection, (procedure, saying), &mut out, arguments)?;
        let sent = connection.send(&out, begun.until, Some(begun.xid));
        connection.reuse(out);
        match sent {
            Ok(()) => Ok(begun),
            Err(failure) => {
                connection.forget(begun.xid);
                Err(failure)
            }
        }
    }

    /// Appends a call to `out` that is in flight with that.
    fn launch(
        &self,
        connection: &Arc<Connection>,
        (procedure, saying): (Procedure, Saying),
        out: &mut Vec<u8>,
        arguments: impl FnOnce(&mut Writer<'_>) -> Coded,
    ) -> std::result::Result<Begun, Failure> {
        if let Some(session) = &self.shared.session {
            return self.launch_sealed(session, (connection, procedure), out, arguments);
        }
        let short = match (self.shared.options.credential.flavor, saying) {
            (Flavor::SYS, Saying::Short) => connection.calls(|calls| calls.short()),
            _ => None,
        };
        let draft = match &short {
            Some(short) => {
                let order = Order::new(procedure).credential(lent(short));
                let drafted = connection.form().draft(&order, out, arguments);
                drafted.map_err(Failure::Draft)
            }
            None => self.draft_long(connection, procedure, out, arguments),
        }?;
        let launched = connection.calls(|calls| calls.launch(&draft, out));
        let xid = launched.inspect_err(|_| out.truncate(draft.start()))?;
        Ok(Begun {
            connection: connection.clone(),
            xid,
            until: Deadline::after(self.timeout),
            within: self.timeout,
            arguments: short.map(|_| out[draft.arguments()].into()),
            context: None,
        })
    }

    /// Appends a call that nobody waits for.
    fn post(
        &self,
        connection: &Connection,
        procedure: Procedure,
        out: &mut Vec<u8>,
        arguments: impl FnOnce(&mut Writer<'_>) -> Coded,
    ) -> std::result::Result<(), Failure> {
        if let Some(session) = &self.shared.session {
            return self.post_sealed(session, (connection, procedure), out, arguments);
        }
        let draft = self.draft_long(connection, procedure, out, arguments)?;
        let launched = connection.calls(|calls| calls.launch_oneway(&draft, out));
        launched.inspect_err(|_| out.truncate(draft.start()))
    }

    /// Appends a call with the credential that it is meant to have.
    fn draft_long(
        &self,
        connection: &Connection,
        procedure: Procedure,
        out: &mut Vec<u8>,
        arguments: impl FnOnce(&mut Writer<'_>) -> Coded,
    ) -> std::result::Result<Draft, Failure> {
        let long = &self.shared.options.credential;
        let order = Order::new(procedure).credential(lent(long));
        let drafted = connection.form().draft(&order, out, arguments);
        drafted.map_err(Failure::Draft)
    }

    /// Waits for the reply to a call, and decodes the results.
    fn finish<R>(
        &self,
        procedure: Procedure,
        begun: Begun,
        results: impl FnOnce(&mut Reader<'_>) -> std::result::Result<R, xdr::Error>,
    ) -> Result<R> {
        let fail = |failure| self.error(failure, procedure);
        let mut waited = begun.wait();
        let mut connection = begun.connection.clone();
        if let Some(arguments) = &begun.arguments
            && self.is_worth_another(&begun, &waited)
        {
            // RFC 5531 appendix A: the server has forgotten what it handed out.
            connection.calls(|calls| calls.drop_short());
            let again = self
                .within(begun.until.left())
                .start(procedure, Saying::Long, |to| {
                    to.opaque_fixed(arguments);
                    Ok(())
                })
                .map_err(fail)?;
            connection = again.connection.clone();
            waited = again.wait();
        }
        let bytes = waited.map_err(fail)?;
        let mut from = Reader::with_limits(bytes.bytes(), self.shared.options.xdr);
        let decoded = results(&mut from).and_then(|value| from.finish().map(|()| value));
        connection.give_back(bytes);
        decoded.map_err(|error| fail(Failure::Results(error)))
    }
}

/// How a call says who calls.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Saying {
    /// By what the server has handed out, if it has.
    Short,
    Long,
}

/// The same credential, without a body of its own.
fn lent<'a>(credential: &'a OpaqueAuth<'_>) -> OpaqueAuth<'a> {
    OpaqueAuth {
        flavor: credential.flavor,
        body: (&*credential.body).into(),
    }
}

/// Whether the server has turned away the credential.
fn is_forgotten<T>(outcome: &std::result::Result<T, Failure>) -> bool {
    let rejected = Refused::Denied(Denied::Auth(AuthStat::REJECTED_CREDENTIAL));
    matches!(outcome, Err(Failure::Refused(refused)) if *refused == rejected)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("peer", &self.peer())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
