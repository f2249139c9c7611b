//! Tests of the descriptors that ring: events, timers, processes.

use core::time::Duration;
use std::os::fd::{AsFd, AsRawFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{FdFlags, fcntl_getfd};
use rustix::time::Timespec;

use super::{Role, sealed_file, this_test};
use crate::pidfd::Pid;
use crate::signal::Signal;
use crate::sigsend::{self, Scope};
use crate::time::Deadline;
use crate::{Errno, eventfd, pidfd, timerfd};

fn readable_within(fd: impl AsFd, ms: u32) -> bool {
    let time = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(ms) * 1_000_000,
    };
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&time)).unwrap() == 1
}

#[test]
fn a_counter_counts() {
    let event = eventfd::create(2).unwrap();
    let event = event.as_fd();
    assert!(fcntl_getfd(event).unwrap().contains(FdFlags::CLOEXEC));
    eventfd::add(event, 3).unwrap();
    assert!(readable_within(event, 0));
    assert_eq!(eventfd::take(event), Ok(Some(5)));
    assert_eq!(eventfd::take(event), Ok(None));
    assert!(!readable_within(event, 0));
    eventfd::add(event, u64::MAX - 1).unwrap();
    assert_eq!(eventfd::add(event, 1), Err(Errno::AGAIN));
    assert_eq!(eventfd::add(event, u64::MAX), Err(Errno::INVAL));
}

#[test]
fn a_timer_fires_at_its_deadline() {
    let timer = timerfd::create().unwrap();
    let timer = timer.as_fd();
    assert!(fcntl_getfd(timer).unwrap().contains(FdFlags::CLOEXEC));
    assert_eq!(timerfd::take(timer), Ok(false));
    let deadline = Deadline::after(Duration::from_millis(30));
    timerfd::arm(timer, deadline).unwrap();
    assert!(readable_within(timer, 900));
    assert!(deadline.passed());
    assert_eq!(timerfd::take(timer), Ok(true));
    assert_eq!(timerfd::take(timer), Ok(false));
    timerfd::arm(timer, Deadline::from_ns(0)).unwrap();
    assert!(readable_within(timer, 900), "a past deadline fires at once");
    timerfd::disarm(timer).unwrap();
    assert!(!readable_within(timer, 5));
}

#[test]
fn a_process_is_watched_and_signalled() {
    if Role::mine().is_some() {
        loop {
            std::thread::park();
        }
    }
    assert!(pidfd::works());
    let mut child = Role::new(this_test!(), "sleeper").start();
    let process = pidfd::open(Pid::from_child(&child)).unwrap();
    let process = process.as_fd();
    assert!(fcntl_getfd(process).unwrap().contains(FdFlags::CLOEXEC));
    assert!(!pidfd::exited(process));
    let kill = || sigsend::pidfd(process, Some(Signal::KILL), None, Scope::Descriptor);
    kill().unwrap();
    assert!(readable_within(process, 900));
    assert!(pidfd::exited(process), "dead, though nobody has waited");
    child.wait().unwrap();
    assert!(pidfd::exited(process));
    assert_eq!(kill(), Err(Errno::SRCH));
}

#[test]
fn a_descriptor_is_taken_from_a_process() {
    let us = pidfd::open(rustix::process::getpid()).unwrap();
    let fd = sealed_file(123);
    let copy = pidfd::getfd(us.as_fd(), fd.as_raw_fd()).unwrap();
    assert!(fcntl_getfd(&copy).unwrap().contains(FdFlags::CLOEXEC));
    let inode = |fd| rustix::fs::fstat(fd).unwrap().st_ino;
    assert_eq!(inode(&copy), inode(&fd));
    assert_eq!(
        pidfd::getfd(us.as_fd(), 1_000_000).unwrap_err(),
        Errno::BADF
    );
}
