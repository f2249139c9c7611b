//! One wait over a mechanism of every sort, each made ready by another process.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use strait::Namespace;
use strait::nt::{Event, Reset, Timer};
use strait::unix::fifo::Fifo;
use strait::unix::ipc::Key;
use strait::unix::msg::{self, Receiving, Select};
use strait::unix::pipe::{self, Reader, Writer};
use strait::unix::process::{self, Child};
use strait::unix::sem::{self, Acquiring};
use strait::unix::signal::{self, Receiver, Signal};
use strait::unix::socket::Stream;
use strait::wait::{self, Waitable};
use strait_sys::spawn;

use crate::death::watch::let_sleep;
use crate::peer::{Peer, command, say, told};
use crate::unix::signal::blocking;
use crate::world::GUARD;

const KINDS: [&str; 9] = [
    "event",
    "pipe",
    "fifo",
    "signal",
    "child",
    "queue",
    "semaphore",
    "socket",
    "timer",
];

/// What the waiter waits for, in that order.
struct Members {
    event: Event,
    pipe: Reader,
    fifo: Reader,
    signals: Receiver,
    child: (Child, Writer),
    queue: Receiving,
    unit: Acquiring,
    socket: Stream,
    timer: Timer,
}

/// A child that lives as long as it is not killed, and its waiter lives.
fn child() -> (Child, Writer) {
    let (stdin, held) = pipe::create().unwrap();
    let mut command = Command::new("cat");
    let child = process::start(command.stdin(stdin).stdout(Stdio::null())).unwrap();
    say(child.id());
    (child, held)
}

impl Members {
    fn all(&self) -> [&dyn Waitable; 9] {
        [
            &self.event,
            &self.pipe,
            &self.fifo,
            &self.signals,
            &self.child.0,
            &self.queue,
            &self.unit,
            &self.socket,
            &self.timer,
        ]
    }

    /// Takes what the wait has only looked at, and says what it was.
    fn take(&mut self, index: usize) -> String {
        let mut bytes = [0; 16];
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match KINDS[index] {
            "pipe" => {
                let len = self.pipe.try_read(&mut bytes).unwrap().unwrap();
                text(&bytes[..len])
            }
            "fifo" => {
                let len = self.fifo.try_read(&mut bytes).unwrap().unwrap();
                text(&bytes[..len])
            }
            "signal" => {
                let one = self.signals.try_recv().unwrap().unwrap();
                one.value.unwrap().int().to_string()
            }
            "child" => {
                assert!(!self.child.0.wait().unwrap().success());
                self.child = child();
                "killed".into()
            }
            "queue" => text(&self.queue.take().unwrap().unwrap().bytes),
            "socket" => {
                let len = self.socket.try_read(&mut bytes).unwrap().unwrap();
                text(&bytes[..len])
            }
            // The wait itself has taken it.
            _ => "taken".into(),
        }
    }
}

/// Waits when told to: `wait`, or `cancel` for a wait that ends by its time.
pub(crate) fn waiter(args: &[String]) {
    let [space, fifo, pipe, socket, queue, set] = args else {
        panic!("{args:?}");
    };
    let space = Namespace::directory(space).unwrap();
    let inherited = |number: &String| spawn::take_inherited(number.parse().unwrap()).unwrap();
    let queue = msg::Queue::from_id(queue.parse().unwrap()).unwrap();
    let set = sem::Set::from_id(set.parse().unwrap()).unwrap();
    let mut members = Members {
        event: space.event("event").create_or_open().unwrap().0,
        pipe: inherited(pipe).try_into().unwrap(),
        fifo: Fifo::open(fifo).unwrap().endless_reader().unwrap(),
        signals: signal::Set::new([usr1()]).block().unwrap(),
        child: child(),
        queue: queue.receiving(Select::Any).unwrap(),
        unit: set.acquiring(&[sem::down(0)]).unwrap(),
        socket: Stream::from_descriptor(inherited(socket)).unwrap(),
        timer: space.timer("timer").create_or_open().unwrap().0,
    };
    say(rustix::thread::gettid().as_raw_nonzero());
    while let Some(line) = told() {
        let timeout = if line == "wait" {
            GUARD
        } else {
            Duration::from_millis(20)
        };
        let won = wait::any_for(&members.all(), timeout).unwrap();
        match won {
            None => say("nothing"),
            Some(won) => {
                let taken = members.take(won.index);
                say(format!("{} {taken}", KINDS[won.index]));
            }
        }
    }
}

fn usr1() -> Signal {
    Signal::realtime(1).unwrap()
}

/// Who makes them ready.
struct World {
    event: Event,
    timer: Timer,
    pipe: Writer,
    fifo: Writer,
    queue: msg::Queue,
    set: sem::Set,
    socket: Stream,
    peer: Peer,
    child: u32,
    thread: i32,
}

impl World {
    fn new(space: &Namespace, path: &Path) -> Self {
        let event = space.event("event").reset(Reset::Auto).create().unwrap();
        let timer = space.timer("timer").reset(Reset::Auto).create().unwrap();
        let fifo = Fifo::create(path, 0o600).unwrap();
        let (reader, pipe) = pipe::create().unwrap();
        let (socket, theirs) = Stream::pair().unwrap();
        let queue = msg::Queue::create(Key::PRIVATE, 0o600).unwrap();
        let set = sem::Set::create_with(Key::PRIVATE, &[0], 0o600).unwrap();
        let (reader, theirs) = (OwnedFd::from(reader), OwnedFd::from(theirs));
        let mut command = command(
            "waits.every",
            &[
                &space.path().display().to_string(),
                &path.display().to_string(),
                &reader.as_fd().as_raw_fd().to_string(),
                &theirs.as_fd().as_raw_fd().to_string(),
                &queue.id().to_string(),
                &set.id().to_string(),
            ],
        );
        spawn::keep_open(&mut command, reader).unwrap();
        spawn::keep_open(&mut command, theirs).unwrap();
        let mut peer = blocking(&mut command, &[usr1()]);
        let number = |peer: &mut Peer| peer.hear().unwrap().parse::<u32>().unwrap();
        let child = number(&mut peer);
        let thread = i32::try_from(number(&mut peer)).unwrap();
        let fifo = fifo.writer_for(GUARD).unwrap().expect("a reader");
        Self {
            event,
            timer,
            pipe,
            fifo,
            queue,
            set,
            socket,
            peer,
            child,
            thread,
        }
    }

    /// Makes one ready; what the waiter will say.
    fn trigger(&self, kind: &str) -> &'static str {
        match kind {
            "event" => self.event.set().map(|_| "event taken").unwrap(),
            "pipe" => self
                .pipe
                .write_all(b"by pipe")
                .map(|()| "pipe by pipe")
                .unwrap(),
            "fifo" => self
                .fifo
                .write_all(b"by fifo")
                .map(|()| "fifo by fifo")
                .unwrap(),
            "signal" => signal::send_value(self.peer.child.id(), usr1(), 77)
                .map(|()| "signal 77")
                .unwrap(),
            "child" => signal::send(self.child, Signal::KILL)
                .map(|()| "child killed")
                .unwrap(),
            "queue" => self
                .queue
                .send(3, b"by queue")
                .map(|()| "queue by queue")
                .unwrap(),
            "semaphore" => self
                .set
                .op(&[sem::up(0)])
                .map(|()| "semaphore taken")
                .unwrap(),
            "socket" => self
                .socket
                .write_all(b"by socket")
                .map(|()| "socket by socket")
                .unwrap(),
            _ => self
                .timer
                .set(Duration::ZERO)
                .map(|_| "timer taken")
                .unwrap(),
        }
    }

    /// What the waiter says of its wait. A new child comes with the end of the last.
    fn said(&mut self) -> String {
        let line = self.peer.hear().unwrap();
        let Ok(child) = line.parse() else {
            return line;
        };
        self.child = child;
        self.peer.hear().unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The waiter first: what it waits on goes under it.
        self.peer.kill();
        let _ = (self.queue.remove(), self.set.remove());
    }
}

/// Each in turn wakes the wait. What the losers have stays theirs, and a wait that ends by its time
/// takes nothing.
pub(crate) fn each_mechanism_wakes_a_wait_and_the_losers_keep_theirs() {
    let space = Namespace::temporary().unwrap();
    let path = std::env::temp_dir().join(format!("strait-every-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let mut world = World::new(&space, &path);
    for kind in KINDS {
        world.peer.tell("wait");
        let_sleep(world.peer.child.id(), world.thread);
        let expected = world.trigger(kind);
        assert_eq!(world.said(), expected);
    }
    world.peer.tell("cancel");
    assert_eq!(world.said(), "nothing");
    let mut expected = KINDS.map(|kind| world.trigger(kind));
    let mut said = KINDS.map(|_| {
        world.peer.tell("wait");
        world.said()
    });
    // A death takes its moment, so that the child may come later than its place.
    expected.sort_unstable();
    said.sort_unstable();
    assert_eq!(said, expected);
    world.peer.tell("cancel");
    assert_eq!(world.said(), "nothing");
    drop(world);
    std::fs::remove_file(&path).unwrap();
}
