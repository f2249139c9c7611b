//! The program `strait`: objects of NT and of Linux from the shell. One file per verb.
//!
//! `table` is the one description of all verbs: parsing, help, completions and man pages come
//! from it. A verb does its work through the library, prints through `output`, and fails with a
//! `Failure` that names the thing, the cause and the cure.
#![forbid(unsafe_code)]

mod child;
mod context;
mod failure;
mod objects;
mod output;
mod seen;
mod table;
mod unix;
mod verbs;
pub mod written;

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use self::context::Context;
use self::failure::ERROR;
use self::table::Cli;
use self::written::{member, value};

/// Does what this process's arguments say.
#[must_use]
pub fn main() -> ExitCode {
    // A side of a survey's pair is this program too.
    if let Some(end) = strait_bench::peer_main(strait_bench::TABLE) {
        return end;
    }
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let (cli, verb) = match parse(&arguments) {
        Ok(parsed) => parsed,
        Err(error) => return usage(&error, &arguments),
    };
    let mut context = Context::new(verb, cli.ns);
    let result = cli.verb.run(&mut context);
    let result = result.and_then(|status| context.out.finish().map(|()| status));
    result.unwrap_or_else(|failure| {
        context.note(&failure.message);
        failure.status.into()
    })
}

/// The arguments, and the verb in words, such as `event set`.
fn parse(arguments: &[OsString]) -> Result<(Cli, String), clap::Error> {
    let matches = Cli::command().try_get_matches_from(arguments)?;
    let cli = Cli::from_arg_matches(&matches)?;
    let mut words = Vec::new();
    let mut at = &matches;
    while let Some((word, below)) = at.subcommand() {
        words.push(word);
        at = below;
    }
    Ok((cli, words.join(" ")))
}

/// Help goes to standard output, complaints to standard error; a closed one is no reason to panic.
fn usage(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    let mut errors = std::io::stderr();
    let _ = if error.use_stderr() && !errors.is_terminal() {
        // In one call, so that what several say at once is not mixed; colours are a terminal's.
        errors.write_all(error.render().to_string().as_bytes())
    } else {
        error.print()
    };
    match u8::try_from(error.exit_code()) {
        Ok(0) => ExitCode::SUCCESS,
        // With `--index` a status of 2 would be the third object.
        Ok(_) if is_wait(arguments) => ERROR.into(),
        Ok(status) => status.into(),
        Err(_) => ExitCode::FAILURE,
    }
}

fn is_wait(arguments: &[OsString]) -> bool {
    let mut words = arguments.iter().skip(1);
    while let Some(word) = words.next() {
        if word == "--ns" {
            words.next();
        } else if !word.to_string_lossy().starts_with("--ns=") {
            return word == "wait";
        }
    }
    false
}
