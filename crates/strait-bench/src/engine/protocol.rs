//! What the supervisor and the two sides tell each other: one JSON object a line.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Failure, Job, Placement, Side};

/// What a side is to do: the first and only line it is sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) side: Side,
    /// Process ids of near and far.
    pub(crate) pair: [u32; 2],
    pub(crate) placement: Option<Placement>,
    /// Two CPUs that this process may use: for near, for far. The same one twice if it is alone.
    pub(crate) cpus: [usize; 2],
    /// The probe first, then the subject, then what it is compared with.
    pub(crate) candidates: Vec<Candidate>,
    /// How long to measure, opening not counted.
    pub(crate) budget_ms: u64,
    /// How long a chunk of the subject takes.
    pub(crate) chunk_us: u64,
    /// System V key of the first candidate; the others follow.
    pub(crate) key: i32,
    /// Directory of this row; each candidate has a subdirectory.
    pub(crate) place: PathBuf,
}

/// One mechanism to be opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Candidate {
    pub(crate) id: String,
    pub(crate) job: Job,
}

/// What a side says to the supervisor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Said {
    /// Still at it.
    Alive,
    /// The figures; near's last word.
    Measured(Measured),
    /// Why there are none; a side's last word.
    Failed(Failure),
}

/// Everything near saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Rounds in which no chunk was disturbed.
    pub(crate) rounds: Vec<Round>,
    /// Rounds in which one was: only used if there are no others.
    pub(crate) disturbed: Vec<Round>,
    /// 99th percentile of single trips, in ns, where there are trips.
    pub(crate) p99: Option<f64>,
    /// Messages verified, both sides.
    pub(crate) verified: u64,
}

/// One chunk of each candidate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Round {
    /// Nanoseconds a step: of the subject, then of what it is compared with.
    pub(crate) chunks: Vec<Chunk>,
}

/// One chunk and the two of the probe around it, in ns a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Chunk {
    pub(crate) ns: f64,
    pub(crate) before: f64,
    pub(crate) after: f64,
}

impl Chunk {
    /// What the probe took around this chunk.
    pub(crate) fn probe(self) -> f64 {
        f64::midpoint(self.before, self.after)
    }
}
