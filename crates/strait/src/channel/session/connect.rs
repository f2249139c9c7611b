//! How a session begins: hello, welcome, and the memory that goes with them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use strait_sys::map::{Access, Map};
use strait_sys::time::Deadline;
use strait_sys::{Errno, membarrier, pass, sockopt};

use crate::channel::door::{Door, Knocker};
use crate::channel::hello::{HEAD_LEN, Hello, PAYLOAD_MAX, Shape, Verb};
use crate::channel::link::{Link, Made, Peer};
use crate::channel::memory::{self, Files};
use crate::channel::{Channel, Options, Receiver, Sender};
use crate::error::{Error, ErrorKind, Result};

const CONNECT: &str = "connect channel";
const ACCEPT: &str = "accept channel";

/// Files that come with a greeting: memory, bells, door, and what the channel's user sends.
const FILES_MAX: usize = 4;
/// The code of a refusal of a client that brings more memory than it may.
const TOO_MUCH: u32 = u32::MAX - 1;
/// The code of a refusal because the server is out of descriptors or memory, or its user of room
/// for descriptors on their way.
pub(crate) const SHORT: u32 = u32::MAX - 2;
/// How often a server is asked that does not listen, where the caller has set no time.
const ATTEMPTS_MAX: u32 = 16;
/// The pauses between, the first and the longest: each is twice the last.
const PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(500)];
const UNASKED: &str = "it brings files that nobody asked for";

/// A hello that was sent, and waits for its answer.
#[derive(Debug)]
pub(crate) struct Greeting {
    own: OwnedFd,
    map: Map,
    shape: Shape,
    role: u32,
    /// The welcome may bring a file for whoever uses the channel.
    takes_file: bool,
}

/// What came with a welcome, or with a hello.
pub(crate) type Payload = Vec<u8>;

fn failed(verb: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::kernel(errno, verb, "")
}

fn broken(verb: &'static str, peer: &Peer, why: &str) -> Error {
    Error::new(ErrorKind::Broken, verb, format!("process {}", peer.pid)).because(why)
}

/// Makes this side's memory and sends the hello.
pub(crate) fn greet(
    socket: &OwnedFd,
    options: &Options,
    role: u32,
    payload: &[u8],
) -> Result<Greeting> {
    let greeting = greet_with(socket, options, role, (payload, None))?;
    Ok(Greeting {
        takes_file: false,
        ..greeting
    })
}

/// [`greet`], with a file for whoever uses the channel beside the payload; there may be one beside
/// the answer too.
pub(crate) fn greet_with(
    socket: &OwnedFd,
    options: &Options,
    role: u32,
    (payload, beside): (&[u8], Option<BorrowedFd<'_>>),
) -> Result<Greeting> {
    if payload.len() > PAYLOAD_MAX {
        return Err(Error::new(ErrorKind::TooLong, CONNECT, "").because(format!(
            "{} bytes go with a connection at most, not {}",
            PAYLOAD_MAX,
            payload.len()
        )));
    }
    let shape = options.shape()?;
    let fail = failed(CONNECT);
    let own = memory::create(shape).map_err(&fail)?;
    let map = memory::map(&own, shape.file_len(), Access::Write).map_err(&fail)?;
    let for_peer = strait_sys::memfd::reopen_read_only(own.as_fd()).map_err(&fail)?;
    let hello = Hello {
        verb: Verb::Hello,
        role,
        shape,
        fenceable: membarrier::works(),
        door: None,
        payload: payload.to_vec(),
    };
    let mut files = vec![for_peer.as_fd()];
    files.extend(beside);
    pass::send(socket.as_fd(), &hello.encode(), &files).map_err(&fail)?;
    Ok(Greeting {
        own,
        map,
        shape,
        role,
        takes_file: true,
    })
}

/// `keep`: whether the process itself is kept, which costs a descriptor.
pub(crate) fn peer_of(socket: &OwnedFd, verb: &'static str, keep: bool) -> Result<Peer> {
    let found = sockopt::peer_credentials(socket.as_fd()).map_err(failed(verb))?;
    Ok(Peer {
        pid: found.pid,
        uid: found.uid,
        gid: found.gid,
        process: keep
            .then(|| sockopt::peer_pidfd(socket.as_fd()).ok())
            .flatten(),
    })
}

/// Whose process listens at the other end.
pub(crate) fn uid_of(socket: &OwnedFd) -> Result<u32> {
    Ok(peer_of(socket, CONNECT, false)?.uid)
}

/// Receives one message of the handshake.
fn hear(
    socket: &OwnedFd,
    peer: &Peer,
    verb: &'static str,
    until: Option<Deadline>,
) -> Result<(Hello, Vec<OwnedFd>)> {
    // A socket of the caller's may block, for longer than until the deadline.
    rustix::io::ioctl_fionbio(socket, true).map_err(failed(verb))?;
    loop {
        if let Some(heard) = hear_now(socket, peer, verb)? {
            return Ok(heard);
        }
        await_readable(socket, verb, until)?;
    }
}

/// The same from a socket that does not block. `None`: it has not come yet.
fn hear_now(
    socket: &OwnedFd,
    peer: &Peer,
    verb: &'static str,
) -> Result<Option<(Hello, Vec<OwnedFd>)>> {
    let mut bytes = [0; HEAD_LEN + PAYLOAD_MAX];
    let (len, files) = loop {
        match pass::recv(socket.as_fd(), &mut bytes, FILES_MAX) {
            Ok(heard) => break heard,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::MSGSIZE) => {
                return Err(broken(verb, peer, "its greeting is too long"));
            }
            Err(errno) => return Err(failed(verb)(errno)),
        }
    };
    if len == 0 {
        return Err(
            Error::new(ErrorKind::PeerGone, verb, format!("process {}", peer.pid))
                .because("it went before the session had begun"),
        );
    }
    let hello = Hello::decode(&bytes[..len]).map_err(|why| broken(verb, peer, why))?;
    Ok(Some((hello, files)))
}

fn await_readable(socket: &OwnedFd, verb: &'static str, until: Option<Deadline>) -> Result<()> {
    let left = until.map(|until| {
        let left = until.left();
        Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        }
    });
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    match poll(&mut fds, left.as_ref()) {
        Ok(0) => Err(Error::new(ErrorKind::TimedOut, verb, "")
            .because("the other side did not answer in time")),
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(failed(verb)(errno)),
    }
}

/// Whether nobody has read what this side wants: the server hung up before, as on one of a crowd or
/// on who was stopped for long, or has too many in its queue. Nothing began.
pub(crate) fn is_unheard(error: &Error) -> bool {
    let unheard = [Errno::PIPE, Errno::CONNRESET, Errno::AGAIN];
    let errno = error.errno();
    unheard
        .iter()
        .any(|unheard| errno == Some(unheard.raw_os_error()))
}

/// Asks for a session, and again while it [is not heard](is_unheard), until the time is over.
pub(crate) fn insist<T>(until: Option<Deadline>, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let [mut pause, longest] = PAUSES;
    let mut attempts = 1;
    loop {
        let asked = ask();
        let is_over = until.map_or(attempts == ATTEMPTS_MAX, Deadline::passed);
        match asked {
            Err(error) if !is_over && is_unheard(&error) => {}
            asked => return asked,
        }
        // sleep: nothing tells when a crowd is over
        thread::sleep(until.map_or(pause, |until| pause.min(until.left())));
        pause = longest.min(2 * pause);
        attempts += 1;
    }
}

/// What came of a hello.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one of them, at a connection")]
pub(crate) enum Answer {
    Welcome(Channel, Payload, Option<OwnedFd>),
    Refusal(u32, Payload),
}

/// Receives the welcome and begins the session.
///
/// # Errors
/// [`ErrorKind::Refused`] with the reason, if the other side said no.
pub(crate) fn establish_connecting(
    socket: OwnedFd,
    options: &Options,
    greeting: Greeting,
    until: Option<Deadline>,
) -> Result<(Channel, Payload)> {
    let peer = peer_of(&socket, CONNECT, false)?.pid;
    match answered(socket, options, greeting, until)? {
        Answer::Welcome(channel, payload, _) => Ok((channel, payload)),
        Answer::Refusal(code, payload) => {
            Err(
                Error::new(ErrorKind::Refused, CONNECT, format!("process {peer}"))
                    .because(refusal(code, &payload)),
            )
        }
    }
}

/// Receives the answer, whichever it is.
pub(crate) fn answered(
    socket: OwnedFd,
    options: &Options,
    greeting: Greeting,
    until: Option<Deadline>,
) -> Result<Answer> {
    let peer = peer_of(&socket, CONNECT, options.shareable)?;
    let (hello, files) = hear(&socket, &peer, CONNECT, until)?;
    match hello.verb {
        Verb::Welcome => {}
        Verb::Refusal(_) if !files.is_empty() => return Err(broken(CONNECT, &peer, UNASKED)),
        Verb::Refusal(code) => return Ok(Answer::Refusal(code, hello.payload)),
        Verb::Hello => return Err(broken(CONNECT, &peer, "it does not answer a greeting")),
    }
    let wrong = |why: &str| broken(CONNECT, &peer, why);
    let mut files = files.into_iter();
    let (Some(theirs), Some(bells)) = (files.next(), files.next()) else {
        return Err(wrong("its welcome comes without its memory"));
    };
    let door = match hello.door {
        None => None,
        Some(bit) => {
            let file = files.next();
            let file = file.ok_or_else(|| wrong("its welcome comes without its doorbell"))?;
            Some((file, bit))
        }
    };
    let beside = files.next();
    if files.next().is_some() || beside.is_some() && !greeting.takes_file {
        return Err(wrong(UNASKED));
    }
    if hello.role != greeting.role {
        return Err(wrong("it serves something else"));
    }
    options.allows(hello.shape).map_err(|why| wrong(&why))?;
    let their_map = memory::map_theirs(&theirs, hello.shape).map_err(wrong)?;
    let bell_map = memory::map_bells(&bells).map_err(wrong)?;
    let door = door.map(|(file, bit)| Knocker::received(&file, bit));
    let door = door.transpose().map_err(wrong)?;
    let made = Made {
        socket,
        own: (greeting.map, greeting.shape),
        theirs: (their_map, hello.shape),
        bells: bell_map,
        files: sharing(options, door.is_some(), || Files {
            own: greeting.own,
            theirs,
            bells,
        }),
        accepting: false,
        fenceable: hello.fenceable,
        peer,
    };
    let channel = begin(made, options, door)?;
    Ok(Answer::Welcome(channel, hello.payload, beside))
}

fn refusal(code: u32, payload: &[u8]) -> String {
    let words = String::from_utf8_lossy(payload);
    if words.is_empty() {
        format!("it refused, with code {code}")
    } else {
        format!("it refused: {words}")
    }
}

/// Receives a hello, which must be there or come soon, and begins the session, or refuses it.
pub(crate) fn establish_accepting(
    socket: OwnedFd,
    options: &Options,
    role: u32,
    decide: impl FnOnce(&Payload) -> std::result::Result<Vec<u8>, u32>,
) -> Result<(Channel, Payload)> {
    let peer = peer_of(&socket, ACCEPT, options.shareable)?;
    let until = Deadline::after(Duration::from_secs(5));
    let heard = hear(&socket, &peer, ACCEPT, Some(until))?;
    let mut asked = Asked::understand(socket, peer, role, heard)?;
    if asked.beside.is_some() {
        return Err(broken(ACCEPT, &asked.peer, UNASKED));
    }
    match decide(&asked.payload) {
        Ok(payload) => {
            let said = std::mem::take(&mut asked.payload);
            Ok((asked.welcome(options, (payload, None), None)?, said))
        }
        Err(code) => {
            let shown = format!("process {}", asked.peer.pid);
            asked.refuse(code, &[])?;
            Err(Error::new(ErrorKind::Refused, ACCEPT, shown))
        }
    }
}

/// A connection whose hello may not have come yet.
#[derive(Debug)]
pub(crate) struct Caller {
    socket: OwnedFd,
    pub(crate) peer: Peer,
}

impl Caller {
    /// From a socket that was accepted, and does not block.
    pub(crate) fn new(socket: OwnedFd, options: &Options) -> Result<Self> {
        let peer = peer_of(&socket, ACCEPT, options.shareable)?;
        Ok(Self { socket, peer })
    }

    pub(crate) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Its hello, if that has come. `Err` with nothing: not yet.
    pub(crate) fn hear(self, role: u32) -> std::result::Result<Asked, Option<Self>> {
        match hear_now(&self.socket, &self.peer, ACCEPT) {
            Ok(None) => Err(Some(self)),
            Ok(Some(heard)) => {
                Asked::understand(self.socket, self.peer, role, heard).map_err(|_| None)
            }
            // Who does not speak the protocol is hung up on.
            Err(_) => Err(None),
        }
    }
}

/// A hello that was understood, and waits for its answer.
#[derive(Debug)]
pub(crate) struct Asked {
    socket: OwnedFd,
    pub(crate) peer: Peer,
    role: u32,
    shape: Shape,
    fenceable: bool,
    theirs: OwnedFd,
    pub(crate) payload: Payload,
    /// The file that the client sent for whoever uses the channel, who is to refuse one that has no
    /// use.
    pub(crate) beside: Option<OwnedFd>,
}

impl Asked {
    fn understand(
        socket: OwnedFd,
        peer: Peer,
        role: u32,
        (hello, files): (Hello, Vec<OwnedFd>),
    ) -> Result<Self> {
        let wrong = |why| broken(ACCEPT, &peer, why);
        if hello.verb != Verb::Hello {
            return Err(wrong("it does not begin with a greeting"));
        }
        let mut files = files.into_iter();
        let Some(theirs) = files.next() else {
            return Err(wrong("its greeting comes without its memory"));
        };
        let beside = files.next();
        if files.next().is_some() {
            return Err(wrong(UNASKED));
        }
        if hello.role != role {
            return Err(wrong("it wants something else"));
        }
        Ok(Self {
            beside,
            socket,
            peer,
            role,
            shape: hello.shape,
            fenceable: hello.fenceable,
            theirs,
            payload: hello.payload,
        })
    }

    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_gone(&self) -> bool {
        // A hang-up is told unasked.
        let mut fds = [PollFd::new(&self.socket, PollFlags::empty())];
        poll(&mut fds, Some(&Timespec::default())).is_ok_and(|told| told > 0)
    }

    fn answer(&self, hello: &Hello, files: &[BorrowedFd<'_>]) -> Result<()> {
        let sent = pass::send(self.socket.as_fd(), &hello.encode(), files);
        sent.map(drop).map_err(failed(ACCEPT))
    }

    /// Says no, with a code and words.
    pub(crate) fn refuse(&self, code: u32, payload: &[u8]) -> Result<()> {
        let hello = Hello {
            verb: Verb::Refusal(code),
            role: self.role,
            shape: Shape::default(),
            fenceable: false,
            door: None,
            payload: payload.to_vec(),
        };
        self.answer(&hello, &[])
    }

    /// Says yes and begins the session. `door`: where the client is to knock.
    pub(crate) fn welcome(
        self,
        options: &Options,
        beside: (Payload, Option<BorrowedFd<'_>>),
        door: Option<(&Door, u32)>,
    ) -> Result<Channel> {
        let welcomed = self.say_welcome(options, beside, door);
        let (own, theirs, bells) = welcomed.inspect_err(|error| {
            if error.kind() == ErrorKind::Exhausted {
                // Descriptors are what does not go through: this takes none.
                let why = format!("it is out of descriptors or memory: {error}");
                let _ = self.refuse(SHORT, why.as_bytes());
            }
        })?;
        let made = Made {
            socket: self.socket,
            own: (own.1, options.shape()?),
            theirs: (theirs, self.shape),
            bells: bells.1,
            files: sharing(options, door.is_some(), || Files {
                own: own.0,
                theirs: self.theirs,
                bells: bells.0,
            }),
            accepting: true,
            fenceable: self.fenceable,
            peer: self.peer,
        };
        begin(made, options, None)
    }

    /// The memory of a session: this side's, the peer's, and the bells. The welcome went with it.
    #[expect(clippy::type_complexity, reason = "in use once, above")]
    fn say_welcome(
        &self,
        options: &Options,
        (payload, beside): (Payload, Option<BorrowedFd<'_>>),
        door: Option<(&Door, u32)>,
    ) -> Result<((OwnedFd, Map), Map, (OwnedFd, Map))> {
        let shape = options.shape()?;
        let wrong = |why: &str| broken(ACCEPT, &self.peer, why);
        if let Err(why) = options.allows(self.shape) {
            let _ = self.refuse(TOO_MUCH, why.as_bytes());
            return Err(wrong(&why));
        }
        let their_map = memory::map_theirs(&self.theirs, self.shape).map_err(wrong)?;
        let fail = failed(ACCEPT);
        let own = memory::create(shape).map_err(&fail)?;
        let own_map = memory::map(&own, shape.file_len(), Access::Write).map_err(&fail)?;
        let bells = memory::create_bells().map_err(&fail)?;
        let bell_map = memory::map_bells(&bells).map_err(wrong)?;
        let for_peer = strait_sys::memfd::reopen_read_only(own.as_fd()).map_err(&fail)?;
        let hello = Hello {
            verb: Verb::Welcome,
            role: self.role,
            shape,
            fenceable: membarrier::works(),
            door: door.map(|(_, bit)| bit),
            payload,
        };
        let mut files = vec![for_peer.as_fd(), bells.as_fd()];
        files.extend(door.map(|(door, _)| door.file()));
        files.extend(beside);
        self.answer(&hello, &files)?;
        Ok(((own, own_map), their_map, (bells, bell_map)))
    }
}

/// What an heir of this end would need, or why there is none.
fn sharing(
    options: &Options,
    has_door: bool,
    files: impl FnOnce() -> Files,
) -> std::result::Result<Files, &'static str> {
    if has_door {
        // An heir would not know where to knock, and the server's end has one holder.
        Err("it is one of the many of a server")
    } else if options.shareable {
        Ok(files())
    } else {
        Err("it was made not to be shared")
    }
}

fn begin(made: Made, options: &Options, door: Option<Knocker>) -> Result<Channel> {
    let link = Link::new(made)?;
    let sender = Sender::new(&link, options.spin, door.clone());
    let receiver = Receiver::new(&link, options, door);
    match (sender, receiver) {
        (Some(sender), Some(receiver)) => Ok(Channel { sender, receiver }),
        // The shapes were checked: the layout fits into them.
        _ => Err(link.break_off(CONNECT, "its memory has no room for the protocol")),
    }
}
