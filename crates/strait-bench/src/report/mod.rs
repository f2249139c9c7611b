//! The report: what was measured, and its forms as text, JSON and HTML.

mod advice;
mod goals;
mod html;
mod machine;
mod table;

use std::process::ExitCode;

use serde::Serialize;

use crate::{Measure, Placement};

pub use machine::Machine;

/// Everything a survey found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Where it was measured.
    pub machine: Machine,
    /// What was measured: by family and mechanism, as in the table.
    pub rows: Vec<Row>,
    /// What the reader should know besides: what was left out and why.
    #[serde(skip)]
    pub notes: Vec<String>,
    /// Too short to judge by.
    #[serde(skip)]
    pub quick: bool,
}

/// One figure. The names of the fields are the output format, which scripts read; what does not
/// apply is absent.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Stable name of the mechanism.
    pub mechanism: String,
    /// The family it belongs to.
    pub family: String,
    /// What was measured.
    pub measure: Measure,
    /// Bytes in a message, or idle companions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// Where the two processes ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// The figure: median over chunks, in `unit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median: Option<f64>,
    /// Of the chunks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Of the chunks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Of single round trips.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99: Option<f64>,
    /// `ns`, `msg/s` or `MB/s`.
    pub unit: &'static str,
    /// Chunks that counted.
    pub runs: usize,
    /// Chunks that did not: disturbed by a context switch, by foreign load, by CPUs that moved.
    pub discarded: usize,
    /// What the probe around the chunks took, in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_ns: Option<f64>,
    /// Every message was verified. If not, the row failed and there is no figure.
    pub verified: bool,
    /// What it was compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// This figure by that one: the median over the rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// How the ratio should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goal: Option<String>,
    /// Whether it is; absent if it could not be judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub met: Option<bool>,
    /// Why the row failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What the engine knows besides.
    #[serde(skip)]
    pub(crate) aside: Aside,
}

/// What a row's readers inside this crate need, and scripts do not.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Aside {
    /// What the mechanism is.
    pub(crate) about: &'static str,
    /// What was verified.
    pub(crate) checked: &'static str,
    /// A measuring rod, not for use.
    pub(crate) yardstick: bool,
    /// Messages carry bytes.
    pub(crate) bytes: bool,
    /// Repeats the figure of the row before, against something else.
    pub(crate) repeated: bool,
    /// Every chunk was disturbed.
    pub(crate) disturbed: bool,
    /// How far beyond its goal: above 1 is not met.
    pub(crate) strain: Option<f64>,
    /// Why a goal was not judged.
    pub(crate) unjudged: Option<&'static str>,
}

impl Report {
    /// The rows that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Row> {
        self.rows
            .iter()
            .filter(|row| !row.verified && !row.aside.repeated)
    }

    /// What a survey ends with: failure if a row failed.
    #[must_use]
    pub fn exit(&self) -> ExitCode {
        if self.failures().next().is_some() {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }

    /// The report as JSON, in the stable format.
    ///
    /// # Errors
    /// None that these types can cause.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }
}

impl Row {
    /// What it is, in one line: mechanism, measure, size, placement.
    #[must_use]
    pub fn title(&self) -> String {
        let mut title = format!("{} {}", self.mechanism, self.measure.name());
        if let Some(size) = self.size {
            title += &format!(" {}", size_of_message(size, self.measure));
        }
        if let Some(placement) = self.placement {
            title += &format!(" {}", placement.name());
        }
        title
    }
}

fn size_of_message(size: usize, measure: Measure) -> String {
    match size {
        _ if measure == Measure::Scale => format!("beside {size}"),
        size if size >= 1 << 20 && size.is_multiple_of(1 << 20) => format!("{} MiB", size >> 20),
        size if size >= 1 << 10 && size.is_multiple_of(1 << 10) => format!("{} KiB", size >> 10),
        size => format!("{size} B"),
    }
}

#[cfg(test)]
pub(crate) mod tests;
