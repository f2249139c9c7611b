//! Tests of [`crate::fork`].

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::{Role, exit_code, forked, sealed_file, this_test};
use crate::Errno;
use crate::fork::{Guarded, add_handlers, close_in_child, generation};
use crate::ofd_lock::{Lock, probe, try_lock};

#[test]
fn a_child_sees_another_generation() {
    if Role::mine().is_none() {
        return Role::new(this_test!(), "parent").passes();
    }
    let ours = generation();
    assert_eq!(generation(), ours);
    let code = forked(|| {
        let theirs = generation();
        // SAFETY: the grandchild makes only async-signal-safe calls.
        let grandchild = unsafe { libc::fork() };
        if grandchild == 0 {
            let third = generation();
            let differs = third != theirs && third != ours && third != 0;
            // SAFETY: async-signal-safe.
            unsafe { libc::_exit(i32::from(!differs)) };
        }
        let differs = theirs != ours && theirs != 0 && theirs == generation();
        i32::from(!differs) * 2 + exit_code(grandchild)
    });
    assert_eq!(code, 0);
    assert_eq!(generation(), ours);
}

#[test]
fn a_child_that_ran_no_handlers_sees_another_generation_too() {
    if Role::mine().is_none() {
        return Role::new(this_test!(), "parent").passes();
    }
    let ours = generation();
    // SAFETY: like fork, but without its handlers; the child makes only async-signal-safe calls.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone,
            libc::SIGCHLD,
            0_usize,
            0_usize,
            0_usize,
            0_usize,
        )
    };
    if pid == 0 {
        let theirs = generation();
        let differs = theirs != ours && theirs != 0 && theirs == generation();
        // SAFETY: async-signal-safe.
        unsafe { libc::_exit(i32::from(!differs)) };
    }
    assert_eq!(exit_code(i32::try_from(pid).unwrap()), 0);
    assert_eq!(generation(), ours);
}

#[test]
fn a_child_finds_what_is_guarded_free_and_whole() {
    static PAIR: Guarded<[u64; 2]> = Guarded::new([0; 2]);
    if Role::mine().is_none() {
        return Role::new(this_test!(), "parent").passes();
    }
    // As if threads had raced for the first use.
    add_handlers();
    std::thread::spawn(|| {
        loop {
            PAIR.with(|pair| {
                pair[0] += 1;
                // Half changed for about as long as a fork takes.
                (0..10_000).for_each(|_| std::hint::spin_loop());
                pair[1] += 1;
            });
        }
    });
    let before = generation();
    for _ in 0..200 {
        let code = forked(|| {
            // SAFETY: async-signal-safe. Should the lock never become free, nobody else ends us.
            unsafe { libc::alarm(20) };
            let whole = PAIR.with(|pair| pair[0] == pair[1]);
            i32::from(!whole) + i32::from(generation() != before + 1) * 2
        });
        assert_eq!(code, 0);
    }
    assert_eq!(generation(), before);
}

/// Another open file description of the same file.
fn again(fd: &OwnedFd) -> OwnedFd {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    rustix::fs::open(path, rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty()).unwrap()
}

#[test]
fn a_child_holds_no_lock_of_its_parent() {
    if Role::mine().is_none() {
        return Role::new(this_test!(), "parent").passes();
    }
    let file = sealed_file(8);
    let (held, rival) = (close_in_child(again(&file)), again(&file));
    assert_eq!(try_lock(held.as_fd(), Lock::Write, 0, 1), Ok(true));
    let (mut reader, writer) = std::io::pipe().unwrap();
    // SAFETY: the child makes only async-signal-safe calls.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // Should the test fail, nobody else ends this process.
        // SAFETY: takes no pointers.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        let _ = rustix::io::write(&writer, b"x");
        loop {
            // SAFETY: async-signal-safe.
            unsafe { libc::pause() };
        }
    }
    // The child has returned from fork.
    reader.read_exact(&mut [0]).unwrap();
    let holder = |rival: &OwnedFd| probe(rival.as_fd(), Lock::Read, 0, 1);
    assert_eq!(
        holder(&rival),
        Ok(Some(Lock::Write)),
        "the parent has it still"
    );
    drop(held);
    assert_eq!(holder(&rival), Ok(None), "though the child lives");
    // SAFETY: kills our own child.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    assert_eq!(exit_code(pid), -1);
}

#[test]
fn a_guard_in_a_child_can_touch_nothing_opened_later() {
    if Role::mine().is_none() {
        return Role::new(this_test!(), "parent").passes();
    }
    let guards: Vec<_> = (0..100).map(|_| close_in_child(sealed_file(8))).collect();
    let code = forked(move || {
        let refused = |fd: &OwnedFd| rustix::io::read(fd, &mut [0; 1]) == Err(Errno::BADF);
        let all_closed = guards.iter().all(|guard| refused(guard));
        let later = rustix::event::eventfd(7, rustix::event::EventfdFlags::CLOEXEC);
        let Ok(later) = later else { return 9 };
        let apart = guards
            .iter()
            .all(|guard| guard.as_raw_fd() != later.as_raw_fd());
        drop(guards);
        let mut bytes = [0; 8];
        let lives = rustix::io::read(&later, &mut bytes) == Ok(8);
        i32::from(!(all_closed && apart && lives))
    });
    assert_eq!(code, 0);
}

#[test]
fn a_parent_keeps_its_descriptors_and_closes_them_once() {
    if Role::mine().is_none() {
        return Role::new(this_test!(), "parent").passes();
    }
    let before = super::open_fds();
    let guards: Vec<_> = (0..100).map(|_| close_in_child(sealed_file(8))).collect();
    assert_eq!(forked(|| 0), 0);
    assert!(
        guards
            .iter()
            .all(|guard| rustix::fs::fstat(guard.as_fd()).unwrap().st_size == 8)
    );
    drop(guards);
    assert_eq!(super::open_fds(), before);
    assert_eq!(
        forked(|| 0),
        0,
        "numbers given back are nobody's business in a child"
    );
}

#[test]
fn a_child_without_room_for_a_placeholder_lets_go_all_the_same() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    if Role::mine().is_none() {
        return Role::new(this_test!(), "parent").passes();
    }
    let file = sealed_file(8);
    let guards: Vec<_> = (0..10).map(|_| close_in_child(again(&file))).collect();
    assert_eq!(try_lock(guards[9].as_fd(), Lock::Write, 0, 1), Ok(true));
    let old = getrlimit(Resource::Nofile);
    let full = u64::try_from(guards[9].as_raw_fd()).unwrap() + 1;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(full),
            ..old
        },
    )
    .unwrap();
    let code = forked(|| {
        let refused = |fd: &OwnedFd| rustix::io::read(fd, &mut [0; 1]) == Err(Errno::BADF);
        i32::from(!guards.iter().all(|guard| refused(guard)))
    });
    setrlimit(Resource::Nofile, old).unwrap();
    assert_eq!(code, 0);
}
