//! How long a line, a function and a file may be, and how full a folder.

use std::ops::Range;

use super::Finding;
use super::blocks;
use super::lex::Kind;
use super::tree::{Source, Tree};

const LINE_CHARS_MAX: usize = 100;
const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 600;
const FOLDER_ENTRIES_MAX: usize = 12;
/// One file per kernel facility, and the kernel has many: see ARCHITECTURE.md.
const FLAT_FOLDERS: &[&str] = &["crates/strait-sys/src", "crates/strait-sys/src/tests"];

/// Reports what is over its limit.
pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for source in &tree.sources {
        let mut report = |line, what, rule| {
            findings.push(Finding {
                path: source.path.clone(),
                line,
                what,
                rule,
            });
        };
        for (line, length) in long_lines(source) {
            report(
                line,
                format!("{length} characters, {LINE_CHARS_MAX} at most"),
                "line length",
            );
        }
        for (line, name, length) in long_functions(source) {
            let what = format!("`{name}` has {length} lines, {FUNCTION_LINES_MAX} at most");
            report(line, what, "function length");
        }
        let length = file_lines(source);
        if length > FILE_LINES_MAX {
            let what = format!("{length} lines without tests, {FILE_LINES_MAX} at most");
            report(FILE_LINES_MAX + 1, what, "file length");
        }
    }
    for folder in tree
        .folders
        .iter()
        .filter(|folder| folder.entries > FOLDER_ENTRIES_MAX)
        .filter(|folder| !FLAT_FOLDERS.iter().any(|flat| folder.path.ends_with(flat)))
    {
        let what = format!("{} entries, {FOLDER_ENTRIES_MAX} at most", folder.entries);
        findings.push(Finding {
            path: folder.path.clone(),
            line: 1,
            what,
            rule: "folder size",
        });
    }
}

fn long_lines(source: &Source) -> impl Iterator<Item = (usize, usize)> {
    source.lines().enumerate().filter_map(|(i, line)| {
        let text = &source.text[line.clone()];
        let (limit, _) = text.char_indices().nth(LINE_CHARS_MAX)?;
        // A row of a table in a doc comment is one line by its syntax.
        let is_row = ["//! |", "/// |"]
            .iter()
            .any(|row| text.trim_start().starts_with(row));
        let breakable = !is_row && !text.contains("://") && !is_unbreakable(source, &line, limit);
        breakable.then(|| (i + 1, text.chars().count()))
    })
}

/// Whether the line passes the limit inside a literal that cannot be broken there: a raw string,
/// or an ordinary one without a blank on this line.
fn is_unbreakable(source: &Source, line: &Range<usize>, limit: usize) -> bool {
    let kinds = &source.kinds[line.clone()];
    match kinds[limit] {
        Kind::RawLiteral => true,
        Kind::Literal => {
            let is_other = |kind: &Kind| *kind != Kind::Literal;
            let start = kinds[..limit]
                .iter()
                .rposition(is_other)
                .map_or(0, |at| at + 1);
            let length = kinds[limit..]
                .iter()
                .position(is_other)
                .unwrap_or(kinds.len() - limit);
            let literal = &source.text[line.start + start..line.start + limit + length];
            !literal.trim_start().contains(' ')
        }
        Kind::Code | Kind::Comment => false,
    }
}

fn long_functions(source: &Source) -> Vec<(usize, String, usize)> {
    let tokens = source.tokens();
    let functions = blocks::functions(&tokens).into_iter();
    let counted = functions.filter(|function| !source.is_test(function.span.start));
    let measured = counted.map(|function| {
        let first = source.line_at(function.span.start);
        (
            first,
            function.name.to_owned(),
            source.line_at(function.span.end - 1) - first + 1,
        )
    });
    measured
        .filter(|(_, _, length)| *length > FUNCTION_LINES_MAX)
        .collect()
}

/// The lines of a file that count: not those of a test file, nor of the test module at its end.
fn file_lines(source: &Source) -> usize {
    if source.is_test_file() {
        return 0;
    }
    let is_last = |end: usize| source.code[end..].trim().is_empty();
    let trailing = source
        .modules
        .iter()
        .find(|module| module.is_test && is_last(module.span.end));
    trailing.map_or(source.lines().count(), |module| {
        source.line_at(module.span.start) - 1
    })
}
