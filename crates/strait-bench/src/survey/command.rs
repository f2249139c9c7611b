//! The program `strait-bench`: arguments in, text and files out.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use crate::{Entry, Options, Placement, Plain, peer_main, survey};

const USAGE: &str = "\
usage: strait-bench [--quick] [--goals] [--null] [--only REGEX] [--placement NAME]
                    [--seconds N] [--json FILE] [--html FILE]

  --quick           one placement, at most 15 seconds, no verdicts
  --goals           only rows with a goal, worst first; exit status 1 if one is not met;
                    with the heavy ones (nt.names), which else run only by name
  --null            compare everything with a second instance of itself
  --only REGEX      only mechanisms whose id matches
  --placement NAME  split, same, free or one; may be repeated
  --seconds N       measure each row for N seconds
  --json FILE       write the report as JSON
  --html FILE       write the report as HTML";

/// Status of bad arguments and of files that cannot be written.
const REFUSED: u8 = 2;

/// Runs `strait-bench` with the mechanisms of `table`, or a side of a pair.
#[must_use]
pub fn main(table: &[&[Entry]]) -> ExitCode {
    peer_main(table).unwrap_or_else(|| run(table, std::env::args_os().skip(1)))
}

/// Runs `strait-bench` with these arguments.
pub fn run(table: &[&[Entry]], arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let options = match options(arguments) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(complaint) => {
            eprintln!("strait-bench: {complaint}\n{USAGE}");
            return REFUSED.into();
        }
    };
    match survey(table, &options, &mut Plain::default()) {
        Ok(report) if options.goals => {
            print!("{}", report.goals());
            if report.goals_met() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Ok(report) => {
            print!("{}", report.table());
            report.exit()
        }
        Err(refusal) => {
            eprintln!("strait-bench: {refusal}");
            REFUSED.into()
        }
    }
}

/// The options; `None` if help is asked for.
fn options(arguments: impl Iterator<Item = OsString>) -> Result<Option<Options>, String> {
    let mut options = Options::default();
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let name = argument.to_string_lossy().into_owned();
        let mut value = || {
            arguments
                .next()
                .ok_or_else(|| format!("{name} needs a value"))
        };
        match name.as_str() {
            "-h" | "--help" => return Ok(None),
            "--quick" => options.quick = true,
            "--goals" => options.goals = true,
            "--null" => options.null = true,
            "--only" => options.only = Some(text(value()?)?),
            "--json" => options.json = Some(value()?.into()),
            "--html" => options.html = Some(value()?.into()),
            "--placement" => {
                let place = placement(&text(value()?)?)?;
                options.placements.get_or_insert_default().push(place);
            }
            "--seconds" => options.row_time = Some(seconds(&text(value()?)?)?),
            other => return Err(format!("no option {other}")),
        }
    }
    if options.quick && options.goals {
        return Err("--quick gives no verdicts, so it has none on --goals".to_owned());
    }
    Ok(Some(options))
}

fn text(value: OsString) -> Result<String, String> {
    value
        .into_string()
        .map_err(|value| format!("{} is not UTF-8", value.display()))
}

fn placement(name: &str) -> Result<Placement, String> {
    let all = [
        Placement::Split,
        Placement::Same,
        Placement::Free,
        Placement::One,
    ];
    let found = all.into_iter().find(|place| place.name() == name);
    found.ok_or_else(|| format!("no placement {name}: there are split, same, free and one"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text
        .parse()
        .ok()
        .filter(|seconds| (0.01..=3600.0).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("{text} is no number of seconds from 0.01 to 3600"))
}

#[cfg(test)]
mod tests {
    //! Arguments, right and wrong.

    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Option<Options>, String> {
        options(arguments.iter().map(OsString::from))
    }

    #[test]
    fn arguments_become_options() {
        let options = parsed(&[
            "--quick",
            "--only",
            "raw",
            "--json",
            "a",
            "--placement",
            "same",
            "--placement",
            "one",
            "--seconds",
            "0.5",
        ]);
        let options = options.unwrap().unwrap();
        assert!(options.quick && !options.goals && !options.null);
        assert_eq!(options.only.as_deref(), Some("raw"));
        assert_eq!(options.json, Some("a".into()));
        assert_eq!(
            options.placements,
            Some(vec![Placement::Same, Placement::One])
        );
        assert_eq!(options.row_time, Some(Duration::from_millis(500)));
    }

    #[test]
    fn wrong_arguments_are_named() {
        for (arguments, named) in [
            (&["--only"][..], "--only needs a value"),
            (&["--fast"], "no option --fast"),
            (&["--placement", "left"], "no placement left"),
            (&["--seconds", "-1"], "-1 is no number"),
            (&["--goals", "--quick"], "no verdicts"),
            (&["--seconds", "NaN"], "NaN is no number"),
        ] {
            let complaint = parsed(arguments).unwrap_err();
            assert!(complaint.contains(named), "{complaint}");
        }
        assert!(parsed(&["--help"]).unwrap().is_none());
    }
}
