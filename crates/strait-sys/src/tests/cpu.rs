//! Processors and clocks.

use core::time::Duration;

use crate::Errno;
use crate::cpu::{count, current, pin, quick, unpin};
use crate::time::{Deadline, monotonic_ns, realtime_ns, ticks, ticks_per_us};

#[test]
fn a_pinned_thread_is_on_its_processor() {
    std::thread::spawn(|| {
        let all = count();
        assert!(all >= 1);
        let cpu = current();
        pin(cpu).unwrap();
        assert_eq!((count(), current()), (1, cpu));
        assert_eq!((quick() as usize, quick() as usize), (cpu, cpu));
        unpin().unwrap();
        assert_eq!(count(), all);
        assert_eq!(pin(1_000_000), Err(Errno::INVAL));
        assert_eq!(count(), all);
    })
    .join()
    .unwrap();
}

#[test]
fn deadlines_are_moments_on_the_monotonic_clock() {
    let before = monotonic_ns();
    let now = Deadline::now();
    assert!(now.ns() >= before && now.passed());
    assert_eq!(now.left(), Duration::ZERO);
    let later = Deadline::after(Duration::from_secs(100));
    assert!(later > now && !later.passed());
    assert!(later.left() > Duration::from_secs(99) && later.left() <= Duration::from_secs(100));
    assert_eq!(Deadline::from_ns(later.ns()), later);
    assert_eq!(Deadline::after(Duration::MAX).ns(), u64::MAX);
    assert!(realtime_ns() > 1_600_000_000_000_000_000, "it is past 2020");
}

#[test]
fn ticks_pass_at_their_rate() {
    let rate = ticks_per_us();
    assert!(rate >= 1 && ticks_per_us() == rate);
    let (begin, first) = (monotonic_ns(), ticks());
    while monotonic_ns() < begin + 20_000_000 {
        core::hint::spin_loop();
    }
    // Other work on the machine can only make the first of the two readings early.
    let (last, end) = (ticks(), monotonic_ns());
    let us = last.saturating_sub(first) / rate;
    assert!(
        us > 0 && us <= (end - begin) / 500,
        "{us} of {} ns",
        end - begin
    );
}
