//! Signals of this thread to itself: sent, told apart by their codes, and taken.

use std::os::fd::AsFd;
use std::time::Duration;

use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{getpid, getuid};
use rustix::thread::gettid;

use crate::sigaction::{self, Action, Bell};
use crate::siginfo::{Code, Fields};
use crate::signal::{self, Change, NotASignal, Set, Signal};
use crate::sigsend::{self, Scope, Target};
use crate::{Errno, signalfd};

const GUARD: Option<Duration> = Some(Duration::from_secs(20));

fn own() -> (i32, u32) {
    (getpid().as_raw_nonzero().get(), getuid().as_raw())
}

#[test]
fn numbers_and_names() {
    assert_eq!(Signal::new(15), Ok(Signal::TERM));
    assert_eq!("term".parse(), Ok(Signal::TERM));
    assert_eq!("SIGTERM".parse(), Ok(Signal::TERM));
    assert_eq!("15".parse(), Ok(Signal::TERM));
    assert_eq!("POLL".parse(), Ok(Signal::IO));
    let third = Signal::realtime(3).unwrap();
    assert_eq!(third.number(), libc::SIGRTMIN() + 3);
    assert_eq!("RTMIN+3".parse(), Ok(third));
    assert_eq!("SIGRTMIN".parse(), Signal::realtime(0));
    assert_eq!("RTMAX".parse(), Signal::new(64));
    assert_eq!("RTMAX-1".parse(), Signal::new(63));
    assert_eq!(third.to_string(), "SIGRTMIN+3");
    assert_eq!(Signal::new(32), Err(NotASignal::Reserved(32)));
    assert_eq!(Signal::new(33), Err(NotASignal::Reserved(33)));
    for number in [0, -1, 65, i32::MIN, i32::MAX] {
        assert_eq!(Signal::new(number), Err(NotASignal::Number(number.into())));
    }
    assert!(Signal::realtime(64).is_err() && Signal::realtime(u32::MAX).is_err());
    for wrong in [
        "", "SIG", "TERMS", "RTMIN-1", "RTMIN+", "RTMIN++1", "RTMIN+99", "RTMAX-99", "é",
    ] {
        assert!(wrong.parse::<Signal>().is_err(), "{wrong}");
    }
    for signal in Signal::all() {
        assert_eq!(signal.to_string().parse(), Ok(signal));
        assert_eq!(signal.number().to_string().parse(), Ok(signal));
    }
}

proptest! {
    #[test]
    fn every_signal_is_read_back(at in 0_usize..62, cut in 0_usize..3) {
        let all: Vec<Signal> = Signal::all().collect();
        let signal = all[at % all.len()];
        prop_assert_eq!(signal.number().to_string().parse(), Ok(signal));
        let name = signal.to_string();
        let forms = [&name, &name.to_lowercase(), name.trim_start_matches("SIG")];
        prop_assert_eq!(forms[cut].parse(), Ok(signal));
    }

    #[test]
    fn any_text_is_a_signal_or_none(
        text in prop_oneof![
            "(sig|SIG)?(rtmin|RTMAX|term|)[-+]?[0-9é]{0,12}",
            "\\PC{0,60}",
        ],
    ) {
        match text.parse::<Signal>() {
            Ok(signal) => prop_assert!((1..=64).contains(&signal.number())),
            Err(wrong) => prop_assert!(wrong.to_string().chars().count() < 600),
        }
    }
}

#[test]
fn what_was_taken_is_told_by_its_code() {
    let (first, second) = (Signal::realtime(5).unwrap(), Signal::realtime(6).unwrap());
    let set = Set::new([first, second]);
    signal::change_mask(Change::Block, set).unwrap();
    assert!(signal::mask().unwrap().contains(first));
    let none = signal::take(&set, Some(Duration::ZERO));
    assert_eq!(none.map(|info| info.number()), Err(Errno::AGAIN));
    // To this thread alone: those of other tests do not block them.
    let (pid, thread) = (getpid(), gettid());
    sigsend::tgkill(pid, thread, second).unwrap();
    sigsend::queue_thread(pid, thread, first, u64::MAX - 1).unwrap();
    assert!(signal::pending().unwrap().contains(first));
    let fd = signalfd::create(set).unwrap();
    let mut fds = [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    assert_eq!(poll(&mut fds, Some(&now)), Ok(1));
    let (pid, uid) = own();
    let info = signal::take(&set, GUARD).unwrap();
    assert_eq!(info.signal(), Some(first), "the lower number first");
    let value = u64::MAX - 1;
    assert_eq!(info.fields(), Fields::Queued { pid, uid, value });
    assert_eq!(info.code(), Code::Queue);
    let info = signal::take(&set, GUARD).unwrap();
    assert_eq!((info.signal(), info.code()), (Some(second), Code::Thread));
    assert_eq!(info.fields(), Fields::Sent { pid, uid });
    assert_eq!(poll(&mut fds, Some(&now)), Ok(0));
}

#[test]
fn a_bell_is_rung_by_its_signal_and_gives_back_what_was() {
    let signal = Signal::realtime(7).unwrap();
    let before = sigaction::set(signal, Action::Ignore).unwrap();
    assert_eq!(before.action(), Action::Default);
    let bell = Bell::new(signal).unwrap();
    assert_eq!(Bell::new(signal).map(drop), Err(Errno::BUSY));
    assert_eq!(bell.take(), Ok(None));
    for _ in 0..3 {
        sigsend::tgkill(getpid(), gettid(), signal).unwrap();
    }
    assert_eq!(bell.take(), Ok(Some(3)));
    assert_eq!(sigaction::get(signal).unwrap().action(), Action::Handle);
    drop(bell);
    assert_eq!(sigaction::get(signal).unwrap().action(), Action::Ignore);
    drop(Bell::new(signal).unwrap());
    sigaction::restore(signal, &before).unwrap();
    assert_eq!(Bell::new(Signal::KILL).map(drop), Err(Errno::INVAL));
    assert_eq!(Bell::new(Signal::KILL).map(drop), Err(Errno::INVAL));
}

#[test]
fn nobody_and_everybody_are_not_mixed_up() {
    assert_eq!(
        sigsend::kill(Target::Group(rustix::process::Pid::INIT), None),
        Err(Errno::INVAL)
    );
    assert_eq!(sigsend::kill(Target::Process(getpid()), None), Ok(()));
    let own = crate::pidfd::open(getpid()).unwrap();
    assert_eq!(
        sigsend::pidfd(own.as_fd(), None, None, Scope::Descriptor),
        Ok(())
    );
}
