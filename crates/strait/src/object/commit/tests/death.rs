//! Those who die: owners of mutants, authors in the middle, and who sits there next.

use super::actor::{Operation, Thing, actor, from_seat, look, signal, try_all, try_take, wait};
use super::commit::{conserved, semaphore, semaphores};
use super::explore::{Actor, AtRest, Fate, Model};
use super::flaw::seeded;
use super::op;
use super::world::Domain;
use super::{lingering, long, red, sound};
use crate::object::commit::domain;
use crate::object::word::{Op as Deed, Rule, State};

const MUTANT: Thing = Thing {
    index: 0,
    rule: Rule::Mutant,
    by_entries: false,
};
const A: Thing = semaphore(0);
const B: Thing = semaphore(1);
const C: Thing = semaphore(2);

fn free(thing: Thing) -> Operation {
    signal(thing, false, |_| Deed::Free)
}

/// A mutant that participant 0 owns, and a semaphore with one unit.
fn owned() -> Domain {
    let mutant = (Rule::Mutant, State::new(false, domain::token(1, 1)));
    let unit = (B.rule, State::new(true, 1));
    Domain::new([mutant, unit, unit])
}

/// Nobody alive waits for an owner who is dead; each death of an owner is told at most once.
fn inherited() -> AtRest<Domain> {
    Box::new(|domain, fates| {
        let deaths = fates.iter().filter(|fate| **fate == Fate::Dead).count();
        if usize::from(domain.abandonments) > deaths {
            return Err("abandoned more often than owners died".into());
        }
        let done = |fate: &Fate| matches!(fate, Fate::Done | Fate::Dead | Fate::Weary);
        if fates.contains(&Fate::Weary) || fates.iter().all(done) {
            return Ok(());
        }
        Err("somebody waits for ever".into())
    })
}

fn mutant(patience: u8, deaths: u8, actors: Vec<Actor>) -> Model<Domain> {
    Model {
        world: owned(),
        actors,
        mortals: &[0, 1],
        deaths,
        patience,
        gives_up: false,
        at_rest: inherited(),
    }
}

#[test]
fn a_dead_owners_mutant_is_inherited_once() {
    let take_and_free = || vec![wait(MUTANT, None), free(MUTANT)];
    let actors = vec![
        actor(0, vec![free(MUTANT)]),
        actor(1, take_and_free()),
        actor(2, take_and_free()),
    ];
    let (patience, deaths) = if long() { (2, 2) } else { (1, 1) };
    sound(
        "mutant: free, two wait and free",
        &mutant(patience, deaths, actors),
    );
}

#[test]
fn a_wait_for_all_inherits_too() {
    let actors = vec![
        actor(0, vec![free(MUTANT)]),
        actor(1, vec![try_all(&[MUTANT, B]), free(MUTANT)]),
        actor(2, vec![try_all(&[MUTANT, B]), free(MUTANT)]),
    ];
    let (patience, deaths) = if long() { (2, 2) } else { (1, 1) };
    sound(
        "mutant: free, two all MB and free",
        &mutant(patience, deaths, actors),
    );
}

/// The owner dies, and another sits down in its seat.
fn succession() -> Model<Domain> {
    let actors = vec![
        actor(0, vec![free(MUTANT)]),
        actor(1, vec![from_seat(1, wait(MUTANT, None))]),
        actor(2, vec![wait(MUTANT, None)]),
    ];
    let mut model = mutant(2, 1, actors);
    model.mortals = &[0];
    model.at_rest = Box::new(|_, _| Ok(()));
    model
}

#[test]
fn the_next_in_a_dead_owners_seat_is_not_taken_for_the_owner() {
    sound(
        "mutant: free, wait from the dead one's seat, wait",
        &succession(),
    );
}

/// An author who may die anywhere, one who takes its seat, and one who meets what it left.
fn seats(patience: u8) -> Model<Domain> {
    Model {
        world: semaphores([1, 1, 1]),
        actors: vec![
            actor(0, vec![try_all(&[A, B])]),
            actor(1, vec![from_seat(1, try_all(&[B, C]))]),
            actor(2, vec![try_take(A), try_take(B)]),
        ],
        mortals: &[0],
        deaths: 1,
        patience,
        gives_up: false,
        at_rest: conserved([1, 1, 1]),
    }
}

#[test]
fn a_dead_authors_seat_is_taken_only_if_it_had_not_decided() {
    let patience = if long() { 3 } else { 1 };
    sound(
        "all AB and dies, all BC from its seat, take A B",
        &seats(patience),
    );
    sound("late: the same", &lingering(seats(1)));
}

/// Step by step, and so the same every time: an author that dies after any number of its steps,
/// somebody who takes its seat, and somebody who looks after what it left.
#[test]
fn reuse_of_a_decided_seat_tears() {
    let tears = || {
        (0..12).filter(|steps| {
            let all = Some(100);
            let script = [(0, Some(*steps)), (0, None), (1, all), (2, all)];
            seats(4).follow(&script).is_err()
        })
    };
    assert_eq!(tears().count(), 0);
    // After the decision; after the first of two objects is finished; and after both, when no mark
    // is left, it would do no harm, but nobody can know.
    let torn: Vec<usize> = seeded("inherit: a decided record", || tears().collect());
    assert_eq!(torn, [7, 8]);
}

/// A mark that outlived 131,072 transactions of its slot: its number comes again, in a transaction
/// about another object, and then in one about this object.
fn wrapped(patience: u8) -> Model<Domain> {
    let mut world = semaphores([1, 1, 0]);
    let stale = State::new(true, 1).marked(1, 6);
    world.set(op::object(1), stale.0);
    world.count_from(0, 5);
    Model {
        world,
        actors: vec![
            actor(0, vec![try_all(&[A]), try_all(&[B])]),
            actor(1, vec![try_take(B)]),
            actor(2, vec![look(B)]),
        ],
        mortals: &[],
        deaths: 0,
        patience,
        gives_up: false,
        at_rest: conserved([1, 1, 0]),
    }
}

#[test]
fn a_mark_of_the_same_number_is_not_taken_for_the_present_transactions() {
    sound(
        "a stale mark on B; all A, all B; take B; look B",
        &wrapped(if long() { 3 } else { 1 }),
    );
    let mut model = wrapped(4);
    // Its number comes again in a transaction about this object.
    model.actors = vec![
        actor(0, vec![try_all(&[A, B])]),
        actor(1, vec![try_take(B)]),
    ];
    sound("a stale mark on B; all AB; take B", &model);
}

/// As [`wrapped`], with lists written entry by entry, in a memory in which a store may be seen
/// later than those that follow it, as far as their orders allow that.
fn weak(patience: u8) -> Model<Domain> {
    const A: Thing = Thing {
        by_entries: true,
        ..self::A
    };
    const B: Thing = Thing {
        by_entries: true,
        ..self::B
    };
    let mut model = lingering(wrapped(patience));
    model.actors = vec![
        actor(0, vec![try_all(&[A]), try_all(&[B])]),
        actor(1, vec![try_take(B)]),
        actor(2, vec![look(B)]),
    ];
    model
}

#[test]
fn a_list_is_not_seen_before_the_end_of_the_transaction_before() {
    sound(
        "weak memory: a stale mark on B; all A, all B; take B; look B",
        &weak(1),
    );
}

#[test]
fn defects_are_noticed() {
    red("inherit: a decided record", &seats(1));
    red("sit: under the last sitter's number", &succession());
    red("enlisted: always", &wrapped(2));
    red("resolve: by the next one's list", &wrapped(2));
    red("list: in any order", &weak(1));
}
