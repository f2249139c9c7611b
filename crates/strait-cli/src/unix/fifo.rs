//! `strait fifo`: pipes with a name in the file system.

use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;
use strait::ErrorKind;
use strait::unix::fifo::Fifo;
use strait::unix::pipe::Reader;

use crate::context::Context;
use crate::failure::{Failure, TIMED_OUT};
use crate::objects::Limit;
use crate::value::{self, quoted};

/// What is copied at a time: what a pipe holds.
const CHUNK: usize = 64 * 1024;

/// The verbs of FIFOs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Create(Create),
    Send(Send),
    Recv(Recv),
    Stat(Stat),
    /// Remove it: its name, for who has it open keeps it
    Rm(Paths),
}

/// Make a FIFO, which stays until it is removed
#[derive(Args, Debug)]
#[command(after_help = "Example: strait fifo create /run/user/1000/orders --mode 0622")]
pub(crate) struct Create {
    /// Where
    path: PathBuf,
    /// Who may read and write it, in octal; the umask does not matter
    #[arg(long, value_parser = value::mode, default_value = "0600")]
    mode: u32,
    /// If there is one, that is fine
    #[arg(long)]
    or_open: bool,
}

/// Write to it: the text and a newline, or standard input
#[derive(Args, Debug)]
#[command(after_help = "The time is how long to wait for a reader.\n\
                  Exit status: 0 when all is written, 124 when no reader came in time, 125 on an \
                  error.\n\
                  Example: strait fifo send ./orders 'two coffees' --timeout 5s")]
pub(crate) struct Send {
    /// The FIFO
    path: PathBuf,
    /// What to write; standard input if not given
    text: Option<String>,
    #[command(flatten)]
    limit: Limit,
}

/// Copy what is written to it to standard output, until the last writer has gone
#[derive(Args, Debug)]
#[command(after_help = "The time is how long to wait for a writer.\n\
                  Exit status: 0 at the end, 124 when no writer came in time, 125 on an error.\n\
                  Example: strait fifo recv ./orders --keep | while read -r order; do echo $order; \
                  done")]
pub(crate) struct Recv {
    /// The FIFO
    path: PathBuf,
    /// Go on when the last writer has gone, and wait for the next
    #[arg(long, conflicts_with = "timeout")]
    keep: bool,
    #[command(flatten)]
    limit: Limit,
}

/// Show its owner and mode
#[derive(Args, Debug)]
pub(crate) struct Stat {
    /// The FIFO
    path: PathBuf,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Paths of FIFOs.
#[derive(Args, Debug)]
pub(crate) struct Paths {
    /// The FIFOs
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

impl Verb {
    pub(crate) fn run(self, context: &mut Context) -> Result<ExitCode, Failure> {
        match self {
            Self::Create(create) => create.run(),
            Self::Send(send) => send.run().map_err(Failure::into_error),
            Self::Recv(recv) => recv.run(context).map_err(Failure::into_error),
            Self::Stat(stat) => stat.run(context),
            Self::Rm(paths) => paths.run(context),
        }
    }
}

fn open(path: &Path) -> Result<Fifo, Failure> {
    Fifo::open(path).map_err(|error| {
        let shown = path.display();
        match error.kind() {
            ErrorKind::NotFound => Failure::no_directory(path).unwrap_or_else(|| {
                let word = quoted(&path.to_string_lossy());
                Failure::new(format!(
                    "there is no FIFO {shown}: create it with `strait fifo create {word}`"
                ))
            }),
            ErrorKind::WrongKind => Failure::new(format!("{shown} is no FIFO: {}", error.why())),
            _ => Failure::of(error),
        }
    })
}

/// The read end as a member of a wait: nothing is read.
pub(crate) fn to_wait(path: &Path) -> Result<Reader, Failure> {
    open(path)?.reader_now().map_err(Failure::of)
}

impl Create {
    fn run(&self) -> Result<ExitCode, Failure> {
        let made = if self.or_open {
            Fifo::create_or_open(&self.path, self.mode).map(drop)
        } else {
            Fifo::create(&self.path, self.mode).map(drop)
        };
        made.map_err(|error| match error.kind() {
            ErrorKind::Exists => {
                let shown = self.path.display();
                Failure::new(format!(
                    "{shown} exists already (`--or-open` takes a FIFO as it is)"
                ))
            }
            _ => Failure::at(&self.path, error),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Send {
    fn run(&self) -> Result<ExitCode, Failure> {
        let fifo = open(&self.path)?;
        let to = match self.limit.timeout {
            Some(timeout) => fifo.writer_for(timeout).map_err(Failure::of)?,
            None => Some(fifo.writer().map_err(Failure::of)?),
        };
        let Some(to) = to else {
            return Ok(TIMED_OUT.into());
        };
        if let Some(text) = &self.text {
            to.write_all(format!("{text}\n").as_bytes())
                .map_err(Failure::of)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut input = std::io::stdin().lock();
        let mut chunk = vec![0; CHUNK];
        loop {
            let len = input
                .read(&mut chunk)
                .map_err(|error| Failure::io("read standard input", &error))?;
            if len == 0 {
                return Ok(ExitCode::SUCCESS);
            }
            to.write_all(&chunk[..len]).map_err(Failure::of)?;
        }
    }
}

impl Recv {
    fn run(&self, context: &mut Context) -> Result<ExitCode, Failure> {
        let fifo = open(&self.path)?;
        let from = match self.limit.timeout {
            _ if self.keep => Some(fifo.endless_reader().map_err(Failure::of)?),
            Some(timeout) => fifo.reader_for(timeout).map_err(Failure::of)?,
            None => Some(fifo.reader().map_err(Failure::of)?),
        };
        let Some(from) = from else {
            return Ok(TIMED_OUT.into());
        };
        let mut chunk = vec![0; CHUNK];
        loop {
            let len = from.read(&mut chunk).map_err(Failure::of)?;
            if len == 0 {
                return Ok(ExitCode::SUCCESS);
            }
            context.out.bytes(&chunk[..len])?;
            // A line that has come is to be seen now, not when the buffer is full.
            context.out.finish()?;
            if context.out.is_closed() {
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    path: &'a str,
    owner: u32,
    mode: String,
}

impl Stat {
    fn run(&self, context: &mut Context) -> Result<ExitCode, Failure> {
        let fifo = open(&self.path)?;
        let shown = Shown {
            path: &String::from_utf8_lossy(self.path.as_os_str().as_bytes()),
            owner: fifo.owner(),
            mode: format!("{:04o}", fifo.mode()),
        };
        if self.json {
            context.out.json(&shown)?;
        } else {
            let Shown { path, owner, mode } = shown;
            context
                .out
                .line(&format!("{path}: mode {mode}, owner {owner}"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Paths {
    fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let mut status = ExitCode::SUCCESS;
        for path in &self.paths {
            let removed = open(path).and_then(|_| {
                std::fs::remove_file(path).map_err(|error| Failure::io(path.display(), &error))
            });
            if let Err(failure) = removed {
                context.note(&failure.message);
                status = ExitCode::FAILURE;
            }
        }
        Ok(status)
    }
}
