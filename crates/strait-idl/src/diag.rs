//! What is wrong, where, and what may help.

use std::error::Error;
use std::fmt;

use crate::source::{Sources, Span, offset};

/// The most errors that one run tells.
const DIAGNOSTICS_MAX: usize = 64;

/// The longest part of a source line that is shown, in characters.
const LINE_SHOWN_MAX: usize = 160;

/// One error.
///
/// Its text is the message, the place, the line with carets, and the help if there is any:
///
/// ```text
/// error: `kye` is not defined
///   --> kv.x:12:5
///    |
/// 12 |     kye k;
///    |     ^^^
///    = help: is `key` meant?
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1; 0 if the file itself is what is wrong.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What may help.
    pub help: Option<String>,
    shown: Option<Box<Shown>>,
}

/// The line with its carets.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    /// The line, or a part of it.
    text: String,
    /// What stands below the line before the carets.
    indent: String,
    carets: usize,
}

impl Diagnostic {
    pub(crate) fn at(sources: &Sources, span: Span, message: impl Into<String>) -> Self {
        let place = sources.place(span);
        let before = place.text[..place.from].chars().count();
        // Of a very long line, the part around the span.
        let skipped = before.saturating_sub(LINE_SHOWN_MAX / 2);
        let shown: String = place
            .text
            .chars()
            .skip(skipped)
            .take(LINE_SHOWN_MAX)
            .map(|letter| match letter {
                '\t' => '\t',
                control if control.is_control() => char::REPLACEMENT_CHARACTER,
                letter => letter,
            })
            .collect();
        let indent = shown.chars().take(before - skipped);
        let indent = indent.map(|letter| if letter == '\t' { '\t' } else { ' ' });
        let width = place.text[place.from..place.to].chars().count();
        Self {
            file: place.file.to_string(),
            line: place.line,
            column: offset(before) + 1,
            message: message.into(),
            help: None,
            shown: Some(Box::new(Shown {
                indent: indent.collect(),
                carets: width.clamp(1, LINE_SHOWN_MAX / 2),
                text: shown,
            })),
        }
    }

    /// An error of a whole file.
    pub(crate) fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
            message: message.into(),
            help: None,
            shown: None,
        }
    }

    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.message)?;
        let number = self.line.to_string();
        let gap = " ".repeat(number.len());
        match &self.shown {
            None => write!(f, "{gap} --> {}", self.file)?,
            Some(shown) => {
                let carets = "^".repeat(shown.carets);
                writeln!(f, "{gap} --> {}:{number}:{}", self.file, self.column)?;
                writeln!(f, "{gap} |")?;
                writeln!(f, "{number} | {}", shown.text.trim_end())?;
                write!(f, "{gap} | {}{carets}", shown.indent)?;
            }
        }
        if let Some(help) = &self.help {
            write!(f, "\n{gap} = help: {help}")?;
        }
        Ok(())
    }
}

impl Error for Diagnostic {}

/// Everything that is wrong with one file and what it includes; at least one error, at most 64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    pub(crate) fn new(mut all: Vec<Diagnostic>) -> Self {
        all.truncate(DIAGNOSTICS_MAX);
        Self(all)
    }

    /// In the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(one: Diagnostic) -> Self {
        Self(vec![one])
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, one) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            one.fmt(f)?;
        }
        Ok(())
    }
}

impl Error for Diagnostics {}

/// The candidate that is spelt most like `word`, if one is close.
pub(crate) fn closest<'a>(word: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Candidates looked at, and the length of a word worth comparing: a bound on time.
    const CANDIDATES_MAX: usize = 4096;
    const WORD_MAX: usize = 48;
    if word.len() > WORD_MAX {
        return None;
    }
    let limit = word.len() / 3 + 1;
    among
        .take(CANDIDATES_MAX)
        .filter(|other| other.len().abs_diff(word.len()) <= limit)
        .map(|other| (distance(word.as_bytes(), other.as_bytes()), other))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, other)| other)
}

/// Levenshtein's distance, without regard to case.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let same = left.eq_ignore_ascii_case(right);
            let best = (corner + usize::from(!same)).min(row[j] + 1);
            corner = row[j + 1];
            row[j + 1] = best.min(corner + 1);
        }
    }
    row[b.len()]
}
