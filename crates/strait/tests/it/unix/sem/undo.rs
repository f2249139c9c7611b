//! What the kernel takes back when a process ends.

use strait::unix::sem::{down, up};

use super::Own;
use crate::world::until;

#[test]
fn a_killed_process_gives_back_what_it_took_with_undo() {
    let set = Own::of(&[5, 0]);
    let mut worker = set.worker();
    assert_eq!(worker.ask("op 0:-2u 1:+1u 0:-1"), "true");
    assert_eq!(worker.ask("op 0:-1u"), "true");
    assert_eq!(set.values().unwrap(), [1, 1]);
    let mut waiter = set.worker();
    waiter.tell("op 0:-4");
    set.waited_for(0, 1, 0);
    worker.kill();
    // Whoever waits for what comes back is woken. What was taken without undo stays taken.
    assert_eq!(waiter.hear().unwrap(), "true");
    assert_eq!(set.values().unwrap(), [0, 0]);
    let last = set.semaphore(1).unwrap().last;
    assert_eq!(last, Some(worker.child.id()), "the dead one was the last");
}

#[test]
fn a_held_unit_comes_back_once() {
    let set = Own::of(&[3]);
    let mut worker = set.worker();
    for _ in 0..3 {
        assert_eq!(worker.ask("hold"), "true");
    }
    assert!(set.try_hold(0).unwrap().is_none());
    assert_eq!(worker.ask("drop"), "true");
    assert_eq!(worker.ask("release"), "true");
    assert_eq!(set.value(0).unwrap(), 2);
    worker.kill();
    assert_eq!(set.value(0).unwrap(), 3, "one was still held");
    {
        let _unit = set.hold(0).unwrap();
        assert_eq!(set.value(0).unwrap(), 2);
    }
    assert_eq!(set.value(0).unwrap(), 3);
}

#[test]
fn setting_a_value_forgets_what_would_be_undone() {
    let set = Own::of(&[5, 5]);
    let mut worker = set.worker();
    assert_eq!(worker.ask("op 0:-2u 1:-2u"), "true");
    set.set_value(0, 1).unwrap();
    worker.kill();
    assert_eq!(set.values().unwrap(), [1, 5]);
    let mut worker = set.worker();
    assert_eq!(worker.ask("op 0:-1u 1:-1u"), "true");
    set.set_values(&[7, 7]).unwrap();
    worker.kill();
    assert_eq!(set.values().unwrap(), [7, 7]);
}

#[test]
fn an_undo_does_not_go_below_zero() {
    let set = Own::of(&[0]);
    let mut worker = set.worker();
    assert_eq!(worker.ask("op 0:+5u"), "true");
    set.op(&[down(0).by(3)]).unwrap();
    worker.kill();
    assert_eq!(set.value(0).unwrap(), 0);
    set.op(&[up(0)]).unwrap();
    assert_eq!(set.value(0).unwrap(), 1, "what was left over is forgotten");
}

#[test]
fn threads_share_what_will_be_undone() {
    let set = Own::of(&[5]);
    let mut worker = set.worker();
    assert_eq!(worker.ask("thread 0:-2u"), "true");
    assert_eq!(set.value(0).unwrap(), 3, "a thread's end undoes nothing");
    assert_eq!(worker.ask("op 0:+1u"), "true");
    worker.kill();
    assert_eq!(set.value(0).unwrap(), 5);
}

#[test]
fn a_program_takes_on_what_the_one_before_it_held() {
    let set = Own::of(&[5]);
    let mut worker = set.worker();
    assert_eq!(worker.ask("op 0:-2u"), "true");
    worker.tell("exec");
    let command = format!("/proc/{}/comm", worker.child.id());
    until("it is another program", || {
        std::fs::read_to_string(&command).is_ok_and(|name| name == "cat\n")
    });
    assert_eq!(worker.ask("@still here"), "still here");
    assert_eq!(set.value(0).unwrap(), 3);
    assert!(worker.finish().success());
    assert_eq!(set.value(0).unwrap(), 5);
}
