//! Quick LPC: a client and the thread that serves it alone hand their messages over directly.
//!
//! NT 3.x had it for its graphics: a server thread for each client thread, a section of 64 KiB and
//! an event pair, no queue and no search for whom to answer. Here the messages are in two cache
//! lines that both sides write in turn; what is longer goes through the channel's rings, and what
//! lies in a view is not moved at all.

mod server;

use std::sync::Arc;
use std::time::Duration;

use crate::channel::mailbox::{Mailbox, Post, Stop, Turn};
use crate::channel::sender::Patience;
use crate::channel::{Channel, Impersonation, Peer, Taken};
use crate::error::{Error, ErrorKind, Result};
use crate::nt::lpc::call::{REFUSE, REPLY};
use crate::nt::lpc::client::Client;
use crate::nt::lpc::connect::{ClientOptions, Made};
use crate::nt::lpc::port::Rules;
use crate::nt::lpc::view::Extent;
use crate::nt::lpc::wire::{Code, EXTENT_LEN, Lost};
use crate::nt::lpc::{
    IMPERSONATE, blame, impersonate, mismatch, of_port, reply_lost, told_of, too_long,
};
use crate::object::view::{View, Write};

const CALL: &str = "call";

/// A client's end of a Quick connection.
///
/// The server has a thread for it alone. As on NT there is nothing but calls: no datagrams, no
/// callbacks, no requests of the server's.
///
/// ```
/// use strait::Namespace;
/// use strait::nt::lpc;
///
/// let space = Namespace::temporary()?;
/// let port = lpc::Port::options().namespace(&space).create("calc")?;
/// std::thread::scope(|scope| -> strait::Result<()> {
///     // In the server:
///     scope.spawn(|| port.serve_quick(|call| {
///         let [a, b] = call.read::<[u32; 2]>()?;
///         call.reply_with(&(a + b))
///     }));
///     // In a client:
///     let mut calc = lpc::Quick::options().namespace(&space).connect_quick("calc")?;
///     assert_eq!(calc.ask::<_, u32>(&[2_u32, 2])?, 4);
///     port.close();
///     Ok(())
/// })?;
/// # Ok::<(), strait::Error>(())
/// ```
#[derive(Debug)]
pub struct Quick {
    mailbox: Mailbox,
    /// Of the port.
    pub(super) name: String,
    /// The reply received last.
    reply: Vec<u8>,
    /// The reply to a call that was given up is still to come.
    owed: bool,
    message_max: usize,
    data: Vec<u8>,
    views: [Option<View<Write>>; 2],
}

impl Quick {
    /// Options for a connection; [`connect_quick`](ClientOptions::connect_quick) makes it.
    pub fn options<'a>() -> ClientOptions<'a> {
        Client::options()
    }

    /// Connects to the port of that name in the user's own namespace.
    ///
    /// # Errors
    /// As [`ClientOptions::connect_quick`].
    pub fn connect(name: &str) -> Result<Self> {
        Self::options().connect_quick(name)
    }

    pub(super) fn new(made: Made) -> Result<Self> {
        Ok(Self {
            mailbox: Mailbox::new(made.channel)?,
            name: made.name,
            reply: Vec::new(),
            owed: false,
            message_max: made.message_max,
            data: made.data,
            views: made.views,
        })
    }

    /// Calls the server and waits for its reply.
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`] (STATUS_PORT_DISCONNECTED) if the server is gone, or has ended the
    /// connection; [`ErrorKind::TooLong`] (STATUS_PORT_MESSAGE_TOO_LONG) beyond
    /// [`message_max`](Self::message_max), and nothing was sent; [`ErrorKind::Refused`]
    /// (STATUS_LPC_REPLY_LOST) if the server answers without a reply, as for
    /// [`Client::call`];
    /// [`ErrorKind::Broken`] if what comes is no reply, or longer than
    /// [`ClientOptions::message_max`].
    #[inline]
    pub fn call(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.send(0, [&[], request], Patience::Forever)?;
        let len = self.grown(Patience::Forever)?.unwrap_or(0);
        Ok(&self.reply[..len])
    }

    /// [`call`](Self::call) with a buffer for the reply: returns its length. Nothing is allocated.
    ///
    /// # Errors
    /// As [`call`](Self::call); [`ErrorKind::TooLong`] also for a reply that is longer than the
    /// buffer, which is lost.
    #[inline]
    pub fn call_into(&mut self, request: &[u8], reply: &mut [u8]) -> Result<usize> {
        self.send(0, [&[], request], Patience::Forever)?;
        let Some(post) = self.answer(Patience::Forever)? else {
            return Ok(0);
        };
        match self.mailbox.copy(post, reply, Patience::Forever) {
            Ok(taken) => Ok(self.taken(taken)?.unwrap_or(0)),
            Err(error) => {
                self.owed = true;
                Err(self.lost(error))
            }
        }
    }

    /// [`call`](Self::call) for at most `timeout`. `None`: there was no reply in time. As the
    /// server's thread is busy with it, the next call first waits for that reply, and drops it. A
    /// request of more than a quarter of the ring that the server has not read in time ends the
    /// connection.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn call_for(&mut self, request: &[u8], timeout: Duration) -> Result<Option<&[u8]>> {
        let patience = Patience::for_at_most(timeout);
        if !self.send(0, [&[], request], patience)? {
            return Ok(None);
        }
        let len = self.grown(patience)?;
        Ok(len.map(|len| &self.reply[..len]))
    }

    /// [`call`](Self::call) about a part of this client's view, which the server finds by
    /// [`extent`](QuickCall::extent). Nothing of it is copied.
    ///
    /// # Errors
    /// As [`call`](Self::call); [`ErrorKind::InvalidInput`] if the part is not within the view.
    pub fn call_at(&mut self, extent: Extent, request: &[u8]) -> Result<&[u8]> {
        let extent = extent.within(self.view(), &self.name)?.encode();
        self.send(Post::EXTENT, [&extent, request], Patience::Forever)?;
        let len = self.grown(Patience::Forever)?.unwrap_or(0);
        Ok(&self.reply[..len])
    }

    /// The data that came with the server's consent.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Longest message in bytes that the port takes.
    #[must_use]
    pub fn message_max(&self) -> usize {
        self.message_max
    }

    /// The memory that this client gave.
    #[must_use]
    pub fn view(&self) -> Option<&View<Write>> {
        self.views[0].as_ref()
    }

    /// The memory that the server gave.
    #[must_use]
    pub fn server_view(&self) -> Option<&View<Write>> {
        self.views[1].as_ref()
    }

    /// The server, as the kernel said when the connection was made.
    #[must_use]
    pub fn server(&self) -> &Peer {
        self.mailbox.peer()
    }

    /// False: the time was up, and nothing was sent.
    #[inline]
    fn send(&mut self, flags: u64, parts: [&[u8]; 2], patience: Patience) -> Result<bool> {
        if parts[1].len() > self.message_max {
            let name = &self.name;
            return Err(too_long(CALL, name, parts[1].len(), self.message_max));
        }
        if self.owed && self.settle(patience)?.is_none() {
            return Ok(false);
        }
        match self.mailbox.post(flags, parts, patience) {
            Ok(sent) => Ok(sent),
            Err(error) => Err(self.lost(error)),
        }
    }

    /// Drops the reply to a call that was given up. `None`: it has not come in time.
    #[cold]
    #[inline(never)]
    fn settle(&mut self, patience: Patience) -> Result<Option<()>> {
        match self.grown(patience) {
            Ok(None) => Ok(None),
            // A lost one is as good.
            Err(error) if error.kind() != ErrorKind::Refused => Err(error),
            Ok(Some(_)) | Err(_) => {
                self.owed = false;
                Ok(Some(()))
            }
        }
    }

    /// The length of the reply in the buffer. `None`: the time is up.
    #[inline]
    fn grown(&mut self, patience: Patience) -> Result<Option<usize>> {
        let Some(post) = self.answer(patience)? else {
            self.owed = true;
            return Ok(None);
        };
        let taken = self.mailbox.copy_growing(post, &mut self.reply, patience);
        let taken = taken.map_err(|error| self.lost(error))?;
        self.taken(taken)
    }

    /// The server's post. `None`: the time is up.
    #[inline]
    fn answer(&mut self, patience: Patience) -> Result<Option<Post>> {
        match self.mailbox.turn(patience) {
            Ok(Turn::Ours(post)) if post.has(Post::LOST) => self.hear_lost(post, patience),
            Ok(Turn::Ours(post)) => Ok(Some(post)),
            Ok(Turn::TimedOut) => Ok(None),
            Ok(Turn::End) => Err(self.ended()),
            Err(error) => Err(self.lost(error)),
        }
    }

    /// Why there is no reply. `None`: the time is up before that has come.
    #[cold]
    fn hear_lost(&mut self, post: Post, patience: Patience) -> Result<Option<Post>> {
        let mut said = Vec::new();
        let taken = self.mailbox.copy_growing(post, &mut said, patience);
        let taken = taken.map_err(|error| self.lost(error))?;
        let Some(len) = self.taken(taken)? else {
            return Ok(None);
        };
        Err(reply_lost(CALL, &self.name, ("the server", &said[..len])))
    }

    #[inline]
    fn taken(&mut self, taken: Taken) -> Result<Option<usize>> {
        match taken {
            Taken::Message(len) => Ok(Some(len)),
            Taken::TimedOut => {
                self.owed = true;
                Ok(None)
            }
            Taken::End => Err(self.ended()),
        }
    }

    /// The failure of what was to be done with the server.
    #[cold]
    fn lost(&self, error: Error) -> Error {
        let other = format!("its server was process {}", self.server().pid);
        told_of(error, CALL, &self.name, &other)
    }

    #[cold]
    fn ended(&self) -> Error {
        let error = Error::new(ErrorKind::PeerGone, CALL, "");
        self.lost(error.because("the server has ended the connection"))
    }
}

/// A server's side of a Quick connection, for the thread that serves it.
#[derive(Debug)]
pub struct QuickSession {
    mailbox: Mailbox,
    /// The request received last.
    request: Vec<u8>,
    views: [Option<View<Write>>; 2],
    message_max: usize,
    rules: Arc<Rules>,
    /// The client may not be impersonated.
    pub(super) identification: bool,
}

impl QuickSession {
    pub(super) fn new(
        channel: Channel,
        views: [Option<View<Write>>; 2],
        rules: &Arc<Rules>,
    ) -> Result<Self> {
        Ok(Self {
            mailbox: Mailbox::new(channel)?,
            request: Vec::new(),
            views,
            message_max: rules.message_max,
            rules: rules.clone(),
            identification: false,
        })
    }

    pub(super) fn stop(&self) -> Stop {
        self.mailbox.stop()
    }

    /// Has `handler` answer each request, until the client ends the connection.
    ///
    /// # Errors
    /// What the handler fails with, after the client was told as by
    /// [`Port::serve`](crate::nt::lpc::Port::serve), unless the client is the reason; those of
    /// [`receive`](Self::receive). Other clients have sessions of their own.
    pub fn serve(
        &mut self,
        mut handler: impl FnMut(&mut QuickCall<'_>) -> Result<()>,
    ) -> Result<()> {
        while let Some(mut call) = self.receive()? {
            if let Err(error) = handler(&mut call) {
                call.lost = call.session.rules.fault(&error);
                if !error.is_of_client(call.port()) {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Waits for the next request. `None`: the client has ended the connection.
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`] if its process went without closing; [`ErrorKind::Broken`] if it
    /// broke the protocol.
    #[inline]
    pub fn receive(&mut self) -> Result<Option<QuickCall<'_>>> {
        let post = match self.mailbox.turn(Patience::Forever).map_err(of_port)? {
            Turn::Ours(post) => post,
            Turn::TimedOut | Turn::End => return Ok(None),
        };
        let buffer = &mut self.request;
        let taken = self.mailbox.copy_growing(post, buffer, Patience::Forever);
        let Taken::Message(len) = taken.map_err(of_port)? else {
            return Ok(None);
        };
        let extent = if post.has(Post::EXTENT) {
            match Extent::decode(&self.request[..len], self.views[0].as_ref()) {
                Some((extent, _)) => Some(extent),
                None => {
                    let why = "it named a part of the view that is not there";
                    return Err(of_port(self.mailbox.break_off(why)));
                }
            }
        } else {
            None
        };
        Ok(Some(QuickCall {
            session: self,
            len,
            extent,
            is_open: true,
            lost: Lost::default(),
        }))
    }

    /// The client, as the kernel said when it connected.
    #[must_use]
    pub fn client(&self) -> &Peer {
        self.mailbox.peer()
    }

    /// The memory that the client gave, if it gave some.
    #[must_use]
    pub fn view(&self) -> Option<&View<Write>> {
        self.views[0].as_ref()
    }

    /// The memory that the server gave with the connection.
    #[must_use]
    pub fn own_view(&self) -> Option<&View<Write>> {
        self.views[1].as_ref()
    }
}

/// A request of a Quick client's. Dropped without a reply, it leaves the client with
/// STATUS_LPC_REPLY_LOST.
#[derive(Debug)]
pub struct QuickCall<'a> {
    session: &'a mut QuickSession,
    len: usize,
    extent: Option<Extent>,
    is_open: bool,
    /// What the client is told if there is no reply.
    lost: Lost,
}

impl QuickCall<'_> {
    /// The bytes of the request.
    #[inline]
    #[must_use]
    pub fn request(&self) -> &[u8] {
        let skip = if self.extent.is_some() { EXTENT_LEN } else { 0 };
        &self.session.request[skip..self.len]
    }

    /// Which part of the client's [view](QuickSession::view) it is about; within it.
    #[must_use]
    pub fn extent(&self) -> Option<Extent> {
        self.extent
    }

    /// The session: who calls, and its views.
    #[must_use]
    pub fn session(&self) -> &QuickSession {
        self.session
    }

    /// Who calls, as the kernel said when it connected.
    #[must_use]
    pub fn client(&self) -> &Peer {
        self.session.client()
    }

    /// As [`Call::impersonate`](crate::nt::lpc::Call::impersonate).
    ///
    /// # Errors
    /// As there.
    pub fn impersonate(&self) -> Result<Impersonation> {
        if !self.is_open {
            let name = &self.session.rules.shown;
            return Err(mismatch(IMPERSONATE, name, "nobody waits for a reply"));
        }
        let link = self.session.mailbox.link();
        impersonate(link, self.session.identification).map_err(|error| blame(error, self.port()))
    }

    pub(super) fn port(&self) -> u64 {
        self.session.rules.port
    }

    /// The handler of a port has failed.
    #[cold]
    fn fail(&mut self, error: &Error) {
        let rules = &self.session.rules;
        rules.tell(self.client(), error);
        self.lost = rules.fault(error);
    }

    /// Replies.
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`] (STATUS_PORT_DISCONNECTED); [`ErrorKind::TooLong`]
    /// (STATUS_PORT_MESSAGE_TOO_LONG): it can still be replied to; [`ErrorKind::InvalidInput`]
    /// (STATUS_REPLY_MESSAGE_MISMATCH) for a second reply.
    #[inline]
    pub fn reply(&mut self, reply: &[u8]) -> Result<()> {
        if !self.is_open {
            return Err(mismatch(
                REPLY,
                &self.session.rules.shown,
                "nobody waits for it",
            ));
        }
        if reply.len() > self.session.message_max {
            let (name, most) = (&self.session.rules.shown, self.session.message_max);
            return Err(too_long(REPLY, name, reply.len(), most));
        }
        self.is_open = false;
        let posted = self
            .session
            .mailbox
            .post(0, [&[], reply], Patience::Forever);
        match posted {
            Ok(_) => Ok(()),
            Err(error) => Err(self.session.rules.lost(error, REPLY, self.client())),
        }
    }

    /// As [`Call::refuse`](crate::nt::lpc::Call::refuse).
    ///
    /// # Errors
    /// As [`reply`](Self::reply), but for its length.
    pub fn refuse(&mut self, why: &str) -> Result<()> {
        if !self.is_open {
            return Err(mismatch(
                REFUSE,
                &self.session.rules.shown,
                "nobody waits for it",
            ));
        }
        self.lost = Lost::new(Code::Refused, why);
        self.lose()
    }

    #[cold]
    fn lose(&mut self) -> Result<()> {
        self.is_open = false;
        let said = self.lost.encode();
        let mailbox = &mut self.session.mailbox;
        match mailbox.post(Post::LOST, [&[], &said], Patience::Forever) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.session.rules.lost(error, REFUSE, self.client())),
        }
    }
}

impl Drop for QuickCall<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.is_open {
            let _ = self.lose();
        }
    }
}
