//! Pipes between this process and others.

use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use strait::ErrorKind;
use strait::unix::pipe::{self, ATOMIC_MAX, Reader, Writer};
use strait::wait;
use strait_sys::interrupt;

use crate::peer::{Peer, Role, command, say, told};
use crate::world::{GUARD, alone, as_user, is_root, refused, skip};

/// The processes these tests start.
pub(crate) const ROLES: &[(&str, Role)] = &[
    ("pipe.flood", flood),
    ("pipe.greedy", greedy),
    ("pipe.hoarder", hoarder),
];

const WRITERS: u8 = 8;
const RECORDS: usize = 200;

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// Everything up to the end of file.
fn rest(from: &Reader) -> Vec<u8> {
    let mut all = Vec::new();
    std::io::Read::read_to_end(&mut &*from, &mut all).unwrap();
    all
}

/// Writes records of its letter to standard error.
fn flood(args: &[String]) {
    let to = std::io::stderr().as_fd().try_clone_to_owned().unwrap();
    let to = Writer::try_from(to).unwrap();
    let record = vec![args[0].as_bytes()[0]; ATOMIC_MAX];
    for _ in 0..RECORDS {
        assert_eq!(to.write(&record).unwrap(), ATOMIC_MAX);
    }
}

#[test]
fn records_of_eight_writers_are_not_mixed() {
    let (from, to) = pipe::create().unwrap();
    let letter = |index: u8| char::from(b'a' + index).to_string();
    let peers: Vec<_> = (0..WRITERS)
        .map(|index| {
            let stderr = to.as_fd().try_clone_to_owned().unwrap();
            Peer::of(command("pipe.flood", &[&letter(index)]).stderr(stderr))
        })
        .collect();
    drop(to);
    let all = rest(&from);
    assert_eq!(all.len(), usize::from(WRITERS) * RECORDS * ATOMIC_MAX);
    let mut of_each = [0; WRITERS as usize];
    for record in all.chunks(ATOMIC_MAX) {
        assert!(record.iter().all(|byte| *byte == record[0]), "mixed");
        of_each[usize::from(record[0] - b'a')] += 1;
    }
    assert_eq!(of_each, [RECORDS; WRITERS as usize]);
    for peer in peers {
        assert!(peer.finish().success());
    }
}

#[test]
fn what_a_killed_writer_wrote_arrives_and_then_the_end() {
    let (from, to) = pipe::create().unwrap();
    let mut child = shell("echo last words; exec sleep 100")
        .stdout(to)
        .spawn()
        .unwrap();
    let mut line = [0; 64];
    let len = from.read(&mut line).unwrap();
    assert_eq!(&line[..len], b"last words\n");
    assert_eq!(from.try_read(&mut line).unwrap(), None);
    child.kill().unwrap();
    assert_eq!(from.read(&mut line).unwrap(), 0);
    // And again, and to a wait.
    assert_eq!(wait::any(&[&from]).unwrap().index, 0);
    assert_eq!(from.try_read(&mut line).unwrap(), Some(0));
    child.wait().unwrap();
}

#[test]
fn a_writer_learns_that_the_reader_was_killed() {
    alone(
        "unix::pipe::a_writer_learns_that_the_reader_was_killed",
        || {
            let (from, to) = pipe::create().unwrap();
            let mut child = Command::new("sleep")
                .arg("100")
                .stdin(from)
                .spawn()
                .unwrap();
            to.write_all(b"unread").unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
            let error = refused(to.write(b"more"), ErrorKind::PeerGone);
            assert_eq!(error.operation(), "write pipe");
            assert_eq!(
                refused(to.try_write(b"more"), ErrorKind::PeerGone).errno(),
                Some(32)
            );
        },
    );
}

#[test]
fn a_child_that_was_given_nothing_holds_no_end() {
    let (from, to) = pipe::create().unwrap();
    let mut child = Command::new("sleep").arg("100").spawn().unwrap();
    drop(to);
    assert_eq!(from.read(&mut [0; 8]).unwrap(), 0);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn nothing_waits_that_was_told_not_to() {
    let (from, to) = pipe::create().unwrap();
    let mut buffer = [0; 16];
    assert_eq!(from.try_read(&mut buffer).unwrap(), None);
    assert_eq!(
        from.read_for(&mut buffer, Duration::from_millis(5))
            .unwrap(),
        None
    );
    let block = [7; ATOMIC_MAX];
    let mut written = 0;
    while let Some(len) = to.try_write(&block).unwrap() {
        assert_eq!(len, ATOMIC_MAX);
        written += len;
    }
    assert_eq!(written, to.capacity().unwrap());
    assert_eq!(from.available().unwrap(), written);
    assert_eq!(
        to.write_for(&block, Duration::from_millis(5)).unwrap(),
        None
    );
    // Room for less than the whole: nothing of it goes.
    from.read(&mut buffer).unwrap();
    assert_eq!(to.try_write(&block).unwrap(), None);
    assert_eq!(from.available().unwrap(), written - buffer.len());
}

#[test]
fn more_than_is_atomic_is_written_as_far_as_there_is_room() {
    let (from, to) = pipe::options().capacity(4 * ATOMIC_MAX).create().unwrap();
    let much = vec![1; 10 * ATOMIC_MAX];
    assert_eq!(to.try_write(&much).unwrap(), Some(4 * ATOMIC_MAX));
    assert_eq!(to.try_write(&much).unwrap(), None);
    from.read(&mut [0; ATOMIC_MAX]).unwrap();
    assert_eq!(to.write_for(&much, GUARD).unwrap(), Some(ATOMIC_MAX));
}

#[test]
fn ends_are_ready_as_their_kind_says() {
    alone("unix::pipe::ends_are_ready_as_their_kind_says", || {
        let ready =
            |end: &dyn wait::Waitable| wait::any_for(&[end], Duration::ZERO).unwrap().is_some();
        let (from, to) = pipe::options().capacity(2 * ATOMIC_MAX).create().unwrap();
        assert!(ready(&to) && !ready(&from));
        to.write_all(&[0; 2 * ATOMIC_MAX]).unwrap();
        assert!(!ready(&to) && ready(&from));
        // Room for less than what is written as a whole is none.
        from.read(&mut [0; ATOMIC_MAX - 1]).unwrap();
        assert!(!ready(&to));
        from.read(&mut [0; 1]).unwrap();
        assert!(ready(&to));
        // What a writer left behind comes before the end of file.
        drop(to);
        assert!(ready(&from));
        assert_eq!(from.read(&mut [0; 2 * ATOMIC_MAX]).unwrap(), ATOMIC_MAX);
        assert!(ready(&from));
        assert_eq!(from.read(&mut [0; 8]).unwrap(), 0);
        // A full pipe without a reader is ready too: to say so.
        let (from, to) = pipe::options().capacity(ATOMIC_MAX).create().unwrap();
        to.write_all(&[0; ATOMIC_MAX]).unwrap();
        assert!(!ready(&to));
        drop(from);
        assert!(ready(&to));
        refused(to.try_write(b"more"), ErrorKind::PeerGone);
    });
}

#[test]
fn packets_stay_what_they_were_and_none_is_cut() {
    let (from, to) = pipe::options().packets().create().unwrap();
    to.write(b"one").unwrap();
    to.write(b"two").unwrap();
    refused(from.read(&mut [0; ATOMIC_MAX - 1]), ErrorKind::InvalidInput);
    let mut packet = [0; ATOMIC_MAX];
    assert_eq!(from.read(&mut packet).unwrap(), 3);
    assert_eq!(&packet[..3], b"one");
    assert_eq!(from.read(&mut packet).unwrap(), 3);
    assert_eq!(&packet[..3], b"two");
    refused(to.write(b""), ErrorKind::InvalidInput);
    refused(to.write(&[0; ATOMIC_MAX + 1]), ErrorKind::InvalidInput);
    refused(to.lend(b"no packet"), ErrorKind::InvalidInput);
    assert_eq!(to.write(&[9; ATOMIC_MAX]).unwrap(), ATOMIC_MAX);
    // Through another process, which inherits the end as it is.
    let (from, to) = pipe::options().packets().create().unwrap();
    let status = shell("printf one; printf two").stdout(to).status().unwrap();
    assert!(status.success());
    assert_eq!(from.read(&mut packet).unwrap(), 3);
    assert_eq!(from.read(&mut packet).unwrap(), 3);
    assert_eq!(from.read(&mut packet).unwrap(), 0);
}

#[test]
fn capacity_is_counted_in_pages() {
    let (from, to) = pipe::options().capacity(4097).create().unwrap();
    assert_eq!(from.capacity().unwrap(), 8192);
    to.write(&[0; 8000]).unwrap();
    assert_eq!(
        refused(to.set_capacity(4096), ErrorKind::Busy).errno(),
        Some(16)
    );
    assert_eq!(to.set_capacity(100_000).unwrap(), 131_072);
    // Sixteen packets of a byte fill sixteen pages.
    let (_from, to) = pipe::options().packets().capacity(65_536).create().unwrap();
    let fitted = (0..100).take_while(|_| to.try_write(b"x").unwrap().is_some());
    assert_eq!(fitted.count(), 16);
}

/// Asks for more than an ordinary user gets.
fn greedy(_: &[String]) {
    let max = std::fs::read_to_string("/proc/sys/fs/pipe-max-size").unwrap();
    let max: usize = max.trim().parse().unwrap();
    let refused = pipe::options().capacity(max * 2).create().map(drop);
    say(refused.map_or_else(
        |error| format!("{:?} {}", error.kind(), error.why()),
        |()| "made".into(),
    ));
    told();
}

#[test]
fn an_ordinary_user_gets_no_pipe_beyond_the_limit() {
    if !is_root() {
        return skip(
            "pipe limit",
            "needs root, to start a process of an ordinary user",
        );
    }
    let mut peer = Peer::of(as_user(&mut command("pipe.greedy", &[]), 54_321));
    let said = peer.hear().unwrap();
    assert!(
        said.starts_with("Denied") && said.contains("pipe-max-size"),
        "{said}"
    );
}

/// Makes pipes as large as may be until a new one is a small one.
fn hoarder(_: &[String]) {
    let soft = std::fs::read_to_string("/proc/sys/fs/pipe-user-pages-soft").unwrap();
    let large = 1 << 20;
    let needed = soft.trim().parse::<usize>().unwrap() * 4096 / large + 1;
    let mut held = Vec::new();
    for _ in 0..needed.min(400) {
        match pipe::options().capacity(large).create() {
            Ok(ends) => held.push(ends),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
                break;
            }
        }
    }
    held.push(pipe::create().unwrap());
    held.push(pipe::create().unwrap());
    say(held.last().unwrap().0.capacity().unwrap());
}

#[test]
fn who_has_many_pipes_gets_small_ones() {
    if !is_root() {
        return skip("small pipes", "needs root, to start an ordinary user's");
    }
    let mut peer = Peer::of(as_user(&mut command("pipe.hoarder", &[]), 54_322));
    let capacity: usize = peer.hear().unwrap().parse().unwrap();
    assert!(capacity < 65_536, "{capacity}");
}

#[test]
fn what_is_spliced_and_copied_arrives_whole() {
    let path = std::env::temp_dir().join(format!("strait-splice-{}", std::process::id()));
    let bytes: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&path, &bytes).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let (from, to) = pipe::create().unwrap();
    let mut child = Command::new("cat")
        .stdin(from)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let reader = std::thread::spawn({
        let mut out = child.stdout.take().unwrap();
        move || {
            let mut all = Vec::new();
            std::io::Read::read_to_end(&mut out, &mut all).unwrap();
            all
        }
    });
    let mut sum = 0;
    loop {
        match pipe::splice(&file, &to, 1 << 20).unwrap() {
            0 => break,
            len => sum += len,
        }
    }
    assert_eq!(sum, bytes.len());
    drop(to);
    assert!(reader.join().unwrap() == bytes, "changed on the way");
    child.wait().unwrap();

    let (from, to) = pipe::create().unwrap();
    let (copy, copies) = pipe::create().unwrap();
    to.write_all(b"both").unwrap();
    assert_eq!(pipe::tee(&from, &copies, 100).unwrap(), 4);
    let mut buffer = [0; 8];
    assert_eq!(copy.read(&mut buffer).unwrap(), 4);
    assert_eq!(from.read(&mut buffer).unwrap(), 4);
    assert_eq!(&buffer[..4], b"both");
    assert_eq!(to.lend(b"lent for ever").unwrap(), 13);
    let len = from.read(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"lent for");
    refused(pipe::tee(&from, &to, 1), ErrorKind::InvalidInput);
    refused(pipe::splice(&from, &to, 1), ErrorKind::InvalidInput);
    let error = refused(pipe::splice(&from, &file, 1), ErrorKind::Kernel);
    assert!(error.why().contains("not open"), "{error}");
}

#[test]
fn a_descriptor_is_taken_for_what_it_is() {
    let file = std::fs::File::open("/dev/null").unwrap();
    refused(
        Reader::try_from(std::os::fd::OwnedFd::from(file)),
        ErrorKind::WrongKind,
    );
    let (from, to) = pipe::create().unwrap();
    refused(
        Reader::try_from(std::os::fd::OwnedFd::from(to)),
        ErrorKind::WrongKind,
    );
    rustix::io::ioctl_fionbio(&from, true).unwrap();
    let error = refused(
        Reader::try_from(std::os::fd::OwnedFd::from(from)),
        ErrorKind::InvalidInput,
    );
    assert!(error.why().contains("O_NONBLOCK"), "{error}");
}

#[test]
fn signals_do_not_end_a_read_or_a_write() {
    interrupt::accept().unwrap();
    let (from, to) = pipe::create().unwrap();
    let block = vec![7; ATOMIC_MAX];
    let interrupted = |call: &(dyn Fn() -> strait::Result<usize> + Sync), free: &dyn Fn()| {
        std::thread::scope(|scope| {
            let (tell, told) = mpsc::channel();
            let caller = scope.spawn(move || {
                tell.send(rustix::thread::gettid()).unwrap();
                call()
            });
            let tid = told.recv().unwrap().as_raw_nonzero().get();
            let before = interrupt::handled();
            // Fails where the caller has ended.
            while interrupt::handled() < before + 1_000 {
                interrupt::thread(tid).unwrap();
            }
            free();
            caller.join().unwrap().unwrap()
        })
    };
    let read = || from.read(&mut [0; ATOMIC_MAX]);
    let len = interrupted(&read, &|| to.write_all(&block).unwrap());
    assert_eq!(len, ATOMIC_MAX);
    while to.try_write(&block).unwrap().is_some() {}
    let len = interrupted(&|| to.write(&block), &|| {
        assert_eq!(read().unwrap(), ATOMIC_MAX)
    });
    assert_eq!(len, ATOMIC_MAX);
}
