//! Tests of [`crate::futex`].

use core::sync::atomic::Ordering::{Acquire, Relaxed};
use core::time::Duration;
use std::os::fd::AsFd;
use std::sync::mpsc;

use rustix::fs::ftruncate;

use super::{Role, loose_file, peer_file, sealed_file, shared, sleeps_in, soon, this_test};
use crate::Errno;
use crate::cell::{ReadOnly, Word};
use crate::futex::{SLEEPS_MAX, Sleep, wait, waitv, waitv_works, wake, wake_op_or};
use crate::map::{Access, Map};
use crate::time::Deadline;

fn short() -> Option<Deadline> {
    Some(Deadline::after(Duration::from_millis(20)))
}

fn long() -> Option<Deadline> {
    Some(Deadline::after(Duration::from_secs(20)))
}

fn sleep(word: Word<'_, u32, ReadOnly>, expected: u32) -> Sleep<'_> {
    Sleep { word, expected }
}

#[test]
fn a_wait_ends_for_its_reason() {
    let map = Map::private(64).unwrap();
    let word = map.word::<u32>(0).unwrap();
    assert_eq!(wait(word, 1, None), Err(Errno::AGAIN));
    let deadline = short();
    assert_eq!(wait(word, 0, deadline), Err(Errno::TIMEDOUT));
    assert!(deadline.unwrap().passed());
    assert_eq!(
        wait(word.look(), 0, Some(Deadline::from_ns(0))),
        Err(Errno::TIMEDOUT)
    );
    assert_eq!(
        wait(word, 0, Some(Deadline::from_ns(1))),
        Err(Errno::TIMEDOUT)
    );
    assert_eq!(wake(word, 1), Ok(0));
}

/// Starts threads that sleep on the words, lets `wakes` run when all sleep, and tells
/// which of the sleepers were woken within the time (the others time out).
fn who_wakes(words: &[Word<'_, u32>], wakes: impl FnOnce()) -> Vec<bool> {
    std::thread::scope(|scope| {
        let (ids, started) = mpsc::channel();
        let sleepers: Vec<_> = words
            .iter()
            .map(|word| {
                let ids = ids.clone();
                scope.spawn(move || {
                    ids.send(super::thread_id()).unwrap();
                    let until = Deadline::after(Duration::from_millis(600));
                    wait(*word, word.load(Relaxed), Some(until)).is_ok()
                })
            })
            .collect();
        for _ in words {
            let thread = started.recv().unwrap();
            assert!(soon(|| sleeps_in(thread, libc::SYS_futex)));
        }
        wakes();
        sleepers
            .into_iter()
            .map(|sleeper| sleeper.join().unwrap())
            .collect()
    })
}

#[test]
fn a_wake_wakes_as_many_as_it_says() {
    let map = shared(&sealed_file(4096), 4096);
    let word = map.word::<u32>(4).unwrap();
    let woken = who_wakes(&[word; 3], || assert_eq!(wake(word, 2), Ok(2)));
    assert_eq!(woken.iter().filter(|woken| **woken).count(), 2);
    let woken = who_wakes(&[word; 3], || {
        assert_eq!(wake(word.look(), u32::MAX), Ok(3))
    });
    assert_eq!(woken, [true; 3]);
}

#[test]
fn the_decision_and_the_wake_up_are_one() {
    let map = shared(&sealed_file(4096), 4096);
    let word = map.word::<u32>(0).unwrap();
    let decision = map.word::<u32>(128).unwrap();
    decision.store(0b0100, Relaxed);
    let woken = who_wakes(&[word, word, decision], || {
        wake_op_or(word, decision, 0b0011).unwrap();
    });
    assert_eq!(
        woken,
        [true, true, false],
        "the decision's sleeper sleeps on"
    );
    assert_eq!(decision.load(Acquire), 0b0111);
    assert_eq!(word.load(Acquire), 0, "the word is not changed");
}

#[test]
fn the_bits_that_a_decision_can_set() {
    let map = Map::private(64).unwrap();
    let (word, decision) = (map.word::<u32>(0).unwrap(), map.word::<u32>(4).unwrap());
    let single = (0..32).map(|bit| 1 << bit);
    let negative = (0..12).map(|bit| u32::MAX << bit);
    for or in single.chain(negative).chain([0, 3, 0x7ff, 0xffff_fabc]) {
        decision.store(1 << 20, Relaxed);
        assert_eq!(wake_op_or(word, decision, or), Ok(()), "{or:#x}");
        assert_eq!(decision.load(Relaxed), 1 << 20 | or, "{or:#x}");
    }
    for or in [0x801, 0xc00, 0x8000_0001, 0xffff_f000, 0x0fff_ffff] {
        decision.store(0, Relaxed);
        assert_eq!(wake_op_or(word, decision, or), Err(Errno::INVAL), "{or:#x}");
        assert_eq!(decision.load(Relaxed), 0);
    }
}

#[test]
fn processes_meet_on_a_word_one_of_them_may_only_read() {
    if Role::mine().is_some() {
        let fd = peer_file();
        let map = Map::shared(fd.as_fd(), 0, 4096, Access::Read).unwrap();
        let word = map.look::<u32>(64).unwrap();
        // The parent sleeps on its own map of the word beside.
        let beside = map.look::<u32>(68).unwrap();
        assert!(soon(|| wake(beside, 1) == Ok(1)));
        while word.load(Acquire) == 0 {
            assert_ne!(wait(word, 0, long()), Err(Errno::TIMEDOUT));
        }
        return;
    }
    let fd = sealed_file(4096);
    let map = shared(&fd, 4096);
    let peer = Role::new(this_test!(), "peer").file(&fd).start();
    assert_eq!(wait(map.word::<u32>(68).unwrap(), 0, long()), Ok(()));
    let word = map.word::<u32>(64).unwrap();
    // sleep: lets the other party block first; right also if it does not.
    std::thread::sleep(Duration::from_millis(20));
    word.store(1, Relaxed);
    wake(word, u32::MAX).unwrap();
    assert!(peer.wait_with_output().unwrap().status.success());
}

#[test]
fn a_wait_on_a_lost_page_fails_and_breaks_the_map() {
    let fd = loose_file(4096);
    let maps: Vec<Map> = (0..4).map(|_| shared(&fd, 4096)).collect();
    ftruncate(&fd, 0).unwrap();
    let word = |index: usize| maps[index].word::<u32>(0).unwrap();
    assert_eq!(wait(word(0), 0, short()), Err(Errno::FAULT));
    assert_eq!(wake(word(1), 1), Err(Errno::FAULT));
    let fine = Map::private(64).unwrap();
    let beside = fine.word::<u32>(0).unwrap();
    assert_eq!(wake_op_or(beside, word(2), 1), Err(Errno::FAULT));
    assert!(maps[..3].iter().all(Map::is_broken));
    if waitv_works() {
        let sleeps = [sleep(beside.look(), 0), sleep(word(3).look(), 0)];
        assert_eq!(waitv(&sleeps, short()), Err(Errno::FAULT));
        assert!(maps[3].is_broken());
    }
    assert_eq!(
        wait(word(0), 0, short()),
        Err(Errno::TIMEDOUT),
        "a page of our own"
    );
}

#[test]
fn several_words_at_once() {
    if !waitv_works() {
        return;
    }
    let map = shared(&sealed_file(4096), 4096);
    let words: Vec<_> = (0..SLEEPS_MAX)
        .map(|at| map.word::<u32>(at * 8).unwrap())
        .collect();
    let sleeps: Vec<_> = words.iter().map(|word| sleep(word.look(), 0)).collect();
    assert_eq!(waitv(&sleeps, short()), Err(Errno::TIMEDOUT));
    assert_eq!(waitv(&[], short()), Err(Errno::INVAL));
    let mut more = sleeps.clone();
    more.push(sleep(words[0].look(), 0));
    assert_eq!(waitv(&more, short()), Err(Errno::INVAL));
    more.truncate(3);
    more[2].expected = 1;
    assert_eq!(waitv(&more, short()), Err(Errno::AGAIN));
    for woken in [0, 77, SLEEPS_MAX - 1] {
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| waitv(&sleeps, long()));
            assert!(soon(|| wake(words[woken], 1) == Ok(1)));
            assert_eq!(sleeper.join().unwrap(), Ok(woken));
        });
    }
}
