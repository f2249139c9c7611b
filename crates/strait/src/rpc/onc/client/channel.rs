//! A channel as what carries messages: shared memory, no bytes of a message beside it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strait_sys::Errno;
use strait_sys::time::Deadline;
use strait_wire::onc::client::Form;

use super::inbox::Inbox;
use super::transport::Transport;
use crate::channel::connect::{establish_connecting, greet, insist};
use crate::channel::sender::Patience;
use crate::channel::{Options, Receiver, Sender, Taken};
use crate::error::{Error, ErrorKind, Result};
use crate::object::space::Namespace;
use crate::object::space::name::Name;
use crate::object::space::socket::{Calling, Place};
use crate::object::wait::source::Source;
use crate::object::wait::{Member, Waitable, any_for};
use crate::rpc::onc::{CHANNEL_CAPACITY, CHANNEL_ROLE};

/// The two ends of a session, each for one thread at a time.
pub(super) struct Ends {
    sending: Mutex<Sending>,
    receiver: Mutex<Receiver>,
    room: Event,
    arrivals: Event,
}

struct Sending {
    sender: Sender,
    /// How much of a message is out that is not whole yet: see [`Sender::send_some`].
    done: Option<usize>,
}

/// What can be waited for without either end.
pub(super) struct Event(Arc<dyn Source>);

impl Waitable for Event {
    fn member(&self) -> Member<'_> {
        Member::source(&self.0)
    }
}

/// Connects to the server of that name, and says how the name is shown.
pub(super) fn connect(
    (space, name): (Option<&Namespace>, &str),
    message_max: usize,
    timeout: Duration,
) -> Result<(String, Ends)> {
    let (name, prefix) = Name::parse_bytes(name.as_bytes())?;
    let space = space.map_or_else(Namespace::local, |space| Ok(space.clone()))?;
    let place = Place {
        space: &space.led_by(prefix)?,
        calling: Calling::Port,
        name: &name,
    };
    let options = Options::new()
        .capacity(CHANNEL_CAPACITY)
        .message_max(message_max)
        .shareable(false);
    let until = Some(Deadline::after(timeout));
    let channel = insist(until, || {
        let socket = place.connect()?;
        let greeting = greet(&socket, &options, CHANNEL_ROLE, &[])?;
        establish_connecting(socket, &options, greeting, until)
    });
    let shown = place.shown();
    let (channel, _) = channel.map_err(|error| error.during("connect to", shown.clone()))?;
    let (sender, receiver) = channel.split();
    let ends = Ends {
        room: Event(Arc::clone(&sender.room)),
        arrivals: Event(Arc::clone(&receiver.arrivals)),
        sending: Mutex::new(Sending { sender, done: None }),
        receiver: Mutex::new(receiver),
    };
    Ok((shown, ends))
}

impl Ends {
    /// There is room to send.
    pub(super) fn room(&self) -> Event {
        Event(Arc::clone(&self.room.0))
    }

    /// There is something to receive.
    pub(super) fn arrivals(&self) -> Event {
        Event(Arc::clone(&self.arrivals.0))
    }

    fn sending(&self) -> MutexGuard<'_, Sending> {
        self.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for Ends {
    fn form(&self) -> Form {
        Form::MESSAGE
    }

    fn try_send(&self, bytes: &[u8]) -> std::result::Result<usize, Errno> {
        let mut sending = self.sending();
        let Sending { sender, done } = &mut *sending;
        match sender.send_some((bytes, &mut Vec::new()), done) {
            Ok(true) => {
                *done = None;
                Ok(bytes.len())
            }
            Ok(false) => Err(Errno::AGAIN),
            Err(error) => Err(code(&error)),
        }
    }

    fn is_within_message(&self) -> bool {
        self.sending().done.is_some()
    }

    fn receive(
        &self,
        inbox: &mut Inbox,
        until: Deadline,
    ) -> std::result::Result<Option<usize>, Errno> {
        let mut receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        let patience = if until.passed() {
            Patience::Look
        } else {
            Patience::Until(until)
        };
        match receiver.recv_growing(inbox.vector(), patience) {
            Ok(Taken::Message(len)) => Ok(Some(len)),
            Ok(Taken::TimedOut) => Ok(None),
            Ok(Taken::End) => Err(Errno::PIPE),
            Err(error) => Err(code(&error)),
        }
    }

    fn wait_for_room(&self, receiving: bool, until: Deadline) -> std::result::Result<(), Errno> {
        let both: [&dyn Waitable; 2] = [&self.room, &self.arrivals];
        let members = if receiving { &both[..] } else { &both[..1] };
        any_for(members, until.left()).map_err(|error| code(&error))?;
        Ok(())
    }
}

fn code(error: &Error) -> Errno {
    match error.kind() {
        ErrorKind::PeerGone => Errno::CONNRESET,
        ErrorKind::TooLong => Errno::MSGSIZE,
        ErrorKind::Broken => Errno::PROTO,
        _ => error.errno().map_or(Errno::IO, Errno::from_raw_os_error),
    }
}
