//! Tests of [`crate::slots`].

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::slots::Table;

#[test]
fn a_slot_has_one_holder_at_a_time() {
    static TABLE: Table<AtomicU32> = Table::new();
    std::thread::scope(|scope| {
        for thread in 1..=4 {
            scope.spawn(move || {
                for _ in 0..5_000 {
                    let held: Vec<_> = (0..3).map(|_| TABLE.take().unwrap()).collect();
                    for slot in &held {
                        let before = slot.value.swap(thread, Relaxed);
                        assert_eq!(before, 0, "held by two");
                    }
                    for slot in held {
                        assert_eq!(slot.value.swap(0, Relaxed), thread);
                        TABLE.give(slot);
                    }
                }
            });
        }
    });
    assert!(TABLE.each().count() <= 12, "slots are used again");
}

#[test]
fn a_walk_sees_every_slot_once_across_chunks() {
    static TABLE: Table<AtomicU32> = Table::new();
    assert_eq!(TABLE.each().count(), 0);
    let held: Vec<_> = (1..=1_000)
        .map(|number| {
            let slot = TABLE.take().unwrap();
            slot.value.store(number, Relaxed);
            slot
        })
        .collect();
    let places: HashSet<_> = held
        .iter()
        .map(|slot| core::ptr::from_ref(slot.value))
        .collect();
    assert_eq!(places.len(), 1_000);
    let seen: HashSet<u32> = TABLE.each().map(|value| value.load(Relaxed)).collect();
    assert!((1..=1_000).all(|number| seen.contains(&number)));
    assert_eq!(TABLE.each().count(), 1_000);
}
