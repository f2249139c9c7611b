//! Mechanisms that corrupt, lose, die, hang: each a FAILED row with its reason, and status 1.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use strait_sys::Errno;
use strait_sys::sysv_msg::Queue;

use crate::{Test, run, strait_bench};

pub(crate) const TESTS: &[Test] = &[
    ("an_honest_saboteur_passes", an_honest_saboteur_passes),
    ("a_corrupted_byte_fails", a_corrupted_byte_fails),
    ("a_lost_message_fails", a_lost_message_fails),
    ("a_repeated_message_fails", a_repeated_message_fails),
    ("an_echo_fails", an_echo_fails),
    ("a_wrong_count_fails", a_wrong_count_fails),
    ("a_death_fails", a_death_fails),
    ("a_panic_fails", a_panic_fails),
    ("what_cannot_be_opened_fails", what_cannot_be_opened_fails),
    ("a_hang_fails_in_time", a_hang_fails_in_time),
    ("a_stopped_side_is_killed", a_stopped_side_is_killed),
    ("litter_is_removed", litter_is_removed),
    (
        "sides_end_with_their_supervisor",
        sides_end_with_their_supervisor,
    ),
    (
        "a_goal_that_is_not_met_is_status_1",
        a_goal_that_is_not_met_is_status_1,
    ),
];

/// Surveys one saboteur on one CPU; returns status, text and rows.
fn sabotage(name: &str) -> (i32, String, Vec<Value>) {
    let json =
        std::env::temp_dir().join(format!("strait-bench-test-{}-{name}", std::process::id()));
    let only = format!("^sabotage.{name}$");
    let (status, text, complaints) = run(&[
        "--quick",
        "--only",
        &only,
        "--placement",
        "same",
        "--seconds",
        "0.2",
        "--json",
        json.to_str().unwrap(),
    ]);
    let report: Value =
        serde_json::from_str(&fs::read_to_string(&json).expect(&complaints)).unwrap();
    fs::remove_file(json).unwrap();
    (status, text, report["rows"].as_array().unwrap().clone())
}

/// Every row of this saboteur fails, for a reason that says this.
fn fails(name: &str, reason: &str) {
    let (status, text, rows) = sabotage(name);
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("FAILED"), "{text}");
    assert!(!rows.is_empty());
    for row in rows {
        assert_eq!(row["verified"], false, "{row}");
        assert!(
            row.get("median").is_none(),
            "a failed row has no figure: {row}"
        );
        let error = row["error"].as_str().unwrap();
        let untried = error.starts_with("not tried");
        assert!(untried || error.contains(reason), "{error}");
        assert!(
            untried || text.split_whitespace().eq_within(error),
            "{text}"
        );
    }
    assert_eq!(peers_of(name), 0, "a side is still there");
}

/// Whether a text that was broken into lines holds a sentence.
trait EqWithin {
    fn eq_within(self, sentence: &str) -> bool;
}

impl<'a, I: Iterator<Item = &'a str>> EqWithin for I {
    fn eq_within(self, sentence: &str) -> bool {
        self.collect::<Vec<_>>().join(" ").contains(sentence)
    }
}

/// Processes that are a side of a pair for this saboteur.
fn peers_of(name: &str) -> usize {
    let wanted = format!("--strait-bench-peer sabotage.{name}");
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .map(|line| line.replace(" near ", " ").replace(" far ", " "))
        .filter(|line| line.contains(&wanted))
        .count()
}

fn an_honest_saboteur_passes() {
    let (status, text, rows) = sabotage("nothing");
    assert_eq!(status, 0, "{text}");
    assert_eq!(rows[0]["verified"], true, "{text}");
}

fn a_corrupted_byte_fails() {
    fails("corrupts", "its content was changed");
}

fn a_lost_message_fails() {
    fails("loses", "message 501 came where 500 was due");
}

fn a_repeated_message_fails() {
    fails("repeats", "message 500 came where 501 was due");
}

fn an_echo_fails() {
    fails("echoes", "its content was changed");
}

fn a_wrong_count_fails() {
    fails("miscounts", "message 7 came where 500 was due");
}

fn a_death_fails() {
    fails("dies", "the far side died (signal: 9");
}

fn a_panic_fails() {
    fails("panics", "far lost its nerve");
}

fn what_cannot_be_opened_fails() {
    fails(
        "no-open",
        "far: open sabotage.no-open: there is no such thing",
    );
}

fn a_hang_fails_in_time() {
    let begin = Instant::now();
    fails("hangs", "hung: nothing heard for 5.0 s");
    assert!(
        begin.elapsed() < Duration::from_secs(15),
        "a hang holds up the survey"
    );
}

fn a_stopped_side_is_killed() {
    fails("stops", "hung: nothing heard for 5.0 s");
}

fn litter_is_removed() {
    let (status, text, rows) = sabotage("litters");
    assert_eq!(status, 1, "{text}");
    let error = rows[0]["error"].as_str().unwrap();
    let number = |name: &str| {
        let (_, rest) = error.split_once(name).unwrap_or_else(|| panic!("{error}"));
        rest.split_whitespace().next().unwrap().to_owned()
    };
    let key: i32 = number("key ").parse().unwrap();
    assert_eq!(Queue::open(key), Err(Errno::NOENT));
    assert!(!fs::exists(number("place ")).unwrap());
}

fn sides_end_with_their_supervisor() {
    let mut survey = strait_bench(&["--only", "^sabotage.hangs$", "--placement", "same"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let both = Instant::now() + Duration::from_secs(20);
    while peers_of("hangs") < 2 && Instant::now() < both {
        // sleep: between looks at processes that tell us nothing; each loop has its deadline.
        sleep(Duration::from_millis(5));
    }
    assert_eq!(peers_of("hangs"), 2);
    survey.kill().unwrap();
    survey.wait().unwrap();
    let none = Instant::now() + Duration::from_secs(20);
    while peers_of("hangs") > 0 && Instant::now() < none {
        // sleep: between looks at processes that tell us nothing; each loop has its deadline.
        sleep(Duration::from_millis(5));
    }
    assert_eq!(peers_of("hangs"), 0);
}

fn a_goal_that_is_not_met_is_status_1() {
    let arguments = [
        "--goals",
        "--only",
        "^sabotage.promises$",
        "--seconds",
        "0.1",
    ];
    let (status, text, complaints) = run(&arguments);
    assert_eq!(status, 1, "{text}{complaints}");
    assert!(text.contains("sabotage.promises rtt 64 B same"), "{text}");
    assert!(text.contains("goal <=0.000001"), "{text}");
    let (status, text, _) = run(&["--goals", "--only", "^raw.futex$"]);
    assert_eq!(status, 0);
    assert!(text.starts_with("no row has a goal\n"), "{text}");
}
