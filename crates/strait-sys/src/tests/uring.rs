//! Tests of [`crate::uring`].

use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::ftruncate;

use super::{Role, forked, loose_file, sealed_file, shared, sleeps_in, soon, this_test, thread_id};
use crate::futex::{Sleep, wake};
use crate::map::Map;
use crate::time::Deadline;
use crate::uring::{PollFlags, Ring, works};
use crate::{Errno, eventfd};

fn short() -> Option<Deadline> {
    Some(Deadline::after(Duration::from_millis(20)))
}

fn long() -> Option<Deadline> {
    Some(Deadline::after(Duration::from_secs(20)))
}

fn sleeps(map: &Map, count: usize) -> Vec<Sleep<'_>> {
    let word = |index| map.look::<u32>(index * 8).unwrap();
    (0..count)
        .map(|index| Sleep {
            word: word(index),
            expected: 0,
        })
        .collect()
}

fn readable(events: &[OwnedFd]) -> Vec<(BorrowedFd<'_>, PollFlags)> {
    events
        .iter()
        .map(|event| (event.as_fd(), PollFlags::IN))
        .collect()
}

#[test]
fn time_runs_out_and_nothing_is_left_behind() {
    if !works() {
        return;
    }
    let map = shared(&sealed_file(8192), 8192);
    let events: Vec<OwnedFd> = (0..200).map(|_| eventfd::create(0).unwrap()).collect();
    let mut ring = Ring::new().unwrap();
    for (words, fds) in [(0, 1), (1, 0), (2, 0), (1, 3), (128, 1), (300, 200)] {
        let sleeps = sleeps(&map, words);
        let fds = &readable(&events)[..fds];
        let deadline = short();
        assert_eq!(ring.wait(&sleeps, fds, deadline), Err(Errno::TIMEDOUT));
        assert!(deadline.unwrap().passed());
        for sleep in &sleeps {
            assert_eq!(wake(sleep.word, 1), Ok(0), "nobody sleeps here any more");
        }
        let past = Some(Deadline::from_ns(0));
        assert_eq!(ring.wait(&sleeps, fds, past), Err(Errno::TIMEDOUT));
    }
    assert_eq!(ring.wait(&[], &[], short()), Err(Errno::INVAL));
}

#[test]
fn any_word_and_any_descriptor_ends_the_wait() {
    if !works() {
        return;
    }
    let map = shared(&sealed_file(4096), 4096);
    let events: Vec<OwnedFd> = (0..3).map(|_| eventfd::create(0).unwrap()).collect();
    let mut ring = Ring::new().unwrap();
    for count in [1, 2, 200] {
        let sleeps = sleeps(&map, count);
        for sleep in [&sleeps[0], &sleeps[count - 1]] {
            std::thread::scope(|scope| {
                let word = sleep.word;
                let waker = scope.spawn(move || soon(|| wake(word, 1) == Ok(1)));
                assert_eq!(ring.wait(&sleeps, &readable(&events), long()), Ok(()));
                assert!(waker.join().unwrap());
            });
        }
        for event in &events {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    // sleep: lets the other party block first; right also if it does not.
                    std::thread::sleep(Duration::from_millis(10));
                    eventfd::add(event.as_fd(), 1).unwrap();
                });
                assert_eq!(ring.wait(&sleeps, &readable(&events), long()), Ok(()));
            });
            assert_eq!(eventfd::take(event.as_fd()), Ok(Some(1)));
        }
    }
    let past = Some(Deadline::from_ns(0));
    eventfd::add(events[2].as_fd(), 1).unwrap();
    assert_eq!(
        ring.wait(&sleeps(&map, 3), &readable(&events), past),
        Ok(()),
        "it was ready"
    );
    let (end, other) = rustix::pipe::pipe().unwrap();
    drop(other);
    assert_eq!(
        ring.wait(&[], &readable(&[end]), long()),
        Ok(()),
        "a hang-up counts"
    );
}

#[test]
fn a_changed_word_ends_the_wait_at_once() {
    if !works() {
        return;
    }
    let map = shared(&sealed_file(4096), 4096);
    map.word::<u32>(8).unwrap().store(1, Relaxed);
    let mut ring = Ring::new().unwrap();
    assert_eq!(ring.wait(&sleeps(&map, 3), &[], None), Ok(()));
    assert_eq!(ring.wait(&sleeps(&map, 3)[1..2], &[], None), Ok(()));
}

#[test]
fn no_wake_up_is_lost_between_waits() {
    if !works() {
        return;
    }
    let map = shared(&sealed_file(4096), 4096);
    let event = [eventfd::create(0).unwrap()];
    let (ping, pong) = (map.word::<u32>(0).unwrap(), map.word::<u32>(64).unwrap());
    const ROUNDS: u32 = 2_000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..ROUNDS {
                while pong.load(Relaxed) == round {
                    let _ = crate::futex::wait(pong, round, long());
                }
                ping.fetch_add(1, Relaxed);
                wake(ping, 1).unwrap();
            }
        });
        let mut ring = Ring::new().unwrap();
        for round in 0..ROUNDS {
            pong.fetch_add(1, Relaxed);
            wake(pong, 1).unwrap();
            while ping.load(Relaxed) == round {
                let word = ping.look();
                let sleep = [Sleep {
                    word,
                    expected: round,
                }];
                let waited = ring.wait(&sleep, &readable(&event), long());
                assert_eq!(waited, Ok(()), "round {round}");
            }
        }
    });
}

#[test]
fn a_lost_page_breaks_its_map() {
    if !works() {
        return;
    }
    let fd = loose_file(4096);
    let map = shared(&fd, 4096);
    ftruncate(&fd, 0).unwrap();
    let mut ring = Ring::new().unwrap();
    assert_eq!(ring.wait(&sleeps(&map, 1), &[], long()), Err(Errno::FAULT));
    assert!(map.is_broken());
    let map = shared(&fd, 4096);
    assert_eq!(ring.wait(&sleeps(&map, 2), &[], long()), Err(Errno::FAULT));
    assert!(map.is_broken());
}

#[test]
fn a_signal_interrupts() {
    extern "C" fn nothing(_: libc::c_int) {}
    if Role::mine().is_none() {
        return Role::new(this_test!(), "interrupted").passes();
    }
    if !works() {
        return;
    }
    let handler = nothing as *const () as usize;
    // SAFETY: the handler has the type of one and does nothing.
    unsafe { libc::signal(libc::SIGALRM, handler) };
    let event = [eventfd::create(0).unwrap()];
    let mut ring = Ring::new().unwrap();
    let (us, sleeper) = (std::process::id(), thread_id());
    let killer = std::thread::spawn(move || {
        assert!(soon(|| sleeps_in(sleeper, libc::SYS_io_uring_enter)));
        // SAFETY: takes no pointers.
        unsafe { libc::syscall(libc::SYS_tgkill, us, sleeper, libc::SIGALRM) };
    });
    assert_eq!(ring.wait(&[], &readable(&event), long()), Err(Errno::INTR));
    killer.join().unwrap();
}

#[test]
fn a_forked_child_makes_itself_a_ring() {
    if Role::mine().is_none() {
        return Role::new(this_test!(), "parent").passes();
    }
    if !works() {
        return;
    }
    let event = [eventfd::create(0).unwrap()];
    let mut ring = Ring::new().unwrap();
    assert_eq!(
        ring.wait(&[], &readable(&event), short()),
        Err(Errno::TIMEDOUT)
    );
    // The other threads of this process sleep: its child may allocate.
    let code = forked(|| {
        let in_time = ring.wait(&[], &readable(&event), short()) == Err(Errno::TIMEDOUT);
        let _ = eventfd::add(event[0].as_fd(), 1);
        let ready = ring.wait(&[], &readable(&event), long()) == Ok(());
        i32::from(!(in_time && ready))
    });
    assert_eq!(code, 0);
    assert_eq!(
        ring.wait(&[], &readable(&event), long()),
        Ok(()),
        "ours still works"
    );
}
