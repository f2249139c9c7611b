//! The arithmetic of `#if`: integers of C, without the choice `? :`.

use super::Preprocessor;
use crate::diag::Diagnostic;
use crate::lex::{Kind, Token};
use crate::onc::number;
use crate::source::Span;

/// Brackets, signs and macros within one another.
const DEPTH_MAX: u32 = 64;

/// Tokens looked at in one condition, macros replaced.
const STEPS_MAX: u32 = 10_000;

/// The binary signs, the ones that bind most loosely first.
const LEVELS: &[&[&str]] = &[
    &["||"],
    &["&&"],
    &["|"],
    &["^"],
    &["&"],
    &["==", "!="],
    &["<=", ">=", "<", ">"],
    &["<<", ">>"],
    &["+", "-"],
    &["*", "/", "%"],
];

impl Preprocessor<'_> {
    /// Whether a condition is not zero.
    pub(super) fn evaluate(&self, word: Span, tokens: &[Token]) -> Result<bool, Diagnostic> {
        let mut condition = Evaluation {
            work: self,
            tokens,
            at: 0,
            word,
            depth: 0,
            steps: 0,
        };
        let value = condition.level(0)?;
        match condition.tokens.get(condition.at) {
            None => Ok(value != 0),
            Some(rest) => Err(self.error(rest.at, "the condition is over before this")),
        }
    }
}

struct Evaluation<'w, 'a> {
    work: &'w Preprocessor<'a>,
    tokens: &'w [Token],
    at: usize,
    /// `if`, for what is missing.
    word: Span,
    depth: u32,
    steps: u32,
}

impl<'w> Evaluation<'w, '_> {
    fn level(&mut self, level: usize) -> Result<i64, Diagnostic> {
        let Some(signs) = LEVELS.get(level) else {
            return self.unary();
        };
        let mut left = self.level(level + 1)?;
        while let Some(sign) = signs.iter().find(|sign| self.sees(sign)) {
            let at = self.tokens[self.at].at;
            self.at += sign.len();
            let right = self.level(level + 1)?;
            left =
                apply(sign, left, right).ok_or_else(|| self.work.error(at, "this has no value"))?;
        }
        Ok(left)
    }

    /// Whether the sign comes next, and is not the beginning of a longer one.
    fn sees(&self, sign: &str) -> bool {
        let text = |ahead: usize| {
            let token = self.tokens.get(self.at + ahead)?;
            matches!(token.kind, Kind::Sign(_)).then_some(token)
        };
        let bytes = sign.as_bytes();
        let mut end = None;
        for (i, byte) in bytes.iter().enumerate() {
            let Some(token) = text(i) else { return false };
            let joined = end.is_none_or(|end| end == token.text.start);
            if token.kind != Kind::Sign(*byte) || !joined {
                return false;
            }
            end = Some(token.text.end);
        }
        let next = text(bytes.len()).filter(|next| Some(next.text.start) == end);
        let doubled = matches!(sign, "|" | "&" | "<" | ">");
        !(doubled && next.is_some_and(|next| next.kind == Kind::Sign(bytes[0])))
    }

    fn unary(&mut self) -> Result<i64, Diagnostic> {
        self.steps += 1;
        let Some(token) = self.tokens.get(self.at).copied() else {
            let at = self.tokens.last().map_or(self.word, |last| last.at);
            return Err(self.work.error(at, "the condition ends too soon"));
        };
        if self.depth >= DEPTH_MAX || self.steps > STEPS_MAX {
            return Err(self.work.error(token.at, "the condition is too complex"));
        }
        self.at += 1;
        self.depth += 1;
        let value = match token.kind {
            Kind::Number => {
                let text = self.work.sources.slice(token.text);
                let text = text.trim_end_matches(['u', 'U', 'l', 'L']);
                let value = number(text).and_then(|value| i64::try_from(value).ok());
                value.ok_or_else(|| self.work.error(token.at, "no integer of 64 bits"))
            }
            Kind::Word => self.word(token),
            Kind::Sign(b'!') => Ok(i64::from(self.unary()? == 0)),
            Kind::Sign(b'-') => Ok(self.unary()?.wrapping_neg()),
            Kind::Sign(b'+') => self.unary(),
            Kind::Sign(b'~') => Ok(!self.unary()?),
            Kind::Sign(b'(') => {
                let value = self.level(0)?;
                self.close(token.at)?;
                Ok(value)
            }
            _ => Err(self.work.error(token.at, "a value is expected here")),
        };
        self.depth -= 1;
        value
    }

    /// `defined NAME`, a macro, or an unknown name, which is 0.
    fn word(&mut self, token: Token) -> Result<i64, Diagnostic> {
        let name = self.work.sources.slice(token.text);
        if name == "defined" {
            let bracket = self.sees("(");
            self.at += usize::from(bracket);
            let Some(name) = self
                .tokens
                .get(self.at)
                .filter(|next| next.kind == Kind::Word)
            else {
                return Err(self.work.error(token.at, "`defined` needs a name"));
            };
            self.at += 1;
            if bracket {
                self.close(token.at)?;
            }
            let name = self.work.sources.slice(name.text);
            return Ok(i64::from(self.work.macros.contains_key(name)));
        }
        let Some(found) = self.work.macros.get(name) else {
            return Ok(0);
        };
        if found.tokens.is_empty() {
            return Err(self.work.error(token.at, format!("`{name}` has no value")));
        }
        let mut inner = Evaluation {
            work: self.work,
            tokens: &found.tokens,
            at: 0,
            word: token.at,
            depth: self.depth,
            steps: self.steps,
        };
        let value = inner.level(0)?;
        self.steps = inner.steps;
        if inner.at < found.tokens.len() {
            return Err(self.work.error(token.at, format!("`{name}` is no value")));
        }
        Ok(value)
    }

    fn close(&mut self, open: Span) -> Result<(), Diagnostic> {
        if !self.sees(")") {
            return Err(self.work.error(open, "this bracket is not closed"));
        }
        self.at += 1;
        Ok(())
    }
}

fn apply(sign: &str, left: i64, right: i64) -> Option<i64> {
    Some(match sign {
        "||" => i64::from(left != 0 || right != 0),
        "&&" => i64::from(left != 0 && right != 0),
        "|" => left | right,
        "^" => left ^ right,
        "&" => left & right,
        "==" => i64::from(left == right),
        "!=" => i64::from(left != right),
        "<" => i64::from(left < right),
        ">" => i64::from(left > right),
        "<=" => i64::from(left <= right),
        ">=" => i64::from(left >= right),
        "<<" => left.checked_shl(u32::try_from(right).ok()?)?,
        ">>" => left.checked_shr(u32::try_from(right).ok()?)?,
        "+" => left.wrapping_add(right),
        "-" => left.wrapping_sub(right),
        "*" => left.wrapping_mul(right),
        "/" => left.checked_div(right)?,
        _ => left.checked_rem(right)?,
    })
}
