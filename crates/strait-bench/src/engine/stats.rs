//! From rounds of chunks to one figure: medians, ratios, and which rounds count.

use super::protocol::{Chunk, Measured, Round};
use crate::{Job, Measure};

/// Round trips of a cache line between these, in ns, are those of neighbouring CPUs.
const NEAR_NS: (f64, f64) = (45.0, 120.0);
/// With fewer rounds of near CPUs than this, whatever there is more of counts.
const NEAR_MIN: usize = 10;

/// What a row's rounds come to. Times and rates are in the measure's unit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// Median of the probe around the chunks that counted, in ns.
    pub(crate) probe_ns: f64,
    /// Rounds that counted, and those that did not: all, where there was none undisturbed.
    pub(crate) runs: usize,
    pub(crate) discarded: usize,
    /// No round was undisturbed: these are the disturbed ones, and no verdict can rest on them.
    pub(crate) disturbed: bool,
    /// The rounds that counted.
    rounds: Vec<Round>,
}

/// Draws the figure of `job`. With `classes`, only rounds with probes of one class count: near
/// CPUs if there are enough, and else whatever there is more of.
pub(crate) fn figure(job: Job, measured: &Measured, classes: bool) -> Option<Figure> {
    let total = measured.rounds.len() + measured.disturbed.len();
    let disturbed = measured.rounds.is_empty();
    let mut rounds = if disturbed {
        measured.disturbed.clone()
    } else {
        measured.rounds.clone()
    };
    if classes {
        rounds = of_one_class(rounds);
    }
    let mut values: Vec<f64> = rounds
        .iter()
        .filter_map(|round| Some(amount(job, subject(round)?.ns)))
        .collect();
    let mut probes: Vec<f64> = rounds
        .iter()
        .filter_map(|round| Some(subject(round)?.probe()))
        .collect();
    Some(Figure {
        median: median(&mut values)?,
        // `median` has sorted them.
        min: *values.first()?,
        max: *values.last()?,
        probe_ns: median(&mut probes)?,
        runs: if disturbed { 0 } else { rounds.len() },
        discarded: if disturbed {
            total
        } else {
            total - rounds.len()
        },
        disturbed,
        rounds,
    })
}

impl Figure {
    /// Median over the rounds of subject by probe; both are times.
    pub(crate) fn to_probe(&self) -> Option<f64> {
        let ratio = |round: &Round| Some(subject(round)?.ns / subject(round)?.probe());
        median(&mut self.rounds.iter().filter_map(ratio).collect::<Vec<_>>())
    }

    /// Median over the rounds of the subject's figure by that of the candidate at `index`, each
    /// in the unit of its own job.
    pub(crate) fn to_candidate(&self, job: Job, index: usize, other: Job) -> Option<f64> {
        let ratio = |round: &Round| {
            let (own, its) = (subject(round)?, round.chunks.get(index)?);
            Some(amount(job, own.ns) / amount(other, its.ns))
        };
        median(&mut self.rounds.iter().filter_map(ratio).collect::<Vec<_>>())
    }

    /// Whether the probe says that the CPUs are near each other.
    pub(crate) fn near(&self) -> bool {
        near(self.probe_ns)
    }
}

fn subject(round: &Round) -> Option<Chunk> {
    round.chunks.first().copied()
}

fn near(probe_ns: f64) -> bool {
    (NEAR_NS.0..=NEAR_NS.1).contains(&probe_ns)
}

fn of_one_class(rounds: Vec<Round>) -> Vec<Round> {
    let (near, other): (Vec<_>, Vec<_>) = rounds
        .into_iter()
        .partition(|round| subject(round).is_some_and(|it| near(it.probe())));
    if near.len() >= NEAR_MIN || near.len() >= other.len() {
        near
    } else {
        other
    }
}

/// Nanoseconds a step, in the unit of the job's measure.
pub(crate) fn amount(job: Job, ns: f64) -> f64 {
    match job.measure {
        Measure::Oneway => 1e9 / ns,
        // Bytes a nanosecond are GB a second.
        Measure::Bandwidth => job.size as f64 / ns * 1e3,
        _ => ns,
    }
}

/// The middle value; of an even number of them the mean of the two in the middle. Sorts.
pub(crate) fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len().is_multiple_of(2) {
        return Some(f64::midpoint(values[middle - 1], upper));
    }
    Some(upper)
}

/// The value that `share` of them do not exceed.
pub(crate) fn percentile(values: &mut [u32], share: f64) -> Option<f64> {
    values.sort_unstable();
    let rank = whole((values.len() as f64 * share).ceil()).saturating_sub(1);
    let index = usize::try_from(rank).ok()?;
    values
        .get(index.min(values.len().checked_sub(1)?))
        .copied()
        .map(f64::from)
}

/// The whole part of a number that is neither negative nor beyond 2^63.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to where every value has a whole part"
)]
pub(crate) fn whole(value: f64) -> u64 {
    value.clamp(0.0, 9e18) as u64
}

#[cfg(test)]
mod tests {
    //! Small sets whose figures can be worked out by hand.

    use super::*;

    fn round(ns: f64, probe: f64, other: f64) -> Round {
        let chunk = |ns| Chunk {
            ns,
            before: probe,
            after: probe,
        };
        Round {
            chunks: vec![chunk(ns), chunk(other)],
        }
    }

    fn measured(rounds: Vec<Round>, disturbed: Vec<Round>) -> Measured {
        Measured {
            rounds,
            disturbed,
            ..Measured::default()
        }
    }

    #[test]
    fn medians() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [3.0]), Some(3.0));
        assert_eq!(median(&mut [9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(&mut [9.0, 1.0, 5.0, 3.0]), Some(4.0));
    }

    #[test]
    fn percentiles() {
        assert_eq!(percentile(&mut [], 0.99), None);
        assert_eq!(percentile(&mut [7], 0.99), Some(7.0));
        let mut hundred: Vec<u32> = (1..=100).rev().collect();
        assert_eq!(percentile(&mut hundred, 0.99), Some(99.0));
        assert_eq!(percentile(&mut hundred, 0.5), Some(50.0));
        assert_eq!(percentile(&mut hundred, 1.0), Some(100.0));
    }

    #[test]
    fn units() {
        assert!((amount(Job::RTT, 250.0) - 250.0).abs() < 1e-9);
        assert!((amount(Job::ONEWAY, 250.0) - 4e6).abs() < 1e-3);
        assert!((amount(Job::BANDWIDTH, 65536.0) - 1000.0).abs() < 1e-9);
        assert_eq!(whole(-3.0), 0);
        assert_eq!(whole(3.9), 3);
        assert_eq!(whole(f64::NAN), 0);
    }

    #[test]
    fn a_ratio_is_the_median_of_ratios() {
        let rounds = vec![
            round(10.0, 5.0, 1.0),
            round(20.0, 5.0, 4.0),
            round(30.0, 10.0, 5.0),
        ];
        let figure = figure(
            Job::RTT,
            &measured(rounds, vec![round(1.0, 1.0, 1.0)]),
            false,
        );
        let figure = figure.unwrap();
        assert_eq!((figure.median, figure.min, figure.max), (20.0, 10.0, 30.0));
        assert_eq!((figure.runs, figure.discarded), (3, 1));
        assert_eq!(figure.to_probe(), Some(3.0));
        assert_eq!(figure.to_candidate(Job::RTT, 1, Job::RTT), Some(6.0));
        assert!(!figure.disturbed);
    }

    #[test]
    fn rates_turn_the_ratio_round() {
        let figure = figure(
            Job::ONEWAY,
            &measured(vec![round(10.0, 1.0, 40.0)], vec![]),
            false,
        );
        let figure = figure.unwrap();
        assert_eq!(figure.to_candidate(Job::ONEWAY, 1, Job::ONEWAY), Some(4.0));
    }

    #[test]
    fn disturbed_rounds_count_only_alone() {
        let figure = figure(
            Job::RTT,
            &measured(vec![], vec![round(8.0, 2.0, 1.0)]),
            false,
        );
        let figure = figure.unwrap();
        assert!(figure.disturbed);
        assert_eq!((figure.runs, figure.discarded), (0, 1));
        assert_eq!(super::figure(Job::RTT, &Measured::default(), false), None);
    }

    #[test]
    fn one_class_of_probes_counts() {
        let mut rounds = vec![round(100.0, 65.0, 1.0); 10];
        rounds.extend(vec![round(500.0, 316.0, 1.0); 20]);
        let near = figure(Job::RTT, &measured(rounds.clone(), vec![]), true).unwrap();
        assert_eq!((near.median, near.runs, near.discarded), (100.0, 10, 20));
        assert!(near.near());
        rounds.drain(..5);
        let far = figure(Job::RTT, &measured(rounds, vec![]), true).unwrap();
        assert_eq!((far.median, far.runs), (500.0, 20));
        assert!(!far.near());
    }
}
