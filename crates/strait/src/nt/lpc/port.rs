//! The server's port.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rustix::net::Shutdown;

use crate::channel::hub::{Hub, Terms, lock};
use crate::channel::{Options, Peer, Spin};
use crate::error::{Error, ErrorKind, Result};
use crate::nt::lpc::call::REPLY;
use crate::nt::lpc::connection::State;
use crate::nt::lpc::inbox::{Inbox, Message};
use crate::nt::lpc::typed::READ;
use crate::nt::lpc::view::RECEIVED_MAX;
use crate::nt::lpc::wire::{Code, EXTENT_LEN, HEAD_LEN, Lost};
use crate::nt::lpc::{Call, ROLE, blame, told_of};
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
    hook: Option<Hook>,
}

type Tell = dyn Fn(&Peer, &Error) + Send + Sync;

/// Is told of handlers' failures.
#[derive(Clone)]
struct Hook(Arc<Tell>);

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
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
    hook: Option<Hook>,
}

impl Rules {
    /// The failure of what was to be done for that client.
    #[cold]
    pub(super) fn lost(&self, error: Error, operation: &'static str, client: &Peer) -> Error {
        let other = format!("its client was process {}", client.pid);
        blame(told_of(error, operation, &self.shown, &other), self.port)
    }

    /// A handler has failed: the operator is told, unless the client is the reason.
    #[cold]
    pub(super) fn tell(&self, client: &Peer, error: &Error) {
        if let Some(Hook(tell)) = &self.hook
            && !error.is_of_client(self.port)
        {
            tell(client, error);
        }
    }

    /// What the client is told of a handler's failure.
    #[cold]
    pub(super) fn fault(&self, error: &Error) -> Lost {
        match (error.kind(), error.operation()) {
            (ErrorKind::InvalidInput, READ) if error.is_of_client(self.port) => {
                Lost::new(Code::WrongLength, error.why())
            }
            (ErrorKind::TooLong, REPLY) => Lost::new(Code::TooLong, error.why()),
            // What it was is no business of the client's, who may be another user.
            _ => Lost::new(Code::Failed, ""),
        }
    }
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

    /// Is told of each failure of a handler that [`Port::serve`] or [`Port::serve_quick`] calls and
    /// that no client is the reason of: of whose request, and what it was. On the thread of the
    /// handler, before the client is told that it failed. By default nobody is.
    ///
    /// ```
    /// # use strait::{Namespace, nt::lpc::{Client, Port}};
    /// # let space = Namespace::temporary()?;
    /// let options = Port::options()
    ///     .on_failure(|client, error| eprintln!("a request of process {}: {error}", client.pid));
    /// # let port = options.namespace(&space).create("port")?;
    /// # Ok::<(), strait::Error>(())
    /// ```
    pub fn on_failure(mut self, tell: impl Fn(&Peer, &Error) + Send + Sync + 'static) -> Self {
        self.hook = Some(Hook(Arc::new(tell)));
        self
    }

    /// Creates the port, to which clients can connect from now on.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] while a port of that name lives; [`ErrorKind::InvalidName`],
    /// [`ErrorKind::PathNotFound`] for names that are none; [`ErrorKind::InvalidInput`] for limits
    /// out of range; [`ErrorKind::Denied`]; [`ErrorKind::Exhausted`].
    pub fn create(self, name: &str) -> Result<Port> {
        let wrong =
            |why: &str| Err(Error::new(ErrorKind::InvalidInput, "create port", name).because(why));
        if !(1..=MESSAGE_MAX).contains(&self.message_max) {
            return wrong("the longest message is of 1 byte to 1 GiB");
        }
        if self.clients_max == 0 {
            return wrong("there is at least one client");
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
            listening: Mutex::new(Some(listening)),
            hub: Arc::new(hub),
            rules: Arc::new(Rules {
                port: NEXT.fetch_add(1, Ordering::Relaxed),
                message_max: self.message_max,
                view_max: self.view_max,
                threads_max: self.threads_max,
                shown,
                options,
                hook: self.hook,
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
    /// Until it is closed. First: the name goes before the socket.
    listening: Mutex<Option<Listening>>,
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
            hook: None,
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
    /// A datagram is given to the handler too; it wants no reply. No request ends the server for
    /// the others, whatever the handler fails with:
    ///
    /// | the handler | its client | the server |
    /// | --- | --- | --- |
    /// | replies, or [defers](Call::defer) the reply | gets it | goes on |
    /// | [refuses](Call::refuse) | gets [`ErrorKind::Refused`] with the words | goes on |
    /// | returns without a reply | gets [`ErrorKind::Refused`]: the request was dropped | goes on |
    /// | fails because of a client of this port, who has gone, or sent or chose what cannot be, as the methods of [`Call`], [`Pending`](crate::nt::lpc::Pending) and [`Connection`](crate::nt::lpc::Connection) say | gets [`ErrorKind::Refused`], saying so for a request of a wrong [length](Call::read) | goes on |
    /// | fails otherwise, as by the end of another port that it calls | gets [`ErrorKind::Refused`]: the server's handler failed | goes on; [`on_failure`](PortOptions::on_failure) is told |
    /// | [closes](Self::close) the port | gets [`ErrorKind::PeerGone`], after the reply if there was one | returns `Ok` |
    /// | panics | gets [`ErrorKind::Refused`]: the request was dropped | the panic goes on; other threads serve on, until the port is closed |
    ///
    /// So a handler that cannot go on at all closes the port, and keeps its error for whoever
    /// called `serve`.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] in a child of a fork, and none else.
    pub fn serve(&self, mut handler: impl FnMut(&mut Call<'_>) -> Result<()>) -> Result<()> {
        let mut inbox = self.inbox();
        loop {
            match inbox.receive() {
                Ok(Message::Request(mut call) | Message::Datagram(mut call)) => {
                    if let Err(error) = handler(&mut call) {
                        self.rules.tell(call.client(), &error);
                        call.lost = self.rules.fault(&error);
                    }
                }
                Ok(Message::Connect(request)) if request.wants_quick() => {
                    let _ = request.refuse(b"it has no Quick form");
                }
                Ok(Message::Connect(request)) => {
                    // Who cannot be accepted has itself to blame, or is told.
                    let _ = request.accept(&[]);
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Removed => return Ok(()),
                Err(error) => return Err(error),
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

    /// Ends the port, as its drop does: the name is free, whoever receives or
    /// [serves](Self::serve) is told, and clients get [`ErrorKind::PeerGone`]
    /// (STATUS_PORT_DISCONNECTED), after what they had been sent: for replies that clients have
    /// made no room for it waits while they make some, a second for each time and five at most.
    /// Those who were being connected are refused. A request that is being worked on can be
    /// replied to no more. Clients of
    /// [`serve_quick`](Self::serve_quick) are told by it, and
    /// [sessions](crate::nt::lpc::ConnectRequest::accept_quick) of the caller's own end when they
    /// are dropped.
    pub fn close(&self) {
        if self.hub.is_foreign() {
            return;
        }
        let listening = lock(&self.listening).take();
        if let Some(listening) = &listening {
            // The hub's thread has a descriptor too, until it looks: nobody shall come by that.
            let _ = rustix::net::shutdown(&listening.socket, Shutdown::Both);
        }
        self.hub.close();
        drop(listening);
    }

    /// Its name, with its namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.rules.shown
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.close();
    }
}
