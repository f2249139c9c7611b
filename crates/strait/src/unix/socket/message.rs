//! Messages with descriptors and credentials beside their bytes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::net::{RecvFlags, ReturnFlags, SocketAddrAny, UCred};
use rustix::process::{Gid, Pid, Uid};
use strait_sys::Errno;
use strait_sys::pass::{self, Beside};

use super::data::{receive_flags, send_flags, until, whole};
use super::failure::{Patience, attempt, fail, retry};
use super::{Address, Arrival, Credentials, Kind, PeerProcess, Socket};
use crate::error::{Error, ErrorKind, Result};

/// The most descriptors in one message (SCM_MAX_FD).
pub const RIGHTS_MAX: usize = pass::RIGHTS_MAX;

/// What goes beside the bytes of a message.
#[derive(Copy, Clone, Debug, Default)]
pub struct Ancillary<'a> {
    /// At most [`RIGHTS_MAX`] descriptors. The receiver gets its own; these stay.
    pub descriptors: &'a [BorrowedFd<'a>],
    /// Who this is. The kernel lets only privileged processes say something else than the truth,
    /// and supplies the truth itself where nothing is said.
    pub credentials: Option<Credentials>,
    /// Where to, on a datagram socket that is not connected there.
    pub to: Option<&'a Address>,
}

impl<'a> Ancillary<'a> {
    /// Only descriptors.
    #[must_use]
    pub fn descriptors(descriptors: &'a [BorrowedFd<'a>]) -> Self {
        Self {
            descriptors,
            ..Self::default()
        }
    }
}

/// What came beside the bytes of a message. It can be used for one message after the other; what
/// was not taken out of it is closed by the next, and with the value.
#[derive(Debug)]
pub struct Received {
    beside: Beside,
    descriptors_max: usize,
    missing: Option<Missing>,
}

/// Why descriptors are missing.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Missing {
    /// More came than were asked for.
    TooMany,
    /// This process has no room for them.
    NoRoom,
}

impl Received {
    /// Takes up to so many descriptors with a message, at most [`RIGHTS_MAX`]; more are closed, and
    /// [`descriptors`](Self::descriptors) says so.
    ///
    /// # Panics
    /// Above [`RIGHTS_MAX`].
    #[must_use]
    pub fn new(descriptors_max: usize) -> Self {
        assert!(
            descriptors_max <= RIGHTS_MAX,
            "a message has at most {RIGHTS_MAX} descriptors"
        );
        Self {
            beside: Beside::default(),
            descriptors_max,
            missing: None,
        }
    }

    /// The descriptors that came, all of them, close-on-exec; once.
    ///
    /// # Errors
    /// If some are missing. [`ErrorKind::LimitExceeded`]: more came than were asked for.
    /// [`ErrorKind::Exhausted`]: this process had no room for them (RLIMIT_NOFILE). The missing
    /// ones are gone; those that came are closed, unless
    /// [`partial`](Self::partial) takes them.
    pub fn descriptors(&mut self) -> Result<Vec<OwnedFd>> {
        let (kind, why) = match self.missing {
            None => return Ok(self.partial()),
            Some(Missing::TooMany) => (ErrorKind::LimitExceeded, "more came than were asked for"),
            Some(Missing::NoRoom) => (
                ErrorKind::Exhausted,
                "this process has no free descriptors (RLIMIT_NOFILE), and some were closed",
            ),
        };
        Err(Error::new(kind, "receive descriptors", "").because(why))
    }

    /// The descriptors that came, though some may be missing; once.
    pub fn partial(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.beside.fds)
    }

    /// Whether something beside the bytes is missing (MSG_CTRUNC).
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.missing.is_some()
    }

    /// The sender, where [`PassCredentials`](super::PassCredentials) is set. A stream's message may
    /// then hold the bytes of one sender only.
    #[must_use]
    pub fn sender(&self) -> Option<Credentials> {
        self.beside.sender.map(Credentials::from)
    }

    /// The sender as a descriptor, where [`PassProcess`](super::PassProcess) is set; once. `None`
    /// also where this process had no free descriptor for it, or nobody is left to name.
    pub fn process(&mut self) -> Option<PeerProcess> {
        self.beside.pidfd.take().map(PeerProcess::exact)
    }

    /// The address of the sender, on sockets without connections.
    #[must_use]
    pub fn from(&self) -> Option<Address> {
        self.beside.from.as_ref().and_then(Address::of)
    }

    /// The length of the datagrams that were joined into this message, of which the last may be
    /// shorter, where [`Coalesce`](super::Coalesce) is set.
    #[must_use]
    pub fn segment(&self) -> Option<u32> {
        self.beside.segment
    }
}

impl<K: Kind> Socket<K> {
    /// Sends bytes with something beside them; returns how many bytes went: all of a message, some
    /// of a stream. Descriptors go with the first byte, all or none.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`]: more than [`RIGHTS_MAX`] descriptors, or descriptors without
    /// a byte to carry them on a stream; nothing was sent. [`ErrorKind::Exhausted`]: more
    /// descriptors of this user are on their way than it may have open (ETOOMANYREFS).
    /// [`ErrorKind::Denied`]: credentials of others, or the peer refuses descriptors.
    /// [`ErrorKind::PeerGone`]: the peer has closed.
    pub fn send_message(&self, bytes: &[u8], beside: &Ancillary<'_>) -> Result<usize> {
        self.send_beside(bytes, beside, Patience::Forever)
            .map(whole)
    }

    /// Sends it if there is room; else `None`.
    ///
    /// # Errors
    /// As for [`send_message`](Self::send_message).
    pub fn try_send_message(&self, bytes: &[u8], beside: &Ancillary<'_>) -> Result<Option<usize>> {
        self.send_beside(bytes, beside, Patience::Never)
    }

    /// Sends it within that time; `None` if there was no room.
    ///
    /// # Errors
    /// As for [`send_message`](Self::send_message).
    pub fn send_message_for(
        &self,
        bytes: &[u8],
        beside: &Ancillary<'_>,
        timeout: Duration,
    ) -> Result<Option<usize>> {
        self.send_beside(bytes, beside, until(timeout))
    }

    fn send_beside(
        &self,
        bytes: &[u8],
        beside: &Ancillary<'_>,
        patience: Patience,
    ) -> Result<Option<usize>> {
        let verb = "send message to";
        let failed = |errno| fail(errno, verb, self.shown());
        let refuse = |why: &str| Err(failed(Errno::INVAL).because(why));
        let Ancillary {
            descriptors,
            credentials,
            to,
        } = *beside;
        if descriptors.len() > RIGHTS_MAX {
            return refuse("a message has at most 253 descriptors");
        }
        if bytes.is_empty() && !descriptors.is_empty() && K::TYPE == super::Bytes::TYPE {
            return refuse("on a stream descriptors need a byte to travel with");
        }
        let sender = credentials.map(sender_of).transpose().map_err(failed)?;
        let reach = to.map(Address::reach).transpose().map_err(failed)?;
        let to: Option<&SocketAddrAny> = reach.as_ref().map(|reach| &reach.address);
        let send = |dont_wait| {
            let flags = send_flags(dont_wait);
            pass::send_message(self.as_fd(), bytes, (descriptors, sender), to, flags)
        };
        match to {
            None => attempt(self.as_fd(), PollFlags::OUT, patience, send),
            Some(_) => retry(patience, send),
        }
        .map_err(failed)
    }

    /// Receives bytes and what came beside them, waiting for the first byte or message.
    ///
    /// On a stream the bytes end where other descriptors, or another sender's bytes, begin.
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`]: the peer closed without reading all that was sent to it. What is
    /// missing beside the bytes is no error here: see [`Received::descriptors`].
    pub fn recv_message(&self, buffer: &mut [u8], beside: &mut Received) -> Result<Arrival> {
        self.recv_beside(buffer, beside, (Patience::Forever, RecvFlags::empty()))
            .map(whole)
    }

    /// Receives what is there; `None` if nothing is.
    ///
    /// # Errors
    /// As for [`recv_message`](Self::recv_message).
    pub fn try_recv_message(
        &self,
        buffer: &mut [u8],
        beside: &mut Received,
    ) -> Result<Option<Arrival>> {
        self.recv_beside(buffer, beside, (Patience::Never, RecvFlags::empty()))
    }

    /// Receives what comes within that time; `None` if nothing did.
    ///
    /// # Errors
    /// As for [`recv_message`](Self::recv_message).
    pub fn recv_message_for(
        &self,
        buffer: &mut [u8],
        beside: &mut Received,
        timeout: Duration,
    ) -> Result<Option<Arrival>> {
        self.recv_beside(buffer, beside, (until(timeout), RecvFlags::empty()))
    }

    /// Looks at what [`recv_message`](Self::recv_message) would give, and takes nothing. The
    /// descriptors here are further ones for the same files (the kernel opens them anew at each
    /// look), so that looking first is how not to lose any when there may be no room for them.
    ///
    /// # Errors
    /// As for [`recv_message`](Self::recv_message).
    pub fn peek_message(&self, buffer: &mut [u8], beside: &mut Received) -> Result<Arrival> {
        self.recv_beside(buffer, beside, (Patience::Forever, RecvFlags::PEEK))
            .map(whole)
    }

    fn recv_beside(
        &self,
        buffer: &mut [u8],
        beside: &mut Received,
        (patience, flags): (Patience, RecvFlags),
    ) -> Result<Option<Arrival>> {
        let room = buffer.len();
        // On a TCP stream the flag would throw the bytes away.
        let flags = if K::TYPE == super::Bytes::TYPE {
            flags
        } else {
            flags | RecvFlags::TRUNC
        };
        let Received {
            beside: came,
            descriptors_max: max,
            missing,
        } = beside;
        let received = attempt(self.as_fd(), PollFlags::IN, patience, |dont_wait| {
            pass::receive(
                self.as_fd(),
                buffer,
                flags | receive_flags(dont_wait),
                *max,
                came,
            )
        });
        *missing = None;
        let received =
            received.map_err(|errno| fail(errno, "receive message from", self.shown()))?;
        let Some(received) = received else {
            return Ok(None);
        };
        if received.flags.contains(ReturnFlags::CTRUNC) {
            let full = received.more_fds || came.fds.len() >= *max;
            *missing = Some(if full {
                Missing::TooMany
            } else {
                Missing::NoRoom
            });
        }
        // Only a message brings something: of the end the kernel says nothing.
        let beside = !came.fds.is_empty() || came.sender.is_some() || came.pidfd.is_some();
        let mut arrival = self.arrival(received, room);
        arrival.end &= !beside;
        Ok(Some(arrival))
    }
}

fn sender_of(credentials: Credentials) -> std::result::Result<UCred, Errno> {
    let pid = i32::try_from(credentials.pid).ok().and_then(Pid::from_raw);
    Ok(UCred {
        pid: pid.ok_or(Errno::INVAL)?,
        uid: Uid::from_raw(credentials.uid),
        gid: Gid::from_raw(credentials.gid),
    })
}
