//! The program `strait`: all of it is in the library, so that tests can reach its readers.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    strait_cli::main()
}
