//! `strait port`: a server and its callers, each a process of its own.

use rustix::process::Signal;

use crate::world::{Running, World};

fn serving(world: &World, arguments: &[&str]) -> Running {
    let words = [&["port", "serve", "calc", "--ready"], arguments].concat();
    let mut server = world.start(&words);
    let name = server.hear();
    assert!(name.ends_with("/calc"), "{name}");
    server
}

#[test]
fn a_command_answers_requests() {
    let world = World::new();
    let server = serving(&world, &["--", "tr", "a-z", "A-Z"]);
    assert_eq!(world.good("port call calc hello"), "HELLO\n");
    let ran = world.fed("port call calc", b"no newline");
    assert_eq!((ran.status, &*ran.out), (Some(0), "NO NEWLINE"));
    assert_eq!(world.good("port ls"), "calc\n");
    assert_eq!(world.good("port ls --json"), "[\n  \"calc\"\n]\n");
    let second = world.strait("port serve calc");
    assert_eq!(second.status, Some(125));
    assert!(
        second.err.contains("another process serves this port"),
        "{second:?}"
    );
    drop(server);
    world.until("the name goes with the server", || {
        world.good("port ls").is_empty()
    });
    let ran = world.strait("port call calc hello");
    assert_eq!(ran.status, Some(125));
    assert!(
        ran.err
            .contains("nobody serves this port (`strait port serve calc"),
        "{ran:?}"
    );
}

#[test]
fn without_a_command_the_reply_is_the_request() {
    let world = World::new();
    let _server = serving(&world, &[]);
    let large = vec![b'x'; 300_000];
    let ran = world.fed("port call calc", &large);
    assert_eq!((ran.status, ran.out.len()), (Some(0), large.len()));
}

#[test]
fn a_caller_learns_that_the_command_failed_and_who_it_is() {
    let world = World::new();
    let script =
        "read a; case $a in fail) exit 3;; *) echo $STRAIT_CLIENT_PID $STRAIT_CLIENT_UID; esac";
    let mut server = serving(&world, &["--", "sh", "-c", script]);
    let ran = world.strait("port call calc fail");
    assert_eq!(ran.status, Some(125));
    assert!(ran.err.contains("without a reply"), "{ran:?}");
    let ran = world.sh("echo $$; exec $STRAIT port call calc who");
    let uid = rustix::process::geteuid().as_raw();
    let (pid, who) = ran.out.split_once('\n').unwrap();
    assert_eq!(who, format!("{pid} {uid}\n"));
    server.kill();
}

#[test]
fn a_caller_waits_as_long_as_it_says() {
    let world = World::new();
    let server = serving(
        &world,
        &[
            "--jobs",
            "2",
            "--",
            "sh",
            "-c",
            "read a; sleep $a; echo done",
        ],
    );
    let slow = world.start(&["port", "call", "calc", "1000", "--timeout", "50ms"]);
    assert_eq!(slow.finish().status, Some(124));
    // The other worker is free.
    assert_eq!(world.good("port call calc 0 --timeout 20s"), "done\n");
    // The time is that of connecting, too.
    server.signal(Signal::STOP);
    let unheard = world.strait("port call calc 0 --timeout 50ms");
    assert_eq!((unheard.status, &*unheard.err), (Some(124), ""));
    server.signal(Signal::CONT);
    assert_eq!(world.good("port call calc 0 --timeout 20s"), "done\n");
}
