//! Tests of [`crate::cell`].

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

use super::{sealed_file, shared};
use crate::cell::{Scalar, Word};
use crate::map::{Access, Map};
use std::os::fd::AsFd;

#[test]
fn the_operations_are_those_of_std() {
    let map = Map::private(64).unwrap();
    let word: Word<'_, i64> = map.word(8).unwrap();
    word.store(5, Release);
    assert_eq!(word.swap(-7, AcqRel), 5);
    assert_eq!(word.compare_exchange(1, 2, AcqRel, Acquire), Err(-7));
    assert_eq!(word.compare_exchange(-7, 2, SeqCst, Relaxed), Ok(-7));
    assert_eq!(word.fetch_add(i64::MAX, Relaxed), 2);
    assert_eq!(word.fetch_sub(1, Relaxed), i64::MIN + 1, "it wraps");
    word.store(0b0110, SeqCst);
    assert_eq!(word.fetch_or(0b1001, Relaxed), 0b0110);
    assert_eq!(word.fetch_and(0b1010, Relaxed), 0b1111);
    assert_eq!(word.load(SeqCst), 0b1010);
    assert_eq!(
        map.look::<i64>(0).unwrap().load(Acquire),
        0,
        "its neighbour is untouched"
    );
}

#[test]
fn the_halves_of_a_wide_word() {
    let map = Map::private(64).unwrap();
    let word = map.word::<u64>(0).unwrap();
    word.store(0x1111_2222_3333_4444, Relaxed);
    assert_eq!(word.low().load(Relaxed), 0x3333_4444);
    assert_eq!(word.high().load(Relaxed), 0x1111_2222);
    word.low().store(9, Relaxed);
    assert_eq!(word.look().load(Acquire), 0x1111_2222_0000_0009);
    assert_eq!(word.look().low().load(SeqCst), 9);
}

#[test]
fn read_only_memory_is_loaded_with_every_ordering() {
    fn check<T: Scalar + From<u8> + PartialEq + core::fmt::Debug>() {
        let fd = sealed_file(4096);
        let writer = shared(&fd, 4096);
        let map = Map::shared(fd.as_fd(), 0, 4096, Access::Read).unwrap();
        writer.word::<T>(16).unwrap().store(T::from(7), Release);
        let word = map.look::<T>(16).unwrap();
        for order in [Relaxed, Acquire, SeqCst] {
            assert_eq!(word.load(order), T::from(7));
        }
    }
    check::<u32>();
    check::<u64>();
    check::<i32>();
    check::<i64>();
}

#[test]
#[should_panic(expected = "release")]
fn a_load_cannot_release() {
    let map = Map::private(8).unwrap();
    let _ = map.look::<u32>(0).unwrap().load(Release);
}

#[test]
fn no_addition_is_lost_between_maps_and_threads() {
    let fd = sealed_file(4096);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let map = shared(&fd, 4096);
                let word = map.word::<u32>(4).unwrap();
                for _ in 0..10_000 {
                    word.fetch_add(1, Relaxed);
                }
            });
        }
    });
    assert_eq!(
        shared(&fd, 4096).look::<u32>(4).unwrap().load(Relaxed),
        40_000
    );
}
