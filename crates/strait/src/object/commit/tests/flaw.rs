//! Defects that a test seeds into the code under test, on its own thread.

use std::cell::Cell;

thread_local! {
    static SEEDED: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Whether this defect is seeded.
pub(crate) fn flaw(name: &str) -> bool {
    SEEDED.get() == Some(name)
}

/// Runs `body` with a defect seeded.
pub(crate) fn seeded<T>(name: &'static str, body: impl FnOnce() -> T) -> T {
    struct Heal;
    impl Drop for Heal {
        fn drop(&mut self) {
            SEEDED.set(None);
        }
    }
    SEEDED.set(Some(name));
    let _heal = Heal;
    body()
}
