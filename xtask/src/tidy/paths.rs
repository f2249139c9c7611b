//! Collects the paths a file names: each leaf of a `use` tree, and paths written inline.

use super::lex::{Token, is_ident};

/// A path of at least one segment; a glob ends in `*`.
#[derive(Debug)]
pub(super) struct Path<'a> {
    pub(super) segments: Vec<&'a str>,
    /// Where its last segment stands if it comes from a `use`, else its first, in bytes.
    pub(super) at: usize,
    /// Declared with `use`, and so a name that others can go through.
    pub(super) is_use: bool,
    /// What it is called from here on: the last segment, or what stands after `as`.
    pub(super) name: &'a str,
}

/// Every path of at least two segments, every leaf of a `use`, every `extern crate`.
pub(super) fn paths<'a>(tokens: &[Token<'a>]) -> Vec<Path<'a>> {
    let mut reader = Reader {
        tokens,
        i: 0,
        found: Vec::new(),
    };
    while reader.i < tokens.len() {
        reader.step();
    }
    reader.found
}

struct Reader<'t, 'a> {
    tokens: &'t [Token<'a>],
    i: usize,
    found: Vec<Path<'a>>,
}

impl<'a> Reader<'_, 'a> {
    fn text(&self, i: usize) -> &'a str {
        self.tokens.get(i).map_or("", |token| token.text)
    }

    fn at_separator(&self, i: usize) -> bool {
        self.text(i) == ":" && self.text(i + 1) == ":"
    }

    fn step(&mut self) {
        let word = self.text(self.i);
        // `use<'a>` in a return type captures generics and imports nothing.
        if word == "use" && self.text(self.i + 1) != "<" {
            self.i += 1;
            return self.tree(&[]);
        }
        if word == "extern" && self.text(self.i + 1) == "crate" {
            self.i += 2;
            return self.tree(&[]);
        }
        // `pub(in crate::nt)` says who may look, not what is looked at.
        if word == "(" && self.text(self.i + 1) == "in" {
            while self.i < self.tokens.len() && self.text(self.i) != ")" {
                self.i += 1;
            }
            return;
        }
        if !is_ident(word) || !self.at_separator(self.i + 1) {
            self.i += 1;
            return;
        }
        self.inline();
    }

    fn inline(&mut self) {
        let at = self.tokens[self.i].at;
        let mut segments = vec![self.text(self.i)];
        self.i += 1;
        while self.at_separator(self.i) && is_ident(self.text(self.i + 2)) {
            segments.push(self.text(self.i + 2));
            self.i += 3;
        }
        let name = segments[segments.len() - 1];
        self.found.push(Path {
            segments,
            at,
            is_use: false,
            name,
        });
    }

    /// Reads one branch of a `use` tree; stops at the `,`, `}` or `;` that ends it.
    fn tree(&mut self, prefix: &[&'a str]) {
        if self.text(self.i) == "}" {
            // A trailing comma, or `{}`: the prefix alone is no import.
            return;
        }
        let mut segments = prefix.to_vec();
        let mut at = self.tokens.get(self.i).map_or(0, |token| token.at);
        while self.i < self.tokens.len() {
            match self.text(self.i) {
                "," | "}" | ";" => break,
                ":" | "$" => self.i += 1,
                "{" => return self.group(&segments),
                "as" => {
                    let name = self.text(self.i + 1);
                    self.i += 2;
                    return self.leaf(segments, at, Some(name));
                }
                segment => {
                    at = self.tokens[self.i].at;
                    // `{self}` names what stands before the brace.
                    if segment != "self" || segments.is_empty() {
                        segments.push(segment);
                    }
                    self.i += 1;
                }
            }
        }
        self.leaf(segments, at, None);
    }

    fn group(&mut self, prefix: &[&'a str]) {
        loop {
            self.i += 1;
            self.tree(prefix);
            if self.text(self.i) != "," {
                self.i += 1;
                return;
            }
        }
    }

    fn leaf(&mut self, segments: Vec<&'a str>, at: usize, name: Option<&'a str>) {
        let Some(last) = segments.last() else { return };
        let name = name.unwrap_or(last);
        self.found.push(Path {
            segments,
            at,
            is_use: true,
            name,
        });
    }
}
