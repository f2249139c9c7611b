//! POSIX message queues between processes.

use std::ops::Deref;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use strait::nt::Event;
use strait::unix::mqueue::{self, Access, Message, PRIORITY_MAX, Queue};
use strait::{Birth, ErrorKind, wait};
use strait_sys::interrupt;

use crate::peer::{Peer, Role, command, say, told};
use crate::world::{GUARD, USERS, as_user, is_root, no_users, permitted, refused, skip, within};

const SHORT: Duration = Duration::from_millis(5);

pub(crate) const ROLES: &[(&str, Role)] = &[
    ("mqueue.worker", worker),
    ("mqueue.stranger", stranger),
    ("mqueue.listed", listed),
];

/// A queue whose name goes with the value, also when the test fails.
struct Gone(Queue, String);

impl Gone {
    /// None on a kernel without such queues.
    fn new(test: &str) -> Option<Self> {
        let name = format!("/strait-test-{test}-{}", std::process::id());
        match Queue::options().room(4, 64).create(&name) {
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                skip(test, error);
                None
            }
            other => Some(Self(other.unwrap(), name)),
        }
    }

    fn worker(&self) -> Peer {
        let mut peer = Peer::start("mqueue.worker", &[&self.1]);
        assert_eq!(peer.hear().as_deref(), Some("ready"));
        peer
    }
}

impl Deref for Gone {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        &self.0
    }
}

impl Drop for Gone {
    fn drop(&mut self) {
        // A test may have done it.
        let _ = mqueue::unlink(&self.1);
    }
}

fn text(message: &Message) -> String {
    let bytes = String::from_utf8_lossy(&message.bytes);
    format!("{} {bytes}", message.priority)
}

#[test]
fn limits_are_what_new_queues_meet() {
    let Some(queue) = Gone::new("limits") else {
        return;
    };
    let limits = mqueue::limits().unwrap();
    let sysctl = |name: &str| -> u64 {
        let text = std::fs::read_to_string(format!("/proc/sys/fs/mqueue/{name}")).unwrap();
        text.trim().parse().unwrap()
    };
    assert_eq!(limits.queues, sysctl("queues_max"));
    assert_eq!(limits.messages, sysctl("msg_max"));
    assert_eq!(limits.bytes, sysctl("msgsize_max"));
    drop(queue);
    let name = format!("/strait-test-limits-{}", std::process::id());
    let usual = Queue::options().create(&name).unwrap();
    mqueue::unlink(&name).unwrap();
    let stat = usual.stat().unwrap();
    assert!(u64::from(stat.messages_max) <= limits.messages);
    assert!(u64::from(stat.bytes_max) <= limits.bytes);
}

/// Does with the queue `args[0]` what it is told, and says what came of it.
fn worker(args: &[String]) {
    let queue = Queue::open(&args[0]).unwrap();
    say("ready");
    while let Some(line) = told() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["send", priority, text] => {
                queue
                    .send(priority.parse().unwrap(), text.as_bytes())
                    .unwrap();
                say("sent");
            }
            ["recv"] => say(text(&queue.recv().unwrap())),
            ["recv-for"] => say(text(&queue.recv_for(GUARD).unwrap().unwrap())),
            ["wait"] => {
                wait::any(&[&queue]).unwrap();
                say(text(&queue.try_recv().unwrap().unwrap()));
            }
            _ => panic!("no such order: {line}"),
        }
    }
}

#[test]
fn priorities_overtake_between_processes() {
    let Some(queue) = Gone::new("priorities") else {
        return;
    };
    let mut peer = queue.worker();
    for order in ["send 1 a", "send 32767 top", "send 1 b", "send 2 c"] {
        assert_eq!(peer.ask(order), "sent");
    }
    assert!(!queue.try_send(9, b"full").unwrap());
    assert!(!queue.send_for(9, b"full", SHORT).unwrap());
    let stat = queue.stat().unwrap();
    assert_eq!(
        (stat.messages, stat.messages_max, stat.bytes_max),
        (4, 4, 64)
    );
    assert_eq!(
        (stat.uid, stat.mode),
        (rustix::process::geteuid().as_raw(), 0o600)
    );
    let mut buffer = [0; 64];
    assert_eq!(queue.recv_into(&mut buffer).unwrap(), (3, PRIORITY_MAX));
    assert_eq!(text(&queue.recv().unwrap()), "2 c");
    assert_eq!(text(&queue.recv_for(GUARD).unwrap().unwrap()), "1 a");
    assert_eq!(
        queue.recv_into_for(&mut buffer, GUARD).unwrap(),
        Some((1, 1))
    );
    assert_eq!(queue.try_recv().unwrap(), None);
    assert_eq!(queue.recv_for(SHORT).unwrap(), None);
    assert_eq!(queue.try_recv_into(&mut buffer).unwrap(), None);
    // And to those who wait there.
    for order in ["recv", "recv-for", "wait"] {
        peer.tell(order);
        assert!(queue.send_for(3, b"here", GUARD).unwrap());
        assert_eq!(peer.hear().as_deref(), Some("3 here"));
    }
    // A sender who waits for room finds it.
    (0..4).for_each(|_| queue.send(0, b"").unwrap());
    peer.tell("send 5 late");
    assert_eq!(text(&queue.recv().unwrap()), "0 ");
    assert_eq!(peer.hear().as_deref(), Some("sent"));
    assert_eq!(text(&queue.recv().unwrap()), "5 late");
}

#[test]
fn what_is_wrong_with_it_is_said() {
    let Some(queue) = Gone::new("wrong") else {
        return;
    };
    let error = refused(queue.send(0, &[0; 65]), ErrorKind::TooLong);
    assert_eq!(error.subject(), format!("POSIX queue {}", queue.1));
    assert!(error.why().contains("65 bytes; the limit is 64"), "{error}");
    refused(
        queue.try_send(PRIORITY_MAX + 1, b""),
        ErrorKind::InvalidInput,
    );
    queue.send(0, b"stays").unwrap();
    let error = refused(queue.recv_into(&mut [0; 63]), ErrorKind::TooLong);
    assert!(error.why().contains("a buffer of 63 bytes"), "{error}");
    assert_eq!(queue.stat().unwrap().messages, 1);
    refused(Queue::options().create(&queue.1), ErrorKind::Exists);
    let (again, birth) = Queue::options().create_or_open(&queue.1).unwrap();
    assert_eq!((birth, again.bytes_max()), (Birth::Opened, 64));
    let half = |access| Queue::options().access(access).open(&queue.1).unwrap();
    refused(half(Access::Send).try_recv(), ErrorKind::Denied);
    refused(half(Access::Recv).try_send(0, b""), ErrorKind::Denied);
    assert_eq!(text(&half(Access::Recv).recv().unwrap()), "0 stays");
    refused(queue.set_mode(0o700), ErrorKind::InvalidInput);
    refused(
        Queue::options().mode(0o700).create("x"),
        ErrorKind::InvalidInput,
    );
    refused(
        Queue::options().room(0, 64).create("/strait-none"),
        ErrorKind::InvalidInput,
    );
    let file = std::fs::File::open("/dev/null").unwrap();
    refused(Queue::from_fd(file.into()), ErrorKind::WrongKind);
    assert_eq!(
        Queue::from_fd(queue.try_clone().unwrap())
            .unwrap()
            .bytes_max(),
        64
    );
    mqueue::unlink(&queue.1).unwrap();
    refused(mqueue::unlink(&queue.1), ErrorKind::NotFound);
    refused(Queue::open(&queue.1), ErrorKind::NotFound);
    // It goes on without a name.
    queue.send(1, b"on").unwrap();
    assert_eq!(text(&again.recv().unwrap()), "1 on");
}

#[test]
fn signals_do_not_end_an_attempt() {
    let Some(queue) = Gone::new("attempts") else {
        return;
    };
    interrupt::accept().unwrap();
    let tid = rustix::thread::gettid().as_raw_nonzero().get();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let storm = scope.spawn(|| {
            while !done.load(SeqCst) {
                interrupt::thread(tid).unwrap();
            }
        });
        let before = interrupt::handled();
        let attempts = || {
            while interrupt::handled() < before + 1_000 {
                assert_eq!(queue.try_recv()?, None);
                (0..4).try_for_each(|_| queue.send(0, b""))?;
                assert!(!queue.try_send(0, b"")?);
                (0..4).try_for_each(|_| queue.recv().map(drop))?;
            }
            strait::Result::Ok(())
        };
        let ended = attempts();
        done.store(true, SeqCst);
        storm.join().unwrap();
        ended.unwrap();
    });
}

#[test]
fn it_is_a_member_of_waits_and_loses_nothing_by_it() {
    let Some(queue) = Gone::new("waits") else {
        return;
    };
    let event = Event::options().create().unwrap();
    assert!(wait::any_for(&[&event, &*queue], SHORT).unwrap().is_none());
    let mut peer = queue.worker();
    peer.tell("send 4 woken");
    let won = wait::any_for(&[&event, &*queue], GUARD).unwrap().unwrap();
    assert_eq!(won.index, 1);
    assert_eq!(queue.stat().unwrap().messages, 1);
    assert!(
        wait::any_for(&[&wait::writable(&*queue)], GUARD)
            .unwrap()
            .is_some()
    );
    assert_eq!(text(&queue.recv().unwrap()), "4 woken");
}

#[test]
fn what_a_killed_sender_sent_stays() {
    let Some(queue) = Gone::new("killed") else {
        return;
    };
    let mut peer = queue.worker();
    assert_eq!(peer.ask("send 1 last"), "sent");
    peer.kill();
    let mut peer = queue.worker();
    assert_eq!(peer.ask("recv"), "1 last");
    peer.tell("recv");
    peer.kill();
    queue.send(2, b"next").unwrap();
    assert_eq!(text(&queue.recv().unwrap()), "2 next");
}

/// Another user, who may send to the queue `args[0]` and no more.
fn stranger(args: &[String]) {
    refused(Queue::open(&args[0]), ErrorKind::Denied);
    let queue = Queue::options()
        .access(Access::Send)
        .open(&args[0])
        .unwrap();
    queue.send(1, b"letter").unwrap();
    refused(queue.set_mode(0o666), ErrorKind::Denied);
    refused(mqueue::unlink(&args[0]), ErrorKind::Denied);
    let own = format!("{}-own", args[0]);
    // An ordinary user has limits.
    let huge = Queue::options().room(60_000, 8192).create(&own);
    refused(huge, ErrorKind::InvalidInput);
    // So many bytes in all queues, which is RLIMIT_MSGQUEUE.
    let make = |number| Queue::options().create(&format!("{own}-{number}"));
    let made: Vec<_> = (0..300).map(make).take_while(Result::is_ok).collect();
    let error = refused(make(made.len()), ErrorKind::Exhausted);
    assert!(error.why().contains("ulimit -q"), "{error}");
    (0..made.len()).for_each(|number| mqueue::unlink(&format!("{own}-{number}")).unwrap());
    say("done");
}

#[test]
fn others_may_what_the_mode_says() {
    if let Some(why) = no_users() {
        return skip("others_may_what_the_mode_says", why);
    }
    let Some(queue) = Gone::new("others") else {
        return;
    };
    queue.set_mode(0o622).unwrap();
    assert_eq!(queue.stat().unwrap().mode, 0o622);
    let mut peer = command("mqueue.stranger", &[&queue.1]);
    let mut peer = Peer::of(as_user(&mut peer, USERS[0]));
    assert_eq!(peer.hear().as_deref(), Some("done"));
    assert_eq!(text(&queue.recv().unwrap()), "1 letter");
    // A mode is what it says, whatever the umask.
    let name = format!("{}-open", queue.1);
    let open = Queue::options().mode(0o666).create(&name).unwrap();
    mqueue::unlink(&name).unwrap();
    assert_eq!(open.stat().unwrap().mode, 0o666);
}

/// Where `/dev/mqueue` is mounted for an IPC namespace of its own.
fn listed(_: &[String]) {
    assert_eq!(mqueue::list().unwrap(), [""; 0]);
    let _queues = ["b", "/a"].map(|name| Queue::options().create(name).unwrap());
    assert_eq!(mqueue::list().unwrap(), ["/a", "/b"]);
    say("done");
}

/// A `/dev` of its own.
const MOUNTED: &str = "mount -t tmpfs none /dev && mkdir /dev/mqueue && \
    mount -t mqueue none /dev/mqueue && exec \"$@\"";

#[test]
fn queues_are_listed_where_they_are_mounted() {
    let test = "queues_are_listed_where_they_are_mounted";
    let wrapper = ["unshare", "-im", "sh", "-c", MOUNTED, "sh"];
    if !is_root() || !permitted(&wrapper) {
        return skip(test, "no namespaces of its own, which needs root");
    }
    let mut peer = Peer::of(&mut within(&wrapper, &command("mqueue.listed", &[])));
    assert_eq!(peer.hear().as_deref(), Some("done"));
    assert!(peer.finish().success());
}
