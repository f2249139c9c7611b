//! `strait wait`: what was won, and the exit status.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::world::{Ran, World};

#[test]
fn any_takes_the_lowest_and_only_that() {
    let world = World::new();
    world.good("event create one");
    world.good("event create two --set");
    world.good("semaphore create slots --initial 1 --limit 1");
    let any = "wait --any event:one event:two semaphore:slots";
    assert_eq!(world.good(any), "event:two\n");
    assert_eq!(world.query("semaphore", "slots")["state"]["count"], 1);
    assert_eq!(world.good(any), "semaphore:slots\n");
    let late = world.strait(&format!("{any} --timeout 1ms"));
    assert_eq!((late.status, &*late.out, &*late.err), (Some(124), "", ""));
    assert_eq!(world.good(&format!("{any} timer:1ms")), "timer:1ms\n");
}

#[test]
fn all_takes_everything_or_nothing() {
    let world = World::new();
    world.good("event create one --set");
    world.good("semaphore create slots --limit 2");
    let all = "wait --all event:one semaphore:slots --timeout 0";
    assert_eq!(world.strait(all).status, Some(124));
    assert_eq!(world.query("event", "one")["state"]["set"], true);
    world.good("semaphore release slots");
    assert_eq!(world.good(all), "event:one\nsemaphore:slots\n");
    assert_eq!(world.query("event", "one")["state"]["set"], false);
}

#[test]
fn a_waiter_in_another_process_is_woken() {
    let world = World::new();
    world.good("event create done");
    world.good("eventpair create turns");
    let waiter = world.start(&["wait", "--any", "event:done", "eventpair:turns:high"]);
    world.good("eventpair set turns high");
    let ran = waiter.finish();
    assert_eq!((ran.status, &*ran.out), (Some(0), "eventpair:turns:high\n"));
}

#[test]
fn the_index_is_the_status() {
    let world = World::new();
    world.good("event create a");
    world.good("event create b --set --manual");
    let ran = world.strait("wait --any --index event:a event:b");
    assert_eq!((ran.status, &*ran.out), (Some(1), "event:b\n"));
    let ran = world.strait("wait --index event:b");
    assert_eq!(ran.status, Some(0));
    let many = "event:a ".repeat(63) + "event:b";
    assert_eq!(
        world.strait(&format!("wait --any --index {many}")).status,
        Some(63)
    );
    // Wrong arguments must not look like an index.
    assert_eq!(world.strait("wait --index --all event:b").status, Some(125));
    assert_eq!(world.strait("wait").status, Some(125));
    assert_eq!(
        world
            .strait(&format!("wait --any --index event:a {many}"))
            .status,
        Some(125)
    );
}

#[test]
fn an_abandoned_mutant_adds_64() {
    let world = World::new();
    world.good("event create a");
    world.good("mutant create m");
    let mut holder = world.start(&[
        "mutant",
        "acquire",
        "m",
        "--",
        "sh",
        "-c",
        "echo held; read line",
    ]);
    assert_eq!(holder.hear(), "held");
    holder.kill();
    let ran = world.strait("wait --any --index event:a mutant:m -- true");
    assert_eq!((ran.status, &*ran.out), (Some(65), "mutant:m\n"));
    assert!(ran.err.contains("abandoned"));
    let ran = world.strait("wait --any --index event:a mutant:m -- true");
    assert_eq!((ran.status, &*ran.err), (Some(1), ""));
}

#[test]
fn a_command_runs_while_what_was_won_is_held() {
    let world = World::new();
    world.good("mutant create m");
    world.good("semaphore create slots --initial 1 --limit 1");
    let ran = world.sh("$STRAIT wait --all mutant:m semaphore:slots -- sh -c \
                        'echo \"$STRAIT_WON\"; $STRAIT mutant acquire m --timeout 0 -- true; \
                         echo $?; $STRAIT semaphore acquire slots --timeout 0; echo $?; exit 6'");
    let both = "mutant:m\nsemaphore:slots\n";
    assert_eq!(
        (ran.status, ran.out),
        (Some(6), format!("{both}{both}124\n124\n"))
    );
    assert_eq!(world.query("semaphore", "slots")["state"]["count"], 1);
    assert_eq!(world.query("mutant", "m")["state"]["owned"], false);
    assert_eq!(world.strait("wait mutant:m -- /no/such").status, Some(127));
    assert_eq!(world.query("mutant", "m")["state"]["owned"], false);
}

#[test]
fn processes_descriptors_and_timers_are_members() {
    let world = World::new();
    let mut child = Command::new("sh")
        .args(["-c", "read line"])
        .stdin(Stdio::piped())
        .spawn();
    let child = child.as_mut().unwrap();
    let pid = format!("pid:{}", child.id());
    assert_eq!(
        world.strait(&format!("wait {pid} --timeout 1ms")).status,
        Some(124)
    );
    drop(child.stdin.take());
    assert_eq!(world.good(&format!("wait {pid}")), format!("{pid}\n"));
    child.wait().unwrap();
    assert_eq!(world.strait(&format!("wait {pid}")).status, Some(125));
    let ran = world.sh("echo text | $STRAIT wait --any timer:1h fd:0");
    assert_eq!((ran.status, &*ran.out), (Some(0), "fd:0\n"));
    let ran = world.sh("$STRAIT wait --any timer:1h fd:3 3</dev/null");
    assert_eq!((ran.status, &*ran.out), (Some(0), "fd:3\n"), "{ran:?}");
    let (reader, _writer) = std::io::pipe().unwrap();
    let mut silent = world.command(&["wait", "fd:0", "--timeout", "1ms"]);
    let ran = Ran::of(silent.stdin(reader).output().unwrap());
    assert_eq!(ran.status, Some(124), "{ran:?}");
    world.good("timer create tick");
    world.good("timer set tick 1ms");
    assert_eq!(world.good("wait timer:@tick"), "timer:@tick\n");
}

#[test]
fn json_says_what_was_won() {
    let world = World::new();
    world.good("event create one");
    world.good("event create two --set");
    let parsed = |ran: &Ran| -> serde_json::Value { serde_json::from_str(&ran.out).unwrap() };
    let ran = world.strait("wait --any event:one event:two --json");
    let won = json!([{ "index": 1, "object": "event:two", "abandoned": false }]);
    assert_eq!(parsed(&ran), json!({ "timed_out": false, "won": won }));
    let ran = world.strait("wait event:one --json --timeout 0");
    assert_eq!(ran.status, Some(124));
    assert_eq!(parsed(&ran), json!({ "timed_out": true, "won": [] }));
}

#[test]
fn what_was_won_is_won_though_nobody_reads_it() {
    let world = World::new();
    world.good("event create done --set");
    let mut command = world.command(&["wait", "event:done"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ran = Ran::of(
        command
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap(),
    );
    assert_eq!((ran.status, &*ran.err), (Some(0), ""));
    assert_eq!(world.query("event", "done")["state"]["set"], false);
}
