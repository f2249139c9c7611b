//! Tests of [`crate::seccomp`].

use core::time::Duration;

use std::os::fd::AsFd;

use rustix::net::{AddressFamily, SocketType, socketpair};

use super::{Role, this_test};
use crate::futex::{Sleep, waitv, waitv_works};
use crate::map::Map;
use crate::seccomp::{
    CALLS_MAX, FUTEX_WAITV, IO_URING_SETUP, PIDFD_OPEN, PIDFD_OPTIONS, deny, deny_socket_options,
};
use crate::sockopt::{self, IntOption};
use crate::time::Deadline;
use crate::{Errno, pidfd, uring};

#[test]
fn what_is_denied_does_not_work() {
    let Some(role) = Role::mine() else {
        Role::new(this_test!(), "ENOSYS").passes();
        return Role::new(this_test!(), "EPERM").passes();
    };
    let errno = if role == "EPERM" {
        Errno::PERM
    } else {
        Errno::NOSYS
    };
    deny(&[IO_URING_SETUP, FUTEX_WAITV, PIDFD_OPEN], errno).unwrap();
    assert!(!uring::works() && !waitv_works() && !pidfd::works());
    let map = Map::private(64).unwrap();
    let word = map.look::<u32>(0).unwrap();
    let sleeps = [Sleep { word, expected: 0 }; 2];
    let deadline = Deadline::after(Duration::from_secs(1));
    assert_eq!(waitv(&sleeps, Some(deadline)), Err(errno));
    assert_eq!(uring::Ring::new().unwrap_err(), errno);
    assert_eq!(pidfd::open(rustix::process::getpid()).unwrap_err(), errno);
    let past = Some(Deadline::from_ns(1));
    assert_eq!(
        crate::futex::wait(word, 0, past),
        Err(Errno::TIMEDOUT),
        "the rest works"
    );
}

#[test]
fn one_call_is_denied_in_every_thread_and_the_others_work() {
    if Role::mine().is_none() {
        return Role::new(this_test!(), "denied").passes();
    }
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let other = std::thread::spawn(move || {
        gone.recv().unwrap();
        pidfd::open(rustix::process::getpid()).unwrap_err()
    });
    deny(&[PIDFD_OPEN], Errno::NOSYS).unwrap();
    go.send(()).unwrap();
    assert_eq!(other.join().unwrap(), Errno::NOSYS);
    // SAFETY: takes no arguments.
    assert!(unsafe { libc::syscall(libc::SYS_getppid) } > 0);
}

#[test]
fn a_filter_has_bounds() {
    let calls = [PIDFD_OPEN; CALLS_MAX + 1];
    assert_eq!(deny(&calls, Errno::NOSYS), Err(Errno::INVAL));
    assert_eq!(deny(&[-1], Errno::NOSYS), Err(Errno::INVAL));
    let options = [PIDFD_OPTIONS[0]; CALLS_MAX + 1];
    let denied = deny_socket_options(&options, Errno::NOPROTOOPT);
    assert_eq!(denied, Err(Errno::INVAL));
}

#[test]
fn options_are_denied_and_others_of_the_same_call_work() {
    if Role::mine().is_none() {
        return Role::new(this_test!(), "denied").passes();
    }
    deny_socket_options(&PIDFD_OPTIONS, Errno::NOPROTOOPT).unwrap();
    let flags = rustix::net::SocketFlags::CLOEXEC;
    let (unix, stream) = (AddressFamily::UNIX, SocketType::STREAM);
    let (one, _other) = socketpair(unix, stream, flags, None).unwrap();
    let refused = Err(Errno::NOPROTOOPT);
    assert_eq!(sockopt::peer_pidfd(one.as_fd()).map(drop), refused);
    let pidfds = IntOption::PASS_PIDFD;
    assert_eq!(sockopt::set(one.as_fd(), pidfds, 1), refused);
    let credentials = IntOption::PASS_CREDENTIALS;
    sockopt::set(one.as_fd(), credentials, 1).unwrap();
    assert_eq!(sockopt::get(one.as_fd(), credentials), Ok(1));
    let peer = sockopt::peer_credentials(one.as_fd()).unwrap();
    assert_eq!(peer.pid, std::process::id());
}
