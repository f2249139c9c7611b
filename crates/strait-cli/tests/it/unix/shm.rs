//! `strait shm`.

use strait::unix::shm::{Read, Segment, Write};

use crate::world::World;

struct Made {
    key: String,
    segment: Segment,
}

impl Made {
    fn new(world: &World, number: u32, options: &str) -> Self {
        let key = format!("{:#x}", 0x7354_0000 ^ std::process::id() << 4 ^ number);
        let id = world.good(&format!("shm create {key} {options}"));
        let segment =
            Segment::from_id(id.trim().strip_prefix("id:").unwrap().parse().unwrap()).unwrap();
        Self { key, segment }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // A test may have removed it.
        let _ = self.segment.remove();
    }
}

fn json(world: &World, line: &str) -> serde_json::Value {
    serde_json::from_str(&world.good(line)).unwrap()
}

#[test]
fn bytes_go_in_and_come_out() {
    let world = World::new();
    let made = Made::new(&world, 1, "--size 100K");
    let key = &made.key;
    let bytes: Vec<u8> = (0..102_000_u32).map(|n| b'a' + (n % 23) as u8).collect();
    let ran = world.fed(&format!("shm write {key} --offset 400"), &bytes);
    assert_eq!((ran.status, &*ran.err), (Some(0), ""));
    let all = world.good(&format!("shm read {key}")).into_bytes();
    assert_eq!((all.len(), &all[400..]), (102_400, &bytes[..]));
    let mut start = [0; 4];
    made.segment
        .attach::<Read>()
        .unwrap()
        .read(400, &mut start)
        .unwrap();
    assert_eq!(&start, b"abcd");
    made.segment
        .attach::<Write>()
        .unwrap()
        .write(0, b"tea")
        .unwrap();
    let dump = world.good(&format!("shm read {key} --hex --len 4"));
    assert!(dump.starts_with("00000000  74 65 61 00"), "{dump}");
    let ran = world.fed(&format!("shm write {key} --offset 102399"), b"xy");
    assert_eq!(ran.status, Some(1));
    assert!(ran.err.contains("what came after 1 bytes"), "{ran:?}");
    let ran = world.strait(&format!("shm read {key} --offset 1G"));
    assert_eq!((ran.status, &*ran.out), (Some(1), ""));
}

#[test]
fn a_segment_is_made_shown_changed_and_removed() {
    let world = World::new();
    let made = Made::new(&world, 2, "--size 5000 --mode 0640");
    let (key, id) = (&made.key, made.segment.id());
    let view = made.segment.attach::<Read>().unwrap();
    let seen = json(&world, &format!("shm stat {key} --json"));
    assert_eq!(
        (&seen["size"], &seen["mode"]),
        (&5000.into(), &"0640".into())
    );
    // A child that a neighbour just forked is attached for a moment, too.
    world.until("it is attached once", || {
        json(&world, &format!("shm stat {key} --json"))["attached"] == 1
    });
    world.until("it is said to be attached once", || {
        let said = world.good(&format!("shm stat id:{id}"));
        said.contains("attached once")
    });
    world.good(&format!("shm set {key} --mode 0600"));
    assert_eq!(world.strait(&format!("shm set {key}")).status, Some(2));
    let lock = world.strait(&format!("shm lock {key}"));
    if lock.status == Some(0) {
        assert!(world.good(&format!("shm stat {key}")).contains("locked"));
        world.good(&format!("shm lock {key} --unlock"));
    } else {
        assert!(lock.err.contains("RLIMIT_MEMLOCK"), "{lock:?}");
    }
    assert!(!world.good(&format!("shm stat {key}")).contains("locked"));
    let taken = world.strait(&format!("shm create {key} --size 1"));
    assert_eq!(taken.status, Some(1));
    assert!(
        taken.err.contains("`--or-open` takes it as it is"),
        "{taken:?}"
    );
    let open = format!("shm create {key} --or-open --size");
    assert_eq!(
        world.good(&format!("{open} 5000")).trim(),
        format!("id:{id}")
    );
    let small = world.strait(&format!("{open} 5001"));
    assert!(small.err.contains("it has 5000 bytes"), "{small:?}");
    world.good(&format!("shm rm {key}"));
    let gone = world.strait(&format!("shm stat {key}"));
    let cure = "--size SIZE`\n";
    assert!(
        gone.err.contains("create it with `strait shm create 0x"),
        "{gone:?}"
    );
    assert!(gone.err.ends_with(cure), "{gone:?}");
    let listed = json(&world, "shm list --json");
    let ours = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["id"] == id);
    assert_eq!(ours.unwrap()["removed"], true, "as long as it is attached");
    world.until("it is listed as attached once", || {
        world.good("shm list").contains("attached once, removed")
    });
    drop(view);
    world.until("it has gone", || {
        let listed = json(&world, "shm list --json");
        listed.as_array().unwrap().iter().all(|one| one["id"] != id)
    });
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let world = World::new();
    let none = world.strait("shm create private --size 0");
    assert!(none.err.contains("at least one byte"), "{none:?}");
    assert_eq!(world.strait("shm create private").status, Some(2));
    let odd = world.strait("shm create private --size 1M --huge=3M");
    assert!(odd.err.contains("such as 2M or 1G"), "{odd:?}");
    let missing = world.strait("shm create private --size 8K --huge=8K");
    assert!(
        missing.err.contains("no huge pages of that size"),
        "{missing:?}"
    );
}
