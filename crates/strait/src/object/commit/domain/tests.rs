//! Tests of seats within one process.

use super::*;
use crate::object::commit::seat;
use crate::object::space::Namespace;

/// A look without a time-out has no second chance to see that an owner is dead.
#[test]
fn who_tries_a_seat_does_not_bring_its_last_sitter_to_life() {
    let space = Namespace::temporary().unwrap();
    for domain in [space.domain().unwrap(), Domain::private().unwrap()] {
        let theirs = domain.clone();
        let thread = std::thread::spawn(move || seat::seat(&theirs).unwrap());
        let left = thread.join().unwrap();
        assert!(domain.is_dead(left.token));
        let locks = domain.locks().unwrap();
        // What taking it begins with. Another test's thread may be faster, and has it then.
        let mine = locks.claimed.set(left.slot);
        assert!(domain.is_dead(left.token));
        if mine {
            locks.claimed.clear(left.slot);
        }
        let here = seat::seat(&domain).unwrap();
        assert!(!domain.is_dead(here.token));
    }
}
