//! `strait signal`, and signals in `strait wait`.

use serde_json::{Value, json};

use strait::unix::signal::{self, Signal};

use crate::world::{Running, STRAIT, World};

/// A program that waits, and its number, once it may be signalled.
fn waiter(world: &World, more: &[&str]) -> (Running, u32) {
    let words = [&["signal", "wait", "--ready"], more].concat();
    let mut waiter = world.start(&words);
    let pid = waiter.hear().parse().unwrap();
    assert_eq!(pid, waiter.child.id());
    (waiter, pid)
}

#[test]
fn what_is_sent_with_a_value_is_printed() {
    let world = World::new();
    let (waiter, pid) = waiter(&world, &["TERM", "RTMIN+3"]);
    let mut sender = world.command(&["signal", "send", "rtmin+3", &pid.to_string(), "--value=-42"]);
    let mut sender = sender.spawn().unwrap();
    let ran = waiter.finish();
    let (from, uid) = (sender.id(), rustix::process::getuid().as_raw());
    assert!(sender.wait().unwrap().success());
    let number = Signal::realtime(3).unwrap().number();
    let line = format!("SIGRTMIN+3 {number} pid={from} uid={uid} value=-42 code=queue\n");
    assert_eq!((ran.status, ran.out, &*ran.err), (Some(0), line, ""));
}

#[test]
fn many_come_in_order_as_json() {
    let world = World::new();
    let words = "signal wait --ready USR1 RTMIN+1 --count 3 --json";
    let words: Vec<&str> = words.split(' ').collect();
    let mut waiter = world.start(&words);
    let ready: Value = serde_json::from_str(&waiter.hear()).unwrap();
    let pid = waiter.child.id();
    assert_eq!(ready, json!({ "ready": true, "pid": pid }));
    // All are sent before any is taken: a stopped process takes none.
    world.good(&format!("signal send STOP {pid}"));
    world.good(&format!("signal send RTMIN+1 {pid} --value 1"));
    world.good(&format!("signal send RTMIN+1 {pid} --value 5000000000"));
    world.good(&format!("signal send USR1 {pid} --thread {pid}"));
    world.good(&format!("signal send CONT {pid}"));
    let ran = waiter.finish();
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(told["timed_out"], false);
    let parts = |key: &str| -> Vec<Value> {
        let received = told["received"].as_array().unwrap();
        received.iter().map(|one| one[key].clone()).collect()
    };
    assert_eq!(parts("signal"), ["SIGUSR1", "SIGRTMIN+1", "SIGRTMIN+1"]);
    assert_eq!(
        parts("value"),
        [Value::Null, json!(1), json!(5_000_000_000_u64)]
    );
    assert_eq!(parts("code"), ["thread", "queue", "queue"]);
    assert_eq!(told["received"][0]["sender"]["claimed"], false);
    assert_eq!(told["received"][1]["sender"]["claimed"], true);
}

#[test]
fn time_runs_out_and_errors_are_told_apart() {
    let world = World::new();
    let ran = world.strait("signal wait USR1 --timeout 1ms");
    assert_eq!((ran.status, &*ran.out, &*ran.err), (Some(124), "", ""));
    let ran = world.strait("signal wait USR1 --timeout 1ms --json");
    assert_eq!(ran.status, Some(124));
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(told, json!({ "timed_out": true, "received": [] }));
    let ran = world.strait("signal wait KILL");
    assert_eq!(ran.status, Some(125));
    assert!(ran.err.contains("SIGKILL"), "{}", ran.err);
    let ran = world.strait("signal send TERM 4194305 4194306");
    assert_eq!(
        (ran.status, ran.err.lines().count()),
        (Some(1), 2),
        "{}",
        ran.err
    );
    assert_eq!(
        world.strait("signal send TERM 1 2 --thread 3").status,
        Some(1)
    );
}

#[test]
fn a_process_shows_its_signals() {
    let world = World::new();
    let mut waiter = world.start(&["wait", "--all", "signal:USR1", "signal:RTMIN+1"]);
    let pid = waiter.child.id();
    let show = |more: &str| world.good(&format!("signal show {pid}{more}"));
    let told = || serde_json::from_str::<Value>(&show(" --json")).unwrap();
    let both = json!(["SIGUSR1", "SIGRTMIN+1"]);
    world.until("it has blocked them", || told()["blocked"] == both);
    world.good(&format!("signal send RTMIN+1 {pid}"));
    let told = told();
    assert_eq!(
        (&told["pid"], &told["handled"]),
        (&json!(pid), &json!(["SIGBUS", "SIGSEGV"]))
    );
    assert_eq!(
        told["pending"],
        json!(["SIGRTMIN+1"]),
        "nothing is taken before all are there"
    );
    assert!(told["queued"].as_u64() > Some(0));
    // That is Rust's start-up, as the handlers are.
    assert_eq!(told["ignored"], json!(["SIGPIPE"]));
    let text = show("");
    assert!(text.contains("blocked  SIGUSR1, SIGRTMIN+1\n"), "{text}");
    waiter.kill();
    assert_eq!(world.strait(&format!("signal show {pid}")).status, Some(1));
}

#[test]
fn all_signals_are_listed() {
    let world = World::new();
    let text = world.good("signal list");
    assert!(text.starts_with("1   SIGHUP "), "{text}");
    assert!(text.contains("\n15  SIGTERM      terminate\n"), "{text}");
    assert!(!text.contains("\n32 "), "{text}");
    assert!(text.contains("64  SIGRTMIN+"), "{text}");
    let told: Value = serde_json::from_str(&world.good("signal list --json")).unwrap();
    let child = json!({ "number": 17, "name": "SIGCHLD", "default": "ignore" });
    assert!(told.as_array().unwrap().contains(&child));
}

#[test]
fn a_signal_is_a_member_of_a_wait() {
    let world = World::new();
    world.good("event create done");
    let wait = "wait --any event:done signal:TERM signal:USR1";
    let words: Vec<&str> = wait.split(' ').collect();
    let running = world.start(&words);
    let pid = running.child.id();
    let blocks = || world.good(&format!("signal show {pid}"));
    world.until("it has blocked them", || {
        blocks().contains("blocked  SIGUSR1, SIGTERM")
    });
    // Both: it takes one, and does not die of the other.
    world.good(&format!("signal send STOP {pid}"));
    world.good(&format!("signal send USR1 {pid}"));
    world.good(&format!("signal send TERM {pid}"));
    world.good(&format!("signal send CONT {pid}"));
    let ran = running.finish();
    assert_eq!(
        (ran.status, &*ran.out, &*ran.err),
        (Some(0), "signal:TERM\n", "")
    );
    let late = world.strait(&format!("{wait} --timeout 1ms"));
    assert_eq!(late.status, Some(124));
}

#[test]
fn a_wait_tells_who_sent_a_signal_and_its_value_as_json() {
    let world = World::new();
    let words = "wait --all signal:RTMIN+1 timer:0s --json";
    let words: Vec<&str> = words.split(' ').collect();
    let running = world.start(&words);
    let pid = running.child.id();
    world.until("it has blocked it", || {
        let show = world.good(&format!("signal show {pid}"));
        show.contains("blocked  SIGRTMIN+1")
    });
    let signal = Signal::realtime(1).unwrap();
    signal::send_value(pid, signal, -7).unwrap();
    let ran = running.finish();
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    let received = &told["won"][0]["received"];
    assert_eq!(received["signal"], "SIGRTMIN+1", "{ran:?}");
    assert_eq!(received["value"], -7, "{ran:?}");
    assert_eq!(received["sender"]["pid"], std::process::id(), "{ran:?}");
    assert!(told["won"][1].get("received").is_none(), "{ran:?}");
}

#[test]
fn a_command_does_not_inherit_what_the_wait_has_blocked() {
    let world = World::new();
    world.good("event create done --set");
    let wait = "wait --any event:done signal:TERM signal:RTMIN+1 --";
    let blocked = world.good(&format!("{wait} grep SigBlk /proc/self/status"));
    assert_eq!(blocked, "event:done\nSigBlk:\t0000000000000000\n");
}

#[test]
fn a_value_is_passed_on_to_the_command() {
    let world = World::new();
    let waiter = ["signal", "wait", "RTMIN+1", "--ready", "--count=2"];
    let words = [&["wait", "timer:0s", "--", STRAIT], &waiter[..]].concat();
    let mut holder = world.start(&words);
    assert_eq!(holder.hear(), "timer:0s");
    holder.hear().parse::<u32>().unwrap();
    let signal = Signal::realtime(1).unwrap();
    for value in [41, 42] {
        signal::send_value(holder.child.id(), signal, value).unwrap();
        let heard = holder.hear();
        assert!(
            heard.contains(&format!(" value={value} code=queue")),
            "{heard}"
        );
    }
    assert_eq!(holder.finish().status, Some(0));
}
