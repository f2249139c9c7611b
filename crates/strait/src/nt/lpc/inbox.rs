//! What a server receives.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::channel::Peer;
use crate::channel::attach::Enclosed;
use crate::channel::connect::Asked;
use crate::channel::hub::{Attendant, Event, Hub};
use crate::channel::sender::Patience;
use crate::error::{Error, ErrorKind, Result};
use crate::nt::lpc::connection::{Connection, Joined, State};
use crate::nt::lpc::port::Rules;
use crate::nt::lpc::view::{Extent, PortView};
use crate::nt::lpc::wire::{EXTENT_LEN, HEAD_LEN, Head, Terms, Type};
use crate::nt::lpc::{Call, Pending, QuickSession, Reply, check_data, of_port};
use crate::nt::status::NtStatus;
use crate::object::view::{View, Write};
use crate::object::wait::{Member, Waitable};

/// Messages that came while a callback was waited for, of twice the longest one's bytes.
const LATE_MAX: usize = 64;
/// The code of a refusal by the server.
const REFUSED: u32 = 1;

/// What a server receives.
#[derive(Debug)]
#[non_exhaustive]
pub enum Message<'a> {
    /// A client wants to connect, and waits for the decision.
    Connect(ConnectRequest<'a>),
    /// A client waits for a reply.
    Request(Call<'a>),
    /// A message that wants no reply.
    Datagram(Call<'a>),
    /// A client's reply to a [request](Connection::request) of the server.
    Reply(Reply<'a>),
    /// A client has closed its port (LPC_PORT_CLOSED), or the server its connection.
    Closed(Connection),
    /// A client's process is gone (LPC_CLIENT_DIED), or has lost its connection; why.
    Died(Connection, Error),
}

/// A client that wants to connect. Dropped, it is refused.
#[derive(Debug)]
pub struct ConnectRequest<'a> {
    inbox: &'a mut Inbox,
    asked: Option<Box<Asked>>,
    terms: Terms,
    context: Option<Box<dyn Any + Send + Sync>>,
    view: Option<&'a PortView>,
}

impl<'a> ConnectRequest<'a> {
    fn asked(&self) -> &Asked {
        self.asked
            .as_deref()
            .expect("taken only by what consumes this")
    }

    /// Who asks, as the kernel says.
    #[must_use]
    pub fn client(&self) -> &Peer {
        &self.asked().peer
    }

    /// The data that came with the request.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        Terms::decode(&self.asked().payload).map_or(&[], |(_, data)| data)
    }

    /// Whether it wants a server thread of its own.
    #[must_use]
    pub fn wants_quick(&self) -> bool {
        self.terms.quick
    }

    /// Length in bytes of the memory that comes with it.
    #[must_use]
    pub fn view_len(&self) -> Option<u64> {
        self.terms.view.map(|(_, len)| len)
    }

    /// Gives the connection a value of the server's, to be found with each of its messages (NT's
    /// PortContext).
    #[must_use]
    pub fn context(mut self, context: impl Any + Send + Sync) -> Self {
        self.context = Some(Box::new(context));
        self
    }

    /// Gives the client memory of the server's.
    #[must_use]
    pub fn view(mut self, view: &'a PortView) -> Self {
        self.view = Some(view);
        self
    }

    /// Accepts, with data for the client. One that [wants](Self::wants_quick) the Quick form is
    /// accepted by [`accept_quick`](Self::accept_quick).
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`] if it waits no longer; [`ErrorKind::Broken`] if the memory that it
    /// brought is not what it said, cannot be mapped or is
    /// [too long](crate::nt::lpc::PortOptions::view_max); [`ErrorKind::TooLong`] for more than
    /// [`DATA_MAX`](crate::nt::lpc::DATA_MAX) bytes; [`ErrorKind::InvalidInput`] for one of the
    /// other form, which is refused; [`ErrorKind::Exhausted`].
    #[doc(alias = "NtAcceptConnectPort")]
    #[doc(alias = "NtCompleteConnectPort")]
    pub fn accept(mut self, data: &[u8]) -> Result<Connection> {
        let (asked, views, payload) = self.begin(data, false)?;
        let mut state = State::new(self.context.take(), views, &self.inbox.rules);
        state.identification = self.terms.identification;
        let beside = self.view.map(PortView::file);
        let hub = &self.inbox.hub;
        hub.welcome(asked, (payload, beside), state)
            .map(Connection)
            .map_err(of_port)
    }

    /// Accepts a client that wants a thread of its own: what that thread serves. It does not count
    /// among the [connections](crate::nt::lpc::Port::connections) of the port.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub fn accept_quick(mut self, data: &[u8]) -> Result<QuickSession> {
        let (asked, views, payload) = self.begin(data, true)?;
        let rules = &self.inbox.rules;
        let beside = self.view.map(PortView::file);
        let channel = asked
            .welcome(&rules.options, (payload, beside), None)
            .map_err(of_port)?;
        let mut session = QuickSession::new(channel, views, rules)?;
        session.identification = self.terms.identification;
        Ok(session)
    }

    /// What is common to both forms: the client's memory, and what it is told.
    #[expect(clippy::type_complexity, reason = "in use twice, above")]
    fn begin(
        &mut self,
        data: &[u8],
        quick: bool,
    ) -> Result<(Asked, [Option<View<Write>>; 2], Vec<u8>)> {
        check_data("accept", &self.inbox.rules.shown, data)?;
        self.inbox.check_own("accept")?;
        let Some(mut asked) = self.asked.take() else {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "accept",
                &*self.inbox.rules.shown,
            ));
        };
        if self.terms.quick != quick {
            let _ = asked.refuse(REFUSED, b"it accepts the other form");
            return Err(
                Error::new(ErrorKind::InvalidInput, "accept", &*self.inbox.rules.shown)
                    .because("the client wants the other form"),
            );
        }
        let view = match (self.terms.view, asked.beside.take()) {
            (None, None) => Ok(None),
            (Some(part), Some(file)) => {
                let received = PortView::received(file, part, self.inbox.rules.view_max);
                received.and_then(|view| view.map().map(Some))
            }
            _ => Err(
                Error::new(ErrorKind::Broken, "accept", &*self.inbox.rules.shown)
                    .because("a view without memory"),
            ),
        };
        let view = match view {
            Ok(view) => view,
            Err(error) => {
                let why = match error.why() {
                    "" => "the view is not memory that can be mapped",
                    why => why,
                };
                let _ = asked.refuse(REFUSED, why.as_bytes());
                // Whatever was wrong with it, the client has brought it.
                return Err(of_port(error.with_kind(ErrorKind::Broken)));
            }
        };
        let own = self.view.map(PortView::map).transpose()?;
        let granted = Terms {
            quick,
            identification: false,
            view: self.view.map(|view| (view.offset, view.len)),
            message_max: u32::try_from(self.inbox.rules.message_max).unwrap_or(u32::MAX),
        };
        let payload = [&granted.encode(), data].concat();
        Ok((*asked, [view, own], payload))
    }

    /// Refuses, with data for the client.
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`] if it waits no longer; [`ErrorKind::TooLong`].
    pub fn refuse(mut self, data: &[u8]) -> Result<()> {
        check_data("refuse", &self.inbox.rules.shown, data)?;
        self.inbox.check_own("refuse")?;
        match self.asked.take() {
            Some(asked) => asked.refuse(REFUSED, data).map_err(of_port),
            None => Ok(()),
        }
    }
}

impl Drop for ConnectRequest<'_> {
    fn drop(&mut self) {
        if let Some(asked) = self.asked.take()
            && self.inbox.check_own("refuse").is_ok()
        {
            let _ = asked.refuse(REFUSED, &[]);
        }
    }
}

/// What came while something else was waited for.
#[derive(Debug)]
enum Late {
    Message(Vec<u8>, Enclosed),
    Ended(Option<Error>),
}

impl Late {
    fn len(&self) -> usize {
        match self {
            Self::Message(message, _) => message.len(),
            Self::Ended(_) => 0,
        }
    }

    fn has_handles(&self) -> bool {
        matches!(self, Self::Message(_, enclosed) if !enclosed.is_empty())
    }
}

/// A message as it was found, before it is borrowed.
enum Found {
    Asked(Box<Asked>, Terms),
    Call(Head, usize),
    Reply(u32, usize),
    Ended(Option<Error>),
}

/// One thread's way to receive from a port's clients.
#[derive(Debug)]
pub struct Inbox {
    pub(super) attendant: Attendant<State>,
    hub: Arc<Hub<State>>,
    rules: Arc<Rules>,
    late: VecDeque<(Joined, Late)>,
    /// The connection of the last message, if that came late.
    apart: Option<Joined>,
    aside: Vec<u8>,
}

impl Inbox {
    pub(super) fn new(hub: Arc<Hub<State>>, rules: Arc<Rules>) -> Self {
        Self {
            attendant: hub.attendant(),
            hub,
            rules,
            late: VecDeque::new(),
            apart: None,
            aside: vec![0; 256],
        }
    }

    /// Receives what comes next; waits until something does.
    ///
    /// # Errors
    /// [`ErrorKind::Removed`] once the port is closed; [`ErrorKind::Unsupported`] in a child of a
    /// fork.
    #[doc(alias = "NtReplyWaitReceivePort")]
    pub fn receive(&mut self) -> Result<Message<'_>> {
        loop {
            if let Some(found) = self.find(Patience::Forever)? {
                return Ok(self.message(found));
            }
        }
    }

    /// [`receive`](Self::receive) for at most `timeout`. `None`: nothing came.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn receive_for(&mut self, timeout: Duration) -> Result<Option<Message<'_>>> {
        let found = self.find(Patience::for_at_most(timeout))?;
        Ok(found.map(|found| self.message(found)))
    }

    /// Replies to a request and receives what comes next.
    ///
    /// # Errors
    /// As [`Pending::reply`] and [`receive`](Self::receive).
    pub fn reply_receive(&mut self, pending: Pending, reply: &[u8]) -> Result<Message<'_>> {
        pending.reply(reply)?;
        self.receive()
    }

    pub(super) fn session(&self) -> &Joined {
        match &self.apart {
            Some(session) => session,
            None => self.attendant.session(),
        }
    }

    fn find(&mut self, patience: Patience) -> Result<Option<Found>> {
        self.check_own("receive")?;
        self.apart = None;
        loop {
            // All of them first: what came later must not overtake them.
            while !self.late.is_empty() {
                if let Some(found) = self.find_late() {
                    return Ok(Some(found));
                }
                self.apart = None;
            }
            let found = match self.attendant.next(patience) {
                Some(Event::Message(len)) => self.understand(len),
                Some(Event::Asked(asked)) => match Terms::decode(&asked.payload) {
                    Some((terms, _)) => Some(Found::Asked(asked, terms)),
                    None => {
                        let _ = asked.refuse(REFUSED, b"what comes with it is not understood");
                        None
                    }
                },
                Some(Event::Ended(why)) => Some(Found::Ended(why)),
                Some(Event::Closed) => {
                    let shown = self.rules.shown.clone();
                    return Err(Error::new(ErrorKind::Removed, "receive", shown)
                        .because("the port is closed")
                        .with_status(NtStatus::PORT_DISCONNECTED.0));
                }
                None if patience.is_over() => return Ok(None),
                None => None,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// A child of a fork must leave its parent's port alone.
    fn check_own(&self, operation: &'static str) -> Result<()> {
        if !self.hub.is_foreign() {
            return Ok(());
        }
        let error = Error::new(ErrorKind::Unsupported, operation, self.rules.shown.clone());
        Err(error.because("it belongs to the process that forked this one"))
    }

    #[cold]
    fn find_late(&mut self) -> Option<Found> {
        let (session, late) = self.late.pop_front()?;
        self.apart = Some(session);
        match late {
            Late::Message(message, enclosed) => {
                let len = message.len();
                self.attendant.enclosed = enclosed;
                self.attendant.buffer.truncate(0);
                self.attendant.buffer.extend_from_slice(&message);
                self.understand(len)
            }
            Late::Ended(why) => Some(Found::Ended(why)),
        }
    }

    /// What a message in the buffer says. `None`: it is nothing for the server to see.
    #[inline]
    fn understand(&mut self, len: usize) -> Option<Found> {
        let session = self.session();
        let Some((head, rest)) = Head::decode(&self.attendant.buffer[..len]) else {
            session.break_off("it sent what is no message of a port");
            return None;
        };
        let state = &session.user;
        match head.kind {
            Type::Request | Type::Datagram => {
                if head.extent && Extent::decode(rest, state.view()).is_none() {
                    session.break_off("it named a part of the view that is not there");
                    return None;
                }
                Some(Found::Call(head, len))
            }
            Type::Reply => state
                .answered(head.id)
                .then_some(Found::Reply(head.id, len)),
            Type::LostReply => {
                state.answered(head.id);
                None
            }
            Type::Cancel => {
                state.cancel(head.id);
                None
            }
        }
    }

    #[inline]
    fn message(&mut self, found: Found) -> Message<'_> {
        match found {
            Found::Call(head, len) if head.kind == Type::Datagram => {
                Message::Datagram(Call::new(self, head, len))
            }
            Found::Call(head, len) => Message::Request(Call::new(self, head, len)),
            Found::Reply(id, len) => Message::Reply(Reply::new(self, id, len)),
            Found::Asked(asked, terms) => Message::Connect(ConnectRequest {
                inbox: self,
                asked: Some(asked),
                terms,
                context: None,
                view: None,
            }),
            Found::Ended(why) => {
                let connection = Connection(self.session().clone());
                match why {
                    None => Message::Closed(connection),
                    Some(error) => Message::Died(connection, of_port(error)),
                }
            }
        }
    }

    /// Waits for the client's reply to a callback. `None`: it did not come in time.
    pub(super) fn await_callback(&mut self, id: u32, timeout: Duration) -> Result<Option<Vec<u8>>> {
        let session = self.session().clone();
        let patience = Patience::for_at_most(timeout);
        // The request that is being answered stays where it is.
        std::mem::swap(&mut self.attendant.buffer, &mut self.aside);
        let enclosed = std::mem::take(&mut self.attendant.enclosed);
        let result = self.hear_callback(&session, id, patience);
        self.attendant.enclosed = enclosed;
        std::mem::swap(&mut self.attendant.buffer, &mut self.aside);
        result
    }

    fn hear_callback(
        &mut self,
        session: &Joined,
        id: u32,
        patience: Patience,
    ) -> Result<Option<Vec<u8>>> {
        loop {
            let gone = || of_port(session.error(ErrorKind::PeerGone, "call back"));
            match self.attendant.next_of(session, patience) {
                Some(Event::Message(len)) => {
                    let message = self.attendant.buffer[..len].to_vec();
                    let enclosed = std::mem::take(&mut self.attendant.enclosed);
                    // Descriptors are few: those of one message are kept.
                    let is_laden = |(_, late): &(_, Late)| late.has_handles();
                    let kept: usize = self.late.iter().map(|(_, late)| late.len()).sum();
                    let whole_max = self.rules.message_max + HEAD_LEN + EXTENT_LEN;
                    let is_flood = self.late.len() >= LATE_MAX
                        || kept + len > 2 * whole_max
                        || (!enclosed.is_empty() && self.late.iter().any(is_laden));
                    match Head::decode(&message) {
                        Some((head, rest)) if head.id == id && head.kind == Type::Reply => {
                            return Ok(Some(rest.to_vec()));
                        }
                        Some((head, rest)) if head.id == id && head.kind == Type::LostReply => {
                            let name = &self.rules.shown;
                            return Err(super::reply_lost("call back", name, ("the client", rest)));
                        }
                        _ if is_flood => {
                            session.break_off("it floods who waits for it");
                            return Err(gone());
                        }
                        _ => self
                            .late
                            .push_back((session.clone(), Late::Message(message, enclosed))),
                    }
                }
                Some(Event::Ended(why)) => {
                    self.late.push_back((session.clone(), Late::Ended(why)));
                    return Err(gone());
                }
                Some(Event::Closed) => return Err(gone()),
                _ => return Ok(None),
            }
        }
    }
}

/// Ready when a receive would not block. Nothing is taken.
impl Waitable for Inbox {
    fn member(&self) -> Member<'_> {
        Member::source(self.attendant.source())
    }
}
