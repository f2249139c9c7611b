//! `strait rpc`: remote procedure calls of Sun's kind.

mod bind;
mod host;
mod info;
mod ping;

use std::process::ExitCode;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Failure;

/// The verbs of remote procedure calls.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Bind(bind::Bind),
    Info(info::Info),
}

impl Verb {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        match self {
            Self::Bind(bind) => bind.run(context).map_err(Failure::into_error),
            Self::Info(info) => info.run(context),
        }
    }
}
