//! Kills at single instructions of the hottest paths.

use std::sync::Mutex;
use std::time::Duration;

use strait_sys::step::{Step, Walk};

use crate::death::table::{Stage, percentiles};
use crate::death::watch::{STUCK, hear_within};
use crate::death::world::{ABANDONED, Allowed};

/// A path, and what may be lost by one killed on it.
struct Path {
    name: &'static str,
    /// Of the units, as the survivor counts them.
    lost: &'static [&'static str],
    /// Whether its owner may die owning the mutant.
    owns: bool,
    /// Between two kills of the short form, in instructions.
    stride: u64,
    /// The same in the long form.
    fine: u64,
}

const NOTHING: &str = "00000000";

const fn path(name: &'static str, stride: u64) -> Path {
    Path {
        name,
        lost: &[NOTHING],
        owns: false,
        stride,
        fine: 1,
    }
}

/// The strides are odd, so that they do not keep step with a loop. What is done to names others see
/// only by system calls, and from one to the next it is farther than the long form's stride.
const PATHS: &[Path] = &[
    Path {
        lost: &[NOTHING, "11111111"],
        ..path("all", 211)
    },
    path("set", 53),
    Path {
        lost: &[NOTHING, "10000000"],
        ..path("acquire", 13)
    },
    Path {
        owns: true,
        ..path("free", 53)
    },
    Path {
        fine: 37,
        ..path("create", 997)
    },
    Path {
        fine: 37,
        ..path("open", 997)
    },
    Path {
        fine: 37,
        ..path("close", 199)
    },
];

/// What was found on one path.
#[derive(Default)]
struct Found {
    kills: u64,
    instructions: u64,
    violations: Vec<String>,
    times: Vec<Duration>,
}

/// Kills one process after so many instructions. `None`: the path is shorter.
fn kill_after(stage: &mut Stage, path: &Path, count: u64) -> Result<Option<Duration>, String> {
    let abandoned = stage.ledger.get(ABANDONED);
    let mut victim = stage.victim()?;
    victim.tell(&format!("walk {}", path.name));
    let tid = hear_within(&mut victim, STUCK).ok_or("a walker cannot begin")?;
    let mut walk = Walk::seize(tid.parse().unwrap()).map_err(|errno| errno.to_string())?;
    victim.tell("go");
    walk.to_mark()
        .map_err(|errno| format!("to the mark: {errno}"))?;
    let mut ended = false;
    for at in 0..count {
        match walk.step().map_err(|errno| format!("{at}: {errno}"))? {
            Step::Ran => {}
            Step::Marked => {
                ended = true;
                break;
            }
            Step::Gone => return Err(format!("it died by itself after {at}")),
        }
    }
    victim.child.kill().unwrap();
    walk.bury();
    victim.kill();
    let (took, lost) = stage.check(Allowed::default())?;
    if !path.lost.contains(&&*lost) {
        return Err(format!("units lost: {lost}"));
    }
    if lost != NOTHING {
        stage.repair();
    }
    let abandoned = stage.ledger.get(ABANDONED) - abandoned;
    if abandoned > u64::from(path.owns) {
        return Err(format!("abandoned {abandoned} times"));
    }
    Ok((!ended).then_some(took))
}

fn walk(path: &Path, stride: u64, sabotage: Option<&str>, found: &mut Found) {
    let mut stage = Stage::new(sabotage, 1);
    for round in 0.. {
        let count = round * stride;
        let result = kill_after(&mut stage, path, count);
        found.kills += 1;
        match result {
            Ok(Some(took)) => found.times.push(took),
            Ok(None) => {
                found.instructions = count;
                return;
            }
            Err(what) => {
                found
                    .violations
                    .push(format!("{} after {count}: {what}", path.name));
                if sabotage.is_some() || found.violations.len() > 5 {
                    return;
                }
                stage = Stage::new(sabotage, 1);
            }
        }
    }
}

/// In strides here, at every instruction in `cargo xtask storm`.
#[test]
fn killed_at_an_instruction_it_leaves_nothing_undone() {
    let is_long = std::env::var_os("STRAIT_STEPS").is_some();
    let queue = Mutex::new(PATHS.iter());
    let done = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some(path) = queue.lock().unwrap().next() else {
                return;
            };
            let mut found = Found::default();
            let stride = if is_long { path.fine } else { path.stride };
            walk(path, stride, None, &mut found);
            done.lock().unwrap().push((path, found));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    println!(
        "{:<8}{:>7}{:>14}{:>12}   a survivor has done everything in",
        "path", "kills", "instructions", "violations"
    );
    let mut violations = Vec::new();
    for (path, mut found) in done.into_inner().unwrap() {
        println!(
            "{:<8}{:>7}{:>14}{:>12}   {}",
            path.name,
            found.kills,
            format!("<= {}", found.instructions),
            found.violations.len(),
            percentiles(&mut found.times)
        );
        assert!(found.kills > 3, "{}: no path was walked", path.name);
        violations.append(&mut found.violations);
    }
    assert!(violations.is_empty(), "{violations:#?}");
}

/// The author decides first and wakes then: between the two stands the death that strands sleepers.
#[test]
fn a_decision_apart_from_its_wake_up_is_found() {
    let path = PATHS.iter().find(|path| path.name == "set").unwrap();
    let mut found = Found::default();
    // Some forty instructions, where nothing is optimised away.
    let stride = if cfg!(debug_assertions) { 25 } else { 5 };
    walk(path, stride, Some("wake.decide"), &mut found);
    println!("{} kills, {:#?}", found.kills, found.violations);
    assert!(
        !found.violations.is_empty(),
        "{} kills show nothing",
        found.kills
    );
}
