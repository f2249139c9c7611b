//! Local procedure calls: ports that clients connect to, and messages that are answered.
//!
//! A server creates a [`Port`] under a name; a [`Client`] connects, calls, and gets its reply. The
//! port knows who calls: process, user and group, from the kernel. Use it for questions and
//! answers within a machine; for streams of bytes use a pipe, for one-way messages at full speed a
//! [channel](crate::channel).
//!
//! ```
//! use strait::Namespace;
//! use strait::nt::lpc;
//!
//! let space = Namespace::temporary()?;
//! let port = lpc::Port::options().namespace(&space).create("calc")?;
//! std::thread::scope(|scope| -> strait::Result<()> {
//!     // In the server:
//!     scope.spawn(|| port.serve(|call| call.reply(&call.request().to_ascii_uppercase())));
//!     // In a client:
//!     let mut calc = lpc::Client::options().namespace(&space).connect("calc")?;
//!     assert_eq!(calc.call(b"two and two")?, b"TWO AND TWO");
//!     port.close();
//!     Ok(())
//! })?;
//! # Ok::<(), strait::Error>(())
//! ```
//!
//! Two whole programs are `examples/lpc_server.rs` and `examples/lpc_client.rs`.
//!
//! # Which of the three forms
//!
//! | | messages: [`Client::call`] | a view: [`Client::call_at`], [`Quick::call_at`] | Quick: [`Quick::call`] |
//! | --- | --- | --- | --- |
//! | a call costs | two copies each way, and the search for who has called; of 64 bytes 3.7 times what two processors need to hand a cache line there and back, and 0.7 times a futex's round trip on one | the message that says where; the data is not moved, so that 1 MiB takes 1.04 times as long as 64 bytes | one cache line there and back for up to 56 bytes, two for up to 120: 1.8 and 2.5 times that hand-over, and 0.63 times a futex's round trip on one processor |
//! | a client costs | two rings, three pages and a descriptor at the server | its memory, mapped by both, beside the form it is used with | a server thread (`strait-quick`), and what a client of messages costs |
//! | clients | up to [`PortOptions::clients_max`], for a few threads; beside 4,000 idle ones a call costs what it does alone | as many as those of its form | as many as there are threads: [`PortOptions::threads_max`] |
//! | beside calls | datagrams, callbacks, requests of the server's, handles, waits with other objects | whatever its form has | nothing |
//! | use it for | everything, unless one of the others is needed | more than about a ring's quarter (8 KiB), or data that is there already | few clients that call often, and wait for each reply |
//!
//! Whether both sides run on one processor or on two decides more than the form. The figures are of
//! one machine (AMD EPYC, virtual, two processors); `strait-bench --goals --only nt.lpc` measures
//! them on yours.
//!
//! # On Linux
//!
//! The name is a listening socket in the namespace, which goes with the server however it ends. A
//! connection is a channel: messages go through shared memory, without a system call while both
//! sides are awake. A server with many clients finds who has called by two words, and sleeps on
//! one. Clients of one user share a doorbell: see [`channel`](crate::channel) on trust. A client
//! that dies, lies, floods or never reads loses its connection; the others are served on.
//!
//! # Faithful, and different
//!
//! | NT | here |
//! | --- | --- |
//! | NtCreatePort, NtListenPort, NtAcceptConnectPort, NtConnectPort | faithful: [`Port`], [`Message::Connect`], [`ConnectRequest::accept`], [`Client::connect`]; accepting also completes (NtCompleteConnectPort) |
//! | connection data both ways, refusal | faithful, up to [`DATA_MAX`] bytes; longer data is refused, where NT truncates it |
//! | NtRequestPort, NtRequestWaitReplyPort, NtReplyPort, NtReplyWaitReceivePort | faithful: [`Client::datagram`], [`Client::call`], [`Call::reply`], [`Inbox::reply_receive`] |
//! | callbacks to the caller | faithful: [`Call::callback`], [`Client::call_with`] |
//! | requests of the server to a client | faithful: [`Connection::request`]; the reply comes as [`Message::Reply`] |
//! | LPC_PORT_CLOSED, LPC_CLIENT_DIED | faithful: [`Message::Closed`], [`Message::Died`]; the latter for processes, not threads |
//! | LPC_CANCELED | differs: [`Pending::is_awaited`] is asked |
//! | STATUS_LPC_REPLY_LOST | faithful, and more: the error says why there is no reply, and whose fault it is |
//! | handles in messages (a handle attribute of ALPC's) | [`Client::attach`] to a request or datagram, [`Call::attach`] to a reply; to nothing else |
//! | NtImpersonateClientOfPort, while a request is pending | faithful: [`Call::impersonate`], unless the client forbids it: [`ClientOptions::identification`] |
//! | PortContext | faithful: [`ConnectRequest::context`], any value |
//! | message ids are never 0, and wrap to 1 | faithful, for each connection |
//! | a reply to a request that waits no longer is a REPLY_MESSAGE_MISMATCH | faithful, once the server has seen the caller's giving up |
//! | messages of at most 256 or 512 bytes | differs: up to [`PortOptions::message_max`] |
//! | replies through any of the related ports | differs: a [`Call`] or a [`Pending`] knows where its reply goes |
//! | several threads of a client wait on one port | differs: each thread connects for itself |
//! | NtReadRequestData, NtWriteRequestData | left out: use a view |
//! | waitable ports | faithful: an [`Inbox`] and a [`Client`] are [`Waitable`](crate::wait::Waitable) |
//! | closing the connection port leaves its connections | differs: they end with it |
//! | lengths and types in PORT_MESSAGE that contradict each other | cannot be written |
//!
//! Sources: NtCreatePort and the other calls named here, as observed; Windows NT 3.51 and 4.0.

mod call;
mod client;
mod connect;
mod connection;
mod inbox;
mod port;
mod quick;
mod typed;
mod view;
mod wire;

pub use crate::channel::Impersonation;

pub use self::call::{Call, Pending, Reply};
pub use self::client::{Client, Incoming};
pub use self::connect::{Answer, ClientOptions};
pub use self::connection::Connection;
pub use self::inbox::{ConnectRequest, Inbox, Message};
pub use self::port::{Port, PortOptions};
pub use self::quick::{Quick, QuickCall, QuickSession};
pub use self::view::{Extent, PortView, VIEW_MAX};
#[doc(hidden)]
pub use self::wire::fuzz_message;

use crate::channel::attach::TAKE;
use crate::channel::link::Link;
use crate::error::{Error, ErrorKind, Result};
use crate::nt::lpc::wire::{Code, Lost};
use crate::nt::status::NtStatus;
use crate::object::Namespace;
use crate::object::space::socket::{self, Calling};

/// Most bytes that go with a connection, a welcome or a refusal.
pub const DATA_MAX: usize = 4096 - wire::TERMS_LEN;
/// What the sessions of ports are for.
const ROLE: u32 = u32::from_be_bytes(*b"LPC1");

/// The names in a namespace under which somebody serves a port. One that is too long to be told is
/// a `#` and a hash.
///
/// # Errors
/// What the kernel answers when the directory is read.
pub fn names(space: &Namespace) -> Result<Vec<String>> {
    socket::names(space, Calling::Port)
}

/// The same failure, with the status that a port gives for it.
fn of_port(error: Error) -> Error {
    match error.kind() {
        ErrorKind::PeerGone | ErrorKind::Broken => error.with_status(NtStatus::PORT_DISCONNECTED.0),
        _ => error,
    }
}

/// A failure of what the server of that port does for a client, marked if the client is the reason:
/// it has gone, sent or chose what cannot be, or is one of too many.
#[cold]
fn blame(error: Error, port: u64) -> Error {
    let is_the_clients = matches!(
        error.kind(),
        ErrorKind::PeerGone | ErrorKind::Broken | ErrorKind::Refused | ErrorKind::Exhausted
    ) || error.nt_status() == NtStatus::BAD_IMPERSONATION_LEVEL
        || error.operation() == TAKE;
    if is_the_clients {
        error.of_client(port)
    } else {
        error
    }
}

/// The same failure, told of a port of that name and of who is at the other end.
#[cold]
fn told_of(error: Error, operation: &'static str, name: &str, other: &str) -> Error {
    let error = of_port(error).during(operation, name);
    match error.kind() {
        ErrorKind::PeerGone if error.why().is_empty() => error.because(other),
        _ => error,
    }
}

#[cold]
fn too_long(operation: &'static str, name: &str, len: usize, most: usize) -> Error {
    Error::new(ErrorKind::TooLong, operation, name)
        .because(format!("{len} bytes, where the port allows {most}"))
        .with_status(NtStatus::PORT_MESSAGE_TOO_LONG.0)
}

#[cold]
fn mismatch(operation: &'static str, name: &str, why: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, operation, name)
        .because(why)
        .with_status(NtStatus::REPLY_MESSAGE_MISMATCH.0)
}

const IMPERSONATE: &str = "impersonate client of port";

/// Acts as the client of a call that is open, unless it said `identification`.
fn impersonate(link: &Link, identification: bool) -> Result<Impersonation> {
    let subject = format!("process {}", link.peer.pid);
    if link.is_gone() {
        return Err(of_port(Error::new(
            ErrorKind::PeerGone,
            IMPERSONATE,
            subject,
        )));
    }
    if identification {
        return Err(Error::new(ErrorKind::Denied, IMPERSONATE, subject)
            .because("the client does not allow it")
            .with_status(NtStatus::BAD_IMPERSONATION_LEVEL.0));
    }
    Impersonation::of(link, IMPERSONATE, &subject).map_err(|error| match error.kind() {
        ErrorKind::Denied => error.with_status(NtStatus::PRIVILEGE_NOT_HELD.0),
        _ => error,
    })
}

/// The error of a request that `side`, the server or the client, answered by a [`Lost`].
#[cold]
fn reply_lost(operation: &'static str, name: &str, (side, said): (&str, &[u8])) -> Error {
    let Lost { code, words } = Lost::decode(said);
    let why = match code {
        Code::Dropped => format!("{side} dropped the request without a reply"),
        Code::WrongLength => format!("the request is not what {side} expects: {words}"),
        Code::Failed => format!("{side}'s handler failed, which is not the request's fault"),
        Code::TooLong => format!("{side}'s reply is too long: {words}"),
        Code::Refused => format!("{side} said: {words}"),
    };
    Error::new(ErrorKind::Refused, operation, name)
        .because(why)
        .with_status(NtStatus::LPC_REPLY_LOST.0)
}

fn check_data(operation: &'static str, name: &str, data: &[u8]) -> Result<()> {
    if data.len() <= DATA_MAX {
        return Ok(());
    }
    Err(too_long(operation, name, data.len(), DATA_MAX))
}
