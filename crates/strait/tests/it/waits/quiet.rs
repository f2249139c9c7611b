//! The paths without a system call, between marks that `cargo xtask strace` looks for.
//!
//! A mark is a look at a file that does not exist. What stands between the marks of a path is done
//! a hundred times, after once without being watched: a seat, a first lazy allocation and the like
//! are not what is asked for.

use std::time::Duration;

use strait::Namespace;
use strait::nt::{Event, Mutant, Reset, Semaphore};
use strait::wait;

const TIMES: u32 = 100;

fn mark(what: &str, path: &str) {
    assert!(std::fs::metadata(format!("/strait-mark/{what}/{path}")).is_err());
}

fn watch(path: &str, mut work: impl FnMut()) {
    work();
    mark("begin", path);
    for _ in 0..TIMES {
        work();
    }
    mark("end", path);
}

/// Goes every path, for private and for named objects.
pub(crate) fn quiet(_: &[String]) {
    // Without this one a broken count would look like success.
    watch("control: one call each", || {
        assert!(std::fs::metadata("/").is_ok())
    });
    let space = Namespace::temporary().unwrap();
    let named = |name: &str| {
        (
            space.event(name),
            space.semaphore(name, 1, 1),
            space.mutant(name),
        )
    };
    let (events, semaphores, mutants) = (named("e").0, named("s").1, named("m").2);
    paths(
        "named",
        &events.create().unwrap(),
        &semaphores.create().unwrap(),
        &mutants.create().unwrap(),
    );
    paths(
        "private",
        &Event::options().create().unwrap(),
        &Semaphore::options(1, 1).create().unwrap(),
        &Mutant::options().create().unwrap(),
    );
    let manual = space.event("manual").reset(Reset::Manual).create().unwrap();
    watch("named manual event: set, wait, reset", || {
        manual.set().unwrap();
        manual.wait().unwrap();
        manual.reset().unwrap();
    });
}

fn paths(kind: &str, event: &Event, semaphore: &Semaphore, mutant: &Mutant) {
    let unset = Event::options().create().unwrap();
    watch(&format!("{kind} event: set, reset"), || {
        event.set().unwrap();
        event.reset().unwrap();
    });
    watch(&format!("{kind} event: set, acquire"), || {
        event.set().unwrap();
        event.wait().unwrap();
    });
    watch(&format!("{kind} semaphore: acquire, release"), || {
        assert!(semaphore.wait_for(Duration::from_secs(1)).unwrap());
        semaphore.release(1).unwrap();
    });
    watch(&format!("{kind} mutant: acquire, release"), || {
        drop(mutant.acquire().unwrap());
    });
    watch(&format!("{kind} any of three, one ready"), || {
        let won = wait::any(&[&unset, event, semaphore]).unwrap();
        assert_eq!(won.index, 2);
        semaphore.release(1).unwrap();
    });
    watch(&format!("{kind} any, timed, one ready"), || {
        let won = wait::any_for(&[&unset, mutant], Duration::from_secs(1)).unwrap();
        assert_eq!(won.unwrap().index, 1);
        mutant.release().unwrap();
    });
    watch(&format!("{kind} all of two, both ready"), || {
        let won = wait::all_for(&[semaphore, mutant], Duration::from_secs(1)).unwrap();
        assert!(won.unwrap().abandoned.is_empty());
        mutant.release().unwrap();
        semaphore.release(1).unwrap();
    });
}
