//! Perl's IPC::SysV and Python's `sysv_ipc`, as both sides of each System V mechanism.

use std::num::NonZeroU8;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use strait::unix::ipc::Key;
use strait::unix::msg::{Queue, Select};
use strait::unix::sem::{Set, down, up};
use strait::unix::shm::{Read, Segment, Write};
use strait::{Birth, ErrorKind};

use super::Swept;
use crate::peer::Peer;
use crate::unix::msg::until_blocked;
use crate::world::{GUARD, alone, refused, skip, until};

/// An interpreter, how to see that it has System V IPC, and what it runs.
struct Language {
    program: PathBuf,
    probe: &'static [&'static str],
    option: &'static str,
    script: &'static str,
}

fn languages() -> [Language; 2] {
    // The folder that this test was built into has the Python that was installed for it.
    let itself = std::env::current_exe().unwrap();
    let mut pythons = itself
        .ancestors()
        .map(|at| at.join("peers/venv/bin/python3"));
    let python = Language {
        program: pythons
            .find(|path| path.exists())
            .unwrap_or_else(|| "python3".into()),
        probe: &["-c", "import sysv_ipc"],
        option: "-c",
        script: include_str!("sysv.py"),
    };
    let perl = Language {
        program: "perl".into(),
        probe: &[
            "-MIPC::Msg",
            "-MIPC::Semaphore",
            "-MIPC::SharedMem",
            "-e",
            "1",
        ],
        option: "-e",
        script: include_str!("sysv.pl"),
    };
    [python, perl]
}

/// Goes through the test with each language that is here, and a key of its own.
fn in_each(test: &str, body: fn(&mut Peer, Key)) {
    for language in languages() {
        let mut probe = Command::new(&language.program);
        let probe = probe.args(language.probe).stdin(Stdio::null());
        let probed = probe.stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !probed.is_ok_and(|status| status.success()) {
            let line = format!(
                "{} {}",
                language.program.display(),
                language.probe.join(" ")
            );
            let why = format!("`{line}` fails (`cargo xtask peers` installs what is missing)");
            skip(test, why);
            continue;
        }
        let mut command = Command::new(&language.program);
        speak(command.args([language.option, language.script]), body);
    }
}

fn speak(command: &mut Command, body: fn(&mut Peer, Key)) {
    let swept = Swept::new();
    let key = swept.0.number().cast_signed().to_string();
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    body(&mut Peer::of(pipes.arg(key)), swept.0);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every byte there is, as many as a message has at most.
fn bytes() -> Vec<u8> {
    (0..=u8::MAX).cycle().take(8192).collect()
}

#[test]
fn keys_of_files_are_those_of_other_languages() {
    in_each("keys_of_files_are_those_of_other_languages", |peer, _| {
        let file = std::env::current_exe().unwrap();
        for path in ["/", "/dev/null", file.to_str().unwrap()] {
            for project in [1, b'A', 127, 128, 255] {
                let key = Key::from_path(path, NonZeroU8::new(project).unwrap()).unwrap();
                let theirs: i64 = peer.ask(&format!("ftok {path} {project}")).parse().unwrap();
                // Some take a key for a number with a sign, and some do not.
                let theirs = theirs.rem_euclid(1 << 32);
                assert_eq!(theirs, i64::from(key.number()), "{path} {project}");
            }
        }
    });
}

#[test]
fn queues_carry_messages_from_and_to_other_languages() {
    in_each(
        "queues_carry_messages_from_and_to_other_languages",
        |peer, key| {
            let id = peer.ask("msg.create");
            let queue = Queue::open(key).unwrap();
            assert_eq!(queue.id().to_string(), id);
            // From them: what is longest, what is empty, and the type that is asked for.
            let long = hex(&bytes());
            for order in [&format!("msg.send 7 {long}"), "msg.send 2147483647"] {
                peer.ask(order);
            }
            assert_eq!(queue.stat().unwrap().last_sender, Some(peer.child.id()));
            let last = queue
                .try_recv(Select::Type(i64::from(i32::MAX)))
                .unwrap()
                .unwrap();
            assert_eq!((last.kind, &*last.bytes), (i64::from(i32::MAX), &b""[..]));
            let first = queue.try_recv(Select::Any).unwrap().unwrap();
            assert_eq!((first.kind, first.bytes), (7, bytes()));
            // To them, who wait already, by the lowest type up to 9.
            peer.tell("msg.recv -9");
            until_blocked(peer);
            queue.send(10, b"not this").unwrap();
            queue.send(9, &bytes()).unwrap();
            assert_eq!(peer.hear().unwrap(), format!("9 {long}"));
            assert_eq!(queue.stat().unwrap().last_receiver, Some(peer.child.id()));
            assert_eq!(peer.ask("msg.recv 0"), format!("10 {}", hex(b"not this")));
            // To us, who wait.
            let waiter = queue.receiving(Select::Type(3)).unwrap();
            thread::scope(|scope| {
                let waiting = scope.spawn(|| strait::wait::any_for(&[&waiter], GUARD));
                assert_eq!(peer.ask("msg.send 3 00ff"), "done");
                assert!(waiting.join().unwrap().unwrap().is_some());
            });
            assert_eq!(waiter.take().unwrap().unwrap().bytes, [0, 0xff]);
            // Removed by us while they wait, and by them.
            peer.tell("msg.recv 1");
            until_blocked(peer);
            queue.remove().unwrap();
            assert_eq!(peer.hear().as_deref(), Some("gone"));
            let queue = Queue::create(key, 0o600).unwrap();
            peer.ask("msg.rm");
            refused(queue.try_recv(Select::Any), ErrorKind::Removed);
        },
    );
}

#[test]
fn semaphores_are_shared_with_other_languages() {
    in_each("semaphores_are_shared_with_other_languages", |peer, key| {
        let id = peer.ask("sem.create 2");
        // Whoever sets values and operates on none has not published them.
        let brief = Duration::from_millis(1);
        let early = Set::create_or_open_for(key, &[5], 0o600, brief);
        refused(early, ErrorKind::Busy);
        let set = Set::open(key).unwrap();
        assert_eq!((set.id().to_string(), set.value(0).unwrap()), (id, 2));
        peer.ask("sem.take 2");
        let (_, birth) = Set::create_or_open(key, &[5], 0o600).unwrap();
        assert_eq!((birth, set.value(0).unwrap()), (Birth::Opened, 0));
        assert_eq!(set.semaphore(0).unwrap().last, Some(peer.child.id()));
        // They wait for ours, and we for theirs.
        let takers = |count| until("one waits", || set.semaphore(0).unwrap().takers == count);
        peer.tell("sem.take 3");
        takers(1);
        set.op(&[up(0).by(3)]).unwrap();
        assert_eq!(peer.hear().as_deref(), Some("done"));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| set.op_for(&[down(0).by(2)], GUARD));
            takers(1);
            peer.ask("sem.give 4");
            assert!(waiting.join().unwrap().unwrap());
        });
        assert_eq!(peer.ask("sem.value"), "2");
        // What a killed process had taken is undone, whatever its language.
        peer.ask("sem.hold 2");
        assert_eq!(set.value(0).unwrap(), 0);
        peer.kill();
        assert_eq!(set.value(0).unwrap(), 2);
    });
}

#[test]
fn segments_are_shared_with_other_languages() {
    alone(
        "unix::peers::languages::segments_are_shared_with_other_languages",
        || {
            in_each("segments_are_shared_with_other_languages", |peer, key| {
                peer.ask("shm.create 10000");
                let segment = Segment::open(key).unwrap();
                let stat = segment.stat().unwrap();
                assert_eq!((stat.size, stat.attached), (10_000, 0));
                assert_eq!(stat.creator, Some(peer.child.id()));
                let view = segment.attach::<Write>().unwrap();
                // Up to the last byte, from them and to them.
                let mut read = vec![0; 8192];
                peer.ask(&format!("shm.write 1808 {}", hex(&bytes())));
                view.read(1808, &mut read).unwrap();
                assert_eq!(read, bytes());
                view.write(1, &bytes()).unwrap();
                assert_eq!(peer.ask("shm.read 1 8192"), hex(&bytes()));
                // Both have it attached, until one is killed.
                peer.ask("shm.attach");
                assert_eq!(segment.stat().unwrap().attached, 2);
                assert_eq!(segment.stat().unwrap().last, Some(peer.child.id()));
                // Removed, it stays for those who have it.
                assert_eq!(peer.ask("shm.rm"), "done");
                refused(Segment::open(key), ErrorKind::NotFound);
                assert!(segment.stat().unwrap().removed);
                peer.kill();
                assert_eq!(segment.stat().unwrap().attached, 1);
                let again = segment.attach::<Read>().unwrap();
                drop(view);
                again.read(1, &mut read).unwrap();
                assert_eq!(read, bytes());
                drop(again);
                refused(segment.stat(), ErrorKind::Removed);
            });
        },
    );
}

#[test]
fn what_we_make_is_theirs_until_one_of_us_removes_it() {
    let test = "what_we_make_is_theirs_until_one_of_us_removes_it";
    in_each(test, |peer, key| {
        let set = Set::create_with(key, &[1], 0o600).unwrap();
        assert_eq!(peer.ask("sem.take 1"), "done");
        peer.tell("sem.take 1");
        until("one waits", || set.semaphore(0).unwrap().takers == 1);
        set.remove().unwrap();
        assert_eq!(peer.hear().as_deref(), Some("gone"));
        let set = Set::create_with(key, &[1], 0o600).unwrap();
        peer.ask("sem.rm");
        refused(set.op(&[down(0)]), ErrorKind::Removed);

        let segment = Segment::create(key, 100, 0o600).unwrap();
        segment.attach::<Write>().unwrap().write(98, b"ok").unwrap();
        assert_eq!(peer.ask("shm.read 98 2"), hex(b"ok"));
        segment.remove().unwrap();
        assert_eq!(peer.ask("shm.read 98 2"), "gone");
    });
}
