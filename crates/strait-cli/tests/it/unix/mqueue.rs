//! `strait mqueue`: POSIX queues from the shell.

use serde_json::{Value, json};

use crate::world::World;

/// A queue's name, gone with the value.
struct Queue<'a>(&'a World, String);

impl<'a> Queue<'a> {
    /// None on a kernel without such queues.
    fn new(world: &'a World, test: &str) -> Option<Self> {
        let name = format!("/strait-cli-{test}-{}", std::process::id());
        let ran = world.strait(&format!("mqueue create {name} --messages 2 --bytes 64"));
        if ran.err.contains("CONFIG_POSIX_MQUEUE") {
            eprintln!("skipped {test}: {}", ran.err);
            return None;
        }
        assert_eq!((ran.status, &*ran.err), (Some(0), ""));
        Some(Self(world, name))
    }
}

impl Drop for Queue<'_> {
    fn drop(&mut self) {
        // A test may have removed it.
        let _ = self.0.strait(&format!("mqueue rm {}", self.1));
    }
}

#[test]
fn messages_come_by_priority() {
    let world = World::new();
    let Some(queue) = Queue::new(&world, "priority") else {
        return;
    };
    let name = &queue.1;
    let empty = world.strait(&format!("mqueue recv {name} --timeout 1ms"));
    assert_eq!(
        (empty.status, &*empty.out, &*empty.err),
        (Some(124), "", "")
    );
    world.good(&format!("mqueue send {name} later"));
    let ran = world.fed(&format!("mqueue send {name} --priority 9"), b"at once");
    assert_eq!((ran.status, &*ran.err), (Some(0), ""));
    let full = world.strait(&format!("mqueue send {name} x --timeout 1ms"));
    assert_eq!((full.status, &*full.err), (Some(124), ""));
    assert_eq!(
        world.good(&format!("wait mqueue:{name}")),
        format!("mqueue:{name}\n")
    );
    let stat = world.good(&format!("mqueue stat {name} --json"));
    let stat: Value = serde_json::from_str(&stat).unwrap();
    assert_eq!(
        (&stat["messages"], &stat["messages_max"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(
        (&stat["bytes_max"], &stat["mode"]),
        (&json!(64), &json!("0600"))
    );
    let first = world.good(&format!("mqueue recv {name} --json"));
    let first: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(
        first,
        json!({ "priority": 9, "bytes": 7, "text": "at once" })
    );
    // With or without the slash.
    assert_eq!(
        world.good(&format!("mqueue recv {}", &name[1..])),
        "later\n"
    );
    let receiver = world.start(&["wait", &format!("mqueue:{name}"), "--timeout", "20s"]);
    world.good(&format!("mqueue send {name} come"));
    assert_eq!(receiver.finish().status, Some(0));
    assert_eq!(world.good(&format!("mqueue recv {name} --raw")), "come");
}

#[test]
fn errors_name_the_posix_queue() {
    let world = World::new();
    let Some(queue) = Queue::new(&world, "errors") else {
        return;
    };
    let name = &queue.1;
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
        "mqueue recv /strait-none",
        125,
        "there is no POSIX queue /strait-none: create it with `strait mqueue create",
    );
    fails("mqueue create a/b", 1, "only the first byte may be a slash");
    let cure = format!("exists already (`strait mqueue stat {name}` shows it, `--or-open`");
    fails(&format!("mqueue create {name}"), 1, &cure);
    let why = "too long (65 bytes; the limit is 64: the queue's mq_msgsize";
    fails(&format!("mqueue send {name} {}", "x".repeat(65)), 125, why);
    fails(
        &format!("mqueue send {name} x --priority 32768"),
        2,
        "32768",
    );
    fails("wait mqueue:/strait-none", 125, "no POSIX queue");
    let long = world.fed(&format!("mqueue send {name}"), &[b'x'; 1000]);
    assert_eq!(long.status, Some(125));
    assert!(
        long.err
            .contains("at least 65 bytes; the limit is 64: the queue's mq_msgsize"),
        "{long:?}"
    );
    world.good(&format!("mqueue set {name} --mode 0620"));
    assert!(world.good(&format!("mqueue stat {name}")).contains("0620"));
    world.good(&format!("mqueue create {name} --or-open"));
    let odd = format!("{name}-\x1b[2J");
    world.good(&format!("mqueue create {odd}"));
    let listed = world.strait("mqueue list");
    world.good(&format!("mqueue rm {odd}"));
    // Where /dev/mqueue is mounted.
    if listed.status == Some(0) {
        assert!(listed.out.contains(name.as_str()), "{listed:?}");
        // What another user calls his queue does nothing to the terminal.
        let (shown, is_shown) = (r"-\x1b[2J", listed.out.contains('\x1b'));
        assert!(listed.out.contains(shown) && !is_shown, "{listed:?}");
    } else {
        assert!(listed.err.contains("mount -t mqueue"), "{listed:?}");
    }
    world.good(&format!("mqueue rm {name}"));
    fails(&format!("mqueue rm {name}"), 1, "there is no POSIX queue /");
}
