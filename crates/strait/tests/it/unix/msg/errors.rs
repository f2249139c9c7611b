//! What is refused, to whom, and in which words.

use strait::ErrorKind;
use strait::unix::ipc::{Change, Key};
use strait::unix::msg::{self, Buffer, Queue, Select};
use strait_sys::{Errno, seccomp};

use super::{Gone, until_blocked};
use crate::peer::{Peer, command, say, told};
use crate::world::{USERS, as_user, is_root, no_users, permitted, refused, skip, within};

#[test]
fn what_is_wrong_is_said() {
    let key = Key::derive(&format!("strait test {}", std::process::id()));
    let error = refused(Queue::open(key), ErrorKind::NotFound);
    assert_eq!((error.operation(), error.errno()), ("open", Some(2)));
    assert_eq!(error.subject(), format!("message queue {key}"));
    refused(Queue::open(Key::PRIVATE), ErrorKind::InvalidInput);
    for mode in [0o700, 0o1600, u32::MAX] {
        refused(Queue::create(key, mode), ErrorKind::InvalidInput);
    }
    let queue = Gone(Queue::create(key, 0o600).unwrap());
    let subject = format!("message queue {key} (id {})", queue.id());
    let error = refused(Queue::create(key, 0o600), ErrorKind::Exists);
    assert_eq!(error.errno(), Some(17));
    for kind in [0, -1, i64::MIN] {
        let error = refused(queue.send(kind, b"text"), ErrorKind::InvalidInput);
        // The kernel was not asked: it would have taken -1 for a size or a wish.
        assert_eq!((error.errno(), error.subject()), (None, &*subject));
        assert!(error.why().contains("1 or more"), "{error}");
        for select in [
            Select::Type(kind),
            Select::Lowest(kind),
            Select::Except(kind),
        ] {
            refused(queue.try_recv(select), ErrorKind::InvalidInput);
            refused(queue.receiving(select), ErrorKind::InvalidInput);
        }
    }
    let most = usize::try_from(msg::limits().unwrap().message_bytes).unwrap();
    let error = refused(queue.try_send(1, &vec![0; most + 1]), ErrorKind::TooLong);
    assert_eq!(
        (error.operation(), error.errno()),
        ("send message to", Some(22))
    );
    let why = format!("{} bytes; the limit is {most}: msgmax", most + 1);
    assert!(error.why().starts_with(&why), "{error}");
    refused(
        queue.set(Change::new().owner(u32::MAX)),
        ErrorKind::InvalidInput,
    );
    refused(
        queue.set(Change::new().mode(0o700)),
        ErrorKind::InvalidInput,
    );
    assert_eq!(queue.stat().unwrap().messages, 0);
}

#[test]
fn a_removed_queue_is_said_to_be_that() {
    let queue = Gone::new();
    let receiving = queue.receiving(Select::Any).unwrap();
    queue.remove().unwrap();
    let mut buffer = Buffer::new(8);
    let kind = ErrorKind::Removed;
    let error = refused(queue.send(1, b""), kind);
    assert!(
        error
            .why()
            .contains("no message queue has that id any more"),
        "{error}"
    );
    refused(queue.send_for(1, b"", std::time::Duration::MAX), kind);
    refused(queue.recv(Select::Any), kind);
    refused(queue.recv_into(Select::Any, &mut buffer), kind);
    refused(queue.peek_at(0), kind);
    refused(queue.stat(), kind);
    refused(queue.set(Change::new()), kind);
    refused(queue.remove(), kind);
    refused(Queue::from_id(queue.id()), kind);
    refused(strait::wait::any(&[&receiving]), kind);
    refused(strait::wait::all(&[&receiving]), kind);
    refused(receiving.take(), kind);
    let mut peek = queue.peek();
    refused(peek.next().unwrap(), kind);
    assert!(peek.next().is_none());
}

#[test]
fn those_who_wait_are_told_that_it_was_removed() {
    for order in [
        "recv any",
        "recv-into type 3",
        "recv-for any",
        "wait lowest 9",
        "send 1 x",
    ] {
        let queue = Gone::of_bytes(1);
        if order.starts_with("send") {
            queue.send(1, b"x").unwrap();
        }
        let mut peer = queue.worker();
        peer.hear();
        peer.tell(order);
        until_blocked(&peer);
        queue.remove().unwrap();
        assert_eq!(peer.hear().as_deref(), Some("Removed"), "{order}");
    }
}

#[test]
fn the_id_of_a_removed_queue_is_not_the_next_ones() {
    let old = Gone::new();
    old.remove().unwrap();
    // The kernel goes round its table before it uses a place again.
    let place = |queue: &Queue| queue.id() % 32_768;
    for _ in 0..100_000 {
        let new = Gone::new();
        if place(&new) != place(&old) {
            continue;
        }
        assert_ne!(new.id(), old.id());
        refused(old.try_send(1, b"astray"), ErrorKind::Removed);
        refused(old.try_recv(Select::Any), ErrorKind::Removed);
        refused(old.stat(), ErrorKind::Removed);
        refused(old.remove(), ErrorKind::Removed);
        assert_eq!(new.stat().unwrap().messages, 0);
        return;
    }
    panic!("no queue came to the place of the removed one");
}

// ---- others' queues ------------------------------------------------------------------------

/// Another user: `args[0]` may be sent to alone, `args[1]` not even that.
pub(super) fn stranger(args: &[String]) {
    let queue = |at: usize| Queue::from_id(args[at].parse().unwrap()).unwrap();
    let (letterbox, closed) = (queue(0), queue(1));
    letterbox.send(1, b"letter").unwrap();
    let kind = ErrorKind::Denied;
    let error = refused(letterbox.try_recv(Select::Any), kind);
    assert_eq!(
        (error.operation(), error.errno()),
        ("receive message from", Some(13))
    );
    assert!(
        error.why().contains("read permission; it is uid 0's"),
        "{error}"
    );
    assert!(error.why().contains("mode 0622"), "{error}");
    refused(letterbox.peek_at(0), kind);
    let error = refused(closed.send(1, b""), kind);
    assert!(error.why().contains("write permission"), "{error}");
    refused(
        strait::wait::any(&[&closed.receiving(Select::Any).unwrap()]),
        kind,
    );
    let error = refused(closed.remove(), kind);
    assert_eq!(error.errno(), Some(1));
    assert!(error.why().contains("owner (uid 0)"), "{error}");
    refused(closed.set(Change::new().mode(0o666)), kind);
    // Looking is for everybody.
    assert_eq!(closed.stat().unwrap().permissions.uid, 0);
    assert!(
        msg::list()
            .unwrap()
            .iter()
            .any(|stat| stat.id == closed.id())
    );
    say("done");
}

#[test]
fn another_users_queue_is_denied() {
    let test = "another_users_queue_is_denied";
    if let Some(why) = no_users() {
        return skip(test, why);
    }
    let (letterbox, closed) = (Gone::new(), Gone::new());
    letterbox.set(Change::new().mode(0o622)).unwrap();
    let ids = [letterbox.id().to_string(), closed.id().to_string()];
    let mut peer = command("msg.stranger", &[&ids[0], &ids[1]]);
    let mut peer = Peer::of(as_user(&mut peer, USERS[0]));
    assert_eq!(peer.hear().as_deref(), Some("done"));
    assert_eq!(letterbox.texts(), ["1 letter"]);
    assert_eq!(closed.texts().len(), 0);
    assert!(peer.finish().success());
}

/// The owner of the queue `args[0]`, an ordinary user, though root made it.
pub(super) fn owner(args: &[String]) {
    let queue = Queue::from_id(args[0].parse().unwrap()).unwrap();
    let most = msg::limits().unwrap().queue_bytes;
    let error = refused(queue.set_bytes_max(most + 1), ErrorKind::Denied);
    assert!(error.why().contains("CAP_SYS_RESOURCE"), "{error}");
    queue.set_bytes_max(most).unwrap();
    queue.set(Change::new().mode(0)).unwrap();
    // The owner may look at it, change and remove it, and not use it.
    refused(queue.send(1, b""), ErrorKind::Denied);
    assert_eq!(queue.stat().unwrap().permissions.mode, 0);
    queue.set(Change::new().mode(0o600)).unwrap();
    queue.send(1, b"mine").unwrap();
    queue.remove().unwrap();
    say("done");
}

#[test]
fn a_queue_can_be_given_away() {
    if let Some(why) = no_users() {
        return skip("a_queue_can_be_given_away", why);
    }
    let queue = Gone::new();
    queue
        .set(Change::new().owner(USERS[0]).group(USERS[1]))
        .unwrap();
    let permissions = queue.stat().unwrap().permissions;
    assert_eq!((permissions.uid, permissions.gid), (USERS[0], USERS[1]));
    assert_eq!(permissions.creator_uid, 0);
    let mut peer = command("msg.owner", &[&queue.id().to_string()]);
    let mut peer = Peer::of(as_user(&mut peer, USERS[0]));
    assert_eq!(peer.hear().as_deref(), Some("done"));
    refused(queue.stat(), ErrorKind::Removed);
}

// ---- other kernels -------------------------------------------------------------------------

/// Where messages may be longer than the stack is for.
pub(super) fn long(_: &[String]) {
    let limits = msg::limits().unwrap();
    assert_eq!(
        (limits.message_bytes, limits.queue_bytes),
        (100_000, 200_000)
    );
    let queue = Gone::new();
    for len in [8192, 8193, 100_000] {
        let bytes: Vec<u8> = (0..=250).cycle().take(len).collect();
        queue.send(3, &bytes).unwrap();
        assert_eq!(queue.peek_at(0).unwrap().unwrap().bytes, bytes);
        assert_eq!(queue.recv(Select::Type(3)).unwrap().bytes, bytes);
    }
    refused(queue.send(1, &vec![0; 100_001]), ErrorKind::TooLong);
    // A queue may be smaller than a message: waiting for room would last for ever.
    queue.set_bytes_max(10_000).unwrap();
    assert_eq!(msg::usage().unwrap().queues, 1);
    queue.send(3, &[7; 300]).unwrap();
    queue.send(3, &[]).unwrap();
    let used = msg::usage().unwrap();
    assert_eq!((used.messages, used.bytes), (2, 300));
    queue.recv(Select::Any).unwrap();
    queue.recv(Select::Any).unwrap();
    let never = queue.send_for(1, &[0; 10_001], std::time::Duration::MAX);
    let error = refused(never, ErrorKind::TooLong);
    assert!(
        error.why().contains("limit is 10000: the queue's"),
        "{error}"
    );
    // There are as many queues as may be.
    std::fs::write("/proc/sys/kernel/msgmni", "1").unwrap();
    let error = refused(Queue::create(Key::PRIVATE, 0o600), ErrorKind::Exhausted);
    assert_eq!(error.errno(), Some(28));
    assert!(error.why().contains("kernel.msgmni"), "{error}");
    drop(queue);
    assert_eq!(msg::list().unwrap(), []);
    say("done");
}

/// A namespace of its own, with these limits.
const OTHER_LIMITS: &str = "echo 100000 >/proc/sys/kernel/msgmax && \
    echo 200000 >/proc/sys/kernel/msgmnb && exec \"$@\"";

#[test]
fn limits_are_the_kernels() {
    let wrapper = ["unshare", "-i", "sh", "-c", OTHER_LIMITS, "sh"];
    if !is_root() || !permitted(&wrapper) {
        return skip(
            "limits_are_the_kernels",
            "no IPC namespace of its own, which needs root",
        );
    }
    let mut peer = Peer::of(&mut within(&wrapper, &command("msg.long", &[])));
    assert_eq!(peer.hear().as_deref(), Some("done"));
    assert!(peer.finish().success());
}

/// Where msgctl(2) is forbidden: the queue `args[0]` is found in /proc.
pub(super) fn blind(args: &[String]) {
    seccomp::deny(&[seccomp::MSGCTL], Errno::PERM).unwrap();
    let listed = msg::list().unwrap();
    let found = listed.iter().find(|stat| stat.id.to_string() == args[0]);
    let found = found.expect("the queue");
    assert_eq!((found.messages, found.bytes, found.bytes_max), (1, 4, None));
    assert_eq!(found.permissions.mode, 0o600);
    assert!(found.last_sender.is_some() && found.sent.is_some());
    say("done");
    told();
}

#[test]
fn queues_are_listed_where_the_call_is_forbidden() {
    let queue = Gone::new();
    queue.send(1, b"text").unwrap();
    let mut peer = Peer::start("msg.blind", &[&queue.id().to_string()]);
    assert_eq!(peer.hear().as_deref(), Some("done"));
}
