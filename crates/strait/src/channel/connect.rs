//! How a session begins: hello, welcome, and the memory that goes with them.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use strait_sys::map::{Access, Map};
use strait_sys::time::Deadline;
use strait_sys::{Errno, membarrier, pass, sockopt};

use crate::channel::hello::{HEAD_LEN, Hello, PAYLOAD_MAX, Shape, Verb};
use crate::channel::link::{Link, Made, Peer};
use crate::channel::memory::{self, Files};
use crate::channel::{Channel, Options, Receiver, Sender};
use crate::error::{Error, ErrorKind, Result};

const CONNECT: &str = "connect channel";
const ACCEPT: &str = "accept channel";

/// A hello that was sent, and waits for its answer.
#[derive(Debug)]
pub(crate) struct Greeting {
    own: OwnedFd,
    map: Map,
    shape: Shape,
    role: u32,
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
    pass::send(socket.as_fd(), &hello.encode(), &[for_peer.as_fd()]).map_err(&fail)?;
    Ok(Greeting {
        own,
        map,
        shape,
        role,
    })
}

fn peer_of(socket: &OwnedFd, verb: &'static str) -> Result<Peer> {
    let found = sockopt::peer_credentials(socket.as_fd()).map_err(failed(verb))?;
    Ok(Peer {
        pid: found.pid,
        uid: found.uid,
        gid: found.gid,
        process: sockopt::peer_pidfd(socket.as_fd()).ok(),
    })
}

/// Receives one message of the handshake.
fn hear(
    socket: &OwnedFd,
    peer: &Peer,
    verb: &'static str,
    until: Option<Deadline>,
) -> Result<(Hello, Vec<OwnedFd>)> {
    let mut bytes = [0; HEAD_LEN + PAYLOAD_MAX];
    // A socket of the caller's may block, for longer than until the deadline.
    rustix::io::ioctl_fionbio(socket, true).map_err(failed(verb))?;
    let (len, files) = loop {
        match pass::recv(socket.as_fd(), &mut bytes, 3) {
            Ok(heard) => break heard,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => await_readable(socket, verb, until)?,
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
    Ok((hello, files))
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
    let peer = peer_of(&socket, CONNECT)?;
    let (hello, files) = hear(&socket, &peer, CONNECT, until)?;
    match hello.verb {
        Verb::Welcome => {}
        Verb::Refusal(code) => {
            return Err(
                Error::new(ErrorKind::Refused, CONNECT, format!("process {}", peer.pid))
                    .because(refusal(code, &hello.payload))
                    .with_status(code),
            );
        }
        Verb::Hello => return Err(broken(CONNECT, &peer, "it does not answer a greeting")),
    }
    let Ok([theirs, bells]) = <[OwnedFd; 2]>::try_from(files) else {
        return Err(broken(
            CONNECT,
            &peer,
            "its welcome comes without its memory",
        ));
    };
    if hello.role != greeting.role {
        return Err(broken(CONNECT, &peer, "it serves something else"));
    }
    let wrong = |why| broken(CONNECT, &peer, why);
    let their_map = memory::map_theirs(&theirs, hello.shape).map_err(wrong)?;
    let bell_map = memory::map_bells(&bells).map_err(wrong)?;
    let made = Made {
        socket,
        own: (greeting.map, greeting.shape),
        theirs: (their_map, hello.shape),
        bells: bell_map,
        files: options.shareable.then_some(Files {
            own: greeting.own,
            theirs,
            bells,
        }),
        accepting: false,
        fenceable: hello.fenceable,
        peer,
    };
    Ok((begin(made, options)?, hello.payload))
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
    let peer = peer_of(&socket, ACCEPT)?;
    let until = Deadline::after(std::time::Duration::from_secs(5));
    let (hello, files) = hear(&socket, &peer, ACCEPT, Some(until))?;
    if hello.verb != Verb::Hello {
        return Err(broken(ACCEPT, &peer, "it does not begin with a greeting"));
    }
    let Ok([theirs]) = <[OwnedFd; 1]>::try_from(files) else {
        return Err(broken(
            ACCEPT,
            &peer,
            "its greeting comes without its memory",
        ));
    };
    if hello.role != role {
        return Err(broken(ACCEPT, &peer, "it wants something else"));
    }
    let shape = options.shape()?;
    let answer = |verb, payload, files: &[_]| {
        let hello = Hello {
            verb,
            role,
            shape,
            fenceable: membarrier::works(),
            door: None,
            payload,
        };
        pass::send(socket.as_fd(), &hello.encode(), files).map_err(failed(ACCEPT))
    };
    let payload = match decide(&hello.payload) {
        Ok(payload) => payload,
        Err(code) => {
            answer(Verb::Refusal(code), Vec::new(), &[])?;
            return Err(Error::new(
                ErrorKind::Refused,
                ACCEPT,
                format!("process {}", peer.pid),
            ));
        }
    };
    let their_map =
        memory::map_theirs(&theirs, hello.shape).map_err(|why| broken(ACCEPT, &peer, why))?;
    let fail = failed(ACCEPT);
    let own = memory::create(shape).map_err(&fail)?;
    let own_map = memory::map(&own, shape.file_len(), Access::Write).map_err(&fail)?;
    let bells = memory::create_bells().map_err(&fail)?;
    let bell_map = memory::map_bells(&bells).map_err(|why| broken(ACCEPT, &peer, why))?;
    let for_peer = strait_sys::memfd::reopen_read_only(own.as_fd()).map_err(&fail)?;
    answer(Verb::Welcome, payload, &[for_peer.as_fd(), bells.as_fd()])?;
    let made = Made {
        socket,
        own: (own_map, shape),
        theirs: (their_map, hello.shape),
        bells: bell_map,
        files: options.shareable.then_some(Files { own, theirs, bells }),
        accepting: true,
        fenceable: hello.fenceable,
        peer,
    };
    Ok((begin(made, options)?, hello.payload))
}

fn begin(made: Made, options: &Options) -> Result<Channel> {
    let link = Link::new(made)?;
    let sender = Sender::new(&link, options.spin, None);
    let receiver = Receiver::new(&link, options.spin, options.message_max);
    match (sender, receiver) {
        (Some(sender), Some(receiver)) => Ok(Channel { sender, receiver }),
        // The shapes were checked: the layout fits into them.
        _ => Err(link.break_off(CONNECT, "its memory has no room for the protocol")),
    }
}
