//! Models of names: the real protocol over a simulated [`directory`], in every order of its steps.
//!
//! One step is one system call; whoever may die does so after any step, and the kernel closes its
//! descriptions. Explored as in `commit::tests`, exhaustively but for the rounds that somebody
//! waits for a name in transition (1, long: 2), after which it says `Busy` and goes on.
//!
//! | participants | deaths | states | long | orders |
//! | --- | --- | --- | --- | --- |
//! | two create and close | 2 | 8,249 | 10,477 | 5e7 |
//! | three create | 1 | | 4,787 | 6e7 |
//! | the holder closes; open and close | 1 | 939 | 1,187 | 5e4 |
//! | the holder closes; create and close | 1 | 1,305 | 1,649 | 2e5 |
//! | the holder closes; open; create | 0, long: 1 | 147,078 | 1,927,024 | 3e13 |
//! | the holder closes; open and close; create and close | 0 | | 1,975,146 | 3e15 |
//! | leftover: two create and close | 1 | 123,325 | 224,917 | 8e10 |
//! | leftover: create; open; gc | 0 | 72,717 | 238,452 | 1e12 |
//! | leftover: two create, open | 1 | | 10,707,601 | 2e17 |
//! | two close one description (a forked child); open and close | 0, long: 2 | 10,408 | 29,304 | 3e9 |
//! | the holder closes; open to look; create | 0 | 52,368 | 186,850 | 4e11 |
//! | the holder closes; open to look and close | 1 | 593 | 698 | 4e4 |
//! | duplicate, close both; open and close | 1 | 2,376 | 2,820 | 8e6 |
//! | duplicate, close both; create | 1 | 1,774 | 2,420 | 5e5 |
//! | make permanent and close; open, make temporary, close | 1 | 1,058 | 1,226 | 5e5 |
//! | the same; create | 0 | 244,395 | 653,606 | 9e16 |
//! | leftover in a sticky directory: two create and close | 1 | 6,835 | 12,445 | 1e9 |
//! | leftover in a sticky directory: two create, open | 0 | 83,144 | 395,926 | 1e14 |

mod directory;

use super::{Mapping, close, create_or_open, open, reap, reopen};
use crate::object::commit::tests::explore::{Actor, AtRest, Fate, Model};
use crate::object::commit::tests::tape::perform;
use crate::object::commit::tests::{long, red, sound};
use crate::object::space::files::Files;
use crate::object::space::secure::Security;
use directory::{DEAD_UID, Directory, File, Op, View, header};

/// What a participant carries from one operation to the next: its open handles.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Handles {
    first: Option<u8>,
    second: Option<u8>,
}

type Deed = fn(&mut Handles);

/// A participant that does these. A stage holds how far it is, and its handles.
fn actor(begins_with: Option<u8>, deeds: &'static [Deed]) -> Actor {
    Box::new(move |stage| {
        let at = usize::try_from(stage & 0xff).expect("eight bits");
        let unpack = |shift: u32| (stage >> shift & 0xff).checked_sub(1);
        let handle = |shift| unpack(shift).map(|at| u8::try_from(at).expect("eight bits"));
        let mut handles = Handles {
            first: if stage == 0 { begins_with } else { handle(8) },
            second: handle(16),
        };
        deeds[at](&mut handles);
        let pack = |at: Option<u8>| at.map_or(0, |at| u64::from(at) + 1);
        let next = (at + 1) as u64 | pack(handles.first) << 8 | pack(handles.second) << 16;
        (at + 1 < deeds.len()).then_some(next)
    })
}

fn got(handles: &mut Handles, held: Option<super::Held<File>>) {
    match held {
        None => {
            perform(Op::FindsNothing);
        }
        Some(held) => {
            perform(Op::Holds(held.inode));
            handles.first = Some(held.file.keep());
        }
    }
}

fn opens(handles: &mut Handles) {
    perform(Op::Seeks);
    if let Ok(held) = open(&View, "x", Mapping::Write) {
        got(handles, held);
    }
}

fn opens_to_look(handles: &mut Handles) {
    perform(Op::Seeks);
    if let Ok(held) = open(&View, "x", Mapping::Look) {
        got(handles, held);
    }
}

fn creates(handles: &mut Handles) {
    perform(Op::Seeks);
    let security = Security::private().owner(DEAD_UID);
    if let Ok(held) = create_or_open(&View, "x", &header(), &[], security) {
        got(handles, Some(held));
    }
}

fn closes(handles: &mut Handles) {
    if let Some(at) = handles.first.take() {
        let file = File(at);
        let inode = View
            .facts(&file)
            .expect("the simulation always knows")
            .inode;
        perform(Op::LetsGo);
        close(&View, "x", inode, file);
    }
}

/// As a duplicate or a transfer does: a description of its own, held beside the first.
fn duplicates(handles: &mut Handles) {
    let Some(at) = handles.first else { return };
    let file = File(at);
    let inode = View
        .facts(&file)
        .expect("the simulation always knows")
        .inode;
    let second = reopen(&View, "x", inode, Mapping::Write);
    handles.first = Some(file.keep());
    let second = second.expect("nobody removes a name that is held");
    perform(Op::Holds(inode));
    handles.second = Some(second.keep());
}

/// Closes the older of two.
fn closes_first(handles: &mut Handles) {
    closes(handles);
    handles.first = handles.second.take();
}

fn collects(_: &mut Handles) {
    reap(&View, "x");
}

fn makes_permanent(handles: &mut Handles) {
    if let Some(at) = handles.first {
        perform(Op::SetPermanent(at, true));
    }
}

fn makes_temporary(handles: &mut Handles) {
    if let Some(at) = handles.first {
        perform(Op::SetPermanent(at, false));
    }
}

/// The name has gone with the last handle.
fn gone() -> AtRest<Directory> {
    Box::new(|directory, fates| {
        let all_done = fates.iter().all(|fate| *fate == Fate::Done);
        if all_done && !directory.is_held() && directory.name.is_some() {
            return Err("nobody holds it, and the name is still there".into());
        }
        Ok(())
    })
}

fn model(world: Directory, deaths: u8, actors: Vec<Actor>) -> Model<Directory> {
    Model {
        world,
        actors,
        mortals: &[0, 1, 2],
        deaths,
        patience: if long() { 2 } else { 1 },
        gives_up: true,
        at_rest: gone(),
    }
}

/// The name may stay in the end: whoever closed last could not remove it, or was not to.
fn may_stay(mut model: Model<Directory>) -> Model<Directory> {
    model.at_rest = Box::new(|_, _| Ok(()));
    model
}

fn nothing() -> Directory {
    Directory::default()
}

/// The file of one who was killed.
fn leftover() -> Directory {
    Directory::with_file(&[])
}

/// Participant 0 holds it.
fn held() -> Directory {
    Directory::with_file(&[0])
}

const CREATE_CLOSE: &[Deed] = &[creates, closes];
const OPEN_CLOSE: &[Deed] = &[opens, closes];
const CREATE: &[Deed] = &[creates];

/// Exhaustive for these participants and so many deaths, each after any step.
fn explore(name: &str, world: &Directory, deaths: u8, deeds: &[&'static [Deed]]) {
    let actors = deeds.iter().enumerate();
    let holds = |who| (world.holds_from_the_start(who)).then_some(0);
    let actors = actors
        .map(|(who, deeds)| actor(holds(who), deeds))
        .collect();
    sound(name, &model(world.clone(), deaths, actors));
}

fn forked() -> Model<Directory> {
    let actors = vec![
        actor(Some(0), &[closes]),
        actor(Some(0), &[closes]),
        actor(None, OPEN_CLOSE),
    ];
    model(Directory::with_file(&[0, 1]), 0, actors)
}

fn creators(world: Directory) -> Model<Directory> {
    let actors = vec![actor(None, CREATE_CLOSE), actor(None, CREATE_CLOSE)];
    model(world, 1, actors)
}

fn last_close() -> Model<Directory> {
    let actors = vec![
        actor(Some(0), &[closes]),
        actor(None, &[opens]),
        actor(None, &[creates]),
    ];
    model(held(), 0, actors)
}

#[test]
fn creators_meet() {
    explore(
        "two create and close, two may die",
        &nothing(),
        2,
        &[CREATE_CLOSE; 2],
    );
    if long() {
        explore("three create", &nothing(), 1, &[CREATE; 3]);
    }
}

#[test]
fn an_open_meets_the_last_close() {
    explore(
        "close; open and close; one may die",
        &held(),
        1,
        &[&[closes], OPEN_CLOSE],
    );
    explore(
        "close; create and close; one may die",
        &held(),
        1,
        &[&[closes], CREATE_CLOSE],
    );
    sound("close; open; create", &last_close());
    if long() {
        explore(
            "close; open; create; one may die",
            &held(),
            1,
            &[&[closes], &[opens], &[creates]],
        );
        explore(
            "close; open and close; create and close",
            &held(),
            0,
            &[&[closes], OPEN_CLOSE, CREATE_CLOSE],
        );
    }
}

#[test]
fn leftovers_count_as_absent() {
    sound(
        "leftover: two create and close, one may die",
        &creators(leftover()),
    );
    explore(
        "leftover: create; open; gc",
        &leftover(),
        0,
        &[&[creates], &[opens], &[collects]],
    );
    if long() {
        explore(
            "leftover: two create, open",
            &leftover(),
            1,
            &[CREATE, CREATE, &[opens]],
        );
    }
}

#[test]
fn a_forked_childs_handle_holds() {
    sound("two close one description, one opens and closes", &forked());
    if long() {
        let mut model = forked();
        model.deaths = 2;
        sound(
            "two close one description, one opens and closes, two may die",
            &model,
        );
    }
}

#[test]
fn readers_hold_too() {
    let actors = vec![
        actor(Some(0), &[closes]),
        actor(None, &[opens_to_look]),
        actor(None, &[creates]),
    ];
    sound(
        "close; open to look; create",
        &may_stay(model(held(), 0, actors)),
    );
    let actors = vec![
        actor(Some(0), &[closes]),
        actor(None, &[opens_to_look, closes]),
    ];
    sound(
        "close; open to look and close",
        &may_stay(model(held(), 1, actors)),
    );
}

#[test]
fn a_duplicate_holds_by_itself() {
    let duplicating: &'static [Deed] = &[duplicates, closes_first, closes];
    explore(
        "duplicate and close both; open and close",
        &held(),
        1,
        &[duplicating, OPEN_CLOSE],
    );
    explore(
        "duplicate and close both; create",
        &held(),
        1,
        &[duplicating, &[creates]],
    );
}

#[test]
fn a_permanent_name_stays_until_it_is_made_temporary() {
    let mut world = held();
    world.toggles = true;
    let actors = || {
        vec![
            actor(Some(0), &[makes_permanent, closes]),
            actor(None, &[opens, makes_temporary, closes]),
        ]
    };
    // Whether it is permanent in the end is a race of those two.
    sound(
        "permanent, temporary",
        &may_stay(model(world.clone(), 1, actors())),
    );
    let mut three = actors();
    three.push(actor(None, &[creates]));
    sound(
        "permanent, temporary, create",
        &may_stay(model(world, 0, three)),
    );
}

#[test]
fn a_leftover_that_may_not_be_removed_is_reborn_in_place() {
    let mut world = leftover();
    world.sticky = true;
    sound(
        "sticky leftover: two create and close",
        &may_stay(creators(world.clone())),
    );
    let actors = vec![
        actor(None, &[creates]),
        actor(None, &[creates]),
        actor(None, &[opens]),
    ];
    sound(
        "sticky leftover: two create, one opens",
        &may_stay(model(world, 0, actors)),
    );
}

#[test]
fn defects_are_noticed() {
    red("close: upgrade the handle's own description", &forked());
    red("join: whosever name it is", &last_close());
    red("remove: not alone", &creators(leftover()));
    red("remove: whosever name it is", &creators(leftover()));
    red("birth: named before it is held", &creators(nothing()));
}
