//! How a client connects, for either form.

use std::os::fd::OwnedFd;
use std::time::Duration;

use strait_sys::time::Deadline;

use crate::channel::connect::{self, answered, greet_with};
use crate::channel::{Channel, Options, Spin};
use crate::error::{Error, ErrorKind, Result};
use crate::nt::lpc::port::resolve;
use crate::nt::lpc::view::PortView;
use crate::nt::lpc::wire::{EXTENT_LEN, HEAD_LEN, Terms};
use crate::nt::lpc::{Client, Quick, ROLE, check_data};
use crate::nt::status::NtStatus;
use crate::object::space::Namespace;
use crate::object::space::socket::{Calling, Place};
use crate::object::view::{View, Write};

const CONNECT: &str = "connect to port";

/// How a client connects.
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientOptions<'a> {
    pub(super) space: Option<Namespace>,
    pub(super) data: &'a [u8],
    pub(super) view: Option<&'a PortView>,
    pub(super) server: Option<u32>,
    pub(super) identification: bool,
    pub(super) capacity: usize,
    pub(super) message_max: usize,
    pub(super) view_max: u64,
    pub(super) spin: Spin,
    /// When the server must have decided.
    pub(super) until: Option<Deadline>,
}

/// What a server decided about a connection.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one of them, at a connection")]
pub enum Answer {
    /// It accepted.
    Connected(Client),
    /// It refused, with this data.
    Refused(Vec<u8>),
}

impl<'a> ClientOptions<'a> {
    /// The namespace of the name; the user's own by default.
    pub fn namespace(mut self, namespace: &Namespace) -> Self {
        self.space = Some(namespace.clone());
        self
    }

    /// Data for the server, which it sees before it decides.
    pub fn data(mut self, data: &'a [u8]) -> Self {
        self.data = data;
        self
    }

    /// Memory for the server to map: see [`Client::call_at`].
    pub fn view(mut self, view: &'a PortView) -> Self {
        self.view = Some(view);
        self
    }

    /// Connects to nobody but that user's server.
    #[doc(alias = "NtSecureConnectPort")]
    pub fn server_uid(mut self, uid: u32) -> Self {
        self.server = Some(uid);
        self
    }

    /// The server may know who the client is, but not act as the client (SECURITY_IDENTIFICATION).
    pub fn identification(mut self) -> Self {
        self.identification = true;
        self
    }

    /// Bytes of the ring through which this client sends; 32 KiB by default.
    pub fn capacity(mut self, bytes: usize) -> Self {
        self.capacity = bytes;
        self
    }

    /// Longest message in bytes that is received from the server; 16 MiB by default.
    pub fn message_max(mut self, bytes: usize) -> Self {
        self.message_max = bytes;
        self
    }

    /// Longest view in bytes that the server may give; 64 MiB by default, 0 for none. A server that
    /// gives a longer one is not connected to.
    pub fn view_max(mut self, bytes: u64) -> Self {
        self.view_max = bytes;
        self
    }

    /// How this client waits before it sleeps.
    pub fn spin(mut self, spin: Spin) -> Self {
        self.spin = spin;
        self
    }

    /// Connects; waits until the server has decided. Where it hangs up before it has heard this
    /// client, as on one of a crowd, or too many wait to be accepted, it is asked again, for a few
    /// seconds, or as long as there is time.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such port; [`ErrorKind::Refused`]
    /// (STATUS_PORT_CONNECTION_REFUSED) if the server says no, saying why if that is text, or if
    /// it ends before it has decided; [`ErrorKind::Denied`], also for a
    /// [server](Self::server_uid) that is another user's (STATUS_SERVER_SID_MISMATCH);
    /// [`ErrorKind::Layout`] (STATUS_INVALID_PORT_HANDLE) if what listens there is no port;
    /// [`ErrorKind::Broken`] if it does not speak the protocol, or gives a view that cannot be
    /// mapped or is [too long](Self::view_max);
    /// [`ErrorKind::TooLong`] for more than [`DATA_MAX`](crate::nt::lpc::DATA_MAX) bytes of data;
    /// [`ErrorKind::Busy`] if too many wait to be accepted; [`ErrorKind::Exhausted`].
    pub fn connect(self, name: &str) -> Result<Client> {
        match self.open(name, false)? {
            Opened::Connected(made) => Ok(Client::new(made)),
            Opened::Refused(shown, data) => Err(refused(shown, data)),
        }
    }

    /// [`connect`](Self::connect) for at most `timeout`, the server's decision included. Once that
    /// is over the server is not asked any more: a request that it has not received yet it never
    /// does.
    ///
    /// A client that comes again after its server does, as one that is restarted, waits out both
    /// that nobody is there yet and that the old one goes:
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use strait::{ErrorKind, nt::lpc::Client};
    /// let client = loop {
    ///     match Client::options().connect_for("adder", Duration::from_secs(5)) {
    ///         Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Refused) => {
    ///             // sleep: no event tells of a server that begins
    ///             std::thread::sleep(Duration::from_millis(200));
    ///         }
    ///         connected => break connected?,
    ///     }
    /// };
    /// # Ok::<(), strait::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`connect`](Self::connect); [`ErrorKind::TimedOut`].
    pub fn connect_for(mut self, name: &str, timeout: Duration) -> Result<Client> {
        self.until = Some(Deadline::after(timeout));
        self.connect(name)
    }

    /// [`connect`](Self::connect), with what the server said if it refused.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    #[doc(alias = "NtConnectPort")]
    pub fn ask(self, name: &str) -> Result<Answer> {
        Ok(match self.open(name, false)? {
            Opened::Connected(made) => Answer::Connected(Client::new(made)),
            Opened::Refused(_, data) => Answer::Refused(data),
        })
    }

    /// [`ask`](Self::ask) for at most `timeout`, as [`connect_for`](Self::connect_for).
    ///
    /// # Errors
    /// As there.
    pub fn ask_for(mut self, name: &str, timeout: Duration) -> Result<Answer> {
        self.until = Some(Deadline::after(timeout));
        self.ask(name)
    }

    /// Connects for [`Quick`] calls: a thread of the server's serves this client alone.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); also [`ErrorKind::Refused`] by a server that does not have
    /// this form, or has no thread left for it.
    pub fn connect_quick(self, name: &str) -> Result<Quick> {
        match self.open(name, true)? {
            Opened::Connected(made) => Quick::new(made),
            Opened::Refused(shown, data) => Err(refused(shown, data)),
        }
    }

    /// [`connect_quick`](Self::connect_quick) for at most `timeout`, as
    /// [`connect_for`](Self::connect_for).
    ///
    /// # Errors
    /// As [`connect_quick`](Self::connect_quick); [`ErrorKind::TimedOut`].
    pub fn connect_quick_for(mut self, name: &str, timeout: Duration) -> Result<Quick> {
        self.until = Some(Deadline::after(timeout));
        self.connect_quick(name)
    }

    fn open(self, name: &str, quick: bool) -> Result<Opened> {
        check_data(CONNECT, name, self.data)?;
        let (space, name) = resolve(self.space.clone(), name)?;
        let place = Place {
            space: &space,
            calling: Calling::Port,
            name: &name,
        };
        let mut is_again = false;
        connect::insist(self.until, || {
            let opened = self.open_once(&place, quick);
            let was_there = std::mem::replace(&mut is_again, true);
            opened.map_err(|error| match error.kind() {
                ErrorKind::NotFound if was_there => refused_by_end(error),
                _ => error,
            })
        })
    }

    fn open_once(&self, place: &Place<'_>, quick: bool) -> Result<Opened> {
        let shown = place.shown();
        let socket = place.connect().map_err(|error| match error.kind() {
            ErrorKind::Layout => error.with_status(NtStatus::INVALID_PORT_HANDLE.0),
            _ => error,
        })?;
        let during = |error: Error| {
            let error = error.during(CONNECT, shown.clone());
            match error.kind() {
                ErrorKind::PeerGone => refused_by_end(error),
                ErrorKind::Broken => error.with_status(NtStatus::INVALID_PORT_HANDLE.0),
                _ => error,
            }
        };
        if let Some(wanted) = self.server {
            let found = connect::uid_of(&socket).map_err(during)?;
            if found != wanted {
                return Err(Error::new(ErrorKind::Denied, CONNECT, shown.clone())
                    .because(format!("it is a port of uid {found}, not of uid {wanted}"))
                    .with_status(NtStatus::SERVER_SID_MISMATCH.0));
            }
        }
        let options = Options::new()
            .capacity(self.capacity)
            .message_max(self.message_max.saturating_add(HEAD_LEN + EXTENT_LEN))
            .spin(self.spin)
            .shareable(false);
        let wanted = Terms {
            quick,
            identification: self.identification,
            view: self.view.map(|view| (view.offset, view.len)),
            message_max: 0,
        };
        let payload = [&wanted.encode(), self.data].concat();
        let beside = self.view.map(PortView::file);
        let view = self.view.map(PortView::map).transpose()?;
        let greeting = greet_with(&socket, &options, ROLE, (&payload, beside)).map_err(during)?;
        match answered(socket, &options, greeting, self.until).map_err(during)? {
            connect::Answer::Refusal(_, data) => Ok(Opened::Refused(shown, data)),
            connect::Answer::Welcome(channel, payload, beside) => {
                let (terms, data) = Terms::decode(&payload).ok_or_else(|| {
                    Error::new(ErrorKind::Broken, CONNECT, shown.clone())
                        .because("its welcome is not understood")
                })?;
                let part = terms.view;
                let their_view = view_received(part, beside, self.view_max).map_err(during)?;
                Ok(Opened::Connected(Made {
                    channel,
                    name: shown,
                    message_max: terms.message_max as usize,
                    data: data.to_vec(),
                    views: [view, their_view],
                }))
            }
        }
    }
}

/// The server was there, and has decided nothing.
fn refused_by_end(error: Error) -> Error {
    error
        .with_kind(ErrorKind::Refused)
        .because("the server hung up before it had decided: it ended, or too many connect")
        .with_status(NtStatus::PORT_CONNECTION_REFUSED.0)
}

/// The server's memory, which comes with the welcome that speaks of it.
fn view_received(
    part: Option<(u64, u64)>,
    file: Option<OwnedFd>,
    len_max: u64,
) -> Result<Option<View<Write>>> {
    let received = match (part, file) {
        (None, None) => return Ok(None),
        (Some(part), Some(file)) => PortView::received(file, part, len_max),
        _ => {
            let error = Error::new(ErrorKind::Broken, CONNECT, "");
            return Err(error.because("its welcome has half of a view"));
        }
    };
    // Whatever is wrong with it, the server has given it.
    let view = received.and_then(|view| view.map());
    view.map(Some)
        .map_err(|error| error.with_kind(ErrorKind::Broken))
}

/// A connection as it was made, for either form.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) channel: Channel,
    /// The port's name, as messages show it.
    pub(super) name: String,
    /// What the port allows.
    pub(super) message_max: usize,
    pub(super) data: Vec<u8>,
    /// This side's, and the server's.
    pub(super) views: [Option<View<Write>>; 2],
}

#[expect(clippy::large_enum_variant, reason = "one of them, at a connection")]
enum Opened {
    Connected(Made),
    /// By the port of that name, with its data.
    Refused(String, Vec<u8>),
}

fn refused(name: String, data: Vec<u8>) -> Error {
    let words = match String::from_utf8(data) {
        Ok(words) if !words.is_empty() => format!("the server said: {words}"),
        _ => "the server said no".into(),
    };
    Error::new(ErrorKind::Refused, CONNECT, name).because(words)
}
