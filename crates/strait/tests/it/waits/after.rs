//! What a wait leaves behind for whatever its thread does next: nothing.

use std::mem::MaybeUninit;
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use strait::nt::Event;
use strait::wait::{self, Waitable};

use crate::world::alone;

/// Many a program takes EINTR for a signal that it was sent.
#[test]
fn a_wait_interrupts_nothing_that_comes_after_it() {
    const ROUNDS: u32 = 1_000;
    // By itself, so that the first wait of the process is among them.
    let test = "waits::after::a_wait_interrupts_nothing_that_comes_after_it";
    alone(test, || {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let quiet = |milliseconds: i64| {
            let limit = Timespec {
                tv_sec: 0,
                tv_nsec: milliseconds * 1_000_000,
            };
            let mut events = [const { MaybeUninit::uninit() }; 1];
            epoll::wait(&epoll, &mut events, Some(&limit)).map(|(ready, _)| ready.len())
        };
        let (reader, _writer) = std::io::pipe().unwrap();
        let (one, two) = (Event::options().create(), Event::options().create());
        let (one, two) = (one.unwrap(), two.unwrap());
        let readable = wait::readable(&reader);
        let losers: [&dyn Waitable; 3] = [&one, &two, &readable];
        let brief = Duration::from_micros(300);
        assert_eq!(wait::any_for(&losers, brief).unwrap(), None);
        assert_eq!(quiet(500), Ok(0), "after the first wait");
        for round in 0..ROUNDS {
            assert_eq!(wait::any_for(&losers, brief).unwrap(), None);
            assert_eq!(quiet(1), Ok(0), "after round {round}");
        }
        assert_eq!(quiet(500), Ok(0), "at the end");
    });
}
