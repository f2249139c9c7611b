//! `strait rpc`: remote procedure calls of Sun's kind.

mod bind;
mod call;
mod r#gen;
mod host;
mod info;
mod interface;
pub(crate) mod json;
mod ping;
mod serve;
mod tls;

use std::process::ExitCode;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Failure;

/// The verbs of remote procedure calls.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Gen(r#gen::Gen),
    Call(Box<call::Call>),
    Serve(Box<serve::Serve>),
    Bind(bind::Bind),
    Info(info::Info),
}

impl Verb {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        match self {
            Self::Gen(verb) => verb.run(context),
            Self::Call(call) => call.run(context).map_err(Failure::into_error),
            Self::Serve(serve) => serve.run(context).map_err(Failure::into_error),
            Self::Bind(bind) => bind.run(context).map_err(Failure::into_error),
            Self::Info(info) => info.run(context),
        }
    }
}
