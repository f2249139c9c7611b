//! The threads that watch queues for waits: their ends, and what is left where there are none.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, WaitOptions, getrlimit, setrlimit, waitpid};
use strait::nt::Event;
use strait::unix::msg::{Queue, Select};
use strait::unix::signal::{self, Mask, Signal};
use strait::{ErrorKind, wait};
use strait_sys::fork;

use super::{Gone, text};
use crate::peer::{Peer, command, say};
use crate::world::{GUARD, USERS, alone, as_user, descriptors, no_users, refused, skip};

const SHORT: Duration = Duration::from_millis(5);

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn waits_leave_neither_threads_nor_descriptors() {
    let test = "unix::msg::threads::waits_leave_neither_threads_nor_descriptors";
    alone(test, || {
        let queue = Gone::new();
        let event = Event::options().create().unwrap();
        let receiving = queue.receiving(Select::Any).unwrap();
        let round = || {
            // Lost, given up, won, and in a set.
            assert!(
                wait::any_for(&[&event, &receiving], SHORT)
                    .unwrap()
                    .is_none()
            );
            assert!(
                wait::all_for(&[&event, &receiving], SHORT)
                    .unwrap()
                    .is_none()
            );
            assert!(queue.recv_for(Select::Any, SHORT).unwrap().is_none());
            let set = wait::Set::new().unwrap();
            let key = set.add(&receiving).unwrap();
            set.add(&receiving).unwrap();
            assert!(set.remove(key));
            queue.send(1, b"text").unwrap();
            assert!(set.wait_for(GUARD).unwrap().is_some());
            assert_eq!(text(&receiving.take().unwrap().unwrap()), "1 text");
        };
        round();
        let before = (threads(), descriptors());
        (0..20).for_each(|_| round());
        assert_eq!((threads(), descriptors()), before);
    });
}

/// Waits though SIGURG is ignored and blocked.
pub(super) fn deaf(args: &[String]) {
    let queue = Queue::from_id(args[0].parse().unwrap()).unwrap();
    let _blocked = Mask::block([Signal::URG]).unwrap();
    let _ignored = signal::ignore(Signal::URG).unwrap();
    assert!(queue.recv_for(Select::Any, SHORT).unwrap().is_none());
    let receiving = queue.receiving(Select::Any).unwrap();
    let set = wait::Set::new().unwrap();
    set.add(&receiving).unwrap();
    // Its thread sleeps by now, and does not hear any more.
    let _ignored = signal::ignore(Signal::URG).unwrap();
    drop(set);
    say("done");
}

#[test]
fn threads_are_called_back_whatever_becomes_of_their_signal() {
    let queue = Gone::new();
    let mut peer = Peer::start("msg.deaf", &[&queue.id().to_string()]);
    assert_eq!(peer.hear().as_deref(), Some("done"));
    assert!(peer.finish().success());
}

/// An ordinary user who may start no more threads for a while.
pub(super) fn threadless(args: &[String]) {
    let queue = Queue::from_id(args[0].parse().unwrap()).unwrap();
    let event = Event::options().create().unwrap();
    let receiving = queue.receiving(Select::Any).unwrap();
    let set = wait::Set::new().unwrap();
    let key = set.add(&wait::after(Duration::ZERO)).unwrap();
    let may = getrlimit(Resource::Nproc);
    let none = Rlimit {
        current: Some(1),
        ..may
    };
    setrlimit(Resource::Nproc, none).unwrap();
    let kind = ErrorKind::Exhausted;
    let error = refused(wait::any_for(&[&event, &receiving], GUARD), kind);
    assert_eq!(error.subject(), "strait-source", "{error}");
    refused(queue.recv_for(Select::Any, GUARD), kind);
    refused(wait::all(&[&receiving]), kind);
    refused(set.add(&receiving), kind);
    assert_eq!((set.len(), set.wait().unwrap().key), (1, key));
    // What is there needs no thread.
    queue.send(1, b"there").unwrap();
    assert_eq!(wait::any(&[&event, &receiving]).unwrap().index, 1);
    assert_eq!(text(&receiving.take().unwrap().unwrap()), "1 there");
    setrlimit(Resource::Nproc, may).unwrap();
    assert!(queue.recv_for(Select::Any, SHORT).unwrap().is_none());
    say("done");
}

#[test]
fn without_threads_a_wait_says_so_and_takes_nothing() {
    if let Some(why) = no_users() {
        return skip("without_threads_a_wait_says_so_and_takes_nothing", why);
    }
    let queue = Gone::new();
    queue
        .set(strait::unix::ipc::Change::new().owner(USERS[1]))
        .unwrap();
    let mut peer = command("msg.threadless", &[&queue.id().to_string()]);
    let mut peer = Peer::of(as_user(&mut peer, USERS[1]));
    assert_eq!(peer.hear().as_deref(), Some("done"));
    assert!(peer.finish().success());
}

#[test]
fn a_forked_child_has_no_part_in_what_its_parent_receives() {
    let test = "unix::msg::threads::a_forked_child_has_no_part_in_what_its_parent_receives";
    alone(test, || {
        let queue = Gone::new();
        let mut kept = Some(queue.receiving(Select::Any).unwrap());
        let receiving = kept.as_ref().unwrap();
        queue.send(1, b"once").unwrap();
        assert!(wait::any_for(&[receiving], GUARD).unwrap().is_some());
        let (set, event) = (
            wait::Set::new().unwrap(),
            Event::options().create().unwrap(),
        );
        let key = set.add(&queue.receiving(Select::Type(2)).unwrap()).unwrap();
        set.add(&event).unwrap();
        // Its thread has told of this one, which is taken elsewhere.
        queue.send(2, b"seen").unwrap();
        let readable = |expected| {
            let set = wait::readable(&set);
            let found = wait::any_for(&[&set], if expected { GUARD } else { SHORT });
            assert_eq!(found.unwrap().is_some(), expected);
        };
        readable(true);
        queue.recv(Select::Type(2)).unwrap();
        let (stay, go) = rustix::pipe::pipe().unwrap();
        let mut go = Some(go);
        let child = fork::run_child(|| {
            drop(go.take());
            let receiving = kept.take().unwrap();
            let kind = ErrorKind::Unsupported;
            refused(receiving.take(), kind);
            refused(wait::any_for(&[&receiving], SHORT), kind);
            refused(wait::all_for(&[&receiving], SHORT), kind);
            drop(receiving);
            // One of its own is not.
            assert!(queue.recv_for(Select::Any, SHORT).unwrap().is_none());
            // It keeps what it inherited open until the parent has seen to that.
            u8::from(rustix::io::read(&stay, &mut [0; 1]) != Ok(0))
        });
        let child = child.expect("one thread");
        assert!(set.remove(key));
        assert!(set.wait_for(Duration::ZERO).unwrap().is_none());
        readable(false);
        drop(go);
        let ended = waitpid(Some(child), WaitOptions::empty()).unwrap();
        assert_eq!(ended.unwrap().1.exit_status(), Some(0));
        let receiving = kept.unwrap();
        assert_eq!(text(&receiving.take().unwrap().unwrap()), "1 once");
        assert_eq!(queue.texts().len(), 0);
    });
}

#[test]
fn a_queue_that_is_gone_keeps_no_other_member_from_its_turn() {
    let (gone, queue) = (Gone::new(), Gone::new());
    let receivings = [&gone, &queue].map(|queue| queue.receiving(Select::Any).unwrap());
    let event = Event::options().create().unwrap();
    let set = wait::Set::new().unwrap();
    let keys = [
        set.add(&receivings[0]).unwrap(),
        set.add(&receivings[1]).unwrap(),
        set.add(&event).unwrap(),
    ];
    gone.remove().unwrap();
    queue.send(1, b"text").unwrap();
    event.set().unwrap();
    let mut won = Vec::new();
    for _ in 0..10 {
        match set.wait_for(GUARD) {
            Ok(taken) => won.push(taken.unwrap().key),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Removed, "{error}"),
        }
        // What is left is announced to whoever polls the set, after an error too.
        if won.len() < 2 {
            assert!(
                wait::any_for(&[&wait::readable(&set)], GUARD)
                    .unwrap()
                    .is_some()
            );
        }
        if won.last() == Some(&keys[1]) {
            receivings[1].take().unwrap();
        }
    }
    won.sort_unstable();
    assert_eq!(won, keys[1..]);
    refused(set.wait_for(GUARD), ErrorKind::Removed);
    assert!(set.remove(keys[0]));
    assert!(set.wait_for(SHORT).unwrap().is_none());
}
