//! What an attendant waits at: all doors of its hub at once.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::atomic::{Ordering, compiler_fence, fence};
use std::sync::{Arc, Mutex};

use strait_sys::futex::{self, Sleep};
use strait_sys::time::Deadline;
use strait_sys::{Errno, cpu};

use crate::channel::door::Sleeper;
use crate::channel::hub::{CLOSED, Halls, MISSED, NEWS, Session, Shared, User, lock};
use crate::channel::park::Park;
use crate::error::Result;
use crate::object::wait::source::{Armed, CALLABLE, Source};

/// How long a sleep on several doors lasts where the kernel has no call for it.
const SLICE: std::time::Duration = std::time::Duration::from_millis(1);

/// What an attendant waits for, for waits over it and others.
struct Post<T> {
    shared: Arc<Shared<T>>,
    /// The session that the attendant has in hand: it does not knock.
    held: Mutex<Option<Arc<Session<T>>>>,
}

impl<T> fmt::Debug for Post<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Post")
    }
}

impl<T: User> Post<T> {
    fn is_there(&self, halls: &Halls<T>) -> bool {
        lock(&self.held)
            .as_ref()
            .is_some_and(|session| session.has_arrivals())
            || halls.iter().any(|hall| hall.door.summary() != 0)
            || self.shared.notes.load(Ordering::SeqCst) & (NEWS | MISSED | CLOSED) != 0
    }

    /// Announces a sleeper. False: there is something.
    fn announce(&self, halls: &Halls<T>) -> bool {
        if let Some(session) = &*lock(&self.held) {
            session.arm();
        }
        for hall in halls.iter() {
            hall.door.sleeps(Sleeper::ServesSome);
        }
        fence(Ordering::SeqCst);
        // Who knocks at a door that is new since is not heard at these.
        !self.is_there(halls) && Arc::ptr_eq(halls, &self.shared.halls())
    }
}

impl<T: User> Source for Post<T> {
    fn take(&self) -> Result<bool> {
        Ok(self.is_there(&self.shared.halls()))
    }

    fn is_ready(&self) -> Result<bool> {
        self.take()
    }

    fn block(&self) -> std::result::Result<(), Errno> {
        let halls = self.shared.halls();
        let bells: Vec<u32> = halls
            .iter()
            .map(|hall| hall.door.bell().load(Ordering::SeqCst))
            .collect();
        if self.announce(&halls) {
            let _ = sleep(&halls, &bells, Some(Deadline::after(CALLABLE)));
        }
        for hall in halls.iter() {
            hall.door.wakes(Sleeper::ServesSome);
        }
        if self.is_there(&halls) {
            Ok(())
        } else {
            Err(Errno::INTR)
        }
    }

    fn arm(&self) -> Armed<'_> {
        // A word cannot be borrowed from what may be replaced meanwhile.
        Armed::Wordless
    }
}

fn sleep<T>(
    halls: &Halls<T>,
    bells: &[u32],
    until: Option<Deadline>,
) -> std::result::Result<(), Errno> {
    if let ([hall], [bell]) = (halls.as_slice(), bells) {
        return futex::wait(hall.door.bell(), *bell, until);
    }
    let sleeps: Vec<Sleep<'_>> = halls
        .iter()
        .zip(bells)
        .map(|(hall, bell)| Sleep {
            word: hall.door.bell().look(),
            expected: *bell,
        })
        .collect();
    if futex::waitv_works() {
        return futex::waitv(&sleeps, until).map(drop);
    }
    // The first door may be any user's: a look at all of them every millisecond.
    let slice = Deadline::after(SLICE);
    let until = until.map_or(slice, |until| until.min(slice));
    futex::wait(sleeps[0].word, sleeps[0].expected, Some(until))
}

/// The waiting place of an attendant: all doors at once.
pub(super) struct Doorway<T> {
    post: Arc<Post<T>>,
    pub(super) source: Arc<dyn Source>,
    pub(super) halls: Halls<T>,
    held: Option<Arc<Session<T>>>,
    /// Whoever was served last: where the next one to come is likely to run.
    last: Option<Arc<Session<T>>>,
    bells: RefCell<Vec<u32>>,
    pub(super) sleeper: Sleeper,
    is_asleep: Cell<bool>,
}

impl<T: User> Doorway<T> {
    pub(super) fn new(shared: Arc<Shared<T>>, halls: Halls<T>) -> Self {
        let post = Arc::new(Post {
            shared,
            held: Mutex::new(None),
        });
        Self {
            source: post.clone(),
            post,
            halls,
            held: None,
            last: None,
            bells: RefCell::new(Vec::new()),
            sleeper: Sleeper::ServesAll,
            is_asleep: Cell::new(false),
        }
    }
}

impl<T: User> Doorway<T> {
    pub(super) fn hold(&mut self, session: Option<Arc<Session<T>>>) {
        lock(&self.post.held).clone_from(&session);
        let before = std::mem::replace(&mut self.held, session);
        if self.held.is_none() {
            self.last = before;
        }
    }

    /// The announced sleep is over.
    pub(super) fn awake(&self) {
        if self.is_asleep.take() {
            for hall in self.halls.iter() {
                hall.door.wakes(self.sleeper);
            }
        }
    }
}

impl<T: User> Park for Doorway<T> {
    fn full_fence(&self) {
        fence(Ordering::SeqCst);
    }

    fn light_fence(&self) {
        compiler_fence(Ordering::SeqCst);
    }

    /// Nothing is published here.
    fn peer_sleeps(&self) -> u32 {
        0
    }

    fn ring(&self) {}

    fn may_be_lean(&self) -> bool {
        false
    }

    fn say_lean(&self, _: bool) {}

    fn count_sleep(&self) {
        if let Some(session) = &self.held {
            // Whether something has come is looked at after this.
            session.arm();
        }
        if !self.is_asleep.replace(true) {
            for hall in self.halls.iter() {
                hall.door.sleeps(self.sleeper);
            }
        }
    }

    /// Each session's own place has seen to that.
    fn peer_is_lean(&self) -> bool {
        false
    }

    fn heavy_fence(&self) {}

    fn bell(&self) -> u32 {
        let mut bells = self.bells.borrow_mut();
        bells.clear();
        bells.extend(
            self.halls
                .iter()
                .map(|hall| hall.door.bell().load(Ordering::SeqCst)),
        );
        bells.first().copied().unwrap_or(0)
    }

    fn sleep(&self, _: u32, until: Option<Deadline>) -> bool {
        sleep(&self.halls, &self.bells.borrow(), until).is_ok()
    }

    fn rang_at(&self) -> u64 {
        self.halls
            .iter()
            .map(|hall| hall.door.rang_at())
            .max()
            .unwrap_or(0)
    }

    /// Clients are told by what is sent to them.
    fn say_cpu(&self, _: u32) {}

    fn peer_cpu(&self) -> u32 {
        let session = self.held.as_ref().or(self.last.as_ref());
        let known = session.and_then(|session| session.peer_cpu.as_ref());
        // While nobody has been served: another one than this.
        known.map_or_else(
            || cpu::quick().wrapping_add(1),
            |cpu| cpu.word().load(Ordering::Relaxed),
        )
    }
}
