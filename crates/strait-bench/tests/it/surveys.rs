//! Surveys of mechanisms that work, and arguments that do not.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use strait_bench::{Options, Placement, Progress, Refusal, Row, survey};

use crate::{TABLE, Test, run};

pub(crate) const TESTS: &[Test] = &[
    ("quick_survey_of_three", quick_survey_of_three),
    (
        "every_reference_line_is_verified_everywhere",
        every_reference_line_is_verified_everywhere,
    ),
    (
        "null_tests_compare_with_themselves",
        null_tests_compare_with_themselves,
    ),
    ("progress_is_told", progress_is_told),
    (
        "a_pattern_without_match_lists_the_ids",
        a_pattern_without_match_lists_the_ids,
    ),
    ("a_bad_pattern_is_named", a_bad_pattern_is_named),
    (
        "a_file_that_cannot_be_written_ends_it_at_once",
        a_file_that_cannot_be_written_ends_it_at_once,
    ),
];

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("strait-bench-test-{}-{name}", std::process::id()))
}

fn rows(path: &PathBuf) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    fs::remove_file(path).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    value["rows"].as_array().unwrap().clone()
}

fn quick_survey_of_three() {
    let (json, html) = (scratch("quick.json"), scratch("quick.html"));
    let (status, text, complaints) = run(&[
        "--quick",
        "--only",
        r"^raw\.(futex|pipe|memcpy)$",
        "--json",
        json.to_str().unwrap(),
        "--html",
        html.to_str().unwrap(),
    ]);
    assert_eq!(status, 0, "{text}{complaints}");
    assert!(
        text.contains("raw.pipe") && text.contains("Left out"),
        "{text}"
    );
    assert!(
        !text.contains("Which to use"),
        "a quick survey gives no verdict"
    );
    let page = fs::read_to_string(&html).unwrap();
    fs::remove_file(&html).unwrap();
    assert!(page.contains("<svg"));
    let rows = rows(&json);
    for row in &rows {
        assert_eq!(row["verified"], true, "{row}");
        assert!(row["median"].as_f64().unwrap() > 0.0, "{row}");
        assert!(row["min"].as_f64() <= row["median"].as_f64(), "{row}");
        assert!(row["max"].as_f64() >= row["median"].as_f64(), "{row}");
        let runs = ["runs", "discarded"].map(|name| row[name].as_u64().unwrap());
        assert!(runs[0] + runs[1] > 0, "{row}");
        assert!(row["probe_ns"].as_f64().unwrap() > 0.0, "{row}");
        assert!(row["ratio"].as_f64().unwrap() > 0.0, "{row}");
        assert!(
            row.get("goal").is_none() && row.get("error").is_none(),
            "{row}"
        );
        let trips = row["measure"] == "rtt";
        assert_eq!(row.get("p99").is_some(), trips, "{row}");
    }
    let measures: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row["mechanism"].as_str().unwrap(),
                row["measure"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        measures,
        [
            ("raw.futex", "rtt"),
            ("raw.futex", "uncontended"),
            ("raw.pipe", "rtt"),
            ("raw.pipe", "oneway"),
            ("raw.pipe", "bandwidth"),
            ("raw.pipe", "uncontended"),
            ("raw.memcpy", "bandwidth"),
        ]
    );
}

fn every_reference_line_is_verified_everywhere() {
    let json = scratch("all.json");
    let (status, text, complaints) = run(&[
        "--only",
        r"^raw\.",
        "--seconds",
        "0.04",
        "--json",
        json.to_str().unwrap(),
    ]);
    assert_eq!(status, 0, "{text}{complaints}");
    for row in rows(&json) {
        assert_eq!(row["verified"], true, "{row}");
    }
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "sequence number and every byte (raw.pipe, raw.fifo",
        "sequence number, carried by value (raw.",
        "count, and a sequence number in a shared word beside it (raw.sem, raw.signal)",
        "Null tests, compared with themselves: raw.",
    ] {
        assert!(words.contains(part), "{part:?} is not in {text}");
    }
    let last = text.trim_end().split("\n\n").last().unwrap();
    assert!(last.starts_with("Which to use, on this machine."), "{text}");
}

fn null_tests_compare_with_themselves() {
    let json = scratch("null.json");
    let path = json.to_str().unwrap();
    let (status, ..) = run(&[
        "--null",
        "--only",
        "seqpacket",
        "--placement",
        "same",
        "--seconds",
        "0.04",
        "--json",
        path,
    ]);
    assert_eq!(status, 0);
    let rows = rows(&json);
    assert!(!rows.is_empty());
    for row in rows {
        assert_eq!(row["against"], row["mechanism"], "{row}");
        assert!(row["ratio"].as_f64().unwrap() > 0.0, "{row}");
    }
}

#[derive(Default)]
struct Heard {
    rows: usize,
    begun: Vec<String>,
    done: Vec<String>,
}

impl Progress for Heard {
    fn begin(&mut self, rows: usize, about: Duration) {
        assert!(about <= Duration::from_secs(15));
        self.rows = rows;
    }

    fn row(&mut self, number: usize, title: &str) {
        assert_eq!(number, self.begun.len());
        self.begun.push(title.to_owned());
    }

    fn done(&mut self, row: &Row) {
        self.done.push(row.title());
    }
}

fn progress_is_told() {
    let mut heard = Heard::default();
    let options = Options {
        only: Some("raw.eventfd".to_owned()),
        placements: Some(vec![Placement::One]),
        row_time: Some(Duration::from_millis(40)),
        ..Options::default()
    };
    let report = survey(TABLE, &options, &mut heard).unwrap();
    assert_eq!(
        heard.begun,
        ["raw.eventfd rtt one", "raw.eventfd uncontended"]
    );
    assert_eq!(heard.begun, heard.done);
    assert_eq!((heard.rows, report.rows.len()), (2, 2));
    assert_eq!(report.failures().count(), 0);
}

fn a_pattern_without_match_lists_the_ids() {
    let (status, text, complaints) = run(&["--only", "^nothing$"]);
    assert_eq!(status, 2);
    assert!(text.is_empty(), "{text}");
    for id in [
        "`^nothing$`",
        "raw.futex",
        "raw.unix.stream",
        "sabotage.dies",
    ] {
        assert!(complaints.contains(id), "{complaints}");
    }
}

fn a_bad_pattern_is_named() {
    let options = Options {
        only: Some("(".to_owned()),
        ..Options::default()
    };
    let refusal = survey(TABLE, &options, &mut Heard::default()).unwrap_err();
    assert!(matches!(refusal, Refusal::Pattern(..)));
    assert!(refusal.to_string().contains("`(`"), "{refusal}");
}

fn a_file_that_cannot_be_written_ends_it_at_once() {
    for option in ["--json", "--html"] {
        let path = scratch("no-such-directory").join("file");
        let (status, text, complaints) = run(&["--quick", option, path.to_str().unwrap()]);
        assert_eq!(status, 2, "{text}");
        assert!(complaints.contains("no-such-directory"), "{complaints}");
        assert!(
            !complaints.contains("raw.futex"),
            "measured before it failed: {complaints}"
        );
    }
}
