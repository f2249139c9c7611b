//! Those who sleep, and those who wake them: nobody is ever asleep beside a ready object.

use super::actor::{
    Operation, Thing, actor, look_wait, release, set, signal, try_take, wait, wait_in_vain, waiters,
};
use super::commit::{conserved, semaphore, semaphores};
use super::explore::{Actor, AtRest, Fate, Model};
use super::op;
use super::world::Domain;
use super::{harmless, lingering, long, red, sound};
use crate::object::commit::domain;
use crate::object::commit::txn::Cell;
use crate::object::word::{Op as Deed, Rule, State};

const S: Thing = semaphore(0);
const AUTO: Thing = Thing {
    index: 0,
    rule: Rule::Auto,
    by_entries: false,
};
const MANUAL: Thing = Thing {
    index: 0,
    rule: Rule::Manual,
    by_entries: false,
};

fn releases(patience: u8) -> Model<Domain> {
    Model {
        world: semaphores([0; 3]),
        actors: vec![
            actor(0, vec![wait(S, None)]),
            actor(1, vec![wait(S, None)]),
            actor(2, vec![release(S), release(S)]),
        ],
        mortals: &[],
        deaths: 0,
        patience,
        gives_up: false,
        at_rest: conserved([0; 3]),
    }
}

/// An event, and two waiters, participants 0 and 1, who hold tickets from the start.
fn event(thing: Thing, patience: u8, actors: Vec<Actor>, at_rest: AtRest<Domain>) -> Model<Domain> {
    let mut world = Domain::new([(thing.rule, State::new(false, 0)); 3]);
    if thing.rule == Rule::Auto {
        for who in 0..2 {
            let slot = u16::try_from(who + 1).expect("two");
            world.set(op::ticket(who), domain::token(slot, 1).into());
        }
    }
    Model {
        world,
        actors,
        mortals: &[],
        deaths: 0,
        patience,
        gives_up: false,
        at_rest,
    }
}

/// So many of the two waiters, if nobody died or stopped, are through in the end.
fn released(expected: usize) -> AtRest<Domain> {
    Box::new(move |_, fates| {
        if fates.contains(&Fate::Weary) {
            return Ok(());
        }
        let dead = fates.iter().filter(|fate| **fate == Fate::Dead).count();
        let done = fates[..2].iter().filter(|fate| **fate == Fate::Done);
        match done.count() {
            // The dead may have been released before they died.
            through if through + dead >= expected && through <= expected => Ok(()),
            through => Err(format!("{through} waiters were released, not {expected}")),
        }
    })
}

fn reset(thing: Thing) -> Operation {
    signal(thing, false, |state| Deed::Reset {
        waiters: if state.ready() { waiters() } else { 0 },
    })
}

fn pulse(thing: Thing) -> Operation {
    signal(thing, false, |_| Deed::Pulse { waiters: waiters() })
}

fn waiting(thing: Thing) -> Vec<Actor> {
    vec![
        actor(0, vec![wait(thing, Some(0))]),
        actor(1, vec![wait(thing, Some(0))]),
    ]
}

fn with(mut actors: Vec<Actor>, more: Vec<Operation>) -> Vec<Actor> {
    actors.push(actor(actors.len(), more));
    actors
}

fn two_sets(patience: u8) -> Model<Domain> {
    let actors = with(waiting(AUTO), vec![set(AUTO), set(AUTO)]);
    event(AUTO, patience, actors, released(2))
}

#[test]
fn releases_wake_who_sleeps() {
    sound("two wait, release twice", &releases(1));
}

/// One release is pending already.
fn one_more_set(patience: u8) -> Model<Domain> {
    let actors = with(waiting(AUTO), vec![set(AUTO)]);
    let mut model = event(AUTO, patience, actors, released(2));
    model.world.set(op::object(0), State::new(true, 1).0);
    model
}

#[test]
fn two_sets_release_two_waiters() {
    let patience = if long() { 3 } else { 1 };
    sound("two wait, one is pending, set", &one_more_set(patience));
    if long() {
        sound("two wait, set twice", &two_sets(1));
        let actors = with(with(waiting(AUTO), vec![set(AUTO)]), vec![set(AUTO)]);
        sound("two wait, two set", &event(AUTO, 0, actors, released(2)));
    }
}

#[test]
fn two_sets_release_the_survivor() {
    let mut model = if long() { two_sets(1) } else { one_more_set(1) };
    model.mortals = &[0, 1];
    model.deaths = 1;
    sound("two wait and one may die, two releases", &model);
}

#[test]
fn a_waiter_out_of_time_takes_no_release_along() {
    let mut model = if long() { two_sets(1) } else { one_more_set(1) };
    model.actors[1] = actor(1, vec![wait_in_vain(AUTO, Some(0))]);
    sound("one waits, one gives up, two releases", &model);
}

#[test]
fn a_pulse_releases_one_registered_waiter_of_an_auto_event_and_nobody_else() {
    if long() {
        let actors = with(waiting(AUTO), vec![pulse(AUTO)]);
        sound("two wait, pulse", &event(AUTO, 1, actors, released(1)));
    }
    let mut actors = vec![actor(0, vec![wait(AUTO, Some(0))])];
    actors.push(actor(1, vec![pulse(AUTO)]));
    actors.push(actor(2, vec![try_take(AUTO)]));
    let at_rest: AtRest<Domain> = Box::new(|domain, _| {
        if domain.content(0).ready() {
            return Err("a pulse was left behind as a set".into());
        }
        Ok(())
    });
    sound(
        "one waits, pulse, a stranger",
        &event(AUTO, 1, actors, at_rest),
    );
}

#[test]
fn a_reset_takes_no_release_away() {
    let mut model = event(AUTO, 1, with(waiting(AUTO), vec![reset(AUTO)]), released(1));
    model.world.set(op::object(0), State::new(true, 1).0);
    sound("two wait, one is pending, reset", &model);
    if long() {
        let actors = with(waiting(AUTO), vec![set(AUTO), reset(AUTO)]);
        sound("two wait, set, reset", &event(AUTO, 1, actors, released(1)));
    }
}

#[test]
fn a_manual_event_releases_everybody_who_waited() {
    let actors = with(waiting(MANUAL), vec![set(MANUAL), reset(MANUAL)]);
    let model = event(MANUAL, 1, actors, released(2));
    sound("manual: two wait, set, reset", &model);
    let actors = with(waiting(MANUAL), vec![pulse(MANUAL), pulse(MANUAL)]);
    let model = event(MANUAL, 1, actors, released(2));
    sound("manual: two wait, pulse twice", &model);
}

fn looker() -> Model<Domain> {
    let set = signal(MANUAL, true, |_| Deed::Set { cap: 1 });
    let actors = vec![
        actor(0, vec![look_wait(MANUAL, Some(0))]),
        actor(1, vec![wait(MANUAL, Some(0))]),
        actor(2, vec![set]),
    ];
    let mut model = event(MANUAL, 1, actors, released(2));
    model.world.lookers = true;
    model
}

#[test]
fn who_may_only_look_is_woken_too() {
    sound("one looks, one waits, set", &looker());
}

#[test]
fn a_status_that_is_seen_late_keeps_nobody_asleep() {
    sound(
        "late: two wait, one is pending, set",
        &lingering(one_more_set(1)),
    );
    if long() {
        sound("late: two wait, release twice", &lingering(releases(1)));
        sound("late: one looks, one waits, set", &lingering(looker()));
    }
}

#[test]
fn defects_are_noticed() {
    red("signal: store, then wake", &releases(1));
    red("signal: nothing to do, once", &one_more_set(1));
    red("acquire: the stamp stays", &the_same_again());
    red("arm: on a mark", &releases(3));
    red("watch: sleep on a mark", &looker());
}

/// A word that is the same again is not the same: between the looks of a setter that stalls, a
/// release is taken, a waiter comes, and another set makes the event look as before.
fn the_same_again() -> Model<Domain> {
    let comes: Operation = Box::new(|_| {
        let token = domain::token(4, 1);
        Cell::store(op::ticket(2), token.into());
        true
    });
    let actors = vec![
        actor(0, vec![wait(AUTO, Some(0))]),
        actor(1, vec![set(AUTO)]),
        actor(2, vec![set(AUTO)]),
        actor(3, vec![comes]),
    ];
    let mut model = event(AUTO, 3, actors, Box::new(|_, _| Ok(())));
    model.world.set(op::object(0), State::new(true, 1).0);
    model.world.set(op::ticket(1), domain::token(4, 1).into());
    model
}

#[test]
fn a_set_is_swallowed_only_by_a_full_event() {
    sound("wait, set, set, come; one is pending", &the_same_again());
}

/// The other order is as good as one step: nobody can fall asleep on a marked word, and whoever
/// meets the mark between the two decides against it. It is what a kernel without FUTEX_WAKE_OP
/// would need.
#[test]
fn waking_first_and_deciding_then_is_as_good() {
    let mut one = releases(1);
    one.actors[2] = actor(2, vec![release(S)]);
    harmless("signal: wake, then store", &one);
    harmless("signal: wake, then store", &one_more_set(1));
    harmless("signal: wake, then store", &looker());
}
