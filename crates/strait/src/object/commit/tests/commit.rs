//! Wait-alls that cross, those who take one, releasers, and those who only look.

use super::actor::{Thing, actor, all, look, release, try_all, try_take};
use super::explore::{Actor, AtRest, Fate, Model};
use super::op::OBJECTS;
use super::world::Domain;
use super::{harmless, lingering, long, red, sound};
use crate::object::word::{Rule, State};

const SEMAPHORE: Rule = Rule::Semaphore { limit: 3 };

pub(super) const fn semaphore(index: usize) -> Thing {
    Thing {
        index,
        rule: SEMAPHORE,
        by_entries: false,
    }
}

const A: Thing = semaphore(0);
const B: Thing = semaphore(1);
const C: Thing = semaphore(2);

pub(super) fn semaphores(counts: [u32; OBJECTS]) -> Domain {
    Domain::new(counts.map(|count| (SEMAPHORE, State::new(count > 0, count))))
}

/// Units are where they were, but for what finished operations say.
pub(super) fn conserved(counts: [u32; OBJECTS]) -> AtRest<Domain> {
    Box::new(move |domain, fates| {
        let cut_short = |fate: &Fate| matches!(fate, Fate::Dead | Fate::Weary);
        if fates.iter().any(cut_short) && domain.decisions.iter().any(|count| *count > 0) {
            // Decided, and died or stopped before it could say so: its units went with it.
            return Ok(());
        }
        for (index, count) in counts.iter().enumerate() {
            let now = i64::from(domain.content(index).value());
            let balance = i64::from(domain.balance[index]);
            if now != i64::from(*count) + balance {
                return Err(format!(
                    "object {index} holds {now}: it held {count}, and {balance} were added"
                ));
            }
        }
        Ok(())
    })
}

fn model(counts: [u32; OBJECTS], patience: u8, actors: Vec<Actor>) -> Model<Domain> {
    Model {
        world: semaphores(counts),
        actors,
        mortals: &[],
        deaths: 0,
        patience,
        gives_up: false,
        at_rest: conserved(counts),
    }
}

fn two_over_two(patience: u8) -> Model<Domain> {
    let actors = vec![
        actor(0, vec![try_all(&[A, B])]),
        actor(1, vec![try_all(&[A, B])]),
    ];
    model([1, 1, 0], patience, actors)
}

fn two_over_three(patience: u8) -> Model<Domain> {
    let actors = vec![
        actor(0, vec![try_all(&[A, B, C])]),
        actor(1, vec![try_all(&[A, B, C])]),
    ];
    model([1, 2, 1], patience, actors)
}

fn crossing(patience: u8) -> Model<Domain> {
    let actors = vec![
        actor(0, vec![try_all(&[A, B])]),
        actor(1, vec![try_all(&[B, C])]),
        actor(2, vec![release(B)]),
    ];
    model([1, 1, 1], patience, actors)
}

fn circle(patience: u8) -> Model<Domain> {
    let actors = vec![
        actor(0, vec![try_all(&[A, B])]),
        actor(1, vec![try_all(&[B, C])]),
        actor(2, vec![try_all(&[A, C])]),
    ];
    model([1, 1, 1], patience, actors)
}

fn with_single_takers(patience: u8) -> Model<Domain> {
    let actors = vec![
        actor(0, vec![try_all(&[A, B])]),
        actor(1, vec![try_take(A)]),
        actor(2, vec![try_take(B)]),
    ];
    model([1, 1, 0], patience, actors)
}

fn looked_at(patience: u8) -> Model<Domain> {
    let actors = vec![
        actor(0, vec![try_all(&[A, B]), release(A), release(B)]),
        actor(1, vec![try_all(&[A, B])]),
        actor(2, vec![look(B), look(A)]),
    ];
    model([1, 1, 0], patience, actors)
}

fn asleep_for_all(patience: u8) -> Model<Domain> {
    let actors = vec![
        actor(0, vec![all(&[A, B])]),
        actor(1, vec![release(A), release(B)]),
    ];
    model([0, 0, 0], patience, actors)
}

fn two_asleep_for_all() -> Model<Domain> {
    let actors = vec![
        actor(0, vec![all(&[A, B])]),
        actor(1, vec![all(&[A, B])]),
        actor(2, vec![release(B)]),
    ];
    model([1, 0, 0], 1, actors)
}

#[test]
fn two_waits_for_all_over_two_objects() {
    sound("all AB, all AB", &two_over_two(if long() { 6 } else { 4 }));
}

#[test]
fn two_waits_for_all_over_three_objects() {
    sound(
        "all ABC, all ABC",
        &two_over_three(if long() { 5 } else { 3 }),
    );
}

#[test]
fn waits_for_all_that_cross_and_a_releaser() {
    let patience = if long() { 2 } else { 1 };
    sound("all AB, all BC, release B", &crossing(patience));
}

#[test]
fn waits_for_all_in_a_circle() {
    let patience = if long() { 2 } else { 1 };
    sound("all AB, all BC, all AC", &circle(patience));
}

#[test]
fn a_wait_for_all_among_those_who_take_one() {
    let patience = if long() { 3 } else { 1 };
    sound("all AB, take A, take B", &with_single_takers(patience));
}

#[test]
fn a_look_sees_what_was_there_while_it_looked() {
    let patience = if long() { 2 } else { 1 };
    sound(
        "all AB and releases, all AB, look B A",
        &looked_at(patience),
    );
}

#[test]
fn sleepers_for_all_are_woken() {
    let patience = if long() { 4 } else { 2 };
    sound("sleep for AB, release A B", &asleep_for_all(patience));
    if long() {
        sound("two sleep for AB, release B", &two_asleep_for_all());
    }
}

#[test]
fn giving_up_at_a_deadline_leaves_nothing() {
    for patience in 0..3 {
        let mut model = two_over_two(patience);
        model.gives_up = true;
        sound("all AB, all AB, with deadlines", &model);
    }
    let mut model = with_single_takers(0);
    model.gives_up = true;
    sound("all AB, take A, take B, with deadlines", &model);
}

#[test]
fn a_status_that_is_seen_late_does_no_harm() {
    sound(
        "late: all AB, take A, take B",
        &lingering(with_single_takers(1)),
    );
    sound(
        "late: sleep for AB, release A B",
        &lingering(asleep_for_all(2)),
    );
    if long() {
        sound("late: all AB, all AB", &lingering(two_over_two(4)));
        sound("late: all ABC, all ABC", &lingering(two_over_three(3)));
        sound("late: all AB, all BC, release B", &lingering(crossing(1)));
        sound("late: all AB, all BC, all AC", &lingering(circle(1)));
        sound("late: all AB, all AB, look B A", &lingering(looked_at(1)));
    }
}

#[test]
fn defects_are_noticed() {
    red("decide: by a store", &two_over_two(3));
    red("resolve.finish", &two_over_two(3));
    red("resolve.abort", &two_over_two(3));
    red("finish: leave it to others", &two_over_two(3));
    red("enlist: the same sequence again", &two_over_two(6));
    red("observe: the word once", &looked_at(1));
}

/// It may unmark before it says that it gave up, since nobody but the author can decide in favour.
#[test]
fn the_order_of_withdrawing_does_not_matter() {
    harmless("withdraw: unmark first", &two_over_two(3));
    harmless("withdraw: unmark first", &with_single_takers(1));
}
