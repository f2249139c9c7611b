//! FIFOs between this process and programs that only know files.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use strait::unix::fifo::Fifo;
use strait::unix::pipe::{ATOMIC_MAX, Reader};
use strait::{Birth, ErrorKind, wait};

use strait_sys::{Errno, seccomp};

use crate::peer::{Peer, Role, say};
use crate::world::{GUARD, alone, refused};

/// The processes these tests start.
pub(crate) const ROLES: &[(&str, Role)] = &[("fifo.confined", confined)];

/// A directory that goes with the test.
struct Place(PathBuf);

impl Place {
    fn of(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("strait-fifo-{}-{test}", std::process::id()));
        // Of an earlier process of that number, which was killed.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A shell that runs `script`, in which `$0` is the path.
fn shell(script: &str, path: &Path) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(path).spawn().unwrap()
}

#[test]
fn the_mode_is_the_one_asked_for() {
    alone("unix::fifo::the_mode_is_the_one_asked_for", || {
        let place = Place::of("mode");
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        let path = place.file("f");
        let fifo = Fifo::create(&path, 0o666).unwrap();
        assert_eq!(fifo.mode(), 0o666);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o666);
        refused(
            Fifo::create(place.file("g"), 0o4600),
            ErrorKind::InvalidInput,
        );
        assert!(!place.file("g").exists());
    });
}

/// Where unshare(2) is forbidden, as in containers.
fn confined(_: &[String]) {
    let place = Place::of("confined");
    seccomp::deny(&[seccomp::UNSHARE], Errno::PERM).unwrap();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    for mode in [0o666, 0o600, 0o000] {
        let path = place.file(&format!("{mode:o}"));
        assert_eq!(u32::from(Fifo::create(&path, mode).unwrap().mode()), mode);
        let found = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode);
        refused(Fifo::create(&path, mode), ErrorKind::Exists);
    }
    // Whoever hears that ends this process.
    drop(place);
    say("done");
}

#[test]
fn the_mode_is_the_one_asked_for_in_containers_too() {
    let mut peer = Peer::start("fifo.confined", &[]);
    assert_eq!(peer.hear().as_deref(), Some("done"));
}

#[test]
fn what_is_no_fifo_is_refused_and_left_alone() {
    let place = Place::of("kinds");
    let file = place.file("file");
    std::fs::write(&file, "precious").unwrap();
    let link = place.file("link");
    symlink(&file, &link).unwrap();
    let dangling = place.file("dangling");
    symlink(place.file("nowhere"), &dangling).unwrap();
    for (path, word) in [(&file, "regular"), (&link, "link"), (&place.0, "directory")] {
        let error = refused(Fifo::open(path), ErrorKind::WrongKind);
        assert!(error.why().contains(word), "{error}");
        assert_eq!(error.subject(), path.display().to_string());
        refused(Fifo::create(path, 0o600), ErrorKind::Exists);
        refused(Fifo::create_or_open(path, 0o600), ErrorKind::WrongKind);
    }
    refused(Fifo::create(&dangling, 0o600), ErrorKind::Exists);
    assert!(!place.file("nowhere").exists());
    refused(Fifo::open(place.file("missing")), ErrorKind::NotFound);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    let path = place.file("f");
    assert_eq!(
        Fifo::create_or_open(&path, 0o600).unwrap().1,
        Birth::Created
    );
    assert_eq!(Fifo::create_or_open(&path, 0o600).unwrap().1, Birth::Opened);
}

#[test]
fn the_end_is_of_the_file_that_was_checked() {
    let place = Place::of("swap");
    let path = place.file("f");
    let fifo = Fifo::create(&path, 0o600).unwrap();
    let moved = place.file("moved");
    std::fs::rename(&path, &moved).unwrap();
    std::fs::write(&path, "precious").unwrap();
    let from = fifo.endless_reader().unwrap();
    let mut child = shell("echo hello > \"$0\"", &moved);
    assert_eq!(from.read(&mut [0; 64]).unwrap(), 6);
    child.wait().unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn an_end_waits_for_the_other_no_longer_than_told() {
    alone(
        "unix::fifo::an_end_waits_for_the_other_no_longer_than_told",
        || {
            let place = Place::of("meet");
            let path = place.file("f");
            let fifo = Fifo::create(&path, 0o600).unwrap();
            let short = Duration::from_millis(20);
            assert!(fifo.reader_for(short).unwrap().is_none());
            assert!(fifo.try_writer().unwrap().is_none());
            assert!(fifo.writer_for(short).unwrap().is_none());

            // A writer that comes and says nothing is enough.
            let mut child = shell("exec sleep 100 > \"$0\"", &path);
            let from = fifo.reader_for(GUARD).unwrap().expect("a writer");
            assert_eq!(from.try_read(&mut [0; 8]).unwrap(), None);
            child.kill().unwrap();
            child.wait().unwrap();
            assert_eq!(from.read(&mut [0; 8]).unwrap(), 0);
            drop(from);

            let out = place.file("out");
            let script = format!("cat \"$0\" > {}", out.display());
            let mut child = shell(&script, &path);
            let to = fifo.writer_for(GUARD).unwrap().expect("a reader");
            to.write_all(b"to a cat").unwrap();
            drop(to);
            child.wait().unwrap();
            assert_eq!(std::fs::read_to_string(out).unwrap(), "to a cat");
        },
    );
}

#[test]
fn ends_block_once_they_are_open() {
    let place = Place::of("block");
    let path = place.file("f");
    let fifo = Fifo::create(&path, 0o600).unwrap();
    let mut child = shell("exec 3> \"$0\"; read go < \"$0.go\"; echo late >&3", &path);
    let go = Fifo::create(place.file("f.go"), 0o600).unwrap();
    let from = fifo.reader_for(GUARD).unwrap().expect("a writer");
    let reader = std::thread::spawn(move || {
        let mut line = [0; 16];
        let len = from.read(&mut line).unwrap();
        line[..len].to_vec()
    });
    go.writer_for(GUARD)
        .unwrap()
        .expect("a reader")
        .write_all(b"go\n")
        .unwrap();
    assert_eq!(reader.join().unwrap(), b"late\n");
    child.wait().unwrap();
}

#[test]
fn an_endless_reader_outlives_its_writers() {
    let place = Place::of("endless");
    let path = place.file("f");
    let from = Fifo::create(&path, 0o600)
        .unwrap()
        .endless_reader()
        .unwrap();
    for round in 0..3 {
        let mut child = shell(&format!("echo {round} > \"$0\""), &path);
        child.wait().unwrap();
        assert_eq!(wait::any(&[&from]).unwrap().index, 0);
        let mut line = [0; 8];
        assert_eq!(from.read(&mut line).unwrap(), 2);
        assert_eq!(line[0], b'0' + round);
        // No end of file in between: a wait would return for ever.
        assert!(wait::any_for(&[&from], Duration::ZERO).unwrap().is_none());
    }
}

#[test]
fn either_side_learns_that_the_other_was_killed() {
    let place = Place::of("killed");
    let path = place.file("f");
    let fifo = Fifo::create(&path, 0o600).unwrap();
    let mut child = shell("exec 3> \"$0\"; echo last >&3; exec sleep 100", &path);
    let from = fifo.reader_for(GUARD).unwrap().expect("a writer");
    let mut line = [0; 16];
    assert_eq!(from.read_for(&mut line, GUARD).unwrap(), Some(5));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(from.read(&mut line).unwrap(), 0);
    drop(from);

    let mut child = shell("exec sleep 100 < \"$0\"", &path);
    let to = fifo.writer_for(GUARD).unwrap().expect("a reader");
    to.write_all(b"unread").unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let error = refused(to.write(b"more"), ErrorKind::PeerGone);
    assert_eq!(error.subject(), path.display().to_string());
}

#[test]
fn what_nobody_holds_open_vanishes() {
    alone("unix::fifo::what_nobody_holds_open_vanishes", || {
        let place = Place::of("vanish");
        let fifo = Fifo::create(place.file("f"), 0o600).unwrap();
        let from = fifo.reader_now().unwrap();
        let to = fifo.try_writer().unwrap().expect("a reader");
        to.write_all(b"lost").unwrap();
        drop((from, to));
        assert_eq!(fifo.reader_now().unwrap().available().unwrap(), 0);
    });
}

#[test]
fn a_read_end_stays_readable_after_its_writer_until_it_is_opened_anew() {
    let place = Place::of("hang-up");
    let path = place.file("f");
    let fifo = Fifo::create(&path, 0o600).unwrap();
    let ready = |from: &Reader| wait::any_for(&[from], Duration::ZERO).unwrap().is_some();
    let from = fifo.reader_now().unwrap();
    assert!(!ready(&from), "nobody has come yet");
    assert!(shell(": > \"$0\"", &path).wait().unwrap().success());
    for _ in 0..2 {
        assert!(ready(&from));
        assert_eq!(from.read(&mut [0; 8]).unwrap(), 0);
    }
    drop(from);
    assert!(!ready(&fifo.reader_now().unwrap()));
}

#[test]
fn a_name_that_is_made_anew_leads_to_another_pipe() {
    let place = Place::of("anew");
    let path = place.file("f");
    let old = Fifo::create(&path, 0o600).unwrap();
    let (from, to) = (
        old.reader_now().unwrap(),
        old.try_writer().unwrap().unwrap(),
    );
    std::fs::remove_file(&path).unwrap();
    let new = Fifo::create(&path, 0o600).unwrap();
    assert!(
        new.try_writer().unwrap().is_none(),
        "the old one has a reader"
    );
    to.write_all(b"old").unwrap();
    assert_eq!(new.reader_now().unwrap().available().unwrap(), 0);
    assert_eq!(from.available().unwrap(), 3);
}

#[test]
fn packets_go_through_a_fifo() {
    let place = Place::of("packets");
    let fifo = Fifo::create(place.file("f"), 0o600).unwrap();
    let from = fifo.reader_now().unwrap().into_packets();
    let to = fifo.try_writer().unwrap().unwrap().into_packets().unwrap();
    to.write(b"one").unwrap();
    to.write(b"two").unwrap();
    let mut packet = [0; ATOMIC_MAX];
    assert_eq!(from.read(&mut packet).unwrap(), 3);
    assert_eq!(&packet[..3], b"one");
}
