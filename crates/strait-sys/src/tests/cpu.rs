//! Processors and clocks.

use core::time::Duration;

use crate::Errno;
use crate::cpu::{count, current, pin, unpin};
use crate::time::{Deadline, monotonic_ns, realtime_ns};

#[test]
fn a_pinned_thread_is_on_its_processor() {
    std::thread::spawn(|| {
        let all = count();
        assert!(all >= 1);
        let cpu = current();
        pin(cpu).unwrap();
        assert_eq!((count(), current()), (1, cpu));
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
