//! `strait msg`: queues from the shell.

use serde_json::{Value, json};

use crate::world::World;

/// A queue without a key, by its `id:N`, gone with the value.
struct Queue<'a>(&'a World, String);

impl<'a> Queue<'a> {
    fn new(world: &'a World, options: &str) -> Self {
        let id = world.good(&format!("msg create private {options}"));
        assert!(id.starts_with("id:"), "{id}");
        Self(world, id.trim().to_owned())
    }

    fn json(&self, verb: &str) -> Value {
        let Self(world, id) = self;
        serde_json::from_str(&world.good(&format!("msg {verb} {id} --json"))).unwrap()
    }
}

impl Drop for Queue<'_> {
    fn drop(&mut self) {
        // A test may have removed it.
        let _ = self.0.strait(&format!("msg rm {}", self.1));
    }
}

/// A name from which no other test derives a key.
fn key(test: &str) -> String {
    format!("name:strait-test-{test}-{}", std::process::id())
}

#[test]
fn messages_are_sent_seen_and_received() {
    let world = World::new();
    let queue = Queue::new(&world, "");
    let id = &queue.1;
    world.good(&format!("msg send {id} coffee --type 3"));
    world.fed(&format!("msg send {id}"), b"\x01\0\0\0chown\0");
    world.good(&format!("msg send {id} --type 9223372036854775807"));
    let seen = world.good(&format!("msg peek {id}"));
    let table = "index  type                 bytes  text\n\
                 0      3                    6      coffee\n\
                 1      1                    10     \\x01\\0\\0\\0chown\\0\n\
                 2      9223372036854775807  0\n";
    assert_eq!(seen, table);
    let seen = queue.json("peek");
    assert_eq!(
        seen[0],
        json!({ "index": 0, "type": 3, "bytes": 6, "text": "coffee" })
    );
    assert_eq!(queue.json("stat")["messages"], 3);
    let lowest = world.good(&format!("msg recv {id} --lowest 2 --raw"));
    assert_eq!(lowest, "\x01\0\0\0chown\0");
    let nothing = world.strait(&format!("msg recv {id} --type 7 --timeout 1ms"));
    assert_eq!(
        (nothing.status, &*nothing.out, &*nothing.err),
        (Some(124), "", "")
    );
    let cut = world.good(&format!("msg recv {id} --except 1 --cut 3"));
    assert_eq!(cut, "cof\n");
    // Room is for a message, whatever its owner lets the queue take (which takes a privilege).
    let much = 1_u64 << 62;
    let _ = world.strait(&format!("msg set {id} --bytes {much}"));
    let none = world.strait(&format!(
        "msg recv {id} --type 7 --cut {much} --timeout 1ms"
    ));
    assert_eq!((none.status, &*none.err), (Some(124), ""));
    let last = world.good(&format!("msg recv {id} --json --timeout 0"));
    let last: Value = serde_json::from_str(&last).unwrap();
    assert_eq!(last, json!({ "type": i64::MAX, "bytes": 0, "text": "" }));
    assert_eq!(
        world.good(&format!("msg peek {id}")),
        "index  type  bytes  text\n"
    );
    assert_eq!(queue.json("peek"), json!([]));
}

#[test]
fn a_receiver_waits_for_its_message() {
    let world = World::new();
    let queue = Queue::new(&world, "");
    let id = &queue.1;
    let receiver = world.start(&["msg", "recv", id, "--type", "2", "--timeout", "20s"]);
    world.good(&format!("msg send {id} other --type 1"));
    world.good(&format!("msg send {id} this --type 2"));
    let ran = receiver.finish();
    assert_eq!((ran.status, &*ran.out), (Some(0), "this\n"));
    // One whose queue is removed is told.
    let receiver = world.start(&["msg", "recv", id, "--type", "2"]);
    let tasks = format!("/proc/{}/syscall", receiver.child.id());
    let sleeps = if cfg!(target_arch = "x86_64") {
        "70 "
    } else {
        "188 "
    };
    world.until("it waits", || {
        std::fs::read_to_string(&tasks).is_ok_and(|call| call.starts_with(sleeps))
    });
    world.good(&format!("msg rm {id}"));
    let ran = receiver.finish();
    assert_eq!(ran.status, Some(125));
    assert!(ran.err.contains("it was removed"), "{ran:?}");
}

#[test]
fn a_wait_leaves_the_message() {
    let world = World::new();
    let queue = Queue::new(&world, "");
    let id = &queue.1;
    world.good("event create never");
    let none = world.strait(&format!("msg wait {id} --timeout 1ms"));
    assert_eq!((none.status, &*none.err), (Some(124), ""));
    let object = format!("msg:{id}:-4");
    let waiter = world.start(&["wait", "--any", "event:never", &object, "--timeout", "20s"]);
    world.good(&format!("msg send {id} high --type 5"));
    world.good(&format!("msg send {id} low --type 4"));
    let ran = waiter.finish();
    assert_eq!((ran.status, ran.out), (Some(0), format!("{object}\n")));
    world.good(&format!("msg wait {id}"));
    world.good(&format!("wait --all msg:{id}:5 msg:{id}"));
    let other = world.strait(&format!("wait msg:{id}:3 --timeout 0"));
    assert_eq!(other.status, Some(124));
    assert_eq!(queue.json("stat")["messages"], 2);
    assert_eq!(queue.json("stat")["last_receiver"], Value::Null);
}

#[test]
fn keys_have_their_forms() {
    let world = World::new();
    let name = key("forms");
    let id = world.good(&format!("msg create {name} --mode 0622"));
    let again = world.strait(&format!("msg create {name}"));
    assert_eq!(again.status, Some(1));
    assert!(again.err.contains("exists already"), "{again:?}");
    assert_eq!(world.good(&format!("msg create {name} --or-open")), id);
    let stat: Value =
        serde_json::from_str(&world.good(&format!("msg stat {name} --json"))).unwrap();
    assert_eq!((&stat["mode"], &stat["bytes"]), (&json!("0622"), &json!(0)));
    let number = stat["key"].as_u64().unwrap();
    for form in [
        format!("{number:#x}"),
        number.to_string(),
        id.trim().to_owned(),
    ] {
        assert_eq!(world.good(&format!("msg stat {form} --json")), {
            world.good(&format!("msg stat {name} --json"))
        });
    }
    let listed: Value = serde_json::from_str(&world.good("msg list --json")).unwrap();
    assert!(listed.as_array().unwrap().contains(&stat));
    let table = world.good("msg list");
    assert!(table.starts_with("KEY"), "{table}");
    assert!(table.contains(&format!("{number:#010x}")), "{table}");
    // ipcs(1) is the witness, where it is installed.
    if let Ok(ipcs) = std::process::Command::new("ipcs").arg("-q").output() {
        let shown = String::from_utf8_lossy(&ipcs.stdout).into_owned();
        assert!(shown.contains(&format!("{number:#010x}")), "{shown}");
    }
    world.good(&format!("msg rm {name}"));
    let file = world.space.path().join("file");
    std::fs::write(&file, "").unwrap();
    let of_file = format!("{}:7", file.display());
    let id = world.good(&format!("msg create {of_file}"));
    world.good(&format!("msg send {of_file} text"));
    assert_eq!(world.good(&format!("msg recv {}", id.trim())), "text\n");
    world.good(&format!("msg rm {of_file}"));
}

#[test]
fn what_is_set_stays_and_a_full_queue_says_so() {
    let world = World::new();
    let queue = Queue::new(&world, "--bytes 4");
    let id = &queue.1;
    world.good(&format!("msg send {id} four"));
    let full = world.strait(&format!("msg send {id} x --timeout 2ms"));
    assert_eq!((full.status, &*full.err), (Some(124), ""));
    world.good(&format!("msg set {id} --bytes 1K --mode 0660"));
    world.good(&format!("msg send {id} x --timeout 2ms"));
    let stat = queue.json("stat");
    assert_eq!(
        (&stat["bytes_max"], &stat["mode"]),
        (&json!(1024), &json!("0660"))
    );
    assert_eq!(stat["messages"], 2);
    let shown = world.good(&format!("msg stat {id}"));
    assert!(shown.contains("5 of 1024"), "{shown}");
}

#[test]
fn errors_name_the_queue_the_cause_and_the_cure() {
    let world = World::new();
    let queue = Queue::new(&world, "");
    let id = &queue.1;
    let fails = |line: &str, status: i32, words: &str| {
        let ran = world.strait(line);
        assert_eq!(
            (ran.status, &*ran.out),
            (Some(status), ""),
            "{line}: {ran:?}"
        );
        assert!(ran.err.contains(words), "{line}: {}", ran.err);
    };
    fails(
        "msg peek 0x7fffff01",
        1,
        "there is no message queue 0x7fffff01: create it with `strait msg create 0x7fffff01`\n",
    );
    fails(
        "msg recv id:2147483647",
        125,
        "no message queue id:2147483647 (`strait msg list` shows",
    );
    fails("msg send orders text", 2, "write a key, such as 0x5100");
    fails(
        &format!("msg send {id} text --type 0"),
        2,
        "invalid value '0'",
    );
    fails(
        &format!("msg recv {id} --type 1 --lowest 2"),
        2,
        "cannot be used with",
    );
    fails(
        &format!("msg create {id}"),
        1,
        "the kernel chooses the number",
    );
    fails(&format!("msg set {id}"), 2, "say what to change: --owner");
    fails("wait msg:orders", 125, "write a key");
    fails("msg recv private", 125, "id:N");
    let long = world.fed(&format!("msg send {id}"), &vec![b'x'; 1 << 20]);
    let most = strait::unix::msg::limits().unwrap().message_bytes;
    // Unless the administrator allows such.
    if most < 1 << 16 {
        assert_eq!(long.status, Some(125));
        let why = |words, len| {
            format!("too long ({words}{len} bytes; the limit is {most}: msgmax, see sysctl kernel.")
        };
        let where_it_stopped = why("at least ", most + 1);
        assert!(long.err.contains(&where_it_stopped), "{long:?}");
        let text = "x".repeat(1 << 16);
        fails(&format!("msg send {id} {text}"), 125, &why("", 1 << 16));
    }
    world.good(&format!("msg rm {id}"));
    fails(
        &format!("msg rm {id} {id}"),
        1,
        "there is no message queue id:",
    );
}
