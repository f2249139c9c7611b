//! The server's port.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::channel::hub::{Hub, Terms};
use crate::channel::{Options, Spin};
use crate::error::{Error, ErrorKind, Result};
use crate::nt::lpc::connection::State;
use crate::nt::lpc::inbox::{Inbox, Message};
use crate::nt::lpc::view::RECEIVED_MAX;
use crate::nt::lpc::wire::{EXTENT_LEN, HEAD_LEN};
use crate::nt::lpc::{Call, ROLE};
use crate::object::space::name::Name;
use crate::object::space::socket::{Calling, Listening, Place};
use crate::object::space::{Namespace, secure::Security};

/// Longest limit of a port's messages, in bytes.
const MESSAGE_MAX: usize = 1 << 30;

/// How a port is born.
#[derive(Clone, Debug)]
#[must_use]
pub struct PortOptions {
    space: Option<Namespace>,
    security: Security,
    message_max: usize,
    view_max: u64,
    clients_max: usize,
    threads_max: usize,
    capacity: usize,
    spin: Spin,
}

/// The number of the next port of this process.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// What a port lets its clients do.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// Of the port, in this process.
    pub(super) port: u64,
    pub(super) message_max: usize,
    pub(super) view_max: u64,
    pub(super) threads_max: usize,
    pub(super) shown: String,
    /// What channels of this port are like, for those that stand apart from the hub.
    pub(super) options: Options,
}

impl PortOptions {
    /// The namespace of the name; the user's own by default.
    pub fn namespace(mut self, namespace: &Namespace) -> Self {
        self.space = Some(namespace.clone());
        self
    }

    /// Who may connect: whoever may write the name's file. The caller's own user by default.
    pub fn security(mut self, security: Security) -> Self {
        self.security = security;
        self
    }

    /// Longest message in bytes; 1 MiB by default, 1 GiB at most.
    pub fn message_max(mut self, bytes: usize) -> Self {
        self.message_max = bytes;
        self
    }

    /// Longest view in bytes that a client may bring; 64 MiB by default, 0 for none. Each is mapped
    /// as long as its connection lasts, and all of them together must fit into the 128 TiB of a
    /// process. A client that brings a longer one is refused, and told why.
    pub fn view_max(mut self, bytes: u64) -> Self {
        self.view_max = bytes;
        self
    }

    /// Most connections at a time; 65,536 by default. Each takes a descriptor.
    pub fn clients_max(mut self, count: usize) -> Self {
        self.clients_max = count;
        self
    }

    /// Most clients at a time that [`Port::serve_quick`] has a thread for; 256 by default.
    pub fn threads_max(mut self, count: usize) -> Self {
        self.threads_max = count;
        self
    }

    /// Bytes of the ring through which a client is answered; 32 KiB by default. An idle client
    /// costs this, as much of its own, and three pages.
    pub fn capacity(mut self, bytes: usize) -> Self {
        self.capacity = bytes;
        self
    }

    /// How the server's threads wait before they sleep.
    pub fn spin(mut self, spin: Spin) -> Self {
        self.spin = spin;
        self
    }

    /// Creates the port, to which clients can connect from now on.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] while a port of that name lives; [`ErrorKind::InvalidName`],
    /// [`ErrorKind::PathNotFound`] for names that are none; [`ErrorKind::InvalidInput`] for limits
    /// out of range; [`ErrorKind::Denied`]; [`ErrorKind::Exhausted`].
    pub fn create(self, name: &str) -> Result<Port> {
        if !(1..=MESSAGE_MAX).contains(&self.message_max) || self.clients_max == 0 {
            return Err(
                Error::new(ErrorKind::InvalidInput, "create port", name).because(
                    "messages have 1 byte to 1 GiB at most, and there is at least one client",
                ),
            );
        }
        let (space, name) = resolve(self.space, name)?;
        let place = Place {
            space: &space,
            calling: Calling::Port,
            name: &name,
        };
        let whole = self.message_max + HEAD_LEN + EXTENT_LEN;
        let options = Options::new()
            .capacity(self.capacity)
            .message_max(whole)
            .spin(self.spin)
            .shareable(false);
        options.check()?;
        let listening = place.listen(self.security.bits().as_raw_mode())?;
        let shown = place.shown();
        let terms = Terms {
            options: options.clone(),
            role: ROLE,
            sessions_max: self.clients_max,
            backlog_max: 2 * whole,
        };
        let socket = listening
            .socket
            .try_clone()
            .map_err(|_| Error::kernel(strait_sys::Errno::MFILE, "create port", shown.clone()))?;
        let hub =
            Hub::open(socket, terms).map_err(|error| error.during("create port", shown.clone()))?;
        Ok(Port {
            _listening: listening,
            hub: Arc::new(hub),
            rules: Arc::new(Rules {
                port: NEXT.fetch_add(1, Ordering::Relaxed),
                message_max: self.message_max,
                view_max: self.view_max,
                threads_max: self.threads_max,
                shown,
                options,
            }),
        })
    }
}

/// The namespace and the name that a text leads to.
pub(super) fn resolve(space: Option<Namespace>, text: &str) -> Result<(Namespace, Name)> {
    let (name, prefix) = Name::parse_bytes(text.as_bytes())?;
    let space = space.map_or_else(Namespace::local, Ok)?;
    Ok((space.led_by(prefix)?, name))
}

/// A named port that clients connect to.
///
/// It ends with this value, and its connections with it. Threads share it by reference.
#[derive(Debug)]
#[doc(alias = "NtCreatePort")]
pub struct Port {
    /// First: the name goes before the socket.
    _listening: Listening,
    hub: Arc<Hub<State>>,
    pub(super) rules: Arc<Rules>,
}

impl Port {
    /// Options for a port.
    pub fn options() -> PortOptions {
        PortOptions {
            space: None,
            security: Security::private(),
            message_max: 1 << 20,
            view_max: RECEIVED_MAX,
            clients_max: 65_536,
            threads_max: 256,
            capacity: 32 << 10,
            spin: Spin::Adaptive,
        }
    }

    /// Creates a port of that name in the user's own namespace.
    ///
    /// # Errors
    /// As [`PortOptions::create`].
    pub fn create(name: &str) -> Result<Self> {
        Self::options().create(name)
    }

    /// Serves everybody: accepts who connects, and has `handler` answer each request. Ends when the
    /// port is [closed](Self::close). Several threads may serve one port.
    ///
    /// A datagram is given to the handler too; it wants no reply. A handler that returns without a
    /// reply leaves its client with an error, unless it has [deferred](Call::defer) the reply.
    ///
    /// # Errors
    /// What the handler fails with, unless a client of this port is the reason, as the methods of
    /// its [`Call`], [`Pending`](crate::nt::lpc::Pending) and
    /// [`Connection`](crate::nt::lpc::Connection) say: it has gone, or sent or chose what cannot
    /// be. What fails elsewhere is the handler's, such as a call to another port.
    pub fn serve(&self, mut handler: impl FnMut(&mut Call<'_>) -> Result<()>) -> Result<()> {
        let mut inbox = self.inbox();
        loop {
            let answered = match inbox.receive() {
                Ok(Message::Request(mut call) | Message::Datagram(mut call)) => handler(&mut call),
                Ok(Message::Connect(request)) if request.wants_quick() => {
                    let _ = request.refuse(b"it has no Quick form");
                    Ok(())
                }
                Ok(Message::Connect(request)) => {
                    // Who cannot be accepted has itself to blame, or is told.
                    let _ = request.accept(&[]);
                    Ok(())
                }
                Ok(_) => Ok(()),
                Err(error) if error.kind() == ErrorKind::Removed => return Ok(()),
                Err(error) => return Err(error),
            };
            match answered {
                Err(error) if !error.is_of_client(self.rules.port) => return Err(error),
                _ => {}
            }
        }
    }

    /// A thread's way to receive: connection requests, calls, datagrams, and ends. The inboxes of a
    /// port share what comes.
    #[must_use]
    pub fn inbox(&self) -> Inbox {
        Inbox::new(self.hub.clone(), self.rules.clone())
    }

    /// Connections that are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.hub.len()
    }

    /// Ends the port: nobody can connect any more, and whoever receives is told.
    pub fn close(&self) {
        self.hub.close();
    }

    /// Its name, with its namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.rules.shown
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.hub.close();
    }
}
