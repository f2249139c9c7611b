//! Senders who lie: what they send is refused, and closed.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create};
use strait::nt::{Event, Section, Semaphore};
use strait::{ErrorKind, HandleSocket, Namespace, Transferable};
use strait_sys::memfd::{self, SealFlags};
use strait_sys::pass;

use crate::world::{alone, descriptors, skip};

const SOUND: &[u8; 16] = b"STRAITH1\x0f\0\0\0\0\0\0\0";

/// What is received of such a message, and whether all descriptors were closed.
#[track_caller]
fn answer<T: Transferable>(
    space: &Namespace,
    bytes: &[u8],
    files: &[BorrowedFd<'_>],
) -> strait::Error {
    let before = descriptors();
    let (one, other) = UnixStream::pair().unwrap();
    assert_eq!(pass::send(one.as_fd(), bytes, files).unwrap(), bytes.len());
    drop(one);
    let known = [space.clone()];
    let Err(error) = other.receive_handle::<T>(&known) else {
        panic!("a lie was believed");
    };
    assert_eq!(error.operation(), "receive handle", "{error}");
    drop(other);
    assert_eq!(descriptors(), before, "a descriptor leaked: {error}");
    error
}

#[track_caller]
fn refuses<T: Transferable>(space: &Namespace, kind: ErrorKind, file: impl AsFd) {
    let error = answer::<T>(space, SOUND, &[file.as_fd()]);
    assert_eq!(error.kind(), kind, "{error}");
}

/// The bytes of an unnamed object as its descriptor shows them to a receiver.
fn bytes_of<T: Transferable>(handle: &T) -> Vec<u8> {
    let (one, other) = UnixStream::pair().unwrap();
    one.send_handle(handle).unwrap();
    let (_, files) = pass::recv(other.as_fd(), &mut [0; 16], 1).unwrap();
    let mut bytes =
        vec![0; usize::try_from(rustix::fs::fstat(&files[0]).unwrap().st_size).unwrap()];
    assert_eq!(
        rustix::io::pread(&files[0], &mut bytes, 0).unwrap(),
        bytes.len()
    );
    bytes
}

fn memory(bytes: &[u8]) -> OwnedFd {
    let file = memfd_create("lie", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    assert_eq!(rustix::io::pwrite(&file, bytes, 0).unwrap(), bytes.len());
    file
}

fn sealed(bytes: &[u8]) -> OwnedFd {
    let file = memory(bytes);
    memfd::add_seals(file.as_fd(), SealFlags::SHRINK | SealFlags::GROW).unwrap();
    file
}

#[test]
fn descriptors_that_are_no_handles_are_refused() {
    alone(
        "transfer::hostile::descriptors_that_are_no_handles_are_refused",
        || {
            let space = Namespace::temporary().unwrap();
            let (reader, writer) = rustix::pipe::pipe().unwrap();
            refuses::<Event>(&space, ErrorKind::Layout, &reader);
            refuses::<Event>(&space, ErrorKind::Layout, &writer);
            refuses::<Event>(&space, ErrorKind::Layout, File::open("/dev/null").unwrap());
            refuses::<Event>(
                &space,
                ErrorKind::Layout,
                File::open("/proc/self/stat").unwrap(),
            );
            refuses::<Event>(&space, ErrorKind::Layout, File::open(space.path()).unwrap());
            let socket = UnixStream::pair().unwrap();
            refuses::<Event>(&space, ErrorKind::Layout, &socket.0);
            let event = space.event("x").create().unwrap();
            let at = space.path().join("ox");
            let nothing = rustix::fs::open(&at, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
            refuses::<Event>(&space, ErrorKind::Layout, nothing.unwrap());
            // Less than the message says: the kernel decides, not the message.
            let reads = File::open(&at).unwrap();
            refuses::<Event>(&space, ErrorKind::Denied, reads);
            drop(event);
        },
    );
}

#[test]
fn a_file_on_a_disk_is_refused() {
    alone("transfer::hostile::a_file_on_a_disk_is_refused", || {
        let space = Namespace::temporary().unwrap();
        let event = space.event("x").create().unwrap();
        let at = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("hostile-disk-file");
        fs::copy(space.path().join("ox"), &at).unwrap();
        let file = File::options().read(true).write(true).open(&at).unwrap();
        fs::remove_file(&at).unwrap();
        if memfd::is_shmem(file.as_fd()) {
            return skip(
                "a_file_on_a_disk_is_refused",
                "the target directory is no disk",
            );
        }
        refuses::<Event>(&space, ErrorKind::Layout, file);
        drop(event);
    });
}

#[test]
fn memory_that_is_not_what_it_says_is_refused() {
    alone(
        "transfer::hostile::memory_that_is_not_what_it_says_is_refused",
        || {
            let space = Namespace::temporary().unwrap();
            let unnamed = || Event::options().namespace(&space).shared();
            let good = bytes_of(&unnamed().create().unwrap());
            // The control: these bytes are believed when they are sealed.
            let (one, other) = UnixStream::pair().unwrap();
            pass::send(one.as_fd(), SOUND, &[sealed(&good).as_fd()]).unwrap();
            let believed = other.receive_handle::<Event>(std::slice::from_ref(&space));
            assert!(!believed.unwrap().set().unwrap());
            let with = |at: usize, bytes: &[u8]| {
                let mut changed = good.clone();
                changed[at..at + bytes.len()].copy_from_slice(bytes);
                changed
            };
            refuses::<Event>(&space, ErrorKind::Layout, memory(&good));
            let half = memory(&good);
            memfd::add_seals(half.as_fd(), SealFlags::SHRINK).unwrap();
            refuses::<Event>(&space, ErrorKind::Layout, half);
            for lie in [
                Vec::new(),
                vec![0; 4096],
                vec![0xff; 4096],
                good[..100].to_vec(),
                good[..4095].to_vec(),
                [&good[..], &[0; 4096]].concat(),
                with(0, b"x"),
                with(8, &9_u32.to_le_bytes()),
                with(12, &0_u32.to_le_bytes()),
                with(24, &0xff_u32.to_le_bytes()),
                with(28, &u32::MAX.to_le_bytes()),
                with(56, &1_u64.to_le_bytes()),
            ] {
                refuses::<Event>(&space, ErrorKind::Layout, sealed(&lie));
            }
            // Of a namespace that nobody here knows.
            refuses::<Event>(&space, ErrorKind::NotFound, sealed(&with(32, &[7; 8])));
            refuses::<Event>(&space, ErrorKind::NotFound, sealed(&with(32, &[0; 8])));
            // Of a kind that its numbers contradict.
            let semaphore = Semaphore::options(0, 1).namespace(&space).shared();
            let mut semaphore = bytes_of(&semaphore.create().unwrap());
            for limit in [0, u64::from(u32::MAX), u64::MAX] {
                semaphore[48..56].copy_from_slice(&limit.to_le_bytes());
                refuses::<Semaphore>(&space, ErrorKind::Layout, sealed(&semaphore));
            }
        },
    );
}

#[test]
fn a_named_object_must_be_the_one_of_that_name() {
    alone(
        "transfer::hostile::a_named_object_must_be_the_one_of_that_name",
        || {
            let space = Namespace::temporary().unwrap();
            let event = space.event("x").create().unwrap();
            let at = space.path().join("ox");
            let good = fs::read(&at).unwrap();
            // Its header is sound, but it is no file of the namespace: its sender can truncate it, and
            // closing it would be closing the other.
            refuses::<Event>(&space, ErrorKind::Layout, memory(&good));
            refuses::<Event>(&space, ErrorKind::Layout, sealed(&good));
            // In the directory, but under another name.
            let copy = space.path().join("oy");
            fs::write(&copy, &good).unwrap();
            let file = File::options().read(true).write(true).open(&copy).unwrap();
            refuses::<Event>(&space, ErrorKind::Layout, file);
            fs::remove_file(&copy).unwrap();
            assert!(space.event("x").open().unwrap().is_same(&event));
            // The right file, without the lock that a handle has: whoever receives it holds it.
            let (one, other) = UnixStream::pair().unwrap();
            let file = File::options().read(true).write(true).open(&at).unwrap();
            pass::send(one.as_fd(), SOUND, &[file.as_fd()]).unwrap();
            drop(file);
            let received = other.receive_handle::<Event>(std::slice::from_ref(&space));
            let received = received.unwrap();
            drop(event);
            assert!(space.event("x").open().unwrap().is_same(&received));
            drop(received);
            assert!(!at.exists());
        },
    );
}

#[test]
fn a_section_over_a_file_opens_nothing_but_that_file() {
    alone(
        "transfer::hostile::a_section_over_a_file_opens_nothing_but_that_file",
        || {
            let space = Namespace::temporary().unwrap();
            let backing = space.path().join(".backing");
            fs::write(&backing, [7; 4096]).unwrap();
            let section = Section::options(0).namespace(&space).file(&backing);
            let good = bytes_of(&section.create().unwrap());
            let at = |path: &str| {
                let mut lie = good[..4096 + 16].to_vec();
                lie.extend_from_slice(path.as_bytes());
                let data = (16 + path.len()) as u64;
                let len = lie.len() as u64;
                lie[16..24].copy_from_slice(&len.to_le_bytes());
                lie[56..64].copy_from_slice(&data.to_le_bytes());
                sealed(&lie)
            };
            for path in [
                "/dev/null",
                "/dev/tty",
                "/",
                "/nowhere",
                "x",
                "/proc/self/mem",
            ] {
                let error = answer::<Section>(&space, SOUND, &[at(path).as_fd()]);
                assert_ne!(error.kind(), ErrorKind::Denied, "{error}");
            }
            // A FIFO that has a reader would tell its owner that somebody opened it.
            let fifo = space.path().join(".fifo");
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, Mode::RWXU, 0).unwrap();
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let reader = rustix::fs::open(&fifo, flags, Mode::empty()).unwrap();
            answer::<Section>(&space, SOUND, &[at(fifo.to_str().unwrap()).as_fd()]);
            let mut fds = [rustix::event::PollFd::new(
                &reader,
                rustix::event::PollFlags::IN,
            )];
            let zero = rustix::event::Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            rustix::event::poll(&mut fds, Some(&zero)).unwrap();
            let hung_up = fds[0].revents().contains(rustix::event::PollFlags::HUP);
            assert!(!hung_up, "the FIFO was opened for writing and closed again");
            // Another file at that path is not the one that was meant.
            fs::write(space.path().join(".other"), [7; 4096]).unwrap();
            let other = space.path().join(".other");
            let error = answer::<Section>(&space, SOUND, &[at(other.to_str().unwrap()).as_fd()]);
            assert_eq!(error.kind(), ErrorKind::Broken, "{error}");
        },
    );
}

#[test]
fn malformed_messages_are_refused() {
    alone("transfer::hostile::malformed_messages_are_refused", || {
        let space = Namespace::temporary().unwrap();
        let unnamed = Event::options().namespace(&space).shared();
        let good = sealed(&bytes_of(&unnamed.create().unwrap()));
        let good = good.as_fd();
        let with = |at: usize, byte: u8| {
            let mut changed = *SOUND;
            changed[at] = byte;
            changed
        };
        for (bytes, files) in [
            (&SOUND[..], &[][..]),
            (SOUND, &[good, good]),
            (SOUND, &[good; 8]),
            (&SOUND[..8], &[good]),
            (&SOUND[..15], &[good]),
            (&SOUND[..1], &[good]),
            (&with(0, b'x'), &[good]),
            (&with(7, b'2'), &[good]),
            (&with(8, 0), &[good]),
            (&with(8, 16), &[good]),
            (&with(8, 0xff), &[good]),
            (&with(9, 1), &[good]),
            (&with(15, 1), &[good]),
        ] {
            let error = answer::<Event>(&space, bytes, files);
            assert_eq!(error.kind(), ErrorKind::Layout, "{bytes:?}: {error}");
        }
        // A datagram that says more than a message does.
        let (one, other) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let long = [&SOUND[..], b"more"].concat();
        pass::send(one.as_fd(), &long, &[good]).unwrap();
        let error = other.receive_handle::<Event>(&[space.clone()]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Layout, "{error}");
        // Bytes alone, and an end in the middle of them.
        let (mut one, other) = UnixStream::pair().unwrap();
        one.write_all(&SOUND[..3]).unwrap();
        drop(one);
        let error = other.receive_handle::<Event>(&[space.clone()]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Layout, "{error}");
        let error = other.receive_handle::<Event>(&[space]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PeerGone, "{error}");
    });
}

/// Where descriptors run out in the middle of it.
#[test]
fn a_receiver_without_room_for_the_descriptor_says_so() {
    alone(
        "transfer::hostile::a_receiver_without_room_for_the_descriptor_says_so",
        || {
            let space = Namespace::temporary().unwrap();
            let event = space.event("x").create().unwrap();
            let (one, other) = UnixStream::pair().unwrap();
            one.send_handle(&event).unwrap();
            one.send_handle(&event).unwrap();
            let mut filler = Vec::new();
            let error = loop {
                match File::open("/dev/null") {
                    Ok(file) => filler.push(file),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.raw_os_error(), Some(24));
            let error = other.receive_handle::<Event>(&[space.clone()]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
            drop(filler);
            assert!(
                other
                    .receive_handle::<Event>(&[space])
                    .unwrap()
                    .is_same(&event)
            );
        },
    );
}
