//! The forms of a report, of rows made up here.

use serde_json::{Value, json};

use super::advice::paragraph;
use super::table::{amount, wrapped};
use super::*;

/// A row as the engine makes it, for a mechanism of bytes.
pub(crate) fn row(mechanism: &str, measure: Measure, placement: Placement, median: f64) -> Row {
    Row {
        mechanism: mechanism.to_owned(),
        family: mechanism.split('.').next().unwrap().to_owned(),
        measure,
        size: Some(64),
        placement: Some(placement),
        median: Some(median),
        min: Some(median / 2.0),
        max: Some(median * 2.0),
        p99: None,
        unit: measure.unit(),
        runs: 90,
        discarded: 10,
        probe_ns: Some(4760.0),
        verified: true,
        against: None,
        ratio: None,
        goal: None,
        met: None,
        error: None,
        aside: Aside {
            bytes: true,
            checked: "all",
            ..Aside::default()
        },
    }
}

fn failed(mechanism: &str, measure: Measure) -> Row {
    Row {
        median: None,
        verified: false,
        error: Some("message 3 came where 2 was due".to_owned()),
        ..row(mechanism, measure, Placement::Same, 0.0)
    }
}

fn goal(mechanism: &str, ratio: f64, met: Option<bool>, strain: Option<f64>) -> Row {
    let mut row = row(mechanism, Measure::Rtt, Placement::Same, 5000.0);
    row.against = Some("raw.futex".to_owned());
    row.ratio = Some(ratio);
    row.goal = Some("<=1.15".to_owned());
    row.met = met;
    row.aside.strain = strain;
    row
}

fn report(rows: Vec<Row>) -> Report {
    let machine = Machine {
        cpus: 2,
        model: "A CPU".to_owned(),
        kernel: "6.18.0".to_owned(),
        is_virtual: true,
    };
    Report {
        machine,
        rows,
        notes: vec!["A note.".to_owned()],
        quick: false,
    }
}

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn json_has_the_fields_that_scripts_read() {
    let mut full = goal("nt.event", 1.02, Some(true), Some(0.9));
    full.p99 = Some(9000.0);
    let text = report(vec![full]).json().unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(keys(&value), ["machine", "rows"]);
    assert_eq!(
        value["machine"],
        json!({ "cpus": 2, "model": "A CPU", "kernel": "6.18.0", "virtual": true })
    );
    assert_eq!(
        value["rows"][0],
        json!({
            "mechanism": "nt.event", "family": "nt", "measure": "rtt", "size": 64,
            "placement": "same", "median": 5000.0, "min": 2500.0, "max": 10000.0, "p99": 9000.0,
            "unit": "ns", "runs": 90, "discarded": 10, "probe_ns": 4760.0, "verified": true,
            "against": "raw.futex", "ratio": 1.02, "goal": "<=1.15", "met": true
        })
    );
}

#[test]
fn what_does_not_apply_is_absent() {
    let mut plain = row("raw.syscall", Measure::Uncontended, Placement::Same, 139.0);
    (plain.size, plain.placement) = (None, None);
    let value = serde_json::to_value(report(vec![plain, failed("x.y", Measure::Oneway)])).unwrap();
    let here = keys(&value["rows"][0]);
    for absent in [
        "size",
        "placement",
        "p99",
        "against",
        "ratio",
        "goal",
        "met",
        "error",
    ] {
        assert!(!here.contains(&absent), "{absent}");
    }
    assert_eq!(value["rows"][1]["verified"], json!(false));
    assert_eq!(
        value["rows"][1]["error"],
        json!("message 3 came where 2 was due")
    );
    assert!(!keys(&value["rows"][1]).contains(&"median"));
}

#[test]
fn the_table_groups_joins_and_aligns() {
    let mut bulk = row("raw.pipe", Measure::Bandwidth, Placement::Same, 2910.0);
    bulk.size = Some(65_536);
    let mut small = row("nt.lpc", Measure::Rtt, Placement::Split, 100.0);
    small.size = Some(56);
    let text = report(vec![
        row("raw.pipe", Measure::Rtt, Placement::Same, 5002.0),
        row("raw.pipe", Measure::Oneway, Placement::Same, 2.4e6),
        bulk,
        row("raw.pipe", Measure::Rtt, Placement::Split, 55_200.0),
        small,
        failed("nt.pipe", Measure::Rtt),
    ])
    .table();
    let line = |start: &str| {
        let found = text.lines().find(|line| line.starts_with(start));
        found
            .unwrap_or_else(|| panic!("no {start} in\n{text}"))
            .to_owned()
    };
    assert!(text.starts_with("2 CPUs (A CPU, virtual), Linux 6.18.0\n"));
    let same = line("raw.pipe same");
    for figure in ["5.00us", "2.40M/s", "2.91GB/s"] {
        assert!(same.contains(figure), "{same}");
    }
    assert!(line("raw.pipe split").contains("55.2us"));
    assert!(line("nt.lpc 56 B").contains("100ns"));
    assert!(line("nt.pipe").contains("FAILED"));
    assert!(text.contains("FAILED nt.pipe rtt 64 B same: message 3 came where 2 was due"));
    assert!(text.contains("A note."));
    assert!(
        text.contains("50 of 500 runs were discarded") || text.contains("60 of 600"),
        "{text}"
    );
    assert!(
        text.lines().all(|line| line.chars().count() <= 100),
        "{text}"
    );
}

#[test]
fn a_narrow_table_loses_no_figure() {
    let long = "raw.a.mechanism.with.a.long.name";
    let mut bulk = row(long, Measure::Bandwidth, Placement::Same, 2910.0);
    bulk.size = Some(65_536);
    let mut rows = vec![
        row(long, Measure::Rtt, Placement::Same, 5002.0),
        row(long, Measure::Oneway, Placement::Same, 2.4e6),
        bulk,
        row("raw.wake", Measure::Rtt, Placement::Same, 7100.0),
        row(long, Measure::Rtt, Placement::Split, 55_200.0),
        row("nt.lpc", Measure::Rtt, Placement::Split, 100.0),
    ];
    rows[0].p99 = Some(9000.0);
    let report = report(rows);
    let (wide, narrow) = (report.table(), report.table_within(80));
    assert_eq!(report.table_within(1000), wide);
    assert!(
        narrow.lines().all(|line| line.chars().count() <= 80),
        "{narrow}"
    );
    let words = |text: &str| -> Vec<String> {
        let mut words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
        words.sort();
        words.dedup();
        words
    };
    assert_eq!(words(&wide), words(&narrow));
    let count = |start: &str| {
        narrow
            .lines()
            .filter(|line| line.starts_with(start))
            .count()
    };
    assert_eq!(count(&format!("{long} same")), 2, "{narrow}");
    assert_eq!(
        count("raw.wake"),
        1,
        "what has no figure has no line: {narrow}"
    );
    assert_eq!((count("raw "), count("nt ")), (2, 1), "{narrow}");
}

#[test]
fn amounts_are_readable() {
    for (value, unit, text) in [
        (4.8, "ns", "4.80 ns"),
        (65.0, "ns", "65.0 ns"),
        (316.0, "ns", "316 ns"),
        (53_700.0, "ns", "53.7 us"),
        (8e6, "ns", "8.00 ms"),
        (53.9e6, "msg/s", "53.9 M/s"),
        (470_000.0, "msg/s", "470 k/s"),
        (42_000.0, "MB/s", "42.0 GB/s"),
        (0.5, "MB/s", "0.50 MB/s"),
    ] {
        assert_eq!(amount(value, unit), text);
    }
}

#[test]
fn paragraphs_are_broken_at_words() {
    let text = wrapped(&"word ".repeat(60), 72);
    assert_eq!(text.split_whitespace().count(), 60);
    assert!(text.lines().all(|line| line.len() <= 72));
    assert_eq!(text.lines().count(), 5);
}

#[test]
fn advice_comes_from_the_rows() {
    let mut rod = row("raw.memcpy", Measure::Oneway, Placement::Free, 1e9);
    rod.aside.yardstick = true;
    let mut bare = row("c.bare", Measure::Rtt, Placement::Free, 1.0);
    bare.aside.bytes = false;
    let text = paragraph(&[
        row("a.slow", Measure::Rtt, Placement::Same, 900.0),
        row("b.fast", Measure::Rtt, Placement::Same, 100.0),
        row("c.level", Measure::Rtt, Placement::Same, 105.0),
        bare,
        row("a.slow", Measure::Rtt, Placement::Free, 900.0),
        rod,
        row("a.slow", Measure::Oneway, Placement::Free, 1e6),
        row("b.fast", Measure::Oneway, Placement::Free, 3e6),
        failed("d.broken", Measure::Bandwidth),
    ]);
    for part in [
        "woken by it: b.fast (100 ns, same), level with c.level.",
        "wherever the two run: a.slow (900 ns, free).",
        "To stream small messages: b.fast (3.00 M/s, free).",
        "What to use to move much data is open: whatever was measured failed.",
        "What to use to wake one on another CPU was not measured.",
        "Not considered where they failed: d.broken.",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

#[test]
fn goals_stand_worst_first() {
    let mut report = report(vec![
        goal("nt.good", 1.0, Some(true), Some(0.87)),
        goal("nt.bad", 2.3, Some(false), Some(2.0)),
        row("raw.pipe", Measure::Rtt, Placement::Same, 1.0),
        goal("nt.unclear", 1.0, None, None),
    ]);
    let text = report.goals();
    assert!(text.ends_with("\nA note.\n"), "{text}");
    let order: Vec<&str> = text
        .lines()
        .take(3)
        .map(|line| line.split_once(' ').unwrap().0)
        .collect();
    assert_eq!(order, ["not", "NOT", "met"], "{text}");
    assert!(!report.goals_met());
    report.rows.retain(|row| row.met == Some(true));
    assert!(report.goals_met());
    report.rows.clear();
    assert!(report.goals().starts_with("no row has a goal\n"));
}

#[test]
fn html_stands_alone() {
    let mut odd = row("raw.pipe", Measure::Rtt, Placement::Same, 5000.0);
    odd.aside.about = "a <b> & \"c\"";
    let page = report(vec![
        odd,
        row("raw.futex", Measure::Rtt, Placement::Same, 4760.0),
    ])
    .html();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    assert!(page.contains("<svg") && page.contains("a &lt;b&gt; &amp; &quot;c&quot;"));
    for outside in ["http:", "https:", "src=", "href=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    let (futex, pipe) = (
        page.find(">raw.futex<").unwrap(),
        page.find(">raw.pipe<").unwrap(),
    );
    assert!(futex < pipe, "the best bar stands first");
}

#[test]
fn a_failed_row_is_a_failed_survey() {
    assert_eq!(report(vec![]).exit(), ExitCode::SUCCESS);
    assert_eq!(
        report(vec![failed("a.b", Measure::Rtt)]).exit(),
        ExitCode::FAILURE
    );
}
