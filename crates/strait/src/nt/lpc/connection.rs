//! A server's side of a connection, and what it keeps of it.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::channel::Peer;
use crate::channel::hub::{Session, User, lock};
use crate::error::{ErrorKind, Result};
use crate::nt::lpc::port::Rules;
use crate::nt::lpc::too_long;
use crate::nt::lpc::wire::{Head, Ids, Type};
use crate::nt::status::NtStatus;
use crate::object::view::{View, Write};

/// Requests of the server that a client has not answered.
const AWAITED_MAX: usize = 1024;
/// Given-up requests that are remembered, the last ones.
const CANCELLED_MAX: usize = 64;
const SEND: &str = "send to client";

/// What a server keeps of a connection.
#[derive(Debug)]
pub(super) struct State {
    context: Option<Box<dyn Any + Send + Sync>>,
    /// The client's view, and the server's.
    views: [Option<View<Write>>; 2],
    pub(super) message_max: usize,
    /// The number of its port.
    pub(super) port: u64,
    pub(super) rules: Arc<Rules>,
    /// The client may not be impersonated.
    pub(super) identification: bool,
    pub(super) ids: Mutex<Ids>,
    awaited: Mutex<Vec<u32>>,
    cancelled: Mutex<Vec<u32>>,
    has_cancelled: AtomicBool,
}

impl User for State {}

impl State {
    pub(super) fn new(
        context: Option<Box<dyn Any + Send + Sync>>,
        views: [Option<View<Write>>; 2],
        rules: &Arc<Rules>,
    ) -> Self {
        Self {
            context,
            views,
            message_max: rules.message_max,
            port: rules.port,
            rules: rules.clone(),
            identification: false,
            ids: Mutex::new(Ids::after(0)),
            awaited: Mutex::new(Vec::new()),
            cancelled: Mutex::new(Vec::new()),
            has_cancelled: AtomicBool::new(false),
        }
    }

    /// The client has answered that request, or says that it will not. False: none of it.
    pub(super) fn answered(&self, id: u32) -> bool {
        let mut awaited = lock(&self.awaited);
        let found = awaited.iter().position(|known| *known == id);
        found.map(|at| awaited.swap_remove(at)).is_some()
    }

    /// Whether the client waits no longer for the reply to that request. Asked once for each.
    pub(super) fn is_cancelled(&self, id: u32) -> bool {
        if !self.has_cancelled.load(Ordering::Relaxed) {
            return false;
        }
        let mut cancelled = lock(&self.cancelled);
        let found = cancelled.iter().position(|known| *known == id);
        if let Some(at) = found {
            cancelled.remove(at);
        }
        self.has_cancelled
            .store(!cancelled.is_empty(), Ordering::Relaxed);
        found.is_some()
    }

    /// The same, as often as one likes.
    pub(super) fn has_cancelled(&self, id: u32) -> bool {
        self.has_cancelled.load(Ordering::Relaxed) && lock(&self.cancelled).contains(&id)
    }

    pub(super) fn cancel(&self, id: u32) {
        let mut cancelled = lock(&self.cancelled);
        if cancelled.len() == CANCELLED_MAX {
            cancelled.remove(0);
        }
        cancelled.push(id);
        self.has_cancelled.store(true, Ordering::Relaxed);
    }

    pub(super) fn view(&self) -> Option<&View<Write>> {
        self.views[0].as_ref()
    }

    pub(super) fn context<C: 'static>(&self) -> Option<&C> {
        self.context.as_deref()?.downcast_ref()
    }
}

pub(super) type Joined = Arc<Session<State>>;

/// A server's side of a connection: NT's server communication port. A clone is the same one.
#[derive(Clone, Debug)]
pub struct Connection(pub(super) Joined);

impl Connection {
    /// The client, as the kernel said when it connected.
    #[must_use]
    pub fn client(&self) -> &Peer {
        self.0.peer()
    }

    /// What was given as its [context](crate::nt::lpc::ConnectRequest::context), if it is of that
    /// type.
    #[must_use]
    pub fn context<C: 'static>(&self) -> Option<&C> {
        self.0.user.context()
    }

    /// The memory that the client gave, if it gave some.
    #[must_use]
    pub fn view(&self) -> Option<&View<Write>> {
        self.0.user.view()
    }

    /// The memory that the server gave with the connection.
    #[must_use]
    pub fn own_view(&self) -> Option<&View<Write>> {
        self.0.user.views[1].as_ref()
    }

    /// Sends the client a datagram. Never waits: what it has no room for is kept, up to twice the
    /// longest message.
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`] (STATUS_PORT_DISCONNECTED); [`ErrorKind::TooLong`]
    /// (STATUS_PORT_MESSAGE_TOO_LONG).
    pub fn datagram(&self, message: &[u8]) -> Result<()> {
        self.post(Head::new(Type::Datagram, 0), message)
    }

    /// Sends the client a request and returns its id; the reply comes as
    /// [`Message::Reply`](crate::nt::lpc::Message::Reply).
    ///
    /// # Errors
    /// As [`datagram`](Self::datagram); [`ErrorKind::LimitExceeded`] if 1,024 requests have not
    /// been answered.
    pub fn request(&self, message: &[u8]) -> Result<u32> {
        let state = &self.0.user;
        let mut awaited = lock(&state.awaited);
        if awaited.len() == AWAITED_MAX {
            return Err(self
                .0
                .error(ErrorKind::LimitExceeded, "request")
                .because("the client has not answered 1,024 requests")
                .with_status(NtStatus::INSUFFICIENT_RESOURCES.0)
                .of_client(state.port));
        }
        let id = lock(&state.ids).next();
        self.post(Head::new(Type::Request, id), message)?;
        awaited.push(id);
        Ok(id)
    }

    fn post(&self, head: Head, message: &[u8]) -> Result<()> {
        let most = self.0.user.message_max;
        if message.len() > most {
            let name = &self.0.user.rules.shown;
            return Err(too_long(SEND, name, message.len(), most));
        }
        let posted = self.0.post([&head.encode(), message]);
        posted.map_err(|error| self.0.user.rules.lost(error, SEND, self.client()))
    }

    /// Ends the connection; a [`Message::Closed`](crate::nt::lpc::Message::Closed) follows.
    pub fn close(&self) {
        self.0.close();
    }

    /// Whether the client is there still, as far as is known.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.0.is_gone()
    }

    /// Whether two are of one connection.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
