//! `strait pipe`: how it ends, and that it loses nothing in silence.

use std::fs::File;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use super::pipe::listening;
use crate::world::{Ran, Running, World};

const LOST: &str = "not all of standard input was read by the server";

/// A file of lines, longer than all that a pipe and its readers hold.
fn big(world: &World, name: &str) -> String {
    let path = world.space.path().join(name);
    let line = format!("{name} {}\n", "x".repeat(990));
    std::fs::write(&path, line.repeat(5_000)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn with_input(world: &World, words: &[&str], path: &str) -> Command {
    let mut command = world.command(words);
    command.stdin(File::open(path).unwrap());
    command
}

fn ran(command: &mut Command) -> Ran {
    Ran::of(command.output().unwrap())
}

#[test]
fn what_a_killed_server_did_not_read_is_missed() {
    let world = World::new();
    let big = big(&world, "big");
    for arguments in [&[][..], &["--message"], &["--keep"]] {
        let mut server = listening(&world, arguments);
        let connect = &mut with_input(&world, &["pipe", "connect", "log"], &big);
        let client = connect.stdout(Stdio::piped()).stderr(Stdio::piped());
        let client = client.spawn().unwrap();
        // It has begun, and nobody reads on.
        server.hear();
        server.kill();
        let client = Ran::of(client.wait_with_output().unwrap());
        assert_eq!(client.status, Some(125), "{client:?}");
        assert!(client.err.contains(LOST), "{client:?}");
    }
}

#[test]
fn six_bytes_that_nobody_reads_are_missed_too() {
    let world = World::new();
    for signal in [Signal::KILL, Signal::TERM] {
        let mut server = listening(&world, &[]);
        let mut client = world.start(&["pipe", "connect", "log"]);
        client.say(b"read\n");
        assert_eq!(server.hear(), "read");
        server.stop();
        client.say(b"unread");
        client.close();
        server.signal(signal);
        server.signal(Signal::CONT);
        let client = client.finish();
        // Before it ended by TERM it may have read them.
        let all = server.finish().out == "unread";
        let expected = if all {
            "without having closed it"
        } else {
            LOST
        };
        assert_eq!(client.status, Some(125), "{client:?}");
        assert!(client.err.contains(expected), "{client:?}");
    }
}

#[test]
fn a_reader_of_a_few_bytes_is_enough_for_the_server_and_not_for_the_client() {
    let world = World::new();
    let big = big(&world, "big");
    for _ in 0..5 {
        let server = world.start_sh("$STRAIT pipe listen log < /dev/null | head -n 2");
        world.until("it listens", || !world.good("pipe ls").is_empty());
        let client = ran(&mut with_input(&world, &["pipe", "connect", "log"], &big));
        assert_eq!(client.status, Some(125), "{client:?}");
        assert!(client.err.contains(LOST), "{client:?}");
        assert_eq!(server.finish().status, Some(0));
    }
}

#[test]
fn a_second_client_hears_that_there_is_one() {
    let world = World::new();
    let server = listening(&world, &[]);
    let mut first = world.start(&["pipe", "connect", "log"]);
    let mut server = server;
    first.say(b"first\n");
    assert_eq!(server.hear(), "first");
    let second = world.fed("pipe connect log", b"PRECIOUS\n");
    assert_eq!(second.status, Some(125), "{second:?}");
    assert!(second.err.contains("are in use"), "{second:?}");
    let second = world.fed("pipe connect log --timeout 10ms", b"PRECIOUS\n");
    assert_eq!(second.status, Some(124), "{second:?}");
    assert!(
        second.err.contains("no instance listened in time"),
        "{second:?}"
    );
    server.close();
    assert_eq!(first.finish().status, Some(0));
    let server = server.finish();
    assert_eq!((server.status, &*server.out), (Some(0), ""), "{server:?}");
}

#[test]
fn both_ways_end_by_themselves_with_everything_delivered() {
    let world = World::new();
    let (there, back) = (big(&world, "there"), big(&world, "back"));
    for input in [&*there, "/dev/null"] {
        for message in [&[][..], &["--message"]] {
            let words = [&["pipe", "listen", "log"], message].concat();
            let came = world.space.path().join("came");
            let server = &mut with_input(&world, &words, &back);
            let server = server.stdout(File::create(&came).unwrap());
            let server = server.stderr(Stdio::piped()).spawn().unwrap();
            world.until("it listens", || !world.good("pipe ls").is_empty());
            let client = ran(&mut with_input(&world, &["pipe", "connect", "log"], input));
            let server = Ran::of(server.wait_with_output().unwrap());
            assert_eq!((client.status, &*client.err), (Some(0), ""));
            assert_eq!((server.status, &*server.err), (Some(0), ""));
            assert!(client.out == std::fs::read_to_string(&back).unwrap());
            let came = std::fs::read_to_string(came).unwrap();
            assert!(came == std::fs::read_to_string(input).unwrap());
        }
    }
}

#[test]
fn the_end_of_a_question_lets_the_answer_come() {
    let world = World::new();
    let fifo = world.space.path().join("answers");
    let script = format!(
        "mkfifo {0}; $STRAIT pipe listen log < {0} | tr a-z A-Z > {0}",
        fifo.display()
    );
    let server = world.start_sh(&script);
    world.until("it listens", || !world.good("pipe ls").is_empty());
    let client = world.fed("pipe connect log", b"question\n");
    assert_eq!(
        (client.status, &*client.out),
        (Some(0), "QUESTION\n"),
        "{client:?}"
    );
    assert_eq!(server.finish().status, Some(0));
}

#[test]
fn a_server_that_drops_who_has_ended_is_not_told() {
    let world = World::new();
    let mut server = listening(&world, &[]);
    let mut client = world.start(&["pipe", "connect", "log", "--keep"]);
    client.say(b"in\n");
    client.close();
    assert_eq!(server.hear(), "in");
    server.say(b"out\n");
    assert_eq!(client.hear(), "out");
    server.close();
    assert_eq!(client.finish().status, Some(0));
    assert_eq!(server.finish().status, Some(0));
}

#[test]
fn a_client_that_died_is_told_from_one_that_ended() {
    let world = World::new();
    let die = |server: &mut Running| {
        let mut client = world.start(&["pipe", "connect", "log"]);
        client.say(b"part\n");
        assert_eq!(server.hear(), "part");
        client.kill();
    };
    let mut server = listening(&world, &[]);
    server.close();
    die(&mut server);
    let ended = server.finish();
    assert_eq!(ended.status, Some(125), "{ended:?}");
    assert!(ended.err.contains("may not be whole"), "{ended:?}");
    // One of many is told of, and the others are served.
    let mut server = listening(&world, &["--keep"]);
    die(&mut server);
    assert_eq!(world.fed("pipe connect log", b"whole\n").status, Some(0));
    assert_eq!(server.hear(), "whole");
    server.signal(Signal::TERM);
    let ended = server.finish();
    assert_eq!(ended.status, None, "{ended:?}");
    assert_eq!(
        ended.err.matches("may not be whole").count(),
        1,
        "{ended:?}"
    );
}

#[test]
fn times_are_kept_with_a_server_that_is_stopped() {
    let world = World::new();
    let server = listening(&world, &["--message"]);
    server.stop();
    for line in ["connect log", "call log x", "wait log"] {
        let ran = world.strait(&format!("pipe {line} --timeout 1s"));
        assert_eq!(ran.status, Some(124), "{ran:?}");
        assert!(ran.err.contains("did not answer in time"), "{ran:?}");
    }
    let ran = world.strait("pipe wait log");
    assert_eq!(ran.status, Some(124), "{ran:?}");
    server.signal(Signal::CONT);
}

#[test]
fn a_signal_takes_the_name_along() {
    let world = World::new();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        for connected in [false, true] {
            let mut server = listening(&world, &[]);
            let client = connected.then(|| {
                let mut client = world.start(&["pipe", "connect", "log"]);
                client.say(b"here\n");
                assert_eq!(server.hear(), "here");
                client
            });
            server.signal(signal);
            // Its standard input goes on.
            assert_eq!(server.child.wait().unwrap().code(), None);
            let entries = std::fs::read_dir(world.space.path()).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name());
            let left: Vec<_> = names.filter(|name| name != ".txn").collect();
            assert!(left.is_empty(), "{left:?}");
            if let Some(client) = client {
                let client = client.finish();
                assert_eq!(client.status, Some(125), "{client:?}");
            }
        }
    }
}

#[test]
fn names_lead_where_the_program_says() {
    let world = World::new();
    let port = world.start(&["port", "serve", "door", "--ready", "--", "cat"]);
    let mut port = port;
    port.hear();
    let ran = world.strait("pipe connect door");
    assert!(ran.err.contains("door is a port, not a pipe"), "{ran:?}");
    let _server = listening(&world, &[]);
    assert_eq!(world.strait(r"pipe wait Local\lOG").status, Some(0));
    // That of the machine, not one of this namespace that is called so.
    let global = world.strait(r"pipe connect Global\log");
    assert_eq!(global.status, Some(125), "{global:?}");
    let global = world.strait(r"pipe listen Global\strait-test-ends --timeout 1ms");
    assert!(matches!(global.status, Some(124 | 125)), "{global:?}");
    assert!(!global.err.contains(r"\\.\pipe\Global"), "{global:?}");
    let quota = world.strait("pipe listen empty --quota 0");
    assert!(quota.err.contains("1 byte at least"), "{quota:?}");
}
