//! Files: where they are sought, and how much of one is read.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{INCLUDE_DEPTH_MAX, INCLUDES_MAX, Preprocessor};
use crate::diag::Diagnostic;
use crate::source::Span;

/// The longest file, in bytes.
pub(in crate::onc) const FILE_LEN_MAX: u64 = 16 << 20;

/// The text of a regular file; what is not UTF-8, as old comments are not, is replaced.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("is not a regular file".into());
    }
    let mut bytes = Vec::new();
    file.take(FILE_LEN_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > FILE_LEN_MAX {
        return Err(too_long());
    }
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

pub(super) fn too_long() -> String {
    format!("longer than {} MiB", FILE_LEN_MAX >> 20)
}

impl Preprocessor<'_> {
    /// `#include "file"` or `#include <file>`.
    pub(super) fn include(
        &mut self,
        rest: Span,
        folder: Option<&Path>,
        depth: usize,
    ) -> Result<(), Diagnostic> {
        let line = self.sources.slice(rest);
        let blanks = line.len() - line.trim_start().len();
        let line = line.trim();
        let (name, beside) = match line.as_bytes().first() {
            Some(b'"') => (line[1..].split_once('"').map(|(name, _)| name), true),
            Some(b'<') => (line[1..].split_once('>').map(|(name, _)| name), false),
            _ => (None, false),
        };
        let len = name.map_or(line.len(), |name| name.len() + 2);
        let start = rest.start + crate::source::offset(blanks);
        let at = Span {
            start,
            end: start + crate::source::offset(len),
            ..rest
        };
        let Some(name) = name.filter(|name| !name.is_empty()).map(str::to_owned) else {
            return Err(self.error(at, "`#include` needs a \"file\" or a <file>"));
        };
        if depth + 1 > INCLUDE_DEPTH_MAX {
            let message = format!("more than {INCLUDE_DEPTH_MAX} files included in one another");
            return Err(self.error(at, message));
        }
        if self.output.files.len() > INCLUDES_MAX {
            return Err(self.error(at, format!("more than {INCLUDES_MAX} files are included")));
        }
        let beside = folder.filter(|_| beside).map(Path::to_owned);
        let folders = beside.into_iter().chain(self.options.include.clone());
        let candidates: Vec<PathBuf> = folders.map(|folder| folder.join(&name)).collect();
        let Some(path) = candidates.iter().find(|path| path.is_file()) else {
            let error = self.error(at, format!("`{name}` is not found"));
            return Err(
                if Path::new(&name).extension().is_some_and(|end| end == "h") {
                    error.with_help("a header for the C compiler is named by `%#include`")
                } else {
                    error.with_help("it is sought beside this file and in the search path")
                },
            );
        };
        let text =
            read(path).map_err(|why| self.error(at, format!("`{name}` cannot be read: {why}")))?;
        self.enter(path, text, depth + 1)
    }
}
