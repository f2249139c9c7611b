//! Commands that are run while something is held.
//!
//! Their exit status becomes this program's, as env(1) and timeout(1) have it: 128 and the number
//! for a signal, 126 if it cannot be run, 127 if it does not exist.

use std::ffi::OsString;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode};

use crate::failure::{CANNOT_RUN, Failure, NOT_FOUND};

/// A command from its words, of which there is at least one.
pub(crate) fn command(words: &[OsString]) -> Result<Command, Failure> {
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| Failure::new("no command was given").into_error())?;
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

/// Runs it to its end.
pub(crate) fn run(command: &mut Command) -> Result<ExitCode, Failure> {
    let status = command.status().map_err(|error| cannot(command, &error))?;
    let code = match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    };
    Ok(u8::try_from(code).unwrap_or(1).into())
}

/// Becomes that command. Comes back only if it cannot.
pub(crate) fn become_it(command: &mut Command) -> Failure {
    let error = command.exec();
    cannot(command, &error)
}

fn cannot(command: &Command, error: &std::io::Error) -> Failure {
    let program = command.get_program().to_string_lossy();
    let (status, why) = if error.kind() == std::io::ErrorKind::NotFound {
        (NOT_FOUND, "no such command".to_owned())
    } else {
        (CANNOT_RUN, error.to_string())
    };
    Failure {
        message: format!("run {program}: {why}"),
        status,
    }
}
