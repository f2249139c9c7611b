//! Collecting while others make namespaces.

use std::sync::atomic::{AtomicBool, Ordering};

use strait::Namespace;

#[test]
fn a_collector_takes_no_namespace_from_its_maker() {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // What it finds is for others to say; it must not disturb.
                drop(Namespace::local().unwrap().collect());
            }
        });
        for _ in 0..4_000 {
            let space = Namespace::temporary().unwrap();
            assert!(space.path().exists());
            drop(space.event("e").create().unwrap());
        }
        done.store(true, Ordering::Relaxed);
    });
}
