//! A request, and what a server does with it.

use std::time::Duration;

use crate::channel::attach::pack;
use crate::channel::hub::lock;
use crate::channel::{Impersonation, Peer};
use crate::error::{Error, ErrorKind, Result};
use crate::nt::lpc::connection::{Connection, Joined};
use crate::nt::lpc::inbox::Inbox;
use crate::nt::lpc::view::Extent;
use crate::nt::lpc::wire::{Code, EXTENT_LEN, HEAD_LEN, Head, Lost, Type};
use crate::nt::lpc::{IMPERSONATE, blame, impersonate, mismatch, too_long};
use crate::object::Namespace;
use crate::object::transfer::{Parcel, Transferable};

/// A message of a client's: a request, which waits for its reply, or a datagram.
///
/// A request that is dropped without a reply leaves its client with STATUS_LPC_REPLY_LOST, as one
/// that is [refused](Self::refuse) does.
#[derive(Debug)]
pub struct Call<'a> {
    inbox: &'a mut Inbox,
    len: usize,
    head: Head,
    /// A reply may be given.
    is_open: bool,
    /// What goes with the reply.
    attached: Vec<Parcel>,
    /// What the client is told if there is no reply.
    pub(super) lost: Lost,
}

pub(super) const REPLY: &str = "reply";
pub(super) const REFUSE: &str = "refuse request";

impl<'a> Call<'a> {
    pub(super) fn new(inbox: &'a mut Inbox, head: Head, len: usize) -> Self {
        Self {
            is_open: head.kind == Type::Request,
            inbox,
            len,
            head,
            attached: Vec::new(),
            lost: Lost::default(),
        }
    }

    /// The bytes of the message.
    #[inline]
    #[must_use]
    pub fn request(&self) -> &[u8] {
        let skip = if self.head.extent { EXTENT_LEN } else { 0 };
        &self.inbox.attendant.buffer[HEAD_LEN + skip..self.len]
    }

    /// Which part of the client's [view](Connection::view) the message is about; within it.
    #[must_use]
    pub fn extent(&self) -> Option<Extent> {
        if !self.head.extent {
            return None;
        }
        let bytes = &self.inbox.attendant.buffer[HEAD_LEN..self.len];
        let (extent, _) = Extent::decode(bytes, self.session().user.view())?;
        Some(extent)
    }

    /// The id of the request; 0 for a datagram.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.head.id
    }

    /// Whether the client waits for a reply, and has none yet.
    #[must_use]
    pub fn wants_reply(&self) -> bool {
        self.is_open
    }

    fn session(&self) -> &Joined {
        self.inbox.session()
    }

    /// The connection that it came through.
    #[must_use]
    pub fn connection(&self) -> Connection {
        Connection(self.session().clone())
    }

    /// Who calls, as the kernel said when it connected.
    #[must_use]
    pub fn client(&self) -> &Peer {
        self.session().peer()
    }

    /// Has the calling thread act as the client until the guard is dropped: files and objects are
    /// opened with the client's rights. Other threads stay who they are.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] (STATUS_REPLY_MESSAGE_MISMATCH) once the client waits for no
    /// reply; [`ErrorKind::PeerGone`] (STATUS_PORT_DISCONNECTED); [`ErrorKind::Denied`]:
    /// STATUS_BAD_IMPERSONATION_LEVEL if the client does [not allow
    /// it](crate::nt::lpc::ClientOptions::identification), and STATUS_PRIVILEGE_NOT_HELD without
    /// CAP_SETUID and CAP_SETGID; [`ErrorKind::Busy`] if the thread acts as somebody already.
    #[doc(alias = "NtImpersonateClientOfPort")]
    pub fn impersonate(&self) -> Result<Impersonation> {
        let session = self.session();
        if !self.is_open {
            return Err(self.nobody_waits(IMPERSONATE));
        }
        impersonate(session.link(), session.user.identification)
            .map_err(|error| blame(error, self.port()))
    }

    /// The number of its port.
    pub(super) fn port(&self) -> u64 {
        self.session().user.port
    }

    /// The error of what needs a client that waits. For a datagram that is what the client chose.
    #[cold]
    fn nobody_waits(&self, operation: &'static str) -> Error {
        let name = &self.session().user.rules.shown;
        let error = mismatch(operation, name, "nobody waits for a reply");
        match self.head.kind {
            Type::Datagram => error.of_client(self.port()),
            _ => error,
        }
    }

    /// The context of the connection: see [`Connection::context`].
    #[must_use]
    pub fn context<C: 'static>(&self) -> Option<&C> {
        self.session().user.context()
    }

    /// Takes the next of the handles that the client [attached](crate::nt::lpc::Client::attach), in
    /// that order. It must belong to the user's own namespace, to the machine's, or to one of
    /// `spaces`. Those not taken are closed by the inbox's next receive.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none left, or it belongs to another namespace;
    /// [`ErrorKind::WrongKind`]; [`ErrorKind::Layout`] for a descriptor that is no such handle;
    /// [`ErrorKind::Exhausted`] if this process had no descriptors left. It is closed then.
    pub fn attached<T: Transferable>(&mut self, spaces: &[Namespace]) -> Result<T> {
        let port = self.port();
        let taken = self.inbox.attendant.enclosed.take(spaces);
        taken.map_err(|error| blame(error, port))
    }

    /// How many handles came with the message and are not taken.
    #[must_use]
    pub fn attached_len(&self) -> usize {
        self.inbox.attendant.enclosed.len()
    }

    /// Has a handle go with the reply: a copy, this one stays. A reply that is not given goes
    /// without.
    ///
    /// # Errors
    /// As [`Client::attach`](crate::nt::lpc::Client::attach).
    pub fn attach<T: Transferable>(&mut self, handle: &T) -> Result<()> {
        let port = self.port();
        pack(&mut self.attached, handle).map_err(|error| blame(error, port))
    }

    /// Replies. Never waits for the client.
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`] (STATUS_PORT_DISCONNECTED);
    /// [`ErrorKind::TooLong`] (STATUS_PORT_MESSAGE_TOO_LONG), and [`ErrorKind::Busy`] while too
    /// many handles are on their way: it can still be replied to; [`ErrorKind::InvalidInput`]
    /// (STATUS_REPLY_MESSAGE_MISMATCH) for a datagram, for a second reply, and to a client that is
    /// known to wait no longer.
    #[inline]
    #[doc(alias = "NtReplyPort")]
    pub fn reply(&mut self, reply: &[u8]) -> Result<()> {
        if !self.is_open {
            return Err(self.nobody_waits(REPLY));
        }
        send_reply(
            self.inbox.session(),
            self.head.id,
            (None, reply),
            (&mut self.is_open, &mut self.attached),
        )
    }

    /// [`reply`](Self::reply), about a part of the client's view.
    ///
    /// # Errors
    /// As [`reply`](Self::reply); [`ErrorKind::InvalidInput`] if the part is not within the view.
    pub fn reply_at(&mut self, extent: Extent, reply: &[u8]) -> Result<()> {
        if !self.is_open {
            return Err(self.nobody_waits(REPLY));
        }
        let state = &self.session().user;
        let extent = extent.within(state.view(), &state.rules.shown)?;
        send_reply(
            self.inbox.session(),
            self.head.id,
            (Some(extent), reply),
            (&mut self.is_open, &mut self.attached),
        )
    }

    /// Answers that there will be no reply, and why: what the client is told, in at most 512 bytes.
    ///
    /// # Errors
    /// As [`reply`](Self::reply), but for its length.
    pub fn refuse(&mut self, why: &str) -> Result<()> {
        if !self.is_open {
            return Err(self.nobody_waits(REFUSE));
        }
        self.is_open = false;
        lose(self.session(), self.head.id, &Lost::new(Code::Refused, why))
    }

    /// Asks the client back while it waits for its reply, for at most `timeout`. `None`: it did not
    /// answer in time.
    ///
    /// # Errors
    /// As [`reply`](Self::reply);
    /// [`ErrorKind::Refused`] (STATUS_LPC_REPLY_LOST) if the client has
    /// nobody to answer: see [`Client::call_with`](crate::nt::lpc::Client::call_with).
    pub fn callback(&mut self, request: &[u8], timeout: Duration) -> Result<Option<Vec<u8>>> {
        const CALL: &str = "call back";
        if !self.is_open {
            return Err(self.nobody_waits(CALL));
        }
        let state = &self.session().user;
        if request.len() > state.message_max {
            let name = &state.rules.shown;
            return Err(too_long(CALL, name, request.len(), state.message_max));
        }
        let id = lock(&state.ids).next();
        let head = Head {
            callback: true,
            ..Head::new(Type::Request, id)
        };
        let mut first = [0; HEAD_LEN + 8];
        first[..HEAD_LEN].copy_from_slice(&head.encode());
        first[HEAD_LEN..HEAD_LEN + 4].copy_from_slice(&self.head.id.to_le_bytes());
        let posted = self.session().post([&first, request]);
        posted
            .and_then(|()| self.inbox.await_callback(id, timeout))
            .map_err(|error| self.session().user.rules.lost(error, CALL, self.client()))
    }

    /// Takes the request out of this thread's hands: the reply is given later, by any thread. What
    /// was attached to the reply goes with it; the request's own handles stay here.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] (STATUS_REPLY_MESSAGE_MISMATCH) for what has a reply or wants
    /// none.
    pub fn defer(&mut self) -> Result<Pending> {
        if !self.is_open {
            return Err(self.nobody_waits("defer reply"));
        }
        self.is_open = false;
        Ok(Pending {
            session: self.session().clone(),
            id: self.head.id,
            is_open: true,
            attached: std::mem::take(&mut self.attached),
        })
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.is_open {
            let _ = lose(self.inbox.session(), self.head.id, &self.lost);
        }
    }
}

#[inline]
fn send_reply(
    session: &Joined,
    id: u32,
    (extent, reply): (Option<Extent>, &[u8]),
    (is_open, attached): (&mut bool, &mut Vec<Parcel>),
) -> Result<()> {
    let state = &session.user;
    if reply.len() > state.message_max {
        let name = &state.rules.shown;
        return Err(too_long(REPLY, name, reply.len(), state.message_max));
    }
    *is_open = false;
    if state.is_cancelled(id) {
        let name = &state.rules.shown;
        return Err(mismatch(REPLY, name, "the client waits no longer").of_client(state.port));
    }
    let head = Head::new(Type::Reply, id);
    let posted = match extent {
        None => session.post_with([&head.encode(), reply], attached),
        Some(extent) => {
            let head = Head {
                extent: true,
                ..head
            };
            let mut first = [0; HEAD_LEN + EXTENT_LEN];
            first[..HEAD_LEN].copy_from_slice(&head.encode());
            first[HEAD_LEN..].copy_from_slice(&extent.encode());
            session.post_with([&first, reply], attached)
        }
    };
    posted.map_err(|error| {
        if error.kind() != ErrorKind::Busy {
            return state.rules.lost(error, REPLY, session.peer());
        }
        *is_open = true;
        // It is the client that does not receive what it was sent.
        error.of_client(state.port)
    })
}

/// Tells the client that there will be no reply.
#[cold]
fn lose(session: &Joined, id: u32, lost: &Lost) -> Result<()> {
    let head = Head::new(Type::LostReply, id).encode();
    let posted = session.post([&head, &lost.encode()]);
    posted.map_err(|error| session.user.rules.lost(error, REFUSE, session.peer()))
}

/// A request whose reply is given later. Dropped, its client is told that the reply is lost.
#[derive(Debug)]
pub struct Pending {
    session: Joined,
    id: u32,
    is_open: bool,
    attached: Vec<Parcel>,
}

impl Pending {
    /// As [`Call::attach`].
    ///
    /// # Errors
    /// As there.
    pub fn attach<T: Transferable>(&mut self, handle: &T) -> Result<()> {
        let port = self.session.user.port;
        pack(&mut self.attached, handle).map_err(|error| blame(error, port))
    }

    /// Replies.
    ///
    /// # Errors
    /// As [`Call::reply`].
    pub fn reply(mut self, reply: &[u8]) -> Result<()> {
        let (is_open, attached) = (&mut self.is_open, &mut self.attached);
        send_reply(&self.session, self.id, (None, reply), (is_open, attached))
    }

    /// As [`Call::refuse`].
    ///
    /// # Errors
    /// As there.
    pub fn refuse(mut self, why: &str) -> Result<()> {
        self.is_open = false;
        lose(&self.session, self.id, &Lost::new(Code::Refused, why))
    }

    /// Whether the client waits still. That it gave up is known once some thread has received from
    /// the port since; that it has gone, at once.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        !self.session.is_gone() && !self.session.user.has_cancelled(self.id)
    }

    /// The connection that the request came through.
    #[must_use]
    pub fn connection(&self) -> Connection {
        Connection(self.session.clone())
    }

    /// The id of the request.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.is_open {
            let _ = lose(&self.session, self.id, &Lost::default());
        }
    }
}

/// A client's reply to a request of the server's.
#[derive(Debug)]
pub struct Reply<'a> {
    inbox: &'a Inbox,
    id: u32,
    len: usize,
}

impl<'a> Reply<'a> {
    pub(super) fn new(inbox: &'a Inbox, id: u32, len: usize) -> Self {
        Self { inbox, id, len }
    }

    /// The id that [`Connection::request`] returned.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The bytes of the reply.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.inbox.attendant.buffer[HEAD_LEN..self.len]
    }

    /// Who replies.
    #[must_use]
    pub fn connection(&self) -> Connection {
        Connection(self.inbox.session().clone())
    }
}
