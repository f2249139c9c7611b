//! LPC: either side killed or stopped at any moment, and clients that lie.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, WaitOptions, kill_process, waitpid};
use strait::channel::Spin;
use strait::nt::lpc::{Client, Message, Port};
use strait::nt::status::NtStatus;
use strait::{ErrorKind, Namespace};

use super::super::fails;
use super::{accept, client as options, reply_reversed};
use crate::death::watch::{go_on, pid_of, setting};
use crate::peer::{self, Peer, say, told};
use crate::world::{GUARD, Random, refused, until};

/// Calls as often as it is told to, and checks the replies.
pub(super) fn client(args: &[String]) {
    calls(args, || {});
}

/// The same, with time between for the server to fall asleep: else it need not be knocked at.
pub(super) fn knocking(args: &[String]) {
    // sleep: nothing tells a client that the server sleeps
    calls(args, || thread::sleep(Duration::from_micros(50)));
}

fn calls(args: &[String], between: impl Fn()) {
    let space = Namespace::directory(&args[0]).unwrap();
    let mut client = options(&space).connect("port").unwrap();
    say("ready");
    while let Some(count) = told() {
        for number in 0..count.parse::<u64>().unwrap() {
            let request = [&number.to_le_bytes()[..], &[7; 200]].concat();
            let reply = client.call(&request).unwrap();
            assert!(reply.iter().eq(request.iter().rev()));
            between();
        }
        say("done");
    }
}

/// A server that never decides about who connects.
pub(super) fn undecided(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let port = Port::options().namespace(&space).create("port").unwrap();
    let mut inbox = port.inbox();
    say("ready");
    let request = inbox.receive().unwrap();
    say("asked");
    told();
    drop(request);
}

/// Connects, and sends until it is held up, without ever reading what it is sent.
pub(super) fn silent(args: &[String]) {
    static SENT: AtomicU64 = AtomicU64::new(0);
    let space = Namespace::directory(&args[0]).unwrap();
    let mut client = options(&space).connect("port").unwrap();
    thread::spawn(move || {
        while client.datagram(&[7; 4000]).is_ok() {
            SENT.fetch_add(1, Ordering::Relaxed);
        }
    });
    let mut seen = (0, 0);
    until("it is held up", || {
        let now = SENT.load(Ordering::Relaxed);
        seen = (now, if now == seen.0 { seen.1 + 1 } else { 0 });
        now > 0 && seen.1 > 50
    });
    say("flooded");
    told();
}

#[test]
fn a_client_that_is_killed_is_told_of_and_the_others_are_served() {
    let space = Namespace::temporary().unwrap();
    let path = space.path().to_str().unwrap().to_owned();
    let port = Port::options().namespace(&space).create("port").unwrap();
    let mut inbox = port.inbox();
    let mut victim = Peer::start("lpc.client", &[&path]);
    accept(&mut inbox);
    assert_eq!(victim.hear().as_deref(), Some("ready"));
    let pid = victim.child.id();
    victim.tell("1000000");
    let mut connection = None;
    for _ in 0..1000 {
        let Message::Request(mut call) = inbox.receive().unwrap() else {
            panic!("it calls");
        };
        connection = Some(call.connection());
        reply_reversed(&mut call).unwrap();
    }
    victim.kill();
    let connection = connection.unwrap();
    loop {
        match inbox.receive_for(GUARD).unwrap().expect("its end is told") {
            // What it had said before.
            Message::Request(mut call) => {
                let _ = call.reply(b"");
            }
            Message::Died(died, why) => {
                assert!(died.is_same(&connection) && !connection.is_open());
                assert_eq!(died.client().pid, pid);
                assert_eq!(why.nt_status(), NtStatus::PORT_DISCONNECTED);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(port.connections(), 0);
    let error = refused(connection.datagram(b""), ErrorKind::PeerGone);
    assert_eq!(error.nt_status(), NtStatus::PORT_DISCONNECTED);
}

#[test]
fn a_server_that_is_killed_leaves_nobody_waiting() {
    let space = Namespace::temporary().unwrap();
    let path = space.path().to_str().unwrap().to_owned();
    let mut random = Random::of_test("a_server_that_is_killed_leaves_nobody_waiting");
    for _ in 0..20 {
        let mut server = Peer::start("lpc.server", &[&path]);
        assert_eq!(server.hear().as_deref(), Some("ready"));
        let calls = random.below(2000);
        let ends: Vec<_> = (0..3)
            .map(|_| {
                let mut client = options(&space).connect("port").unwrap();
                let mut left = calls;
                thread::spawn(move || {
                    loop {
                        match client.call(b"abc") {
                            Ok(reply) => assert_eq!(reply, b"cba"),
                            Err(error) => break error,
                        }
                        left = left.saturating_sub(1);
                        if left == 0 {
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        // sleep: for a moment that the calls do not choose
        thread::sleep(Duration::from_micros(random.below(3000) as u64));
        server.kill();
        for end in ends {
            let error = end.join().unwrap();
            assert_eq!(error.kind(), ErrorKind::PeerGone, "{error}");
            assert_eq!(error.nt_status(), NtStatus::PORT_DISCONNECTED);
        }
        // The name is free at once.
        refused(options(&space).connect("port"), ErrorKind::NotFound);
    }
}

#[test]
fn a_server_that_dies_before_it_decides_has_refused() {
    let space = Namespace::temporary().unwrap();
    let mut server = Peer::start("lpc.undecided", &[space.path().to_str().unwrap()]);
    assert_eq!(server.hear().as_deref(), Some("ready"));
    let asking = thread::spawn(move || options(&space).connect("port").map(drop));
    assert_eq!(server.hear().as_deref(), Some("asked"));
    server.kill();
    let error = refused(asking.join().unwrap(), ErrorKind::Refused);
    assert_eq!(error.nt_status(), NtStatus::PORT_CONNECTION_REFUSED);
}

#[test]
fn clients_that_are_killed_at_random_disturb_nobody() {
    let space = Namespace::temporary().unwrap();
    let path = space.path().to_str().unwrap().to_owned();
    let mut random = Random::of_test("clients_that_are_killed_at_random_disturb_nobody");
    let port = Port::options().namespace(&space).create("port").unwrap();
    thread::scope(|scope| {
        scope.spawn(|| port.serve(reply_reversed).unwrap());
        let mut steady = Client::options().namespace(&space).connect("port").unwrap();
        for _ in 0..30 {
            let mut victim = Peer::start("lpc.client", &[&path]);
            assert_eq!(victim.hear().as_deref(), Some("ready"));
            victim.tell("1000000");
            for _ in 0..random.below(300) {
                assert_eq!(steady.call(b"ab").unwrap(), b"ba");
            }
            victim.kill();
            assert_eq!(steady.call(b"ab").unwrap(), b"ba");
        }
        until("the dead have left", || port.connections() == 1);
        port.close();
    });
}

#[test]
fn a_stopped_client_and_one_that_never_reads_hold_nobody_up() {
    let space = Namespace::temporary().unwrap();
    let path = space.path().to_str().unwrap().to_owned();
    let port = Port::options().namespace(&space).create("port").unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            port.serve(|call| match call.wants_reply() {
                true => call.reply(&[9; 5000]),
                false => call.connection().datagram(&[9; 5000]),
            })
            .unwrap();
        });
        let mut steady = options(&space).connect("port").unwrap();
        let mut silent = Peer::start("lpc.silent", &[&path]);
        assert_eq!(silent.hear().as_deref(), Some("flooded"));
        let pid = rustix::process::Pid::from_child(&silent.child);
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        for _ in 0..200 {
            assert_eq!(steady.call(b"?").unwrap().len(), 5000);
        }
        silent.kill();
        until("it has left", || port.connections() == 1);
        port.close();
    });
}

// ---- named points --------------------------------------------------------------------------

/// A peer that is killed or stopped at the nth hit of a point.
fn doomed(role: &str, path: &str, point: &str, signal: &str, random: &mut Random) -> Peer {
    let armed = format!("{point}:{}:{signal}", 1 + random.below(20));
    let mut victim = Peer::of(peer::command(role, &[path]).env("STRAIT_KILL", armed));
    assert_eq!(victim.hear().as_deref(), Some("ready"));
    victim
}

/// Waits until that has happened.
fn await_blow(victim: &mut Peer, signal: &str) {
    until("the point is hit", || match signal {
        "KILL" => victim.child.try_wait().unwrap().is_some(),
        _ => {
            let options = WaitOptions::UNTRACED | WaitOptions::NOHANG;
            let found = waitpid(Some(pid_of(victim)), options).unwrap();
            found.is_some_and(|(_, status)| status.stopped())
        }
    });
}

/// Each is hit five times by each signal here, a hundred times in `cargo xtask storm`.
#[test]
fn at_every_point_of_a_knock_the_others_are_served() {
    let hits = setting("STRAIT_DEATH_HITS", 5);
    let space = Namespace::temporary().unwrap();
    let path = space.path().to_str().unwrap().to_owned();
    let mut random = Random::of_test("at_every_point_of_a_knock_the_others_are_served");
    // One that spins is not knocked at: it sleeps at once.
    let port = Port::options().namespace(&space).spin(Spin::Never);
    let port = port.create("port").unwrap();
    thread::scope(|scope| {
        scope.spawn(|| port.serve(reply_reversed).unwrap());
        let mut steady = options(&space).connect("port").unwrap();
        let mut calls = || {
            for _ in 0..20 {
                assert_eq!(steady.call(b"ab").unwrap(), b"ba");
            }
        };
        for point in ["door.bit", "door.summary", "door.bell"] {
            for hit in 0..2 * hits {
                let signal = ["KILL", "STOP"][usize::from(hit % 2 == 1)];
                let mut victim = doomed("lpc.knocking", &path, point, signal, &mut random);
                victim.tell("1000000000");
                await_blow(&mut victim, signal);
                calls();
                if signal == "STOP" {
                    go_on(pid_of(&victim));
                    calls();
                    victim.kill();
                }
                until("the dead has left", || port.connections() == 1);
            }
        }
        port.close();
    });
}

/// The same for a server where it answers: its clients wait for one that is stopped, and hear of
/// the end of one that is killed.
#[test]
fn at_the_point_of_an_answer_the_clients_go_on_or_hear_of_the_end() {
    let hits = setting("STRAIT_DEATH_HITS", 5);
    let space = Namespace::temporary().unwrap();
    let path = space.path().to_str().unwrap().to_owned();
    let name = "at_the_point_of_an_answer_the_clients_go_on_or_hear_of_the_end";
    let mut random = Random::of_test(name);
    for hit in 0..2 * hits {
        let signal = ["KILL", "STOP"][usize::from(hit % 2 == 1)];
        let mut server = doomed("lpc.server", &path, "channel.some", signal, &mut random);
        let clients = [(); 2].map(|()| options(&space).connect("port").unwrap());
        let answered = [const { AtomicU64::new(0) }; 2];
        thread::scope(|scope| {
            let ends: Vec<_> = clients.into_iter().zip(&answered).collect();
            let ends: Vec<_> = ends
                .into_iter()
                .map(|(mut client, answered)| {
                    scope.spawn(move || {
                        // Some answers go in several pieces.
                        let requests = [vec![7; 20], vec![7; 60_000]];
                        loop {
                            let count = answered.load(Ordering::Relaxed);
                            match client.call(&requests[usize::from(count % 4 == 3)]) {
                                Ok(_) => answered.store(count + 1, Ordering::Relaxed),
                                Err(error) => return error,
                            }
                        }
                    })
                })
                .collect();
            await_blow(&mut server, signal);
            if signal == "STOP" {
                let before = [0, 1].map(|client| answered[client].load(Ordering::Relaxed));
                go_on(pid_of(&server));
                until("both are answered again", || {
                    (0..2).all(|client| answered[client].load(Ordering::Relaxed) > before[client])
                });
                server.kill();
            }
            for end in ends {
                let error = end.join().unwrap();
                assert_eq!(error.kind(), ErrorKind::PeerGone, "{error}");
            }
        });
    }
}

/// A server that closes its port when it is told to, and lives on with it.
pub(super) fn closing(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let port = Port::options().namespace(&space).create("port").unwrap();
    let (release, released) = mpsc::channel();
    say("ready");
    thread::scope(|scope| {
        let port = &port;
        let served = scope.spawn(move || {
            port.serve(|call| {
                if call.request() == b"hang" {
                    say("hangs");
                    // Until its client has been told.
                    released.recv().unwrap();
                }
                call.reply(b"here")
            })
        });
        told();
        port.close();
        say(port.connections());
        told();
        release.send(()).unwrap();
        served.join().unwrap().unwrap();
    });
    // The value lives.
    say("ended");
    told();
    drop(port);
}

#[test]
fn a_closed_port_has_no_clients_and_no_name_though_its_value_lives() {
    let space = Namespace::temporary().unwrap();
    let mut server = Peer::start("lpc.closing", &[space.path().to_str().unwrap()]);
    assert_eq!(server.hear().as_deref(), Some("ready"));
    let mut idle = options(&space).connect("port").unwrap();
    let mut busy = options(&space).connect("port").unwrap();
    assert_eq!(idle.call(b"").unwrap(), b"here");
    let gone = |result: strait::Result<()>| {
        fails(result, ErrorKind::PeerGone, NtStatus::PORT_DISCONNECTED, 6);
    };
    thread::scope(|scope| {
        // One whose request is worked on, and one that nobody has decided about.
        let calling = scope.spawn(|| busy.call(b"hang").map(drop));
        assert_eq!(server.hear().as_deref(), Some("hangs"));
        let listed = format!("/proc/{}/fd", server.child.id());
        let descriptors = || std::fs::read_dir(&listed).unwrap().count();
        let before = descriptors();
        let undecided = scope.spawn(|| options(&space).connect("port").map(drop));
        until("its greeting is heard", || descriptors() >= before + 2);
        server.tell("close");
        gone(calling.join().unwrap());
        refused(undecided.join().unwrap(), ErrorKind::Refused);
    });
    assert_eq!(server.hear().as_deref(), Some("0"));
    gone(idle.call(b"").map(drop));
    assert!(strait::nt::lpc::names(&space).unwrap().is_empty());
    refused(options(&space).connect("port"), ErrorKind::NotFound);
    let next = Port::options().namespace(&space);
    let _next = next.create("port").unwrap();
    server.tell("go on");
    assert_eq!(server.hear().as_deref(), Some("ended"));
    assert_eq!(strait::nt::lpc::names(&space).unwrap(), ["port"]);
    server.tell("end");
    assert!(server.finish().success());
    assert_eq!(
        strait::nt::lpc::names(&space).unwrap(),
        ["port"],
        "it was not its own"
    );
}

/// Answers one request with much more than a ring holds, and closes its port at once.
pub(super) fn answering_last(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let port = Port::options().namespace(&space).create("port").unwrap();
    let mut inbox = port.inbox();
    say("ready");
    accept(&mut inbox);
    let Message::Request(mut call) = inbox.receive().unwrap() else {
        panic!("it calls");
    };
    if call.request() == b"stopped" {
        say("asked");
        told();
    }
    call.reply(&counted()).unwrap();
    port.close();
    say("closed");
}

/// Calls once, and is stopped then.
pub(super) fn asking_once(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let mut client = options(&space).connect("port").unwrap();
    let _ = client.call(b"stopped");
}

fn counted() -> Vec<u8> {
    (0..800_000_u32).map(|at| (at / 7) as u8).collect()
}

#[test]
fn what_was_replied_before_a_port_was_closed_comes_whole() {
    let space = Namespace::temporary().unwrap();
    let mut server = Peer::start("lpc.answering_last", &[space.path().to_str().unwrap()]);
    assert_eq!(server.hear().as_deref(), Some("ready"));
    let mut client = options(&space).connect("port").unwrap();
    assert!(client.call(b"").unwrap() == counted());
    let error = refused(client.call(b""), ErrorKind::PeerGone);
    assert!(!error.to_string().contains("without closing"), "{error}");
    assert_eq!(server.hear().as_deref(), Some("closed"));
    assert!(server.finish().success());
}

#[test]
fn a_client_that_does_not_take_its_reply_does_not_keep_a_port_open() {
    let space = Namespace::temporary().unwrap();
    let path = space.path().to_str().unwrap().to_owned();
    let mut server = Peer::start("lpc.answering_last", &[&path]);
    assert_eq!(server.hear().as_deref(), Some("ready"));
    let mut client = Peer::start("lpc.asking_once", &[&path]);
    assert_eq!(server.hear().as_deref(), Some("asked"));
    kill_process(pid_of(&client), Signal::STOP).unwrap();
    server.tell("answer");
    until("the port is closed", || server.has_said());
    assert_eq!(server.hear().as_deref(), Some("closed"));
    client.kill();
    assert!(server.finish().success());
}
