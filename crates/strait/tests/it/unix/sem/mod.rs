//! System V semaphores: operations between real processes, and what is left when one dies.

mod birth;
mod errors;
mod ops;
mod undo;
mod waits;

use std::ops::Deref;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use strait::unix::ipc::Key;
use strait::unix::sem::{self, Op, Set};

use crate::peer::{Peer, Role, say, told};
use crate::world::GUARD;

/// The processes these tests start.
pub(crate) const ROLES: &[(&str, Role)] = &[
    ("sem.worker", worker),
    ("sem.mover", ops::mover),
    ("sem.racer", birth::racer),
    ("sem.stranger", errors::stranger),
    ("sem.crowded", errors::crowded),
];

/// A set that is removed with the value.
struct Own(Set);

impl Own {
    /// A set without a key, with these values.
    fn of(values: &[u16]) -> Self {
        let set = Set::create(Key::PRIVATE, u16::try_from(values.len()).unwrap(), 0o600);
        let own = Self(set.unwrap());
        own.set_values(values).unwrap();
        own
    }

    fn worker(&self) -> Peer {
        let mut peer = Peer::start("sem.worker", &[&self.id().to_string()]);
        assert_eq!(peer.hear().as_deref(), Some("here"));
        peer
    }

    /// Waits until so many calls wait for units of the semaphore, and for its zero.
    #[track_caller]
    fn waited_for(&self, number: u16, takers: u32, zero_waiters: u32) {
        crate::world::until("so many calls wait", || {
            let found = self.semaphore(number).unwrap();
            (found.takers, found.zero_waiters) == (takers, zero_waiters)
        });
    }
}

impl Deref for Own {
    type Target = Set;

    fn deref(&self) -> &Set {
        &self.0
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // A test may have removed it.
        let _ = self.0.remove();
    }
}

/// A key of this test alone.
fn key(number: u32) -> Key {
    Key::new(0x7351_0000 ^ std::process::id() << 4 ^ number)
}

/// `N:+K`, `N:-K` or `N:0`, with `u` for undo.
fn read_op(text: &str) -> Op {
    let (number, change) = text.split_once(':').unwrap();
    let number = number.parse().unwrap();
    let (change, undo) = match change.strip_suffix('u') {
        Some(change) => (change, true),
        None => (change, false),
    };
    let op = match change.split_at(1) {
        ("+", units) => sem::up(number).by(units.parse().unwrap()),
        ("-", units) => sem::down(number).by(units.parse().unwrap()),
        _ => sem::zero(number),
    };
    if undo { op.undo() } else { op }
}

/// Does on a set what it is told: `op`, `try`, `for`, `thread` with operations; `hold N`; `exec`.
fn worker(args: &[String]) {
    let set = Set::from_id(args[0].parse().unwrap()).unwrap();
    let mut held = Vec::new();
    say("here");
    while let Some(line) = told() {
        let mut words = line.split(' ');
        let verb = words.next().unwrap();
        let ops: Vec<Op> = words.map(read_op).collect();
        let done = match verb {
            "op" => set.op(&ops).map(|()| true),
            "thread" => std::thread::spawn(move || set.op(&ops).map(|()| true))
                .join()
                .unwrap(),
            "try" => set.try_op(&ops),
            "for" => set.op_for(&ops, GUARD),
            "brief" => set.op_for(&ops, Duration::from_millis(1)),
            "hold" => set.hold(0).map(|unit| held.push(unit)).map(|()| true),
            "release" => held.pop().unwrap().release().map(|()| true),
            "drop" => Ok(held.pop().is_some()),
            "exec" => panic!("exec: {}", Command::new("cat").exec()),
            other => panic!("{other}"),
        };
        match done {
            Ok(done) => say(done),
            Err(error) => say(format!("{:?}: {error}", error.kind())),
        }
    }
}
