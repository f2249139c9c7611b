//! Messages between processes: by type, whole or cut, looked at, and after a death.

use std::collections::HashSet;
use std::sync::mpsc::channel;
use std::time::Duration;

use strait::ErrorKind;
use strait::unix::ipc::{Change, Key};
use strait::unix::msg::{self, Buffer, Queue, Select};
use strait_sys::interrupt;

use super::{Gone, text, until_blocked};
use crate::peer::Peer;
use crate::world::{GUARD, refused, until};

const SHORT: Duration = Duration::from_millis(5);

#[test]
fn messages_cross_by_type() {
    let queue = Gone::new();
    let mut peer = queue.worker();
    assert_eq!(peer.hear().as_deref(), Some("ready"));
    let highest = i64::MAX;
    for order in [
        "send 5 e",
        "send 3 c",
        "send 3 d",
        "send 9 z",
        &format!("send {highest} top"),
    ] {
        assert_eq!(peer.ask(order), "sent");
    }
    let recv = |select| text(&queue.try_recv(select).unwrap().expect("a message"));
    assert_eq!(recv(Select::Lowest(4)), "3 c");
    assert_eq!(recv(Select::Except(5)), "3 d");
    assert!(queue.try_recv(Select::Lowest(4)).unwrap().is_none());
    assert!(queue.try_recv(Select::Type(4)).unwrap().is_none());
    assert_eq!(recv(Select::from_msgtyp(i64::MIN)), "5 e");
    assert_eq!(recv(Select::Type(highest)), format!("{highest} top"));
    assert_eq!(recv(Select::Any), "9 z");
    assert!(queue.try_recv(Select::Except(1)).unwrap().is_none());
    // And the other way, to one who waits.
    peer.tell("recv type 7");
    until_blocked(&peer);
    queue.send(6, b"not that").unwrap();
    queue.send(7, b"that").unwrap();
    assert_eq!(peer.hear().as_deref(), Some("7 that"));
    assert_eq!(peer.ask("recv except 7"), "6 not that");
    peer.tell("recv-into any");
    queue.send(2, &[0; 64]).unwrap();
    assert_eq!(peer.hear().as_deref(), Some("2 64"));
    assert!(peer.finish().success());
}

#[test]
fn msgtyp_of_the_kernel_means_the_same() {
    assert_eq!(Select::from_msgtyp(0), Select::Any);
    assert_eq!(Select::from_msgtyp(3), Select::Type(3));
    assert_eq!(Select::from_msgtyp(-3), Select::Lowest(3));
    assert_eq!(Select::from_msgtyp(i64::MIN), Select::Lowest(i64::MAX));
    assert_eq!(Select::from_msgtyp(-i64::MAX), Select::Lowest(i64::MAX));
}

#[test]
fn one_of_many_makes_the_queue() {
    // In the range of a test: nobody else's key begins with these letters.
    let key = Key::new(0x5354_0000 | std::process::id() & 0xffff);
    let number = key.number().to_string();
    let mut peers: Vec<Peer> = (0..6)
        .map(|_| Peer::start("msg.birth", &[&number]))
        .collect();
    for peer in &mut peers {
        assert_eq!(peer.hear().as_deref(), Some("ready"));
    }
    for _ in 0..30 {
        peers.iter_mut().for_each(|peer| peer.tell("go"));
        let said: Vec<String> = peers.iter_mut().map(|peer| peer.hear().unwrap()).collect();
        let ids: HashSet<&str> = said
            .iter()
            .map(|said| said.split_once(' ').unwrap().1)
            .collect();
        assert_eq!(ids.len(), 1, "{said:?}");
        let born = said.iter().filter(|said| said.starts_with("created"));
        assert_eq!(born.count(), 1, "{said:?}");
        let queue = Gone(Queue::open(key).unwrap());
        assert_eq!(queue.stat().unwrap().messages, 6);
        refused(Queue::create(key, 0o600), ErrorKind::Exists);
    }
}

#[test]
fn a_message_that_does_not_fit_stays() {
    let queue = Gone::new();
    queue.send(1, b"longer than that").unwrap();
    let mut buffer = Buffer::new(6);
    let error = refused(
        queue.recv_into(Select::Any, &mut buffer),
        ErrorKind::TooLong,
    );
    assert!(error.why().contains("longer than 6 bytes"), "{error}");
    let timed = queue.recv_into_for(Select::Any, &mut buffer, GUARD);
    refused(timed, ErrorKind::TooLong);
    assert_eq!(queue.texts(), ["1 longer than that"]);
    let mut cutting = Buffer::new(6).cutting();
    queue.recv_into(Select::Any, &mut cutting).unwrap();
    assert_eq!((cutting.kind(), cutting.bytes()), (1, &b"longer"[..]));
    assert!(!queue.try_recv_into(Select::Any, &mut cutting).unwrap());
    // What fits is not cut, and an empty one is one.
    queue.send(2, b"").unwrap();
    assert!(
        queue
            .recv_into_for(Select::Any, &mut cutting, GUARD)
            .unwrap()
    );
    assert_eq!((cutting.kind(), cutting.bytes()), (2, &b""[..]));
}

#[test]
fn a_queue_is_full_of_empty_messages_too() {
    let queue = Gone::of_bytes(100);
    for _ in 0..100 {
        assert!(queue.try_send(1, b"").unwrap());
    }
    assert!(!queue.try_send(1, b"").unwrap());
    assert!(!queue.send_for(1, b"", SHORT).unwrap());
    assert_eq!(queue.stat().unwrap().messages, 100);
    queue.recv(Select::Any).unwrap();
    assert!(queue.send_for(1, b"", GUARD).unwrap());
    // Full by bytes, and never room for more than all of it.
    let error = refused(queue.send_for(1, &[0; 101], GUARD), ErrorKind::TooLong);
    assert!(error.why().contains("the limit is 100"), "{error}");
}

#[test]
fn time_runs_out_and_room_comes() {
    let queue = Gone::of_bytes(8);
    assert!(queue.recv_for(Select::Any, SHORT).unwrap().is_none());
    assert!(
        queue
            .recv_for(Select::Any, Duration::ZERO)
            .unwrap()
            .is_none()
    );
    let mut buffer = Buffer::new(8);
    assert!(
        !queue
            .recv_into_for(Select::Any, &mut buffer, SHORT)
            .unwrap()
    );
    queue.send(1, &[0; 8]).unwrap();
    assert!(!queue.send_for(1, b"x", Duration::ZERO).unwrap());
    let mut peer = queue.worker();
    peer.hear();
    peer.tell("send-for");
    peer.tell("recv-for type 4");
    // It tries again and again: at some time it finds room.
    let first = queue.recv_for(Select::Any, GUARD).unwrap().unwrap();
    assert_eq!(first.bytes, [0; 8]);
    assert_eq!(peer.hear().as_deref(), Some("true"));
    assert_eq!(
        text(&queue.recv_for(Select::Any, GUARD).unwrap().unwrap()),
        "1 late"
    );
    until_blocked(&peer);
    queue.send(4, b"come").unwrap();
    assert_eq!(peer.hear().as_deref(), Some("4 come"));
    assert_eq!(queue.texts().len(), 0);
}

#[test]
fn looking_takes_nothing_and_leaves_no_trace() {
    let queue = Gone::new();
    assert!(queue.peek().next().is_none());
    let longest = vec![b'x'; 8192];
    for (kind, bytes) in [(4, &b"a"[..]), (1, b""), (9, &longest)] {
        queue.send(kind, bytes).unwrap();
    }
    let before = queue.stat().unwrap();
    let seen: Vec<_> = queue.peek().map(|message| message.unwrap()).collect();
    let kinds: Vec<_> = seen
        .iter()
        .map(|seen| (seen.kind, seen.bytes.len()))
        .collect();
    assert_eq!(kinds, [(4, 1), (1, 0), (9, 8192)]);
    assert_eq!(queue.peek_at(2).unwrap(), seen.last().cloned());
    for past in [3, 1000, usize::MAX] {
        assert_eq!(queue.peek_at(past).unwrap(), None);
    }
    assert_eq!(queue.stat().unwrap(), before);
    assert_eq!(before.last_receiver, None);
}

#[test]
fn a_queue_tells_of_itself() {
    let queue = Gone::new();
    let mut peer = queue.worker();
    peer.hear();
    assert_eq!(peer.ask("send 1 abc"), "sent");
    queue.send(1, b"de").unwrap();
    assert_eq!(peer.ask("recv any"), "1 abc");
    let stat = queue.stat().unwrap();
    assert_eq!((stat.id, stat.key), (queue.id(), Key::PRIVATE));
    assert_eq!((stat.messages, stat.bytes), (1, 2));
    assert_eq!(stat.last_sender, Some(std::process::id()));
    assert_eq!(stat.last_receiver, Some(peer.child.id()));
    assert!(stat.sent.is_some() && stat.received >= stat.sent && stat.changed <= stat.sent);
    let me = rustix::process::geteuid().as_raw();
    assert_eq!((stat.permissions.uid, stat.permissions.mode), (me, 0o600));
    queue.set(Change::new().mode(0o640)).unwrap();
    queue.set_bytes_max(64).unwrap();
    let now = queue.stat().unwrap();
    assert_eq!((now.permissions.mode, now.bytes_max), (0o640, Some(64)));
    assert_eq!((now.permissions.uid, now.messages), (me, 1));
    let listed = msg::list().unwrap();
    let found = listed.into_iter().find(|stat| stat.id == queue.id());
    assert_eq!(found, Some(now));
    let limits = msg::limits().unwrap();
    let sysctl = |name: &str| -> u64 {
        let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap();
        text.trim().parse().unwrap()
    };
    assert_eq!(limits.message_bytes, sysctl("msgmax"));
    assert_eq!(limits.queue_bytes, sysctl("msgmnb"));
    assert_eq!(limits.queues, sysctl("msgmni"));
}

#[test]
fn values_have_their_size() {
    let queue = Gone::new();
    queue.send_value(1, &[7_u32, 8, 9]).unwrap();
    queue.send(2, b"seven b").unwrap();
    let mut buffer = Buffer::new(64);
    queue.recv_into(Select::Any, &mut buffer).unwrap();
    assert_eq!(buffer.value::<[u32; 3]>().unwrap(), [7, 8, 9]);
    refused(buffer.value::<[u32; 2]>(), ErrorKind::InvalidInput);
    let message = queue.recv(Select::Any).unwrap();
    let error = refused(message.value::<u64>(), ErrorKind::InvalidInput);
    assert_eq!(error.subject(), "message of type 2");
    assert!(
        error.why().contains("7 bytes of text, and a u64 has 8"),
        "{error}"
    );
}

#[test]
fn those_who_wait_are_served_in_their_order() {
    let queue = Gone::new();
    let mut peers = [queue.worker(), queue.worker(), queue.worker()];
    for (peer, order) in peers
        .iter_mut()
        .zip(["recv type 2", "recv any", "recv any"])
    {
        peer.hear();
        peer.tell(order);
        until_blocked(peer);
    }
    for (index, sent) in [(1, "1 a"), (2, "1 b"), (0, "2 c")] {
        let (kind, text) = sent.split_once(' ').unwrap();
        queue.send(kind.parse().unwrap(), text.as_bytes()).unwrap();
        assert_eq!(peers[index].hear().as_deref(), Some(sent));
    }
}

#[test]
fn a_killed_receiver_took_nothing_and_a_killed_sender_sent_nothing() {
    let queue = Gone::of_bytes(3);
    for order in ["recv any", "recv-for any", "wait any"] {
        let mut receiver = queue.worker();
        receiver.hear();
        receiver.tell(order);
        until_blocked(&receiver);
        receiver.kill();
        queue.send(1, b"one").unwrap();
        assert_eq!(queue.texts(), ["1 one"], "{order}");
        queue.recv(Select::Any).unwrap();
    }
    queue.send(1, b"one").unwrap();
    let mut sender = queue.worker();
    sender.hear();
    sender.tell("send 2 two");
    until_blocked(&sender);
    sender.kill();
    assert_eq!(text(&queue.recv(Select::Any).unwrap()), "1 one");
    assert!(queue.try_recv(Select::Any).unwrap().is_none());
    // What was sent outlives its sender.
    let mut sender = queue.worker();
    sender.hear();
    assert_eq!(sender.ask("send 3 ok"), "sent");
    sender.kill();
    assert_eq!(text(&queue.recv(Select::Any).unwrap()), "3 ok");
}

#[test]
fn signals_do_not_end_a_wait() {
    interrupt::accept().unwrap();
    let (empty, full) = (Gone::new(), Gone::of_bytes(1));
    full.send(1, b"x").unwrap();
    std::thread::scope(|scope| {
        let (say, hear) = channel();
        let said = say.clone();
        let receiver = scope.spawn(|| {
            said.send(rustix::thread::gettid()).unwrap();
            drop(said);
            empty.recv(Select::Any).unwrap()
        });
        let sender = scope.spawn(|| {
            say.send(rustix::thread::gettid()).unwrap();
            drop(say);
            full.send(2, b"y").unwrap();
        });
        let threads: Vec<i32> = hear.iter().map(|tid| tid.as_raw_nonzero().get()).collect();
        for tid in &threads {
            let sleeps = || {
                let call = std::fs::read_to_string(format!("/proc/self/task/{tid}/syscall"));
                let call = call.unwrap_or_default();
                super::CALLS.iter().any(|number| call.starts_with(number))
            };
            until("it sleeps", sleeps);
            let before = interrupt::handled();
            interrupt::thread(*tid).unwrap();
            until("it has handled the signal", || {
                interrupt::handled() > before
            });
            until("it sleeps again", sleeps);
        }
        empty.send(5, b"come").unwrap();
        assert_eq!(text(&receiver.join().unwrap()), "5 come");
        full.recv(Select::Type(1)).unwrap();
        sender.join().unwrap();
        assert_eq!(full.texts(), ["2 y"]);
    });
}
