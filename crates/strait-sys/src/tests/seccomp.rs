//! Tests of [`crate::seccomp`].

use core::time::Duration;

use super::{Role, this_test};
use crate::futex::{Sleep, waitv, waitv_works};
use crate::map::Map;
use crate::seccomp::{CALLS_MAX, FUTEX_WAITV, IO_URING_SETUP, PIDFD_OPEN, deny};
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
}
