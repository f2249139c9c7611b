//! Tokens to syntax: RFC 4506 section 6.3, RFC 5531 section 12.2, and what files in the wild add.
//!
//! | Addition | Meaning |
//! | --- | --- |
//! | `unsigned x` | `unsigned int` |
//! | `char`, `short`, `long`, `long long`, signed or not | 8 and 16 bits sent as `int`; 32; 64 |
//! | `struct T *next` | the word before a known name says nothing |
//! | `enum E { A, B = 7, C }` | 0, 7, 8 |
//! | `typedef struct { … } name;`, a struct, union or enum written in place | a type of its own |
//! | `typedef struct T T;` | nothing |
//! | `struct empty { };` | no members |
//! | `case A: case B: …` | one content for both |
//! | `namespace a { … }`, `a::b` | names are one set in any case: the space is left out |
//! | `T F(A, B)`, `T F(int a, string b<8>)` | several arguments, with names if they are there |

mod program;
mod types;

use super::syntax::{Atom, Item, Name, Scalar};
use super::{number, preprocess};
use crate::diag::Diagnostic;
use crate::lex::{Kind, Token};
use crate::source::{Sources, Span};

/// Types written in place within one another.
pub(super) const NESTING_MAX: u32 = 64;

/// The longest name, in bytes.
pub(super) const NAME_LEN_MAX: usize = 255;

/// Reads every definition, or tells the first error.
pub(super) fn parse(
    sources: &Sources,
    input: &preprocess::Output,
) -> Result<Vec<Item>, Diagnostic> {
    let mut parser = Parser {
        sources,
        tokens: &input.tokens,
        at: 0,
        nesting: 0,
    };
    parser.items()
}

/// What may stand where a name of one's own cannot.
pub(super) const KEYWORDS: &[&str] = &[
    "bool",
    "case",
    "char",
    "const",
    "default",
    "double",
    "enum",
    "float",
    "hyper",
    "int",
    "long",
    "namespace",
    "opaque",
    "program",
    "quadruple",
    "short",
    "string",
    "struct",
    "switch",
    "typedef",
    "union",
    "unsigned",
    "version",
    "void",
];

struct Parser<'a> {
    sources: &'a Sources,
    tokens: &'a [Token],
    at: usize,
    nesting: u32,
}

impl<'a> Parser<'a> {
    fn items(&mut self) -> Result<Vec<Item>, Diagnostic> {
        let mut items = Vec::new();
        // Spaces that are open.
        let mut open: Vec<Span> = Vec::new();
        loop {
            let at = self.here();
            match self.word() {
                "" if self.kind() == Kind::End => break,
                "" if self.take_sign(b'}') => {
                    if open.pop().is_none() {
                        return Err(self.error(at, "nothing is open that this closes"));
                    }
                    self.take_sign(b';');
                }
                // A stray semicolon, as after a function of C.
                "" if self.take_sign(b';') => {}
                "namespace" => {
                    self.at += 1;
                    self.path()?;
                    self.sign(b'{')?;
                    open.push(at);
                }
                "const" => items.push(self.constant()?),
                "program" => items.push(self.program()?),
                "typedef" | "struct" | "union" | "enum" => items.extend(self.definition()?),
                _ => {
                    let expected = "`const`, `typedef`, `struct`, `union`, `enum` or `program`";
                    return Err(self.expected(expected));
                }
            }
        }
        match open.last() {
            None => Ok(items),
            Some(at) => Err(self.error(*at, "this namespace is not closed")),
        }
    }

    /// `const NAME = value;`
    fn constant(&mut self) -> Result<Item, Diagnostic> {
        self.at += 1;
        let name = self.name("the constant")?;
        self.sign(b'=')?;
        let value = match self.kind() {
            Kind::Text => {
                let at = self.here();
                let text = unescape(self.slice());
                self.at += 1;
                Scalar {
                    atom: Atom::Text(text),
                    negative: false,
                    at,
                }
            }
            _ => self.scalar("a number or a string")?,
        };
        self.sign(b';')?;
        Ok(Item::Constant(name, value))
    }

    /// A number or the name of one, with signs and brackets around it.
    fn scalar(&mut self, expected: &str) -> Result<Scalar, Diagnostic> {
        let start = self.here();
        let mut negative = false;
        let mut brackets = 0_usize;
        loop {
            match self.kind() {
                Kind::Sign(b'-') => negative = !negative,
                Kind::Sign(b'+') => {}
                Kind::Sign(b'(') => brackets += 1,
                _ => break,
            }
            self.at += 1;
        }
        let at = start.to(self.here());
        let atom = match self.kind() {
            Kind::Number => {
                let text = self.slice();
                let value = number(text).ok_or_else(|| {
                    let message = format!("`{text}` is no number of at most 64 bits");
                    self.error(at, message)
                })?;
                self.at += 1;
                Atom::Number(value)
            }
            Kind::Word if !KEYWORDS.contains(&self.slice()) => Atom::Name(self.path()?.text),
            _ => return Err(self.expected(expected)),
        };
        for _ in 0..brackets {
            self.sign(b')')?;
        }
        Ok(Scalar { atom, negative, at })
    }

    /// A name of one's own.
    fn name(&mut self, of: &str) -> Result<Name, Diagnostic> {
        let at = self.here();
        let text = self.word();
        if text.is_empty() {
            return Err(self.expected(&format!("the name of {of}")));
        }
        if KEYWORDS.contains(&text) {
            let message = format!("`{text}` is a word of the language, not a name");
            return Err(self.error(at, message));
        }
        if text.len() > NAME_LEN_MAX {
            let message = format!("a name of more than {NAME_LEN_MAX} bytes");
            return Err(self.error(at, message));
        }
        self.at += 1;
        Ok(Name {
            text: text.into(),
            at,
        })
    }

    /// `a::b::c`, of which the last counts.
    fn path(&mut self) -> Result<Name, Diagnostic> {
        let mut name = self.name("a space, a type or a constant")?;
        while self.sees_sign(b':')
            && let Some(second) = self.tokens.get(self.at + 1)
            && second.kind == Kind::Sign(b':')
            && second.text.start == self.tokens[self.at].text.end
        {
            self.at += 2;
            name = self.name("a type or a constant")?;
        }
        Ok(name)
    }

    fn kind(&self) -> Kind {
        self.tokens
            .get(self.at)
            .map_or(Kind::End, |token| token.kind)
    }

    /// The present word, or nothing.
    fn word(&self) -> &'a str {
        match self.kind() {
            Kind::Word => self.slice(),
            _ => "",
        }
    }

    fn slice(&self) -> &'a str {
        let token = self.tokens.get(self.at);
        token.map_or("", |token| self.sources.slice(token.text))
    }

    /// Where the present token stands, or behind the last.
    fn here(&self) -> Span {
        match (self.tokens.get(self.at), self.tokens.last()) {
            (Some(token), _) => token.at,
            (None, Some(last)) => Span {
                start: last.at.end,
                ..last.at
            },
            (None, None) => Span::default(),
        }
    }

    /// Where the last token taken stands.
    fn before(&self) -> Span {
        let last = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        last.map_or(Span::default(), |token| token.at)
    }

    fn sees_sign(&self, sign: u8) -> bool {
        self.kind() == Kind::Sign(sign)
    }

    fn take_sign(&mut self, sign: u8) -> bool {
        let taken = self.sees_sign(sign);
        self.at += usize::from(taken);
        taken
    }

    fn take_word(&mut self, word: &str) -> bool {
        let taken = self.word() == word;
        self.at += usize::from(taken);
        taken
    }

    fn sign(&mut self, sign: u8) -> Result<(), Diagnostic> {
        if self.take_sign(sign) {
            return Ok(());
        }
        let missing = format!("`{}`", char::from(sign));
        // What is missing at a line's end is told there, not at the next line's beginning.
        let (before, here) = (self.before(), self.here());
        let next_line = self.at > 0
            && before.file == here.file
            && self.sources.place(before).line != self.sources.place(here).line;
        if sign == b';' && next_line {
            let at = Span {
                start: before.end,
                end: before.end + 1,
                ..before
            };
            return Err(self.error(at, format!("{missing} is missing here")));
        }
        Err(self.expected(&missing))
    }

    /// An error at the present token.
    fn expected(&self, what: &str) -> Diagnostic {
        let found = match self.kind() {
            Kind::End => "the end of the file".to_owned(),
            _ => {
                let text: String = self.slice().chars().take(40).collect();
                format!("`{text}`")
            }
        };
        self.error(self.here(), format!("expected {what}, found {found}"))
    }

    fn error(&self, at: Span, message: impl Into<String>) -> Diagnostic {
        if self.sources.count() == 0 {
            return Diagnostic::of_file("", message);
        }
        Diagnostic::at(self.sources, at, message)
    }
}

/// A string without its quotes. Escapes are those of C that stand for one character of text.
pub(super) fn unescape(quoted: &str) -> String {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or("");
    let mut text = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        text.push(match letter {
            '\\' => match letters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some('0') => '\0',
                Some(other) => other,
                None => break,
            },
            letter => letter,
        });
    }
    text
}
