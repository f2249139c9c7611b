//! One thread that hears of the peers' ends: the kernel hangs up a session's socket when its other
//! side has closed or died, and this wakes whoever of this process sleeps for it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustix::event::epoll;
use strait_sys::fork::{self, ChildClosed, Guarded};
use strait_sys::{Errno, thread};

use crate::channel::link::Link;
use crate::error::{Error, Result};

/// Between two attempts to wake those who were about to sleep.
const AGAIN: Duration = Duration::from_millis(1);
const EVENTS_MAX: usize = 64;

/// A session among those that are watched.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Key {
    generation: u32,
    index: usize,
    birth: u32,
}

#[derive(Debug)]
struct Watcher {
    generation: u32,
    poll: Option<Arc<ChildClosed>>,
    links: Vec<(u32, Option<Weak<Link>>)>,
    free: Vec<usize>,
}

static WATCHER: Guarded<Watcher> = Guarded::new(Watcher {
    generation: 0,
    poll: None,
    links: Vec::new(),
    free: Vec::new(),
});

fn fail(errno: Errno) -> Error {
    Error::kernel(errno, "watch channel", "")
}

/// Has the link told when its peer is gone.
pub(crate) fn watch(link: &Arc<Link>) -> Result<Key> {
    let generation = fork::generation();
    let mut old = None;
    let known = WATCHER.with(|watcher| {
        if watcher.generation != generation {
            // The parent's: its thread is not here.
            watcher.generation = generation;
            old = Some((
                watcher.poll.take(),
                std::mem::take(&mut watcher.links),
                std::mem::take(&mut watcher.free),
            ));
        }
        watcher.poll.clone()
    });
    drop(old);
    let poll = match known {
        Some(poll) => poll,
        None => start(generation)?,
    };
    let key = WATCHER.with(|watcher| watcher.enter(link));
    let event = epoll::EventData::new_u64((key.index as u64) << 32 | u64::from(key.birth));
    let flags = epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
    if let Err(errno) = epoll::add(poll.as_fd(), &link.socket, event, flags) {
        forget_key(key);
        return Err(fail(errno));
    }
    Ok(key)
}

impl Watcher {
    fn enter(&mut self, link: &Arc<Link>) -> Key {
        let weak = Some(Arc::downgrade(link));
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.links.push((0, None));
                self.links.len() - 1
            }
        };
        let entry = &mut self.links[index];
        entry.0 = entry.0.wrapping_add(1);
        entry.1 = weak;
        Key {
            generation: self.generation,
            index,
            birth: entry.0,
        }
    }

    fn find(&self, data: u64) -> Option<Arc<Link>> {
        let (birth, link) = self.links.get(usize::try_from(data >> 32).ok()?)?;
        if u64::from(*birth) != data & 0xffff_ffff {
            return None;
        }
        link.as_ref()?.upgrade()
    }
}

fn start(generation: u32) -> Result<Arc<ChildClosed>> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(fail)?;
    let poll = Arc::new(fork::close_in_child(poll));
    // Two threads may have found it missing: the first one's counts.
    let (kept, is_ours) = WATCHER.with(|watcher| match &watcher.poll {
        Some(poll) if watcher.generation == generation => (poll.clone(), false),
        _ => {
            watcher.poll = Some(poll.clone());
            (poll.clone(), true)
        }
    });
    if is_ours {
        let poll = kept.clone();
        if let Err(errno) = thread::spawn_quiet("strait-peers", move || run(&poll)) {
            let taken = WATCHER.with(|watcher| watcher.poll.take());
            drop(taken);
            return Err(fail(errno));
        }
    }
    Ok(kept)
}

fn run(poll: &OwnedFd) {
    let mut events = Vec::with_capacity(EVENTS_MAX);
    // Those of whom somebody had looked and was not asleep yet.
    let mut mourned: Vec<Arc<Link>> = Vec::new();
    loop {
        let timeout = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(AGAIN.subsec_nanos()),
        };
        let timeout = (!mourned.is_empty()).then_some(&timeout);
        events.clear();
        let waited = epoll::wait(poll, rustix::buffer::spare_capacity(&mut events), timeout);
        if waited.is_err_and(|errno| errno != Errno::INTR) {
            return;
        }
        for event in &events {
            let data = event.data.u64();
            mourned.extend(WATCHER.with(|watcher| watcher.find(data)));
        }
        mourned.retain(|link| !link.mourn());
    }
}

/// Ends the watch of a session. Its socket may live on in other processes.
pub(crate) fn forget(key: Key, socket: BorrowedFd<'_>) {
    let poll = forget_key(key);
    if let Some(poll) = poll {
        let _ = epoll::delete(poll.as_fd(), socket);
    }
}

fn forget_key(key: Key) -> Option<Arc<ChildClosed>> {
    let (poll, gone) = WATCHER.with(|watcher| {
        if watcher.generation != key.generation {
            return (None, None);
        }
        let entry = watcher.links.get_mut(key.index);
        let gone = entry
            .filter(|entry| entry.0 == key.birth)
            .map(|entry| entry.1.take());
        if gone.is_some() {
            watcher.free.push(key.index);
        }
        (watcher.poll.clone(), gone)
    });
    drop(gone);
    poll
}
