//! One thread that answers clients: whether there is a pipe for them does not wait for the server's
//! calls.
//!
//! It accepts on the sockets of this process's pipes, lets each client say what it wants, and hands
//! it the instance that has listened longest, or refuses it. Who waits for an instance stays with
//! it until one listens. A client that says nothing holds nobody up: it is hung up on after a
//! while, and sooner, the oldest first, when there are many or descriptors are short.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};
use strait_sys::fork::{self, ChildClosed, Guarded};
use strait_sys::time::Deadline;
use strait_sys::{Errno, thread};

use crate::channel::connect::establish_accepting;
use crate::error::{Error, Result};
use crate::nt::pipe::greeting::{Heard, PipeName, ROLE, WAIT, WAIT_DEFAULT};
use crate::nt::pipe::server::{Holder, Pipe};
use crate::object::kind::Birth;

/// Clients that wait for an instance, at most.
const WAITING_MAX: usize = 4096;
/// Clients that have not said what they want, at most: those who mean it say so at once.
const SILENT_MAX: usize = 256;
/// How long a client may take to say it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Descriptors that a connection takes at most, those that its greeting brings among them.
const NEEDED: usize = 16;
const EVENTS_MAX: usize = 64;
/// The pause when this process has no descriptor for a client.
const FULL: Duration = Duration::from_millis(10);

/// What this process knows of its pipes.
struct Doorman {
    generation: u32,
    next: u64,
    hub: Option<Arc<Hub>>,
    pipes: Vec<Entry>,
}

struct Entry {
    /// The path of its socket.
    path: std::path::PathBuf,
    id: u64,
    /// `None`: it is being made.
    pipe: Option<Weak<Pipe>>,
}

struct Hub {
    poll: ChildClosed,
    bell: OwnedFd,
}

static DOORMAN: Guarded<Doorman> = Guarded::new(Doorman {
    generation: 0,
    next: 1,
    hub: None,
    pipes: Vec::new(),
});

/// A number of its own for each pipe of this process.
pub(super) fn number() -> u64 {
    DOORMAN.with(|doorman| {
        doorman.next += 1;
        doorman.next
    })
}

enum Found {
    Pipe(Holder),
    /// Another thread is making it.
    Soon,
    /// It is ours to make.
    Nothing,
}

/// This process's pipe of that name, made if it has none.
pub(super) fn pipe_of(
    name: &PipeName,
    make: impl FnOnce() -> Result<Pipe>,
) -> Result<(Holder, Birth)> {
    let path = name.place().path();
    loop {
        match claim(&path) {
            Found::Pipe(holder) => return Ok((holder, Birth::Opened)),
            Found::Soon => {
                // sleep: the other thread makes a few system calls
                std::thread::sleep(Duration::from_micros(100));
            }
            Found::Nothing => break,
        }
    }
    let made = make().map(Holder::first).and_then(|holder| {
        watch(holder.pipe())?;
        Ok(holder)
    });
    DOORMAN.with(|doorman| {
        let entry = doorman.pipes.iter().position(|entry| entry.path == path);
        if let Some(at) = entry {
            match &made {
                Ok(holder) => {
                    let pipe = holder.pipe();
                    doorman.pipes[at].id = pipe.id;
                    doorman.pipes[at].pipe = Some(Arc::downgrade(pipe));
                }
                Err(_) => drop(doorman.pipes.swap_remove(at)),
            }
        }
    });
    // Clients that came before it was known.
    ring();
    Ok((made?, Birth::Created))
}

fn claim(path: &std::path::Path) -> Found {
    let generation = fork::generation();
    let mut old = None;
    let found = DOORMAN.with(|doorman| {
        if doorman.generation != generation {
            // The parent's pipes are the parent's, and its thread is not here.
            doorman.generation = generation;
            old = Some((doorman.hub.take(), std::mem::take(&mut doorman.pipes)));
        }
        let at = doorman.pipes.iter().position(|entry| entry.path == path);
        match at.map(|at| &mut doorman.pipes[at]) {
            Some(Entry { pipe: None, .. }) => Seen::Soon,
            Some(Entry {
                pipe: Some(pipe), ..
            }) => pipe.upgrade().map_or(Seen::Soon, Seen::Pipe),
            None => {
                doorman.pipes.push(Entry {
                    path: path.to_owned(),
                    id: 0,
                    pipe: None,
                });
                Seen::Nothing
            }
        }
    });
    drop(old);
    match found {
        // One without holders is on its way out, and its name with it.
        Seen::Pipe(pipe) => Holder::further(&pipe).map_or(Found::Soon, Found::Pipe),
        Seen::Soon => Found::Soon,
        Seen::Nothing => Found::Nothing,
    }
}

enum Seen {
    Pipe(Arc<Pipe>),
    Soon,
    Nothing,
}

/// The pipe is gone.
pub(super) fn forget(pipe: &Pipe) {
    DOORMAN.with(|doorman| {
        doorman.pipes.retain(|entry| entry.id != pipe.id);
    });
    // Who waits for it hears that it is gone.
    ring();
}

fn hub() -> Option<Arc<Hub>> {
    let generation = fork::generation();
    DOORMAN.with(|doorman| {
        let own = doorman.generation == generation;
        doorman.hub.clone().filter(|_| own)
    })
}

/// An instance listens, or a pipe has gone: those who wait are told.
pub(super) fn ring() {
    if let Some(hub) = hub() {
        // A full counter is readable as well.
        let _ = rustix::io::write(&hub.bell, &1u64.to_ne_bytes());
    }
}

fn fail(errno: Errno) -> Error {
    Error::kernel(errno, "create pipe", "")
}

/// Has clients of the pipe answered from now on.
fn watch(pipe: &Arc<Pipe>) -> Result<()> {
    let hub = match hub() {
        Some(hub) => hub,
        None => start()?,
    };
    let data = epoll::EventData::new_u64(Guest::door(pipe.id));
    let added = pipe
        .with_socket(|socket| epoll::add(hub.poll.as_fd(), socket, data, epoll::EventFlags::IN));
    added.unwrap_or(Ok(())).map_err(fail)
}

fn start() -> Result<Arc<Hub>> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(fail)?;
    let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(fail)?;
    let data = epoll::EventData::new_u64(Guest::BELL);
    epoll::add(&poll, &bell, data, epoll::EventFlags::IN).map_err(fail)?;
    let hub = Arc::new(Hub {
        poll: fork::close_in_child(poll),
        bell,
    });
    let generation = fork::generation();
    let mut old = None;
    // Two threads may have found it missing: the first one's counts.
    let kept = DOORMAN.with(|doorman| {
        if doorman.generation == generation
            && let Some(known) = &doorman.hub
        {
            return Ok(known.clone());
        }
        let host = hub.clone();
        // Here, where nobody sees the hub yet: whoever enters a pipe there is heard.
        thread::spawn_quiet("strait-doorman", move || Host::new(host).run())?;
        doorman.generation = generation;
        old = doorman.hub.replace(hub.clone());
        Ok(hub.clone())
    });
    drop(old);
    kept.map_err(|errno| Error::kernel(errno, "start thread", "strait-doorman"))
}

/// A client before it has its instance.
struct Guest {
    socket: OwnedFd,
    pipe: Weak<Pipe>,
}

/// A client that waits for an instance to listen, and is counted.
struct Waits(Weak<Pipe>);

impl Waits {
    fn new(pipe: &Arc<Pipe>) -> Self {
        pipe.waiters.fetch_add(1, Ordering::SeqCst);
        Self(Arc::downgrade(pipe))
    }
}

impl Guest {
    const BELL: u64 = 0;

    fn door(pipe: u64) -> u64 {
        pipe << 1 | 1
    }

    fn tell(&self, heard: Heard) {
        // Who is gone does not hear it.
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let _ = send(&self.socket, &heard.encode(), flags);
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        if let Some(pipe) = self.0.upgrade() {
            pipe.waiters.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// The thread.
struct Host {
    hub: Arc<Hub>,
    /// Those who have not spoken, and until when they may; the oldest first, as their numbers are.
    silent: BTreeMap<u64, (Guest, Deadline)>,
    waiting: BTreeMap<u64, (Guest, Waits)>,
    next: u64,
}

impl Host {
    fn new(hub: Arc<Hub>) -> Self {
        Self {
            hub,
            silent: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next: 1,
        }
    }

    fn run(mut self) {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        loop {
            events.clear();
            let room = rustix::buffer::spare_capacity(&mut events);
            let left = self.hang_up().map(|left| Timespec {
                tv_sec: left.as_secs().cast_signed(),
                tv_nsec: left.subsec_nanos().into(),
            });
            let waited = epoll::wait(self.hub.poll.as_fd(), room, left.as_ref());
            if waited.is_err_and(|errno| errno != Errno::INTR) {
                return;
            }
            for event in &events {
                match event.data.u64() {
                    Guest::BELL => self.look(),
                    door if door & 1 != 0 => self.accept(door >> 1),
                    guest => self.hear(guest >> 1),
                }
            }
        }
    }

    /// Hangs up on those who have been silent for too long; when the next one will have been.
    fn hang_up(&mut self) -> Option<Duration> {
        while let Some(oldest) = self.silent.first_entry() {
            let until = oldest.get().1;
            if !until.passed() {
                return Some(until.left());
            }
            oldest.remove();
        }
        None
    }

    /// Tells those who wait for what has changed.
    fn look(&mut self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.hub.bell, &mut count);
        self.waiting.retain(|_, (guest, _)| {
            let Some(pipe) = guest.pipe.upgrade() else {
                return false;
            };
            if pipe.with_socket(|_| ()).is_none() {
                // Its last holder is just letting go of it.
                return false;
            }
            let told = pipe.is_listening();
            if told {
                guest.tell(Heard::Listens);
            }
            !told
        });
    }

    fn accept(&mut self, id: u64) {
        let pipe = DOORMAN.with(|doorman| {
            let entry = doorman.pipes.iter().find(|entry| entry.id == id)?;
            entry.pipe.clone()
        });
        let Some(pipe) = pipe.and_then(|pipe| pipe.upgrade()) else {
            // It is not known yet, or no more.
            return std::thread::yield_now();
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        for _ in 0..EVENTS_MAX {
            match pipe.with_socket(|socket| accept_with(socket, flags)) {
                None => return,
                Some(Ok(socket)) => self.admit(socket, &pipe),
                Some(Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS)) => {
                    if self.silent.pop_first().is_some() {
                        continue;
                    }
                    // sleep: the client stays in the queue; nothing tells when there is room
                    return std::thread::sleep(FULL);
                }
                Some(Err(Errno::INTR | Errno::CONNABORTED)) => {}
                Some(Err(_)) => return,
            }
        }
    }

    fn admit(&mut self, socket: OwnedFd, pipe: &Arc<Pipe>) {
        let id = self.next;
        self.next += 1;
        let data = epoll::EventData::new_u64(id << 1);
        let flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP;
        if epoll::add(self.hub.poll.as_fd(), &socket, data, flags).is_err() {
            return;
        }
        if self.silent.len() >= SILENT_MAX {
            self.silent.pop_first();
        }
        let guest = Guest {
            socket,
            pipe: Arc::downgrade(pipe),
        };
        self.silent.insert(id, (guest, Deadline::after(PATIENCE)));
        // It has often spoken by now.
        self.hear(id);
    }

    /// The guest has spoken, or gone.
    fn hear(&mut self, id: u64) {
        let speaks = self.silent.get(&id).map(|(guest, _)| guest);
        let Some(guest) = speaks.or_else(|| Some(&self.waiting.get(&id)?.0)) else {
            return;
        };
        let mut said = [0; 8];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let heard = recv(&guest.socket, &mut said, flags);
        if matches!(heard, Err(Errno::AGAIN | Errno::INTR)) {
            return;
        }
        // Who waits has no more to say.
        self.waiting.remove(&id);
        let Some((guest, _)) = self.silent.remove(&id) else {
            return;
        };
        match heard {
            Ok((len, _)) if len != 0 => {}
            _ => return,
        }
        if said != *WAIT && said != *WAIT_DEFAULT {
            return self.seat(guest);
        }
        let _ = recv(&guest.socket, &mut said, RecvFlags::DONTWAIT);
        let Some(pipe) = guest.pipe.upgrade() else {
            return;
        };
        // Counted before the look: whoever listens after it rings.
        let waits = Waits::new(&pipe);
        if pipe.is_listening() {
            guest.tell(Heard::Listens);
        } else if said == *WAIT_DEFAULT {
            guest.tell(Heard::WaitFor(pipe.timeout));
        } else {
            if self.waiting.len() >= WAITING_MAX {
                self.waiting.pop_first();
            }
            self.waiting.insert(id, (guest, waits));
        }
    }

    /// Hangs up on those who are silent, the oldest first, until there are descriptors for a
    /// connection.
    fn make_room(&mut self) {
        while !self.silent.is_empty() {
            let room: std::result::Result<Vec<_>, Errno> = (0..NEEDED)
                .map(|_| fcntl_dupfd_cloexec(&self.hub.bell, 0))
                .collect();
            if room.is_ok() {
                return;
            }
            self.silent.pop_first();
        }
    }

    /// Gives the guest an instance.
    fn seat(&mut self, guest: Guest) {
        self.make_room();
        let Some(pipe) = guest.pipe.upgrade() else {
            return;
        };
        let _ = epoll::delete(self.hub.poll.as_fd(), &guest.socket);
        let mut picked = None;
        let established = establish_accepting(guest.socket, &pipe.options(), ROLE, |payload| {
            pipe.answer(payload, &mut picked)
        });
        match (established, picked) {
            (Ok((channel, _)), Some((instance, asked))) => instance.arrive(channel, asked),
            (_, Some((instance, _))) => instance.expect_no_more(),
            _ => {}
        }
    }
}
