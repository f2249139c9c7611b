//! `strait completions`: what a shell needs to complete the verbs.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::context::Context;
use crate::failure::Failure;
use crate::table::Cli;

/// Print completions for a shell
#[derive(Args, Debug)]
#[command(after_help = "Example: strait completions fish > ~/.config/fish/completions/strait.fish")]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
}

impl Arguments {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "strait", &mut text);
        context.out.bytes(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}
