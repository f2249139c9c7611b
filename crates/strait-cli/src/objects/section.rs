//! `strait section`: shared memory with a name.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use strait::Kind;
use strait::nt::{Read, Section, View, Write};

use super::{Born, Names, Options, Query};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::value;

/// What is copied at a time.
const CHUNK: usize = 64 * 1024;
/// Bytes in a line of hexadecimal.
const LINE: usize = 16;

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
        let explain = |error| context.explain(Kind::Section, &self.name, error);
        let section = super::open(context, Section::options(0).look(), &self.name)?;
        let view: View<Read> = section.map().map_err(explain)?;
        let (from, to) = part(&self.name, view.len(), self.offset, self.len)?;
        let mut dump = self.hex.then(|| Dump::from(from));
        let mut chunk = vec![0; CHUNK];
        let mut at = from;
        while at < to {
            let chunk = &mut chunk[..CHUNK.min(to - at)];
            view.read(at, chunk)
                .map_err(|error| context.explain(Kind::Section, &self.name, error))?;
            match &mut dump {
                Some(dump) => dump.add(chunk, &mut context.out)?,
                None => context.out.bytes(chunk)?,
            }
            at += chunk.len();
        }
        if let Some(dump) = dump {
            dump.end(&mut context.out)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The bytes from and to, as indices into a view.
fn part(
    name: &str,
    whole: usize,
    offset: u64,
    len: Option<u64>,
) -> Result<(usize, usize), Failure> {
    let end = len.map_or(Some(whole as u64), |len| offset.checked_add(len));
    let from = usize::try_from(offset).ok();
    let to = end.and_then(|end| usize::try_from(end).ok());
    match (from, to) {
        (Some(from), Some(to)) if from <= to && to <= whole => Ok((from, to)),
        _ => Err(Failure::new(format!(
            "{name} has {whole} bytes: the part lies beyond its end"
        ))),
    }
}

impl WriteIn {
    fn run(&self, context: &mut Context) -> Result<ExitCode, Failure> {
        let explain = |error| context.explain(Kind::Section, &self.name, error);
        let section = super::open(context, Section::options(0), &self.name)?;
        let view: View<Write> = section.map().map_err(explain)?;
        let (from, whole) = part(&self.name, view.len(), self.offset, None)?;
        let mut input = std::io::stdin().lock();
        let mut chunk = vec![0; CHUNK];
        let mut at = from;
        loop {
            let read = match input.read(&mut chunk) {
                Ok(0) => return Ok(ExitCode::SUCCESS),
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::new(format!("read standard input: {error}"))),
            };
            let fits = read.min(whole - at);
            view.write(at, &chunk[..fits]).map_err(explain)?;
            at += fits;
            if fits < read {
                return Err(Failure::new(format!(
                    "{} has {whole} bytes: what came after {} bytes of input was not written",
                    self.name,
                    at - from
                )));
            }
        }
    }
}

/// Hexadecimal and text, as `hexdump -C` has it.
struct Dump {
    at: usize,
    line: Vec<u8>,
    last: Option<Vec<u8>>,
    starred: bool,
}

impl Dump {
    fn from(at: usize) -> Self {
        Self {
            at,
            line: Vec::with_capacity(LINE),
            last: None,
            starred: false,
        }
    }

    fn add(&mut self, bytes: &[u8], out: &mut Output) -> Result<(), Failure> {
        for byte in bytes {
            self.line.push(*byte);
            if self.line.len() == LINE {
                self.print(out)?;
            }
        }
        Ok(())
    }

    fn print(&mut self, out: &mut Output) -> Result<(), Failure> {
        let line = std::mem::take(&mut self.line);
        let at = self.at;
        self.at += line.len();
        if self.last.as_ref() == Some(&line) {
            if !self.starred {
                self.starred = true;
                out.line("*")?;
            }
            return Ok(());
        }
        self.starred = false;
        let mut text = format!("{at:08x} ");
        for index in 0..LINE {
            if index % 8 == 0 {
                text.push(' ');
            }
            text.push_str(&match line.get(index) {
                Some(byte) => format!("{byte:02x} "),
                None => "   ".into(),
            });
        }
        let shown = line.iter().map(|byte| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '.',
        });
        text.push_str(&format!(" |{}|", shown.collect::<String>()));
        self.last = Some(line);
        out.line(&text)
    }

    fn end(mut self, out: &mut Output) -> Result<(), Failure> {
        if !self.line.is_empty() {
            self.print(out)?;
        }
        out.line(&format!("{:08x}", self.at))
    }
}
