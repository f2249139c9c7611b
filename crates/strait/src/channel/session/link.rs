//! What the ends of one side of a session have in common: memory, socket, peer, and its death.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, compiler_fence, fence};
use std::sync::{Arc, OnceLock};

use rustix::net::Shutdown;
use strait_sys::cell::{ReadOnly, ReadWrite};
use strait_sys::fork::{self, ChildClosed};
use strait_sys::map::{Fixed, Map};
use strait_sys::time::{self, Deadline};
use strait_sys::{futex, kill, membarrier};

use crate::channel::door::Knocker;
use crate::channel::hello::Shape;
use crate::channel::layout::{
    CLOSED, CPU, CUT, DEAF, LEAN, RECEIVER, SENDER, SHARED, SLEEPS, STAMP, STATE, bell,
};
use crate::channel::memory::Files;
use crate::channel::park::Park;
use crate::channel::share::{End, Share};
use crate::channel::watch;
use crate::error::{Error, ErrorKind};

/// Who is at the other end, as the kernel said when the session began.
#[derive(Debug)]
pub struct Peer {
    /// Its process; 0 if that is outside of this PID namespace.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// The process itself, where the kernel gives it (Linux 6.5): an id may be another's later.
    pub(crate) process: Option<OwnedFd>,
}

impl Peer {
    /// A descriptor of the process (`pidfd_open(2)`), where the kernel gave one.
    #[must_use]
    pub fn process(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.process.as_ref().map(AsFd::as_fd)
    }
}

/// One side of a session.
pub(crate) struct Link {
    /// A forked child does not keep it: the peer shall hear of the parent's end.
    pub(crate) socket: ChildClosed,
    pub(crate) share: Share,
    pub(crate) peer: Peer,
    pub(crate) own: Map,
    pub(crate) own_shape: Shape,
    pub(crate) theirs: Map,
    pub(crate) their_shape: Shape,
    pub(crate) bells: Map,
    /// What an heir of this end would need, or why it may have none.
    pub(crate) files: Result<Files, &'static str>,
    /// This is the side that accepted.
    pub(crate) accepting: bool,
    /// The peer's threads can be fenced.
    pub(crate) fenceable: bool,
    /// The other side has closed its socket, or died, or broke the protocol.
    gone: AtomicBool,
    broken: AtomicBool,
    /// What the peer was caught at first.
    caught_at: OnceLock<&'static str>,
    /// Threads of this process that sleep, or are about to.
    sleepers: AtomicU32,
    pub(crate) key: std::sync::OnceLock<watch::Key>,
    /// Where a server of many is told of the peer's end.
    pub(crate) door: std::sync::OnceLock<Knocker>,
}

/// As whoever prints a channel wants it: who the peer is, and how it stands.
impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("peer", &self.peer)
            .field("accepting", &self.accepting)
            .field("gone", &self.gone)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

/// What a link is made of.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) socket: OwnedFd,
    pub(crate) peer: Peer,
    pub(crate) own: (Map, Shape),
    pub(crate) theirs: (Map, Shape),
    pub(crate) bells: Map,
    pub(crate) files: Result<Files, &'static str>,
    pub(crate) accepting: bool,
    pub(crate) fenceable: bool,
}

impl Link {
    pub(crate) fn new(made: Made) -> crate::error::Result<Arc<Self>> {
        let link = Arc::new(Self {
            socket: fork::close_in_child(made.socket),
            share: Share::new(),
            peer: made.peer,
            own: made.own.0,
            own_shape: made.own.1,
            theirs: made.theirs.0,
            their_shape: made.theirs.1,
            bells: made.bells,
            files: made.files,
            accepting: made.accepting,
            fenceable: made.fenceable && membarrier::works(),
            gone: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            caught_at: OnceLock::new(),
            sleepers: AtomicU32::new(0),
            key: std::sync::OnceLock::new(),
            door: std::sync::OnceLock::new(),
        });
        let key = watch::watch(&link)?;
        let _ = link.key.set(key);
        Ok(link)
    }

    #[inline]
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Whether nothing more is to be expected: the peer is gone, or has said so.
    #[inline]
    pub(crate) fn is_over(&self, bit: u32) -> bool {
        self.is_gone() || self.peer_says(bit)
    }

    /// Whether the other side is gone and has not said so, as a process that was killed.
    pub(crate) fn is_abandoned(&self, bit: u32) -> bool {
        self.is_gone() && !self.is_broken() && !self.peer_says(bit)
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// The peer is gone: those who wait for it are woken. False: somebody is still to be.
    pub(crate) fn mourn(&self) -> bool {
        self.gone.store(true, Ordering::SeqCst);
        self.wake_own();
        self.sleepers.load(Ordering::SeqCst) == 0
    }

    /// Wakes the threads of this side that sleep, so that they look again.
    pub(crate) fn wake_own(&self) {
        self.wake(self.accepting);
    }

    fn wake(&self, accepting: bool) {
        for sender in [false, true] {
            if let Some(bell) = self.bells.word::<u32>(bell(accepting, sender)) {
                bell.fetch_add(1, Ordering::SeqCst);
                let _ = futex::wake(bell, u32::MAX);
            }
        }
        if let Some(door) = self.door.get() {
            door.knock();
        }
    }

    /// This side ends the session.
    pub(crate) fn leave(&self) {
        self.gone.store(true, Ordering::SeqCst);
        self.wake_own();
    }

    /// Ends the session for both sides: what is under way is void, and whoever waits is woken.
    pub(crate) fn cut(&self) {
        self.say(CLOSED | DEAF | CUT);
        self.wake(true);
        self.wake(false);
    }

    /// Whether this side has set the bit in its state.
    pub(crate) fn says(&self, bit: u32) -> bool {
        let state = self.own.word::<u32>(STATE);
        state.is_some_and(|state| state.load(Ordering::SeqCst) & bit != 0)
    }

    /// The peer broke the protocol: the session ends here.
    #[cold]
    pub(crate) fn break_off(&self, operation: &'static str, why: &'static str) -> Error {
        let _ = self.caught_at.set(why);
        self.broken.store(true, Ordering::SeqCst);
        self.gone.store(true, Ordering::SeqCst);
        // It need not wait for the hang-up to learn that nothing is read any more.
        self.say(DEAF);
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
        self.wake_own();
        self.error(ErrorKind::Broken, operation).because(why)
    }

    pub(crate) fn error(&self, kind: ErrorKind, operation: &'static str) -> Error {
        let error = Error::new(kind, operation, self.shown());
        match self.caught_at.get() {
            Some(why) if kind == ErrorKind::Broken => error.because(*why),
            _ => error,
        }
    }

    pub(crate) fn shown(&self) -> String {
        format!("the channel to process {}", self.peer.pid)
    }

    /// Bits that the peer has set in its state.
    #[inline]
    pub(crate) fn peer_says(&self, bit: u32) -> bool {
        let state = self.theirs.look::<u32>(STATE);
        state.is_some_and(|state| state.load(Ordering::Acquire) & bit != 0)
    }

    /// Sets a bit in our state, for the peer to see.
    pub(crate) fn say(&self, bit: u32) {
        if let Some(state) = self.own.word::<u32>(STATE) {
            state.fetch_or(bit, Ordering::SeqCst);
        }
    }

    /// Counts a sleeper while it lives.
    pub(crate) fn sleeper(&self) -> Sleeper<'_> {
        self.sleeps();
        Sleeper(self)
    }

    /// One more thread is about to sleep.
    pub(crate) fn sleeps(&self) {
        self.sleepers.fetch_add(1, Ordering::SeqCst);
    }

    /// One of them is awake.
    pub(crate) fn wakes(&self) {
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            watch::forget(key, self.socket.as_fd());
        }
    }
}

/// A thread that sleeps for the peer's sake.
#[derive(Debug)]
pub(crate) struct Sleeper<'a>(&'a Link);

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.0.wakes();
    }
}

/// How the peer is woken.
#[derive(Clone, Debug)]
pub(crate) enum Ringer {
    Bell(Fixed<u32>),
    Door(Knocker),
}

impl Ringer {
    pub(crate) fn ring(&self) {
        match self {
            Self::Bell(bell) => {
                let bell = bell.word();
                bell.fetch_add(1, Ordering::SeqCst);
                kill::point("channel.bell");
                let _ = futex::wake(bell, u32::MAX);
            }
            Self::Door(knocker) => knocker.knock(),
        }
    }
}

/// A waiting place of a session, from one side.
pub(crate) struct Place {
    pub(crate) link: Arc<Link>,
    own_sleeps: Fixed<u32>,
    own_lean: Fixed<u32>,
    own_stamp: Fixed<u64>,
    own_cpu: Fixed<u32>,
    peer_sleeps: Fixed<u32, ReadOnly>,
    peer_lean: Fixed<u32, ReadOnly>,
    peer_stamp: Fixed<u64, ReadOnly>,
    peer_cpu: Fixed<u32, ReadOnly>,
    own_bell: Fixed<u32>,
    ringer: Ringer,
    shared: Fixed<u32>,
    end: End,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl Place {
    /// The sender's place, or the receiver's. `door`: where to ring the peer instead.
    pub(crate) fn new(link: &Arc<Link>, sender: bool, door: Option<Knocker>) -> Option<Self> {
        let (own, peer) = if sender {
            (SENDER, RECEIVER)
        } else {
            (RECEIVER, SENDER)
        };
        let bells = &link.bells;
        let ringer = match door {
            Some(knocker) => Ringer::Door(knocker),
            None => Ringer::Bell(bells.fixed(bell(!link.accepting, !sender))?),
        };
        Some(Self {
            own_sleeps: link.own.fixed(own + SLEEPS)?,
            own_lean: link.own.fixed(own + LEAN)?,
            own_stamp: link.own.fixed(own + STAMP)?,
            own_cpu: link.own.fixed(CPU)?,
            peer_sleeps: link.theirs.fixed_look(peer + SLEEPS)?,
            peer_lean: link.theirs.fixed_look(peer + LEAN)?,
            peer_stamp: link.theirs.fixed_look(peer + STAMP)?,
            peer_cpu: link.theirs.fixed_look(CPU)?,
            own_bell: bells.fixed(bell(link.accepting, sender))?,
            ringer,
            shared: link.own.fixed(SHARED)?,
            end: if sender { End::Sending } else { End::Receiving },
            link: link.clone(),
        })
    }

    /// Whether other processes may hold this end too.
    #[inline]
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.word().load(Ordering::Relaxed) & self.end.bit() != 0
    }

    /// How the peer's other end of this place is woken.
    pub(crate) fn ringer(&self) -> Ringer {
        self.ringer.clone()
    }

    /// This side's bell, for a wait over several things.
    pub(crate) fn bell_word(&self) -> strait_sys::cell::Word<'_, u32, ReadWrite> {
        self.own_bell.word()
    }
}

impl Park for Place {
    #[inline]
    fn full_fence(&self) {
        fence(Ordering::SeqCst);
    }

    #[inline]
    fn light_fence(&self) {
        compiler_fence(Ordering::SeqCst);
    }

    #[inline]
    fn peer_sleeps(&self) -> u32 {
        self.peer_sleeps.word().load(Ordering::Relaxed)
    }

    fn ring(&self) {
        self.own_stamp
            .word()
            .store(time::ticks(), Ordering::Relaxed);
        self.ringer.ring();
    }

    fn may_be_lean(&self) -> bool {
        // The word that says so is one for all holders.
        self.link.fenceable && !self.is_shared()
    }

    fn say_lean(&self, lean: bool) {
        self.own_lean.word().store(lean.into(), Ordering::Release);
    }

    fn count_sleep(&self) {
        self.own_sleeps.word().fetch_add(1, Ordering::SeqCst);
    }

    fn peer_is_lean(&self) -> bool {
        self.peer_lean.word().load(Ordering::Acquire) != 0
    }

    fn heavy_fence(&self) {
        // Where it works once it works always; a peer that was told otherwise does not rely on it.
        let _ = membarrier::global();
    }

    fn bell(&self) -> u32 {
        self.own_bell.word().load(Ordering::SeqCst)
    }

    fn sleep(&self, bell: u32, until: Option<Deadline>) -> bool {
        let _sleeper = self.link.sleeper();
        // The watcher may have looked for sleepers just before.
        if self.link.is_gone() {
            return false;
        }
        kill::point("channel.sleep");
        futex::wait(self.own_bell.word(), bell, until).is_ok()
    }

    fn rang_at(&self) -> u64 {
        self.peer_stamp.word().load(Ordering::Relaxed)
    }

    fn say_cpu(&self, cpu: u32) {
        self.own_cpu.word().store(cpu, Ordering::Relaxed);
    }

    fn peer_cpu(&self) -> u32 {
        self.peer_cpu.word().load(Ordering::Relaxed)
    }
}
