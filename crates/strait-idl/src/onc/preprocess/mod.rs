//! What `cpp` does before rpcgen reads: conditions, macros and included files.
//!
//! | Line | Here |
//! | --- | --- |
//! | `%…` | C, passed on by rpcgen and left out here; of `%#define NAME number` the number is known |
//! | `#define NAME …`, `#undef` | replaced where it is used; with arguments: refused |
//! | `#if`, `#ifdef`, `#ifndef`, `#elif`, `#else`, `#endif` | as in C; `RPC_HDR` is defined |
//! | `#include` | beside the file that asks, then in the search path |
//! | `#error` | an error |
//! | `#pragma`, `#ident`, `#line`, `#warning`, `# 12 "file"` | nothing |

mod condition;
mod files;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::number;
use crate::diag::Diagnostic;
use crate::lex::{Kind, Lexeme, Lexer, Stray, Token};
use crate::source::{Sources, Span, offset};

/// Files within one another.
pub(super) const INCLUDE_DEPTH_MAX: usize = 32;

/// Files included by one, all together.
pub(super) const INCLUDES_MAX: usize = 1024;

/// Tokens, all files and macros together.
pub(super) const TOKENS_MAX: usize = 1 << 23;

/// Macros within one another.
const MACRO_DEPTH_MAX: usize = 64;

/// Conditions within one another, in one file.
const CONDITIONS_MAX: usize = 256;

/// What is given from outside.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) include: Vec<PathBuf>,
    pub(super) define: Vec<(String, String)>,
}

/// What remains.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) tokens: Vec<Token>,
    /// Macros of the files that are one token, in the order of their definition.
    pub(super) macros: Vec<(String, Token)>,
    /// The same of passed lines: what a C compiler would have known.
    pub(super) passed: HashMap<String, (i128, Span)>,
    /// Every file that was read.
    pub(super) files: Vec<PathBuf>,
}

/// Reads the file at `path` and what it includes.
pub(super) fn file(
    sources: &mut Sources,
    options: &Options,
    path: &Path,
) -> Result<Output, Diagnostic> {
    let mut work = Preprocessor::new(sources, options)?;
    let text = files::read(path).map_err(|why| {
        Diagnostic::of_file(
            &path.display().to_string(),
            format!("cannot be read: {why}"),
        )
    })?;
    work.enter(path, text, 0)?;
    Ok(work.output)
}

/// Reads a text that stands in no file; includes are sought in the search path alone.
pub(super) fn text(
    sources: &mut Sources,
    options: &Options,
    name: &str,
    text: &str,
) -> Result<Output, Diagnostic> {
    let mut work = Preprocessor::new(sources, options)?;
    if text.len() as u64 > files::FILE_LEN_MAX {
        return Err(Diagnostic::of_file(name, files::too_long()));
    }
    let file = work.sources.add(name, text.to_owned());
    work.lines(file, None, 0)?;
    Ok(work.output)
}

#[derive(Clone, Debug)]
struct Macro {
    tokens: Arc<[Token]>,
    takes_arguments: bool,
}

/// One `#if` that has no `#endif` yet.
#[derive(Debug)]
struct Condition {
    at: Span,
    /// What follows is read.
    on: bool,
    /// A branch was taken, or none is to be.
    done: bool,
    else_seen: bool,
}

struct Preprocessor<'a> {
    sources: &'a mut Sources,
    options: &'a Options,
    macros: HashMap<String, Macro>,
    output: Output,
    expanded: usize,
}

impl<'a> Preprocessor<'a> {
    fn new(sources: &'a mut Sources, options: &'a Options) -> Result<Self, Diagnostic> {
        let mut work = Self {
            sources,
            options,
            macros: HashMap::new(),
            output: Output::default(),
            expanded: 0,
        };
        // One run makes what rpcgen makes in several; types are in its header.
        let given = options
            .define
            .iter()
            .map(|(name, value)| (&**name, &**value));
        for (name, value) in std::iter::once(("RPC_HDR", "1")).chain(given) {
            let line = format!("{name} {value}");
            let end = offset(line.len());
            let file = work.sources.add("(defined outside)", line);
            let start = 0;
            let span = Span { file, start, end };
            work.define(span, false)?;
        }
        Ok(work)
    }

    fn enter(&mut self, path: &Path, text: String, depth: usize) -> Result<(), Diagnostic> {
        let file = self.sources.add(&path.display().to_string(), text);
        self.output.files.push(path.to_owned());
        self.lines(file, path.parent(), depth)
    }

    /// One file, from its first line to its last.
    fn lines(&mut self, file: u32, folder: Option<&Path>, depth: usize) -> Result<(), Diagnostic> {
        let mut lexer = Lexer::new(self.sources.text(file), file);
        let mut conditions: Vec<Condition> = Vec::new();
        loop {
            let on = conditions.last().is_none_or(|last| last.on);
            let next = if on {
                lexer.next()
            } else {
                lexer.next_directive()
            };
            match next.map_err(|stray| self.stray(&stray))? {
                Lexeme::Token(token) => self.emit(token, &mut Vec::new())?,
                Lexeme::Passed(line) => self.passed(line),
                Lexeme::Directive(line) => {
                    if !self.condition(line, &mut conditions)? && on {
                        self.directive(line, folder, depth)?;
                    }
                }
                Lexeme::End => break,
            }
        }
        match conditions.last() {
            None => Ok(()),
            Some(open) => Err(self.error(open.at, "this condition has no `#endif`")),
        }
    }

    /// Puts a token out, or what its macro stands for. A macro is not replaced inside itself.
    fn emit(&mut self, token: Token, inside: &mut Vec<Span>) -> Result<(), Diagnostic> {
        self.expanded += 1;
        if self.expanded > TOKENS_MAX {
            let message = format!("more than {TOKENS_MAX} words, macros replaced");
            return Err(self.error(token.at, message));
        }
        let found = match token.kind {
            Kind::Word => self.macros.get(self.sources.slice(token.text)).cloned(),
            _ => None,
        };
        let Some(found) = found else {
            self.output.tokens.push(token);
            return Ok(());
        };
        if found.takes_arguments {
            let help = "macros with arguments are for C; write the value";
            return Err(self
                .error(token.at, "this macro takes arguments")
                .with_help(help));
        }
        let name = self.sources.slice(token.text);
        let within = |outer: &Span| self.sources.slice(*outer) == name;
        if inside.len() >= MACRO_DEPTH_MAX || inside.iter().any(within) {
            self.output.tokens.push(token);
            return Ok(());
        }
        inside.push(token.text);
        for part in found.tokens.iter() {
            let part = Token {
                at: token.at,
                ..*part
            };
            self.emit(part, inside)?;
        }
        inside.pop();
        Ok(())
    }

    /// `%#define NAME number`, or a sum of numbers and such names: no more of passed lines is
    /// looked at.
    fn passed(&mut self, line: Span) {
        let Ok(words) = self.words(line) else {
            return;
        };
        let [hash, define, name, value @ ..] = words.as_slice() else {
            return;
        };
        if hash.kind != Kind::Sign(b'#')
            || self.sources.slice(define.text) != "define"
            || name.kind != Kind::Word
        {
            return;
        }
        let mut sum = 0_i128;
        let mut terms = value.iter();
        let mut sign = 1;
        loop {
            let Some(term) = terms.next() else { return };
            let text = self.sources.slice(term.text);
            let number = match term.kind {
                Kind::Number => number(text),
                _ => self.output.passed.get(text).map(|(number, _)| *number),
            };
            let Some(number) = number else { return };
            let Some(next) = sum.checked_add(sign * number) else {
                return;
            };
            sum = next;
            sign = match terms.next().map(|sign| sign.kind) {
                None => break,
                Some(Kind::Sign(b'+')) => 1,
                Some(Kind::Sign(b'-')) => -1,
                Some(_) => return,
            };
        }
        let name_text = self.sources.slice(name.text).to_owned();
        self.output.passed.insert(name_text, (sum, name.at));
    }

    /// Whether the line is one of a condition, which counts where lines are switched off too.
    fn condition(&mut self, line: Span, all: &mut Vec<Condition>) -> Result<bool, Diagnostic> {
        let (word, rest) = self.first_word(line);
        let name = self.sources.slice(word).to_owned();
        let outer_on = |all: &[Condition]| all.last().is_none_or(|last| last.on);
        match name.as_str() {
            "if" | "ifdef" | "ifndef" => {
                if all.len() >= CONDITIONS_MAX {
                    let message = format!("more than {CONDITIONS_MAX} conditions in one another");
                    return Err(self.error(word, message));
                }
                let read = outer_on(all);
                let on = read && self.holds(&name, word, rest)?;
                all.push(Condition {
                    at: word,
                    on,
                    done: on || !read,
                    else_seen: false,
                });
            }
            "elif" | "else" => {
                let Some(last) = all.last_mut() else {
                    return Err(self.error(word, format!("`#{name}` without `#if`")));
                };
                if last.else_seen {
                    return Err(self.error(word, format!("`#{name}` after `#else`")));
                }
                last.else_seen = name == "else";
                last.on = !last.done && (name == "else" || self.holds("if", word, rest)?);
                last.done |= last.on;
            }
            "endif" => {
                if all.pop().is_none() {
                    return Err(self.error(word, "`#endif` without `#if`"));
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn holds(&self, directive: &str, word: Span, rest: Span) -> Result<bool, Diagnostic> {
        let tokens = self.words(rest)?;
        if directive == "if" {
            return self.evaluate(word, &tokens);
        }
        match tokens.first() {
            Some(name) if name.kind == Kind::Word => {
                let defined = self.macros.contains_key(self.sources.slice(name.text));
                Ok(defined == (directive == "ifdef"))
            }
            _ => Err(self.error(word, format!("`#{directive}` needs a name"))),
        }
    }

    fn directive(
        &mut self,
        line: Span,
        folder: Option<&Path>,
        depth: usize,
    ) -> Result<(), Diagnostic> {
        let (word, rest) = self.first_word(line);
        match self.sources.slice(word) {
            "define" => self.define(rest, true),
            "undef" => {
                if let Some(name) = self.words(rest)?.first() {
                    let name = self.sources.slice(name.text);
                    self.macros.remove(name);
                    self.output.macros.retain(|(other, _)| other != name);
                }
                Ok(())
            }
            "include" => self.include(rest, folder, depth),
            "error" => {
                let text = self.sources.slice(rest).trim().to_owned();
                Err(self.error(word, format!("#error {text}")))
            }
            "pragma" | "ident" | "line" | "warning" | "sccs" | "" => Ok(()),
            // `# 12 "file"`: the output of a C preprocessor.
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
            unknown => {
                let message = format!("`#{unknown}` is no directive");
                let help = "a line for the C compiler begins with `%`";
                Err(self.error(word, message).with_help(help))
            }
        }
    }

    /// `NAME tokens`; what the file itself defines as one token is remembered as a constant.
    fn define(&mut self, rest: Span, of_file: bool) -> Result<(), Diagnostic> {
        let tokens = self.words(rest)?;
        let Some((name, value)) = tokens.split_first() else {
            return Err(self.error(rest, "`#define` needs a name"));
        };
        if name.kind != Kind::Word {
            return Err(self.error(name.at, "`#define` needs a name"));
        }
        let takes_arguments = value.first().is_some_and(|first| {
            first.kind == Kind::Sign(b'(') && first.text.start == name.text.end
        });
        let key = self.sources.slice(name.text).to_owned();
        if let (true, [one]) = (of_file, value)
            && matches!(one.kind, Kind::Number | Kind::Text)
        {
            self.output.macros.retain(|(other, _)| *other != key);
            let one = Token {
                at: name.at,
                ..*one
            };
            self.output.macros.push((key.clone(), one));
        }
        let found = Macro {
            tokens: value.into(),
            takes_arguments,
        };
        self.macros.insert(key, found);
        Ok(())
    }

    /// The tokens of a directive's line.
    fn words(&self, line: Span) -> Result<Vec<Token>, Diagnostic> {
        let mut lexer = Lexer::of_line(self.sources.text(line.file), line);
        let mut tokens = Vec::new();
        loop {
            match lexer.next().map_err(|stray| self.stray(&stray))? {
                Lexeme::Token(token) => tokens.push(token),
                _ => return Ok(tokens),
            }
        }
    }

    /// The word that a directive begins with, and the rest of its line.
    fn first_word(&self, line: Span) -> (Span, Span) {
        let mut lexer = Lexer::of_line(self.sources.text(line.file), line);
        match lexer.next() {
            Ok(Lexeme::Token(token)) => {
                let start = token.text.end;
                (token.text, Span { start, ..line })
            }
            _ => {
                let start = line.end;
                (Span { start, ..line }, Span { start, ..line })
            }
        }
    }

    fn stray(&self, stray: &Stray) -> Diagnostic {
        self.error(stray.at, stray.message)
    }

    fn error(&self, at: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(self.sources, at, message)
    }
}
