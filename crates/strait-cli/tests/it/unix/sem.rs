//! `strait sem`, and `sem:KEY:N` in waits.

use std::process::Command;

use strait::unix::ipc::Key;
use strait::unix::sem::{self, Set};

use crate::world::{Ran, World};

/// A set that the program has made, removed with the value.
struct Made {
    key: String,
    set: Set,
}

impl Made {
    fn new(world: &World, number: u32, values: &str) -> Self {
        let key = format!("{:#x}", 0x7353_0000 ^ std::process::id() << 4 ^ number);
        let id = world.good(&format!("sem create {key} {values}"));
        let set = Set::from_id(id.trim().strip_prefix("id:").unwrap().parse().unwrap()).unwrap();
        Self { key, set }
    }

    fn values(&self) -> Vec<u16> {
        self.set.values().unwrap()
    }

    fn waited_for(&self, world: &World, takers: u32) {
        world.until("somebody waits", || {
            self.set.semaphore(0).unwrap().takers == takers
        });
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // A test may have removed it.
        let _ = self.set.remove();
    }
}

fn failed(ran: &Ran, status: i32, word: &str) {
    assert_eq!((ran.status, &*ran.out), (Some(status), ""), "{ran:?}");
    assert!(ran.err.contains(word), "{ran:?}");
}

#[test]
fn a_set_is_made_used_shown_and_removed() {
    let world = World::new();
    let made = Made::new(&world, 1, "2 0 5 --mode 0640");
    let key = &made.key;
    assert_eq!(made.values(), [2, 0, 5]);
    world.good(&format!("sem op {key} 0:-1 1:+3 2:-5 2:0"));
    assert_eq!(made.values(), [1, 3, 0]);
    world.good(&format!("sem release {key} --number 2 --units 7"));
    world.good(&format!("sem acquire id:{} -n 2 -u 6", made.set.id()));
    assert_eq!(made.values(), [1, 3, 1]);
    world.good(&format!("sem set {key} 0=9 1=0 --mode 0600"));
    let seen = world.good(&format!("sem stat {key} --json"));
    let seen: serde_json::Value = serde_json::from_str(&seen).unwrap();
    assert_eq!(seen["id"], made.set.id());
    assert_eq!(seen["mode"], "0600");
    let values: Vec<u64> = (0..3)
        .map(|at| seen["semaphores"][at]["value"].as_u64().unwrap())
        .collect();
    assert_eq!(values, [9, 0, 1]);
    let shown = world.good(&format!("sem stat {key}"));
    assert!(shown.contains("semaphore  value  last"), "{shown}");
    let id = made.set.id().to_string();
    let listed = world.good("sem list");
    let row = listed
        .lines()
        .find(|row| row.split_whitespace().nth(1) == Some(&id));
    assert!(row.unwrap().contains("mode 0600"), "{listed}");
    let listed: serde_json::Value = serde_json::from_str(&world.good("sem list --json")).unwrap();
    let ids = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_i64());
    assert!(
        ids.into_iter()
            .any(|found| found == Some(made.set.id().into()))
    );
    failed(
        &world.strait(&format!("sem create {key} 1")),
        1,
        "exists already (`strait sem stat 0x",
    );
    assert_eq!(
        world
            .good(&format!("sem create {key} 7 7 7 --or-open"))
            .trim(),
        format!("id:{id}")
    );
    world.good(&format!("sem rm {key}"));
    failed(
        &world.strait(&format!("sem stat {key}")),
        1,
        "there is no semaphore set 0x",
    );
    failed(
        &world.strait(&format!("sem rm id:{id}")),
        1,
        "`strait sem list` shows",
    );
}

#[test]
fn keys_are_written_in_many_ways() {
    let world = World::new();
    let file = world.space.path().join(".file");
    std::fs::write(&file, "").unwrap();
    let name = format!("test-{}", std::process::id());
    for key in [
        format!("name:{name}"),
        format!("{}:A", file.display()),
        "private".into(),
    ] {
        let id = world.good(&format!("sem create {key} 4"));
        let set = Set::from_id(id.trim().strip_prefix("id:").unwrap().parse().unwrap()).unwrap();
        if key == "private" {
            failed(&world.strait("sem stat private"), 1, "id:N");
        } else {
            assert!(
                world
                    .good(&format!("sem stat {key}"))
                    .contains(&id.trim()["id:".len()..])
            );
        }
        set.remove().unwrap();
    }
    // Another program derives the same number.
    assert_eq!(Key::derive("foobar").number(), 0xbf9c_f968);
    failed(&world.strait("sem create id:5 1"), 1, "the kernel chooses");
    failed(
        &world.strait("sem create /no/such/file:1 1"),
        1,
        "/no/such/file",
    );
    assert_eq!(world.strait("sem stat nokey").status, Some(2));
    assert_eq!(world.strait("sem op 0x1 0:1").status, Some(2));
    assert_eq!(world.strait("sem create private 32768").status, Some(2));
}

#[test]
fn what_is_not_there_is_waited_for() {
    let world = World::new();
    let made = Made::new(&world, 2, "0 1");
    let key = &made.key;
    let late = world.strait(&format!("sem op {key} 0:-1 1:-1 --timeout 1ms"));
    assert_eq!((late.status, &*late.out, &*late.err), (Some(124), "", ""));
    assert_eq!(made.values(), [0, 1]);
    let waiter = world.start(&["sem", "acquire", key]);
    made.waited_for(&world, 1);
    world.good(&format!("sem release {key}"));
    assert_eq!(waiter.finish().status, Some(0));
    let waiter = world.start(&["sem", "op", key, "0:-1"]);
    made.waited_for(&world, 1);
    world.good(&format!("sem rm {key}"));
    failed(&waiter.finish(), 125, "it was removed");
}

#[test]
fn units_are_held_while_a_command_runs() {
    let world = World::new();
    let made = Made::new(&world, 3, "2 0");
    let key = &made.key;
    let script = ["sh", "-c", "echo held; read line; exit 7"];
    let acquire: Vec<&str> = ["sem", "acquire", key, "--"]
        .into_iter()
        .chain(script)
        .collect();
    let mut holder = world.start(&acquire);
    assert_eq!(holder.hear(), "held");
    assert_eq!(made.values(), [1, 0]);
    assert_eq!(holder.finish().status, Some(7));
    assert_eq!(made.values(), [2, 0]);
    let moved: Vec<&str> = ["sem", "op", key, "0:-2", "1:+2", "--"]
        .into_iter()
        .chain(script)
        .collect();
    let mut holder = world.start(&moved);
    assert_eq!(holder.hear(), "held");
    assert_eq!(made.values(), [0, 2]);
    // The kernel undoes it, though the command runs on.
    holder.kill();
    assert_eq!(made.values(), [2, 0]);
}

#[test]
fn a_unit_is_a_member_of_a_wait() {
    let world = World::new();
    let made = Made::new(&world, 4, "0 1");
    let key = &made.key;
    world.good("event create done");
    let (empty, full) = (format!("sem:{key}:0"), format!("sem:{key}:1"));
    let won = world.good(&format!("wait --any event:done {empty} {full}"));
    assert_eq!(won, format!("{full}\n"));
    assert_eq!(
        made.values(),
        [0, 0],
        "it stays taken when the program has ended"
    );
    let late = world.strait(&format!("wait --any event:done {empty} --timeout 5ms"));
    assert_eq!(late.status, Some(124));
    let waiter = world.start(&["wait", "--any", "event:done", &empty]);
    made.waited_for(&world, 1);
    made.set.op(&[sem::up(0)]).unwrap();
    let ran = waiter.finish();
    assert_eq!((ran.status, ran.out), (Some(0), format!("{empty}\n")));
    made.set.op(&[sem::up(0)]).unwrap();
    let words = [
        "wait",
        &empty,
        "--",
        "sh",
        "-c",
        "echo $STRAIT_WON; read line",
    ];
    let mut holder = world.start(&words);
    assert_eq!(holder.hear(), empty);
    assert_eq!(holder.hear(), empty);
    assert_eq!(made.values(), [0, 0]);
    assert_eq!(holder.finish().status, Some(1));
    assert_eq!(made.values(), [1, 0], "given back with the command's end");
    failed(&world.strait("wait sem:id:-1:0"), 125, "id:N");
    failed(&world.strait(&format!("wait sem:{key}:7")), 125, "it has 2");
}

#[test]
fn other_programs_see_the_same_set() {
    let world = World::new();
    let made = Made::new(&world, 5, "3");
    let id = made.set.id().to_string();
    let Ok(output) = Command::new("ipcs").args(["-s", "-i", &id]).output() else {
        return eprintln!("skipped other_programs_see_the_same_set: no ipcs(1) here");
    };
    let ran = Ran::of(output);
    assert!(ran.out.contains("nsems = 1"), "{ran:?}");
    let words: Vec<&str> = ran
        .out
        .lines()
        .rfind(|line| !line.is_empty())
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(words[..2], ["0", "3"], "{ran:?}");
}
