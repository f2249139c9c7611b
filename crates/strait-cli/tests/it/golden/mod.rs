//! What the program says, word for word: `golden/*.txt`, written anew with `STRAIT_GOLDEN=write`.

use std::path::Path;

use crate::world::World;

/// Compares with the file of that name.
pub(crate) fn check(name: &str, found: &str) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden");
    let path = directory.join(format!("{name}.txt"));
    if std::env::var_os("STRAIT_GOLDEN").is_some() {
        std::fs::write(&path, found).unwrap();
        return;
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        found, wanted,
        "differs from {name}.txt; STRAIT_GOLDEN=write accepts it"
    );
}

#[test]
fn messages_name_the_thing_the_cause_and_the_cure() {
    let world = World::new();
    world.good("event create one");
    world.good("section create prices --size 4096");
    world.good("semaphore create slots --initial 3 --limit 3");
    let mut said = String::new();
    for line in [
        "event set nosuch",
        "mutant query nosuch",
        "event set prices",
        "event create prices",
        "event create one",
        "eventpair query one",
        "semaphore release slots",
        "semaphore create wrong --initial 2 --limit 1",
        "section create empty --size 0",
        "semaphore release slots 0",
        "semaphore release slots -1",
        "semaphore acquire slots --timeout -5s",
        "semaphore acquire slots --timeout 1m30",
        r"event create Local\one",
        r"event set a\b",
        r"event set Global\",
        "wait event:nosuch",
        "wait section:prices",
        "wait eventpair:one",
        "wait mutant:deploy",
        "wait signal:NOSUCH",
        "wait signal:KILL",
        "signal send TERM 0",
        "signal send 32 1",
        "signal show 0",
        "wait queue:a",
        "wait timer:soon",
        "wait pid:0",
        "wait fd:77",
        "wait event:one timer:5s",
        "run --pass a=timer:5s -- true",
        "run --pass event:one -- true",
        "run --pass =event:one -- true",
        "mutant acquire deploy -- /no/such/command",
        "timer set one 5s",
        "man nosuch",
        "ls nosuch",
        "msg peek 0x7fffff01",
        "msg recv id:2147483647",
        "msg set 0x7fffff01",
        "msg rm 0x7fffff01 id:2147483647",
        "sem acquire name:no/such",
        "shm stat /:A",
        "wait msg:0x7fffff01",
        "wait sem:0x7fffff01:0",
        "fifo recv /strait-no-fifo",
    ] {
        let ran = world.strait(line);
        assert_eq!(ran.out, "", "{line}");
        said += &format!(
            "$ strait {line}\n{}status {}\n",
            ran.err,
            ran.status.unwrap()
        );
    }
    check("messages", &world.anonymous(&said));
}

#[test]
fn lists_and_queries_look_so() {
    let world = World::new();
    world.good("event create build-done --manual");
    world.good("event set build-done");
    world.good("eventpair create turns");
    world.good("eventpair set turns high");
    world.good("mutant create deploy");
    world.good("semaphore create slots --initial 3 --limit 8 --mode 0660");
    world.good("section create prices --size 10K");
    world.good("timer create tick --manual");
    world.good("timer set tick 0s");
    std::fs::write(world.space.path().join("ojunk"), b"no object").unwrap();
    let mut said = String::new();
    for line in ["ls", "ls semaphore", "event query build-done", "gc"] {
        said += &format!("$ strait {line}\n{}", world.good(line));
    }
    check("lists", &world.anonymous(&said));
}
