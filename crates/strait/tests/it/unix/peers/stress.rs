//! stress-ng(1) on System V objects beside ours: what passes through ours stays right, and nothing
//! of ours is touched.

use std::process::{Child, Command, Stdio};

use strait::unix::ipc::Key;
use strait::unix::msg::{self, Queue, Select};
use strait::unix::sem::{self, Set, down, up};
use strait::unix::shm::{self, Segment, View, Write};

use super::lacking;
use crate::peer::{self, Peer, say};
use crate::world::{GUARD, is_root, permitted, skip, within};

/// An IPC namespace of one's own: its limits are nobody else's, and all in it is known.
const ALONE: [&str; 2] = ["unshare", "-i"];

/// How long stress-ng runs, in seconds.
const SECONDS: &str = "3";

#[test]
fn stress_beside_ours_touches_nothing_of_ours() {
    if let Some(why) = lacking(&["stress-ng"]) {
        return skip("stress_beside_ours_touches_nothing_of_ours", why);
    }
    let mut stage = peer::command("peers.beside", &[]);
    if is_root() && permitted(&ALONE) {
        stage = within(&ALONE, &stage);
    }
    let mut stage = Peer::of(&mut stage);
    assert_eq!(stage.hear().as_deref(), Some("right"));
    assert!(stage.finish().success());
}

/// One of each.
struct Ours {
    queue: Queue,
    set: Set,
    segment: Segment,
}

impl Ours {
    fn new() -> Self {
        Self {
            queue: Queue::create(Key::PRIVATE, 0o600).unwrap(),
            set: Set::create_with(Key::PRIVATE, &[0, 0], 0o600).unwrap(),
            segment: Segment::create(Key::PRIVATE, 8192, 0o600).unwrap(),
        }
    }

    fn find(ids: &[String]) -> Self {
        let id = |at: usize| ids[at].parse().unwrap();
        Self {
            queue: Queue::from_id(id(0)).unwrap(),
            set: Set::from_id(id(1)).unwrap(),
            segment: Segment::from_id(id(2)).unwrap(),
        }
    }

    fn ids(&self) -> [i32; 3] {
        [self.queue.id(), self.set.id(), self.segment.id()]
    }

    /// Whether each of them is in its list, once.
    fn are_listed(&self) -> bool {
        let [queue, set, segment] = self.ids();
        let queues = msg::list().unwrap();
        let sets = sem::list().unwrap();
        let segments = shm::list().unwrap();
        queues.iter().filter(|stat| stat.id == queue).count() == 1
            && sets.iter().filter(|stat| stat.id == set).count() == 1
            && segments.iter().filter(|stat| stat.id == segment).count() == 1
    }
}

/// They are removed with the value.
struct Own(Ours);

impl Drop for Own {
    fn drop(&mut self) {
        // Whoever of them is gone is what the test has found.
        let _ = self.0.queue.remove();
        let _ = self.0.set.remove();
        let _ = self.0.segment.remove();
    }
}

/// Bytes that differ from round to round, and from place to place.
fn pattern(round: u64) -> Vec<u8> {
    let numbers = (0..512).map(|at: u64| (round << 16 ^ at).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    numbers.flat_map(u64::to_le_bytes).collect()
}

/// The stage: stress-ng, a partner, and rounds between the partner and us until stress-ng ends.
pub(super) fn beside(_: &[String]) {
    let own = Own(Ours::new());
    let ours = &own.0;
    let ids = ours.ids().map(|id| id.to_string());
    let mut partner = Peer::start("peers.partner", &ids.each_ref().map(String::as_str));
    assert_eq!(partner.hear().as_deref(), Some("ready"));
    let view = ours.segment.attach::<Write>().unwrap();
    let before = ours.segment.stat().unwrap();
    let mut stress = stress();
    let mut rounds = 0;
    while stress.try_wait().unwrap().is_none() {
        round(ours, &view, rounds);
        assert!(ours.are_listed());
        rounds += 1;
    }
    let status = stress.wait().unwrap();
    assert!(status.success(), "stress-ng: {status}");
    assert!(rounds > 0);
    partner.kill();

    // All that has happened to ours was done by the two of us.
    let queue = ours.queue.stat().unwrap();
    assert_eq!((queue.messages, queue.bytes), (0, 0));
    assert_eq!(ours.set.values().unwrap(), [0, 0]);
    let after = ours.segment.stat().unwrap();
    assert_eq!((after.attached, after.changed), (1, before.changed));
    assert_eq!(after.permissions, before.permissions);
    say("right");
}

fn stress() -> Child {
    let mut command = Command::new("stress-ng");
    command
        .args([
            "--quiet",
            "--msg",
            "1",
            "--sem-sysv",
            "1",
            "--shm-sysv",
            "1",
        ])
        .args(["--timeout", SECONDS])
        .current_dir(std::env::temp_dir());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().unwrap()
}

/// There by each of the three, and back.
fn round(ours: &Ours, view: &View<Write>, round: u64) {
    let mut came = vec![0; 4096];
    view.write(0, &pattern(round)).unwrap();
    ours.set.op(&[up(0)]).unwrap();
    assert!(ours.set.op_for(&[down(1)], GUARD).unwrap());
    view.read(4096, &mut came).unwrap();
    assert_eq!(came, pattern(round + 1), "round {round}");

    ours.queue.send(2, &pattern(round)).unwrap();
    let back = ours.queue.recv_for(Select::Type(1), GUARD).unwrap();
    assert_eq!(back.unwrap().bytes, pattern(round + 2), "round {round}");
}

/// Answers each round, until it is killed.
pub(super) fn partner(args: &[String]) {
    let ours = Ours::find(args);
    let view = ours.segment.attach::<Write>().unwrap();
    let mut came = vec![0; 4096];
    say("ready");
    for round in 0.. {
        ours.set.op(&[down(0)]).unwrap();
        view.read(0, &mut came).unwrap();
        assert_eq!(came, pattern(round));
        view.write(4096, &pattern(round + 1)).unwrap();
        ours.set.op(&[up(1)]).unwrap();
        let message = ours
            .queue
            .recv_for(Select::Type(2), GUARD)
            .unwrap()
            .unwrap();
        assert_eq!(message.bytes, pattern(round));
        ours.queue.send(1, &pattern(round + 2)).unwrap();
    }
}
