//! Words, numbers, strings and signs; comments and lines that are not for us.

use std::sync::Arc;

use crate::source::{Span, offset};

/// What a token is; its text is in the source.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Word,
    Number,
    /// With its quotes.
    Text,
    Sign(u8),
    End,
}

/// A token, and where its text stands.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) text: Span,
    /// Where it was written: the use of a macro, not its definition.
    pub(crate) at: Span,
}

/// What the lexer finds next.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Lexeme {
    Token(Token),
    /// A line for the preprocessor, without its `#`, with the lines that continue it.
    Directive(Span),
    /// A line that begins with `%`, without it.
    Passed(Span),
    End,
}

/// What no token begins or ends with.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Stray {
    pub(crate) at: Span,
    pub(crate) message: &'static str,
}

/// Reads a text, or a part of it, from the left to the right.
#[derive(Debug)]
pub(crate) struct Lexer {
    text: Arc<str>,
    file: u32,
    at: usize,
    end: usize,
    /// Nothing but blanks and comments since the line began.
    line_starts: bool,
    /// Inside a directive there are no directives.
    whole: bool,
}

impl Lexer {
    /// A whole text.
    pub(crate) fn new(text: Arc<str>, file: u32) -> Self {
        let end = text.len();
        Self {
            text,
            file,
            at: 0,
            end,
            line_starts: true,
            whole: true,
        }
    }

    /// A directive: its line breaks are blanks.
    pub(crate) fn of_line(text: Arc<str>, span: Span) -> Self {
        Self {
            text,
            file: span.file,
            at: span.start as usize,
            end: span.end as usize,
            line_starts: false,
            whole: false,
        }
    }

    /// What comes next.
    pub(crate) fn next(&mut self) -> Result<Lexeme, Stray> {
        self.blanks()?;
        let Some(byte) = self.peek(0) else {
            return Ok(Lexeme::End);
        };
        if let Some(line) = self.special(byte) {
            return Ok(line);
        }
        self.line_starts = false;
        let start = self.at;
        let kind = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.run(Kind::Word),
            b'0'..=b'9' => self.run(Kind::Number),
            b'"' => self.string()?,
            b'!'..=b'~' => {
                self.at += 1;
                Kind::Sign(byte)
            }
            _ => {
                let letter = self.text[start..].chars().next();
                self.at += letter.map_or(1, char::len_utf8);
                let message = "this character belongs to no word of the language";
                return Err(self.stray(start, message));
            }
        };
        let text = self.span(start);
        Ok(Lexeme::Token(Token {
            kind,
            text,
            at: text,
        }))
    }

    /// The next directive, whatever stands before it: what is switched off need not make sense.
    pub(crate) fn next_directive(&mut self) -> Result<Lexeme, Stray> {
        loop {
            self.blanks()?;
            let Some(byte) = self.peek(0) else {
                return Ok(Lexeme::End);
            };
            match self.special(byte) {
                Some(directive @ Lexeme::Directive(_)) => return Ok(directive),
                Some(_) => {}
                None => {
                    self.line_starts = false;
                    self.at += 1;
                }
            }
        }
    }

    /// A line that begins with `#` or `%`.
    fn special(&mut self, byte: u8) -> Option<Lexeme> {
        if !self.whole || !self.line_starts {
            return None;
        }
        // rpcgen passes on lines whose very first character is `%`; so do we, behind blanks too.
        if byte == b'%' {
            let start = self.at + 1;
            self.at = self.line_end();
            // A macro for C may go on behind a backslash.
            while self.text[start..self.at]
                .trim_end_matches('\r')
                .ends_with('\\')
                && self.at < self.end
            {
                self.at += 1;
                self.at = self.line_end();
            }
            return Some(Lexeme::Passed(self.span(start)));
        }
        if byte != b'#' {
            return None;
        }
        let start = self.at + 1;
        self.at = start;
        while let Some(byte) = self.peek(0) {
            match byte {
                b'\n' => break,
                b'\\' if self.peek(1) == Some(b'\n') => self.at += 2,
                b'\\' if self.peek(1) == Some(b'\r') && self.peek(2) == Some(b'\n') => self.at += 3,
                b'/' if self.peek(1) == Some(b'*') => self.skip_comment(),
                _ => self.at += 1,
            }
        }
        Some(Lexeme::Directive(self.span(start)))
    }

    fn blanks(&mut self) -> Result<(), Stray> {
        while let Some(byte) = self.peek(0) {
            match byte {
                b'\n' => {
                    self.at += 1;
                    self.line_starts = true;
                }
                b' ' | b'\t' | b'\r' | 0x0b | 0x0c => self.at += 1,
                b'\\' if !self.whole && matches!(self.peek(1), Some(b'\n' | b'\r')) => self.at += 1,
                b'/' if self.peek(1) == Some(b'/') => self.at = self.line_end(),
                b'/' if self.peek(1) == Some(b'*') => {
                    let start = self.at;
                    self.skip_comment();
                    if !self.text[start..self.at].ends_with("*/") || self.at < start + 4 {
                        self.at = start + 2;
                        let stray = self.stray(start, "this comment has no end");
                        self.at = self.end;
                        return Err(stray);
                    }
                }
                // A byte order mark, at the very beginning.
                0xef if self.at == 0 && self.text.starts_with('\u{feff}') => self.at += 3,
                _ => break,
            }
        }
        Ok(())
    }

    /// From `/*` to behind `*/`, or to the end.
    fn skip_comment(&mut self) {
        let inside = self.at + 2;
        let close = self.text.as_bytes()[inside.min(self.end)..self.end]
            .windows(2)
            .position(|pair| pair == b"*/");
        self.at = close.map_or(self.end, |close| inside + close + 2);
    }

    fn run(&mut self, kind: Kind) -> Kind {
        while let Some(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_') = self.peek(0) {
            self.at += 1;
        }
        kind
    }

    fn string(&mut self) -> Result<Kind, Stray> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek(0) {
                Some(b'"') => break,
                Some(b'\\') if !matches!(self.peek(1), None | Some(b'\n')) => {
                    self.at += 1;
                    let letter = self.text[self.at..].chars().next();
                    self.at += letter.map_or(1, char::len_utf8);
                }
                None | Some(b'\n' | b'\\') => {
                    return Err(self.stray(start, "this string has no end on its line"));
                }
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        Ok(Kind::Text)
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        let at = self.at + ahead;
        (at < self.end).then(|| self.text.as_bytes()[at])
    }

    fn line_end(&self) -> usize {
        let rest = &self.text.as_bytes()[self.at..self.end];
        let len = rest.iter().position(|byte| *byte == b'\n');
        len.map_or(self.end, |len| self.at + len)
    }

    fn span(&self, start: usize) -> Span {
        Span {
            file: self.file,
            start: offset(start),
            end: offset(self.at),
        }
    }

    fn stray(&self, start: usize, message: &'static str) -> Stray {
        Stray {
            at: self.span(start),
            message,
        }
    }
}
