//! The plan of the real table, and what goals add to it.

use super::*;
use crate::TABLE;

const ALL: &[Placement] = &[Placement::Split, Placement::Same, Placement::Free];

fn of(id: &str, wanted: &Wanted<'_>) -> Vec<Planned> {
    rows(TABLE, find(TABLE, id).unwrap(), wanted)
}

fn everything(null: bool) -> Wanted<'static> {
    Wanted {
        placements: ALL,
        null,
        goals: false,
    }
}

fn ids(row: &Planned) -> Vec<&str> {
    row.candidates.iter().map(|one| one.id.as_str()).collect()
}

#[test]
fn every_reference_of_every_row_can_take_its_job() {
    for entry in TABLE.iter().flat_map(|family| family.iter()) {
        for row in rows(TABLE, entry, &everything(false)) {
            for one in &row.candidates {
                let known = find(TABLE, &one.id).unwrap_or_else(|| panic!("{}", one.id));
                let has = known
                    .measures
                    .iter()
                    .any(|job| [one.job.measure, plain(one.job.measure)].contains(&job.measure));
                assert!(has, "{} has no {:?}", one.id, one.job);
            }
        }
    }
}

#[test]
fn ids_are_unique() {
    let mut ids: Vec<&str> = TABLE
        .iter()
        .flat_map(|family| family.iter())
        .map(Entry::id)
        .collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[test]
fn what_polls_is_only_split_and_what_is_alone_is_nowhere() {
    let spin = of("raw.spin", &everything(false));
    assert_eq!(
        spin.iter().map(|row| row.placement).collect::<Vec<_>>(),
        [Some(Placement::Split)]
    );
    let copy = of("raw.memcpy", &everything(false));
    assert_eq!(
        copy.iter().map(|row| row.placement).collect::<Vec<_>>(),
        [None]
    );
    let same = Wanted {
        placements: &[Placement::Same],
        ..everything(false)
    };
    assert!(of("raw.ring", &same).is_empty());
}

#[test]
fn blocking_is_compared_with_a_futex_between_probes_of_the_place() {
    let rows = of("raw.tcp", &everything(false));
    let rtt: Vec<_> = rows.iter().filter(|row| row.job == Job::RTT).collect();
    assert_eq!(ids(rtt[0]), ["raw.spin", "raw.tcp", "raw.futex"]);
    assert_eq!(rtt[0].comparisons[0].with, With::Candidate(1));
    assert_eq!(ids(rtt[1]), ["raw.futex", "raw.tcp"]);
    assert_eq!(rtt[1].comparisons[0].with, With::Probe);
}

#[test]
fn a_row_may_name_what_it_stands_beside() {
    let same = Wanted {
        placements: &[Placement::Same],
        ..everything(false)
    };
    let sizes = |id| -> Vec<_> {
        let rows = of(id, &same);
        let two = |row: &Planned| (row.candidates[2].id.clone(), row.candidates[2].job);
        rows.iter().map(two).collect()
    };
    let of_size = |size| Job::sized(Measure::Rtt, size);
    assert_eq!(
        sizes("rpc.onc.local"),
        [64, 1 << 10, 64 << 10, 1 << 20].map(|size| ("raw.unix.stream".into(), of_size(size)))
    );
    assert_eq!(sizes("rpc.onc.tcp.null"), [("raw.tcp".into(), Job::RTT)]);
}

#[test]
fn goals_against_what_is_missing_here_are_no_goals() {
    let goals = &[Goal {
        job: Job::RTT,
        placement: Some(Placement::Same),
        against: Against::Row("raw.tcp"),
        limit: Limit::AtMost(1.0),
    }];
    let entry = Entry {
        goals,
        ..*find(TABLE, "raw.pipe").unwrap()
    };
    let wanted = Wanted {
        goals: true,
        ..everything(false)
    };
    let missing = Entry {
        missing: || Some("it is elsewhere"),
        ..*find(TABLE, "raw.tcp").unwrap()
    };
    assert_eq!(rows(TABLE, &entry, &wanted).len(), 1);
    assert!(rows(&[&[missing]], &entry, &wanted).is_empty());
}

#[test]
fn goals_are_against_what_there_is_or_may_be() {
    let goals = TABLE.iter().flat_map(|family| family.iter());
    for goal in goals.flat_map(|entry| entry.goals) {
        let id = against_id(goal.against);
        assert!(
            is_here(TABLE, goal.against) || id.starts_with("rival."),
            "{id}"
        );
    }
    let goals = &[Goal {
        job: Job::RTT,
        placement: Some(Placement::Same),
        against: Against::Row("rival.of.nobody"),
        limit: Limit::AtMost(1.0),
    }];
    let entry = Entry {
        goals,
        ..*find(TABLE, "raw.pipe").unwrap()
    };
    let mut wanted = everything(false);
    assert_eq!(rows(TABLE, &entry, &wanted)[1].comparisons.len(), 1);
    wanted.goals = true;
    assert!(rows(TABLE, &entry, &wanted).is_empty());
}

#[test]
fn another_job_of_the_same_measure_is_kept() {
    let goals = Wanted {
        goals: true,
        ..everything(false)
    };
    let all = &of("nt.wait.all", &goals)[0];
    assert_eq!(all.candidates[2].job, Job::EIGHT);
    let names = &of("nt.names", &goals)[0];
    assert_eq!(ids(names), ["raw.syscall", "nt.names", "nt.names"]);
    let sizes: Vec<_> = names.candidates.iter().map(|one| one.job.size).collect();
    assert_eq!(sizes[1..], [100_000, 100]);
    assert_eq!(names.comparisons[0].with, With::Probe);
    assert_eq!(names.comparisons[1].with, With::Candidate(1));
}

#[test]
fn the_null_test_compares_a_row_with_itself() {
    for row in of("raw.pipe", &everything(true)) {
        assert_eq!(ids(&row)[1..], ["raw.pipe", "raw.pipe"]);
        assert_eq!(row.comparisons.len(), 1);
        assert_eq!(row.comparisons[0].with, With::Candidate(1));
    }
}

#[test]
fn goals_join_the_comparison_there_is_or_add_their_own() {
    const fn goal(against: Against, limit: Limit) -> Goal {
        Goal {
            job: Job::RTT,
            placement: Some(Placement::Same),
            against,
            limit,
        }
    }
    const GOALS: &[Goal] = &[
        goal(Against::Row("raw.futex"), Limit::AtMost(1.5)),
        goal(Against::Row("raw.unix.stream"), Limit::AtMost(0.4)),
        goal(Against::Figure("elsewhere", 46_000.0), Limit::AtMost(0.2)),
        goal(Against::Row("raw.unix.stream"), Limit::AtLeast(0.1)),
    ];
    let entry = Entry {
        goals: GOALS,
        ..*find(TABLE, "raw.pipe").unwrap()
    };
    let rows = rows(
        TABLE,
        &entry,
        &Wanted {
            goals: true,
            ..everything(false)
        },
    );
    assert_eq!(rows.len(), 1);
    assert_eq!(ids(&rows[0]), ["raw.futex", "raw.pipe", "raw.unix.stream"]);
    let comparisons: Vec<_> = rows[0]
        .comparisons
        .iter()
        .map(|one| (one.with, one.limit))
        .collect();
    assert_eq!(
        comparisons,
        [
            (With::Probe, Some(Limit::AtMost(1.5))),
            (With::Candidate(1), Some(Limit::AtMost(0.4))),
            (With::Figure(46_000.0), Some(Limit::AtMost(0.2))),
            (With::Candidate(1), Some(Limit::AtLeast(0.1))),
        ]
    );
}

#[test]
fn a_budget_is_a_share_of_what_is_left() {
    let second = Duration::from_secs(1);
    assert_eq!(budget(10 * second, 10, 5 * second), second - OVERHEAD);
    assert_eq!(budget(second, 1000, second), BUDGET_MIN);
    assert_eq!(budget(100 * second, 1, second), second);
}
