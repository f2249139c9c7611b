//! Handles that go with messages.
//!
//! What is attached to a message goes as one packet over the session's socket, before the record,
//! whose header says how many handles there are. The packet says at which position of the ring its
//! record lies, so that one whose message was never published, since its sender died, is not taken
//! for that of a later one.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;

use rustix::net::{RecvFlags, ReturnFlags, SendFlags};
use strait_sys::{Errno, kill, pass};

use crate::channel::Receiver;
use crate::channel::layout::Header;
use crate::channel::link::Link;
use crate::channel::sender::Sender;
use crate::error::{Error, ErrorKind, Result};
use crate::object::space::Namespace;
use crate::object::transfer::{FILES_MAX, NOTE_MAX, Parcel, Transferable, with_own};

/// Most handles that go with one message.
pub(crate) const HANDLES_MAX: usize = 16;
/// Longest packet: the position, and each handle's counts and note.
const PACKET_MAX: usize = 8 + HANDLES_MAX * (2 + NOTE_MAX);
/// Packets without a message that are skipped at once: a socket holds no more by default.
const ORPHANS_MAX: usize = 1024;

const ATTACH: &str = "attach handle";
pub(crate) const TAKE: &str = "take attached handle";

impl Sender {
    /// Has a handle go with the next message: a copy, this one stays. That message is then sent
    /// whole, or fails as a whole.
    ///
    /// ```
    /// use strait::channel::{Channel, Options};
    /// use strait::nt::Event;
    ///
    /// let (mut near, mut far) = Channel::pair(&Options::new())?;
    /// let done = Event::options().shared().create()?;
    /// near.sender().attach(&done)?;
    /// near.send(b"tell me by this")?;
    ///
    /// far.recv(&mut [0; 64])?;
    /// let theirs: Event = far.receiver().attached(&[])?;
    /// theirs.set()?;
    /// done.wait()?;
    /// # Ok::<(), strait::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] beyond 16 for a message; [`ErrorKind::Unsupported`] for a
    /// private object; [`ErrorKind::Exhausted`] without descriptors. The send that follows may say
    /// [`ErrorKind::Busy`]: too many are on their way and not received. Then nothing was sent, and
    /// what is attached waits for the next attempt.
    pub fn attach<T: Transferable>(&mut self, handle: &T) -> Result<()> {
        pack(&mut self.attached, handle)
    }

    /// Sends what is attached ahead of the record that is pushed next, which says how many went.
    pub(crate) fn enclose(&mut self) -> Result<Vec<Parcel>> {
        if self.attached.is_empty() {
            return Ok(Vec::new());
        }
        if self.waiter.park.is_shared() {
            // Whoever follows one who dies before its record is out begins elsewhere: its handles
            // would be taken for those that lie there.
            self.out.lane.open.word().store(1, Ordering::SeqCst);
        }
        if let Err(error) = self.send_packet() {
            self.followed();
            return Err(error);
        }
        kill::point("channel.enclosed");
        Ok(std::mem::take(&mut self.attached))
    }

    /// What went ahead has been followed by its record, or did not go.
    pub(crate) fn followed(&self) {
        if self.waiter.park.is_shared() {
            self.out.lane.open.word().store(0, Ordering::SeqCst);
        }
    }

    fn send_packet(&self) -> Result<()> {
        let mut packet = self.out.position().to_le_bytes().to_vec();
        let mut files = Vec::new();
        for parcel in &self.attached {
            packet.extend([parcel.files.len() as u8, parcel.note.len() as u8]);
            packet.extend(&parcel.note);
            files.extend(parcel.files.iter().map(AsFd::as_fd));
        }
        let flags = SendFlags::DONTWAIT;
        loop {
            let socket = self.link.socket.as_fd();
            match pass::send_message(socket, &packet, (&files, None), None, flags) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN | Errno::TOOMANYREFS | Errno::NOBUFS) => {
                    return Err(self
                        .link
                        .error(ErrorKind::Busy, ATTACH)
                        .because("too many handles are on their way"));
                }
                Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => {
                    return Err(self.gone(ATTACH));
                }
                Err(errno) => return Err(Error::kernel(errno, ATTACH, self.link.shown())),
            }
        }
    }
}

/// What came with the last message and is not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Enclosed {
    parcels: VecDeque<Parcel>,
    /// Handles for whose descriptors this process had no room.
    lost: u8,
}

impl Enclosed {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.parcels.is_empty() && self.lost == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.parcels.len() + usize::from(self.lost)
    }

    /// See [`Receiver::attached`].
    pub(crate) fn take<T: Transferable>(&mut self, spaces: &[Namespace]) -> Result<T> {
        if let Some(parcel) = self.parcels.pop_front() {
            return T::unpack(parcel, &with_own(spaces)).map_err(|error| {
                let subject = error.subject().to_owned();
                error.during(TAKE, subject)
            });
        }
        if self.lost > 0 {
            self.lost -= 1;
            let error = Error::new(ErrorKind::Exhausted, TAKE, "");
            return Err(error.because("this process had no descriptors left"));
        }
        let error = Error::new(ErrorKind::NotFound, TAKE, "");
        Err(error.because("no more came with the message"))
    }

    /// What came with the record of that header, which lay at `position`.
    pub(crate) fn open(link: &Link, header: Header, position: u64) -> Result<Self> {
        let count = header.handles();
        if count == 0 {
            return Ok(Self::default());
        }
        let lie = |why| Err(link.break_off(TAKE, why));
        if usize::from(count) > HANDLES_MAX {
            return lie("more handles came with a message than go with one");
        }
        for _ in 0..ORPHANS_MAX {
            let Some((bytes, files, whole)) = next_packet(link)? else {
                break;
            };
            let Some((at, rest)) = bytes.split_first_chunk() else {
                return lie("what is on its socket is no handle");
            };
            let at = u64::from_le_bytes(*at);
            if at != position {
                // Of a message that was never published.
                continue;
            }
            if !whole {
                return Ok(Self {
                    parcels: VecDeque::new(),
                    lost: count,
                });
            }
            return match unpacked(rest, files) {
                Some(parcels) if parcels.len() == usize::from(count) => {
                    Ok(Self { parcels, lost: 0 })
                }
                _ => lie("other handles came with a message than it said"),
            };
        }
        lie("the handles that were to come with a message did not")
    }
}

/// Adds a handle to those that go with a message.
pub(crate) fn pack<T: Transferable>(attached: &mut Vec<Parcel>, handle: &T) -> Result<()> {
    if attached.len() == HANDLES_MAX {
        let error = Error::new(ErrorKind::LimitExceeded, ATTACH, "");
        return Err(error.because(format!("{HANDLES_MAX} go with a message")));
    }
    attached.push(handle.pack(ATTACH)?);
    Ok(())
}

type Packet = (Vec<u8>, Vec<OwnedFd>, bool);

/// The next packet, and whether all its descriptors found room; `None` if there is none.
fn next_packet(link: &Link) -> Result<Option<Packet>> {
    let mut bytes = [0; PACKET_MAX];
    let mut beside = pass::Beside::default();
    loop {
        let socket = link.socket.as_fd();
        let files_max = HANDLES_MAX * FILES_MAX;
        let flags = RecvFlags::DONTWAIT;
        match pass::receive(socket, &mut bytes, flags, files_max, &mut beside) {
            Ok(received) if received.len == 0 => return Ok(None),
            Ok(received) => {
                if received.flags.contains(ReturnFlags::TRUNC) {
                    return Err(link.break_off(TAKE, "what is on its socket is no handle"));
                }
                let whole = !received.flags.contains(ReturnFlags::CTRUNC);
                let bytes = bytes[..received.len].to_vec();
                return Ok(Some((bytes, std::mem::take(&mut beside.fds), whole)));
            }
            // A peer that died with something unread resets; what it sent before is still there.
            Err(Errno::INTR | Errno::CONNRESET) => {}
            Err(Errno::AGAIN) => return Ok(None),
            Err(errno) => return Err(Error::kernel(errno, TAKE, link.shown())),
        }
    }
}

fn unpacked(mut rest: &[u8], files: Vec<OwnedFd>) -> Option<VecDeque<Parcel>> {
    let mut files = files.into_iter();
    let mut parcels = VecDeque::new();
    while let [count, len, after @ ..] = rest {
        let (note, next) = after.split_at_checked(usize::from(*len))?;
        let own: Vec<_> = files.by_ref().take(usize::from(*count)).collect();
        if own.len() != usize::from(*count) || own.len() > FILES_MAX || note.len() > NOTE_MAX {
            return None;
        }
        parcels.push_back(Parcel {
            files: own,
            note: note.to_vec(),
            space: None,
        });
        rest = next;
    }
    (rest.is_empty() && files.next().is_none()).then_some(parcels)
}

impl Receiver {
    /// Takes the next of the handles that came with the last message, in the order in which they
    /// were attached. It must belong to the user's own namespace, to the machine's, or to one of
    /// `spaces`. Those not taken are closed by the next receive.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none left, or it belongs to another namespace;
    /// [`ErrorKind::WrongKind`]; [`ErrorKind::Layout`] for a descriptor that is no such handle;
    /// [`ErrorKind::Exhausted`] if this process had no descriptors left. It is closed then.
    pub fn attached<T: Transferable>(&mut self, spaces: &[Namespace]) -> Result<T> {
        self.enclosed.take(spaces)
    }

    /// How many handles came with the last message and are not taken.
    #[must_use]
    pub fn attached_len(&self) -> usize {
        self.enclosed.len()
    }
}
