//! Seats whose sitters died between a decision and its end.

use strait::nt::Semaphore;
use strait::{Namespace, wait};

use crate::peer::{Peer, command};

/// Takes both semaphores, or dies on the way.
pub(crate) fn taker(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let open = |name| -> Semaphore { space.semaphore(name, 0, 1).open().unwrap() };
    wait::all(&[&open("one"), &open("two")]).unwrap();
}

#[test]
fn a_retired_seat_is_given_out_again_once_its_marks_are_gone() {
    let space = Namespace::temporary().unwrap();
    let one = space.semaphore("one", 1, 1).create().unwrap();
    let two = space.semaphore("two", 1, 1).create().unwrap();
    let path = space.path().to_str().unwrap();
    for (point, seats) in [("all.committed", 1), ("all.marked", 0)] {
        let mut taker = command("seats.taker", &[path]);
        taker.env("STRAIT_KILL", format!("{point}:1:KILL"));
        assert!(!Peer::of(&mut taker).finish().success());
        assert_eq!(space.collect().unwrap().seats, seats, "killed at {point}");
        assert_eq!(space.collect().unwrap().seats, 0);
        // What was decided holds, and what was not leaves nothing behind.
        let left = u32::from(seats == 0);
        assert_eq!(one.query().unwrap().count, left, "killed at {point}");
        assert_eq!(two.query().unwrap().count, left, "killed at {point}");
        if left == 0 {
            one.release(1).unwrap();
            two.release(1).unwrap();
        }
    }
}
