//! LPC and fork: a child leaves what its parent has connected, and serves, alone.

use std::fs;
use std::time::Duration;

use rustix::process::{WaitOptions, waitpid};
use strait::nt::lpc::Message;
use strait::{ErrorKind, Namespace};
use strait_sys::fork;

use super::{accept, client as options, options as born, reply_reversed};
use crate::peer::Peer;
use crate::world::{GUARD, alone, refused, until};

/// Has a child do something, and end well.
#[track_caller]
pub(crate) fn in_a_child(mut child: impl FnMut()) {
    let mut forked = None;
    // A hidden thread that has just begun has no name yet.
    until("it can fork", || {
        let run = || {
            child();
            0
        };
        forked = fork::run_child(run).ok();
        forked.is_some()
    });
    let child = forked.unwrap();
    let ended = waitpid(Some(child), WaitOptions::empty()).unwrap();
    assert_eq!(ended.unwrap().1.exit_status(), Some(0));
}

fn start(role: &str, space: &Namespace) -> Peer {
    let mut peer = Peer::start(role, &[space.path().to_str().unwrap()]);
    assert_eq!(peer.hear().as_deref(), Some("ready"));
    peer
}

#[test]
fn a_child_does_not_speak_for_its_parent() {
    alone(
        "nt::lpc::forked::a_child_does_not_speak_for_its_parent",
        || {
            let spaces = [(); 2].map(|()| Namespace::temporary().unwrap());
            let _servers = [
                start("lpc.server", &spaces[0]),
                start("quick.server", &spaces[1]),
            ];
            let client = options(&spaces[0]).connect("port").unwrap();
            let mut quick = options(&spaces[1]).connect_quick("calc").unwrap();
            assert_eq!(quick.call(b"ab").unwrap(), b"ba");
            let mut held = Some((client, quick));
            in_a_child(|| {
                let (mut client, mut quick) = held.take().unwrap();
                refused(client.receive_for(Duration::ZERO), ErrorKind::Unsupported);
                refused(client.call(b"ab"), ErrorKind::Unsupported);
                refused(client.datagram(&[0; 60_000]), ErrorKind::Unsupported);
                refused(quick.call(b"ab"), ErrorKind::Unsupported);
            });
            let (client, quick) = held.as_mut().unwrap();
            assert_eq!(client.call_for(b"ab", GUARD).unwrap(), Some(&b"ba"[..]));
            assert_eq!(quick.call_for(b"ab", GUARD).unwrap(), Some(&b"ba"[..]));
        },
    );
}

#[test]
fn a_child_leaves_its_parents_port_alone() {
    alone(
        "nt::lpc::forked::a_child_leaves_its_parents_port_alone",
        || {
            let space = Namespace::temporary().unwrap();
            let mut port = Some(born(&space).create("port").unwrap());
            let mut inbox = Some(port.as_ref().unwrap().inbox());
            let path = space.path().to_str().unwrap();
            let mut caller = Peer::start("lpc.client", &[path]);
            accept(inbox.as_mut().unwrap());
            assert_eq!(caller.hear().as_deref(), Some("ready"));
            in_a_child(|| {
                let received = inbox.as_mut().unwrap().receive_for(Duration::ZERO);
                refused(received, ErrorKind::Unsupported);
                port.as_ref().unwrap().close();
                drop((inbox.take(), port.take()));
            });
            let inbox = inbox.as_mut().unwrap();
            caller.tell("3");
            for _ in 0..3 {
                match inbox.receive().unwrap() {
                    Message::Request(mut call) => reply_reversed(&mut call).unwrap(),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(caller.hear().as_deref(), Some("done"));
            let mut asleep = 0;
            until("the door's thread rests", || {
                asleep = if is_asleep("strait-door") {
                    asleep + 1
                } else {
                    0
                };
                asleep > 20
            });
            let mut another = Peer::start("lpc.client", &[path]);
            accept(inbox);
            assert_eq!(another.hear().as_deref(), Some("ready"));
        },
    );
}

/// Whether the thread of that name waits for something.
fn is_asleep(name: &str) -> bool {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let mut paths = tasks.map(|task| task.unwrap().path().join("stat"));
    let start = format!("({name}) ");
    paths.any(|path| {
        let stat = fs::read_to_string(path).unwrap_or_default();
        stat.split_once(&start)
            .is_some_and(|(_, rest)| rest.starts_with('S'))
    })
}
