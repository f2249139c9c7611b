//! One thread that hears of the peers' ends: the kernel hangs up a session's socket when its other
//! side has closed or died, and this wakes whoever of this process sleeps for it.

use std::os::fd::{AsFd, BorrowedFd};
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
        None => start()?,
    };
    let key = WATCHER.with(|watcher| watcher.enter(link));
    let added = match add(&poll, link, key.data()) {
        Err(Errno::BADF | Errno::INVAL) => {
            renew(&poll).and_then(|poll| add(&poll, link, key.data()).map_err(fail))
        }
        added => added.map_err(fail),
    };
    if let Err(error) = added {
        forget_key(key);
        return Err(error);
    }
    Ok(key)
}

fn add(poll: &ChildClosed, link: &Link, data: u64) -> std::result::Result<(), Errno> {
    let event = epoll::EventData::new_u64(data);
    let flags = epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
    match epoll::add(poll, &link.socket, event, flags) {
        // By whoever has renewed the poll meanwhile.
        Err(Errno::EXIST) => Ok(()),
        added => added,
    }
}

impl Key {
    fn data(self) -> u64 {
        (self.index as u64) << 32 | u64::from(self.birth)
    }
}

impl Watcher {
    /// Has a thread hear that poll, unless there is one already: its poll.
    fn begin(&mut self, poll: &Arc<ChildClosed>) -> Result<Arc<ChildClosed>> {
        if let Some(known) = &self.poll {
            return Ok(known.clone());
        }
        let heard = poll.clone();
        // Here, where nobody sees the poll yet: what is entered there is heard.
        thread::spawn_quiet("strait-peers", move || run(&heard)).map_err(fail)?;
        self.poll = Some(poll.clone());
        Ok(poll.clone())
    }

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

    /// Goes on with that poll in the place of a lost one: its poll, and whom to enter there.
    #[expect(clippy::type_complexity, reason = "in use once")]
    fn replace(
        &mut self,
        lost: &Arc<ChildClosed>,
        poll: &Arc<ChildClosed>,
    ) -> Result<(Arc<ChildClosed>, Vec<(u64, Arc<Link>)>)> {
        let before = self.poll.take_if(|known| Arc::ptr_eq(known, lost));
        match self.begin(poll) {
            Ok(begun) if Arc::ptr_eq(&begun, poll) => Ok((begun, self.all())),
            // Somebody else was faster.
            Ok(known) => Ok((known, Vec::new())),
            Err(error) => {
                self.poll = before;
                Err(error)
            }
        }
    }

    /// Those that are watched, with their keys' data.
    fn all(&self) -> Vec<(u64, Arc<Link>)> {
        let entries = self.links.iter().enumerate();
        let live = entries.filter_map(|(index, (birth, link))| {
            let data = (index as u64) << 32 | u64::from(*birth);
            Some((data, link.as_ref()?.upgrade()?))
        });
        live.collect()
    }

    fn find(&self, data: u64) -> Option<Arc<Link>> {
        let (birth, link) = self.links.get(usize::try_from(data >> 32).ok()?)?;
        if u64::from(*birth) != data & 0xffff_ffff {
            return None;
        }
        link.as_ref()?.upgrade()
    }
}

fn new_poll() -> Result<Arc<ChildClosed>> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(fail)?;
    Ok(Arc::new(fork::close_in_child(poll)))
}

fn start() -> Result<Arc<ChildClosed>> {
    let poll = new_poll()?;
    WATCHER.with(|watcher| watcher.begin(&poll))
}

/// Goes on with another poll: the program has closed the number of this one, which was not its own,
/// or has given it to another file. Everybody who is watched is entered again.
fn renew(lost: &Arc<ChildClosed>) -> Result<Arc<ChildClosed>> {
    let poll = new_poll()?;
    let (poll, links) = WATCHER.with(|watcher| watcher.replace(lost, &poll))?;
    lost.disown();
    for (data, link) in links {
        if add(&poll, &link, data).is_err() {
            // Its socket is lost too: nobody is to sleep for it.
            link.mourn();
        }
    }
    Ok(poll)
}

fn run(poll: &Arc<ChildClosed>) {
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
            if renew(poll).is_ok() && mourned.is_empty() {
                return;
            }
            // sleep: no event tells that there are descriptors and threads again
            std::thread::sleep(AGAIN);
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

#[cfg(test)]
mod tests;
