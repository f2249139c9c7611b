//! The server's side of many sessions: who has something to say is found by two words, however many
//! are connected, and waited for on one.
//!
//! A thread of the hub (`strait-door`) accepts connections and hears their greetings, so that who
//! connects and stalls delays nobody; what is to be decided about them goes to the server, which
//! receives it like a message. An [`Attendant`] is one thread's way in: it stays with the session
//! that it served last while it spins, and turns to whoever else knocks in rotation, one message
//! each. Nobody is ever waited for: what a client does not read is kept for it, up to a limit.

mod attendant;
mod doorway;
mod lobby;
mod session;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use strait_sys::time::Deadline;
use strait_sys::{eventfd, fork, thread};

pub(crate) use self::attendant::{Attendant, Event};
pub(crate) use self::session::{Session, User};
use crate::channel::connect::Asked;
use crate::channel::door::{BITS, Door};
use crate::channel::{Options, connect};
use crate::error::{Error, ErrorKind, Result};

/// Doors of a hub: users among its clients, and so many times [`BITS`] of one user's.
const DOORS_MAX: usize = 64;
/// Connections that the server has not decided about yet.
const ASKED_MAX: usize = 256;
/// How long a hub that closes waits for clients to make room for what was posted to them: since
/// one of them has made some, and in all.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_MAX: Duration = Duration::from_secs(5);
/// Between two looks at room that is awaited for the end.
pub(crate) const PACE: Duration = Duration::from_millis(2);
/// The code of a refusal because there is no room.
pub(crate) const FULL: u32 = u32::MAX;

/// Set in the notes while somebody asks for a session. The bits above count changes of the doors.
const NEWS: u32 = 1;
/// The hub is closed.
const CLOSED: u32 = 2;
/// There are sessions whose knock was missed.
const MISSED: u32 = 4;
const CHANGE: u32 = 8;

/// How a hub's sessions are.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) options: Options,
    /// See [`connect`]: what the sessions are for.
    pub(crate) role: u32,
    /// Sessions at a time.
    pub(crate) sessions_max: usize,
    /// Bytes that are kept for a client that does not read.
    pub(crate) backlog_max: usize,
}

/// Locks what no panic leaves half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A door, and who is behind its bits.
#[derive(Debug)]
struct Hall<T> {
    door: Door,
    slots: Mutex<Slots<T>>,
}

#[derive(Debug)]
struct Slots<T> {
    sessions: Vec<Option<Arc<Session<T>>>>,
    free: Vec<u32>,
}

impl<T: User> Hall<T> {
    fn new(uid: u32) -> Result<Arc<Self>> {
        let door = Door::create(uid).map_err(|errno| Error::kernel(errno, "make doorbell", ""))?;
        Ok(Arc::new(Self {
            door,
            slots: Mutex::new(Slots {
                sessions: Vec::new(),
                free: Vec::new(),
            }),
        }))
    }

    /// Whether nobody sits there, and nobody is about to.
    fn is_empty(&self) -> bool {
        let slots = lock(&self.slots);
        slots.free.len() == slots.sessions.len()
    }

    fn sessions(&self) -> Vec<Arc<Session<T>>> {
        let slots = lock(&self.slots);
        slots.sessions.iter().flatten().cloned().collect()
    }

    fn session(&self, bit: u32) -> Option<Arc<Session<T>>> {
        lock(&self.slots).sessions.get(bit as usize)?.clone()
    }

    /// A bit that nobody has.
    fn reserve(&self) -> Option<u32> {
        let mut slots = lock(&self.slots);
        if let Some(bit) = slots.free.pop() {
            return Some(bit);
        }
        let bit = u32::try_from(slots.sessions.len())
            .ok()
            .filter(|bit| *bit < BITS)?;
        slots.sessions.push(None);
        Some(bit)
    }

    fn settle(&self, bit: u32, session: Option<Arc<Session<T>>>) {
        let mut slots = lock(&self.slots);
        let is_free = session.is_none();
        let before = std::mem::replace(&mut slots.sessions[bit as usize], session);
        if is_free {
            slots.free.push(bit);
        }
        drop(slots);
        // Not under the lock: the last holder ends the session.
        drop(before);
    }
}

/// Of one door.
type Missed<T> = (Arc<Hall<T>>, Vec<Weak<Session<T>>>);

type Halls<T> = Arc<Vec<Arc<Hall<T>>>>;

#[derive(Debug)]
struct Shared<T> {
    terms: Terms,
    halls: Mutex<Halls<T>>,
    /// [`NEWS`], [`CLOSED`], and how often the doors have changed.
    notes: AtomicU32,
    asked: Mutex<VecDeque<Asked>>,
    /// Sessions that have something and whose bit is not set, by the door that they sit behind:
    /// told here, where nobody scribbles.
    missed: Mutex<Vec<Missed<T>>>,
    attendants: AtomicUsize,
    sessions: AtomicUsize,
    /// Readable when the lobby is to end.
    stop: OwnedFd,
    /// Of the process whose it is: a forked child must leave it alone.
    generation: u32,
}

impl<T: User> Shared<T> {
    /// Whether this process was forked from the one whose it is.
    fn is_foreign(&self) -> bool {
        self.generation != fork::generation()
    }

    fn halls(&self) -> Halls<T> {
        lock(&self.halls).clone()
    }

    /// Everybody who sleeps looks again.
    fn ring_all(&self) {
        for hall in self.halls().iter() {
            hall.door.ring(u32::MAX);
        }
    }

    fn changed(&self) {
        self.notes.fetch_add(CHANGE, Ordering::SeqCst);
        self.ring_all();
    }

    /// Drops what those want who do not wait for the decision any more.
    fn forget_gone(&self) {
        let mut asked = lock(&self.asked);
        asked.retain(|asked| !asked.is_gone());
        if asked.is_empty() {
            self.notes.fetch_and(!NEWS, Ordering::SeqCst);
        }
    }

    /// Who has waited longest for a decision, and waits still.
    fn next_asked(&self) -> Option<Asked> {
        let mut asked = lock(&self.asked);
        let first = loop {
            match asked.pop_front() {
                Some(gone) if gone.is_gone() => {}
                first => break first,
            }
        };
        if asked.is_empty() {
            self.notes.fetch_and(!NEWS, Ordering::SeqCst);
        }
        first
    }

    /// One of that door whose knock was missed, and whether it is the last of them.
    fn next_missed(&self, hall: &Arc<Hall<T>>) -> Option<(Arc<Session<T>>, bool)> {
        if self.notes.load(Ordering::SeqCst) & MISSED == 0 {
            return None;
        }
        let mut missed = lock(&self.missed);
        let at = missed.iter().position(|(of, _)| Arc::ptr_eq(of, hall))?;
        let there = &mut missed[at].1;
        let found = std::iter::from_fn(|| there.pop()).find_map(|session| session.upgrade());
        let is_last = there.is_empty();
        if is_last {
            missed.swap_remove(at);
        }
        if missed.is_empty() {
            self.notes.fetch_and(!MISSED, Ordering::SeqCst);
        }
        Some((found?, is_last))
    }

    /// Nobody looks for those whose door is no more.
    fn forget_missed(&self) {
        if self.notes.load(Ordering::SeqCst) & MISSED != 0 {
            let halls = self.halls();
            let mut missed = lock(&self.missed);
            missed.retain(|(of, _)| halls.iter().any(|hall| Arc::ptr_eq(of, hall)));
            if missed.is_empty() {
                self.notes.fetch_and(!MISSED, Ordering::SeqCst);
            }
        }
    }

    /// Notes those whose knock was missed, unless there are some of that door still: each of them
    /// has one turn before the other doors have theirs.
    fn note_missed(&self, hall: &Arc<Hall<T>>, sessions: Vec<Weak<Session<T>>>) {
        let mut missed = lock(&self.missed);
        if !sessions.is_empty() && !missed.iter().any(|(of, _)| Arc::ptr_eq(of, hall)) {
            missed.push((hall.clone(), sessions));
            self.notes.fetch_or(MISSED, Ordering::SeqCst);
        }
    }

    /// A place behind a door of that user.
    fn reserve(&self, uid: u32) -> Result<(Arc<Hall<T>>, u32)> {
        let full =
            |why: &str| Err(Error::new(ErrorKind::Exhausted, "accept channel", "").because(why));
        if self.sessions.fetch_add(1, Ordering::SeqCst) >= self.terms.sessions_max {
            self.sessions.fetch_sub(1, Ordering::SeqCst);
            return full("as many sessions are open as there may be");
        }
        let found = self.find_place(uid);
        if !matches!(found, Ok(Some(_))) {
            self.sessions.fetch_sub(1, Ordering::SeqCst);
        }
        match found? {
            Some(place) => Ok(place),
            None => full("too many users have sessions"),
        }
    }

    fn find_place(&self, uid: u32) -> Result<Option<(Arc<Hall<T>>, u32)>> {
        let mut halls = lock(&self.halls);
        for hall in halls.iter().filter(|hall| hall.door.uid == uid) {
            if let Some(bit) = hall.reserve() {
                return Ok(Some((hall.clone(), bit)));
            }
        }
        // Another user's that nobody needs any more makes way; the first is always there.
        let empty = (halls.len() == DOORS_MAX)
            .then(|| (1..DOORS_MAX).find(|index| halls[*index].is_empty()));
        if empty == Some(None) {
            return Ok(None);
        }
        // A page of its own: those who had the other one may still write there.
        let hall = Hall::new(uid)?;
        let bit = hall.reserve();
        let mut more = halls.to_vec();
        match empty.flatten() {
            Some(index) => more[index] = hall.clone(),
            None => more.push(hall.clone()),
        }
        *halls = Arc::new(more);
        drop(halls);
        self.changed();
        Ok(bit.map(|bit| (hall, bit)))
    }

    fn leave(&self, hall: &Hall<T>, bit: u32) {
        hall.settle(bit, None);
        self.sessions.fetch_sub(1, Ordering::SeqCst);
    }

    /// The session is over: its place is another's. Once for each.
    fn release(&self, session: &Session<T>) {
        if let Some((hall, bit)) = session.place.get()
            && !session.has_left.swap(true, Ordering::SeqCst)
            && let Some(hall) = hall.upgrade()
        {
            self.leave(&hall, *bit);
        }
    }

    fn end_all(&self) {
        let halls = self.halls();
        let mut sessions: Vec<_> = halls.iter().flat_map(|hall| hall.sessions()).collect();
        let end = |session: &Arc<Session<T>>| {
            session.close();
            self.release(session);
        };
        let most = Deadline::after(LINGER_MAX);
        let (mut until, mut left) = (Deadline::after(LINGER), usize::MAX);
        // Posted is sent, to all of them, as long as they make room. Who is owed nothing ends now.
        loop {
            sessions.retain(|session| {
                let owes = session.owes();
                if !owes {
                    end(session);
                }
                owes
            });
            if sessions.is_empty() || until.passed() || most.passed() {
                break;
            }
            let kept = sessions.iter().map(|session| session.kept()).sum();
            if kept < left {
                (left, until) = (kept, Deadline::after(LINGER));
                std::thread::yield_now();
            } else {
                // sleep: room is told of to attendants, and there are none any more.
                std::thread::sleep(PACE);
            }
        }
        sessions.iter().for_each(end);
    }

    fn is_closed(&self) -> bool {
        self.notes.load(Ordering::SeqCst) & CLOSED != 0
    }
}

/// A server's sessions.
#[derive(Debug)]
pub(crate) struct Hub<T: User> {
    shared: Arc<Shared<T>>,
}

impl<T: User> Hub<T> {
    /// Serves whoever connects to `listener`, a listening socket of packets.
    pub(crate) fn open(listener: OwnedFd, terms: Terms) -> Result<Self> {
        let fail = |errno| Error::kernel(errno, "open hub", "");
        // The one door that is always there: of this process's own user.
        let hall = Hall::new(rustix::process::geteuid().as_raw())?;
        let shared = Arc::new(Shared {
            terms,
            halls: Mutex::new(Arc::new(vec![hall])),
            notes: AtomicU32::new(0),
            asked: Mutex::new(VecDeque::new()),
            missed: Mutex::new(Vec::new()),
            attendants: AtomicUsize::new(0),
            sessions: AtomicUsize::new(0),
            stop: eventfd::create(0).map_err(fail)?,
            generation: fork::generation(),
        });
        let lobby = lobby::Lobby::new(shared.clone(), listener).map_err(fail)?;
        thread::spawn_quiet("strait-door", move || lobby.run()).map_err(fail)?;
        Ok(Self { shared })
    }

    /// A thread's way in. The threads that receive share the work.
    pub(crate) fn attendant(&self) -> Attendant<T> {
        Attendant::new(self.shared.clone())
    }

    /// Whether this process was forked from the one that serves.
    pub(crate) fn is_foreign(&self) -> bool {
        self.shared.is_foreign()
    }

    /// Sessions that are open.
    pub(crate) fn len(&self) -> usize {
        self.shared.sessions.load(Ordering::Relaxed)
    }

    /// No more connections, and nothing more is received: attendants are told. What is posted to
    /// the sessions that are open still goes.
    pub(crate) fn stop(&self) {
        if self.is_foreign() {
            return;
        }
        self.shared.notes.fetch_or(CLOSED, Ordering::SeqCst);
        let _ = eventfd::add(self.shared.stop.as_fd(), 1);
        self.shared.ring_all();
        // Nobody decides about those any more.
        drop(std::mem::take(&mut *lock(&self.shared.asked)));
    }

    /// [`stop`](Self::stop), and the end of every session: clients are told, after what was posted
    /// to them as long as they make room for it (see [`LINGER`]).
    pub(crate) fn close(&self) {
        self.stop();
        if !self.is_foreign() {
            self.shared.end_all();
        }
    }

    /// Begins the session that somebody asked for. `make` is given what the session is made of.
    pub(crate) fn welcome(
        &self,
        asked: Asked,
        payload: (connect::Payload, Option<BorrowedFd<'_>>),
        user: T,
    ) -> Result<Arc<Session<T>>> {
        welcome(&self.shared, asked, payload, user)
    }
}

impl<T: User> Drop for Hub<T> {
    fn drop(&mut self) {
        self.close();
    }
}

fn welcome<T: User>(
    shared: &Shared<T>,
    asked: Asked,
    payload: (connect::Payload, Option<BorrowedFd<'_>>),
    user: T,
) -> Result<Arc<Session<T>>> {
    let (hall, bit) = match shared.reserve(asked.peer.uid) {
        Ok(place) => place,
        Err(error) => {
            let _ = asked.refuse(FULL, b"it has no room for more clients");
            return Err(error);
        }
    };
    let begun = hall.door.knocker(bit).ok_or_else(|| {
        Error::new(ErrorKind::Exhausted, "accept channel", "").because("no such bit")
    });
    let session = begun.and_then(|knocker| {
        let channel = asked.welcome(&shared.terms.options, payload, Some((&hall.door, bit)))?;
        Ok(Session::new(
            channel,
            knocker,
            shared.terms.backlog_max,
            user,
        ))
    });
    match session {
        Ok(session) => {
            let _ = session.place.set((Arc::downgrade(&hall), bit));
            hall.settle(bit, Some(session.clone()));
            // It may have sent, or gone, before anybody could be told.
            session.knock();
            if shared.is_closed() {
                // Whoever closed may have looked before it was here.
                session.close();
                shared.release(&session);
            }
            Ok(session)
        }
        Err(error) => {
            shared.leave(&hall, bit);
            Err(error)
        }
    }
}
