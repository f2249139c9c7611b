//! `strait rpc gen`: the Rust that a `.x` file becomes.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use strait_idl::onc::Strings;

use super::interface::Interface;
use crate::context::Context;
use crate::failure::Failure;

/// Print the Rust that a file of the RPC language becomes: types, clients, a trait for servers
#[derive(Args, Debug)]
#[command(
    after_help = "Build scripts have the same as `strait_idl::onc::Compiler`.\n\
                  Exit status: 0, or 1 if the file is wrong, with a caret below each error.\n\
                  Example: strait rpc gen kv.x -o src/kv.rs"
)]
pub(crate) struct Gen {
    #[command(flatten)]
    interface: Interface,
    /// Write it to this file, which is left as it is if there is an error
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What strings become
    #[arg(long, value_enum, default_value_t = Texts::Utf8)]
    strings: Texts,
    /// The module that the code calls
    #[arg(long, value_name = "PATH", default_value = "::strait::rpc::onc")]
    root: String,
    /// Lend strings and opaque data from what they are read from, without a copy
    #[arg(long)]
    borrowed: bool,
    /// Leave the async clients out
    #[arg(long)]
    blocking: bool,
}

#[derive(Copy, Clone, Debug, Eq, PartialEq, ValueEnum)]
enum Texts {
    /// String: what is not UTF-8 is refused
    Utf8,
    /// Bytes, whatever they mean
    Bytes,
}

impl Gen {
    pub(crate) fn run(&self, context: &mut Context) -> Result<ExitCode, Failure> {
        let strings = match self.strings {
            Texts::Utf8 => Strings::Utf8,
            Texts::Bytes => Strings::Bytes,
        };
        let mut compiler = self.interface.compiler().strings(strings).root(&self.root);
        if self.blocking {
            compiler = compiler.blocking_only();
        }
        if self.borrowed {
            compiler = compiler.borrowed();
        }
        let code = compiler.generate(&self.interface.file);
        let code = code.map_err(|wrong| self.interface.complain(&wrong))?;
        match &self.output {
            None => context.out.bytes(code.as_bytes())?,
            Some(path) => std::fs::write(path, code)
                .map_err(|error| Failure::io(format!("write {}", path.display()), &error))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
