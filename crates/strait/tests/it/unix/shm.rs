//! System V shared memory between real processes.

use std::ops::Deref;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use rustix::process::{WaitOptions, waitpid};
use strait::unix::ipc::{Change, Key};
use strait::unix::shm::{self, HEADER, Read, Segment, Write};
use strait::{Birth, Error, ErrorKind, Result};
use strait_sys::fork;

use crate::peer::{Peer, Role, command, say, told};
use crate::world::{
    GUARD, USERS, alone, as_member, is_root, no_users, permitted, refused, skip, until, within,
};

/// The processes these tests start.
pub(crate) const ROLES: &[(&str, Role)] = &[
    ("shm.user", user),
    ("shm.stranger", stranger),
    ("shm.maker", maker),
    ("shm.crowded", crowded),
];

/// A segment that is removed with the value.
struct Own(Segment);

impl Own {
    fn of(size: usize) -> Self {
        Self(Segment::create(Key::PRIVATE, size, 0o600).unwrap())
    }

    fn attached(&self) -> u64 {
        self.stat().unwrap().attached
    }

    fn user(&self) -> Peer {
        Peer::start("shm.user", &[&self.id().to_string()])
    }
}

impl Deref for Own {
    type Target = Segment;

    fn deref(&self) -> &Segment {
        &self.0
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // A test may have removed it.
        let _ = self.0.remove();
    }
}

/// A key of this test alone.
fn key(number: u32) -> Key {
    Key::new(0x7352_0000 ^ std::process::id() << 4 ^ number)
}

#[track_caller]
fn fails<T>(result: Result<T>, kind: ErrorKind, operation: &str, segment: &Segment) -> Error {
    let error = refused(result, kind);
    assert_eq!(error.operation(), operation, "{error}");
    let id = format!("(id {})", segment.id());
    assert!(error.subject().ends_with(&id), "{error}");
    error
}

/// Attaches, adds to the first word and detaches as it is told.
fn user(args: &[String]) {
    let segment = Segment::from_id(args[0].parse().unwrap()).unwrap();
    let mut views = Vec::new();
    while let Some(line) = told() {
        match &*line {
            "attach" => match segment.attach::<Write>() {
                Ok(view) => {
                    views.push(view);
                    say("attached");
                }
                Err(error) => say(format!("{:?}", error.kind())),
            },
            "detach" => {
                drop(views.pop());
                say("detached");
            }
            "add" => say(views[0].word::<u64>(0).unwrap().fetch_add(1, SeqCst)),
            "spawn" => {
                let child = std::process::Command::new("true").status().unwrap();
                say(child.success());
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn two_processes_see_the_same_bytes() {
    let segment = Own::of(5000);
    let view = segment.attach::<Write>().unwrap();
    assert_eq!(view.len(), 5000, "the size that was asked for, not pages");
    let mut user = segment.user();
    assert_eq!(user.ask("attach"), "attached");
    view.word::<u64>(0).unwrap().store(41, SeqCst);
    assert_eq!(user.ask("add"), "41");
    assert_eq!(view.word::<u64>(0).unwrap().load(SeqCst), 42);
    view.write(4997, b"tea").unwrap();
    refused(view.write(4998, b"tea"), ErrorKind::InvalidInput);
    refused(view.word::<u64>(4996), ErrorKind::InvalidInput);
    refused(view.word::<u64>(4), ErrorKind::InvalidInput);
    let looks = segment.attach::<Read>().unwrap();
    let mut tea = [0; 3];
    looks.read(4997, &mut tea).unwrap();
    assert_eq!(&tea, b"tea");
    assert_eq!(looks.word::<u64>(0).unwrap().load(SeqCst), 42);
}

#[test]
fn attachments_are_counted_and_end_with_their_process() {
    let segment = Own::of(1);
    let (mut one, mut two) = (segment.user(), segment.user());
    assert_eq!(segment.attached(), 0);
    assert_eq!(
        (one.ask("attach"), one.ask("attach")),
        ("attached".into(), "attached".into())
    );
    assert_eq!(two.ask("attach"), "attached");
    let stat = segment.stat().unwrap();
    assert_eq!((stat.attached, stat.last), (3, Some(two.child.id())));
    assert_eq!(stat.creator, Some(std::process::id()));
    assert!(stat.attached_at.is_some() && stat.detached_at.is_none());
    // A child that runs a program has nothing attached.
    assert_eq!(one.ask("spawn"), "true");
    assert_eq!(segment.attached(), 3);
    assert_eq!(one.ask("detach"), "detached");
    assert_eq!(segment.attached(), 2);
    one.kill();
    assert_eq!(segment.attached(), 1);
    assert!(two.finish().success());
    let stat = segment.stat().unwrap();
    assert_eq!(stat.attached, 0);
    assert!(stat.detached_at.is_some());
}

#[test]
fn a_forked_child_has_what_its_parent_attached() {
    let test = "unix::shm::a_forked_child_has_what_its_parent_attached";
    alone(test, || {
        let segment = Own::of(4096);
        let mut view = Some(segment.attach::<Write>().unwrap());
        let child = fork::run_child(|| {
            let view = view.take().unwrap();
            assert_eq!(segment.attached(), 2);
            view.word::<u64>(0).unwrap().store(7, SeqCst);
            drop(view);
            u8::from(segment.attached() != 1)
        });
        let ended = waitpid(Some(child.expect("one thread")), WaitOptions::empty());
        assert_eq!(ended.unwrap().unwrap().1.exit_status(), Some(0));
        assert_eq!(view.unwrap().word::<u64>(0).unwrap().load(SeqCst), 7);
    });
}

#[test]
fn a_removed_segment_stays_with_those_who_have_it() {
    alone(
        "unix::shm::a_removed_segment_stays_with_those_who_have_it",
        || {
            let key = key(1);
            let segment = Own(Segment::create(key, 100, 0o600).unwrap());
            let view = segment.attach::<Write>().unwrap();
            let mut user = segment.user();
            segment.remove().unwrap();
            let stat = segment.stat().unwrap();
            assert!(stat.removed && stat.key.is_private());
            refused(Segment::open(key), ErrorKind::NotFound);
            // Linux alone lets it still be attached by its id.
            assert_eq!(user.ask("attach"), "attached");
            view.word::<u64>(0).unwrap().store(5, SeqCst);
            assert_eq!(user.ask("add"), "5");
            // Another of the same key is another.
            let fresh = Own(Segment::create(key, 100, 0o600).unwrap());
            assert_ne!(fresh.id(), segment.id());
            drop(view);
            assert_eq!(user.ask("add"), "6");
            user.kill();
            for result in [
                segment.attach::<Read>().map(drop),
                segment.attach::<Write>().map(drop),
                segment.stat().map(drop),
                segment.set(Change::new()),
                segment.lock(),
                segment.remove(),
                Segment::from_id(segment.id()).map(drop),
            ] {
                refused(result, ErrorKind::Removed);
            }
            let fresh = fresh.attach::<Read>().unwrap();
            assert_eq!(fresh.word::<u64>(0).unwrap().load(SeqCst), 0);
        },
    );
}

#[test]
fn a_view_for_reading_is_read_only_for_the_kernel_too() {
    let segment = Own::of(4096);
    let view = segment.attach::<Read>().unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let id = format!(" {} ", segment.id());
    let ours = maps
        .lines()
        .find(|line| line.contains("/SYSV") && line.contains(&id));
    let ours = ours.expect("a map whose inode is the segment's id");
    assert!(ours.contains(" r--s "), "{ours}");
    drop(view);
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(
        !maps
            .lines()
            .any(|line| line.contains("/SYSV") && line.contains(&id))
    );
}

#[test]
fn births_say_what_they_found() {
    let key = key(2);
    let (segment, birth) = Segment::create_or_open(key, 100, 0o600).unwrap();
    let segment = Own(segment);
    assert_eq!(birth, Birth::Created);
    let (again, birth) = Segment::create_or_open(key, 50, 0o600).unwrap();
    assert_eq!((again, birth), (*segment, Birth::Opened));
    assert_eq!(Segment::open(key).unwrap(), *segment);
    assert_eq!(Segment::from_id(segment.id()).unwrap(), *segment);
    let small = refused(
        Segment::create_or_open(key, 101, 0o600),
        ErrorKind::InvalidInput,
    );
    assert!(small.why().contains("100 bytes, not 101"), "{small}");
    refused(Segment::create(key, 100, 0o600), ErrorKind::Exists);
    refused(
        Segment::create(Key::PRIVATE, 0, 0o600),
        ErrorKind::InvalidInput,
    );
    refused(
        Segment::create(Key::PRIVATE, 1, 0o755),
        ErrorKind::InvalidInput,
    );
    refused(
        Segment::create(Key::PRIVATE, usize::MAX, 0o600),
        ErrorKind::InvalidInput,
    );
    refused(Segment::open(Key::PRIVATE), ErrorKind::InvalidInput);
    let mode = Change::new().mode(0o1600);
    fails(
        segment.set(mode),
        ErrorKind::InvalidInput,
        "change",
        &segment,
    );
    segment.set(Change::new().mode(0o644)).unwrap();
    let stat = segment.stat().unwrap();
    assert_eq!((stat.permissions.mode, stat.size), (0o644, 100));
    let listed = shm::list().unwrap();
    assert!(listed.contains(&stat));
    let (limits, usage) = (shm::limits().unwrap(), shm::usage().unwrap());
    assert!(usage.segments >= 1 && usage.pages >= 1);
    for (file, value) in [
        ("shmmax", limits.size),
        ("shmall", limits.pages),
        ("shmmni", limits.segments),
    ] {
        let text = std::fs::read_to_string(format!("/proc/sys/kernel/{file}")).unwrap();
        assert_eq!(text.trim(), value.to_string(), "{file}");
    }
}

#[test]
fn a_locked_segment_says_so() {
    let segment = Own::of(4096);
    match segment.lock() {
        Err(error) if error.kind() == ErrorKind::Denied && !is_root() => {
            return skip("a_locked_segment_says_so", error);
        }
        other => other.unwrap(),
    }
    assert!(segment.stat().unwrap().locked);
    segment.unlock().unwrap();
    assert!(!segment.stat().unwrap().locked);
}

/// Says what another user may do with the segment of this id.
fn stranger(args: &[String]) {
    let segment = Segment::from_id(args[0].parse().unwrap()).unwrap();
    let word = |result: Result<()>| match result {
        Ok(()) => "yes".to_owned(),
        Err(error) if error.kind() == ErrorKind::Denied => {
            assert!(error.why().contains("uid "), "{error}");
            "no".to_owned()
        }
        Err(error) => error.to_string(),
    };
    say(word(segment.stat().map(drop)));
    say(word(segment.attach::<Read>().map(drop)));
    say(word(segment.attach::<Write>().map(drop)));
    say(word(segment.set(Change::new().mode(0o666))));
    say(word(segment.lock()));
    say(word(segment.remove()));
}

#[test]
fn others_may_attach_as_the_mode_says() {
    if let Some(why) = no_users() {
        return skip("others_may_attach_as_the_mode_says", why);
    }
    let segment = Own::of(1);
    // stat, attach for reading, for writing, change the mode, lock, remove
    for (mode, allowed) in [
        (0o600, "yes no no no no no"),
        (0o604, "yes yes no no no no"),
        (0o602, "yes no no no no no"),
        (0o606, "yes yes yes no no no"),
    ] {
        segment.set(Change::new().mode(mode)).unwrap();
        let mut command = command("shm.stranger", &[&segment.id().to_string()]);
        let mut peer = Peer::of(as_member(&mut command, USERS[0], USERS[0]));
        let said: Vec<String> = std::iter::from_fn(|| peer.hear()).collect();
        assert_eq!(said.join(" "), allowed, "{mode:o}");
    }
    let mut command = command("shm.stranger", &[&segment.id().to_string()]);
    segment
        .set(Change::new().owner(USERS[0]).mode(0o600))
        .unwrap();
    let mut peer = Peer::of(as_member(&mut command, USERS[0], USERS[0]));
    let said: Vec<String> = std::iter::from_fn(|| peer.hear()).collect();
    assert_eq!(said.join(" "), "yes yes yes yes yes yes");
}

/// Makes a segment, attaches it, and publishes when it is told.
fn maker(args: &[String]) {
    let segment = Segment::create(Key::new(args[0].parse().unwrap()), 4096, 0o600).unwrap();
    let view = segment.attach::<Write>().unwrap();
    say(segment.id());
    told().unwrap();
    view.write(HEADER, b"ready").unwrap();
    shm::publish(&view, 7).unwrap();
    refused(shm::publish(&view, 8), ErrorKind::Exists);
    say("published");
    told();
}

#[test]
fn contents_are_announced_when_they_are_there() {
    let key = key(3);
    let mut maker = Peer::start("shm.maker", &[&key.number().to_string()]);
    maker.hear().unwrap();
    let segment = Own(Segment::open(key).unwrap());
    let early = segment.attach_published::<Read>(7, Duration::ZERO);
    assert!(early.unwrap().is_none(), "its maker lives");
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| segment.attach_published::<Read>(7, GUARD).unwrap());
        until("it has attached", || segment.attached() == 2);
        maker.tell("publish");
        let view = waiter.join().unwrap().unwrap();
        let mut bytes = [0; 5];
        view.read(HEADER, &mut bytes).unwrap();
        assert_eq!(&bytes, b"ready");
    });
    let other = segment.attach_published::<Read>(8, GUARD);
    let error = fails(other, ErrorKind::Layout, "attach", &segment);
    assert!(error.why().contains("version 7, not 8"), "{error}");
    let view = segment.attach::<Write>().unwrap();
    view.word::<u32>(0).unwrap().store(0x1234, SeqCst);
    let foreign = segment.attach_published::<Read>(7, GUARD);
    fails(foreign, ErrorKind::Layout, "attach", &segment);
}

#[test]
fn a_maker_that_died_is_named() {
    let key = key(4);
    let mut maker = Peer::start("shm.maker", &[&key.number().to_string()]);
    maker.hear().unwrap();
    let segment = Own(Segment::open(key).unwrap());
    maker.kill();
    let late = segment.attach_published::<Write>(7, Duration::from_millis(5));
    let error = fails(late, ErrorKind::PeerGone, "attach", &segment);
    let named = format!("process {}, died before", maker.child.id());
    assert!(error.why().contains(&named), "{error}");
    let small = Own::of(HEADER - 1);
    let view = small.attach::<Write>().unwrap();
    refused(shm::publish(&view, 1), ErrorKind::InvalidInput);
    refused(small.attach_published::<Read>(1, GUARD), ErrorKind::Layout);
}

/// Huge pages that this machine sets aside; as many as before when it is dropped.
struct HugePages(String);

impl HugePages {
    const FILE: &str = "/proc/sys/vm/nr_hugepages";

    fn set_aside(count: u32) -> std::io::Result<Self> {
        let before = Self(std::fs::read_to_string(Self::FILE)?);
        std::fs::write(Self::FILE, count.to_string())?;
        Ok(before)
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        let _ = std::fs::write(Self::FILE, &self.0);
    }
}

/// In this order in one test: how many huge pages there are is true of the whole machine.
#[test]
fn huge_pages_are_told_apart_from_promises() {
    let test = "huge_pages_are_told_apart_from_promises";
    let wrong = Segment::options(1).huge_of(13).create(Key::PRIVATE);
    refused(wrong, ErrorKind::InvalidInput);
    let wrong = Segment::options(1).huge_of(64).create(Key::PRIVATE);
    refused(wrong, ErrorKind::InvalidInput);
    match Segment::options(3 << 20)
        .huge()
        .unreserved()
        .create(Key::PRIVATE)
    {
        Ok(segment) => promised(test, &Own(segment)),
        Err(error) => skip(test, error),
    }
    match HugePages::set_aside(2) {
        Ok(_pages) => set_aside(test),
        Err(error) => skip(test, format!("{}: {error}", HugePages::FILE)),
    }
}

fn promised(test: &str, segment: &Segment) {
    let view = segment.attach::<Write>().unwrap();
    let store = view.write(1 << 20, b"tea");
    if store.is_ok() {
        return skip(test, "this machine has huge pages set aside");
    }
    let error = refused(store, ErrorKind::Broken);
    assert!(error.why().contains("no memory"), "{error}");
    refused(view.word::<u64>(0), ErrorKind::Broken);
    let beside = Own::of(4096);
    beside.attach::<Write>().unwrap().write(0, b"tea").unwrap();
    // Not promised, they are missing at once, and the message says what to do about it.
    let missing = Segment::options(3 << 20).huge().create(Key::PRIVATE);
    let error = refused(missing, ErrorKind::Exhausted);
    assert!(error.why().contains("vm.nr_hugepages"), "{error}");
}

fn set_aside(test: &str) {
    let segment = match Segment::options(3 << 20).huge().create(Key::PRIVATE) {
        Ok(segment) => Own(segment),
        // Memory in pieces, or pages of 1 GiB.
        Err(error) => return skip(test, error),
    };
    assert_eq!(segment.stat().unwrap().size, 3 << 20);
    let view = segment.attach::<Write>().unwrap();
    assert_eq!(view.len(), 3 << 20);
    view.word::<u64>(0).unwrap().store(41, SeqCst);
    view.write((3 << 20) - 3, b"tea").unwrap();
    let mut user = segment.user();
    assert_eq!(user.ask("attach"), "attached");
    assert_eq!(user.ask("add"), "41");
    assert_eq!(user.ask("detach"), "detached");
    let looks = segment.attach::<Read>().unwrap();
    drop(view);
    let mut tea = [0; 3];
    looks.read((3 << 20) - 3, &mut tea).unwrap();
    assert_eq!(&tea, b"tea");
    assert_eq!(looks.word::<u64>(0).unwrap().load(SeqCst), 42);
    drop(looks);
    // Another test's child has them too, from its fork to its exec.
    until("whole huge pages are detached", || segment.attached() == 0);
}

/// In an IPC namespace of its own, where two segments of 16 pages may be.
fn crowded(_: &[String]) {
    for (file, limit) in [("shmmni", "2"), ("shmall", "16"), ("shmmax", "65536")] {
        std::fs::write(format!("/proc/sys/kernel/{file}"), limit).unwrap();
    }
    let limits = shm::limits().unwrap();
    assert_eq!(
        (limits.size, limits.pages, limits.segments),
        (65_536, 16, 2)
    );
    let large = refused(
        Segment::create(key(5), 65_537, 0o600),
        ErrorKind::InvalidInput,
    );
    assert!(large.why().contains("SHMMAX"), "{large}");
    let _one = Segment::create(key(5), 8 * 4096, 0o600).unwrap();
    let error = refused(
        Segment::create(key(6), 9 * 4096, 0o600),
        ErrorKind::Exhausted,
    );
    assert!(error.why().contains("SHMALL"), "{error}");
    let _two = Segment::create(key(6), 8 * 4096, 0o600).unwrap();
    let error = refused(Segment::create(key(7), 1, 0o600), ErrorKind::Exhausted);
    assert!(error.why().contains("SHMMNI"), "{error}");
    say("crowded");
}

#[test]
fn limits_of_segments_are_told_and_kept() {
    let wrapper = ["unshare", "-i"];
    if !is_root() || !permitted(&wrapper) {
        let why = "no IPC namespace of its own, which needs root";
        return skip("limits_of_segments_are_told_and_kept", why);
    }
    let mut peer = Peer::of(&mut within(&wrapper, &command("shm.crowded", &[])));
    assert_eq!(peer.hear().as_deref(), Some("crowded"));
}
