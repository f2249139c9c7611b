//! Bytes of shared memory in and out.

use std::io::Read as _;
use std::process::ExitCode;

use strait::nt::{Read, View, Write};

use crate::failure::Failure;
use crate::output::Output;

/// What is copied at a time.
const CHUNK: usize = 64 * 1024;
/// Bytes in a line of hexadecimal.
const LINE: usize = 16;

/// Which bytes are shown, and how.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) offset: u64,
    /// All to the end if not given.
    pub(crate) len: Option<u64>,
    pub(crate) hex: bool,
}

/// Copies a part of the memory of that name to standard output.
pub(crate) fn copy_out(
    view: &View<Read>,
    name: &str,
    part: &Part,
    out: &mut Output,
) -> Result<ExitCode, Failure> {
    let (from, to) = range(name, view.len(), part.offset, part.len)?;
    let mut dump = part.hex.then(|| Dump::from(from));
    let mut chunk = vec![0; CHUNK];
    let mut at = from;
    while at < to {
        let chunk = &mut chunk[..CHUNK.min(to - at)];
        view.read(at, chunk).map_err(Failure::of)?;
        match &mut dump {
            Some(dump) => dump.add(chunk, out)?,
            None => out.bytes(chunk)?,
        }
        at += chunk.len();
    }
    if let Some(dump) = dump {
        dump.end(out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Copies standard input into the memory of that name.
pub(crate) fn copy_in(view: &View<Write>, name: &str, offset: u64) -> Result<ExitCode, Failure> {
    let (from, whole) = range(name, view.len(), offset, None)?;
    let mut input = std::io::stdin().lock();
    let mut chunk = vec![0; CHUNK];
    let mut at = from;
    loop {
        let read = match input.read(&mut chunk) {
            Ok(0) => return Ok(ExitCode::SUCCESS),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failure::io("read standard input", &error)),
        };
        let fits = read.min(whole - at);
        view.write(at, &chunk[..fits]).map_err(Failure::of)?;
        at += fits;
        if fits < read {
            return Err(Failure::new(format!(
                "{name} has {whole} bytes: what came after {} bytes of input was not written",
                at - from
            )));
        }
    }
}

/// The bytes from and to, as indices into a view.
fn range(
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
