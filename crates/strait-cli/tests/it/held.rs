//! What is held while a command runs: `mutant acquire`, `create --while`, `run --pass`.

use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
use serde_json::json;
use strait::nt::{Event, Section, Semaphore, Write};
use strait_sys::signal::{self, Set};
use strait_sys::spawn;

use crate::world::{Ran, Running, STRAIT, World};

/// Ends when it is sent TERM or HUP, and says so.
const TRAP: &str = "trap 'kill $!; echo told; exit 3' TERM HUP
    sleep 60 > /dev/null 2>&1 & echo held; wait";

const ROLE: &str = "STRAIT_CLI_TEST_ROLE";

/// Not a test of its own: the command that `run --pass` starts.
#[test]
fn inheritor() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let event: Event = strait::inherited("done").unwrap();
    let slots: Semaphore = strait::inherited("slots").unwrap();
    let memory: Section = strait::inherited("memory").unwrap();
    event.set().unwrap();
    assert_eq!(slots.release(2).unwrap(), 1);
    let view = memory.map::<Write>().unwrap();
    view.write(8, b"from the child").unwrap();
    assert!(strait::inherited::<Event>("other").is_err());
}

#[test]
fn run_passes_handles() {
    let world = World::new();
    world.good("event create a=b");
    world.good("semaphore create slots --initial 1 --limit 8");
    world.good("section create memory --size 4K");
    let me = std::env::current_exe().unwrap();
    let mut command = world.command(&["run", "--pass", "done=event:a=b"]);
    command
        .args(["--pass", "slots=semaphore:slots"])
        .args(["--pass", "memory=section:memory"])
        .arg("--")
        .arg(me)
        .args(["--exact", "held::inheritor", "--nocapture"])
        .env(ROLE, "inheritor");
    let ran = Ran::of(command.output().unwrap());
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert_eq!(world.query("event", "a=b")["state"]["set"], true);
    assert_eq!(world.query("semaphore", "slots")["state"]["count"], 3);
    assert_eq!(
        world.good("section read memory --offset 8 --len 14"),
        "from the child"
    );
    assert_eq!(world.strait("run -- sh -c false").status, Some(1));
    assert_eq!(world.strait("run -- /no/such").status, Some(127));
    assert_eq!(
        world.strait("run --pass x=event:nosuch -- true").status,
        Some(125)
    );
    assert_eq!(
        world
            .strait("run --pass x=event:a=b --pass x=event:a=b -- true")
            .status,
        Some(125)
    );
}

#[test]
fn while_ties_an_object_to_a_command() {
    let world = World::new();
    let ran = world.sh(
        "$STRAIT semaphore create slots --initial 2 --limit 4 --while \
                        sh -c '$STRAIT semaphore query slots --json; exit 7'",
    );
    assert_eq!((ran.status, &*ran.err), (Some(7), ""));
    let seen: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(seen["permanent"], false);
    assert_eq!(seen["life"], "held");
    assert_eq!(seen["holders"][0]["command"], "strait");
    assert_eq!(world.strait("semaphore query slots").status, Some(1));
    assert!(!world.space.path().join("oslots").exists());
    let wrong = world.strait("section create x --size 0 --while true");
    assert_eq!(wrong.status, Some(125));
    assert_eq!(
        world.strait("event create x --while /no/such").status,
        Some(127)
    );
    let owned = world.sh("$STRAIT mutant create m --owned --while \
                          sh -c '$STRAIT mutant acquire m --timeout 0 -- true'");
    assert_eq!(owned.status, Some(124), "{owned:?}");
    assert_eq!(world.strait("mutant create m --owned").status, Some(2));
}

#[test]
fn a_mutant_is_held_while_the_command_runs() {
    let world = World::new();
    let script = "echo held; read line; exit 5";
    let mut holder = world.start(&["mutant", "acquire", "m", "--", "sh", "-c", script]);
    assert_eq!(holder.hear(), "held");
    let state = world.query("mutant", "m")["state"].clone();
    assert_eq!(state["owner"]["pid"], holder.child.id());
    assert_eq!(state["depth"], 1);
    let late = world.strait("mutant acquire m --timeout 1ms -- true");
    assert_eq!((late.status, &*late.out, &*late.err), (Some(124), "", ""));
    assert_eq!(holder.finish().status, Some(5));
    assert_eq!(world.strait("mutant query m").status, Some(1));
}

#[test]
fn a_killed_owner_leaves_it_abandoned_once() {
    let world = World::new();
    world.good("mutant create m");
    let script = "echo held; read line";
    let mut holder = world.start(&["mutant", "acquire", "m", "--", "sh", "-c", script]);
    assert_eq!(holder.hear(), "held");
    holder.kill();
    assert_eq!(world.query("mutant", "m")["state"]["abandoned"], true);
    let again = "$STRAIT mutant acquire m -- sh -c 'echo \"<$STRAIT_ABANDONED>\"'";
    let ran = world.sh(again);
    assert_eq!((ran.status, &*ran.out), (Some(0), "<1>\n"));
    assert!(
        ran.err.contains("mutant acquire: m was abandoned"),
        "{ran:?}"
    );
    let ran = world.sh(again);
    assert_eq!((ran.status, &*ran.out, &*ran.err), (Some(0), "<>\n", ""));
}

#[test]
fn a_waiter_is_told_that_the_owner_was_killed() {
    let world = World::new();
    let script = "echo held; read line";
    let mut holder = world.start(&["mutant", "acquire", "m", "--", "sh", "-c", script]);
    assert_eq!(holder.hear(), "held");
    let waiter = world.start(&["wait", "mutant:m", "--", "sh", "-c", "echo mine"]);
    // Before the kill the waiter must have a handle: the name goes with the last one.
    world.until("the waiter has a handle", || {
        let seen = world.query("mutant", "m");
        let holders = seen["holders"].as_array().unwrap();
        holders
            .iter()
            .any(|holder| holder["pid"] == waiter.child.id())
    });
    holder.kill();
    let ran = waiter.finish();
    assert_eq!((ran.status, &*ran.out), (Some(0), "mutant:m\nmine\n"));
    assert!(ran.err.contains("mutant:m was abandoned"), "{ran:?}");
}

#[test]
fn descriptors_of_the_program_do_not_leak_into_commands() {
    let world = World::new();
    world.good("event create done");
    let without = world.sh("exec ls /proc/self/fd");
    let ran = world.sh("exec $STRAIT mutant acquire m -- ls /proc/self/fd");
    assert_eq!(ran.out, without.out, "{ran:?}");
}

/// A mutant `m` and a semaphore `slots`, and that nobody has taken either.
fn free(world: &World) {
    let of = |kind, name| world.query(kind, name)["state"].clone();
    let mutant = of("mutant", "m");
    let owned = json!({ "owned": false, "owner": null, "depth": 0, "abandoned": false });
    assert_eq!(mutant, owned);
    assert_eq!(of("semaphore", "slots"), json!({ "count": 1, "limit": 1 }));
}

fn world_of_two() -> World {
    let world = World::new();
    world.good("mutant create m");
    world.good("semaphore create slots --initial 1 --limit 1");
    free(&world);
    world
}

#[test]
fn a_signal_is_for_the_command_and_what_was_held_is_given_back() {
    let world = world_of_two();
    for verb in [
        "mutant acquire m --",
        "semaphore acquire slots --",
        "wait --any mutant:m semaphore:slots --",
        "wait --all mutant:m semaphore:slots --",
        "mutant create other --owned --while",
    ] {
        for signal in [Signal::TERM, Signal::HUP] {
            let words = verb.split(' ').chain(["sh", "-c", TRAP]);
            let mut holder = world.start(&words.collect::<Vec<_>>());
            while holder.hear() != "held" {}
            holder.signal(signal);
            let ran = holder.finish();
            assert_eq!(
                (ran.status, &*ran.out),
                (Some(3), "told\n"),
                "{verb}: {ran:?}"
            );
            free(&world);
        }
    }
    assert_eq!(world.strait("mutant query other").status, Some(1));
}

#[test]
fn what_a_command_held_is_given_back_however_it_dies() {
    let world = world_of_two();
    for (signal, number) in [("KILL", 9), ("TERM", 15), ("INT", 2), ("SEGV", 11)] {
        let ran = world.sh(&format!(
            "$STRAIT wait --all mutant:m semaphore:slots -- sh -c 'kill -{signal} $$'; echo $?"
        ));
        let status = ran.out.lines().last().unwrap();
        assert_eq!(status, (128 + number).to_string(), "{ran:?}");
        free(&world);
    }
}

#[test]
fn an_interrupt_of_the_group_ends_the_command_first() {
    let world = world_of_two();
    let mut command = world.command(&["wait", "--all", "mutant:m", "semaphore:slots", "--"]);
    command.args(["sh", "-c", "echo held; exec sleep 60"]);
    let mut holder = Running::of(command.process_group(0));
    while holder.hear() != "held" {}
    kill_process_group(Pid::from_child(&holder.child), Signal::INT).unwrap();
    assert_eq!(holder.finish().status, Some(128 + 2));
    free(&world);
}

#[test]
fn the_key_of_a_terminal_ends_both() {
    let world = world_of_two();
    let (mut keys, terminal) = terminal();
    // As long as nobody has that side open, there is nothing to hear at the other.
    let flags = OFlags::NOCTTY.bits().cast_signed();
    let open = File::options()
        .read(true)
        .custom_flags(flags)
        .open(&terminal);
    // A session of its own; the terminal that it opens becomes its controlling one.
    let mut holder = Command::new("setsid")
        .args(["sh", "-c"])
        .arg("exec < \"$0\" > \"$0\" 2>&1; exec \"$@\"")
        .arg(&terminal)
        .args([STRAIT, "--ns"])
        .arg(world.space.path())
        .args(["mutant", "acquire", "m", "--"])
        .args(["sh", "-c", "echo held; exec sleep 60"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(keys.try_clone().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "held");
    drop(open);
    keys.write_all(b"\x03").unwrap();
    // As a shell sees it that must decide whether its script goes on.
    assert_eq!(holder.wait().unwrap().signal(), Some(2));
    free(&world);
}

/// The side of the keys, and the path of the side of the programs.
fn terminal() -> (File, String) {
    let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    unlockpt(&keys).unwrap();
    let path = ptsname(&keys, Vec::new()).unwrap();
    (File::from(keys), path.into_string().unwrap())
}

#[test]
fn what_was_ignored_from_birth_stays_ignored() {
    let world = world_of_two();
    let script =
        "trap '' HUP; exec $STRAIT mutant acquire m -- sh -c 'echo held; read line; exit 5'";
    let mut holder = world.start_sh(script);
    assert_eq!(holder.hear(), "held");
    holder.signal(Signal::HUP);
    assert_eq!(holder.finish().status, Some(5));
    free(&world);
}

#[test]
fn whoever_waits_dies_of_a_signal_and_holds_nothing() {
    let world = world_of_two();
    let script = "echo held; read line";
    let mut holder = world.start(&["mutant", "acquire", "m", "--", "sh", "-c", script]);
    assert_eq!(holder.hear(), "held");
    let mut waiter = world.start(&["mutant", "acquire", "m", "--", "echo", "mine"]);
    world.until("the waiter has a handle", || {
        let seen = world.query("mutant", "m");
        let holders = seen["holders"].as_array().unwrap();
        holders
            .iter()
            .any(|holder| holder["pid"] == waiter.child.id())
    });
    waiter.signal(Signal::TERM);
    assert_eq!(waiter.child.wait().unwrap().signal(), Some(15));
    assert_eq!(waiter.finish().out, "");
    assert_eq!(holder.finish().status, Some(1));
    free(&world);
}

#[test]
fn a_signal_ends_a_wait_for_all_that_is_not_over() {
    let world = world_of_two();
    world.good("event create never");
    for timeout in [&[][..], &["--timeout", "20s"]] {
        let words = [
            "wait",
            "--all",
            "mutant:m",
            "event:never",
            "semaphore:slots",
        ];
        let words = words.iter().chain(timeout).chain(&["--", "echo", "mine"]);
        let mut waiter = world.start(&words.copied().collect::<Vec<_>>());
        world.until("signals wait", || waiter.blocks(Signal::TERM));
        waiter.signal(Signal::TERM);
        assert_eq!(waiter.child.wait().unwrap().signal(), Some(15));
        assert_eq!(waiter.finish().out, "");
        free(&world);
    }
    let late = world.strait("wait --all mutant:m event:never --timeout 1ms -- echo mine");
    assert_eq!((late.status, &*late.out), (Some(124), ""));
}

/// The same signal is waited for by nobody: it is pending all the time.
#[test]
fn a_signal_that_was_blocked_before_ends_nothing() {
    let world = world_of_two();
    world.good("event create go");
    for verb in ["--all", "--any"] {
        let mut command = world.command(&["wait", verb, "event:go", "--", "echo", "mine"]);
        spawn::block_only(&mut command, Set::new([signal::Signal::TERM]));
        let waiter = Running::of(&mut command);
        world.until("signals wait", || waiter.blocks(Signal::HUP));
        waiter.signal(Signal::TERM);
        world.good("event set go");
        let ran = waiter.finish();
        assert_eq!(
            (ran.status, &*ran.out),
            (Some(0), "event:go\nmine\n"),
            "{verb}"
        );
    }
}

/// No moment is left in which a signal would abandon what was just won: they wait from before it.
#[test]
fn a_signal_that_comes_with_what_was_waited_for_is_the_commands() {
    let world = world_of_two();
    for verb in [
        "mutant acquire m --",
        "semaphore acquire slots --",
        "wait --any mutant:m event:nothing --",
        "wait --all mutant:m semaphore:slots --",
        "wait --all mutant:m semaphore:slots --timeout 20s --",
    ] {
        world.good("event create nothing");
        let script = "echo held; read line; exit 5";
        let words = ["wait", "--all", "mutant:m", "semaphore:slots", "--"];
        let words = words.into_iter().chain(["sh", "-c", script]);
        let mut holder = world.start(&words.collect::<Vec<_>>());
        while holder.hear() != "held" {}
        let words = verb.split(' ').chain(["sh", "-c", TRAP]);
        let mut waiter = world.start(&words.collect::<Vec<_>>());
        world.until("signals wait", || waiter.blocks(Signal::TERM));
        waiter.signal(Signal::STOP);
        assert_eq!(holder.finish().status, Some(5));
        waiter.signal(Signal::TERM);
        waiter.signal(Signal::CONT);
        let status = waiter.child.wait().unwrap();
        // The command may not have set its trap yet.
        let by_command = [Some(3), Some(128 + 15)];
        assert!(by_command.contains(&status.code()), "{verb}: {status:?}");
        free(&world);
        world.good("event rm nothing");
    }
}
