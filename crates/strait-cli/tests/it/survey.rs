//! `strait survey`: the engine has tests of its own; here is how the program runs it.

use crate::world::{Ran, World};

#[test]
fn a_survey_verifies_prints_and_writes() {
    let world = World::new();
    let file = world.space.path().join(".report");
    let mut command = world.command(&["survey", "--quick", "--only", "^(raw.syscall|nt.event)$"]);
    let ran = Ran::of(command.arg("--json").arg(&file).output().unwrap());
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert!(ran.out.contains("nt.event"), "{ran:?}");
    let widest = |ran: &Ran| ran.out.lines().map(|line| line.chars().count()).max();
    assert!(widest(&ran) > Some(80), "{ran:?}");
    let narrow = Ran::of(command.env("COLUMNS", "80").output().unwrap());
    assert!(widest(&narrow) <= Some(80), "{narrow:?}");
    // Without a terminal there is a line for each row, and no bar.
    assert!(!ran.err.contains('\u{1b}'), "{ran:?}");
    let report = std::fs::read_to_string(&file).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert!(report.is_object() || report.is_array());
}

#[test]
fn a_survey_of_nothing_is_refused() {
    let world = World::new();
    let ran = world.strait("survey --quick --only nosuch");
    assert_eq!((ran.status, &*ran.out), (Some(2), ""));
    assert!(ran.err.contains("no mechanism matches `nosuch`"), "{ran:?}");
    let ran = world.strait("survey --quick --only raw.syscall --json /no/such/file");
    assert_eq!(ran.status, Some(2), "{ran:?}");
}
