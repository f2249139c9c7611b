//! Death: every step at which a process may be killed or stopped, and what the others find then.

mod reborn;
mod recovery;
pub(crate) mod seats;
mod steps;
pub(crate) mod storm;
pub(crate) mod table;
mod victim;
pub(crate) mod watch;
pub(crate) mod world;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::death::table::{CASES, ELSEWHERE};
use crate::death::watch::setting;
use crate::peer::{Peer, Role, command};
use crate::waits;

/// The processes these tests start.
pub(crate) const ROLES: &[(&str, Role)] = &[
    ("death.victim", victim::victim),
    ("death.survivor", world::survivor),
    ("death.sleeper", world::sleeper),
    ("death.body", body),
    ("death.owner", recovery::owner),
];

/// The names of all points in the sources of this package.
pub(crate) fn points_in(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            points_in(&path, found);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let calls = text.split("kill::point(\"").skip(1);
        found.extend(calls.filter_map(|call| Some(call.split_once('"')?.0.to_owned())));
    }
}

/// Each point is hit ten times by each signal here, a hundred times in `cargo xtask storm`.
#[test]
fn at_every_point_the_others_go_on() {
    let hits = setting("STRAIT_DEATH_HITS", 10);
    let (mut table, mut times) = table::run(CASES, hits, None);
    table::print(&mut table, &mut times);
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
    let mut points = BTreeSet::new();
    points_in(&package.join("src"), &mut points);
    assert!(
        points.len() > 40,
        "no points: the sources are not where they were"
    );
    for point in points {
        // Those of channels have storms of their own.
        let room = point.split_once('.').map(|(room, _)| room);
        let of_channels = matches!(room, Some("channel" | "door" | "flow" | "mailbox"));
        if of_channels || ELSEWHERE.contains(&&*point) {
            continue;
        }
        let row = table.get(&*point);
        let hit = row.is_some_and(|row| row.kills >= hits && row.stops >= hits);
        assert!(hit, "{point}: not hit {hits} times by each signal");
    }
    let wrong: Vec<_> = table.values().flat_map(|row| &row.violations).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A test is worth what it finds: with one recovery removed, deaths at the points it is for must
/// show.
fn turns_red(branch: &str, points: &[&str]) {
    let cases = CASES.iter().filter(|case| points.contains(&case.point));
    let cases: Vec<_> = cases.copied().collect();
    assert!(cases.len() >= points.len());
    let (mut table, mut times) = table::run(&cases, 1, Some(branch));
    table::print(&mut table, &mut times);
    for point in points {
        let row = &table[point];
        assert!(!row.violations.is_empty(), "{point} does not find {branch}");
    }
}

#[test]
fn a_committed_mark_that_nobody_finishes_is_found() {
    turns_red("resolve.finish", &["all.committed", "signal.woken"]);
}

#[test]
fn an_undecided_mark_that_nobody_aborts_is_found() {
    turns_red("resolve.abort", &["all.marked", "signal.marked"]);
}

#[test]
fn a_dead_owner_that_nobody_reports_is_found() {
    turns_red("owner.dead", &["mutant.releasing"]);
}

#[test]
fn a_leftover_that_counts_as_alive_is_found() {
    turns_red("name.leftover", &["name.linked"]);
}

/// Runs one test of waits, and ends as it does.
fn body(args: &[String]) {
    let body = waits::BODIES.iter().find(|(name, _)| *name == args[0]);
    body.expect("a test of waits").1();
}

#[test]
fn a_waiter_that_is_not_registered_is_found() {
    let name = "release::sets_before_the_first_sleeper_runs_release_all_of_them";
    let passes = |branch: &str| {
        let mut role = command("death.body", &[name]);
        role.env("STRAIT_SABOTAGE", branch);
        role.env("STRAIT_GUARD_S", if branch.is_empty() { "20" } else { "1" });
        role.stderr(Stdio::null());
        Peer::of(&mut role).finish().success()
    };
    assert!(passes(""));
    assert!(!passes("ticket.register"), "{name} does not find it");
}
