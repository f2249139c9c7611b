//! The verbs of events, event pairs, semaphores, mutants and timers.

mod pipe;
mod pipe_ends;
mod port;
mod section;

use serde_json::json;

use crate::world::World;

#[test]
fn an_event_is_set_reset_pulsed_waited_for_and_removed() {
    let world = World::new();
    let state = || world.query("event", "done")["state"].clone();
    world.good("event create done");
    assert_eq!(state(), json!({ "set": false, "reset": "auto" }));
    assert_eq!(
        world.strait("event wait done --timeout 0").status,
        Some(124)
    );
    world.good("event set done");
    assert_eq!(state()["set"], true);
    world.good("event reset done");
    assert_eq!(state()["set"], false);
    world.good("event set done");
    world.good("event pulse done");
    assert_eq!(state()["set"], false);
    world.good("event set done");
    world.good("event wait done");
    assert_eq!(
        world.strait("event wait done --timeout 1ms").status,
        Some(124)
    );
    world.good("event rm done");
    assert_eq!(world.strait("event query done").status, Some(1));
    assert_eq!(world.strait("event wait done").status, Some(125));
}

#[test]
fn birth_has_options() {
    let world = World::new();
    world.good("event create open --manual --set --mode 0644");
    let found = world.query("event", "open");
    assert_eq!(found["state"], json!({ "set": true, "reset": "manual" }));
    assert_eq!(found["mode"], "0644");
    assert_eq!(found["permanent"], true);
    assert_eq!(found["life"], "permanent");
    world.good("event wait open");
    world.good("event wait open");
    assert_eq!(world.strait("event create open").status, Some(1));
    world.good("event create open --auto --or-open");
    assert_eq!(world.query("event", "open")["state"]["reset"], "manual");
    assert_eq!(
        world.strait("event create x --manual --auto").status,
        Some(2)
    );
    assert_eq!(world.strait("event create x --mode 777").status, Some(2));
    assert_eq!(
        world.strait("event create x --group nosuchgroup").status,
        Some(2)
    );
}

#[test]
fn two_processes_meet_at_an_event() {
    let world = World::new();
    world.good("event create done");
    let waiter = world.start(&["event", "wait", "done"]);
    world.good("event set done");
    assert_eq!(waiter.finish().status, Some(0));
    assert_eq!(world.query("event", "done")["state"]["set"], false);
}

#[test]
fn an_event_pair_takes_turns() {
    let world = World::new();
    world.good("eventpair create turns");
    let other = world.start(&["eventpair", "set-wait", "turns", "low"]);
    world.good("eventpair wait turns low");
    world.good("eventpair set turns high");
    assert_eq!(other.finish().status, Some(0));
    let state = world.query("eventpair", "turns")["state"].clone();
    assert_eq!(state, json!({ "low": false, "high": false }));
    let late = world.strait("eventpair set-wait turns high --timeout 1ms");
    assert_eq!(late.status, Some(124));
    assert_eq!(world.query("eventpair", "turns")["state"]["high"], true);
    assert_eq!(world.strait("eventpair set turns middle").status, Some(2));
    world.good("eventpair rm turns");
}

#[test]
fn a_semaphore_counts() {
    let world = World::new();
    let state = || world.query("semaphore", "slots")["state"].clone();
    world.good("semaphore create slots --initial 1 --limit 3");
    world.good("semaphore acquire slots");
    assert_eq!(
        world.strait("semaphore wait slots --timeout 0").status,
        Some(124)
    );
    world.good("semaphore release slots 3");
    assert_eq!(state(), json!({ "count": 3, "limit": 3 }));
    assert_eq!(world.strait("semaphore release slots").status, Some(1));
    assert_eq!(world.strait("semaphore release slots 0").status, Some(1));
    assert_eq!(state()["count"], 3);
    let held = world.sh("$STRAIT semaphore acquire slots -- sh -c \
                         '$STRAIT semaphore query slots --json | grep count; exit 9'");
    assert!(held.out.contains("\"count\": 2"), "{held:?}");
    assert_eq!(held.status, Some(9));
    assert_eq!(state()["count"], 3);
    world.good("semaphore rm slots");
}

#[test]
fn a_timer_expires_without_anybody() {
    let world = World::new();
    let state = || world.query("timer", "tick")["state"].clone();
    world.good("timer create tick");
    assert_eq!(state()["due_s"], json!(null));
    world.good("timer set tick 1h --period 10m");
    let due = state()["due_s"].as_f64().unwrap();
    assert!(due > 3000.0 && due <= 3600.0);
    assert_eq!(state()["period_s"], 600.0);
    assert_eq!(
        world.strait("timer wait tick --timeout 0").status,
        Some(124)
    );
    world.good("timer cancel tick");
    assert_eq!(state()["due_s"], json!(null));
    world.good("timer set tick 1ms");
    world.good("timer wait tick");
    assert_eq!(state()["ready"], false);
    assert_eq!(
        world.strait("timer set tick 1s --period 1ns").status,
        Some(1)
    );
    world.good("timer rm tick");
}

#[test]
fn rm_takes_several_and_leaves_what_is_held() {
    let world = World::new();
    world.good("event create one");
    world.good("event create two");
    let held = world.space.event("two").open().unwrap();
    let ran = world.strait("event rm one nosuch two");
    assert_eq!(ran.status, Some(1));
    assert!(ran.err.contains("no event named"), "{ran:?}");
    assert!(
        ran.err.contains(&format!("({})", std::process::id())),
        "{ran:?}"
    );
    assert!(!world.space.path().join("oone").exists());
    assert_eq!(world.query("event", "two")["permanent"], false);
    drop(held);
    // A child that another test starts at this moment has our descriptors until its exec.
    world.until("it has gone", || {
        world.strait("event query two").status == Some(1)
    });
}

#[test]
fn a_mutant_is_free_after_all() {
    let world = World::new();
    world.good("mutant create deploy");
    assert_eq!(world.query("mutant", "deploy")["state"]["owned"], false);
    assert_eq!(world.strait("mutant acquire deploy").status, Some(2));
    let ran = world.sh("$STRAIT mutant acquire deploy -- sh -c 'exit 3'");
    assert_eq!((ran.status, &*ran.err), (Some(3), ""));
    let ran = world.sh("$STRAIT mutant acquire deploy -- sh -c 'kill -TERM $$'");
    assert_eq!(ran.status, Some(128 + 15));
    assert_eq!(
        world.strait("mutant acquire deploy -- /dev/null").status,
        Some(126)
    );
    assert_eq!(
        world.strait("mutant acquire deploy -- /no/such").status,
        Some(127)
    );
    assert_eq!(world.query("mutant", "deploy")["state"]["abandoned"], false);
    world.good("mutant rm deploy");
    // Without one it is made, and goes with its user.
    world.good("mutant acquire deploy -- true");
    assert_eq!(world.strait("mutant query deploy").status, Some(1));
}
