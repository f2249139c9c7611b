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
    let why = "/calc: refused (the server said: sh: exit status: 3)";
    assert!(ran.err.contains(why), "{ran:?}");
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
    let slow = world.start(&["port", "call", "calc", "1000", "--timeout", "1s"]);
    let ran = slow.finish();
    let why = "strait: port call: calc: no reply came in time\n";
    assert_eq!((ran.status, &*ran.err), (Some(124), why));
    // The other worker is free.
    assert_eq!(world.good("port call calc 0 --timeout 20s"), "done\n");
    // The time is that of connecting, too.
    server.signal(Signal::STOP);
    let unheard = world.strait("port call calc 0 --timeout 50ms");
    let why = "strait: port call: calc: the server let nobody in in time\n";
    assert_eq!((unheard.status, &*unheard.err), (Some(124), why));
    server.signal(Signal::CONT);
    assert_eq!(world.good("port call calc 0 --timeout 20s"), "done\n");
}

const SLOW: &str = "read a; case $a in slow) sleep 1000;; *) echo done;; esac";

#[test]
fn who_gave_up_keeps_no_job() {
    let world = World::new();
    let _server = serving(&world, &["--jobs", "2", "--", "sh", "-c", SLOW]);
    for _ in 0..5 {
        let ran = world.strait("port call calc slow --timeout 100ms");
        assert_eq!(ran.status, Some(124), "{ran:?}");
    }
    // Nor does one that is killed.
    let mut killed = world.start(&["port", "call", "calc", "slow"]);
    let mut other = world.start(&["port", "call", "calc", "slow"]);
    killed.kill();
    other.kill();
    assert_eq!(world.good("port call calc fast --timeout 20s"), "done\n");
}

#[test]
fn a_command_has_its_time_and_its_length() {
    let world = World::new();
    let options = ["--jobs", "1", "--time-max", "100ms", "--", "sh", "-c", SLOW];
    let server = serving(&world, &options);
    let ran = world.strait("port call calc slow --timeout 20s");
    assert_eq!(ran.status, Some(125), "{ran:?}");
    let why = "the server said: sh was ended: it took too long (--time-max)";
    assert!(ran.err.contains(why), "{ran:?}");
    drop(server);
    let options = ["--jobs", "1", "--message-max", "64K", "--", "yes"];
    let _server = serving(&world, &options);
    for _ in 0..2 {
        let ran = world.strait("port call calc slow --timeout 20s");
        assert_eq!(ran.status, Some(125), "{ran:?}");
        let why = "the server said: yes: its reply is longer than 65536 bytes (--message-max)";
        assert!(ran.err.contains(why), "{ran:?}");
    }
}

#[test]
fn a_signal_ends_the_server_its_commands_and_its_name() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let world = World::new();
        let began = world.space.path().join(".began");
        // The last of them ignores what the server sends first.
        let script = format!(
            "(trap '' TERM; exec sleep 1000) & sleep 1000 & touch {}; wait",
            began.display()
        );
        let server = serving(&world, &["--", "sh", "-c", &script]);
        let calling = world.start(&["port", "call", "calc", "?"]);
        world.until("the command runs", || began.exists());
        server.signal(signal);
        let ran = calling.finish();
        assert_eq!(ran.status, Some(125), "{ran:?}");
        assert!(
            ran.err.contains("/calc: the other process is gone"),
            "{ran:?}"
        );
        // Its standard error is open as long as a command of it lives.
        let ended = server.finish();
        assert_eq!(ended.status, None, "as by the signal itself: {ended:?}");
        assert_eq!(world.good("ls"), "KIND  NAME  STATE  HOLDERS\n");
    }
}

#[test]
fn what_leaves_its_group_keeps_neither_a_job_nor_the_server() {
    let world = World::new();
    let number = world.space.path().join(".number");
    // It holds both pipes of its command, and writes to one of them.
    let script = format!(
        "read a; case $a in \
         stay) setsid sh -c 'trap \"\" PIPE; echo $$ > {0}.new; mv {0}.new {0}; \
         while read n < {0} && [ $n = $$ ]; do echo x; sleep 0.01; done' 2>/dev/null;; \
         *) echo done;; esac",
        number.display()
    );
    let options = ["--jobs", "1", "--time-max", "1s", "--", "sh", "-c", &script];
    let server = serving(&world, &options);
    // Where the machine is busy its time may be over before it has left.
    world.until("it leaves its group in time", || {
        let ran = world.strait("port call calc stay --timeout 20s");
        assert_eq!(ran.status, Some(125), "{ran:?}");
        assert!(ran.err.contains("it took too long"), "{ran:?}");
        number.exists()
    });
    assert_eq!(world.good("port call calc fast --timeout 20s"), "done\n");
    let end_it = || {
        let id = std::fs::read_to_string(&number).unwrap();
        let id = rustix::process::Pid::from_raw(id.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(id, Signal::KILL).expect("it was left alone");
        std::fs::remove_file(&number).unwrap();
    };
    end_it();
    let calling = world.start(&["port", "call", "calc", "stay"]);
    world.until("the command runs", || number.exists());
    server.signal(Signal::TERM);
    world.until("the server ends", || server.has_ended());
    assert_eq!(calling.finish().status, Some(125));
    end_it();
}

#[test]
fn what_cannot_be_served_is_said_at_once() {
    let world = World::new();
    let plain = world.space.path().join(".plain");
    std::fs::write(&plain, "no program").unwrap();
    let denied = format!("port serve calc -- {}", plain.display());
    let said = [
        (
            "port serve calc -- /no/such",
            127,
            "run /no/such: no such command",
        ),
        (
            "port serve calc -- nosuchcommand",
            127,
            "run nosuchcommand: no such command",
        ),
        (&denied, 126, "permission denied"),
        (
            "port serve calc --message-max 2G",
            125,
            "calc: invalid argument (the longest message is of 1 byte to 1 GiB)\n",
        ),
    ];
    for (line, status, why) in said {
        let ran = world.strait(line);
        assert_eq!(ran.status, Some(status), "{ran:?}");
        assert!(ran.err.contains(why), "{line}: {ran:?}");
    }
    if strait::Namespace::global().is_ok() {
        eprintln!("not asked what is said where there is no Global namespace: there is one");
        return;
    }
    let ran = world.strait(r"port call Global\b hi");
    let why = "strait: port call: Global\\b: this machine has no Global namespace (`sudo strait \
               doctor --fix` makes it)\n";
    assert_eq!((ran.status, &*ran.err), (Some(125), why));
}

#[test]
fn a_request_that_is_too_long_names_the_port() {
    let world = World::new();
    let _server = serving(&world, &["--message-max", "100"]);
    let ran = world.fed("port call calc", &[b'x'; 101]);
    let why = "strait: port call: NS/calc: too long (101 bytes, where the port allows 100)\n";
    assert_eq!((ran.status, &*world.anonymous(&ran.err)), (Some(125), why));
}
