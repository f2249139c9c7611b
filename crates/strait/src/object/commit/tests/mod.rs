//! Models of the commit protocol: the real code, in every order of its steps.
//!
//! [`explore`] runs `txn.rs` itself, over [`world`] instead of mapped memory and a kernel. One step
//! is one load, store or exchange, one wake-up with its decision, one look at a lock. Every order
//! is visited; whoever can stop for ever or die may do so after any step. What must be true is said
//! in `world`: contents change only by decisions and by exchanges of unmarked words, a decision
//! holds everything it is about, what an operation says is what it did, nobody sleeps beside a
//! ready object, a look sees what was there meanwhile; and from every state everybody finishes or
//! falls asleep alone, which is what "stopped or dead, it delays nobody" means.
//!
//! The accesses are sequentially consistent, as those of the real words are but for two parts: the
//! list of a record, and the stores of its status by which a transaction begins and ends. Scenarios
//! of each kind are also explored in a memory where these stores linger. (loom was tried. It
//! remembers one access per word to find the orders worth trying, which here left out most: a wait
//! for all beside a release was one execution.)
//!
//! Rounds: rounds in vain that a participant may make within one operation before the scenario
//! counts it as stopped (the checks of who is alone go on to 24). There is no other bound.
//! `cargo test` runs the short form, `cargo xtask models` the long one.
//!
//! | participants | rounds | states | long: rounds | states | orders |
//! | --- | --- | --- | --- | --- | --- |
//! | all AB, all AB | 4 | 252,706 | 6 | 11,113,416 | 3e19 |
//! | the same, giving up at a deadline | 0 to 2 | 6,920 | | | |
//! | all ABC, all ABC | 3 | 73,264 | 5 | 8,043,920 | 4e21 |
//! | all AB, all BC, release B | 1 | 55,485 | 2 | 4,118,237 | 1e19 |
//! | all AB, all BC, all AC | 1 | 70,634 | 2 | 5,134,059 | 2e22 |
//! | all AB, take A, take B | 1 | 19,294 | 3 | 25,847,784 | 9e17 |
//! | all AB then release A and B, all AB, look at B then A | 1 | 27,878 | 2 | 412,446 | 4e19 |
//! | sleep for all AB, release A and B | 2 | 31,630 | 4 | 845,812 | 1e15 |
//! | two sleep for all AB, release B | | | 1 | 3,387,720 | 1e19 |
//! | two sleep for S, two releases | 1 | 300,410 | | | 1e14 |
//! | auto event: two sleepers with tickets, one release pending, a set | 1 | 10,350 | 3 | 154,985 | 6e12 |
//! | the same, one sleeper may die; long: two sets | 1 | 19,350 | 1 | 5,557,536 | 2e20 |
//! | the same, one gives up; long: two sets | 1 | 11,716 | 1 | 3,849,195 | 9e18 |
//! | two sleepers, two sets by one; by two | | | 1; 0 | 5,027,428; 2,307,534 | 4e19 |
//! | a sleeper, two setters, one who comes; one is pending | 3 | 8,822 | | | 2e12 |
//! | two sleepers, pulse; one, pulse, a stranger | 1 | 30,749 | 1 | 441,527 | 2e16 |
//! | two sleepers, reset with one pending; long: set, reset | 1 | 1,577 | 1 | 1,752,077 | 1e17 |
//! | manual event: two sleepers, set and reset; two pulses | 1 | 220,069 | | | 3e14 |
//! | manual event: one may only look, one sleeps, a set | 1 | 105,804 | | | 4e13 |
//! | mutant: its owner may die, two wait and free; long: two may die | 1 | 131,769 | 2 | 5,255,876 | 5e17 |
//! | the same with all over mutant and semaphore | 1 | 3,115 | 2 | 22,745 | 6e12 |
//! | mutant: its owner may die, one takes its seat, one waits | 2 | 2,797 | | | 5e6 |
//! | all AB may die, all BC from its seat, take A and B | 1 | 5,113 | 3 | 83,369 | 1e15 |
//! | a mark of the present number left on B: all A and all B, take B, look at B | 1 | 70,682 | 3 | 2,552,345 | 9e14 |
//! | the same, lists entry by entry, stores that linger | 1 | 115,294 | | | 2e15 |
//!
//! Each defect seeded by [`flaw`] breaks a promise of one of them (`defects_are_noticed`). Two
//! changes turned out to break none: to unmark before giving up, and to wake before deciding.
//!
//! Not the real code but short copies of it: the loop of `wait::any`, the counting of waiters, the
//! locks of `Domain::try_sit`, and `Domain::is_dead`.

mod actor;
mod commit;
mod death;
pub(crate) mod explore;
pub(crate) mod flaw;
mod op;
mod sleep;
pub(crate) mod tape;
mod world;

use explore::{Model, World};

/// Whether the long forms are asked for: `cargo xtask models`.
pub(crate) fn long() -> bool {
    std::env::var_os("STRAIT_MODELS").is_some_and(|form| form == "long")
}

/// Explores it all; no promise may be broken.
pub(crate) fn sound<W: World>(name: &str, model: &Model<W>) {
    let begin = std::time::Instant::now();
    let report = model.explore();
    println!("model {name}: {report}, {:.1?}", begin.elapsed());
    if let Some(wound) = report.wound {
        panic!("{name}:\n{wound}");
    }
}

/// The same model, where the store of a status may linger until its author stores or exchanges.
pub(crate) fn lingering(mut model: Model<world::Domain>) -> Model<world::Domain> {
    model.world.weak = true;
    model
}

/// With this defect seeded a promise must be broken.
pub(crate) fn red<W: World>(flaw: &'static str, model: &Model<W>) {
    let report = flaw::seeded(flaw, || model.explore());
    let wound = report.wound.as_deref();
    let why = wound.and_then(|wound| wound.rsplit_once("=> "));
    println!(
        "model with {flaw:?}: {report}: {}",
        why.map_or("nothing broken", |(_, why)| why)
    );
    if std::env::var_os("STRAIT_MODELS").is_some() {
        println!("{}", wound.unwrap_or_default());
    }
    assert!(wound.is_some(), "no model notices {flaw:?}");
}

/// With this change no promise is broken: it would be as good.
pub(crate) fn harmless<W: World>(change: &'static str, model: &Model<W>) {
    flaw::seeded(change, || sound(change, model));
}
