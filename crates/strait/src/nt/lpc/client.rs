//! The client's port.

use std::collections::VecDeque;
use std::time::Duration;

use crate::channel::sender::Patience;
use crate::channel::{Channel, Peer, Spin, Taken};
use crate::error::{Error, ErrorKind, Result};
use crate::nt::lpc::connect::{ClientOptions, Made};
use crate::nt::lpc::view::{Extent, RECEIVED_MAX};
use crate::nt::lpc::wire::{EXTENT_LEN, HEAD_LEN, Head, Ids, Type};
use crate::nt::lpc::{mismatch, reply_lost, told_of, too_long};
use crate::object::Namespace;
use crate::object::transfer::Transferable;
use crate::object::view::{View, Write};
use crate::object::wait::{Member, Waitable};

/// Messages of the server's that a client has not received, while it waited for replies, of twice
/// the longest one's bytes.
const QUEUE_MAX: usize = 1024;
/// Requests of the server's that a client has received and not answered.
const OPEN_MAX: usize = 1024;
const CALL: &str = "call";
const REPLY: &str = "reply";
const RECEIVE: &str = "receive";

/// A client's end of a connection: NT's client communication port.
///
/// One thread uses it at a time; threads that call at the same time connect each for itself.
#[derive(Debug)]
pub struct Client {
    channel: Channel,
    /// Of the port.
    pub(super) name: String,
    ids: Ids,
    /// The message received last.
    buffer: Vec<u8>,
    message_max: usize,
    data: Vec<u8>,
    /// This side's, and the server's.
    views: [Option<View<Write>>; 2],
    /// What the server sent unasked.
    queue: VecDeque<Vec<u8>>,
    /// Bytes of it.
    queued: usize,
    /// The server's requests that wait for a reply.
    open: Vec<u32>,
}

/// Answers callbacks.
type Handler<'h> = &'h mut dyn FnMut(&[u8]) -> Vec<u8>;

impl Client {
    /// Options for a connection.
    pub fn options<'a>() -> ClientOptions<'a> {
        ClientOptions {
            space: None,
            data: &[],
            view: None,
            server: None,
            identification: false,
            capacity: 32 << 10,
            message_max: 16 << 20,
            view_max: RECEIVED_MAX,
            spin: Spin::Adaptive,
            until: None,
        }
    }

    pub(super) fn new(made: Made) -> Self {
        Self {
            channel: made.channel,
            name: made.name,
            ids: Ids::after(0),
            buffer: vec![0; 1024],
            message_max: made.message_max,
            data: made.data,
            views: made.views,
            queue: VecDeque::new(),
            queued: 0,
            open: Vec::new(),
        }
    }

    /// Connects to the port of that name in the user's own namespace.
    ///
    /// # Errors
    /// As [`ClientOptions::connect`].
    pub fn connect(name: &str) -> Result<Self> {
        Self::options().connect(name)
    }

    /// Calls the server and waits for its reply.
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`] (STATUS_PORT_DISCONNECTED) if the server is gone, or has ended the
    /// connection; [`ErrorKind::TooLong`] (STATUS_PORT_MESSAGE_TOO_LONG) beyond
    /// [`message_max`](Self::message_max), and nothing was sent; [`ErrorKind::Refused`]
    /// (STATUS_LPC_REPLY_LOST) if the server answers without a reply: it [dropped or
    /// refused](crate::nt::lpc::Port::serve) the request, and the error says which and why;
    /// [`ErrorKind::Exhausted`] if it has sent 1,024 messages unasked, or of twice
    /// [`ClientOptions::message_max`] bytes, that were not [received](Self::receive);
    /// [`ErrorKind::Broken`] if it breaks the protocol, which ends the connection.
    #[inline]
    #[doc(alias = "NtRequestWaitReplyPort")]
    pub fn call(&mut self, request: &[u8]) -> Result<&[u8]> {
        let (id, head) = self.next_request();
        self.send(CALL, &head.encode(), request)?;
        loop {
            if let Some(at) = self.await_reply(id, Patience::Forever, None)? {
                return Ok(&self.buffer[at.0..at.1]);
            }
        }
    }

    /// [`call`](Self::call) for at most `timeout`. `None`: there was no reply in time; one that
    /// comes later is dropped.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn call_for(&mut self, request: &[u8], timeout: Duration) -> Result<Option<&[u8]>> {
        let patience = Patience::for_at_most(timeout);
        let (id, head) = self.next_request();
        self.check_len(CALL, request)?;
        let sender = self.channel.sender();
        let sent = sender.deliver([&head.encode(), request], patience, true);
        if !sent.map_err(|error| self.lost(CALL, error))? {
            self.channel.sender().attached.clear();
            return Ok(None);
        }
        match self.await_reply(id, patience, None)? {
            Some(at) => Ok(Some(&self.buffer[at.0..at.1])),
            None => {
                // If there is no room even for this, the server learns it from nobody.
                let head = Head::new(Type::Cancel, id).encode();
                let sender = self.channel.sender();
                let _ = sender.deliver([&head, &[]], Patience::Look, true);
                Ok(None)
            }
        }
    }

    /// [`call`](Self::call) of a server that [asks back](crate::nt::lpc::Call::callback):
    /// `handler` answers it.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn call_with(
        &mut self,
        request: &[u8],
        mut handler: impl FnMut(&[u8]) -> Vec<u8>,
    ) -> Result<&[u8]> {
        let (id, head) = self.next_request();
        self.send(CALL, &head.encode(), request)?;
        loop {
            if let Some(at) = self.await_reply(id, Patience::Forever, Some(&mut handler))? {
                return Ok(&self.buffer[at.0..at.1]);
            }
        }
    }

    /// [`call`](Self::call) about a part of this client's view, which the server finds by
    /// [`extent`](crate::nt::lpc::Call::extent). Nothing of it is copied.
    ///
    /// # Errors
    /// As [`call`](Self::call); [`ErrorKind::InvalidInput`] if the part is not within the view.
    pub fn call_at(&mut self, extent: Extent, request: &[u8]) -> Result<&[u8]> {
        let extent = extent.within(self.view(), &self.name)?;
        let (id, head) = self.next_request();
        let head = Head {
            extent: true,
            ..head
        };
        let mut first = [0; HEAD_LEN + EXTENT_LEN];
        first[..HEAD_LEN].copy_from_slice(&head.encode());
        first[HEAD_LEN..].copy_from_slice(&extent.encode());
        self.send(CALL, &first, request)?;
        loop {
            if let Some(at) = self.await_reply(id, Patience::Forever, None)? {
                return Ok(&self.buffer[at.0..at.1]);
            }
        }
    }

    /// Has a handle go with the next request or datagram: a copy, this one stays. The server
    /// [takes](crate::nt::lpc::Call::attached) it or not; what it
    /// [attaches](crate::nt::lpc::Call::attach) to a reply is [`attached`](Self::attached) here.
    ///
    /// ```
    /// use strait::Namespace;
    /// use strait::nt::{Event, lpc};
    ///
    /// let space = Namespace::temporary()?;
    /// let port = lpc::Port::options().namespace(&space).create("jobs")?;
    /// std::thread::scope(|scope| -> strait::Result<()> {
    ///     scope.spawn(|| port.serve(|call| {
    ///         let done: Event = call.attached(&[])?;
    ///         call.reply(b"begun")?;
    ///         done.set().map(drop)
    ///     }));
    ///     let mut jobs = lpc::Client::options().namespace(&space).connect("jobs")?;
    ///     let done = Event::options().shared().create()?;
    ///     jobs.attach(&done)?;
    ///     jobs.call(b"sort it")?;
    ///     done.wait()?;
    ///     port.close();
    ///     Ok(())
    /// })?;
    /// # Ok::<(), strait::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] beyond 16 for a message; [`ErrorKind::Unsupported`] for a
    /// private object; [`ErrorKind::Exhausted`] without descriptors. The call that follows may say
    /// [`ErrorKind::Busy`]: too many are on their way and not received. Then nothing was sent, and
    /// what is attached waits for the next attempt; it does not after a call whose time was up.
    pub fn attach<T: Transferable>(&mut self, handle: &T) -> Result<()> {
        self.channel.sender().attach(handle)
    }

    /// Takes the next of the handles that came with the last reply, in the order in which they were
    /// attached. It must belong to the user's own namespace, to the machine's, or to one of
    /// `spaces`. Those not taken are closed once the next message is received.
    ///
    /// # Errors
    /// As [`Call::attached`](crate::nt::lpc::Call::attached).
    pub fn attached<T: Transferable>(&mut self, spaces: &[Namespace]) -> Result<T> {
        self.channel.receiver().attached(spaces)
    }

    /// How many handles came with the last reply and are not taken.
    #[must_use]
    pub fn attached_len(&self) -> usize {
        self.channel.receiver_ref().attached_len()
    }

    /// Sends a datagram, which has no reply.
    ///
    /// # Errors
    /// As [`call`](Self::call). A server that is gone may not be noticed.
    #[doc(alias = "NtRequestPort")]
    pub fn datagram(&mut self, message: &[u8]) -> Result<()> {
        self.send(
            "send datagram",
            &Head::new(Type::Datagram, 0).encode(),
            message,
        )
    }

    /// Receives what the server sends unasked: datagrams, and requests.
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`] (STATUS_PORT_DISCONNECTED); [`ErrorKind::Broken`].
    #[doc(alias = "NtReplyWaitReceivePort")]
    pub fn receive(&mut self) -> Result<Incoming<'_>> {
        loop {
            if let Some((head, len)) = self.unasked(Patience::Forever)? {
                return Ok(self.incoming(head, len));
            }
        }
    }

    /// [`receive`](Self::receive) for at most `timeout`. `None`: nothing came.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn receive_for(&mut self, timeout: Duration) -> Result<Option<Incoming<'_>>> {
        let found = self.unasked(Patience::for_at_most(timeout))?;
        Ok(found.map(|(head, len)| self.incoming(head, len)))
    }

    /// Replies to a request of the server's.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`]: STATUS_INVALID_PARAMETER for the id 0, and
    /// STATUS_REPLY_MESSAGE_MISMATCH for one that waits for no reply; otherwise as
    /// [`call`](Self::call).
    pub fn reply(&mut self, id: u32, reply: &[u8]) -> Result<()> {
        if id == 0 {
            return Err(Error::new(ErrorKind::InvalidInput, REPLY, &*self.name)
                .because("no request has the id 0"));
        }
        let Some(at) = self.open.iter().position(|open| *open == id) else {
            let why = "no request of that id waits for a reply";
            return Err(mismatch(REPLY, &self.name, why));
        };
        self.check_len(REPLY, reply)?;
        self.open.swap_remove(at);
        self.send_plain(Head::new(Type::Reply, id), reply)
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
        self.channel.peer()
    }

    #[inline]
    fn next_request(&mut self) -> (u32, Head) {
        let id = self.ids.next();
        (id, Head::new(Type::Request, id))
    }

    #[inline]
    fn check_len(&self, operation: &'static str, message: &[u8]) -> Result<()> {
        if message.len() <= self.message_max {
            return Ok(());
        }
        Err(too_long(
            operation,
            &self.name,
            message.len(),
            self.message_max,
        ))
    }

    /// The failure of what was to be done with the server.
    #[cold]
    fn lost(&self, operation: &'static str, error: Error) -> Error {
        let other = format!("its server was process {}", self.server().pid);
        told_of(error, operation, &self.name, &other)
    }

    #[inline]
    fn send(&mut self, operation: &'static str, first: &[u8], message: &[u8]) -> Result<()> {
        self.check_len(operation, message)?;
        let sent = self
            .channel
            .sender()
            .deliver([first, message], Patience::Forever, true);
        match sent {
            Ok(_) => Ok(()),
            Err(error) => Err(self.lost(operation, error)),
        }
    }

    /// What is attached goes with another message.
    fn send_plain(&mut self, head: Head, message: &[u8]) -> Result<()> {
        let attached = std::mem::take(&mut self.channel.sender().attached);
        let sent = self.send(REPLY, &head.encode(), message);
        self.channel.sender().attached = attached;
        sent
    }

    /// Where in the buffer the reply lies. `None`: the time is up.
    #[inline]
    fn await_reply(
        &mut self,
        id: u32,
        patience: Patience,
        mut handler: Option<Handler<'_>>,
    ) -> Result<Option<(usize, usize)>> {
        loop {
            let Some((head, len)) = self.hear(CALL, patience)? else {
                return Ok(None);
            };
            if head.kind == Type::Reply && head.id == id {
                let skip = if head.extent { EXTENT_LEN } else { 0 };
                return Ok(Some((HEAD_LEN + skip, len)));
            }
            self.beside(id, head, len, &mut handler)?;
        }
    }

    /// What comes while a reply is waited for.
    #[cold]
    fn beside(
        &mut self,
        id: u32,
        head: Head,
        len: usize,
        handler: &mut Option<Handler<'_>>,
    ) -> Result<()> {
        match head.kind {
            Type::LostReply if head.id == id => {
                let said = &self.buffer[HEAD_LEN..len];
                Err(reply_lost(CALL, &self.name, ("the server", said)))
            }
            Type::Request if head.callback => {
                let of = self.buffer[HEAD_LEN..len].first_chunk::<4>();
                let is_ours = of.is_some_and(|of| u32::from_le_bytes(*of) == id);
                let request = self.buffer[..len].get(HEAD_LEN + 8..);
                let (kind, reply) = match (handler, request) {
                    (Some(handler), Some(request)) if is_ours => (Type::Reply, handler(request)),
                    _ => (Type::LostReply, Vec::new()),
                };
                self.send(REPLY, &Head::new(kind, head.id).encode(), &reply)
            }
            Type::Request | Type::Datagram => {
                let bytes_max = 2 * self.channel.receiver_ref().message_max;
                if self.queue.len() == QUEUE_MAX || self.queued + len > bytes_max {
                    let why = "the server has sent 1,024 messages, or of twice the longest one's \
                               length, that were not received";
                    let error = Error::new(ErrorKind::Exhausted, CALL, &*self.name);
                    return Err(error.because(why));
                }
                self.queued += len;
                self.queue.push_back(self.buffer[..len].to_vec());
                Ok(())
            }
            // Replies that came too late.
            _ => Ok(()),
        }
    }

    /// The next message. `None`: the time is up.
    #[inline]
    fn hear(
        &mut self,
        operation: &'static str,
        patience: Patience,
    ) -> Result<Option<(Head, usize)>> {
        let taken = self
            .channel
            .receiver()
            .recv_growing(&mut self.buffer, patience);
        match taken {
            Ok(Taken::Message(len)) => match Head::decode(&self.buffer[..len]) {
                Some((head, _)) => Ok(Some((head, len))),
                None => {
                    let why = "the server sent what is no message of a port";
                    let link = self.channel.sender().link();
                    let error = link.break_off(operation, why);
                    Err(self.lost(operation, error))
                }
            },
            Ok(Taken::TimedOut) => Ok(None),
            Ok(Taken::End) => {
                let error = Error::new(ErrorKind::PeerGone, operation, "");
                Err(self.lost(
                    operation,
                    error.because("the server has ended the connection"),
                ))
            }
            Err(error) => Err(self.lost(operation, error)),
        }
    }

    fn unasked(&mut self, patience: Patience) -> Result<Option<(Head, usize)>> {
        loop {
            let heard = match self.queue.pop_front() {
                Some(message) => {
                    self.queued -= message.len();
                    let heard = Head::decode(&message).map(|(head, _)| (head, message.len()));
                    self.buffer = message;
                    self.channel.receiver().let_go();
                    heard
                }
                None => match self.hear(RECEIVE, patience)? {
                    Some(heard) => Some(heard),
                    None => return Ok(None),
                },
            };
            match heard {
                Some((head, len)) if head.kind == Type::Datagram => return Ok(Some((head, len))),
                Some((head, len)) if head.kind == Type::Request && !head.callback => {
                    if self.open.len() == OPEN_MAX {
                        return Err(Error::new(ErrorKind::Exhausted, RECEIVE, &*self.name)
                            .because("1,024 requests of the server's have not been answered"));
                    }
                    self.open.push(head.id);
                    return Ok(Some((head, len)));
                }
                Some((head, _)) if head.kind == Type::Request => {
                    // The call that it belongs to was given up.
                    self.send_plain(Head::new(Type::LostReply, head.id), &[])?;
                }
                _ => {}
            }
        }
    }

    fn incoming(&self, head: Head, len: usize) -> Incoming<'_> {
        Incoming {
            id: head.id,
            bytes: &self.buffer[HEAD_LEN..len],
        }
    }
}

/// What a server sends a client unasked.
#[derive(Debug)]
pub struct Incoming<'a> {
    id: u32,
    bytes: &'a [u8],
}

impl Incoming<'_> {
    /// The id of a request, for [`Client::reply`]; 0 for a datagram.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The bytes of the message.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes
    }
}

/// Ready when the server has sent something, or the connection is over. Nothing is taken.
impl Waitable for Client {
    fn member(&self) -> Member<'_> {
        self.channel.member()
    }
}
