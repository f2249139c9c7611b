//! One direction: a writer, a reader, and who sleeps or watches beside them.

use super::actor::{Part, SPAN, onlooker, reader, watcher, writer};
use super::world::{DEAF, HEAD, Memory, Session, Side, lean};
use crate::object::commit::tests::explore::{Actor, AtRest, Fate, Model};
use crate::object::commit::tests::{harmless, long, red, sound};

const WRITER: usize = 0;
const READER: usize = 1;

const PLAIN: Part = Part::PLAIN;
const LEAN: Part = Part {
    fenceable: true,
    ..PLAIN
};
/// Room for one record.
const SMALL: Part = Part {
    capacity: 16,
    ..PLAIN
};

/// Whoever lives has come to its end, and the reader has everything that was published.
fn done(others: usize, records: u64) -> AtRest<Session> {
    Box::new(move |session, fates| {
        for (who, fate) in fates[..fates.len() - others].iter().enumerate() {
            if !matches!(fate, Fate::Done | Fate::Dead) {
                return Err(format!("{who} waits for ever"));
            }
        }
        if fates[READER] == Fate::Dead || session.get(DEAF) != 0 {
            return Ok(());
        }
        let (published, taken) = (session.get(HEAD) / SPAN, session.taken());
        if fates[WRITER] == Fate::Done && published != records {
            return Err(format!("{published} of {records} records were published"));
        }
        if taken != published {
            return Err(format!("{taken} of {published} records were taken"));
        }
        Ok(())
    })
}

fn model(part: Part, actors: Vec<Actor>, at_rest: AtRest<Session>) -> Model<Session> {
    let mut world = Session::new(part.capacity);
    for who in [WRITER, READER] {
        // Every sleep so far was rung for.
        world.keep(who, [0, 0, 0, u32::MAX.into(), 0, 0]);
    }
    Model {
        world,
        actors,
        mortals: &[],
        deaths: 0,
        patience: 0,
        gives_up: false,
        at_rest,
    }
}

/// So many records, and then the end.
fn stream(part: Part, records: u64) -> Model<Session> {
    let actors = vec![
        writer(part, records, true),
        reader(part, records + 1, false),
    ];
    model(part, actors, done(0, records))
}

/// So many records, and their reader stops after the first.
fn deaf(part: Part, records: u64) -> Model<Session> {
    let actors = vec![writer(part, records, false), reader(part, 1, true)];
    model(part, actors, done(0, records))
}

/// A stream beside another thread that waits for something to arrive.
fn company(part: Part, records: u64) -> Model<Session> {
    let part = Part {
        company: true,
        ..part
    };
    let mut model = stream(part, records);
    model.actors.push(onlooker(part));
    model
}

/// A stream by somebody who goes on where another has died: without fences, it had said.
fn heir(part: Part, records: u64) -> Model<Session> {
    let mut model = stream(Part { heir: true, ..part }, records);
    model.world.set(lean(Side::Writer), 1);
    model
}

/// The writer may die after any step.
fn dying_writer(part: Part, records: u64) -> Model<Session> {
    let part = Part {
        mourns: true,
        ..part
    };
    let mut model = stream(part, records);
    model.actors.push(watcher(WRITER, Side::Reader));
    model.at_rest = done(1, records);
    model.mortals = &[WRITER];
    model.deaths = 1;
    model
}

/// The reader may die after any step.
fn dying_reader(part: Part, records: u64) -> Model<Session> {
    let mut model = dying_writer(part, records);
    model.actors[2] = watcher(READER, Side::Writer);
    model.mortals = &[READER];
    model
}

fn loose(mut model: Model<Session>) -> Model<Session> {
    model.world.memory = Memory::Loose;
    model
}

/// Each side may wake so often for nothing.
fn restless(times: u8, mut model: Model<Session>) -> Model<Session> {
    model.world.false_wakes[WRITER] = times;
    model.world.false_wakes[READER] = times;
    model
}

/// Each wait begins with one that is over at once.
const fn impatient(part: Part) -> Part {
    Part {
        impatient: true,
        ..part
    }
}

/// Both memories; the loose one has room for all that the ordered one does, and takes longer.
fn both(name: &str, model: impl Fn() -> Model<Session>) {
    sound(name, &model());
    sound(&format!("{name}, loose"), &loose(model()));
}

#[test]
fn records_pass_whole_and_in_order() {
    both("2 records", || stream(PLAIN, 2));
    both("2 records, without fences", || stream(LEAN, 2));
    both("2 records through room for one", || stream(SMALL, 2));
    sound("3 records, without fences", &stream(LEAN, 3));
    let batch = Part { batch: 2, ..LEAN };
    sound("3 records, 2 at a time", &stream(batch, 3));
    let slow = Part {
        capacity: 64,
        ..LEAN
    };
    sound("3 records through room for 4", &stream(slow, 3));
    if long() {
        both("4 records, without fences", || stream(LEAN, 4));
        both("4 records, 2 at a time", || stream(batch, 4));
        both("4 records through room for 4", || stream(slow, 4));
        let small = Part {
            capacity: 16,
            ..LEAN
        };
        both("3 records through room for one", || stream(small, 3));
    }
}

#[test]
fn who_wakes_early_or_gives_up_sleeps_again_and_is_rung() {
    both("impatient", || stream(impatient(LEAN), 2));
    both("false wakes", || restless(1, stream(LEAN, 1)));
    sound("false wakes", &restless(1, stream(LEAN, 2)));
    if long() {
        both("false wakes, impatient", || {
            restless(2, stream(impatient(LEAN), 2))
        });
        sound("false wakes, 3 records", &restless(1, stream(LEAN, 3)));
    }
}

#[test]
fn two_sleep_at_one_place() {
    sound("company", &company(PLAIN, 1));
    if long() {
        both("company, without fences", || company(LEAN, 1));
        sound("company, 2 records", &company(LEAN, 2));
    }
}

#[test]
fn the_dead_are_heard_of_after_what_they_said() {
    both("a writer may die", || dying_writer(LEAN, 2));
    both("a reader may die", || dying_reader(LEAN, 2));
    both("a reader may die, small", || dying_reader(SMALL, 2));
    both("a reader stops", || deaf(SMALL, 3));
    both("an heir", || heir(LEAN, 2));
    if long() {
        both("a writer may die, 3 records", || dying_writer(LEAN, 3));
        both("a reader may die, 4 records", || dying_reader(LEAN, 4));
        both("an heir", || heir(LEAN, 3));
    }
}

/// Which scenario notices what. Those that need it are the loose ones: what drains out of order.
#[test]
fn defects_are_noticed() {
    red("publish: no fence", &stream(PLAIN, 1));
    red("publish: in any order", &loose(stream(PLAIN, 2)));
    red("flush: look, then publish", &stream(PLAIN, 1));
    red("send: without room", &stream(SMALL, 2));
    red("room: the tail of another look", &stream(SMALL, 2));
    red("take: release, then copy", &stream(SMALL, 2));
    red("arm: no fence", &loose(stream(PLAIN, 1)));
    red("arm: the bell last", &stream(PLAIN, 1));
    red("arm: no heavy fence", &stream(LEAN, 2));
    red("go lean: no fence", &stream(LEAN, 2));
    red("ring: goes on without fences", &stream(LEAN, 3));
    red("sleep: no look", &stream(PLAIN, 1));
    red("sleep: the bell after the look", &stream(PLAIN, 1));
    red("over: no second look", &stream(PLAIN, 1));
    red("ring: wake without a count", &stream(PLAIN, 1));
    red("ring: wake, then count", &stream(PLAIN, 1));
    red("ring: for a greater count", &stream(PLAIN, 1));
    red("arm: count by load and store", &company(PLAIN, 1));
    red("heir: as if it had rung", &heir(LEAN, 1));
    red("mourn: ring, then tell", &dying_writer(LEAN, 1));
    // The ring that follows shows all that was published, whatever the sleeper saw said.
    harmless("lean: said in any order", &loose(stream(LEAN, 2)));
}
