//! What arrives over a Unix socket: control messages, descriptors, and handles.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::LazyLock;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socketpair};
use strait::nt::{Event, EventPair, Mutant, Read, Section, Semaphore, Timer};
use strait::{HandleSocket as _, Result, Transferable};
use strait_sys::Errno;
use strait_sys::memfd::{self, SealFlags};
use strait_sys::pass::{self, Beside};

use crate::patch::Patches;

/// A buffer of control messages, as recvmsg(2) fills it.
pub(crate) fn control(data: &[u8]) {
    let said: usize = pass::messages(data).map(|message| message.data.len()).sum();
    assert!(said <= data.len());
}

// ---- messages ------------------------------------------------------------------------------

/// The most messages that a peer sends in one run.
const MESSAGES_MAX: usize = 16;
/// More descriptors than a process of this crate ever has open: above it one has leaked.
const OPEN_MAX: i32 = 900;

/// Messages that a peer sends with any number of descriptors, and this side takes with any room.
/// Three bytes each: how many descriptors, the length, and how it is taken.
pub(crate) fn message(data: &[u8]) {
    let [kind, rest @ ..] = data else {
        return;
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let kind = match kind % 3 {
        0 => SocketType::STREAM,
        1 => SocketType::DGRAM,
        _ => SocketType::SEQPACKET,
    };
    let (ours, theirs) = socketpair(AddressFamily::UNIX, kind, flags, None).expect("two sockets");
    let (steps, _) = rest.as_chunks::<3>();
    for [fds, len, how] in steps.iter().take(MESSAGES_MAX) {
        let _ = set_socket_passcred(&ours, how & 1 != 0);
        let sent = vec![theirs.as_fd(); usize::from(*fds)];
        let bytes = vec![7; usize::from(*len)];
        let _ = pass::send_message(
            theirs.as_fd(),
            &bytes,
            (&sent, None),
            None,
            SendFlags::DONTWAIT,
        );
        take(ours.as_fd(), *how);
    }
    while take(ours.as_fd(), u8::MAX) {}
    let next = rustix::io::fcntl_dupfd_cloexec(&ours, 0).expect("a free descriptor");
    assert!(next.as_raw_fd() < OPEN_MAX, "descriptors leak");
}

/// Takes one message; false: there is none.
fn take(socket: BorrowedFd<'_>, how: u8) -> bool {
    let mut bytes = [0; 64];
    let fds_max = usize::from(how >> 2) * 4;
    if how & 2 != 0 {
        let fds_max = fds_max % (pass::FDS_MAX + 1);
        return match pass::recv(socket, &mut bytes, fds_max) {
            Ok((len, fds)) => {
                assert!(fds.len() <= fds_max);
                len > 0
            }
            // A message that is too much is lost, and the next may stand behind it.
            Err(errno) => errno == Errno::MSGSIZE,
        };
    }
    let mut beside = Beside::default();
    let came = pass::receive(socket, &mut bytes, RecvFlags::TRUNC, fds_max, &mut beside);
    assert!(beside.fds.len() <= fds_max);
    came.is_ok_and(|came| came.len > 0)
}

// ---- handles -------------------------------------------------------------------------------

const SOUND: [u8; 16] = *b"STRAITH1\x0f\0\0\0\0\0\0\0";

/// The file of an unnamed object, as its descriptor shows it to a receiver.
fn bytes_of<T: Transferable>(handle: Result<T>) -> Vec<u8> {
    let handle = handle.expect("an object of this process");
    let (one, other) = UnixStream::pair().expect("two sockets");
    one.send_handle(&handle).expect("room in a new socket");
    let (_, files) = pass::recv(other.as_fd(), &mut [0; 16], 1).expect("a message");
    let len = rustix::fs::fstat(&files[0]).expect("a memfd").st_size;
    let mut bytes = vec![0; usize::try_from(len).expect("a few pages")];
    let read = rustix::io::pread(&files[0], &mut bytes, 0);
    assert_eq!(read, Ok(bytes.len()));
    bytes
}

static OBJECTS: LazyLock<[Vec<u8>; 6]> = LazyLock::new(|| {
    [
        bytes_of(Event::options().shared().create()),
        bytes_of(EventPair::options().shared().create()),
        bytes_of(Mutant::options().shared().create()),
        bytes_of(Semaphore::options(1, 2).shared().create()),
        bytes_of(Section::options(5000).create()),
        bytes_of(Timer::options().shared().create()),
    ]
});

/// A handle from a liar: a byte for the kind, what is changed in the message, and in the memory.
pub(crate) fn handle(data: &[u8]) {
    let Some(([kind, change @ ..], rest)) = data.split_first_chunk::<17>() else {
        return;
    };
    let mut message = SOUND;
    for (byte, change) in message.iter_mut().zip(change) {
        *byte ^= change;
    }
    let pick = usize::from(*kind) % OBJECTS.len();
    let mut bytes = OBJECTS[pick].clone();
    for patch in Patches::new(rest) {
        patch.apply(&mut bytes);
    }
    let file = memory(&bytes, kind & 0x80 != 0);
    let (one, other) = UnixStream::pair().expect("two sockets");
    let sent = pass::send(one.as_fd(), &message, &[file.as_fd()]);
    assert_eq!(sent, Ok(message.len()));
    drop(one);
    // Each is used as far as it lets itself be used.
    let _ = match pick {
        0 => receive(&other, |it: Event| it.set().and(it.query()).map(drop)),
        1 => receive(&other, |it: EventPair| {
            it.set_low().and(it.query()).map(drop)
        }),
        2 => receive(&other, |it: Mutant| it.try_acquire().map(drop)),
        3 => receive(&other, |it: Semaphore| {
            it.release(1).and(it.query()).map(drop)
        }),
        4 => receive(&other, |it: Section| it.map::<Read>()?.read(0, &mut [0; 9])),
        _ => receive(&other, |it: Timer| {
            it.query()?;
            it.cancel()
        }),
    };
}

fn receive<T: Transferable>(socket: &UnixStream, then: impl FnOnce(T) -> Result<()>) -> Result<()> {
    socket.receive_handle(&[]).and_then(then)
}

fn memory(bytes: &[u8], unsealed: bool) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = memfd_create("lie", flags).expect("memory");
    assert_eq!(rustix::io::pwrite(&file, bytes, 0), Ok(bytes.len()));
    if !unsealed {
        let seals = memfd::add_seals(file.as_fd(), SealFlags::SHRINK | SealFlags::GROW);
        seals.expect("a new file takes seals");
    }
    file
}
