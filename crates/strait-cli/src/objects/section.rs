//! `strait section`: shared memory with a name.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use strait::Kind;
use strait::nt::{Read, Section, View, Write};

use super::bytes::{self, Part};
use super::{Born, Names, Options, Query};
use crate::context::Context;
use crate::failure::Failure;
use crate::value;

/// The verbs of sections.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Create(Create),
    /// Show its size and which processes have it open
    Query(Query),
    #[command(name = "read")]
    ReadOut(ReadOut),
    #[command(name = "write")]
    WriteIn(WriteIn),
    /// Remove it; the name goes when no process has it open
    Rm(Names),
}

/// Make a section, which stays until it is removed
#[derive(Args, Debug)]
#[command(after_help = "Example: strait section create prices --size 1M")]
pub(crate) struct Create {
    /// Its name; `Global\` for the whole machine
    name: String,
    /// Its length, such as 4096, 64K or 1M; memory is rounded up to whole pages, and the length
    /// of a file is taken if none is given
    #[arg(long, required_unless_present = "file")]
    #[arg(value_parser = value::size, allow_negative_numbers = true)]
    size: Option<u64>,
    /// Share this file instead of memory
    #[arg(long)]
    file: Option<PathBuf>,
    #[command(flatten)]
    born: Born,
}

/// Copy its bytes to standard output
#[derive(Args, Debug)]
pub(crate) struct ReadOut {
    /// Its name
    name: String,
    /// Where to begin
    #[arg(long, value_parser = value::size, allow_negative_numbers = true, default_value = "0")]
    offset: u64,
    /// How many bytes; all to the end if not given
    #[arg(long, value_parser = value::size, allow_negative_numbers = true)]
    len: Option<u64>,
    /// As hexadecimal and text; lines that repeat are left out
    #[arg(long)]
    hex: bool,
}

/// Copy standard input into it
#[derive(Args, Debug)]
pub(crate) struct WriteIn {
    /// Its name
    name: String,
    /// Where to begin
    #[arg(long, value_parser = value::size, allow_negative_numbers = true, default_value = "0")]
    offset: u64,
}

impl Verb {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        match self {
            Self::Create(create) => {
                let mut options = Section::options(create.size.unwrap_or(0));
                if let Some(file) = &create.file {
                    options = options.file(file);
                }
                super::create(context, options, &create.name, &create.born)
            }
            Self::Query(query) => super::query(context, Kind::Section, &query),
            Self::ReadOut(read) => read.run(context),
            Self::WriteIn(write) => write.run(context),
            Self::Rm(names) => super::rm(context, || Section::options(0), &names),
        }
    }
}

impl ReadOut {
    fn run(&self, context: &mut Context) -> Result<ExitCode, Failure> {
        let section = super::open(context, Section::options(0).look(), &self.name)?;
        let view: View<Read> = section
            .map()
            .map_err(|error| context.explain(Kind::Section, &self.name, error))?;
        let part = Part {
            offset: self.offset,
            len: self.len,
            hex: self.hex,
        };
        bytes::copy_out(&view, &self.name, &part, &mut context.out)
    }
}

impl WriteIn {
    fn run(&self, context: &mut Context) -> Result<ExitCode, Failure> {
        let section = super::open(context, Section::options(0), &self.name)?;
        let view: View<Write> = section
            .map()
            .map_err(|error| context.explain(Kind::Section, &self.name, error))?;
        bytes::copy_in(&view, &self.name, self.offset)
    }
}
