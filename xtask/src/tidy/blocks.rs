//! Finds the functions and the inline modules of a file, by brackets.

use std::ops::Range;

use super::lex::{Token, is_ident};

/// A function with a body, from `fn` to the closing brace, in bytes.
#[derive(Debug)]
pub(super) struct Function<'a> {
    pub(super) name: &'a str,
    pub(super) span: Range<usize>,
}

/// `mod name { … }`, with its attributes, in bytes.
#[derive(Debug)]
pub(super) struct InlineModule {
    pub(super) name: String,
    pub(super) span: Range<usize>,
    /// Named `tests`, or under `#[cfg(test)]`.
    pub(super) is_test: bool,
}

/// The functions that have a body. An inner function counts for itself and for the outer one.
pub(super) fn functions<'a>(tokens: &[Token<'a>]) -> Vec<Function<'a>> {
    let mut functions = Vec::new();
    for (i, pair) in tokens.windows(2).enumerate() {
        // `fn(` without a name is a pointer type.
        if pair[0].text != "fn" || !is_ident(pair[1].text) {
            continue;
        }
        if let Some(open) = body(tokens, i + 2) {
            let end = tokens[closing(tokens, open)].at + 1;
            functions.push(Function {
                name: pair[1].text,
                span: pair[0].at..end,
            });
        }
    }
    functions
}

/// The modules written in place, outer ones first.
pub(super) fn inline_modules(tokens: &[Token<'_>]) -> Vec<InlineModule> {
    let text = |i: usize| tokens.get(i).map_or("", |token| token.text);
    let mut modules = Vec::new();
    // Where the attributes before the next item begin, and whether `cfg(test)` is one of them.
    let mut attributes: Option<(usize, bool)> = None;
    let mut i = 0;
    while i < tokens.len() {
        if text(i) == "#" && text(i + 1) == "[" {
            let end = closing(tokens, i + 1);
            let words: Vec<&str> = tokens[i + 2..end].iter().map(|token| token.text).collect();
            let (start, is_test) = attributes.unwrap_or((tokens[i].at, false));
            attributes = Some((start, is_test || words == ["cfg", "(", "test", ")"]));
            i = end + 1;
            continue;
        }
        if text(i) == "pub" {
            attributes.get_or_insert((tokens[i].at, false));
            i = if text(i + 1) == "(" {
                closing(tokens, i + 1) + 1
            } else {
                i + 1
            };
            continue;
        }
        if text(i) == "mod" && text(i + 2) == "{" {
            let (start, is_test) = attributes.unwrap_or((tokens[i].at, false));
            let end = tokens[closing(tokens, i + 2)].at + 1;
            let name = text(i + 1).to_owned();
            let is_test = is_test || name == "tests";
            modules.push(InlineModule {
                name,
                span: start..end,
                is_test,
            });
        }
        attributes = None;
        i += 1;
    }
    modules
}

/// The index of the bracket that closes the one at `open`, or of the last token.
fn closing(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return i;
                }
            }
            _ => {}
        }
    }
    tokens.len().saturating_sub(1)
}

/// The index of the `{` that opens a function's body, if `;` does not come first. Braces inside
/// the signature (`Array<{ N + 1 }>`, `[u8; { N }]`) open no body.
fn body(tokens: &[Token<'_>], signature: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (i, token) in tokens.iter().enumerate().skip(signature) {
        match token.text {
            "{" if depth == 0 => return Some(i),
            ";" if depth == 0 => return None,
            "(" | "[" | "<" | "{" => depth += 1,
            ">" if tokens[i - 1].text == "-" => {}
            ")" | "]" | ">" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}
