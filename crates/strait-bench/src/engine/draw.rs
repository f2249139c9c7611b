//! From what near saw to the rows of the report, and their judgement.

use super::plan::{Comparison, Planned, With};
use super::protocol::Measured;
use super::stats::{self, Figure};
use crate::report::{Aside, Row};
use crate::{Carries, Check, Failure, Measure, Outcome, Placement, Waits};

/// What a row looks like before it is measured.
pub(crate) fn blank(planned: &Planned) -> Row {
    let entry = planned.entry;
    let bytes = entry.carries == Carries::Bytes && planned.job.size > 0;
    let measure = planned.job.measure;
    let sized = (bytes && measure != Measure::Uncontended) || measure == Measure::Scale;
    Row {
        mechanism: entry.id.to_owned(),
        family: entry.family().to_owned(),
        measure,
        size: sized.then_some(planned.job.size),
        placement: planned.placement,
        median: None,
        min: None,
        max: None,
        p99: None,
        unit: measure.unit(),
        runs: 0,
        discarded: 0,
        probe_ns: None,
        verified: false,
        against: None,
        ratio: None,
        goal: None,
        met: None,
        error: None,
        aside: Aside {
            about: entry.about,
            checked: checked(planned),
            yardstick: entry.yardstick,
            bytes,
            ..Aside::default()
        },
    }
}

/// What is verified of each message.
fn checked(planned: &Planned) -> &'static str {
    match (planned.entry.carries, planned.job.check) {
        (Carries::Bytes, Check::Ends) => {
            "sequence number, and every byte of the first and last 64 B"
        }
        (carries, _) => carries.verified(),
    }
}

/// The rows that come of what near saw: one for each comparison, at least one.
pub(crate) fn drawn(planned: &Planned, result: Outcome<Measured>, quick: bool) -> Vec<Row> {
    let classes =
        planned.placement == Some(Placement::Split) && planned.entry.waits != Waits::Blocks;
    let drawn = result.and_then(|measured| {
        let figure = stats::figure(planned.job, &measured, classes);
        let figure = figure.ok_or_else(|| Failure::new("no chunk was measured"))?;
        Ok((figure, measured))
    });
    let mut base = blank(planned);
    if planned.comparisons.is_empty() {
        fill(&mut base, &drawn);
        return vec![base];
    }
    let mut rows = Vec::new();
    for comparison in &planned.comparisons {
        let mut row = base.clone();
        fill(&mut row, &drawn);
        row.against = Some(comparison.against.to_owned());
        row.aside.repeated = !rows.is_empty();
        if let Ok((figure, _)) = &drawn {
            row.ratio = ratio(planned, comparison, figure).map(rounded);
        }
        if !quick {
            judge(
                &mut row,
                comparison,
                drawn.as_ref().ok().map(|(figure, _)| figure),
                classes,
            );
        }
        rows.push(row);
    }
    rows
}

fn fill(row: &mut Row, drawn: &Outcome<(Figure, Measured)>) {
    match drawn {
        Ok((figure, measured)) => {
            row.median = Some(rounded(figure.median));
            row.min = Some(rounded(figure.min));
            row.max = Some(rounded(figure.max));
            row.p99 = measured.p99.map(rounded);
            row.runs = figure.runs;
            row.discarded = figure.discarded;
            row.probe_ns = Some(rounded(figure.probe_ns));
            row.verified = true;
            row.aside.disturbed = figure.disturbed;
        }
        Err(failure) => row.error = Some(failure.to_string()),
    }
}

fn ratio(planned: &Planned, comparison: &Comparison, figure: &Figure) -> Option<f64> {
    match comparison.with {
        With::Probe => figure.to_probe(),
        With::Candidate(index) => {
            let other = planned.candidates.get(index + 1)?;
            figure.to_candidate(planned.job, index, other.job)
        }
        With::Figure(other) => Some(figure.median / other),
    }
}

/// Holds a row against its goal, if it can be judged.
fn judge(row: &mut Row, comparison: &Comparison, figure: Option<&Figure>, classes: bool) {
    let Some(limit) = comparison.limit else {
        return;
    };
    row.goal = Some(limit.to_string());
    let Some((figure, ratio)) = figure.zip(row.ratio) else {
        return;
    };
    if figure.disturbed {
        row.aside.unjudged = Some("every run was disturbed");
    } else if classes && !figure.near() {
        row.aside.unjudged = Some("the two CPUs are not near each other");
    } else {
        row.met = Some(limit.met(ratio));
        row.aside.strain = Some(limit.strain(ratio));
    }
}

/// Enough digits to compare by, and no more than can be read.
fn rounded(value: f64) -> f64 {
    if value.abs() >= 1000.0 {
        value.round()
    } else {
        (value * 1000.0).round() / 1000.0
    }
}

#[cfg(test)]
mod tests {
    //! One planned row, several goals, and what can be said of them.

    use super::*;
    use crate::engine::plan::{Wanted, rows};
    use crate::engine::protocol::{Chunk, Round};
    use crate::{Against, Entry, Goal, Job, Limit, TABLE, raw};

    const fn goal(against: Against, limit: f64) -> Goal {
        let limit = Limit::AtMost(limit);
        Goal {
            job: Job::RTT,
            placement: Some(Placement::Split),
            against,
            limit,
        }
    }

    const GOALS: &[Goal] = &[
        goal(Against::Row("raw.spin"), 2.0),
        goal(Against::Row("raw.futex"), 0.5),
        goal(Against::Figure("elsewhere", 1000.0), 0.05),
    ];

    fn planned() -> Planned {
        let entry = Entry {
            goals: GOALS,
            waits: Waits::Adapts,
            ..raw::TABLE[4]
        };
        let placements = &[Placement::Split];
        rows(
            TABLE,
            &entry,
            &Wanted {
                placements,
                null: false,
                goals: true,
            },
        )
        .remove(0)
    }

    fn measured(probe: f64) -> Measured {
        let chunk = |ns| Chunk {
            ns,
            before: probe,
            after: probe,
        };
        let round = Round {
            chunks: vec![chunk(100.0), chunk(400.0)],
        };
        Measured {
            rounds: vec![round; 3],
            p99: Some(7.0),
            ..Measured::default()
        }
    }

    fn met(rows: &[Row]) -> Vec<Option<bool>> {
        rows.iter().map(|row| row.met).collect()
    }

    #[test]
    fn every_goal_is_a_row_and_is_judged() {
        let rows = drawn(&planned(), Ok(measured(80.0)), false);
        let ratios: Vec<_> = rows.iter().filter_map(|row| row.ratio).collect();
        assert_eq!(ratios, [1.25, 0.25, 0.1]);
        assert_eq!(met(&rows), [Some(true), Some(true), Some(false)]);
        let repeated: Vec<_> = rows.iter().map(|row| row.aside.repeated).collect();
        assert_eq!(repeated, [false, true, true]);
        assert!(
            rows.iter()
                .all(|row| row.verified && row.p99 == Some(7.0) && row.runs == 3)
        );
    }

    #[test]
    fn a_quick_survey_judges_nothing() {
        let rows = drawn(&planned(), Ok(measured(80.0)), true);
        assert!(
            rows.iter()
                .all(|row| row.goal.is_none() && row.met.is_none())
        );
    }

    #[test]
    fn far_cpus_and_disturbed_runs_are_not_judged() {
        let rows = drawn(&planned(), Ok(measured(316.0)), false);
        assert_eq!(met(&rows), [None; 3]);
        assert!(
            rows.iter()
                .all(|row| row.goal.is_some() && row.aside.unjudged.is_some())
        );
        let mut disturbed = measured(80.0);
        std::mem::swap(&mut disturbed.rounds, &mut disturbed.disturbed);
        let rows = drawn(&planned(), Ok(disturbed), false);
        assert_eq!(met(&rows), [None; 3]);
        assert!(rows.iter().all(|row| row.aside.disturbed));
    }

    #[test]
    fn a_failure_is_a_row_without_a_figure() {
        for result in [Err(Failure::new("no")), Ok(Measured::default())] {
            let rows = drawn(&planned(), result, false);
            assert!(rows.iter().all(|row| !row.verified && row.error.is_some()));
            assert!(
                rows.iter()
                    .all(|row| row.median.is_none() && row.met.is_none())
            );
        }
    }
}
