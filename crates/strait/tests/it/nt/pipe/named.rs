//! Names and instances, and two processes at one pipe.

use std::os::fd::OwnedFd;
use std::sync::mpsc;

use strait::nt::pipe::{self, Access, ReadMode, Timeout, UNLIMITED};
use strait::{Birth, Security};

use super::*;
use crate::peer::{Peer, say, told};

#[test]
fn names_are_checked() {
    let space = space();
    let create = |name: &str| Server::options(name).namespace(&space).create();
    let open = |name: &str| Client::options(name).namespace(&space).open();
    for name in [
        "",
        "p",
        "é",
        r"\\.\pip\p",
        r"\\.\mailslot\p",
        r"\\.\pipe\",
        r"\\.\pipe",
    ] {
        is_code(create(name), ErrorKind::InvalidName, 123);
        is_code(open(name), ErrorKind::InvalidName, 123);
    }
    is_code(create(r"\\server\pipe\p"), ErrorKind::Unsupported, 50);
    is_code(open(r"\\server\pipe\p"), ErrorKind::Unsupported, 50);
    is_code(open(r"\\.\pipe\p"), ErrorKind::NotFound, 2);
    // Anything else is a name, and every character counts but for its case.
    let long = format!(r"\\.\pipe\{}", "n".repeat(3000));
    for name in [
        r#"\\.\pipe\<>*?|"/ :"#,
        r"\\.\pipe\a\b",
        r"\\.\PIPE\Trailing\",
        &long,
    ] {
        let server = create(name).unwrap();
        drop(open(&name.to_uppercase()).unwrap());
        is_code(open(&format!("{name}x")), ErrorKind::NotFound, 2);
        if let Some(shorter) = name.strip_suffix('\\') {
            is_code(open(shorter), ErrorKind::NotFound, 2);
        }
        assert_eq!(pipe::names(&space).unwrap().len(), 1);
        drop(server);
        is_code(open(name), ErrorKind::NotFound, 2);
    }
    assert!(pipe::names(&space).unwrap().is_empty());
}

#[test]
fn options_out_of_range_are_refused() {
    let space = space();
    for instances in [0, 256, 1000] {
        is_code(
            server(&space).instances(instances).create(),
            ErrorKind::InvalidInput,
            87,
        );
    }
    is_code(
        server(&space).read_mode(ReadMode::Message).create(),
        ErrorKind::InvalidInput,
        87,
    );
    is_code(
        server(&space).quotas(1 << 40, 0).create(),
        ErrorKind::InvalidInput,
        87,
    );
    drop(server(&space).instances(UNLIMITED).create().unwrap());
    drop(server(&space).instances(254).create().unwrap());
}

#[test]
fn a_further_instance_joins_the_first() {
    let space = space();
    let first = server(&space).instances(2).create().unwrap();
    assert_eq!(first.birth(), Birth::Created);
    is_code(
        server(&space).access(Access::Inbound).create(),
        ErrorKind::Denied,
        5,
    );
    is_code(
        server(&space).first_instance().create(),
        ErrorKind::Denied,
        5,
    );
    // Type, quotas and the limit are the first one's.
    let second = server(&space)
        .message()
        .instances(9)
        .read_mode(ReadMode::Bytes);
    let second = second.create().unwrap();
    assert_eq!((second.birth(), second.instances()), (Birth::Opened, 2));
    is_code(server(&space).create(), ErrorKind::Busy, 231);
    let clients = [(); 2].map(|()| client(&space).open().unwrap());
    assert!(
        clients
            .iter()
            .all(|client| !client.is_message() && client.instances_max() == 2)
    );
    is_code(client(&space).open(), ErrorKind::Busy, 231);
    // The name goes with the last instance, and comes back as something else.
    let session = first.connect().unwrap();
    drop((first, second, clients));
    is_code(client(&space).open(), ErrorKind::Busy, 231);
    drop(session);
    is_code(client(&space).open(), ErrorKind::NotFound, 2);
    assert_eq!(
        server(&space).message().create().unwrap().birth(),
        Birth::Created
    );
}

#[test]
fn clients_come_to_the_instance_that_has_listened_longest() {
    let space = space();
    let server = server(&space).create().unwrap();
    let sessions = [(); 3].map(|()| server.instance().unwrap());
    let clients: Vec<Client> = (0..3u8)
        .map(|n| {
            let client = client(&space).open().unwrap();
            client.write(&[n]).unwrap();
            client
        })
        .collect();
    for (n, session) in sessions.iter().enumerate() {
        let mut byte = [9];
        session.read(&mut byte).unwrap();
        assert_eq!(usize::from(byte[0]), n);
    }
    // Once more, in another order.
    drop(clients);
    for n in [2, 0] {
        until_closing(&sessions[n]);
        sessions[n].disconnect().unwrap();
        sessions[n].set_waiting(pipe::Waiting::Never);
        is_code(sessions[n].connect(), ErrorKind::WrongState, 536);
    }
    let _client = client(&space).open().unwrap();
    assert_eq!(sessions[2].state(), pipe::SessionState::Connected);
    assert_eq!(sessions[0].state(), pipe::SessionState::Listening);
}

#[test]
fn pipes_go_the_way_they_were_made_to() {
    let space = space();
    for (access, wrong) in [
        (Access::Inbound, Access::Outbound),
        (Access::Outbound, Access::Inbound),
    ] {
        let server = server(&space).access(access).create().unwrap();
        is_code(client(&space).open(), ErrorKind::Denied, 5);
        is_code(client(&space).access(wrong).open(), ErrorKind::Denied, 5);
        let client = client(&space).access(access).open().unwrap();
        let session = server.connect().unwrap();
        let (to, from): (Result<usize>, Result<_>) = if access == Access::Inbound {
            assert_eq!(client.write(b"x").unwrap(), 1);
            assert_eq!(session.read(&mut [0; 9]).unwrap().len, 1);
            (session.write(b"x"), client.read(&mut [0; 9]))
        } else {
            assert_eq!(session.write(b"x").unwrap(), 1);
            assert_eq!(client.read(&mut [0; 9]).unwrap().len, 1);
            (client.write(b"x"), session.read(&mut [0; 9]))
        };
        is_code(to, ErrorKind::Denied, 5);
        is_code(from, ErrorKind::Denied, 5);
    }
}

#[test]
fn waiting_for_an_instance_reserves_none() {
    let space = space();
    let wait = |timeout| pipe::wait_for_in(&space, NAME, timeout);
    is_code(wait(Timeout::Forever), ErrorKind::NotFound, 2);
    let made = server(&space)
        .instances(1)
        .timeout(Duration::from_millis(1));
    let server = made.create().unwrap();
    wait(Timeout::For(ZERO)).unwrap();
    wait(Timeout::Default).unwrap();
    let session = server.instance().unwrap();
    let client = client(&space).open().unwrap();
    is_code(wait(Timeout::For(ZERO)), ErrorKind::TimedOut, 121);
    is_code(wait(Timeout::Default), ErrorKind::TimedOut, 121);
    drop(client);
    until_closing(&session);
    // Woken by a connect, and by a new instance.
    session.disconnect().unwrap();
    session.set_waiting(pipe::Waiting::Never);
    beside(
        || wait(Timeout::For(GUARD)).unwrap(),
        || drop(session.connect()),
    );
    let busy = super::client(&space).open().unwrap();
    beside(
        || wait(Timeout::Forever).unwrap(),
        || {
            drop(session);
            std::mem::forget(server.instance().unwrap());
        },
    );
    drop((busy, server));
}

#[test]
fn whoever_waits_hears_that_the_pipe_is_gone() {
    let space = space();
    let path = space.path().to_str().unwrap();
    let mut peer = Peer::start("nt.pipe.server", &[path, "one"]);
    assert_eq!(peer.hear().as_deref(), Some("listening"));
    let _client = client(&space).open().unwrap();
    assert_eq!(peer.hear().as_deref(), Some("connected"));
    let gone = beside(
        || pipe::wait_for_in(&space, NAME, Timeout::Forever),
        || peer.kill(),
    );
    is_code(gone, ErrorKind::NotFound, 2);
}

#[test]
fn a_server_that_is_stopped_takes_no_more_time_than_there_is() {
    use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
    let space = space();
    let path = space.path().to_str().unwrap();
    let mut peer = Peer::start("nt.pipe.server", &[path]);
    assert_eq!(peer.hear().as_deref(), Some("listening"));
    let pid = Pid::from_child(&peer.child);
    kill_process(pid, Signal::STOP).unwrap();
    let stopped = waitpid(Some(pid), WaitOptions::UNTRACED).unwrap();
    assert!(stopped.unwrap().1.stopped());
    std::thread::scope(|scope| {
        let patient = scope.spawn(|| pipe::wait_for_in(&space, NAME, GUARD));
        let hasty = pipe::wait_for_in(&space, NAME, Duration::from_millis(100));
        let first = !patient.is_finished();
        kill_process(pid, Signal::CONT).unwrap();
        is_code(hasty, ErrorKind::TimedOut, 121);
        assert!(first, "it took as long as the other one, who had more time");
        patient.join().unwrap().unwrap();
    });
}

/// Opens the pipe of `args[0]` and does as it is told.
pub(crate) fn caller(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let client = Client::options(NAME).namespace(&space).open().unwrap();
    say(std::process::id());
    let mut buffer = [0; 256];
    while let Some(line) = told() {
        match line.split_once(' ') {
            Some(("write", text)) => say(client.write(text.as_bytes()).unwrap()),
            Some(("mode", _)) => {
                client.set_read_mode(ReadMode::Message).unwrap();
                say("message");
            }
            Some(("call", text)) => {
                let part = client.transact(text.as_bytes(), &mut buffer).unwrap();
                say(String::from_utf8_lossy(&buffer[..part.len]));
            }
            _ => {
                let server = client.server();
                say(format!("{} {} {}", server.pid, server.uid, server.gid));
            }
        }
    }
}

/// Reads messages until the end, and says how it ended.
pub(crate) fn reader(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let client = Client::options(NAME).namespace(&space).open().unwrap();
    client.set_read_mode(ReadMode::Message).unwrap();
    let mut buffer = vec![0; 100_000];
    let (mut count, mut bytes) = (0, 0);
    let end = loop {
        match client.read(&mut buffer) {
            Ok(part) => {
                assert!(
                    buffer[..part.len]
                        .iter()
                        .all(|byte| usize::from(*byte) == count % 251)
                );
                count += 1;
                bytes += part.len;
            }
            Err(error) => break error.win32(),
        }
    };
    say(format!("{count} {bytes} {end}"));
}

/// Serves the pipe of `args[0]`: says what it reads.
pub(crate) fn listener(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let options = Server::options(NAME).namespace(&space).message();
    let only_one = args.len() > 1;
    let server = options
        .instances(if only_one { 1 } else { UNLIMITED })
        .create()
        .unwrap();
    say("listening");
    let session = server.connect().unwrap();
    session.write(b"kept").unwrap();
    say("connected");
    told();
}

#[test]
fn another_process_calls() {
    let space = space();
    let server = server(&space).message().create().unwrap();
    let mut peer = Peer::start("nt.pipe.client", &[space.path().to_str().unwrap()]);
    let session = server.connect().unwrap();
    let pid = peer.hear().unwrap();
    let client = session.client().unwrap();
    assert_eq!(client.pid.to_string(), pid);
    assert_eq!(client.uid, rustix::process::geteuid().as_raw());
    assert_eq!(client.gid, rustix::process::getegid().as_raw());
    let me = format!("{} {} {}", std::process::id(), client.uid, client.gid);
    assert_eq!(peer.ask("who"), me);
    assert_eq!(peer.ask("write hello"), "5");
    let mut buffer = [0; 64];
    assert_eq!(session.read(&mut buffer).unwrap().len, 5);
    assert_eq!(&buffer[..5], b"hello");
    assert_eq!(peer.ask("mode message"), "message");
    peer.tell("call 2+2");
    assert_eq!(session.read(&mut buffer).unwrap().len, 3);
    session.write(b"4").unwrap();
    assert_eq!(peer.hear().as_deref(), Some("4"));
    // It is killed: what it sent is kept.
    assert_eq!(peer.ask("write last"), "4");
    peer.kill();
    until_closing(&session);
    assert_eq!(session.read(&mut buffer).unwrap().len, 4);
    is_code(session.read(&mut buffer), ErrorKind::PeerGone, 109);
    is_code(session.write(b"x"), ErrorKind::PeerGone, 232);
    is_code(session.connect(), ErrorKind::PeerGone, 232);
}

#[test]
fn messages_reach_another_process_whole_and_in_order() {
    let space = space();
    let server = server(&space).message().create().unwrap();
    let mut peer = Peer::start("nt.pipe.reader", &[space.path().to_str().unwrap()]);
    let session = server.connect().unwrap();
    let mut sent = 0;
    for n in 0..3000usize {
        let len = (n * n * 7 % 50_000) >> (n % 9);
        sent += session.write(&vec![(n % 251) as u8; len]).unwrap();
    }
    session.flush().unwrap();
    drop(session);
    assert_eq!(peer.hear().unwrap(), format!("3000 {sent} 109"));
}

#[test]
fn a_name_goes_with_its_server_and_is_one_process_s() {
    let space = space();
    let path = space.path().to_str().unwrap();
    let mut peer = Peer::start("nt.pipe.server", &[path]);
    assert_eq!(peer.hear().as_deref(), Some("listening"));
    is_code(server(&space).create(), ErrorKind::Unsupported, 50);
    is_code(
        server(&space).first_instance().create(),
        ErrorKind::Denied,
        5,
    );
    let client = client(&space).open().unwrap();
    assert_eq!(peer.hear().as_deref(), Some("connected"));
    assert_eq!(client.server().pid, peer.child.id());
    let (told, tell) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = [0; 64];
            assert_eq!(client.read(&mut buffer).unwrap().len, 4);
            told.send(()).unwrap();
            is_code(client.read(&mut buffer), ErrorKind::PeerGone, 109);
        });
        tell.recv().unwrap();
        peer.kill();
    });
    is_code(client.write(b"x"), ErrorKind::PeerGone, 232);
    is_code(super::client(&space).open(), ErrorKind::NotFound, 2);
    is_code(
        pipe::wait_for_in(&space, NAME, Timeout::Forever),
        ErrorKind::NotFound,
        2,
    );
    // The name is free.
    drop(server(&space).create().unwrap());
}

/// Somebody at the door of the only pipe there.
fn guest(space: &Namespace) -> OwnedFd {
    use rustix::net::*;
    let mut paths = std::fs::read_dir(space.path())
        .unwrap()
        .map(std::io::Result::unwrap);
    let socket = paths.find(|path| path.file_name().to_str().unwrap().starts_with("po"));
    let address = SocketAddrUnix::new(socket.unwrap().path()).unwrap();
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    connect(&socket, &address).unwrap();
    socket
}

#[test]
fn silence_takes_no_descriptors_that_others_need() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let space = space();
    let path = space.path().to_str().unwrap();
    let mut peer = Peer::start("nt.pipe.server", &[path]);
    assert_eq!(peer.hear().as_deref(), Some("listening"));
    let few = Rlimit {
        current: Some(50),
        maximum: Some(50),
    };
    prlimit(Some(Pid::from_child(&peer.child)), Resource::Nofile, few).unwrap();
    let silent: Vec<_> = (0..100).map(|_| guest(&space)).collect();
    let client = client(&space).open().unwrap();
    assert_eq!(peer.hear().as_deref(), Some("connected"));
    assert_eq!(client.read(&mut [0; 9]).unwrap().len, 4);
    drop(silent);
}

#[test]
fn of_a_silent_crowd_the_oldest_make_way() {
    const CROWD: usize = 400;
    // What the doorman listens to, and more than a server has open beside.
    const MOST: usize = 256 + 64;
    let space = space();
    let path = space.path().to_str().unwrap();
    let mut peer = Peer::start("nt.pipe.server", &[path]);
    assert_eq!(peer.hear().as_deref(), Some("listening"));
    let silent: Vec<_> = (0..CROWD).map(|_| guest(&space)).collect();
    let client = client(&space).open().unwrap();
    let descriptors = format!("/proc/{}/fd", peer.child.id());
    let open = std::fs::read_dir(descriptors).unwrap().count();
    assert!(open < MOST, "{open} are open");
    assert_eq!(client.read(&mut [0; 9]).unwrap().len, 4);
    drop(silent);
}

#[test]
fn who_says_nothing_is_hung_up_on_and_who_waits_is_not() {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let space = space();
    let server = server(&space).instances(1).create().unwrap();
    let session = server.instance().unwrap();
    let _client = client(&space).open().unwrap();
    let told = beside(
        || pipe::wait_for_in(&space, NAME, 2 * GUARD),
        || {
            let silent = guest(&space);
            let guard = Timespec::try_from(GUARD).unwrap();
            let mut ends = [PollFd::new(&silent, PollFlags::IN)];
            assert_eq!(poll(&mut ends, Some(&guard)), Ok(1));
            session.disconnect().unwrap();
            session.set_waiting(pipe::Waiting::Never);
            is_code(session.connect(), ErrorKind::WrongState, 536);
        },
    );
    told.unwrap();
}

#[test]
fn who_says_nothing_or_nonsense_holds_nobody_up() {
    use rustix::net::*;
    let space = space();
    let server = server(&space).create().unwrap();
    let silent: Vec<_> = (0..20u8)
        .map(|n| {
            let socket = guest(&space);
            if n % 2 == 1 {
                send(&socket, &[n; 100], SendFlags::NOSIGNAL).unwrap();
            }
            socket
        })
        .collect();
    let client = client(&space).open().unwrap();
    client.write(b"x").unwrap();
    let session = server.connect().unwrap();
    assert_eq!(session.read(&mut [0; 9]).unwrap().len, 1);
    drop(silent);
}

#[test]
fn who_may_open_it_is_what_security_says() {
    use crate::world::{USERS, as_user, is_root, skip};
    if !is_root() {
        return skip(
            "who_may_open_it_is_what_security_says",
            "only root has other users",
        );
    }
    if let Some(why) = crate::world::no_users() {
        return skip("who_may_open_it_is_what_security_says", why);
    }
    let Open { space, path } = &Open::new("open");
    for (mode, allowed) in [(0o600, false), (0o666, true)] {
        let security = Security::private().mode(mode);
        let server = server(space).security(security).create().unwrap();
        let mut command = crate::peer::command("nt.pipe.client", &[path]);
        let mut peer = Peer::of(as_user(&mut command, USERS[0]));
        assert_eq!(peer.hear().is_some(), allowed, "{mode:o}");
        if allowed {
            let client = server.connect().unwrap().client().unwrap();
            assert_eq!((client.uid, client.gid), (USERS[0], USERS[0]));
        }
    }
}
