//! The last paragraph: which mechanism to use for what, from nothing but the rows.
//!
//! For each purpose the best verified row wins; those within reach of it are named as level. A
//! purpose that no row speaks to is said to be open, and why.

use super::Row;
use super::table::cell;
use crate::{Measure, Placement};

/// Rows this close to the best are level with it; across CPUs more is needed to differ.
const LEVEL: f64 = 1.1;
const LEVEL_SPLIT: f64 = 1.3;
/// How many that are level are named.
const NAMED_MAX: usize = 3;

/// Something a program wants, and which rows speak to it.
struct Purpose {
    to: &'static str,
    measure: Measure,
    /// Where it counts, most telling first; none for what has no place.
    places: &'static [Placement],
    /// Only mechanisms that carry bytes.
    bytes: bool,
}

const PURPOSES: &[Purpose] = &[
    Purpose {
        to: "wake a process on the same CPU and be woken by it",
        measure: Measure::Rtt,
        places: &[Placement::Same, Placement::One],
        bytes: false,
    },
    Purpose {
        to: "wake one on another CPU",
        measure: Measure::Rtt,
        places: &[Placement::Split],
        bytes: false,
    },
    Purpose {
        to: "ask and answer with bytes, wherever the two run",
        measure: Measure::Rtt,
        places: &[Placement::Free, Placement::Same, Placement::One],
        bytes: true,
    },
    Purpose {
        to: "stream small messages",
        measure: Measure::Oneway,
        places: &[
            Placement::Free,
            Placement::Split,
            Placement::Same,
            Placement::One,
        ],
        bytes: true,
    },
    Purpose {
        to: "move much data",
        measure: Measure::Bandwidth,
        places: &[
            Placement::Free,
            Placement::Split,
            Placement::Same,
            Placement::One,
        ],
        bytes: true,
    },
    Purpose {
        to: "signal and take what nobody contends",
        measure: Measure::Uncontended,
        places: &[],
        bytes: false,
    },
    Purpose {
        to: "open a session",
        measure: Measure::Connect,
        places: &[
            Placement::Free,
            Placement::Split,
            Placement::Same,
            Placement::One,
        ],
        bytes: false,
    },
];

/// The paragraph.
pub(super) fn paragraph(rows: &[Row]) -> String {
    let mut text = "Which to use, on this machine.".to_owned();
    for purpose in PURPOSES {
        text += " ";
        text += &purpose.sentence(rows);
    }
    let mut failed: Vec<&str> = rows
        .iter()
        .filter(|row| !row.verified)
        .map(|row| row.mechanism.as_str())
        .collect();
    failed.dedup();
    if !failed.is_empty() {
        text += &format!(" Not considered where they failed: {}.", failed.join(", "));
    }
    text
}

impl Purpose {
    fn sentence(&self, rows: &[Row]) -> String {
        let speaks = |row: &&Row| {
            row.measure == self.measure
                && !row.aside.yardstick
                && !row.aside.repeated
                && (row.aside.bytes || !self.bytes)
                && row
                    .placement
                    .is_none_or(|place| self.places.contains(&place))
        };
        let all: Vec<&Row> = rows.iter().filter(speaks).collect();
        let good: Vec<&Row> = all
            .iter()
            .copied()
            .filter(|row| row.verified && row.median.is_some())
            .collect();
        let places = self.places.iter().copied().map(Some).chain([None]);
        for place in places {
            let here: Vec<&Row> = good
                .iter()
                .copied()
                .filter(|row| row.placement == place)
                .collect();
            if let Some(text) = winners(here) {
                return format!("To {}: {text}.", self.to);
            }
        }
        if all.is_empty() {
            return format!("What to use to {} was not measured.", self.to);
        }
        format!(
            "What to use to {} is open: whatever was measured failed.",
            self.to
        )
    }
}

/// The best row and those level with it.
fn winners(mut rows: Vec<&Row>) -> Option<String> {
    let more = rows.first()?.measure.more_is_better();
    let worth = |row: &Row| {
        let median = row.median.unwrap_or(0.0);
        if more { -median } else { median }
    };
    rows.sort_by(|one, other| worth(one).total_cmp(&worth(other)));
    let best = *rows.first()?;
    let level = if best.placement == Some(Placement::Split) {
        LEVEL_SPLIT
    } else {
        LEVEL
    };
    let near = |row: &&&Row| {
        let (one, other) = (worth(best).abs(), worth(row).abs());
        one.max(other) <= level * one.min(other) && row.mechanism != best.mechanism
    };
    let others: Vec<&str> = rows[1..]
        .iter()
        .filter(near)
        .map(|row| row.mechanism.as_str())
        .collect();
    let place = best
        .placement
        .map_or(String::new(), |place| format!(", {}", place.name()));
    let mut text = format!("{} ({}{place})", best.mechanism, cell(best));
    if !others.is_empty() {
        let named = &others[..others.len().min(NAMED_MAX)];
        let rest = others.len() - named.len();
        let more = if rest > 0 {
            format!(" and {rest} more")
        } else {
            String::new()
        };
        text += &format!(", level with {}{more}", named.join(", "));
    }
    Some(text)
}
