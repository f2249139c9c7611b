//! The report as text: a table by family, what its figures mean, and what to make of them.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Report, Row, advice, size_of_message};
use crate::{Measure, Placement};

/// Columns of text, where nothing asks for fewer.
pub(super) const WIDTH: usize = 100;

/// One line of the table: a mechanism in one place.
struct Line<'a> {
    name: String,
    placement: &'static str,
    trip: Option<&'a Row>,
    oneway: Option<&'a Row>,
    bandwidth: Option<&'a Row>,
    alone: Option<&'a Row>,
}

/// A measure in the table: its heading, how wide its figures are, and where they stand.
struct Column {
    heading: &'static str,
    width: usize,
    of: for<'a> fn(&Line<'a>) -> Option<&'a Row>,
    /// Whether single trips were timed.
    has_p99: bool,
}

const COLUMNS: [Column; 4] = [
    Column {
        heading: "trip",
        width: 7,
        of: |line| line.trip,
        has_p99: true,
    },
    Column {
        heading: "64 B",
        width: 8,
        of: |line| line.oneway,
        has_p99: false,
    },
    Column {
        heading: "64 KiB",
        width: 9,
        of: |line| line.bandwidth,
        has_p99: false,
    },
    Column {
        heading: "alone",
        width: 7,
        of: |line| line.alone,
        has_p99: false,
    },
];

impl Report {
    /// The report as text, at most 100 columns wide.
    #[must_use]
    pub fn table(&self) -> String {
        self.table_within(WIDTH)
    }

    /// The report as text for a terminal of so many columns. From 100 on it is all that
    /// [`table`](Self::table) gives; below, the measures of a family stand in two tables, of about
    /// 70 columns.
    #[must_use]
    pub fn table_within(&self, width: usize) -> String {
        let width = width.min(WIDTH);
        let mut text = wrapped(&self.heading(), width);
        let mut families: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !families.contains(&row.family.as_str()) {
                families.push(&row.family);
            }
        }
        for family in families {
            let rows: Vec<&Row> = self
                .rows
                .iter()
                .filter(|row| row.family == family && !row.aside.repeated)
                .collect();
            text += &blocks(family, &lines(&rows), width);
        }
        for paragraph in self.explanations() {
            text += "\n";
            text += &wrapped(&paragraph, width);
        }
        text
    }

    fn heading(&self) -> String {
        let machine = &self.machine;
        let kind = if machine.is_virtual { ", virtual" } else { "" };
        let s = if machine.cpus == 1 { "" } else { "s" };
        format!(
            "{} CPU{s} ({}{kind}), Linux {}",
            machine.cpus, machine.model, machine.kernel
        )
    }

    /// Everything below the table, a paragraph each.
    pub(super) fn explanations(&self) -> Vec<String> {
        let mut paragraphs = vec![self.legend()];
        paragraphs.extend(self.verification());
        for row in self.failures() {
            let why = row.error.as_deref().unwrap_or("for no known reason");
            paragraphs.push(format!("FAILED {}: {why}", row.title()));
        }
        paragraphs.extend(self.discards());
        paragraphs.extend(self.notes.iter().cloned());
        if !self.quick {
            paragraphs.push(advice::paragraph(&self.rows));
        }
        paragraphs
    }

    fn legend(&self) -> String {
        let mut against: BTreeMap<Measure, Vec<&str>> = BTreeMap::new();
        for row in self.rows.iter().filter(|row| !row.aside.repeated) {
            let known = against.entry(row.measure).or_default();
            known.extend(row.against.as_deref().filter(|id| !known.contains(id)));
        }
        against.retain(|_, ids| !ids.is_empty());
        let parts: Vec<String> = against
            .iter()
            .map(|(measure, ids)| format!("{} to {}", words(*measure), ids.join(" or ")))
            .collect();
        let ratios = if parts.is_empty() {
            String::new()
        } else {
            format!(
                " Ratios, from chunks interleaved in one pair of processes: {}.",
                parts.join("; ")
            )
        };
        format!(
            "Figures are medians over chunks. trip: there and back, 64 B where bytes are carried; \
             64 B, 64 KiB: one way; alone: an operation that nobody contends. CPUs: split, one for \
             each process; same, both on one; free, where the kernel puts them; one, confined to \
             one from the start.{ratios} Blocking across CPUs measures how the machine wakes a \
             CPU: there ratios from 0.7 to 1.3 say nothing and are printed ~1x."
        )
    }

    /// What `verified` means for whom.
    fn verification(&self) -> Option<String> {
        let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for row in self
            .rows
            .iter()
            .filter(|row| row.verified && !row.aside.checked.is_empty())
        {
            let group = groups.entry(row.aside.checked).or_default();
            if !group.contains(&row.mechanism.as_str()) {
                group.push(&row.mechanism);
            }
        }
        if groups.is_empty() {
            return None;
        }
        let parts: Vec<String> = groups
            .iter()
            .map(|(checked, ids)| format!("{checked} ({})", ids.join(", ")))
            .collect();
        Some(format!("Every message was verified: {}.", parts.join("; ")))
    }

    /// How far apart the two CPUs were, if any row shows it.
    fn distance(&self) -> String {
        let split = self
            .rows
            .iter()
            .filter(|row| row.placement == Some(Placement::Split));
        match range(split.filter_map(|row| row.probe_ns)) {
            Some((least, most)) => format!(
                " Between the two CPUs a cache line took {} to {} there and back (45 to 120 ns is \
                 near; a hypervisor may move them).",
                amount(least, "ns"),
                amount(most, "ns"),
            ),
            None => String::new(),
        }
    }

    fn discards(&self) -> Option<String> {
        let own = self.rows.iter().filter(|row| !row.aside.repeated);
        let (runs, discarded) = own.clone().fold((0, 0), |(runs, gone), row| {
            (runs + row.runs, gone + row.discarded)
        });
        if runs + discarded == 0 {
            return None;
        }
        let mut text = format!(
            "{discarded} of {} runs were discarded: foreign load above 40% of a CPU, an \
             involuntary context switch, or CPUs that moved.",
            runs + discarded
        );
        text += &self.distance();
        let disturbed = own.filter(|row| row.aside.disturbed).count();
        if disturbed > 0 {
            let _ = write!(
                text,
                " {disturbed} figures, marked ?, are from such runs alone: there were no others."
            );
        }
        Some(text)
    }
}

/// The least and the greatest of some figures.
fn range(figures: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    figures.fold(None, |range, it| {
        let (least, most) = range.unwrap_or((it, it));
        Some((least.min(it), most.max(it)))
    })
}

fn words(measure: Measure) -> &'static str {
    match measure {
        Measure::Rtt => "round trip",
        Measure::Oneway => "one way",
        Measure::Bandwidth => "bandwidth",
        Measure::Uncontended => "alone",
        Measure::Connect => "connect",
        Measure::Scale => "beside idle ones",
    }
}

/// Rows, joined where they differ in the measure only.
fn lines<'a>(rows: &[&'a Row]) -> Vec<Line<'a>> {
    let mut lines: Vec<Line<'a>> = Vec::new();
    for row in rows {
        let name = name(row);
        let placement = row.placement.map(Placement::name);
        let known = lines.iter().position(|line| {
            line.name == name && (placement.is_none_or(|it| it == line.placement))
        });
        let index = known.unwrap_or_else(|| {
            let placement = placement.unwrap_or("-");
            let (trip, oneway, bandwidth, alone) = (None, None, None, None);
            lines.push(Line {
                name,
                placement,
                trip,
                oneway,
                bandwidth,
                alone,
            });
            lines.len() - 1
        });
        let line = &mut lines[index];
        let cell = match row.measure {
            Measure::Rtt | Measure::Connect | Measure::Scale => &mut line.trip,
            Measure::Oneway => &mut line.oneway,
            Measure::Bandwidth => &mut line.bandwidth,
            Measure::Uncontended => &mut line.alone,
        };
        *cell = Some(row);
    }
    lines
}

/// The mechanism, and what is unusual about this figure.
fn name(row: &Row) -> String {
    let size = row.size.map(|size| size_of_message(size, row.measure));
    match (row.measure, row.size, size) {
        (Measure::Connect, ..) => format!("{} connect", row.mechanism),
        (Measure::Rtt | Measure::Oneway, Some(64), _) => row.mechanism.clone(),
        (Measure::Bandwidth, Some(65_536), _) => row.mechanism.clone(),
        (_, _, Some(size)) => format!("{} {size}", row.mechanism),
        _ => row.mechanism.clone(),
    }
}

/// One table of a family, or two where one is too wide.
fn blocks(family: &str, lines: &[Line<'_>], width: usize) -> String {
    let whole = block(family, lines, &COLUMNS);
    if whole.lines().all(|line| line.chars().count() <= width) {
        return whole;
    }
    let (left, right) = COLUMNS.split_at(2);
    block(family, lines, left) + &block(family, lines, right)
}

/// The lines that have a figure in these columns.
fn block(family: &str, lines: &[Line<'_>], columns: &[Column]) -> String {
    let has_figure = |line: &&Line<'_>| columns.iter().any(|column| (column.of)(line).is_some());
    let lines: Vec<&Line<'_>> = lines.iter().filter(has_figure).collect();
    if lines.is_empty() {
        return String::new();
    }
    let names = lines.iter().map(|line| line.name.len());
    let widest = names.max().unwrap_or(0).max(family.len());
    let mut text = format!("\n{family:widest$} CPUs ");
    for column in columns {
        let _ = write!(text, "  {:>1$}", column.heading, column.width);
        if column.has_p99 {
            let _ = write!(text, " {:>7}", "p99");
        }
        text += " ratio";
    }
    text += "\n";
    for line in lines {
        let mut out = format!("{:widest$} {:5}", line.name, line.placement);
        for column in columns {
            let row = (column.of)(line);
            let figure = row.map_or(String::new(), cell).replace(' ', "");
            let _ = write!(out, "  {figure:>0$}", column.width);
            if column.has_p99 {
                let p99 = row.and_then(|row| row.p99).map(|ns| amount(ns, "ns"));
                let _ = write!(out, " {:>7}", p99.unwrap_or_default().replace(' ', ""));
            }
            let _ = write!(out, " {:>5}", row.map_or(String::new(), ratio));
        }
        text += out.trim_end();
        text += "\n";
    }
    text
}

/// The figure of a row, for people.
pub(super) fn cell(row: &Row) -> String {
    match row.median {
        _ if !row.verified => "FAILED".to_owned(),
        Some(median) if row.aside.disturbed => format!("{}?", amount(median, row.unit)),
        Some(median) => amount(median, row.unit),
        None => String::new(),
    }
}

/// The ratio of a row, for people.
pub(super) fn ratio(row: &Row) -> String {
    let wakes_cpus = matches!(row.placement, Some(Placement::Split | Placement::Free))
        && row.against.as_deref() == Some("raw.futex");
    match row.ratio {
        Some(ratio) if wakes_cpus && (0.7..=1.3).contains(&ratio) => "~1x".to_owned(),
        Some(ratio) if ratio >= 100.0 => format!("{ratio:.0}x"),
        Some(ratio) if ratio >= 10.0 => format!("{ratio:.1}x"),
        Some(ratio) => format!("{ratio:.2}x"),
        None => String::new(),
    }
}

/// A figure in a unit that leaves two or three digits before or after the point.
pub(super) fn amount(value: f64, unit: &str) -> String {
    let steps: &[(f64, &str)] = match unit {
        "ns" => &[(1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns")],
        "msg/s" => &[(1e9, "G/s"), (1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")],
        _ => &[(1e6, "TB/s"), (1e3, "GB/s"), (1.0, "MB/s")],
    };
    let last = steps[steps.len() - 1];
    let (scale, name) = steps
        .iter()
        .copied()
        .find(|(scale, _)| value >= *scale)
        .unwrap_or(last);
    let value = value / scale;
    let digits = if value < 10.0 {
        2
    } else {
        usize::from(value < 100.0)
    };
    format!("{value:.digits$} {name}")
}

/// Breaks a paragraph into lines of so many columns.
pub(super) fn wrapped(paragraph: &str, width: usize) -> String {
    let mut text = String::new();
    let mut column = 0;
    for word in paragraph.split_whitespace() {
        let len = word.chars().count();
        if column > 0 && column + 1 + len > width {
            text.push('\n');
            column = 0;
        }
        if column > 0 {
            text.push(' ');
            column += 1;
        }
        text += word;
        column += len;
    }
    text.push('\n');
    text
}
