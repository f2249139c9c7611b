//! `strait ls`, `strait gc`: what is there, who holds it, what is left over.

use std::process::Stdio;

use crate::world::{Ran, World};

fn list(world: &World, kind: &str) -> serde_json::Value {
    serde_json::from_str(&world.good(&format!("ls {kind} --json"))).unwrap()
}

#[test]
fn holders_have_pids_and_commands() {
    let world = World::new();
    let script = "echo held; read line; exit 0";
    let arguments = [
        "semaphore",
        "create",
        "slots",
        "--initial",
        "3",
        "--limit",
        "8",
    ];
    let mut arguments = arguments.to_vec();
    arguments.extend(["--while", "sh", "-c", script]);
    let mut holder = world.start(&arguments);
    assert_eq!(holder.hear(), "held");
    let pid = holder.child.id();
    let text = world.good("ls");
    let line = text.lines().nth(1).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(
        words,
        [
            "semaphore",
            "slots",
            "3",
            "of",
            "8",
            &format!("strait({pid})")
        ]
    );
    let found = list(&world, "");
    assert_eq!(found["objects"][0]["holders"][0]["pid"], pid);
    assert_eq!(found["objects"][0]["holders"][0]["handles"], 1);
    assert_eq!(found["sight"]["blind"], serde_json::Value::Null);
    assert_eq!(holder.finish().status, Some(0));
    assert_eq!(list(&world, "")["objects"].as_array().unwrap().len(), 0);
}

#[test]
fn what_the_kernel_keeps_is_listed_by_kind() {
    let world = World::new();
    let made = [
        ("msg", "msg create private", "0 messages, 0 of"),
        (
            "sem",
            "sem create private 1 2 3 --mode 0640",
            "3 semaphores",
        ),
        (
            "shm",
            "shm create private --size 5000",
            "5000 bytes, attached 0 times",
        ),
    ];
    for (kind, create, state) in made {
        let written = world.good(create);
        let id = written.trim().strip_prefix("id:").unwrap();
        let number: i32 = id.parse().unwrap();
        let (text, listed) = (world.good(&format!("ls {kind}")), list(&world, kind));
        world.good(&format!("{kind} rm id:{id}"));
        let is_ours = |row: &&str| row.split_whitespace().nth(2) == Some(id);
        let row = text.lines().find(is_ours).unwrap();
        assert!(row.starts_with(kind) && row.contains("private"), "{text}");
        assert!(row.contains(state), "{text}");
        let kept = listed["ipc"].as_array().unwrap();
        let ours = kept.iter().find(|one| one["id"] == number).unwrap();
        let mode = if kind == "sem" { "0640" } else { "0600" };
        assert_eq!((&ours["kind"], &ours["mode"]), (&kind.into(), &mode.into()));
        assert!(
            !world
                .good(&format!("ls {kind}"))
                .lines()
                .any(|row| is_ours(&row))
        );
    }
    // They belong to no directory.
    world.good("event create one");
    assert_eq!(world.good("ls").lines().count(), 2);
    assert_eq!(list(&world, "")["ipc"], serde_json::json!([]));
}

#[test]
fn one_kind_can_be_listed() {
    let world = World::new();
    world.good("event create a");
    world.good("mutant create b");
    assert_eq!(list(&world, "mutant")["objects"][0]["name"], "b");
    assert_eq!(
        list(&world, "mutant")["objects"].as_array().unwrap().len(),
        1
    );
    assert_eq!(
        list(&world, "timer")["objects"].as_array().unwrap().len(),
        0
    );
    assert_eq!(world.strait("ls queue").status, Some(2));
}

#[test]
fn leftovers_are_shown_and_collected() {
    let world = World::new();
    let script = "echo held; read line";
    let mut holder = world.start(&["event", "create", "a", "--while", "sh", "-c", script]);
    assert_eq!(holder.hear(), "held");
    holder.kill();
    assert_eq!(list(&world, "")["objects"][0]["life"], "leftover");
    assert!(world.good("ls").contains("none: a leftover"));
    // The name is free, and looking has not removed the file.
    assert_eq!(world.strait("event query a").status, Some(1));
    assert!(world.space.path().join("oa").exists());
    let doctor = world.good("doctor");
    assert!(
        doctor.contains("1 leftover of killed processes"),
        "{doctor}"
    );
    let removed: serde_json::Value = serde_json::from_str(&world.good("gc --json")).unwrap();
    assert_eq!(removed["removed"][0]["objects"], 1);
    assert!(!world.space.path().join("oa").exists());
}

#[test]
fn unnamed_objects_are_listed_by_their_holders() {
    let world = World::new();
    let memory = strait::nt::Section::options(4096)
        .namespace(&world.space)
        .create()
        .unwrap();
    let found = list(&world, "section");
    let seen = &found["objects"][0];
    assert_eq!(seen["name"], serde_json::Value::Null);
    assert_eq!(seen["holders"][0]["pid"], std::process::id());
    assert!(world.good("ls").contains("(unnamed)"));
    drop(memory);
}

#[test]
fn strange_names_and_commands_cannot_draw_on_the_terminal() {
    let world = World::new();
    let name = "esc\u{1b}[31m\nbell\u{7} ünïcode";
    let event = world.space.event(name).permanent().create().unwrap();
    drop(event);
    std::fs::write(world.space.path().join("o\u{1b}[2J"), b"").unwrap();
    let text = world.good("ls");
    assert!(text.contains(r"esc\u{1b}[31m\nbell\u{7} ünïcode"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    assert_eq!(text.lines().count(), 3);
    assert_eq!(list(&world, "")["objects"][0]["name"], name);
}

#[test]
fn a_closed_output_is_no_panic() {
    let world = World::new();
    for number in 0..200 {
        let name = format!("{number}-{}", "x".repeat(100));
        world.space.event(name).permanent().create().unwrap();
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = world.command(&["ls"]);
    let ran = Ran::of(
        command
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap(),
    );
    assert_eq!((ran.status, &*ran.err), (Some(0), ""));
    let ran = world.sh("$STRAIT ls | head -1");
    assert_eq!(
        (ran.out.split_whitespace().next(), &*ran.err),
        (Some("KIND"), "")
    );
    assert_eq!(world.sh("$STRAIT ls >&-").status, Some(0));
    let full = world.sh("$STRAIT ls >/dev/full");
    assert_eq!(full.status, Some(1));
    assert!(full.err.contains("write standard output"), "{full:?}");
    assert_eq!(world.sh("$STRAIT event set nosuch 2>&-").status, Some(1));
}

#[test]
fn pipes_and_ports_are_listed_with_who_serves_them() {
    let world = World::new();
    let mut port = world.start(&["port", "serve", "calc", "--ready"]);
    port.hear();
    let pipe = world.start(&["pipe", "listen", "Feed"]);
    world.until("the pipe is there", || !world.good("pipe ls").is_empty());
    let text = world.good("ls");
    let lines: Vec<Vec<&str>> = text
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect())
        .collect();
    let held = |pid: u32| format!("strait({pid})");
    assert_eq!(lines[0], ["port", "calc", "served", &held(port.child.id())]);
    assert_eq!(lines[1], ["pipe", "feed", "served", &held(pipe.child.id())]);
    let found = list(&world, "port");
    assert_eq!(found["services"].as_array().unwrap().len(), 1);
    assert_eq!(found["services"][0]["kind"], "port");
    assert_eq!(found["services"][0]["servers"][0]["pid"], port.child.id());
    assert_eq!(found["not_objects"].as_array().unwrap().len(), 0);
    assert_eq!(list(&world, "pipe")["services"][0]["name"], "feed");
    let doctor = world.strait("doctor").out;
    assert!(!doctor.contains("of another kind"), "{doctor}");
    assert!(!doctor.contains("of killed processes"), "{doctor}");
    // After SIGKILL they are left over, and collected.
    port.kill();
    let mut pipe = pipe;
    pipe.kill();
    assert_eq!(list(&world, "pipe")["services"][0]["life"], "leftover");
    let text = world.good("ls port");
    assert!(text.contains("calc  leftover  none: a leftover"), "{text}");
    let doctor = world.strait("doctor").out;
    assert!(
        doctor.contains("2 leftovers of killed processes"),
        "{doctor}"
    );
    assert!(world.good("gc").contains("removed 2 leftovers"));
    assert_eq!(world.good("ls"), "KIND  NAME  STATE  HOLDERS\n");
}
