//! The survey itself: what is asked for, the rows one after the other, and the report.

pub mod command;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fmt, io, process};

use regex_lite::Regex;
use rustix::thread::{CpuSet, sched_getaffinity};

use crate::engine::draw::{blank, drawn};
use crate::engine::pair;
use crate::engine::plan::{Planned, Wanted, against_id, budget, rows};
use crate::engine::protocol::Plan;
use crate::engine::role::find;
use crate::report::{Machine, Report, Row};
use crate::{Entry, Failure, Placement, Side};

/// How long a whole survey measures, and a quick one.
const TOTAL: Duration = Duration::from_secs(120);
const TOTAL_QUICK: Duration = Duration::from_secs(11);
/// The most that one row takes of it.
const ROW_MAX: Duration = Duration::from_secs(3);
const ROW_MAX_QUICK: Duration = Duration::from_millis(300);
/// A side that says nothing for so long hangs.
const SILENCE: Duration = Duration::from_secs(5);
/// And one that opens something heavy.
const SILENCE_HEAVY: Duration = Duration::from_secs(60);
/// A chunk of what is measured.
const CHUNK_US: u64 = 2000;
const CHUNK_US_QUICK: u64 = 1000;
/// After so many failed rows the others of a mechanism are not tried: each may have cost a silence.
const FAILURES_MAX: usize = 2;
const FAILURES_MAX_QUICK: usize = 1;

/// What to survey, and where to write it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// One placement, at most 15 seconds in all, and no verdicts.
    pub quick: bool,
    /// Only mechanisms whose id this regular expression matches, anywhere.
    pub only: Option<String>,
    /// Write the report as JSON to this file.
    pub json: Option<PathBuf>,
    /// Write the report as HTML to this file.
    pub html: Option<PathBuf>,
    /// Only figures with a goal.
    pub goals: bool,
    /// Compare everything with a second instance of itself: ratios must be 1.
    pub null: bool,
    /// These placements instead of all that the machine has.
    pub placements: Option<Vec<Placement>>,
    /// This much time for each row instead of a share of the whole.
    pub row_time: Option<Duration>,
}

/// Why there was no survey.
#[derive(Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// The pattern is no regular expression.
    Pattern(String, regex_lite::Error),
    /// The pattern matches no mechanism; these there are.
    NoSuch(String, Vec<&'static str>),
    /// There is nothing to measure: no row fits the placements or has a goal.
    Nothing(String),
    /// A file cannot be written.
    File(PathBuf, io::Error),
    /// The kernel does not say which CPUs there are.
    Cpus(io::Error),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(text, error) => write!(f, "`{text}` is no pattern: {error}"),
            Self::NoSuch(text, ids) => {
                write!(
                    f,
                    "no mechanism matches `{text}`; there are: {}",
                    ids.join(", ")
                )
            }
            Self::Nothing(why) => write!(f, "nothing to measure: {why}"),
            Self::File(path, error) => write!(f, "write {}: {error}", path.display()),
            Self::Cpus(error) => write!(f, "find the CPUs: {error}"),
        }
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Pattern(_, error) => Some(error),
            Self::File(_, error) | Self::Cpus(error) => Some(error),
            Self::NoSuch(..) | Self::Nothing(_) => None,
        }
    }
}

/// Who is told how far a survey is.
pub trait Progress {
    /// It begins: so many rows, which take about so long.
    fn begin(&mut self, rows: usize, about: Duration);
    /// Row `number` (from 0) begins; its title.
    fn row(&mut self, number: usize, title: &str);
    /// A row is done, or failed.
    fn done(&mut self, row: &Row);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _: usize, _: Duration) {}
    fn row(&mut self, _: usize, _: &str) {}
    fn done(&mut self, _: &Row) {}
}

/// Tells standard error, a line for each row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain {
    rows: usize,
}

impl Progress for Plain {
    fn begin(&mut self, rows: usize, about: Duration) {
        self.rows = rows;
        eprintln!("{rows} rows, about {} s", about.as_secs_f64().ceil());
    }

    fn row(&mut self, number: usize, title: &str) {
        eprintln!("{}/{} {title}", number + 1, self.rows);
    }

    fn done(&mut self, row: &Row) {
        if let Some(error) = &row.error {
            eprintln!("FAILED {}: {error}", row.title());
        }
    }
}

/// Measures every mechanism of `table` that `options` ask for, and writes the files they name.
///
/// Takes at most three minutes, with `quick` at most fifteen seconds; heavy mechanisms, which are
/// measured only for goals or by name, come on top. A mechanism that fails is a row that says so,
/// and no error.
///
/// # Errors
/// Nothing was measured, for a reason that is the caller's to mend; or, at the very end, a file
/// that could be opened before could not be written.
pub fn survey(
    table: &[&[Entry]],
    options: &Options,
    progress: &mut dyn Progress,
) -> Result<Report, Refusal> {
    let cpus = allowed_cpus().map_err(Refusal::Cpus)?;
    let (placements, mut notes) = placements(options, cpus.len());
    let planned = planned(table, options, &placements, &mut notes)?;
    let json = options.json.as_ref().map(writable).transpose()?;
    let html = options.html.as_ref().map(writable).transpose()?;
    let mut survey = Survey {
        options,
        cpus,
        left: planned.len(),
        end: Instant::now(),
        done: 0,
    };
    let total = survey.total();
    survey.end += total;
    progress.begin(planned.len(), total);
    let mut report = Report {
        machine: Machine::here(),
        rows: vec![],
        notes: vec![],
        quick: false,
    };
    for (number, row) in planned.iter().enumerate() {
        progress.row(number, &blank(row).title());
        let rows = survey.row(row, &report);
        rows.first().into_iter().for_each(|row| progress.done(row));
        report.rows.extend(rows);
    }
    report.quick = options.quick;
    notes.extend(null_tests(&report));
    report.notes = notes;
    write(json, || report.json().unwrap_or_default())?;
    write(html, || report.html())?;
    Ok(report)
}

struct Survey<'a> {
    options: &'a Options,
    cpus: Vec<usize>,
    /// Rows that are still to come.
    left: usize,
    end: Instant,
    done: usize,
}

impl Survey<'_> {
    /// How long all rows take.
    fn total(&self) -> Duration {
        let rows = u32::try_from(self.left).unwrap_or(u32::MAX);
        match self.options.row_time {
            Some(each) => each.saturating_mul(rows),
            None if self.options.quick => TOTAL_QUICK.min(ROW_MAX_QUICK.saturating_mul(rows)),
            None => TOTAL.min(ROW_MAX.saturating_mul(rows)),
        }
    }

    /// Runs one row; more than one comes of it if it has several goals.
    fn row(&mut self, planned: &Planned, report: &Report) -> Vec<Row> {
        let budget = self.options.row_time.unwrap_or_else(|| {
            let left = self.end.saturating_duration_since(Instant::now());
            let most = if self.options.quick {
                ROW_MAX_QUICK
            } else {
                ROW_MAX
            };
            budget(left, self.left, most)
        });
        self.left -= 1;
        self.done += 1;
        let failures = report
            .failures()
            .filter(|row| row.mechanism == planned.entry.id)
            .count();
        let silence = match planned.entry.heavy {
            true => SILENCE_HEAVY,
            false => SILENCE,
        };
        let most = match self.options.quick {
            true => FAILURES_MAX_QUICK,
            false => FAILURES_MAX,
        };
        let result = if failures < most {
            let begin = Instant::now();
            let result = pair::run(&self.plan(planned, budget), silence);
            if planned.entry.heavy {
                // What opening took is not taken from the other rows.
                self.end += begin.elapsed().saturating_sub(budget);
            }
            result
        } else {
            Err(Failure::new(format!(
                "not tried: {failures} of its other rows failed"
            )))
        };
        drawn(planned, result, self.options.quick)
    }

    fn plan(&self, planned: &Planned, budget: Duration) -> Plan {
        let first = self.cpus.first().copied().unwrap_or(0);
        let second = self.cpus.get(1).copied().unwrap_or(first);
        let chunk_us = if self.options.quick {
            CHUNK_US_QUICK
        } else {
            CHUNK_US
        };
        let unique = format!("strait-bench-{}-{}", process::id(), self.done);
        Plan {
            side: Side::Near,
            pair: [0, 0],
            placement: planned.placement,
            cpus: [first, second],
            candidates: planned.candidates.clone(),
            budget_ms: u64::try_from(budget.as_millis()).unwrap_or(u64::MAX),
            chunk_us,
            key: key(process::id(), self.done),
            place: memory_backed().join(unique),
        }
    }
}

/// A System V key that no other survey on this machine is likely to have, for 16 candidates.
fn key(pid: u32, row: usize) -> i32 {
    // 'S' in the top byte, so that ipcs shows whose they are; a process id has up to 22 bits, of
    // which the lower ones differ between surveys that run at the same time.
    let row = u32::try_from(row % 256).unwrap_or(0);
    (0x5300_0000 | (pid & 0xFFF) << 12 | row << 4).cast_signed()
}

/// Rows that were compared with a second instance of themselves. A goal is against something else:
/// the same mechanism at another size.
fn null_tests(report: &Report) -> Option<String> {
    let tests: Vec<String> = report
        .rows
        .iter()
        .filter(|row| row.against.as_ref() == Some(&row.mechanism) && row.goal.is_none())
        .filter_map(|row| Some(format!("{} {:.2}", row.title(), row.ratio?)))
        .collect();
    let text = format!(
        "Null tests, compared with themselves: {}.",
        tests.join(", ")
    );
    (!tests.is_empty()).then_some(text)
}

/// Where figures are taken, and what to say about it.
fn placements(options: &Options, cpus: usize) -> (Vec<Placement>, Vec<String>) {
    let mut notes = Vec::new();
    let mut wanted = match &options.placements {
        Some(placements) => placements.clone(),
        None if options.quick && cpus == 1 => vec![Placement::One],
        None if options.quick => vec![Placement::Same],
        None if options.goals => {
            vec![
                Placement::Split,
                Placement::Same,
                Placement::Free,
                Placement::One,
            ]
        }
        None if cpus == 1 => vec![Placement::One],
        None => vec![Placement::Split, Placement::Same, Placement::Free],
    };
    if options.quick {
        let only = wanted.first().copied().unwrap_or(Placement::Same);
        wanted = vec![only];
        notes.push(format!(
            "Quick: only `{}` was measured, and too shortly to judge by. Left out: the other \
             placements, whatever has no figure on this one, and which mechanism to use for what.",
            only.name()
        ));
    }
    if cpus == 1 {
        notes
            .push("One CPU: split is skipped; same and free are nothing else than one.".to_owned());
        wanted.retain(|place| *place != Placement::Split);
    }
    (wanted, notes)
}

/// The mechanisms that are asked for.
fn picked<'a>(table: &[&'a [Entry]], options: &Options) -> Result<Vec<&'a Entry>, Refusal> {
    let entries: Vec<&Entry> = table.iter().flat_map(|family| family.iter()).collect();
    Ok(match &options.only {
        None => entries,
        Some(text) => {
            let pattern =
                Regex::new(text).map_err(|error| Refusal::Pattern(text.clone(), error))?;
            let picked: Vec<&Entry> = entries
                .iter()
                .copied()
                .filter(|entry| pattern.is_match(entry.id))
                .collect();
            if picked.is_empty() {
                let ids = entries.iter().map(|entry| entry.id).collect();
                return Err(Refusal::NoSuch(text.clone(), ids));
            }
            picked
        }
    })
}

fn planned(
    table: &[&[Entry]],
    options: &Options,
    placements: &[Placement],
    notes: &mut Vec<String>,
) -> Result<Vec<Planned>, Refusal> {
    let mut picked = picked(table, options)?;
    notes.extend(left_out(table, &picked));
    picked.retain(|entry| (entry.missing)().is_none());
    if picked.is_empty() {
        return Err(Refusal::Nothing(notes.join(" ")));
    }
    let wanted = Wanted {
        placements,
        null: options.null,
        goals: options.goals,
    };
    let heavy = options.goals || (options.only.is_some() && !options.quick);
    if options.quick && picked.iter().all(|entry| entry.heavy) {
        let why = "these mechanisms take longer than a quick survey may";
        return Err(Refusal::Nothing(why.to_owned()));
    }
    let planned: Vec<Planned> = picked
        .into_iter()
        .filter(|entry| heavy || !entry.heavy)
        .flat_map(|entry| rows(table, entry, &wanted))
        .collect();
    if planned.is_empty() && !options.goals {
        let names: Vec<&str> = placements.iter().map(|place| place.name()).collect();
        let why = format!(
            "none of these mechanisms has a figure on {}",
            names.join(", ")
        );
        return Err(Refusal::Nothing(why));
    }
    Ok(planned)
}

/// What of the mechanisms, and of those that they have goals against, cannot be measured here.
fn left_out(table: &[&[Entry]], picked: &[&Entry]) -> Vec<String> {
    let goals = picked.iter().flat_map(|entry| entry.goals);
    let others = goals.filter_map(|goal| find(table, against_id(goal.against)));
    let all = picked.iter().copied().chain(others);
    let notes = all.filter_map(|entry| {
        let why = (entry.missing)()?;
        Some(format!("Left out: {}: {why}.", entry.id))
    });
    notes.collect::<BTreeSet<_>>().into_iter().collect()
}

fn allowed_cpus() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .collect())
}

/// Opens a file to be written at the end. What it held stays until then.
fn writable(path: &PathBuf) -> Result<(PathBuf, File), Refusal> {
    let file = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(path);
    let file = file.map_err(|error| Refusal::File(path.clone(), error))?;
    Ok((path.clone(), file))
}

fn write(file: Option<(PathBuf, File)>, text: impl FnOnce() -> String) -> Result<(), Refusal> {
    let Some((path, mut file)) = file else {
        return Ok(());
    };
    // Not a regular file (a pipe, /dev/stdout): nothing to cut off.
    let _ = file.set_len(0);
    file.write_all(text().as_bytes())
        .map_err(|error| Refusal::File(path, error))
}

/// Where files are memory, if this machine has such a place: named objects live there.
fn memory_backed() -> PathBuf {
    let shm = PathBuf::from("/dev/shm");
    if shm.is_dir() {
        shm
    } else {
        std::env::temp_dir()
    }
}
