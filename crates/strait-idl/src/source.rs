//! The texts of one run, and places in them.

use std::sync::Arc;

/// A range of bytes in one text.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    pub(crate) file: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    /// From the beginning of this one to the end of `last`, where both are in one text.
    pub(crate) fn to(self, last: Self) -> Self {
        if self.file != last.file || last.end < self.start {
            return self;
        }
        Self {
            end: last.end,
            ..self
        }
    }
}

/// One text.
#[derive(Clone, Debug)]
struct File {
    name: Arc<str>,
    text: Arc<str>,
    /// Where each line begins.
    lines: Vec<u32>,
}

/// Every text that was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources(Vec<File>);

/// A line, a column in characters, and the text of the line; the first of each is 1.
#[derive(Clone, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) file: &'a Arc<str>,
    pub(crate) line: u32,
    pub(crate) text: &'a str,
    /// Where the span begins and ends in `text`, in bytes.
    pub(crate) from: usize,
    pub(crate) to: usize,
}

impl Sources {
    /// Adds a text of at most `u32::MAX` bytes.
    pub(crate) fn add(&mut self, name: &str, text: String) -> u32 {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = breaks.map(|(at, _)| offset(at + 1));
        let lines = std::iter::once(0).chain(starts).collect();
        self.0.push(File {
            name: name.into(),
            text: text.into(),
            lines,
        });
        offset(self.0.len() - 1)
    }

    /// A text, to be kept while others are added.
    pub(crate) fn text(&self, file: u32) -> Arc<str> {
        Arc::clone(&self.0[file as usize].text)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// What stands there.
    pub(crate) fn slice(&self, span: Span) -> &str {
        let text = &self.0[span.file as usize].text;
        text.get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }

    /// Where it stands.
    pub(crate) fn place(&self, span: Span) -> Place<'_> {
        let file = &self.0[span.file as usize];
        let line = file.lines.partition_point(|start| *start <= span.start) - 1;
        let start = file.lines[line] as usize;
        let text = file.text[start..].lines().next().unwrap_or_default();
        let clamp = |at: u32| (at as usize - start).min(text.len());
        Place {
            file: &file.name,
            line: offset(line) + 1,
            text,
            from: clamp(span.start),
            to: clamp(span.end.max(span.start)),
        }
    }
}

/// Texts are capped far below 4 GiB.
pub(crate) fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
