//! The report as one HTML file: charts drawn as SVG, nothing fetched from anywhere.

use std::fmt::Write;

use super::table::{amount, cell, ratio};
use super::{Report, Row};
use crate::{Measure, Placement};

const STYLE: &str = "\
:root { color-scheme: light dark; --bar: #2f6f9f; --rod: #9aa5ad; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.2rem; font-size: 1.15rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
th, td { text-align: left; padding: .15rem .7rem .15rem 0; border-bottom: 1px solid #8884; }
td.n, th.n { text-align: right; }
svg { display: block; width: 100%; height: auto; }
svg text { font: 13px system-ui, sans-serif; fill: currentColor; }
.failed { color: #c0392b; font-weight: 600; }
p.small { font-size: .9rem; opacity: .8; }";

/// Geometry of a chart, in SVG units.
const NAMES: f64 = 190.0;
const BARS: f64 = 560.0;
const VALUES: f64 = 130.0;
const STEP: f64 = 24.0;

impl Report {
    /// The report as one self-contained HTML page.
    #[must_use]
    pub fn html(&self) -> String {
        let machine = &self.machine;
        let mut page = String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n");
        page += "<meta charset=\"utf-8\">\n";
        page += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
        let _ = writeln!(
            page,
            "<title>strait survey</title>\n<style>\n{STYLE}\n</style>\n</head>"
        );
        let _ = writeln!(
            page,
            "<body>\n<h1>strait survey</h1>\n<p>{} CPUs ({}{}), Linux {}</p>",
            machine.cpus,
            escaped(&machine.model),
            if machine.is_virtual { ", virtual" } else { "" },
            escaped(&machine.kernel),
        );
        for paragraph in self.explanations() {
            let class = if paragraph.starts_with("FAILED") {
                "failed"
            } else {
                "small"
            };
            let _ = writeln!(page, "<p class=\"{class}\">{}</p>", escaped(&paragraph));
        }
        for (title, rows) in self.charts() {
            let _ = writeln!(page, "<h2>{}</h2>\n{}", escaped(&title), chart(&rows));
        }
        page += &self.figures();
        page += "</body>\n</html>\n";
        page
    }

    /// One chart for each measure, size and place with at least two rows; best first.
    fn charts(&self) -> Vec<(String, Vec<&Row>)> {
        let mut charts: Vec<(String, Vec<&Row>)> = Vec::new();
        let drawn = |row: &&Row| row.verified && row.median.is_some() && !row.aside.repeated;
        let mut rows: Vec<&Row> = self.rows.iter().filter(drawn).collect();
        rows.sort_by_key(|row| (row.measure, row.placement));
        for row in rows {
            let place = row.placement.map_or("", Placement::name);
            let title = match row.measure {
                Measure::Rtt => format!("Round trip, {place} (shorter is better)"),
                Measure::Oneway => format!("Small messages one way, {place} (longer is better)"),
                Measure::Bandwidth if place.is_empty() => {
                    "Large copies (longer is better)".to_owned()
                }
                Measure::Bandwidth => format!("Large messages one way, {place} (longer is better)"),
                Measure::Uncontended => "Uncontended (shorter is better)".to_owned(),
                Measure::Connect => format!("Opening a session, {place} (shorter is better)"),
                Measure::Scale => format!("Beside idle ones, {place} (shorter is better)"),
            };
            match charts.last_mut() {
                Some((last, rows)) if *last == title => rows.push(row),
                _ => charts.push((title, vec![row])),
            }
        }
        charts.retain(|(_, rows)| rows.len() > 1);
        for (_, rows) in &mut charts {
            let more = rows.first().is_some_and(|row| row.measure.more_is_better());
            rows.sort_by(|one, other| {
                let (one, other) = (one.median.unwrap_or(0.0), other.median.unwrap_or(0.0));
                if more {
                    other.total_cmp(&one)
                } else {
                    one.total_cmp(&other)
                }
            });
        }
        charts
    }

    /// Every row, as a table.
    fn figures(&self) -> String {
        let mut text = String::from("<h2>All figures</h2>\n<table>\n<tr><th>row</th><th>what</th>");
        text += "<th class=\"n\">median</th><th class=\"n\">min</th><th class=\"n\">max</th>";
        text += "<th class=\"n\">p99</th><th class=\"n\">ratio</th><th>to</th>";
        text += "<th class=\"n\">runs</th><th class=\"n\">discarded</th></tr>\n";
        for row in &self.rows {
            let value = |value: Option<f64>| value.map_or(String::new(), |it| amount(it, row.unit));
            let class = if row.verified { "n" } else { "n failed" };
            let _ = writeln!(
                text,
                "<tr><td>{}</td><td>{}</td><td class=\"{class}\">{}</td><td class=\"n\">{}</td>\
                 <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td>\
                 <td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
                escaped(&row.title()),
                escaped(row.aside.about),
                cell(row),
                value(row.min),
                value(row.max),
                value(row.p99),
                ratio(row),
                escaped(row.against.as_deref().unwrap_or("")),
                row.runs,
                row.discarded,
            );
        }
        text + "</table>\n"
    }
}

/// Bars from zero, linear, with the least and the greatest chunk as a thin line.
fn chart(rows: &[&Row]) -> String {
    let longest = rows.iter().filter_map(|row| row.median).fold(0.0, f64::max);
    let (width, height) = (NAMES + BARS + VALUES, rows.len() as f64 * STEP);
    let mut svg = format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\">\n");
    let scale = |value: f64| {
        let share = if longest > 0.0 { value / longest } else { 0.0 };
        (share * BARS).clamp(0.0, BARS)
    };
    for (index, row) in rows.iter().enumerate() {
        let top = index as f64 * STEP;
        let (text, middle) = (top + 16.0, top + 11.0);
        let bar = scale(row.median.unwrap_or(0.0)).max(1.0);
        let ends = [row.min, row.max].map(|end| NAMES + scale(end.unwrap_or(0.0)));
        let colour = if row.aside.yardstick {
            "--rod"
        } else {
            "--bar"
        };
        let _ = writeln!(
            svg,
            "<g><title>{}</title>\
             <text x=\"{:.0}\" y=\"{text}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{NAMES}\" y=\"{:.0}\" width=\"{bar:.1}\" height=\"16\" \
             fill=\"var({colour})\"/>\
             <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle}\" y2=\"{middle}\" \
             stroke=\"currentColor\" stroke-opacity=\".5\"/>\
             <text x=\"{:.1}\" y=\"{text}\">{}</text></g>",
            escaped(&row.title()),
            NAMES - 8.0,
            escaped(&row.mechanism),
            top + 3.0,
            ends[0],
            ends[1],
            NAMES + bar + 8.0,
            cell(row),
        );
    }
    svg + "</svg>"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
