//! Which rows there are, what each is compared with, and how long it may take.

use std::time::Duration;

use super::protocol::Candidate;
use super::role::find;
use crate::{Against, Carries, Entry, Goal, Job, Limit, Measure, Placement, Waits};

/// What a row costs besides its budget: two processes, opening, finding out how long steps take.
const OVERHEAD: Duration = Duration::from_millis(25);
/// A row measured for less says nothing.
const BUDGET_MIN: Duration = Duration::from_millis(40);

/// One figure of one mechanism in one place.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) entry: Entry,
    pub(crate) job: Job,
    pub(crate) placement: Option<Placement>,
    /// The probe, the subject, and what it is compared with.
    pub(crate) candidates: Vec<Candidate>,
    /// What becomes of them.
    pub(crate) comparisons: Vec<Comparison>,
}

/// One ratio of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) against: &'static str,
    pub(crate) with: With,
    pub(crate) limit: Option<Limit>,
}

/// What the subject's figure is divided by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum With {
    /// The probe around it.
    Probe,
    /// The candidate at this index of a round's chunks.
    Candidate(usize),
    /// A figure from elsewhere.
    Figure(f64),
}

/// What to plan for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) placements: &'a [Placement],
    /// Compare every subject with a second instance of itself, and nothing else.
    pub(crate) null: bool,
    /// Only figures with a goal.
    pub(crate) goals: bool,
}

/// The rows of `entry`.
pub(crate) fn rows(table: &[&[Entry]], entry: &Entry, wanted: &Wanted<'_>) -> Vec<Planned> {
    let mut rows = Vec::new();
    for &job in entry.measures {
        for placement in places(entry, job, wanted.placements) {
            let goals: Vec<&Goal> = entry
                .goals
                .iter()
                .filter(|goal| goal.job == job && goal.placement == placement)
                .filter(|goal| is_here(table, goal.against))
                .collect();
            if !wanted.goals || !goals.is_empty() {
                rows.push(row(table, entry, (job, placement), &goals, wanted.null));
            }
        }
    }
    rows
}

/// Whether this program can measure it: rivals are not built into every one, or need what is not
/// installed everywhere.
fn is_here(table: &[&[Entry]], against: Against) -> bool {
    let found = || find(table, against_id(against));
    matches!(against, Against::Figure(..)) || found().is_some_and(|one| (one.missing)().is_none())
}

/// Where a figure is taken: nowhere in particular if one process does it all.
fn places(entry: &Entry, job: Job, wanted: &[Placement]) -> Vec<Option<Placement>> {
    if entry.alone || job.measure == Measure::Uncontended {
        return vec![None];
    }
    let fits = |place: &Placement| entry.waits != Waits::Polls || *place == Placement::Split;
    wanted.iter().copied().filter(fits).map(Some).collect()
}

fn row(
    table: &[&[Entry]],
    entry: &Entry,
    (job, placement): (Job, Option<Placement>),
    goals: &[&Goal],
    null: bool,
) -> Planned {
    let probe = probe(entry, job, placement);
    let subject = Candidate {
        id: entry.id.to_owned(),
        job,
    };
    let mut candidates = vec![probe.clone(), subject.clone()];
    let mut comparisons: Vec<Comparison> = Vec::new();
    let mut compare = |against, job, limit: Option<Limit>| {
        let id = against_id(against);
        let other = Candidate {
            id: id.to_owned(),
            job: job_of(table, id, job),
        };
        let with = match against {
            Against::Figure(_, figure) => With::Figure(figure),
            _ if other == probe && !job.measure.more_is_better() => With::Probe,
            _ => {
                let known = candidates.iter().skip(2).position(|one| *one == other);
                let index = known.unwrap_or(candidates.len() - 2);
                if known.is_none() {
                    candidates.push(other);
                }
                With::Candidate(index + 1)
            }
        };
        let against = id;
        // A goal against what the row is compared with anyway needs no second comparison.
        match comparisons
            .iter_mut()
            .find(|one| (one.with, one.against) == (with, against))
        {
            Some(one) if one.limit.is_none() => one.limit = limit,
            _ => comparisons.push(Comparison {
                against,
                with,
                limit,
            }),
        }
    };
    if null {
        compare(Against::Row(entry.id), job, None);
    } else {
        if let Some((id, job)) = reference(table, entry, job, placement) {
            compare(Against::Row(id), job, None);
        }
        for goal in goals {
            let other = match goal.against {
                Against::Other(_, other) => other,
                _ => job,
            };
            compare(goal.against, other, Some(goal.limit));
        }
    }
    Planned {
        entry: *entry,
        job,
        placement,
        candidates,
        comparisons,
    }
}

/// The mechanism that a goal is against.
pub(crate) fn against_id(against: Against) -> &'static str {
    match against {
        Against::Row(id) | Against::Other(id, _) | Against::Figure(id, _) => id,
    }
}

/// What stands around every chunk: a cache line between two CPUs, a futex elsewhere, and a bare
/// system call where there is no other side.
fn probe(entry: &Entry, job: Job, placement: Option<Placement>) -> Candidate {
    let (id, job) = if entry.alone || job.measure == Measure::Uncontended {
        ("raw.syscall", Job::UNCONTENDED)
    } else if placement == Some(Placement::Split) {
        ("raw.spin", Job::RTT)
    } else {
        ("raw.futex", Job::RTT)
    };
    Candidate {
        id: id.to_owned(),
        job,
    }
}

/// What a figure is compared with if no goal says otherwise. A blocking round trip between two
/// CPUs measures the hypervisor's wake-up, so there too it stands beside a futex.
fn reference(
    table: &[&[Entry]],
    entry: &Entry,
    job: Job,
    placement: Option<Placement>,
) -> Option<(&'static str, Job)> {
    let id = match job.measure {
        Measure::Scale if entry.alone => return Some(("raw.syscall", Job::UNCONTENDED)),
        Measure::Rtt if entry.beside.is_some() => entry.beside?,
        Measure::Rtt | Measure::Scale
            if placement == Some(Placement::Split) && entry.waits != Waits::Blocks =>
        {
            "raw.spin"
        }
        Measure::Rtt | Measure::Scale => "raw.futex",
        Measure::Oneway => "raw.pipe",
        Measure::Bandwidth => "raw.memcpy",
        Measure::Uncontended => "raw.syscall",
        Measure::Connect => "raw.unix.stream",
    };
    let known = find(table, id).filter(|one| (one.missing)().is_none());
    let known = known?.measures;
    known
        .iter()
        .any(|known| known.measure == plain(job.measure))
        .then_some((id, job))
}

/// The job that a reference does where `job` is asked of it: the same, unless it has no payload
/// that could be of that size, or nothing to stand idle beside it.
fn job_of(table: &[&[Entry]], id: &str, job: Job) -> Job {
    let Some(entry) = find(table, id) else {
        return job;
    };
    if entry.measures.contains(&job) {
        return job;
    }
    let measure = plain(job.measure);
    let payload = entry.carries == Carries::Bytes && measure == job.measure;
    let own = entry.measures.iter().find(|own| own.measure == measure);
    if payload {
        job
    } else {
        own.copied().unwrap_or(job)
    }
}

/// The measure a reference line has for it.
fn plain(measure: Measure) -> Measure {
    if measure == Measure::Scale {
        Measure::Rtt
    } else {
        measure
    }
}

/// How long a row may measure, if `rows` of them, this one included, have `left` in all.
pub(crate) fn budget(left: Duration, rows: usize, most: Duration) -> Duration {
    let rows = u32::try_from(rows.max(1)).unwrap_or(u32::MAX);
    (left / rows)
        .saturating_sub(OVERHEAD)
        .clamp(BUDGET_MIN, most)
}

#[cfg(test)]
mod tests;
