//! One end in several processes: an end that was given to a child, or sent.
//!
//! A holder that gives an end away first sets SHARED in the memory of this side, then makes the
//! heir's description of that memory, with a lock that says that somebody holds the end. So whoever
//! finds no such lock but its own knows that it is alone, since only it could make others, and
//! takes SHARED back: from then on it works without locks again.
//!
//! While SHARED is set, each operation takes a write lock on one byte (open file description locks,
//! one description for each holder; `fcntl_locking(2)`), and goes on from the positions in memory.
//! Nobody sleeps for the peer with it, but for a message in pieces, which is one holder's from its
//! first to its last. The kernel unlocks for those who die, and what they had begun is torn: the
//! rest of a message that a dead holder was sending or receiving is dropped.
//!
//! | Byte | Lock |
//! | --- | --- |
//! | 0, 1 | write: who sends, who receives just now |
//! | 2, 3 | read: each holder of the sending, of the receiving end, an heir on its way included |
//! | 4 | write: an heir arrives |
//! | from 16 | write: each heir on its way, by a number that it arrives with once |
//! | from 2^33 | write: each block that a holder is writing |

mod turn;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use strait_sys::fork::{self, ChildClosed};
use strait_sys::map::Access;
use strait_sys::ofd_lock::{self, Lock};
use strait_sys::time::Deadline;
use strait_sys::{Errno, kill};

use crate::channel::connect::peer_of;
use crate::channel::hello::Shape;
use crate::channel::layout::{BELL_PAGE, SHARED};
use crate::channel::link::{Link, Made};
use crate::channel::memory::{self, Files};
use crate::channel::sender::Patience;
use crate::channel::{Channel, Options, Receiver, Sender};
use crate::error::{Error, ErrorKind, Result};
use crate::object::space::Namespace;
use crate::object::transfer::{Parcel, Transferable};

const ARRIVAL: u64 = 4;
const TOKENS: u64 = 16;
const BLOCKS: u64 = 1 << 33;
/// Operations of one holder between two looks for others.
const LOOK_EVERY: u32 = 8;
/// Attempts at a lock that only yield.
const YIELDS: u32 = 16;
/// Longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_millis(1);
/// How long an heir waits for others to arrive, and a holder that goes for those at work.
const PATIENCE: Duration = Duration::from_secs(1);

/// One of the two ends of a side.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum End {
    Sending,
    Receiving,
}

impl End {
    /// Its bit in SHARED.
    pub(crate) const fn bit(self) -> u32 {
        match self {
            Self::Sending => 1,
            Self::Receiving => 2,
        }
    }

    const fn turn(self) -> u64 {
        match self {
            Self::Sending => 0,
            Self::Receiving => 1,
        }
    }

    const fn holders(self) -> u64 {
        self.turn() + 2
    }
}

/// How this process shares the ends of a link.
#[derive(Debug)]
pub(crate) struct Share {
    generation: u32,
    /// The description whose locks are this holder's.
    file: OnceLock<ChildClosed>,
    operations: AtomicU32,
}

impl Share {
    pub(crate) fn new() -> Self {
        Self {
            generation: fork::generation(),
            file: OnceLock::new(),
            operations: AtomicU32::new(0),
        }
    }
}

fn reopen(file: impl AsFd) -> std::result::Result<OwnedFd, Errno> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}

/// Takes a write lock, in time.
fn take_lock(
    file: &OwnedFd,
    at: u64,
    patience: Patience,
    is_over: impl Fn() -> bool,
) -> std::result::Result<bool, Errno> {
    let until = patience.deadline();
    let mut attempts = 0u32;
    loop {
        if ofd_lock::try_lock(file.as_fd(), Lock::Write, at, 1)? {
            return Ok(true);
        }
        if matches!(patience, Patience::Look) || until.is_some_and(Deadline::passed) || is_over() {
            return Ok(false);
        }
        if attempts < YIELDS {
            std::thread::yield_now();
        } else {
            let pause = PAUSE_MAX.min(Duration::from_micros(50) * (attempts - YIELDS + 1));
            let pause = until.map_or(pause, |until| pause.min(until.left()));
            // sleep: a holder that dies or goes tells nobody who tries, and blocking in the kernel
            // has no time limit
            std::thread::sleep(pause);
        }
        attempts = attempts.saturating_add(1);
    }
}

impl Link {
    /// Whether this process was forked from the one whose link it is.
    #[inline]
    pub(crate) fn is_foreign(&self) -> bool {
        self.share.generation != fork::generation()
    }

    #[cold]
    pub(crate) fn foreign(&self, operation: &'static str) -> Error {
        self.error(ErrorKind::Unsupported, operation)
            .because("it belongs to the process that forked this one: an end is passed, or sent")
    }

    fn shares(&self) -> u32 {
        let shared = self.own.word::<u32>(SHARED);
        shared.map_or(0, |shared| shared.load(Ordering::SeqCst))
    }

    fn share_error(&self, operation: &'static str) -> impl Fn(Errno) -> Error {
        let shown = self.shown();
        move |errno| Error::kernel(errno, operation, shown.clone())
    }

    /// Takes the turn at an end that is shared. False: others had it until the time was up.
    pub(crate) fn lock(
        &self,
        end: End,
        patience: Patience,
        operation: &'static str,
    ) -> Result<bool> {
        self.lock_unless(end, patience, operation, &|| self.is_gone())
    }

    /// Takes the turn, or gives up once `is_over`.
    pub(crate) fn lock_unless(
        &self,
        end: End,
        patience: Patience,
        operation: &'static str,
        is_over: &dyn Fn() -> bool,
    ) -> Result<bool> {
        let Some(file) = self.share.file.get() else {
            // Whoever scribbled that it is shared is a holder of it, and trusted with it.
            return Ok(true);
        };
        let locked = take_lock(file, end.turn(), patience, is_over);
        let locked = locked.map_err(self.share_error(operation))?;
        if locked {
            let operations = self.share.operations.fetch_add(1, Ordering::Relaxed);
            if operations.is_multiple_of(LOOK_EVERY) {
                self.look_for_others(end);
            }
        }
        Ok(locked)
    }

    pub(crate) fn unlock(&self, end: End) {
        if let Some(file) = self.share.file.get() {
            let _ = ofd_lock::unlock(file.as_fd(), end.turn(), 1);
        }
    }

    /// Whether another holder of the end is left, or on its way.
    fn has_others(&self, end: End) -> bool {
        self.share.file.get().is_some_and(|file| {
            let found = ofd_lock::probe(file.as_fd(), Lock::Write, end.holders(), 1);
            found.is_ok_and(|found| found.is_some())
        })
    }

    /// Goes on without locks if nobody else is left. It is this holder's turn.
    fn look_for_others(&self, end: End) {
        if self.has_others(end) {
            return;
        }
        kill::point("channel.alone");
        if let Some(shared) = self.own.word::<u32>(SHARED) {
            shared.fetch_and(!end.bit(), Ordering::SeqCst);
        }
    }

    /// This process lets go of an end. True: it was the last holder.
    pub(crate) fn let_go(&self, end: End) -> bool {
        if self.shares() & end.bit() == 0 {
            return true;
        }
        let Some(file) = self.share.file.get() else {
            return true;
        };
        // One after the other, so that the last knows. Where one is stopped, the kernel tells of
        // the end, by the socket.
        let patience = Patience::for_at_most(PATIENCE);
        let locked = take_lock(file, end.turn(), patience, || self.is_gone());
        let is_last = locked.is_ok_and(|locked| locked) && !self.has_others(end);
        let _ = ofd_lock::unlock(file.as_fd(), end.holders(), 1);
        self.unlock(end);
        is_last
    }

    /// Claims a block against the other holders, if there are any.
    pub(crate) fn claim(&self, block: u32) -> bool {
        self.share.file.get().is_none_or(|file| {
            let at = BLOCKS + u64::from(block);
            ofd_lock::try_lock(file.as_fd(), Lock::Write, at, 1).is_ok_and(|claimed| claimed)
        })
    }

    pub(crate) fn unclaim(&self, block: u32) {
        if let Some(file) = self.share.file.get() {
            let _ = ofd_lock::unlock(file.as_fd(), BLOCKS + u64::from(block), 1);
        }
    }

    /// What an heir of these ends needs. They are shared from here on.
    pub(crate) fn pack(
        &self,
        ends: &[End],
        message_max: usize,
        operation: &'static str,
    ) -> Result<Parcel> {
        let refuse = |why: &str| Err(self.error(ErrorKind::Unsupported, operation).because(why));
        if self.is_foreign() {
            return Err(self.foreign(operation));
        }
        let files = match &self.files {
            Ok(files) => files,
            Err(why) => return refuse(why),
        };
        let fail = self.share_error(operation);
        if self.share.file.get().is_none() {
            let file = reopen(&files.own).map_err(&fail)?;
            let _ = self.share.file.set(fork::close_in_child(file));
        }
        let Some(own) = self.share.file.get() else {
            return refuse("its memory cannot be opened");
        };
        let heirs = reopen(&files.own).map_err(&fail)?;
        for end in ends {
            for file in [own.as_fd(), heirs.as_fd()] {
                if !ofd_lock::try_lock(file, Lock::Read, end.holders(), 1).map_err(&fail)? {
                    return refuse("somebody else locks its memory");
                }
            }
        }
        let token = loop {
            let mut bytes = [0; 4];
            let flags = rustix::rand::GetRandomFlags::empty();
            rustix::rand::getrandom(&mut bytes, flags).map_err(&fail)?;
            let token = u32::from_ne_bytes(bytes);
            let at = TOKENS + u64::from(token);
            if ofd_lock::try_lock(heirs.as_fd(), Lock::Write, at, 1).map_err(&fail)? {
                break token;
            }
        };
        if let Some(shared) = self.own.word::<u32>(SHARED) {
            let bits = ends.iter().fold(0, |bits, end| bits | end.bit());
            shared.fetch_or(bits, Ordering::SeqCst);
        }
        kill::point("channel.shared");
        let copy = |file: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(file, 3).map_err(&fail);
        let note = Note {
            ends: ends.iter().fold(0, |bits, end| bits | end.bit()) as u8,
            accepting: self.accepting,
            fenceable: self.fenceable,
            token,
            message_max: message_max as u64,
            own: self.own_shape,
            theirs: self.their_shape,
        };
        Ok(Parcel {
            files: vec![
                heirs,
                copy(&files.theirs)?,
                copy(&files.bells)?,
                copy(&self.socket)?,
            ],
            note: note.encode(),
            space: None,
        })
    }
}

const MAGIC: &[u8; 8] = b"STRAITE1";

/// Bytes of the note that an heir gets.
pub(crate) const NOTE_LEN: usize = 64;

/// What an heir is told of its link.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
struct Note {
    ends: u8,
    accepting: bool,
    fenceable: bool,
    token: u32,
    message_max: u64,
    own: Shape,
    theirs: Shape,
}

impl Note {
    fn encode(self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([self.ends, self.accepting.into(), self.fenceable.into(), 0]);
        bytes.extend(self.token.to_le_bytes());
        bytes.extend(self.message_max.to_le_bytes());
        for shape in [self.own, self.theirs] {
            bytes.extend(shape.capacity.to_le_bytes());
            bytes.extend(shape.block_len.to_le_bytes());
            bytes.extend(shape.blocks.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let mut take = |len: usize| {
            let (first, after) = rest.split_at_checked(len)?;
            rest = after;
            let mut word = [0; 8];
            word[..len].copy_from_slice(first);
            Some(u64::from_le_bytes(word))
        };
        let (ends, flags) = (take(1)? as u8, [take(1)?, take(1)?, take(1)?]);
        let (token, message_max) = (take(4)? as u32, take(8)?);
        let mut shape = || {
            let shape = Shape {
                capacity: take(8)?,
                block_len: take(8)?,
                blocks: take(4)? as u32,
            };
            shape.is_valid().then_some(shape)
        };
        let note = Self {
            ends,
            accepting: flags[0] == 1,
            fenceable: flags[1] == 1,
            token,
            message_max,
            own: shape()?,
            theirs: shape()?,
        };
        let is_sound = rest.is_empty() && flags.iter().all(|flag| *flag <= 1) && flags[2] == 0;
        (is_sound && (1..=3).contains(&ends)).then_some(note)
    }
}

/// What an heir gets, if the parcel is one of just these ends. Of the other end nothing is made:
/// beginning it would disturb its holder.
fn unpack(parcel: Parcel, ends: u32) -> Result<(Option<Sender>, Option<Receiver>)> {
    let verb = "receive end";
    let wrong = |kind, why: &str| Error::new(kind, verb, "").because(why);
    let kernel = |errno| Error::kernel(errno, verb, "");
    let layout = |why: &'static str| wrong(ErrorKind::Layout, why);
    let note = Note::decode(&parcel.note)
        .ok_or_else(|| wrong(ErrorKind::WrongKind, "it is no end of a channel"))?;
    if u32::from(note.ends) != ends {
        return Err(wrong(
            ErrorKind::WrongKind,
            "it is another end of a channel",
        ));
    }
    let Ok([own, theirs, bells, socket]) = <[OwnedFd; 4]>::try_from(parcel.files) else {
        return Err(layout("an end of a channel is four descriptors"));
    };
    memory::check(&own, note.own.file_len()).map_err(layout)?;
    let their_map = memory::map_theirs(&theirs, note.theirs).map_err(layout)?;
    memory::check(&bells, BELL_PAGE as u64).map_err(layout)?;
    let bell_map = memory::map_bells(&bells).map_err(layout)?;
    let peer = peer_of(&socket, verb, true)?;
    rustix::io::ioctl_fionbio(&socket, true).map_err(kernel)?;
    let file = reopen(&own).map_err(kernel)?;
    let own_map = memory::map(&file, note.own.file_len(), Access::Write).map_err(kernel)?;
    arrive(&file, &own, note)?;
    let made = Made {
        socket,
        own: (own_map, note.own),
        theirs: (their_map, note.theirs),
        bells: bell_map,
        files: Ok(Files { own, theirs, bells }),
        accepting: note.accepting,
        fenceable: note.fenceable,
        peer,
    };
    let link = Link::new(made)?;
    let _ = link.share.file.set(fork::close_in_child(file));
    let message_max = usize::try_from(note.message_max).unwrap_or(usize::MAX);
    let options = Options::new().message_max(message_max);
    let has = |end: End| ends & end.bit() != 0;
    let sender = has(End::Sending).then(|| Sender::new(&link, options.spin, None));
    let receiver = has(End::Receiving).then(|| Receiver::new(&link, &options, None));
    Ok((sender.flatten(), receiver.flatten()))
}

/// Moves what says that somebody holds the ends from the description that came to our own.
fn arrive(file: &OwnedFd, came: &OwnedFd, note: Note) -> Result<()> {
    let kernel = |errno| Error::kernel(errno, "receive end", "");
    // One at a time: two processes that were given the same description must not both take it for
    // their own, since either would then not see the other.
    if !take_lock(file, ARRIVAL, Patience::for_at_most(PATIENCE), || false).map_err(kernel)? {
        return Err(Error::new(ErrorKind::TimedOut, "receive end", "")
            .because("another holder is stopped where it arrives"));
    }
    let token = TOKENS + u64::from(note.token);
    let found = ofd_lock::probe(file.as_fd(), Lock::Write, token, 1).map_err(kernel)?;
    if found.is_none() {
        return Err(Error::new(ErrorKind::NotFound, "receive end", "")
            .because("another process has taken it: an end is given to one at a time"));
    }
    for end in [End::Sending, End::Receiving] {
        if u32::from(note.ends) & end.bit() != 0 {
            ofd_lock::try_lock(file.as_fd(), Lock::Read, end.holders(), 1).map_err(kernel)?;
            ofd_lock::unlock(came.as_fd(), end.holders(), 1).map_err(kernel)?;
        }
    }
    kill::point("channel.arrived");
    ofd_lock::unlock(came.as_fd(), token, 1).map_err(kernel)?;
    ofd_lock::unlock(file.as_fd(), ARRIVAL, 1).map_err(kernel)
}

/// The heir sends too; whoever gives it away goes on, or drops its own.
impl Transferable for Sender {
    fn pack(&self, verb: &'static str) -> Result<Parcel> {
        self.is_settled(verb)?;
        let message_max = Options::new().message_max;
        let parcel = self.link.pack(&[End::Sending], message_max, verb)?;
        self.lender.claim_held();
        Ok(parcel)
    }

    fn unpack(parcel: Parcel, _: &[Namespace]) -> Result<Self> {
        let (sender, _) = unpack(parcel, End::Sending.bit())?;
        sender.ok_or_else(no_room)
    }
}

/// The heir receives too: each message goes to one of the holders.
impl Transferable for Receiver {
    fn pack(&self, verb: &'static str) -> Result<Parcel> {
        self.is_settled(verb)?;
        self.link.pack(&[End::Receiving], self.message_max, verb)
    }

    fn unpack(parcel: Parcel, _: &[Namespace]) -> Result<Self> {
        let (_, receiver) = unpack(parcel, End::Receiving.bit())?;
        receiver.ok_or_else(no_room)
    }
}

/// Both ends of a side.
impl Transferable for Channel {
    fn pack(&self, verb: &'static str) -> Result<Parcel> {
        self.sender.is_settled(verb)?;
        self.receiver.is_settled(verb)?;
        let ends = [End::Sending, End::Receiving];
        let link = &self.sender.link;
        let parcel = link.pack(&ends, self.receiver.message_max, verb)?;
        self.sender.lender.claim_held();
        Ok(parcel)
    }

    fn unpack(parcel: Parcel, _: &[Namespace]) -> Result<Self> {
        match unpack(parcel, End::Sending.bit() | End::Receiving.bit())? {
            (Some(sender), Some(receiver)) => Ok(Self { sender, receiver }),
            _ => Err(no_room()),
        }
    }
}

/// The shapes were checked: the layout fits into them.
fn no_room() -> Error {
    Error::new(ErrorKind::Layout, "receive end", "")
}
