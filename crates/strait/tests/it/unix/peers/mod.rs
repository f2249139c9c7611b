//! Other people's programs as the other party. `cargo xtask peers` installs them; where one is
//! missing, its tests say so and are left out.

mod languages;
mod postgres;
mod stress;
mod tools;

use std::sync::atomic::{AtomicU32, Ordering};

use strait::unix::ipc::Key;
use strait::unix::msg::Queue;
use strait::unix::sem::Set;
use strait::unix::shm::Segment;

use crate::peer::Role;

/// The processes these tests start.
pub(crate) const ROLES: &[(&str, Role)] = &[
    ("peers.beside", stress::beside),
    ("peers.partner", stress::partner),
];

/// Why a test without this program is left out; `None`: it is on the PATH.
fn lacking(programs: &[&str]) -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &str| std::env::split_paths(&path).any(|at| at.join(name).is_file());
    let missing = programs.iter().find(|name| !is_there(name))?;
    Some(format!(
        "no {missing} here (`cargo xtask peers` installs it)"
    ))
}

/// A key of one test alone. Whatever has it goes with the value.
struct Swept(Key);

impl Swept {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(next < 16);
        Self(Key::new(0x6400_0000 ^ std::process::id() << 4 ^ next))
    }
}

impl Drop for Swept {
    fn drop(&mut self) {
        // A test leaves at most one of them.
        let _ = Queue::open(self.0).and_then(|queue| queue.remove());
        let _ = Set::open(self.0).and_then(|set| set.remove());
        let _ = Segment::open(self.0).and_then(|segment| segment.remove());
    }
}
