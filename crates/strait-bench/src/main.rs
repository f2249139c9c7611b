//! The program `strait-bench`: measures every mechanism beside the raw kernel calls.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    strait_bench::command::main(strait_bench::TABLE)
}
