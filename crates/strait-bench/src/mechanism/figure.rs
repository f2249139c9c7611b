//! What is measured, where, and what is promised about it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which of the two processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Asks, receives streams, and holds the clock.
    Near,
    /// Answers, and sends streams.
    Far,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// A round trip, in nanoseconds.
    Rtt,
    /// Small messages one way, a second.
    Oneway,
    /// Large messages one way, in MB (10^6 bytes) a second.
    Bandwidth,
    /// One operation that nobody contends, in nanoseconds.
    Uncontended,
    /// Opening and closing a session, in nanoseconds.
    Connect,
    /// A round trip, or where there is no other side one step, beside `size` idle companions, in
    /// nanoseconds.
    Scale,
}

impl Measure {
    /// The name in the output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rtt => "rtt",
            Self::Oneway => "oneway",
            Self::Bandwidth => "bandwidth",
            Self::Uncontended => "uncontended",
            Self::Connect => "connect",
            Self::Scale => "scale",
        }
    }

    /// The unit in the output.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Oneway => "msg/s",
            Self::Bandwidth => "MB/s",
            _ => "ns",
        }
    }

    /// Whether a larger figure is the better one.
    #[must_use]
    pub const fn more_is_better(self) -> bool {
        matches!(self, Self::Oneway | Self::Bandwidth)
    }
}

/// Where the two processes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// Each on a CPU of its own.
    Split,
    /// Both on one CPU, though the mechanism saw several when it was opened.
    Same,
    /// Wherever the kernel puts them.
    Free,
    /// Both confined to one CPU before the mechanism is opened.
    One,
}

impl Placement {
    /// The name in the output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Same => "same",
            Self::Free => "free",
            Self::One => "one",
        }
    }
}

/// A figure to take: what, and of which size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// What is measured.
    pub measure: Measure,
    /// Bytes in a message; idle companions for [`Measure::Scale`]; 0 where it does not apply.
    pub size: usize,
    /// How much of each message is verified.
    pub check: Check,
}

impl Job {
    /// A round trip of 64 bytes (of a sequence number, where no bytes are carried).
    pub const RTT: Self = Self::sized(Measure::Rtt, 64);
    /// Messages of 64 bytes, one way.
    pub const ONEWAY: Self = Self::sized(Measure::Oneway, 64);
    /// Messages of 64 KiB, one way.
    pub const BANDWIDTH: Self = Self::sized(Measure::Bandwidth, 64 << 10);
    /// An operation that nobody contends.
    pub const UNCONTENDED: Self = Self::sized(Measure::Uncontended, 0);
    /// The same on eight objects at once.
    pub const EIGHT: Self = Self::sized(Measure::Uncontended, 8);
    /// Opening and closing a session.
    pub const CONNECT: Self = Self::sized(Measure::Connect, 0);

    /// A figure for messages of `size` bytes: a multiple of 8, at least 16.
    #[must_use]
    pub const fn sized(measure: Measure, size: usize) -> Self {
        Self {
            measure,
            size,
            check: Check::Whole,
        }
    }

    /// The same, but only the first and last 64 bytes of a message are written and verified: for
    /// what is measured without touching the payload.
    #[must_use]
    pub const fn ends(self) -> Self {
        Self {
            check: Check::Ends,
            ..self
        }
    }

    /// Bytes in one message.
    pub(crate) const fn bytes(self) -> usize {
        match self.measure {
            Measure::Scale => 64,
            _ => self.size,
        }
    }
}

/// How much of each message is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// Every byte. The receiver's reading of it is part of the figure.
    Whole,
    /// The first and the last 64 bytes.
    Ends,
}

/// What a message is, and so what the other side can verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// Bytes: sequence number, pattern and stamps.
    Bytes,
    /// No payload; the sequence number itself is what is carried (a counter, a word).
    Value,
    /// Not even that: the sequence number lies in a shared word beside the mechanism, and what is
    /// verified is that each wake-up found the next one there.
    Beside,
    /// Nothing, as there is no other side: each step looks whether it worked.
    Nothing,
}

impl Carries {
    /// What was verified, for people.
    #[must_use]
    pub const fn verified(self) -> &'static str {
        match self {
            Self::Bytes => "sequence number and every byte",
            Self::Value => "sequence number, carried by value",
            Self::Beside => "count, and a sequence number in a shared word beside it",
            Self::Nothing => "count, and that each step found what it was to find",
        }
    }
}

/// How a side waits for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// In the kernel. Its round trip is compared with a futex everywhere.
    Blocks,
    /// On the CPU. Only measured on `split`.
    Polls,
    /// On the CPU first, then in the kernel. Compared with a cache line on `split`.
    Adapts,
}

/// Something promised about one figure.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// Which of the mechanism's figures.
    pub job: Job,
    /// Where; `None` for figures that have no placement.
    pub placement: Option<Placement>,
    /// Beside what.
    pub against: Against,
    /// How the ratio of the two figures (this over that, both in the measure's unit) must be.
    pub limit: Limit,
}

/// What a figure is compared with.
#[derive(Clone, Copy, Debug)]
pub enum Against {
    /// The same measure of another mechanism, interleaved with it in one pair of processes.
    Row(&'static str),
    /// Another figure of another mechanism.
    Other(&'static str, Job),
    /// A figure taken elsewhere, in the measure's unit: for what cannot run here.
    Figure(&'static str, f64),
}

/// A bound on a ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

impl Limit {
    /// Whether `ratio` keeps it.
    #[must_use]
    pub fn met(self, ratio: f64) -> bool {
        match self {
            Self::AtMost(limit) => ratio <= limit,
            Self::AtLeast(limit) => ratio >= limit,
        }
    }

    /// How far `ratio` is beyond it: above 1 is not met. Orders goals, worst first.
    #[must_use]
    pub fn strain(self, ratio: f64) -> f64 {
        match self {
            Self::AtMost(limit) => ratio / limit,
            Self::AtLeast(limit) => limit / ratio,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "<={limit}"),
            Self::AtLeast(limit) => write!(f, ">={limit}"),
        }
    }
}
