//! One session among many.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use rustix::net::Shutdown;
use strait_sys::cell::ReadOnly;
use strait_sys::map::Fixed;

use crate::channel::door::Knocker;
use crate::channel::hub::{Hall, lock};
use crate::channel::layout::{CLOSED, CPU, DEAF};
use crate::channel::link::{Link, Peer};
use crate::channel::meanwhile;
use crate::channel::sender::Patience;
use crate::channel::{Channel, Receiver, Sender};
use crate::error::{ErrorKind, Result};
use crate::object::transfer::Parcel;
use crate::object::wait::source::{Armed, Source};

/// A session of a hub, and what its user keeps with it.
#[derive(Debug)]
pub(crate) struct Session<T> {
    pub(crate) user: T,
    link: Arc<Link>,
    arrivals: Arc<dyn Source>,
    pub(crate) knocker: Knocker,
    pub(crate) peer_cpu: Option<Fixed<u32, ReadOnly>>,
    seat: Mutex<Seat>,
    outbox: Mutex<Outbox>,
    /// The client has to make room before anything is received from it.
    is_blocked: AtomicBool,
    /// Its user receives nothing from it for now.
    is_held: AtomicBool,
    /// This side has ended it.
    is_closed: AtomicBool,
    /// Its place has been given back.
    pub(super) has_left: AtomicBool,
    /// Where it sits, for its end.
    pub(super) place: OnceLock<(Weak<Hall<T>>, u32)>,
}

/// The receiving end, while no attendant has it.
#[derive(Debug)]
struct Seat {
    receiver: Option<Box<Receiver>>,
    /// Somebody came for it while it was away.
    again: bool,
}

/// The sending end, and what the client has not made room for yet.
#[derive(Debug)]
struct Outbox {
    sender: Sender,
    waiting: VecDeque<(Vec<u8>, Vec<Parcel>)>,
    /// Of the first of them: see [`Sender::send_some`].
    done: Option<usize>,
    len: usize,
    len_max: usize,
}

/// What a hub's user keeps with a session.
pub(crate) trait User: Send + Sync + 'static {
    /// So many bytes more are kept for the client, and so many were sent. None of either: some of a
    /// message was sent.
    fn kept(&self, _more: usize, _less: usize) {}
}

/// Whether a session has something of which nobody was told.
pub(super) enum Overlooked {
    No,
    /// A thread has it, and may sleep.
    InHand,
    Free,
}

impl<T: User> Session<T> {
    pub(crate) fn new(channel: Channel, knocker: Knocker, len_max: usize, user: T) -> Arc<Self> {
        let (sender, receiver) = channel.split();
        let link = sender.link().clone();
        let _ = link.door.set(knocker.clone());
        Arc::new(Self {
            user,
            arrivals: receiver.arrivals.clone(),
            knocker,
            peer_cpu: link.theirs.fixed_look(CPU),
            link,
            seat: Mutex::new(Seat {
                receiver: Some(Box::new(receiver)),
                again: false,
            }),
            outbox: Mutex::new(Outbox {
                sender,
                waiting: VecDeque::new(),
                done: None,
                len: 0,
                len_max,
            }),
            is_blocked: AtomicBool::new(false),
            is_held: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
            place: OnceLock::new(),
        })
    }

    /// Who is at the other end.
    pub(crate) fn peer(&self) -> &Peer {
        &self.link.peer
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Has an attendant look at it.
    pub(crate) fn knock(&self) {
        self.knocker.knock();
    }

    /// Takes the receiving end. `None`: another thread has it, and will look again.
    pub(crate) fn claim(&self) -> Option<Box<Receiver>> {
        let mut seat = lock(&self.seat);
        let receiver = seat.receiver.take();
        seat.again = receiver.is_none();
        receiver
    }

    /// Gives it back. True: somebody came for it meanwhile.
    pub(crate) fn yield_up(&self, receiver: Box<Receiver>) -> bool {
        let mut seat = lock(&self.seat);
        seat.receiver = Some(receiver);
        std::mem::take(&mut seat.again)
    }

    /// Whether nobody has the receiving end. If somebody has, it knocks when it is given back.
    pub(crate) fn is_free(&self) -> bool {
        let mut seat = lock(&self.seat);
        seat.again |= seat.receiver.is_none();
        seat.receiver.is_some()
    }

    pub(super) fn sits_in(&self, hall: &Arc<Hall<T>>) -> bool {
        let place = self.place.get();
        place.is_some_and(|(own, _)| own.as_ptr() == Arc::as_ptr(hall))
    }

    /// Says that nobody looks at it until it knocks. False: there is something to look at.
    pub(crate) fn arm(&self) -> bool {
        match self.arrivals.arm() {
            Armed::Asleep(_) => {
                // Nobody sleeps on its own bell.
                self.arrivals.disarm();
                true
            }
            _ => false,
        }
    }

    pub(crate) fn has_arrivals(&self) -> bool {
        self.arrivals.is_ready().unwrap_or(true)
    }

    /// For the look every now and then: whether it has something and nobody was told, as far as
    /// can be known where others scribble.
    pub(super) fn overlooked(&self) -> Overlooked {
        let seat = self.seat.try_lock();
        let is_free = seat.is_ok_and(|seat| seat.receiver.is_some());
        if !is_free {
            // Whoever has it may sleep.
            return if self.has_arrivals() {
                Overlooked::InHand
            } else {
                Overlooked::No
            };
        }
        // There may be room by now, and then nobody waits for it any more.
        let was_blocked = self.is_blocked();
        let has_something = if was_blocked {
            !self.owes()
        } else {
            self.has_arrivals() && !self.is_held()
        };
        if (self.is_gone() || has_something) && !self.knocker.is_marked() {
            Overlooked::Free
        } else {
            Overlooked::No
        }
    }

    #[inline]
    pub(crate) fn is_blocked(&self) -> bool {
        self.is_blocked.load(Ordering::SeqCst)
    }

    /// Whether it may be received from. Else it is held until it is [released](Self::release):
    /// nothing is received from it, nor its end, unless this side closes it.
    #[inline]
    pub(super) fn is_admitted(&self, admits: &impl Fn(&Self) -> bool) -> bool {
        if admits(self) {
            return true;
        }
        self.is_held.store(true, Ordering::SeqCst);
        // Who would have released it before that was said has released nobody.
        let is_admitted = admits(self);
        if is_admitted {
            self.is_held.store(false, Ordering::SeqCst);
        }
        is_admitted
    }

    pub(crate) fn release(&self) {
        if self.is_held.swap(false, Ordering::SeqCst) {
            self.knock();
        }
    }

    #[inline]
    pub(crate) fn is_held(&self) -> bool {
        self.is_held.load(Ordering::SeqCst)
    }

    /// Whether nothing can be received from it as yet: whoever changes that knocks.
    #[inline]
    pub(crate) fn is_stayed(&self) -> bool {
        self.is_blocked() || self.is_held()
    }

    /// Sends a message of two parts, the first of a length that is a multiple of 8. Never waits:
    /// what there is no room for is kept.
    ///
    /// # Errors
    /// [`ErrorKind::PeerGone`]; [`ErrorKind::Broken`], also where more is kept for the client than
    /// may be: the session is then broken off.
    pub(crate) fn post(&self, parts: [&[u8]; 2]) -> Result<()> {
        let mut outbox = lock(&self.outbox);
        let len = parts[0].len() + parts[1].len();
        if outbox.waiting.is_empty()
            && len <= outbox.sender.piece_max()
            && outbox.sender.deliver(parts, Patience::Look, true)?
        {
            return Ok(());
        }
        self.keep(&mut outbox, parts, Vec::new())
    }

    /// [`post`](Self::post), with the handles of `attached`, which are then taken out of it.
    ///
    /// # Errors
    /// As [`post`](Self::post); [`ErrorKind::Busy`] while too many handles are on their way:
    /// nothing was sent.
    pub(crate) fn post_with(&self, parts: [&[u8]; 2], attached: &mut Vec<Parcel>) -> Result<()> {
        if attached.is_empty() {
            return self.post(parts);
        }
        let mut outbox = lock(&self.outbox);
        let len = parts[0].len() + parts[1].len();
        if outbox.waiting.is_empty() && len <= outbox.sender.piece_max() {
            std::mem::swap(attached, &mut outbox.sender.attached);
            let sent = outbox.sender.deliver(parts, Patience::Look, true);
            std::mem::swap(attached, &mut outbox.sender.attached);
            if sent? {
                return Ok(());
            }
        }
        self.keep(&mut outbox, parts, std::mem::take(attached))
    }

    #[cold]
    fn keep(&self, outbox: &mut Outbox, parts: [&[u8]; 2], attached: Vec<Parcel>) -> Result<()> {
        let message = parts.concat();
        outbox.len += message.len();
        if outbox.len > outbox.len_max {
            return Err(self
                .link
                .break_off("send", "it does not read what it is sent"));
        }
        self.user.kept(message.len(), 0);
        outbox.waiting.push_back((message, attached));
        self.drain_from(outbox)
    }

    /// Sends what was kept, as far as there is room now.
    #[cold]
    pub(crate) fn drain(&self) -> Result<()> {
        self.drain_from(&mut lock(&self.outbox))
    }

    fn drain_from(&self, outbox: &mut Outbox) -> Result<()> {
        while let Some((message, attached)) = outbox.waiting.front_mut() {
            let before = outbox.done;
            let sent = outbox
                .sender
                .send_some((message, attached), &mut outbox.done);
            if outbox.done > before {
                self.user.kept(0, 0);
            }
            match sent {
                Ok(false) => {
                    meanwhile("post: no room");
                    if self.is_blocked.swap(true, Ordering::SeqCst) {
                        return Ok(());
                    }
                    // Who made room before this was said has rung for nobody: once more.
                }
                Ok(true) => {
                    outbox.len -= message.len();
                    self.user.kept(0, message.len());
                    outbox.done = None;
                    outbox.waiting.pop_front();
                }
                Err(error) if error.kind() == ErrorKind::Busy => {
                    let why = "it does not read the handles that it is sent";
                    return Err(self.link.break_off("send", why));
                }
                Err(error) => return Err(error),
            }
        }
        self.is_blocked.store(false, Ordering::SeqCst);
        Ok(())
    }

    /// Sends what was kept, as [`drain`](Self::drain). True: there is more, and somebody to take
    /// it.
    pub(crate) fn owes(&self) -> bool {
        self.is_blocked() && self.drain().is_ok() && self.is_blocked() && !self.is_gone()
    }

    /// Bytes that are kept until there is room.
    pub(crate) fn kept(&self) -> usize {
        let outbox = lock(&self.outbox);
        outbox.len.saturating_sub(outbox.done.unwrap_or(0))
    }

    /// Ends it from this side: the client is told, and an attendant as well.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        // Before the hang-up: it is an end, and nobody's death.
        self.link.say(CLOSED | DEAF);
        let _ = rustix::net::shutdown(&self.link.socket, Shutdown::Both);
        self.link.leave();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    /// Nothing more comes, and nothing more is sent.
    pub(crate) fn retire(&self) {
        self.link.leave();
    }

    /// The client broke the protocol of whoever uses the session: it ends.
    #[cold]
    pub(crate) fn break_off(&self, why: &'static str) {
        let _ = self.link.break_off("receive", why);
    }

    /// An error about the session.
    pub(crate) fn error(&self, kind: ErrorKind, operation: &'static str) -> crate::error::Error {
        self.link.error(kind, operation)
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.link.is_gone()
    }
}
