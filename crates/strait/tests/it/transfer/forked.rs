//! fork without exec: children that do not call us, children that do, and theirs.

use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};
use strait::nt::{Event, Mutant, Reset};
use strait::{ErrorKind, Namespace, wait};
use strait_sys::fork;

use super::path;
use crate::peer::{Peer, say, told};
use crate::world::{GUARD, alone, objects_in, refused, until};

fn fork(child: impl FnOnce()) -> Pid {
    let run = || {
        child();
        0
    };
    fork::run_child(run).expect("one thread")
}

#[track_caller]
fn went_well(child: Pid) {
    let ended = waitpid(Some(child), WaitOptions::empty()).unwrap();
    let status = ended.unwrap().1;
    assert_eq!(status.exit_status(), Some(0), "{status:?}");
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

// ---- a child that does not call us ---------------------------------------------------------

/// Has a child that never calls us and outlives it.
pub(crate) fn silent(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let event = space.event("kept").set().create().unwrap();
    let mutant = space.mutant("owned").owned().create().unwrap();
    let guard = mutant.acquire().unwrap();
    let child = fork(|| {
        // Until the test closes our input.
        let stdin = std::io::stdin();
        while rustix::io::read(&stdin, &mut [0; 16]).is_ok_and(|read| read > 0) {}
    });
    say(number(child));
    told();
    drop((event, guard));
}

#[test]
fn a_silent_child_keeps_objects_but_not_its_parents_mutants() {
    let space = Namespace::temporary().unwrap();
    let mut parent = Peer::start("transfer.silent", &[path(&space)]);
    let child: i32 = parent.hear().unwrap().parse().unwrap();
    let child = Pid::from_raw(child).unwrap();
    let mutant = space.mutant("owned").open().unwrap();
    assert_eq!(mutant.query().unwrap().depth, 2);
    assert!(mutant.try_acquire().unwrap().is_none());
    parent.kill();
    assert!(
        rustix::process::test_kill_process(child).is_ok(),
        "the child lives"
    );
    // The owner is dead, whatever its child still holds.
    let guard = mutant.acquire_for(GUARD).unwrap().unwrap();
    assert!(guard.abandoned());
    drop(guard);
    assert!(!mutant.acquire().unwrap().abandoned(), "reported once");
    drop(mutant);
    assert!(space.event("kept").open().unwrap().query().unwrap().set);
    assert!(space.mutant("owned").open().is_ok());
    kill_process(child, Signal::KILL).unwrap();
    until("the last process is gone", || {
        space.event("kept").open().is_err() && space.mutant("owned").open().is_err()
    });
}

// ---- a child that calls us -----------------------------------------------------------------

#[test]
fn a_child_is_somebody_else() {
    alone("transfer::forked::a_child_is_somebody_else", || {
        let space = Namespace::temporary().unwrap();
        let mine = space.mutant("mine").owned().create().unwrap();
        let free = space.mutant("free").create().unwrap();
        let left = space.mutant("left").create().unwrap();
        let go = space.event("go").create().unwrap();
        let private = Event::options().create().unwrap();
        let parent = getpid();
        let child = fork(|| {
            let state = mine.query().unwrap();
            assert!(!state.owned_by_caller && !state.abandoned);
            assert_eq!(state.owner.unwrap().0, number(parent));
            assert!(mine.try_acquire().unwrap().is_none());
            refused(mine.release(), ErrorKind::NotOwner);
            let guard = free.acquire().unwrap();
            assert_eq!(free.query().unwrap().owner.unwrap().0, number(getpid()));
            assert!(free.query().unwrap().owned_by_caller);
            drop(guard);
            std::mem::forget(left.acquire().unwrap());
            // Ours is a copy.
            assert!(!private.set().unwrap());
            go.set().unwrap();
            assert!(mine.acquire_for(GUARD).unwrap().is_some());
        });
        assert!(go.wait_for(GUARD).unwrap());
        assert!(mine.query().unwrap().owned_by_caller);
        assert_eq!(mine.release().unwrap(), 1);
        went_well(child);
        assert!(left.acquire_for(GUARD).unwrap().unwrap().abandoned());
        assert!(!private.query().unwrap().set);
        assert!(!mine.acquire_for(GUARD).unwrap().unwrap().abandoned());
    });
}

#[test]
fn parent_and_child_go_on_at_once() {
    const ROUNDS: u32 = 20_000;
    alone("transfer::forked::parent_and_child_go_on_at_once", || {
        let space = Namespace::temporary().unwrap();
        let (ping, pong) = (space.event("ping").create(), space.event("pong").create());
        let (ping, pong) = (ping.unwrap(), pong.unwrap());
        let units = space.semaphore("units", 3, 3).create().unwrap();
        let lock = space.mutant("lock").create().unwrap();
        let count = space.section("count", 8).create().unwrap();
        let view = count.map::<strait::nt::Write>().unwrap();
        let work = || {
            for _ in 0..ROUNDS / 4 {
                let won = wait::all_for(&[&units, &lock], GUARD).unwrap();
                assert!(won.unwrap().abandoned.is_empty());
                // Not atomic, but guarded.
                let word = view.word::<u64>(0).unwrap();
                let order = std::sync::atomic::Ordering::Relaxed;
                word.store(word.load(order) + 1, order);
                assert_eq!(lock.release().unwrap(), 1);
                units.release(1).unwrap();
            }
        };
        // Seated before the fork: the child must not go on with its parent's seat.
        work();
        let child = fork(|| {
            for _ in 0..ROUNDS {
                assert!(ping.wait_for(GUARD).unwrap());
                pong.set().unwrap();
            }
            work();
        });
        for _ in 0..ROUNDS {
            ping.set().unwrap();
            assert!(pong.wait_for(GUARD).unwrap());
        }
        work();
        went_well(child);
        let mut bytes = [0; 8];
        view.read(0, &mut bytes).unwrap();
        assert_eq!(u64::from_le_bytes(bytes), u64::from(ROUNDS / 4) * 3);
        assert_eq!(units.query().unwrap().count, 3);
    });
}

#[test]
fn a_set_is_its_makers() {
    alone("transfer::forked::a_set_is_its_makers", || {
        let space = Namespace::temporary().unwrap();
        let (event, other) = (space.event("e").create(), Event::options().create());
        let (event, other) = (event.unwrap(), other.unwrap());
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let mut kept = Some(wait::Set::new().unwrap());
        let set = kept.as_ref().unwrap();
        let keys = [
            set.add(&event).unwrap(),
            set.add(&other).unwrap(),
            set.add(&wait::readable(&reader)).unwrap(),
        ];
        let child = fork(|| {
            let set = kept.take().unwrap();
            let refused_here =
                |error: strait::Error| assert_eq!(error.kind(), ErrorKind::Unsupported);
            refused_here(set.wait_for(Duration::ZERO).unwrap_err());
            refused_here(set.wait().unwrap_err());
            refused_here(set.add(&event).unwrap_err());
            for key in keys {
                assert!(
                    !set.remove(key),
                    "it would be removed from the parent's set"
                );
            }
            drop(set);
            // One of its own is not.
            let own = wait::Set::new().unwrap();
            let key = own.add(&event).unwrap();
            event.set().unwrap();
            assert_eq!(own.wait_for(GUARD).unwrap().unwrap().key, key);
        });
        went_well(child);
        // Nothing that the child did has changed the parent's.
        let set = kept.unwrap();
        event.set().unwrap();
        assert_eq!(set.wait_for(GUARD).unwrap().unwrap().key, keys[0]);
        other.set().unwrap();
        assert_eq!(set.wait_for(GUARD).unwrap().unwrap().key, keys[1]);
        rustix::io::write(&writer, b"x").unwrap();
        assert_eq!(set.wait_for(GUARD).unwrap().unwrap().key, keys[2]);
    });
}

/// A foreign event loop has nothing but the set's descriptor: it must be rung after a child's end.
#[test]
fn a_childs_end_leaves_the_bells_of_its_parent() {
    alone(
        "transfer::forked::a_childs_end_leaves_the_bells_of_its_parent",
        || {
            let space = Namespace::temporary().unwrap();
            let event = space.event("e").create().unwrap();
            let set = wait::Set::new().unwrap();
            set.add(&event).unwrap();
            let mut kept = Some(set);
            went_well(fork(|| drop(kept.take())));
            let set = kept.unwrap();
            // From another process, so that nothing here is nudged.
            went_well(fork(|| assert!(!event.set().unwrap())));
            let mut fds = [rustix::event::PollFd::new(
                &set,
                rustix::event::PollFlags::IN,
            )];
            let guard = rustix::event::Timespec {
                tv_sec: 20,
                tv_nsec: 0,
            };
            assert_eq!(rustix::event::poll(&mut fds, Some(&guard)).unwrap(), 1);
        },
    );
}

#[test]
fn a_child_that_closes_takes_nothing_from_its_parent() {
    alone(
        "transfer::forked::a_child_that_closes_takes_nothing_from_its_parent",
        || {
            let space = Namespace::temporary().unwrap();
            let event = space.event("e").create().unwrap();
            let section = space.section("s", 1).create().unwrap();
            let place = space.path().to_path_buf();
            let mut kept = Some((event, section, space));
            went_well(fork(|| drop(kept.take())));
            assert!(place.exists(), "the namespace is its maker's");
            assert_eq!(objects_in(&place), 2);
            let (_, _, space) = kept.as_ref().unwrap();
            assert!(space.event("e").open().is_ok() && space.section("s", 0).open().is_ok());
            let event = space.event("own").create().unwrap();
            // The child alone has it.
            let (go, gone) = (space.event("go").create(), space.event("gone").create());
            let (go, gone) = (go.unwrap(), gone.unwrap());
            let mut event = Some(event);
            let child = fork(|| {
                assert!(go.wait_for(GUARD).unwrap());
                drop(event.take());
                gone.set().unwrap();
            });
            drop(event.take());
            assert!(space.event("own").open().is_ok());
            go.set().unwrap();
            assert!(gone.wait_for(GUARD).unwrap());
            refused(space.event("own").open(), ErrorKind::NotFound);
            went_well(child);
            drop((go, gone, kept));
            assert!(!place.exists());
        },
    );
}

// ---- grandchildren -------------------------------------------------------------------------

/// Each generation owns a mutant, has a child while it waits, and dies owning it.
fn generation(space: &Namespace, left: u32, mutants: &[Mutant]) {
    let Some((mine, rest)) = mutants.split_first() else {
        return;
    };
    std::mem::forget(mine.acquire_for(GUARD).unwrap().unwrap());
    went_well(fork(|| generation(space, left - 1, rest)));
    // The dead child's, and nobody else's.
    if let Some(theirs) = rest.first() {
        assert!(theirs.acquire_for(GUARD).unwrap().unwrap().abandoned());
    }
    assert!(mine.query().unwrap().owned_by_caller);
    let done = space.semaphore("done", 0, 100).open().unwrap();
    assert_eq!(
        done.query().unwrap().count,
        u32::try_from(rest.len()).unwrap()
    );
    done.release(1).unwrap();
}

#[test]
fn ten_generations_have_an_identity_each() {
    alone(
        "transfer::forked::ten_generations_have_an_identity_each",
        || {
            let space = Namespace::temporary().unwrap();
            let done = space.semaphore("done", 0, 100).create().unwrap();
            let mutants: Vec<Mutant> = (0..10)
                .map(|index| space.mutant(format!("m{index}")).create().unwrap())
                .collect();
            went_well(fork(|| generation(&space, 10, &mutants)));
            assert_eq!(done.query().unwrap().count, 10);
            assert!(mutants[0].acquire_for(GUARD).unwrap().unwrap().abandoned());
        },
    );
}

fn deeper(event: &Event, depth: u32, refused_at: &Event) {
    match event.wait_for(Duration::from_millis(1)) {
        Ok(taken) => assert!(!taken && depth < 40, "no limit at {depth}"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
            assert!(error.to_string().contains("fork"), "{error}");
            refused_at.set().unwrap();
            return;
        }
    }
    went_well(fork(|| deeper(event, depth + 1, refused_at)));
}

#[test]
fn forking_too_deep_is_refused_and_not_misled() {
    alone(
        "transfer::forked::forking_too_deep_is_refused_and_not_misled",
        || {
            let space = Namespace::temporary().unwrap();
            let event = space.event("e").create().unwrap();
            let refused_at = space.event("r").reset(Reset::Manual).create().unwrap();
            deeper(&event, 0, &refused_at);
            assert!(refused_at.wait_for(Duration::ZERO).unwrap());
            // Here nothing has changed.
            event.set().unwrap();
            assert!(event.wait_for(Duration::ZERO).unwrap());
        },
    );
}

#[test]
fn a_grandchild_outlives_the_child_between() {
    alone(
        "transfer::forked::a_grandchild_outlives_the_child_between",
        || {
            let space = Namespace::temporary().unwrap();
            let (up, down) = (space.event("up").create(), space.event("down").create());
            let (up, down) = (up.unwrap(), down.unwrap());
            let between = space.mutant("between").create().unwrap();
            let child = fork(|| {
                std::mem::forget(between.acquire().unwrap());
                fork(|| {
                    assert!(down.wait_for(GUARD).unwrap());
                    // Its parent's is as foreign to it as to anybody.
                    assert!(between.acquire_for(GUARD).unwrap().unwrap().abandoned());
                    up.set().unwrap();
                });
            });
            went_well(child);
            down.set().unwrap();
            assert!(up.wait_for(GUARD).unwrap());
            until("the grandchild gives it back or dies", || {
                between.try_acquire().unwrap().is_some()
            });
        },
    );
}
