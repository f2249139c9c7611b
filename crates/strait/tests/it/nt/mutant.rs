//! Mutants: recursion, ownership by a thread, and abandonment, reported once.

use rustix::process::{WaitOptions, waitpid};
use strait_sys::fork;

use super::*;

#[test]
fn mutants_are_their_threads() {
    both(|space| {
        let mutant = mutant(space);
        not_owner(mutant.release());
        let guards = [(); 3].map(|()| mutant.acquire().unwrap());
        let state = mutant.query().unwrap();
        assert_eq!((state.depth, state.owned_by_caller), (3, true));
        let me = (std::process::id(), rustix::thread::gettid());
        let me = (me.0, me.1.as_raw_nonzero().get().unsigned_abs());
        assert_eq!(state.owner, Some(me));
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let state = mutant.query().unwrap();
                assert!(!state.owned_by_caller && state.depth == 3 && !state.abandoned);
                assert!(mutant.try_acquire().unwrap().is_none());
                not_owner(mutant.release());
            });
            other.join().unwrap();
        });
        guards.into_iter().for_each(std::mem::forget);
        assert_eq!([(); 3].map(|()| mutant.release().unwrap()), [3, 2, 1]);
        not_owner(mutant.release());
        // Waits of other kinds take it as well.
        assert_eq!(wait::any_for(&[&mutant], ZERO).unwrap().unwrap().index, 0);
        assert!(wait::all_for(&[&mutant], ZERO).unwrap().is_some());
        assert_eq!(mutant.query().unwrap().depth, 2);
        assert_eq!([(); 2].map(|()| mutant.release().unwrap()), [2, 1]);
        let state = mutant.query().unwrap();
        assert_eq!(
            (state.owner, state.depth, state.abandoned),
            (None, 0, false)
        );
        drop(mutant);
        // A child that a neighbour just forked may still hold the first one's name.
        let options = space.map_or_else(Mutant::options, |space| space.mutant("born"));
        let born = options.owned().create().unwrap();
        assert_eq!(born.query().unwrap().depth, 1);
        assert!(born.query().unwrap().owned_by_caller);
        assert_eq!(born.release().unwrap(), 1);
        // A guard that was released behind its back gives nothing more.
        let guard = born.acquire().unwrap();
        assert_eq!(born.release().unwrap(), 1);
        drop(guard);
        assert!(born.query().unwrap().owner.is_none());
    });
}

#[test]
fn a_mutant_is_abandoned_once_by_a_threads_end() {
    both(|space| {
        let mutant = mutant(space);
        std::thread::scope(|scope| {
            let ends = scope.spawn(|| {
                std::mem::forget(mutant.acquire().unwrap());
                std::mem::forget(mutant.acquire().unwrap());
            });
            ends.join().unwrap();
        });
        let state = mutant.query().unwrap();
        assert!(state.abandoned && state.owner.is_none() && state.depth == 0);
        let guard = mutant.acquire_for(GUARD).unwrap().unwrap();
        assert!(guard.abandoned());
        let state = mutant.query().unwrap();
        assert!(!state.abandoned && state.depth == 1 && state.owned_by_caller);
        // Mine again: that is no second report.
        assert!(!mutant.acquire().unwrap().abandoned());
        drop(guard);
        assert!(!mutant.acquire().unwrap().abandoned());
    });
}

/// Owns the mutants it is told.
pub(crate) fn holder(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let mut held = Vec::new();
    say("ready");
    while let Some(name) = told() {
        let mutant = space.mutant(name).open().unwrap();
        let guard = mutant.acquire_for(GUARD).unwrap().unwrap();
        say(guard.abandoned());
        std::mem::forget(guard);
        held.push(mutant);
    }
}

#[test]
fn a_mutant_is_abandoned_once_by_a_kill() {
    let space = Namespace::temporary().unwrap();
    let names = ["m0", "m1", "m2"];
    let [m0, m1, m2] = names.map(|name| space.mutant(name).create().unwrap());
    let never = space.event("never").create().unwrap();
    let mut holder = Peer::start("nt.holder", &[space.path().to_str().unwrap()]);
    assert_eq!(holder.hear().as_deref(), Some("ready"));
    for name in ["m0", "m2", "m2"] {
        assert_eq!(holder.ask(name), "false");
    }
    // Somebody is asleep as it dies.
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let won = wait::any_for(&[&never, &m0], GUARD).unwrap().unwrap();
            assert_eq!((won.index, won.abandoned), (1, true));
            assert_eq!(m0.release().unwrap(), 1);
        });
        // The bit by which a sleeper asks to be woken.
        let state = || fs::read(space.path().join("om0")).unwrap()[128];
        until("it sleeps", || state() & 2 != 0);
        holder.kill();
        waiter.join().unwrap();
    });
    assert!(!m0.acquire().unwrap().abandoned(), "reported once");
    assert!(m2.query().unwrap().abandoned);
    let members: [&dyn Waitable; 3] = [&m0, &m1, &m2];
    assert_eq!(
        wait::all_for(&members, GUARD).unwrap().unwrap().abandoned,
        [2]
    );
    assert!(
        wait::all_for(&members, GUARD)
            .unwrap()
            .unwrap()
            .abandoned
            .is_empty()
    );
    assert_eq!(m2.query().unwrap().depth, 2, "a fresh count, and once more");
}

fn has_watcher() -> bool {
    let names = fs::read_dir("/proc/self/task").unwrap().flatten();
    let mut names = names.map(|task| fs::read_to_string(task.path().join("comm")));
    names.any(|name| name.is_ok_and(|name| name.trim() == "strait-watcher"))
}

/// Waits in vain until the mutant is watched.
fn sleep_often(mutant: &Mutant) {
    until("it is watched", || {
        let won = mutant.acquire_for(Duration::from_millis(1));
        assert!(won.unwrap().is_none());
        has_watcher()
    });
}

#[test]
fn who_sleeps_often_is_told_of_a_kill() {
    alone("nt::mutant::who_sleeps_often_is_told_of_a_kill", || {
        let space = Namespace::temporary().unwrap();
        let mutant = space.mutant("m").create().unwrap();
        for _ in 0..3 {
            let mut holder = Peer::start("nt.holder", &[space.path().to_str().unwrap()]);
            assert_eq!(holder.hear().as_deref(), Some("ready"));
            assert_eq!(holder.ask("m"), "false");
            sleep_often(&mutant);
            std::thread::scope(|scope| {
                let sleepers = [(); 3].map(|()| {
                    scope.spawn(|| mutant.acquire_for(GUARD).unwrap().unwrap().abandoned())
                });
                holder.kill();
                let abandoned = sleepers.map(|sleeper| sleeper.join().unwrap());
                let reports = abandoned.iter().filter(|abandoned| **abandoned).count();
                assert_eq!(reports, 1, "reported once");
            });
        }
        // The watcher lets go of the mutant that is closed, and of its name.
        drop(mutant);
        refused(space.mutant("m").open(), ErrorKind::NotFound);
        until("the watcher has gone", || !has_watcher());
    });
}

#[test]
fn a_forked_child_is_told_of_a_kill() {
    alone("nt::mutant::a_forked_child_is_told_of_a_kill", || {
        let space = Namespace::temporary().unwrap();
        let mutant = space.mutant("m").create().unwrap();
        let mut holder = Peer::start("nt.holder", &[space.path().to_str().unwrap()]);
        assert_eq!(holder.hear().as_deref(), Some("ready"));
        assert_eq!(holder.ask("m"), "false");
        sleep_often(&mutant);
        // Its parent's watcher is not its own.
        let child =
            fork::run_child(|| u8::from(!mutant.acquire_for(GUARD).unwrap().unwrap().abandoned()));
        holder.kill();
        let ended = waitpid(Some(child.unwrap()), WaitOptions::empty()).unwrap();
        assert_eq!(ended.unwrap().1.exit_status(), Some(0));
    });
}

#[test]
fn closing_a_handle_does_not_abandon() {
    alone("nt::mutant::closing_a_handle_does_not_abandon", || {
        let space = Namespace::temporary().unwrap();
        let first = space.mutant("m").owned().create().unwrap();
        let second = space.mutant("m").open().unwrap();
        drop(first);
        let state = second.query().unwrap();
        assert!(state.owned_by_caller && !state.abandoned && state.depth == 1);
        assert_eq!(second.release().unwrap(), 1);
        std::mem::forget(second.acquire().unwrap());
        // The last handle takes the object along, owned or not.
        drop(second);
        refused(space.mutant("m").open(), ErrorKind::NotFound);
        let fresh = space.mutant("m").create().unwrap();
        assert!(!fresh.acquire_for(ZERO).unwrap().unwrap().abandoned());
    });
}

#[test]
fn a_mutant_has_a_recursion_limit() {
    let space = Namespace::temporary().unwrap();
    let mutant = space.mutant("m").owned().create().unwrap();
    let units = space.semaphore("s", 1, 1).create().unwrap();
    let auto = space.event("e").set().create().unwrap();
    // Two thousand million acquisitions take too long: the count is written where it stands.
    let file = fs::File::options()
        .write(true)
        .open(space.path().join("om"));
    let limit = i32::MAX.unsigned_abs();
    file.unwrap()
        .write_all_at(&limit.to_le_bytes(), 144)
        .unwrap();
    assert_eq!(mutant.query().unwrap().depth, limit);
    let (kind, status) = (ErrorKind::LimitExceeded, NtStatus::MUTANT_LIMIT_EXCEEDED);
    fails(mutant.acquire(), kind, status, 587);
    fails(mutant.try_acquire(), kind, status, 587);
    fails(wait::any_for(&[&mutant, &units], ZERO), kind, status, 587);
    // What comes with it in a wait for all is not taken either.
    fails(
        wait::all_for(&[&units, &mutant, &auto], ZERO),
        kind,
        status,
        587,
    );
    assert_eq!(units.query().unwrap().count, 1);
    assert!(auto.query().unwrap().set);
    assert_eq!(mutant.release().unwrap(), limit);
    assert!(mutant.acquire().is_ok());
}
