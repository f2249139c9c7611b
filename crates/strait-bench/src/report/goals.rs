//! The rows with a goal, worst first.

use std::fmt::Write;

use super::table::{WIDTH, amount, cell, wrapped};
use super::{Report, Row};

impl Report {
    /// The rows with a goal as text, worst first.
    #[must_use]
    pub fn goals(&self) -> String {
        let rows = self.with_goals();
        let widest = rows.iter().map(|row| row.title().len()).max().unwrap_or(0);
        let mut text = String::new();
        if rows.is_empty() {
            text += "no row has a goal\n";
        }
        for row in rows {
            let against = row.against.as_deref().unwrap_or("");
            let ratio = row
                .ratio
                .map_or_else(String::new, |ratio| format!("{ratio:.3}"));
            let goal = row.goal.as_deref().unwrap_or("");
            let probe = row.probe_ns.map_or_else(String::new, |ns| amount(ns, "ns"));
            let _ = writeln!(
                text,
                "{:10}  {:widest$}  {:>9}  {ratio:>8} of {against}, goal {goal} (probe {probe}, \
                 {} runs, {} discarded){}",
                verdict(row),
                row.title(),
                cell(row),
                row.runs,
                row.discarded,
                reason(row),
            );
        }
        for note in &self.notes {
            text += "\n";
            text += &wrapped(note, WIDTH);
        }
        text
    }

    /// Whether every goal is met: one that failed or could not be judged is not.
    #[must_use]
    pub fn goals_met(&self) -> bool {
        self.with_goals().iter().all(|row| row.met == Some(true))
    }

    fn with_goals(&self) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.rows.iter().filter(|row| row.goal.is_some()).collect();
        // What has no strain failed or was not judged: nothing is worse.
        let strain = |row: &Row| row.aside.strain.unwrap_or(f64::INFINITY);
        rows.sort_by(|one, other| strain(other).total_cmp(&strain(one)));
        rows
    }
}

fn verdict(row: &Row) -> &'static str {
    match row.met {
        _ if !row.verified => "FAILED",
        Some(true) => "met",
        Some(false) => "NOT MET",
        None => "not judged",
    }
}

fn reason(row: &Row) -> String {
    match (&row.error, row.aside.unjudged) {
        (Some(error), _) => format!(": {error}"),
        (None, Some(why)) => format!(": {why}"),
        (None, None) => String::new(),
    }
}
