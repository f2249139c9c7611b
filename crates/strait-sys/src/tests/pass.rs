//! Tests of [`crate::pass`].

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::fstat;
use rustix::io::{FdFlags, IoSlice, fcntl_getfd, ioctl_fionbio};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    sendmsg, socketpair,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Role, open_fds, sealed_file, this_test};
use crate::Errno;
use crate::pass::{FDS_MAX, recv, send};

fn pair(kind: SocketType) -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socketpair(AddressFamily::UNIX, kind, flags, None).unwrap()
}

fn borrowed(fds: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    fds.iter().map(AsFd::as_fd).collect()
}

/// As a peer might who keeps to no limit.
fn send_many(socket: &OwnedFd, fds: &[BorrowedFd<'_>]) {
    let mut space = [core::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
    sendmsg(
        socket,
        &[IoSlice::new(b"x")],
        &mut control,
        SendFlags::empty(),
    )
    .unwrap();
}

#[test]
fn bytes_and_descriptors_arrive() {
    let (a, b) = pair(SocketType::STREAM);
    let files: Vec<OwnedFd> = (0..FDS_MAX).map(|n| sealed_file(n as u64)).collect();
    assert_eq!(send(a.as_fd(), b"hello", &borrowed(&files)), Ok(5));
    let mut bytes = [0; 16];
    let (len, fds) = recv(b.as_fd(), &mut bytes, FDS_MAX).unwrap();
    assert_eq!((&bytes[..len], fds.len()), (&b"hello"[..], FDS_MAX));
    for (sent, came) in files.iter().zip(&fds) {
        assert_eq!(fstat(sent).unwrap().st_ino, fstat(came).unwrap().st_ino);
        assert!(fcntl_getfd(came).unwrap().contains(FdFlags::CLOEXEC));
    }
    assert_eq!(send(a.as_fd(), b"alone", &[]), Ok(5));
    let (len, fds) = recv(b.as_fd(), &mut bytes[..3], 0).unwrap();
    assert_eq!((len, fds.len()), (3, 0), "a stream may be read in parts");
    assert_eq!(recv(b.as_fd(), &mut bytes, 0).unwrap().0, 2);
    assert_eq!(recv(b.as_fd(), &mut bytes, 0).unwrap_err(), Errno::AGAIN);
    drop(a);
    // A child that another test has forked may hold it open until its exec.
    ioctl_fionbio(&b, false).unwrap();
    assert_eq!(recv(b.as_fd(), &mut bytes, 0).unwrap().0, 0, "closed");
    assert_eq!(
        send(b.as_fd(), b"x", &[]),
        Err(Errno::PIPE),
        "and no SIGPIPE"
    );
}

#[test]
fn limits_are_checked_before_anything_is_sent() {
    let (a, b) = pair(SocketType::STREAM);
    let file = sealed_file(1);
    assert_eq!(
        send(a.as_fd(), b"x", &[file.as_fd(); FDS_MAX + 1]),
        Err(Errno::INVAL)
    );
    assert_eq!(send(a.as_fd(), b"", &[file.as_fd()]), Err(Errno::INVAL));
    assert_eq!(
        recv(b.as_fd(), &mut [0; 4], FDS_MAX + 1).unwrap_err(),
        Errno::INVAL
    );
    assert_eq!(
        recv(b.as_fd(), &mut [0; 4], 0).unwrap_err(),
        Errno::AGAIN,
        "nothing came"
    );
}

#[test]
fn nothing_leaks_whatever_comes() {
    if Role::mine().is_none() {
        return Role::new(this_test!(), "receiver").passes();
    }
    let file = sealed_file(1);
    let mut bytes = [0; 4];
    for kind in [SocketType::STREAM, SocketType::SEQPACKET] {
        let (a, b) = pair(kind);
        let before = open_fds();
        for (sent, wanted) in [(1, 0), (8, 7), (9, 8), (20, 8), (64, 8), (64, 0)] {
            send_many(&a, &vec![file.as_fd(); sent]);
            let came = recv(b.as_fd(), &mut bytes, wanted);
            assert_eq!(came.unwrap_err(), Errno::MSGSIZE, "{sent} for {wanted}");
            assert_eq!(open_fds(), before, "{sent} for {wanted}");
        }
        send(a.as_fd(), b"fine", &[file.as_fd()]).unwrap();
        assert_eq!(
            recv(b.as_fd(), &mut bytes, 1).unwrap().1.len(),
            1,
            "the socket lives on"
        );
        assert_eq!(open_fds(), before);
    }
    let (a, b) = pair(SocketType::SEQPACKET);
    let before = open_fds();
    send(a.as_fd(), b"longer than it may be", &[file.as_fd()]).unwrap();
    assert_eq!(recv(b.as_fd(), &mut bytes, 8).unwrap_err(), Errno::MSGSIZE);
    assert_eq!(open_fds(), before);
}

#[test]
fn a_process_without_room_gets_an_error_and_no_half() {
    if Role::mine().is_none() {
        return Role::new(this_test!(), "receiver").passes();
    }
    let (a, b) = pair(SocketType::STREAM);
    let file = sealed_file(1);
    let before = open_fds();
    let old = getrlimit(Resource::Nofile);
    let highest = fcntl_free_number(&file);
    for room in 0..=4 {
        send(a.as_fd(), b"abcd", &[file.as_fd(); 4]).unwrap();
        let current = Some(highest + room);
        setrlimit(Resource::Nofile, Rlimit { current, ..old }).unwrap();
        let came = recv(b.as_fd(), &mut [0; 4], 4);
        setrlimit(Resource::Nofile, old).unwrap();
        match came {
            Ok((len, fds)) => assert_eq!((len, fds.len(), room), (4, 4, 4)),
            Err(errno) => assert!(errno == Errno::MFILE && room < 4, "{errno} with {room}"),
        }
        assert_eq!(open_fds(), before, "with room for {room}");
    }
}

/// The lowest number that is free.
fn fcntl_free_number(fd: &OwnedFd) -> u64 {
    let copy = rustix::io::fcntl_dupfd_cloexec(fd, 0).unwrap();
    u64::try_from(copy.as_raw_fd()).unwrap()
}

#[test]
fn what_socket_options_add_is_closed_too() {
    const SO_PASSPIDFD: i32 = 76;
    if Role::mine().is_none() {
        return Role::new(this_test!(), "receiver").passes();
    }
    let (a, b) = pair(SocketType::SEQPACKET);
    for option in [libc::SO_PASSCRED, SO_PASSPIDFD] {
        let yes = 1_i32;
        // SAFETY: the option takes an int; a kernel that does not know it refuses.
        unsafe {
            libc::setsockopt(
                b.as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                (&raw const yes).cast(),
                4,
            )
        };
    }
    let file = sealed_file(1);
    let before = open_fds();
    for count in [0, 1, FDS_MAX] {
        send(a.as_fd(), b"x", &vec![file.as_fd(); count]).unwrap();
        let (_, fds) = recv(b.as_fd(), &mut [0; 4], FDS_MAX).unwrap();
        assert_eq!(fds.len(), count);
        drop(fds);
        assert_eq!(open_fds(), before);
    }
}
