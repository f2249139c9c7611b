//! Module docs, and words that do not belong where they stand.

use std::ops::Range;

use super::Finding;
use super::lex::Token;
use super::paths;
use super::tree::{Source, Tree};

/// The crates in which unsafe code is legal.
const UNSAFE_CRATES: &[&str] = &["strait-sys", "strait-c"];

/// Macros that mark code as unfinished.
const UNFINISHED_MACROS: &[&str] = &["todo", "unimplemented", "dbg"];

/// Words that mark it in comments.
const UNFINISHED_MARKS: &[&str] = &["FIXME", "XXX"];

type Report<'a> = &'a mut dyn FnMut(usize, String, &'static str);

/// Reports what one file at a time can break.
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
        if !has_module_docs(&source.text) {
            report(1, "does not begin with `//!` docs".into(), "module docs");
        }
        check_words(source, &mut report);
        check_comments(source, &mut report);
    }
}

/// Whether `//!` docs with some text come before everything but attributes and plain comments.
fn has_module_docs(text: &str) -> bool {
    for line in text.lines().map(str::trim) {
        if let Some(doc) = line.strip_prefix("//!") {
            if !doc.trim().is_empty() {
                return true;
            }
        } else if line.starts_with("#![doc = ") {
            return true;
        } else if !(line.is_empty() || line.starts_with("#!") || line.starts_with("//")) {
            return false;
        }
    }
    false
}

fn check_words(source: &Source, report: Report<'_>) {
    let tokens = source.tokens();
    let imported = paths::paths(&tokens)
        .iter()
        .any(|path| path.is_use && path.segments.ends_with(&["thread", "sleep"]));
    let text = |i: usize| tokens.get(i).map_or("", |token| token.text);
    for (i, token) in tokens.iter().enumerate() {
        let line = source.line_at(token.at);
        let before = if i == 0 { "" } else { text(i - 1) };
        match token.text {
            "unsafe" if !UNSAFE_CRATES.contains(&source.package.as_str()) => {
                report(line, format!("unsafe in `{}`", source.package), "unsafe");
            }
            // `#[ignore]` or `cfg_attr(…, ignore)`, not `#[ignore = "why"]` nor a variable.
            "ignore" if is_bare_ignore(&tokens, i) => {
                report(line, "`#[ignore]` without a reason".into(), "ignored test");
            }
            // Another path, a definition or a method is somebody else's `sleep`.
            "sleep" if text(i + 1) == "(" && source.is_test(token.at) => {
                let by_path = before == ":" && i >= 3 && text(i - 3) == "thread";
                let by_name = imported && !matches!(before, ":" | "." | "fn");
                if (by_path || by_name) && !has_sleep_reason(source, line) {
                    let what = "a sleep in a test without a `// sleep:` reason".into();
                    report(line, what, "sleep");
                }
            }
            word if text(i + 1) == "!" && UNFINISHED_MACROS.contains(&word) => {
                report(line, format!("`{word}!`"), "unfinished");
            }
            _ => {}
        }
    }
}

/// Whether the `ignore` at `i` ends an attribute or one of its branches, without a reason.
fn is_bare_ignore(tokens: &[Token<'_>], i: usize) -> bool {
    let text = |i: usize| tokens.get(i).map_or("", |token| token.text);
    if !matches!(text(i + 1), "]" | ")") {
        return false;
    }
    // Back to the bracket that holds it all: an attribute if `#` stands before.
    let mut depth = 0_usize;
    for open in (1..i).rev() {
        match text(open) {
            "]" | ")" | "}" => depth += 1,
            "[" if depth == 0 => return text(open - 1) == "#",
            "(" if depth == 0 => {}
            "[" | "(" | "{" if depth > 0 => depth -= 1,
            "{" | ";" => return false,
            _ => {}
        }
    }
    false
}

/// Looks on the sleep's own line and on the comment lines right above it.
fn has_sleep_reason(source: &Source, line: usize) -> bool {
    let comment_of = |range: &Range<usize>| source.comments[range.clone()].trim().to_owned();
    let lines: Vec<_> = source.lines().collect();
    let own = comment_of(&lines[line - 1]);
    let above = lines[..line - 1].iter().rev();
    let comments = above.take_while(|range| source.code[(*range).clone()].trim().is_empty());
    std::iter::once(own)
        .chain(
            comments
                .map(comment_of)
                .take_while(|comment| !comment.is_empty()),
        )
        .filter_map(|comment| {
            comment
                .split_once("// sleep:")
                .map(|(_, why)| why.trim().to_owned())
        })
        .any(|why| !why.is_empty())
}

fn check_comments(source: &Source, report: Report<'_>) {
    for (i, range) in source.lines().enumerate() {
        let comment = &source.comments[range];
        let words = comment.split(|c: char| c != '_' && !c.is_alphanumeric());
        for mark in words.filter(|word| UNFINISHED_MARKS.contains(word)) {
            report(i + 1, format!("`{mark}`"), "unfinished");
        }
    }
}
